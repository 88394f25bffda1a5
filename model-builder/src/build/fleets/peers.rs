//! Machines beside the rest of their group: faults that are told only there, and what that costs.

use std::sync::atomic::AtomicBool;

use anyhow::Result;
use deepguard::peers::{Compared, Peers, compare};
use deepguard::series::{PERIOD, WEEK};
use deepguard::{Detector, Scored, Watch};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::course::{self, Told};
use crate::build::evaluate::bootstrap::{Interval, SEED, bootstrap};
use crate::build::workload::fault::Fault;
use crate::build::workload::machine::{Kind, group_machine};
use crate::build::workload::{DAY, START, series};
use crate::common::parallel::{bar, parallel};
use crate::common::table::{Table, strings};

/// Machines of each group, of which the first [`BROKEN`] have a fault each.
const MEMBERS: u64 = 10;
const BROKEN: u64 = 3;
/// Days that are followed, and the first of those that count.
const DAYS: usize = 35;
const FROM: usize = 21;
/// The first seed of the groups. No other measure has these.
const SEEDS: u64 = 800_000;
/// A fault is told up to this many slots after its end.
const LATE: usize = 24;
/// Tries to place a fault.
const TRIES: usize = 100;
const RESAMPLES: usize = 1000;

/// What was told of the machines of one group.
#[derive(Debug, Clone, PartialEq, Default)]
struct Group {
    /// Weeks of machines without a fault.
    weeks: f64,
    /// The highest severity of each episode for nothing: of machines by themselves, and compared.
    nothing: [Vec<f64>; 2],
    /// Of each fault, the highest severity of an episode that begins with it; 0 without one.
    faults: Vec<[f64; 2]>,
}

/// What was told of all groups.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Beside {
    groups: Vec<Group>,
}

/// A way to judge a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Itself,
    ItsGroup,
}

/// Follows `groups` generated groups.
///
/// # Errors
/// Where `stop` is set.
pub(super) fn beside(detector: &Detector, groups: usize, stop: &AtomicBool) -> Result<Beside> {
    let numbers: Vec<usize> = (0..groups).collect();
    let bar = bar("groups beside each other", groups)?;
    let groups = parallel(&numbers, stop, |&number| {
        let group = Group::of(detector, Kind::ALL[number % Kind::ALL.len()], number as u64);
        bar.inc(1);
        group
    })?;
    bar.finish_and_clear();
    Ok(Beside { groups })
}

/// Puts a small fault into `values`. Gives its slots; `None` where none fits.
fn spoil(values: &mut [f64], random: &mut ChaCha8Rng) -> Option<std::ops::Range<usize>> {
    let faults: Vec<Fault> = Fault::ALL
        .into_iter()
        .filter(|fault| !matches!(fault, Fault::Stuck | Fault::Nothing))
        .collect();
    (0..TRIES).find_map(|_| {
        let fault = faults[random.random_range(0..faults.len())];
        let onset = fault.onset(values, FROM..DAYS, Some(100.0), random)?;
        let slots = onset..onset + fault.duration();
        if onset < FROM * DAY || slots.end > values.len() {
            return None;
        }
        let spoilt = fault.inject(values, onset, Some(100.0), random);
        values[onset..onset + spoilt.len()].copy_from_slice(&spoilt);
        Some(slots)
    })
}

impl Group {
    fn of(detector: &Detector, kind: Kind, number: u64) -> Result<Self> {
        let random = &mut ChaCha8Rng::seed_from_u64(SEEDS + number);
        let (mut scored, mut faults) = (Vec::new(), Vec::new());
        for member in 0..MEMBERS {
            let mut values = group_machine(kind, SEEDS + number, member, DAYS);
            let fault = (member < BROKEN).then(|| spoil(&mut values, random)).flatten();
            faults.push(fault);
            let series = series(&values)?;
            scored.push(detector.follow(&series, &mut Watch::default(), series.end()));
        }
        let alone: Vec<Vec<Told>> =
            scored.iter().map(|scored| course::told(scored, i64::MAX)).collect();
        let compared: Vec<Vec<Told>> = by_group(detector, &mut scored)
            .iter()
            .map(|scored| course::told(scored, i64::MAX))
            .collect();
        let mut group = Self::default();
        let time = |slot: usize| START + slot as i64 * PERIOD;
        for (member, fault) in faults.into_iter().enumerate() {
            let of_member = [&alone[member], &compared[member]];
            match fault {
                Some(slots) => {
                    let during = time(slots.start)..time(slots.end + LATE);
                    group.faults.push(of_member.map(|told| {
                        let told = told.iter().filter(|told| during.contains(&told.began()));
                        told.map(Told::peak).fold(0.0, f64::max)
                    }));
                }
                None => {
                    group.weeks += ((DAYS - FROM) * DAY) as f64 / WEEK as f64;
                    for (nothing, told) in group.nothing.iter_mut().zip(of_member) {
                        let told = told.iter().filter(|told| told.began() >= time(FROM * DAY));
                        nothing.extend(told.map(Told::peak));
                    }
                }
            }
        }
        Ok(group)
    }
}

