//! State that is lost, damaged or late, and instances that cannot be read.

use super::*;
use crate::state::State;

#[tokio::test]
async fn of_two_runs_at_once_one_decides_and_publishes() {
    let world = World::new();
    let (mut one, mut two) = (world.process(), world.process());
    one.run(&json!({}), at("2026-01-15T14:32:00Z")).await.unwrap();
    two.run(&json!({}), at("2026-01-15T14:32:00Z")).await.unwrap();
    world.published();
    // Both start with the same state; the second comes when the first has decided.
    let (mut state, _) = two.store.state(&Part::WHOLE).await;
    one.run(&json!({}), at("2026-01-15T14:37:00Z")).await.unwrap();
    let first = world.published();
    state.instances.clear();
    assert_eq!(two.store.save(&state).await, Saved::Superseded);
    // It begins with the decisions that the first has made and published.
    assert_eq!(of_instances(&first).len(), 5 * 2);
    let summary = two.run(&json!({}), at("2026-01-15T14:37:00Z")).await.unwrap();
    assert_eq!(
        (summary.superseded, summary.state.loaded, summary.instances.scored),
        (false, crate::state::store::Origin::Read, 0)
    );
    assert_eq!(world.scores(), Scores::new());
}

#[tokio::test]
async fn a_state_that_was_written_without_an_answer_is_known_for_ones_own() {
    let world = World::new();
    let mut process = world.process();
    process.run(&json!({}), at("2026-01-15T14:32:00Z")).await.unwrap();
    world.bucket.mute.set(true);
    let summary = process.run(&json!({}), at("2026-01-15T14:37:00Z")).await.unwrap();
    assert_eq!(
        (summary.state.saved, summary.superseded, summary.instances.scored),
        (false, false, 5)
    );
    world.bucket.mute.set(false);
    let summary = process.run(&json!({}), at("2026-01-15T14:42:00Z")).await.unwrap();
    assert_eq!(
        (summary.state.saved, summary.superseded, summary.instances.scored),
        (true, false, 5)
    );
    assert_eq!(
        world.scores(),
        undisturbed(&world, "2026-01-15T14:32:00Z", "2026-01-15T14:42:00Z").await
    );
}

#[tokio::test]
async fn without_a_store_the_process_remembers() {
    let world = World::new();
    let mut process = world.with(Settings { state: None, ..settings(ModelSource::Builtin) });
    process.run(&json!({}), at("2026-01-15T14:32:00Z")).await.unwrap();
    let summary = process.run(&json!({}), at("2026-01-15T14:37:00Z")).await.unwrap();
    assert_eq!(
        (summary.state.loaded, summary.state.saved),
        (crate::state::store::Origin::InProcess, false)
    );
    assert_eq!(world.reads(), [(COLD, 5), (0, 5)]);
    assert_eq!(world.bucket.keys(), [] as [String; 0]);
}

#[tokio::test]
async fn a_state_that_is_gone_or_damaged_is_made_anew_with_the_same_scores() {
    let world = World::new();
    world.process().run(&json!({}), at("2026-01-15T14:32:00Z")).await.unwrap();
    let before = world.scores();
    let whole = world.bucket.content(STATE).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let html = b"<html>a proxy's page</html>".to_vec();
    for (content, loaded) in [
        (None, "missing"),
        (Some(flipped), "damaged"),
        (Some(html), "damaged"),
        (Some(vec![]), "damaged"),
    ] {
        match content {
            Some(content) => world.bucket.store(STATE, content),
            None => world.bucket.remove(STATE),
        }
        world.reads();
        let summary = world.process().run(&json!({}), at("2026-01-15T14:32:00Z")).await.unwrap();
        assert_eq!(
            serde_json::to_value(summary.state).unwrap(),
            json!({ "loaded": loaded, "saved": true })
        );
        assert_eq!(world.reads(), [(COLD, 5)]);
        assert_eq!(world.scores(), before);
        let [made, whole] = [&world.bucket.content(STATE).unwrap(), &whole]
            .map(|bytes| State::from_bytes(bytes).unwrap());
        assert_eq!(made, whole, "the same state is made again");
    }
}

#[tokio::test]
async fn where_s3_is_down_a_warm_process_goes_on() {
    let world = World::new();
    let mut process = world.process();
    process.run(&json!({}), at("2026-01-15T14:32:00Z")).await.unwrap();
    world.bucket.down.set(true);
    let summary = process.run(&json!({}), at("2026-01-15T14:37:00Z")).await.unwrap();
    assert_eq!(
        serde_json::to_value(summary.state).unwrap(),
        json!({ "loaded": "unreachable", "saved": false })
    );
    assert_eq!(summary.instances.scored, 5);
    let cold = world.process().run(&json!({}), at("2026-01-15T14:37:00Z")).await.unwrap();
    assert_eq!((cold.instances.scored, cold.state.saved), (5, false), "a cold one makes all anew");
    world.bucket.down.set(false);
    let summary = process.run(&json!({}), at("2026-01-15T14:42:00Z")).await.unwrap();
    assert_eq!(
        serde_json::to_value(summary.state).unwrap(),
        json!({ "loaded": "known", "saved": true })
    );
    let published = world.scores();
    assert_eq!(
        published,
        undisturbed(&world, "2026-01-15T14:32:00Z", "2026-01-15T14:42:00Z").await
    );
}

