use std::rc::Rc;

use deepguard::Datapoint;
use deepguard::series::{DAY_SECONDS, PERIOD};
use serde_json::json;

use super::*;
use crate::metric::{Datum, Metric};
use crate::model::ModelSource;
use crate::testing::memory::{Bucket, Metrics};
use crate::testing::{artifact, artifact_with_threshold, instance, pointer};

const CURRENT: &str = "s3://my-models/models/current";
/// The time of most runs: an afternoon, two minutes into a slot.
const NOW: &str = "2026-01-15T15:02:00Z";
/// The instance that misbehaves, and when it begins to.
const FAULTY: usize = 2;
const FAULT: &str = "2026-01-15T14:50:00Z";
/// Days, and some hours, that are read of an instance of which nothing is known.
const COLD: i64 = 30;

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

fn settings(model: ModelSource) -> Settings {
    Settings { model, namespace: "DeepGuard".into(), lookback_minutes: 30, log_level: tracing::Level::INFO }
}

/// CPU that is the same on every day, so that nothing about it is unusual but a fault.
fn cpu(number: usize, days: i64) -> Vec<Datapoint> {
    let (end, fault) = (at(NOW).as_second() + DAY_SECONDS, at(FAULT).as_second());
    (end - days * DAY_SECONDS..end)
        .step_by(PERIOD as usize)
        .map(|time| {
            let slot = time.rem_euclid(DAY_SECONDS) / PERIOD + 17 * number as i64;
            let cycle = 8.0 * (slot as f64 * std::f64::consts::TAU / 288.0).sin();
            let noise = (slot * 7919 % 101) as f64 / 40.0;
            let value = if number == FAULTY && time >= fault { 97.0 } else { 20.0 + cycle + noise };
            Datapoint { time: time - time.rem_euclid(PERIOD), value }
        })
        .collect()
}

/// The days of CPU that an instance has, up to a day after the time of most runs: enough to be judged by its own.
const DAYS: i64 = 5;

/// Five instances.
fn fleet() -> Rc<Metrics> {
    let metrics = Metrics::default();
    metrics.cpu.borrow_mut().extend((0..5).map(|number| (instance(number), cpu(number, DAYS))));
    Rc::new(metrics)
}

/// One instance, for longer than anything is remembered of it: busier for an evening two weeks ago, on a morning since
/// then, and again now; one afternoon it was restless.
fn old() -> Rc<Metrics> {
    let spells = [
        at("2025-12-30T20:00:00Z").as_second()..at("2025-12-31T01:00:00Z").as_second(),
        at("2026-01-03T08:00:00Z").as_second()..at("2026-01-03T14:00:00Z").as_second(),
        at("2026-01-14T20:00:00Z").as_second()..at(NOW).as_second(),
    ];
    let mut datapoints = cpu(1, 36);
    let busy = datapoints.iter_mut().filter(|point| spells.iter().any(|spell| spell.contains(&point.time)));
    busy.for_each(|point| point.value += 6.0);
    let afternoon = at("2026-01-05T12:00:00Z").as_second()..at("2026-01-05T16:00:00Z").as_second();
    let restless = datapoints.iter_mut().filter(|point| afternoon.contains(&point.time));
    restless.for_each(|point| point.value += if point.time % (2 * PERIOD) == 0 { 12.0 } else { -12.0 });
    let metrics = Metrics::default();
    metrics.cpu.borrow_mut().insert(instance(1), datapoints);
    Rc::new(metrics)
}

/// What a process that has just started publishes for this time.
async fn cold(metrics: &Rc<Metrics>, time: &str) -> Vec<Datum> {
    metrics.published.take();
    detection(metrics).run(&json!({}), at(time)).await.unwrap();
    metrics.published.take()
}

/// The scores of the slots before `time` and of it.
fn scores_up_to(datums: &[Datum], time: &str) -> Vec<(i64, f64)> {
    let scores = of_fleet(datums, Metric::AnomalyScore);
    scores.into_iter().filter(|(slot, _)| *slot <= at(time).as_second()).collect()
}

