//! The times at which instances are muted, as one run sees them.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::LazyLock;

use deepguard::series::DAY_SECONDS;
use deepguard_aws::ids::TargetId;
use deepguard_aws::mute::{During, MutedRanges, Mutes};
use deepguard_aws::tags::Tags;

/// How far back, in seconds, a run looks at most: at the history of a new instance.
const HISTORY: i64 = 32 * DAY_SECONDS;
/// The empty tags of an untagged instance.
static UNTAGGED: LazyLock<Tags> = LazyLock::new(Tags::new);

/// The times at which instances are muted.
#[derive(Debug, Default)]
pub(crate) struct Muted {
    /// The mutes of the stretch that a run can look at, computed once for all instances.
    during: During,
    /// The tags of the instances that have any, where tags matter.
    tags: BTreeMap<TargetId, Tags>,
}

impl Muted {
    /// In a run up to `until` (seconds since 1970).
    pub(crate) fn new(mutes: &Mutes, tags: BTreeMap<TargetId, Tags>, until: i64) -> Self {
        Self { during: mutes.during(until - HISTORY..until), tags }
    }

    /// Whether `instance` is muted at a time, in seconds since 1970.
    pub(crate) fn of(&self, instance: &TargetId) -> impl Fn(i64) -> bool + use<'_> {
        let ranges = self.ranges(instance);
        move |time| ranges.contains(time)
    }

    /// Why `instance` is muted at `time` (seconds since 1970); `None` where it is not.
    pub(crate) fn why(&self, instance: &TargetId, time: i64) -> Option<Rc<str>> {
        self.ranges(instance).why(time).cloned()
    }

    fn ranges(&self, instance: &TargetId) -> Rc<MutedRanges> {
        self.during.of(instance, self.tags.get(instance).unwrap_or(&UNTAGGED))
    }
}
