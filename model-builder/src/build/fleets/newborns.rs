//! Machines that live for hours, judged by their groups: what they page for nothing, and which of
//! their faults are told.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use deepguard::baseline::{HISTORY_DAYS, OWN_DAYS, calibrated_at};
use deepguard::newborn::{MOST_MEMBERS, Member, Newborn, judged_from};
use deepguard::series::{DAY_SECONDS, PERIOD, WEEK};
use deepguard::track::days;
use deepguard::{Baseline, Detector, Memory, Phase, Scored, Series, Watch};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::course::{self, Told};
use super::events::time;
use super::plan::{Plan, UNTIL};
use crate::build::evaluate::bootstrap::{Interval, SEED, bootstrap};
use crate::build::workload::machine::{Kind, group_machine};
use crate::build::workload::usual::Usual;
use crate::build::workload::{DAY, HOUR, as_measured, series};
use crate::common::parallel::{bar, parallel};
use crate::common::table::{Table, strings};

/// Members of each group with two weeks of history.
const MEMBERS: u64 = 8;
/// Machines that each group launches.
const LAUNCHES: u64 = 12;
/// Days in which they are launched.
const DAYS: usize = 4;
/// The first seed of the groups. No other measure has these.
const SEEDS: u64 = 700_000;
/// One launch in two boots: this much CPU, in percent, in its first five or ten minutes.
const BOOT: std::ops::Range<f64> = 40.0..100.0;
/// The most seconds between the day of a launch and the last one on which the group judges.
const JUDGED: i64 = (OWN_DAYS as i64 + 1) * DAY_SECONDS;
/// A fault changes the machine by this many times the group's noise, on average.
const STRONG: f64 = 10.0;
/// A fault counts as told within this many slots: an hour.
const IN_TIME: i64 = 12;
const RESAMPLES: usize = 1000;

/// A fault of a newborn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// At 99 to 100 %.
    Stuck,
    /// 0.1 to 0.3 %: its work does not run.
    Dead,
}

impl Fate {
    pub(super) const ALL: [Self; 2] = [Self::Stuck, Self::Dead];

    /// A name, in words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stuck => "stuck at the limit",
            Self::Dead => "does nothing",
        }
    }
}

/// The newborns of one group.
#[derive(Debug, Clone, PartialEq, Default)]
struct Group {
    /// Weeks in which healthy newborns were judged.
    weeks: f64,
    /// The highest severity of each episode of a healthy newborn.
    peaks: Vec<f64>,
    /// Of each fault, the highest severity within an hour of its begin; 0 without an episode.
    faults: Vec<(Fate, f64)>,
}

/// The newborns of all groups.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Newborns {
    groups: Vec<Group>,
}

/// A member of a group, as it was on the days on which the group judges newborns.
struct Grown {
    /// By midnight.
    days: BTreeMap<i64, (Baseline, Memory)>,
}

impl Grown {
    fn on(&self, day: i64) -> Option<Member<'_>> {
        self.days.get(&day).map(|(baseline, memory)| Member { baseline, memory })
    }

    /// Follows a member over the days of `launches` (seconds since 1970), which rise, and those
    /// after them.
    fn follow(detector: &Detector, series: &Series, launches: &[i64]) -> Self {
        let is_judged = |day: i64| {
            launches.iter().any(|&launch| (calibrated_at(launch)..=launch + JUDGED).contains(&day))
        };
        let mut watch = Watch::default();
        let mut known = BTreeMap::new();
        for day in days(series.start()..series.end()).filter(|&day| is_judged(day)) {
            detector.follow(series, &mut watch, day + PERIOD);
            let Watch { baseline, memory, .. } = watch.clone();
            known.extend(baseline.map(|baseline| (day, (baseline, memory))));
        }
        Self { days: known }
    }
}

