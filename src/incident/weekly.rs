//! The habits of groups. A job at the weekend is no surprise to people who saw it a week before,
//! and a forecast that has two weeks of history does not know it yet. So an incident does not page
//! where several machines of its group had one at the same time of an earlier week that was over
//! within a day. It pages if it is worse than that one, lasts longer or takes many more machines.

use serde::{Deserialize, Serialize};

use super::LEAST_CHANGED;
use super::one::{Incident, Overs, Scope, Surroundings};
use crate::budget::PageLevel;
use crate::episode::WORSE;
use crate::series::DAY_SECONDS;

/// A week, in seconds.
const WEEK: i64 = 7 * DAY_SECONDS;
/// How long incidents are remembered, in weeks.
const WEEKS: i64 = 2;
/// Two incidents come at the same time of the week if their times are at most this far apart, in
/// seconds: an hour of a change of clocks, and half an hour by which jobs differ.
const APART: i64 = 90 * 60;
/// An incident may last this much longer than the earlier one, in seconds.
const LONGER: i64 = 3600;
/// The most incidents that are remembered.
const MOST: usize = 2000;

/// The incidents of groups in the last two weeks that were strong enough for a page, whether they
/// paged or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weekly<Id> {
    known: Vec<Known<Id>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Known<Id> {
    /// Its first machine, and when that one's episode was reported, in seconds since 1970.
    first: (Id, i64),
    scope: Scope<Id>,
    seen: Earlier,
    /// The limits for a later one. Those of the first one stay, so that a habit cannot grow from
    /// week to week. It was a page, or lies in the past that was learnt.
    limits: Limits,
    /// The one at the same time of the week before it.
    before: Option<Earlier>,
}

/// An incident to which one at the same time of a later week is compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Earlier {
    /// When it was reported, in seconds since 1970.
    pub began: i64,
    /// When it was over, in seconds since 1970.
    pub until: i64,
    /// Its highest severity. That of a young machine counts with its root.
    pub peak: f64,
}

/// How bad a habit is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Limits {
    /// As [`Earlier::peak`].
    peak: f64,
    /// In seconds.
    lasts: i64,
    machines: usize,
}

impl Limits {
    /// Those of an incident that was open until `at` (seconds since 1970).
    fn of<Id: Ord>(incident: &Incident<Id>, at: i64) -> Self {
        Self {
            peak: incident.comparable(),
            lasts: at - incident.first.1,
            machines: incident.joined,
        }
    }

    /// Whether this is much more than `earlier`.
    fn exceed(self, earlier: Self) -> bool {
        self.peak >= WORSE * earlier.peak
            || self.lasts > earlier.lasts + LONGER
            || self.machines >= LEAST_CHANGED.max(2 * earlier.machines)
    }
}

impl<Id> Known<Id> {
    /// Whether an incident that began at `began` (seconds since 1970) came a week or two later.
    fn is_weeks_before(&self, began: i64) -> bool {
        let later = began - self.first.1;
        let weeks = (later + WEEK / 2).div_euclid(WEEK);
        (1..=WEEKS).contains(&weeks) && (later - weeks * WEEK).abs() <= APART
    }

    /// Whether it was over within a day. What lasts for longer becomes usual.
    fn went(&self) -> bool {
        self.seen.until - self.seen.began < DAY_SECONDS
    }
}

impl<Id> Default for Weekly<Id> {
    fn default() -> Self {
        Self { known: Vec::new() }
    }
}

impl<Id: Ord> Weekly<Id> {
    /// The incident at the same time of the week before the one that began with `first`.
    pub fn before(&self, first: &(Id, i64)) -> Option<Earlier> {
        self.known.iter().rev().find(|known| known.first == *first)?.before
    }
}

impl<Id: Ord + Clone> Weekly<Id> {
    /// The incidents at the same time of earlier weeks that were over within a day, the last one
    /// first.
    fn like<'a>(&'a self, incident: &'a Incident<Id>) -> impl Iterator<Item = &'a Known<Id>> {
        let is_of = |known: &&Known<Id>| match (&known.scope, &incident.scope) {
            // All at once are no habit.
            (_, Scope::Fleet) => false,
            (Scope::Group(name), _) => incident.group.as_ref() == Some(name),
            // One machine comes at the same time by chance.
            _ => false,
        };
        // A machine that stops has no severity to compare.
        let known = self.known.iter().rev().filter(|_| !incident.stopped).filter(is_of);
        known.filter(|known| known.went() && known.is_weeks_before(incident.first.1))
    }

    /// The limits of the habit to which an incident belongs that was open until `at` (seconds since
    /// 1970).
    fn habit(&self, incident: &Incident<Id>, at: i64) -> Option<Limits> {
        let now = Limits::of(incident, at);
        self.like(incident).map(|known| known.limits).find(|limits| !now.exceed(*limits))
    }

