mod tell;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::rc::Rc;

use deepguard::Datapoint;
use deepguard::series::{DAY_SECONDS, PERIOD};
use deepguard_aws::cloudwatch::pace::Rates;
use deepguard_aws::ids::InstanceId;
use deepguard_aws::metric::{Metric, Of};
use lambda_runtime::Diagnostic;
use serde_json::json;

use super::*;
use crate::model::ModelSource;
use crate::run::calibrate::Calibration;
use crate::testing::memory::{Bucket, Metrics};
use crate::testing::{artifact, artifact_with_threshold, instance, pointer};

pub(super) const CURRENT: &str = "s3://my-models/models/current";
const STATE: &str = "s3://my-models/state/shards/1/0";
/// The time of most runs: an afternoon, two minutes into a slot.
pub(super) const NOW: &str = "2026-01-15T15:02:00Z";
/// The instance that misbehaves, and when it begins to.
pub(super) const FAULTY: usize = 2;
pub(super) const FAULT: &str = "2026-01-15T14:50:00Z";
/// Days, and some hours, that are read of an instance of which nothing is known.
const COLD: i64 = 30;
/// The days of CPU that an instance has, up to a day after the time of most runs: enough to be judged by its own.
pub(super) const DAYS: i64 = 5;

pub(super) fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

pub(super) fn seconds(time: &str) -> i64 {
    at(time).as_second()
}

pub(super) fn settings(model: ModelSource) -> Settings {
    Settings {
        model,
        shadow: None,
        mutes: None,
        selection: Default::default(),
        sensitivity: Default::default(),
        m_of_n: MOfN::default(),
        pages_per_instance_week: None,
        reporting_stopped: false,
        event_bus: None,
        region: "us-east-1".into(),
        state: Some("s3://my-models/state".parse().unwrap()),
        mode: Mode::Full,
        rates: Rates { calls: 1e6, datapoints: 1e9 },
        namespace: "DeepGuard".into(),
        lookback_minutes: 30,
        log_level: tracing::Level::INFO,
        threads: NonZeroUsize::MIN,
    }
}

