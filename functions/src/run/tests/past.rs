//! The first run of a deployment knows what its instances did before.

use deepguard_aws::alert::Kind;
use serde_json::{Value, json};

use super::incidents::{fault, group, grouped, messages};
use super::tell::follow;
use super::*;
use crate::alert::digest::Daily;

/// Days of CPU, all of which the first run reads.
const MONTH: i64 = 31;
const BUSY: [usize; 2] = [1, 2];
/// The first run, and the last one.
const FROM: &str = "2026-01-15T14:32:00Z";
const TO: &str = "2026-01-15T16:32:00Z";

/// Five instances with a month of history, four of them in a group. At these times before
/// [`FAULT`], in seconds, two of those had `more` points of CPU for half an hour.
fn world(before: &[i64], more: f64) -> World {
    let world = World::new();
    let mut cpu_of = |number: usize| {
        let mut cpu = cpu(number, MONTH);
        let begins = before.iter().map(|before| seconds(FAULT) - before);
        let busy: Vec<Range<i64>> = begins.map(|begin| begin..begin + 1800).collect();
        let is_busy = |time| busy.iter().any(|busy| busy.contains(&time));
        cpu.iter_mut()
            .filter(|point| BUSY.contains(&number) && is_busy(point.time))
            .for_each(|point| point.value += more);
        (instance(number), cpu)
    };
    world.metrics.cpu.borrow_mut().extend((0..5).map(&mut cpu_of));
    group(&world, &[0, 1, 2, 3], "web");
    world
}

/// The events of the runs, and the digest.
async fn events(world: &World) -> (Vec<Value>, String) {
    let daily = Daily { at: jiff::civil::Time::constant(16, 30, 0, 0), quiet: false };
    let settings = Settings { digest: Some(daily), ..grouped(Some(0.1)) };
    follow(&mut world.telling(settings), FROM, TO).await;
    let told = world.metrics.told.take();
    let events = told.iter().map(|alert| serde_json::from_str(&alert.detail).unwrap()).collect();
    let sent = world.metrics.notified.take();
    let digest = sent.iter().rev().find(|alert| alert.kind == Kind::Digest).unwrap();
    (events, digest.text.clone())
}

#[tokio::test]
async fn what_came_in_the_week_before_the_first_run_does_not_page() {
    let world = world(&[7 * DAY_SECONDS], 60.0);
    fault(&world, &BUSY, 60.0);
    let (events, digest) = events(&world).await;
    let began = &events[0];
    let level = began["incident"]["page_level"].as_f64().unwrap();
    assert!(began["score"].as_f64().unwrap() > level, "{began}");
    assert!(events.iter().all(|event| event["page"] == false), "{events:?}");
    assert_eq!(began["incident"]["week_before"]["seen"], "2026-01-08T14:50:00Z");
    assert!(digest.contains("or as in an earlier week:"), "{digest}");
    assert!(digest.contains(", as in an earlier week\n"), "{digest}");
}

#[tokio::test]
async fn the_same_without_a_past_pages() {
    let world = world(&[], 0.0);
    fault(&world, &BUSY, 60.0);
    let (events, digest) = events(&world).await;
    assert!(events.iter().any(|event| event["page"] == true), "{events:?}");
    assert!(events.iter().all(|event| event["incident"]["week_before"].is_null()));
    assert!(!digest.contains("earlier week"), "{digest}");
}

#[tokio::test]
async fn a_first_day_s_page_level_rests_on_the_past() {
    let mut levels = Vec::new();
    for days in [0, 5] {
        let weak: Vec<i64> = (1..=days).map(|day| day * DAY_SECONDS + 5 * day * 3600).collect();
        let world = world(&weak, 2.5);
        let mut process = world.telling(grouped(Some(0.1)));
        let summary = process.run(&json!({}), at(FROM)).await.unwrap();
        assert_eq!((summary.episodes.began, messages(&world).len()), (0, 0), "the past is over");
        levels.push(summary.episodes.page_level);
    }
    assert!(levels[1] > levels[0], "{levels:?}");
}
