//! A forecast for each instance: a ridge regression on its own last two weeks, at three horizons.
//!
//! The target is the compressed mean of the next 1, 6 or 24 slots. The features are the values
//! known before them:
//!
//! - the newest value;
//! - the means of the last 15 minutes, hour, 3, 12 and 24 hours;
//! - the same slots and the present one of the day before, by local time;
//! - the daily profile at both times.
//!
//! On the day after a holiday, the daily profile stands in for the day before.
//!
//! The coefficients shrink towards persistence (tomorrow is like now) where there is little to
//! learn from. Large errors count less (Huber 1964, by iteratively reweighted least squares), so
//! the model does not learn yesterday's outage.

use serde::{Deserialize, Serialize};

use super::level::{Level, quantile};
use super::off::DaysOff;
use super::profile::Profile;
use crate::compress::{compress, expand};
use crate::series::{DAY, PERIOD, Series};
use crate::zone::Zone;

/// Slots whose mean is forecast: 5 minutes, half an hour, two hours.
pub const HORIZONS: [usize; 3] = [1, 6, 24];
/// Slots before a forecast's first slot that the forecast reads: a day, and the slots needed from
/// the day before yesterday.
pub const SEEN: usize = DAY + 8;
/// Days to learn from.
const DAYS: usize = 13;
/// Slots of the means among the features.
const MEANS: [usize; 5] = [3, 12, 36, 144, 288];
/// Features of a forecast.
const FEATURES: usize = 5 + MEANS.len();
/// The maximum age of the newest value, in slots.
const STALE: usize = 3;
/// How strongly coefficients are held at persistence, in days of datapoints.
const RIDGE: f64 = 1e-3;
/// Errors above this number of robust standard deviations count less.
const HUBER: f64 = 1.5;
/// Rounds of reweighting.
const ROUNDS: usize = 4;
/// The minimum number of examples: with fewer, a fit learns nothing beyond persistence. Half a day,
/// less the slots that a forecast needs.
const FEWEST: usize = DAY / 2 - 2 * HORIZONS[2];

/// The forecasts of one instance, for one day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecasts {
    /// Coefficients of each horizon, and the constant last. All features are distances from the
    /// median.
    coefficients: [[f64; FEATURES]; HORIZONS.len()],
}

/// A stretch of compressed values, and how its means are taken.
pub(crate) trait Values {
    /// The value of slot `index`, if it has one.
    fn at(&self, index: usize) -> Option<f64>;
    /// The mean of the slots from `from` up to `until`, as far as they exist; `None` where under
    /// half of them have a value.
    fn mean(&self, from: isize, until: isize) -> Option<f64>;
}

/// Compressed values of consecutive slots, summed one by one: the mean of the same slots has the
/// same bits wherever they stand.
#[derive(Debug, Clone)]
pub struct Compressed {
    values: Vec<f64>,
}

/// The same with running sums, to learn from.
struct Summed {
    values: Vec<f64>,
    sums: Vec<f64>,
    counts: Vec<usize>,
}

impl Compressed {
    /// Of a series, slot by slot.
    pub fn of(series: &Series) -> Self {
        Self {
            values: (0..series.len())
                .map(|slot| series.get(slot).map_or(f64::NAN, compress))
                .collect(),
        }
    }

    /// Slots, with a value or without.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The mean of slot `slot` and the `over - 1` before it, of those that have a value: to the bit
    /// what [`Series::averaged`] has there.
    pub(crate) fn averaged(&self, slot: usize, over: usize) -> Option<f64> {
        if over == 1 {
            return self.at(slot);
        }
        let end = slot as isize + 1;
        let (mut sum, mut count) = (0.0, 0.0);
        for value in self.present(end - over as isize, end) {
            sum += value;
            count += 1.0;
        }
        // There and back as in a series, which is in percent.
        (count > 0.0).then(|| compress(expand(sum / count)))
    }

    /// The values of the slots from `from` up to `until` that have one, oldest first.
    pub(crate) fn present(
        &self,
        from: isize,
        until: isize,
    ) -> impl DoubleEndedIterator<Item = f64> + '_ {
        let until = usize::try_from(until).unwrap_or(0).min(self.values.len());
        let from = usize::try_from(from).unwrap_or(0).min(until);
        self.values[from..until].iter().copied().filter(|value| !value.is_nan())
    }
}

impl Values for Compressed {
    fn at(&self, index: usize) -> Option<f64> {
        self.values.get(index).copied().filter(|value| !value.is_nan())
    }