/// CPU that is the same on every day, so that nothing about it is unusual but a fault.
pub(super) fn cpu(number: usize, days: i64) -> Vec<Datapoint> {
    let (end, fault) = (seconds(NOW) + DAY_SECONDS, seconds(FAULT));
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

/// Everything outside of the functions.
#[derive(Clone)]
pub(super) struct World {
    pub(super) metrics: Rc<Metrics>,
    pub(super) bucket: Rc<Bucket>,
}

type Running = Detection<Rc<Metrics>, Rc<Bucket>>;

impl World {
    /// Five instances, and nothing kept of them.
    pub(super) fn new() -> Self {
        let metrics = Metrics::default();
        metrics.cpu.borrow_mut().extend((0..5).map(|number| (instance(number), cpu(number, DAYS))));
        Self { metrics: Rc::new(metrics), bucket: Rc::new(Bucket::default()) }
    }

    /// A process that has just started.
    fn process(&self) -> Running {
        self.with(settings(ModelSource::Builtin))
    }

    fn with(&self, settings: Settings) -> Running {
        Detection::new(settings, Rc::clone(&self.metrics), Rc::clone(&self.bucket))
    }

    fn calibrator(&self) -> Calibration<Rc<Metrics>, Rc<Bucket>> {
        Calibration::new(settings(ModelSource::Builtin), Rc::clone(&self.metrics), Rc::clone(&self.bucket))
    }

    /// How many days back each read goes, and how many instances are in it.
    fn reads(&self) -> Vec<(i64, usize)> {
        let reads = self.metrics.reads.take();
        let days = |batch: &deepguard_aws::ports::Batch| (batch.times.end - batch.times.start) / DAY_SECONDS;
        reads.iter().map(|batch| (days(batch), batch.instances.len())).collect()
    }

    pub(super) fn published(&self) -> Vec<Datum> {
        self.metrics.published.take()
    }

    /// What was published of the instances.
    fn scores(&self) -> Scores {
        of_instances(&self.published())
    }
}

/// Values by instance, metric and time.
pub(super) type Scores = std::collections::BTreeMap<(InstanceId, Metric, i64), f64>;

fn of_instances(datums: &[Datum]) -> Scores {
    let mut scores = Scores::new();
    for datum in datums {
        if let Of::Instance(instance) = &datum.of {
            let before = scores.insert((instance.clone(), datum.metric, datum.time), datum.value);
            assert!(before.is_none_or(|before| before == datum.value), "another value than {before:?}: {datum:?}");
        }
    }
    scores
}

pub(super) fn of_fleet(datums: &[Datum], metric: Metric) -> Vec<(i64, f64)> {
    let of_fleet = datums.iter().filter(|datum| datum.of == Of::Fleet && datum.metric == metric);
    of_fleet.map(|datum| (datum.time, datum.value)).collect()
}

/// The times of runs from one to another, every five minutes.
pub(super) fn every_five_minutes(from: &str, to: &str) -> impl Iterator<Item = Timestamp> {
    (seconds(from)..=seconds(to)).step_by(300).map(|time| Timestamp::from_second(time).unwrap())
}

/// What undisturbed runs publish of the instances.
async fn undisturbed(world: &World, from: &str, to: &str) -> Scores {
    let apart = World { bucket: Rc::new(Bucket::default()), ..world.clone() };
    let mut process = apart.process();
    apart.published();
    for time in every_five_minutes(from, to) {
        process.run(&json!({}), time).await.unwrap();
    }
    apart.reads();
    apart.scores()
}

#[tokio::test]
async fn the_faulty_instance_is_found_and_told_of() {
    let world = World::new();
    let summary = world.process().run(&json!({}), at(NOW)).await.unwrap();

    let noon = seconds("2026-01-15T15:00:00Z");
    let found: Vec<&InstanceId> = summary.instances.anomalous.iter().map(|anomaly| &anomaly.instance).collect();
    assert_eq!(found, [&instance(FAULTY)], "{summary:?}");
    let anomaly = &summary.instances.anomalous[0];
    assert_eq!((anomaly.time, anomaly.observed), (seconds(FAULT), 97.0));
    assert!(anomaly.score > 1.5 && !(anomaly.low..=anomaly.high).contains(&anomaly.observed), "{anomaly:?}");
    assert_eq!((summary.instances.seen, summary.instances.scored), (5, 5));
    assert_eq!((summary.time, summary.newest_datapoint), (noon, Some(noon - PERIOD)));

    let datums = world.published();
    assert_eq!((summary.datums_published, summary.datums_failed), (datums.len(), 0));
    let slots =
        |values: [f64; 6]| -> Vec<(i64, f64)> { (0..6).map(|slot| noon - 1800 + slot * PERIOD).zip(values).collect() };
    assert_eq!(of_fleet(&datums, Metric::InstancesScored), slots([5.0; 6]));
    assert_eq!(of_fleet(&datums, Metric::AnomalousInstances)[..4], slots([0.0; 6])[..4]);
    assert_eq!(of_fleet(&datums, Metric::AnomalousInstances)[4], (seconds(FAULT), 1.0));
    assert_eq!(of_fleet(&datums, Metric::MaxAnomalyScore)[4], (seconds(FAULT), anomaly.score));
    assert_eq!(of_fleet(&datums, Metric::InstancesSkipped), [(noon - PERIOD, 0.0)]);
    assert_eq!(of_fleet(&datums, Metric::DataLagSeconds), [(noon - PERIOD, 0.0)]);
    assert_eq!(of_fleet(&datums, Metric::PublishFailures), [(noon - PERIOD, 0.0)]);
    assert_eq!(of_fleet(&datums, Metric::BaselineAgeHours), [(noon - PERIOD, 15.0)]);
    assert_eq!(of_fleet(&datums, Metric::ModelAgeDays).len(), 1);
    assert_eq!(of_instances(&datums).len(), 5 * 6 * 2);
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
            "seen": 6, "scored": 5, "unchanged": 0, "left_out": 0, "skipped": { "no_datapoints": 1 },
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
        "episodes": { "began": 1, "ended": 0, "open": 1 },
        "alerts_sent": 1,
        "datums_published": 5 * 6 * 2 + 6 * 4 + 8,
        "datums_failed": 0,
        "duration_ms": summary["duration_ms"].as_u64().unwrap(),
        "scoring_ms": summary["scoring_ms"].as_u64().unwrap(),
        "cold_start": true,
        "init_ms": summary["init_ms"].as_u64().unwrap(),
    });
    assert_eq!(summary, expected);
    // Five baselines of sixteen days, and their scores.
    assert!(
        summary["scoring_ms"].as_u64() > Some(0) && summary["scoring_ms"].as_u64() <= summary["duration_ms"].as_u64()
    );

    let second = serde_json::to_value(detection.run(&json!({}), at(NOW)).await.unwrap()).unwrap();
    assert_eq!((second["cold_start"].as_bool(), second.get("init_ms")), (Some(false), None));
    assert_eq!((second["instances"]["scored"].as_u64(), second["instances"]["unchanged"].as_u64()), (Some(0), Some(5)));
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
    assert_eq!(world.metrics.reads.borrow()[0].times, seconds("2026-01-15T11:30:00Z")..seconds("2026-01-15T14:35:00Z"));
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
    for time in ["2026-01-15T10:07:00Z", "2026-01-15T12:57:00Z", "2026-01-15T13:02:00Z", "2026-01-15T13:07:00Z"] {
        seen.push(process.run(&json!({}), at(time)).await.unwrap().instances.seen);
    }
    assert_eq!(seen, [5, 5, 5, 4]);
    // Started again, it goes on from what is remembered.
    world.metrics.unlisted.borrow_mut().clear();
    world.metrics.cpu.borrow_mut().insert(instance(4), cpu(4, DAYS));
    world.reads();
    let summary = process.run(&json!({}), at("2026-01-15T15:02:00Z")).await.unwrap();
    assert_eq!((summary.instances.scored, world.reads().len()), (5, 1), "nothing is read from far back");
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
    assert_eq!((summary.datums_published, summary.datums_failed), (7 + 7, 5 * 6 * 2 + 6 * 4 - 7));
    let failures = of_fleet(&world.metrics.published.borrow(), Metric::PublishFailures);
    assert_eq!(failures, [(seconds("2026-01-15T14:55:00Z"), 77.0)]);
    world.metrics.takes.set(None);
    let summary = process.run(&json!({}), at(NOW)).await.unwrap();
    assert_eq!(summary.datums_failed, 0);
    assert_eq!(world.scores().len(), 5 * 6 * 2);
}

