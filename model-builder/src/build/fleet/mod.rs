//! Trains on one's own fleet: takes its history without unfit parts, and sets a threshold for the
//! wanted number of pages.
//!
//! - [`clean`]: what is left out of the history; [`threshold`]: how high the threshold is for a
//!   budget;
//! - [`card`]: the result, as a document with a picture.

mod card;
mod clean;
mod threshold;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail, ensure};
pub(crate) use card::BUDGETS;
use clap::Args;
use clean::{Cleaned, Histories};
use deepguard::model::artifact::BUILTIN;
use deepguard::model::card::{Fleet, LeftOut, Why};
use deepguard::model::device;
use deepguard::{Artifact, Detector};
use deepguard_aws::cloudwatch::CloudWatch;
use deepguard_aws::ids::{ObjectUri, TargetId};
use deepguard_aws::mute::{MAX_BYTES, Mutes};
use deepguard_aws::ports::{Fetched, Objects};
use deepguard_aws::settings_file::Content;
use deepguard_aws::tagging::Tagging;
use deepguard_aws::tags::Tags;
use indicatif::{ProgressBar, ProgressStyle};

use crate::build::backtest::{Backtest, Past, pages_of};
use crate::build::train::{self, Options, Source};
use crate::common::access;
use crate::common::cloudwatch::{FleetArgs, RATES, pull};
use crate::common::history::Cache;
use crate::common::labels::Labels;
use crate::common::models;

/// Passes over the windows, and highest learning rate, for a training that continues from an
/// artifact.
const TUNING_EPOCHS: usize = 3;
const TUNING_RATE: f32 = 1e-3;
/// Random windows of an instance at each resolution, and the upper limit for all instances.
const WINDOWS: usize = 330;
const ALL_WINDOWS: usize = 40_000;
/// Alarms count after this part of the history.
const SETTLING: f64 = 0.5;
/// An anomaly that would be reported with this small a budget of pages per instance and week is
/// clear ...
const CLEAR_BUDGET: f64 = 0.1;
/// ... or, for an artifact without a table, an anomaly with this score.
const CLEAR: f64 = 1.3;
/// Stretches that the artifact's card names.
const NAMED: usize = 200;
/// A budget within the range of a table.
const POSSIBLE: std::ops::RangeInclusive<f64> = 0.02..=10.0;

/// Options of a training on one's own fleet.
#[derive(Debug, Args)]
pub(crate) struct OwnArgs {
    /// Train on this account's own CPU history instead.
    #[arg(long)]
    pub(crate) cloudwatch: bool,
    #[command(flatten, next_help_heading = "Training on this account's own CPU history")]
    fleet: FleetArgs,
    /// The artifact to start from; the default model unless given.
    #[arg(long, value_name = "ARTIFACT", requires = "cloudwatch", conflicts_with = "afresh")]
    from: Option<PathBuf>,
    /// Begin with random weights instead of an artifact's.
    #[arg(long, requires = "cloudwatch")]
    afresh: bool,
    /// Muted times, as the function has them: a file or s3://bucket/settings/mutes.json (or .ics).
    #[arg(long, value_name = "FILE|URI", requires = "cloudwatch")]
    mutes: Option<String>,
    /// Confirmed and rejected alerts: a file or s3://bucket/settings/labels.json.
    #[arg(long, value_name = "FILE|URI", requires = "cloudwatch")]
    labels: Option<String>,
    /// False pages that an instance may have in a week, 0.02 to 10; those of the artifact to start
    /// from unless given.
    #[arg(long, value_name = "NUMBER", requires = "cloudwatch")]
    pages_per_instance_week: Option<f64>,
    /// The model card to write, in Markdown. Its picture is put beside it.
    #[arg(long, value_name = "FILE", requires = "cloudwatch")]
    card: Option<PathBuf>,
}

/// A trained artifact, and the facts for its card.
struct Trained {
    artifact: Artifact,
    start: Artifact,
    cleaned: Cleaned,
    histories: Histories,
    /// The pages of the fleet's own history at the chosen threshold, real anomalies included.
    counted: f64,
    /// The wanted pages per instance and week.
    budget: f64,
    /// The threshold that the previous artifact would have on this fleet for the same budget.
    before: f64,
}

