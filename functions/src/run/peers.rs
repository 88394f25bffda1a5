//! Compares the new scores of each group's instances with each other.

use std::collections::BTreeMap;

use deepguard::Detector;
use deepguard::peers::{Compared, LEAST_PEERS, compare};

use crate::run::outcome::Fleet;
use crate::state::State;
use crate::watched::groups::Groups;

/// Raises the scores of instances that differ from the rest of their group.
pub(crate) fn compare_groups(
    detector: &Detector,
    state: &mut State,
    fleet: &mut Fleet,
    groups: &Groups,
) {
    let mut of_group: BTreeMap<&str, Vec<Compared<'_>>> = BTreeMap::new();
    let mut followed = state.instances.iter_mut();
    for (instance, scored) in &mut fleet.scored {
        // Both are in the order of their ids.
        let Some((_, followed)) = followed.find(|(id, _)| *id == instance) else { break };
        // A group as a whole is no peer of its instances.
        let name = groups.of(instance).filter(|_| instance.group().is_none());
        let name = name.filter(|name| groups.members(name).len() >= LEAST_PEERS);
        if let Some(name) = name {
            let peers = &mut followed.peers;
            of_group.entry(name).or_default().push(Compared { peers, scored });
        }
    }
    for (name, mut group) in of_group {
        compare(detector, groups.members(name).len(), &mut group);
    }
}
