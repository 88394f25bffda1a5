//! What a run found out: the scores of the instances that have some, and why the others have none.

use std::collections::BTreeMap;
use std::ops::Range;

use deepguard::detector::{Scored, rebuild_from};
use deepguard::series::{PERIOD, SeriesError};
use deepguard::{Datapoint, Detector, Series, Watch};

use crate::names::InstanceId;

/// Why an instance was not scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Skip {
    /// It has no datapoint in the stretch that is scored: it has just started, or stopped.
    NoDatapoints,
    /// It has not run for long enough to say what is usual for it.
    NoBaseline,
    /// What it has are no measurements.
    Unusable,
    /// Its datapoints could not be read.
    ReadFailed,
    /// There was no time left for it in this run.
    OutOfTime,
}

impl Skip {
    /// Its name in the summary and in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoDatapoints => "no_datapoints",
            Self::NoBaseline => "no_baseline",
            Self::Unusable => "unusable",
            Self::ReadFailed => "read_failed",
            Self::OutOfTime => "out_of_time",
        }
    }
}

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
    /// The stretch that was scored, in seconds since 1970.
    pub times: Range<i64>,
    /// The scores of each instance, at least one, oldest first.
    pub scored: BTreeMap<InstanceId, Vec<Scored>>,
    /// The instances that have none.
    pub skipped: BTreeMap<InstanceId, Skipped>,
}

impl Fleet {
    /// Nothing scored yet of the stretch `times` (seconds since 1970, aligned, not empty).
    pub fn new(times: Range<i64>) -> Self {
        Self { times, scored: BTreeMap::new(), skipped: BTreeMap::new() }
    }

    /// Scores an instance by its `datapoints`, or says why it cannot. What is known of the instance is left at the beginning of
    /// the stretch that is scored: the next run scores the overlap again, late datapoints included.
    pub fn score(
        &mut self,
        detector: &Detector,
        instance: InstanceId,
        datapoints: Vec<Datapoint>,
        known: &mut Option<Watch>,
    ) {
        let series = match Series::from_datapoints(datapoints) {
            Ok((series, _)) => series,
            Err(error @ SeriesError::Empty { given: 0 }) => return self.skip(instance, Skip::NoDatapoints, error),
            Err(error) => return self.skip(instance, Skip::Unusable, error),
        };
        let watch = known.get_or_insert_with(|| detector.begin(&series, rebuild_from(self.times.end)));
        detector.follow(&series, watch, self.times.start);
        let mut ahead = watch.clone();
        let scored = detector.follow(&series, &mut ahead, self.times.end);
        if !scored.is_empty() {
            self.scored.insert(instance, scored);
        } else if series.between(self.times.start, self.times.end).next().is_none() {
            self.skip(instance, Skip::NoDatapoints, "no datapoint in the stretch that is scored");
        } else {
            let why = "less than a day of datapoints before midnight UTC: nobody can say yet what is usual for it";
            self.skip(instance, Skip::NoBaseline, why);
        }
    }

    /// Notes that an instance was not scored.
    pub fn skip(&mut self, instance: InstanceId, reason: Skip, why: impl ToString) {
        self.skipped.insert(instance, Skipped { reason, why: why.to_string() });
    }

    /// How many instances there are, scored or not.
    pub fn seen(&self) -> usize {
        self.scored.len() + self.skipped.len()
    }

    /// The start of the newest slot that was to be scored, in seconds since 1970.
    pub fn newest_slot(&self) -> i64 {
        self.times.end - PERIOD
    }

    /// The start of the newest datapoint that was scored, in seconds since 1970.
    pub fn newest_datapoint(&self) -> Option<i64> {
        self.scored.values().flatten().map(|scored| scored.time).max()
    }

    /// Each instance in which an alarm begins, with the datapoint at which it does (the last, if it gets worse), highest
    /// score first.
    pub fn anomalous(&self) -> Vec<(&InstanceId, &Scored)> {
        let worst = |scored: &'_ Vec<Scored>| scored.iter().rposition(Scored::is_alarm);
        let mut anomalous: Vec<(&InstanceId, &Scored)> =
            self.scored.iter().filter_map(|(instance, scored)| Some((instance, &scored[worst(scored)?]))).collect();
        anomalous.sort_by(|(_, a), (_, b)| b.score.value().total_cmp(&a.score.value()));
        anomalous
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{builtin, instance, lasting, scored};
    use deepguard::series::DAY_SECONDS;

    #[test]
    fn each_kind_of_reason() {
        let detector = builtin();
        let times = 20 * DAY_SECONDS..20 * DAY_SECONDS + 1800;
        let points = |from: i64, to: i64, value: f64| -> Vec<Datapoint> {
            (from..to).step_by(PERIOD as usize).map(|time| Datapoint { time, value }).collect()
        };
        let cases = [
            (vec![], Skip::NoDatapoints),
            (points(18 * DAY_SECONDS, 20 * DAY_SECONDS, 3.0), Skip::NoDatapoints),
            (points(20 * DAY_SECONDS - 3600, times.end, 3.0), Skip::NoBaseline),
            (points(times.start, times.end, 3.0), Skip::NoBaseline),
            (points(10 * DAY_SECONDS, times.end, f64::NAN), Skip::Unusable),
            (vec![Datapoint { time: i64::MAX, value: 1.0 }], Skip::Unusable),
        ];
        for (datapoints, reason) in cases {
            let mut fleet = Fleet::new(times.clone());
            fleet.score(&detector, instance(1), datapoints, &mut None);
            assert_eq!(fleet.skipped[&instance(1)].reason, reason, "{}", fleet.skipped[&instance(1)].why);
            assert_eq!((fleet.seen(), fleet.scored.len()), (1, 0));
        }
    }

    #[test]
    fn anomalous_instances_come_highest_first_with_the_datapoint_of_their_alarm() {
        let mut fleet = Fleet::new(0..1500);
        fleet.scored.insert(instance(1), vec![scored(0, 1.5), scored(300, 0.1)]);
        fleet.scored.insert(instance(2), vec![scored(0, 0.9)]);
        fleet.scored.insert(instance(3), vec![scored(0, 2.0), scored(300, 4.0), lasting(600, 4.0)]);
        fleet.scored.insert(instance(4), vec![lasting(0, 9.0)]);
        let anomalous: Vec<_> =
            fleet.anomalous().iter().map(|(instance, scored)| ((*instance).clone(), scored.time)).collect();
        assert_eq!(anomalous, [(instance(3), 300), (instance(1), 0)]);
        assert_eq!(fleet.newest_datapoint(), Some(600));
        assert_eq!(Fleet::new(0..300).newest_datapoint(), None);
    }
}
