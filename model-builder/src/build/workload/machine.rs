//! The generated machines that detectors are compared on.
//!
//! Seven kinds have proportions and noise like the EC2, RDS and autoscaled machines of NAB. Most
//! are far from busy. Noise grows with the load and mostly forgets within five minutes. Jobs come
//! nearly on time, and some bursts are simply normal. Every machine draws its own parameters from
//! the ranges in this file.

use std::f64::consts::TAU;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::parts::{
    AutoregressiveNoise, Draws, Noise, about_one, add_job, arrivals, as_measured, heavy, normal,
    seeded,
};
use super::{DAY, HOUR};

/// The purpose of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Serves people: a daily and a weekly cycle.
    Web,
    /// Nearly idle, with a little housekeeping and rare tiny bursts.
    Idle,
    /// At rest but for one or two jobs each night, now and then a longer one at the weekend.
    NightlyCron,
    /// A job every hour or every few hours, around the clock.
    Batch,
    /// Near saturation: high is normal, and only dips stand out.
    Busy,
    /// Low, with bursts at any time. Most of them are small, and some use the whole machine.
    HeavyTailed,
    /// One of a group that shares a daily load: it drops as machines join and jumps as they leave.
    Autoscaled,
}

impl Kind {
    /// All kinds.
    pub(crate) const ALL: [Self; 7] = [
        Self::Web,
        Self::Idle,
        Self::NightlyCron,
        Self::Batch,
        Self::Busy,
        Self::HeavyTailed,
        Self::Autoscaled,
    ];

    /// A name, in words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Idle => "idle",
            Self::NightlyCron => "nightly cron",
            Self::Batch => "batch",
            Self::Busy => "busy",
            Self::HeavyTailed => "heavy-tailed",
            Self::Autoscaled => "autoscaled",
        }
    }
}

/// The CPU of one machine over `days` days, in percent. The same arguments give the same values.
pub(crate) fn machine(kind: Kind, seed: u64, days: usize) -> Vec<f64> {
    let random = seeded(&format!("benchmark {}", kind.name()), seed);
    kind.measured(&mut Draws::alone(random), days * DAY)
}

/// The CPU of a machine in a group. All members of the group share the kind, the load and the
/// amount of noise. Each has its own noise, its own bursts, and jobs a few minutes early or late.
/// None of them is a [`machine`].
pub(crate) fn group_machine(kind: Kind, group: u64, member: u64, days: usize) -> Vec<f64> {
    let shared = seeded(&format!("group {}", kind.name()), group);
    let mut own = seeded("member of a group", group);
    own.set_stream(member);
    kind.measured(&mut Draws::in_group(shared, own), days * DAY)
}

impl Kind {
    fn measured(self, draws: &mut Draws, slots: usize) -> Vec<f64> {
        match self {
            Self::Web => web(draws, slots),
            Self::Idle => idle(draws, slots),
            Self::NightlyCron => nightly_cron(draws, slots),
            Self::Batch => batch(draws, slots),
            Self::Busy => busy(draws, slots),
            Self::HeavyTailed => heavy_tailed(draws, slots),
            Self::Autoscaled => autoscaled(draws, slots),
        }
    }
}

/// Noise of a machine with ordinary work: 3 to 8 % white, 1.5 to 4 % lasting, a blip every one to
/// five days.
fn ordinary(random: &mut ChaCha8Rng) -> Noise {
    Noise {
        absolute: random.random_range(0.05..0.3),
        white: random.random_range(0.03..0.08),
        lasting: random.random_range(0.015..0.04),
        coefficient: random.random_range(0.8..0.95),
        blips: random.random_range(0.2..1.0),
    }
}

