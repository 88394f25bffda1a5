//! The metrics: the names of a run's results in CloudWatch.

use serde::{Deserialize, Serialize};

use crate::ids::TargetId;

/// A metric that the detector publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Metric {
    /// How unusual an instance's CPU is.
    AnomalyScore,
    /// How far its CPU is from the network's reconstruction.
    ReconstructionError,
    /// In how many instances an alarm begins.
    AnomalousInstances,
    /// How many instances have a score.
    InstancesScored,
    /// The highest score of all.
    MaxAnomalyScore,
    /// How many instances have no score.
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
    /// How many episodes are open.
    OpenEpisodes,
    /// How many inputs are older than they should be.
    StaleInputs,
    /// An instance's score by the shadow.
    ShadowAnomalyScore,
    /// In how many instances an alarm would begin with the shadow.
    ShadowAnomalousInstances,
    /// How many instances the shadow has scored.
    ShadowInstancesScored,
    /// The highest score that the shadow gives.
    ShadowMaxAnomalyScore,
    /// The share of the instances that could be judged.
    Coverage,
    /// How many anomalies begin that are too weak for a page.
    Notices,
    /// The score from which on an anomaly pages.
    PageLevel,
    /// The CPU that was expected of an instance.
    ExpectedCPU,
    /// The lower end of its band.
    ExpectedLow,
    /// The upper end of its band.
    ExpectedHigh,
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

/// The dimension that says why instances were skipped.
const REASON: &str = "Reason";

impl Metric {
    /// All metrics, in the order of the catalogue.
    pub const ALL: [Self; 23] = [
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
        Self::Coverage,
        Self::Notices,
        Self::PageLevel,
        Self::ExpectedCPU,
        Self::ExpectedLow,
        Self::ExpectedHigh,
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
            Self::Coverage => "Coverage",
            Self::Notices => "Notices",
            Self::PageLevel => "PageLevel",
            Self::ExpectedCPU => "ExpectedCPU",
            Self::ExpectedLow => "ExpectedLow",
            Self::ExpectedHigh => "ExpectedHigh",
        }
    }

    /// Its unit.
    pub const fn unit(self) -> Unit {
        match self {
            Self::AnomalyScore
            | Self::MaxAnomalyScore
            | Self::ModelAgeDays
            | Self::BaselineAgeHours
            | Self::PageLevel => Unit::None,
            Self::ShadowAnomalyScore | Self::ShadowMaxAnomalyScore => Unit::None,
            Self::ReconstructionError | Self::Coverage => Unit::Percent,
            Self::ExpectedCPU | Self::ExpectedLow | Self::ExpectedHigh => Unit::Percent,
            Self::AnomalousInstances
            | Self::InstancesScored
            | Self::InstancesSkipped
            | Self::PublishFailures
            | Self::Notices => Unit::Count,
            Self::SuppressedAnomalies | Self::OpenEpisodes | Self::StaleInputs => Unit::Count,
            Self::ShadowAnomalousInstances | Self::ShadowInstancesScored => Unit::Count,
            Self::DataLagSeconds => Unit::Seconds,
        }
    }

    /// Whether each instance has its own (with the dimension of its CPU), or the fleet has one.
    pub const fn is_per_instance(self) -> bool {
        matches!(self, Self::AnomalyScore | Self::ReconstructionError | Self::ShadowAnomalyScore)
            || self.is_of_band()
    }

    /// Whether it is a part of an instance's band, which has a mode of its own.
    pub const fn is_of_band(self) -> bool {
        matches!(self, Self::ExpectedCPU | Self::ExpectedLow | Self::ExpectedHigh)
    }

    /// Whether it describes one run, rather than the time of a datapoint.
    pub const fn is_gauge(self) -> bool {
        matches!(
            self,
            Self::InstancesSkipped
                | Self::DataLagSeconds
                | Self::PublishFailures
                | Self::ModelAgeDays
                | Self::BaselineAgeHours
                | Self::OpenEpisodes
                | Self::StaleInputs
                | Self::Coverage
                | Self::Notices
                | Self::PageLevel
        )
    }

    /// Whether it is the shadow's.
    pub fn is_of_shadow(self) -> bool {
        Self::ALL.into_iter().any(|metric| metric.shadow() == Some(self))
    }

    /// The shadow's version of this metric; `None` for metrics that only the model in use has.
    pub const fn shadow(self) -> Option<Self> {
        match self {
            Self::AnomalyScore => Some(Self::ShadowAnomalyScore),
            Self::AnomalousInstances => Some(Self::ShadowAnomalousInstances),
            Self::InstancesScored => Some(Self::ShadowInstancesScored),
            Self::MaxAnomalyScore => Some(Self::ShadowMaxAnomalyScore),
            _ => None,
        }
    }

    /// A description of the metric.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::AnomalyScore => "how unusual the instance's CPU is; 1.0 is the threshold",
            Self::ReconstructionError => {
                "distance of the CPU from what the network expected, in percentage points"
            }
            Self::AnomalousInstances => {
                "instances in which an anomaly begins that pages, alone or with others; one that \
                 lasts is counted once"
            }
            Self::InstancesScored => "instances that have a score",
            Self::MaxAnomalyScore => "the highest score of all instances",
            Self::InstancesSkipped => {
                "instances that could not be scored, in all and by `Reason`; the log says why"
            }
            Self::DataLagSeconds => "age of the newest datapoint that has a score",
            Self::PublishFailures => {
                "datums, events, messages and states that AWS did not take; the next run tries \
                 again"
            }
            Self::ModelAgeDays => "days since the model was trained",
            Self::BaselineAgeHours => {
                "hours since midnight UTC of the day that the oldest baseline in use is of"
            }
            Self::SuppressedAnomalies => "muted instances that would have been anomalous",
            Self::OpenEpisodes => "anomalies that have begun and are not over",
            Self::StaleInputs => {
                "inputs (model, shadow, mutes, holidays, tags) that could not be had, so that the \
                 last good ones are in use"
            }
            Self::ShadowAnomalyScore => "the same score by the shadow model",
            Self::ShadowAnomalousInstances => {
                "instances in which an anomaly would begin with the shadow model"
            }
            Self::ShadowInstancesScored => "instances that the shadow model has scored",
            Self::ShadowMaxAnomalyScore => "the highest score that the shadow model gives",
            Self::Coverage => {
                "share of the instances with datapoints that could be judged; one that waits for \
                 its first score counts as judged"
            }
            Self::Notices => "anomalies that have begun in this run and are too weak for a page",
            Self::PageLevel => "the score from which on an anomaly of this deployment pages",
            Self::ExpectedCPU => "the CPU that was expected of the instance, in percent",
            Self::ExpectedLow => {
                "the lower end of its band: a value under it is an anomaly by itself"
            }
            Self::ExpectedHigh => {
                "the upper end of its band: a value above it is an anomaly by itself"
            }
        }
    }
}

