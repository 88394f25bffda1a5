//! A holiday on a weekday, from datapoints to pages with the committed artifact.
#![allow(
    clippy::expect_used,
    reason = "a test that meets what it did not expect should stop there"
)]

mod common;

use std::ops::Range;

use common::{detector, followed, noise};
use deepguard::episode::{Change, Episodes, MOfN};
use deepguard::series::{DAY, DAY_SECONDS, PERIOD};
use deepguard::{Clocks, Datapoint, Detector, Holidays, Scored, Zone};

/// Of a run of machines.
const MACHINES: u64 = 20;
/// Days since 1970 of the first day, a Monday.
const MONDAY: i64 = 20_458;
/// Days of the machines.
const DAYS: i64 = 35;
/// Two holidays, a working day between, and two more, from the Monday of the fourth week on.
const CHRISTMAS: [i64; 4] = [21, 22, 24, 25];
/// Berlin in winter: an hour ahead of UTC.
const AHEAD: i64 = 3600;

/// A web server with a daily and a weekly cycle by the clock of Berlin: one or two peaks in the
/// day, weekends at 10 to 50 %, days that differ by some percent, 4 to 12 % of noise, a job at
/// night. On `holidays`, days from [`MONDAY`] on, people do as on a Sunday. `fault` alters the
/// value at a time (seconds since 1970).
fn web(seed: u64, holidays: &[i64], fault: impl Fn(i64, f64) -> f64) -> Vec<Datapoint> {
    let drawn = |place: u64| noise(seed * 1000 + place);
    let between = |place: u64, low: f64, high: f64| low + (high - low) * drawn(place);
    let (low, high) = (between(0, 2.0, 12.0), between(1, 25.0, 75.0));
    let weekend = between(2, 0.1, 0.5);
    let (peak, wide) = (between(3, 10.0, 15.0), between(4, 2.5, 4.5));
    let (second, share) = (peak + between(5, 4.0, 7.0), between(6, 0.0, 0.9));
    let (noisy, varied) = (between(7, 0.04, 0.12), between(8, 0.02, 0.08));
    let (job, jobs) = (between(9, 0.0, 5.0), between(10, 0.0, 25.0));
    let value = |time: i64| {
        let local = time + AHEAD;
        let day = local.div_euclid(DAY_SECONDS) - MONDAY;
        let hour = local.rem_euclid(DAY_SECONDS) as f64 / 3600.0;
        let bump = |at: f64, wide: f64| (-((hour - at) / wide).powi(2)).exp();
        let shape = (bump(peak, wide) + share * bump(second, wide)).min(1.2);
        let off = day.rem_euclid(7) >= 5 || holidays.contains(&day);
        let of_day = 1.0 + varied * 2.0 * (drawn((10_000 + day) as u64) - 0.5);
        let people = if off { weekend } else { 1.0 } * of_day;
        let works = if (job..job + 0.5).contains(&hour) { jobs } else { 0.0 };
        let usual = low + (high - low) * shape * people + works;
        let uneven = 1.0 + noisy * 2.0 * (drawn((100_000 + time / PERIOD) as u64) - 0.5);
        fault(time, usual * uneven).clamp(0.0, 100.0)
    };
    let start = MONDAY * DAY_SECONDS - AHEAD;
    let slots = (0..DAYS * DAY as i64).map(|slot| start + slot * PERIOD);
    slots.map(|time| Datapoint { time, value: value(time) }).collect()
}

/// The times of a day, counted from [`MONDAY`].
fn day(day: i64) -> Range<i64> {
    let start = (MONDAY + day) * DAY_SECONDS - AHEAD;
    start..start + DAY_SECONDS
}

/// The detector in Berlin, with a calendar of these days from [`MONDAY`] on.
fn with_calendar(holidays: &[i64]) -> Detector {
    let holidays: Holidays = holidays.iter().map(|day| MONDAY + day).collect();
    let berlin = Zone::new(AHEAD as i32, []);
    detector().with_clocks(Clocks::Of(berlin)).with_holidays(holidays)
}

/// The times at which an episode begins.
fn pages(detector: &Detector, datapoints: &[Datapoint]) -> Vec<i64> {
    let mut episodes = Episodes::default();
    let begins = |scored: &Scored| {
        let told = episodes.update(scored, MOfN::default());
        told.iter().any(|told| matches!(told, Change::Began(..))).then_some(scored.time)
    };
    followed(detector, datapoints).iter().filter_map(begins).collect()
}

/// The pages of all machines from the day `first` on, which has the day `last` for its last, where
/// people do not work on `holidays`.
fn pages_of_all(detector: &Detector, holidays: &[i64], first: i64, last: i64) -> usize {
    let days = day(first).start..day(last).end;
    let of_machine = |seed| pages(detector, &web(seed, holidays, |_, value| value));
    let pages = (0..MACHINES).flat_map(of_machine);
    pages.filter(|page| days.contains(page)).count()
}

#[test]
fn a_calendar_leaves_fewer_pages_around_holidays() {
    let [without, with] = [&[][..], &CHRISTMAS]
        .map(|days| pages_of_all(&with_calendar(days), &CHRISTMAS, CHRISTMAS[0], DAYS - 1));
    assert!(without >= 10, "holidays on weekdays are told of: {without}");
    assert!(3 * with <= 2 * without, "{with} pages with a calendar, {without} without");
}

#[test]
fn the_morning_after_a_holiday_is_no_surprise() {
    let holiday = CHRISTMAS[2];
    let after = |calendar: &[i64]| {
        pages_of_all(&with_calendar(calendar), &[holiday], holiday + 1, holiday + 1)
    };
    let (without, with) = (after(&[]), after(&[holiday]));
    assert!(without >= 4, "without a calendar it is one: {without}");
    assert!(4 * with <= without, "{with} pages with a calendar, {without} without");
}

#[test]
fn a_fault_on_a_holiday_is_found() {
    let holiday = *CHRISTMAS.last().expect("one");
    let fault = day(holiday).start + 11 * 3600..day(holiday).start + 13 * 3600;
    let more = |time: i64, value: f64| if fault.contains(&time) { value + 10.0 } else { value };
    let detector = with_calendar(&CHRISTMAS);
    let found = (0..MACHINES / 4).filter(|seed| {
        let pages = pages(&detector, &web(*seed, &CHRISTMAS, more));
        pages.iter().any(|page| (fault.start..fault.end + 1800).contains(page))
    });
    assert_eq!(found.count() as u64, MACHINES / 4);
}

#[test]
fn a_holiday_out_of_sight_changes_no_score() {
    let machine = web(3, &[], |_, value| value);
    let scored = |holidays: &[i64]| followed(&with_calendar(holidays), &machine);
    assert_eq!(scored(&[-40, DAYS + 2]), scored(&[]));
}
