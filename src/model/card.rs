//! The card of an artifact: how to use it, and how it was made.

use serde::{Deserialize, Serialize};

use crate::channel::{CHANNELS, Channel, Measure};
use crate::model::Dimensions;

/// The card of an artifact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// SHA-256 of the file, in hexadecimal. First, so that it is found before anything a file name
    /// could hold.
    pub(super) checksum: String,
    /// Version of this format.
    pub format: u32,
    /// Shape of the network.
    pub shape: Dimensions,
    /// How CPU is scaled before the network sees it.
    pub scaling: String,
    /// Ratio of a residual to the usual one that makes a score of 1.0.
    pub threshold: f64,
    /// Largest error of an ordinary day, by [`crate::channel::Channel`], in units of the machine's
    /// scale: the usual error for a sequence that has no past.
    pub borrowed_usual: [f64; CHANNELS],
    /// How much the usual errors of a young instance still grow.
    #[serde(flatten)]
    pub growth: Growth,
    /// The record of the training.
    pub training: Training,
    /// False alarms by threshold, thresholds rising. Empty where they were not measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pages: Vec<FalsePages>,
}

/// How much the usual errors of a young instance still grow until it is two weeks old. Each number
/// of days from 0 on has a factor of at least 1. Where a table ends it is 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// Of the errors of forecasts, by days of scores.
    #[serde(rename = "growth")]
    pub forecasts: Vec<f64>,
    /// Of the stretches that lie on one side of the median, by days of scores.
    #[serde(default, rename = "growth_of_records")]
    pub records: Vec<f64>,
    /// Of the longest run of unchanged values, by days of history.
    #[serde(default, rename = "growth_of_runs")]
    pub runs: Vec<f64>,
}

impl Growth {
    /// Of the usual error of `channel` after this number of `days` of scores.
    pub fn of(&self, channel: Channel, days: usize) -> f64 {
        let table = match channel.measure() {
            Measure::Forecast { .. } | Measure::Peers { .. } => &self.forecasts,
            Measure::Record { .. } => &self.records,
        };
        table.get(days).copied().unwrap_or(1.0)
    }

    /// Of the longest run of unchanged values after this number of `days` of history.
    pub fn of_run(&self, days: usize) -> f64 {
        self.runs.get(days).copied().unwrap_or(1.0)
    }
}

/// How often a threshold raises a false alarm, measured on machines that were not trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FalsePages {
    /// Ratio of a residual to the usual one that makes a score of 1.0.
    pub threshold: f64,
    /// False alarms that one instance has in a week.
    pub per_instance_week: f64,
    /// How sure that is: 95 % of resampled machines lie between. `None` where it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
}

/// The ends of an interval are at most this factor apart where the rate is sure: it rests on ten
/// pages or more. ...
const SURE_WITHIN: f64 = 4.0;
/// ... A rate without an interval is sure from here on.
const SURE: f64 = 0.02;

impl FalsePages {
    /// Whether the rate rests on more than a few pages.
    pub fn is_sure(&self) -> bool {
        match self.interval {
            Some([low, high]) => low > 0.0 && high <= SURE_WITHIN * low,
            None => self.per_instance_week >= SURE,
        }
    }
}

impl Card {
    /// The threshold with this number of false alarms per instance and week. Between two entries of
    /// the table it interpolates linearly; beyond the ends it takes the nearer one. `None` where
    /// the table is empty.
    pub fn threshold_for(&self, per_instance_week: f64) -> Option<f64> {
        let above =
            self.pages.iter().position(|pages| pages.per_instance_week <= per_instance_week);
        match above {
            Some(0) => self.pages.first().map(|first| first.threshold),
            Some(index) => {
                let (loose, strict) = (self.pages[index - 1], self.pages[index]);
                let part = (loose.per_instance_week - per_instance_week)
                    / (loose.per_instance_week - strict.per_instance_week);
                Some(loose.threshold + part * (strict.threshold - loose.threshold))
            }
            None => self.pages.last().map(|last| last.threshold),
        }
    }

    /// The false alarms per instance and week that `threshold` has, by the same table. `None` where
    /// it is empty.
    pub fn pages_at(&self, threshold: f64) -> Option<f64> {
        let above = self.pages.iter().position(|pages| pages.threshold >= threshold);
        match above {
            Some(0) => self.pages.first().map(|first| first.per_instance_week),
            Some(index) => {
                let (loose, strict) = (self.pages[index - 1], self.pages[index]);
                let part = (threshold - loose.threshold) / (strict.threshold - loose.threshold);
                Some(
                    loose.per_instance_week
                        + part * (strict.per_instance_week - loose.per_instance_week),
                )
            }
            None => self.pages.last().map(|last| last.per_instance_week),
        }
    }
}

/// The record of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// The date of the training as it was given, `YYYY-MM-DD`.
    pub date: String,
    /// Version of the crate that trained.
    pub crate_version: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Passes over the windows.
    pub epochs: usize,
    /// Windows in each pass.
    pub windows: usize,
    /// Mean loss of the last pass.
    pub loss: f64,
    /// Reconstruction error of the newest datapoint on the training windows, in percentage points.
    pub error: ErrorQuantiles,
    /// The files that it was trained on.
    pub files: Vec<TrainedOn>,
    /// Number of generated machines that it was trained on beside them.
    pub generated: usize,
    /// The part from an account's own instances; `None` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<Fleet>,
}

/// The part of a training that came from an account's own instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fleet {
    /// Version of the artifact that the training started from; `None` where it started from
    /// scratch.
    pub tuned_from: Option<String>,
    /// Days of history that were asked for.
    pub days: usize,
    /// Instances whose history was used.
    pub instances: usize,
    /// Datapoints that were used.
    pub datapoints: usize,
    /// Datapoints that were left out.
    pub left_out_datapoints: usize,
    /// Stretches that were left out.
    pub left_out_stretches: usize,
    /// The stretches that were left out; only the first ones of a large fleet.
    pub left_out: Vec<LeftOut>,
}

/// A stretch of an instance's history that was not trained on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its id, such as `i-0123456789abcdef0`.
    pub instance: String,
    /// When it begins, in seconds since 1970.
    pub from: i64,
    /// When it is over, in seconds since 1970.
    pub until: i64,
    /// Why it was left out.
    pub why: Why,
}

/// Why a stretch of history was not trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It was muted.
    Muted,
    /// A person has confirmed that it is an anomaly.
    Confirmed,
    /// The previous model finds it clearly anomalous.
    Contaminated,
}

/// A distribution of reconstruction errors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ErrorQuantiles {
    /// Median.
    pub p50: f64,
    /// 95 %.
    pub p95: f64,
    /// 99 %.
    pub p99: f64,
    /// Largest.
    pub max: f64,
}

/// One file of the training data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainedOn {
    /// Name, with its folder in NAB.
    pub name: String,
    /// SHA-256 of the whole file.
    pub sha256: String,
    /// Datapoints of it that were used, counted from its beginning.
    pub datapoints: usize,
}
