//! One incident that is not over, and the note about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{JOINS, LEAST_CHANGED, LOOPS};
use crate::budget::PageLevel;
use crate::episode::Episode;
use crate::shape::Shape;

/// The most machines that a note names.
pub const MOST_NAMED: usize = 20;

/// At least this many machines of a group that begin together, ...
const LEAST_TOGETHER: usize = 3;
/// ... and one part in this many of it, do not do so by chance.
const PART: usize = 3;
/// As many pages at once are more than a person can read, and one incident of the fleet. As many
/// machines that join another incident late and at once are news.
pub(super) const STORM: usize = 5;
/// An incident of more than this many times as many machines as a person was told of is told again.
pub(super) const GROWN: usize = 5;

/// The extent of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope<Id> {
    /// One machine.
    Machine(Id),
    /// Several machines of a group, by its name.
    Group(String),
    /// Machines of many groups.
    Fleet,
}

/// An incident that is not over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Incident<Id: Ord> {
    /// The first machine, and when its episode was reported, in seconds since 1970.
    pub(super) first: (Id, i64),
    pub(super) scope: Scope<Id>,
    /// The group of the first machine.
    pub(super) group: Option<String>,
    /// The machines whose episodes are open.
    pub(super) members: BTreeSet<Id>,
    /// How many machines have ever joined.
    pub(super) joined: usize,
    /// Their number when a person was last told of it, or when it began.
    pub(super) told_of: usize,
    /// When the newest one joined, in seconds since 1970.
    pub(super) newest: i64,
    pub(super) shape: Shape,
    /// The highest severity.
    pub(super) peak: f64,
    /// Whether a machine of it has stopped reporting: this has no severity.
    pub(super) stopped: bool,
    /// The highest severity when it paged; `None` for a notice.
    pub(super) paged: Option<f64>,
    /// The page level of its first machine when it began: a later one does not make a page of an
    /// old notice.
    pub(super) level: PageLevel,
    /// Whether that level is the strict one.
    pub(super) strict: bool,
    pub(super) times: Times,
}

/// When an episode of an incident was over in a run, in seconds since 1970. The key is the first
/// machine of the incident, and when that one's episode was reported.
pub(super) type Overs<Id> = BTreeMap<(Id, i64), i64>;

/// Which time within a day an incident is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Times {
    /// 1 for the first.
    pub(super) number: u32,
    /// Whether a person knows that it keeps coming back, and is not told.
    pub(super) silent: bool,
}

impl Default for Times {
    fn default() -> Self {
        Self { number: 1, silent: false }
    }
}

/// The surroundings of some changes.
pub struct Surroundings<'a, Id> {
    /// The time of the run, in seconds since 1970.
    pub now: i64,
    /// All machines that are watched.
    pub machines: usize,
    /// A machine's group, and how many machines are in it.
    pub group: &'a dyn Fn(&Id) -> Option<(String, usize)>,
    /// A machine's open episode, as it is now.
    pub open: &'a dyn Fn(&Id) -> Option<Episode>,
    /// Whether a machine is young, so that its usual is still being learnt.
    pub young: &'a dyn Fn(&Id) -> bool,
}

impl<Id> fmt::Debug for Surroundings<'_, Id> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { now, machines, .. } = self;
        formatter
            .debug_struct("Surroundings")
            .field("now", now)
            .field("machines", machines)
            .finish_non_exhaustive()
    }
}

/// The incident of an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note<Id> {
    /// The first machine of the incident, and when its episode was reported, in seconds since
    /// 1970: the same in all notes of an incident.
    pub first: (Id, i64),
    /// Its extent so far.
    pub scope: Scope<Id>,
    /// Whether a person is told with this alert.
    pub page: bool,
    /// Whether the incident has paged, with this alert or before.
    pub paged: bool,
    /// Whether the number of its machines has doubled since the last alert that said so.
    pub changed: bool,
    /// Whether the whole incident is over.
    pub over: bool,
    /// Machines that have joined so far.
    pub joined: usize,
    /// Machines of the group, or of the fleet.
    pub of: usize,
    /// Some of the machines whose episodes are open: at most [`MOST_NAMED`].
    pub members: Vec<Id>,
    /// The score from which on such an incident pages.
    pub level: PageLevel,
    /// Whether it is the higher one of a machine whose usual is still being learnt.
    pub strict: bool,
    /// Which time it is within a day; 1 for the first.
    pub times: u32,
}

impl<Id: Clone> Note<Id> {
    /// The page of one machine `id` whose episode was reported at `told` (seconds since 1970),
    /// where each anomaly is a page.
    pub fn of_one(id: &Id, told: i64) -> Self {
        Self {
            first: (id.clone(), told),
            scope: Scope::Machine(id.clone()),
            page: true,
            paged: true,
            changed: false,
            over: false,
            joined: 1,
            of: 1,
            members: vec![id.clone()],
            level: PageLevel::default(),
            strict: false,
            times: 1,
        }
    }
}