/// The newborns of `groups` generated groups.
///
/// # Errors
/// Where `stop` is set.
pub(super) fn newborns(detector: &Detector, groups: usize, stop: &AtomicBool) -> Result<Newborns> {
    let numbers: Vec<usize> = (0..groups).collect();
    let bar = bar("groups with newborns", groups)?;
    let groups = parallel(&numbers, stop, |&number| {
        let group = Group::of(detector, Kind::ALL[number % Kind::ALL.len()], number as u64);
        bar.inc(1);
        group
    })?;
    bar.finish_and_clear();
    Ok(Newborns { groups })
}

impl Group {
    fn of(detector: &Detector, kind: Kind, number: u64) -> Result<Self> {
        let random = &mut ChaCha8Rng::seed_from_u64(SEEDS + number);
        let days = HISTORY_DAYS + DAYS + 1;
        let values = |member: u64| group_machine(kind, SEEDS + number, member, days);
        let from = HISTORY_DAYS * DAY;
        let mut lives: Vec<(usize, usize)> = (0..LAUNCHES)
            .map(|_| {
                let born = random.random_range(from..from + DAYS * DAY);
                (born, born + random.random_range(HOUR..DAY))
            })
            .collect();
        lives.sort_unstable();
        let launches: Vec<i64> = lives.iter().map(|(born, _)| time(*born)).collect();
        let mut members = Vec::new();
        for member in 0..MEMBERS {
            members.push(Grown::follow(detector, &series(&values(member))?, &launches));
        }
        let usual = Usual::before(&values(0), from, Some(100.0));
        let noise = usual.map_or(0.0, |usual| usual.noise);
        let mut group = Self::default();
        for (launch, &(born, gone)) in lives.iter().enumerate() {
            let mut healthy = values(MEMBERS + launch as u64);
            for (slot, value) in healthy.iter_mut().enumerate() {
                if !(born..gone).contains(&slot) {
                    *value = f64::NAN;
                }
            }
            for value in &mut healthy[born..born + random.random_range(0..=2)] {
                *value = as_measured(random.random_range(BOOT));
            }
            let told = |values: &[f64]| -> Result<_> {
                let series = series(values)?;
                Ok(judge(detector, &members, &series).episodes())
            };
            let (judged, episodes) = told(&healthy)?;
            group.weeks += judged as f64 / WEEK as f64;
            group.peaks.extend(episodes.iter().map(Told::peak));
            let onset = born + random.random_range(2..=(gone - born) / 2);
            for fate in Fate::ALL {
                let mut broken = healthy.clone();
                for value in &mut broken[onset..gone] {
                    *value = as_measured(match fate {
                        Fate::Stuck => random.random_range(99.0..100.0),
                        Fate::Dead => random.random_range(0.1..0.3),
                    });
                }
                let change = broken[onset..gone].iter().zip(&healthy[onset..gone]);
                let change: f64 = change.map(|(now, then)| (now - then).abs()).sum::<f64>();
                if change < STRONG * noise * (gone - onset) as f64 {
                    continue;
                }
                let begins = time(onset);
                let in_time = |at: i64| (begins..begins + IN_TIME * PERIOD).contains(&at);
                let episodes = told(&broken)?.1;
                let rises = episodes.iter().flat_map(|told| &told.rises);
                let highest = rises.filter(|(at, _)| in_time(*at)).map(|(_, severity)| *severity);
                group.faults.push((fate, highest.fold(0.0, f64::max)));
            }
        }
        Ok(group)
    }
}

/// The scores of a newborn.
struct Judged {
    /// All, oldest first.
    scored: Vec<Scored>,
    /// How many of them its group gave.
    by_group: usize,
}

impl Judged {
    /// The number of datapoints that its group judges, and the episodes that begin in them.
    fn episodes(&self) -> (usize, Vec<Told>) {
        let until = self.own_from();
        let mut told = course::told(&self.scored, i64::MAX);
        told.retain(|told| told.began() < until);
        (self.by_group, told)
    }

    /// When it begins to be judged by its own history, in seconds since 1970.
    fn own_from(&self) -> i64 {
        self.scored.get(self.by_group).map_or(i64::MAX, |own| own.time)
    }
}

