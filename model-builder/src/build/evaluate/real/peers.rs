//! More detectors that a user would watch CPU with instead: a dashboard's band, and forecasts.
//!
//! Like the others (see [`crate::build::evaluate::peers`]) they give each slot a score that never
//! depends on later values. Forecasts are measured against their own past errors. An error is
//! divided by the second largest of the daily largest errors of the two weeks before.

use std::collections::VecDeque;

use super::ridge;
use crate::build::evaluate::measures::quantile;
use crate::build::evaluate::peers::Peer;

/// Slots of a day, and of an hour.
const DAY: usize = 288;
const HOUR: usize = 12;
/// Days that a dashboard's band and the largest errors look back, and the fewest that are enough.
const DAYS: usize = 14;
const LEAST_DAYS: usize = 3;
/// Slots over which a moving average decays, and over which its deviation does.
const SMOOTH: (f64, f64) = (HOUR as f64, DAY as f64);
/// Slots that a polynomial is fitted to: three hours.
const FITTED: usize = 36;
/// A robust spread counts as at least this part of the level and this much in points.
const LEAST: (f64, f64) = (1e-3, 1e-6);

/// All of them.
pub(super) const PEERS: [Peer; 4] = [
    Peer {
        name: "hourly median and MAD, 14 days",
        score: hourly_median,
        fixed_threshold: Some(3.5),
    },
    Peer { name: "EWMA and k sigma", score: ewma, fixed_threshold: Some(3.0) },
    Peer { name: "local cubic, 3 h", score: local_cubic, fixed_threshold: None },
    Peer { name: "daily ridge forecast", score: ridge_forecast, fixed_threshold: None },
];

/// Distance from the median of the same hour of the day over the 14 days before, in their median
/// absolute deviations.
fn hourly_median(values: &[f64]) -> Vec<f64> {
    let mut scores = vec![f64::NAN; values.len()];
    for from in (0..values.len()).step_by(HOUR) {
        let days = (1..=DAYS).map_while(|days| from.checked_sub(days * DAY));
        let past = days.flat_map(|from| &values[from..from + HOUR]).copied();
        let past = sorted(past);
        if past.len() < LEAST_DAYS * HOUR {
            continue;
        }
        let median = at(&past, 0.5);
        let mad = at(&sorted(past.iter().map(|value| (value - median).abs())), 0.5);
        let spread = least(1.4826 * mad, median);
        for slot in from..values.len().min(from + HOUR) {
            scores[slot] = (values[slot] - median).abs() / spread;
        }
    }
    scores
}

/// Distance from an exponentially weighted mean, in exponentially weighted standard deviations of
/// those distances. It needs a day.
fn ewma(values: &[f64]) -> Vec<f64> {
    let [fast, slow] = [SMOOTH.0, SMOOTH.1].map(|slots| 2.0 / (slots + 1.0));
    let (mut mean, mut variance, mut seen) = (f64::NAN, 0.0, 0);
    let score = |&value: &f64| {
        if value.is_nan() {
            return f64::NAN;
        }
        let error: f64 = if mean.is_nan() { 0.0 } else { value - mean };
        let score =
            if seen < DAY { f64::NAN } else { error.abs() / least(f64::sqrt(variance), mean) };
        mean = if mean.is_nan() { value } else { mean + fast * error };
        variance += slow * (error * error - variance);
        seen += 1;
        score
    };
    values.iter().map(score).collect()
}

/// The error of a cubic through the three hours before.
fn local_cubic(values: &[f64]) -> Vec<f64> {
    let weights = extrapolation();
    let filled = filled(values);
    let error = |slot: usize| {
        let before = slot.checked_sub(FITTED).map(|from| &filled[from..slot]);
        let forecast = before.map(|before| {
            before.iter().zip(&weights).map(|(value, weight)| value * weight).sum::<f64>()
        });
        forecast.map_or(f64::NAN, |forecast| values[slot] - forecast)
    };
    let errors: Vec<f64> = (0..values.len()).map(error).collect();
    by_largest(&errors.iter().map(|error| error.abs()).collect::<Vec<_>>(), values)
}

/// The error of a linear forecast that is fitted anew each day. Errors up and down are separate:
/// CPU goes up further than it goes down.
fn ridge_forecast(values: &[f64]) -> Vec<f64> {
    let errors: Vec<f64> = ridge::forecasts(&filled(values))
        .iter()
        .zip(values)
        .map(|(forecast, value)| value - forecast)
        .collect();
    let one_way = |sign: f64| {
        let errors: Vec<f64> = errors
            .iter()
            .map(|error| if error.is_nan() { f64::NAN } else { (sign * error).max(0.0) })
            .collect();
        by_largest(&errors, values)
    };
    one_way(1.0).into_iter().zip(one_way(-1.0)).map(|(up, down)| up.max(down)).collect()
}