impl<Id> Note<Id> {
    /// Whether its next returns are counted and not told.
    pub fn loops(&self) -> bool {
        self.times >= LOOPS
    }
}

impl<Id: Ord> Incident<Id> {
    /// The highest severity, as it were on a machine whose usual is known: the strict page level is
    /// the square of the other one.
    pub(super) fn comparable(&self) -> f64 {
        if self.strict { self.peak.sqrt() } else { self.peak }
    }
}

impl<Id: Ord + Clone> Incident<Id> {
    /// An incident of one episode.
    pub(super) fn new(
        id: &Id,
        episode: &Episode,
        group: Option<String>,
        (level, strict): (PageLevel, bool),
        times: Times,
    ) -> Self {
        Self {
            first: (id.clone(), episode.told),
            scope: Scope::Machine(id.clone()),
            group,
            members: [id.clone()].into(),
            joined: 1,
            told_of: 0,
            newest: episode.told,
            shape: episode.shape,
            peak: episode.peak,
            stopped: episode.shape == Shape::Stopped,
            paged: None,
            level,
            strict,
            times,
        }
    }

    /// The score from which on `joined` machines of it page. A large part of the group, which has
    /// `of` machines, needs less than one machine alone: by chance it does not begin together. Two
    /// or three of two hundred do.
    fn pages_from(&self, joined: usize, of: usize) -> PageLevel {
        let is_large = joined >= LEAST_TOGETHER && joined * PART >= of;
        let together = if is_large || self.scope == Scope::Fleet { joined } else { 1 };
        self.level.shared_by(together)
    }

    /// Whether a person has had a message about it.
    pub(super) fn is_told(&self) -> bool {
        self.paged.is_some() && !self.times.silent
    }

    /// Whether all its episodes are over.
    pub(super) fn is_over(&self) -> bool {
        self.members.is_empty() && self.joined > 0
    }

    /// When it was open for the last time, in seconds since 1970. `over` is of this run.
    pub(super) fn last_open(&self, over: &Overs<Id>, around: &Surroundings<'_, Id>) -> i64 {
        let over = over.get(&self.first).filter(|_| self.members.is_empty());
        over.copied().unwrap_or(around.now)
    }

    /// Whether it is strong enough for a page.
    pub(super) fn reaches_level(&self, around: &Surroundings<'_, Id>) -> bool {
        let reaches = || self.peak >= self.pages_from(self.joined, self.of(around)).value();
        self.joined > 0 && (self.stopped || reaches())
    }

    /// Whether it has doubled, once more since a person was told of it, with the `new` machines of
    /// this run.
    pub(super) fn doubles(&self, new: usize) -> bool {
        let times =
            |joined: usize| joined.max(self.told_of).checked_div(self.told_of)?.checked_ilog2();
        self.joined >= LEAST_CHANGED && times(self.joined) > times(self.joined.saturating_sub(new))
    }

    /// Whether machines have joined together, several times as many as a person was told of or most
    /// of the group, and would page on their own: something else has happened to them. After its
    /// beginning those of the beginning are no crowd.
    pub(super) fn is_crowd(&self, begins: bool, around: &Surroundings<'_, Id>) -> bool {
        let is_whole = begins || self.scope == Scope::Fleet;
        let from = if is_whole { i64::MIN } else { self.first.1 + JOINS };
        let is_new = |episode: &Episode| self.newest - episode.told <= JOINS && episode.told > from;
        let new: Vec<Episode> =
            self.members.iter().filter_map(around.open).filter(is_new).collect();
        let before = if is_whole { 0 } else { self.joined - new.len() };
        let is_many = new.len() >= STORM && self.joined > GROWN * before.max(self.told_of);
        let is_most = !is_whole
            && new.len() >= LEAST_TOGETHER
            && 2 * new.len() > self.of(around)
            && self.joined >= 2 * self.told_of;
        let level = self.pages_from(new.len(), self.of(around)).value();
        let pages = |episode: &Episode| episode.shape == Shape::Stopped || episode.peak >= level;
        (is_many || is_most) && new.iter().any(pages)
    }

    /// The number of machines of which it could have all.
    pub(super) fn of(&self, around: &Surroundings<'_, Id>) -> usize {
        let of = match &self.scope {
            Scope::Machine(_) => 1,
            Scope::Group(_) => {
                let mut known = self.members.iter().chain([&self.first.0]);
                known.find_map(|id| (around.group)(id)).map_or(self.joined, |(_, of)| of)
            }
            Scope::Fleet => around.machines,
        };
        of.max(self.joined)
    }

    /// Its note for an alert that tells a person of nothing.
    pub(super) fn note(&self, around: &Surroundings<'_, Id>) -> Note<Id> {
        Note {
            first: self.first.clone(),
            scope: self.scope.clone(),
            page: false,
            paged: self.paged.is_some(),
            changed: false,
            over: false,
            joined: self.joined,
            of: self.of(around),
            members: self.members.iter().take(MOST_NAMED).cloned().collect(),
            level: self.pages_from(self.joined, self.of(around)),
            strict: self.strict,
            times: self.times.number,
        }
    }
}
