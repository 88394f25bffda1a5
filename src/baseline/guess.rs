//! By which clock an instance lives, where it was not told: its own rhythm says so.
//!
//! A day after a change of clocks is compared with each day before it, once as it is and once moved
//! by the hour. The way in which the days are more alike is the instance's clock. On the day of the
//! change itself there is nothing to compare yet: see [`of_day`].

use crate::compress::compress;
use crate::series::{DAY, DAY_SECONDS, PERIOD, RESOLUTIONS, Series};
use crate::zone::{Change, Zone};

/// Seconds by which clocks change.
const HOUR: i32 = 3600;
/// Days that are moved by the hour have to differ by less than this part of what they differ as
/// they are.
const CLEARLY: f64 = 0.9;
/// The minimum number of slots that two days must share to be compared: half a day.
const LEAST: usize = DAY / 2;
/// The day of the week of 1970-01-01, counted from Sunday.
const THURSDAY: i64 = 4;

/// UTC, with a change of clocks in `history` if the rhythm of the instance has moved with it.
/// `history` ends at `at` (seconds since 1970).
pub(super) fn zone(history: &Series, at: i64) -> Zone {
    let known: Vec<Change> =
        changes(at).filter(|change| history.start() < change.time && change.time < at).collect();
    if known.is_empty() {
        return Zone::utc();
    }
    // Smooth enough that noise counts for little.
    let smooth = history.averaged(RESOLUTIONS[1]);
    let moved = |change: &Change| Some((moved(&smooth, at, *change)?, *change));
    let best = known.iter().filter_map(moved).min_by(|a, b| a.0.total_cmp(&b.0));
    let best = best.filter(|(moved, _)| *moved < CLEARLY);
    best.map_or_else(Zone::utc, |(_, change)| Zone::new(0, [change]))
}

/// The clock that changes on the day that begins at `day` (midnight UTC); `None` on most days.
pub(super) fn of_day(day: i64) -> Option<Zone> {
    let change = changes(day).find(|change| (day..day + DAY_SECONDS).contains(&change.time))?;
    Some(Zone::new(0, [change]))
}

/// How unlike the days after `change` are to the days before it, moved with the change, as a part
/// of how unlike they are to them as they are. Each is compared with the day most like it. `None`
/// where no two can be compared.
fn moved(history: &Series, at: i64, change: Change) -> Option<f64> {
    let days = (at - history.start()).div_euclid(DAY_SECONDS) + 1;
    let by = i64::from(change.offset);
    let mut unlike = [0.0; 2];
    for end in (0..days).map(|back| at - back * DAY_SECONDS) {
        let mut least = [f64::INFINITY; 2];
        for earlier in (1..days).map(|back| back * DAY_SECONDS) {
            // The whole earlier day has to lie before the change, either way.
            if end - earlier + by.max(0) > change.time {
                continue;
            }
            let (mut count, mut sums) = (0, [0.0; 2]);
            let from = (end - DAY_SECONDS).max(change.time);
            for time in (from..end).step_by(PERIOD as usize) {
                let known =
                    [time, time - earlier, time - earlier + by].map(|time| history.at(time));
                if let [Some(value), Some(plain), Some(moved)] = known {
                    sums[0] += (compress(value) - compress(plain)).abs();
                    sums[1] += (compress(value) - compress(moved)).abs();
                    count += 1;
                }
            }
            if count >= LEAST {
                for (least, sum) in least.iter_mut().zip(sums) {
                    *least = least.min(sum / count as f64);
                }
            }
        }
        if least.iter().all(|least| least.is_finite()) {
            unlike.iter_mut().zip(least).for_each(|(unlike, least)| *unlike += least);
        }
    }
    (unlike[0] > 0.0).then(|| unlike[1] / unlike[0])
}

/// The changes of clocks in Europe and North America in the years around `at` (seconds since 1970),
/// from UTC to an hour off.
fn changes(at: i64) -> impl Iterator<Item = Change> {
    // An average year. The years on both sides make up for what it is off.
    let year = 1970 + at.div_euclid(31_556_952);
    (year - 1..=year + 1).flat_map(|year| {
        [
            (first_sunday(year, 3, 25) + 3600, HOUR),
            (first_sunday(year, 10, 25) + 3600, -HOUR),
            // On the East Coast; in the West three hours later.
            (first_sunday(year, 3, 8) + 7 * 3600, HOUR),
            (first_sunday(year, 11, 1) + 6 * 3600, -HOUR),
        ]
        .map(|(time, offset)| Change { time, offset })
    })
}

