//! Groups whose machines are anomalous more often than the artifact's table says. They page from a
//! higher level than the rest of their fleet.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::one::{Incident, Scope, Surroundings};
use crate::budget::{Aims, GroupPast, PageLevel};

/// The page levels of restless groups, by name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Restless {
    groups: BTreeMap<String, Group>,
}

/// A group with incidents near the page level in the last two weeks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Group {
    /// Its machines at the newest of them.
    machines: usize,
    /// Their number, by day, counted from 1970.
    near: BTreeMap<i64, usize>,
    /// At least that of the fleet.
    level: PageLevel,
}

impl Restless {
    /// The page level of `group` in a fleet that has the level `fleet`.
    pub(super) fn level(&self, group: Option<&str>, fleet: PageLevel) -> PageLevel {
        let group = group.and_then(|name| self.groups.get(name));
        group.map_or(fleet, |group| group.level.max(fleet))
    }

    /// The groups with a higher level than the fleet's, which is `fleet`.
    pub fn above(&self, fleet: PageLevel) -> impl Iterator<Item = (&str, PageLevel)> {
        let groups = self.groups.iter().map(|(name, group)| (name.as_str(), group.level));
        groups.filter(move |(_, level)| *level > fleet)
    }

    /// Counts those of the incidents that are over on `day`, and came near the fleet's page level.
    pub(super) fn count_over<Id: Ord + Clone>(
        &mut self,
        incidents: &[Incident<Id>],
        fleet: PageLevel,
        day: i64,
        around: &Surroundings<'_, Id>,
    ) {
        let near = fleet.near();
        let is_counted =
            |incident: &&Incident<Id>| incident.is_over() && near.contains(&incident.comparable());
        let counted = incidents.iter().filter(is_counted);
        for incident in counted.filter(|incident| incident.scope != Scope::Fleet) {
            let Some((name, machines)) = (around.group)(&incident.first.0) else { continue };
            let group = self.groups.entry(name).or_default();
            group.machines = machines;
            *group.near.entry(day).or_default() += 1;
        }
    }

    /// Forgets what was counted before `day`.
    pub(super) fn forget_before(&mut self, day: i64) {
        self.groups.values_mut().for_each(|group| group.near = group.near.split_off(&day));
    }

    /// Begins a day in a fleet with the level `fleet`, which has been followed for these `weeks`,
    /// two at most. Levels move `slowly`, or at once.
    pub(super) fn begin_day(
        &mut self,
        weeks: f64,
        fleet: PageLevel,
        aims: &impl Aims,
        slowly: bool,
    ) {
        for group in self.groups.values_mut() {
            let machine_weeks = group.machines as f64 * weeks;
            let near = group.near.values().sum();
            let aim = aims.group(fleet, GroupPast { near, machine_weeks });
            group.level = if slowly { group.level.max(fleet).moved_to(aim) } else { aim };
        }
        // It comes down slowly, too.
        self.groups.retain(|_, group| !group.near.is_empty() || group.level > fleet);
    }

    /// Adds the counts of machines that are new here.
    pub(super) fn add(&mut self, other: Self) {
        for (name, group) in other.groups {
            let known = self.groups.entry(name).or_default();
            known.machines = known.machines.max(group.machines);
            for (day, near) in group.near {
                *known.near.entry(day).or_default() += near;
            }
        }
    }

    /// Takes over what another part of the fleet knows of groups that are not known here.
    pub(super) fn take_over(&mut self, other: Self) {
        for (name, group) in other.groups {
            self.groups.entry(name).or_insert(group);
        }
    }
}
