//! Where the parts of a divided fleet give each other their digests:
//! `shards/<division>/digests/<due>/<shard>`, and `told` beside them.

use std::collections::BTreeMap;

use deepguard_aws::ids::ObjectUri;
use deepguard_aws::ports::{Condition, Fetched, ObjectError, Objects};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::alert::together::{Shared, Told};
use crate::state::part::Part;
use crate::state::store::{DIGESTS, STATES, Store};

/// The name beside the digests of what the first part tells.
const TOLD: &str = "told";
/// No digest is larger: fifty pages, ten notices, and what is quiet.
const MAX_BYTES: usize = 1 << 20;

/// A digest that a part has given: `None` where it sends its own.
pub type Given = Option<Shared>;

impl<O: Objects> Store<O> {
    /// Gives the digest of `part` for `due` (seconds since 1970) to the first part, or takes it
    /// back. Whether that is written.
    pub async fn give_digest(&self, part: &Part, due: i64, given: Option<&Shared>) -> bool {
        self.write(part, due, &part.shard().number().to_string(), &given).await
    }

    /// The digests that the other parts have given for `due`, by the number of the part. One that
    /// cannot be read is missing.
    pub async fn given_digests(&self, part: &Part, due: i64) -> BTreeMap<u32, Given> {
        let mut given = BTreeMap::new();
        let Some(folder) = self.digest_uri(part, due, None) else { return given };
        let listed = match self.place.objects.list(&folder).await {
            Ok(listed) => listed,
            Err(error) => {
                warn!(%error, "the digests of the other shards cannot be listed");
                return given;
            }
        };
        let number = |uri: &ObjectUri| uri.key.rsplit('/').next()?.parse::<u32>().ok();
        for object in listed {
            let Some(number) = number(&object.uri).filter(|n| *n != part.shard().number()) else {
                continue;
            };
            match self.parsed(&object.uri).await {
                Ok(Some(digest)) => drop(given.insert(number, digest)),
                Ok(None) => {}
                Err(error) => warn!(%error, "the digest of a shard is left out"),
            }
        }
        given
    }

    /// Says which digests the first part tells of. Whether that is written.
    pub async fn tell_digests(&self, part: &Part, told: &Told) -> bool {
        self.write(part, told.due, TOLD, told).await
    }

    /// Which digests for `due` the first part tells of; `None` as long as it has not decided.
    ///
    /// # Errors
    /// Where that is not known.
    pub async fn told_digests(&self, part: &Part, due: i64) -> Result<Option<Told>, ObjectError> {
        match self.digest_uri(part, due, Some(TOLD)) {
            Some(uri) => self.parsed(&uri).await,
            None => Ok(None),
        }
    }

    /// The address of an object for `due`, or of their folder. `None` where nothing is stored.
    fn digest_uri(&self, part: &Part, due: i64, name: Option<&str>) -> Option<ObjectUri> {
        let folder = format!("{STATES}/{}{DIGESTS}{due}", part.folder());
        self.place.uri(&name.map_or(folder.clone(), |name| format!("{folder}/{name}"))).ok()?
    }

    async fn write(&self, part: &Part, due: i64, name: &str, content: &impl Serialize) -> bool {
        let Some(uri) = self.digest_uri(part, due, Some(name)) else { return false };
        let Ok(bytes) = serde_json::to_vec(content) else { return false };
        let written = self.place.objects.put(&uri, Condition::None, bytes).await;
        written.inspect_err(|error| warn!(%error, "a digest is not given yet")).is_ok()
    }

    /// The object at `uri`; `None` where it does not exist, or is damaged.
    async fn parsed<T: DeserializeOwned>(&self, uri: &ObjectUri) -> Result<Option<T>, ObjectError> {
        match self.place.objects.get(uri, None, MAX_BYTES).await {
            Ok(Fetched::Object { bytes, .. }) => Ok(serde_json::from_slice(&bytes)
                .inspect_err(|error| warn!(%uri, %error, "it is damaged"))
                .ok()),
            Ok(Fetched::Unchanged) | Err(ObjectError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
