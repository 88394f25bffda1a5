mod crowd;
mod fleet;

use super::*;
use crate::budget::{Aims, FleetPast, GroupPast};

/// A fleet under test: machine `n` is in group `n / 100`, which has `of` machines; 0 for none.
pub(super) struct Fleet {
    pub(super) incidents: Incidents<u32>,
    open: BTreeMap<u32, Episode>,
    machines: usize,
    of: usize,
}

const MINUTE: i64 = 60;

/// Aims of a fleet and of a group.
impl<F, G> Aims for (F, G)
where
    F: Fn(FleetPast) -> PageLevel,
    G: Fn(PageLevel, GroupPast) -> PageLevel,
{
    fn fleet(&self, past: FleetPast) -> PageLevel {
        self.0(past)
    }

    fn group(&self, fleet: PageLevel, past: GroupPast) -> PageLevel {
        self.1(fleet, past)
    }
}

/// The level `score`, whatever the past.
pub(super) fn always(score: f64) -> impl Aims {
    (move |_: FleetPast| PageLevel::new(score), |fleet: PageLevel, _: GroupPast| fleet)
}

impl Incidents<u32> {
    /// Incidents that are not over: those that have paged, and notices.
    fn open(&self) -> (usize, usize) {
        let paged = self.open.iter().filter(|incident| incident.paged.is_some()).count();
        (paged, self.open.len() - paged)
    }
}

impl Fleet {
    pub(super) fn new(machines: usize, of: usize, level: f64) -> Self {
        let mut incidents = Incidents::default();
        incidents.begin_day(0, machines, &always(level));
        Self { incidents, open: BTreeMap::new(), machines, of }
    }

    pub(super) fn open(&self, id: u32) -> Episode {
        self.open[&id]
    }

    pub(super) fn run(&mut self, now: i64, changes: &[(u32, Change)]) -> Notes<u32> {
        for (id, change) in changes {
            match change {
                Change::Began(episode, _) => drop(self.open.insert(*id, *episode)),
                Change::Ended(..) => drop(self.open.remove(id)),
            }
        }
        let open = &self.open;
        let around = Surroundings {
            now,
            machines: self.machines,
            group: &|id: &u32| (self.of > 0).then(|| ((id / 100).to_string(), self.of)),
            open: &|id| open.get(id).copied(),
            young: &|id| id % 100 >= 50,
        };
        self.incidents.update(changes, &around)
    }

    /// Episodes of `ids` that begin now.
    pub(super) fn begin(&mut self, minutes: i64, ids: &[u32], peak: f64) -> Notes<u32> {
        let episode = Episode::of(minutes * MINUTE, Shape::LevelShift, peak);
        let changes: Vec<_> = ids.iter().map(|&id| (id, Change::Began(episode, None))).collect();
        self.run(minutes * MINUTE, &changes)
    }

    /// The end of the episodes of `ids`.
    pub(super) fn end(&mut self, minutes: i64, ids: &[u32]) -> Notes<u32> {
        let ended =
            |id: &u32| (*id, Change::Ended(self.open[id], End::Recovered, minutes * MINUTE));
        let changes: Vec<_> = ids.iter().map(ended).collect();
        self.run(minutes * MINUTE, &changes)
    }

    /// Lets `id` come back each hour, until it is not told at 180 minutes.
    fn keep_coming_back(&mut self, id: u32) {
        for hour in 0..3 {
            assert_eq!(pages(&self.begin(60 * hour, &[id], 2.0)), 1);
            self.end(60 * hour + 20, &[id]);
        }
        assert_eq!(pages(&self.begin(180, &[id], 2.0)), 0);
    }

    pub(super) fn grow(&mut self, minutes: i64, id: u32, peak: f64) -> Notes<u32> {
        self.open.get_mut(&id).unwrap().peak = peak;
        self.run(minutes * MINUTE, &[])
    }
}

pub(super) fn pages((notes, risen): &Notes<u32>) -> usize {
    notes.iter().chain(risen.iter().map(|(_, note)| note)).filter(|note| note.page).count()
}

