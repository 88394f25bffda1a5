//! Moves the pointer to another model, if that one is no worse on the account's own CPU.
//!
//! - [`contest`]: both models score the last days of every instance, as the function would have;
//! - [`verdict`]: the objections to the candidate; [`picture`]: the pages of both, by instance.

mod contest;
mod picture;
mod verdict;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use contest::Contest;
use deepguard::model::artifact::BUILTIN;
use deepguard::model::device;
use deepguard::series::{DAY_SECONDS, slot_start};
use deepguard::{Artifact, Detector};
use deepguard_aws::cloudwatch::CloudWatch;
use deepguard_aws::ids::ObjectUri;
use deepguard_aws::ports::{Cpu, Objects};
use jiff::Timestamp;
use verdict::Comparison;

use crate::common::access;
use crate::common::cloudwatch::RATES;
use crate::common::labels::Labels;
use crate::common::models::{self, Destination, Move, Version};
use crate::common::pointers::Found;
use crate::common::words::{Who, Words};
use crate::operate::publish::check_scores;

/// The arguments of `promote`.
#[derive(Debug, Args)]
pub(crate) struct PromoteArgs {
    /// Where the models are: `s3://bucket/prefix`.
    #[arg(long, value_name = "URI")]
    to: Destination,
    /// The version to promote, as `publish` stored it.
    #[arg(long)]
    version: Version,
    /// Promote it whatever the comparison says; the reason is recorded.
    #[arg(long, value_name = "REASON")]
    because: Option<Words>,
    /// Days of CPU that both models are compared on.
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=45))]
    days: u32,
    /// Confirmed and rejected alerts; `settings/labels.json` in the same bucket unless given.
    #[arg(long, value_name = "URI")]
    labels: Option<ObjectUri>,
    /// Draw the pages of both models by instance.
    #[arg(long, value_name = "PNG")]
    out: Option<PathBuf>,
    #[command(flatten)]
    who: Who,
}

/// Compares a stored version with the current model, and moves the pointer if there are no
/// objections.
///
/// # Errors
/// Where a model cannot be loaded, nothing can be read, there is an objection, or another writer
/// was quicker. The pointer then stands as before.
pub(crate) fn promote(args: &PromoteArgs) -> Result<()> {
    access::with_aws(async |config, s3| {
        let cloudwatch =
            CloudWatch::new(aws_sdk_cloudwatch::Client::new(&config), "DeepGuard", RATES);
        run(args, &s3, &cloudwatch, models::now()).await
    })
}

async fn run<O: Objects, C: Cpu>(
    args: &PromoteArgs,
    objects: &O,
    cpu: &C,
    now: Timestamp,
) -> Result<()> {
    let uri = args.to.current()?;
    let found = Found::at(objects, &uri).await?;
    let (target, candidate) = models::stored(objects, &args.to, &args.version).await?;
    if found.target() == Some(&target) {
        println!("{uri} points to {} already", args.version.as_str());
        return Ok(());
    }
    check_scores(candidate.clone())?;
    let mend = || {
        let to = &args.to;
        format!(
            "the current model cannot be compared with: mend the pointer with `model-builder \
             rollback --to {to} --version ...`"
        )
    };
    let current = match &found {
        Found::Nothing => Artifact::from_bytes(BUILTIN)?,
        Found::Pointer { pointer, .. } => {
            models::named(objects, &uri, &pointer.target).await.with_context(mend)?
        }
        Found::Unreadable { why, .. } => bail!("{}: {why}", mend()),
    };
    let labels_at = args.labels.clone().map_or_else(|| args.to.labels(), Ok)?;
    let (labels, _) = Labels::load(objects, &labels_at).await?;
    let until = slot_start(now.as_second());
    let (current_version, candidate_version) = (current.version(), candidate.version());
    let contest = Contest {
        candidate: Detector::new(candidate, &device()),
        current: Detector::new(current, &device()),
        labels: &labels,
        times: until - i64::from(args.days) * DAY_SECONDS..until,
    };
    let comparison = contest.compare(cpu).await?;
    println!("{}", comparison.table(&current_version, &candidate_version));
    let notes = notes(&comparison, &found, &current_version);
    notes.iter().for_each(|note| println!("Note: {note}."));
    if let Some(out) = &args.out {
        picture::draw(&comparison, &current_version, &candidate_version, out)?;
        println!("picture: {}", out.display());
    }

    let objections = comparison.objections();
    if !objections.is_empty() {
        println!("{}", verdict::objections_table(&objections));
        if args.because.is_none() {
            bail!(
                "{candidate_version} is not promoted, and {uri} stands as before: {}. Give \
                 --because REASON to promote it all the same",
                if objections.len() == 1 {
                    "there is an objection"
                } else {
                    "there are objections"
                }
            );
        }
    }
    let promotion = Move {
        action: "promote",
        time: now,
        by: &args.who.by,
        because: args.because.as_ref(),
        version: &candidate_version,
        target: &target,
        previous: found.target(),
        notes,
        objections: objections.iter().map(ToString::to_string).collect(),
        comparison: Some(&comparison),
    };
    promotion.make(objects, &args.to, &found).await
}

/// Facts that a reader of the comparison should know.
fn notes(comparison: &Comparison, found: &Found, current: &str) -> Vec<String> {
    let mut notes = Vec::new();
    if *found == Found::Nothing {
        notes.push(format!(
            "no model was current before, so it was compared with the default model {current}"
        ));
    }
    if comparison.is_empty() {
        notes.push("no instance has enough history, so that nothing was compared".into());
    }
    if comparison.unscored > 0 && !comparison.is_empty() {
        notes.push(format!(
            "{} instances have too little history to be scored",
            comparison.unscored
        ));
    }
    if !comparison.unread.is_empty() {
        notes.push(format!("{} instances could not be read", comparison.unread.len()));
    }
    if comparison.unjudged > 0 {
        notes.push(format!("{} labels lie where nothing was scored", comparison.unjudged));
    }
    notes
}

#[cfg(test)]
mod tests;
