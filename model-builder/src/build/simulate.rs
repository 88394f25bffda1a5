//! A generated fleet that ends now: two machines of each kind, one of which has just broken.

use std::ops::Range;

use deepguard::Datapoint;
use deepguard::baseline::{HISTORY, HISTORY_DAYS};
use deepguard::series::{DAY, PERIOD, slot_start};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::build::workload::fault::Fault;
use crate::build::workload::machine::{Kind, machine};

/// Slots from the beginning of the fault to the end of the history.
const FAULT_SLOTS: usize = 3;
/// Days that are generated, to be cut where the fault has just begun.
const DAYS: usize = 22;
/// The largest CPU there is, in percent.
const FULL: f64 = 100.0;

/// One generated machine.
#[derive(Debug)]
pub(crate) struct SimulatedMachine {
    /// The machine's purpose, as a name.
    pub(crate) name: String,
    /// Two weeks of CPU.
    pub(crate) datapoints: Vec<Datapoint>,
    /// When it broke, in seconds since 1970.
    pub(crate) fault: Option<i64>,
}

/// A fleet whose history ends with the last complete slot before `now` (seconds since 1970). Its
/// first machine, a web server, has just begun to work as hard as at noon, at an hour when it never
/// does.
pub(crate) fn fleet(seed: u64, now: i64) -> Vec<SimulatedMachine> {
    let web = machine(Kind::Web, 2 * seed, DAYS);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let days = HISTORY / DAY + 1..DAYS;
    let onset =
        Fault::OddSpike.onset(&web, days, Some(FULL), &mut random).unwrap_or((DAYS - 1) * DAY);
    let broken =
        [&web[..onset], &Fault::OddSpike.inject(&web, onset, Some(FULL), &mut random)].concat();
    let (cut, end) = (onset + FAULT_SLOTS, slot_start(now));
    let kinds = (0..2).flat_map(|number| Kind::ALL.map(|kind| (number, kind)));
    kinds
        .enumerate()
        .map(|(index, (number, kind))| {
            let values =
                if index == 0 { broken.clone() } else { machine(kind, 2 * seed + number, DAYS) };
            let time = |slot: usize| end - (cut - slot) as i64 * PERIOD;
            let point = |slot: usize| Datapoint { time: time(slot), value: values[slot] };
            SimulatedMachine {
                name: format!("{}-{}", kind.name().replace(' ', "-"), number + 1),
                datapoints: (cut - HISTORY..cut).map(point).collect(),
                fault: (index == 0).then_some(time(onset)),
            }
        })
        .collect()
}

