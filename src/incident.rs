//! Incidents: the unit of which people are told. An incident is one episode, or the episodes of
//! many machines that begin together.
//!
//! An episode belongs to one machine. A deployment or an outage is an episode on each machine of a
//! group, and still one thing to wake up for: the incident pages once. An incident that is too weak
//! for the [page level](PageLevel) of its deployment is a notice, and does not page. Nor does one
//! that is [quiet](Quiet), because a person has said of such a one that it is no anomaly, or one
//! that comes [once a week](Weekly).

mod apart;
mod days;
mod fleet;
mod one;
mod past;
mod quiet;
mod restless;
mod weekly;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::days::Day;
use self::fleet::FLEET_JOINS;
use self::one::{Incident, Overs, Times};
pub use self::one::{MOST_NAMED, Note, Scope, Surroundings};
pub use self::past::Past;
pub use self::quiet::{LASTS, Labels, NotPaged, Quiet};
pub use self::restless::Restless;
pub use self::weekly::{Earlier, Weekly};

use crate::budget::PageLevel;
use crate::episode::{Change, End, Episode, WORSE};
use crate::series::DAY_SECONDS;
use crate::shape::Shape;

/// An episode that begins at most this long, in seconds, after the newest one of an incident joins
/// it.
pub const JOINS: i64 = 30 * 60;
/// While machines of a group are anomalous together, another one that deviates the same way joins
/// them for this long, in seconds, after the first, ...
const LATECOMER: i64 = 6 * 3600;
/// ... and for a day where a person has been told of them.
const LATECOMER_TOLD: i64 = DAY_SECONDS;
/// How long, in seconds, an incident that is over is recognised: a day.
const AGAIN: i64 = DAY_SECONDS;
/// From this time on that it comes back, a person knows that it does, ...
const LOOPS: u32 = 3;
/// ... and is not told again before it has been away for this long, in seconds.
const AWAY: i64 = 6 * 3600;
/// After an episode has become usual, the machine's usual is learnt anew for this long, in seconds:
/// a week. Until then it needs more for a page.
const SETTLES: i64 = 7 * DAY_SECONDS;
/// The most incidents that are over and remembered.
const MOST_OVER: usize = 1000;
/// An incident with at least this many machines has changed when their number doubles.
const LEAST_CHANGED: usize = 3;

/// The incidents of a fleet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incidents<Id: Ord> {
    open: Vec<Incident<Id>>,
    /// The newest last.
    over: Vec<Over<Id>>,
    /// By day, counted from 1970.
    days: BTreeMap<i64, Day>,
    level: Option<PageLevel>,
    /// Machines with a new usual, and until when it is learnt, in seconds since 1970.
    settling: BTreeMap<Id, i64>,
    /// Not among the stored fields: earlier builds store those.
    #[serde(skip, default = "Labels::default")]
    labels: Labels<Id>,
    /// Stored apart like the labels.
    #[serde(skip)]
    restless: Restless,
    /// The same.
    #[serde(skip, default = "Weekly::default")]
    weekly: Weekly<Id>,
    /// The same: see [`Self::begun`].
    #[serde(skip)]
    begun: Option<i64>,
}

/// A note for each change, in their order, and the notes of machines whose incident has become a
/// page without a new episode.
pub type Notes<Id> = (Vec<Note<Id>>, Vec<(Id, Note<Id>)>);

impl<Id: Ord> Default for Incidents<Id> {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            over: Vec::new(),
            days: BTreeMap::new(),
            level: None,
            settling: BTreeMap::new(),
            labels: Labels::default(),
            restless: Restless::default(),
            weekly: Weekly::default(),
            begun: None,
        }
    }
}

/// An incident that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Over<Id> {
    scope: Scope<Id>,
    shape: Shape,
    /// In seconds since 1970.
    at: i64,
    times: u32,
}

