//! People's verdicts on alerts: confirmed means that there was an anomaly, rejected means that
//! there was not. They are in one JSON file, in S3 or on disk.

use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use deepguard::Scored;
use deepguard_aws::ids::{ObjectUri, TargetId};
use deepguard_aws::ports::{Condition, Fetched, ObjectError, Objects};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::common::access;
use crate::common::models;
use crate::common::words::{Who, Words};

/// An alarm this number of seconds before or after a label belongs to it: half an hour.
pub(crate) const SLACK: i64 = 1800;
/// Larger than all labels of many years. A larger file is refused.
const MAX_BYTES: usize = 16 << 20;
/// Attempts to merge with concurrent writes of other people before giving up.
const TRIES: usize = 5;

/// A person's verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It was an anomaly.
    Confirmed,
    /// It was no anomaly.
    Rejected,
}

impl Verdict {
    /// The word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
        }
    }
}

/// One stretch of one instance, and its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Label {
    /// The instance.
    pub(crate) instance: TargetId,
    /// When it began.
    pub(crate) from: Timestamp,
    /// When it was over; the same as `from` where the person gave no end.
    pub(crate) until: Timestamp,
    /// The verdict.
    pub(crate) verdict: Verdict,
    /// A note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<Words>,
    /// Who gave the verdict.
    pub(crate) by: Words,
    /// When it was given.
    pub(crate) at: Timestamp,
}

impl Label {
    /// Its stretch in seconds since 1970, its last second included.
    pub(crate) fn range(&self) -> Range<i64> {
        self.from.as_second()..self.until.as_second() + 1
    }

    /// The stretch in which an alarm belongs to it.
    pub(crate) fn reach(&self) -> Range<i64> {
        let Range { start, end } = self.range();
        start - SLACK..end + SLACK
    }
}

/// All labels, by instance and time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Labels {
    labels: Vec<Label>,
}

impl Labels {
    /// The stretches of an instance that were anomalies, in seconds since 1970.
    pub(crate) fn confirmed(&self, instance: &TargetId) -> Vec<Range<i64>> {
        self.ranges(instance, Verdict::Confirmed)
    }

    /// The stretches of an instance that raised an alarm and were no anomaly.
    pub(crate) fn rejected(&self, instance: &TargetId) -> Vec<Range<i64>> {
        self.ranges(instance, Verdict::Rejected)
    }

    fn ranges(&self, instance: &TargetId, verdict: Verdict) -> Vec<Range<i64>> {
        let wanted = |label: &&Label| label.instance == *instance && label.verdict == verdict;
        self.iter().filter(wanted).map(Label::range).collect()
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Label> {
        self.labels.iter()
    }

    /// Adds a label. It replaces an older label with the same beginning.
    pub(crate) fn add(&mut self, label: Label) {
        self.remove(&label.instance, label.from);
        self.labels.push(label);
        self.labels.sort_by(|a, b| (&a.instance, a.from).cmp(&(&b.instance, b.from)));
    }

    /// Removes the label of a stretch that begins at `from`. Returns whether there was one.
    pub(crate) fn remove(&mut self, instance: &TargetId, from: Timestamp) -> bool {
        let before = self.labels.len();
        self.labels.retain(|label| label.instance != *instance || label.from != from);
        self.labels.len() < before
    }

    /// Reads from a file or an `s3://` address. A missing object in S3 means that there are no
    /// labels.
    ///
    /// # Errors
    /// Where it cannot be read or holds something else.
    pub(crate) fn read(place: &str) -> Result<Self> {
        if place.starts_with("s3://") {
            let uri = place.parse()?;
            return access::with_aws(async |_, s3| Ok(Self::load(&s3, &uri).await?.0));
        }
        let path = PathBuf::from(place);
        let bytes =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&bytes)
            .with_context(|| format!("{} holds no labels", path.display()))
    }

    /// Reads from S3, with the version of the object. `None` as the version where there is no
    /// object.
    ///
    /// # Errors
    /// Where it cannot be read or holds something else.
    pub(crate) async fn load<O: Objects>(
        objects: &O,
        uri: &ObjectUri,
    ) -> Result<(Self, Option<String>)> {
        match objects.get(uri, None, MAX_BYTES).await {
            Ok(Fetched::Object { bytes, etag }) => {
                let labels = serde_json::from_slice(&bytes)
                    .with_context(|| format!("{uri} holds no labels"))?;
                ensure!(etag.is_some(), "{uri} came without an ETag: the server is not S3");
                Ok((labels, etag))
            }
            Ok(Fetched::Unchanged) => {
                bail!("{uri}: \"not modified\", although no version is known")
            }
            Err(ObjectError::Missing { .. }) => Ok((Self::default(), None)),
            Err(error) => Err(error.into()),
        }
    }