#[tokio::test]
async fn of_two_runs_at_once_one_decides_and_publishes() {
    let world = World::new();
    let (mut one, mut two) = (world.process(), world.process());
    one.run(&json!({}), at("2026-01-15T14:32:00Z")).await.unwrap();
    two.run(&json!({}), at("2026-01-15T14:32:00Z")).await.unwrap();
    world.published();
    // Both know the same; the second comes when the first has decided.
    let (mut state, _) = two.store.state(Shard::WHOLE).await;
    one.run(&json!({}), at("2026-01-15T14:37:00Z")).await.unwrap();
    let first = world.published();
    state.instances.clear();
    assert_eq!(two.store.save(&state).await, Saved::Superseded);
    // It begins with what the first has decided and published.
    assert_eq!(of_instances(&first).len(), 5 * 2);
    let summary = two.run(&json!({}), at("2026-01-15T14:37:00Z")).await.unwrap();
    assert_eq!(
        (summary.superseded, summary.state.loaded, summary.instances.scored),
        (false, crate::state::store::Loaded::Read, 0)
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
    assert_eq!((summary.state.saved, summary.superseded, summary.instances.scored), (false, false, 5));
    world.bucket.mute.set(false);
    let summary = process.run(&json!({}), at("2026-01-15T14:42:00Z")).await.unwrap();
    assert_eq!((summary.state.saved, summary.superseded, summary.instances.scored), (true, false, 5));
    assert_eq!(world.scores(), undisturbed(&world, "2026-01-15T14:32:00Z", "2026-01-15T14:42:00Z").await);
}

#[tokio::test]
async fn without_a_store_the_process_remembers() {
    let world = World::new();
    let mut process = world.with(Settings { state: None, ..settings(ModelSource::Builtin) });
    process.run(&json!({}), at("2026-01-15T14:32:00Z")).await.unwrap();
    let summary = process.run(&json!({}), at("2026-01-15T14:37:00Z")).await.unwrap();
    assert_eq!((summary.state.loaded, summary.state.saved), (crate::state::store::Loaded::InProcess, false));
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
    for (content, loaded) in
        [(None, "missing"), (Some(flipped), "damaged"), (Some(html), "damaged"), (Some(vec![]), "damaged")]
    {
        match content {
            Some(content) => world.bucket.store(STATE, content),
            None => world.bucket.remove(STATE),
        }
        world.reads();
        let summary = world.process().run(&json!({}), at("2026-01-15T14:32:00Z")).await.unwrap();
        assert_eq!(serde_json::to_value(summary.state).unwrap(), json!({ "loaded": loaded, "saved": true }));
        assert_eq!(world.reads(), [(COLD, 5)]);
        assert_eq!(world.scores(), before);
        assert_eq!(world.bucket.content(STATE).unwrap(), whole, "what is made is what was there");
    }
}

#[tokio::test]
async fn where_s3_is_down_a_warm_process_goes_on() {
    let world = World::new();
    let mut process = world.process();
    process.run(&json!({}), at("2026-01-15T14:32:00Z")).await.unwrap();
    world.bucket.down.set(true);
    let summary = process.run(&json!({}), at("2026-01-15T14:37:00Z")).await.unwrap();
    assert_eq!(serde_json::to_value(summary.state).unwrap(), json!({ "loaded": "unreachable", "saved": false }));
    assert_eq!(summary.instances.scored, 5);
    let cold = world.process().run(&json!({}), at("2026-01-15T14:37:00Z")).await.unwrap();
    assert_eq!((cold.instances.scored, cold.state.saved), (5, false), "a cold one makes all anew");
    world.bucket.down.set(false);
    let summary = process.run(&json!({}), at("2026-01-15T14:42:00Z")).await.unwrap();
    assert_eq!(serde_json::to_value(summary.state).unwrap(), json!({ "loaded": "known", "saved": true }));
    let published = world.scores();
    assert_eq!(published, undisturbed(&world, "2026-01-15T14:32:00Z", "2026-01-15T14:42:00Z").await);
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
    assert_eq!((summary.instances.scored, summary.instances.skipped), (3, [("read_failed", 2)].into()));
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
    assert_eq!(scored(process.run(&json!({}), at("2026-01-15T13:07:00Z")).await.unwrap()), (5, 0), "after three hours");
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
    assert_eq!(summary.caught_up.datapoints, 4 * 41 + 1, "of the one no more than lies before midnight");
    world.metrics.partial.borrow_mut().clear();
    world.reads();
    let summary = process.run(&json!({}), at(to)).await.unwrap();
    assert_eq!((summary.instances.scored, world.reads()), (5, vec![(14, 5)]), "its history is read again");
    let midnight = seconds("2026-01-15T00:00:00Z");
    let since = |scores: Scores| scores.into_iter().filter(|((_, _, time), _)| *time >= midnight).collect::<Scores>();
    assert!(since(world.scores()) == since(expected), "other scores than those of undisturbed runs");
}

#[tokio::test]
async fn a_datapoint_that_comes_late_is_scored_once_and_nothing_else_again() {
    let world = World::new();
    let late = seconds("2026-01-15T14:40:00Z");
    let expected = undisturbed(&world, "2026-01-15T14:32:00Z", "2026-01-15T15:32:00Z").await;
    let taken = |world: &World| {
        world.metrics.cpu.borrow_mut().get_mut(&instance(1)).unwrap().retain(|point| point.time != late)
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
    assert_eq!(rest[&(instance(1), Metric::AnomalyScore, late)], expected[&(instance(1), Metric::AnomalyScore, late)]);
    assert_eq!(first.len() + rest.len(), expected.len(), "nothing lost");
    for (key @ (_, _, time), value) in first.iter().chain(&rest) {
        // What came while it was missing was scored without it.
        let without_it = (late + 1..seconds("2026-01-15T15:00:00Z")).contains(time) && key.0 == instance(1);
        assert!(without_it || *value == expected[key], "{key:?}");
    }
    let scored =
        |datums: &[Datum]| of_fleet(datums, Metric::InstancesScored).into_iter().find(|(time, _)| *time == late);
    assert_eq!(
        (scored(&before), scored(&after)),
        (Some((late, 4.0)), Some((late, 5.0))),
        "the fleet's number only grows"
    );
}

#[tokio::test]
async fn the_baselines_of_a_new_day_are_the_calibrators() {
    let world = World::new();
    let (from, to) = ("2026-01-14T23:37:00Z", "2026-01-15T00:37:00Z");
    let expected = undisturbed(&world, from, to).await;
    let mut process = world.process();
    for time in every_five_minutes(from, "2026-01-15T00:02:00Z") {
        process.run(&json!({}), time).await.unwrap();
    }
    world.reads();
    let waiting = process.run(&json!({}), at("2026-01-15T00:07:00Z")).await.unwrap();
    assert_eq!(waiting.instances.skipped, [("awaits_baseline", 5)].into());
    assert_eq!(world.reads(), [(0, 5)]);

    let calibrated = world.calibrator().run(&json!({}), at("2026-01-15T00:09:00Z")).await.unwrap();
    let calibrated = serde_json::to_value(calibrated).unwrap();
    assert_eq!(calibrated["instances"], json!({ "seen": 5, "known": 0, "made": 5, "too_little": 0, "skipped": 0 }));
    assert_eq!(calibrated["day"], "2026-01-15");
    assert_eq!(world.reads(), [(14, 5)]);
    assert!(world.bucket.keys().contains(&"s3://my-models/state/baselines/2026-01-15/1/0".to_string()));
    for time in every_five_minutes("2026-01-15T00:12:00Z", to) {
        let summary = process.run(&json!({}), time).await.unwrap();
        assert_eq!(summary.instances.scored, 5);
    }
    assert_eq!(world.reads(), [(0, 5); 6]);
    assert!(world.scores() == expected, "other scores than those of undisturbed runs");
    let again = world.calibrator().run(&json!({}), at("2026-01-15T01:09:00Z")).await.unwrap();
    assert_eq!((again.instances.known, again.instances.made, world.reads()), (5, 0, vec![]));
}

#[tokio::test]
async fn without_a_calibrator_the_baselines_are_made_half_an_hour_after_midnight() {
    let world = World::new();
    let mut process = world.process();
    process.run(&json!({}), at("2026-01-14T23:52:00Z")).await.unwrap();
    let awaited = process.run(&json!({}), at("2026-01-15T00:27:00Z")).await.unwrap();
    assert_eq!(awaited.instances.scored, 5, "up to midnight");
    world.reads();
    let summary = process.run(&json!({}), at("2026-01-15T00:32:00Z")).await.unwrap();
    assert_eq!((summary.instances.scored, world.reads()), (5, vec![(14, 5)]));
    assert_eq!(summary.newest_datapoint, Some(seconds("2026-01-15T00:25:00Z")));
    process.run(&json!({}), at("2026-01-15T00:37:00Z")).await.unwrap();
    world.process().run(&json!({}), at("2026-01-15T00:42:00Z")).await.unwrap();
    assert_eq!(world.reads(), [(0, 5), (0, 5)], "they are kept, for other processes as well");
}

#[tokio::test]
async fn baselines_that_are_damaged_or_of_others_are_made_again() {
    let world = World::new();
    let key = "s3://my-models/state/baselines/2026-01-15/1/0";
    for content in [&b"<html>"[..], b""] {
        let world = World { bucket: Rc::new(Bucket::default()), ..world.clone() };
        world.bucket.store(key, content);
        let made = world.calibrator().run(&json!({}), at(NOW)).await.unwrap();
        assert_eq!(made.instances.made, 5);
        let mut second = world.calibrator();
        assert_eq!(second.run(&json!({}), at(NOW)).await.unwrap().instances.known, 5);
        assert!(second.knows(&instance(1), seconds("2026-01-15T00:00:00Z")));
    }
}

#[tokio::test]
async fn a_calibrator_that_can_do_nothing_says_so() {
    let world = World::new();
    let settings = Settings { state: None, ..settings(ModelSource::Builtin) };
    let mut nowhere = Calibration::new(settings, Rc::clone(&world.metrics), Rc::clone(&world.bucket));
    assert_eq!(nowhere.run(&json!({}), at(NOW)).await, Err(RunError::NothingKept));
    world.bucket.down.set(true);
    assert_eq!(world.calibrator().run(&json!({}), at(NOW)).await, Err(RunError::NotWritten));
    world.bucket.down.set(false);
    world.metrics.broken.borrow_mut().extend((0..5).map(instance));
    let error = world.calibrator().run(&json!({}), at(NOW)).await.unwrap_err();
    assert!(matches!(error, RunError::NothingRead { instances: 5, .. }), "{error}");
    world.metrics.broken.borrow_mut().remove(&instance(3));
    assert_eq!(world.calibrator().run(&json!({}), at(NOW)).await.unwrap().instances.skipped, 4);
}

#[tokio::test]
async fn an_instance_without_a_baseline_is_read_from_far_back_once() {
    let world = World::new();
    let young = cpu(7, DAYS).into_iter().filter(|point| point.time >= seconds("2026-01-15T09:00:00Z"));
    world.metrics.cpu.borrow_mut().insert(instance(7), young.collect());
    let mut process = world.process();
    for expected in [vec![(COLD, 6)], vec![(0, 6)]] {
        let summary = process.run(&json!({}), at(NOW)).await.unwrap();
        assert_eq!(world.reads(), expected);
        assert_eq!(summary.instances.skipped, [("no_baseline", 1)].into());
    }
}

#[tokio::test]
async fn another_model_begins_anew_and_scores_nothing_twice() {
    let world = World::new();
    let uri = "s3://my-models/models/one.safetensors";
    let mut process = world.with(settings(ModelSource::Object(uri.parse().unwrap())));
    world.bucket.store(uri, artifact().to_bytes().unwrap());
    process.run(&json!({}), at("2026-01-15T14:47:00Z")).await.unwrap();
    let before = world.scores();
    assert_eq!(world.reads(), [(COLD, 5)]);

    let other = artifact_with_threshold(1000.0);
    world.bucket.store(uri, other.to_bytes().unwrap());
    let summary = process.run(&json!({}), at(NOW)).await.unwrap();
    assert_eq!(world.reads(), [(COLD, 5)]);
    assert_eq!(summary.model.version, other.version());
    assert_eq!(summary.instances.anomalous, [], "the threshold is the artifact's");
    let after = world.scores();
    assert_eq!(after.len(), 5 * 3 * 2);
    assert!(before.keys().all(|key| !after.contains_key(key)));
}

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

    // Nothing can be read: there is no list and nothing is remembered, or no instance answers.
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
    assert_eq!(process.run(&json!({}), at("2026-01-15T14:37:00Z")).await.unwrap().instances.scored, 5);
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
    assert_eq!((summary.instances.scored, summary.instances.skipped), (0, [("out_of_time", 5)].into()));
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
    assert_eq!((dry.instances.scored, dry.instances.anomalous.len()), (5, 1), "the last half hour once more");
    assert_eq!(world.reads(), [(0, 5)]);

    let ids = json!([instance(1).as_str(), instance(FAULTY).as_str()]);
    let some = process.run(&json!({ "instances": ids }), at(NOW)).await.unwrap();
    assert_eq!(some.instances.scored, 2);
    let answered = world.scores();
    assert_eq!(answered.len(), 2 * 6 * 2);
    assert!(answered.iter().all(|(key, value)| all[key] == *value), "the same values at the same times");
    world.reads();

    // Of a time that is long over, and of a process that knows nothing.
    let event = json!({ "time": "2026-01-15T04:02:00Z", "instances": ids });
    assert_eq!(process.run(&event, at(NOW)).await.unwrap().instances.scored, 2);
    let answered = world.scores();
    assert_eq!(world.reads(), [(COLD, 2)]);
    let apart = World { bucket: Rc::new(Bucket::default()), ..world.clone() };
    apart.process().run(&json!({}), at("2026-01-15T04:02:00Z")).await.unwrap();
    let then = apart.scores();
    assert!(answered.iter().all(|(key, value)| then[key] == *value));
    assert_eq!(world.bucket.content(STATE), state);
    assert_eq!(process.run(&json!({}), at(NOW)).await.unwrap().state.loaded, crate::state::store::Loaded::Known);
}

#[tokio::test]
async fn shards_divide_the_fleet_and_another_division_loses_nothing() {
    let world = World::new();
    world.metrics.cpu.borrow_mut().extend((10..22).map(|number| (instance(number), cpu(number, DAYS))));
    let times = ["2026-01-15T14:32:00Z", "2026-01-15T14:37:00Z", "2026-01-15T14:42:00Z", "2026-01-15T14:47:00Z"];
    let expected = undisturbed(&world, times[0], times[3]).await;
    let mut process = world.process();
    process.run(&json!({}), at(times[0])).await.unwrap();
    world.reads();
    // Into four, one process for all of them, as Lambda may do it; a run is missed meanwhile.
    let mut seen = 0;
    for shard in 0..4 {
        let summary = process.run(&json!({ "shard": shard, "shards": 4 }), at(times[2])).await.unwrap();
        assert_eq!(serde_json::to_value(summary.state).unwrap(), json!({ "loaded": "resharded", "saved": true }));
        seen += summary.instances.seen;
    }
    assert_eq!(seen, 17);
    assert!(world.reads().iter().all(|(days, _)| *days == 0), "nothing is made anew");
    // And back into one, which has an old state of its own.
    let summary = world.process().run(&json!({}), at(times[3])).await.unwrap();
    assert_eq!(serde_json::to_value(summary.state).unwrap(), json!({ "loaded": "resharded", "saved": true }));
    assert_eq!((summary.instances.scored, world.reads()), (17, vec![(0, 17)]));
    assert!(world.scores() == expected, "other scores than those of undisturbed runs");
}

#[tokio::test]
async fn in_sparse_mode_the_quiet_ones_are_not_sent() {
    let world = World::new();
    let mut process = world.with(Settings { mode: Mode::Sparse { from: 0.8 }, ..settings(ModelSource::Builtin) });
    process.run(&json!({}), at(NOW)).await.unwrap();
    let datums = world.published();
    assert!(of_instances(&datums).keys().all(|(sent, _, time)| *sent == instance(FAULTY) && *time >= seconds(FAULT)));
    assert_eq!(of_fleet(&datums, Metric::InstancesScored).len(), 6, "the fleet's are always sent");
}
