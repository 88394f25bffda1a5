//! Models in S3: artifacts and their cards under their versions, written once, and the pointers
//! that name one of them.
//!
//! Below the prefix of a [`Destination`]: `<version>.safetensors`, `<version>.json`, `current` and
//! `shadow`, and `promotions/<time>-<version>.json`, the record of a move of `current`.

use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use deepguard::Artifact;
use deepguard::model::artifact::MAX_BYTES;
use deepguard_aws::ids::ObjectUri;
use deepguard_aws::pointer::{POINTER_BYTES, Target};
use deepguard_aws::ports::{Condition, Fetched, ObjectError, Objects};
use deepguard_aws::s3::S3;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A bucket and the prefix below which models are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination(ObjectUri);

impl FromStr for Destination {
    type Err = anyhow::Error;

    fn from_str(uri: &str) -> Result<Self> {
        let trimmed = uri.trim_end_matches('/');
        let uri = trimmed
            .parse()
            .map_err(|_| anyhow!("`{uri}` is no place for models: give s3://bucket/prefix"))?;
        Ok(Self(uri))
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Destination {
    fn below(&self, name: &str) -> Result<ObjectUri> {
        Ok(self.0.beside(&format!("{}/{name}", self.0.key))?)
    }

    /// Where the artifact of this version is.
    pub(crate) fn artifact(&self, version: &str) -> Result<ObjectUri> {
        self.below(&format!("{version}.safetensors"))
    }

    /// Where the model card of this version is.
    pub(crate) fn card(&self, version: &str) -> Result<ObjectUri> {
        self.below(&format!("{version}.json"))
    }

    /// The pointer to the model that scores.
    pub(crate) fn current(&self) -> Result<ObjectUri> {
        self.below("current")
    }

    /// The pointer to the shadow, a model that scores beside the current one.
    pub(crate) fn shadow(&self) -> Result<ObjectUri> {
        self.below("shadow")
    }

    /// The record that `current` moved to this version at this time, for the `number`th time within
    /// its second.
    pub(crate) fn promotion(
        &self,
        time: Timestamp,
        version: &str,
        number: usize,
    ) -> Result<ObjectUri> {
        let again = if number > 1 { format!("-{number}") } else { String::new() };
        let time = time.strftime("%Y%m%dT%H%M%SZ");
        self.below(&format!("promotions/{time}-{version}{again}.json"))
    }

    /// The default address of the labels.
    pub(crate) fn labels(&self) -> Result<ObjectUri> {
        Ok(self.0.beside("settings/labels.json")?)
    }
}

/// The name of a version, as [`Artifact::version`] gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version(String);

impl FromStr for Version {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let usual = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let fits = (1..=100).contains(&text.len()) && text.chars().all(usual);
        ensure!(fits, "`{text}` is no version: they look like 2026-01-15-0123456789ab");
        Ok(Self(text.into()))
    }
}

impl Version {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A person's text: short enough for a pointer, and one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Words(String);

impl FromStr for Words {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        ensure!((1..=300).contains(&text.len()), "say it in 1 to 300 bytes");
        ensure!(!text.chars().any(char::is_control), "say it in one line");
        Ok(Self(text.into()))
    }
}

impl std::fmt::Display for Words {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The author of a change.
#[derive(Debug, Clone, Args)]
pub(crate) struct Who {
    /// Who does this, for the record.
    #[arg(
        long,
        value_name = "NAME",
        env = "USER",
        hide_env_values = true,
        default_value = "unknown"
    )]
    pub(crate) by: Words,
}

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

/// The content of the artifact at `uri`, checked.
async fn artifact<O: Objects>(objects: &O, uri: &ObjectUri) -> Result<Artifact> {
    match objects.get(uri, None, MAX_BYTES).await {
        Ok(Fetched::Object { bytes, .. }) => {
            Artifact::from_bytes(&bytes).with_context(|| format!("{uri} cannot be used"))
        }
        Ok(Fetched::Unchanged) => bail!("{uri}: \"not modified\", although no version is known"),
        Err(ObjectError::Missing { .. }) => {
            bail!("{uri} does not exist: publish it with `model-builder publish`")
        }
        Err(error) => Err(error.into()),
    }
}

/// The artifact of this version.
pub(crate) async fn stored<O: Objects>(
    objects: &O,
    to: &Destination,
    version: &Version,
) -> Result<(Target, Artifact)> {
    let uri = to.artifact(version.as_str())?;
    let artifact = artifact(objects, &uri).await?;
    let found = artifact.version();
    ensure!(
        found == version.as_str(),
        "{uri} is version {found}: it was not put there by `model-builder publish`"
    );
    Ok((Target { key: uri.key, sha256: artifact.checksum().into() }, artifact))
}

/// The artifact that a pointer at `uri` names as `target`.
pub(crate) async fn named<O: Objects>(
    objects: &O,
    uri: &ObjectUri,
    target: &Target,
) -> Result<Artifact> {
    let at = uri.beside(&target.key)?;
    let artifact = artifact(objects, &at).await?;
    ensure!(
        artifact.checksum() == target.sha256,
        "{at} has another checksum than the pointer {uri} says"
    );
    Ok(artifact)
}

