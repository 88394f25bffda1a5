//! The Runtime API from the view of processes that come and die.
#![allow(clippy::unwrap_used)] // A test that meets what it did not expect should stop there.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{Plain, plain, start};
use scripted_aws::{Outcome, RuntimeApi};
use serde_json::json;

const SOON: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(10);

fn next(runtime: &RuntimeApi) -> Plain {
    plain(&runtime.endpoint(), "GET /2018-06-01/runtime/invocation/next", "", "").unwrap()
}

fn post(runtime: &RuntimeApi, path: &str, body: &str) -> u16 {
    plain(&runtime.endpoint(), &format!("POST /2018-06-01/runtime/{path}"), "", body)
        .unwrap()
        .status
}

fn until(what: impl Fn() -> bool) {
    let end = Instant::now() + LONG;
    while !what() {
        assert!(Instant::now() < end, "it did not come to be");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn an_event_is_answered() {
    let aws = start(0);
    let runtime = aws.runtime();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for answer in ["response", "error"] {
                let event = next(runtime);
                assert_eq!((event.status, event.text().as_str()), (200, r#"{"time":1}"#));
                let id = event.header("Lambda-Runtime-Aws-Request-Id").unwrap();
                let deadline: u128 =
                    event.header("Lambda-Runtime-Deadline-Ms").unwrap().parse().unwrap();
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
                assert!((now + 9_000..=now + 10_000).contains(&deadline), "{deadline}");
                assert!(
                    event
                        .header("Lambda-Runtime-Invoked-Function-Arn")
                        .unwrap()
                        .starts_with("arn:aws:lambda:")
                );
                let body = r#"{"errorType":"T","errorMessage":"M"}"#;
                assert_eq!(post(runtime, &format!("invocation/{id}/{answer}"), body), 202);
                assert_eq!(
                    post(runtime, &format!("invocation/{id}/{answer}"), body),
                    400,
                    "once only"
                );
            }
        });
        let said = json!({ "errorType": "T", "errorMessage": "M" });
        assert_eq!(runtime.invoke(json!({ "time": 1 }), LONG), Outcome::Answer(said.clone()));
        assert_eq!(runtime.invoke(json!({ "time": 1 }), LONG), Outcome::Error(said));
    });
}

#[test]
fn no_process_asks() {
    let aws = start(0);
    let runtime = aws.runtime();
    assert_eq!(runtime.invoke(json!(1), SOON), Outcome::NoAnswer);
    // An abandoned event is not given to a process that comes later.
    let invocation = runtime.invoke_async(json!(2), LONG);
    assert!(!invocation.wait_taken(SOON) && !invocation.is_taken());
    assert_eq!(next(runtime).text(), "2");
    assert!(invocation.is_taken());
}

#[test]
fn a_process_is_killed_and_another_comes() {
    let aws = start(0);
    let runtime = aws.runtime();
    for round in 0..20 {
        // One dies while it waits for an event: the event goes to the next.
        let mut dead = TcpStream::connect(runtime.endpoint()).unwrap();
        dead.write_all(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        until(|| runtime.waiting() == 1);
        drop(dead);
        // Another dies while it works.
        let invocation = runtime.invoke_async(json!(round), LONG);
        let mut dead = TcpStream::connect(runtime.endpoint()).unwrap();
        dead.write_all(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        assert!(invocation.wait_taken(LONG));
        assert!(dead.read(&mut [0; 10]).unwrap() > 0, "the event came to the living one");
        drop(dead);
        assert_eq!(invocation.wait(Duration::from_millis(5)), Outcome::NoAnswer);
        let late = invocation.id().to_owned();
        invocation.abandon();
        let invocation = runtime.invoke_async(json!("next"), LONG);
        let event = next(runtime);
        assert_eq!(event.text(), r#""next""#);
        assert_eq!(post(runtime, &format!("invocation/{late}/response"), "1"), 400);
        assert_eq!(post(runtime, &format!("invocation/{}/response", invocation.id()), "1"), 202);
        assert_eq!(invocation.wait(LONG), Outcome::Answer(json!(1)));
    }
}

#[test]
fn a_process_cannot_start() {
    let aws = start(0);
    let runtime = aws.runtime();
    let said = json!({ "errorType": "NoModel" });
    assert_eq!(post(runtime, "init/error", &said.to_string()), 202);
    assert_eq!(runtime.invoke(json!(1), LONG), Outcome::InitError(said.clone()));
    let invocation = runtime.invoke_async(json!(1), LONG);
    assert_eq!(post(runtime, "init/error", &said.to_string()), 202);
    assert_eq!(invocation.wait(LONG), Outcome::InitError(said));
    assert_eq!(runtime.invoke(json!(1), SOON), Outcome::NoAnswer);
}
