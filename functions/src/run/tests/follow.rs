//! The results of a run, its datums and its answer, and that missed runs change nothing.

use super::*;

#[tokio::test]
async fn the_faulty_instance_is_found_and_told_of() {
    let world = World::new();
    let summary = world.process().run(&json!({}), at(NOW)).await.unwrap();

    let noon = seconds("2026-01-15T15:00:00Z");
    let found: Vec<&TargetId> =
        summary.instances.anomalous.iter().map(|anomaly| &anomaly.instance).collect();
    assert_eq!(found, [&instance(FAULTY)], "{summary:?}");
    let anomaly = &summary.instances.anomalous[0];
    assert_eq!((anomaly.time, anomaly.observed), (seconds(FAULT), 97.0));
    assert!(
        anomaly.score > 1.5 && !(anomaly.low..=anomaly.high).contains(&anomaly.observed),
        "{anomaly:?}"
    );
    assert_eq!((summary.instances.seen, summary.instances.scored), (5, 5));
    assert_eq!((summary.time, summary.newest_datapoint), (noon, Some(noon - PERIOD)));

    let datums = world.published();
    assert_eq!((summary.datums_published, summary.datums_failed), (datums.len(), 0));
    let slots = |values: [f64; 6]| -> Vec<(i64, f64)> {
        (0..6).map(|slot| noon - 1800 + slot * PERIOD).zip(values).collect()
    };
    assert_eq!(of_fleet(&datums, Metric::InstancesScored), slots([5.0; 6]));
    assert_eq!(of_fleet(&datums, Metric::AnomalousInstances)[..4], slots([0.0; 6])[..4]);
    assert_eq!(of_fleet(&datums, Metric::AnomalousInstances)[4], (seconds(FAULT), 1.0));
    assert_eq!(of_fleet(&datums, Metric::MaxAnomalyScore)[4], (seconds(FAULT), anomaly.score));
    assert_eq!(of_fleet(&datums, Metric::InstancesSkipped), [(noon - PERIOD, 0.0)]);
    assert_eq!(of_fleet(&datums, Metric::DataLagSeconds), [(noon - PERIOD, 0.0)]);
    assert_eq!(of_fleet(&datums, Metric::PublishFailures), [(noon - PERIOD, 0.0)]);
    assert_eq!(of_fleet(&datums, Metric::BaselineAgeHours), [(noon - PERIOD, 15.0)]);
    assert_eq!(of_fleet(&datums, Metric::ModelAgeDays).len(), 1);
    // Two of each instance, and the band of the anomalous one.
    assert_eq!(of_instances(&datums).len(), 5 * 6 * 2 + 6 * 3);
}

