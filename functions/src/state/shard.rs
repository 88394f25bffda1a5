//! The part of the fleet that a run covers.

use std::fmt;

use deepguard_aws::ids::InstanceId;
use serde::{Deserialize, Serialize};

/// The maximum number of parts of a fleet.
pub const MAX_SHARDS: u32 = 100;

/// One of a number of parts of the fleet. An instance always belongs to the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shard {
    /// Its number, from 0 on.
    shard: u32,
    /// How many there are.
    shards: u32,
}

impl Shard {
    /// All of the fleet.
    pub const WHOLE: Self = Self { shard: 0, shards: 1 };

    /// Part number `shard` of `shards`; `None` where there is no such part.
    pub fn new(shard: u32, shards: u32) -> Option<Self> {
        ((1..=MAX_SHARDS).contains(&shards) && shard < shards).then_some(Self { shard, shards })
    }

    /// Its number, from 0 on.
    pub fn number(self) -> u32 {
        self.shard
    }

    /// How many parts there are.
    pub fn of(self) -> u32 {
        self.shards
    }

    /// Whether the instance belongs to this part.
    pub fn holds(self, instance: &InstanceId) -> bool {
        hash(instance.as_str()) % u64::from(self.shards) == u64::from(self.shard)
    }
}

/// `<shards>/<shard>`, as in the keys of its stored data.
impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.shards, self.shard)
    }
}

/// FNV-1a, 64 bits, with the last mixing step of splitmix64. Unlike the standard library's hash, it
/// is the same on every machine and in every version of Rust.
fn hash(text: &str) -> u64 {
    let fnv = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::instance;

    #[test]
    fn every_instance_belongs_to_one_part_and_they_are_alike_in_size() {
        for shards in [1, 2, 3, 4, 16] {
            let parts: Vec<Shard> =
                (0..shards).map(|shard| Shard::new(shard, shards).unwrap()).collect();
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
        let part = |name: &str| {
            (0..16).find(|&shard| Shard::new(shard, 16).unwrap().holds(&name.parse().unwrap()))
        };
        // With other numbers here, every fleet would be shuffled.
        let names =
            ["i-0123456789abcdef0", "i-1a2b3c4d", "i-00000000000000000", "i-0fedcba9876543210"];
        assert_eq!(names.map(part), [Some(6), Some(6), Some(1), Some(15)]);
    }

    #[test]
    fn the_number_of_parts_has_a_limit() {
        assert_eq!((Shard::new(0, 1), Shard::new(99, 100).is_some()), (Some(Shard::WHOLE), true));
        assert_eq!([Shard::new(0, 0), Shard::new(1, 1), Shard::new(0, 101)], [None; 3]);
        assert_eq!(Shard::new(2, 4).unwrap().to_string(), "4/2");
    }
}
