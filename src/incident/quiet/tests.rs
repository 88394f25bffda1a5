use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::episode::{Change, End, Episode};
use crate::incident::tests::always;
use crate::incident::{Incidents, Note, Surroundings};

const DAY: i64 = DAY_SECONDS;

/// Machines `n` of the group `n / 10`. Two machines: they are no large part of this fleet.
#[derive(Default)]
struct Fleet {
    incidents: Incidents<u32>,
    open: BTreeMap<u32, Episode>,
}

impl Fleet {
    fn run(&mut self, now: i64, changes: &[(u32, Change)]) -> Vec<Note<u32>> {
        let open = &self.open;
        let around = Surroundings {
            now,
            machines: 1000,
            group: &|id: &u32| Some(((id / 10).to_string(), 10)),
            open: &|id| open.get(id).copied(),
            young: &|_| false,
        };
        let (notes, risen) = self.incidents.update(changes, &around);
        notes.into_iter().chain(risen.into_iter().map(|(_, note)| note)).collect()
    }

    fn begin_as(&mut self, now: i64, ids: &[u32], shape: Shape, peak: f64) -> Vec<Note<u32>> {
        let episode = Episode::of(now, shape, peak);
        self.open.extend(ids.iter().map(|&id| (id, episode)));
        let changes: Vec<_> = ids.iter().map(|&id| (id, Change::Began(episode, None))).collect();
        self.run(now, &changes)
    }

    /// Whether drifts of these machines page when they begin.
    fn begin(&mut self, now: i64, ids: &[u32], peak: f64) -> bool {
        pages(&self.begin_as(now, ids, Shape::Drift, peak))
    }

    fn grow(&mut self, now: i64, id: u32, peak: f64) -> bool {
        self.open.get_mut(&id).unwrap().peak = peak;
        pages(&self.run(now, &[]))
    }

    fn end(&mut self, now: i64) -> Vec<Note<u32>> {
        let ended = std::mem::take(&mut self.open).into_iter();
        let changes: Vec<_> =
            ended.map(|(id, it)| (id, Change::Ended(it, End::Recovered, now))).collect();
        self.run(now, &changes)
    }

    fn label(&mut self, first: (u32, i64), now: i64) -> Result<Quiet<u32>, NotPaged> {
        self.incidents.labels_mut().label(&first, now).cloned()
    }

    /// A page of a drift of `ids` with the score 3.0 that is labelled, and over after an hour.
    fn labelled(ids: &[u32]) -> Self {
        let mut fleet = Self::default();
        assert!(fleet.begin(0, ids, 3.0));
        fleet.label((ids[0], 0), 60).unwrap();
        fleet.end(3600);
        fleet
    }
}

fn pages(notes: &[Note<u32>]) -> bool {
    notes.iter().any(|note| note.page)
}

#[test]
fn the_same_is_quiet_for_two_weeks_and_is_still_told_to_machines() {
    let mut fleet = Fleet::labelled(&[1]);
    for day in 1..14 {
        let notes = fleet.begin_as(day * DAY, &[1], Shape::Drift, 5.9);
        assert_eq!((pages(&notes), notes[0].paged), (false, false), "a notice, on day {day}");
        assert!(!pages(&fleet.end(day * DAY + 3600)), "its end is one, too");
    }
    assert_eq!(fleet.incidents.labels().quiet(14 * DAY).len(), 1);
    assert!(!fleet.begin(LASTS, &[1], 3.0), "before its end");
    fleet.run(LASTS + 300, &[]);
    assert!(!fleet.grow(LASTS + 600, 1, 3.1), "what began before goes on");
    assert_eq!(fleet.incidents.labels().quiet(LASTS + 60), [] as [&Quiet<u32>; 0]);
    fleet.end(LASTS + 3600);
    assert!(fleet.begin(LASTS + 2 * DAY + 7200, &[1], 3.0), "after it");
}

