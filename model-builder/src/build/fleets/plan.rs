//! Plans a fleet: its groups, the lives of its machines, and the events that they have in common.
//! The plan is small; the values of a machine are made when they are needed.

use std::ops::Range;

use deepguard::baseline::HISTORY_DAYS;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::build::workload::machine::Kind;
use crate::build::workload::{DAY, HOUR};

/// Days of history before pages count, and the slot at which they begin to count.
pub(super) const HISTORY: usize = HISTORY_DAYS;
pub(super) const FROM: usize = HISTORY * DAY;
/// Weeks in which pages count, and the slot at which they end.
pub(super) const WEEKS: usize = 4;
pub(super) const UNTIL: usize = (HISTORY + 7 * WEEKS) * DAY;

/// The largest group.
const LARGEST: f64 = 200.0;
/// One machine in this number lives for less than a day. As many are launched during the weeks and
/// stay. As many have a strong fault, as many a subtle one, and as many are controls.
const ONE_IN: usize = 10;
/// Part of the groups that get a deploy.
const DEPLOYED: f64 = 2.0 / 3.0;
/// Size of a deploy's step, in units of the usual noise.
const STEP: Range<f64> = 2.0..6.0;
/// The largest delay from the first machine of a deploy to the last, in slots: 20 minutes.
const STAGGER: usize = 4;
/// Slots that the step of a deploy is news: a day.
pub(super) const NEWS: usize = DAY;
/// Slots after an event in which a page is still about it: two hours.
pub(super) const LATE: usize = 2 * HOUR;

/// Whether a fault changes a machine by at least ten times its noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    /// It does.
    Strong,
    /// It is one of the workload's faults, whose size is a few times the noise.
    Subtle,
    /// There is no fault. A find here is chance.
    Control,
}

/// A fleet.
#[derive(Debug)]
pub(super) struct Plan {
    /// Of all its random numbers.
    pub(super) seed: u64,
    pub(super) groups: Vec<Group>,
    pub(super) machines: Vec<Machine>,
    /// The slots of the outage of one zone.
    pub(super) outage: Range<usize>,
}

/// Machines with one purpose.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) kind: Kind,
    /// Of its load.
    pub(super) seed: u64,
    /// The members, by their numbers in the fleet.
    pub(super) members: Range<usize>,
    pub(super) deploy: Option<Deploy>,
    /// What the outage does to members in the zone.
    pub(super) in_outage: InOutage,
}

/// A new version on all machines of a group: a step that stays.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deploy {
    /// The slot at which the first machine gets it.
    pub(super) slot: usize,
    /// The step, in units of the usual noise; negative is down.
    pub(super) size: f64,
}

/// What an outage does to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InOutage {
    /// Nearly nothing arrives: 1 to 5 % of the load is left.
    Dead,
    /// Everything is tried again: 95 to 100 % CPU.
    Peak,
}

/// One machine.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) group: usize,
    /// The slots in which it has datapoints.
    pub(super) life: Range<usize>,
    /// Whether it is in the zone of the outage.
    pub(super) in_zone: bool,
    /// Slots after the first machine at which it gets its group's deploy.
    pub(super) delay: usize,
    pub(super) fault: Option<Strength>,
}

impl Plan {
    /// A fleet of `count` machines. The same arguments give the same fleet.
    pub(super) fn new(count: usize, seed: u64) -> Self {
        let random = &mut ChaCha8Rng::seed_from_u64(seed);
        let start = random.random_range((HISTORY + 6) * DAY..(HISTORY + 21) * DAY);
        let outage = start..start + random.random_range(HOUR * 3 / 4..=HOUR * 3 / 2);
        let (mut groups, mut machines) = (Vec::new(), Vec::new());
        while machines.len() < count {
            let size = random.random_range(0.0..(LARGEST + 1.0).ln()).exp() as usize;
            let first = machines.len();
            let members = first..count.min(first + size);
            let zone = random.random_range(0..3);
            let number = groups.len();
            machines.extend(members.clone().map(|member| Machine {
                group: number,
                life: 0..UNTIL,
                in_zone: member % 3 == zone,
                delay: random.random_range(0..=STAGGER),
                fault: None,
            }));
            // Seeds of fleets do not meet: a group has a number below a million.
            groups.push(Group::new(1_000_000 * seed + number as u64, members, &outage, random));
        }
        let mut plan = Self { seed, groups, machines, outage };
        plan.choose_lives_and_faults(random);
        plan
    }