/// The scores of a group's machines, compared with each other.
fn by_group<'a>(detector: &Detector, scored: &'a mut [Vec<Scored>]) -> &'a [Vec<Scored>] {
    let mut peers = vec![Peers::default(); scored.len()];
    let mut group: Vec<Compared<'_>> = peers
        .iter_mut()
        .zip(scored.iter_mut())
        .map(|(peers, scored)| Compared { peers, scored })
        .collect();
    let machines = group.len();
    compare(detector, machines, &mut group);
    scored
}

impl Beside {
    /// Groups, and weeks of machines without a fault.
    pub(super) fn size(&self) -> (usize, f64) {
        (self.groups.len(), self.groups.iter().map(|group| group.weeks).sum())
    }

    /// Pages for nothing of a machine in a week, from this severity on.
    pub(super) fn for_nothing(&self, by: By, level: f64) -> Option<Interval> {
        bootstrap(self.groups.len(), RESAMPLES, SEED, |groups| {
            let groups: Vec<&Group> = groups.iter().map(|group| &self.groups[*group]).collect();
            let peaks = groups.iter().flat_map(|group| &group.nothing[by as usize]);
            let pages = peaks.filter(|peak| **peak >= level).count();
            pages as f64 / groups.iter().map(|group| group.weeks).sum::<f64>()
        })
    }

    /// Faults that are told with this severity or more, and all of them.
    pub(super) fn told(&self, by: By, level: f64) -> (usize, usize) {
        let faults: Vec<f64> = self
            .groups
            .iter()
            .flat_map(|group| &group.faults)
            .map(|severities| severities[by as usize])
            .collect();
        (faults.iter().filter(|severity| **severity >= level).count(), faults.len())
    }

    /// Pages for nothing and faults told, by severity.
    pub(super) fn table(&self) -> Table {
        let (groups, weeks) = self.size();
        let row = |level: f64| {
            let of = |by: By| {
                let (told, of) = self.told(by, level);
                let rate =
                    self.for_nothing(by, level).map_or("-".into(), |rate| rate.with_digits(3));
                [rate, format!("{told} of {of}")]
            };
            let cells = [By::Itself, By::ItsGroup].map(of).concat();
            [vec![level.to_string()], cells].concat()
        };
        Table {
            title: "Machines beside their groups".into(),
            note: format!(
                "{groups} groups of ten machines, {weeks:.0} weeks of machines without a fault. In \
                 brackets: 95 % of resampled groups."
            ),
            header: strings([
                "severity of at least",
                "for nothing a week, alone",
                "faults told, alone",
                "for nothing a week, beside its group",
                "faults told, beside its group",
            ]),
            rows: [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0].map(row).to_vec(),
            strong: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use deepguard::model::device;

    use super::*;
    use crate::testing::artifact;

    #[test]
    fn beside_its_group_more_faults_are_told_and_little_else() {
        let detector = Detector::new(artifact(), &device());
        let found = beside(&detector, 7, &AtomicBool::new(false)).unwrap();
        assert_eq!(found.size(), (7, 98.0));
        for level in [2.0, 3.0, 4.0] {
            let [alone, compared] = [By::Itself, By::ItsGroup].map(|by| found.told(by, level));
            assert_eq!((alone.1, compared.1), (21, 21));
            assert!(compared.0 > alone.0, "{level}: {compared:?} and alone {alone:?}");
            let rate = |by| found.for_nothing(by, level).unwrap().estimate;
            assert!(rate(By::ItsGroup) < rate(By::Itself) + 0.05, "{level}");
        }
        assert!(beside(&detector, 1, &AtomicBool::new(true)).is_err());
    }
}
