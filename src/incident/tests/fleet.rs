//! Incidents of the whole fleet.

use super::*;
use crate::incident::one::STORM;

#[test]
fn a_large_part_of_the_fleet_is_one_incident() {
    let ids: Vec<u32> = (0..8).map(|group| group * 100).collect();
    let mut fleet = Fleet::new(40, 5, 1.0);
    assert_eq!(pages(&fleet.begin(0, &ids[..3], 2.0)), 3);
    let whole = fleet.begin(5, &ids[3..], 3.0);
    assert_eq!(pages(&whole), 0, "three of eight were told");
    let note = whole.0.iter().find(|note| note.changed).unwrap();
    assert_eq!((&note.scope, note.joined, note.of, note.paged), (&Scope::Fleet, 8, 40, true));
    assert_eq!(pages(&fleet.begin(10, &[1, 101], 2.0)), 0, "they join");
    assert!(fleet.end(60, &ids).0.iter().all(|note| !note.over));
    let over = fleet.end(60, &[1, 101]).0;
    assert_eq!(over.iter().filter(|note| note.over && note.page).count(), 1);
    // A small part, but more pages than a person can read.
    let mut fleet = Fleet::new(10_000, 5, 1.5);
    let ids: Vec<u32> = (0..STORM as u32).map(|group| group * 100).collect();
    assert_eq!(pages(&fleet.begin(0, &ids, 2.0)), 1);
    // Notices are no storm.
    let mut fleet = Fleet::new(10_000, 5, 1.5);
    assert_eq!(pages(&fleet.begin(0, &ids, 1.2)), 0);
    assert_eq!(fleet.incidents.open(), (0, STORM));
}

#[test]
fn an_incident_of_the_fleet_is_told_again_if_a_small_part_of_it_was_told() {
    let ids: Vec<u32> = (0..10).map(|group| group * 100).collect();
    for (told, again) in [(0, 1), (1, 1), (2, 0)] {
        let mut fleet = Fleet::new(40, 5, 1.0);
        fleet.begin(0, &ids[..told], 2.0);
        assert_eq!(pages(&fleet.begin(10, &ids[told..], 2.0)), again, "{told} of ten");
    }
    // What pages for hours says nothing of it.
    let mut fleet = Fleet::new(40, 5, 1.0);
    fleet.begin(0, &ids[..2], 2.0);
    assert_eq!(pages(&fleet.begin(40, &ids[2..], 2.0)), 1);
}

#[test]
fn what_gets_strong_enough_beside_an_incident_of_the_fleet_joins_it() {
    let begun = || {
        let mut fleet = Fleet::new(10_000, 5, 2.0);
        let ids: Vec<u32> = (0..STORM as u32).map(|group| group * 100).collect();
        fleet.begin(0, &[5000, 5001], 1.5);
        assert_eq!(pages(&fleet.begin(0, &ids, 3.0)), 1);
        fleet
    };
    let mut fleet = begun();
    let worse = fleet.grow(10, 5000, 3.0);
    assert_eq!((pages(&worse), fleet.incidents.open()), (0, (1, 0)));
    let mut fleet = begun();
    assert_eq!(pages(&fleet.grow(40, 5000, 3.0)), 1, "it began much earlier than it rose");
}

#[test]
fn a_part_that_grows_to_most_of_the_fleet_is_told_again() {
    // No groups, and the rest comes in two runs.
    let mut fleet = Fleet::new(15, 0, 1.0);
    let rest: Vec<u32> = (4..15).collect();
    let told = [
        pages(&fleet.begin(0, &[1], 2.0)),
        pages(&fleet.begin(5, &[2, 3], 2.0)),
        pages(&fleet.begin(10, &rest, 2.0)),
        pages(&fleet.begin(15, &[15], 2.0)),
    ];
    assert_eq!(told, [1, 0, 1, 0]);
}

