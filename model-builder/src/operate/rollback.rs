//! Moves pointers without comparing: back to the previous model, and the shadow.

use anyhow::{Context, Result, bail};
use clap::Args;
use deepguard_aws::ports::{Objects, Removable};
use jiff::Timestamp;

use crate::common::access;
use crate::common::models::{self, Destination, Move, Version};
use crate::common::pointers::{self, Found, Pointer};
use crate::common::words::{Who, Words};
use crate::operate::publish::check_scores;

/// The arguments of `rollback`.
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// Where the models are: `s3://bucket/prefix`.
    #[arg(long, value_name = "URI")]
    to: Destination,
    /// The version to go back to; the one before the current unless given.
    #[arg(long)]
    version: Option<Version>,
    /// Why, for the record.
    #[arg(long, value_name = "REASON")]
    because: Option<Words>,
    #[command(flatten)]
    who: Who,
}

/// The arguments of `shadow`.
#[derive(Debug, Args)]
pub(crate) struct ShadowArgs {
    /// Where the models are: `s3://bucket/prefix`.
    #[arg(long, value_name = "URI")]
    to: Destination,
    /// The version that shall score beside the current one.
    #[arg(long, required_unless_present = "off", conflicts_with = "off")]
    version: Option<Version>,
    /// No model shall score beside the current one.
    #[arg(long)]
    off: bool,
    #[command(flatten)]
    who: Who,
}

/// Moves the pointer back, in effect at the next run.
///
/// # Errors
/// Where there is nothing to go back to, or it cannot be loaded; the pointer then stands as before.
pub(crate) fn rollback(args: &RollbackArgs) -> Result<()> {
    access::with_aws(async |_, s3| roll_back(&s3, args, models::now()).await)
}

async fn roll_back<O: Objects>(objects: &O, args: &RollbackArgs, now: Timestamp) -> Result<()> {
    let uri = args.to.current()?;
    let found = Found::at(objects, &uri).await?;
    let (target, artifact) = match (&args.version, &found) {
        (Some(version), _) => models::stored(objects, &args.to, version).await?,
        (None, Found::Pointer { pointer, .. }) => {
            let target = pointer.previous.clone();
            let target = target.with_context(|| {
                format!("{uri} has named no other model before: give --version")
            })?;
            let artifact = models::named(objects, &uri, &target).await?;
            (target, artifact)
        }
        (None, Found::Nothing) => {
            bail!("{uri} does not exist, so there is nothing to go back from: give --version")
        }
        (None, Found::Unreadable { why, .. }) => {
            bail!("{why}. The version that it named before is lost: give --version")
        }
    };
    let version = artifact.version();
    check_scores(artifact)?;
    let notes = match &found {
        Found::Unreadable { why, .. } => vec![why.clone()],
        _ => Vec::new(),
    };
    let back = Move::<()> {
        action: "rollback",
        time: now,
        by: &args.who.by,
        because: args.because.as_ref(),
        version: &version,
        target: &target,
        previous: found.target().filter(|previous| **previous != target),
        notes,
        objections: Vec::new(),
        comparison: None,
    };
    back.make(objects, &args.to, &found).await
}

/// Starts a version as the shadow beside the current model, or ends the shadow.
///
/// # Errors
/// Where it cannot be loaded, or S3 refuses.
pub(crate) fn shadow(args: &ShadowArgs) -> Result<()> {
    access::with_aws(async |_, s3| set_shadow(&s3, args, models::now()).await)
}

