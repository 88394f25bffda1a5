//! The metrics: what a run's result is called in CloudWatch.

use std::collections::{BTreeMap, BTreeSet};

use deepguard::Scored;
use deepguard::track::LATE;
use serde::{Deserialize, Serialize};

use crate::fleet::Skip;
use crate::names::InstanceId;

/// A metric that the detector publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Metric {
    /// How unusual an instance's CPU is.
    AnomalyScore,
    /// How far it is from the network's reconstruction.
    ReconstructionError,
    /// In how many instances an alarm begins.
    AnomalousInstances,
    /// How many instances have a score.
    InstancesScored,
    /// The highest score of all.
    MaxAnomalyScore,
    /// How many instances have none.
    InstancesSkipped,
    /// How old the newest score is.
    DataLagSeconds,
    /// How many datums could not be published.
    PublishFailures,
    /// How old the model is.
    ModelAgeDays,
    /// How old the oldest baseline is that was used.
    BaselineAgeHours,
    /// How many muted instances would be anomalous.
    SuppressedAnomalies,
    /// How many episodes last.
    OpenEpisodes,
    /// How many inputs are older than they should be.
    StaleInputs,
    /// What the shadow makes of an instance.
    ShadowAnomalyScore,
    /// In how many instances an alarm would begin with the shadow.
    ShadowAnomalousInstances,
    /// How many instances the shadow has scored.
    ShadowInstancesScored,
    /// The highest score that the shadow gives.
    ShadowMaxAnomalyScore,
}

/// The unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A ratio, or something that CloudWatch has no unit for.
    None,
    /// Percentage points of CPU.
    Percent,
    /// A number of instances or datums.
    Count,
    /// Seconds.
    Seconds,
}

/// The dimension of the metrics of one instance. Those of the fleet have none.
pub const DIMENSION: &str = "InstanceId";
/// The dimension that says why instances were skipped.
const REASON: &str = "Reason";

impl Metric {
    /// Every metric there is.
    pub const ALL: [Self; 17] = [
        Self::AnomalyScore,
        Self::ReconstructionError,
        Self::AnomalousInstances,
        Self::InstancesScored,
        Self::MaxAnomalyScore,
        Self::InstancesSkipped,
        Self::DataLagSeconds,
        Self::PublishFailures,
        Self::ModelAgeDays,
        Self::BaselineAgeHours,
        Self::SuppressedAnomalies,
        Self::OpenEpisodes,
        Self::StaleInputs,
        Self::ShadowAnomalyScore,
        Self::ShadowAnomalousInstances,
        Self::ShadowInstancesScored,
        Self::ShadowMaxAnomalyScore,
    ];

