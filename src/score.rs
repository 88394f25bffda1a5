//! The residual relative to the usual one of the instance. 1.0 is the threshold, everywhere.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::baseline::Baseline;
use crate::baseline::level::Level;
use crate::channel::{Channel, Measure};
use crate::compress::{compress, distance, expand};

/// How unusual a datapoint is. Exactly 1.0 is the threshold; it is not negative and always finite.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Score(f64);

/// The ratio of an error to the usual one that makes a score of 1.0: finite, and greater than 0.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Threshold(f64);

/// A number that is not a valid threshold.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} is no threshold: give a number greater than 0, such as 1.1")]
pub struct NotAThreshold(f64);

impl Threshold {
    /// The number.
    pub fn value(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Threshold {
    type Error = NotAThreshold;

    fn try_from(ratio: f64) -> Result<Self, NotAThreshold> {
        if ratio.is_finite() && ratio > 0.0 { Ok(Self(ratio)) } else { Err(NotAThreshold(ratio)) }
    }
}

impl FromStr for Threshold {
    type Err = NotAThreshold;

    fn from_str(text: &str) -> Result<Self, NotAThreshold> {
        text.trim().parse().unwrap_or(f64::NAN).try_into()
    }
}

/// The score of an anomaly begins here.
const THRESHOLD: f64 = 1.0;
/// A standard deviation, in percentage points, under which a machine hardly moves.
const STILL: f64 = 0.05;

impl Score {
    /// The score `value`: 0 where it is negative, and at most the largest number.
    pub(crate) fn of(value: f64) -> Self {
        Self(if value.is_nan() { 0.0 } else { value.clamp(0.0, f64::MAX) })
    }

    /// The number.
    pub fn value(self) -> f64 {
        self.0
    }

    /// Whether the threshold is reached.
    pub fn is_anomalous(self) -> bool {
        self.0 >= THRESHOLD
    }
}

/// The anomalies that an operator wants to ignore, however unusual they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sensitivity {
    /// A deviation smaller than this, in percentage points of CPU, is no anomaly.
    pub min_deviation: f64,
    /// Which way an anomaly goes.
    pub direction: Direction,
}

/// Which way from the expected value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Direction {
    /// More CPU than expected.
    Up,
    /// Less.
    Down,
    /// Either, including a value that does not change or goes both ways.
    #[default]
    Both,
}

impl Default for Sensitivity {
    /// Every anomaly counts.
    fn default() -> Self {
        Self { min_deviation: 0.0, direction: Direction::Both }
    }
}

impl Sensitivity {
    /// An anomalous score of a value that is `deviation` percentage points from the expected one
    /// (positive: above it). It is 0 in the other direction, and in proportion under the threshold
    /// where the deviation is too small. Any other score stays.
    pub(crate) fn limit(self, score: Score, deviation: impl FnOnce() -> f64) -> Score {
        if self == Self::default() || !score.is_anomalous() {
            return score;
        }
        let deviation = deviation();
        let wanted = match self.direction {
            Direction::Up => deviation > 0.0,
            Direction::Down => deviation < 0.0,
            Direction::Both => true,
        };
        match wanted {
            false => Score(0.0),
            true if deviation.abs() < self.min_deviation => {
                Score(score.0.min(deviation.abs() / self.min_deviation).min(UNDER))
            }
            true => score,
        }
    }

    /// The band `[low, high]` around the `expected` value, in percent, with the values that are too
    /// near to count.
    pub(crate) fn widen(self, expected: f64, [low, high]: [f64; 2]) -> [f64; 2] {
        let least = self.min_deviation;
        [low.min(expected - least), high.max(expected + least)]
    }
}

/// The highest score that is not an anomaly.
const UNDER: f64 = 0.999_999;

/// A run of unchanged values up to this long is never reported: two hours.
const MIN_FROZEN: f64 = 24.0;
/// ... nor is one less than this many times as long as the longest of the last 14 days.
const FROZEN: f64 = 1.5;
/// A run as long as this is as ordinary as any shorter one.
pub const ORDINARY_RUN: f64 = 6.0;

/// From this number of days on, the largest one is passed over.
const ROBUST_DAYS: usize = 4;
/// Part of the spread that is added to both sides of a ratio, so that a machine at rest does not
/// divide by nothing.
const FLOOR: f64 = 0.03;
/// A stretch on one side of the median is usual up to this part of the spread, whatever the errors
/// of the days were.
const LEAST_RECORD: f64 = 0.25;