fn detection(metrics: &Rc<Metrics>) -> Detection<Rc<Metrics>, Rc<Bucket>> {
    Detection::new(settings(ModelSource::Builtin), Rc::clone(metrics), Rc::new(Bucket::default()))
}

/// How many days back each read goes, and how many instances are in it.
fn reads(metrics: &Metrics) -> Vec<(i64, usize)> {
    let reads = metrics.reads.take();
    let days = |batch: &plan::Batch| (batch.times.end - batch.times.start) / DAY_SECONDS;
    reads.iter().map(|batch| (days(batch), batch.instances.len())).collect()
}

fn of_fleet(datums: &[Datum], metric: Metric) -> Vec<(i64, f64)> {
    datums.iter().filter(|datum| datum.metric == metric).map(|datum| (datum.time, datum.value)).collect()
}

#[tokio::test]
async fn the_faulty_instance_is_found_and_told_of() {
    let metrics = fleet();
    let summary = detection(&metrics).run(&json!({}), at(NOW)).await.unwrap();

    let noon = at("2026-01-15T15:00:00Z").as_second();
    let found: Vec<&InstanceId> = summary.instances.anomalous.iter().map(|anomaly| &anomaly.instance).collect();
    assert_eq!(found, [&instance(FAULTY)], "{summary:?}");
    let anomaly = &summary.instances.anomalous[0];
    assert_eq!((anomaly.time, anomaly.observed), (at(FAULT).as_second(), 97.0));
    assert!(anomaly.score > 1.5 && (anomaly.observed - anomaly.expected).abs() > anomaly.tolerance, "{anomaly:?}");
    assert_eq!((summary.instances.seen, summary.instances.scored), (5, 5));
    assert_eq!((summary.time, summary.newest_datapoint), (noon, Some(noon - PERIOD)));

    let datums = metrics.published.take();
    assert_eq!((summary.datums_published, summary.datums_failed), (datums.len(), 0));
    let slots =
        |values: [f64; 6]| -> Vec<(i64, f64)> { (0..6).map(|slot| noon - 1800 + slot * PERIOD).zip(values).collect() };
    assert_eq!(of_fleet(&datums, Metric::InstancesScored), slots([5.0; 6]));
    assert_eq!(of_fleet(&datums, Metric::AnomalousInstances)[..4], slots([0.0; 6])[..4]);
    assert_eq!(of_fleet(&datums, Metric::AnomalousInstances)[4], (at(FAULT).as_second(), 1.0));
    assert_eq!(of_fleet(&datums, Metric::MaxAnomalyScore)[4], (at(FAULT).as_second(), anomaly.score));
    assert_eq!(of_fleet(&datums, Metric::InstancesSkipped), [(noon - PERIOD, 0.0)]);
    assert_eq!(of_fleet(&datums, Metric::AnomalyScore).len(), 5 * 6);
    assert_eq!(of_fleet(&datums, Metric::ReconstructionError).len(), 5 * 6);
}

#[tokio::test]
async fn the_summary_is_the_json_that_was_promised() {
    let metrics = fleet();
    metrics.cpu.borrow_mut().insert(instance(9), vec![]);
    let mut detection = detection(&metrics);
    detection.prepare(Instant::now()).await;
    let summary = serde_json::to_value(detection.run(&json!({}), at(NOW)).await.unwrap()).unwrap();
    let expected = json!({
        "time": "2026-01-15T15:00:00Z",
        "dry_run": false,
        "model": { "version": artifact().version(), "source": "builtin" },
        "newest_datapoint": "2026-01-15T14:55:00Z",
        "instances": {
            "seen": 6, "scored": 5, "skipped": { "no_datapoints": 1 },
            "anomalous": [{ "instance": instance(FAULTY).as_str(), "time": "2026-01-15T14:50:00Z",
                "score": summary["instances"]["anomalous"][0]["score"].as_f64().unwrap(),
                "observed": 97.0,
                "expected": summary["instances"]["anomalous"][0]["expected"].as_f64().unwrap(),
                "tolerance": summary["instances"]["anomalous"][0]["tolerance"].as_f64().unwrap(),
                "phase": "own", "channel": "datapoint" }],
        },
        "datums_published": 5 * 6 * 2 + 6 * 3 + 1,
        "datums_failed": 0,
        "duration_ms": summary["duration_ms"].as_u64().unwrap(),
        "cold_start": true,
        "init_ms": summary["init_ms"].as_u64().unwrap(),
    });
    assert_eq!(summary, expected);

    let second = serde_json::to_value(detection.run(&json!({}), at(NOW)).await.unwrap()).unwrap();
    assert_eq!((second["cold_start"].as_bool(), second.get("init_ms")), (Some(false), None));
}

