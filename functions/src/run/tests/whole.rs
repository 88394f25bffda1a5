//! Runs that fail as a whole, questions, shards and the sparse mode.

use super::*;

#[tokio::test]
async fn a_run_fails_as_a_whole_for_three_reasons_only() {
    // The model.
    let world = World::new();
    let mut process = world.with(settings(ModelSource::Object(CURRENT.parse().unwrap())));
    let error = process.run(&json!({}), at(NOW)).await.unwrap_err();
    assert!(matches!(error, RunError::Model(_)), "{error}");
    assert_eq!(Diagnostic::from(error).error_type, "ModelError");
    assert_eq!((world.reads(), world.published()), (vec![], vec![]));
    world.bucket.store("s3://my-models/models/one.safetensors", artifact().to_bytes().unwrap());
    world.bucket.store(CURRENT, pointer("models/one.safetensors", &artifact()));
    assert_eq!(process.run(&json!({}), at(NOW)).await.unwrap().model.source, CURRENT);

    // Nothing can be read: there is no list and no state, or no instance answers.
    let world = World::new();
    world.metrics.list_fails.set(true);
    let error = world.process().run(&json!({}), at(NOW)).await.unwrap_err();
    assert_eq!(Diagnostic::from(error).error_type, "ListError");
    world.metrics.list_fails.set(false);
    world.metrics.broken.borrow_mut().extend((0..5).map(instance));
    let error = world.process().run(&json!({}), at(NOW)).await.unwrap_err();
    assert!(matches!(error, RunError::NothingRead { instances: 5, .. }), "{error}");
    assert_eq!(world.published(), []);
    world.metrics.broken.borrow_mut().remove(&instance(1));
    assert_eq!(world.process().run(&json!({}), at(NOW)).await.unwrap().instances.scored, 1);

    // Nothing can be published.
    let world = World::new();
    world.metrics.takes.set(Some(0));
    let error = world.process().run(&json!({}), at(NOW)).await.unwrap_err();
    assert!(matches!(error, RunError::NothingPublished { .. }), "{error}");
}

#[tokio::test]
async fn without_a_list_those_that_are_remembered_are_scored() {
    let world = World::new();
    let mut process = world.process();
    process.run(&json!({}), at("2026-01-15T14:32:00Z")).await.unwrap();
    world.metrics.list_fails.set(true);
    assert_eq!(
        process.run(&json!({}), at("2026-01-15T14:37:00Z")).await.unwrap().instances.scored,
        5
    );
}

#[tokio::test]
async fn an_empty_fleet_is_not_a_silent_detector() {
    let world = World::new();
    world.metrics.cpu.borrow_mut().clear();
    let summary = world.process().run(&json!({}), at(NOW)).await.unwrap();
    assert_eq!((summary.instances.seen, summary.newest_datapoint), (0, None));
    let datums = world.published();
    let newest = seconds("2026-01-15T14:55:00Z");
    assert_eq!(of_fleet(&datums, Metric::InstancesScored), [(newest, 0.0)]);
    assert_eq!(of_fleet(&datums, Metric::InstancesSkipped), [(newest, 0.0)]);
}

#[tokio::test]
async fn what_a_run_has_no_time_for_comes_in_the_next() {
    let world = World::new();
    let mut process = world.process();
    process.set_time_left(Some(Duration::ZERO));
    let summary = process.run(&json!({}), at(NOW)).await.unwrap();
    assert_eq!(
        (summary.instances.scored, summary.instances.skipped),
        (0, [("out_of_time", 5)].into())
    );
    assert_eq!(world.reads(), [], "nothing is read that would not be scored");
    assert!(!world.published().is_empty(), "that nothing was scored is published");

    process.set_time_left(Some(Duration::from_secs(600)));
    assert_eq!(process.run(&json!({}), at(NOW)).await.unwrap().instances.scored, 5);
}