/// Trains on the account's own history and writes the result. `given` tells whether the user set
/// epochs and learning rate. If so, they do not take the values of a tuning.
///
/// # Errors
/// Where the history cannot be read, there is too little of it, something cannot be written, or
/// `stop` is set.
pub(crate) fn train(
    args: &OwnArgs,
    options: &Options,
    given: [bool; 2],
    out: &Path,
    stop: &AtomicBool,
) -> Result<()> {
    let start = match &args.from {
        Some(path) => {
            let bytes =
                std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            Artifact::from_bytes(&bytes).with_context(|| format!("in {}", path.display()))?
        }
        None => Artifact::from_bytes(BUILTIN)?,
    };
    let budget = args.pages_per_instance_week.map_or_else(|| own_budget(&start, stop), Ok)?;
    ensure!(POSSIBLE.contains(&budget), "{budget} pages per instance and week: give 0.02 to 10");
    let labels = args.labels.as_deref().map(Labels::read).transpose()?.unwrap_or_default();
    let now = models::now().as_second();
    let (histories, muted) =
        access::with_aws(async |config, s3| read(args, &config, &s3, now, stop).await)?;

    let mut cleaned = Cleaned::new(histories.clone());
    let confirmed = histories.keys().flat_map(|instance| {
        let stretch = |times: std::ops::Range<i64>| left_out(instance, times, Why::Confirmed);
        labels.confirmed(instance).into_iter().map(stretch).collect::<Vec<_>>()
    });
    cleaned.leave_out(muted.into_iter().chain(confirmed).collect::<Vec<_>>());
    let options = Options {
        epochs: if given[0] || args.afresh { options.epochs } else { TUNING_EPOCHS },
        learning_rate: if given[1] || args.afresh { options.learning_rate } else { TUNING_RATE },
        ..options.clone()
    };
    let days = args.fleet.days as usize;
    let trained =
        fit(start, args.afresh, histories, cleaned, &labels, budget, days, &options, stop)?;
    crate::common::files::write_whole(out, &trained.artifact.to_bytes()?)?;
    println!("{}", card::left_out_table(&trained.cleaned));
    let card = trained.artifact.card();
    println!(
        "{}: {} from {} instances ({} windows, loss {:.4}), threshold {:.4} for {budget} pages per \
         instance and week; its own history has {:.2}, real anomalies included",
        out.display(),
        trained.artifact.version(),
        trained.histories.len(),
        card.training.windows,
        card.training.loss,
        card.threshold,
        trained.counted
    );
    if let Some(path) = &args.card {
        card::write(&trained, path, stop)?;
        println!("card: {}", path.display());
    }
    Ok(())
}

/// The pages of an artifact's own threshold, by its table or measured now.
fn own_budget(start: &Artifact, stop: &AtomicBool) -> Result<f64> {
    let card = start.card();
    let budget = match card.pages_at(card.threshold) {
        Some(pages) => pages,
        None => Backtest::of_settled(&Detector::new(start.clone(), &device()), stop)?
            .per_instance_week(card.threshold),
    };
    Ok(budget.clamp(*POSSIBLE.start(), *POSSIBLE.end()))
}

/// The history of the selected instances, and the times at which each of them was muted.
async fn read<O: Objects>(
    args: &OwnArgs,
    config: &aws_config::SdkConfig,
    objects: &O,
    now: i64,
    stop: &AtomicBool,
) -> Result<(Histories, Vec<LeftOut>)> {
    let mutes = match &args.mutes {
        Some(place) => read_mutes(place, objects).await?,
        None => Mutes::default(),
    };
    let cloudwatch = CloudWatch::new(aws_sdk_cloudwatch::Client::new(config), "DeepGuard", RATES);
    let tagging = Tagging::new(aws_sdk_resourcegroupstagging::Client::new(config));
    let instances = args.fleet.select(&cloudwatch, &tagging).await?;
    let times = args.fleet.times(now);
    let cache = Cache::new(&args.fleet.cache);
    let pulled = pull(&cloudwatch, &instances, times.clone(), Some(&cache), stop).await?;
    for (instance, error) in &pulled.unread {
        eprintln!("{instance} is left out: {error}");
    }
    println!(
        "history: {} instances over {} days; {} days read, {} known from {}",
        pulled.history.len(),
        args.fleet.days,
        pulled.read,
        pulled.kept,
        cache.folder().display()
    );
    let tags = match mutes.needs_tags() {
        true => deepguard_aws::ports::Inventory::tags_of(&tagging, &instances).await?,
        false => Default::default(),
    };
    let during = mutes.during(times);
    let untagged = Tags::new();
    let muted = pulled.history.keys().flat_map(|instance| {
        let ranges = during.of(instance, tags.get(instance).unwrap_or(&untagged));
        ranges
            .iter()
            .map(|(times, _)| left_out(instance, times.clone(), Why::Muted))
            .collect::<Vec<_>>()
    });
    let muted = muted.collect();
    Ok((pulled.history, muted))
}