#[test]
fn a_second_outage_within_two_hours_is_told() {
    let mut fleet = Fleet::new(20, 0, 1.0);
    assert_eq!(pages(&fleet.begin(0, &[0, 1, 2, 3], 3.0)), 1);
    let second: Vec<u32> = (4..16).collect();
    assert_eq!(pages(&fleet.begin(60, &second, 5.0)), 1);
}

#[test]
fn a_message_that_was_not_sent_is_not_known() {
    let mut fleet = Fleet::new(10, 0, 1.0);
    fleet.keep_coming_back(1);
    assert_eq!(pages(&fleet.begin(185, &[2, 3], 2.0)), 1);
}

#[test]
fn a_storm_pages_whatever_else_begins_with_it() {
    let mut fleet = Fleet::new(10_000, 5, 6.0);
    // The last one is young, and a notice.
    let all = [0, 100, 200, 300, 400, 550];
    let begun = all.map(|id| {
        let peak = if id == 550 { 1.2 } else { 7.0 };
        (id, Change::Began(Episode::of(0, Shape::Spike, peak), None))
    });
    let notes = fleet.run(0, &begun);
    let paged: Vec<_> = notes.0.iter().filter(|note| note.page).collect();
    assert_eq!((paged.len(), &paged[0].scope, paged[0].joined), (1, &Scope::Fleet, 5));
    // The young one begins last, and a fifth of the fleet is at it.
    let mut fleet = Fleet::new(20, 5, 6.0);
    assert_eq!(pages(&fleet.run(0, &begun)), 1);
}

#[test]
fn a_storm_that_comes_back_is_told_three_times() {
    let mut fleet = Fleet::new(10_000, 5, 2.0);
    let ids: Vec<u32> = (0..STORM as u32).map(|group| group * 100).collect();
    let told = (0..6).map(|hour| {
        let paged = pages(&fleet.begin(60 * hour, &ids, 3.0));
        fleet.end(60 * hour + 20, &ids);
        paged
    });
    assert_eq!(told.collect::<Vec<_>>(), [1, 1, 1, 0, 0, 0]);
}

#[test]
fn pages_of_hours_ago_are_no_storm_however_many_join_them() {
    let mut fleet = Fleet::new(10_000, 50, 2.0);
    let begin = |group: i64| {
        let first = 100 * group as u32;
        pages(&fleet.begin(40 * group, &[first, first + 1], 3.0))
    };
    let told: usize = (0..5).map(begin).sum();
    let more: Vec<u32> = (0..5).map(|group| 100 * group + 2).collect();
    let notes = fleet.begin(180, &more, 2.5);
    assert_eq!((told, pages(&notes)), (5, 0));
}

#[test]
fn what_stops_in_an_incident_of_the_fleet_pages() {
    let mut fleet = Fleet::new(10_000, 5, 2.0);
    let ids: Vec<u32> = (0..20).map(|group| group * 100).collect();
    fleet.begin(0, &ids, 3.0);
    let stopped = Change::Began(Episode::of(600, Shape::Stopped, 1.0), None);
    let notes = fleet.run(600, &[(5000, stopped)]);
    assert_eq!(pages(&notes), 1);
}

#[test]
fn an_incident_of_the_fleet_does_not_swallow_what_comes_later() {
    let mut fleet = Fleet::new(10_000, 5, 2.0);
    let ids: Vec<u32> = (0..20).map(|group| group * 100).collect();
    assert_eq!(pages(&fleet.begin(0, &ids, 3.0)), 1);
    // In a large fleet, an episode begins every few minutes.
    let told = (1..=12).map(|number| {
        let minutes = 20 * i64::from(number);
        (minutes, pages(&fleet.begin(minutes, &[5000 + 100 * number], 3.0)))
    });
    let told: Vec<_> = told.filter(|(_, pages)| *pages > 0).map(|(minutes, _)| minutes).collect();
    assert_eq!(told, [140, 160, 180, 200, 220, 240], "two hours later");
}
