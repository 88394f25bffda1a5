//! The past of machines that a deployment begins to follow. Their history says how they behave, so
//! the first day's page levels need not be those of any fleet.

use std::collections::{BTreeMap, BTreeSet};

use super::days::Day;
use super::{Incidents, Surroundings};
use crate::baseline::{Phase, calibrated_at};
use crate::budget::{Aims, FleetPast, PageLevel};
use crate::episode::{Change, Episode, Episodes, MOfN};
use crate::scored::Scored;
use crate::series::{DAY_SECONDS, PERIOD};
use crate::track::YOUNG;

/// The episodes of machines before a deployment followed them.
#[derive(Debug, Clone, PartialEq)]
pub struct Past<Id: Ord> {
    /// The changes by time, in seconds since 1970. An episode begins with its highest severity.
    changes: BTreeMap<i64, Vec<(Id, Change)>>,
    /// How many machines had scores, by day, counted from 1970.
    machines: BTreeMap<i64, usize>,
    /// Until when the usual of each machine was still being learnt, in seconds since 1970.
    young: BTreeMap<Id, i64>,
}

impl<Id: Ord> Default for Past<Id> {
    fn default() -> Self {
        Self { changes: BTreeMap::new(), machines: BTreeMap::new(), young: BTreeMap::new() }
    }
}

impl<Id: Ord + Clone> Past<Id> {
    /// Adds the scores of a machine from before it was followed, oldest first. The first days of a
    /// machine say little about it: those before [`Phase::Own`] are left out.
    pub fn add(&mut self, id: &Id, scored: &[Scored], rule: MOfN) {
        let Some(first) = scored.first() else { return };
        self.young_until(id, calibrated_at(first.time) + YOUNG * DAY_SECONDS);
        let own = || scored.iter().filter(|scored| scored.phase == Phase::Own);
        let days: BTreeSet<i64> = own().map(|scored| scored.time.div_euclid(DAY_SECONDS)).collect();
        days.into_iter().for_each(|day| self.count_machine(day));
        let mut episodes = Episodes::default();
        for scored in own() {
            for change in episodes.update(scored, rule) {
                self.change(id, scored.time, change);
            }
        }
    }

    /// Notes that the usual errors of a machine were being learnt until `time` (seconds since
    /// 1970).
    pub fn young_until(&mut self, id: &Id, time: i64) {
        self.young.insert(id.clone(), time);
    }

    /// Counts a machine that had scores on `day`, counted from 1970.
    pub fn count_machine(&mut self, day: i64) {
        *self.machines.entry(day).or_default() += 1;
    }

    /// Takes a change of a machine's episode in, seen at the datapoint that started at `time`
    /// (seconds since 1970). An episode counts when it is over: only then is its severity known.
    pub fn change(&mut self, id: &Id, time: i64, change: Change) {
        if let Change::Ended(episode, _, _) = change {
            let began = Change::Began(episode, None);
            for (time, change) in [(episode.told, began), (time, change)] {
                self.changes.entry(time).or_default().push((id.clone(), change));
            }
        }
    }

    /// The incidents that there would have been at this page level.
    fn incidents(
        &self,
        level: PageLevel,
        group: &dyn Fn(&Id) -> Option<(String, usize)>,
    ) -> Incidents<Id> {
        let mut incidents = Incidents { level: Some(level), ..Incidents::default() };
        let mut open: BTreeMap<Id, Episode> = BTreeMap::new();
        for (&time, changes) in &self.changes {
            for (id, change) in changes {
                match change {
                    Change::Began(episode, _) => drop(open.insert(id.clone(), *episode)),
                    Change::Ended(..) => drop(open.remove(id)),
                }
            }
            let around = Surroundings {
                now: time + PERIOD,
                machines: self.young.len(),
                group,
                open: &|id| open.get(id).copied(),
                young: &|id| self.young.get(id).is_some_and(|until| time < *until),
            };
            incidents.update(changes, &around);
        }
        incidents
    }
}