#[tokio::test]
async fn a_dry_run_tells_the_same_and_publishes_nothing() {
    let metrics = fleet();
    let mut detection = detection(&metrics);
    let dry = detection.run(&json!({ "dry_run": true }), at(NOW)).await.unwrap();
    assert_eq!(metrics.published.take(), []);
    assert_eq!((dry.dry_run, dry.datums_published), (true, 0));
    let wet = detection.run(&json!({}), at(NOW)).await.unwrap();
    assert_eq!((dry.instances, dry.newest_datapoint), (wet.instances, wet.newest_datapoint));
}

#[tokio::test]
async fn a_run_that_is_repeated_publishes_the_same() {
    let metrics = fleet();
    let event = json!({ "time": NOW });
    let mut warm = detection(&metrics);
    let mut published = Vec::new();
    for _ in 0..2 {
        warm.run(&event, at(NOW)).await.unwrap();
        published.push(metrics.published.take());
    }
    // A process that starts later, and one that has seen another time first.
    detection(&metrics).run(&event, at("2026-01-15T17:00:00Z")).await.unwrap();
    published.push(metrics.published.take());
    let mut other = detection(&metrics);
    other.run(&json!({}), at("2026-01-15T14:00:00Z")).await.unwrap();
    metrics.published.take();
    other.run(&event, at(NOW)).await.unwrap();
    published.push(metrics.published.take());
    assert!(!published[0].is_empty());
    published[1..].iter().for_each(|again| assert_eq!(*again, published[0]));
}

#[tokio::test]
async fn history_is_read_once_a_day() {
    let metrics = fleet();
    let mut detection = detection(&metrics);
    detection.run(&json!({}), at("2026-01-14T23:00:00Z")).await.unwrap();
    assert_eq!(reads(&metrics), [(COLD, 5)]);
    detection.run(&json!({}), at("2026-01-14T23:55:00Z")).await.unwrap();
    assert_eq!(reads(&metrics), [(0, 5)]);
    for time in ["2026-01-15T00:10:00Z", "2026-01-15T00:30:00Z"] {
        detection.run(&json!({}), at(time)).await.unwrap();
        assert_eq!(reads(&metrics), [(14, 5)], "a new day has begun, and what is kept still is of yesterday");
    }
    detection.run(&json!({}), at("2026-01-15T00:35:00Z")).await.unwrap();
    assert_eq!(reads(&metrics), [(14, 5)]);
    detection.run(&json!({}), at("2026-01-15T00:40:00Z")).await.unwrap();
    assert_eq!(reads(&metrics), [(0, 5)]);

    metrics.cpu.borrow_mut().insert(instance(7), cpu(7, DAYS));
    metrics.cpu.borrow_mut().remove(&instance(0));
    detection.run(&json!({}), at("2026-01-15T01:05:00Z")).await.unwrap();
    assert_eq!(reads(&metrics), [(0, 4), (COLD, 1)], "only the new instance is read from further back");
    assert!(!detection.known.watches.contains_key(&instance(0)), "what is gone is forgotten");
}

#[tokio::test]
async fn an_instance_without_a_baseline_is_read_from_no_further_back_than_one_could_begin() {
    let metrics = fleet();
    let young = cpu(7, DAYS).into_iter().filter(|point| point.time >= at("2026-01-15T09:00:00Z").as_second());
    metrics.cpu.borrow_mut().insert(instance(7), young.collect());
    let mut detection = detection(&metrics);
    for expected in [vec![(COLD, 6)], vec![(0, 5), (14, 1)]] {
        let summary = detection.run(&json!({}), at(NOW)).await.unwrap();
        assert_eq!(reads(&metrics), expected);
        assert_eq!(summary.instances.skipped, [("no_baseline", 1)].into());
    }
}