    fn mean(&self, from: isize, until: isize) -> Option<f64> {
        let (mut sum, mut count) = (0.0, 0);
        for value in self.present(from, until) {
            sum += value;
            count += 1;
        }
        enough(count, from, until).then(|| sum / count as f64)
    }
}

impl Summed {
    fn of(Compressed { values }: Compressed) -> Self {
        let (mut sums, mut counts) = (vec![0.0], vec![0]);
        let (mut sum, mut count) = (0.0, 0);
        for value in &values {
            if !value.is_nan() {
                sum += value;
                count += 1;
            }
            sums.push(sum);
            counts.push(count);
        }
        Self { values, sums, counts }
    }
}

impl Values for Summed {
    fn at(&self, index: usize) -> Option<f64> {
        self.values.get(index).copied().filter(|value| !value.is_nan())
    }

    fn mean(&self, from: isize, until: isize) -> Option<f64> {
        let clamped = |slot: isize| usize::try_from(slot).unwrap_or(0).min(self.values.len());
        let (first, end) = (clamped(from), clamped(until));
        let count = self.counts[end.max(first)] - self.counts[first];
        enough(count, from, until).then(|| (self.sums[end] - self.sums[first]) / count as f64)
    }
}

fn enough(count: usize, from: isize, until: isize) -> bool {
    count > 0 && 2 * count as isize >= until - from
}

/// The context of a forecast: the daily profile, and where the slots of the values lie in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DayContext<'a> {
    pub(crate) level: &'a Level,
    pub(crate) daily: &'a Profile,
    /// By whose clock a day before is.
    pub(crate) zone: &'a Zone,
    /// Start of slot 0 of the values, in seconds since 1970.
    pub(crate) start: i64,
    pub(crate) off: DaysOff<'a>,
}

/// What the features of a forecast are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Learn,
    Forecast,
}

impl DayContext<'_> {
    /// The profile at a slot, compressed.
    fn at(&self, slot: isize) -> f64 {
        self.level.compressed(self.daily.centre(self.start + slot as i64 * PERIOD).into())
    }

    /// The mean of the profile over the slots from `from` up to `until`.
    fn mean(&self, from: isize, until: isize) -> f64 {
        (from..until).map(|slot| self.at(slot)).sum::<f64>() / (until - from) as f64
    }

    /// The slots from the same time of the day before until slot `slot`: 23 or 25 hours around a
    /// change of clocks.
    fn day_until(&self, slot: usize) -> isize {
        let time = self.start + slot as i64 * PERIOD;
        ((time - self.zone.days_before(time, 1)) / PERIOD) as isize
    }

    /// The features of the forecast for the `horizon` slots from `first` on.
    fn features(
        &self,
        values: &impl Values,
        first: usize,
        horizon: usize,
        used: Use,
    ) -> Option<[f64; FEATURES]> {
        let end = first as isize;
        let ahead = horizon as isize;
        let day = self.day_until(first);
        let newest = (1..=STALE).find_map(|back| values.at(first.checked_sub(back)?))?;
        let [a, b, c, d, e] = MEANS.map(|slots| values.mean(end - slots as isize, end));
        let profile = self.mean(end, end + ahead);
        // A day of 25 hours may reach back to before the values: then the first that there are.
        let before = if day > DAY as isize { (end - day).max(3) } else { end - day };
        // A holiday does not say how a morning of work begins. The forecasts still learn from such
        // a morning as it is: each Monday is one.
        let is_after = || self.off.follows_holiday(self.start + end as i64 * PERIOD);
        let [of_day_before, day_before] = if used == Use::Forecast && is_after() {
            [Some(profile), Some(self.mean(end - 3, end))]
        } else {
            [values.mean(end - day, end - day + ahead), values.mean(before - 3, before)]
        };
        let known = [a, b, c, d, e, of_day_before, day_before];
        let [a, b, c, d, e, of_day_before, day_before] =
            known.map(|mean| mean.map_or(0.0, |mean| mean - self.level.centre));
        let centred = |value: f64| value - self.level.centre;
        Some([
            centred(newest),
            a,
            b,
            c,
            d,
            e,
            of_day_before,
            day_before,
            centred(profile),
            centred(self.at(end - 1)),
        ])
    }
}