#[test]
fn a_weak_anomaly_is_a_notice_until_it_reaches_the_page_level() {
    let mut fleet = Fleet::new(40, 0, 1.6);
    let notes = fleet.begin(0, &[1], 1.3);
    assert_eq!((pages(&notes), notes.0[0].paged), (0, false));
    assert_eq!(pages(&fleet.grow(5, 1, 1.55)), 0);
    let (notes, risen) = fleet.grow(10, 1, 1.6);
    assert_eq!((notes.len(), risen[0].0, risen[0].1.page), (0, 1, true));
    assert_eq!(risen[0].1.first, (1, 0), "the same incident");
    assert_eq!(pages(&fleet.grow(15, 1, 9.0)), 0, "once");
    assert_eq!(fleet.incidents.open(), (1, 0));
    let (over, _) = fleet.end(60, &[1]);
    assert!(over[0].over && over[0].page);
    assert_eq!(fleet.incidents.open(), (0, 0));
    let notes = fleet.begin(100, &[2], 1.3);
    assert_eq!(pages(&notes) + pages(&fleet.end(200, &[2])), 0, "a notice's end, too");
    assert_eq!(pages(&fleet.begin(300, &[3], 1.6)), 1);
}

#[test]
fn machines_without_a_group_are_told_one_by_one() {
    let mut fleet = Fleet::new(100, 0, 1.0);
    assert_eq!(pages(&fleet.begin(0, &[1, 2, 3], 1.5)), 3);
}

#[test]
fn a_group_pages_once_and_is_over_once() {
    let mut fleet = Fleet::new(400, 30, 1.0);
    let first = fleet.begin(0, &[1, 2, 3], 1.5);
    assert_eq!(pages(&first), 1);
    let note = first.0.iter().find(|note| note.page).unwrap();
    assert_eq!((note.joined, note.of, &note.scope), (3, 30, &Scope::Group("0".into())));
    assert_eq!(note.members, [1, 2, 3]);
    assert_eq!(pages(&fleet.begin(10, &[10], 3.5)), 0, "in the beginning all are one");
    fleet.end(20, &[10]);
    let joining = [fleet.begin(35, &[4], 7.0), fleet.begin(55, &[5, 6], 1.2)];
    assert_eq!(joining.iter().map(pages).collect::<Vec<_>>(), [1, 0], "twice as severe");
    let changed: Vec<bool> =
        joining.iter().flat_map(|(notes, _)| notes).map(|n| n.changed).collect();
    assert_eq!(changed, [false, false, false], "the second page said five");
    let more = fleet.begin(60, &[7, 8, 11], 1.2).0;
    assert_eq!(more.iter().filter(|note| note.changed).count(), 1, "ten");
    let late = fleet.begin(100, &[9], 1.2);
    assert_eq!((pages(&late), late.0[0].first), (0, (1, 0)), "a latecomer");
    let other = fleet.begin(100, &[101], 1.2);
    assert_eq!(pages(&other), 1, "another group");
    assert!(fleet.end(110, &[1, 2, 3, 4, 5, 6, 7, 9, 11]).0.iter().all(|note| !note.over));
    let over = fleet.end(120, &[8]).0;
    assert!(over[0].over && over[0].page && over[0].joined == 11);
}

#[test]
fn many_weak_ones_together_are_no_chance() {
    let mut fleet = Fleet::new(400, 9, 2.0);
    assert_eq!(pages(&fleet.begin(0, &[1], 1.5)), 0);
    assert_eq!(pages(&fleet.begin(5, &[2], 1.5)), 0, "two are no large part");
    let third = fleet.begin(10, &[3], 1.5);
    assert_eq!((pages(&third), third.0[0].joined), (1, 3));
    // A part that is smaller than a third begins together by chance.
    let mut fleet = Fleet::new(400, 10, 2.0);
    assert_eq!(pages(&fleet.begin(0, &[1, 2, 3], 1.5)), 0);
    let mut fleet = Fleet::new(400, 200, 2.0);
    assert_eq!(pages(&fleet.begin(0, &[1, 2, 3, 4], 1.5)), 0);
    assert_eq!(pages(&fleet.begin(5, &[5], 2.0)), 1);
}