#[test]
fn what_is_worse_or_otherwise_pages() {
    let mut fleet = Fleet::labelled(&[1]);
    assert!(fleet.begin(DAY, &[1], 6.0), "twice as bad");
    let mut fleet = Fleet::labelled(&[1]);
    assert!(!fleet.begin(DAY, &[1], 2.0));
    assert!(!fleet.grow(DAY + 300, 1, 5.9) && fleet.grow(DAY + 600, 1, 6.0), "once it is");
    assert!(!fleet.grow(DAY + 900, 1, 7.0), "once");
    let mut fleet = Fleet::labelled(&[1]);
    assert!(pages(&fleet.begin_as(DAY, &[1], Shape::Spike, 2.0)), "another shape");
    let mut fleet = Fleet::labelled(&[1]);
    assert!(fleet.begin(DAY, &[2], 2.0), "another machine");
    let mut fleet = Fleet::labelled(&[1]);
    assert!(fleet.begin(DAY, &[1, 2], 2.0), "several of its group");
}

#[test]
fn a_quiet_group_includes_its_machines_and_no_machine_that_stops() {
    let mut fleet = Fleet::labelled(&[11, 12]);
    assert!(!fleet.begin(DAY, &[11, 13, 14], 5.0), "the group");
    fleet.end(DAY + 3600);
    assert!(!fleet.begin(2 * DAY, &[15], 5.0), "one of it alone");
    fleet.end(2 * DAY + 3600);
    assert!(fleet.begin(3 * DAY, &[21], 5.0), "one of another");
    fleet.end(3 * DAY + 3600);
    assert!(!fleet.begin(4 * DAY, &[11], 2.0));
    assert!(pages(&fleet.begin_as(4 * DAY + 300, &[12], Shape::Stopped, 1.0)), "it stops");
}

#[test]
fn a_label_of_what_lasts_keeps_it_from_paging_again() {
    let mut fleet = Fleet::default();
    assert!(fleet.begin(0, &[11], 3.0));
    fleet.grow(300, 11, 4.0);
    assert_eq!(fleet.label((11, 0), 600).unwrap().peak, 4.0);
    assert!(!fleet.begin(900, &[12], 7.0), "twice its page, and not of the label");
    assert!(!pages(&fleet.run(1200, &[])));
    let over = fleet.end(3600);
    assert!(over.iter().any(|note| note.over && note.page), "its end answers its beginning");
}

#[test]
fn a_label_again_changes_nothing_unless_it_has_got_worse() {
    let mut fleet = Fleet::labelled(&[1]);
    let first = fleet.label((1, 0), 60).unwrap();
    assert_eq!(first.until, 60 + LASTS);
    let before = fleet.incidents.clone();
    assert_eq!(fleet.label((1, 0), DAY), Ok(first));
    assert_eq!(fleet.incidents, before);
    assert!(fleet.begin(DAY, &[1], 9.0), "worse");
    let worse = fleet.label((1, DAY), DAY + 60).unwrap();
    assert_eq!((worse.peak, worse.until), (9.0, DAY + 60 + LASTS));
    assert_eq!(fleet.incidents.labels().quiet(2 * DAY), [&worse], "one in place of the other");
    let once_more = fleet.label((1, 0), DAY + 120).unwrap();
    assert_eq!(once_more.peak, 9.0, "the weaker one takes nothing back");
}

#[test]
fn a_label_can_be_taken_back() {
    let mut fleet = Fleet::labelled(&[1]);
    assert!(!fleet.begin(DAY, &[1], 3.0));
    fleet.incidents.labels_mut().take_back(&(1, 0), DAY + 60).unwrap();
    assert!(pages(&fleet.run(DAY + 300, &[])), "what is quiet then pages");
    fleet.incidents.labels_mut().take_back(&(1, DAY), DAY + 600).unwrap();
    assert_eq!(fleet.incidents.labels_mut().take_back(&(1, 1), DAY), Err(NotPaged));
}

