//! The answer to an invocation.

use std::collections::BTreeMap;

use deepguard::Phase;
use deepguard::channel::Channel;
use deepguard::episode::Change;
use deepguard_aws::ids::TargetId;
use serde::Serialize;

use crate::run::decide::Told;
use crate::run::outcome::{Fleet, MOST_NAMED};
use crate::run::publish::Delivered;
use crate::state::State;
use crate::state::store::Origin;
use crate::time::{maybe_timestamp, timestamp};
use crate::trigger::shard::Shard;

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The time that the run looked back from, in whole slots.
    #[serde(serialize_with = "timestamp")]
    pub time: i64,
    /// Whether publishing was turned off, as asked.
    pub dry_run: bool,
    /// The part of the fleet that it covered.
    pub shard: Shard,
    /// The model that scored.
    pub model: ModelSummary,
    /// Version of the second model that scored beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<String>,
    /// Start of the newest datapoint that was scored in this run.
    #[serde(serialize_with = "maybe_timestamp")]
    pub newest_datapoint: Option<i64>,
    /// Seconds from the end of the newest datapoint of all runs to the time of the run.
    pub data_lag_seconds: Option<i64>,
    /// The results by instance.
    pub instances: InstancesSummary,
    /// The scores that earlier runs had left out.
    pub caught_up: CaughtUp,
    /// The state between runs.
    pub state: StateSummary,
    /// Whether another run decided meanwhile, so that this one published nothing.
    pub superseded: bool,
    /// The changes of episodes.
    pub episodes: EpisodeCounts,
    /// The alerts that were sent: one when an anomaly begins, one when it is over.
    pub alerts: Delivered,
    /// Datums that CloudWatch took; 0 in a dry run.
    pub datums_published: usize,
    /// Datums that it did not take: the next run publishes them, except for those that it refuses.
    pub datums_failed: usize,
    /// Milliseconds from the event to this answer.
    pub duration_ms: u64,
    /// Milliseconds of it that went into scores and baselines; the rest is waiting for AWS, and
    /// storing the state.
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
pub struct ModelSummary {
    /// The date of its training and the beginning of its checksum.
    pub version: String,
    /// Its origin: `builtin`, or the value of `MODEL_URI`.
    pub source: String,
}

/// The scores that earlier runs would have given, if they had taken place and seen the datapoints.
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

/// The changes of episodes. An episode lasts from the datapoint at which an anomaly begins to the
/// one at which it is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct EpisodeCounts {
    /// How many have begun.
    pub began: usize,
    /// How many are over.
    pub ended: usize,
    /// How many are open.
    pub open: usize,
    /// How many incidents have paged in this run.
    pub pages: usize,
    /// How many of those that have begun belong to an incident that has not paged.
    pub notices: usize,
    /// The score from which on an incident of one instance pages.
    pub page_level: f64,
    /// How many groups have a higher one of their own.
    pub restless_groups: usize,
}

impl EpisodeCounts {
    /// Counts these changes, and the open episodes after them.
    pub(crate) fn of(told: &[Told], state: &State) -> Self {
        let is_new = |told: &&Told| told.is_new();
        let began = told.iter().filter(is_new).count();
        let ended = told.iter().filter(|told| matches!(told.change, Change::Ended(..))).count();
        let is_page = |told: &&Told| told.note.page && matches!(told.change, Change::Began(..));
        let pages = told.iter().filter(is_page).count();
        let notices = told.iter().filter(is_new).filter(|told| !told.note.paged).count();
        let open =
            state.instances.values().filter(|followed| followed.episodes.open().is_some()).count();
        let page_level = state.incidents.level();
        let restless_groups = state.incidents.restless().above(page_level).count();
        let page_level = page_level.value();
        Self { began, ended, open, pages, notices, page_level, restless_groups }
    }
}

/// The state between runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StateSummary {
    /// How the run got it.
    pub loaded: Origin,
    /// Whether it was stored again.
    pub saved: bool,
}

/// The results by instance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InstancesSummary {
    /// How many there are.
    pub seen: usize,
    /// How many have a new score.
    pub scored: usize,
    /// How many already had all possible scores.
    pub unchanged: usize,
    /// How many more there are that are not watched: their tags say so.
    pub left_out: usize,
    /// How many were skipped, by [`deepguard_aws::metric::Skip::name`].
    pub skipped: BTreeMap<&'static str, usize>,
    /// How many are anomalous.
    pub anomalous_count: usize,
    /// The anomalous ones, highest score first: at most [`MOST_NAMED`].
    pub anomalous: Vec<Anomaly>,
}

/// The datapoint of an anomalous instance with the highest score. CPU in percent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Anomaly {
    /// The id of the instance.
    pub instance: TargetId,
    /// Start of the datapoint.
    #[serde(serialize_with = "timestamp")]
    pub time: i64,
    /// 1.0 is the threshold.
    pub score: f64,
    /// The CPU that was measured.
    pub observed: f64,
    /// The CPU that was expected.
    pub expected: f64,
    /// The lower end of the band of expected values, in percent.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The kind of anomaly: the [channel](deepguard::channel::Channel) with the highest score, or
    /// `frozen` for an unchanged value.
    pub channel: &'static str,
    /// Whether the instance was judged by its own history alone.
    pub phase: Phase,
}

impl InstancesSummary {
    /// Counts the instances of a fleet.
    pub fn of(fleet: &Fleet, left_out: usize) -> Self {
        let skipped = fleet
            .reasons()
            .into_iter()
            .map(|(reason, instances)| (reason.name(), instances))
            .collect();
        let anomaly = |(instance, scored): (&TargetId, &deepguard::Scored)| Anomaly {
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
        let anomalous = fleet.anomalous();
        Self {
            seen: fleet.seen(),
            scored: fleet.scored.len(),
            unchanged: fleet.unchanged.len(),
            left_out,
            skipped,
            anomalous_count: anomalous.len(),
            anomalous: anomalous.into_iter().take(MOST_NAMED).map(anomaly).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{instance, scored};

    #[test]
    fn a_summary_of_a_night_of_many_anomalies_stays_small() {
        let mut fleet = Fleet::new(0..300);
        let many = (0..2000).map(|number| (instance(number), vec![scored(0, 2.0)]));
        fleet.scored.extend(many);
        let summary = InstancesSummary::of(&fleet, 0);
        assert_eq!((summary.anomalous_count, summary.anomalous.len()), (2000, MOST_NAMED));
        let bytes = serde_json::to_string(&summary).unwrap().len();
        // Step Functions takes 256 KiB.
        assert!(bytes < 20_000, "{bytes}");
    }
}