#[test]
fn what_begins_with_something_worse_joins_it() {
    let mut fleet = Fleet::new(400, 50, 2.0);
    assert_eq!(pages(&fleet.begin(0, &[1], 2.0)), 1);
    let worsened = Change::Ended(fleet.open[&1], End::Worsened, 180 * MINUTE);
    let again = Change::Began(Episode::of(180 * MINUTE, Shape::LevelShift, 9.0), None);
    let other = Change::Began(Episode::of(180 * MINUTE, Shape::LevelShift, 8.0).of_less(), None);
    let notes = fleet.run(180 * MINUTE, &[(1, worsened), (1, again), (2, other)]);
    assert_eq!(pages(&notes), 1, "an outage of machines of which one was unusual before");
    assert_eq!(notes.0[2].first, (1, 0));
}

#[test]
fn what_comes_back_is_recognised_and_a_loop_is_told_three_times() {
    let mut fleet = Fleet::new(40, 0, 1.0);
    let mut told = Vec::new();
    for minutes in (0..600).step_by(60) {
        let begins = fleet.begin(minutes, &[1], 1.5);
        let ends = fleet.end(minutes + 30, &[1]);
        told.push((begins.0[0].times, pages(&begins), pages(&ends)));
        assert_eq!(begins.0[0].loops(), told.len() >= 3);
    }
    assert_eq!(told[..4], [(1, 1, 1), (2, 1, 1), (3, 1, 1), (4, 0, 0)]);
    assert_eq!(told[4..].iter().map(|(_, pages, _)| pages).sum::<usize>(), 0);
    let later = fleet.begin(600 + 7 * 60, &[1], 1.5);
    assert_eq!((pages(&later), later.0[0].times), (1, 11), "after six hours");
    fleet.end(1200, &[1]);
    let next_day = fleet.begin(1200 + 25 * 60, &[1], 1.5);
    assert_eq!((pages(&next_day), next_day.0[0].times), (1, 1));
    // Another shape is another thing, and so is another machine.
    fleet.end(3000, &[1]);
    let mut other = Episode::of(3060 * MINUTE, Shape::Flatline, 1.5);
    assert_eq!(fleet.run(3060 * MINUTE, &[(1, Change::Began(other, None))]).0[0].times, 1);
    other.shape = Shape::LevelShift;
    assert_eq!(fleet.run(3060 * MINUTE, &[(2, Change::Began(other, None))]).0[0].times, 1);
}

#[test]
fn an_episode_that_gets_much_worse_pages_again_in_the_same_incident() {
    let mut fleet = Fleet::new(40, 0, 1.0);
    fleet.begin(0, &[1], 1.5);
    let worse = Episode::of(60 * MINUTE, Shape::Spike, 4.0);
    let changes = [
        (1, Change::Ended(fleet.open[&1], End::Worsened, 60 * MINUTE)),
        (1, Change::Began(worse, None)),
    ];
    let notes = fleet.run(60 * MINUTE, &changes).0;
    assert_eq!(
        notes.iter().map(|note| (note.page, note.over)).collect::<Vec<_>>(),
        [(false, false), (true, false)]
    );
    assert_eq!(notes[1].first, (1, 0));
}

#[test]
fn late_datapoints_in_one_run_lose_no_page() {
    let mut fleet = Fleet::new(40, 0, 1.6);
    let [weak, strong] = [1.2, 3.0].map(|peak| Episode::of(0, Shape::Spike, peak));
    let changes =
        [(1, Change::Began(weak, None)), (1, Change::Ended(strong, End::Recovered, 40 * MINUTE))];
    let notes = fleet.run(60 * MINUTE, &changes).0;
    assert!(notes[0].page && notes[1].page && notes[1].over, "{notes:?}");
    // It had begun as a notice before.
    fleet.begin(100, &[2], 1.2);
    fleet.open.get_mut(&2).unwrap().peak = 3.0;
    let notes = fleet.end(160, &[2]).0;
    assert!(notes[0].page && notes[0].over);
}

