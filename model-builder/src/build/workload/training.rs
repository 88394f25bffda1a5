//! Machines to train on.
//!
//! A network should learn what CPU is like in general (it comes in periods, ramps, plateaus and
//! bursts), not the machines that it is compared on. So these machines have other patterns, wider
//! ranges, two to four weeks of history, and seeds of their own. A training machine is never a
//! benchmark machine. Some change for good in the middle, as real ones do.

use std::f64::consts::TAU;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::DAY;
use super::parts::{
    AutoregressiveNoise, Noise, about_one, add_job, arrivals, heavy, log_uniform, normal, seeded,
};

/// The patterns of a training machine's load. A machine has one of these, or a mixture of two or
/// three.
#[derive(Debug, Clone, Copy)]
enum LoadPattern {
    /// A day of one to four harmonics with a factor for each weekday.
    Harmonics,
    /// One to four jobs at fixed times, some of them only on some weekdays.
    Cron,
    /// Jobs of any period from 20 minutes to 10 hours.
    Batch,
    /// A wave of 15 minutes to 6 hours, round or square, whose phase wanders.
    Oscillation,
    /// Levels that hold for half an hour to a day.
    Plateaus,
    /// Enough work that the limit shows.
    Saturation,
    /// Very little, with bursts.
    Idle,
    /// Bursts whose height has no scale.
    HeavyTailed,
    /// Rises for half an hour to three days, then falls at once: memory that is collected, logs
    /// that are rotated.
    Sawtooth,
}

impl LoadPattern {
    const ALL: [Self; 9] = [
        Self::Harmonics,
        Self::Cron,
        Self::Batch,
        Self::Oscillation,
        Self::Plateaus,
        Self::Saturation,
        Self::Idle,
        Self::HeavyTailed,
        Self::Sawtooth,
    ];

    fn load(self, random: &mut ChaCha8Rng, slots: usize) -> Vec<f64> {
        match self {
            Self::Harmonics => harmonics(random, slots),
            Self::Cron => cron(random, slots),
            Self::Batch => batch(random, slots),
            Self::Oscillation => oscillation(random, slots),
            Self::Plateaus => plateaus(random, slots),
            Self::Saturation => saturation(random, slots),
            Self::Idle => idle(random, slots),
            Self::HeavyTailed => heavy_tailed(random, slots),
            Self::Sawtooth => sawtooth(random, slots),
        }
    }
}

/// The CPU of one training machine over 14 to 28 days, in percent. The same seed gives the same
/// values. Ten seeds in a row are nine patterns and a mixture.
pub(crate) fn training_machine(seed: u64) -> Vec<f64> {
    let random = &mut seeded("training", seed);
    let slots = random.random_range(14..=28) * DAY;
    let mut load = match LoadPattern::ALL.get((seed % 10) as usize) {
        Some(pattern) => pattern.load(random, slots),
        None => mixture(random, slots),
    };
    if random.random_bool(0.2) {
        let (from, factor) = (random.random_range(0..slots), about_one(random, 0.3));
        load[from..].iter_mut().for_each(|load| *load *= factor);
    }
    let noise = Noise {
        absolute: log_uniform(random, 0.003, 1.0),
        white: random.random_range(0.0..0.1),
        lasting: random.random_range(0.0..0.08),
        coefficient: random.random_range(0.3..0.99),
        blips: random.random_range(0.0..2.0),
    };
    noise.measure(&load, random)
}

fn harmonics(random: &mut ChaCha8Rng, slots: usize) -> Vec<f64> {
    let count = random.random_range(1..=4);
    let waves: Vec<(f64, f64, f64)> = (1..=count)
        .map(|order| {
            let order = f64::from(order);
            (order, random.random_range(0.3..1.0) / order, random.random_range(0.0..TAU))
        })
        .collect();
    let (base, height) = (random.random_range(0.5..40.0), log_uniform(random, 2.0, 50.0));
    let week: Vec<f64> = if random.random_bool(0.6) {
        (0..7).map(|_| random.random_range(0.3..1.2)).collect()
    } else {
        vec![1.0; 7]
    };
    let spread = random.random_range(0.0..0.12);
    let of_day: Vec<f64> =
        (0..slots / DAY).map(|day| week[day % 7] * about_one(random, spread)).collect();
    (0..slots)
        .map(|slot| {
            let turn = TAU * (slot % DAY) as f64 / DAY as f64;
            let wave: f64 =
                waves.iter().map(|(order, size, phase)| size * (order * turn + phase).sin()).sum();
            base + height * of_day[slot / DAY] * (0.5 + 0.5 * wave).max(0.0)
        })
        .collect()
}