/// A generated machine with faults in parts of its history.
#[derive(Debug)]
pub(crate) struct Worn {
    /// The machine's purpose, as a name.
    pub(crate) name: String,
    /// Its CPU.
    pub(crate) datapoints: Vec<Datapoint>,
    /// When it was broken (seconds since 1970), and how, in words.
    pub(crate) faults: Vec<(Range<i64>, &'static str)>,
}

/// Days that are generated before the output begins. Their values are normal, and the sizes of
/// faults follow from them.
const BEFORE: usize = HISTORY_DAYS;

/// A fleet of `count` machines over `days` days, whose history ends with the last complete slot
/// before `now` (seconds since 1970). Something is wrong during the part `faulty` (0 to 1) of all
/// that time. The rest is the same for every value of `faulty`.
pub(crate) fn worn(seed: u64, count: usize, days: usize, faulty: f64, now: i64) -> Vec<Worn> {
    let (first, end) = (BEFORE * DAY, slot_start(now));
    let clean: Vec<Vec<f64>> = (0..count)
        .map(|index| {
            let kind = Kind::ALL[index % Kind::ALL.len()];
            machine(kind, 10_000 * (seed + 1) + (index / Kind::ALL.len()) as u64, BEFORE + days)
        })
        .collect();
    let mut broken: Vec<Vec<(Range<usize>, Fault)>> = vec![Vec::new(); count];
    let mut values = clean.clone();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut left = (faulty * (count * days * DAY) as f64) as usize;
    let kinds = &Fault::ALL[..Fault::ALL.len() - 1];
    // Some faults are impossible on some machines. This number of tries is enough for any share
    // that leaves machines usable.
    for _ in 0..1000 * count {
        if left == 0 {
            break;
        }
        let (index, fault) =
            (random.random_range(0..count), kinds[random.random_range(0..kinds.len())]);
        let Some(onset) =
            fault.onset(&clean[index], BEFORE..BEFORE + days, Some(FULL), &mut random)
        else {
            continue;
        };
        let altered = fault.inject(&clean[index], onset, Some(FULL), &mut random);
        let slots = onset..onset + altered.len().min(left);
        let overlaps =
            |(other, _): &(Range<usize>, Fault)| other.start < slots.end && slots.start < other.end;
        if onset < first || broken[index].iter().any(overlaps) {
            continue;
        }
        left -= slots.len();
        values[index][slots.clone()].copy_from_slice(&altered[..slots.len()]);
        broken[index].push((slots, fault));
    }
    let time = |slot: usize| end - ((BEFORE + days) * DAY - slot) as i64 * PERIOD;
    let machines = values.into_iter().zip(broken).enumerate();
    machines
        .map(|(index, (values, mut faults))| {
            faults.sort_by_key(|(slots, _)| slots.start);
            let kind = Kind::ALL[index % Kind::ALL.len()].name().replace(' ', "-");
            Worn {
                name: format!("{kind}-{}", index / Kind::ALL.len() + 1),
                datapoints: (first..values.len())
                    .map(|slot| Datapoint { time: time(slot), value: values[slot] })
                    .collect(),
                faults: faults
                    .into_iter()
                    .map(|(slots, fault)| (time(slots.start)..time(slots.end), fault.name()))
                    .collect(),
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
        let values = |seed| {
            fleet(seed, 1_700_000_123)
                .into_iter()
                .map(|machine| machine.datapoints)
                .collect::<Vec<_>>()
        };
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
        let highest_before = broken.datapoints[..HISTORY - FAULT_SLOTS]
            .iter()
            .map(|point| point.value)
            .fold(0.0, f64::max);
        assert!(
            broken.datapoints[HISTORY - 1].value < highest_before,
            "a static threshold must not see it"
        );
    }

    #[test]
    fn the_fault_is_found_and_the_others_are_left_alone() {
        let artifact = include_bytes!("../../../models/default.safetensors");
        let artifact = deepguard::Artifact::from_bytes(artifact).unwrap();
        let detector = deepguard::Detector::new(artifact, &deepguard::model::device());
        let now = 1_700_006_400;
        for machine in fleet(7, now) {
            let (series, _) =
                deepguard::Series::from_datapoints(machine.datapoints.iter().copied()).unwrap();
            let scored = detector.follow(&series, &mut Default::default(), now);
            let alarm = scored[scored.len() - 6..]
                .iter()
                .find(|scored| scored.is_alarm())
                .map(|scored| scored.time);
            assert_eq!(alarm, machine.fault, "{}", machine.name);
        }
    }

    #[test]
    fn so_much_of_a_worn_fleet_is_faulty_and_the_rest_is_as_it_would_be() {
        let (clean, faulty) =
            (worn(1, 9, 10, 0.0, 1_700_006_400), worn(1, 9, 10, 0.05, 1_700_006_400));
        let mut slots = 0;
        for (clean, faulty) in clean.iter().zip(&faulty) {
            assert!(clean.faults.is_empty() && clean.datapoints.len() == 10 * DAY);
            for (clean, worn) in clean.datapoints.iter().zip(&faulty.datapoints) {
                let inside = faulty.faults.iter().any(|(times, _)| times.contains(&clean.time));
                slots += usize::from(inside);
                assert!(inside || clean == worn, "{}", faulty.name);
            }
        }
        assert_eq!(slots, 9 * 10 * DAY / 20);
    }
}