#[tokio::test]
async fn the_summary_is_the_json_that_was_promised() {
    let world = World::new();
    world.metrics.cpu.borrow_mut().insert(instance(9), vec![]);
    let mut detection = world.process();
    detection.prepare(std::time::Instant::now()).await;
    let summary = serde_json::to_value(detection.run(&json!({}), at(NOW)).await.unwrap()).unwrap();
    let expected = json!({
        "time": "2026-01-15T15:00:00Z",
        "dry_run": false,
        "shard": { "shard": 0, "shards": 1 },
        "model": { "version": artifact().version(), "source": "builtin" },
        "newest_datapoint": "2026-01-15T14:55:00Z",
        "data_lag_seconds": 0,
        "instances": {
            "seen": 6, "scored": 5, "unchanged": 0, "left_out": 0,
            "skipped": { "no_datapoints": 1 },
            "anomalous_count": 1,
            "anomalous": [{ "instance": instance(FAULTY).as_str(), "time": "2026-01-15T14:50:00Z",
                "score": summary["instances"]["anomalous"][0]["score"].as_f64().unwrap(),
                "observed": 97.0,
                "expected": summary["instances"]["anomalous"][0]["expected"].as_f64().unwrap(),
                "low": summary["instances"]["anomalous"][0]["low"].as_f64().unwrap(),
                "high": summary["instances"]["anomalous"][0]["high"].as_f64().unwrap(),
                "phase": "own", "channel": "spike_up" }],
        },
        "caught_up": { "datapoints": 15, "late": 0, "oldest": "2026-01-15T14:30:00Z" },
        "state": { "loaded": "missing", "saved": true },
        "superseded": false,
        "episodes": { "began": 1, "ended": 0, "open": 1, "pages": 1, "notices": 0,
            "page_level": 1.0, "restless_groups": 0 },
        "alerts": { "events": 0, "messages": 0, "chats": 0, "failed": 0 },
        "datums_published": 5 * 6 * 2 + 6 * 3 + 6 * 4 + 11,
        "datums_failed": 0,
        "duration_ms": summary["duration_ms"].as_u64().unwrap(),
        "scoring_ms": summary["scoring_ms"].as_u64().unwrap(),
        "cold_start": true,
        "init_ms": summary["init_ms"].as_u64().unwrap(),
    });
    assert_eq!(summary, expected);
    // Five baselines of sixteen days, and their scores.
    assert!(
        summary["scoring_ms"].as_u64() > Some(0)
            && summary["scoring_ms"].as_u64() <= summary["duration_ms"].as_u64()
    );

    let second = serde_json::to_value(detection.run(&json!({}), at(NOW)).await.unwrap()).unwrap();
    assert_eq!((second["cold_start"].as_bool(), second.get("init_ms")), (Some(false), None));
    assert_eq!(
        (second["instances"]["scored"].as_u64(), second["instances"]["unchanged"].as_u64()),
        (Some(0), Some(5))
    );
    assert_eq!(second["state"]["loaded"], "known");
}

#[tokio::test]
async fn a_run_goes_on_where_the_last_one_was() {
    let world = World::new();
    let mut process = world.process();
    process.run(&json!({}), at("2026-01-15T14:32:00Z")).await.unwrap();
    assert_eq!(world.reads(), [(COLD, 5)]);
    world.published();
    let summary = process.run(&json!({}), at("2026-01-15T14:37:00Z")).await.unwrap();
    assert_eq!(
        world.metrics.reads.borrow()[0].times,
        seconds("2026-01-15T11:30:00Z")..seconds("2026-01-15T14:35:00Z")
    );
    assert_eq!((summary.instances.scored, summary.caught_up.datapoints), (5, 0));
    let times: BTreeSet<i64> = world.scores().into_keys().map(|(_, _, time)| time).collect();
    assert_eq!(times, [seconds("2026-01-15T14:30:00Z")].into());

    // The same time again has nothing new.
    let summary = process.run(&json!({}), at("2026-01-15T14:37:00Z")).await.unwrap();
    assert_eq!((summary.instances.scored, summary.instances.unchanged), (0, 5));
    assert_eq!(world.scores(), Scores::new());
}

#[tokio::test]
async fn missed_runs_and_new_processes_change_nothing() {
    let world = World::new();
    let (from, to) = ("2026-01-14T22:02:00Z", "2026-01-15T03:02:00Z");
    let expected = undisturbed(&world, from, to).await;
    let mut process = world.process();
    for (index, time) in every_five_minutes(from, to).enumerate() {
        match index % 7 {
            3 | 4 if index > 10 => continue,
            5 => process = world.process(),
            _ => {}
        }
        process.run(&json!({}), time).await.unwrap();
    }
    process.run(&json!({}), at(to)).await.unwrap();
    assert!(world.scores() == expected, "other scores than those of undisturbed runs");
}

#[tokio::test]
async fn an_outage_is_made_up_for_and_told() {
    let world = World::new();
    let (from, to) = ("2026-01-14T20:02:00Z", "2026-01-15T12:02:00Z");
    let expected = undisturbed(&world, from, to).await;
    world.process().run(&json!({}), at(from)).await.unwrap();
    // An instance stops meanwhile, and is not listed any more when the next run comes.
    world.metrics.unlisted.borrow_mut().insert(instance(4));
    let summary = world.process().run(&json!({}), at(to)).await.unwrap();
    assert_eq!(summary.instances.scored, 5);
    assert_eq!(summary.caught_up.datapoints, 5 * (16 * 12 - 3));
    assert_eq!(summary.caught_up.oldest, Some(seconds("2026-01-14T20:00:00Z")));
    assert!(world.scores() == expected, "other scores than those of undisturbed runs");
}

