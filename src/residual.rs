//! How far the observed CPU is from everything that could explain it, in percentage points.

use serde::Serialize;

/// What a datapoint was compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Explanation {
    /// The network's reconstruction.
    Reconstruction,
    /// The instance's median.
    Median,
    /// What is usual at this hour.
    DailyProfile,
}

/// The smallest distance between a datapoint and what could explain it.
///
/// A datapoint that any one of the explanations fits is explained: the residual is
/// `min(|x - reconstruction|, |x - median|, |x - daily profile|)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Residual {
    /// Percentage points, never negative.
    pub size: f64,
    /// The value it is measured from, in percent: the nearest explanation.
    pub expected: f64,
    /// Which explanation that is.
    pub explanation: Explanation,
}

impl Residual {
    /// Of the datapoint `observed`; all values in percent. `reconstruction` is `None` where too
    /// much of the window is missing to ask the network.
    pub fn of(observed: f64, reconstruction: Option<f64>, median: f64, profile: f64) -> Self {
        let from = |expected: f64, explanation| Self { size: (observed - expected).abs(), expected, explanation };
        let nearer = |best: Self, other: Self| if other.size < best.size { other } else { best };
        let usual = nearer(from(median, Explanation::Median), from(profile, Explanation::DailyProfile));
        match reconstruction {
            Some(reconstruction) => nearer(from(reconstruction, Explanation::Reconstruction), usual),
            None => usual,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_explanation_counts() {
        let of = |reconstruction, median, profile| Residual::of(50.0, reconstruction, median, profile);
        let cases = [
            (of(Some(49.0), 10.0, 20.0), 1.0, Explanation::Reconstruction),
            (of(Some(10.0), 52.0, 20.0), 2.0, Explanation::Median),
            (of(Some(10.0), 20.0, 47.0), 3.0, Explanation::DailyProfile),
            (of(None, 20.0, 47.0), 3.0, Explanation::DailyProfile),
        ];
        for (residual, size, explanation) in cases {
            assert_eq!((residual.size, residual.explanation), (size, explanation));
            assert_eq!((50.0 - residual.expected).abs(), size);
        }
    }
}