fn cron(random: &mut ChaCha8Rng, slots: usize) -> Vec<f64> {
    let mut load = vec![log_uniform(random, 0.1, 25.0); slots];
    for _ in 0..random.random_range(1..=4) {
        let (at, length) = (random.random_range(0.0..DAY as f64), log_uniform(random, 0.5, 60.0));
        let (height, jitter) = (log_uniform(random, 3.0, 90.0), random.random_range(0.0..4.0));
        let weekdays: Vec<bool> = if random.random_bool(0.7) {
            vec![true; 7]
        } else {
            (0..7).map(|_| random.random_bool(0.6)).collect()
        };
        for day in (0..slots / DAY).filter(|day| weekdays[day % 7]) {
            let start = (day * DAY) as f64 + at + jitter * normal(random);
            add_job(
                &mut load,
                start,
                length * about_one(random, 0.15),
                height * about_one(random, 0.1),
            );
        }
    }
    load
}

fn batch(random: &mut ChaCha8Rng, slots: usize) -> Vec<f64> {
    let mut load = vec![log_uniform(random, 0.2, 30.0); slots];
    let period = log_uniform(random, 4.0, 120.0);
    let length = period * random.random_range(0.1..0.6);
    let (height, jitter) =
        (log_uniform(random, 3.0, 80.0), period * random.random_range(0.0..0.15));
    let (longer, higher) = (random.random_range(0.0..0.3), random.random_range(0.0..0.2));
    let mut start = random.random_range(0.0..period);
    while start < slots as f64 {
        let late = jitter * normal(random);
        add_job(
            &mut load,
            start + late,
            length * about_one(random, longer),
            height * about_one(random, higher),
        );
        start += period;
    }
    load
}

fn oscillation(random: &mut ChaCha8Rng, slots: usize) -> Vec<f64> {
    let period = log_uniform(random, 3.0, 72.0);
    let (size, base) = (log_uniform(random, 0.5, 30.0), random.random_range(0.0..50.0));
    let (square, wander) = (random.random_bool(0.4), random.random_range(0.0..0.15));
    let mut phase = random.random_range(0.0..TAU);
    let mut memory = AutoregressiveNoise::new(0.99, random);
    (0..slots)
        .map(|_| {
            phase += TAU / period + wander * normal(random);
            let wave = if square { phase.sin().signum() } else { phase.sin() };
            base + size * (0.2 * memory.next(random)).exp() * (1.0 + wave)
        })
        .collect()
}

fn plateaus(random: &mut ChaCha8Rng, slots: usize) -> Vec<f64> {
    let levels: Vec<f64> =
        (0..random.random_range(3..=7)).map(|_| random.random_range(2.0..95.0)).collect();
    let hold = log_uniform(random, 6.0, DAY as f64);
    let mut load = Vec::with_capacity(slots);
    while load.len() < slots {
        let level = levels[random.random_range(0..levels.len())];
        let length = (hold * about_one(random, 0.6)).max(1.0) as usize;
        load.extend(std::iter::repeat_n(level, length.min(slots - load.len())));
    }
    load
}