/// The rule that turns errors of one instance into scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// The ratio of an error to the usual one from which on it is an anomaly. Part of the artifact.
    threshold: f64,
    /// For errors above the expected value.
    above: Side,
    /// For errors below it.
    below: Side,
    /// The run of unchanged values that is an anomaly.
    frozen: usize,
    /// How many times as long as the longest usual run it is.
    longer: f64,
}

/// The yardstick for errors on one side, in their unit.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Side {
    /// How far a standard deviation of the instance's CPU lies from its median.
    spread: f64,
    /// An error smaller than this does not matter, however unusual it is.
    least: f64,
}

impl Rule {
    /// The rule for an instance with this baseline, whose longest run of unchanged values still
    /// grows `run_growth` times.
    pub fn new(threshold: f64, baseline: &Baseline, run_growth: f64) -> Self {
        let level = &baseline.expectations[0].level;
        Self::of_level(
            threshold,
            level,
            run_growth * (baseline.longest_run as f64).max(ORDINARY_RUN),
        )
    }

    /// The rule for CPU at this level, whose value may stay the same for up to `longest_run`
    /// datapoints.
    pub(crate) fn of_level(threshold: f64, level: &Level, longest_run: f64) -> Self {
        // A machine that does not move at all would alarm on a hundredth of a point.
        let points = if level.deviation < STILL { 0.5 } else { 0.1 };
        let side = |up: bool| {
            let sign = if up { 1.0 } else { -1.0 };
            let least = compress(expand(level.centre) + points);
            Side {
                spread: distance(level.centre + sign * level.spread, level.centre),
                // As much of a change downwards, where the same points weigh more the lower they
                // are.
                least: if up { distance(least, level.centre) } else { least - level.centre },
            }
        };
        let longest = longest_run.max(ORDINARY_RUN);
        let frozen = (FROZEN * longest).max(MIN_FROZEN).ceil();
        Self {
            threshold,
            above: side(true),
            below: side(false),
            frozen: frozen as usize,
            longer: frozen / longest,
        }
    }

    /// Added to both sides of the ratio, so that a machine at rest does not divide by nothing.
    pub fn floor(&self, channel: Channel) -> f64 {
        FLOOR * self.side(channel).spread + 1e-9
    }

    fn side(&self, channel: Channel) -> Side {
        if channel.is_up() { self.above } else { self.below }
    }

    /// The usual error, given the largest errors of the last days, oldest first; `None` without a
    /// day.
    ///
    /// It is the largest, from the fourth day on the second largest, so that one bad day does not
    /// make its like usual. It is multiplied by `growth`: a machine of two days has not shown all
    /// its habits.
    pub fn usual(&self, channel: Channel, days: &[f64], growth: f64) -> Option<f64> {
        let mut largest = days.to_vec();
        largest.sort_unstable_by(|a, b| b.total_cmp(a));
        let passed_over = usize::from(largest.len() >= ROBUST_DAYS);
        let usual = *largest.get(passed_over)?;
        Some(
            growth
                * match channel.measure() {
                    Measure::Record { .. } => usual.max(LEAST_RECORD * self.side(channel).spread),
                    Measure::Forecast { .. } | Measure::Peers { .. } => usual,
                },
        )
    }

    /// The error whose score is exactly 1.0.
    ///
    /// `threshold (usual + floor) - floor`, and never under the smallest error that matters.
    pub fn tolerance(&self, channel: Channel, usual: f64) -> f64 {
        let floor = self.floor(channel);
        (self.threshold * (usual + floor) - floor).max(self.side(channel).least)
    }

    /// The score of an error where `usual` is usual: `(error + floor) / (tolerance + floor)`.
    pub fn score(&self, channel: Channel, error: f64, usual: f64) -> Score {
        let floor = self.floor(channel);
        Score((error + floor) / (self.tolerance(channel, usual) + floor))
    }

    /// The score of the datapoint that makes a run of unchanged values `run` datapoints long. Only
    /// the datapoint that makes it too long has one: a run is reported once.
    pub fn frozen(&self, run: usize) -> Option<Score> {
        (run == self.frozen).then(|| Score(self.longer / self.threshold))
    }

