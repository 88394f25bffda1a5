//! The residual against what is usual for the instance. 1.0 is the threshold, everywhere.

use serde::{Deserialize, Serialize};

use crate::residual::Channel;

/// How unusual a datapoint is. Exactly 1.0 is the threshold; it is not negative and always finite.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Score(f64);

/// The score of an anomaly begins here.
const THRESHOLD: f64 = 1.0;
/// A standard deviation, in percentage points, under which a machine hardly moves.
const STILL: f64 = 0.05;

impl Score {
    /// The number.
    pub fn value(self) -> f64 {
        self.0
    }

    /// Whether the threshold is reached.
    pub fn is_anomalous(self) -> bool {
        self.0 >= THRESHOLD
    }
}

/// What an operator does not want to hear of, however unusual it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sensitivity {
    /// A deviation smaller than this, in percentage points of CPU, is no anomaly.
    pub min_deviation: f64,
    /// Which way an anomaly goes.
    pub direction: Direction,
}

/// Which way from what was expected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Direction {
    /// More CPU than expected.
    Up,
    /// Less.
    Down,
    /// Either, and what does not change or goes both ways.
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
    /// The score of something that is `deviation` percentage points from what was expected (positive: above it): nothing where that is
    /// the other direction, and in proportion under the threshold where it is too little.
    pub(crate) fn limit(self, score: Score, deviation: f64) -> Score {
        let wanted = match self.direction {
            Direction::Up => deviation > 0.0,
            Direction::Down => deviation < 0.0,
            Direction::Both => true,
        };
        match wanted {
            false => Score(0.0),
            // The tolerance says so already of single datapoints.
            true if deviation.abs() < self.min_deviation => {
                Score(score.0.min(deviation.abs() / self.min_deviation).min(UNDER))
            }
            true => score,
        }
    }
}

/// The highest score that is none of an anomaly.
const UNDER: f64 = 0.999_999;

/// A run of unchanged values as long as this is never worth a word: two hours.
const MIN_FROZEN: f64 = 24.0;
/// ... nor one less than this many times as long as the longest of the last 14 days.
const FROZEN: f64 = 1.5;
/// The score of a frozen instance.
const FROZEN_SCORE: Score = Score(1.1);

/// From this many days on, the largest one is passed over.
const ROBUST_DAYS: usize = 4;
/// How much of the spread of the days' largest errors is added to what is usual ...
const SPREAD: f64 = 0.5;
/// ... and how much of it at most, as a logarithm.
const MOST_SPREAD: f64 = 0.1;

/// The rule that turns errors of one instance into scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// The ratio of an error to the usual one from which on it is an anomaly. Part of the artifact.
    threshold: f64,
    /// Standard deviation of the instance's CPU, in percentage points.
    deviation: f64,
    /// A deviation smaller than this, in percentage points, is nobody's business, however unusual.
    min_deviation: f64,
    /// The run of unchanged values that is an anomaly.
    frozen: usize,
}

impl Rule {
    /// The rule for an instance whose CPU has the given standard deviation (percentage points), and whose value has stayed
    /// the same for up to `longest_run` datapoints.
    pub fn new(threshold: f64, deviation: f64, longest_run: usize) -> Self {
        // A machine that does not move at all would alarm on a hundredth of a point.
        let min_deviation = if deviation < STILL { 0.5 } else { 0.1 };
        let frozen = (FROZEN * longest_run as f64).max(MIN_FROZEN).ceil() as usize;
        Self { threshold, deviation, min_deviation, frozen }
    }

    /// The same rule, where a deviation smaller than `min_deviation` (percentage points) does not matter either.
    #[must_use]
    pub fn with_min_deviation(self, min_deviation: f64) -> Self {
        Self { min_deviation: self.min_deviation.max(min_deviation), ..self }
    }

    /// Added to both sides of the ratio, so that a machine at rest does not divide by nothing.
    fn floor(&self, channel: Channel) -> f64 {
        if channel.is_percent() { 0.01 * self.deviation + 1e-9 } else { 0.01 }
    }

    /// The error that is usual, given the largest errors of the last days.
    ///
    /// It is the largest, from the fourth day on the second largest, so that one bad day does not make its like usual; and
    /// above that half of the spread of the other days (standard deviation of their logarithms), a tenth at most: where
    /// days differ, a larger one is to be expected.
    pub fn usual(&self, channel: Channel, days: impl Iterator<Item = f64>) -> f64 {
        let mut largest: Vec<f64> = days.collect();
        largest.sort_unstable_by(|a, b| b.total_cmp(a));
        match largest.as_slice() {
            [] => 0.0,
            [_, rest @ ..] if rest.len() + 1 >= ROBUST_DAYS => {
                let floor = self.floor(channel);
                let logarithms: Vec<f64> = rest.iter().map(|error| (error + floor).ln()).collect();
                let spread = SPREAD * deviation(&logarithms);
                (rest[0] + floor) * spread.min(MOST_SPREAD).exp() - floor
            }
            [largest, ..] => *largest,
        }
    }

    /// The error whose score is exactly 1.0.
    ///
    /// `threshold (usual + floor) - floor`, and never under the smallest deviation that matters.
    pub fn tolerance(&self, channel: Channel, usual: f64) -> f64 {
        let floor = self.floor(channel);
        let tolerance = self.threshold * (usual + floor) - floor;
        if channel.is_percent() { tolerance.max(self.min_deviation) } else { tolerance }
    }