fn saturation(random: &mut ChaCha8Rng, slots: usize) -> Vec<f64> {
    // The limit is above 100 for some machines: their values are simply cut off there.
    let (demand, limit) = (random.random_range(60.0..115.0), random.random_range(80.0..103.0));
    let (drift, coefficient) = (random.random_range(1.0..15.0), random.random_range(0.9..0.999));
    let mut memory = AutoregressiveNoise::new(coefficient, random);
    let mut load: Vec<f64> =
        (0..slots).map(|_| (demand + drift * memory.next(random)).clamp(1.0, limit)).collect();
    let dips = random.random_range(0.0..3.0);
    for start in arrivals(random, slots, dips) {
        let (length, depth) = (log_uniform(random, 1.0, 24.0), random.random_range(5.0..60.0));
        add_job(&mut load, start, length, -depth);
    }
    load.iter_mut().for_each(|load| *load = load.max(0.5));
    load
}

fn idle(random: &mut ChaCha8Rng, slots: usize) -> Vec<f64> {
    let mut load = vec![log_uniform(random, 0.02, 5.0); slots];
    let (often, typical) = (random.random_range(0.0..6.0), log_uniform(random, 0.1, 5.0));
    for start in arrivals(random, slots, often) {
        let (length, height) = (log_uniform(random, 0.3, 8.0), typical * about_one(random, 0.7));
        add_job(&mut load, start, length, height);
    }
    load
}

fn heavy_tailed(random: &mut ChaCha8Rng, slots: usize) -> Vec<f64> {
    let mut load = vec![log_uniform(random, 0.3, 25.0); slots];
    let (often, scale) = (log_uniform(random, 1.0, 20.0), log_uniform(random, 1.0, 20.0));
    let (tail, typical) = (random.random_range(0.9..3.0), log_uniform(random, 0.7, 8.0));
    for start in arrivals(random, slots, often) {
        let length = typical * about_one(random, 0.5);
        add_job(&mut load, start, length, (scale * heavy(random, tail)).min(95.0));
    }
    load
}

fn sawtooth(random: &mut ChaCha8Rng, slots: usize) -> Vec<f64> {
    let (period, uneven) =
        (log_uniform(random, 6.0, 3.0 * DAY as f64), random.random_range(0.0..0.2));
    let (base, height) = (random.random_range(0.5..40.0), log_uniform(random, 2.0, 50.0));
    let bend = random.random_range(0.6..1.6);
    let mut load = Vec::with_capacity(slots);
    while load.len() < slots {
        let length = (period * about_one(random, uneven)).max(3.0) as usize;
        let tooth = (0..length).map(|at| base + height * (at as f64 / length as f64).powf(bend));
        load.extend(tooth.take(slots - load.len()));
    }
    load
}

/// Two or three patterns. Each gets a part of the machine.
fn mixture(random: &mut ChaCha8Rng, slots: usize) -> Vec<f64> {
    let mut load = vec![0.0; slots];
    for _ in 0..random.random_range(2..=3) {
        let pattern = LoadPattern::ALL[random.random_range(0..LoadPattern::ALL.len())];
        let part = random.random_range(0.2..0.8);
        for (load, more) in load.iter_mut().zip(pattern.load(random, slots)) {
            *load += part * more;
        }
    }
    load
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::workload::machine::{Kind, machine};

    #[test]
    fn the_same_seed_is_the_same_machine() {
        assert_eq!(training_machine(3), training_machine(3));
        assert_ne!(training_machine(3), training_machine(13));
    }

    #[test]
    fn every_machine_is_possible_and_moves() {
        for seed in 0..200 {
            let values = training_machine(seed);
            assert!(
                (14 * DAY..=28 * DAY).contains(&values.len()) && values.len().is_multiple_of(DAY)
            );
            assert!(values.iter().all(|value| (0.0..=100.0).contains(value)), "{seed}");
            let full = values.iter().filter(|value| **value >= 100.0).count();
            assert!(
                values.iter().any(|value| *value != values[0]) && full < values.len() * 9 / 10,
                "{seed}"
            );
        }
    }

    #[test]
    fn no_training_machine_is_one_of_the_benchmark() {
        for seed in 0..20 {
            let values = training_machine(seed);
            for kind in Kind::ALL {
                assert_ne!(values[..DAY], machine(kind, seed, 14)[..DAY]);
            }
        }
    }
}
