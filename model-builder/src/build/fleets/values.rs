//! Makes the values of one machine of a planned fleet, with all that happens to it.

use std::ops::Range;

use anyhow::Result;
use deepguard::Series;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::plan::{Deploy, FROM, InOutage, LATE, Plan, Strength, UNTIL};
use crate::build::workload::fault::Fault;
use crate::build::workload::machine::group_machine;
use crate::build::workload::usual::Usual;
use crate::build::workload::{DAY, HOUR, as_measured, series};

/// The largest CPU, in percent.
const FULL: f64 = 100.0;
/// A step down leaves this part of each value.
const LEFT: f64 = 0.3;
/// A strong fault changes the machine by this many times its noise, on average.
const STRONG: f64 = 10.0;
/// Random kinds and times that are tried until a fault fits.
const TRIES: usize = 300;

/// The fault of one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// 10 to 20 times the noise above or below for 12 hours.
    Jump,
    /// 0.1 to 0.3 % CPU for 6 hours: its work does not run.
    Dead,
    /// A fault of the workload.
    Known(Fault),
}

/// A fault and when it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) strength: Strength,
    pub(super) wrong: Wrong,
    pub(super) slots: Range<usize>,
}

impl Wrong {
    const STRONG: [Self; 3] = [Self::Known(Fault::Stuck), Self::Jump, Self::Dead];

    /// The faults of a strength.
    fn of(strength: Strength) -> Vec<Self> {
        let known = |fault: &&Fault| !matches!(fault, Fault::Stuck | Fault::Nothing);
        match strength {
            Strength::Strong => Self::STRONG.to_vec(),
            Strength::Subtle => {
                Fault::ALL.iter().filter(known).map(|fault| Self::Known(*fault)).collect()
            }
            Strength::Control => vec![Self::Known(Fault::Nothing)],
        }
    }

    /// A name, in words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Jump => "jump of 10 to 20 x the noise",
            Self::Dead => "does nothing",
            Self::Known(fault) => fault.name(),
        }
    }

    fn duration(self) -> usize {
        match self {
            Self::Jump => 12 * HOUR,
            Self::Dead => 6 * HOUR,
            Self::Known(fault) => fault.duration(),
        }
    }

    fn onset(self, values: &[f64], random: &mut ChaCha8Rng) -> Option<usize> {
        match self {
            Self::Jump | Self::Dead => Some(random.random_range(FROM..UNTIL - self.duration())),
            Self::Known(fault) => fault.onset(values, FROM / DAY..UNTIL / DAY, Some(FULL), random),
        }
    }

    fn altered(
        self,
        values: &[f64],
        onset: usize,
        usual: &Usual,
        random: &mut ChaCha8Rng,
    ) -> Vec<f64> {
        let clean = &values[onset..onset + self.duration()];
        match self {
            Self::Jump => {
                let size = usual.noise * random.random_range(10.0..20.0);
                let up = usual.high + size <= FULL;
                let size = if up { size } else { -size };
                clean.iter().map(|value| as_measured(value + size)).collect()
            }
            Self::Dead => {
                clean.iter().map(|_| as_measured(random.random_range(0.1..0.3))).collect()
            }
            Self::Known(fault) => fault.inject(values, onset, Some(FULL), random),
        }
    }
}

impl Plan {
    /// The CPU of a machine over its life, and the fault that it has in it.
    ///
    /// # Errors
    /// Where the machine has no datapoint.
    pub(super) fn make(&self, machine: usize) -> Result<(Series, Option<Placed>)> {
        let (group, of) = (self.group_of(machine), &self.machines[machine]);
        let member = (machine - group.members.start) as u64;
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(1 + machine as u64);
        let random = &mut random;
        let mut values = group_machine(group.kind, group.seed, member, UNTIL / DAY);
        if let Some(deploy) = group.deploy {
            step(&mut values, deploy, of.delay);
        }
        if of.in_zone {
            for value in &mut values[self.outage.clone()] {
                *value = as_measured(match group.in_outage {
                    InOutage::Dead => *value * random.random_range(0.01..0.05),
                    InOutage::Peak => random.random_range(95.0..FULL),
                });
            }
        }
        let taken = self.shared_by(machine);
        let placed = of.fault.and_then(|strength| place(&mut values, strength, &taken, random));
        for (slot, value) in values.iter_mut().enumerate() {
            if !of.life.contains(&slot) {
                *value = f64::NAN;
            }
        }
        Ok((series(&values)?, placed))
    }
}

/// The step of a deploy, on a machine that gets it `delay` slots after the first one.
fn step(values: &mut [f64], deploy: Deploy, delay: usize) {
    let slot = deploy.slot + delay;
    let Some(usual) = Usual::before(values, slot, Some(FULL)) else { return };
    let size = deploy.size * usual.noise;
    for value in &mut values[slot..] {
        *value = as_measured((*value + size).max(*value * LEFT));
    }
}

