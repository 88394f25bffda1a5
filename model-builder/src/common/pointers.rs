//! Pointers to models in a bucket: `current` and `shadow`.

use anyhow::{Result, bail, ensure};
use deepguard_aws::ids::ObjectUri;
use deepguard_aws::pointer::{POINTER_BYTES, Target};
use deepguard_aws::ports::{Condition, Fetched, ObjectError, Objects};
use deepguard_aws::signature::{SIGNATURE, SIGNATURE_BYTES};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::common::words::Words;

/// The content of a pointer. The function reads key and checksum. The rest is for people, and for a
/// rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pointer {
    #[serde(flatten)]
    pub(crate) target: Target,
    /// When it was moved to this artifact.
    #[serde(default)]
    pub(crate) promoted: Option<Timestamp>,
    /// Who moved it.
    #[serde(default)]
    pub(crate) by: Option<Words>,
    /// The reason, where one was given.
    #[serde(default)]
    pub(crate) because: Option<Words>,
    /// The version that it named before.
    #[serde(default)]
    pub(crate) previous: Option<Target>,
}

/// The content found at the place of a pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// A pointer.
    Pointer {
        /// The content.
        pointer: Pointer,
        /// Its version.
        etag: String,
    },
    /// Something else.
    Unreadable {
        /// The fault.
        why: String,
        /// Its version.
        etag: String,
    },
}

impl Found {
    /// Reads the pointer.
    pub(crate) async fn at<O: Objects>(objects: &O, uri: &ObjectUri) -> Result<Self> {
        let (bytes, etag) = match objects.get(uri, None, POINTER_BYTES).await {
            Ok(Fetched::Object { bytes, etag: Some(etag) }) => (bytes, etag),
            Ok(_) => bail!("{uri} came without an ETag: the server is not S3"),
            Err(ObjectError::Missing { .. }) => return Ok(Self::Nothing),
            Err(error) => return Err(error.into()),
        };
        Ok(match serde_json::from_slice(&bytes) {
            Ok(pointer) => Self::Pointer { pointer, etag },
            Err(error) => Self::Unreadable { why: format!("{uri} is no pointer: {error}"), etag },
        })
    }

    /// The condition for overwriting it.
    pub(crate) fn unchanged(&self) -> Condition<'_> {
        match self {
            Self::Nothing => Condition::New,
            Self::Pointer { etag, .. } | Self::Unreadable { etag, .. } => {
                Condition::Unchanged(etag)
            }
        }
    }

    /// The version that it names.
    pub(crate) fn target(&self) -> Option<&Target> {
        match self {
            Self::Pointer { pointer, .. } => Some(&pointer.target),
            _ => None,
        }
    }
}

/// Whether `next` has no signature, and the model that was found has one. A failure to read is no
/// answer: nothing may delay a rollback.
async fn lacks_signature<O: Objects>(
    objects: &O,
    uri: &ObjectUri,
    found: &Found,
    next: &Target,
) -> bool {
    let signature = async |target: &Target| {
        let beside = uri.beside(&format!("{}{SIGNATURE}", target.key)).ok()?;
        match objects.get(&beside, None, SIGNATURE_BYTES).await {
            Ok(_) => Some(true),
            Err(ObjectError::Missing { .. }) => Some(false),
            Err(_) => None,
        }
    };
    match found.target() {
        Some(before) => {
            signature(before).await == Some(true) && signature(next).await == Some(false)
        }
        None => false,
    }
}