#[tokio::test]
async fn a_question_is_answered_and_changes_nothing() {
    let world = World::new();
    let mut process = world.process();
    process.run(&json!({}), at(NOW)).await.unwrap();
    let (state, all) = (world.bucket.content(STATE), world.scores());
    world.reads();

    let dry = process.run(&json!({ "dry_run": true }), at(NOW)).await.unwrap();
    assert_eq!((dry.dry_run, dry.datums_published, world.published()), (true, 0, vec![]));
    assert_eq!(
        (dry.instances.scored, dry.instances.anomalous.len()),
        (5, 1),
        "the last half hour once more"
    );
    assert_eq!(world.reads(), [(0, 5)]);

    let ids = json!([instance(1).as_str(), instance(FAULTY).as_str()]);
    let some = process.run(&json!({ "instances": ids }), at(NOW)).await.unwrap();
    assert_eq!(some.instances.scored, 2);
    let answered = world.scores();
    assert_eq!(answered.len(), 2 * 6 * 2);
    assert!(
        answered.iter().all(|(key, value)| all[key] == *value),
        "the same values at the same times"
    );
    world.reads();

    // For a time that is long over, and in a process without any state.
    let event = json!({ "time": "2026-01-15T04:02:00Z", "instances": ids });
    assert_eq!(process.run(&event, at(NOW)).await.unwrap().instances.scored, 2);
    let answered = world.scores();
    assert_eq!(world.reads(), [(COLD, 2)]);
    let apart = World { bucket: Rc::new(Bucket::default()), ..world.clone() };
    apart.process().run(&json!({}), at("2026-01-15T04:02:00Z")).await.unwrap();
    let then = apart.scores();
    assert!(answered.iter().all(|(key, value)| then[key] == *value));
    assert_eq!(world.bucket.content(STATE), state);
    assert_eq!(
        process.run(&json!({}), at(NOW)).await.unwrap().state.loaded,
        crate::state::store::Origin::Known
    );
}

#[tokio::test]
async fn shards_divide_the_fleet_and_another_division_loses_nothing() {
    let world = World::new();
    world
        .metrics
        .cpu
        .borrow_mut()
        .extend((10..22).map(|number| (instance(number), cpu(number, DAYS))));
    let times = [
        "2026-01-15T14:32:00Z",
        "2026-01-15T14:37:00Z",
        "2026-01-15T14:42:00Z",
        "2026-01-15T14:47:00Z",
    ];
    let expected = undisturbed(&world, times[0], times[3]).await;
    let mut process = world.process();
    process.run(&json!({}), at(times[0])).await.unwrap();
    world.reads();
    // Into four, one process for all of them, as Lambda may do it; a run is missed meanwhile.
    let mut seen = 0;
    for shard in 0..4 {
        let summary =
            process.run(&json!({ "shard": shard, "shards": 4 }), at(times[2])).await.unwrap();
        assert_eq!(
            serde_json::to_value(summary.state).unwrap(),
            json!({ "loaded": "resharded", "saved": true })
        );
        seen += summary.instances.seen;
    }
    assert_eq!(seen, 17);
    assert!(world.reads().iter().all(|(days, _)| *days == 0), "nothing is made anew");
    // And back into one, which has an old state of its own.
    let summary = world.process().run(&json!({}), at(times[3])).await.unwrap();
    assert_eq!(
        serde_json::to_value(summary.state).unwrap(),
        json!({ "loaded": "resharded", "saved": true })
    );
    assert_eq!((summary.instances.scored, world.reads()), (17, vec![(0, 17)]));
    assert!(world.scores() == expected, "other scores than those of undisturbed runs");
}

#[tokio::test]
async fn in_sparse_mode_the_quiet_ones_are_not_sent() {
    let world = World::new();
    let mut process =
        world.with(Settings { mode: Mode::Sparse { from: 0.8 }, ..settings(ModelSource::Builtin) });
    process.run(&json!({}), at(NOW)).await.unwrap();
    let datums = world.published();
    assert!(of_instances(&datums).keys().all(|(sent, metric, time)| *sent == instance(FAULTY)
        && (*time >= seconds(FAULT) || metric.is_of_band())));
    assert_eq!(of_fleet(&datums, Metric::InstancesScored).len(), 6, "the fleet's are always sent");
}