    /// Its name in CloudWatch.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AnomalyScore => "AnomalyScore",
            Self::ReconstructionError => "ReconstructionError",
            Self::AnomalousInstances => "AnomalousInstances",
            Self::InstancesScored => "InstancesScored",
            Self::MaxAnomalyScore => "MaxAnomalyScore",
            Self::InstancesSkipped => "InstancesSkipped",
            Self::DataLagSeconds => "DataLagSeconds",
            Self::PublishFailures => "PublishFailures",
            Self::ModelAgeDays => "ModelAgeDays",
            Self::BaselineAgeHours => "BaselineAgeHours",
            Self::SuppressedAnomalies => "SuppressedAnomalies",
            Self::OpenEpisodes => "OpenEpisodes",
            Self::StaleInputs => "StaleInputs",
            Self::ShadowAnomalyScore => "ShadowAnomalyScore",
            Self::ShadowAnomalousInstances => "ShadowAnomalousInstances",
            Self::ShadowInstancesScored => "ShadowInstancesScored",
            Self::ShadowMaxAnomalyScore => "ShadowMaxAnomalyScore",
        }
    }

    /// Its unit.
    pub const fn unit(self) -> Unit {
        match self {
            Self::AnomalyScore | Self::MaxAnomalyScore | Self::ModelAgeDays | Self::BaselineAgeHours => Unit::None,
            Self::ShadowAnomalyScore | Self::ShadowMaxAnomalyScore => Unit::None,
            Self::ReconstructionError => Unit::Percent,
            Self::AnomalousInstances | Self::InstancesScored | Self::InstancesSkipped | Self::PublishFailures => {
                Unit::Count
            }
            Self::SuppressedAnomalies | Self::OpenEpisodes | Self::StaleInputs => Unit::Count,
            Self::ShadowAnomalousInstances | Self::ShadowInstancesScored => Unit::Count,
            Self::DataLagSeconds => Unit::Seconds,
        }
    }

    /// Whether each instance has its own (with [`DIMENSION`]), or the fleet has one.
    pub const fn is_per_instance(self) -> bool {
        matches!(self, Self::AnomalyScore | Self::ReconstructionError | Self::ShadowAnomalyScore)
    }

    /// What it is called when it is the shadow's; `None` of what only the model in use has.
    pub const fn shadow(self) -> Option<Self> {
        match self {
            Self::AnomalyScore => Some(Self::ShadowAnomalyScore),
            Self::AnomalousInstances => Some(Self::ShadowAnomalousInstances),
            Self::InstancesScored => Some(Self::ShadowInstancesScored),
            Self::MaxAnomalyScore => Some(Self::ShadowMaxAnomalyScore),
            _ => None,
        }
    }

    /// What it says.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::AnomalyScore => "how unusual the instance's CPU is; 1.0 is the threshold",
            Self::ReconstructionError => "distance of the CPU from what the network expected, in percentage points",
            Self::AnomalousInstances => "instances in which an anomaly begins; one that lasts is counted once",
            Self::InstancesScored => "instances that have a score",
            Self::MaxAnomalyScore => "the highest score of all instances",
            Self::InstancesSkipped => "instances that could not be scored, in all and by `Reason`; the log says why",
            Self::DataLagSeconds => "age of the newest datapoint that has a score",
            Self::PublishFailures => "datums and events that AWS did not take; the next run sends them",
            Self::ModelAgeDays => "days since the model was trained",
            Self::BaselineAgeHours => "hours since midnight UTC of the day that the oldest baseline in use is of",
            Self::SuppressedAnomalies => "muted instances that would have been anomalous",
            Self::OpenEpisodes => "anomalies that have begun and are not over",
            Self::StaleInputs => {
                "inputs (model, shadow, mutes, tags) that could not be had, so that the last good ones are in use"
            }
            Self::ShadowAnomalyScore => "the same score by the shadow model",
            Self::ShadowAnomalousInstances => "instances in which an anomaly would begin with the shadow model",
            Self::ShadowInstancesScored => "instances that the shadow model has scored",
            Self::ShadowMaxAnomalyScore => "the highest score that the shadow model gives",
        }
    }
}

/// Whose a datum is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Of {
    /// The fleet's.
    Fleet,
    /// One instance's.
    Instance(InstanceId),
    /// That of those instances that were skipped for this reason.
    Skipped(Skip),
}

/// One value of one metric at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Datum {
    /// Which metric.
    pub metric: Metric,
    /// Whose.
    pub of: Of,
    /// The time stamp of the CPU datapoint that it is about, in seconds since 1970.
    pub time: i64,
    /// In the metric's unit.
    pub value: f64,
}

impl Datum {
    /// Name and value of its dimension, where it has one.
    pub fn dimension(&self) -> Option<(&str, &str)> {
        match &self.of {
            Of::Fleet => None,
            Of::Instance(instance) => Some((DIMENSION, instance.as_str())),
            Of::Skipped(reason) => Some((REASON, reason.name())),
        }
    }

    fn of_fleet(metric: Metric, time: i64, value: f64) -> Self {
        Self { metric, of: Of::Fleet, time, value }
    }
}

/// Which scores of an instance are published. Those of the fleet always are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// All of them.
    Full,
    /// Those from this one on, and the [`TAIL`] after each: a metric costs by the hour in which it is sent.
    Sparse {
        /// A score; 1.0 is the threshold.
        from: f64,
    },
}

/// How many scores are published after the last one that was worth it, so that an alarm sees the recovery: half an hour.
pub const TAIL: u8 = 6;

