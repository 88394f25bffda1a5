//! Puts faults of ten kinds into measured CPU: one at a time, in the last days of a series.
//!
//! The size of a fault depends on the machine: three, five or eight times the deviation that
//! remains after subtracting the usual value of each time of the day. So a fault is neither hidden
//! in the noise of every machine nor plain on each.

use std::ops::Range;

use deepguard::baseline::HISTORY;
use deepguard::series::{DAY, DAY_SECONDS, PERIOD};
use deepguard::{Datapoint, Series};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::data::Span;
use crate::build::evaluate::measures::quantile;

/// Faults begin in this many of the last days, and at least a day before the end.
const LAST_DAYS: usize = 6;
/// Sizes of a fault, in robust standard deviations.
const SIZES: [f64; 3] = [3.0, 5.0, 8.0];
/// How often a level goes up rather than down.
const UP: f64 = 0.7;
/// Slots of a period of an oscillation.
const PERIODS: [usize; 3] = [6, 9, 12];
/// A robust standard deviation is at least this part of the spread from the lowest to the highest
/// percent, and at least this number of points.
const LEAST_NOISE: (f64, f64) = (0.02, 0.05);

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Shift,
    Leak,
    Peakless,
    Frozen,
    Noisy,
    Spike,
    Burst,
    Oscillation,
    Stuck,
    Crash,
}

impl Kind {
    pub(super) const ALL: [Self; 10] = [
        Self::Shift,
        Self::Leak,
        Self::Peakless,
        Self::Frozen,
        Self::Noisy,
        Self::Spike,
        Self::Burst,
        Self::Oscillation,
        Self::Stuck,
        Self::Crash,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Shift => "level shift, a day",
            Self::Leak => "leak over a day",
            Self::Peakless => "daily peak missing",
            Self::Frozen => "frozen for 8 hours",
            Self::Noisy => "three times as noisy, 8 hours",
            Self::Spike => "spike of one datapoint",
            Self::Burst => "burst of half an hour",
            Self::Oscillation => "oscillation, 5 hours",
            Self::Stuck => "stuck at 100 % for an hour",
            Self::Crash => "near zero for 3 hours",
        }
    }

    /// Slots that the fault lasts.
    const fn length(self) -> usize {
        match self {
            Self::Shift | Self::Leak => DAY,
            Self::Peakless => DAY / 4,
            Self::Frozen | Self::Noisy => 96,
            Self::Spike => 1,
            Self::Burst => 6,
            Self::Oscillation => 60,
            Self::Stuck => 12,
            Self::Crash => 36,
        }
    }
}

/// One fault of one series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct InjectedFault {
    pub(super) kind: Kind,
    /// The slot in which it begins.
    pub(super) onset: usize,
    /// The values from the onset on, in percent; NaN where a value is missing.
    pub(super) values: Vec<f64>,
}

impl InjectedFault {
    /// When the fault can be seen.
    pub(super) fn span(&self, series: &Series) -> Span {
        series.time_of(self.onset)..=series.time_of(self.onset + self.values.len() - 1)
    }

    /// How far the fault moves the values of the series, in percentage points: the mean.
    pub(super) fn change(&self, series: &Series) -> f64 {
        let values = self.values.iter().enumerate();
        let changes =
            values.filter_map(|(slot, value)| Some((value - series.get(self.onset + slot)?).abs()));
        changes.sum::<f64>() / self.values.len() as f64
    }

    /// The series with the fault in it.
    pub(super) fn put_into(&self, series: &Series) -> Series {
        let altered = |point: Datapoint| {
            let since = usize::try_from((point.time - series.time_of(self.onset)) / PERIOD).ok();
            let value = since
                .filter(|_| point.time >= series.time_of(self.onset))
                .and_then(|slot| self.values.get(slot));
            Datapoint { value: value.copied().unwrap_or(point.value), ..point }
        };
        let altered = Series::from_datapoints(series.datapoints().map(altered));
        altered.map_or_else(|_| series.clone(), |(altered, _)| altered)
    }
}

