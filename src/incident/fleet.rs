//! Incidents of the whole fleet: what a large part of it has at once, or more pages at once than a
//! person can read.

use super::one::{GROWN, Incident, STORM, Scope, Surroundings, Times};
use super::{Incidents, JOINS};

/// One part in this many of all machines at once is an incident of the fleet, ...
const PART: usize = 5;
/// ... if it has at least this many machines, in more than one incident. ...
const LEAST: usize = 3;
/// ... Episodes join it for this long, in seconds, after its first one. In a large fleet, one comes
/// every few minutes.
pub(super) const FLEET_JOINS: i64 = 2 * 3600;

impl<Id: Ord + Clone> Incidents<Id> {
    /// Makes one incident of those that began together, where they are a large part of the fleet
    /// or many pages. `of_change` has the place of each change's incident.
    pub(super) fn join_fleet(&mut self, of_change: &mut [usize], around: &Surroundings<'_, Id>) {
        self.join_told(of_change, around);
        let begun = |index: usize| newcomers(&self.open[index], around);
        let new: Vec<usize> = (0..self.open.len()).filter(|&index| begun(index) > 0).collect();
        let machines: usize = new.iter().map(|&index| begun(index)).sum();
        let is_large = new.len() > 1 && machines >= LEAST && machines * PART >= around.machines;
        let is_recent = |incident: &Incident<Id>| around.now - incident.first.1 <= JOINS;
        let pages = |index: &usize| {
            let incident = &self.open[*index];
            is_recent(incident) && self.is_loud(incident, around)
        };
        let joined = if is_large { new } else { new.into_iter().filter(pages).collect() };
        if !is_large && joined.len() < STORM {
            return;
        }
        // The one of which a person was told just now. Otherwise the one that began last, because
        // others join by its begin.
        let told = |index: &usize| {
            let incident = &self.open[*index];
            is_recent(incident) && incident.is_told() && self.is_loud(incident, around)
        };
        let newest = |index: &usize| (told(index), self.open[*index].first.1);
        let Some(into) = joined.iter().copied().max_by_key(newest) else { return };
        let known = joined.iter().filter(|index| told(index));
        let known: usize = known.map(|&index| self.open[index].told_of).sum();
        let machines: usize = joined.iter().map(|&index| self.open[index].joined).sum();
        // That machines stop is told, whatever was told before.
        let stop = joined.iter().any(|&index| self.open[index].stopped) && !self.open[into].stopped;
        let is_known = known > 0 && !stop && machines <= GROWN * known;
        self.join(&joined, into, of_change);
        let Incident { shape, first, .. } = &self.open[into];
        // What a large part of the fleet has is told each time.
        let times = match is_large {
            true => Times::default(),
            false => self.times(&Scope::Fleet, *shape, first.1),
        };
        let incident = &mut self.open[into];
        incident.scope = Scope::Fleet;
        if is_known {
            (incident.paged, incident.told_of) = (Some(incident.peak), known);
        } else {
            (incident.times, incident.paged, incident.told_of) = (times, None, 0);
        }
    }

    /// Lets what would page now join an incident of the fleet of which a person knows, if most of
    /// it began in the same half hour.
    fn join_told(&mut self, of_change: &mut [usize], around: &Surroundings<'_, Id>) {
        let is_recent = |incident: &Incident<Id>| around.now - incident.first.1 <= JOINS;
        let is_joined = |incident: &Incident<Id>| {
            let is_told = incident.is_told() && self.is_loud(incident, around);
            incident.scope == Scope::Fleet && is_told && is_recent(incident)
        };
        let fleets = (0..self.open.len()).filter(|&index| is_joined(&self.open[index]));
        let Some(into) = fleets.max_by_key(|&index| self.open[index].first.1) else { return };
        let stopped = self.open[into].stopped;
        let joins = |index: &usize| {
            let incident = &self.open[*index];
            let is_new = 2 * newcomers(incident, around) > incident.members.len();
            // As in a new episode, one that stops pages on its own.
            is_new
                && incident.paged.is_none()
                && (stopped || !incident.stopped)
                && self.is_loud(incident, around)
        };
        let joined: Vec<usize> = (0..self.open.len()).filter(joins).collect();
        self.join(&joined, into, of_change);
    }

    /// Whether an incident is one to page for.
    fn is_loud(&self, incident: &Incident<Id>, around: &Surroundings<'_, Id>) -> bool {
        let is_quiet = self.labels.hush(incident)
            || self.weekly.expects(incident, around.now)
            || incident.times.silent;
        incident.reaches_level(around) && !is_quiet
    }

    /// Makes the incident at the place `into` of these.
    fn join(&mut self, joined: &[usize], into: usize, of_change: &mut [usize]) {
        for &index in joined.iter().filter(|index| **index != into) {
            let absorbed = &mut self.open[index];
            let members = std::mem::take(&mut absorbed.members);
            let joined = std::mem::take(&mut absorbed.joined);
            let Incident { newest, shape, peak, stopped, level, strict, .. } = *absorbed;
            self.weekly.forget(&absorbed.first);
            let incident = &mut self.open[into];
            incident.members.extend(members);
            incident.joined += joined;
            incident.newest = incident.newest.max(newest);
            if peak > incident.peak {
                (incident.shape, incident.peak) = (shape, peak);
            }
            incident.stopped |= stopped;
            // What pages for one of them pages for all.
            if level < incident.level {
                (incident.level, incident.strict) = (level, strict);
            }
        }
        for index in of_change.iter_mut().filter(|index| joined.contains(index)) {
            *index = into;
        }
    }
}

/// How many machines of an incident that is not the fleet's have begun in the last half hour.
fn newcomers<Id: Ord>(incident: &Incident<Id>, around: &Surroundings<'_, Id>) -> usize {
    let is_new =
        |id: &&Id| (around.open)(id).is_some_and(|episode| around.now - episode.told <= JOINS);
    match incident.scope {
        Scope::Fleet => 0,
        _ => incident.members.iter().filter(is_new).count(),
    }
}
