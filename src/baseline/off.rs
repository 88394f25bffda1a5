//! Days off in the history of an instance: its holidays, and the Sundays that are like them.

use std::ops::Range;
use std::sync::LazyLock;

use super::level::Level;
use super::profile::Profile;
use crate::holidays::{Holidays, is_sunday, is_weekend};
use crate::series::{DAY, DAY_SECONDS, Series};
use crate::zone::Clocks;

/// With fewer slots of other days than this, holidays are learnt like any day: a profile needs two
/// days.
const LEAST: usize = 2 * DAY;

/// Which days are off. Where nothing else is said, times are as the clock of a baseline's day shows
/// them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DaysOff<'a> {
    holidays: &'a Holidays,
    clocks: &'a Clocks,
    /// Seconds ahead of UTC on the day.
    ahead: i64,
}

static NONE: LazyLock<(Holidays, Clocks)> = LazyLock::new(Default::default);

impl DaysOff<'static> {
    /// There are no holidays.
    pub(super) fn none() -> Self {
        Self::new(&NONE.0, &NONE.1, 0)
    }
}

impl<'a> DaysOff<'a> {
    /// Around `at` (seconds since 1970), by `clocks`; where these are unknown, by UTC.
    pub(crate) fn new(holidays: &'a Holidays, clocks: &'a Clocks, at: i64) -> Self {
        Self { holidays, clocks, ahead: ahead(clocks, at) }
    }

    /// Whether it is a holiday at `time`.
    pub(super) fn is_holiday(&self, time: i64) -> bool {
        self.holidays.has(time + self.ahead)
    }

    /// Whether it is a holiday or a Sunday at `time`.
    pub(super) fn is_off(&self, time: i64) -> bool {
        self.is_holiday(time) || is_sunday(time + self.ahead)
    }

    /// Whether `time` (seconds since 1970) is on the day after a holiday, and on none itself.
    pub(super) fn follows_holiday(&self, time: i64) -> bool {
        !self.holidays.is_empty() && {
            let local = time + ahead(self.clocks, time);
            self.holidays.has(local - DAY_SECONDS) && !self.holidays.has(local)
        }
    }

    /// Whether `time` (seconds since 1970) is an example of how a day follows from the one before.
    /// A holiday is not. Nor is a weekend after one: a day off that follows one teaches that the
    /// day before says all, and the next morning of work is a surprise.
    pub(super) fn teaches(&self, time: i64) -> bool {
        self.holidays.is_empty() || {
            let local = time + ahead(self.clocks, time);
            let after = self.holidays.has(local - DAY_SECONDS) && is_weekend(local);
            !self.holidays.has(local) && !after
        }
    }

    /// `history` without its holidays; `None` where it has none, or too little is left.
    pub(super) fn left_out_of(&self, history: &Series) -> Option<Series> {
        if !self.touch(history.start()..history.end()) {
            return None;
        }
        let left = history.without(|time| self.is_holiday(time))?;
        (left.present(0..left.len()).count() >= LEAST).then_some(left)
    }

    /// The profile of the days off in `history`; `None` where it has none, or no holiday lies in
    /// `sight`, the times that the scores of the day see.
    pub(super) fn profile(
        &self,
        history: &Series,
        level: &Level,
        sight: Range<i64>,
    ) -> Option<Profile> {
        if !self.touch(sight) {
            return None;
        }
        let off = history.without(|time| !self.is_off(time))?;
        Some(Profile::of_days_off(&off, level))
    }

    /// Whether any of `times` is in a holiday.
    fn touch(&self, times: Range<i64>) -> bool {
        self.holidays.touch(times.start + self.ahead..times.end + self.ahead)
    }
}

/// Seconds by which the clock is ahead of UTC at `time` (seconds since 1970).
fn ahead(clocks: &Clocks, time: i64) -> i64 {
    match clocks {
        Clocks::Of(zone) => zone.offset(time),
        Clocks::Unknown => 0,
    }
}

#[cfg(test)]
mod tests;
