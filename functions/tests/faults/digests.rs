//! One digest of a fleet in four parts, whatever is late, refused or lost.

use common::alerts::{Delivery, deliveries};

use super::*;

const SHARDS: u32 = 4;
/// Where the parts give each other their digests.
const GIVEN: &str = "bucket/state/shards/4/digests";
/// Two machines are stuck from here on, ...
const STUCK: i64 = MIDNIGHT - 1800;
/// ... and a digest is due here.
const DUE: i64 = MIDNIGHT + 900;
const INSTANCES: usize = 8;
/// They are in different parts.
const STUCK_ONES: [usize; 2] = [2, 5];

/// A day's end that is watched from half an hour before the fault to `end`. A part runs where
/// `runs` says so. `fault` acts from the run at which the digest is due on, for `lasts` seconds.
async fn watched(
    end: i64,
    runs: impl Fn(i64, u32) -> bool,
    fault: Option<Fault>,
    lasts: i64,
) -> World {
    watched_in(SHARDS, end, runs, fault, lasts).await
}

/// The same in this number of parts.
async fn watched_in(
    shards: u32,
    end: i64,
    runs: impl Fn(i64, u32) -> bool,
    fault: Option<Fault>,
    lasts: i64,
) -> World {
    let fleet = Generated::new(INSTANCES, 3);
    let fleet = STUCK_ONES.into_iter().fold(fleet, |fleet, n| fleet.fault(n, STUCK, DUE, 100.0));
    let settings = settings(&[("GROUP_BY", "")]);
    let mut world = World::new(start_aws(fleet, STUCK - 1800), settings);
    for time in slots(STUCK - 1800, end + 1) {
        if time == DUE {
            world.aws.script(fault.clone());
        } else if time == DUE + lasts {
            world.aws.clear_faults();
        }
        for shard in (0..shards).filter(|shard| runs(time, *shard)) {
            // Each in a process of its own, as it is with several at once.
            world.restart();
            world.run_event(&event_of(time, shard, shards), time).await.unwrap();
        }
    }
    world
}

/// The texts of the digests that came.
fn digests(world: &World) -> Vec<String> {
    let digests = deliveries(&world.aws).into_iter().filter(|it| it.told.kind == "digest");
    digests.map(|Delivery { text, .. }| text).collect()
}

/// How many of these texts name the machine `n`.
fn naming(texts: &[String], n: usize) -> usize {
    texts.iter().filter(|text| text.contains(&Generated::id(n))).count()
}

/// Asserts that one digest came, about all of the fleet.
fn is_one(world: &World) {
    let digests = digests(world);
    let [text] = &digests[..] else { panic!("{digests:#?}") };
    assert!(text.contains("2 pages:"), "{text}");
    assert!(STUCK_ONES.iter().all(|&n| text.contains(&Generated::id(n))), "{text}");
    assert!(text.contains(" of 8 watched instances"), "{text}");
    assert!(!text.contains("shard"), "{text}");
}

#[tokio::test]
async fn all_parts_are_one_digest() {
    is_one(&watched(DUE + 3 * 3600, |_, _| true, None, 0).await);
}

#[tokio::test]
async fn the_cost_is_that_of_the_fleet_whoever_runs_its_parts() {
    let mut lines = Vec::new();
    for shards in [1, SHARDS] {
        let world = watched_in(shards, DUE + SLOT, |_, _| true, None, 0).await;
        let text = digests(&world).remove(0);
        let cost = text.lines().find(|line| line.starts_with("CloudWatch has cost")).unwrap();
        lines.push(cost.to_string());
    }
    assert_eq!(lines[0], lines[1]);
    // Two hours of two metrics and of a band of eight instances, and of those of the fleet.
    assert!(
        lines[0].contains("about $0.0") && !lines[0].contains("$0.00 for metrics"),
        "{lines:?}"
    );
}

/// `model-builder cost --instances 8 --mode full --band off` says $0.69 for the detector's reading
/// and $9.00 for metrics a month: its test `a_small_deployment_by_hand`.
#[tokio::test]
async fn a_day_costs_a_thirtieth_of_a_month_s_bill() {
    let variables =
        [("GROUP_BY", ""), ("BAND_MODE", "off"), ("DIGEST", "23:55"), ("DIGEST_QUIET", "on")];
    let fleet = Generated::new(INSTANCES, 3);
    let mut world = World::new(start_aws(fleet, MIDNIGHT), settings(&variables));
    for time in slots(MIDNIGHT, MIDNIGHT + DAY) {
        world.run(time).await.unwrap();
    }
    let text = digests(&world).remove(0);
    let expected = "about $0.32 this month: $0.02 for reading, $0.30 for metrics";
    assert!(text.contains(expected), "{text}");
}

#[tokio::test]
async fn what_s3_or_sns_refuse_for_a_while_comes_later_and_once() {
    for lasts in [SLOT, 3 * SLOT] {
        for fault in [
            Fault::new("PutObject", When::Always, Kind::Forbidden).only(GIVEN),
            Fault::new("GetObject", When::Always, Kind::Forbidden).only(GIVEN),
            Fault::new("ListObjectsV2", When::Always, Kind::Forbidden),
            Stage::Messages.fault(When::Always, Kind::Forbidden),
        ] {
            is_one(&watched(DUE + 3 * 3600, |_, _| true, Some(fault), lasts).await);
        }
    }
}

#[tokio::test]
async fn a_part_that_is_late_sends_its_own() {
    for late in 0..SHARDS {
        let pause = DUE - SLOT..DUE + 3600;
        let runs = |time: i64, shard: u32| shard != late || !pause.contains(&time);
        let world = watched(DUE + 3 * 3600, runs, None, 0).await;
        if late == 0 {
            // It comes within their patience.
            is_one(&world);
            continue;
        }
        let texts = digests(&world);
        assert_eq!(STUCK_ONES.map(|n| naming(&texts, n)), [1, 1], "{texts:#?}");
        let own = format!("It covers shard {late} of 4 alone.");
        let (alone, others): (Vec<String>, Vec<String>) =
            texts.into_iter().partition(|text| text.contains(&own));
        // A part without a page has no digest to send, late or not.
        let pages = STUCK_ONES.iter().filter(|&&n| naming(&alone, n) == 1).count();
        assert_eq!(alone.len(), pages.min(1), "{alone:#?}");
        assert_eq!(others.len(), (STUCK_ONES.len() - pages).min(1), "{others:#?}");
        assert!(others.iter().all(|text| text.contains("It covers 3 of 4 shards")), "{others:#?}");
    }
}

#[tokio::test]
async fn without_the_first_part_each_sends_its_own_and_what_it_says_later_is_its_own() {
    let pause = DUE - SLOT..DUE + 3 * 3600;
    let runs = |time: i64, shard: u32| shard != 0 || !pause.contains(&time);
    let texts = digests(&watched(DUE + 4 * 3600, runs, None, 0).await);
    assert_eq!(STUCK_ONES.map(|n| naming(&texts, n)), [1, 1], "{texts:#?}");
    let alone = texts.iter().filter(|text| text.contains("alone.")).count();
    assert!(alone >= 1 && alone + 1 >= texts.len(), "{texts:#?}");
}