impl Mode {
    /// What is published of an instance's new scores, oldest first. `tail` is how many are still to be sent, whatever they are.
    /// Of muted ones nothing is: alarms stand on these metrics.
    pub fn datums(self, instance: &InstanceId, scored: &[Scored], tail: &mut u8) -> Vec<Datum> {
        let mut datums = Vec::new();
        for scored in scored.iter().filter(|scored| !scored.muted) {
            let worth = match self {
                Self::Full => true,
                Self::Sparse { from } => scored.score.value() >= from,
            };
            if worth {
                *tail = TAIL;
            } else if *tail > 0 {
                *tail -= 1;
            } else {
                continue;
            }
            let datum = |metric, value| Datum { metric, of: Of::Instance(instance.clone()), time: scored.time, value };
            datums.push(datum(Metric::AnomalyScore, scored.score.value()));
            datums.push(datum(Metric::ReconstructionError, scored.reconstruction_error()));
        }
        datums
    }
}

/// How long, in seconds, the fleet's numbers at a time are remembered.
pub const TALLIED: i64 = 2 * LATE;

/// What is known of the fleet at each time: it grows as scores come, so that what is published of a time again is never less.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally(BTreeMap<i64, Counted>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Counted {
    scored: u32,
    anomalous: u32,
    suppressed: u32,
    highest: f64,
}

impl Tally {
    /// Takes a score in.
    pub fn add(&mut self, scored: &Scored) {
        let slot = self.0.entry(scored.time).or_default();
        slot.scored = slot.scored.saturating_add(1);
        if scored.muted {
            slot.suppressed = slot.suppressed.saturating_add(u32::from(scored.score.is_anomalous()));
        } else {
            slot.highest = slot.highest.max(scored.score.value());
        }
    }

    /// Takes in that an episode begins at `time` (seconds since 1970).
    pub fn begins(&mut self, time: i64) {
        let slot = self.0.entry(time).or_default();
        slot.anomalous = slot.anomalous.saturating_add(1);
    }

    /// Forgets what was before `time` (seconds since 1970).
    pub fn forget(&mut self, time: i64) {
        self.0 = self.0.split_off(&time);
    }

    /// Whether there is a score at or after `time` (seconds since 1970).
    pub fn has_since(&self, time: i64) -> bool {
        self.0.range(time..).next().is_some()
    }

    /// What is published of the fleet at `times` (seconds since 1970).
    pub fn datums(&self, times: &BTreeSet<i64>) -> Vec<Datum> {
        let at = |&time: &i64| {
            let Counted { scored, anomalous, suppressed, highest } = self.0.get(&time).copied().unwrap_or_default();
            [
                Datum::of_fleet(Metric::AnomalousInstances, time, anomalous.into()),
                Datum::of_fleet(Metric::InstancesScored, time, scored.into()),
                Datum::of_fleet(Metric::MaxAnomalyScore, time, highest),
                Datum::of_fleet(Metric::SuppressedAnomalies, time, suppressed.into()),
            ]
        };
        times.iter().flat_map(at).collect()
    }
}

/// What is only true of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Gauges {
    /// Instances that could not be scored, by reason.
    pub skipped: BTreeMap<Skip, usize>,
    /// Seconds from the end of the newest datapoint that has a score to the run's time.
    pub lag: Option<i64>,
    /// Datums that CloudWatch did not take.
    pub failures: usize,
    /// Days since the model was trained.
    pub model_days: Option<f64>,
    /// Hours since the midnight of the oldest baseline in use.
    pub baseline_hours: Option<f64>,
    /// Whether no instance has a score lately: an empty fleet is not a silent detector.
    pub nothing_scored: bool,
    /// Episodes that last.
    pub open_episodes: usize,
    /// Inputs that could not be had, so that older ones are in use.
    pub stale: usize,
}

