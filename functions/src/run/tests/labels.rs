//! Labels: from a page, by the event in its message or its chat button, to a quiet machine.

use deepguard_aws::alert::{Alert, Kind};
use serde_json::{Value, json};

use super::tell::{Telling, follow, mended, plain};
use super::*;
use crate::alert::digest::Daily;
use crate::alert::pending::Messages;
use crate::run::label::Labelled;
use crate::state::State;
use crate::trigger::label::{Label, Verdict};

/// The fault of an afternoon, and the hour two days later in which the same comes again. Within a
/// day it would be no alarm.
const FIRST: [&str; 2] = ["2026-01-15T14:32:00Z", "2026-01-15T16:27:00Z"];
const AGAIN: [&str; 2] = ["2026-01-17T22:02:00Z", "2026-01-17T23:02:00Z"];

/// CPU of the first fault, in percent, and of one that is stronger and not twice as bad.
const FAULTY_CPU: f64 = 45.0;
const STRONGER: f64 = 60.0;

fn settings() -> Settings {
    let messages = Messages { began: true, ended: false, chat: false };
    let daily = Daily { at: jiff::civil::Time::constant(23, 0, 0, 0), quiet: false };
    let chat_topic = Some("arn:aws:sns:us-east-1:000000000000:chat".to_string());
    Settings { messages, digest: Some(daily), chat_topic, ..plain() }
}

/// Two more days like those before the fault. Then it comes again, with CPU of `value` percent.
fn comes_again(world: &World, value: f64) {
    let again = seconds("2026-01-17T22:20:00Z")..seconds("2026-01-17T22:50:00Z");
    for (known, cpu) in world.metrics.cpu.borrow_mut().iter_mut() {
        let until = cpu.len() + 2 * 288;
        for index in cpu.len()..until {
            let time = cpu[index - 1].time + PERIOD;
            let is_fault = *known == instance(FAULTY) && again.contains(&time);
            let value = if is_fault { value } else { cpu[index - 3 * 288].value };
            cpu.push(Datapoint { time, value });
        }
    }
}

/// The event that the line of a message sends.
fn prepared(message: &Alert) -> Value {
    let line = message.text.lines().last().unwrap();
    serde_json::from_str(line.split('\'').nth(1).unwrap()).unwrap()
}

fn sent(world: &World) -> (Vec<Alert>, Vec<Alert>) {
    let notified = world.metrics.notified.take().into_iter();
    notified.partition(|alert| alert.kind == Kind::Began)
}

/// A page, and the process that has sent it.
async fn paged(world: &World, fault: f64) -> (Telling, Alert) {
    mended(world);
    {
        let mut cpu = world.metrics.cpu.borrow_mut();
        let faulty = cpu.get_mut(&instance(FAULTY)).unwrap();
        faulty.iter_mut().filter(|point| point.value == 97.0).for_each(|point| point.value = fault);
    }
    let mut process = world.telling(settings());
    follow(&mut process, FIRST[0], FIRST[1]).await;
    let (mut pages, _) = sent(world);
    assert_eq!(pages.len(), 1, "{pages:?}");
    (process, pages.remove(0))
}

fn state(world: &World) -> State {
    State::from_bytes(&world.bucket.content(STATE).unwrap()).unwrap()
}

async fn label(process: &mut Telling, event: &Value) -> Result<Labelled, RunError> {
    process.label(&Label::from_event(event).unwrap().unwrap(), at(FIRST[1])).await
}

#[tokio::test]
async fn the_line_of_a_page_makes_the_same_quiet_and_the_digest_says_so() {
    let world = World::new();
    let (mut process, page) = paged(&world, FAULTY_CPU).await;
    let labelled = label(&mut process, &prepared(&page)).await.unwrap();
    let quiet = labelled.quiet.unwrap();
    assert_eq!((&quiet.instance, quiet.scope), (&instance(FAULTY), "machine"));
    assert_eq!(quiet.until, seconds(FIRST[1]) + deepguard::incident::LASTS);
    world.metrics.told.take();
    comes_again(&world, STRONGER);
    // Another process reads it from the stored state.
    let mut process = world.telling(settings());
    follow(&mut process, AGAIN[0], AGAIN[1]).await;
    let (pages, digests) = sent(&world);
    assert_eq!(pages, []);
    let events = world.metrics.told.take();
    let began = events.iter().filter(|event| event.kind == Kind::Began);
    let began: Vec<Value> =
        began.map(|event| serde_json::from_str(&event.detail).unwrap()).collect();
    let [began] = &began[..] else { panic!("machines are told all the same: {began:?}") };
    assert_eq!((&began["shape"], &began["page"]), (&json!(quiet.shape), &json!(false)));
    let digest = digests.last().unwrap();
    let line = format!("Quiet until 2026-01-29 16:27 UTC: {}, ", instance(FAULTY));
    assert!(digest.text.contains(&line), "{}", digest.text);
}