/// Writes a pointer, unless another writer has changed it since `found`.
pub(crate) async fn point<O: Objects>(
    objects: &O,
    uri: &ObjectUri,
    found: &Found,
    pointer: &Pointer,
) -> Result<()> {
    let bytes = serde_json::to_vec(pointer)?;
    ensure!(bytes.len() <= POINTER_BYTES, "the pointer would have {} bytes: say less", bytes.len());
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

/// A move of the pointer `current`, and its record for later readers.
#[derive(Debug, Serialize)]
pub(crate) struct Move<'a, C: Serialize> {
    /// `promote` or `rollback`.
    pub(crate) action: &'static str,
    pub(crate) time: Timestamp,
    pub(crate) by: &'a Words,
    pub(crate) because: Option<&'a Words>,
    pub(crate) version: &'a str,
    pub(crate) target: &'a Target,
    pub(crate) previous: Option<&'a Target>,
    /// Facts that a reader should know before the rest.
    pub(crate) notes: Vec<String>,
    /// Objections that were overridden.
    pub(crate) objections: Vec<String>,
    /// How the two models compared.
    pub(crate) comparison: Option<&'a C>,
}

/// Moves to one version within one second that have a record each.
const SAME_SECOND: usize = 10;

impl<C: Serialize> Move<'_, C> {
    /// Moves the pointer, unless another writer has changed it since `found`, and records that.
    pub(crate) async fn make<O: Objects>(
        &self,
        objects: &O,
        to: &Destination,
        found: &Found,
    ) -> Result<()> {
        let uri = to.current()?;
        let pointer = Pointer {
            target: self.target.clone(),
            promoted: Some(self.time),
            by: Some(self.by.clone()),
            because: self.because.cloned(),
            previous: self.previous.cloned(),
        };
        point(objects, &uri, found, &pointer).await?;
        let before =
            self.previous.map(|target| format!(" and pointed to {} before", target.version()));
        println!(
            "{uri} points to {} now{}; the next run scores with it",
            self.version,
            before.unwrap_or_default()
        );
        println!("recorded in {}", self.record(objects, to).await?);
        Ok(())
    }

    /// Writes the record. The pointer has already moved by then, and stays there.
    async fn record<O: Objects>(&self, objects: &O, to: &Destination) -> Result<ObjectUri> {
        let content = serde_json::to_vec_pretty(self)?;
        for number in 1..=SAME_SECOND {
            let uri = to.promotion(self.time, self.version, number)?;
            let written = objects.put(&uri, Condition::New, content.clone()).await;
            let written = written.with_context(|| {
                format!("the pointer has moved, but {uri} could not be written")
            })?;
            if written.is_some() {
                return Ok(uri);
            }
        }
        bail!("the pointer has moved {SAME_SECOND} times within a second: this move has no record")
    }
}

/// Now, in whole seconds.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Calls `work` with the S3 of the account whose credentials are present.
pub(crate) fn with_aws<T>(
    work: impl AsyncFnOnce(aws_config::SdkConfig, S3) -> Result<T>,
) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let (config, from) = deepguard_aws::client::checked_config().await?;
        let s3 = S3::new(deepguard_aws::client::s3(&config));
        work(config, s3).await.with_context(|| format!("with {from}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bucket;

    #[test]
    fn destinations() {
        let parsed = |uri: &str| uri.parse::<Destination>();
        for right in ["s3://my-models/models", "s3://my-models/models/"] {
            let to = parsed(right).unwrap();
            assert_eq!(
                to.artifact("v1").unwrap().to_string(),
                "s3://my-models/models/v1.safetensors"
            );
            assert_eq!(to.labels().unwrap().to_string(), "s3://my-models/settings/labels.json");
            let at = |number| to.promotion("2026-01-15T12:00:00Z".parse().unwrap(), "v1", number);
            let key = |number| at(number).unwrap().key;
            assert_eq!(key(1), "models/promotions/20260115T120000Z-v1.json");
            assert_eq!(key(2), "models/promotions/20260115T120000Z-v1-2.json");
        }
        for wrong in [
            "",
            "my-models/models",
            "s3://",
            "s3://my-models",
            "s3:///models",
            "https://my-models/models",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn versions_and_words_are_short_and_harmless() {
        assert!("2026-01-15-0123456789ab".parse::<Version>().is_ok());
        for wrong in ["", "a/b", "../a", "a b", &"v".repeat(101)] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
        assert_eq!(" it is \"fine\" ".parse::<Words>().unwrap().to_string(), "it is \"fine\"");
        for wrong in ["", "  ", "a\nb", &"w".repeat(301)] {
            assert!(wrong.parse::<Words>().is_err(), "{wrong}");
        }
        let longest = Pointer {
            target: Target { key: "k".repeat(1024), sha256: "0".repeat(64) },
            promoted: Some(Timestamp::MAX),
            by: Some("\"".repeat(300).parse().unwrap()),
            because: Some("\"".repeat(300).parse().unwrap()),
            previous: Some(Target { key: "k".repeat(1024), sha256: "0".repeat(64) }),
        };
        let bytes = serde_json::to_vec(&longest).unwrap();
        assert!(
            bytes.len() <= POINTER_BYTES,
            "the function reads no longer pointer than {}",
            bytes.len()
        );
    }

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
        let pointer =
            Pointer { target, promoted: Some(now()), by: None, because: None, previous: None };
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
}
