//! The building blocks of generated machines: seeds, noise, jobs and arrivals.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::DAY;

/// A generator for one purpose. Seeds of different domains never meet: the domain is part of the
/// key.
pub(super) fn seeded(domain: &str, seed: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    for (place, byte) in key[8..].iter_mut().zip(domain.bytes()) {
        *place = byte;
    }
    ChaCha8Rng::from_seed(key)
}

/// The random numbers of one machine: those that its whole group shares, and its own. A machine
/// without a group takes both from one generator.
#[derive(Debug)]
pub(super) struct Draws {
    shared: ChaCha8Rng,
    own: Option<ChaCha8Rng>,
}

impl Draws {
    /// Of a machine without a group.
    pub(super) fn alone(random: ChaCha8Rng) -> Self {
        Self { shared: random, own: None }
    }

    /// Of a machine in a group. What the group draws does not depend on what the machine draws.
    pub(super) fn in_group(shared: ChaCha8Rng, own: ChaCha8Rng) -> Self {
        Self { shared, own: Some(own) }
    }

    /// For the purpose, the load and the amount of noise.
    pub(super) fn shared(&mut self) -> &mut ChaCha8Rng {
        &mut self.shared
    }

    /// For the noise itself, the exact start of each job, and bursts.
    pub(super) fn own(&mut self) -> &mut ChaCha8Rng {
        self.own.as_mut().unwrap_or(&mut self.shared)
    }
}

/// A normal deviate of mean 0 and standard deviation 1.
pub(super) fn normal(random: &mut impl Rng) -> f64 {
    random.sample(StandardNormal)
}

/// About 1, a little more or less, for values that are never negative. `spread` is nearly its
/// relative standard deviation.
pub(super) fn about_one(random: &mut impl Rng, spread: f64) -> f64 {
    (spread * normal(random)).exp()
}

/// At least 1, and sometimes much more: Pareto. The smaller `tail` is, the heavier it gets.
pub(super) fn heavy(random: &mut impl Rng, tail: f64) -> f64 {
    (1.0 - random.random::<f64>()).powf(-1.0 / tail)
}

/// Uniform in the logarithm: short and long periods come equally often.
pub(super) fn log_uniform(random: &mut impl Rng, low: f64, high: f64) -> f64 {
    random.random_range(low.ln()..high.ln()).exp()
}

/// Noise with a memory, AR(1), of standard deviation 1.
#[derive(Debug)]
pub(super) struct AutoregressiveNoise {
    coefficient: f64,
    state: f64,
}

impl AutoregressiveNoise {
    /// The larger the coefficient, 0 to 1, the longer it remembers.
    pub(super) fn new(coefficient: f64, random: &mut impl Rng) -> Self {
        Self { coefficient, state: normal(random) }
    }

    pub(super) fn next(&mut self, random: &mut impl Rng) -> f64 {
        self.state = self.coefficient * self.state
            + (1.0 - self.coefficient.powi(2)).sqrt() * normal(random);
        self.state
    }
}

/// How the measured CPU strays from the load that causes it.
///
/// Real machines stray in proportion to their load, mostly independently from one datapoint to the
/// next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noise {
    /// Standard deviation independent of the load, in points.
    pub(super) absolute: f64,
    /// Standard deviation that forgets at once, as a fraction of the load.
    pub(super) white: f64,
    /// Standard deviation that lasts, as a fraction of the load.
    pub(super) lasting: f64,
    /// AR(1) coefficient of the lasting part.
    pub(super) coefficient: f64,
    /// Benign blips a day: a login, a package update. One to three slots, a few standard deviations
    /// high.
    pub(super) blips: f64,
}

impl Noise {
    /// The load as CloudWatch would measure it.
    pub(super) fn measure(self, load: &[f64], random: &mut impl Rng) -> Vec<f64> {
        let mut memory = AutoregressiveNoise::new(self.coefficient, random);
        let mut measured: Vec<f64> = load
            .iter()
            .map(|load| {
                let lasting = self.lasting * load * memory.next(random);
                let white = (self.absolute + self.white * load) * normal(random);
                load + lasting + white
            })
            .collect();
        for start in arrivals(random, load.len(), self.blips) {
            let usual = load[start as usize];
            let deviation = self.absolute + usual * self.white.hypot(self.lasting);
            let (length, height) = (random.random_range(0.5..3.0), random.random_range(2.0..5.0));
            add_job(&mut measured, start, length, height * deviation);
        }
        measured.into_iter().map(as_measured).collect()
    }
}

/// CPU as CloudWatch reports it: between 0 and 100, with three decimals.
pub(crate) fn as_measured(cpu: f64) -> f64 {
    (cpu.clamp(0.0, 100.0) * 1000.0).round() / 1000.0
}

/// Adds a job that starts and ends anywhere. A slot that it fills in part shows a part of it, like
/// an average over five minutes. The part outside the series is left out.
pub(super) fn add_job(load: &mut [f64], start: f64, length: f64, height: f64) {
    let end = start + length;
    let first = start.max(0.0) as usize;
    for (slot, load) in load.iter_mut().enumerate().skip(first) {
        let slot = slot as f64;
        if slot >= end {
            break;
        }
        *load += height * (end.min(slot + 1.0) - start.max(slot)).max(0.0);
    }
}

/// Moments within `slots` slots, this number a day on average, each independent of the others.
pub(super) fn arrivals(random: &mut impl Rng, slots: usize, per_day: f64) -> Vec<f64> {
    let mut moments = Vec::new();
    if per_day <= 0.0 {
        return moments;
    }
    let mut at = 0.0;
    loop {
        at -= (1.0 - random.random::<f64>()).ln() * DAY as f64 / per_day;
        if at >= slots as f64 {
            return moments;
        }
        moments.push(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_separate() {
        let draw = |domain, seed| seeded(domain, seed).random::<u64>();
        assert_eq!(draw("a", 1), draw("a", 1));
        assert_ne!(draw("a", 1), draw("b", 1));
        assert_ne!(draw("a", 1), draw("a", 2));
    }

    #[test]
    fn a_job_keeps_its_area() {
        let mut load = vec![0.0; 10];
        add_job(&mut load, 2.25, 3.5, 8.0);
        assert_eq!(load[..7], [0.0, 0.0, 6.0, 8.0, 8.0, 6.0, 0.0]);
        add_job(&mut load, -1.5, 2.0, 4.0);
        assert_eq!(load[0], 2.0);
        add_job(&mut load, 9.5, 100.0, 4.0);
        assert_eq!(load[9], 2.0);
    }

    #[test]
    fn noise_with_a_memory_has_unit_variance() {
        let mut random = seeded("test", 1);
        let mut memory = AutoregressiveNoise::new(0.9, &mut random);
        let values: Vec<f64> = (0..50_000).map(|_| memory.next(&mut random)).collect();
        let mean = values.iter().sum::<f64>() / 5e4;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 5e4;
        let together: f64 =
            values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>() / 5e4;
        assert!((variance - 1.0).abs() < 0.1, "{variance}");
        assert!((together / variance - 0.9).abs() < 0.02, "{together}");
    }

    #[test]
    fn arrivals_come_as_often_as_asked() {
        let moments = arrivals(&mut seeded("test", 2), 1000 * DAY, 3.0);
        assert!((2800..3200).contains(&moments.len()), "{}", moments.len());
        assert!(moments.is_sorted());
        assert!(arrivals(&mut seeded("test", 2), 1000, 0.0).is_empty());
    }
}