    /// Changes the labels in S3. Tries again if another writer has changed them meanwhile.
    ///
    /// # Errors
    /// Where it cannot be read or written, or others are quicker each time.
    pub(crate) async fn change<O: Objects, T>(
        objects: &O,
        uri: &ObjectUri,
        change: impl Fn(&mut Self) -> Result<T>,
    ) -> Result<T> {
        for _ in 0..TRIES {
            let (mut labels, etag) = Self::load(objects, uri).await?;
            let changed = change(&mut labels)?;
            let bytes = serde_json::to_vec_pretty(&labels)?;
            if objects.put(uri, Condition::from(etag.as_deref()), bytes).await?.is_some() {
                return Ok(changed);
            }
        }
        bail!("other writers changed {uri} each of {TRIES} times: try again")
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_header(["instance", "from", "until", "verdict", "by", "note"]);
        for label in self.iter() {
            let note = label.note.as_ref().map(ToString::to_string).unwrap_or_default();
            let (from, until) = (label.from.to_string(), label.until.to_string());
            let (instance, by) = (label.instance.to_string(), label.by.to_string());
            table.add_row([instance, from, until, label.verdict.name().into(), by, note]);
        }
        table
    }
}

/// Whether an alarm lies in `reach`.
pub(crate) fn is_raised(scored: &[Scored], reach: &Range<i64>) -> bool {
    scored.iter().any(|scored| scored.is_alarm() && reach.contains(&scored.time))
}

/// The arguments of `label`.
#[derive(Debug, Args)]
pub(crate) struct LabelArgs {
    /// The file of the labels: `s3://bucket/settings/labels.json`.
    #[arg(long, value_name = "URI")]
    to: ObjectUri,
    /// The instance whose CPU it is.
    #[arg(long, value_name = "ID", required_unless_present = "list")]
    instance: Option<TargetId>,
    /// The beginning of the labelled stretch.
    #[arg(long, value_name = "RFC 3339", required_unless_present = "list")]
    from: Option<Timestamp>,
    /// The end of the labelled stretch.
    #[arg(long, value_name = "RFC 3339")]
    until: Option<Timestamp>,
    /// The verdict.
    #[arg(long, required_unless_present_any = ["list", "remove"])]
    verdict: Option<Verdict>,
    /// A note.
    #[arg(long, value_name = "TEXT")]
    note: Option<Words>,
    /// Show all labels.
    #[arg(long, conflicts_with_all = ["instance", "from", "until", "verdict", "note", "remove"])]
    list: bool,
    /// Remove the label of --instance that begins at --from.
    #[arg(long, conflicts_with_all = ["until", "verdict", "note"])]
    remove: bool,
    #[command(flatten)]
    who: Who,
}

/// Records a person's verdict on an alert, shows it, or takes it back.
///
/// # Errors
/// Where the labels cannot be read or written.
pub(crate) fn label(args: LabelArgs) -> Result<()> {
    access::with_aws(async |_, s3| run(&s3, args, models::now()).await)
}