/// Each error over the usual one: the second largest of the largest errors of each of the 14 days
/// before. It needs three days.
fn by_largest(errors: &[f64], values: &[f64]) -> Vec<f64> {
    let mut largest: VecDeque<f64> = VecDeque::new();
    let mut scores = vec![f64::NAN; errors.len()];
    for (day, errors) in errors.chunks(DAY).enumerate() {
        let from = day * DAY;
        if largest.len() >= LEAST_DAYS {
            let days = sorted(largest.iter().copied());
            let usual = days[days.len() - 2];
            let floor =
                least(0.01 * deviation(&values[from.saturating_sub(DAYS * DAY)..from]), 0.0);
            for (score, error) in scores[from..].iter_mut().zip(errors) {
                *score = (error + floor) / (usual + floor);
            }
        }
        let highest = errors.iter().copied().fold(f64::NAN, f64::max);
        if !highest.is_nan() {
            largest.push_back(highest);
            if largest.len() > DAYS {
                largest.pop_front();
            }
        }
    }
    scores
}

/// The weight of each earlier slot in the prediction for the next slot, from the cubic that fits
/// the slots best.
fn extrapolation() -> [f64; FITTED] {
    // Orthogonal polynomials over the slots: the fit at a place is a sum over them, one by one.
    let place = |slot: usize| slot as f64 / FITTED as f64;
    let mut basis: Vec<[f64; FITTED + 1]> = Vec::new();
    for power in 0..=3 {
        // The place after the last of the slots comes along, and counts in no product.
        let mut polynomial: [f64; FITTED + 1] = std::array::from_fn(|slot| place(slot).powi(power));
        let product = |a: &[f64; FITTED + 1], b: &[f64; FITTED + 1]| {
            (0..FITTED).map(|slot| a[slot] * b[slot]).sum::<f64>()
        };
        for before in &basis {
            let along = product(&polynomial, before);
            polynomial.iter_mut().zip(before).for_each(|(value, before)| *value -= along * before);
        }
        let length = product(&polynomial, &polynomial).sqrt();
        basis.push(polynomial.map(|value| value / length));
    }
    std::array::from_fn(|slot| {
        basis.iter().map(|polynomial| polynomial[slot] * polynomial[FITTED]).sum()
    })
}

/// Missing values replaced by the one before them; NaN where no value comes before.
fn filled(values: &[f64]) -> Vec<f64> {
    let mut last = f64::NAN;
    let fill = |&value: &f64| {
        last = if value.is_nan() { last } else { value };
        last
    };
    values.iter().map(fill).collect()
}

/// A spread of values around `level`, safe to divide by.
fn least(spread: f64, level: f64) -> f64 {
    spread.max(LEAST.0 * level.abs()).max(LEAST.1)
}

fn deviation(values: &[f64]) -> f64 {
    let present = values.iter().filter(|value| !value.is_nan());
    let count = present.clone().count() as f64;
    let mean = present.clone().sum::<f64>() / count;
    (present.map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

fn at(sorted: &[f64], q: f64) -> f64 {
    quantile(sorted, q).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::evaluate::peers::checks;

    #[test]
    fn everyone_sees_a_spike_and_does_not_look_ahead() {
        let spike = 19 * DAY + 100;
        for peer in PEERS {
            let highest = checks::highest_without_looking_ahead(peer, 20, spike);
            assert_eq!(highest, spike, "{}", peer.name);
        }
    }

    #[test]
    fn what_is_missing_has_no_score_and_what_is_still_has_a_finite_one() {
        PEERS.into_iter().for_each(|peer| checks::scores_what_there_is(peer, 20));
    }

    #[test]
    fn a_cubic_is_extrapolated_as_it_is() {
        let cubic = |slot: usize| {
            5.0 + 0.3 * slot as f64 - 0.02 * (slot as f64).powi(2) + 0.001 * (slot as f64).powi(3)
        };
        let forecast: f64 =
            extrapolation().iter().enumerate().map(|(slot, weight)| weight * cubic(slot)).sum();
        assert!((forecast - cubic(FITTED)).abs() < 1e-6, "{forecast}, not {}", cubic(FITTED));
    }

    #[test]
    fn errors_count_by_the_second_largest_of_the_days_before() {
        let mut errors = vec![0.0; 5 * DAY];
        for (day, largest) in [4.0, 9.0, 2.0, 8.0, 16.0].into_iter().enumerate() {
            errors[day * DAY + 7] = largest;
        }
        let scores = by_largest(&errors, &vec![1.0; 5 * DAY]);
        assert!(scores[..3 * DAY].iter().all(|score| score.is_nan()));
        assert!((scores[3 * DAY + 7] - 2.0).abs() < 1e-3, "8 over 4: {}", scores[3 * DAY + 7]);
        assert!((scores[4 * DAY + 7] - 2.0).abs() < 1e-3, "16 over 8: {}", scores[4 * DAY + 7]);
    }

    #[test]
    fn a_band_is_that_of_the_hour() {
        // In the second hour 50 and 52 in turn, 10 and 12 in all others.
        let value = |slot: usize| {
            let level = if slot % DAY / HOUR == 1 { 50.0 } else { 10.0 };
            level + if slot.is_multiple_of(2) { 0.0 } else { 2.0 }
        };
        let mut values: Vec<f64> = (0..5 * DAY).map(value).collect();
        values[4 * DAY + HOUR] = 61.0;
        values[4 * DAY + 2 * HOUR] = 51.0;
        let scores = hourly_median(&values);
        assert!(
            (scores[4 * DAY + HOUR] - 10.0 / 1.4826).abs() < 1e-9
                && (scores[4 * DAY + 2 * HOUR] - 40.0 / 1.4826).abs() < 1e-9
        );
    }
}
