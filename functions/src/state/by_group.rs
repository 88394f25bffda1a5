//! An instance without a history of its own, as its group judges it.

use deepguard::newborn::Newborn;
use deepguard_aws::ids::InstanceId;
use serde::{Deserialize, Serialize};

/// An instance that its group judges, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ByGroup {
    /// The typical member: its baselines are used.
    pub(crate) typical: InstanceId,
    pub(crate) newborn: Newborn,
}
