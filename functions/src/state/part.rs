//! The part of the fleet that a run covers.
//!
//! A fleet is divided by instances, or by groups: then all instances of a group belong to one part,
//! because what they have in common is one incident.

use std::fmt;

use deepguard_aws::ids::TargetId;

use crate::trigger::shard::{Shard, hash};
use crate::watched::groups::Groups;

/// A part of the fleet, and how the fleet is divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    shard: Shard,
    /// The tag that names the groups, and the groups; `None` where instances are divided.
    by_group: Option<(String, Groups)>,
}

impl Part {
    /// All of the fleet.
    pub const WHOLE: Self = Self::by_instance(Shard::WHOLE);

    /// A part of a fleet that is divided by its instances.
    pub const fn by_instance(shard: Shard) -> Self {
        Self { shard, by_group: None }
    }

    /// A part of a fleet that is divided by its `groups`, which the tag `key` names.
    pub fn by_group(shard: Shard, key: &str, groups: Groups) -> Self {
        Self { shard, by_group: Some((key.into(), groups)) }
    }

    /// Its number, and how many there are.
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// Whether the instance belongs to this part. One without a group is divided by its id, and an
    /// Auto Scaling group as a whole by its name: so it is with its instances where that tag
    /// divides the fleet.
    pub fn holds(&self, instance: &TargetId) -> bool {
        let group = self.by_group.as_ref().and_then(|(_, groups)| groups.of(instance));
        self.shard.holds(group.unwrap_or(instance.dimension().1))
    }

    /// The folder of all parts of this division, in the keys of its stored data.
    pub fn folder(&self) -> String {
        match &self.by_group {
            Some((key, _)) => format!("{}-{:08x}", self.shard.of(), hash(key) >> 32),
            None => self.shard.of().to_string(),
        }
    }
}

/// `<shards>/<shard>`, or `<shards>-<tag>/<shard>` where the tag with this hash divides the fleet:
/// as in the keys of its stored data.
impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.folder(), self.shard.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::instance;

    fn part(shard: u32, shards: u32) -> Part {
        Part::by_instance(Shard::new(shard, shards).unwrap())
    }

    #[test]
    fn every_instance_belongs_to_one_part_and_they_are_alike_in_size() {
        for shards in [1, 2, 3, 4, 16] {
            let parts: Vec<Part> = (0..shards).map(|shard| part(shard, shards)).collect();
            let mut sizes = vec![0; parts.len()];
            for number in 0..8000 {
                let holders: Vec<usize> =
                    (0..parts.len()).filter(|&part| parts[part].holds(&instance(number))).collect();
                assert_eq!(holders.len(), 1);
                sizes[holders[0]] += 1;
            }
            let fair = 8000 / shards;
            assert!(
                sizes.iter().all(|size| (fair - fair / 4..=fair + fair / 4).contains(size)),
                "{sizes:?}"
            );
        }
    }

    #[test]
    fn the_part_of_an_instance_never_changes() {
        let holder =
            |name: &str| (0..16).find(|&shard| part(shard, 16).holds(&name.parse().unwrap()));
        // With other numbers here, every fleet would be shuffled.
        let names =
            ["i-0123456789abcdef0", "i-1a2b3c4d", "i-00000000000000000", "i-0fedcba9876543210"];
        assert_eq!(names.map(holder), [Some(6), Some(6), Some(1), Some(15)]);
    }

    #[test]
    fn a_group_belongs_to_one_part_whole() {
        let members: Vec<TargetId> = (0..200).map(instance).collect();
        let names: Vec<String> = (0..20).map(|number| format!("group {number}")).collect();
        let grouped = members.iter().enumerate().take(150);
        let groups: Groups = grouped
            .map(|(number, member)| (member, names[number % names.len()].as_str()))
            .collect();
        let parts: Vec<Part> = (0..4)
            .map(|shard| Part::by_group(Shard::new(shard, 4).unwrap(), "team", groups.clone()))
            .collect();
        let holder = |instance: &TargetId| {
            let holders: Vec<usize> =
                (0..parts.len()).filter(|&part| parts[part].holds(instance)).collect();
            assert_eq!(holders.len(), 1);
            holders[0]
        };
        let mut used = std::collections::BTreeSet::new();
        for name in &names {
            let of_group = groups.members(name).iter().map(holder);
            let holders: std::collections::BTreeSet<usize> = of_group.collect();
            assert_eq!(holders.len(), 1, "{name}");
            used.extend(holders);
        }
        assert_eq!(used.len(), 4);
        let by_id = |instance| (0..4).position(|shard| part(shard, 4).holds(instance));
        for alone in &members[150..] {
            assert_eq!(Some(holder(alone)), by_id(alone));
        }
        let other = Part::by_group(Shard::new(2, 4).unwrap(), "env", groups.clone());
        assert_ne!(parts[2].folder(), other.folder());
        assert!(parts[2].to_string().starts_with("4-") && parts[2].to_string().ends_with("/2"));
    }

    #[test]
    fn the_number_of_parts_has_a_limit() {
        assert_eq!((Shard::new(0, 1), Shard::new(99, 100).is_some()), (Some(Shard::WHOLE), true));
        assert_eq!([Shard::new(0, 0), Shard::new(1, 1), Shard::new(0, 101)], [None; 3]);
        assert_eq!(part(2, 4).to_string(), "4/2");
    }
}