    /// The score of a run of `run` unchanged values as long as it lasts.
    pub fn still_frozen(&self, run: usize) -> Option<Score> {
        (run >= self.frozen).then(|| Score(self.longer / self.threshold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPIKE: Channel = Channel::SpikeUp;

    fn rule(threshold: f64, deviation: f64) -> Rule {
        let level = Level {
            centre: compress(20.0),
            scale: 0.1,
            spread: deviation / 20.0,
            deviation,
            datapoints: 1000,
        };
        Rule::of_level(threshold, &level, 0.0)
    }

    /// The error at this number of percentage points above the median.
    fn points(points: f64) -> f64 {
        distance(compress(20.0 + points), compress(20.0))
    }

    #[test]
    fn too_small_to_matter_is_not_an_anomaly() {
        let (still, lively) = (rule(1.3, 0.0), rule(1.3, 10.0));
        assert!(!still.score(SPIKE, points(0.49), 0.0).is_anomalous());
        assert!(still.score(SPIKE, points(0.5), 0.0).is_anomalous());
        assert!(!lively.score(SPIKE, points(0.09), 0.0).is_anomalous());
        assert!(
            still.score(SPIKE, points(30.0), 0.0).value() < 100.0,
            "a machine at rest must not score in the millions"
        );
    }

    #[test]
    fn what_an_operator_does_not_want_to_hear_of_is_no_anomaly() {
        let wanted = |direction, deviation| {
            Sensitivity { min_deviation: 5.0, direction }
                .limit(Score(2.0), || deviation)
                .is_anomalous()
        };
        use Direction::{Both, Down, Up};
        assert_eq!([Up, Down, Both].map(|direction| wanted(direction, 7.0)), [true, false, true]);
        assert_eq!([Up, Down, Both].map(|direction| wanted(direction, -7.0)), [false, true, true]);
        assert_eq!([4.99, 5.0].map(|deviation| wanted(Both, deviation)), [false, true]);
        assert_eq!(Sensitivity::default().limit(Score(2.0), || 0.0), Score(2.0));
    }

    #[test]
    fn one_bad_day_does_not_make_its_like_usual() {
        let rule = rule(1.3, 1.0);
        let usual = |days: &[f64]| rule.usual(SPIKE, days, 1.0);
        assert_eq!(usual(&[]), None);
        assert_eq!(usual(&[2.0, 9.0, 2.0]), Some(9.0));
        assert_eq!(usual(&[2.0, 9.0, 2.0, 3.0]), Some(3.0));
        assert_eq!(rule.usual(SPIKE, &[4.0, 3.0], 1.5), Some(6.0));
        let least = LEAST_RECORD * rule.above.spread;
        assert_eq!(
            rule.usual(Channel::StaysHigh, &[0.0, 0.0], 1.0),
            Some(least),
            "half of all lies above the median"
        );
        assert_eq!(
            rule.usual(Channel::StaysHigh, &[0.0], 2.0),
            Some(2.0 * least),
            "and a median of one day moves"
        );
    }

    #[test]
    fn a_frozen_value_is_reported_once() {
        let level = Level::of((0..300).map(|slot| f64::from(slot % 7)).collect()).expect("values");
        let anomalous = |longest, run| {
            Rule::of_level(1.3, &level, f64::from(longest))
                .frozen(run)
                .is_some_and(Score::is_anomalous)
        };
        let reported =
            |longest: u8| (1..200).filter(|&run| anomalous(longest, run)).collect::<Vec<_>>();
        assert_eq!(reported(0), [24]);
        assert_eq!(reported(16), [24]);
        assert_eq!(reported(17), [26]);
        assert_eq!(reported(100), [150]);
    }

    proptest! {
        #[test]
        fn the_band_ends_where_the_score_is_the_threshold(
            usual in 0.0f64..3.0,
            deviation in 0.0f64..50.0,
            threshold in 1.0f64..3.0,
        ) {
            let rule = rule(threshold, deviation);
            let tolerance = rule.tolerance(SPIKE, usual);
            prop_assert!(rule.score(SPIKE, tolerance * 1.000_001 + 1e-9, usual).is_anomalous());
            prop_assert!(!rule.score(SPIKE, tolerance * 0.999_999 - 1e-9, usual).is_anomalous());
        }

        #[test]
        fn a_larger_error_never_scores_less(
            a in 0.0f64..5.0,
            b in 0.0f64..5.0,
            usual in 0.0f64..5.0,
        ) {
            let rule = rule(1.3, 3.0);
            prop_assert!(rule.score(SPIKE, a.min(b), usual) <= rule.score(SPIKE, a.max(b), usual));
        }
    }
}
