//! A linear forecast of the next value, fitted anew each day on the days before.

/// Slots of a day.
const DAY: usize = 288;
/// Days it is fitted on, and the fewest that are enough.
const DAYS: usize = 13;
const LEAST_DAYS: usize = 2;
/// Numbers of earlier slots over which means are taken, beside the last value.
const MEANS: [usize; 5] = [3, 12, 36, 144, 288];
/// Slots to either side of the same time of the day.
const AROUND: usize = 3;
/// The last value, the means, yesterday, the profile, and a constant.
const FEATURES: usize = MEANS.len() + 4;
/// Part of each feature's mean square that is added to it.
const RIDGE: f64 = 1e-4;
/// Rounds of reweighting, and from how many robust standard deviations on an error counts less.
const ROUNDS: usize = 4;
const HUBER: f64 = 1.345;

type Row = [f64; FEATURES];

/// The forecast of each value from those before it; NaN where there is too little before.
pub(super) fn forecasts(values: &[f64]) -> Vec<f64> {
    let sums = sums(values);
    let mut forecasts = vec![f64::NAN; values.len()];
    for day in (0..values.len()).step_by(DAY) {
        // The first day has no yesterday.
        let from = day.saturating_sub(DAYS * DAY).max(DAY);
        if day < from + LEAST_DAYS * DAY {
            continue;
        }
        let profile = profile(values, from - DAY..day);
        let row = |slot: usize| features(values, &sums, &profile, slot);
        let rows: Vec<(Row, f64)> =
            (from..day).filter_map(|slot| Some((row(slot)?, values[slot]))).collect();
        let Some(factors) = fit(&rows) else { continue };
        for (slot, forecast) in forecasts.iter_mut().enumerate().skip(day).take(DAY) {
            *forecast = row(slot).map_or(f64::NAN, |row| dot(&row, &factors));
        }
    }
    forecasts
}

/// Sums of all values before each slot. Missing values at the beginning count as zero.
fn sums(values: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0];
    let mut sum = 0.0;
    sums.extend(values.iter().map(|value| {
        sum += if value.is_nan() { 0.0 } else { *value };
        sum
    }));
    sums
}

/// The mean of each time of the day.
fn profile(values: &[f64], slots: std::ops::Range<usize>) -> Vec<f64> {
    let mean = |time: usize| {
        let days = slots
            .clone()
            .step_by(DAY)
            .map(|day| values[day + time])
            .filter(|value| !value.is_nan());
        let (sum, count) = days.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
        sum / count
    };
    (0..DAY).map(mean).collect()
}

/// The features for the forecast of a slot; `None` where the values before it are missing.
fn features(values: &[f64], sums: &[f64], profile: &[f64], slot: usize) -> Option<Row> {
    let yesterday = slot - DAY;
    let mean = |from: usize, to: usize| (sums[to] - sums[from]) / (to - from) as f64;
    let mut row = [1.0; FEATURES];
    row[0] = values[slot - 1];
    for (feature, over) in row[1..].iter_mut().zip(MEANS) {
        *feature = mean(slot - over, slot);
    }
    row[FEATURES - 3] = mean(yesterday.saturating_sub(AROUND), yesterday + AROUND + 1);
    row[FEATURES - 2] = profile[slot % DAY];
    row.iter().all(|feature| feature.is_finite()).then_some(row)
}

/// The factors that leave the smallest errors. Large errors count less than by their squares.
fn fit(rows: &[(Row, f64)]) -> Option<Row> {
    let mut weights = vec![1.0; rows.len()];
    let mut factors = None;
    for _ in 0..ROUNDS {
        let (mut matrix, mut right) = ([[0.0; FEATURES]; FEATURES], [0.0; FEATURES]);
        for ((row, value), weight) in
            rows.iter().zip(&weights).filter(|((_, value), _)| value.is_finite())
        {
            for (index, feature) in row.iter().enumerate() {
                right[index] += weight * feature * value;
                matrix[index]
                    .iter_mut()
                    .zip(row)
                    .for_each(|(cell, other)| *cell += weight * feature * other);
            }
        }
        for (index, row) in matrix.iter_mut().enumerate() {
            row[index] *= 1.0 + RIDGE;
            row[index] += 1e-9;
        }
        let solved = solve(matrix, right)?;
        let errors: Vec<f64> =
            rows.iter().map(|(row, value)| (value - dot(row, &solved)).abs()).collect();
        let mut sorted: Vec<f64> = errors.iter().copied().filter(|error| !error.is_nan()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let usual = HUBER * 1.4826 * sorted.get(sorted.len() / 2)?;
        weights =
            errors.iter().map(|error| if *error > usual { usual / error } else { 1.0 }).collect();
        factors = Some(solved);
    }
    factors
}

/// The solution of a symmetric positive system, by elimination; `None` if it has no solution.
fn solve(mut matrix: [Row; FEATURES], mut right: Row) -> Option<Row> {
    for pivot in 0..FEATURES {
        let (head, below) = matrix.split_at_mut(pivot + 1);
        let row = &head[pivot];
        if row[pivot] <= 0.0 || !row[pivot].is_finite() {
            return None;
        }
        for (other, lower) in below.iter_mut().enumerate() {
            let factor = lower[pivot] / row[pivot];
            lower.iter_mut().zip(row).for_each(|(cell, above)| *cell -= factor * above);
            right[pivot + 1 + other] -= factor * right[pivot];
        }
    }
    for pivot in (0..FEATURES).rev() {
        let known: f64 =
            (pivot + 1..FEATURES).map(|other| matrix[pivot][other] * right[other]).sum();
        right[pivot] = (right[pivot] - known) / matrix[pivot][pivot];
    }
    Some(right)
}

fn dot(a: &Row, b: &Row) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_solved() {
        let mut matrix = [[0.5; FEATURES]; FEATURES];
        (0..FEATURES).for_each(|index| matrix[index][index] = 3.0 + index as f64);
        let wanted: Row = std::array::from_fn(|index| index as f64 - 4.0);
        let found = solve(matrix, matrix.map(|row| dot(&row, &wanted))).unwrap();
        assert!(found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
        assert_eq!(solve([[0.0; FEATURES]; FEATURES], wanted), None);
    }

    #[test]
    fn what_follows_from_the_values_before_is_forecast_and_outliers_do_not_matter() {
        // A daily wave, and each value 0.9 of the last one's distance from it, plus a step that
        // repeats.
        let mut values: Vec<f64> = Vec::new();
        let mut off = 0.0;
        for slot in 0..16 * DAY {
            off = 0.9 * off + (slot * 7919 % 101) as f64 / 50.0 - 1.0;
            let spike = if slot % 1009 == 0 { 60.0 } else { 0.0 };
            values.push(
                40.0 + 15.0 * (slot as f64 * std::f64::consts::TAU / DAY as f64).sin()
                    + off
                    + spike,
            );
        }
        let forecasts = forecasts(&values);
        assert!(forecasts[..3 * DAY].iter().all(|forecast| forecast.is_nan()));
        let mut errors: Vec<f64> =
            (14 * DAY..16 * DAY).map(|slot| (values[slot] - forecasts[slot]).abs()).collect();
        errors.sort_unstable_by(f64::total_cmp);
        assert!(errors[DAY] < 0.8, "median error {}, of steps up to 1", errors[DAY]);
        let persistent =
            (14 * DAY..16 * DAY).map(|slot| (values[slot] - values[slot - DAY]).abs()).sum::<f64>();
        assert!(errors.iter().sum::<f64>() < 0.7 * persistent);
    }
}
