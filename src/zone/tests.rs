use super::*;

const HOUR: i64 = 3600;

/// Half an hour to an hour ahead, in spring and back in autumn, as Lord Howe Island does.
const SPRING: i64 = 1000 * DAY_SECONDS + HOUR;
const AUTUMN: i64 = 1200 * DAY_SECONDS + HOUR;

/// A clock that goes from `winter` to `summer` (minutes ahead of UTC) at [`SPRING`], and back at
/// [`AUTUMN`].
fn zone([winter, summer]: [i32; 2]) -> Zone {
    let change = |time, minutes: i32| Change { time, offset: 60 * minutes };
    Zone::new(60 * winter, [change(AUTUMN, winter), change(SPRING, summer)])
}

#[test]
fn utc_has_no_changes() {
    let utc = Zone::utc();
    for time in [-1, 0, SPRING, i64::MAX / 2] {
        assert_eq!((utc.local(time), utc.days_before(time, 7)), (time, time - 7 * DAY_SECONDS));
        assert_eq!(utc.as_on(0, time), time);
    }
    assert_eq!(Zone::new(0, [Change { time: 5, offset: 0 }]), utc, "a change of nothing");
}

#[test]
fn the_clock_says_the_same_a_day_before() {
    // Berlin, New York, Sydney (whose summer is the north's winter), and Lord Howe Island.
    for minutes in [[60, 120], [-300, -240], [660, 600], [660, 630]] {
        let (zone, moved) = (zone(minutes), 60 * i64::from(minutes[1] - minutes[0]));
        for (change, ahead) in [(SPRING, moved), (AUTUMN, -moved)] {
            assert_eq!(zone.local(change) - zone.local(change - 1), 1 + ahead);
            // From the day after the change, two hours after it: a day of 23 or 25 hours.
            let time = change + DAY_SECONDS - 4 * HOUR;
            assert_eq!(zone.local(zone.days_before(time, 1)), zone.local(time) - DAY_SECONDS);
            assert_eq!(zone.days_before(time, 1), time - DAY_SECONDS + ahead);
            assert_eq!(zone.days_before(time, 14), time - 14 * DAY_SECONDS + ahead);
            // Before the change and long after it, a day has 24.
            for time in [change - 1, change + 3 * DAY_SECONDS] {
                assert_eq!(zone.days_before(time, 1), time - DAY_SECONDS);
            }
        }
    }
}

#[test]
fn an_hour_that_is_left_out_or_comes_twice_has_one_answer() {
    let zone = zone([60, 120]);
    // 02:30 on the day of the change is no time: without the change, it would have been this one.
    let next = SPRING + DAY_SECONDS - HOUR / 2;
    assert_eq!(zone.local(next).rem_euclid(DAY_SECONDS), 5 * HOUR / 2);
    assert_eq!(zone.days_before(next, 1), SPRING + HOUR / 2);
    // 02:30 comes twice: the second is meant.
    let next = AUTUMN + DAY_SECONDS + HOUR / 2;
    assert_eq!(zone.days_before(next, 1), AUTUMN + HOUR / 2);
    assert_eq!(zone.local(AUTUMN + HOUR / 2), zone.local(AUTUMN - HOUR / 2));
}

#[test]
fn a_part_of_a_clock_says_the_same_within_it() {
    let zone = zone([60, 120]);
    let times = SPRING - DAY_SECONDS..SPRING + DAY_SECONDS;
    let part = zone.between(times.start, times.end);
    for time in times.step_by(PERIOD as usize) {
        assert_eq!(part.offset(time), zone.offset(time));
    }
    assert!(zone.changes_in(SPRING - 1, SPRING + 1) && !zone.changes_in(SPRING, AUTUMN));
    assert_eq!(zone.between(SPRING, AUTUMN), Zone::new(7200, []));
}

#[test]
fn history_is_put_where_the_clock_of_the_day_shows_it() {
    let point = |time: i64| Datapoint { time, value: time as f64 };
    for (change, ahead) in [(SPRING, HOUR), (AUTUMN, -HOUR)] {
        let start = change - DAY_SECONDS;
        let times = (start..start + 2 * DAY_SECONDS).step_by(PERIOD as usize);
        let (history, _) = Series::from_datapoints(times.map(point)).expect("usable");
        let zone = zone([60, 120]);
        let aligned = zone.aligned(&history, history.end()).expect("some");
        assert_eq!(aligned.end(), history.end());
        assert_eq!(aligned.at(change + 3 * HOUR), Some((change + 3 * HOUR) as f64));
        let before = change - 3 * HOUR;
        assert_eq!(aligned.at(before - ahead), Some(before as f64));
        match ahead > 0 {
            true => assert_eq!(aligned.at(change - HOUR / 2), None, "an hour that never was"),
            false => assert_eq!(
                aligned.at(change + HOUR / 2),
                Some(change as f64),
                "half an hour before and after the change"
            ),
        }
    }
}