/// Midnight UTC (seconds since 1970) of the first Sunday from this date on.
fn first_sunday(year: i64, month: i64, day: i64) -> i64 {
    let date = days_since_1970(year, month, day);
    (date + (-THURSDAY - date).rem_euclid(7)) * DAY_SECONDS
}

/// Days from 1970-01-01 to a date after February.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Counted from the March of year 0, whose months have 30.6 days on average.
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let of_year = (153 * (month - 3) + 2) / 5 + day - 1;
    365 * year + leap_days + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Datapoint;

    /// 2026-03-29 01:00 and 2026-11-01 06:00 UTC.
    const BERLIN: Change = Change { time: 1_774_746_000, offset: HOUR };
    const NEW_YORK: Change = Change { time: 1_793_512_800, offset: -HOUR };

    /// Two weeks before the midnight `days` days after that of `change`, of a machine that works
    /// from nine to five by a clock that goes ahead by `ahead` seconds at the change.
    fn history(change: Change, days: i64, ahead: i32, work: f64) -> (Series, i64) {
        let at = (change.time.div_euclid(DAY_SECONDS) + days) * DAY_SECONDS;
        let value = |time: i64| {
            let ahead = if time < change.time { 0 } else { i64::from(ahead) };
            let hour = (time + ahead).rem_euclid(DAY_SECONDS) / 3600;
            let bits = ((time / PERIOD) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let noise = ((bits ^ (bits >> 27)) >> 40) as f64 / f64::from(1 << 24) * 5.0;
            noise + if (9..17).contains(&hour) { 10.0 + work } else { 10.0 }
        };
        let times = (at - 14 * DAY_SECONDS..at).step_by(PERIOD as usize);
        let points = times.map(|time| Datapoint { time, value: value(time) });
        (Series::from_datapoints(points).expect("usable").0, at)
    }

    #[test]
    fn a_rhythm_that_moves_with_the_clocks_is_known_from_the_next_day_on() {
        for change in [BERLIN, NEW_YORK] {
            for days in [1, 2, 7, 13] {
                let known = |ahead: i32, work: f64| {
                    let (history, at) = history(change, days, ahead, work);
                    zone(&history, at)
                };
                let moved = Zone::new(0, [change]);
                assert_eq!(known(change.offset, 30.0), moved, "{days} days after {change:?}");
                assert_eq!(known(0, 30.0), Zone::utc(), "jobs by UTC stay where they are");
                assert_eq!(known(-change.offset, 30.0), Zone::utc(), "the other way");
                assert_eq!(known(change.offset, 0.0), Zone::utc(), "it has no rhythm");
            }
        }
    }

    #[test]
    fn only_two_weeks_and_whole_days_say_anything() {
        let (series, at) = history(BERLIN, 15, HOUR, 30.0);
        assert_eq!(zone(&series, at), Zone::utc(), "all of it is after the change");
        let (series, at) = history(BERLIN, 1, HOUR, 30.0);
        let young = series.up_to(at, 30 * 12).expect("some");
        assert_eq!(zone(&young, at), Zone::utc(), "no whole day before it");
    }

    #[test]
    fn a_day_of_change_is_known_by_its_date() {
        let day = BERLIN.time - 3600;
        assert_eq!(of_day(day), Some(Zone::new(0, [BERLIN])));
        assert_eq!(of_day(NEW_YORK.time - 6 * 3600), Some(Zone::new(0, [NEW_YORK])));
        assert_eq!([day - DAY_SECONDS, day + DAY_SECONDS].map(of_day), [None, None]);
    }

    #[test]
    fn knows_the_sundays_of_change() {
        // 2026-03-29 01:00, 2026-10-25 01:00, 2026-03-08 07:00, 2026-11-01 06:00
        let dates = [1_774_746_000, 1_792_890_000, 1_772_953_200, 1_793_512_800];
        let known: Vec<i64> = changes(1_774_000_000).map(|change| change.time).collect();
        for date in dates {
            assert!(known.contains(&date), "{date} is not in {known:?}");
        }
    }
}