/// How many people are active, 0 to a little over 1, slot by slot.
///
/// A hump around the peak hour of the machine's time zone, broad or sharp, in half of the cases
/// with a second one 5 to 8 hours before or after; weekends at 35 to 100 %, days that differ by 2
/// to 6 %, and growth of -0.3 to 0.6 % a day.
fn people(random: &mut ChaCha8Rng, slots: usize) -> Vec<f64> {
    let peak = random.random_range(0.0..24.0);
    let sharpness = random.random_range(0.6..2.5);
    let second = if random.random_bool(0.5) { random.random_range(0.25..0.6) } else { 0.0 };
    let apart = random.random_range(5.0..8.0) * if random.random_bool(0.5) { 1.0 } else { -1.0 };
    let weekend = random.random_range(0.35..1.0);
    let growth = random.random_range(-0.003..0.006);
    let spread = random.random_range(0.02..0.06);
    let of_day: Vec<f64> = (0..slots / DAY + 3).map(|_| about_one(random, spread)).collect();
    let hump = |hour: f64, sharpness: f64| (0.5 + 0.5 * (TAU * hour / 24.0).cos()).powf(sharpness);
    (0..slots)
        .map(|slot| {
            let days = slot as f64 / DAY as f64;
            // The people's own clock, on which the peak is at noon. One day turns into the next
            // when people are asleep, and their weekend does not begin at midnight UTC.
            let local = days + 1.0 - (peak - 12.0) / 24.0;
            let (day, part) = (local.floor(), local.fract());
            let hour = 24.0 * part - 12.0;
            let shape = hump(hour, sharpness) + second * hump(hour + apart, 6.0 * sharpness);
            let week = if (day - 1.0).rem_euclid(7.0) >= 5.0 { weekend } else { 1.0 };
            week * of_day[day as usize] * (1.0 + growth * days) * shape
        })
        .collect()
}

/// A base of 2 to 12 %, and 12 to 45 % more at the peak.
fn web(draws: &mut Draws, slots: usize) -> Vec<f64> {
    let (base, height) =
        (draws.shared().random_range(2.0..12.0), draws.shared().random_range(12.0..45.0));
    let load: Vec<f64> =
        people(draws.shared(), slots).into_iter().map(|people| base + height * people).collect();
    ordinary(draws.shared()).measure(&load, draws.own())
}

/// A base of 0.06 to 2 %. Two in three have a daily housekeeping of one slot and 0.8 to 2.5 points,
/// one in three a bump every half hour; everyone a burst every two to ten days. Half of them are so
/// still that CPU time comes in ticks.
fn idle(draws: &mut Draws, slots: usize) -> Vec<f64> {
    const TICK: f64 = 1.0 / 15.0;
    let base = draws.shared().random_range(0.06..2.0);
    let mut load = vec![base; slots];
    if draws.shared().random_bool(0.67) {
        let (at, height) =
            (draws.shared().random_range(0.0..DAY as f64), draws.shared().random_range(0.8..2.5));
        for day in 0..slots / DAY {
            let start = (day * DAY) as f64 + at + draws.own().random_range(0.0..0.3);
            add_job(&mut load, start, 0.7, height * about_one(draws.own(), 0.06));
        }
    }
    if draws.shared().random_bool(0.33) {
        let bump = base * draws.shared().random_range(0.05..0.15);
        load.iter_mut()
            .skip(draws.shared().random_range(0..6))
            .step_by(6)
            .for_each(|load| *load += bump);
    }
    let bursts = draws.shared().random_range(0.1..0.5);
    for start in arrivals(draws.own(), slots, bursts) {
        let (length, height) =
            (draws.own().random_range(0.5..3.0), 0.6 * about_one(draws.own(), 0.6));
        add_job(&mut load, start, length, height);
    }
    let noise = Noise {
        absolute: draws.shared().random_range(0.005..0.03),
        white: draws.shared().random_range(0.02..0.05),
        lasting: draws.shared().random_range(0.0..0.02),
        coefficient: 0.9,
        blips: draws.shared().random_range(0.2..1.0),
    };
    let measured = noise.measure(&load, draws.own());
    if draws.shared().random_bool(0.5) {
        return measured.into_iter().map(|cpu| as_measured((cpu / TICK).round() * TICK)).collect();
    }
    measured
}

/// A base of 1.5 to 6 %. A job of 20 to 90 minutes and 25 to 70 points each night, up to 15 minutes
/// early or late; two in five have a second, smaller one, and one in three a job of hours every
/// seventh day.
fn nightly_cron(draws: &mut Draws, slots: usize) -> Vec<f64> {
    let mut load = vec![draws.shared().random_range(1.5..6.0); slots];
    // Jobs run at night in the time zone of the people who run them: any time in UTC.
    let night = draws.shared().random_range(0.0..DAY as f64);
    let nightly =
        |draws: &mut Draws, load: &mut [f64], at: f64, length: f64, height: f64, every: usize| {
            let jitter = draws.shared().random_range(0.3..1.2);
            let first = if every == 1 { 0 } else { draws.shared().random_range(0..every) };
            for day in (first..slots / DAY).step_by(every) {
                let late = (jitter * normal(draws.own())).clamp(-3.0, 3.0);
                let start = (day * DAY) as f64 + at + late;
                add_job(
                    load,
                    start,
                    length * about_one(draws.own(), 0.08),
                    height * about_one(draws.own(), 0.05),
                );
            }
        };
    let (length, height) =
        (draws.shared().random_range(4.0..18.0), draws.shared().random_range(25.0..70.0));
    nightly(draws, &mut load, night, length, height, 1);
    if draws.shared().random_bool(0.4) {
        let at = night + draws.shared().random_range(24.0..72.0);
        let (length, height) =
            (draws.shared().random_range(1.0..6.0), height * draws.shared().random_range(0.2..0.6));
        nightly(draws, &mut load, at, length, height, 1);
    }
    if draws.shared().random_bool(0.33) {
        let at = night - draws.shared().random_range(20.0..40.0);
        let length = draws.shared().random_range(12.0..30.0);
        nightly(draws, &mut load, at, length, height * 0.8, 7);
    }
    ordinary(draws.shared()).measure(&load, draws.own())
}