    fn choose_lives_and_faults(&mut self, random: &mut ChaCha8Rng) {
        let mut order: Vec<usize> = (0..self.machines.len()).collect();
        order.shuffle(random);
        let some = (self.machines.len() / ONE_IN).max(1);
        let mut order = order.into_iter();
        for machine in order.by_ref().take(some) {
            let born = random.random_range(FROM..UNTIL - DAY);
            self.machines[machine].life = born..born + random.random_range(HOUR..DAY);
        }
        for machine in order.by_ref().take(some) {
            self.machines[machine].life = random.random_range(FROM..UNTIL - 2 * DAY)..UNTIL;
        }
        for strength in [Strength::Strong, Strength::Subtle, Strength::Control] {
            for machine in order.by_ref().take(some) {
                self.machines[machine].fault = Some(strength);
            }
        }
    }

    /// The group of a machine.
    pub(super) fn group_of(&self, machine: usize) -> &Group {
        &self.groups[self.machines[machine].group]
    }

    /// The slots of what a machine shares with others: its group's deploy, and the outage.
    pub(super) fn shared_by(&self, machine: usize) -> Vec<Range<usize>> {
        let deploy = self.group_of(machine).deploy;
        let outage = self.machines[machine].in_zone.then(|| self.outage.clone());
        deploy.map(|deploy| deploy.slots()).into_iter().chain(outage).collect()
    }
}

impl Group {
    fn new(
        seed: u64,
        members: Range<usize>,
        outage: &Range<usize>,
        random: &mut ChaCha8Rng,
    ) -> Self {
        let kind = Kind::ALL[random.random_range(0..Kind::ALL.len())];
        let up = match kind {
            Kind::Busy => false,
            Kind::Idle => true,
            _ => random.random_bool(0.5),
        };
        let size = random.random_range(STEP) * if up { 1.0 } else { -1.0 };
        let slot = loop {
            let slot = random.random_range(FROM..UNTIL - 2 * DAY);
            let apart = slot + NEWS + LATE < outage.start || outage.end + DAY < slot;
            if apart {
                break slot;
            }
        };
        let in_outage = match kind {
            Kind::Busy => InOutage::Dead,
            Kind::Idle => InOutage::Peak,
            _ if random.random_bool(0.5) => InOutage::Dead,
            _ => InOutage::Peak,
        };
        let deploy = random.random_bool(DEPLOYED).then_some(Deploy { slot, size });
        Self { kind, seed, members, deploy, in_outage }
    }
}

impl Deploy {
    /// The slots in which its step is news.
    pub(super) fn slots(self) -> Range<usize> {
        self.slot..self.slot + NEWS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_has_as_many_machines_of_each_sort_as_it_says() {
        for (count, some) in [(10, 1), (100, 10), (1000, 100)] {
            let plan = Plan::new(count, 3);
            assert_eq!(plan.machines.len(), count);
            let lives = |wanted: fn(&Machine) -> bool| {
                plan.machines.iter().filter(|machine| wanted(machine)).count()
            };
            assert_eq!(lives(|machine| machine.life.len() < DAY), some);
            assert_eq!(lives(|machine| machine.life.start > 0 && machine.life.end == UNTIL), some);
            for strength in [Strength::Strong, Strength::Subtle, Strength::Control] {
                let faults = plan.machines.iter().filter(|one| one.fault == Some(strength));
                assert_eq!(
                    faults.map(|one| one.life.clone()).collect::<Vec<_>>(),
                    vec![0..UNTIL; some]
                );
            }
            let zone = lives(|machine| machine.in_zone);
            assert!((count / 5..=count / 2).contains(&zone), "{zone} of {count}");
        }
    }

    #[test]
    fn groups_are_of_all_sizes_and_hold_every_machine_once() {
        let plan = Plan::new(5000, 1);
        let members: Vec<usize> =
            plan.groups.iter().flat_map(|group| group.members.clone()).collect();
        assert_eq!(members, (0..5000).collect::<Vec<_>>());
        let sizes: Vec<usize> = plan.groups.iter().map(|group| group.members.len()).collect();
        assert!(sizes.iter().all(|size| (1..=200).contains(size)), "{sizes:?}");
        assert!(sizes.iter().any(|size| *size < 3) && sizes.iter().any(|size| *size > 100));
        let deployed = plan.groups.iter().filter(|group| group.deploy.is_some()).count();
        assert!((0.5..0.85).contains(&(deployed as f64 / plan.groups.len() as f64)));
    }

    #[test]
    fn a_deploy_is_over_before_an_outage_or_begins_a_day_after_it() {
        for seed in 0..20 {
            let plan = Plan::new(200, seed);
            assert!(plan.outage.start > FROM && plan.outage.end + LATE < UNTIL);
            for deploy in plan.groups.iter().filter_map(|group| group.deploy) {
                let news = deploy.slots();
                assert!(news.start >= FROM && news.end <= UNTIL);
                assert!(news.end + LATE < plan.outage.start || plan.outage.end < news.start);
            }
        }
    }
}
