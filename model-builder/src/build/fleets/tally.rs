//! Counts what a page rule tells the people of a fleet: for nothing, found, once or again.

use deepguard::series::DAY_SECONDS;

use super::events::{Event, Page, What, explained, time};
use super::plan::{FROM, Plan, Strength, UNTIL, WEEKS};
use super::rules::Decided;
use crate::build::evaluate::bootstrap::{Interval, SEED, bootstrap};

const RESAMPLES: usize = 1000;

/// What one rule did in all fleets of one size.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tally {
    fleets: usize,
    groups: Vec<OfGroup>,
    /// Pages about the outage, fleet by fleet.
    outages: Vec<usize>,
    /// The page level of each day and fleet.
    levels: Vec<f64>,
}

/// What it did in one group.
#[derive(Debug, Clone, Default, PartialEq)]
struct OfGroup {
    /// Pages for nothing, by [`Before`].
    nothing: [usize; Before::ALL.len()],
    pages: usize,
    faults: Vec<Seen>,
    /// For each deploy, the pages about it.
    deploys: Vec<usize>,
}

/// What went before a page for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// The launch of the machine, less than two weeks ago.
    Launch,
    /// Something real on that machine, less than two days ago.
    Event,
    /// Nothing.
    Nothing,
}

/// A fault, found or not.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Seen {
    strength: Strength,
    name: &'static str,
    /// Seconds from its begin to the first page about it.
    told: Option<i64>,
    /// Pages about it.
    pages: usize,
}

/// How many of how many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Part {
    pub(super) of: usize,
    pub(super) found: usize,
    /// Percent, over resampled groups.
    pub(super) percent: Option<Interval>,
}

/// Seconds after an event in which a page for nothing may be an echo of it.
const ECHO: i64 = 2 * DAY_SECONDS;

impl Before {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Launch, Self::Event, Self::Nothing];

    fn of(page: &Page, plan: &Plan, events: &[Event]) -> Self {
        let Some(&machine) = page.machines.first() else { return Self::Nothing };
        let life = &plan.machines[machine].life;
        let echo = |event: &Event| {
            let late = page.time - event.times.end;
            event.is_real() && (0..ECHO).contains(&late) && event.machines.contains(&machine)
        };
        match () {
            () if page.time < time(life.start + FROM) => Self::Launch,
            () if events.iter().any(echo) => Self::Event,
            () => Self::Nothing,
        }
    }
}

impl Tally {
    /// Takes the pages of one fleet in. Pages before the weeks that count are left out.
    pub(super) fn add(&mut self, plan: &Plan, events: &[Event], decided: &Decided) {
        let counts = |page: &&Page| (time(FROM)..time(UNTIL)).contains(&page.time);
        let pages: Vec<Page> = decided.pages.iter().filter(counts).cloned().collect();
        let group = |machine: usize| plan.machines[machine].group;
        let mut groups = vec![OfGroup::default(); plan.groups.len()];
        let about = explained(events, &pages);
        for (page, about) in pages.iter().zip(&about) {
            let of = &mut groups[page.machines.first().map_or(0, |&machine| group(machine))];
            of.pages += 1;
            if about.is_none() {
                of.nothing[Before::of(page, plan, events) as usize] += 1;
            }
        }
        let mut outage = 0;
        for (number, event) in events.iter().enumerate() {
            let times = about.iter().filter(|about| **about == Some(number)).count();
            let of = &mut groups[group(event.machines[0])];
            match event.what {
                What::Deploy => of.deploys.push(times),
                What::Outage => outage += times,
                What::Fault(strength, name) => {
                    let first = pages.iter().filter(|page| event.has(page));
                    let told = first.map(|page| event.until_told(page)).min();
                    of.faults.push(Seen { strength, name, told, pages: times });
                }
            }
        }
        self.fleets += 1;
        self.groups.extend(groups);
        self.outages.push(outage);
        self.levels.extend(&decided.levels);
    }

