//! How each fault alters the values of a machine.

use std::f64::consts::TAU;
use std::ops::Range;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::fault::{Fault, LATE, delays, one_of, spike};
use super::parts::{AutoregressiveNoise, about_one, as_measured, normal};
use super::usual::{Usual, quantile, sorted};
use super::{DAY, HOUR};

/// Slots to either side of one that say what is normal around it.
const AROUND: usize = 6;

/// Where a fault happens.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    /// The whole series, clean.
    pub(super) values: &'a [f64],
    pub(super) onset: usize,
    /// The values that would be altered.
    pub(super) clean: &'a [f64],
    pub(super) usual: &'a Usual,
    pub(super) cap: Option<f64>,
}

impl Fault {
    /// The altered values, from `onset` on, as many as the fault has or the series. `values` are
    /// the clean ones, and `cap` is the largest possible one: 100 for CPU, None for what has a unit
    /// of its own. What is missing stays missing.
    ///
    /// Where there are less than three days before `onset`, nothing is normal yet and nothing is
    /// altered.
    pub(crate) fn inject(
        self,
        values: &[f64],
        onset: usize,
        cap: Option<f64>,
        random: &mut ChaCha8Rng,
    ) -> Vec<f64> {
        let end = values.len().min(onset + self.duration());
        let clean = values[onset..end].to_vec();
        let Some(usual) = Usual::before(values, onset, cap) else { return clean };
        if self == Self::Nothing || clean.iter().all(|value| value.is_nan()) {
            return clean;
        }
        let scene = Scene { values, onset, clean: &clean, usual: &usual, cap };
        let altered = scene.altered(self, random);
        let lowest = usual.bottom.min(0.0);
        let possible = |value: f64| match cap {
            Some(100.0) => as_measured(value),
            _ => value.clamp(lowest, cap.unwrap_or(f64::INFINITY)),
        };
        let present = |(clean, altered): (&f64, f64)| {
            if clean.is_nan() { f64::NAN } else { possible(altered) }
        };
        clean.iter().zip(altered).map(present).collect()
    }
}