#[test]
fn a_machine_whose_usual_is_still_learnt_needs_more_for_a_page() {
    let mut fleet = Fleet::new(40, 0, 1.5);
    let young = fleet.begin(0, &[50], 2.2);
    assert_eq!((pages(&young), young.0[0].level.value(), young.0[0].strict), (0, 2.25, true));
    assert_eq!(pages(&fleet.grow(5, 50, 2.25)), 1);
    // A deviation that has become usual, and what follows from it.
    assert_eq!(pages(&fleet.begin(0, &[1], 1.6)), 1);
    let day = DAY_SECONDS / MINUTE;
    let usual = Change::Ended(fleet.open[&1], End::BecameUsual, day * MINUTE);
    fleet.run(day * MINUTE, &[(1, usual)]);
    assert_eq!(pages(&fleet.begin(2 * day, &[1], 1.6)), 0);
    fleet.end(2 * day + 60, &[1]);
    assert_eq!(pages(&fleet.begin(8 * day, &[1], 1.6)), 1, "after a week");
    let mut off = Fleet::new(40, 0, 1.0);
    assert_eq!(pages(&off.begin(0, &[50], 1.0)), 1, "where each anomaly pages");
}

#[test]
fn stopped_machines_page_whatever_the_level() {
    let mut fleet = Fleet::new(40, 0, 5.0);
    let stopped = Episode::of(0, Shape::Stopped, 1.0);
    assert_eq!(pages(&fleet.run(0, &[(1, Change::Began(stopped, None))])), 1);
}

#[test]
fn a_day_counts_what_the_next_page_level_rests_on() {
    let mut fleet = Fleet::new(50, 0, 1.6);
    for minutes in (0..300).step_by(60) {
        fleet.begin(minutes, &[1, 2], if minutes == 0 { 3.0 } else { 1.2 });
        fleet.end(minutes + 30, &[1, 2]);
    }
    let day = DAY_SECONDS;
    let same = |fleet: PageLevel, _: GroupPast| fleet;
    let never = |_: FleetPast| unreachable!("the same day");
    fleet.incidents.begin_day(300 * MINUTE, 70, &(never, same));
    let aim = |past: FleetPast| {
        assert_eq!(past, FleetPast { machines: 60, low: 8, machine_weeks: 10.0 });
        PageLevel::new(3.0)
    };
    fleet.incidents.begin_day(day, 60, &(aim, same));
    assert_eq!(fleet.incidents.level().value(), 1.95, "at most a fifth a day, in steps");
    let long_after = |past: FleetPast| {
        assert_eq!((past.low, past.machine_weeks), (0, 0.0));
        PageLevel::new(1.7)
    };
    fleet.incidents.begin_day(40 * day, 60, &(long_after, same));
    assert_eq!(fleet.incidents.level().value(), 1.7);
}

#[test]
fn a_group_that_comes_near_the_page_level_often_has_a_higher_one() {
    let mut fleet = Fleet::new(400, 50, 4.0);
    let day = DAY_SECONDS / MINUTE;
    // Of group 0: five that are near, one that pages, one that is far below. Of group 1: a young
    // machine, whose score counts as its root.
    for (hour, peak) in (0..).zip([2.0, 2.5, 3.0, 3.5, 3.9, 4.0, 1.9]) {
        let id = 10 + hour as u32;
        assert_eq!(pages(&fleet.begin(60 * hour, &[id], peak)), usize::from(peak >= 4.0));
        fleet.end(60 * hour + 30, &[id]);
    }
    fleet.begin(600, &[160], 3.0);
    fleet.end(630, &[160]);
    let aim = |past: GroupPast| {
        assert_eq!(past, GroupPast { near: 5, machine_weeks: 50.0 * (1.0 / 7.0) });
        PageLevel::new(9.0)
    };
    let begin = |fleet: &mut Fleet, days: i64, of_group: &dyn Fn(GroupPast) -> PageLevel| {
        let of_fleet = |_: FleetPast| PageLevel::new(4.0);
        let aim = |_: PageLevel, past: GroupPast| of_group(past);
        fleet.incidents.begin_day(days * DAY_SECONDS, 400, &(of_fleet, aim));
    };
    begin(&mut fleet, 1, &aim);
    let of_group = |fleet: &Fleet| {
        let above = fleet.incidents.restless().above(fleet.incidents.level());
        above.map(|(name, level)| (name.to_string(), level.value())).collect::<Vec<_>>()
    };
    assert_eq!(of_group(&fleet), [("0".to_string(), 4.8)], "a fifth higher on each day");
    let notes = fleet.begin(day + 10, &[4, 104], 4.5);
    let paged: Vec<(u32, f64)> = notes
        .0
        .iter()
        .filter(|note| note.page)
        .map(|note| (note.first.0, note.level.value()))
        .collect();
    assert_eq!(paged, [(104, 4.0)], "the same score pages in another group");
    assert_eq!(pages(&fleet.begin(day + 60, &[5], 4.8)), 1);
    fleet.end(day + 90, &[4, 5, 104]);
    // Two weeks later it is as calm as others, and comes down as slowly.
    let calm = |past: GroupPast| {
        assert_eq!(past.near, 0);
        PageLevel::new(4.0)
    };
    for days in 17..22 {
        begin(&mut fleet, days, &calm);
    }
    assert_eq!(of_group(&fleet), []);
}

