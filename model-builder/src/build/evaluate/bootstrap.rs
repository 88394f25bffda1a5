//! Shows how certain a difference is: a paired bootstrap over files, machines or other units that
//! were measured one by one.
//!
//! Efron and Tibshirani, "An Introduction to the Bootstrap", 1993: the percentile interval. Both
//! sides are measured on the same resampled units, so what makes a unit easy or hard for both does
//! not widen the interval.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::measures::quantile;

/// The seed of the resamples, so that the same results have the same intervals.
pub(crate) const SEED: u64 = 1;
/// Share of the resamples that the interval holds.
const CONFIDENCE: f64 = 0.95;

/// An estimate with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Interval {
    /// On the units as they are.
    pub(crate) estimate: f64,
    /// 2.5 % of the resamples lie below.
    pub(crate) low: f64,
    /// 2.5 % of the resamples lie above.
    pub(crate) high: f64,
}

impl Interval {
    /// The estimate and the interval, each with this number of digits after the point.
    pub(crate) fn with_digits(&self, digits: usize) -> String {
        let Self { estimate, low, high } = self;
        format!("{estimate:.digits$} ({low:.digits$} to {high:.digits$})")
    }

    /// Whether 0 lies outside: resampling does not change the sign of the difference.
    pub(crate) fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// Returns the interval of a statistic over `units` units. The statistic gets the numbers of the
/// units to use, with repetitions.
///
/// For two detectors give it the difference of theirs. Where the statistic is not a finite number
/// on a resample (say because no file in it has a window), that resample is left out. The same seed
/// gives the same interval. `None` without units or resamples, or where it is not finite on the
/// units as they are.
pub(crate) fn bootstrap(
    units: usize,
    resamples: usize,
    seed: u64,
    mut statistic: impl FnMut(&[usize]) -> f64,
) -> Option<Interval> {
    if units == 0 {
        return None;
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut chosen: Vec<usize> = (0..units).collect();
    let estimate = Some(statistic(&chosen)).filter(|estimate| estimate.is_finite())?;
    let mut resampled: Vec<f64> = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        chosen.fill_with(|| random.random_range(0..units));
        resampled.extend(Some(statistic(&chosen)).filter(|statistic| statistic.is_finite()));
    }
    resampled.sort_unstable_by(f64::total_cmp);
    let at = |q| quantile(&resampled, q);
    Some(Interval {
        estimate,
        low: at((1.0 - CONFIDENCE) / 2.0)?,
        high: at((1.0 + CONFIDENCE) / 2.0)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The mean of `ours - theirs`, unit by unit. `None` without units, or where the two sides
    /// differ in number.
    fn mean_difference(
        ours: &[f64],
        theirs: &[f64],
        resamples: usize,
        seed: u64,
    ) -> Option<Interval> {
        if ours.len() != theirs.len() {
            return None;
        }
        bootstrap(ours.len(), resamples, seed, |chosen| {
            chosen.iter().map(|&unit| ours[unit] - theirs[unit]).sum::<f64>() / chosen.len() as f64
        })
    }

    #[test]
    fn two_units_give_the_interval_that_can_be_counted() {
        // Mean of two draws of 0 and 1: 0, 0.5, 1 with 1/4, 1/2, 1/4, so 2.5 % and 97.5 % are 0 and
        // 1.
        let found = mean_difference(&[3.0, 5.0], &[3.0, 4.0], 2000, 1).unwrap();
        assert_eq!(found, Interval { estimate: 0.5, low: 0.0, high: 1.0 });
        assert!(!found.excludes_zero());
    }

    #[test]
    fn the_interval_is_as_wide_as_the_normal_one_where_that_holds() {
        // Differences -1 and 1 in turn, shifted by 0.5: mean 0.5, standard error 1/sqrt(400) =
        // 0.05.
        let ours: Vec<f64> =
            (0..400).map(|unit| 0.5 + if unit % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let found = mean_difference(&ours, &vec![0.0; 400], 10_000, 7).unwrap();
        assert!((found.low - (0.5 - 1.96 * 0.05)).abs() < 0.01, "{found:?}");
        assert!((found.high - (0.5 + 1.96 * 0.05)).abs() < 0.01, "{found:?}");
        assert!(found.excludes_zero());
    }

    #[test]
    fn a_statistic_that_is_no_number_on_a_resample_leaves_it_out() {
        // A ratio whose denominator can be drawn away.
        let (hit, windows) = ([1.0, 0.0, 0.0], [2.0, 0.0, 0.0]);
        let ratio = |chosen: &[usize]| {
            chosen.iter().map(|&unit| hit[unit]).sum::<f64>()
                / chosen.iter().map(|&unit| windows[unit]).sum::<f64>()
        };
        assert_eq!(
            bootstrap(3, 100, 1, ratio),
            Some(Interval { estimate: 0.5, low: 0.5, high: 0.5 })
        );
    }

    #[test]
    fn nothing_gives_no_interval() {
        assert_eq!(mean_difference(&[], &[], 100, 1), None);
        assert_eq!(mean_difference(&[1.0], &[1.0, 2.0], 100, 1), None);
        assert_eq!(mean_difference(&[1.0], &[0.0], 0, 1), None);
        assert_eq!(mean_difference(&[f64::NAN], &[0.0], 100, 1), None);
    }

    proptest! {
        #[test]
        fn the_same_seed_gives_the_same_interval_within_the_values(
            pairs in proptest::collection::vec((-10.0f64..10.0, -10.0f64..10.0), 1..20), seed: u64,
        ) {
            let (ours, theirs): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let found = mean_difference(&ours, &theirs, 200, seed).unwrap();
            prop_assert_eq!(Some(found), mean_difference(&ours, &theirs, 200, seed));
            let differences = || ours.iter().zip(&theirs).map(|(ours, theirs)| ours - theirs);
            let lowest = differences().fold(f64::MAX, f64::min);
            let highest = differences().fold(f64::MIN, f64::max);
            prop_assert!(found.low <= found.high);
            prop_assert!(lowest - 1e-9 <= found.low && found.high <= highest + 1e-9);
        }
    }
}