impl Scene<'_> {
    /// The values after `fault`, which may still be impossible ones.
    pub(super) fn altered(&self, fault: Fault, random: &mut ChaCha8Rng) -> Vec<f64> {
        let Usual { noise, top, .. } = *self.usual;
        match fault {
            Fault::LevelShift => {
                let size = self.direction(noise * random.random_range(3.0..5.0), random);
                self.each(|_, value| value + size)
            }
            Fault::Leak => {
                let size = noise * random.random_range(6.0..12.0);
                let count = self.clean.len() as f64;
                self.each(|at, value| value + size * (at + 1) as f64 / count)
            }
            Fault::PeakMissing => {
                let base = self.middle(self.onset.saturating_sub(HOUR)..self.onset);
                let quiet = self.quiet(random);
                self.each(|at, _| base + quiet[at])
            }
            Fault::Frozen => {
                let last = self.values[..self.onset].iter().rfind(|value| !value.is_nan());
                let last = last.copied().unwrap_or(self.usual.median);
                self.each(|_, _| last)
            }
            Fault::Variance => {
                let deviation = |at: usize, value: f64| value - self.around(self.onset + at);
                let own = sorted((0..self.clean.len()).map(|at| deviation(at, self.clean[at])));
                let spread = (quantile(&own, 0.75) - quantile(&own, 0.25)) / 1.349;
                // A machine that is as good as still gets noise of its own, of three times the
                // least that counts.
                let more = if spread < noise / 3.0 { 3.0 * noise } else { 0.0 };
                // Jobs and bursts are no noise and do not grow with it.
                let own = |at, value| deviation(at, value).clamp(-3.0 * spread, 3.0 * spread);
                self.each(|at, value| value + 2.0 * own(at, value) + more * normal(random))
            }
            Fault::PatternLate => self.late(LATE),
            Fault::ClockShift => {
                self.late(one_of(delays(self.usual).collect(), random).unwrap_or(2 * HOUR))
            }
            Fault::OddSpike => {
                let height = spike(self.usual, random.random_range(0.7..1.0));
                self.each(|_, value| value.max(height * random.random_range(0.95..1.0)))
            }
            Fault::Oscillation => {
                let period = random.random_range((4f64).ln()..(36f64).ln()).exp();
                let size = noise * random.random_range(2.0..4.0);
                let mut wave = self.within(|at| size * (TAU * at as f64 / period).sin());
                self.each(|at, value| value + wave(at, value))
            }
            Fault::Sawtooth => {
                let size = noise * random.random_range(4.0..8.0);
                let period = random.random_range(3 * HOUR..=8 * HOUR);
                self.each(|at, value| value + size * (at % period) as f64 / period as f64)
            }
            Fault::NoisyNeighbour => {
                let left = random.random_range(0.55..0.85);
                let ragged = noise * random.random_range(1.5..3.0);
                let mut memory = AutoregressiveNoise::new(0.5, random);
                self.each(|_, value| left * value + ragged * memory.next(random))
            }
            Fault::Deploy => {
                let size = self.direction(noise * random.random_range(1.5..3.0), random);
                let warm = noise * random.random_range(3.0..6.0);
                self.each(|at, value| match at {
                    0 | 1 => 0.2 * value,
                    2..5 => value + size.max(0.0) + warm,
                    _ => value + size,
                })
            }
            Fault::CrashLoop => {
                let period = random.random_range(4.0..9.0);
                let (left, size) =
                    (random.random_range(0.2..0.6), noise * random.random_range(4.0..8.0));
                let mut next = 0.0;
                let mut since = usize::MAX;
                self.each(|at, value| {
                    if at as f64 >= next {
                        next += period * about_one(random, 0.1);
                        since = at;
                    }
                    match at - since {
                        0 => left * value,
                        1 => value + size,
                        _ => value,
                    }
                })
            }
            Fault::Stuck => {
                let limit = self.cap.unwrap_or(top + 0.3 * top.abs());
                self.each(|_, _| {
                    limit - 0.2 * noise.min(0.01 * limit.abs()) * random.random::<f64>()
                })
            }
            Fault::Nothing => self.clean.to_vec(),
        }
    }

    /// Every clean value, altered by its place and itself.
    fn each(&self, mut alter: impl FnMut(usize, f64) -> f64) -> Vec<f64> {
        self.clean.iter().enumerate().map(|(at, value)| alter(at, *value)).collect()
    }

    /// `size` or minus it, by chance, where there is room for both: up below the limit, down to 30
    /// % of the median.
    fn direction(&self, size: f64, random: &mut ChaCha8Rng) -> f64 {
        let Usual { median, high, bottom, .. } = *self.usual;
        let up = self.cap.is_none_or(|cap| high + size <= cap);
        let down = bottom < 0.0 || size <= 0.7 * median;
        if down && (!up || random.random_bool(0.5)) { -size } else { size }
    }

    /// A wave, lifted where it would end in the floor and lowered where it would end above what is
    /// known.
    fn within(&self, wave: impl Fn(usize) -> f64) -> impl FnMut(usize, f64) -> f64 {
        let top = self.usual.top.max(self.usual.median + 4.0 * self.usual.noise);
        let bottom = self.usual.bottom.min(0.0);
        let size = (0..self.clean.len()).map(&wave).fold(0.0, f64::max);
        let typical = quantile(&sorted(self.clean.iter().copied()), 0.5);
        let lift = (bottom + size - typical).max(0.0) - (typical + size - top).max(0.0);
        move |at, _| wave(at) + lift
    }

    /// The series as it was this number of slots ago.
    fn late(&self, slots: usize) -> Vec<f64> {
        self.each(|at, value| {
            let earlier = self.values[(self.onset + at).saturating_sub(slots)];
            if earlier.is_nan() { value } else { earlier }
        })
    }

    /// The median of these slots.
    fn middle(&self, slots: Range<usize>) -> f64 {
        let values = sorted(self.values[slots].iter().copied());
        if values.is_empty() { self.usual.median } else { quantile(&values, 0.5) }
    }

    /// The normal values around a slot, by the clean series.
    fn around(&self, slot: usize) -> f64 {
        self.middle(slot.saturating_sub(AROUND)..(slot + AROUND + 1).min(self.values.len()))
    }

    /// The series' own deviations where nothing happens, for as long as the fault lasts: hours
    /// drawn from the quieter third of the last two weeks.
    fn quiet(&self, random: &mut ChaCha8Rng) -> Vec<f64> {
        let past = &self.values[self.onset.saturating_sub(14 * DAY)..self.onset];
        let mut hours: Vec<(f64, &[f64])> = past
            .chunks_exact(HOUR)
            .filter(|hour| hour.iter().all(|value| !value.is_nan()))
            .map(|hour| (hour.iter().sum::<f64>(), hour))
            .collect();
        hours.sort_by(|a, b| a.0.total_cmp(&b.0));
        hours.truncate(hours.len().div_ceil(3));
        let mut deviations = Vec::with_capacity(self.clean.len() + HOUR);
        while deviations.len() < self.clean.len() {
            match one_of((0..hours.len()).collect(), random) {
                Some(hour) => {
                    let hour = hours[hour].1;
                    let usual = quantile(&sorted(hour.iter().copied()), 0.5);
                    deviations.extend(hour.iter().map(|value| value - usual));
                }
                None => deviations.resize(self.clean.len(), 0.0),
            }
        }
        deviations
    }
}
