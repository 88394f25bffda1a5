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
    let detector = Detector::new(artifact, &deepguard::model::device());
    let scored = detector.follow(&series, &mut Default::default(), series.end());
    ensure!(!scored.is_empty(), "the artifact scores nothing");
    let usable = |scored: &deepguard::Scored| {
        scored.score.value().is_finite() && scored.reconstruction.is_some_and(f64::is_finite)
    };
    ensure!(scored.iter().all(usable), "the artifact gives scores that are not finite: train it again");
    Ok(())
}

#[cfg(test)]
mod tests {
    use wiremock::matchers::{method, path};
    use wiremock::{Mock, MockServer, Request, ResponseTemplate};

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

    const KEY: &str = "/b/models/v1.safetensors";
    const CURRENT: &str = "/b/models/current";
    const FILE: &[u8] = b"an artifact";

    /// Publishes [`FILE`] to a store that answers as told: gives the outcome, and the requests for artifact and pointer.
    async fn published(answers: &[(&str, &str, ResponseTemplate)]) -> (Result<()>, Vec<Request>) {
        let server = MockServer::builder().start().await;
        for (verb, key, answer) in answers {
            Mock::given(method(*verb)).and(path(*key)).respond_with(answer.clone()).mount(&server).await;
        }
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
            .region(aws_sdk_s3::config::Region::new("us-east-1"))
            .credentials_provider(aws_sdk_s3::config::Credentials::new("key", "secret", None, None, "test"))
            .retry_config(aws_sdk_s3::config::retry::RetryConfig::disabled())
            .force_path_style(true)
            .endpoint_url(server.uri())
            .build();
        let to = Destination { bucket: "b".into(), prefix: "models".into() };
        let outcome = put(&Client::from_conf(config), FILE, "v1", "c0ffee", &to).await;
        (outcome, server.received_requests().await.unwrap())
    }

    fn refused(status: u16, code: &str) -> ResponseTemplate {
        ResponseTemplate::new(status)
            .set_body_string(format!("<Error><Code>{code}</Code><Message>no</Message></Error>"))
    }

    fn pointers(requests: &[Request]) -> Vec<&Request> {
        requests.iter().filter(|request| request.url.path() == CURRENT).collect()
    }

    #[tokio::test]
    async fn the_artifact_comes_first_and_the_pointer_last() {
        let ok = || ResponseTemplate::new(200);
        let (outcome, requests) = published(&[("PUT", KEY, ok()), ("PUT", CURRENT, ok())]).await;
        outcome.unwrap();
        assert_eq!(requests.iter().map(|request| request.url.path()).collect::<Vec<_>>(), [KEY, CURRENT]);
        assert_eq!(requests[0].headers["if-none-match"], "*", "an artifact is never overwritten");
        let pointer = String::from_utf8_lossy(&requests[1].body);
        assert!(pointer.contains(r#"{"key":"models/v1.safetensors","sha256":"c0ffee"}"#), "{pointer}");
    }

    #[tokio::test]
    async fn publishing_again_moves_the_pointer_alone() {
        let there = ResponseTemplate::new(200).set_body_bytes(FILE);
        let answers = [
            ("PUT", KEY, refused(412, "PreconditionFailed")),
            ("GET", KEY, there),
            ("PUT", CURRENT, ResponseTemplate::new(200)),
        ];
        let (outcome, requests) = published(&answers).await;
        outcome.unwrap();
        assert_eq!(pointers(&requests).len(), 1);
    }

    #[tokio::test]
    async fn the_pointer_stays_where_the_artifact_is_not_stored() {
        let conflict = refused(412, "PreconditionFailed");
        let other = ResponseTemplate::new(200).set_body_bytes(b"another");
        let cases: [(Vec<_>, &str); 3] = [
            (vec![("PUT", KEY, refused(403, "AccessDenied"))], "cannot store s3://b/models/v1.safetensors"),
            (vec![("PUT", KEY, conflict.clone()), ("GET", KEY, other)], "exists and is another file"),
            (vec![("PUT", KEY, conflict), ("GET", KEY, refused(403, "AccessDenied"))], "cannot read s3://b/models/v1"),
        ];
        for (answers, told) in cases {
            let (outcome, requests) = published(&answers).await;
            let error = format!("{:#}", outcome.unwrap_err());
            assert!(error.contains(told), "{error}");
            assert_eq!(pointers(&requests).len(), 0);
        }
    }

    #[tokio::test]
    async fn a_pointer_that_cannot_be_moved_is_told() {
        let answers = [("PUT", KEY, ResponseTemplate::new(200)), ("PUT", CURRENT, refused(403, "AccessDenied"))];
        let error = format!("{:#}", published(&answers).await.0.unwrap_err());
        assert!(
            error.contains("the artifact is stored, but the pointer s3://b/models/current is not moved"),
            "{error}"
        );
    }

    #[test]
    fn what_cannot_be_loaded_is_not_published() {
        let to = "s3://b/models".parse().unwrap();
        assert!(publish(b"no artifact", &to).unwrap_err().to_string().contains("not a DeepGuard artifact"));
    }
}
