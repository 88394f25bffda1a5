//! When which instances are muted, as one run sees it.

use crate::names::InstanceId;

/// When which instances are muted.
#[derive(Debug, Default)]
pub(crate) struct Muted {}

impl Muted {
    /// Whether `instance` is muted at a time, in seconds since 1970.
    pub(crate) fn of(&self, _instance: &InstanceId) -> impl Fn(i64) -> bool + '_ {
        |_| false
    }
}
