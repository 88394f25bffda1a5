//! An alert that was decided: its facts, as they are stored until they are sent.

use deepguard::Baseline;
use deepguard::baseline::Phase;
use deepguard::episode::Change;
use deepguard::incident::{Note, Weekly};
use deepguard::series::DAY;
use deepguard_aws::alert::{Alert, Kind};
use deepguard_aws::ids::TargetId;
use serde::{Deserialize, Serialize};

use crate::alert::{About, Sender};

/// An alert that was decided, and perhaps not sent.
///
/// It holds facts, and no words: the words are made when it is sent. So a person who can write the
/// stored state cannot choose the words of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// The instance that it is about.
    pub instance: TargetId,
    /// The change of an episode.
    pub change: Change,
    /// The basis of the judgement.
    pub basis: Basis,
    /// The incident of the episode.
    pub note: Note<TargetId>,
    /// When it was decided, in seconds since 1970.
    pub decided: i64,
    /// Where it still has to go.
    pub unsent: Unsent,
}

/// The basis on which an instance was judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Basis {
    /// Version of the model.
    pub model: String,
    /// Days since it was trained.
    pub model_days: Option<f64>,
    /// The baseline of the day.
    pub baseline: Option<Learnt>,
}

/// The facts about a baseline that a message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learnt {
    /// The end of its history, in seconds since 1970.
    pub at: i64,
    /// Days of history.
    pub days: usize,
    /// Whose history.
    pub phase: Phase,
}

impl From<&Baseline> for Learnt {
    fn from(baseline: &Baseline) -> Self {
        let days = baseline.expectations[0].level.datapoints.div_ceil(DAY);
        Self { at: baseline.at, days, phase: baseline.phase }
    }
}

/// Where an alert still has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsent {
    /// To the bus, as an event for machines.
    pub event: bool,
    /// To the topic, as a message for people.
    pub message: bool,
    /// To the topic of the chat. Earlier builds store the other two: this one has a place of its
    /// own in the stored state.
    #[serde(skip)]
    pub chat: bool,
}

impl Unsent {
    /// Where neither of two copies of an alert has arrived.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            event: self.event && other.event,
            message: self.message && other.message,
            chat: self.chat && other.chat,
        }
    }
}

/// Which alerts are messages for people, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Messages {
    /// Those of beginnings.
    pub began: bool,
    /// Those of ends.
    pub ended: bool,
    /// All pages and their ends, in the chat: there an end answers its beginning.
    pub chat: bool,
}

impl Messages {
    /// Where a new alert has to go. Only one that is a `page` goes to people.
    pub fn unsent(self, kind: Kind, page: bool) -> Unsent {
        let wanted = match kind {
            Kind::Began => self.began,
            Kind::Ended => self.ended,
            Kind::Digest | Kind::Test => true,
        };
        let message = page && wanted;
        Unsent { event: true, message, chat: page && self.chat }
    }
}

impl Pending {
    /// Whether both are the same alert, wherever they have arrived.
    pub fn is_same(&self, other: &Self) -> bool {
        self.instance == other.instance
            && self.change == other.change
            && self.note.page == other.note.page
    }

    /// Whether it has arrived everywhere.
    pub fn is_sent(&self) -> bool {
        self.unsent == Unsent { event: false, message: false, chat: false }
    }

    /// The alert in words. `name` is the instance's tag `Name`.
    pub fn alert(&self, name: Option<&str>, weekly: &Weekly<TargetId>, sender: &Sender) -> Alert {
        let Self { instance, basis, note, .. } = self;
        let earlier = weekly.before(&note.first);
        About { instance, name, basis, note, earlier, sender }.alert(&self.change)
    }
}

/// Which alert a change is.
pub fn kind(change: &Change) -> Kind {
    match change {
        Change::Began(..) => Kind::Began,
        Change::Ended(..) => Kind::Ended,
    }
}

/// The time of the datapoint of a change, in seconds since 1970.
pub fn time(change: &Change) -> i64 {
    match change {
        Change::Began(episode, _) => episode.told,
        Change::Ended(_, _, at) => *at,
    }
}
