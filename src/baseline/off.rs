//! Days off in the history of an instance: its holidays, and the Sundays that are like them.

use std::ops::Range;

use super::level::Level;
use super::profile::Profile;
use crate::holidays::{Holidays, is_sunday};
use crate::series::{DAY, Series};
use crate::zone::Clocks;

/// With fewer slots of other days than this, holidays are learnt like any day: a profile needs two
/// days.
const LEAST: usize = 2 * DAY;

/// Which days are off, at times as the clock of a baseline's day shows them.
#[derive(Debug, Clone, Copy)]
pub(super) struct DaysOff<'a> {
    holidays: &'a Holidays,
    /// Seconds ahead of UTC on the day.
    ahead: i64,
}

impl<'a> DaysOff<'a> {
    /// Around `at` (seconds since 1970), by `clocks`; where these are unknown, by UTC.
    pub(super) fn new(holidays: &'a Holidays, clocks: &Clocks, at: i64) -> Self {
        let ahead = match clocks {
            Clocks::Of(zone) => zone.offset(at),
            Clocks::Unknown => 0,
        };
        Self { holidays, ahead }
    }

    /// Whether it is a holiday at `time`.
    pub(super) fn is_holiday(&self, time: i64) -> bool {
        self.holidays.has(time + self.ahead)
    }

    /// Whether it is a holiday or a Sunday at `time`.
    pub(super) fn is_off(&self, time: i64) -> bool {
        self.is_holiday(time) || is_sunday(time + self.ahead)
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

#[cfg(test)]
mod tests;