impl Gauges {
    /// As datums at `time` (seconds since 1970).
    pub fn datums(&self, time: i64) -> Vec<Datum> {
        let of_fleet = |metric, value| Datum::of_fleet(metric, time, value);
        let mut datums = vec![
            of_fleet(Metric::InstancesSkipped, self.skipped.values().sum::<usize>() as f64),
            of_fleet(Metric::PublishFailures, self.failures as f64),
            of_fleet(Metric::OpenEpisodes, self.open_episodes as f64),
            of_fleet(Metric::StaleInputs, self.stale as f64),
        ];
        datums.extend(self.skipped.iter().map(|(&reason, &instances)| Datum {
            metric: Metric::InstancesSkipped,
            of: Of::Skipped(reason),
            time,
            value: instances as f64,
        }));
        datums.extend(self.nothing_scored.then(|| of_fleet(Metric::InstancesScored, 0.0)));
        datums.extend(self.lag.map(|lag| of_fleet(Metric::DataLagSeconds, lag as f64)));
        datums.extend(self.model_days.map(|days| of_fleet(Metric::ModelAgeDays, days)));
        datums.extend(self.baseline_hours.map(|hours| of_fleet(Metric::BaselineAgeHours, hours)));
        datums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{instance, lasting, scored};

    fn values(datums: &[Datum]) -> Vec<(&'static str, i64, f64)> {
        datums.iter().map(|datum| (datum.metric.name(), datum.time, datum.value)).collect()
    }

    #[test]
    fn the_fleet_is_counted_at_each_time_and_never_less() {
        let mut tally = Tally::default();
        let muted = Scored { muted: true, ..scored(1200, 9.0) };
        [scored(600, 0.5), scored(900, 1.0), lasting(1200, 2.0), muted].iter().for_each(|scored| tally.add(scored));
        tally.begins(900);
        let all = |tally: &Tally| values(&tally.datums(&[600, 900, 1200].into()));
        let at = |time, anomalous, scored, highest| {
            let suppressed = if time == 1200 { 1.0 } else { 0.0 };
            [
                ("AnomalousInstances", time, anomalous),
                ("InstancesScored", time, scored),
                ("MaxAnomalyScore", time, highest),
                ("SuppressedAnomalies", time, suppressed),
            ]
        };
        assert_eq!(all(&tally), [at(600, 0.0, 1.0, 0.5), at(900, 1.0, 1.0, 1.0), at(1200, 0.0, 2.0, 2.0)].concat());
        tally.add(&scored(900, 0.2));
        assert_eq!(values(&tally.datums(&[900].into())), at(900, 1.0, 2.0, 1.0));
        assert!(tally.has_since(1200) && !tally.has_since(1201));
        tally.forget(900);
        assert_eq!(values(&tally.datums(&[600].into())), at(600, 0.0, 0.0, 0.0));
    }

    #[test]
    fn in_sparse_mode_what_is_worth_it_is_sent_and_half_an_hour_after_it() {
        let scores = [0.1, 0.79, 0.8, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 1.5, 0.2];
        let all: Vec<Scored> =
            scores.iter().enumerate().map(|(slot, &score)| scored(slot as i64 * 300, score)).collect();
        let sent = |mode: Mode, portion: usize| {
            let mut tail = 0;
            let datums: Vec<Datum> =
                all.chunks(portion).flat_map(|scored| mode.datums(&instance(1), scored, &mut tail)).collect();
            assert!(datums.iter().all(|datum| datum.metric.is_per_instance()));
            datums.iter().step_by(2).map(|datum| datum.time / 300).collect::<Vec<_>>()
        };
        for portion in [1, 4, 100] {
            assert_eq!(sent(Mode::Sparse { from: 0.8 }, portion), [2, 3, 4, 5, 6, 7, 8, 11, 12]);
            assert_eq!(sent(Mode::Full, portion), (0..13).collect::<Vec<_>>());
        }
        assert_eq!(sent(Mode::Sparse { from: 2.0 }, 1), [] as [i64; 0]);
    }

    #[test]
    fn a_run_says_what_it_did_not_see() {
        let gauges = Gauges {
            skipped: [(Skip::ReadFailed, 2), (Skip::NoBaseline, 1)].into(),
            lag: Some(600),
            failures: 3,
            model_days: Some(1.5),
            baseline_hours: None,
            nothing_scored: true,
            open_episodes: 2,
            stale: 1,
        };
        let datums = gauges.datums(900);
        let named: Vec<_> = datums.iter().map(|datum| (datum.metric.name(), datum.dimension(), datum.value)).collect();
        let expected = [
            ("InstancesSkipped", None, 3.0),
            ("PublishFailures", None, 3.0),
            ("OpenEpisodes", None, 2.0),
            ("StaleInputs", None, 1.0),
            ("InstancesSkipped", Some(("Reason", "no_baseline")), 1.0),
            ("InstancesSkipped", Some(("Reason", "read_failed")), 2.0),
            ("InstancesScored", None, 0.0),
            ("DataLagSeconds", None, 600.0),
            ("ModelAgeDays", None, 1.5),
        ];
        assert_eq!(named, expected);
        assert!(datums.iter().all(|datum| datum.time == 900));
    }
}