/// Puts a fault of this strength into the values, away from all that is `taken`. `None` where
/// nothing fits.
fn place(
    values: &mut [f64],
    strength: Strength,
    taken: &[Range<usize>],
    random: &mut ChaCha8Rng,
) -> Option<Placed> {
    let kinds = Wrong::of(strength);
    for _ in 0..TRIES {
        let wrong = kinds[random.random_range(0..kinds.len())];
        let Some(onset) = wrong.onset(values, random) else { continue };
        let slots = onset..onset + wrong.duration();
        let apart =
            |other: &Range<usize>| slots.end + LATE < other.start || other.end + LATE < slots.start;
        if !taken.iter().all(apart) {
            continue;
        }
        let Some(usual) = Usual::before(values, onset, Some(FULL)) else { continue };
        let altered = wrong.altered(values, onset, &usual, random);
        let change = values[slots.clone()].iter().zip(&altered);
        let change = change.map(|(clean, altered)| (clean - altered).abs()).sum::<f64>();
        let change = change / altered.len() as f64;
        if strength == Strength::Strong && change < STRONG * usual.noise {
            continue;
        }
        values[slots.clone()].copy_from_slice(&altered);
        return Some(Placed { strength, wrong, slots });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::workload::START;
    use crate::build::workload::usual::{quantile, sorted};

    fn values(series: &Series) -> Vec<f64> {
        (0..UNTIL)
            .map(|slot| series.at(START + slot as i64 * deepguard::series::PERIOD))
            .map(|value| value.unwrap_or(f64::NAN))
            .collect()
    }

    fn middle(values: &[f64]) -> f64 {
        quantile(&sorted(values.iter().copied()), 0.5)
    }

    #[test]
    fn a_machine_has_datapoints_in_its_life_alone() {
        let plan = Plan::new(20, 4);
        for machine in 0..20 {
            let (series, _) = plan.make(machine).unwrap();
            let life = &plan.machines[machine].life;
            for (slot, value) in values(&series).iter().enumerate() {
                assert_eq!(value.is_nan(), !life.contains(&slot), "{machine} {slot}");
            }
        }
    }

    #[test]
    fn the_same_seed_is_the_same_machine_and_another_one_is_not() {
        let made = |seed: u64| {
            let plan = Plan::new(6, seed);
            (0..6).map(|machine| plan.make(machine).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(made(1), made(1));
        assert!(made(1).iter().zip(&made(2)).all(|(one, other)| one.0 != other.0));
    }

    #[test]
    fn a_deploy_moves_every_member_of_its_group_from_then_on_and_no_other_machine() {
        let mut plan = Plan::new(30, 2);
        plan.machines.iter_mut().for_each(|machine| machine.fault = None);
        let made = |plan: &Plan| -> Vec<Vec<f64>> {
            (0..30).map(|machine| values(&plan.make(machine).unwrap().0)).collect()
        };
        let deploys: Vec<Option<Deploy>> =
            (0..30).map(|machine| plan.group_of(machine).deploy).collect();
        let with = made(&plan);
        plan.groups.iter_mut().for_each(|group| group.deploy = None);
        let without = made(&plan);
        assert!(deploys.iter().any(Option::is_some) && deploys.iter().any(Option::is_none));
        for machine in 0..30 {
            let moved = |slots: Range<usize>| {
                let pairs = with[machine][slots.clone()].iter().zip(&without[machine][slots]);
                pairs.filter(|(with, without)| !with.is_nan() && with != without).count()
            };
            let slot = deploys[machine].map_or(UNTIL, |deploy| deploy.slot);
            assert_eq!(moved(0..slot), 0, "{machine}");
            if deploys[machine].is_some() && plan.machines[machine].life == (0..UNTIL) {
                assert!(moved(slot..UNTIL) > (UNTIL - slot) / 2, "{machine}");
            }
        }
    }

    #[test]
    fn an_outage_takes_a_third_and_ends() {
        let plan = Plan::new(60, 9);
        let inside = plan.outage.clone();
        for machine in (0..60).filter(|&machine| plan.machines[machine].life.len() == UNTIL) {
            let values = values(&plan.make(machine).unwrap().0);
            let now = middle(&values[inside.clone()]);
            match (plan.machines[machine].in_zone, plan.group_of(machine).in_outage) {
                (true, InOutage::Peak) => assert!(now >= 95.0, "{machine}: {now}"),
                (true, InOutage::Dead) => assert!(now < 5.0, "{machine}: {now}"),
                (false, _) => {}
            }
            let after = middle(&values[inside.end..inside.end + 6]);
            assert!(after < 95.0 || plan.group_of(machine).kind.name() == "busy", "{machine}");
        }
    }

    #[test]
    fn strong_faults_are_ten_times_the_noise_and_apart_from_shared_events() {
        let mut strong = 0;
        let mut plan = Plan::new(120, 5);
        for machine in 0..120 {
            let (series, placed) = plan.make(machine).unwrap();
            let Some(placed) = placed else { continue };
            for shared in plan.shared_by(machine) {
                assert!(
                    placed.slots.end + LATE < shared.start
                        || shared.end + LATE < placed.slots.start
                );
            }
            let fault = plan.machines[machine].fault.take();
            let clean = values(&plan.make(machine).unwrap().0);
            plan.machines[machine].fault = fault;
            let usual = Usual::before(&clean, placed.slots.start, Some(FULL)).unwrap();
            let altered = values(&series);
            let change: f64 =
                placed.slots.clone().map(|slot| (altered[slot] - clean[slot]).abs()).sum::<f64>()
                    / placed.slots.len() as f64;
            match placed.strength {
                Strength::Strong => assert!(change >= STRONG * usual.noise),
                Strength::Subtle => {}
                Strength::Control => assert_eq!(altered, clean),
            }
            strong += usize::from(placed.strength == Strength::Strong);
        }
        assert!(strong >= 9, "{strong} of 12");
    }
}