impl Forecasts {
    /// Learns from `history`, which ends where the day begins, how its values follow from those
    /// before them, at the times that are [examples](DaysOff::teaches).
    pub(super) fn learn(
        history: &Series,
        level: &Level,
        daily: &Profile,
        zone: &Zone,
        off: DaysOff<'_>,
    ) -> Self {
        let learnt = history.slice(history.len().saturating_sub(DAYS * DAY)..history.len());
        let context = DayContext { level, daily, zone, start: learnt.start(), off };
        let values = Summed::of(Compressed::of(&learnt));
        let learns = |first: usize| off.teaches(learnt.time_of(first));
        Self { coefficients: HORIZONS.map(|horizon| fit(&values, &context, horizon, &learns)) }
    }

    /// The compressed mean of the slots from `first` on, as many as the horizon has, forecast from
    /// the values before them; `None` where the newest slots before them are missing.
    pub(crate) fn of(
        &self,
        values: &Compressed,
        context: &DayContext<'_>,
        first: usize,
        horizon: usize,
    ) -> Option<f64> {
        let features = context.features(values, first, HORIZONS[horizon], Use::Forecast)?;
        Some(context.level.centre + dot(&self.coefficients[horizon], &features))
    }
}

fn dot(a: &[f64; FEATURES], b: &[f64; FEATURES]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The coefficients of one horizon, learnt from the forecasts of the slots from those on that
/// `learns` names.
fn fit(
    values: &Summed,
    context: &DayContext<'_>,
    horizon: usize,
    learns: &impl Fn(usize) -> bool,
) -> [f64; FEATURES] {
    let mut persistence = [0.0; FEATURES];
    persistence[0] = 1.0;
    let example = |first: usize| {
        let target = values.mean(first as isize, (first + horizon) as isize)?;
        let features = context.features(values, first, horizon, Use::Learn)?;
        // The part that persistence leaves to learn.
        Some((features, target - context.level.centre - features[0]))
    };
    let last = (values.values.len() + 1).saturating_sub(horizon);
    let examples: Vec<([f64; FEATURES], f64)> =
        (1..last).filter(|&first| learns(first)).filter_map(example).collect();
    if examples.len() < FEWEST {
        return persistence;
    }
    let squares: f64 =
        examples.iter().flat_map(|(features, _)| features).map(|feature| feature * feature).sum();
    let size = squares / (examples.len() * FEATURES) as f64 + 1e-12;
    let ridge = RIDGE * DAY as f64 * size;
    let mut weights = vec![1.0; examples.len()];
    let mut learnt = [0.0; FEATURES];
    let mut errors = Vec::with_capacity(examples.len());
    for _ in 0..ROUNDS {
        let mut matrix = [[0.0; FEATURES]; FEATURES];
        let mut right = [0.0; FEATURES];
        for ((features, target), weight) in examples.iter().zip(&weights) {
            for row in 0..FEATURES {
                let weighted = weight * features[row];
                right[row] += weighted * target;
                for column in 0..=row {
                    matrix[row][column] += weighted * features[column];
                }
            }
        }
        for (row, line) in matrix.iter_mut().enumerate() {
            line[row] += ridge;
        }
        learnt = solve(matrix, right);
        errors.clear();
        errors.extend(
            examples.iter().map(|(features, target)| (target - dot(&learnt, features)).abs()),
        );
        let mut sorted = errors.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        // 1.4826: the median of a normal distribution's errors is a standard deviation over this.
        let limit = HUBER * (1.4826 * quantile(&sorted, 0.5).unwrap_or(0.0) + 1e-9);
        for (weight, error) in weights.iter_mut().zip(&errors) {
            *weight = if *error > limit { limit / error } else { 1.0 };
        }
    }
    learnt[0] += 1.0;
    learnt
}

/// Solves a symmetric positive definite system, given its lower half (Cholesky).
fn solve(mut matrix: [[f64; FEATURES]; FEATURES], mut right: [f64; FEATURES]) -> [f64; FEATURES] {
    for row in 0..FEATURES {
        for column in 0..=row {
            let done: f64 =
                (0..column).map(|index| matrix[row][index] * matrix[column][index]).sum();
            let left = matrix[row][column] - done;
            matrix[row][column] =
                if row == column { left.max(1e-12).sqrt() } else { left / matrix[column][column] };
        }
        let done: f64 = (0..row).map(|index| matrix[row][index] * right[index]).sum();
        right[row] = (right[row] - done) / matrix[row][row];
    }
    for row in (0..FEATURES).rev() {
        let done: f64 = (row + 1..FEATURES).map(|index| matrix[index][row] * right[index]).sum();
        right[row] = (right[row] - done) / matrix[row][row];
    }
    right
}

#[cfg(test)]
mod tests;
