//! When which instances are muted, as one run sees it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use deepguard::series::DAY_SECONDS;
use deepguard_aws::ids::InstanceId;
use deepguard_aws::mute::{MutedRanges, Mutes};
use deepguard_aws::tags::Tags;

/// How far back, in seconds, a run looks at most: at the history of an instance of which nothing is known.
const HISTORY: i64 = 32 * DAY_SECONDS;

/// When which instances are muted.
#[derive(Debug, Default)]
pub(crate) struct Muted {
    mutes: Rc<Mutes>,
    /// Of the instances that have any, where they matter.
    tags: BTreeMap<InstanceId, Tags>,
    /// The stretch that a run can look at, in seconds since 1970.
    times: Range<i64>,
}

impl Muted {
    /// In a run up to `until` (seconds since 1970).
    pub(crate) fn new(mutes: Rc<Mutes>, tags: BTreeMap<InstanceId, Tags>, until: i64) -> Self {
        Self { mutes, tags, times: until - HISTORY..until }
    }

    /// Whether `instance` is muted at a time, in seconds since 1970.
    pub(crate) fn of(&self, instance: &InstanceId) -> impl Fn(i64) -> bool + use<'_> {
        let ranges = match self.mutes.is_empty() {
            true => MutedRanges::default(),
            false => {
                let nothing = Tags::new();
                let tags = self.tags.get(instance).unwrap_or(&nothing);
                self.mutes.of(instance, tags, self.times.clone())
            }
        };
        move |time| ranges.contains(time)
    }
}