/// Judges a newborn by its group, each day as that is then, and by its own history from the day on
/// on which that is not short any more; as the function does.
fn judge(detector: &Detector, members: &[Grown], series: &Series) -> Judged {
    let mut scored: Vec<Scored> = Vec::new();
    let mut before: Option<Newborn> = None;
    let since = judged_from(series).unwrap_or(series.end());
    for day in days(since..series.end()) {
        let known = members.iter().filter_map(|member| Some((member, member.on(day)?)));
        let (grown, known): (Vec<&Grown>, Vec<_>) = known.unzip();
        let own = |time: i64| before.as_ref().and_then(|before| before.value(time));
        let begun = Newborn::begin(detector, &known, since, since.max(day), own);
        let Some((typical, mut newborn)) = begun else { break };
        let baseline = |day| grown[typical].on(day).map(|member| member.baseline).into();
        let end = series.end().min(day + DAY_SECONDS);
        scored.extend(newborn.judge(detector, series, end, baseline, |_| false));
        before = Some(newborn);
    }
    let mut own = detector.follow(series, &mut Watch::default(), series.end());
    let first = own.iter().find(|own| own.phase == Phase::Own).map_or(i64::MAX, |own| own.time);
    if !scored.is_empty() {
        scored.retain(|scored| scored.time < first);
        own.retain(|own| own.time >= first);
    }
    let by_group = scored.len();
    scored.extend(own);
    Judged { scored, by_group }
}

/// A machine of a fleet that was launched in the weeks that count, judged by its group.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Launched {
    pub(super) machine: usize,
    /// Its episodes, as [`course::follow`] gives them.
    pub(super) told: Vec<Told>,
    /// When its own history begins to judge it, in seconds since 1970.
    pub(super) own_from: i64,
}

/// The machines of a fleet that are launched in the weeks that count.
///
/// # Errors
/// Where `stop` is set.
pub(super) fn launched(
    plan: &Plan,
    detector: &Detector,
    stop: &AtomicBool,
) -> Result<Vec<Launched>> {
    let of_group = parallel(&plan.groups, stop, |group| {
        let is_newborn = |machine: &usize| plan.machines[*machine].life.start > 0;
        let mut newborns: Vec<usize> = group.members.clone().filter(is_newborn).collect();
        newborns.sort_by_key(|machine| plan.machines[*machine].life.start);
        let launches: Vec<i64> =
            newborns.iter().map(|machine| time(plan.machines[*machine].life.start)).collect();
        let mut members = Vec::new();
        let grown = group.members.clone().filter(|machine| !is_newborn(machine));
        for machine in grown.take(if newborns.is_empty() { 0 } else { MOST_MEMBERS }) {
            members.push(Grown::follow(detector, &plan.make(machine)?.0, &launches));
        }
        let judged = newborns.iter().map(|&machine| {
            let series = plan.make(machine)?.0;
            let judged = judge(detector, &members, &series);
            let told = course::told(&judged.scored, time(UNTIL));
            Ok(Launched { machine, told, own_from: judged.own_from() })
        });
        judged.collect::<Result<Vec<_>>>()
    })?;
    Ok(of_group.into_iter().flatten().collect())
}

impl Newborns {
    /// Newborns, and the weeks in which their groups judged them.
    pub(super) fn size(&self) -> (usize, f64) {
        let weeks = self.groups.iter().map(|group| group.weeks).sum();
        (self.groups.len() * LAUNCHES as usize, weeks)
    }

    /// Pages for nothing of a newborn in a week, from this severity on: their number and the rate.
    pub(super) fn for_nothing(&self, level: f64) -> (usize, Option<Interval>) {
        let pages = |group: &Group| group.peaks.iter().filter(|peak| **peak >= level).count();
        let rate = |groups: &[usize]| {
            let of = |group: &usize| &self.groups[*group];
            let weeks: f64 = groups.iter().map(|group| of(group).weeks).sum();
            groups.iter().map(|group| pages(of(group))).sum::<usize>() as f64 / weeks
        };
        let all = self.groups.iter().map(pages).sum();
        (all, bootstrap(self.groups.len(), RESAMPLES, SEED, rate))
    }

