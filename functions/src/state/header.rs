//! The first record of the stored state, in the form of this build and of earlier ones.

use deepguard::incident::{Incidents, Labels, Restless, Weekly};
use deepguard_aws::alert::Kind;
use deepguard_aws::ids::TargetId;
use deepguard_aws::metric::Datum;
use serde::{Deserialize, Deserializer, Serialize};

use crate::alert::ledger::Ledger;
use crate::alert::pending::Pending;
use crate::alert::together::Together;
use crate::spent::Spent;
use crate::state::tally::Tally;
use crate::watched::roster::StoredTags;

/// The first record.
///
/// A build that ends after `earlier` reads it all the same, because [postcard] ignores what follows
/// the last field that it knows. So a program can be rolled back.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StateHeader {
    pub(super) earlier: EarlierHeader,
    pub(super) alerts: Vec<Pending>,
    pub(super) incidents: Incidents<TargetId>,
    pub(super) ledger: Ledger,
    /// The positions of the alerts that still have to go to the chat.
    #[serde(deserialize_with = "or_default")]
    pub(super) chats: Vec<u32>,
    /// The labels of the incidents.
    #[serde(deserialize_with = "or_default")]
    pub(super) labels: Labels<TargetId>,
    /// The process that wrote it, or 0. Two processes that decide the same write different bytes,
    /// so that each knows which of them was first.
    #[serde(deserialize_with = "or_default")]
    pub(super) writer: u64,
    #[serde(deserialize_with = "or_default")]
    pub(super) tags: StoredTags,
    #[serde(deserialize_with = "or_default")]
    pub(super) together: Together,
    #[serde(deserialize_with = "or_default")]
    pub(super) spent: Spent,
    #[serde(deserialize_with = "or_default")]
    pub(super) restless: Restless,
    #[serde(deserialize_with = "or_default")]
    pub(super) weekly: Weekly<TargetId>,
    /// See [`Incidents::begun`].
    #[serde(deserialize_with = "or_default")]
    pub(super) begun: Option<i64>,
}

/// The first record of the builds that stored alerts in words.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EarlierHeader {
    pub(super) model: String,
    pub(super) instances: u64,
    pub(super) outbox: Vec<Datum>,
    /// Written without any. The words of another build are not sent: whoever can write the state
    /// could write them.
    pub(super) worded: Vec<Worded>,
    pub(super) tally: Tally,
}

/// An alert in words.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Worded {
    pub(super) kind: Kind,
    pub(super) time: i64,
    pub(super) instance: TargetId,
    pub(super) detail: String,
}

/// A field at the end of a record. A build without it ignores it, and where such a build has
/// written the record, it is missing: then it is empty. Damage is found before, by the checksum.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(T::deserialize(deserializer).unwrap_or_default())
}