/// One fault of every kind for each of `trials`; an empty list where the series is too short. The
/// same `seed` gives the same faults.
pub(super) fn faults(series: &Series, trials: u64, seed: u64) -> Vec<InjectedFault> {
    if series.len() < HISTORY + LAST_DAYS * DAY {
        return Vec::new();
    }
    let machine = HealthySeries::of(series);
    let each = Kind::ALL
        .into_iter()
        .enumerate()
        .flat_map(|(number, kind)| (0..trials).map(move |trial| (number, kind, trial)));
    let fault = |(number, kind, trial): (usize, Kind, u64)| {
        let number = (seed * Kind::ALL.len() as u64 + number as u64) * 1000 + trial;
        machine.fault(kind, &mut ChaCha8Rng::seed_from_u64(number))
    };
    each.map(fault).collect()
}

/// A series, and its usual values.
struct HealthySeries {
    values: Vec<f64>,
    /// The median of its time of the day, for each slot.
    expected: Vec<f64>,
    /// Robust standard deviation of the remainder.
    noise: f64,
    sorted: Vec<f64>,
}

impl HealthySeries {
    fn of(series: &Series) -> Self {
        let values: Vec<f64> =
            (0..series.len()).map(|slot| series.get(slot).unwrap_or(f64::NAN)).collect();
        let sorted = sorted(values.iter().copied());
        let hour = |slot: usize| (series.time_of(slot).rem_euclid(DAY_SECONDS) / PERIOD) as usize;
        let mut by_hour: Vec<Vec<f64>> = vec![Vec::new(); DAY];
        values.iter().enumerate().for_each(|(slot, &value)| by_hour[hour(slot)].push(value));
        let profile: Vec<f64> = by_hour
            .into_iter()
            .map(|of| median(of.into_iter()).unwrap_or_else(|| at(&sorted, 0.5)))
            .collect();
        let expected: Vec<f64> = (0..values.len()).map(|slot| profile[hour(slot)]).collect();
        let left = || values.iter().zip(&expected).map(|(value, expected)| value - expected);
        let middle = median(left()).unwrap_or(0.0);
        let deviation = 1.4826 * median(left().map(|left| (left - middle).abs())).unwrap_or(0.0);
        let spread = at(&sorted, 0.99) - at(&sorted, 0.01);
        let noise = deviation.max(LEAST_NOISE.0 * spread).max(LEAST_NOISE.1);
        Self { values, expected, noise, sorted }
    }

    fn fault(&self, kind: Kind, random: &mut ChaCha8Rng) -> InjectedFault {
        let (slots, length) = (self.values.len(), kind.length());
        let onset = match kind {
            Kind::Peakless => self.peak(slots - random.random_range(2..LAST_DAYS) * DAY, length),
            _ => random.random_range(slots - LAST_DAYS * DAY..slots - DAY),
        };
        let part = onset..onset + length;
        let size = chosen(&SIZES, random) * self.noise;
        let sign = if random.random_bool(UP) { 1.0 } else { -1.0 };
        let period = chosen(&PERIODS, random) as f64;
        let frozen = self.values[part.clone()]
            .iter()
            .copied()
            .find(|value| !value.is_nan())
            .unwrap_or(f64::NAN);
        let mut value = |slot: usize| {
            let (was, since) = (self.values[slot], slot - onset);
            match kind {
                Kind::Shift => was + sign * size,
                Kind::Leak => was + 1.5 * size * since as f64 / (length - 1) as f64,
                Kind::Peakless => was.min(at(&self.sorted, 0.1) + normal(0.3 * self.noise, random)),
                Kind::Frozen => frozen,
                Kind::Noisy => {
                    let middle = self.middle(slot.saturating_sub(6)..slot + 6);
                    middle + 3.0 * (was - middle) + normal(2.0 * self.noise, random)
                }
                Kind::Spike => was + 2.5 * size,
                Kind::Burst => was + 1.5 * size,
                Kind::Oscillation => {
                    was + size * (since as f64 * std::f64::consts::TAU / period).sin()
                }
                Kind::Stuck => 99.0 + normal(0.5, random),
                Kind::Crash => {
                    (0.3 * at(&self.sorted, 0.01) + normal(0.02 * self.noise, random)).max(0.0)
                }
            }
        };
        // A missing value stays missing.
        let values = part.map(|slot| {
            if self.values[slot].is_nan() { f64::NAN } else { value(slot).clamp(0.0, 100.0) }
        });
        InjectedFault { kind, onset, values: values.collect() }
    }