/// Why an instance was not scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Skip {
    /// It has had no datapoint lately: it has just started, or stopped.
    NoDatapoints,
    /// Its history is too short to learn its usual behaviour.
    NoBaseline,
    /// The baseline of the day that has just begun is still to be made.
    AwaitsBaseline,
    /// Its datapoints are not valid measurements.
    Unusable,
    /// Its datapoints could not be read.
    ReadFailed,
    /// There was no time left for it in this run.
    OutOfTime,
}

impl Skip {
    /// All reasons.
    pub const ALL: [Self; 6] = [
        Self::NoDatapoints,
        Self::NoBaseline,
        Self::AwaitsBaseline,
        Self::Unusable,
        Self::ReadFailed,
        Self::OutOfTime,
    ];

    /// Its name in the summary, in the log and in CloudWatch.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoDatapoints => "no_datapoints",
            Self::NoBaseline => "no_baseline",
            Self::AwaitsBaseline => "awaits_baseline",
            Self::Unusable => "unusable",
            Self::ReadFailed => "read_failed",
            Self::OutOfTime => "out_of_time",
        }
    }

    /// A description of the cause.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::NoDatapoints => "the instance has sent no datapoints lately",
            Self::NoBaseline => "it had under half a day of datapoints before midnight or noon UTC",
            Self::AwaitsBaseline => "midnight has just passed, and the calibrator is still working",
            Self::Unusable => "it has no usable value, or impossible time stamps",
            Self::ReadFailed => "CloudWatch did not answer for it, or gave only a part",
            Self::OutOfTime => "the run ended before its turn",
        }
    }
}

/// The subject of a datum.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Of {
    /// The fleet.
    Fleet,
    /// One instance.
    Instance(TargetId),
    /// The instances that were skipped for this reason.
    Skipped(Skip),
}

/// One value of one metric at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Datum {
    /// The metric that it is a value of.
    pub metric: Metric,
    /// Its subject.
    pub of: Of,
    /// The time stamp of its CPU datapoint, in seconds since 1970.
    pub time: i64,
    /// In the metric's unit.
    pub value: f64,
}

impl Datum {
    /// Name and value of its dimension, where it has one.
    pub fn dimension(&self) -> Option<(&str, &str)> {
        match &self.of {
            Of::Fleet => None,
            Of::Instance(target) => {
                let (dimension, value) = target.dimension();
                Some((dimension.name(), value))
            }
            Of::Skipped(reason) => Some((REASON, reason.name())),
        }
    }

    /// One of the fleet.
    pub const fn of_fleet(metric: Metric, time: i64, value: f64) -> Self {
        Self { metric, of: Of::Fleet, time, value }
    }
}
