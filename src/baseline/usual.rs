//! How large a residual is usual: the daily maxima of the last two weeks.

use serde::{Deserialize, Serialize};

use crate::series::DAY;

/// Days whose maxima are kept.
const DAYS: usize = 14;
/// From this many days on, the largest daily maximum is passed over: one bad day must not make its like usual.
const ROBUST_DAYS: usize = 4;

/// The residual, in percentage points, that an instance reaches on an ordinary day.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Usual {
    /// Percentage points.
    pub residual: f64,
}

impl Usual {
    /// From the residuals of the history, oldest first, one a slot (`None` where nothing was measured).
    ///
    /// Days are counted back from the end. `at_least` is the residual to fall back on, in percentage points.
    pub fn of(residuals: &[Option<f64>], at_least: f64) -> Self {
        let mut maxima: Vec<f64> = residuals
            .rchunks(DAY)
            .take(DAYS)
            .filter_map(|day| day.iter().flatten().copied().reduce(f64::max))
            .collect();
        maxima.sort_unstable_by(|a, b| b.total_cmp(a));
        let rank = usize::from(maxima.len() >= ROBUST_DAYS);
        Self { residual: maxima.get(rank).copied().unwrap_or(0.0).max(at_least) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One day for each of `maxima`, oldest first.
    fn days(maxima: &[f64]) -> Vec<Option<f64>> {
        maxima
            .iter()
            .flat_map(|&maximum| {
                (0..DAY).map(move |slot| (slot != 3).then_some(if slot == 77 { maximum } else { 0.5 }))
            })
            .collect()
    }

    #[test]
    fn the_largest_day_counts_until_there_are_four() {
        assert_eq!(Usual::of(&days(&[1.0, 9.0, 2.0]), 0.0).residual, 9.0);
        assert_eq!(Usual::of(&days(&[1.0, 9.0, 2.0, 1.0]), 0.0).residual, 2.0);
    }

    #[test]
    fn days_older_than_two_weeks_are_forgotten() {
        let maxima: Vec<f64> = [50.0, 40.0].into_iter().chain([1.0; 14]).collect();
        assert_eq!(Usual::of(&days(&maxima), 0.0).residual, 1.0);
    }

    #[test]
    fn never_under_what_it_is_told_to_fall_back_on() {
        assert_eq!(Usual::of(&[], 3.0).residual, 3.0);
        assert_eq!(Usual::of(&days(&[1.0]), 3.0).residual, 3.0);
    }
}
