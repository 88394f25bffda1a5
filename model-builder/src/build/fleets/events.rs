//! What really happened in a fleet, and which page is about it.

use std::ops::Range;

use deepguard::series::PERIOD;

use super::plan::{LATE, Plan, Strength, UNTIL};
use super::values::Placed;
use crate::build::workload::START;

/// What an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A deploy of a whole group.
    Deploy,
    /// The outage of a zone, across groups.
    Outage,
    /// A fault in one machine, with its name.
    Fault(Strength, &'static str),
}

/// Something that a page may be about.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    pub(super) what: What,
    /// When it is, in seconds since 1970; a page up to two hours later is about it.
    pub(super) times: Range<i64>,
    /// The machines that have it, by number, rising.
    pub(super) machines: Vec<usize>,
}

/// A page: one message to people.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Page {
    /// The start of the datapoint after which it is sent, in seconds since 1970.
    pub(super) time: i64,
    /// The machines that it is about, by number.
    pub(super) machines: Vec<usize>,
}

/// The start of a slot, in seconds since 1970.
pub(super) fn time(slot: usize) -> i64 {
    START + slot as i64 * PERIOD
}

impl Event {
    /// All events of a fleet. `faults` are those that its machines really got.
    pub(super) fn of(plan: &Plan, faults: &[(usize, Placed)]) -> Vec<Self> {
        let alive = |machine: &usize, slots: &Range<usize>| {
            let life = &plan.machines[*machine].life;
            life.start < slots.end && slots.start < life.end
        };
        let event = |what, slots: Range<usize>, machines: Vec<usize>| {
            let machines: Vec<usize> =
                machines.into_iter().filter(|machine| alive(machine, &slots)).collect();
            let times = time(slots.start)..time(slots.end.min(UNTIL));
            (!machines.is_empty()).then_some(Self { what, times, machines })
        };
        let deploys = plan.groups.iter().filter_map(|group| {
            event(What::Deploy, group.deploy?.slots(), group.members.clone().collect())
        });
        let zone = (0..plan.machines.len()).filter(|&machine| plan.machines[machine].in_zone);
        let outage = event(What::Outage, plan.outage.clone(), zone.collect());
        let faults = faults.iter().filter_map(|(machine, placed)| {
            let what = What::Fault(placed.strength, placed.wrong.name());
            event(what, placed.slots.clone(), vec![*machine])
        });
        deploys.chain(outage).chain(faults).collect()
    }

    /// Whether a page comes at its time, about one of its machines.
    pub(super) fn has(&self, page: &Page) -> bool {
        let late = LATE as i64 * PERIOD;
        (self.times.start..self.times.end + late).contains(&page.time)
            && page.machines.iter().any(|machine| self.machines.binary_search(machine).is_ok())
    }

    /// Whether a page about it is right. One about a control is not.
    pub(super) fn is_real(&self) -> bool {
        !matches!(self.what, What::Fault(Strength::Control, _))
    }

    /// Seconds from its begin until the page is sent.
    pub(super) fn until_told(&self, page: &Page) -> i64 {
        page.time + PERIOD - self.times.start
    }
}

/// For each page the event that it is about: the last one to begin of those that it may be about.
/// `None` is a page for nothing.
pub(super) fn explained(events: &[Event], pages: &[Page]) -> Vec<Option<usize>> {
    let of = |page: &Page| {
        let possible =
            (0..events.len()).filter(|&event| events[event].is_real() && events[event].has(page));
        possible.max_by_key(|&event| events[event].times.start)
    };
    pages.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(what: What, times: Range<i64>, machines: &[usize]) -> Event {
        Event { what, times, machines: machines.to_vec() }
    }

    fn page(time: i64, machines: &[usize]) -> Page {
        Page { time, machines: machines.to_vec() }
    }

    #[test]
    fn a_page_is_about_an_event_of_its_machines_until_two_hours_after_it() {
        let deploy = event(What::Deploy, 1000..2000, &[3, 5, 8]);
        for (page, about) in [
            (page(1000, &[5]), true),
            (page(999, &[5]), false),
            (page(1000, &[4]), false),
            (page(1000, &[4, 8]), true),
            (page(2000 + 7199, &[3]), true),
            (page(2000 + 7200, &[3]), false),
        ] {
            assert_eq!(deploy.has(&page), about, "{page:?}");
        }
        assert_eq!(deploy.until_told(&page(1600, &[3])), 900);
    }

    #[test]
    fn the_later_event_explains_a_page_and_a_control_explains_nothing() {
        let fault = |strength| What::Fault(strength, "fault");
        let events = [
            event(What::Deploy, 0..90_000, &[1, 2]),
            event(fault(Strength::Subtle), 50_000..60_000, &[2]),
            event(fault(Strength::Control), 200_000..300_000, &[1]),
        ];
        let pages = [page(55_000, &[2]), page(55_000, &[1]), page(250_000, &[1]), page(0, &[3])];
        assert_eq!(explained(&events, &pages), [Some(1), Some(0), None, None]);
        assert!(events[2].has(&pages[2]), "so that a find by chance is counted");
    }

    #[test]
    fn events_are_those_of_the_plan() {
        let plan = Plan::new(300, 1);
        let events = Event::of(&plan, &[]);
        let count = |what| events.iter().filter(|event| event.what == what).count();
        let deployed = plan.groups.iter().filter(|group| group.deploy.is_some()).count();
        assert!(count(What::Deploy) <= deployed && count(What::Deploy) + 3 > deployed);
        assert_eq!(count(What::Outage), 1);
        assert!(events.iter().all(|event| event.machines.is_sorted()));
        let outage = events.iter().find(|event| event.what == What::Outage).unwrap();
        assert!((60..140).contains(&outage.machines.len()), "{}", outage.machines.len());
    }
}