    /// Pages of one fleet in a week, of resampled groups.
    fn a_week(&self, pages: impl Fn(&OfGroup) -> usize) -> Option<Interval> {
        let weeks = (self.fleets * WEEKS) as f64;
        bootstrap(self.groups.len(), RESAMPLES, SEED, |groups| {
            groups.iter().map(|&group| pages(&self.groups[group])).sum::<usize>() as f64 / weeks
        })
    }

    /// Pages for nothing of one fleet in a week.
    pub(super) fn for_nothing(&self) -> Option<Interval> {
        self.a_week(|group| group.nothing.iter().sum())
    }

    /// Those of them that this went before.
    pub(super) fn for_nothing_after(&self, before: Before) -> Option<Interval> {
        self.a_week(|group| group.nothing[before as usize])
    }

    /// All pages of one fleet in a week.
    pub(super) fn pages(&self) -> Option<Interval> {
        self.a_week(|group| group.pages)
    }

    fn faults(&self, wanted: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        let faults = self.groups.iter().flat_map(|group| &group.faults);
        faults.filter(|seen| wanted(seen)).copied().collect()
    }

    /// Faults of this strength that were told.
    pub(super) fn found(&self, strength: Strength) -> Part {
        self.part(|seen| seen.strength == strength)
    }

    /// Faults of this name that were told.
    pub(super) fn found_of(&self, name: &str) -> Part {
        self.part(|seen| seen.name == name)
    }

    fn part(&self, wanted: impl Fn(&Seen) -> bool) -> Part {
        let faults = self.faults(&wanted);
        let percent = bootstrap(self.groups.len(), RESAMPLES, SEED, |groups| {
            let seen = groups.iter().flat_map(|&group| &self.groups[group].faults);
            let told: Vec<bool> =
                seen.filter(|seen| wanted(seen)).map(|seen| seen.told.is_some()).collect();
            100.0 * told.iter().filter(|told| **told).count() as f64 / told.len() as f64
        });
        let found = faults.iter().filter(|seen| seen.told.is_some()).count();
        Part { of: faults.len(), found, percent }
    }

    /// The names of the faults of this strength, sorted.
    pub(super) fn names(&self, strength: Strength) -> Vec<&'static str> {
        let faults = self.faults(|seen| seen.strength == strength);
        let mut names: Vec<&str> = faults.iter().map(|seen| seen.name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Minutes from the begin of a fault of this strength until it was told: the median, and the
    /// 90th percentile, of those that were.
    pub(super) fn minutes(&self, strength: Strength) -> Option<(i64, i64)> {
        let faults = self.faults(|seen| seen.strength == strength);
        let mut told: Vec<i64> = faults.iter().filter_map(|seen| seen.told).collect();
        told.sort_unstable();
        let at = |part: f64| told.get((told.len() as f64 * part) as usize).map(|told| told / 60);
        at(0.5).zip(at(0.9))
    }

    /// Pages about each fault of this strength that was told.
    pub(super) fn pages_each(&self, strength: Strength) -> Vec<usize> {
        let faults = self.faults(|seen| seen.strength == strength);
        faults.iter().map(|seen| seen.pages).filter(|pages| *pages > 0).collect()
    }

    /// Pages about each deploy.
    pub(super) fn deploys(&self) -> Vec<usize> {
        self.groups.iter().flat_map(|group| group.deploys.clone()).collect()
    }

    /// Pages about the outage, fleet by fleet.
    pub(super) fn outages(&self) -> &[usize] {
        &self.outages
    }

    /// The lowest and the highest page level of all days; `None` for a rule without.
    pub(super) fn levels(&self) -> Option<(f64, f64)> {
        let lowest = self.levels.iter().copied().reduce(f64::min);
        lowest.zip(self.levels.iter().copied().reduce(f64::max))
    }

    /// Pages for nothing as a number, for charts.
    pub(super) fn noise(&self) -> f64 {
        let nothing: usize = self.groups.iter().flat_map(|group| &group.nothing).sum();
        nothing as f64 / (self.fleets * WEEKS) as f64
    }
}

#[cfg(test)]
mod tests {
    use deepguard::series::PERIOD;

    use super::*;
    use crate::build::fleets::values::{Placed, Wrong};
    use crate::build::workload::fault::Fault;