/// A base of 2 to 10 %, and every 1, 2, 3, 4 or 6 hours a job of 10 to 40 minutes and 15 to 60
/// points, whose start varies by 1.5 to 6 minutes, its length by 8 to 20 % and its height by 4 to
/// 10 %.
fn batch(draws: &mut Draws, slots: usize) -> Vec<f64> {
    let mut load = vec![draws.shared().random_range(2.0..10.0); slots];
    let period = [1, 1, 2, 3, 4, 6][draws.shared().random_range(0..6)] * HOUR;
    let (offset, length) =
        (draws.shared().random_range(0.0..period as f64), draws.shared().random_range(2.0..8.0));
    let height = draws.shared().random_range(15.0..60.0);
    let (jitter, longer, higher) = (
        draws.shared().random_range(0.3..1.2),
        draws.shared().random_range(0.08..0.2),
        draws.shared().random_range(0.04..0.1),
    );
    for turn in 0..slots / period {
        let start = (turn * period) as f64 + offset + jitter * normal(draws.own());
        add_job(
            &mut load,
            start,
            length * about_one(draws.own(), longer),
            height * about_one(draws.own(), higher),
        );
    }
    ordinary(draws.shared()).measure(&load, draws.own())
}

/// 84 to 96 % with a slow drift of 1 to 2.5 points and as much noise. Its work runs out for 10 to
/// 40 minutes, every one to five days.
fn busy(draws: &mut Draws, slots: usize) -> Vec<f64> {
    let (level, drift) =
        (draws.shared().random_range(84.0..96.0), draws.shared().random_range(1.0..2.5));
    let mut memory = AutoregressiveNoise::new(0.995, draws.own());
    let mut load: Vec<f64> = (0..slots).map(|_| level + drift * memory.next(draws.own())).collect();
    let dips = draws.shared().random_range(0.2..1.0);
    for start in arrivals(draws.own(), slots, dips) {
        let (length, depth) =
            (draws.own().random_range(2.0..8.0), draws.own().random_range(8.0..35.0));
        add_job(&mut load, start, length, -depth);
    }
    let noise = Noise {
        absolute: draws.shared().random_range(0.8..2.2),
        white: 0.0,
        lasting: draws.shared().random_range(0.002..0.01),
        coefficient: draws.shared().random_range(0.5..0.9),
        blips: 0.0,
    };
    noise.measure(&load, draws.own())
}

/// A base of 1.5 to 5 % and one to four episodes a day, of one to about ten bursts each. A burst
/// takes 5 to 20 minutes and is 4 to 12 points times a Pareto variable of tail index 1.1 to 1.9
/// high, but never above the whole machine.
fn heavy_tailed(draws: &mut Draws, slots: usize) -> Vec<f64> {
    let base = draws.shared().random_range(1.5..5.0);
    let mut load = vec![base; slots];
    let (episodes, more) =
        (draws.shared().random_range(1.0..4.0), draws.shared().random_range(0.4..0.75));
    let (scale, tail) =
        (draws.shared().random_range(4.0..12.0), draws.shared().random_range(1.1..1.9));
    for mut start in arrivals(draws.own(), slots, episodes) {
        loop {
            let height = (scale * heavy(draws.own(), tail)).min(97.0 - base);
            add_job(&mut load, start, draws.own().random_range(1.0..4.0), height);
            if !draws.own().random_bool(more) {
                break;
            }
            start += draws.own().random_range(3.0..18.0);
        }
    }
    // Bursts of an episode may overlap.
    load.iter_mut().for_each(|load| *load = load.min(99.0));
    ordinary(draws.shared()).measure(&load, draws.own())
}