    /// The score of an error where `usual` is usual: `(error + floor) / (tolerance + floor)`.
    pub fn score(&self, channel: Channel, error: f64, usual: f64) -> Score {
        // The shape of what hardly moves is the shape of its rounding.
        if !channel.is_percent() && self.deviation < STILL {
            return Score(0.0);
        }
        let floor = self.floor(channel);
        Score((error + floor) / (self.tolerance(channel, usual) + floor))
    }

    /// The score of the datapoint that makes a run of unchanged values `run` datapoints long.
    /// Only the one that makes it too long has one: what lasts is reported once.
    pub fn frozen(&self, run: usize) -> Option<Score> {
        (run == self.frozen).then_some(FROZEN_SCORE)
    }

    /// The score of a run of `run` unchanged values as long as it lasts.
    pub fn still_frozen(&self, run: usize) -> Option<Score> {
        (run >= self.frozen).then_some(FROZEN_SCORE)
    }
}

/// The standard deviation of a sample.
fn deviation(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPIKE: Channel = Channel::Datapoint;

    #[test]
    fn too_small_to_matter_is_not_an_anomaly() {
        let (still, lively) = (Rule::new(1.05, 0.0, 0), Rule::new(1.05, 10.0, 0));
        assert!(!still.score(SPIKE, 0.49, 0.0).is_anomalous());
        assert!(still.score(SPIKE, 0.5, 0.0).is_anomalous());
        assert!(!lively.score(SPIKE, 0.09, 0.0).is_anomalous());
        assert!(still.score(SPIKE, 30.0, 0.0).value() < 100.0, "a machine at rest must not score in the millions");
        assert_eq!(still.score(Channel::Window, 9.0, 0.1).value(), 0.0);
        assert!(lively.score(Channel::Window, 9.0, 0.1).is_anomalous());
    }

    #[test]
    fn what_nobody_wants_to_hear_of_is_no_anomaly() {
        let wanted = |direction, deviation| {
            Sensitivity { min_deviation: 5.0, direction }.limit(Score(2.0), deviation).is_anomalous()
        };
        use Direction::{Both, Down, Up};
        assert_eq!([Up, Down, Both].map(|direction| wanted(direction, 7.0)), [true, false, true]);
        assert_eq!([Up, Down, Both].map(|direction| wanted(direction, -7.0)), [false, true, true]);
        assert_eq!([4.99, 5.0].map(|deviation| wanted(Both, deviation)), [false, true]);
        assert_eq!(Sensitivity::default().limit(Score(2.0), 0.0), Score(2.0));
        let rule = Rule::new(1.05, 1.0, 0).with_min_deviation(5.0);
        assert!(!rule.score(SPIKE, 4.99, 0.1).is_anomalous() && rule.score(SPIKE, 5.0, 0.1).is_anomalous());
    }

    #[test]
    fn one_bad_day_does_not_make_its_like_usual() {
        let rule = Rule::new(1.05, 1.0, 0);
        let usual = |channel, days: &[f64]| rule.usual(channel, days.iter().copied());
        assert_eq!(usual(SPIKE, &[]), 0.0);
        assert_eq!(usual(SPIKE, &[2.0, 9.0, 2.0]), 9.0);
        assert!((usual(SPIKE, &[2.0, 9.0, 2.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((usual(Channel::Habit, &[2.0, 9.0, 2.0, 2.0]) - 2.0).abs() < 1e-9);
        let (alike, different) = (usual(SPIKE, &[9.0, 4.0, 3.9, 3.8]), usual(SPIKE, &[9.0, 4.0, 1.0, 0.2]));
        assert!(alike > 4.0 && alike < 4.1, "{alike}");
        assert!((different / 4.0 - 0.1f64.exp()).abs() < 1e-3, "{different}: no more than a tenth is added");
    }

    #[test]
    fn a_frozen_value_is_reported_once() {
        let anomalous = |longest, run| Rule::new(1.05, 1.0, longest).frozen(run).is_some_and(Score::is_anomalous);
        let reported = |longest| (1..200).filter(|&run| anomalous(longest, run)).collect::<Vec<_>>();
        assert_eq!(reported(0), [24]);
        assert_eq!(reported(16), [24]);
        assert_eq!(reported(17), [26]);
        assert_eq!(reported(100), [150]);
    }

    proptest! {
        #[test]
        fn the_band_ends_where_the_score_is_the_threshold(usual in 0.0f64..100.0, deviation in 0.0f64..50.0, threshold in 1.0f64..3.0) {
            let rule = Rule::new(threshold, deviation, 0);
            let tolerance = rule.tolerance(SPIKE, usual);
            prop_assert!(rule.score(SPIKE, tolerance * 1.000_001 + 1e-9, usual).is_anomalous());
            prop_assert!(!rule.score(SPIKE, tolerance * 0.999_999 - 1e-9, usual).is_anomalous());
        }

        #[test]
        fn a_larger_error_never_scores_less(a in 0.0f64..200.0, b in 0.0f64..200.0, usual in 0.0f64..100.0) {
            let rule = Rule::new(1.05, 3.0, 0);
            for channel in Channel::ALL {
                prop_assert!(rule.score(channel, a.min(b), usual) <= rule.score(channel, a.max(b), usual));
            }
        }
    }
}