async fn read_mutes<O: Objects>(place: &str, objects: &O) -> Result<Mutes> {
    if place.starts_with("s3://") {
        let uri: ObjectUri = place.parse()?;
        return match objects.get(&uri, None, MAX_BYTES).await? {
            Fetched::Object { bytes, .. } => Ok(Mutes::parse(&uri, &bytes)?),
            Fetched::Unchanged => bail!("{uri}: \"not modified\", although no version is known"),
        };
    }
    let bytes = std::fs::read(place).with_context(|| format!("cannot read {place}"))?;
    // Only the name tells the kind of the file.
    let name = Path::new(place).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let uri: ObjectUri = format!("s3://this-machine/{name}").parse()?;
    Mutes::parse(&uri, &bytes).with_context(|| format!("in {place}"))
}

fn left_out(instance: &TargetId, times: std::ops::Range<i64>, why: Why) -> LeftOut {
    LeftOut { instance: instance.to_string(), from: times.start, until: times.end, why }
}

/// Trains on the fit parts of `histories`, and finds the threshold.
#[expect(clippy::too_many_arguments, reason = "all of it is what a training depends on")]
fn fit(
    start: Artifact,
    afresh: bool,
    histories: Histories,
    mut cleaned: Cleaned,
    labels: &Labels,
    budget: f64,
    days: usize,
    options: &Options,
    stop: &AtomicBool,
) -> Result<Trained> {
    ensure!(!histories.is_empty(), "no instance has any history");
    let settling = settling(days);
    let backtests = |artifact: &Artifact, cleaned: &Cleaned| {
        let detector = Detector::new(artifact.clone(), &device());
        let past = |(instance, series)| Past {
            but: cleaned.but(instance),
            ..Past::whole(series, settling)
        };
        let pasts: Vec<Past<'_>> = histories.iter().map(past).collect();
        let fleet = Backtest::run(&detector, &pasts, stop)?;
        Ok::<_, anyhow::Error>((fleet, Backtest::of_generated(&detector, days, settling, stop)?))
    };

    let (fleet, generated) = backtests(&start, &cleaned)?;
    let clear = start
        .card()
        .threshold_for(CLEAR_BUDGET)
        .map_or(CLEAR, |strict| strict / start.card().threshold);
    let is_fine = |instance: &TargetId, times: std::ops::Range<i64>| {
        labels
            .rejected(instance)
            .iter()
            .any(|fine| fine.start < times.end && times.start < fine.end)
    };
    let scale = threshold::scale(&fleet, &generated);
    let detector = Detector::new(start.clone(), &device());
    cleaned.leave_out_contaminated(&detector, clear * scale, is_fine, stop)?;
    let before = scale * start.card().threshold_for(budget).unwrap_or(start.card().threshold);

    let windows = (ALL_WINDOWS / cleaned.histories.len().max(1)).clamp(1, WINDOWS);
    let source = |(instance, series): (&TargetId, &deepguard::Series)| {
        Source::of_instance(instance.as_str(), series.clone(), windows)
    };
    let mut sources: Vec<Source> = cleaned.histories.iter().map(source).collect();
    sources.extend(Source::generated(train::GENERATED)?);
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(
        "{elapsed_precise} {wide_bar} {pos}/{len} batches, {msg}, {eta} left",
    )?);
    let from = (!afresh).then_some(&start);
    let artifact = train::train_from(from, &sources, options, stop, |progress| {
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
        bar.set_message(format!("loss {:.4}", progress.loss));
    })?;
    bar.finish_and_clear();

    let (fleet, generated) = backtests(&artifact, &cleaned)?;
    let settled = Backtest::of_settled(&Detector::new(artifact.clone(), &device()), stop)?;
    let pages =
        threshold::scaled(&pages_of(&[vec![settled]]), threshold::scale(&fleet, &generated));
    let record = Fleet {
        tuned_from: from.map(Artifact::version),
        days,
        instances: cleaned.histories.len(),
        datapoints: cleaned.histories.values().map(|series| series.datapoints().count()).sum(),
        left_out_datapoints: cleaned.datapoints,
        left_out_stretches: cleaned.left_out.len(),
        left_out: cleaned.left_out.iter().take(NAMED).cloned().collect(),
    };
    let artifact = artifact.of_fleet(record)?.calibrated(options.threshold, pages)?;
    let chosen = artifact.card().threshold_for(budget).context("no table of pages")?;
    let chosen = (chosen * 1e4).round() / 1e4;
    let pages = artifact.card().pages.clone();
    let artifact = artifact.calibrated(chosen, pages)?;
    let counted = fleet.per_instance_week(chosen);
    Ok(Trained { artifact, start, cleaned, histories, counted, budget, before })
}