#[tokio::test]
async fn what_stopped_is_looked_for_no_longer_than_it_may_come_late() {
    let world = World::new();
    let mut process = world.process();
    process.run(&json!({}), at("2026-01-15T10:02:00Z")).await.unwrap();
    world
        .metrics
        .cpu
        .borrow_mut()
        .get_mut(&instance(4))
        .unwrap()
        .retain(|point| point.time < seconds("2026-01-15T10:00:00Z"));
    world.metrics.unlisted.borrow_mut().insert(instance(4));
    let mut seen = Vec::new();
    for time in [
        "2026-01-15T10:07:00Z",
        "2026-01-15T12:57:00Z",
        "2026-01-15T13:02:00Z",
        "2026-01-15T13:07:00Z",
    ] {
        seen.push(process.run(&json!({}), at(time)).await.unwrap().instances.seen);
    }
    assert_eq!(seen, [5, 5, 5, 4]);
    // After a restart, it goes on from the stored state.
    world.metrics.unlisted.borrow_mut().clear();
    world.metrics.cpu.borrow_mut().insert(instance(4), cpu(4, DAYS));
    world.reads();
    let summary = process.run(&json!({}), at("2026-01-15T15:02:00Z")).await.unwrap();
    assert_eq!(
        (summary.instances.scored, world.reads().len()),
        (5, 1),
        "nothing is read from far back"
    );
}

#[tokio::test]
async fn what_was_decided_is_published_by_the_next_run_if_not_by_this_one() {
    let world = World::new();
    let (from, to) = ("2026-01-15T14:32:00Z", "2026-01-15T14:47:00Z");
    let expected = undisturbed(&world, from, to).await;
    for new_process in [false, true] {
        let world = World { bucket: Rc::new(Bucket::default()), ..world.clone() };
        let mut process = world.process();
        for (index, time) in every_five_minutes(from, to).enumerate() {
            world.metrics.takes.set((index == 2).then_some(0));
            let outcome = process.run(&json!({}), time).await;
            assert_eq!(matches!(outcome, Err(RunError::NothingPublished { .. })), index == 2);
            if new_process {
                process = world.process();
            }
        }
        assert!(world.scores() == expected, "other scores than those of undisturbed runs");
    }
}

#[tokio::test]
async fn a_process_that_ends_between_publishing_and_noting_it_is_repeated_with_the_same_values() {
    let world = World::new();
    world.process().run(&json!({}), at("2026-01-15T14:32:00Z")).await.unwrap();
    let first = world.scores();
    world.process().run(&json!({}), at("2026-01-15T14:32:00Z")).await.unwrap();
    assert_eq!(world.scores(), Scores::new(), "a new process alone repeats nothing");
    world.bucket.remove(&format!("{STATE}.published"));
    world.process().run(&json!({}), at("2026-01-15T14:32:00Z")).await.unwrap();
    assert!(world.scores() == first, "the same values at the same times");
}

#[tokio::test]
async fn what_was_published_in_part_is_published_whole_and_told() {
    let world = World::new();
    let mut process = world.process();
    world.metrics.takes.set(Some(7));
    let summary = process.run(&json!({}), at(NOW)).await.unwrap();
    // Of the ten metrics of the run itself, one is not taken.
    let failed = 5 * 6 * 2 + 6 * 3 + 6 * 4 - 7 + 3;
    assert_eq!((summary.datums_published, summary.datums_failed), (7 + 7, failed));
    let failures = of_fleet(&world.metrics.published.borrow(), Metric::PublishFailures);
    assert_eq!(failures, [(seconds("2026-01-15T14:55:00Z"), 95.0)]);
    world.metrics.takes.set(None);
    let summary = process.run(&json!({}), at(NOW)).await.unwrap();
    assert_eq!(summary.datums_failed, 0);
    assert_eq!(world.scores().len(), 5 * 6 * 2 + 6 * 3);
}
