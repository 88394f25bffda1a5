//! What is usual for one instance, learnt from its own history.
//!
//! A baseline is made once a day, at midnight UTC, from the two weeks before. Every datapoint of
//! that day is scored against it, so a datapoint has one score, whichever run computes it.

pub mod level;
pub mod profile;
pub mod usual;

use serde::{Deserialize, Serialize};

use crate::series::{DAY, DAY_SECONDS, Series};
use level::Level;
use profile::Profile;
use usual::Usual;

/// Slots of history that a baseline is made of: 14 days. What is older changes nothing, so a datapoint has
/// the same score however much history was read.
pub const HISTORY: usize = 14 * DAY;
/// Datapoints without which there is no baseline: one day's worth.
pub const MIN_DATAPOINTS: usize = DAY;
/// Days of history from which an instance is judged by its own residuals alone.
pub const OWN_DAYS: usize = 3;

/// When the baseline for a datapoint at `time` is made: midnight UTC before it.
pub fn calibrated_at(time: i64) -> i64 {
    time.div_euclid(DAY_SECONDS) * DAY_SECONDS
}

/// How far an instance's own history carries its baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Under [`OWN_DAYS`] days: residuals that were usual in the training data stand in.
    Borrowed,
    /// The instance's own residuals alone.
    Own,
}

/// The values that an instance's history leads one to expect, before any network is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// Median and spread of the last 14 days.
    pub level: Level,
    /// Centre and spread by time of day.
    pub daily: Profile,
    /// Centre and spread by time of the week; only with two weeks of history.
    pub weekly: Option<Profile>,
}

impl Expectation {
    /// Learns from the slots of `history` that start before `at` (seconds since 1970).
    ///
    /// # Errors
    /// [`TooLittleHistory`] under one day's worth of datapoints.
    pub fn learn(history: &Series, at: i64) -> Result<Self, TooLittleHistory> {
        let end = history.index_at(at);
        let recent = end.saturating_sub(HISTORY)..end;
        let level = Level::of(history.present(recent).collect());
        match level {
            Some(level) if level.datapoints >= MIN_DATAPOINTS => Ok(Self {
                daily: Profile::daily(history, end, &level),
                weekly: Profile::weekly(history, end, &level),
                level,
            }),
            _ => Err(TooLittleHistory { at, datapoints: level.map_or(0, |level| level.datapoints) }),
        }
    }

    /// Days of history behind this expectation, counted in datapoints.
    pub fn days(&self) -> usize {
        self.level.datapoints / DAY
    }
}

/// What is usual for one instance from [`Self::at`] on, for one day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Made of the datapoints before this time, in seconds since 1970.
    pub at: i64,
    /// Whose residuals it rests on.
    pub phase: Phase,
    /// The values to expect.
    pub expectation: Expectation,
    /// The residuals to expect.
    pub usual: Usual,
}

/// An instance that has not been watched for long enough to say what is usual for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{datapoints} datapoints before time {at}, a baseline needs {MIN_DATAPOINTS} (one day): wait until the instance has run for longer"
)]
pub struct TooLittleHistory {
    /// The time the baseline was asked for, in seconds since 1970.
    pub at: i64,
    /// Datapoints there are.
    pub datapoints: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Datapoint, PERIOD};

    fn history(slots: usize) -> Series {
        let points = (0..slots).map(|i| Datapoint { time: i as i64 * PERIOD, value: (i % 7) as f64 });
        Series::from_datapoints(points).expect("usable").0
    }

    #[test]
    fn a_day_of_history_is_the_least() {
        let series = history(400);
        let at = |slots: i64| slots * PERIOD;
        assert_eq!(Expectation::learn(&series, at(287)).unwrap_err().datapoints, 287);
        assert_eq!(Expectation::learn(&series, at(288)).expect("enough").days(), 1);
        assert_eq!(Expectation::learn(&series, -5).unwrap_err().datapoints, 0);
    }

    #[test]
    fn nothing_from_the_calibration_on_is_learnt() {
        let mut points: Vec<_> = history(2 * DAY).datapoints().collect();
        let learn = |points: &[Datapoint]| {
            let series = Series::from_datapoints(points.iter().copied()).expect("usable").0;
            Expectation::learn(&series, DAY_SECONDS).expect("enough")
        };
        let before = learn(&points);
        points.iter_mut().filter(|p| p.time >= DAY_SECONDS).for_each(|p| p.value = 1e6);
        assert_eq!(before, learn(&points));
    }

    #[test]
    fn a_day_begins_at_midnight_utc() {
        assert_eq!(calibrated_at(0), 0);
        assert_eq!(calibrated_at(86_399), 0);
        assert_eq!(calibrated_at(86_400), 86_400);
        assert_eq!(calibrated_at(-1), -86_400);
    }
}