impl<Id: Ord + Clone> Incidents<Id> {
    /// Takes over the incidents of machines that another part of the fleet followed: those that
    /// this part `holds`.
    pub fn take_over(&mut self, other: Self, holds: impl Fn(&Id) -> bool) {
        for mut incident in other.open {
            incident.members.retain(&holds);
            let known = self.open.iter().any(|known| known.first == incident.first);
            if !incident.members.is_empty() && !known {
                self.open.push(incident);
            }
        }
        let is_ours = |scope: &Scope<Id>| match scope {
            Scope::Machine(id) => holds(id),
            Scope::Group(_) | Scope::Fleet => true,
        };
        self.labels.take_over(other.labels, is_ours);
        self.restless.take_over(other.restless);
        self.weekly.take_over(other.weekly, is_ours);
        for over in other.over {
            if is_ours(&over.scope) && !self.over.contains(&over) {
                self.over.push(over);
            }
        }
        if self.days.is_empty() {
            self.days = other.days;
        }
        self.level = self.level.or(other.level);
        self.settling.extend(other.settling.into_iter().filter(|(id, _)| holds(id)));
    }

    /// Takes the changes of a run in.
    pub fn update(&mut self, changes: &[(Id, Change)], around: &Surroundings<'_, Id>) -> Notes<Id> {
        self.over.retain(|over| around.now - over.at <= AGAIN);
        self.settling.retain(|_, until| around.now < *until);
        let mut of_machine: BTreeMap<Id, usize> = BTreeMap::new();
        for (index, incident) in self.open.iter().enumerate() {
            of_machine.extend(incident.members.iter().map(|id| (id.clone(), index)));
        }
        let mut of_change = Vec::with_capacity(changes.len());
        let mut over = Overs::new();
        for (id, change) in changes {
            let known = of_machine.get(id).copied();
            of_change.push(match change {
                Change::Began(episode, _) => {
                    let index = known.unwrap_or_else(|| self.place(id, episode, around));
                    // After something worse, too, others may join for half an hour.
                    let incident = &mut self.open[index];
                    incident.newest = incident.newest.max(episode.told);
                    of_machine.insert(id.clone(), index);
                    index
                }
                // The episode that has got worse is a member of the same incident.
                Change::Ended(episode, end, at) => {
                    let index = known.unwrap_or_else(|| self.of_another_build(id, episode));
                    if *end == End::BecameUsual {
                        self.settling.insert(id.clone(), at + SETTLES);
                    }
                    if *end != End::Worsened {
                        of_machine.remove(id);
                        self.leave(index, id, *at);
                        over.insert(self.open[index].first.clone(), *at);
                    }
                    index
                }
            });
            let incident = &mut self.open[of_change[of_change.len() - 1]];
            incident.peak = incident.peak.max(change.episode().peak);
        }
        self.update_peaks(around);
        self.join_fleet(&mut of_change, around);
        let mut risen = Vec::new();
        let decided = self.decide(changes, &of_change, &over, around);
        let note = |index: &usize| self.open[*index].note(around);
        let mut notes: Vec<Note<Id>> = of_change.iter().map(note).collect();
        for (index, decision) in decided {
            match decision {
                Decision::Page(change) => notes[change].page = true,
                Decision::Changed(change) => notes[change].changed = true,
                Decision::Over(change, paged) => {
                    notes[change].over = true;
                    notes[change].page |= paged;
                }
                Decision::Risen(id) => {
                    risen.push((id, Note { page: true, ..note(&index) }));
                }
            }
        }
        self.labels.remember(&self.open, around.now);
        self.weekly.remember(&self.open, &over, around);
        self.forget(around);
        (notes, risen)
    }