#[test]
fn only_what_has_paged_lately_is_labelled() {
    let mut fleet = Fleet::default();
    fleet.incidents.begin_day(0, 1000, &always(2.0));
    assert!(!fleet.begin(0, &[1], 1.5));
    assert_eq!(fleet.label((1, 0), 60), Err(NotPaged), "a notice");
    assert_eq!(fleet.label((2, 0), 60), Err(NotPaged));
    fleet.end(3600);
    assert!(fleet.begin(DAY, &[1], 3.0));
    fleet.end(DAY + 3600);
    let last = DAY + 3600 + LASTS;
    assert_eq!(fleet.clone_incidents().labels_mut().label(&(1, DAY), last + 1), Err(NotPaged));
    assert!(fleet.label((1, DAY), last).is_ok());
}

impl Fleet {
    fn clone_incidents(&self) -> Incidents<u32> {
        self.incidents.clone()
    }
}

#[test]
fn another_division_of_the_fleet_knows_the_labels_of_its_machines_and_of_all_groups() {
    let mut fleet = Fleet::labelled(&[1]);
    assert!(fleet.begin(DAY, &[11, 12], 3.0));
    fleet.label((11, DAY), DAY + 60).unwrap();
    let (mut own, mut others) = (Incidents::default(), Incidents::default());
    for _ in 0..2 {
        own.take_over(fleet.incidents.clone(), |&id| id == 1);
        others.take_over(fleet.incidents.clone(), |&id| id != 1);
    }
    assert_eq!((own.labels().quiet(DAY).len(), others.labels().quiet(DAY).len()), (2, 1));
    assert!(own.labels_mut().label(&(1, 0), DAY).is_ok());
    assert_eq!(others.labels_mut().label(&(1, 0), DAY), Err(NotPaged));
}

proptest! {
    /// Whatever is labelled, an incident pages where it is at least twice as bad as all labels say,
    /// and what is remembered is bounded.
    #[test]
    fn what_is_twice_as_bad_as_all_that_is_known_always_pages(
        peaks in prop::collection::vec((0u32..30, 1.0f64..50.0, any::<bool>()), 1..60),
        last in 0u32..30,
    ) {
        let mut fleet = Fleet::default();
        let mut now = 0;
        for (id, peak, labelled) in peaks {
            now += DAY / 2;
            let paged = fleet.begin(now, &[id], peak);
            if labelled && paged {
                fleet.label((id, now), now + 60).unwrap();
            }
            fleet.end(now + 3600);
        }
        prop_assert!(fleet.begin(now + 2 * DAY, &[last], 100.0));
        let Labels { paged, quiet } = fleet.incidents.labels();
        prop_assert!(paged.len() <= MOST && quiet.len() <= 30);
    }
}

#[test]
fn a_year_of_pages_is_bounded() {
    let mut fleet = Fleet::default();
    for number in 0..MOST as i64 + 100 {
        let (id, now) = ((number * 10) as u32, number * 600);
        assert!(fleet.begin(now, &[id], 3.0));
        fleet.label((id, now), now).unwrap();
        fleet.end(now + 60);
    }
    let Labels { paged, quiet } = fleet.incidents.labels();
    assert_eq!((paged.len(), quiet.len()), (MOST, MOST));
    assert_eq!(fleet.label((0, 0), 0), Err(NotPaged), "the oldest is given up");
}

#[test]
fn the_label_is_of_the_strongest_shape_and_not_of_the_first() {
    let mut fleet = Fleet::default();
    fleet.begin_as(0, &[11], Shape::UnusualHour, 1.2);
    assert!(!pages(&fleet.begin_as(300, &[12], Shape::Spike, 4.0)), "it joins");
    assert_eq!(fleet.label((11, 0), 600).unwrap().shape, Shape::Spike);
    fleet.end(3600);
    assert!(!pages(&fleet.begin_as(2 * DAY, &[12, 13], Shape::Spike, 4.0)), "the same again");
    fleet.end(2 * DAY + 3600);
    assert!(pages(&fleet.begin_as(4 * DAY, &[12, 13], Shape::UnusualHour, 1.2)));
}