/// Writes a pointer, unless another writer has changed it since `found`. Says so where the model
/// before is signed and this one is not.
pub(crate) async fn point<O: Objects>(
    objects: &O,
    uri: &ObjectUri,
    found: &Found,
    pointer: &Pointer,
) -> Result<()> {
    let bytes = serde_json::to_vec(pointer)?;
    ensure!(bytes.len() <= POINTER_BYTES, "the pointer would have {} bytes: say less", bytes.len());
    if lacks_signature(objects, uri, found, &pointer.target).await {
        println!(
            "{} has no signature, and the model before has one. Where ModelPublicKey is set, the \
             functions refuse it: publish it again with `--sign`.",
            pointer.target.key
        );
    }
    match objects.put(uri, found.unchanged(), bytes).await? {
        Some(_) => Ok(()),
        None => {
            bail!(
                "another writer has moved {uri} meanwhile, and it stays so: look at it, and try \
                 again"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bucket;

    #[tokio::test]
    async fn a_pointer_of_an_older_version_is_read_and_one_that_moved_is_not_written_over() {
        let bucket = Bucket::default();
        let uri: ObjectUri = "s3://my-models/models/current".parse().unwrap();
        assert_eq!(Found::at(&bucket, &uri).await.unwrap(), Found::Nothing);
        bucket.store(
            "s3://my-models/models/current",
            r#"{"key":"models/v1.safetensors","sha256":"c0ffee"}"#,
        );
        let found = Found::at(&bucket, &uri).await.unwrap();
        let target = found.target().unwrap().clone();
        assert_eq!((target.version(), target.sha256.as_str()), ("v1", "c0ffee"));
        let pointer = Pointer {
            target,
            promoted: Some(Timestamp::UNIX_EPOCH),
            by: None,
            because: None,
            previous: None,
        };
        point(&bucket, &uri, &found, &pointer).await.unwrap();
        assert_eq!(Found::at(&bucket, &uri).await.unwrap().target(), Some(&pointer.target));
        for stale in [found, Found::Nothing] {
            let error = point(&bucket, &uri, &stale, &pointer).await.unwrap_err().to_string();
            assert!(
                error.contains("another writer has moved s3://my-models/models/current"),
                "{error}"
            );
        }
        bucket.store("s3://my-models/models/current", "{");
        assert!(matches!(Found::at(&bucket, &uri).await.unwrap(), Found::Unreadable { .. }));
    }

    #[test]
    fn the_function_reads_the_longest_pointer() {
        let longest = Pointer {
            target: Target { key: "k".repeat(1024), sha256: "0".repeat(64) },
            promoted: Some(Timestamp::MAX),
            by: Some("\"".repeat(300).parse().unwrap()),
            because: Some("\"".repeat(300).parse().unwrap()),
            previous: Some(Target { key: "k".repeat(1024), sha256: "0".repeat(64) }),
        };
        let bytes = serde_json::to_vec(&longest).unwrap();
        assert!(bytes.len() <= POINTER_BYTES, "{} bytes", bytes.len());
    }

    #[tokio::test]
    async fn an_unsigned_model_after_a_signed_one_is_told() {
        let bucket = Bucket::default();
        let uri: ObjectUri = "s3://my-models/models/current".parse().unwrap();
        let to = |version: &str| Pointer {
            target: Target { key: format!("models/{version}.safetensors"), sha256: "0".repeat(64) },
            promoted: None,
            by: None,
            because: None,
            previous: None,
        };
        let lacks = async |version: &str| {
            let found = Found::at(&bucket, &uri).await.unwrap();
            lacks_signature(&bucket, &uri, &found, &to(version).target).await
        };
        assert!(!lacks("v1").await, "there is no model before");
        point(&bucket, &uri, &Found::Nothing, &to("v1")).await.unwrap();
        assert!(!lacks("v2").await, "neither is signed");
        bucket.store("s3://my-models/models/v1.safetensors.sig", "signed");
        assert!(lacks("v2").await);
        let found = Found::at(&bucket, &uri).await.unwrap();
        point(&bucket, &uri, &found, &to("v2")).await.unwrap();
        assert_eq!(
            Found::at(&bucket, &uri).await.unwrap().target(),
            Some(&to("v2").target),
            "a rollback in a hurry is not refused"
        );
    }
}
