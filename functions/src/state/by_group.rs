//! An instance with a short history, as its group judges it.

use deepguard::newborn::Newborn;
use deepguard_aws::ids::TargetId;
use serde::{Deserialize, Serialize};

/// An instance that its group judges, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ByGroup {
    /// Start of the first datapoint that is to be judged, in seconds since 1970; `None` until there
    /// is one.
    pub(crate) from: Option<i64>,
    /// All older datapoints have their scores, or get none, in seconds since 1970.
    pub(crate) until: i64,
    /// `None` while the group has too few members with a history.
    pub(crate) judged: Option<Judged>,
}

/// A newborn, and the typical member whose baselines are its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Judged {
    pub(crate) typical: TargetId,
    pub(crate) newborn: Newborn,
}
