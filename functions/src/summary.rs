//! The answer to an invocation.

use std::collections::BTreeMap;

use deepguard::Phase;
use deepguard::residual::Channel;
use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::fleet::Fleet;
use crate::names::InstanceId;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The time that the run looked back from, in whole slots.
    #[serde(serialize_with = "timestamp")]
    pub time: i64,
    /// Whether nothing was published, as asked.
    pub dry_run: bool,
    /// What scored.
    pub model: Model,
    /// Start of the newest datapoint that was scored.
    #[serde(serialize_with = "maybe_timestamp")]
    pub newest_datapoint: Option<i64>,
    /// What became of the instances.
    pub instances: Instances,
    /// Datums that CloudWatch took; in a dry run, none.
    pub datums_published: usize,
    /// Datums that it did not take.
    pub datums_failed: usize,
    /// Milliseconds from the event to this answer.
    pub duration_ms: u64,
    /// Whether this was the first run of this process.
    pub cold_start: bool,
    /// In a cold start, the milliseconds from the start of the process until it was ready for an event.
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

/// What became of the instances.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Instances {
    /// How many there are.
    pub seen: usize,
    /// How many have a score.
    pub scored: usize,
    /// How many have none, by [`crate::fleet::Skip::name`].
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
    /// How far from it would have been 1.0.
    pub tolerance: f64,
    /// What is unusual: the [channel](deepguard::residual::Channel) with the highest score, or that the value is `frozen`.
    pub channel: &'static str,
    /// Whether the instance was judged by its own history alone.
    pub phase: Phase,
}

impl Instances {
    /// Of a fleet.
    pub fn of(fleet: &Fleet) -> Self {
        let mut skipped = BTreeMap::new();
        fleet.skipped.values().for_each(|why| *skipped.entry(why.reason.name()).or_insert(0) += 1);
        let anomaly = |(instance, scored): (&InstanceId, &deepguard::detector::Scored)| Anomaly {
            instance: instance.clone(),
            time: scored.time,
            score: scored.score.value(),
            observed: scored.observed,
            expected: scored.expected,
            tolerance: scored.tolerance,
            channel: scored.channel.map_or("frozen", Channel::name),
            phase: scored.phase,
        };
        Self {
            seen: fleet.seen(),
            scored: fleet.scored.len(),
            skipped,
            anomalous: fleet.anomalous().into_iter().map(anomaly).collect(),
        }
    }
}

/// A time (seconds since 1970) as RFC 3339.
pub(crate) fn rfc3339(time: i64) -> String {
    Timestamp::from_second(time).map_or_else(|_| time.to_string(), |time| time.to_string())
}

fn timestamp<S: Serializer>(time: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

fn maybe_timestamp<S: Serializer>(time: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(rfc3339).serialize(serializer)
}