    /// A fleet, its events, and a machine with a strong fault.
    fn scene() -> (Plan, Vec<Event>, usize) {
        let plan = Plan::new(40, 6);
        let machine = (0..40)
            .find(|&machine| plan.machines[machine].fault == Some(Strength::Strong))
            .unwrap();
        let slots = plan.outage.end + 600..plan.outage.end + 624;
        let placed =
            Placed { strength: Strength::Strong, wrong: Wrong::Known(Fault::Stuck), slots };
        let mut plan = plan;
        plan.groups.iter_mut().for_each(|group| group.deploy = None);
        let events = Event::of(&plan, &[(machine, placed)]);
        (plan, events, machine)
    }

    #[test]
    fn pages_are_counted_for_what_they_are() {
        let (plan, events, machine) = scene();
        let fault = events.iter().find(|event| event.machines == [machine]).unwrap();
        let zone = events.iter().find(|event| event.what == What::Outage).unwrap();
        let page = |time: i64, machine: usize| Page { time, machines: vec![machine] };
        let pages = [
            page(time(FROM) - PERIOD, machine),
            page(time(FROM), machine),
            page(zone.times.start, zone.machines[0]),
            page(zone.times.start + 600, zone.machines[1]),
            page(fault.times.start + 900, machine),
            page(fault.times.start + 1800, machine),
            page(time(UNTIL), machine),
        ];
        let mut tally = Tally::default();
        let decided = Decided { pages: pages.to_vec(), levels: vec![1.5, 1.2, 1.3] };
        tally.add(&plan, &events, &decided);
        assert_eq!(tally.levels(), Some((1.2, 1.5)));
        let estimate = |of: Option<Interval>| of.unwrap().estimate;
        assert_eq!((estimate(tally.for_nothing()), estimate(tally.pages())), (0.25, 1.25));
        assert_eq!(tally.noise(), 0.25);
        assert_eq!(estimate(tally.for_nothing_after(Before::Nothing)), 0.25);
        let found = tally.found(Strength::Strong);
        assert_eq!((found.found, found.of, tally.found(Strength::Subtle).of), (1, 1, 0));
        assert_eq!(tally.minutes(Strength::Strong), Some((20, 20)));
        assert_eq!(tally.pages_each(Strength::Strong), [2]);
        assert_eq!((tally.outages(), tally.deploys().len()), (&[2][..], 0));
        assert_eq!(tally.names(Strength::Strong), ["stuck at the limit"]);
        assert_eq!(tally.found_of("stuck at the limit").found, 1);
    }

    #[test]
    fn what_went_before_a_page_for_nothing_is_said() {
        let (plan, events, machine) = scene();
        let fault = events.iter().find(|event| event.machines == [machine]).unwrap();
        let after = |machine: usize, time: i64| {
            let page = Page { time, machines: vec![machine] };
            Before::of(&page, &plan, &events)
        };
        assert_eq!(after(machine, time(FROM)), Before::Nothing);
        assert_eq!(after(machine, fault.times.end + 7200), Before::Event);
        assert_eq!(after(machine, fault.times.end + ECHO), Before::Nothing);
        let young = (0..40).find(|&machine| plan.machines[machine].life.start > 0).unwrap();
        let born = time(plan.machines[young].life.start);
        assert_eq!(after(young, born + 14 * DAY_SECONDS - 1), Before::Launch);
        assert_ne!(after(young, born + 14 * DAY_SECONDS), Before::Launch);
    }

    #[test]
    fn fleets_of_a_size_are_counted_together() {
        let (plan, events, machine) = scene();
        let mut tally = Tally::default();
        let pages = vec![Page { time: time(FROM), machines: vec![machine] }];
        tally.add(&plan, &events, &Decided { pages, levels: Vec::new() });
        tally.add(&plan, &events, &Decided::default());
        assert_eq!(tally.for_nothing().unwrap().estimate, 0.125);
        let found = tally.found(Strength::Strong);
        assert_eq!((found.found, found.of), (0, 2));
        assert_eq!(tally.minutes(Strength::Strong), None);
    }
}
