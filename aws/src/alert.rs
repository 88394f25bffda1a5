//! One alert about an episode, in the words in which it is sent.

use serde::{Deserialize, Serialize};

use crate::ids::TargetId;

/// The source of our events on the bus.
pub const SOURCE: &str = "deepguard";
/// The maximum number of alerts in one call. (PutEvents, `Entries`; PublishBatch,
/// `PublishBatchRequestEntries`)
pub const BATCH: usize = 10;

/// Which alert it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// An episode begins.
    Began,
    /// It is over.
    Ended,
    /// A person tests the way of the alerts.
    Test,
    /// A day is over.
    Digest,
}

impl Kind {
    /// The event's `detail-type`.
    pub const fn detail_type(self) -> &'static str {
        match self {
            Self::Began => "DeepGuard Anomaly Began",
            Self::Ended => "DeepGuard Anomaly Ended",
            Self::Test => "DeepGuard Test",
            Self::Digest => "DeepGuard Digest",
        }
    }

    /// Its name in the attributes of a message.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Began => "began",
            Self::Ended => "ended",
            Self::Test => "test",
            Self::Digest => "digest",
        }
    }
}

/// One alert: an event for machines, a message for people, and one for their chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Which alert it is.
    pub kind: Kind,
    /// The time of its datapoint, in seconds since 1970.
    pub time: i64,
    /// The same for the beginning and the end of an episode, and when an alert is sent again.
    pub id: String,
    /// The instance that it is about; `None` for a test and a digest.
    pub instance: Option<TargetId>,
    /// The name of the deployment that sends it.
    pub deployment: String,
    /// One line, as a phone shows it.
    pub subject: String,
    /// The text of the message, in lines.
    pub text: String,
    /// The event's detail, JSON.
    pub detail: String,
    /// The notification for a chat client, JSON; empty for a digest, which goes to no chat.
    pub chat: String,
}
