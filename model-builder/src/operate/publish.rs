//! Puts an artifact into S3 under its version, for ever, with its model card and perhaps its
//! signature beside it. The function does not score with it yet.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use deepguard::model::artifact::MAX_BYTES;
use deepguard::series::DAY;
use deepguard::{Artifact, Detector, Series};
use deepguard_aws::ids::ObjectUri;
use deepguard_aws::pointer::Target;
use deepguard_aws::ports::{Condition, Fetched, Objects};
use deepguard_aws::signature::{SIGNATURE, SigningKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::common::access;
use crate::common::models::{self, Destination};
use crate::common::words::Words;

/// The card beside a stored artifact, for people: the contents and origin of the artifact, and who
/// stored it when.
#[derive(Debug, Serialize)]
struct ModelCard<'a> {
    version: &'a str,
    #[serde(flatten)]
    target: &'a Target,
    file: File,
    published: Timestamp,
    by: &'a Words,
    data: Data,
    threshold: f64,
    /// The artifact's own card: shape, scaling, training with its metrics and the hashes of its
    /// data.
    card: &'a deepguard::model::card::Card,
}

/// The file as it was stored.
#[derive(Debug, Serialize)]
struct File {
    bytes: usize,
    /// Of the whole file, as `sha256sum` gives it. (The artifact's own is taken with its place
    /// empty.)
    sha256: String,
}

/// The training data of the model.
#[derive(Debug, Serialize)]
struct Data {
    files: usize,
    datapoints: usize,
    /// Days that the datapoints make, at five minutes each.
    days: f64,
    /// Generated machines beside the files.
    generated: usize,
}

/// The part of a stored card that must be the artifact's.
#[derive(Debug, Deserialize)]
struct Stored {
    sha256: String,
}

/// Checks the artifact and stores it with its card.
///
/// # Errors
/// Where the artifact is not fit to score with, or S3 refuses, or something else is stored there,
/// or `sign` is no file with a key.
pub(crate) fn publish(
    file: &[u8],
    to: &Destination,
    sign: Option<&Path>,
    by: &Words,
) -> Result<()> {
    let artifact = Artifact::from_bytes(file)?;
    check_scores(artifact.clone())?;
    let key = sign.map(signing_key).transpose()?;
    access::with_aws(async |_, s3| {
        store(&s3, file, &artifact, to, key.as_ref(), by, models::now()).await
    })
}

fn signing_key(path: &Path) -> Result<SigningKey> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.parse().with_context(|| path.display().to_string())
}

async fn store<O: Objects>(
    objects: &O,
    file: &[u8],
    artifact: &Artifact,
    to: &Destination,
    key: Option<&SigningKey>,
    by: &Words,
    now: Timestamp,
) -> Result<()> {
    let version = artifact.version();
    let uri = to.artifact(&version)?;
    if let Some(key) = key {
        // First, so that no function finds the artifact without it.
        let signature = uri.beside(&format!("{}{SIGNATURE}", uri.key))?;
        let signed = key.sign(artifact.checksum());
        once(objects, &signature, signed.clone().into_bytes(), |there| there == signed.as_bytes())
            .await?;
        if let Some(public) = key.public_key() {
            println!("signed: deploy with ModelPublicKey={public} to use no other models");
        }
    }
    // The key holds the checksum, so the stored object should have these very bytes.
    once(objects, &uri, file.to_vec(), |there| there == file).await?;

    let target = Target { key: uri.key, sha256: artifact.checksum().into() };
    let training = &artifact.card().training;
    let datapoints = training.files.iter().map(|file| file.datapoints).sum();
    let card = ModelCard {
        version: &version,
        target: &target,
        file: File { bytes: file.len(), sha256: hex(file) },
        published: now,
        by,
        data: Data {
            files: training.files.len(),
            datapoints,
            days: (datapoints as f64 / DAY as f64 * 10.0).round() / 10.0,
            generated: training.generated,
        },
        threshold: artifact.card().threshold,
        card: artifact.card(),
    };
    // If it is published again, the first card stays.
    let same = |there: &[u8]| {
        serde_json::from_slice(there).is_ok_and(|card: Stored| card.sha256 == target.sha256)
    };
    once(objects, &to.card(&version)?, serde_json::to_vec_pretty(&card)?, same).await?;
    println!(
        "Nothing scores with it yet. To compare it with the current model on your own CPU and move \
         the pointer:\n  \
         model-builder promote --to {to} --version {version}\n\
         To score with both for a while and publish this one's under Shadow* metrics:\n  \
         model-builder shadow --to {to} --version {version}"
    );
    Ok(())
}