#[tokio::test]
async fn history_with_holes_leaves_nothing_wrong_behind() {
    let metrics = fleet();
    let whole = cold(&metrics, NOW).await;
    let mut detection = detection(&metrics);
    reads(&metrics);
    metrics.partial.borrow_mut().insert(instance(1));
    let summary = detection.run(&json!({}), at(NOW)).await.unwrap();
    assert_eq!((summary.instances.scored, reads(&metrics)), (5, vec![(COLD, 5)]), "what is there is scored");
    assert_ne!(metrics.published.take(), whole);

    metrics.partial.borrow_mut().clear();
    detection.run(&json!({}), at(NOW)).await.unwrap();
    assert_eq!(reads(&metrics), [(0, 4), (COLD, 1)], "its history is read again");
    assert_eq!(metrics.published.take(), whole, "and it has the scores that it always should have had");
}

#[tokio::test]
async fn a_read_that_fails_or_has_holes_later_leaves_nothing_wrong_behind() {
    let metrics = fleet();
    let mut detection = detection(&metrics);
    detection.run(&json!({}), at(NOW)).await.unwrap();
    metrics.broken.borrow_mut().insert(instance(0));
    metrics.partial.borrow_mut().insert(instance(1));
    let summary = detection.run(&json!({}), at("2026-01-15T15:30:00Z")).await.unwrap();
    assert_eq!((summary.instances.scored, summary.instances.skipped), (4, [("read_failed", 1)].into()));
    reads(&metrics);

    metrics.broken.borrow_mut().clear();
    metrics.partial.borrow_mut().clear();
    metrics.published.take();
    detection.run(&json!({}), at("2026-01-15T15:40:00Z")).await.unwrap();
    let days_and_instances = reads(&metrics);
    assert_eq!(days_and_instances, [(0, 3), (0, 1), (COLD, 1)], "what was not read is read from where it was left");
    let published = metrics.published.take();
    assert_eq!(published, cold(&metrics, "2026-01-15T15:40:00Z").await);
}

#[tokio::test]
async fn a_run_goes_on_where_the_last_one_was_as_if_it_had_read_everything() {
    let metrics = old();
    let mut warm = detection(&metrics);
    warm.run(&json!({}), at("2026-01-14T23:40:00Z")).await.unwrap();
    let mut before = metrics.published.take();
    let mut highest: f64 = 0.0;
    for time in ["2026-01-15T00:10:00Z", "2026-01-15T00:35:00Z", "2026-01-15T03:30:00Z"] {
        warm.run(&json!({}), at(time)).await.unwrap();
        let published = metrics.published.take();
        let again = scores_up_to(&published, "2026-01-15T12:00:00Z");
        for (slot, score) in of_fleet(&before, Metric::AnomalyScore) {
            let repeated = again.iter().find(|(other, _)| *other == slot);
            assert!(repeated.is_none_or(|(_, again)| *again == score), "another score at {slot}");
            highest = highest.max(score);
        }
        assert_eq!(published, cold(&metrics, time).await, "at {time}");
        before = published;
    }
    assert!(highest > 0.5, "something is the matter with it: {highest}");
}

#[tokio::test]
async fn a_datapoint_that_comes_late_is_scored_as_if_it_had_been_on_time() {
    let metrics = fleet();
    let (first, second) = ("2026-01-15T14:55:00Z", "2026-01-15T15:05:00Z");
    let [on_time_first, on_time] = [cold(&metrics, first).await, cold(&metrics, second).await];

    // Of everyone the two newest are missing, and of the faulty one what came before its fault.
    let all = metrics.cpu.borrow().clone();
    let newest = at("2026-01-15T14:45:00Z").as_second();
    let missing = |faulty: bool, time: i64| match faulty {
        true => (newest - 2 * PERIOD..newest + PERIOD).contains(&time),
        false => time >= newest,
    };
    for (instance, datapoints) in metrics.cpu.borrow_mut().iter_mut() {
        datapoints.retain(|point| !missing(*instance == crate::testing::instance(FAULTY), point.time));
    }
    let mut detection = detection(&metrics);
    detection.run(&json!({}), at(first)).await.unwrap();
    let early = metrics.published.take();
    assert_ne!(early, on_time_first);
    let before = |datums| scores_up_to(datums, "2026-01-15T14:30:00Z");
    assert_eq!(before(&early), before(&on_time_first), "what lies before a gap has the scores that it has without");

    *metrics.cpu.borrow_mut() = all;
    detection.run(&json!({}), at(second)).await.unwrap();
    assert_eq!(metrics.published.take(), on_time);
}