    /// Whether an incident that was open until `at` (seconds since 1970) is a habit of its group.
    /// Where each anomaly pages, a habit does, too.
    pub(super) fn expects(&self, incident: &Incident<Id>, at: i64) -> bool {
        incident.level > PageLevel::default() && self.habit(incident, at).is_some()
    }

    /// Remembers those of the `open` incidents that are strong enough for a page. `over` is of this
    /// run.
    pub(super) fn remember(
        &mut self,
        open: &[Incident<Id>],
        over: &Overs<Id>,
        around: &Surroundings<'_, Id>,
    ) {
        let oldest = around.now - WEEKS * WEEK - DAY_SECONDS;
        self.known.retain(|known| known.first.1 >= oldest);
        for incident in open.iter().filter(|incident| incident.reaches_level(around)) {
            let at = incident.last_open(over, around);
            let before = self.like(incident).next().map(|known| known.seen);
            let Incident { first, scope, .. } = incident.clone();
            let seen = Earlier { began: first.1, until: at, peak: incident.comparable() };
            let limits = self.habit(incident, at).unwrap_or_else(|| Limits::of(incident, at));
            let known = Known { first, scope, seen, limits, before };
            match self.known.iter_mut().rev().find(|before| before.first == known.first) {
                Some(same) => *same = known,
                // Only a group can make a habit.
                None if matches!(known.scope, Scope::Machine(_)) && before.is_none() => {}
                None => self.known.push(known),
            }
        }
        self.bound();
    }

    /// Forgets an incident that has become a part of another one.
    pub(super) fn forget(&mut self, first: &(Id, i64)) {
        self.known.retain(|known| known.first != *first);
    }

    fn bound(&mut self) {
        self.known.drain(..self.known.len().saturating_sub(MOST));
    }