/// A group of at least two machines whose daily load needs 4 to 10 of them at the peak. One joins
/// when the load of each is over 55 to 70 % for 15 minutes, and one leaves when the others would
/// stay 12 points below that.
fn autoscaled(draws: &mut Draws, slots: usize) -> Vec<f64> {
    let high = draws.shared().random_range(55.0..70.0);
    let (most, least) =
        (draws.shared().random_range(4.0..10.0), draws.shared().random_range(0.6..1.2));
    let share = draws.own().random_range(0.95..1.05);
    let mut memory = AutoregressiveNoise::new(0.97, draws.shared());
    let (mut machines, mut over, mut under) = (2.0, 0, 0);
    let load: Vec<f64> = people(draws.shared(), slots)
        .into_iter()
        .map(|people| {
            let total = high
                * (0.03 * memory.next(draws.shared())).exp()
                * (least + (most - least) * people);
            over = if total / machines > high { over + 1 } else { 0 };
            under = if machines > 2.0 && total / (machines - 1.0) < high - 12.0 {
                under + 1
            } else {
                0
            };
            if over >= 3 {
                (machines, over) = (machines + 1.0, 0);
            } else if under >= 3 {
                (machines, under) = (machines - 1.0, 0);
            }
            share * total / machines
        })
        .collect();
    ordinary(draws.shared()).measure(&load, draws.own())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::workload::usual::quantile;

    fn sorted(kind: Kind, seed: u64) -> Vec<f64> {
        let mut values = machine(kind, seed, 21);
        values.sort_unstable_by(f64::total_cmp);
        values
    }

    #[test]
    fn the_same_seed_is_the_same_machine() {
        for kind in Kind::ALL {
            assert_eq!(machine(kind, 7, 15), machine(kind, 7, 15));
            assert_ne!(machine(kind, 7, 15), machine(kind, 8, 15));
        }
    }

    #[test]
    fn the_members_of_a_group_share_their_load_and_no_noise() {
        use super::super::usual::{Usual, sorted};
        for kind in Kind::ALL {
            let [one, other] = [1, 2].map(|member| group_machine(kind, 5, member, 15));
            assert_eq!(one, group_machine(kind, 5, 1, 15), "{kind:?}");
            assert!(one.iter().zip(&other).filter(|(one, other)| one != other).count() > 10 * DAY);
            let alike = |group: u64| {
                let [one, other] = [(5, 1), (group, 2)].map(|(group, member)| {
                    let values = group_machine(kind, group, member, 15);
                    Usual::before(&values, 15 * DAY, Some(100.0)).unwrap().profile
                });
                let apart = one.iter().zip(&other).map(|(one, other)| (one - other).abs());
                quantile(&sorted(apart), 0.5)
            };
            let strangers = (6..12).map(alike).fold(f64::INFINITY, f64::min);
            assert!(alike(5) < strangers, "{kind:?}: {} and {strangers}", alike(5));
        }
    }

    #[test]
    fn values_are_what_cloudwatch_would_report() {
        for kind in Kind::ALL {
            for seed in 0..5 {
                let values = machine(kind, seed, 15);
                assert_eq!(values.len(), 15 * DAY);
                assert!(values.iter().all(|value| (0.0..=100.0).contains(value)), "{kind:?}");
                assert!(
                    values.iter().all(|value| ((value * 1000.0).round() / 1000.0) == *value),
                    "{kind:?}"
                );
            }
        }
    }

    #[test]
    fn kinds_are_what_they_say() {
        for seed in 0..20 {
            let at = |kind, q| quantile(&sorted(kind, seed), q);
            assert!(at(Kind::Idle, 0.5) < 2.5 && at(Kind::Idle, 1.0) < 15.0);
            assert!(at(Kind::Busy, 0.5) > 80.0);
            assert!(at(Kind::HeavyTailed, 0.5) < 8.0 && at(Kind::HeavyTailed, 1.0) > 30.0);
            assert!(at(Kind::NightlyCron, 0.5) < 7.0 && at(Kind::NightlyCron, 0.99) > 15.0);
            assert!(at(Kind::Autoscaled, 0.99) < 95.0 && at(Kind::Autoscaled, 0.5) > 15.0);
            assert!(at(Kind::Web, 0.98) > 1.5 * at(Kind::Web, 0.1));
        }
    }

    #[test]
    fn a_web_server_has_its_day_and_a_heavy_tailed_one_has_none() {
        let daily = |kind, seed| {
            super::super::usual::Usual::before(&machine(kind, seed, 21), 21 * DAY, Some(100.0))
        };
        for seed in 0..10 {
            assert!(daily(Kind::Web, seed).unwrap().daily, "{seed}");
            assert!(!daily(Kind::HeavyTailed, seed).unwrap().daily, "{seed}");
        }
    }
}
