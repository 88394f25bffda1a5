//! The command line of DeepGuard: trains a model, shows and publishes it, and follows its effect.
//!
//! It is a library so that benchmarks reach [`build::train`] and [`build::nab`]; its one entry is
//! [`run`].

pub mod build;
mod common;
mod operate;
#[cfg(test)]
mod testing;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use deepguard::model::Dimensions;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use jiff::civil::Date;

use build::evaluate::real::data::Real;
use build::nab::Nab;
use build::{backtest, evaluate, fleet, fleets, replay, train};
use common::cli::{ClockArgs, ModelArgs, stopped};
use common::files;
use common::labels::{self, Labels};
use common::models::Destination;
use common::words::Who;
use operate::{cost, explain, inspect, promote, publish, rollback, score};

/// Trains, evaluates, inspects and publishes the models that DeepGuard scores EC2 CPU with.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a model on NAB and on generated machines, or on this account's own instances, and
    /// write its artifact.
    Train(TrainArgs),
    /// Measure how well a model's kind detects: on real machines, on NAB and on injected faults,
    /// beside other detectors.
    ///
    /// Trains networks like the artifact's on one half of NAB's files and scores the other half,
    /// several times. Writes a report with tables and pictures, and the scores in NAB's own format.
    Evaluate {
        #[command(flatten)]
        model: ModelArgs,
        #[command(flatten)]
        nab: NabArgs,
        #[command(flatten)]
        real: RealArgs,
        /// How many times networks are trained, each time with another seed.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
        seeds: u64,
        /// Halves of NAB: a file is scored by a network that was trained on the other one.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(2..=2))]
        folds: u64,
        /// A short look: the artifact itself, without training, on fewer faults.
        #[arg(long)]
        quick: bool,
        /// The folder to write into.
        #[arg(long, value_name = "DIR", default_value = "evaluation")]
        out: PathBuf,
        /// A file to write the model card to, in Markdown.
        #[arg(long, value_name = "FILE")]
        card: Option<PathBuf>,
        /// Confirmed and rejected alerts, a file or s3://bucket/settings/labels.json: does the
        /// artifact raise them?
        #[arg(long, value_name = "FILE|URI", requires = "history")]
        labels: Option<String>,
        /// The CPU that the labels are about: a folder of `<instance>.csv` files with `time,value`
        /// rows.
        #[arg(long, value_name = "DIR", requires = "labels")]
        history: Option<PathBuf>,
    },
    /// Measure what generated fleets of several sizes tell their people: pages for nothing, faults
    /// found, incidents told once.
    Fleets {
        #[command(flatten)]
        model: ModelArgs,
        #[command(flatten)]
        real: RealArgs,
        #[command(flatten)]
        of: fleets::FleetsArgs,
    },
    /// Show what an artifact holds.
    Inspect {
        #[command(flatten)]
        model: ModelArgs,
        /// Print the card as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check an artifact and put it into S3 under its version, for ever, with its model card.
    Publish {
        #[command(flatten)]
        model: ModelArgs,
        /// The place to store it at: `s3://bucket/prefix`.
        #[arg(long, value_name = "URI")]
        to: Destination,
        /// A file with the Ed25519 private key (PEM) to sign it with. Prints the public key, for
        /// the template's parameter `ModelPublicKey`.
        #[arg(long, value_name = "FILE")]
        sign: Option<PathBuf>,
        #[command(flatten)]
        who: Who,
    },
    /// Compare a published version with the current model on the account's own CPU, and move the
    /// pointer `current` to it if it pages no more and misses nothing that was confirmed.
    Promote(promote::PromoteArgs),
    /// Move the pointer `current` back to the model before, or to another published version.
    Rollback(rollback::RollbackArgs),
    /// Let a published version score beside the current model without raising alarms, or stop it.
    Shadow(rollback::ShadowArgs),
    /// Score histories on disk as the function would have scored them: a CSV of scores for each CSV
    /// of values.
    Score(score::ScoreArgs),
    /// Record that an alert was right or wrong, for evaluate, promote and train.
    Label(labels::LabelArgs),
    /// Write a fleet's CPU history as CSV files that end now: NAB's EC2 files, or a generated
    /// fleet.
    Replay {
        #[command(flatten)]
        nab: NabArgs,
        /// Generate a fleet, even if NAB is here or named.
        #[arg(long, conflicts_with = "night")]
        generated: bool,
        /// Generate a bad night of twelve machines that ended at the last six o'clock (UTC).
        #[arg(long)]
        night: bool,
        /// Generate this number of machines of every kind instead, for tests of the training.
        #[arg(long, hide = true, requires = "generated")]
        machines: Option<usize>,
        /// Days of each of these.
        #[arg(long, hide = true, requires = "machines", default_value_t = 14)]
        days: usize,
        /// Percent of the time in which something is wrong with one of these.
        #[arg(long, hide = true, requires = "machines", default_value_t = 0.0)]
        faulty: f64,
        /// Seed of the generated fleet.
        #[arg(long, default_value_t = 7)]
        seed: u64,
        /// The time that becomes the end of every history.
        #[arg(long, value_name = "RFC 3339")]
        now: Timestamp,
        /// The folder to write to.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Work out the monthly AWS bill of a deployment, item by item, before it is deployed.
    Cost(cost::Args),
    /// Draw instances from their history: CPU, what was expected, and the score. From CloudWatch,
    /// or from files.
    Explain {
        #[command(flatten)]
        model: ModelArgs,
        #[command(flatten)]
        clock: ClockArgs,
        /// A folder of `<instance>.csv` files with `time,value` rows, instead of CloudWatch.
        #[arg(long, value_name = "DIR")]
        history: Option<PathBuf>,
        /// Draw this instance alone; may be given several times.
        #[arg(long = "instance", value_name = "ID", required_unless_present = "history")]
        instances: Vec<String>,
        /// The moment to draw around, to mark and to describe; the end of the history unless given.
        #[arg(long, value_name = "RFC 3339")]
        at: Option<Timestamp>,
        /// Published metrics to draw beside: rows `instance,time,metric,value`.
        #[arg(long, value_name = "CSV")]
        published: Option<PathBuf>,
        /// Hours to draw: counted back from the end, or a quarter of them after the moment.
        #[arg(long, default_value_t = 48)]
        hours: u32,
        /// The picture to write.
        #[arg(long, value_name = "PNG")]
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
struct NabArgs {
    /// The folder that holds NAB's `data` and `labels`; else `../shared/nab`, else a download.
    #[arg(long = "nab", env = "NAB_DIR", value_name = "DIR", id = "nab")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RealArgs {
    /// The folder that holds real machines, in `cpu` and `servers`; else `../shared/real`, else a
    /// download of their CPU.
    #[arg(long = "real", env = "REAL_DIR", value_name = "DIR", id = "real")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct TrainArgs {
    #[command(flatten)]
    own: fleet::OwnArgs,
    #[command(flatten)]
    nab: NabArgs,
    #[command(flatten)]
    real: RealArgs,
    /// Leave out every other real machine, from this one on: to measure on those.
    #[arg(long, hide = true, value_name = "0|1")]
    without_half: Option<usize>,
    /// The artifact to write.
    #[arg(long, value_name = "FILE", default_value = "model.safetensors")]
    out: PathBuf,
    /// The date to write into the artifact; today unless given.
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: Option<Date>,
    /// Seed of the first weights, the order of the windows and the noise.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Generated machines to train on beside NAB.
    #[arg(long, default_value_t = train::GENERATED)]
    generated: u64,
    /// Passes over the windows: 8, or 3 where an artifact is trained further.
    #[arg(long)]
    epochs: Option<usize>,
    /// Windows in a batch.
    #[arg(long, default_value_t = train::BATCH)]
    batch: usize,
    /// Highest learning rate of the cycle: 0.005, or 0.001 where an artifact is trained further.
    #[arg(long)]
    learning_rate: Option<f32>,
    /// Ratio of a residual to the usual one that makes a score of 1.0. On this account's own
    /// history, the budget of pages sets it.
    #[arg(long, default_value_t = train::THRESHOLD, conflicts_with = "cloudwatch")]
    threshold: f64,
    /// Datapoints in a window.
    #[arg(long, default_value_t = Dimensions::DEFAULT.window)]
    window: usize,
    /// Width of the LSTMs.
    #[arg(long, default_value_t = Dimensions::DEFAULT.hidden)]
    hidden: usize,
    /// Width of the bottleneck.
    #[arg(long, default_value_t = Dimensions::DEFAULT.bottleneck)]
    bottleneck: usize,
}

/// Runs the command line of this process.
///
/// # Errors
/// The failure, as text for the person who typed the command.
pub fn run() -> Result<()> {
    match Cli::parse().command {
        Command::Train(args) => train(args),
        Command::Evaluate {
            model,
            nab,
            real,
            seeds,
            folds: _,
            quick,
            out,
            card,
            labels,
            history,
        } => {
            let artifact = model.load()?;
            let labelled = labels.zip(history).map(|(labels, history)| {
                let labels = Labels::read(&labels)?;
                Ok::<_, anyhow::Error>(evaluate::Labelled {
                    labels,
                    history: explain::read_history(&history, &[])?,
                })
            });
            let plan = evaluate::Plan {
                labelled: labelled.transpose()?,
                real: real.locate()?,
                seeds: if quick { 0 } else { seeds },
                generated: artifact.card().training.generated as u64,
                epochs: artifact.card().training.epochs,
            };
            evaluate::evaluate(
                artifact,
                &nab.locate()?,
                &plan,
                &out,
                card.as_deref(),
                stopped()?.as_ref(),
            )
        }
        Command::Fleets { model, real, of } => {
            let real = real.locate()?;
            fleets::fleets(&of, &model.detector()?, real.as_ref(), stopped()?.as_ref())
        }
        Command::Cost(args) => cost::cost(&args),
        Command::Inspect { model, json } => inspect::inspect(&model.load()?, json),
        Command::Publish { model, to, sign, who } => {
            publish::publish(&model.read()?, &to, sign.as_deref(), &who.by)
        }
        Command::Promote(args) => promote::promote(&args),
        Command::Rollback(args) => rollback::rollback(&args),
        Command::Shadow(args) => rollback::shadow(&args),
        Command::Score(args) => score::score(&args),
        Command::Label(args) => labels::label(args),
        Command::Replay { night: true, seed, now, out, .. } => {
            replay::replay(&replay::Of::Night(seed), now, &out)
        }
        Command::Replay { machines: Some(count), days, faulty, seed, now, out, .. } => {
            let of = replay::Of::Worn { seed, count, days, faulty: faulty / 100.0 };
            replay::replay(&of, now, &out)
        }
        Command::Replay { nab, generated, seed, now, out, .. } => {
            let nab = nab.for_replay(generated)?;
            let of = nab.as_ref().map_or(replay::Of::Generated(seed), replay::Of::Nab);
            replay::replay(&of, now, &out)
        }
        Command::Explain { model, clock, history, instances, at, published, hours, out } => {
            let view = explain::View { hours, at: at.map(Timestamp::as_second) };
            let histories = match history {
                Some(folder) => explain::read_history(&folder, &instances)?,
                None => explain::pull_history(&instances, view, stopped()?.as_ref())?,
            };
            let detector = clock.of(model.detector()?)?;
            explain::explain(&detector, &histories, published.as_deref(), view, &out)
        }
    }
}

impl NabArgs {
    fn locate(&self) -> Result<Nab> {
        Nab::locate(self.dir.as_deref())
    }

    /// NAB, or `None` where a generated fleet was asked for or NAB is not available. A named folder
    /// that is not NAB is still an error.
    fn for_replay(&self, generated: bool) -> Result<Option<Nab>> {
        if generated {
            return Ok(None);
        }
        match self.locate() {
            Err(error) if self.dir.is_none() => {
                eprintln!("NAB is not available, the fleet is generated instead: {error:#}");
                Ok(None)
            }
            located => located.map(Some),
        }
    }
}

impl RealArgs {
    /// Real machines, or `None` where they are not available. A named folder without machines is
    /// still an error.
    fn locate(&self) -> Result<Option<Real>> {
        match Real::locate(self.dir.as_deref()) {
            Err(error) if self.dir.is_none() => {
                eprintln!("real machines are not available, they are left out: {error:#}");
                Ok(None)
            }
            located => located.map(Some),
        }
    }
}

fn train(args: TrainArgs) -> Result<()> {
    let options = train::Options {
        seed: args.seed,
        epochs: args.epochs.unwrap_or(train::EPOCHS),
        batch: args.batch,
        learning_rate: args.learning_rate.unwrap_or(train::LEARNING_RATE),
        threshold: args.threshold,
        shape: Dimensions { window: args.window, hidden: args.hidden, bottleneck: args.bottleneck },
        date: args
            .date
            .unwrap_or_else(|| Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date())
            .to_string(),
        threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    };
    let stop = stopped()?;
    if args.own.cloudwatch {
        let given = [args.epochs.is_some(), args.learning_rate.is_some()];
        return fleet::train(&args.own, &options, given, &args.out, &stop);
    }
    let mut sources =
        args.nab.locate()?.all()?.iter().map(train::Source::of).collect::<Result<Vec<_>>>()?;
    sources.extend(train::Source::generated(args.generated)?);
    let real = args.real.locate()?;
    if let Some(real) = &real {
        sources.extend(evaluate::real::data::sources(real, |machine| {
            Some(machine % 2) != args.without_half
        }));
    }
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(
        "{elapsed_precise} {wide_bar} {pos}/{len} batches, {msg}, {eta} left",
    )?);
    let artifact = train::train(&sources, &options, &stop, |progress| {
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
        bar.set_message(format!("loss {:.4}", progress.loss));
    })?;
    bar.finish_and_clear();
    let artifact = backtest::with_pages(artifact, real.as_ref(), &stop)?;
    files::write_whole(&args.out, &artifact.to_bytes()?)?;
    println!(
        "{}: {} ({} windows, loss {:.4})",
        args.out.display(),
        artifact.version(),
        artifact.card().training.windows,
        artifact.card().training.loss
    );
    Ok(())
}