/// Writes an object that must not change afterwards. An existing object must be the `same`.
async fn once<O: Objects>(
    objects: &O,
    uri: &ObjectUri,
    bytes: Vec<u8>,
    same: impl Fn(&[u8]) -> bool,
) -> Result<()> {
    if objects.put(uri, Condition::New, bytes).await?.is_some() {
        println!("stored {uri}");
        return Ok(());
    }
    match objects.get(uri, None, MAX_BYTES).await? {
        Fetched::Object { bytes, .. } => {
            ensure!(
                same(&bytes),
                "{uri} exists and is another file: a published file is never overwritten"
            );
        }
        Fetched::Unchanged => bail!("{uri}: \"not modified\", although no version is known"),
    }
    println!("{uri} is there already");
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lets the artifact score a made-up day. An artifact that cannot do so must not be published or
/// pointed to.
pub(crate) fn check_scores(artifact: Artifact) -> Result<()> {
    let machine = &crate::build::simulate::fleet(0, 0)[0];
    let (series, _) = Series::from_datapoints(machine.datapoints.iter().copied())?;
    let detector = Detector::new(artifact, &deepguard::model::device());
    let scored = detector.follow(&series, &mut Default::default(), series.end());
    ensure!(!scored.is_empty(), "the artifact scores nothing");
    let usable = |scored: &deepguard::Scored| {
        scored.score.value().is_finite() && scored.reconstruction.is_some_and(f64::is_finite)
    };
    ensure!(
        scored.iter().all(usable),
        "the artifact gives scores that are not finite: train it again"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Bucket};

    fn to() -> Destination {
        "s3://my-models/models".parse().unwrap()
    }

    async fn publish_at(bucket: &Bucket, time: &str) -> Result<()> {
        let artifact = testing::artifact();
        let by = "anna".parse().unwrap();
        store(
            bucket,
            deepguard::model::artifact::BUILTIN,
            &artifact,
            &to(),
            None,
            &by,
            time.parse().unwrap(),
        )
        .await
    }

    #[tokio::test]
    async fn artifact_and_card_are_stored_once_and_no_pointer_moves() {
        let (bucket, artifact) = (Bucket::default(), testing::artifact());
        let at = |name: &str| format!("s3://my-models/models/{}{name}", artifact.version());
        publish_at(&bucket, "2026-01-15T12:00:00Z").await.unwrap();
        assert_eq!(bucket.keys(), [at(".json"), at(".safetensors")]);
        let card = bucket.json(&at(".json"));
        assert_eq!(card["sha256"], artifact.checksum());
        assert_eq!(card["key"], format!("models/{}.safetensors", artifact.version()));
        assert_eq!(card["file"]["bytes"], deepguard::model::artifact::BUILTIN.len());
        assert_eq!(
            (&card["published"], &card["by"]),
            (&"2026-01-15T12:00:00Z".into(), &"anna".into())
        );
        assert_eq!(card["data"]["files"], artifact.card().training.files.len());
        assert_eq!(card["card"], serde_json::to_value(artifact.card()).unwrap());

        publish_at(&bucket, "2026-02-01T12:00:00Z").await.unwrap();
        assert_eq!(bucket.json(&at(".json")), card, "published again, nothing changes");
    }

    #[tokio::test]
    async fn what_is_stored_is_never_overwritten_and_what_cannot_be_stored_is_told() {
        let version = testing::artifact().version();
        let (file, card) = (format!("{version}.safetensors"), format!("{version}.json"));
        for (name, content) in
            [(&file, "another"), (&card, r#"{"sha256":"another"}"#), (&card, "no card")]
        {
            let bucket = Bucket::default();
            let uri = format!("s3://my-models/models/{name}");
            bucket.store(&uri, content);
            let error =
                format!("{:#}", publish_at(&bucket, "2026-01-15T12:00:00Z").await.unwrap_err());
            assert!(error.contains(&format!("{uri} exists and is another file")), "{error}");
            assert_eq!(bucket.text(&uri).as_deref(), Some(content));
        }
        let bucket = Bucket::default();
        bucket.locked.borrow_mut().insert(format!("s3://my-models/models/{file}"));
        let error = format!("{:#}", publish_at(&bucket, "2026-01-15T12:00:00Z").await.unwrap_err());
        assert!(error.contains(&file) && error.contains("said the script"), "{error}");
        assert_eq!(bucket.keys(), [""; 0], "no card without its artifact");
    }

    #[test]
    fn what_cannot_be_loaded_is_not_published() {
        let error = publish(b"no artifact", &to(), None, &"anna".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("not a DeepGuard artifact"));
    }
}
