//! Holidays: local dates on which people do not work, whatever day of the week it is.
//!
//! A holiday has the load of a Sunday. So it is judged by the days off before it, and not learnt as
//! a working day: see [`Baseline::learn_by`](crate::Baseline::learn_by).

use std::collections::BTreeSet;
use std::ops::Range;

use crate::series::DAY_SECONDS;

/// The day of the week of 1970-01-01, counted from Sunday.
const THURSDAY: i64 = 4;

/// The dates of holidays, by the instance's clock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holidays {
    /// Days since 1970-01-01.
    days: BTreeSet<i64>,
}

impl FromIterator<i64> for Holidays {
    /// Of the days since 1970-01-01, in any order.
    fn from_iter<I: IntoIterator<Item = i64>>(days: I) -> Self {
        Self { days: days.into_iter().collect() }
    }
}

impl Holidays {
    /// Whether the day at `local` (seconds from 1970-01-01 00:00 on the clock) is a holiday.
    pub(crate) fn has(&self, local: i64) -> bool {
        self.days.contains(&day(local))
    }

    /// Whether any part of `locals` (seconds from 1970-01-01 00:00 on the clock) is a holiday.
    pub(crate) fn touch(&self, locals: Range<i64>) -> bool {
        !locals.is_empty() && self.days.range(day(locals.start)..=day(locals.end - 1)).count() > 0
    }

    /// Days since 1970-01-01, in the order of time.
    pub fn days(&self) -> impl Iterator<Item = i64> + '_ {
        self.days.iter().copied()
    }

    /// Whether the calendar is empty.
    pub fn is_empty(&self) -> bool {
        self.days.is_empty()
    }
}

/// Whether the day at `local` (seconds from 1970-01-01 00:00 on the clock) is a Sunday.
pub(crate) fn is_sunday(local: i64) -> bool {
    (day(local) + THURSDAY).rem_euclid(7) == 0
}

/// Whether the day at `local` (seconds from 1970-01-01 00:00 on the clock) is a Saturday or a
/// Sunday.
pub(crate) fn is_weekend(local: i64) -> bool {
    is_sunday(local) || is_sunday(local + DAY_SECONDS)
}

/// Days since 1970-01-01.
fn day(local: i64) -> i64 {
    local.div_euclid(DAY_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holiday_is_a_whole_day_by_the_clock() {
        let holidays: Holidays = [3, 10].into_iter().collect();
        let day = 3 * DAY_SECONDS..4 * DAY_SECONDS;
        let has = [day.start - 1, day.start, day.end - 1, day.end].map(|time| holidays.has(time));
        assert_eq!(has, [false, true, true, false]);
        let touched = [day.start - 1..day.start, day.start - 1..day.start + 1, day.end..day.end];
        assert_eq!(touched.map(|times| holidays.touch(times)), [false, true, false]);
        assert!(holidays.touch(day.end - 1..10 * DAY_SECONDS));
    }

    #[test]
    fn the_fourth_of_january_1970_was_a_sunday() {
        let sundays: Vec<i64> = (-7..14).filter(|day| is_sunday(day * DAY_SECONDS)).collect();
        assert_eq!(sundays, [-4, 3, 10]);
        let weekend: Vec<i64> = (0..7).filter(|day| is_weekend(day * DAY_SECONDS)).collect();
        assert_eq!(weekend, [2, 3]);
    }
}
