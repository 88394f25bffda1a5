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
/// The minimum number of slots that two days must share to be compared: six hours.
const LEAST: usize = DAY / 4;
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