    /// Faults that reach this severity within an hour, and all of them.
    pub(super) fn told(&self, fate: Fate, level: f64) -> (usize, usize) {
        let faults = self.groups.iter().flat_map(|group| &group.faults);
        let severities: Vec<f64> =
            faults.filter(|(of, _)| *of == fate).map(|(_, severity)| *severity).collect();
        (severities.iter().filter(|severity| **severity >= level).count(), severities.len())
    }

    /// Pages for nothing and faults told, by severity.
    pub(super) fn table(&self) -> Table {
        let (machines, weeks) = self.size();
        let row = |level: f64| {
            let (pages, rate) = self.for_nothing(level);
            let rate = rate.map_or("-".into(), |rate| rate.with_digits(3));
            let told = Fate::ALL.map(|fate| {
                let (told, of) = self.told(fate, level);
                format!("{told} of {of}")
            });
            [vec![level.to_string(), pages.to_string(), rate], told.to_vec()].concat()
        };
        let header = ["severity of at least", "pages for nothing", "a machine and week"];
        Table {
            title: "Newborn machines, judged by their groups".into(),
            note: format!(
                "{machines} machines, which live for 1 to 24 hours and are judged by their groups \
                 for {weeks:.0} weeks together. In brackets: 95 % of resampled groups. A fault \
                 counts as told if the severity is reached within an hour of its begin. Without \
                 its group no datapoint of these weeks is judged."
            ),
            header: strings(header)
                .into_iter()
                .chain(Fate::ALL.map(|fate| fate.name().into()))
                .collect(),
            rows: [1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0].map(row).to_vec(),
            strong: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use deepguard::model::device;
    use deepguard::newborn::LEAST_MEMBERS;

    use super::*;
    use crate::testing::artifact;

    #[test]
    fn faults_of_newborns_are_told_and_most_healthy_ones_are_left_alone() {
        let detector = Detector::new(artifact(), &device());
        let found = newborns(&detector, 7, &AtomicBool::new(false)).unwrap();
        let (machines, weeks) = found.size();
        assert_eq!(machines, 84);
        assert!(weeks > 3.0, "{weeks}");
        for fate in Fate::ALL {
            let (told, of) = found.told(fate, 1.0);
            assert!(of > 20 && 10 * told >= 9 * of, "{}: {told} of {of}", fate.name());
        }
        let (pages, rate) = found.for_nothing(1.0);
        assert!(rate.unwrap().estimate < 1.5, "{pages} pages");
        assert!(found.for_nothing(2.0).0 <= pages);
        assert!(newborns(&detector, 1, &AtomicBool::new(true)).is_err());
    }

    #[test]
    fn machines_of_a_fleet_are_judged_by_their_groups_while_they_are_new() {
        let detector = Detector::new(artifact(), &device());
        let plan = Plan::new(40, 3);
        let launched = launched(&plan, &detector, &AtomicBool::new(false)).unwrap();
        let expected = plan.machines.iter().filter(|machine| machine.life.start > 0).count();
        assert_eq!(launched.len(), expected);
        for Launched { machine, own_from, .. } in &launched {
            let life = &plan.machines[*machine].life;
            let is_grown = |member: &usize| plan.machines[*member].life.start == 0;
            let grown = plan.group_of(*machine).members.clone().filter(is_grown).count();
            // Alone, from a midnight or a noon on that has half a day of datapoints before it. With
            // a group, from a midnight on that has three days before it.
            let (least, most) = match grown < LEAST_MEMBERS {
                true => (DAY / 2, DAY),
                false => (OWN_DAYS * DAY, (OWN_DAYS + 1) * DAY),
            };
            let has_own = *own_from < i64::MAX;
            assert!(*own_from >= time(life.start + least), "{machine}");
            assert!(life.len() <= most || has_own, "{machine}");
            assert!(life.len() > least || !has_own, "{machine}");
        }
    }
}