#[test]
fn machines_that_are_forgotten_leave_no_incident_behind() {
    let mut fleet = Fleet::new(40, 0, 1.0);
    fleet.begin(0, &[1], 1.5);
    fleet.open.clear();
    fleet.run(300, &[]);
    let (labels, weekly) = (fleet.incidents.labels.clone(), fleet.incidents.weekly.clone());
    assert_eq!(
        fleet.incidents,
        Incidents {
            labels,
            weekly,
            days: fleet.incidents.days.clone(),
            level: Some(PageLevel::new(1.0)),
            ..Incidents::default()
        }
    );
    // An episode that an earlier build told of.
    fleet.open.insert(2, Episode::of(0, Shape::Spike, 2.0));
    let notes = fleet.end(60, &[2]).0;
    assert!(notes[0].over && notes[0].page);
}

#[test]
fn a_latecomer_of_a_group_that_deviates_the_same_way_joins_and_another_does_not() {
    let begun = || {
        let mut fleet = Fleet::new(40, 10, 1.0);
        assert_eq!(pages(&fleet.begin(0, &[10, 11], 2.0)), 1);
        fleet
    };
    let mut fleet = begun();
    let notes = fleet.begin(200, &[12], 2.5);
    assert_eq!(pages(&notes), 0);
    assert_eq!((notes.0[0].joined, notes.0[0].first), (3, (10, 0)));
    assert_eq!(pages(&fleet.begin(300, &[13], 5.0)), 1, "twice as bad is told");
    assert_eq!(pages(&begun().begin(23 * 60, &[12], 2.5)), 0, "people were told of them");
    assert_eq!(pages(&begun().begin(24 * 60, &[12], 2.5)), 1, "a day later it is another one");
    assert_eq!(pages(&begun().begin(200, &[125], 2.5)), 1, "of another group");
    let mut fleet = begun();
    let less = Episode::of(200 * MINUTE, Shape::Drop, 2.5).of_less();
    assert_eq!(pages(&fleet.run(200 * MINUTE, &[(12, Change::Began(less, None))])), 1);
    let mut fleet = begun();
    fleet.end(100, &[10, 11]);
    assert_eq!(pages(&fleet.begin(200, &[12], 2.5)), 1, "the others are back");
    let mut fleet = Fleet::new(40, 10, 1.0);
    fleet.begin(0, &[10], 2.0);
    assert_eq!(pages(&fleet.begin(200, &[12], 2.5)), 1, "one machine is no group");
}

#[test]
fn what_stops_in_an_incident_that_was_told_is_told() {
    let mut fleet = Fleet::new(400, 60, 2.0);
    assert_eq!(pages(&fleet.begin(0, &[1, 2], 3.0)), 1);
    let stops = |minutes: i64, id: u32| {
        let episode = Episode::of(minutes * MINUTE, Shape::Stopped, 1.0);
        (id, Change::Began(episode, None))
    };
    let other = Episode::of(10 * MINUTE, Shape::Spike, 5.0);
    let (notes, _) = fleet.run(10 * MINUTE, &[(5, Change::Began(other, None)), stops(10, 3)]);
    assert_eq!(notes.iter().map(|note| note.page).collect::<Vec<_>>(), [false, true]);
    assert_eq!(pages(&fleet.run(20 * MINUTE, &[stops(20, 4)])), 0, "once");
    assert_eq!(fleet.incidents.open(), (1, 0));
}
