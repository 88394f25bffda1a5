//! Where an instance's CPU lies and how far it spreads, and the scaling rule made of the two.

use serde::{Deserialize, Serialize};

use crate::compress::{compress, distance, expand};

/// The scaling rule that an artifact was trained with. Written into every artifact, and checked at
/// load.
pub const SCALING_RULE: &str = "asinh((y - median) / max(iqr / 1.349, 0.05 sd, 0.001 |median|, \
                                1e-6)), y = asinh(x), 14 days, per instance";

/// Inputs of the network are held within this, so that one wild datapoint cannot blind it to the
/// rest.
const MAX_SCALED: f64 = 20.0;

/// Median and spread of a stretch of datapoints, [compressed](crate::compress) but for
/// [`Self::deviation`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Median.
    pub centre: f64,
    /// A robust standard deviation: IQR / 1.349, held above zero so that one can divide by it.
    pub scale: f64,
    /// Standard deviation.
    pub spread: f64,
    /// Standard deviation of the CPU itself, in percentage points.
    pub deviation: f64,
    /// Number of datapoints behind it.
    pub datapoints: usize,
}

impl Level {
    /// The level of `values` in percent, or `None` without values.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        let deviation = standard_deviation(&values);
        values.iter_mut().for_each(|value| *value = compress(*value));
        values.sort_unstable_by(f64::total_cmp);
        let centre = quantile(&values, 0.5)?;
        let iqr = quantile(&values, 0.75)? - quantile(&values, 0.25)?;
        let spread = standard_deviation(&values);
        // 1.349: the IQR of a standard normal distribution. The other terms keep the scale of a
        // machine that idles at one value for most of the day from collapsing to nothing.
        let scale = (iqr / 1.349).max(0.05 * spread).max(1e-3 * centre.abs()).max(1e-6);
        Some(Self { centre, scale, spread, deviation, datapoints: values.len() })
    }

    /// The scale in the unit of errors above the expected value, or below it.
    pub fn scale_of(&self, up: bool) -> f64 {
        let sign = if up { 1.0 } else { -1.0 };
        distance(self.centre + sign * self.scale, self.centre).max(1e-9)
    }

    /// Percent to the network's unit: linear near the median, logarithmic far from it.
    pub fn scaled(&self, value: f64) -> f64 {
        self.of_compressed(compress(value))
    }

    /// The compressed unit to the network's.
    pub(crate) fn of_compressed(&self, compressed: f64) -> f64 {
        ((compressed - self.centre) / self.scale).asinh().clamp(-MAX_SCALED, MAX_SCALED)
    }

    /// The network's unit to percent.
    pub fn unscaled(&self, scaled: f64) -> f64 {
        expand(self.compressed(scaled))
    }

    /// The network's unit to the compressed one; within what CPU and its like can be.
    pub(crate) fn compressed(&self, scaled: f64) -> f64 {
        let compressed = self.centre + self.scale * scaled.clamp(-MAX_SCALED, MAX_SCALED).sinh();
        compressed.clamp(-MAX_COMPRESSED, MAX_COMPRESSED)
    }
}

/// `asinh` of the largest magnitude that is taken for a measurement, rounded up.
const MAX_COMPRESSED: f64 = 36.0;

/// The standard deviation of all values; 0 for an empty slice.
fn standard_deviation(values: &[f64]) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
}

/// The `q`-quantile of sorted values, linear between neighbours; `None` for an empty slice.
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
        assert_eq!(
            (level.centre, level.deviation, level.scale),
            (compress(2.0), 0.0, 1e-3 * compress(2.0))
        );
        assert!(Level::of(vec![0.0; 300]).expect("values").scale > 0.0);
    }

    proptest! {
        #[test]
        fn scaling_there_and_back(
            value in 0.0f64..100.0,
            median in 0.0f64..100.0,
            scale in 1e-3f64..3.0,
        ) {
            let centre = compress(median);
            let level = Level { centre, scale, spread: scale, deviation: 1.0, datapoints: 300 };
            prop_assert!((level.unscaled(level.scaled(value)) - value).abs() < 1e-8);
        }
    }
}
