mod bands;
mod baselines;
mod follow;
mod incidents;
mod labels;
mod messages;
mod newborn;
mod past;
mod rings;
mod stored;
mod tell;
mod whole;

use std::collections::BTreeSet;
use std::rc::Rc;

use deepguard::Datapoint;
use deepguard::series::{DAY_SECONDS, PERIOD};
use deepguard_aws::cloudwatch::pace::Rates;
use deepguard_aws::ids::{TargetId, Targets};
use deepguard_aws::metric::{Metric, Of};
use lambda_runtime::Diagnostic;
use serde_json::json;

use super::*;
use crate::model::{ModelSource, Tuning};
use crate::run::calibrate::Calibration;
use crate::state::band::BandMode;
use crate::testing::memory::{Bucket, Metrics};
use crate::testing::{artifact, artifact_with_threshold, instance, pointer};

pub(super) const CURRENT: &str = "s3://my-models/models/current";
const STATE: &str = "s3://my-models/state/shards/1/0";
/// The time of most runs: an afternoon, two minutes into a slot.
pub(super) const NOW: &str = "2026-01-15T15:02:00Z";
/// The instance that misbehaves, and when it begins to.
pub(super) const FAULTY: usize = 2;
pub(super) const FAULT: &str = "2026-01-15T14:50:00Z";
/// Days, and some hours, that are read of an instance without history.
const COLD: i64 = 30;
/// The days of CPU that an instance has, up to a day after the time of most runs: enough to be
/// judged by its own.
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
        holidays: None,
        selection: Default::default(),
        tuning: Tuning::default(),
        m_of_n: MOfN::default(),
        pages_per_week: None,
        group_by: None,
        targets: Targets::Instances,
        reporting_stopped: false,
        event_bus: None,
        topic: Some("arn:aws:sns:us-east-1:000000000000:topic".into()),
        chat_topic: None,
        messages: Messages { began: true, ended: false, chat: false },
        digest: None,
        zone: jiff::tz::TimeZone::UTC,
        deployment: "deepguard".into(),
        region: "us-east-1".into(),
        function: "deepguard-Detector-abc".into(),
        state: Some("s3://my-models/state".parse().unwrap()),
        mode: Mode::Full,
        bands: BandMode::Episodes,
        rates: Rates { calls: 1e6, datapoints: 1e9 },
        namespace: "DeepGuard".into(),
        lookback_minutes: 30,
        settle: 120,
        log_level: tracing::Level::INFO,
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

/// The outside world of the functions.
#[derive(Clone)]
pub(super) struct World {
    pub(super) metrics: Rc<Metrics>,
    pub(super) bucket: Rc<Bucket>,
}

type Running = Detection<Rc<Metrics>, Rc<Bucket>>;

impl World {
    /// Five instances without stored state.
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
        Calibration::new(
            settings(ModelSource::Builtin),
            Rc::clone(&self.metrics),
            Rc::clone(&self.bucket),
        )
    }

    /// How many days back each read goes, and how many instances are in it.
    fn reads(&self) -> Vec<(i64, usize)> {
        let reads = self.metrics.reads.take();
        let days = |batch: &deepguard_aws::ports::Batch| {
            (batch.times.end - batch.times.start) / DAY_SECONDS
        };
        reads.iter().map(|batch| (days(batch), batch.instances.len())).collect()
    }

    pub(super) fn published(&self) -> Vec<Datum> {
        self.metrics.published.take()
    }

    /// The datums published about the instances.
    fn scores(&self) -> Scores {
        of_instances(&self.published())
    }
}

/// Values by instance, metric and time.
pub(super) type Scores = std::collections::BTreeMap<(TargetId, Metric, i64), f64>;

fn of_instances(datums: &[Datum]) -> Scores {
    let mut scores = Scores::new();
    for datum in datums {
        if let Of::Instance(instance) = &datum.of {
            let before = scores.insert((instance.clone(), datum.metric, datum.time), datum.value);
            assert!(
                before.is_none_or(|before| before == datum.value),
                "another value than {before:?}: {datum:?}"
            );
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

/// The datums that undisturbed runs publish about the instances.
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
