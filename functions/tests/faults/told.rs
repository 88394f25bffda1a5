//! The alerts: their ways, their groups, and their deliveries without an answer.

use std::collections::BTreeMap;

use common::alerts::{Delivery, Way, deliveries};

use super::*;

/// The last run before the two machines of the group are found.
const BEFORE: i64 = MIDNIGHT + 300;

/// Plays with a fault from when the first machine of the group is found until the run after the
/// second, each run in a new process if `cold`.
async fn played(fault: Option<Fault>, cold: bool) -> World {
    let mut world = begun().0.world();
    for time in slots(BEGIN + SLOT, END + 1) {
        if let Some(time) = calibrator_before(time) {
            world.calibrate(time).await.unwrap();
        }
        if time == BEFORE + SLOT {
            world.aws.script(fault.clone());
        } else if time == BEFORE + 3 * SLOT {
            world.aws.clear_faults();
        }
        if cold {
            world.restart();
        }
        world.run(time).await.unwrap();
    }
    world
}

/// The deliveries that `choose` chooses.
fn chosen(world: &World, choose: impl Fn(&Delivery) -> bool) -> Vec<Delivery> {
    deliveries(&world.aws).into_iter().filter(choose).collect()
}

#[tokio::test]
async fn machines_of_a_group_that_fail_together_are_one_message_and_one_line_of_the_digest() {
    for cold in [false, true] {
        let world = played(None, cold).await;
        let of_group = |delivery: &Delivery| {
            [6, 7].iter().any(|&n| delivery.told.id.starts_with(&Generated::id(n)))
        };
        let mut counts: BTreeMap<(Way, String), usize> = BTreeMap::new();
        for delivery in chosen(&world, of_group) {
            *counts.entry((delivery.told.way, delivery.told.kind)).or_default() += 1;
        }
        let expected = [
            (Way::Event, "began", 2),
            (Way::Event, "ended", 2),
            (Way::Message, "began", 1),
            (Way::Message, "ended", 1),
            (Way::Chat, "began", 1),
            (Way::Chat, "ended", 1),
        ];
        let expected = expected.map(|(way, kind, count)| ((way, kind.to_string()), count));
        assert_eq!(counts, BTreeMap::from(expected), "cold {cold}");
        let over = |delivery: &Delivery| {
            of_group(delivery)
                && (delivery.told.way, &*delivery.told.kind) == (Way::Message, "ended")
        };
        let over = chosen(&world, over);
        assert!(over[0].text.contains("group-1"), "{over:?}");
        let digests = chosen(&world, |delivery| delivery.told.kind == "digest");
        let [Delivery { text, told, .. }] = &digests[..] else { panic!("{digests:?}") };
        assert_eq!(told.way, Way::Message);
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("group-1")).collect();
        let [line] = lines[..] else { panic!("{text}") };
        assert!(line.starts_with("- group-1, 2 instances: "), "{text}");
    }
}

#[tokio::test]
async fn an_alert_whose_answer_is_lost_comes_twice_with_the_same_id_and_text() {
    let (_, truth) = begun();
    for stage in [Stage::Events, Stage::Messages] {
        for kind in [Kind::ResetAfter, Kind::Truncate] {
            let world = played(Some(stage.fault(When::Nth(1), kind.clone())), false).await;
            let wrong = alerts::differences(&truth.told, &world, 1, false);
            assert!(wrong.is_empty(), "{stage:?} {kind:?}: {wrong:#?}");
            let calls = world.aws.calls();
            let lost = calls.iter().find(|call| !call.is_answered()).unwrap().number;
            let lost = chosen(&world, |delivery| delivery.call == lost);
            assert!(!lost.is_empty());
            for delivery in deliveries(&world.aws) {
                let is_lost = lost.iter().any(|lost| lost.told == delivery.told);
                let all = chosen(&world, |other| other.told == delivery.told);
                assert_eq!(all.len(), if is_lost { 2 } else { 1 }, "{stage:?} {kind:?}: {all:?}");
                assert!(all.iter().all(|other| other.text == delivery.text), "{all:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_others_of_a_batch_are_taken_when_one_fails() {
    let (_, truth) = begun();
    for (stage, way) in [(Stage::Events, Way::Event), (Stage::Messages, Way::Message)] {
        let world = played(Some(stage.fault(When::Nth(1), Kind::FailEntry)), false).await;
        let wrong = alerts::differences(&truth.told, &world, 1, false);
        assert!(wrong.is_empty(), "{stage:?}: {wrong:#?}");
        let all = chosen(&world, |delivery| delivery.told.way == way);
        let mut told: Vec<_> = all.into_iter().map(|delivery| delivery.told).collect();
        let count = told.len();
        told.sort();
        told.dedup();
        assert_eq!(told.len(), count, "{stage:?}: one comes twice");
    }
}

#[tokio::test]
async fn tags_that_are_throttled_for_a_while_still_make_one_message_of_a_group() {
    let (_, truth) = begun();
    // The SDK makes three tries of a call, and the call begins anew.
    let throttled = Kind::Throttle("ThrottledException");
    let world = played(Some(Stage::Tags.fault(When::First(4), throttled)), true).await;
    let wrong = alerts::differences(&truth.told, &world, 1, false);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every alert that came more than once.
fn repeated(world: &World) -> Vec<Delivery> {
    chosen(world, |one| chosen(world, |other| other.told == one.told).len() > 1)
}

#[tokio::test]
async fn a_state_that_was_written_without_an_answer_tells_nothing_twice() {
    let fault = Stage::SaveState.fault(When::Always, Kind::ResetAfter);
    let twice = repeated(&played(Some(fault), false).await);
    assert!(twice.is_empty(), "{twice:#?}");
}

#[tokio::test]
async fn two_runs_at_once_that_decide_the_same_tell_it_once() {
    let world = begun().0.world();
    let [mut one, mut other] = [world.process(), world.process()];
    for time in slots(BEGIN + SLOT, END + 1) {
        world.aws.set_now(time);
        let (event, now) = (event(time), Timestamp::from_second(time).unwrap());
        let (one, other) = tokio::join!(one.run(&event, now), other.run(&event, now));
        assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    }
    let twice = repeated(&world);
    assert!(twice.is_empty(), "{twice:#?}");
}
