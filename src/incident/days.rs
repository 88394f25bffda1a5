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
    /// machines. On the first day, the levels are those that `aims` asks for. Later ones move
    /// slowly.
    pub fn begin_day(&mut self, now: i64, machines: usize, aims: &impl Aims) {
        let day = now.div_euclid(DAY_SECONDS);
        if let (Some(today), Some(_)) = (self.days.get_mut(&day), self.level) {
            today.machines = today.machines.max(machines);
            return;
        }
        self.days = self.days.split_off(&(day - REMEMBERED / DAY_SECONDS));
        let (low, seen) = self
            .days
            .range(..day)
            .fold((0, 0), |(low, seen), (_, day)| (low + day.low, seen + day.machines));
        let weeks = self.weeks_before(day);
        let machine_weeks = seen as f64 / DAYS_OF_A_WEEK;
        let aim = aims.fleet(FleetPast { machines, low, machine_weeks });
        let is_first = self.level.is_none();
        let level = self.level.map_or(aim, |level| level.moved_to(aim));
        self.level = Some(level);
        let today = self.days.entry(day).or_default();
        today.machines = today.machines.max(machines);
        self.restless.forget_before(day - REMEMBERED / DAY_SECONDS);
        match is_first {
            true => self.restless.rise(&self.restless.names(), weeks, level, aims),
            false => self.restless.begin_day(weeks, level, aims),
        }
    }

    /// Weeks before `day`, counted from 1970, of which something is known: two at most.
    pub(super) fn weeks_before(&self, day: i64) -> f64 {
        self.days.range(..day).count() as f64 / DAYS_OF_A_WEEK
    }
}
