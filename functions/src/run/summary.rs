//! The answer to an invocation.

use std::collections::BTreeMap;

use deepguard::Phase;
use deepguard::channel::Channel;
use deepguard::episode::Change;
use deepguard_aws::ids::InstanceId;
use serde::Serialize;

use crate::run::decide::Changes;
use crate::run::outcome::Fleet;
use crate::state::State;
use crate::state::shard::Shard;
use crate::state::store::Loaded;
use crate::time::{maybe_timestamp, timestamp};

/// What a run did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The time that the run looked back from, in whole slots.
    #[serde(serialize_with = "timestamp")]
    pub time: i64,
    /// Whether nothing was published, as asked.
    pub dry_run: bool,
    /// Which part of the fleet it was about.
    pub shard: Shard,
    /// What scored.
    pub model: Model,
    /// Version of the second model that scored beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<String>,
    /// Start of the newest datapoint that was scored in this run.
    #[serde(serialize_with = "maybe_timestamp")]
    pub newest_datapoint: Option<i64>,
    /// Seconds from the end of the newest datapoint that ever was to the time of the run.
    pub data_lag_seconds: Option<i64>,
    /// What became of the instances.
    pub instances: Instances,
    /// What earlier runs had left.
    pub caught_up: CaughtUp,
    /// What is kept from run to run.
    pub state: StateSummary,
    /// Whether another run decided meanwhile, so that this one published nothing.
    pub superseded: bool,
    /// What became of the anomalies.
    pub episodes: Episodes,
    /// Events that were sent: one when an anomaly begins, one when it is over. In a dry run, none.
    pub alerts_sent: usize,
    /// Datums that CloudWatch took; in a dry run, none.
    pub datums_published: usize,
    /// Datums that it did not take: the next run publishes them, but for those that it refuses.
    pub datums_failed: usize,
    /// Milliseconds from the event to this answer.
    pub duration_ms: u64,
    /// Milliseconds of it that went into scores and baselines; the rest is AWS's answers, and what
    /// is kept.
    pub scoring_ms: u64,
    /// Whether this was the first run of this process.
    pub cold_start: bool,
    /// In a cold start, the milliseconds from the start of the process until it was ready for an
    /// event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_ms: Option<u64>,
}

/// The model that scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Model {
    /// Its version.
    pub version: String,
    /// Where it comes from: `builtin`, or what `MODEL_URI` names.
    pub source: String,
}

/// What earlier runs would have scored, had they been made and seen it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaughtUp {
    /// Datapoints that were scored more than a quarter of an hour after their time.
    pub datapoints: usize,
    /// Those among the datapoints of this run that came after a later one had its score.
    pub late: usize,
    /// Start of the oldest of them.
    #[serde(serialize_with = "maybe_timestamp")]
    pub oldest: Option<i64>,
}

/// What became of the anomalies: from the datapoint at which one begins to the one at which it is
/// over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Episodes {
    /// How many have begun.
    pub began: usize,
    /// How many are over.
    pub ended: usize,
    /// How many last.
    pub open: usize,
}

impl Episodes {
    /// Of these changes, and what is remembered after them.
    pub(crate) fn of(changes: &Changes, state: &State) -> Self {
        let began =
            changes.iter().filter(|(_, change)| matches!(change, Change::Began(..))).count();
        let open =
            state.instances.values().filter(|followed| followed.episodes.open().is_some()).count();
        Self { began, ended: changes.len() - began, open }
    }
}

/// What is kept from run to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StateSummary {
    /// How the run came by it.
    pub loaded: Loaded,
    /// Whether it was written down again.
    pub saved: bool,
}

/// What became of the instances.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Instances {
    /// How many there are.
    pub seen: usize,
    /// How many have a new score.
    pub scored: usize,
    /// How many had all scores that they can have already.
    pub unchanged: usize,
    /// How many more there are that are not watched: their tags say so.
    pub left_out: usize,
    /// How many have none, by [`deepguard_aws::metric::Skip::name`].
    pub skipped: BTreeMap<&'static str, usize>,
    /// The anomalous ones, highest score first.
    pub anomalous: Vec<Anomaly>,
}

/// The datapoint of an anomalous instance with the highest score. CPU in percent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Anomaly {
    /// Whose.
    pub instance: InstanceId,
    /// Start of the datapoint.
    #[serde(serialize_with = "timestamp")]
    pub time: i64,
    /// 1.0 is the threshold.
    pub score: f64,
    /// The CPU that was measured.
    pub observed: f64,
    /// The CPU that was expected.
    pub expected: f64,
    /// The lower end of the band of what was expected, in percent.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// What is unusual: the [channel](deepguard::channel::Channel) with the highest score, or that
    /// the value is `frozen`.
    pub channel: &'static str,
    /// Whether the instance was judged by its own history alone.
    pub phase: Phase,
}

impl Instances {
    /// Of a fleet.
    pub fn of(fleet: &Fleet, left_out: usize) -> Self {
        let skipped = fleet
            .reasons()
            .into_iter()
            .map(|(reason, instances)| (reason.name(), instances))
            .collect();
        let anomaly = |(instance, scored): (&InstanceId, &deepguard::detector::Scored)| Anomaly {
            instance: instance.clone(),
            time: scored.time,
            score: scored.score.value(),
            observed: scored.observed,
            expected: scored.expected,
            low: scored.low,
            high: scored.high,
            channel: scored.channel.map_or("frozen", Channel::name),
            phase: scored.phase,
        };
        Self {
            seen: fleet.seen(),
            scored: fleet.scored.len(),
            unchanged: fleet.unchanged.len(),
            left_out,
            skipped,
            anomalous: fleet.anomalous().into_iter().map(anomaly).collect(),
        }
    }
}