/// Days of a history after which scores are meaningful.
fn settling(days: usize) -> usize {
    ((days as f64 * SETTLING) as usize).min(14)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use deepguard::Series;
    use deepguard::model::Dimensions;

    use super::*;
    use crate::build::simulate;
    use crate::testing::{artifact, instance};

    fn trained(afresh: bool) -> Trained {
        let machines = simulate::worn(2, 7, 9, 0.05, 1_768_478_400);
        let histories: Histories = machines
            .into_iter()
            .enumerate()
            .map(|(number, machine)| {
                (instance(number), Series::from_datapoints(machine.datapoints).unwrap().0)
            })
            .collect();
        let options = Options {
            seed: 1,
            epochs: 1,
            batch: 1024,
            learning_rate: 1e-4,
            threshold: 1.085,
            shape: Dimensions { window: 8, hidden: 4, bottleneck: 2 },
            date: "2026-01-15".into(),
            threads: NonZeroUsize::MIN,
        };
        let cleaned = Cleaned::new(histories.clone());
        let stop = AtomicBool::new(false);
        fit(artifact(), afresh, histories, cleaned, &Labels::default(), 0.5, 9, &options, &stop)
            .unwrap()
    }

    #[test]
    fn it_goes_on_from_an_artifact_and_records_what_it_saw() {
        let trained = trained(false);
        let card = trained.artifact.card();
        assert_eq!(card.shape, artifact().card().shape);
        let fleet = card.training.fleet.as_ref().unwrap();
        assert_eq!(
            (fleet.tuned_from.clone(), fleet.days, fleet.instances),
            (Some(artifact().version()), 9, 7)
        );
        assert_eq!(fleet.datapoints + fleet.left_out_datapoints, 7 * 9 * 288);
        assert_eq!(fleet.left_out, trained.cleaned.left_out);
        assert_eq!(card.training.files.len(), 7, "the instances, by name and hash");
        let said = card.pages_at(card.threshold).unwrap();
        assert!(
            (said - 0.5).abs() < 0.01,
            "{said} pages at the threshold that was chosen for half a page"
        );
        let folder = tempfile::tempdir().unwrap();
        card::write(&trained, &folder.path().join("card.md"), &AtomicBool::new(false)).unwrap();
        let text = std::fs::read_to_string(folder.path().join("card.md")).unwrap();
        assert!(
            text.contains(&trained.artifact.version()) && text.contains("](card.png)"),
            "{text}"
        );
        assert!(folder.path().join("card.png").exists());
    }

    #[test]
    fn it_begins_afresh_with_a_network_of_its_own() {
        let trained = trained(true);
        assert_eq!(trained.artifact.card().shape.hidden, 4);
        assert_eq!(trained.artifact.card().training.fleet.as_ref().unwrap().tuned_from, None);
    }
}
