//! One event of an episode, as it is sent.

use serde::{Deserialize, Serialize};

use crate::ids::InstanceId;

/// The source of our events on the bus.
pub const SOURCE: &str = "deepguard";

/// Which event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// An episode begins.
    Began,
    /// It is over.
    Ended,
}

impl Kind {
    /// The event's `detail-type`.
    pub const fn detail_type(self) -> &'static str {
        match self {
            Self::Began => "DeepGuard Anomaly Began",
            Self::Ended => "DeepGuard Anomaly Ended",
        }
    }
}

/// One event. It is stored until it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Which event it is.
    pub kind: Kind,
    /// The time of its datapoint, in seconds since 1970.
    pub time: i64,
    /// The instance that it is about.
    pub instance: InstanceId,
    /// The event's detail, JSON. The same episode has the same `id` in both events, and when one is
    /// sent again.
    pub detail: String,
}