    /// Takes over what another part of the fleet knows of these scopes, or the past of machines
    /// that are new.
    pub(super) fn take_over(&mut self, other: Self, is_ours: impl Fn(&Scope<Id>) -> bool) {
        for known in other.known.into_iter().filter(|known| is_ours(&known.scope)) {
            if !self.known.iter().any(|same| same.first == known.first) {
                self.known.push(known);
            }
        }
        self.known.sort_by_key(|known| known.first.1);
        self.bound();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::episode::{Change, End, Episode};
    use crate::incident::tests::{Fleet, pages};
    use crate::shape::Shape;

    /// In minutes.
    const WEEK: i64 = super::WEEK / 60;
    const DAY: i64 = DAY_SECONDS / 60;

    /// A fleet in whose group 0 three of 30 machines were at a score of 5.0 for 40 minutes.
    fn after_a_page() -> Fleet {
        let mut fleet = Fleet::new(400, 30, 2.0);
        assert_eq!(pages(&fleet.begin(0, &[1, 2, 3], 5.0)), 1);
        fleet.end(40, &[1, 2, 3]);
        fleet
    }

    #[test]
    fn what_comes_at_the_same_time_of_the_week_is_a_notice() {
        let mut fleet = after_a_page();
        assert_eq!(pages(&fleet.begin(DAY, &[1], 5.0)), 1, "the next day");
        fleet.end(DAY + 40, &[1]);
        for (minutes, ids) in [(WEEK + 90, [2, 4]), (2 * WEEK + 80, [1, 5]), (3 * WEEK, [6, 7])] {
            let (notes, _) = fleet.begin(minutes, &ids, 6.0);
            assert!(notes.iter().all(|note| !note.page && !note.paged), "{minutes}");
            // It is seen to be over half an hour later.
            let over = ids
                .map(|id| (id, Change::Ended(fleet.open(id), End::Recovered, (minutes + 40) * 60)));
            assert_eq!(pages(&fleet.run((minutes + 70) * 60, &over)), 0);
        }
        let before = fleet.incidents.weekly().before(&(6, 3 * WEEK * 60)).unwrap();
        let began = (2 * WEEK + 80) * 60;
        assert_eq!(before, Earlier { began, until: began + 2400, peak: 6.0 });
        assert_eq!(pages(&fleet.begin(6 * WEEK, &[6], 6.0)), 1, "forgotten after two weeks");
    }

    #[test]
    fn a_habit_does_not_grow_from_week_to_week() {
        let mut fleet = after_a_page();
        let mut paged = Vec::new();
        for (week, peak) in (1..).zip([7.0, 9.0, 11.0, 20.0, 22.0]) {
            paged.push(pages(&fleet.begin(week * WEEK, &[1, 2], peak)));
            fleet.end(week * WEEK + 40, &[1, 2]);
        }
        assert_eq!(paged, [0, 0, 1, 0, 1], "people were told of a score of 5, and then of 11");
    }

    #[test]
    fn a_habit_of_some_machines_hides_no_outage_of_many() {
        let mut fleet = after_a_page();
        assert_eq!(pages(&fleet.begin(WEEK, &[1, 2, 3, 4, 5], 5.0)), 0);
        assert_eq!(pages(&fleet.begin(WEEK + 5, &[6], 5.0)), 1);
    }

    #[test]
    fn a_habit_that_ended_while_runs_were_missing_is_one_all_the_same() {
        let mut fleet = after_a_page();
        let change = |ended: bool| {
            let episode = Episode::of(WEEK * 60, Shape::LevelShift, 5.0);
            let over = Change::Ended(episode, End::Recovered, (WEEK + 45) * 60);
            (1, if ended { over } else { Change::Began(episode, None) })
        };
        assert_eq!(pages(&fleet.run((WEEK + 300) * 60, &[change(false), change(true)])), 0);
    }

    #[test]
    fn where_each_anomaly_pages_a_habit_does_too() {
        let mut fleet = Fleet::new(400, 30, 1.0);
        for minutes in [0, WEEK] {
            assert_eq!(pages(&fleet.begin(minutes, &[1, 2, 3], 5.0)), 1);
            fleet.end(minutes + 40, &[1, 2, 3]);
        }
    }

    #[test]
    fn another_time_or_another_group_pages() {
        assert_eq!(pages(&after_a_page().begin(WEEK + 91, &[1], 5.0)), 1);
        assert_eq!(pages(&after_a_page().begin(WEEK - 91, &[1], 5.0)), 1);
        assert_eq!(pages(&after_a_page().begin(WEEK, &[101], 5.0)), 1);
    }

    #[test]
    fn what_is_worse_or_longer_pages() {
        assert_eq!(pages(&after_a_page().begin(WEEK, &[1], 10.0)), 1);
        let mut fleet = after_a_page();
        assert_eq!(pages(&fleet.begin(WEEK, &[1], 5.0)), 0);
        assert_eq!(pages(&fleet.grow(WEEK + 5, 1, 9.9)), 0);
        assert_eq!(pages(&fleet.grow(WEEK + 10, 1, 10.0)), 1, "once it is");
        let mut fleet = after_a_page();
        fleet.begin(WEEK, &[1], 5.0);
        assert_eq!(pages(&fleet.run((WEEK + 100) * 60, &[])), 0);
        assert_eq!(pages(&fleet.run((WEEK + 105) * 60, &[])), 1, "an hour longer");
        assert_eq!(pages(&fleet.run((WEEK + 110) * 60, &[])), 0, "once");
    }

    #[test]
    fn a_notice_is_no_habit() {
        let mut fleet = Fleet::new(400, 30, 2.0);
        assert_eq!(pages(&fleet.begin(0, &[1, 2], 1.9)), 0);
        fleet.end(40, &[1, 2]);
        assert_eq!(pages(&fleet.begin(WEEK, &[1, 2], 2.0)), 1);
    }

    #[test]
    fn one_machine_alone_has_no_habit() {
        for of in [0, 30] {
            let mut fleet = Fleet::new(400, of, 2.0);
            fleet.begin(0, &[1], 5.0);
            fleet.end(40, &[1]);
            assert_eq!(pages(&fleet.begin(WEEK, &[1], 5.0)), 1);
        }
    }

    #[test]
    fn what_stays_what_stops_and_what_all_have_pages_each_time() {
        let mut fleet = Fleet::new(400, 30, 2.0);
        fleet.begin(0, &[1, 2], 5.0);
        fleet.run(DAY_SECONDS - 300, &[]);
        fleet.end(DAY, &[1, 2]);
        assert_eq!(pages(&fleet.begin(WEEK, &[1], 5.0)), 1, "a deploy on each Monday");

        let mut fleet = Fleet::new(400, 30, 2.0);
        let stops = |fleet: &mut Fleet, minutes: i64| {
            let stopped = Episode::of(minutes * 60, Shape::Stopped, 1.0);
            let both = [1, 2].map(|id| (id, Change::Began(stopped, None)));
            let notes = fleet.run(minutes * 60, &both);
            fleet.end(minutes + 40, &[1, 2]);
            pages(&notes)
        };
        assert_eq!((stops(&mut fleet, 0), stops(&mut fleet, WEEK)), (1, 1));

        let mut fleet = Fleet::new(6, 3, 2.0);
        let all = [1, 2, 3, 101, 102, 103];
        for minutes in [0, WEEK] {
            assert_eq!(pages(&fleet.begin(minutes, &all, 5.0)), 1);
            fleet.end(minutes + 40, &all);
        }
    }
}
