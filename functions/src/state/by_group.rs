//! An instance with a short history, as its group judges it.

use deepguard::baseline::calibrated_at;
use deepguard::newborn::Newborn;
use deepguard::series::PERIOD;
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

/// A newborn on one day, and the typical member of that day, whose baselines are its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    pub(crate) typical: TargetId,
    pub(crate) newborn: Newborn,
}

impl Judged {
    /// The midnight, in seconds since 1970, before the newest datapoint that was judged.
    pub(crate) fn day(&self) -> i64 {
        calibrated_at(self.end() - PERIOD)
    }

    /// End of the newest slot that was judged, in seconds since 1970.
    pub(crate) fn end(&self) -> i64 {
        self.newborn.end()
    }
}
