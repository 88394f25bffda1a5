//! The page level from day to day.

use serde::{Deserialize, Serialize};

use super::Incidents;
use super::one::Incident;
use crate::budget::{Aims, FleetPast, PageLevel, REMEMBERED};
use crate::series::DAY_SECONDS;

/// Incidents below this score count as [`FleetPast::low`].
const LOW: f64 = 2.0;
const DAYS_OF_A_WEEK: f64 = 7.0;

/// The numbers of a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Day {
    pub(super) machines: usize,
    /// Incidents with a highest severity below [`LOW`] that ended on this day.
    pub(super) low: usize,
}

impl<Id: Ord> Incident<Id> {
    /// Whether it counts as [`Day::low`] when it is over.
    pub(super) fn is_low(&self) -> bool {
        self.comparable() < LOW
    }
}

impl<Id: Ord + Clone> Incidents<Id> {
    /// The page level; 1.0 before the first day.
    pub fn level(&self) -> PageLevel {
        self.level.unwrap_or_default()
    }

    /// Begins the day of `now` (seconds since 1970), if that is a new one, with the number of
    /// machines. On the day of the first run, each run sets the levels that `aims` asks for,
    /// because more of the past may be known. Later they move slowly.
    pub fn begin_day(&mut self, now: i64, machines: usize, aims: &impl Aims) {
        let day = now.div_euclid(DAY_SECONDS);
        let is_first = self.level.is_none() || self.begun == Some(day);
        let is_new = self.level.is_none() || !self.days.contains_key(&day);
        let today = self.days.entry(day).or_default();
        today.machines = today.machines.max(machines);
        if !is_first && !is_new {
            return;
        }
        let oldest = day - REMEMBERED / DAY_SECONDS;
        self.days = self.days.split_off(&oldest);
        self.restless.forget_before(oldest);
        let aim = aims.fleet(self.past(day, machines));
        let level = match self.level {
            Some(level) if !is_first => level.moved_to(aim),
            _ => aim,
        };
        self.level = Some(level);
        let weeks = self.days.range(..day).count() as f64 / DAYS_OF_A_WEEK;
        self.restless.begin_day(weeks, level, aims, !is_first);
    }

    /// The past before `day` (counted from 1970) of a fleet that has this number of machines.
    pub(super) fn past(&self, day: i64, machines: usize) -> FleetPast {
        let before = self.days.range(day - REMEMBERED / DAY_SECONDS..day);
        let (low, seen) =
            before.fold((0, 0), |(low, seen), (_, day)| (low + day.low, seen + day.machines));
        FleetPast { machines, low, machine_weeks: seen as f64 / DAYS_OF_A_WEEK }
    }
}
