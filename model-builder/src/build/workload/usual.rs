//! The normal values of a series, from the two weeks before a moment.

use super::{DAY, HOUR};

/// Days that count.
const DAYS: usize = 14;
/// Noise never counts as less than this fraction of the scale: 0.5 points for CPU.
const LEAST: f64 = 0.005;
/// Part of the variance of hourly means that the hour of the day explains where there is a daily
/// pattern.
const DAILY: f64 = 0.4;

/// The normal values of a series. All are in the unit of its values, and robust: a few odd hours do
/// not move them.
#[derive(Debug, Clone)]
pub(crate) struct Usual {
    /// The median.
    pub(crate) median: f64,
    /// The 1st percentile.
    pub(crate) low: f64,
    /// The 99th percentile.
    pub(crate) high: f64,
    /// The smallest value.
    pub(crate) bottom: f64,
    /// The largest value.
    pub(crate) top: f64,
    /// The highest value of a typical day: the median of the daily maxima.
    pub(crate) daily_top: f64,
    /// Robust standard deviation (IQR / 1.349) of the part that the daily profile does not explain,
    /// but at least 0.5 % of the scale. On a still machine, people neither see nor mind three
    /// standard deviations.
    pub(crate) noise: f64,
    /// The typical value for each time of the day (slot modulo 288): medians over the days, over 25
    /// minutes.
    pub(crate) profile: Vec<f64>,
    /// The highest value for each time of the day, half an hour to either side.
    pub(crate) ceiling: Vec<f64>,
    /// Whether there is a daily pattern: the hour of the day explains 40 % of the variance of the
    /// hourly means, and the explained part stands out of the noise.
    pub(crate) daily: bool,
    /// The longest run of one and the same value.
    pub(crate) longest_run: usize,
}

impl Usual {
    /// The normal values from the 14 days before `slot`. `cap` is the largest possible value, 100
    /// for CPU. Without a cap, the scale is the span of the series, or a tenth of its level where
    /// the span is less. `None` with less than three days with values.
    pub(crate) fn before(values: &[f64], slot: usize, cap: Option<f64>) -> Option<Self> {
        let start = slot.saturating_sub(DAYS * DAY);
        let past = &values[start..slot];
        let sorted = sorted(past.iter().copied());
        if sorted.len() < 3 * DAY {
            return None;
        }
        let (bottom, top) = (sorted[0], sorted[sorted.len() - 1]);
        // By time of the day of the whole series, not of the part before `slot`.
        let at_time = |time: usize, around: usize| {
            let around = (time + DAY - around..=time + DAY + around).map(|time| time % DAY);
            let slots = around
                .flat_map(move |time| ((time + DAY - start % DAY) % DAY..past.len()).step_by(DAY));
            slots.map(|slot| past[slot]).filter(|value| !value.is_nan())
        };
        let median = quantile(&sorted, 0.5);
        let profile: Vec<f64> = (0..DAY)
            .map(|time| {
                let values = self::sorted(at_time(time, 2));
                if values.is_empty() { median } else { quantile(&values, 0.5) }
            })
            .collect();
        let ceiling: Vec<f64> =
            (0..DAY).map(|time| at_time(time, 6).fold(bottom, f64::max)).collect();
        let rest =
            past.iter().enumerate().map(|(slot, value)| value - profile[(start + slot) % DAY]);
        let rest = self::sorted(rest);
        let scale = cap.unwrap_or((top - bottom).max(0.1 * median.abs()).max(f64::MIN_POSITIVE));
        let noise = ((quantile(&rest, 0.75) - quantile(&rest, 0.25)) / 1.349).max(LEAST * scale);
        let maxima =
            past.rchunks_exact(DAY).map(|day| day.iter().copied().fold(f64::NAN, f64::max));
        let maxima = self::sorted(maxima);
        Some(Self {
            median,
            low: quantile(&sorted, 0.01),
            high: quantile(&sorted, 0.99),
            bottom,
            top,
            daily_top: if maxima.is_empty() { top } else { quantile(&maxima, 0.5) },
            noise,
            daily: has_pattern(past, noise),
            profile,
            ceiling,
            longest_run: longest_run(past),
        })
    }
}

/// Whether the hour of the day explains the hourly means, by a difference of at least three times
/// the noise.
fn has_pattern(past: &[f64], noise: f64) -> bool {
    let mut means = vec![Vec::new(); DAY / HOUR];
    for day in past.rchunks_exact(DAY) {
        for (hour, values) in day.chunks_exact(HOUR).enumerate() {
            let present = sorted(values.iter().copied());
            if !present.is_empty() {
                means[hour].push(mean(&present));
            }
        }
    }
    let all: Vec<f64> = means.iter().flatten().copied().collect();
    let overall = mean(&all);
    let total: f64 = all.iter().map(|value| (value - overall).powi(2)).sum();
    let between: f64 =
        means.iter().map(|hour| hour.len() as f64 * (mean(hour) - overall).powi(2)).sum();
    let of_hours = sorted(means.iter().map(|hour| mean(hour)));
    let Some((lowest, highest)) = of_hours.first().zip(of_hours.last()) else { return false };
    between >= DAILY * total && highest - lowest >= 3.0 * noise
}

fn longest_run(values: &[f64]) -> usize {
    values.chunk_by(|a, b| a == b).map(<[f64]>::len).max().unwrap_or(0)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The values that exist, in order.
pub(crate) fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// The quantile of sorted values, interpolated; NaN of an empty slice.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = q * last as f64;
    let (below, part) = (at.floor() as usize, at.fract());
    sorted[below] + part * (sorted[(below + 1).min(last)] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!(quantile(&[3.0], 1.0), 3.0);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn a_square_day_is_a_pattern_and_its_profile_is_aligned_with_the_day() {
        let busy = |slot: usize| (100..148).contains(&(slot % DAY));
        let values: Vec<f64> =
            (0..20 * DAY).map(|slot| if busy(slot) { 30.0 } else { 10.0 }).collect();
        for slot in [15 * DAY, 15 * DAY + 77, 5 * DAY + 1] {
            let usual = Usual::before(&values, slot, Some(100.0)).unwrap();
            assert!(usual.daily);
            assert_eq!(
                (usual.profile[99], usual.profile[103], usual.profile[200]),
                (10.0, 30.0, 10.0)
            );
            assert_eq!((usual.ceiling[93], usual.ceiling[94], usual.daily_top), (10.0, 30.0, 30.0));
            assert_eq!(usual.noise, 0.5);
        }
    }

    #[test]
    fn missing_values_do_not_count() {
        let mut values: Vec<f64> = (0..10 * DAY).map(|slot| (slot % 7) as f64).collect();
        values.iter_mut().step_by(3).for_each(|value| *value = f64::NAN);
        let usual = Usual::before(&values, 10 * DAY, None).unwrap();
        assert!(!usual.daily && usual.top == 6.0 && usual.bottom == 0.0 && usual.median == 3.0);
        assert!(Usual::before(&values, 2 * DAY, None).is_none());
        assert!(Usual::before(&vec![f64::NAN; 5 * DAY], 5 * DAY, None).is_none());
    }
}
