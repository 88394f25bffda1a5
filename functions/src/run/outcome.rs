//! The results of a run: the new scores, and the reasons why instances have no score.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use deepguard::Scored;
use deepguard::series::PERIOD;
use deepguard_aws::ids::TargetId;
use deepguard_aws::metric::Skip;

/// The maximum number of instances that a summary names, and the log of a run for each reason to
/// skip one. Step Functions takes an answer of 256 KiB.
pub const MOST_NAMED: usize = 50;

/// An instance that was not scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The kind of reason.
    pub reason: Skip,
    /// The reason in words.
    pub why: String,
}

/// The result of one run, in the order of the instances' names.
#[derive(Debug, Clone, PartialEq)]
pub struct Fleet {
    /// The stretch that the run is about, in seconds since 1970.
    pub times: Range<i64>,
    /// The new scores of each instance, at least one, oldest first.
    pub scored: BTreeMap<TargetId, Vec<Scored>>,
    /// The instances that already have all possible scores.
    pub unchanged: BTreeSet<TargetId>,
    /// The instances without a recent score.
    pub skipped: BTreeMap<TargetId, Skipped>,
    /// Datapoints that came after a later one had its score.
    pub late: usize,
    /// How long it took to score them, baselines included.
    pub scoring: Duration,
    /// How many metrics were requested.
    pub reads: u64,
}

/// The number of slots at the end of a run's time in which a datapoint may well be new.
const ON_TIME: i64 = 3;

impl Fleet {
    /// An empty result for a run over `times` (seconds since 1970, aligned, not empty).
    pub fn new(times: Range<i64>) -> Self {
        Self {
            times,
            scored: BTreeMap::new(),
            unchanged: BTreeSet::new(),
            skipped: BTreeMap::new(),
            late: 0,
            scoring: Duration::ZERO,
            reads: 0,
        }
    }

    /// Notes that an instance was not scored, unless it was.
    pub fn skip(&mut self, instance: TargetId, reason: Skip, why: impl ToString) {
        if !self.scored.contains_key(&instance) {
            self.skipped.insert(instance, Skipped { reason, why: why.to_string() });
        }
    }

    /// Whether there is a result for an instance.
    pub fn has(&self, instance: &TargetId) -> bool {
        self.scored.contains_key(instance)
            || self.unchanged.contains(instance)
            || self.skipped.contains_key(instance)
    }

    /// Whether the instance was read successfully up to its newest datapoints.
    pub fn looked_at(&self, instance: &TargetId) -> bool {
        let unread = |skipped: &Skipped| !matches!(skipped.reason, Skip::NoDatapoints);
        !self.skipped.get(instance).is_some_and(unread)
    }

    /// How many instances there are, scored or not.
    pub fn seen(&self) -> usize {
        self.scored.len() + self.unchanged.len() + self.skipped.len()
    }

    /// How many were skipped, by reason.
    pub fn reasons(&self) -> BTreeMap<Skip, usize> {
        let mut reasons = BTreeMap::new();
        self.skipped.values().for_each(|skipped| *reasons.entry(skipped.reason).or_insert(0) += 1);
        reasons
    }

    /// The start of the newest slot that is possible, in seconds since 1970.
    pub fn newest_slot(&self) -> i64 {
        self.times.end - PERIOD
    }

    /// The start of the newest datapoint that was scored, in seconds since 1970.
    pub fn newest_datapoint(&self) -> Option<i64> {
        self.scored.values().filter_map(|scored| scored.last()).map(|scored| scored.time).max()
    }

    /// The times of all new scores, in seconds since 1970.
    pub fn times_scored(&self) -> BTreeSet<i64> {
        self.scored.values().flatten().map(|scored| scored.time).collect()
    }

    /// The new scores that an earlier run would have given, had it seen the datapoints: how many,
    /// and the time of the oldest.
    pub fn caught_up(&self) -> (usize, Option<i64>) {
        let before = self.times.end - ON_TIME * PERIOD;
        let times = || {
            self.scored.values().flatten().map(|scored| scored.time).filter(|time| *time < before)
        };
        (times().count(), times().min())
    }

    /// Each muted instance that would have been anomalous, with its newest datapoint that is.
    pub fn suppressed(&self) -> impl Iterator<Item = (&TargetId, &Scored)> {
        let is_one = |scored: &&Scored| scored.muted && scored.score.is_anomalous();
        self.scored
            .iter()
            .filter_map(move |(instance, scored)| Some((instance, scored.iter().rfind(is_one)?)))
    }

    /// The muted datapoints that would have been anomalous.
    pub fn suppressed_datapoints(&self) -> usize {
        let is_one = |scored: &&Scored| scored.muted && scored.score.is_anomalous();
        self.scored.values().flatten().filter(is_one).count()
    }

    /// Each instance in which an anomaly begins or gets worse, with the datapoint at which it does
    /// (the last of them), highest score first.
    pub fn anomalous(&self) -> Vec<(&TargetId, &Scored)> {
        let worst = |scored: &'_ Vec<Scored>| scored.iter().rposition(Scored::is_alarm);
        let mut anomalous: Vec<(&TargetId, &Scored)> = self
            .scored
            .iter()
            .filter_map(|(instance, scored)| Some((instance, &scored[worst(scored)?])))
            .collect();
        anomalous.sort_by(|(_, a), (_, b)| b.score.value().total_cmp(&a.score.value()));
        anomalous
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{instance, lasting, scored};

    #[test]
    fn anomalous_instances_come_highest_first_with_the_datapoint_of_their_alarm() {
        let mut fleet = Fleet::new(0..1500);
        fleet.scored.insert(instance(1), vec![scored(0, 1.5), scored(300, 0.1)]);
        fleet.scored.insert(instance(2), vec![scored(0, 0.9)]);
        fleet.scored.insert(instance(3), vec![scored(0, 2.0), scored(300, 4.0), lasting(600, 4.0)]);
        fleet.scored.insert(instance(4), vec![lasting(0, 9.0)]);
        let anomalous: Vec<_> = fleet
            .anomalous()
            .iter()
            .map(|(instance, scored)| ((*instance).clone(), scored.time))
            .collect();
        assert_eq!(anomalous, [(instance(3), 300), (instance(1), 0)]);
        assert_eq!(fleet.newest_datapoint(), Some(600));
        assert_eq!(fleet.caught_up(), (6, Some(0)));
        assert_eq!(Fleet::new(0..300).newest_datapoint(), None);
        let muted = |time, score| Scored { muted: true, ..scored(time, score) };
        fleet.scored.insert(instance(5), vec![muted(0, 3.0), muted(300, 2.0), muted(600, 0.5)]);
        let suppressed: Vec<_> =
            fleet.suppressed().map(|(instance, scored)| (instance.clone(), scored.time)).collect();
        assert_eq!(suppressed, [(instance(5), 300)]);
    }

    #[test]
    fn everyone_is_counted_once() {
        let mut fleet = Fleet::new(0..1500);
        fleet.scored.insert(instance(1), vec![scored(0, 1.5)]);
        fleet.unchanged.insert(instance(2));
        [(3, Skip::NoBaseline), (4, Skip::ReadFailed), (5, Skip::ReadFailed)]
            .into_iter()
            .for_each(|(number, reason)| fleet.skip(instance(number), reason, "because"));
        assert_eq!(fleet.seen(), 5);
        assert_eq!(fleet.reasons(), [(Skip::NoBaseline, 1), (Skip::ReadFailed, 2)].into());
    }
}
