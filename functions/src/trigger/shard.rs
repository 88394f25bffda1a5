//! The number of a part of the fleet: each run covers one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The maximum number of parts of a fleet.
pub const MAX_SHARDS: u32 = 100;

/// One of a number of parts of the fleet.
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

    /// Whether what has this name belongs to this part. It always belongs to the same one.
    pub(crate) fn holds(self, name: &str) -> bool {
        hash(name) % u64::from(self.shards) == u64::from(self.shard)
    }
}

/// `<shards>/<shard>`.
impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.shards, self.shard)
    }
}

/// FNV-1a, 64 bits, with the last mixing step of splitmix64. Unlike the standard library's hash, it
/// is the same on every machine and in every version of Rust.
pub(crate) fn hash(text: &str) -> u64 {
    let fnv = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
