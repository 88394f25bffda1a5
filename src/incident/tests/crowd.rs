//! Crowds that join an incident of which a person knows.

use super::*;

#[test]
fn a_crowd_that_joins_late_is_told_and_a_few_are_not() {
    let begun = |level: f64| {
        let mut fleet = Fleet::new(400, 60, level);
        assert_eq!(pages(&fleet.begin(0, &[1, 2], 2.5)), 1);
        fleet
    };
    let crowd: Vec<u32> = (3..12).collect();
    let mut fleet = begun(1.0);
    assert_eq!(pages(&fleet.begin(200, &crowd[..4], 3.0)), 0, "six, of which two were told");
    assert_eq!(pages(&fleet.begin(205, &crowd[4..], 3.0)), 1, "eleven");
    assert_eq!(pages(&fleet.begin(210, &[20, 21], 3.0)), 0, "once");
    assert_eq!(pages(&begun(1.0).begin(20, &crowd, 3.0)), 0, "in its first half hour it is one");
    assert_eq!(pages(&begun(1.0).begin(20, &crowd, 9.0)), 1, "but it was told of something mild");
    // Too weak for a page of their own, at first.
    let mut fleet = begun(2.0);
    assert_eq!(pages(&fleet.begin(200, &crowd, 1.5)), 0);
    assert_eq!(pages(&fleet.grow(205, 5, 3.0)), 1);
    assert_eq!(pages(&fleet.grow(210, 6, 3.0)), 0);
    // After a run that was held up.
    let mut fleet = begun(1.0);
    let late = Episode::of(200 * MINUTE, Shape::LevelShift, 3.0);
    let late: Vec<_> = crowd.iter().map(|&id| (id, Change::Began(late, None))).collect();
    assert_eq!(pages(&fleet.run(250 * MINUTE, &late)), 1);
    // What stops has no score.
    let mut fleet = begun(2.0);
    let stopped = Episode::of(200 * MINUTE, Shape::Stopped, 1.0);
    let stopped: Vec<_> = crowd.iter().map(|&id| (id, Change::Began(stopped, None))).collect();
    assert_eq!(pages(&fleet.run(200 * MINUTE, &stopped)), 1);
}

#[test]
fn a_small_group_that_goes_down_late_is_told() {
    let mut fleet = Fleet::new(400, 10, 1.0);
    assert_eq!(pages(&fleet.begin(0, &[1, 2], 2.5)), 1);
    assert_eq!(pages(&fleet.begin(300, &[3, 4, 5, 6, 7, 8, 9], 3.0)), 1);
    assert_eq!(pages(&fleet.begin(310, &[10], 3.0)), 0);
}

#[test]
fn a_crowd_of_the_first_half_hour_that_gets_worse_is_told() {
    let mut fleet = Fleet::new(400, 60, 1.0);
    assert_eq!(pages(&fleet.begin(0, &[1, 2], 2.5)), 1);
    let crowd: Vec<u32> = (3..49).collect();
    assert_eq!(pages(&fleet.begin(20, &crowd, 3.0)), 0);
    assert_eq!(pages(&fleet.grow(25, 5, 30.0)), 1);
    assert_eq!(pages(&fleet.grow(30, 6, 90.0)), 0);
}

#[test]
fn a_machine_that_keeps_coming_back_does_not_silence_its_group() {
    let mut fleet = Fleet::new(400, 30, 1.0);
    fleet.keep_coming_back(1);
    assert_eq!(pages(&fleet.begin(185, &[2, 3, 4], 2.0)), 1);
}

#[test]
fn an_incident_has_changed_each_time_that_it_doubles() {
    let mut fleet = Fleet::new(400, 60, 2.0);
    let changed = (0..20).map(|id| {
        let notes = fleet.begin(5 * i64::from(id), &[id], 1.1).0;
        assert!(!notes[0].paged);
        notes[0].changed
    });
    let changed: Vec<usize> =
        changed.enumerate().filter(|(_, changed)| *changed).map(|(at, _)| at + 1).collect();
    assert_eq!(changed, [4, 8, 16], "a notice of one");
}