#[tokio::test]
async fn one_instance_that_cannot_be_read_does_not_keep_the_others_and_comes_later() {
    let world = World::new();
    let (from, to) = ("2026-01-15T14:32:00Z", "2026-01-15T14:42:00Z");
    let expected = undisturbed(&world, from, to).await;
    let mut process = world.process();
    process.run(&json!({}), at(from)).await.unwrap();
    world.metrics.broken.borrow_mut().insert(instance(0));
    world.metrics.partial.borrow_mut().insert(instance(1));
    let summary = process.run(&json!({}), at("2026-01-15T14:37:00Z")).await.unwrap();
    assert_eq!(
        (summary.instances.scored, summary.instances.skipped),
        (3, [("read_failed", 2)].into())
    );
    world.metrics.broken.borrow_mut().clear();
    world.metrics.partial.borrow_mut().clear();
    let summary = process.run(&json!({}), at(to)).await.unwrap();
    assert_eq!(summary.instances.scored, 5);
    assert!(world.scores() == expected, "other scores than those of undisturbed runs");
}

#[tokio::test]
async fn what_is_always_read_in_part_is_scored_at_last() {
    let world = World::new();
    let mut process = world.process();
    process.run(&json!({}), at("2026-01-15T10:02:00Z")).await.unwrap();
    world.metrics.partial.borrow_mut().insert(instance(1));
    let scored = |summary: Summary| (summary.instances.scored, summary.instances.skipped.len());
    assert_eq!(scored(process.run(&json!({}), at("2026-01-15T13:02:00Z")).await.unwrap()), (4, 1));
    assert_eq!(
        scored(process.run(&json!({}), at("2026-01-15T13:07:00Z")).await.unwrap()),
        (5, 0),
        "after three hours"
    );
}

#[tokio::test]
async fn of_history_with_holes_no_baseline_is_made() {
    let world = World::new();
    let (from, to) = ("2026-01-14T23:52:00Z", "2026-01-15T03:42:00Z");
    let expected = undisturbed(&world, from, to).await;
    let mut process = world.process();
    process.run(&json!({}), at(from)).await.unwrap();
    world.metrics.partial.borrow_mut().insert(instance(1));
    let summary = process.run(&json!({}), at("2026-01-15T03:32:00Z")).await.unwrap();
    assert_eq!(
        summary.caught_up.datapoints,
        4 * 41 + 1,
        "of the one no more than lies before midnight"
    );
    world.metrics.partial.borrow_mut().clear();
    world.reads();
    let summary = process.run(&json!({}), at(to)).await.unwrap();
    assert_eq!(
        (summary.instances.scored, world.reads()),
        (5, vec![(14, 5)]),
        "its history is read again"
    );
    let midnight = seconds("2026-01-15T00:00:00Z");
    let since = |scores: Scores| {
        scores.into_iter().filter(|((_, _, time), _)| *time >= midnight).collect::<Scores>()
    };
    assert!(
        since(world.scores()) == since(expected),
        "other scores than those of undisturbed runs"
    );
}

#[tokio::test]
async fn a_datapoint_that_comes_late_is_scored_once_and_nothing_else_again() {
    let world = World::new();
    let late = seconds("2026-01-15T14:40:00Z");
    let expected = undisturbed(&world, "2026-01-15T14:32:00Z", "2026-01-15T15:32:00Z").await;
    let taken = |world: &World| {
        world
            .metrics
            .cpu
            .borrow_mut()
            .get_mut(&instance(1))
            .unwrap()
            .retain(|point| point.time != late)
    };
    taken(&world);
    let mut process = world.process();
    for time in every_five_minutes("2026-01-15T14:32:00Z", "2026-01-15T15:02:00Z") {
        process.run(&json!({}), time).await.unwrap();
    }
    let before = world.published();
    world.metrics.cpu.borrow_mut().insert(instance(1), cpu(1, DAYS));
    let summary = process.run(&json!({}), at("2026-01-15T15:07:00Z")).await.unwrap();
    assert_eq!((summary.caught_up.late, summary.caught_up.oldest), (1, Some(late)));
    for time in every_five_minutes("2026-01-15T15:12:00Z", "2026-01-15T15:32:00Z") {
        process.run(&json!({}), time).await.unwrap();
    }
    let after = world.published();
    let [first, rest] = [of_instances(&before), of_instances(&after)];
    assert!(first.keys().all(|key| !rest.contains_key(key)), "nothing twice");
    assert_eq!(
        rest[&(instance(1), Metric::AnomalyScore, late)],
        expected[&(instance(1), Metric::AnomalyScore, late)]
    );
    assert_eq!(first.len() + rest.len(), expected.len(), "nothing lost");
    for (key @ (_, _, time), value) in first.iter().chain(&rest) {
        // Datapoints that came while it was missing were scored without it.
        let without_it =
            (late + 1..seconds("2026-01-15T15:00:00Z")).contains(time) && key.0 == instance(1);
        assert!(without_it || *value == expected[key], "{key:?}");
    }
    let scored = |datums: &[Datum]| {
        of_fleet(datums, Metric::InstancesScored).into_iter().find(|(time, _)| *time == late)
    };
    assert_eq!(
        (scored(&before), scored(&after)),
        (Some((late, 4.0)), Some((late, 5.0))),
        "the fleet's number only grows"
    );
}
