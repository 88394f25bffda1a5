//! A generated fleet: a dozen machines with habits of their own, one of which has just broken.

use std::f64::consts::TAU;

use deepguard::Datapoint;
use deepguard::baseline::HISTORY;
use deepguard::series::{DAY_SECONDS, PERIOD, slot_start};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// Slots from the beginning of the fault to the end of the history.
const FAULT_SLOTS: usize = 3;

/// One generated machine.
#[derive(Debug)]
pub(crate) struct Machine {
    /// What it is for, as a name.
    pub(crate) name: String,
    /// Two weeks of CPU.
    pub(crate) datapoints: Vec<Datapoint>,
    /// When it broke, in seconds since 1970.
    pub(crate) fault: Option<i64>,
}

/// What a machine does all day.
#[derive(Debug, Clone, Copy)]
enum Habit {
    /// Follows its users: low at night, high in the evening.
    Web,
    /// Busy on working hours alone.
    Office,
    /// At rest but for a job of half an hour each night.
    NightlyJob,
    /// A burst every hour.
    HourlyBatch,
    /// Next to nothing.
    Idle,
    /// Close to its limit and jittery: high is normal here.
    Busy,
}

impl Habit {
    const ALL: [Self; 6] = [Self::Web, Self::Office, Self::NightlyJob, Self::HourlyBatch, Self::Idle, Self::Busy];

    fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Office => "office",
            Self::NightlyJob => "nightly-job",
            Self::HourlyBatch => "hourly-batch",
            Self::Idle => "idle",
            Self::Busy => "busy",
        }
    }

    /// CPU in percent without noise, at `hour` of the day (0 to 24), and the standard deviation of the noise.
    fn cpu(self, hour: f64, height: f64) -> (f64, f64) {
        let job = |start: f64, length: f64| hour >= start && hour < start + length;
        match self {
            Self::Web => (12.0 + height * (0.5 - 0.5 * (TAU * (hour - 8.0) / 24.0).sin()), 1.5),
            Self::Office => (if (8.0..18.0).contains(&hour) { 10.0 + height } else { 4.0 }, 1.2),
            Self::NightlyJob => (if job(2.0, 0.5) { 55.0 + height / 2.0 } else { 3.0 }, 0.6),
            Self::HourlyBatch => (if job(hour.floor(), 0.25) { 30.0 + height / 2.0 } else { 6.0 }, 1.0),
            Self::Idle => (0.6, 0.08),
            Self::Busy => (82.0 + height / 10.0, 4.0),
        }
    }
}

/// Twelve machines, two of each habit, whose history ends with the last complete slot before `now`
/// (seconds since 1970). On the first one, a web server, something has begun to eat CPU at its quietest.
pub(crate) fn fleet(seed: u64, now: i64) -> Vec<Machine> {
    let end = slot_start(now);
    let start = end - HISTORY as i64 * PERIOD;
    (0..2 * Habit::ALL.len())
        .map(|index| {
            let habit = Habit::ALL[index % Habit::ALL.len()];
            let mut random = ChaCha8Rng::seed_from_u64(seed ^ ((index as u64) << 32));
            let height = random.random_range(20.0..45.0);
            // Machines do not share a time zone; the one that breaks does so in its quiet hours.
            let shift = if index == 0 { quiet_now(end) } else { random.random_range(0.0..24.0) };
            let mut drift = 0.0;
            let mut value = |slot: usize| {
                let time = start + slot as i64 * PERIOD;
                let hour = (time.rem_euclid(DAY_SECONDS) as f64 / 3600.0 + shift).rem_euclid(24.0);
                let (cpu, noise) = habit.cpu(hour, height);
                drift = 0.9 * drift + noise * 0.44 * random.sample::<f64, _>(StandardNormal);
                let fault = if index == 0 && slot + FAULT_SLOTS >= HISTORY { 26.0 } else { 0.0 };
                Datapoint { time, value: (cpu + drift + fault).clamp(0.0, 100.0) }
            };
            Machine {
                name: format!("{}-{}", habit.name(), index / Habit::ALL.len() + 1),
                datapoints: (0..HISTORY).map(&mut value).collect(),
                fault: (index == 0).then_some(end - FAULT_SLOTS as i64 * PERIOD),
            }
        })
        .collect()
}

/// The shift, in hours, that makes it 14:00 for a web server at `end`: its load is lowest then.
fn quiet_now(end: i64) -> f64 {
    14.0 - end.rem_euclid(DAY_SECONDS) as f64 / 3600.0
}

#[cfg(test)]
mod tests {
    use deepguard::series::DAY;

    use super::*;

    #[test]
    fn the_same_seed_is_the_same_fleet() {
        let values =
            |seed| fleet(seed, 1_700_000_123).into_iter().map(|machine| machine.datapoints).collect::<Vec<_>>();
        assert_eq!(values(7), values(7));
        assert_ne!(values(7), values(8));
    }

    #[test]
    fn it_ends_with_the_last_complete_slot_and_one_machine_is_broken() {
        let fleet = fleet(7, 1_700_000_123);
        assert_eq!(fleet.len(), 12);
        assert_eq!(fleet.iter().filter(|machine| machine.fault.is_some()).count(), 1);
        for machine in &fleet {
            assert_eq!(machine.datapoints.len(), 14 * DAY);
            assert_eq!(machine.datapoints.last().unwrap().time, slot_start(1_700_000_123) - PERIOD);
            assert!(machine.datapoints.iter().all(|point| (0.0..=100.0).contains(&point.value)));
        }
    }

    #[test]
    fn the_fault_is_low_for_that_machine() {
        let broken = &fleet(7, 1_700_000_123)[0];
        let highest_before =
            broken.datapoints[..HISTORY - FAULT_SLOTS].iter().map(|point| point.value).fold(0.0, f64::max);
        assert!(broken.datapoints[HISTORY - 1].value < highest_before, "a static threshold must not see it");
    }

    #[test]
    fn the_fault_is_found_at_any_hour() {
        let artifact = include_bytes!("../../models/default.safetensors");
        let artifact = deepguard::Artifact::from_bytes(artifact).unwrap();
        let detector = deepguard::Detector::new(artifact, deepguard::model::device());
        for hour in [0, 1, 7, 12, 18, 23] {
            let now = 1_700_006_400 + hour * 3600 + 600;
            let broken = &fleet(7, now)[0];
            let (series, _) = deepguard::Series::from_datapoints(broken.datapoints.iter().copied()).unwrap();
            let last = detector.follow(&series, now - 1800..now, &mut Default::default());
            let found = last.iter().find(|scored| scored.score.is_anomalous()).map(|scored| scored.time);
            assert_eq!(found, broken.fault, "at {hour} o'clock");
        }
    }
}