#[tokio::test]
async fn a_run_for_an_earlier_time_starts_afresh_and_the_next_one_too() {
    let metrics = fleet();
    let mut detection = detection(&metrics);
    let mut at_times = Vec::new();
    for time in [NOW, "2026-01-15T11:00:00Z", "2026-01-15T15:05:00Z"] {
        detection.run(&json!({ "time": time }), at(NOW)).await.unwrap();
        at_times.push((reads(&metrics), metrics.published.take()));
    }
    let [(first, _), (earlier, of_earlier), (later, of_later)] = at_times.try_into().unwrap();
    assert_eq!((first, earlier, later), (vec![(COLD, 5)], vec![(COLD, 5)], vec![(0, 5)]));
    assert!(!of_earlier.is_empty());
    assert_eq!(of_earlier, cold(&metrics, "2026-01-15T11:00:00Z").await);
    assert_eq!(of_later, cold(&metrics, "2026-01-15T15:05:00Z").await);
}

#[tokio::test]
async fn the_event_may_name_the_instances() {
    let metrics = fleet();
    metrics.list_fails.set(true);
    let mut detection = detection(&metrics);
    let event = json!({ "instances": [instance(FAULTY).as_str(), instance(99).as_str()] });
    let summary = detection.run(&event, at(NOW)).await.unwrap();
    assert_eq!((summary.instances.seen, summary.instances.scored), (2, 1));
    assert_eq!(summary.instances.skipped, [("no_datapoints", 1)].into());
    assert_eq!(summary.instances.anomalous.len(), 1);
}

#[tokio::test]
async fn what_fails_for_some_does_not_keep_the_others() {
    let metrics = fleet();
    metrics.broken.borrow_mut().insert(instance(0));
    metrics.cpu.borrow_mut().get_mut(&instance(1)).unwrap().iter_mut().for_each(|point| point.value = f64::NAN);
    metrics.cpu.borrow_mut().get_mut(&instance(3)).unwrap().retain(|point| point.time < at(FAULT).as_second() - 3600);
    metrics.takes.set(Some(10));
    let summary = detection(&metrics).run(&json!({}), at(NOW)).await.unwrap();
    assert_eq!((summary.instances.seen, summary.instances.scored), (5, 2));
    assert_eq!(summary.instances.skipped, [("no_datapoints", 1), ("read_failed", 1), ("unusable", 1)].into());
    assert_eq!(summary.instances.anomalous[0].instance, instance(FAULTY));
    assert_eq!((summary.datums_published, summary.datums_failed), (10, 2 * 6 * 2 + 6 * 3 + 1 - 10));
}

#[tokio::test]
async fn an_empty_fleet_is_told_of() {
    let metrics = Rc::new(Metrics::default());
    let summary = detection(&metrics).run(&json!({}), at(NOW)).await.unwrap();
    assert_eq!((summary.instances.seen, summary.newest_datapoint, summary.datums_published), (0, None, 2));
    let published = metrics.published.take();
    let newest = at("2026-01-15T14:55:00Z").as_second();
    assert_eq!(of_fleet(&published, Metric::InstancesScored), [(newest, 0.0)]);
    assert_eq!(of_fleet(&published, Metric::InstancesSkipped), [(newest, 0.0)]);
}