#[tokio::test]
async fn what_is_labelled_while_it_lasts_pages_again_only_if_it_gets_worse() {
    for (then, expected) in [(34.0, 0), (97.0, 1)] {
        let world = World::new();
        let worse = seconds("2026-01-15T15:30:00Z");
        for point in world.metrics.cpu.borrow_mut().get_mut(&instance(FAULTY)).unwrap() {
            if point.value == 97.0 {
                point.value = if point.time < worse { 34.0 } else { then };
            }
        }
        let mut process = world.telling(settings());
        follow(&mut process, FIRST[0], "2026-01-15T15:07:00Z").await;
        let (pages, _) = sent(&world);
        let label = Label::from_event(&prepared(&pages[0])).unwrap().unwrap();
        process.label(&label, at("2026-01-15T15:10:00Z")).await.unwrap();
        follow(&mut process, "2026-01-15T15:12:00Z", FIRST[1]).await;
        assert_eq!(sent(&world).0.len(), expected, "{then} percent");
    }
}

#[tokio::test]
async fn what_is_not_labelled_pages_again_and_so_does_what_is_taken_back() {
    for back in [false, true] {
        let world = World::new();
        let (mut process, page) = paged(&world, FAULTY_CPU).await;
        let mut event = prepared(&page);
        if back {
            label(&mut process, &event).await.unwrap();
            event["label"]["is"] = json!("an anomaly");
            let answer = label(&mut process, &event).await.unwrap();
            assert_eq!((answer.is, answer.quiet), (Verdict::Anomaly, None));
        }
        comes_again(&world, STRONGER);
        follow(&mut process, AGAIN[0], AGAIN[1]).await;
        assert_eq!(sent(&world).0.len(), 1, "taken back: {back}");
    }
}

#[tokio::test]
async fn the_chat_has_what_its_button_sends_with_pages_only() {
    let world = World::new();
    let (_, page) = paged(&world, 97.0).await;
    let chatted = world.metrics.chatted.take();
    let context = |alert: &Alert| -> Value {
        let chat: Value = serde_json::from_str(&alert.chat).unwrap();
        chat["metadata"]["additionalContext"].clone()
    };
    let [began, ended] = &chatted[..] else { panic!("{chatted:?}") };
    let began = context(began);
    assert_eq!(began["incident"], prepared(&page)["label"]["incident"]);
    assert_eq!((&began["shard"], &began["shards"]), (&json!("0"), &json!("1")));
    assert_eq!(began["function"], "deepguard-Detector-abc");
    assert_eq!(context(ended)["incident"], Value::Null, "an end has no button");
}

#[tokio::test]
async fn a_label_again_gives_the_same_answer_and_an_unknown_one_says_what_to_do() {
    let world = World::new();
    let (mut process, page) = paged(&world, 97.0).await;
    let event = prepared(&page);
    let first = label(&mut process, &event).await.unwrap();
    assert_eq!(label(&mut world.telling(settings()), &event).await, Ok(first));
    let stored = world.bucket.content(STATE).unwrap();
    let unknown = json!({ "label": format!("{}-1768478400", instance(1)) });
    let error = label(&mut process, &unknown).await.unwrap_err().to_string();
    assert!(error.starts_with("no such incident has paged within two weeks: `i-"), "{error}");
    assert!(error.contains("of shard 1/0") && error.contains("the shard included"), "{error}");
    assert_eq!(world.bucket.content(STATE).unwrap(), stored, "a refused label changes nothing");
}

#[tokio::test]
async fn a_label_that_a_run_overtakes_is_refused_and_can_be_sent_again() {
    let world = World::new();
    let (mut process, page) = paged(&world, 97.0).await;
    let event = prepared(&page);
    let incident = Label::from_event(&event).unwrap().unwrap();
    let meanwhile = State { model: "another run's".into(), ..state(&world) };
    let bytes = meanwhile.to_bytes().unwrap();
    world.bucket.meanwhile.borrow_mut().push((STATE.into(), bytes));
    let error = process.label(&incident, at(FIRST[1])).await.unwrap_err();
    assert!(matches!(error, RunError::LabelLost(_)), "{error}");
    assert!(error.to_string().contains("send it again"), "{error}");
    assert!(state(&world).incidents.labels().quiet(seconds(FIRST[1])).is_empty());
    process.label(&incident, at(FIRST[1])).await.unwrap();
    assert_eq!(state(&world).incidents.labels().quiet(seconds(FIRST[1])).len(), 1);
}
