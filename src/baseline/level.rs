//! Where an instance's CPU lies and how far it spreads, and the scaling rule made of the two.

use serde::{Deserialize, Serialize};

/// The scaling rule that an artifact was trained with. Written into every artifact, and checked at load.
pub const SCALING_RULE: &str =
    "asinh((x - median) / max(iqr / 1.349, 0.05 sd, 0.001 |median|, 1e-6)), 14 days, per instance";

/// Inputs of the network are held within this, so that one wild datapoint cannot blind it to the rest.
const MAX_SCALED: f64 = 20.0;

/// Median and spread of a stretch of datapoints, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Median.
    pub median: f64,
    /// A robust standard deviation: IQR / 1.349, held above zero so that one can divide by it.
    pub scale: f64,
    /// Standard deviation.
    pub deviation: f64,
    /// Datapoints it was made of.
    pub datapoints: usize,
}

impl Level {
    /// The level of `values`, or `None` where there are none.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let median = quantile(&values, 0.5)?;
        let iqr = quantile(&values, 0.75)? - quantile(&values, 0.25)?;
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
        // 1.349: the IQR of a standard normal distribution. The other terms keep the scale of a
        // machine that idles at one value for most of the day from collapsing to nothing.
        let scale = (iqr / 1.349).max(0.05 * deviation).max(1e-3 * median.abs()).max(1e-6);
        Some(Self { median, scale, deviation, datapoints: values.len() })
    }

    /// Percent to the network's unit: linear near the median, logarithmic far from it.
    pub fn scaled(&self, value: f64) -> f64 {
        ((value - self.median) / self.scale).asinh().clamp(-MAX_SCALED, MAX_SCALED)
    }

    /// The network's unit to percent.
    pub fn unscaled(&self, scaled: f64) -> f64 {
        self.median + self.scale * scaled.clamp(-MAX_SCALED, MAX_SCALED).sinh()
    }
}

/// The `q`-quantile of sorted values, linear between neighbours; `None` of nothing.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = q.clamp(0.0, 1.0) * last as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    Some(sorted[below] + (sorted[above] - sorted[below]) * position.fract())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_are_linear_between_neighbours() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[3.0], 0.9), Some(3.0));
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), Some(3.0));
    }

    #[test]
    fn a_constant_machine_still_has_a_scale() {
        let level = Level::of(vec![2.0; 300]).expect("values");
        assert_eq!((level.median, level.deviation, level.scale), (2.0, 0.0, 2e-3));
        assert!(Level::of(vec![0.0; 300]).expect("values").scale > 0.0);
    }

    proptest! {
        #[test]
        fn scaling_there_and_back(value in 0.0f64..100.0, median in 0.0f64..100.0, scale in 1e-3f64..30.0) {
            let level = Level { median, scale, deviation: scale, datapoints: 300 };
            prop_assert!((level.unscaled(level.scaled(value)) - value).abs() < 1e-8);
        }
    }
}
