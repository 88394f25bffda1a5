//! The part of the fleet that a run covers.

use std::collections::BTreeSet;

use deepguard_aws::ids::InstanceId;
use deepguard_aws::ports::{CallError, Inventory};
use jiff::Timestamp;

use crate::state::part::Part;
use crate::trigger::shard::Shard;
use crate::watched::roster::{Needs, Roster};

/// The part with the number of `shard`, where the tag `group_by` names the groups. `listed` is all
/// instances of the fleet; `None` where they cannot be listed.
///
/// # Errors
/// [`CallError`] where groups divide the fleet, and were never read. A guess would score instances
/// twice, or not at all: the next run makes up for this one.
pub(crate) async fn part<A: Inventory>(
    roster: &mut Roster<A>,
    shard: Shard,
    group_by: Option<&str>,
    listed: Option<&BTreeSet<InstanceId>>,
    now: Timestamp,
) -> Result<Part, CallError> {
    let Some(key) = group_by.filter(|_| shard != Shard::WHOLE) else {
        return Ok(Part::by_instance(shard));
    };
    if let Some(listed) = listed {
        roster.selected(listed.clone(), Needs::Parts, now).await?;
    }
    Ok(Part::by_group(shard, key, roster.tagged(key).collect()))
}
