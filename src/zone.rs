//! Local time: how far a clock is from UTC, and when it changes.
//!
//! Days repeat by the clock on the wall. Where it is put forward by an hour, all that people do
//! comes an hour earlier in UTC. A [`Zone`] has no name: its callers read the changes from the IANA
//! database.

use serde::{Deserialize, Serialize};

use crate::series::{DAY_SECONDS, Datapoint, PERIOD, Series};

/// The clock of a place: its distance from UTC, and each change of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Zone {
    /// Seconds ahead of UTC, before the first change.
    offset: i32,
    /// The changes, oldest first.
    changes: Vec<Change>,
}

/// One change of a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The first moment after it, in seconds since 1970.
    pub time: i64,
    /// Seconds ahead of UTC from then on.
    pub offset: i32,
}

/// By which clock an instance lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clocks {
    /// By that of a zone.
    Of(Zone),
    /// Unknown: UTC. In the two weeks after Europe or North America changes its clocks, the
    /// instance's own rhythm says whether it follows.
    Unknown,
}

impl Default for Clocks {
    fn default() -> Self {
        Self::Of(Zone::utc())
    }
}

impl Zone {
    /// Coordinated universal time, which has no changes.
    pub fn utc() -> Self {
        Self::default()
    }

    /// A clock that is `offset` seconds ahead of UTC until the first of its `changes`, in any
    /// order. Changes that change nothing are left out.
    pub fn new(offset: i32, changes: impl IntoIterator<Item = Change>) -> Self {
        let mut sorted: Vec<Change> = changes.into_iter().collect();
        sorted.sort_by_key(|change| change.time);
        let mut before = offset;
        sorted.retain(|change| std::mem::replace(&mut before, change.offset) != change.offset);
        Self { offset, changes: sorted }
    }

    /// Whether it is coordinated universal time.
    pub fn is_utc(&self) -> bool {
        *self == Self::utc()
    }

    /// Seconds ahead of UTC at `time` (seconds since 1970).
    pub fn offset(&self, time: i64) -> i64 {
        let passed = self.changes.partition_point(|change| change.time <= time);
        let offset = passed.checked_sub(1).map_or(self.offset, |last| self.changes[last].offset);
        offset.into()
    }

    /// The local time at `time` (seconds since 1970): the seconds from 1970-01-01 00:00 on the
    /// clock.
    pub fn local(&self, time: i64) -> i64 {
        time + self.offset(time)
    }

    /// The time at which the clock showed the same `days` days before `time` (seconds since 1970).
    ///
    /// In the hour that a change leaves out, it is the time that the clock would have shown so
    /// without the change. Of the two times in the hour that a change repeats, it is the second.
    pub fn days_before(&self, time: i64, days: i64) -> i64 {
        let plain = time - days * DAY_SECONDS;
        plain + self.offset(time) - self.offset(plain)
    }

    /// The time (seconds since 1970, in whole slots from `time`) at which the clock would show what
    /// it shows at `time`, had it always been as far from UTC as it is at `day`.
    pub(crate) fn as_on(&self, day: i64, time: i64) -> i64 {
        time + (self.offset(time) - self.offset(day)).div_euclid(PERIOD) * PERIOD
    }

    /// Whether the clock changes between `start` and `end` (seconds since 1970).
    pub(crate) fn changes_in(&self, start: i64, end: i64) -> bool {
        self.changes.iter().any(|change| start < change.time && change.time < end)
    }

    /// The same clock, without the changes that lie outside of `start` to `end` (seconds since
    /// 1970).
    pub(crate) fn between(&self, start: i64, end: i64) -> Self {
        let within = |change: &&Change| start < change.time && change.time < end;
        Self {
            offset: self.offset(start) as i32,
            changes: self.changes.iter().filter(within).copied().collect(),
        }
    }

    /// `history`, which ends at `day` (seconds since 1970), with each datapoint where the clock of
    /// that day shows its local time. The hour that a change leaves out is missing, and the one
    /// that it repeats has the mean of both.
    pub(crate) fn aligned(&self, history: &Series, day: i64) -> Option<Series> {
        let moved = history
            .datapoints()
            .map(|point| Datapoint { time: self.as_on(day, point.time), ..point })
            .filter(|point| point.time < day);
        Series::from_datapoints(moved).ok()?.0.up_to(day, history.len())
    }
}

#[cfg(test)]
mod tests;