    /// Where the highest `length` slots of the day from slot `day` on begin, by what is usual.
    fn peak(&self, day: usize, length: usize) -> usize {
        let mean = |from: usize| self.expected[from..from + length].iter().sum::<f64>();
        let highest = |best: usize, from: usize| if mean(from) > mean(best) { from } else { best };
        (day..=day + DAY - length).fold(day, highest)
    }

    fn middle(&self, slots: Range<usize>) -> f64 {
        median(self.values[slots.start..slots.end.min(self.values.len())].iter().copied())
            .unwrap_or(f64::NAN)
    }
}

fn chosen<T: Copy>(of: &[T; 3], random: &mut impl Rng) -> T {
    of[random.random_range(0..of.len())]
}

/// A draw from the normal distribution around zero.
fn normal(deviation: f64, random: &mut impl Rng) -> f64 {
    let draw: f64 = StandardNormal.sample(random);
    deviation * draw
}

/// The values that are numbers, rising.
fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    quantile(&sorted(values), 0.5)
}

/// The `q`-quantile of sorted values.
fn at(sorted: &[f64], q: f64) -> f64 {
    quantile(sorted, q).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAYS: usize = 21;

    /// Three weeks with a peak around noon and a little noise. They begin at an hour other than
    /// midnight, and some slots are missing.
    fn machine() -> Series {
        let value = |slot: usize| {
            let hour = (slot % DAY) as f64 / DAY as f64;
            let noise = (slot * 7919 % 101) as f64 / 101.0 - 0.5;
            30.0 - 20.0 * (hour * std::f64::consts::TAU).cos() + 4.0 * noise
        };
        let point = |slot: usize| Datapoint { time: slot as i64 * PERIOD, value: value(slot) };
        Series::from_datapoints((100..DAYS * DAY + 100).filter(|slot| slot % 97 != 0).map(point))
            .unwrap()
            .0
    }

    fn of(kind: Kind, trial: usize) -> (Series, InjectedFault, Vec<(f64, f64)>) {
        let series = machine();
        let fault = faults(&series, 3, 1)
            .into_iter()
            .filter(|fault| fault.kind == kind)
            .nth(trial)
            .unwrap();
        let was = fault
            .values
            .iter()
            .enumerate()
            .map(|(slot, &value)| (series.get(fault.onset + slot), value));
        let pairs = was.filter_map(|(was, value)| Some((was?, value))).collect();
        (series, fault, pairs)
    }

    #[test]
    fn each_kind_changes_its_own_slots_in_the_last_days_and_no_others() {
        let series = machine();
        let all = faults(&series, 3, 1);
        assert_eq!(all.len(), 3 * Kind::ALL.len());
        for fault in &all {
            let name = fault.kind.name();
            assert_eq!(fault.values.len(), fault.kind.length(), "{name}");
            assert!(
                (DAYS - LAST_DAYS) * DAY <= fault.onset
                    && fault.onset + fault.values.len() <= series.len(),
                "{name}"
            );
            assert!(
                fault.values.iter().all(|value| value.is_nan() || (0.0..=100.0).contains(value)),
                "{name}"
            );
            let altered = fault.put_into(&series);
            assert_eq!((altered.start(), altered.len()), (series.start(), series.len()), "{name}");
            let mut changed = 0;
            for slot in 0..series.len() {
                let inside = (fault.onset..fault.onset + fault.values.len()).contains(&slot);
                assert_eq!(
                    altered.get(slot).is_some(),
                    series.get(slot).is_some(),
                    "{name}: what is missing stays so"
                );
                assert!(inside || altered.get(slot) == series.get(slot), "{name} at {slot}");
                changed += usize::from(altered.get(slot) != series.get(slot));
            }
            assert!(
                changed as f64 >= 0.8 * fault.values.len() as f64 || fault.values.len() == 1,
                "{name}: {changed}"
            );
        }
    }

    #[test]
    fn each_kind_does_what_it_says() {
        let usual = HealthySeries::of(&machine());
        assert!((0.5..2.0).contains(&usual.noise), "{}", usual.noise);
        let size = |difference: f64| {
            SIZES.iter().any(|size| (difference.abs() - size * usual.noise).abs() < 1e-9)
        };
        for trial in 0..3 {
            let (_, _, pairs) = of(Kind::Shift, trial);
            let unclipped = |&(_, value): &(f64, f64)| value > 0.0 && value < 100.0;
            assert!(
                pairs.iter().filter(|pair| unclipped(pair)).all(|(was, value)| size(value - was)),
                "shift"
            );

            let (_, fault, _) = of(Kind::Leak, trial);
            let (series, last) = (machine(), fault.values.len() - 1);
            let more =
                |slot: usize| series.get(fault.onset + slot).map(|was| fault.values[slot] - was);
            assert!(
                more(0).is_none_or(|more| more.abs() < 1e-9)
                    && more(last).is_none_or(|more| size(more / 1.5))
            );

            let (_, fault, pairs) = of(Kind::Peakless, trial);
            let noon = (fault.onset + 100 + fault.values.len() / 2) % DAY;
            assert!(noon.abs_diff(DAY / 2) < 12, "the peak is around noon, not {noon}");
            assert!(
                pairs.iter().all(|(was, value)| value <= was && *value < at(&usual.sorted, 0.2)),
                "no peak"
            );

            let (_, _, pairs) = of(Kind::Frozen, trial);
            assert!(pairs.iter().all(|(_, value)| *value == pairs[0].0), "frozen");

            let (_, _, pairs) = of(Kind::Noisy, trial);
            let rough = |values: Vec<f64>| {
                values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum::<f64>()
            };
            let (was, now): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            assert!(rough(now) > 2.0 * rough(was), "noisy");

            for (kind, times) in [(Kind::Spike, 2.5), (Kind::Burst, 1.5)] {
                let (_, _, pairs) = of(kind, trial);
                assert!(
                    pairs.iter().all(|(was, value)| size((value - was) / times)),
                    "{}",
                    kind.name()
                );
            }
            let (_, _, pairs) = of(Kind::Oscillation, trial);
            let [up, down] = [1.0, -1.0].map(|sign| {
                pairs.iter().filter(|(was, now)| sign * (now - was) > usual.noise).count()
            });
            assert!(up > 12 && down > 12, "oscillation: {up} up, {down} down");

            let (_, _, pairs) = of(Kind::Stuck, trial);
            assert!(pairs.iter().all(|(_, value)| *value > 95.0), "stuck");
            let (_, _, pairs) = of(Kind::Crash, trial);
            assert!(
                pairs.iter().all(|(_, value)| *value < 0.4 * usual.sorted[0].max(usual.noise)),
                "crash"
            );
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_one_others() {
        let series = machine();
        let onsets =
            |seed| faults(&series, 1, seed).iter().map(|fault| fault.onset).collect::<Vec<_>>();
        assert_eq!(onsets(1), onsets(1));
        assert_ne!(onsets(1), onsets(2));
        let short = Series::from_datapoints(series.datapoints().take(19 * DAY)).unwrap().0;
        assert_eq!(faults(&short, 1, 1), []);
    }
}
