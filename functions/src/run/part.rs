//! The part of the fleet that a run covers.

use std::collections::BTreeSet;

use deepguard_aws::ids::TargetId;
use deepguard_aws::ports::{CallError, Inventory};
use jiff::Timestamp;

use crate::state::part::Part;
use crate::trigger::shard::Shard;
use crate::watched::roster::{Needs, Roster};

/// The part with the number of `shard`, where the tag `group_by` names the groups, and its
/// instances among all that are `listed`. An instance whose group cannot be read is in no part yet.
///
/// # Errors
/// [`CallError`] where groups divide the fleet, and were never read. A guess would score instances
/// twice, or not at all: the next run makes up for this one.
pub(crate) async fn part<A: Inventory>(
    roster: &mut Roster<A>,
    shard: Shard,
    group_by: Option<&str>,
    listed: Result<BTreeSet<TargetId>, CallError>,
    now: Timestamp,
) -> Result<(Part, Result<BTreeSet<TargetId>, CallError>), CallError> {
    let (part, listed) = match group_by.filter(|_| shard != Shard::WHOLE) {
        None => (Part::by_instance(shard), listed),
        Some(key) => {
            let listed = match listed {
                Ok(mut listed) => {
                    roster.selected(listed.clone(), Needs::Parts, now).await?;
                    listed.retain(|instance| roster.knows(instance));
                    Ok(listed)
                }
                Err(error) if roster.knows_tags() => Err(error),
                Err(error) => return Err(error),
            };
            (Part::by_group(shard, key, roster.tagged(key).collect()), listed)
        }
    };
    let listed = listed.map(|mut listed| {
        listed.retain(|instance| part.holds(instance));
        listed
    });
    Ok((part, listed))
}