    /// The incident that an episode joins, or a new one.
    fn place(&mut self, id: &Id, episode: &Episode, around: &Surroundings<'_, Id>) -> usize {
        let group = (around.group)(id).map(|(name, _)| name);
        let joins = |incident: &Incident<Id>| {
            let near = (episode.told - incident.newest).abs() <= JOINS;
            let of_group = group.is_some() && incident.group == group;
            // One that stops has no severity by which it could page among others.
            let stops = episode.shape == Shape::Stopped && !incident.stopped;
            let lasts = episode.told - incident.first.1 <= FLEET_JOINS;
            let of_fleet = incident.scope == Scope::Fleet && lasts && !stops;
            let fits = of_fleet || incident.scope != Scope::Fleet && of_group;
            // A small step shows on one machine hours later than on another.
            let alike = |member: &Id| {
                (around.open)(member).and_then(|open| open.is_up()) == episode.is_up()
            };
            let late = if incident.is_told() { LATECOMER_TOLD } else { LATECOMER };
            let late = matches!(incident.scope, Scope::Group(_))
                && (0..late).contains(&(episode.told - incident.first.1))
                && incident.members.iter().any(alike);
            (near || late && of_group) && fits && !incident.members.is_empty()
        };
        let Some(index) = self.open.iter().position(joins) else {
            let scope = Scope::Machine(id.clone());
            let times = self.times(&scope, episode.shape, episode.told);
            let strict = (around.young)(id) || self.settling.contains_key(id);
            let of_group = self.restless.level(group.as_deref(), self.level());
            let level = if strict { self.level().strict().max(of_group) } else { of_group };
            self.open.push(Incident::new(id, episode, group, (level, strict), times));
            return self.open.len() - 1;
        };
        let incident = &mut self.open[index];
        // The strongest says what it is.
        if episode.peak > incident.peak {
            (incident.shape, incident.peak) = (episode.shape, episode.peak);
        }
        let shape = incident.shape;
        if let (Scope::Machine(_), Some(name)) = (&incident.scope, group) {
            let scope = Scope::Group(name);
            let times = self.times(&scope, shape, episode.told);
            let incident = &mut self.open[index];
            let silent = incident.times.silent && times.silent;
            if incident.times.silent && !silent {
                // That one machine keeps coming back says nothing of its group.
                incident.paged = None;
            }
            let number = incident.times.number.max(times.number);
            (incident.scope, incident.times) = (scope, Times { number, silent });
        }
        let incident = &mut self.open[index];
        incident.members.insert(id.clone());
        incident.joined += 1;
        if episode.shape == Shape::Stopped && !incident.stopped {
            // That a machine stops is told, whatever was told before.
            (incident.stopped, incident.paged) = (true, None);
            incident.times.silent = false;
        }
        index
    }

    /// The incident of an episode that a build without incidents told of.
    fn of_another_build(&mut self, id: &Id, episode: &Episode) -> usize {
        let level = PageLevel::default();
        let incident = Incident::new(id, episode, None, (level, false), Times::default());
        self.open.push(Incident { paged: Some(episode.peak), ..incident });
        self.open.len() - 1
    }

    /// Which time within a day it is, for an incident that begins at `at` (seconds since 1970).
    fn times(&self, scope: &Scope<Id>, shape: Shape, at: i64) -> Times {
        let same = |over: &&Over<Id>| over.scope == *scope && over.shape == shape;
        let before = self.over.iter().rev().find(same).filter(|over| at - over.at <= AGAIN);
        before.map_or_else(Times::default, |before| Times {
            number: before.times + 1,
            silent: before.times >= LOOPS && at - before.at < AWAY,
        })
    }

    /// Takes a machine that is back, at `at` (seconds since 1970), out of its incident.
    fn leave(&mut self, index: usize, id: &Id, at: i64) {
        let incident = &mut self.open[index];
        if incident.members.remove(id) && incident.members.is_empty() {
            let Incident { scope, shape, times, .. } = incident;
            let times = times.number;
            self.over.push(Over { scope: scope.clone(), shape: *shape, at, times });
        }
    }

