//! A change of clocks, from datapoints to scores with the committed artifact.
#![allow(
    clippy::expect_used,
    reason = "a test that meets what it did not expect should stop there"
)]

mod common;

use std::ops::Range;

use common::{detector, followed, noise, series};
use deepguard::episode::{Change as Told, Episodes, MOfN};
use deepguard::series::{DAY_SECONDS, PERIOD};
use deepguard::zone::Change;
use deepguard::{Clocks, Datapoint, Scored, Zone};

/// 2026-03-29 01:00 UTC, a Sunday: clocks in Europe are put forward.
const SPRING: i64 = 1_774_746_000;
/// 2026-10-25 01:00 UTC, a Sunday: they are put back.
const AUTUMN: i64 = 1_792_890_000;
const HOUR: i64 = 3600;
/// The two weeks after a change, from the Monday on.
const AFTER: Range<i64> = 23 * HOUR..DAY_SECONDS * 14;

fn berlin() -> Zone {
    let change = |(time, offset)| Change { time, offset };
    Zone::new(3600, [(SPRING, 7200), (AUTUMN, 3600)].map(change))
}

/// An office that works from eight to five by the clock of Berlin, from four weeks before `change`
/// to two weeks after it. On the Tuesday `halved` days after the Sunday of the change it has half
/// of its load.
fn office(change: i64, halved: Option<i64>) -> Vec<Datapoint> {
    let zone = berlin();
    let midnight = |time: i64| time.div_euclid(DAY_SECONDS);
    let value = |time: i64| {
        let local = zone.local(time);
        let hour = local.rem_euclid(DAY_SECONDS) as f64 / HOUR as f64;
        // 1970-01-01 was a Thursday.
        let works = if midnight(local + 3 * DAY_SECONDS) % 7 < 5 { 1.0 } else { 0.35 };
        let peak = |at: f64, wide: f64| (-((hour - at) / wide).powi(2)).exp();
        let load = 5.0 + works * 40.0 * (peak(11.0, 2.6) + 0.8 * peak(15.5, 2.8)).min(1.0);
        let of_day = halved.is_some_and(|days| midnight(local) == midnight(change) + days);
        let load = if of_day { load / 2.0 } else { load };
        load * (1.0 + 0.1 * (noise((time / PERIOD) as u64) - 0.5))
    };
    let start = midnight(change) * DAY_SECONDS - 28 * DAY_SECONDS;
    let times = (start..change + AFTER.end).step_by(PERIOD as usize);
    times.map(|time| Datapoint { time, value: value(time) }).collect()
}

/// The times at which an episode begins.
fn pages(clocks: &Clocks, datapoints: &[Datapoint]) -> Vec<i64> {
    let mut episodes = Episodes::default();
    let scored = followed(&detector().with_clocks(clocks.clone()), datapoints);
    let begins = |scored: &Scored| {
        let told = episodes.update(scored, MOfN::default());
        told.iter().any(|told| matches!(told, Told::Began(..))).then_some(scored.time)
    };
    scored.iter().filter_map(begins).collect()
}

#[test]
fn an_office_is_not_told_of_because_clocks_change() {
    for change in [SPRING, AUTUMN] {
        let office = office(change, None);
        let week = |pages: Vec<i64>| {
            let week = change - HOUR..change + AFTER.end;
            pages.into_iter().filter(|time| week.contains(time)).collect::<Vec<_>>()
        };
        let by_utc = week(pages(&Clocks::default(), &office));
        assert!(by_utc.len() >= 2, "without a zone it is: {by_utc:?}");
        assert_eq!(week(pages(&Clocks::Of(berlin()), &office)), [0i64; 0], "after {change}");
        assert_eq!(week(pages(&Clocks::Unknown, &office)), [0i64; 0], "after {change}");
    }
}

#[test]
fn a_day_of_half_the_load_is_found_after_clocks_have_changed() {
    for change in [SPRING, AUTUMN] {
        for days in [2, 9] {
            let halved = office(change, Some(days));
            // The day in Berlin begins up to three hours before that time of the change.
            let day = change + days * DAY_SECONDS - 3 * HOUR;
            for clocks in [Clocks::Of(berlin()), Clocks::Unknown] {
                let found = pages(&clocks, &halved)
                    .into_iter()
                    .any(|time| (day..day + DAY_SECONDS).contains(&time));
                assert!(found, "{days} days after {change}, by {clocks:?}");
            }
        }
    }
}

#[test]
fn where_clocks_do_not_change_every_score_is_that_of_utc() {
    // June: no change lies in sight.
    let moved = |point: Datapoint| Datapoint { time: point.time + 80 * DAY_SECONDS, ..point };
    let summer: Vec<Datapoint> = office(SPRING, Some(2)).into_iter().map(moved).collect();
    let by = |clocks| followed(&detector().with_clocks(clocks), &summer);
    let utc = by(Clocks::default());
    assert!(utc.iter().any(|scored| scored.score.is_anomalous()));
    for clocks in [Clocks::Unknown, Clocks::Of(Zone::new(19_800, [])), Clocks::Of(berlin())] {
        assert_eq!(by(clocks), utc);
    }
}

#[test]
fn runs_score_what_the_backtest_scores_on_the_days_of_a_change() {
    for change in [SPRING, AUTUMN] {
        let datapoints = office(change, None);
        let series = series(&datapoints);
        for clocks in [Clocks::Of(berlin()), Clocks::Unknown] {
            let detector = detector().with_clocks(clocks);
            let whole = followed(&detector, &datapoints);
            for until in [change + 6 * HOUR, change + 30 * HOUR] {
                let started = detector.start(&series, until, |_| false).scored;
                let newest = |scored: &[Scored]| -> Vec<(i64, f64, f64)> {
                    let newest = |time| time >= until - 12 * HOUR && time < until;
                    let newest = scored.iter().filter(|scored| newest(scored.time));
                    newest.map(|scored| (scored.time, scored.expected, scored.usual)).collect()
                };
                assert_eq!(newest(&started), newest(&whole));
            }
        }
    }
}
