//! A forecast for each instance: a ridge regression on its own last two weeks, at three horizons.
//!
//! What is forecast is the mean of the next 1, 6 or 24 slots, compressed. It is regressed on what is known before them: the newest
//! value, the means of the last 15 minutes, hour, 3, 12 and 24 hours, the same slots and the present one of the day before, and
//! the daily profile at both times. The coefficients shrink towards persistence (tomorrow is like now) where there is little to
//! learn from. Large errors count less (Huber 1964, by iteratively reweighted least squares), so that yesterday's outage is not
//! learnt.

use serde::{Deserialize, Serialize};

use super::level::{Level, quantile};
use super::profile::Profile;
use crate::compress::{compress, expand};
use crate::series::{DAY, PERIOD, Series};

/// Slots whose mean is forecast: 5 minutes, half an hour, two hours.
pub const HORIZONS: [usize; 3] = [1, 6, 24];
/// Slots before a forecast's first one that it is made from: a day, and what the day before yesterday's slots need.
pub const SEEN: usize = DAY + 8;
/// Days that are learnt from.
const DAYS: usize = 13;
/// Slots of the means among the features.
const MEANS: [usize; 5] = [3, 12, 36, 144, 288];
/// Features of a forecast.
const FEATURES: usize = 5 + MEANS.len();
/// The newest value may be as many slots old as this.
const STALE: usize = 3;
/// How strongly coefficients are held at persistence, in days of datapoints.
const RIDGE: f64 = 1e-3;
/// An error of more than so many robust standard deviations counts less.
const HUBER: f64 = 1.5;
/// Rounds of reweighting.
const ROUNDS: usize = 4;
/// Fewer examples than this teach nothing beyond persistence: half a day, less what a forecast needs.
const FEWEST: usize = DAY / 2 - 2 * HORIZONS[2];

/// The forecasts of one instance, for one day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecasts {
    /// Coefficients of each horizon, and the constant last. All features are distances from the median.
    coefficients: [[f64; FEATURES]; HORIZONS.len()],
}

/// A stretch of compressed values, and how its means are taken.
pub(crate) trait Values {
    /// The value of slot `index`, if it has one.
    fn at(&self, index: usize) -> Option<f64>;
    /// The mean of the slots from `from` up to `until`, as far as they exist; `None` where under half of them have a value.
    fn mean(&self, from: isize, until: isize) -> Option<f64>;
}

/// Compressed values of consecutive slots, summed one by one: the mean of the same slots has the same bits wherever they stand.
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
        Self { values: (0..series.len()).map(|slot| series.get(slot).map_or(f64::NAN, compress)).collect() }
    }

    /// Slots, with a value or without.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The mean of slot `slot` and the `over - 1` before it, of those that have a value: to the bit what
    /// [`Series::averaged`] has there.
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
    pub(crate) fn present(&self, from: isize, until: isize) -> impl DoubleEndedIterator<Item = f64> + '_ {
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

/// What a forecast is made against: the daily profile, and where the slots of the values lie in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hours<'a> {
    /// Median and spread.
    pub(crate) level: &'a Level,
    /// The daily profile.
    pub(crate) daily: &'a Profile,
    /// Start of slot 0 of the values, in seconds since 1970.
    pub(crate) start: i64,
}

impl Hours<'_> {
    /// The profile at a slot, compressed.
    fn at(&self, slot: isize) -> f64 {
        self.level.compressed(self.daily.centre(self.start + slot as i64 * PERIOD).into())
    }

    /// The features of the forecast for the `horizon` slots from `first` on.
    fn features(&self, values: &impl Values, first: usize, horizon: usize) -> Option<[f64; FEATURES]> {
        let end = first as isize;
        let ahead = horizon as isize;
        let day = DAY as isize;
        let newest = (1..=STALE).find_map(|back| values.at(first.checked_sub(back)?))?;
        let [a, b, c, d, e] = MEANS.map(|slots| values.mean(end - slots as isize, end));
        let of_day_before = values.mean(end - day, end - day + ahead);
        let day_before = values.mean(end - day - 3, end - day);
        let profile = (0..ahead).map(|slot| self.at(end + slot)).sum::<f64>() / horizon as f64;
        let known = [a, b, c, d, e, of_day_before, day_before];
        let [a, b, c, d, e, of_day_before, day_before] =
            known.map(|mean| mean.map_or(0.0, |mean| mean - self.level.centre));
        let centred = |value: f64| value - self.level.centre;
        Some([centred(newest), a, b, c, d, e, of_day_before, day_before, centred(profile), centred(self.at(end - 1))])
    }
}

