//! A generated fleet that ends now: two machines of each kind, one of which has just broken.

use deepguard::Datapoint;
use deepguard::baseline::HISTORY;
use deepguard::series::{DAY, PERIOD, slot_start};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::workload::fault::Fault;
use crate::workload::machine::{Kind, machine};

/// Slots from the beginning of the fault to the end of the history.
const FAULT_SLOTS: usize = 3;
/// Days that are generated, to be cut where the fault has just begun.
const DAYS: usize = 22;
/// The largest CPU there is, in percent.
const FULL: f64 = 100.0;

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

/// A fleet whose history ends with the last complete slot before `now` (seconds since 1970). Its first machine, a web server,
/// has begun to work as hard as it does at noon, at an hour at which it never does.
pub(crate) fn fleet(seed: u64, now: i64) -> Vec<Machine> {
    let web = machine(Kind::Web, 2 * seed, DAYS);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let days = HISTORY / DAY + 1..DAYS;
    let onset = Fault::OddSpike.onset(&web, days, Some(FULL), &mut random).unwrap_or((DAYS - 1) * DAY);
    let broken = [&web[..onset], &Fault::OddSpike.inject(&web, onset, Some(FULL), &mut random)].concat();
    let (cut, end) = (onset + FAULT_SLOTS, slot_start(now));
    let kinds = (0..2).flat_map(|number| Kind::ALL.map(|kind| (number, kind)));
    kinds
        .enumerate()
        .map(|(index, (number, kind))| {
            let values = if index == 0 { broken.clone() } else { machine(kind, 2 * seed + number, DAYS) };
            let time = |slot: usize| end - (cut - slot) as i64 * PERIOD;
            let point = |slot: usize| Datapoint { time: time(slot), value: values[slot] };
            Machine {
                name: format!("{}-{}", kind.name().replace(' ', "-"), number + 1),
                datapoints: (cut - HISTORY..cut).map(point).collect(),
                fault: (index == 0).then_some(time(onset)),
            }
        })
        .collect()
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
        assert_eq!(fleet.len(), 14);
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
    fn the_fault_is_found_and_the_others_are_left_alone() {
        let artifact = include_bytes!("../../models/default.safetensors");
        let artifact = deepguard::Artifact::from_bytes(artifact).unwrap();
        let detector = deepguard::Detector::new(artifact, &deepguard::model::device());
        let now = 1_700_006_400;
        for machine in fleet(7, now) {
            let (series, _) = deepguard::Series::from_datapoints(machine.datapoints.iter().copied()).unwrap();
            let scored = detector.follow(&series, &mut Default::default(), now);
            let alarm = scored[scored.len() - 6..].iter().find(|scored| scored.is_alarm()).map(|scored| scored.time);
            assert_eq!(alarm, machine.fault, "{}", machine.name);
        }
    }
}