impl<Id: Ord + Clone> Incidents<Id> {
    /// Takes in the past of machines that a run at `now` (seconds since 1970) begins to follow,
    /// before [`Self::begin_day`]. That is done on the day of the first run only. A large fleet may
    /// take several runs to begin. There are `machines` in all; `group` is that of
    /// [`Surroundings`].
    pub fn learn(
        &mut self,
        past: &Past<Id>,
        now: i64,
        machines: usize,
        group: &dyn Fn(&Id) -> Option<(String, usize)>,
        aims: &impl Aims,
    ) {
        let today = now.div_euclid(DAY_SECONDS);
        if self.level.is_none() {
            self.begun = Some(today);
        }
        if self.begun != Some(today) || past.young.is_empty() {
            return;
        }
        let of_any_fleet = aims.fleet(FleetPast { machines, ..FleetPast::default() });
        let low = past.incidents(self.level.unwrap_or(of_any_fleet), group).days;
        let low = low.into_iter().map(|(day, known)| (day, Day { machines: 0, ..known }));
        let lived = past.machines.iter().map(|(&day, &machines)| (day, Day { machines, low: 0 }));
        // What belongs to today is counted by the runs of today.
        for (day, known) in low.chain(lived).filter(|(day, _)| *day < today) {
            let day = self.days.entry(day).or_default();
            day.machines += known.machines;
            day.low += known.low;
        }
        // Now that the level is known, groups are compared with it.
        let before = past.incidents(aims.fleet(self.past(today, machines)), group);
        self.restless.add(before.restless);
        self.weekly.take_over(before.weekly, |_| true);
        self.settling.extend(before.settling);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{GroupPast, PageLevel};
    use crate::episode::End;
    use crate::incident::tests::{Fleet, pages};
    use crate::shape::Shape;

    const HOUR: i64 = 3600;
    const TODAY: i64 = 14 * DAY_SECONDS;

    /// The past of the 50 machines 0 to 49, of one group, over the days 0 to 13. The machines 1 and
    /// 2 had an incident of an hour with each of the `peaks`, one a day.
    fn past(peaks: &[f64]) -> Past<u32> {
        let mut past = Past::default();
        (0..14).for_each(|day| (0..50).for_each(|_| past.count_machine(day)));
        (0..50).for_each(|id| past.young_until(&id, 0));
        for (day, &peak) in (0..).zip(peaks) {
            let at = day * DAY_SECONDS + 12 * HOUR;
            let episode = Episode::of(at, Shape::Spike, peak);
            for id in [1, 2] {
                past.change(&id, at + HOUR, Change::Ended(episode, End::Recovered, at + HOUR));
            }
        }
        past
    }

    fn group(_: &u32) -> Option<(String, usize)> {
        Some(("0".into(), 50))
    }

    #[test]
    fn the_first_day_s_levels_rest_on_the_past() {
        let past = past(&[1.2, 1.9, 2.0, 3.9, 4.0, 16.0]);
        let mut incidents = Incidents::default();
        let any = FleetPast { machines: 50, ..FleetPast::default() };
        let fleet = |past: FleetPast| match past == any {
            true => PageLevel::new(4.0),
            false => {
                assert_eq!(past, FleetPast { machines: 50, low: 2, machine_weeks: 100.0 });
                PageLevel::new(3.0)
            }
        };
        let of_group = |fleet: PageLevel, past: GroupPast| {
            assert_eq!((fleet.value(), past.near, past.machine_weeks), (3.0, 2, 100.0));
            PageLevel::new(9.0)
        };
        incidents.learn(&past, TODAY, 50, &group, &(fleet, of_group));
        incidents.begin_day(14 * DAY_SECONDS, 50, &(fleet, of_group));
        assert_eq!(incidents.level().value(), 3.0);
        let above: Vec<_> = incidents.restless().above(incidents.level()).collect();
        assert_eq!(above, [("0", PageLevel::new(9.0))], "at once");
        assert_eq!(incidents.open.len() + incidents.over.len(), 0);
        assert_eq!(incidents.labels().clone().label(&(1, 5 * DAY_SECONDS), 0).ok(), None);
    }

    #[test]
    fn the_scores_of_a_young_machine_count_as_their_roots() {
        let mut past = past(&[1.2, 3.9, 4.0, 15.0, 16.0]);
        [1, 2].iter().for_each(|id| past.young_until(id, 14 * DAY_SECONDS));
        let fleet = |past: FleetPast| {
            assert!(past.machine_weeks == 0.0 || past.low == 2, "{past:?}");
            PageLevel::new(4.0)
        };
        let of_group = |fleet: PageLevel, past: GroupPast| {
            assert_eq!(past.near, 2);
            fleet
        };
        let mut incidents = Incidents::default();
        incidents.learn(&past, TODAY, 50, &group, &(fleet, of_group));
        incidents.begin_day(14 * DAY_SECONDS, 50, &(fleet, of_group));
    }

    #[test]
    fn what_came_in_a_week_of_the_past_is_known() {
        let mut fleet = Fleet::new(400, 50, 2.0);
        let day = 24 * 60;
        let peaks = [vec![1.0; 7], vec![5.0]].concat();
        let always = (|_: FleetPast| PageLevel::new(2.0), |level: PageLevel, _: GroupPast| level);
        fleet.incidents = Incidents::default();
        fleet.incidents.learn(&past(&peaks), TODAY, 400, &group, &always);
        fleet.incidents.begin_day(TODAY, 400, &always);
        assert_eq!(pages(&fleet.begin(14 * day + 725, &[3, 4], 6.0)), 0);
        assert_eq!(pages(&fleet.begin(14 * day + 725, &[101, 102], 6.0)), 1, "another group");
    }

    #[test]
    fn the_first_day_s_runs_learn_what_is_new_to_each_and_later_days_nothing() {
        let aims = (
            |past: FleetPast| PageLevel::new(2.0 + past.low as f64),
            |level: PageLevel, _: GroupPast| level,
        );
        let mut incidents = Incidents::default();
        let mut run = |now: i64, past: &Past<u32>| {
            incidents.learn(past, now, 400, &group, &aims);
            incidents.begin_day(now, 400, &aims);
            let seen: usize = incidents.days.range(..14).map(|(_, day)| day.machines).sum();
            (incidents.level().value(), seen)
        };
        assert_eq!(run(TODAY, &past(&[1.5])), (3.0, 14 * 50));
        assert_eq!(run(TODAY + 300, &past(&[1.5, 1.5])), (5.0, 2 * 14 * 50), "at once");
        assert_eq!(run(TODAY + 600, &Past::default()), (5.0, 2 * 14 * 50));
        let tomorrow = TODAY + DAY_SECONDS;
        // The first of the two weeks has become too old.
        assert_eq!(run(tomorrow, &past(&[1.5])), (4.0, 2 * 13 * 50), "a fifth lower");
    }

    #[test]
    fn groups_are_compared_with_the_level_that_the_past_asks_for() {
        // Near 9.0 and not near 4.0.
        let past = past(&[4.0, 5.0, 8.0]);
        let fleet =
            |past: FleetPast| PageLevel::new(if past.machine_weeks > 0.0 { 9.0 } else { 4.0 });
        let of_group = |fleet: PageLevel, past: GroupPast| {
            assert_eq!((fleet.value(), past.near), (9.0, 3));
            fleet
        };
        let mut incidents = Incidents::default();
        incidents.learn(&past, TODAY, 50, &group, &(fleet, of_group));
        incidents.begin_day(TODAY, 50, &(fleet, of_group));
    }

    #[test]
    fn today_is_counted_by_its_runs() {
        let mut past = past(&[]);
        past.count_machine(14);
        let episode = Episode::of(TODAY + HOUR, Shape::Spike, 1.5);
        let over = TODAY + 2 * HOUR;
        past.change(&1, over, Change::Ended(episode, End::Recovered, over));
        let always = (|_: FleetPast| PageLevel::new(2.0), |level: PageLevel, _: GroupPast| level);
        let mut incidents = Incidents::default();
        incidents.learn(&past, over, 50, &group, &always);
        incidents.begin_day(over, 50, &always);
        assert_eq!(incidents.days[&14], Day { machines: 50, low: 0 });
    }

    #[test]
    fn only_days_of_its_own_phase_and_episodes_that_are_over_count() {
        let slot = |slot: i64, phase: Phase, deviation: f64| Scored {
            phase,
            ..crate::episode::tests::at(slot, deviation)
        };
        let day = DAY_SECONDS / PERIOD;
        let mut scored: Vec<Scored> = (0..day)
            .map(|at| slot(at, Phase::Borrowed, if at == 9 { 30.0 } else { 0.0 }))
            .collect();
        scored.extend((day..2 * day + 5).map(|at| {
            slot(at, Phase::Own, if at == day + 9 || at == 2 * day + 2 { 30.0 } else { 0.0 })
        }));
        let mut past = Past::default();
        past.add(&7, &scored, MOfN::default());
        assert_eq!(past.machines, [(1, 1), (2, 1)].into());
        let times: Vec<i64> = past.changes.keys().map(|time| time / PERIOD).collect();
        assert_eq!(times, [day + 9, day + 9 + 6]);
        assert_eq!(past.young, [(7, YOUNG * DAY_SECONDS)].into());
        past.add(&8, &[], MOfN::default());
        assert_eq!(past.young.len(), 1);
    }
}