impl Forecasts {
    /// Learns from `history`, which ends where the day begins.
    pub(super) fn learn(history: &Series, level: &Level, daily: &Profile) -> Self {
        let learnt = history.slice(history.len().saturating_sub(DAYS * DAY)..history.len());
        let hours = Hours { level, daily, start: learnt.start() };
        let values = Summed::of(Compressed::of(&learnt));
        Self { coefficients: HORIZONS.map(|horizon| fit(&values, &hours, horizon)) }
    }

    /// The compressed mean of the slots from `first` on, as many as the horizon has, from what lies before them; `None` where
    /// the newest slots before them are missing.
    pub(crate) fn of(&self, values: &Compressed, hours: &Hours<'_>, first: usize, horizon: usize) -> Option<f64> {
        let features = hours.features(values, first, HORIZONS[horizon])?;
        Some(hours.level.centre + dot(&self.coefficients[horizon], &features))
    }
}

fn dot(a: &[f64; FEATURES], b: &[f64; FEATURES]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The coefficients of one horizon.
fn fit(values: &Summed, hours: &Hours<'_>, horizon: usize) -> [f64; FEATURES] {
    let mut persistence = [0.0; FEATURES];
    persistence[0] = 1.0;
    let example = |first: usize| {
        let target = values.mean(first as isize, (first + horizon) as isize)?;
        let features = hours.features(values, first, horizon)?;
        // What persistence leaves to be learnt.
        Some((features, target - hours.level.centre - features[0]))
    };
    let last = (values.values.len() + 1).saturating_sub(horizon);
    let examples: Vec<([f64; FEATURES], f64)> = (1..last).filter_map(example).collect();
    if examples.len() < FEWEST {
        return persistence;
    }
    let squares: f64 = examples.iter().flat_map(|(features, _)| features).map(|feature| feature * feature).sum();
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
        errors.extend(examples.iter().map(|(features, target)| (target - dot(&learnt, features)).abs()));
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
            let done: f64 = (0..column).map(|index| matrix[row][index] * matrix[column][index]).sum();
            let left = matrix[row][column] - done;
            matrix[row][column] = if row == column { left.max(1e-12).sqrt() } else { left / matrix[column][column] };
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
mod tests {
    use super::*;
    use crate::series::{DAY_SECONDS, Datapoint};

    fn series(slots: usize, value: impl Fn(usize) -> f64) -> Series {
        let points = (0..slots).map(|slot| Datapoint { time: slot as i64 * PERIOD, value: value(slot) });
        Series::from_datapoints(points).expect("usable").0
    }

    /// What is learnt of `history`, and what it is made against.
    fn learnt(history: &Series) -> (Forecasts, Level, Profile) {
        let level = Level::of(history.present(0..history.len()).collect()).expect("values");
        let daily = Profile::daily(history, history.len(), &level);
        (Forecasts::learn(history, &level, &daily), level, daily)
    }

    /// Between 10 % and 50 % by the hour, with a little noise that does not repeat.
    fn rhythm(slot: usize) -> f64 {
        let hour = (slot % DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
        30.0 + 20.0 * hour.sin() + (slot * 7919 % 101) as f64 / 100.0
    }

    /// Forecasts of what follows on `history` (a whole day of `next`), at each slot of it.
    fn of_next_day(history: &Series, next: impl Fn(usize) -> f64, horizon: usize) -> Vec<(f64, f64)> {
        let (forecasts, level, daily) = learnt(history);
        let days = history.len();
        let value = |slot: usize| history.get(slot).unwrap_or_else(|| next(slot));
        let whole = series(days + DAY, value);
        let (values, hours) = (Compressed::of(&whole), Hours { level: &level, daily: &daily, start: 0 });
        let slots = days..days + DAY - HORIZONS[horizon];
        let pairs = slots.map(|first| {
            let seen = values.mean(first as isize, (first + HORIZONS[horizon]) as isize).expect("whole");
            (forecasts.of(&values, &hours, first, horizon).expect("whole"), seen)
        });
        pairs.collect()
    }

    fn worst(pairs: &[(f64, f64)]) -> f64 {
        pairs.iter().map(|(forecast, seen)| (forecast - seen).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn with_little_history_tomorrow_is_like_now() {
        // One example fewer than teaches anything, and as many: the first slot has nothing before it.
        for (slots, learns) in [(FEWEST, false), (FEWEST + 1, true)] {
            let (forecasts, ..) = learnt(&series(slots, rhythm));
            let mut persistence = [0.0; FEATURES];
            persistence[0] = 1.0;
            assert_eq!(forecasts.coefficients[0] != persistence, learns, "{slots} slots");
        }
        let history = series(FEWEST, |slot| (slot % 5) as f64);
        let ((forecasts, level, daily), values) = (learnt(&history), Compressed::of(&history));
        let hours = Hours { level: &level, daily: &daily, start: 0 };
        for horizon in 0..HORIZONS.len() {
            let forecast = forecasts.of(&values, &hours, 43, horizon).expect("the newest is there");
            assert!((forecast - compress(2.0)).abs() < 1e-12, "slot 42 had 2 %, not {forecast}");
        }
    }

    #[test]
    fn a_daily_rhythm_is_learnt() {
        let history = series(7 * DAY, rhythm);
        for (horizon, slots) in HORIZONS.into_iter().enumerate() {
            let pairs = of_next_day(&history, rhythm, horizon);
            // What persistence is off by: it knows the value before the first slot only.
            let persistence: Vec<(f64, f64)> = pairs
                .iter()
                .enumerate()
                .map(|(slot, (_, seen))| (compress(rhythm(slot + 7 * DAY - 1)), *seen))
                .collect();
            assert!(worst(&pairs) < 0.1, "{slots} slots ahead: {}", worst(&pairs));
            assert!(slots == 1 || worst(&pairs) < worst(&persistence) / 3.0, "{slots} slots ahead");
        }
    }

    #[test]
    fn an_outage_in_the_history_hardly_moves_the_forecast() {
        let outage = |slot: usize| if (3 * DAY + 100..3 * DAY + 112).contains(&slot) { 0.1 } else { rhythm(slot) };
        for horizon in 0..HORIZONS.len() {
            let [clean, broken] = [series(7 * DAY, rhythm), series(7 * DAY, outage)]
                .map(|history| of_next_day(&history, rhythm, horizon));
            let moved = clean.iter().zip(&broken).map(|(a, b)| (a.0 - b.0).abs()).fold(0.0, f64::max);
            // The outage itself is 5 of this unit deep.
            assert!(moved < 0.05, "horizon {horizon}: moved by {moved}");
            assert!(moved > 0.0, "it is among what is learnt from");
        }
    }

    #[test]
    fn a_mean_has_the_same_bits_whatever_the_slice() {
        let whole = series(3 * DAY, |slot| if slot % 89 == 5 { f64::NAN } else { rhythm(slot) });
        let (first, end) = (2 * DAY - 47, 3 * DAY - 20);
        let part = whole.slice(first..3 * DAY);
        let shift = ((part.start() - whole.start()) / PERIOD) as isize;
        let (values, of_part) = (Compressed::of(&whole), Compressed::of(&part));
        let summed = Summed::of(values.clone());
        for slots in MEANS.into_iter().chain(HORIZONS) {
            let range = end as isize - slots as isize..end as isize;
            let mean = values.mean(range.start, range.end).expect("most are there");
            let in_part = of_part.mean(range.start - shift, range.end - shift).expect("most are there");
            assert_eq!(mean.to_bits(), in_part.to_bits(), "{slots} slots");
            let running = summed.mean(range.start, range.end).expect("most are there");
            assert!((mean - running).abs() < 1e-9, "{slots} slots: {mean} and {running}");
        }
        // And a forecast, from as much of the past as it sees.
        let (forecasts, level, daily) = learnt(&whole);
        let hours = |start: i64| Hours { level: &level, daily: &daily, start };
        let start = end - SEEN;
        let seen = whole.slice(start..end);
        for horizon in 0..HORIZONS.len() {
            assert_eq!(
                forecasts.of(&values, &hours(0), end, horizon).map(f64::to_bits),
                forecasts.of(&Compressed::of(&seen), &hours(seen.start()), end - start, horizon).map(f64::to_bits),
                "horizon {horizon}"
            );
        }
    }

    #[test]
    fn a_mean_is_of_at_least_half() {
        let points = [(0, 1.0), (1, 3.0), (4, 5.0)].map(|(slot, value)| Datapoint { time: slot * PERIOD, value });
        let values = Compressed::of(&Series::from_datapoints(points).expect("usable").0);
        let summed = Summed::of(values.clone());
        let (one, three) = (compress(1.0), compress(3.0));
        let both = |from, until| [values.mean(from, until), summed.mean(from, until)];
        assert_eq!(both(0, 2), [Some((one + three) / 2.0); 2]);
        assert_eq!(both(0, 4), [Some((one + three) / 2.0); 2], "two of four");
        assert_eq!(both(1, 4), [None; 2], "one of three");
        assert_eq!(both(-2, 2), [Some((one + three) / 2.0); 2], "what lies before the series is missing");
        assert_eq!(both(-3, 2), [None; 2]);
        assert_eq!(both(5, 9), [None; 2]);
    }

    #[test]
    fn it_needs_one_of_the_newest_three_slots() {
        let history = series(3 * DAY, rhythm);
        let (forecasts, level, daily) = learnt(&history);
        let hours = Hours { level: &level, daily: &daily, start: 0 };
        let end = 3 * DAY - 30;
        let with_gap = |missing: usize| {
            let gap = end - missing..end;
            let kept = history.datapoints().filter(|point| !gap.contains(&((point.time / PERIOD) as usize)));
            let values = Compressed::of(&Series::from_datapoints(kept).expect("usable").0);
            forecasts.of(&values, &hours, end, 0).is_some()
        };
        assert_eq!([0, 1, 2, 3, 40].map(with_gap), [true, true, true, false, false]);
    }

    #[test]
    fn a_system_is_solved_as_by_hand() {
        // 4 x + 2 y = 10 and 2 x + 3 y = 9 have x = 1.5 and y = 2; the others are alone, 2 z = 2 (n + 1).
        let mut matrix = [[0.0; FEATURES]; FEATURES];
        let mut right = [0.0; FEATURES];
        for (row, line) in matrix.iter_mut().enumerate() {
            line[row] = 2.0;
            right[row] = 2.0 * (row + 1) as f64;
        }
        (matrix[0][0], matrix[1][0], matrix[1][1]) = (4.0, 2.0, 3.0);
        (right[0], right[1]) = (10.0, 9.0);
        let mut expected: [f64; FEATURES] = std::array::from_fn(|row| (row + 1) as f64);
        (expected[0], expected[1]) = (1.5, 2.0);
        for (found, expected) in solve(matrix, right).into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} instead of {expected}");
        }
        // Of what is no system at all, something finite.
        assert!(solve([[0.0; FEATURES]; FEATURES], [1.0; FEATURES]).iter().all(|found| found.is_finite()));
    }

    #[test]
    fn what_is_older_than_its_days_is_not_learnt() {
        let days = 15;
        let learn = |first: f64| {
            let history = series(days * DAY, |slot| if slot < (days - DAYS) * DAY { first } else { rhythm(slot) });
            let recent = history.slice((days - DAYS) * DAY..days * DAY);
            let level = Level::of(recent.present(0..recent.len()).collect()).expect("values");
            let daily = Profile::daily(&recent, recent.len(), &level);
            assert_eq!(history.end(), days as i64 * DAY_SECONDS);
            Forecasts::learn(&history, &level, &daily)
        };
        assert_eq!(learn(1.0), learn(99.0));
    }
}