async fn run<O: Objects>(objects: &O, args: LabelArgs, now: Timestamp) -> Result<()> {
    let LabelArgs { to, instance, from, until, verdict, note, remove, who, list: _ } = args;
    let (Some(instance), Some(from)) = (instance, from) else {
        println!("{}", Labels::load(objects, &to).await?.0.table());
        return Ok(());
    };
    match verdict {
        Some(verdict) if !remove => {
            let until = until.unwrap_or(from);
            ensure!(from <= until, "--until is before --from");
            let label = Label { instance, from, until, verdict, note, by: who.by, at: now };
            Labels::change(objects, &to, |labels| {
                labels.add(label.clone());
                Ok(())
            })
            .await?;
            println!(
                "{} of {} from {} until {until}: in {to}",
                label.verdict.name(),
                label.instance,
                label.from
            );
        }
        _ => {
            let removed = |labels: &mut Labels| {
                let found = labels.remove(&instance, from);
                ensure!(
                    found,
                    "{to} has no label of {instance} that begins at {from}: look at them with \
                     --list"
                );
                Ok(())
            };
            Labels::change(objects, &to, removed).await?;
            println!("removed the label of {instance} that begins at {from}: in {to}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::testing::{Bucket, instance};

    const PLACE: &str = "s3://my-models/settings/labels.json";

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: LabelArgs,
    }

    fn parsed(line: &str) -> Result<LabelArgs, clap::Error> {
        let words = format!("label --to {PLACE} --by me {line}");
        Line::try_parse_from(words.split_whitespace()).map(|line| line.args)
    }

    async fn labelled(bucket: &Bucket, line: &str) -> Result<()> {
        run(bucket, parsed(line)?, "2026-01-15T12:00:00Z".parse()?).await
    }

    async fn all(bucket: &Bucket) -> Labels {
        Labels::load(bucket, &PLACE.parse().unwrap()).await.unwrap().0
    }

    #[tokio::test]
    async fn labels_are_added_replaced_and_removed() {
        let bucket = Bucket::default();
        let id = instance(1);
        labelled(&bucket, "--list").await.unwrap();
        let at = |rest: &str| format!("--instance {id} --from 2026-01-14T10:00:00Z {rest}");
        labelled(&bucket, &at("--verdict rejected")).await.unwrap();
        labelled(&bucket, &at("--until 2026-01-14T11:00:00Z --verdict confirmed --note deploy"))
            .await
            .unwrap();
        let other =
            format!("--instance {} --from 2026-01-13T00:00:00Z --verdict rejected", instance(0));
        labelled(&bucket, &other).await.unwrap();
        let labels = all(&bucket).await;
        assert_eq!(labels.iter().count(), 2);
        let start = 1_768_384_800;
        assert_eq!(labels.confirmed(&id).as_slice(), std::slice::from_ref(&(start..start + 3601)));
        assert_eq!(labels.rejected(&id), []);
        assert_eq!(labels.rejected(&instance(0)).len(), 1);
        assert_eq!(
            labels.iter().last().map(Label::reach),
            Some(start - SLACK..start + 3601 + SLACK)
        );
        assert!(labels.table().to_string().contains("deploy"));
        assert_eq!(bucket.json(PLACE)["labels"][1]["by"], "me");

        labelled(&bucket, &at("--remove")).await.unwrap();
        let error = labelled(&bucket, &at("--remove")).await.unwrap_err().to_string();
        assert!(error.contains("has no label of i-00000000000000001"), "{error}");
        assert_eq!(all(&bucket).await.iter().count(), 1);
    }

    #[tokio::test]
    async fn of_two_at_once_both_are_kept() {
        let bucket = Bucket::default();
        let line = |number: usize| {
            format!(
                "--instance {} --from 2026-01-14T10:00:00Z --verdict confirmed",
                instance(number)
            )
        };
        labelled(&bucket, &line(1)).await.unwrap();
        let theirs = bucket.text(PLACE).unwrap();
        let bucket = Bucket::default();
        bucket.meanwhile.borrow_mut().push((PLACE.into(), theirs.into()));
        labelled(&bucket, &line(2)).await.unwrap();
        let labels = all(&bucket).await;
        assert!(
            [1, 2].iter().all(|&number| labels.confirmed(&instance(number)).len() == 1),
            "{labels:?}"
        );
    }

    #[tokio::test]
    async fn what_is_no_label_is_refused_and_what_holds_none_is_left_alone() {
        let from = format!("--instance {} --from 2026-01-14T10:00:00Z", instance(1));
        for wrong in [
            "",
            &from,
            "--list --remove",
            &format!("{from} --verdict perhaps"),
            &format!("{from} --remove --verdict confirmed"),
            "--instance i-1 --from 2026-01-14T10:00:00Z --verdict confirmed",
            &format!("--instance {} --from yesterday --verdict confirmed", instance(1)),
        ] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
        let bucket = Bucket::default();
        let backwards = format!("{from} --until 2026-01-14T09:00:00Z --verdict confirmed");
        assert!(
            labelled(&bucket, &backwards).await.unwrap_err().to_string().contains("before --from")
        );
        bucket.store(PLACE, "[]");
        let error = labelled(&bucket, &format!("{from} --verdict confirmed"))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("holds no labels"), "{error}");
        assert_eq!(bucket.text(PLACE).as_deref(), Some("[]"));
    }
}
