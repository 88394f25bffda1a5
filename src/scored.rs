//! A datapoint and its score.

use serde::{Deserialize, Serialize};

use crate::baseline::Phase;
use crate::channel::Channel;
use crate::score::Score;
use crate::shape::Finding;

/// One judged datapoint. Values in percent, distances in percentage points.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// Start of the datapoint's period, in seconds since 1970.
    pub time: i64,
    /// The measured CPU.
    pub observed: f64,
    /// The CPU that the network expected; `None` where too much of its window was missing.
    pub reconstruction: Option<f64>,
    /// The CPU expected five minutes before: the instance's own forecast, corrected by the network.
    pub expected: f64,
    /// The lower end of the band: under it, this datapoint alone is an anomaly.
    pub low: f64,
    /// The upper end of the band.
    pub high: f64,
    /// How unusual the datapoint is, by the channel with the highest score.
    pub score: Score,
    /// That channel; `None` where the value is frozen.
    pub channel: Option<Channel>,
    /// Whether an alarm may begin here: the score is higher than each of the day before.
    pub surpasses: bool,
    /// The usual value at the hour: from the daily or the weekly profile, whichever is nearer.
    pub usual: f64,
    /// The same as the score, except for a frozen value: there it stays up as long as the value
    /// stays frozen.
    pub severity: Score,
    /// Whether this datapoint alone is an anomaly: outside of the band.
    pub outside: bool,
    /// The description of the anomaly, where the severity is that of an anomaly.
    pub finding: Option<Finding>,
    /// Whether the instance was muted at that time: the score raises no alarm, and the value was
    /// not learnt from.
    pub muted: bool,
    /// How much history the score rests on.
    pub phase: Phase,
}

impl Scored {
    /// Whether an alarm begins here: an anomaly, and worse than all scores of the day before. So an
    /// episode has one alarm, and a second one only if it gets worse. A muted datapoint raises no
    /// alarm.
    pub fn is_alarm(&self) -> bool {
        self.score.is_anomalous() && self.surpasses && !self.muted
    }

    /// How far the value is above the usual one at the hour, in percentage points.
    pub fn deviation(&self) -> f64 {
        self.observed - self.usual
    }

    /// `|observed - reconstruction|` in percentage points; the distance from the expected value
    /// where the network did not run.
    pub fn reconstruction_error(&self) -> f64 {
        (self.observed - self.reconstruction.unwrap_or(self.expected)).abs()
    }
}
