//! The residual against what is usual for the instance. 1.0 is the threshold, everywhere.

use serde::{Deserialize, Serialize};

/// How unusual a datapoint is. Exactly 1.0 is the threshold; it is not negative and always finite.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Score(f64);

/// The score of an anomaly begins here.
const THRESHOLD: f64 = 1.0;

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

/// The rule that turns residuals of one instance into scores. All in percentage points but the threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// The ratio of a residual to the usual one from which on it is an anomaly. Part of the artifact.
    pub threshold: f64,
    /// Added to both sides of the ratio, so that a machine at rest does not divide by nothing.
    pub floor: f64,
    /// A deviation smaller than this is nobody's business, however unusual.
    pub min_deviation: f64,
}

impl Rule {
    /// The rule for an instance whose CPU has the given standard deviation (percentage points).
    pub fn new(threshold: f64, deviation: f64) -> Self {
        // A machine that does not move at all would alarm on a hundredth of a point.
        let min_deviation = if deviation < 0.05 { 0.5 } else { 0.1 };
        Self { threshold, floor: 0.01 * deviation + 1e-9, min_deviation }
    }

    /// The residual whose score is exactly 1.0: half the width of the expected band.
    ///
    /// `threshold (usual + floor) - floor`, and never under the smallest deviation that matters.
    pub fn tolerance(&self, usual: f64) -> f64 {
        (self.threshold * (usual + self.floor) - self.floor).max(self.min_deviation)
    }

    /// The score of a residual where `usual` is usual: `(residual + floor) / (tolerance + floor)`.
    pub fn score(&self, residual: f64, usual: f64) -> Score {
        Score((residual + self.floor) / (self.tolerance(usual) + self.floor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn too_small_to_matter_is_not_an_anomaly() {
        let (still, lively) = (Rule::new(1.05, 0.0), Rule::new(1.05, 10.0));
        assert!(!still.score(0.49, 0.0).is_anomalous());
        assert!(still.score(0.5, 0.0).is_anomalous());
        assert!(!lively.score(0.09, 0.0).is_anomalous());
        assert!(still.score(30.0, 0.0).value() < 100.0, "a machine at rest must not score in the millions");
    }

    proptest! {
        #[test]
        fn the_band_ends_where_the_score_is_the_threshold(usual in 0.0f64..100.0, deviation in 0.0f64..50.0, threshold in 1.0f64..3.0) {
            let rule = Rule::new(threshold, deviation);
            let tolerance = rule.tolerance(usual);
            prop_assert!(rule.score(tolerance * 1.000_001 + 1e-9, usual).is_anomalous());
            prop_assert!(!rule.score(tolerance * 0.999_999 - 1e-9, usual).is_anomalous());
        }

        #[test]
        fn a_larger_residual_never_scores_less(a in 0.0f64..200.0, b in 0.0f64..200.0, usual in 0.0f64..100.0) {
            let rule = Rule::new(1.05, 3.0);
            prop_assert!(rule.score(a.min(b), usual) <= rule.score(a.max(b), usual));
        }
    }
}
