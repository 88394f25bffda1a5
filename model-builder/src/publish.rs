//! Putting an artifact into S3: first the artifact, under a key of its own for ever, last the pointer.

use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail, ensure};
use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_s3::primitives::ByteStream;
use deepguard::{Artifact, Detector, Series};
use serde::Serialize;

/// The name of the pointer below the prefix.
const POINTER: &str = "current";

/// A bucket and the prefix below which models are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    bucket: String,
    prefix: String,
}

impl FromStr for Destination {
    type Err = anyhow::Error;

    fn from_str(uri: &str) -> Result<Self> {
        let rest = uri.strip_prefix("s3://").context("a destination looks like s3://bucket/prefix")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        if bucket.is_empty() || prefix.is_empty() {
            bail!("name a bucket and a prefix: s3://bucket/prefix");
        }
        Ok(Self { bucket: bucket.into(), prefix: prefix.into() })
    }
}

/// What the pointer object says: which artifact is current.
#[derive(Debug, Serialize)]
struct Pointer<'a> {
    /// Key in the same bucket.
    key: &'a str,
    /// The artifact's own checksum.
    sha256: &'a str,
}

/// Checks the artifact, stores it, and moves the pointer.
///
/// # Errors
/// Where the artifact is not fit to score with, or S3 refuses; the pointer then stands as before.
pub(crate) fn publish(file: &[u8], to: &Destination) -> Result<()> {
    let artifact = Artifact::from_bytes(file)?;
    let (version, checksum) = (artifact.version(), artifact.checksum().to_string());
    check_scores(artifact)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
        put(&client(&config), file, &version, &checksum, to).await
    })
}

/// A client that also speaks to stores other than AWS's, which know buckets by path and not by host name.
fn client(config: &aws_config::SdkConfig) -> Client {
    let elsewhere = config.endpoint_url().is_some();
    Client::from_conf(aws_sdk_s3::config::Builder::from(config).force_path_style(elsewhere).build())
}

async fn put(client: &Client, file: &[u8], version: &str, checksum: &str, to: &Destination) -> Result<()> {
    let Destination { bucket, prefix } = to;
    let key = format!("{prefix}/{version}.safetensors");
    let body = ByteStream::from(file.to_vec());
    let stored = client.put_object().bucket(bucket).key(&key).if_none_match("*").body(body).send().await;
    match stored {
        Ok(_) => println!("stored s3://{bucket}/{key}"),
        // The key holds the checksum, so what is there should be these very bytes.
        Err(error) if error.code() == Some("PreconditionFailed") => {
            let there = client.get_object().bucket(bucket).key(&key).send().await;
            let there =
                there.map_err(|error| anyhow!("cannot read s3://{bucket}/{key}: {}", DisplayErrorContext(error)))?;
            let there =
                there.body.collect().await.with_context(|| format!("s3://{bucket}/{key} broke off"))?.into_bytes();
            ensure!(there == file, "s3://{bucket}/{key} exists and is another file: an artifact is never overwritten");
            println!("s3://{bucket}/{key} is there already");
        }
        Err(error) => bail!("cannot store s3://{bucket}/{key}: {}", DisplayErrorContext(error)),
    }
    let pointer = serde_json::to_vec(&Pointer { key: &key, sha256: checksum })?;
    let current = format!("{prefix}/{POINTER}");
    let moved = client.put_object().bucket(bucket).key(&current).content_type("application/json");
    moved.body(ByteStream::from(pointer)).send().await.map_err(|error| {
        anyhow!(
            "the artifact is stored, but the pointer s3://{bucket}/{current} is not moved: {}",
            DisplayErrorContext(error)
        )
    })?;
    println!("s3://{bucket}/{current} now points to it");
    Ok(())
}

/// Lets the artifact score a made-up day: what cannot do that must not be published.
fn check_scores(artifact: Artifact) -> Result<()> {
    let machine = &crate::simulate::fleet(0, 0)[0];
    let (series, _) = Series::from_datapoints(machine.datapoints.iter().copied())?;
    let detector = Detector::new(artifact, deepguard::model::device());
    let last_day = series.end() - deepguard::series::DAY_SECONDS..series.end();
    let scored = detector.follow(&series, last_day, &mut Default::default());
    ensure!(!scored.is_empty(), "the artifact scores nothing");
    let usable = |scored: &deepguard::Scored| {
        scored.score.value().is_finite() && scored.reconstruction.is_some_and(f64::is_finite)
    };
    ensure!(scored.iter().all(usable), "the artifact gives scores that are not finite: train it again");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations() {
        let parsed = |uri: &str| uri.parse::<Destination>();
        let expected = Destination { bucket: "b".into(), prefix: "models".into() };
        assert_eq!(parsed("s3://b/models").unwrap(), expected);
        assert_eq!(parsed("s3://b/models/").unwrap(), expected);
        for wrong in ["", "b/models", "s3://", "s3://b", "s3:///models", "https://b/models"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