async fn set_shadow<O: Removable>(objects: &O, args: &ShadowArgs, now: Timestamp) -> Result<()> {
    let uri = args.to.shadow()?;
    let Some(version) = &args.version else {
        objects.remove(&uri).await?;
        println!("{uri} is gone; the next run scores with the current model alone");
        return Ok(());
    };
    let found = Found::at(objects, &uri).await?;
    let (target, artifact) = models::stored(objects, &args.to, version).await?;
    check_scores(artifact)?;
    let previous = found.target().filter(|previous| **previous != target).cloned();
    let pointer = Pointer {
        target,
        promoted: Some(now),
        by: Some(args.who.by.clone()),
        because: None,
        previous,
    };
    pointers::point(objects, &uri, &found, &pointer).await?;
    println!(
        "{uri} points to {}; the next run scores with it beside the current model",
        version.as_str()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bucket, artifact, artifact_with_threshold, put};

    const CURRENT: &str = "s3://my-models/models/current";
    const SHADOW: &str = "s3://my-models/models/shadow";

    fn who() -> Who {
        Who { by: "somebody".parse().unwrap() }
    }

    fn back_to(version: Option<&str>) -> RollbackArgs {
        RollbackArgs {
            to: "s3://my-models/models".parse().unwrap(),
            version: version.map(|version| version.parse().unwrap()),
            because: Some("it pages too much".parse().unwrap()),
            who: who(),
        }
    }

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(1_768_478_400 + second).unwrap()
    }

    #[tokio::test]
    async fn two_moves_within_a_second_have_a_record_each() {
        let bucket = Bucket::default();
        let version = put(&bucket, &artifact());
        for _ in 0..2 {
            roll_back(&bucket, &back_to(Some(&version)), time(0)).await.unwrap();
        }
        for again in ["", "-2"] {
            let record = format!("promotions/20260115T120000Z-{version}{again}.json");
            let record = bucket.json(&format!("s3://my-models/models/{record}"));
            assert_eq!(record["action"], "rollback");
        }
    }

    #[tokio::test]
    async fn back_and_forth_with_a_record_of_each() {
        let bucket = Bucket::default();
        let (old, new) = (put(&bucket, &artifact()), put(&bucket, &artifact_with_threshold(3.0)));
        let error = roll_back(&bucket, &back_to(None), time(0)).await.unwrap_err().to_string();
        assert!(
            error.contains("does not exist, so there is nothing to go back from: give --version"),
            "{error}"
        );
        roll_back(&bucket, &back_to(Some(&old)), time(1)).await.unwrap();
        let error = roll_back(&bucket, &back_to(None), time(2)).await.unwrap_err().to_string();
        assert!(error.contains("has named no other model before: give --version"), "{error}");
        roll_back(&bucket, &back_to(Some(&new)), time(3)).await.unwrap();
        for (second, expected) in [(4, &old), (5, &new), (6, &old)] {
            roll_back(&bucket, &back_to(None), time(second)).await.unwrap();
            let pointer = bucket.json(CURRENT);
            assert_eq!(pointer["key"], format!("models/{expected}.safetensors"));
            assert_eq!(pointer["promoted"], time(second).to_string());
            let record = format!(
                "s3://my-models/models/promotions/{}-{expected}.json",
                time(second).strftime("%Y%m%dT%H%M%SZ")
            );
            let record = bucket.json(&record);
            assert_eq!(
                (&record["action"], &record["because"]),
                (&"rollback".into(), &"it pages too much".into())
            );
            assert_eq!(record["previous"], pointer["previous"]);
        }
    }

    #[tokio::test]
    async fn a_pointer_moves_to_nothing_that_cannot_score() {
        let bucket = Bucket::default();
        let (old, new) = (put(&bucket, &artifact()), put(&bucket, &artifact_with_threshold(3.0)));
        for version in [&old, &new] {
            roll_back(&bucket, &back_to(Some(version)), time(i64::from(*version == new)))
                .await
                .unwrap();
        }
        let before = bucket.text(CURRENT);
        bucket.store(&format!("s3://my-models/models/{old}.safetensors"), "damaged");
        for (version, why) in [
            (None, "cannot be used"),
            (Some(old.as_str()), "cannot be used"),
            (Some("v1"), "does not exist"),
        ] {
            let error =
                format!("{:#}", roll_back(&bucket, &back_to(version), time(9)).await.unwrap_err());
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(bucket.text(CURRENT), before);

        // If a pointer cannot be read, only a named version helps.
        bucket.store(CURRENT, "{");
        let error = roll_back(&bucket, &back_to(None), time(10)).await.unwrap_err().to_string();
        assert!(error.contains("is no pointer") && error.contains("give --version"), "{error}");
        roll_back(&bucket, &back_to(Some(&new)), time(11)).await.unwrap();
        assert_eq!(bucket.json(CURRENT)["previous"], serde_json::Value::Null);
    }

    #[tokio::test]
    async fn the_shadow_comes_and_goes() {
        let bucket = Bucket::default();
        let version = put(&bucket, &artifact());
        let args = |version: Option<&str>| ShadowArgs {
            to: "s3://my-models/models".parse().unwrap(),
            version: version.map(|version| version.parse().unwrap()),
            off: version.is_none(),
            who: who(),
        };
        let error = set_shadow(&bucket, &args(Some("v1")), time(0)).await.unwrap_err().to_string();
        assert!(error.contains("v1.safetensors does not exist: publish it"), "{error}");
        set_shadow(&bucket, &args(Some(&version)), time(1)).await.unwrap();
        assert_eq!(bucket.json(SHADOW)["sha256"], artifact().checksum());
        assert_eq!(bucket.text(CURRENT), None, "the current model is another pointer");
        for second in [2, 3] {
            set_shadow(&bucket, &args(None), time(second)).await.unwrap();
            assert_eq!(bucket.text(SHADOW), None);
        }
    }
}
