//! Models in S3: artifacts and their cards under their versions, written once, and the pointers
//! that name one of them.
//!
//! Below the prefix of a [`Destination`]: `<version>.safetensors`, `<version>.json`, `current` and
//! `shadow`, and `promotions/<time>-<version>.json`, the record of a move of `current`.

use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail, ensure};
use deepguard::Artifact;
use deepguard::model::artifact::MAX_BYTES;
use deepguard_aws::ids::ObjectUri;
use deepguard_aws::pointer::Target;
use deepguard_aws::ports::{Condition, Fetched, ObjectError, Objects};
use jiff::Timestamp;
use serde::Serialize;

use crate::common::pointers::{self, Found, Pointer};
use crate::common::words::Words;

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
        pointers::point(objects, &uri, found, &pointer).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn versions_are_short_and_harmless() {
        assert!("2026-01-15-0123456789ab".parse::<Version>().is_ok());
        for wrong in ["", "a/b", "../a", "a b", &"v".repeat(101)] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
    }
}
