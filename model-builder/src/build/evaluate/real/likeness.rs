//! Compares generated machines with real ones by the same statistics of both.

use deepguard::series::DAY;

use crate::build::evaluate::measures::quantile;
use crate::common::table::Table;

/// Slots of an hour.
const HOUR: usize = 12;
/// Hours of a day. A profile of hours has so few means that it does not fit noise.
const HOURS: usize = DAY / HOUR;
/// The largest changes, as a part of all, that form the tail.
const TAIL: f64 = 0.01;
/// A spike lies at least this many robust standard deviations above the median of the hour before.
const SPIKE: f64 = 6.0;
/// A level changes where the median of a day lies outside those of this number of days before it.
const BEFORE: usize = 7;
/// For normal noise, a median absolute deviation times this is the standard deviation.
const ROBUST: f64 = 1.4826;

/// A number that describes a series of slots, NaN where one is missing.
type Statistic = fn(&[f64]) -> Option<f64>;

const STATISTICS: [(&str, Statistic); 6] = [
    ("correlation with 5 minutes before", |values| correlation(values, 1)),
    ("correlation with a day before", |values| correlation(values, DAY)),
    ("share of the variance that the hour of the day explains", daily_share),
    ("tail index of the changes in 5 minutes: the lower, the heavier", tail_index),
    ("spikes a day", spikes),
    ("days a week whose median lies outside the seven before", level_changes),
];

/// Each statistic of each group of series: the median over them, and the middle half.
///
/// A series has one value a slot, NaN where it is missing.
pub(in crate::build::evaluate) fn table(groups: &[(&str, Vec<Vec<f64>>)]) -> Table {
    let of = |series: &[Vec<f64>], statistic: Statistic| {
        let mut found: Vec<f64> = series.iter().filter_map(|values| statistic(values)).collect();
        found.sort_unstable_by(f64::total_cmp);
        let at = |q| quantile(&found, q);
        match (at(0.25), at(0.5), at(0.75)) {
            (Some(low), Some(median), Some(high)) => format!("{median:.2} ({low:.2} to {high:.2})"),
            _ => "-".into(),
        }
    };
    Table {
        title: "How much generated machines are like real ones".into(),
        note: "The median over the series, and between which values the middle half of them lies. \
               Tail index: Hill's estimator on the largest hundredth of the absolute changes."
            .into(),
        header: std::iter::once("statistic".into())
            .chain(groups.iter().map(|(name, series)| format!("{name} ({})", series.len())))
            .collect(),
        rows: STATISTICS
            .iter()
            .map(|(name, statistic)| {
                let cells = groups.iter().map(|(_, series)| of(series, *statistic));
                std::iter::once((*name).to_string()).chain(cells).collect()
            })
            .collect(),
        strong: Vec::new(),
    }
}