#[tokio::test]
async fn a_run_that_can_do_nothing_fails_with_a_type() {
    let error_type = |error: RunError| Diagnostic::from(error).error_type;

    let metrics = fleet();
    let error = detection(&metrics).run(&json!({ "dry_run": 1 }), at(NOW)).await.unwrap_err();
    assert_eq!(error_type(error), "EventError");

    metrics.list_fails.set(true);
    let error = detection(&metrics).run(&json!({}), at(NOW)).await.unwrap_err();
    assert!(error.to_string().contains("ListMetrics failed: said the script"), "{error}");
    assert_eq!(error_type(error), "ListError");

    let metrics = fleet();
    metrics.broken.borrow_mut().extend((0..5).map(instance));
    let error = detection(&metrics).run(&json!({}), at(NOW)).await.unwrap_err();
    assert!(error.to_string().contains("none of 5 instances could be read"), "{error}");
    assert_eq!(error_type(error), "NothingRead");
    assert_eq!(metrics.published.take(), []);

    let metrics = fleet();
    metrics.takes.set(Some(0));
    let error = detection(&metrics).run(&json!({}), at(NOW)).await.unwrap_err();
    assert!(error.to_string().contains("none of 79 datums could be published"), "{error}");
    assert_eq!(error_type(error), "NothingPublished");

    let error = Settings::from_variables(|_| Some("?".into())).unwrap_err();
    assert_eq!(error_type(error.into()), "SettingsError");
}

#[tokio::test]
async fn a_missing_model_fails_each_run_until_it_is_there() {
    let (metrics, bucket) = (fleet(), Rc::new(Bucket::default()));
    let source = ModelSource::Object(CURRENT.parse().unwrap());
    let mut detection = Detection::new(settings(source), Rc::clone(&metrics), Rc::clone(&bucket));
    detection.prepare(Instant::now()).await;
    for _ in 0..2 {
        let error = detection.run(&json!({}), at(NOW)).await.unwrap_err();
        assert!(error.to_string().contains("s3://my-models/models/current does not exist"), "{error}");
        assert_eq!(Diagnostic::from(error).error_type, "ModelError");
    }
    assert_eq!((metrics.reads.take(), metrics.published.take()), (vec![], vec![]));

    bucket.put("s3://my-models/models/one.safetensors", artifact().to_bytes().unwrap());
    bucket.put(CURRENT, pointer("models/one.safetensors", &artifact()));
    let summary = detection.run(&json!({}), at(NOW)).await.unwrap();
    assert_eq!((summary.model.version, summary.model.source.as_str()), (artifact().version(), CURRENT));
}

#[tokio::test]
async fn another_model_begins_anew() {
    let (metrics, bucket) = (fleet(), Rc::new(Bucket::default()));
    let uri = "s3://my-models/models/one.safetensors";
    let source = ModelSource::Object(uri.parse().unwrap());
    let mut detection = Detection::new(settings(source), Rc::clone(&metrics), Rc::clone(&bucket));
    bucket.put(uri, artifact().to_bytes().unwrap());
    detection.run(&json!({}), at(NOW)).await.unwrap();
    detection.run(&json!({}), at(NOW)).await.unwrap();
    assert_eq!(reads(&metrics), [(COLD, 5), (0, 5)]);

    let other = artifact_with_threshold(1000.0);
    bucket.put(uri, other.to_bytes().unwrap());
    let summary = detection.run(&json!({}), at(NOW)).await.unwrap();
    assert_eq!(reads(&metrics), [(COLD, 5)]);
    assert_eq!(summary.model.version, other.version());
    assert_eq!(summary.instances.anomalous, [], "the threshold is the artifact's");
}

#[tokio::test]
async fn what_a_run_has_no_time_for_comes_in_the_next() {
    let metrics = fleet();
    let mut detection = detection(&metrics);
    detection.set_time_left(Some(std::time::Duration::ZERO));
    let summary = detection.run(&json!({}), at(NOW)).await.unwrap();
    assert_eq!((summary.instances.scored, summary.instances.skipped), (0, [("out_of_time", 5)].into()));
    assert_eq!(reads(&metrics), [], "nothing is read that would not be scored");
    assert!(!metrics.published.take().is_empty(), "that nothing was scored is published");

    detection.set_time_left(Some(std::time::Duration::from_secs(600)));
    assert_eq!(detection.run(&json!({}), at(NOW)).await.unwrap().instances.scored, 5);
}
