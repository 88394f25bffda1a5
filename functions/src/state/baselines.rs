//! The baselines of a part of the fleet, by day. The calibrator makes them, and the detector uses
//! them and makes missing ones.

use std::collections::BTreeMap;

use deepguard::Baseline;
use deepguard::track::Known;
use deepguard_aws::ids::TargetId;
use serde::{Deserialize, Serialize};

use crate::state::format::{Damaged, Reader, Writer};
use crate::state::part::Part;

/// The baselines of one day.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Baselines {
    /// The baseline of each instance that was read; `None` where there is too little history.
    pub instances: BTreeMap<TargetId, Option<Baseline>>,
}

/// The first record.
#[derive(Debug, Serialize, Deserialize)]
struct DayHeader {
    /// Midnight UTC, in seconds since 1970.
    day: i64,
    /// Slots of a window that the weekly profiles reach back from it: with a longer window they are
    /// of no use.
    context: u64,
}

impl Baselines {
    /// The stored form of the baselines, for `day` and for windows that span `context` slots: see
    /// [`crate::state::format`].
    ///
    /// # Errors
    /// Where they have no binary form.
    pub fn to_bytes(&self, day: i64, context: usize) -> Result<Vec<u8>, Damaged> {
        let mut writer = Writer::new(&DayHeader { day, context: context as u64 })?;
        self.instances.iter().try_for_each(|instance| writer.record(&instance))?;
        writer.finish()
    }

    /// Reads the baselines stored for `day` and such windows; empty where they are for others.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn from_bytes(bytes: &[u8], day: i64, context: usize) -> Result<Self, Damaged> {
        let (head, mut reader) = Reader::open::<DayHeader>(bytes)?;
        let mut instances = BTreeMap::new();
        if head.day == day && head.context == context as u64 {
            while let Some((instance, baseline)) = reader.record()? {
                instances.insert(instance, baseline);
            }
        }
        Ok(Self { instances })
    }

    /// The baseline of an instance, or why there is not one.
    pub fn known(&self, instance: &TargetId) -> Known<'_> {
        self.instances.get(instance).map_or(Known::NotYet, |baseline| baseline.as_ref().into())
    }

    /// Takes over the baselines in `others` of instances that belong to `part`. Theirs win,
    /// because other runs may have used them already.
    pub fn take_over(&mut self, others: Self, part: &Part) {
        self.instances
            .extend(others.instances.into_iter().filter(|(instance, _)| part.holds(instance)));
    }
}