/// Pearson's correlation of the values with those `lag` slots before.
fn correlation(values: &[f64], lag: usize) -> Option<f64> {
    let pairs = values.iter().zip(values.get(lag..)?).filter(|(a, b)| !a.is_nan() && !b.is_nan());
    let (a, b): (Vec<f64>, Vec<f64>) = pairs.unzip();
    let (mean_a, mean_b) = (mean(&a)?, mean(&b)?);
    let product: f64 = a.iter().zip(&b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum();
    let size = (squares(&a, mean_a) * squares(&b, mean_b)).sqrt();
    (size > 0.0).then_some(product / size)
}

/// The variance of the means of the hours of the day over that of all values.
fn daily_share(values: &[f64]) -> Option<f64> {
    let present = present(values);
    let all = squares(&present, mean(&present)?) / present.len() as f64;
    let hour = |hour: usize| {
        let of_hour =
            (0..values.len()).filter(|slot| slot % DAY / HOUR == hour).map(|slot| values[slot]);
        mean(&of_hour.filter(|value| !value.is_nan()).collect::<Vec<_>>())
    };
    let hours: Vec<f64> = (0..HOURS).map(hour).collect::<Option<_>>()?;
    (all > 0.0).then_some(squares(&hours, mean(&hours)?) / HOURS as f64 / all)
}

/// Hill's estimator of the tail of the absolute changes from one slot to the next.
fn tail_index(values: &[f64]) -> Option<f64> {
    let mut changes =
        present(&values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect::<Vec<_>>());
    changes.sort_unstable_by(|a, b| b.total_cmp(a));
    let tail = (TAIL * changes.len() as f64) as usize;
    let least = *changes.get(tail).filter(|least| **least > 0.0)?;
    let logarithms =
        mean(&changes[..tail].iter().map(|change| (change / least).ln()).collect::<Vec<_>>())?;
    (logarithms > 0.0).then_some(1.0 / logarithms)
}

/// Values a day that are far above the median of the hour before them. Values within an hour of a
/// spike belong to it.
fn spikes(values: &[f64]) -> Option<f64> {
    let above = |slot: usize| {
        values[slot] - median(&present(&values[slot - HOUR..slot])).unwrap_or(f64::NAN)
    };
    let above: Vec<f64> = (HOUR..values.len()).map(above).collect();
    let sizes: Vec<f64> = present(&above).iter().map(|above| above.abs()).collect();
    let least = SPIKE * ROBUST * median(&sizes)?;
    let mut count = 0;
    let mut last: Option<usize> = None;
    for slot in (0..above.len()).filter(|&slot| above[slot] > least) {
        count += usize::from(last.is_none_or(|last| slot > last + HOUR));
        last = Some(slot);
    }
    (!sizes.is_empty()).then_some(count as f64 * DAY as f64 / sizes.len() as f64)
}

/// Days a week whose median is above or below those of all the days before it.
fn level_changes(values: &[f64]) -> Option<f64> {
    let days: Vec<f64> = values.chunks_exact(DAY).filter_map(|day| median(&present(day))).collect();
    let windows = days.windows(BEFORE + 1);
    let judged = windows.len();
    let outside = |days: &&[f64]| {
        let (today, before) = days.split_last().unwrap_or((&f64::NAN, &[]));
        before.iter().all(|day| today > day) || before.iter().all(|day| today < day)
    };
    (judged > 0).then_some(7.0 * windows.filter(outside).count() as f64 / judged as f64)
}

fn present(values: &[f64]) -> Vec<f64> {
    values.iter().copied().filter(|value| !value.is_nan()).collect()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The sum of the squares of the distances from `centre`.
fn squares(values: &[f64], centre: f64) -> f64 {
    values.iter().map(|value| (value - centre).powi(2)).sum()
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hash noise in 0..1: as good as random, and the same everywhere.
    fn noise(slot: usize) -> f64 {
        let mixed = (slot as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 11) as f64
            / (1u64 << 53) as f64
    }

    fn series(of: impl Fn(usize) -> f64) -> Vec<f64> {
        (0..28 * DAY).map(of).collect()
    }

    #[test]
    fn a_daily_wave_is_all_rhythm_and_noise_is_none() {
        let wave = series(|slot| (slot as f64 * std::f64::consts::TAU / DAY as f64).sin());
        let rough = series(noise);
        assert!(daily_share(&wave).unwrap() > 0.99 && daily_share(&rough).unwrap() < 0.02);
        assert!(
            correlation(&wave, DAY).unwrap() > 0.999
                && correlation(&rough, DAY).unwrap().abs() < 0.05
        );
        assert!(
            correlation(&wave, 1).unwrap() > 0.99 && correlation(&rough, 1).unwrap().abs() < 0.05
        );
    }

    #[test]
    fn a_tail_has_the_index_that_it_was_made_with() {
        // Up by a Pareto variable of index 2.5, and down again.
        let heavy =
            series(|slot| if slot % 2 == 0 { 0.0 } else { (1.0 - noise(slot)).powf(-1.0 / 2.5) });
        let index = tail_index(&heavy).unwrap();
        assert!((index - 2.5).abs() < 0.7, "{index}");
    }

    #[test]
    fn spikes_and_levels_are_counted() {
        let spiky = series(|slot| noise(slot) + if slot % (DAY / 2) == 100 { 50.0 } else { 0.0 });
        assert!((spikes(&spiky).unwrap() - 2.0).abs() < 0.1);
        assert!(spikes(&series(noise)).unwrap() < 0.01);
        let rising = series(|slot| slot as f64);
        assert_eq!(level_changes(&rising), Some(7.0));
        assert_eq!(level_changes(&series(|_| 1.0)), Some(0.0));
        assert_eq!(level_changes(&[1.0; DAY]), None, "one day says nothing of levels");
    }

    #[test]
    fn what_cannot_be_said_is_a_dash() {
        let nothing = table(&[("none", Vec::new())]);
        assert!(nothing.rows.iter().all(|row| row[1] == "-"));
        assert_eq!(nothing.rows.len(), STATISTICS.len());
    }
}