    /// Decides which incidents page now, have changed, or are over.
    fn decide(
        &mut self,
        changes: &[(Id, Change)],
        of_change: &[usize],
        over: &Overs<Id>,
        around: &Surroundings<'_, Id>,
    ) -> Vec<(usize, Decision<Id>)> {
        // The beginnings and the last end of each incident.
        let mut began: BTreeMap<usize, Began> = BTreeMap::new();
        let mut ended: BTreeMap<usize, usize> = BTreeMap::new();
        for (change, &index) in of_change.iter().enumerate() {
            match &changes[change].1 {
                Change::Began(episode, _) => {
                    let first = Began { change, stops: false, peak: 0.0, count: 0 };
                    let began = began.entry(index).or_insert(first);
                    let stops = episode.shape == Shape::Stopped;
                    if (stops, episode.peak) > (began.stops, began.peak) {
                        began.change = change;
                    }
                    began.count += 1;
                    began.stops |= stops;
                    began.peak = began.peak.max(episode.peak);
                }
                Change::Ended(..) => drop(ended.insert(index, change)),
            }
        }
        let mut decided = Vec::new();
        for (index, incident) in self.open.iter_mut().enumerate() {
            let peaks =
                incident.members.iter().filter_map(|id| Some(((around.open)(id)?.peak, id)));
            let highest = peaks.max_by(|(a, _), (b, _)| a.total_cmp(b));
            let (new, last) = (began.get(&index).copied(), ended.get(&index).copied());
            // In its first half hour it is told once, whoever joins, unless it was told of a small
            // part of the fleet, or of something mild.
            let begins = incident.joined > 1 && around.now - incident.first.1 <= JOINS;
            let is_crowd = incident.is_crowd(begins, around);
            let again = |paged: f64| {
                let worse = |peak: f64| peak >= WORSE * paged;
                let is_other = worse(incident.peak) || incident.scope == Scope::Fleet;
                let is_worse = new.is_some_and(|new| worse(new.peak));
                if begins { is_crowd && is_other } else { is_crowd || is_worse }
            };
            let loud = incident.reaches_level(around)
                && !self.labels.hush(incident)
                && !self.weekly.expects(incident, incident.last_open(over, around));
            if loud && incident.paged.is_none_or(again) {
                let decision = match (new, highest, last) {
                    (Some(new), _, _) => Some(Decision::Page(new.change)),
                    (None, Some((_, id)), _) => Some(Decision::Risen(id.clone())),
                    // It rose and ended in late datapoints.
                    (None, None, last) => last.map(Decision::Page),
                };
                incident.paged = Some(incident.peak);
                incident.told_of = incident.joined;
                decided.extend(decision.filter(|_| !incident.times.silent).map(|it| (index, it)));
            } else {
                if begins && !is_crowd {
                    incident.paged = incident.paged.map(|paged| paged.max(incident.peak));
                }
                if let Some(Began { change, .. }) = new.filter(|new| incident.doubles(new.count)) {
                    decided.push((index, Decision::Changed(change)));
                }
                if incident.told_of == 0 {
                    incident.told_of = incident.joined;
                }
            }
            if let (true, Some(change)) = (incident.members.is_empty(), last) {
                let told = incident.paged.is_some() && !incident.times.silent;
                decided.push((index, Decision::Over(change, told)));
            }
        }
        decided
    }

    /// Takes in how severe the open episodes are now.
    fn update_peaks(&mut self, around: &Surroundings<'_, Id>) {
        for incident in &mut self.open {
            let peaks = incident.members.iter().filter_map(|id| Some((around.open)(id)?.peak));
            incident.peak = peaks.fold(incident.peak, f64::max);
        }
    }

    /// Removes the incidents that are over, and counts them.
    fn forget(&mut self, around: &Surroundings<'_, Id>) {
        for incident in &mut self.open {
            // Machines that are no longer watched.
            incident.members.retain(|id| (around.open)(id).is_some());
        }
        let day = around.now.div_euclid(DAY_SECONDS);
        let low = self.open.iter().filter(|incident| incident.is_over() && incident.is_low());
        self.days.entry(day).or_default().low += low.count();
        self.restless.count_over(&self.open, self.level(), day, around);
        self.open.retain(|incident| !incident.members.is_empty());
        let surplus = self.over.len().saturating_sub(MOST_OVER);
        self.over.drain(..surplus);
    }
}

/// The episodes of one incident that begin in a run.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Began {
    /// The place of the change to tell: one that stops, or the strongest.
    change: usize,
    /// Whether a machine stops.
    stops: bool,
    /// The highest severity.
    peak: f64,
    count: usize,
}

/// A decision about an incident. Numbers are places of changes.
#[derive(Debug, Clone, PartialEq)]
enum Decision<Id> {
    /// It pages with this change.
    Page(usize),
    /// It pages with the open episode of this machine, which has got stronger.
    Risen(Id),
    /// It has doubled with this change.
    Changed(usize),
    /// It is over with this change, and had paged or not.
    Over(usize, bool),
}

#[cfg(test)]
mod tests;
