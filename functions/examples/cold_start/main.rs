//! Measures how long a new process of a function takes until it is ready, until it has answered,
//! and where that time goes.
//!
//! The real `bootstrap` is started as Lambda would, against a scripted AWS on this machine that
//! answers at once. Beside it runs a function that does nothing, built in the same way. All take
//! turns, so that other load on the machine affects all alike.

#[path = "../common/mod.rs"]
mod common;
mod first_score;
mod measure;
mod numbers;
mod picture;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use common::fleet::{Prepared, start_of_runs};
use common::text::beside;
use first_score::FirstScore;
use measure::{Contestant, Measured, Model, Role, Scene};
use report::Report;

/// Measures the start of the function's process.
#[derive(Debug, Clone, Parser)]
struct Args {
    /// The function; by default the `bootstrap` of the same build as this program
    #[arg(long, value_name = "FILE")]
    bootstrap: Option<PathBuf>,
    /// The function that does nothing; by default `empty` of the same build as this program
    #[arg(long, value_name = "FILE")]
    empty: Option<PathBuf>,
    /// Another build of the function, as a detector with the compiled-in model; may be repeated
    #[arg(long, value_name = "NAME=FILE", value_parser = named)]
    other: Vec<(String, PathBuf)>,
    /// How often each is started
    #[arg(
        long,
        value_name = "N",
        default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    runs: u32,
    /// How many instances the first event is about
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    instances: u32,
    /// The Markdown file that holds the tables between <!-- cold-start --> and <!-- /cold-start -->
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
    /// Where to draw the picture
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Measure the first score in this process, and print it as JSON
    #[arg(long, hide = true)]
    first_score: bool,
}

fn named(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) =
        text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("it must be NAME=FILE")?;
    Ok((name.into(), file.into()))
}

fn main() -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn work() -> Result<()> {
    let args = Args::parse();
    if args.first_score {
        return first_score::here();
    }
    let contestants = contestants(&args)?;
    let temporary = tempfile::tempdir()?;
    let at = start_of_runs()?;
    let instances = args.instances as usize;
    eprintln!("preparing the state of {instances} instances");
    let fleet = scripted_aws::Generated::new(instances, 1);
    let prepared = Prepared::new(&fleet, instances, at)?;
    let scene = Scene { fleet, prepared, at, log: temporary.path().join("function.log") };

    let mut measured: Vec<Measured> = contestants.into_iter().map(Measured::new).collect();
    let mut first_scores: Vec<FirstScore> = Vec::new();
    let bar = ProgressBar::new(u64::from(args.runs) * (2 * measured.len() as u64 + 1));
    bar.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} {eta} {msg}")?);
    for run in 0..args.runs as usize {
        for turn in shuffled(measured.len(), run) {
            let Measured { contestant, starts, answers } = &mut measured[turn];
            bar.set_message(contestant.name.clone());
            let failed = || format!("{}, run {}", contestant.name, run + 1);
            starts.push(measure::start(contestant, &scene).with_context(failed)?);
            bar.inc(1);
            answers.push(measure::answers(contestant, &scene).with_context(failed)?);
            bar.inc(1);
        }
        first_scores.push(first_score::elsewhere()?);
        bar.inc(1);
    }
    bar.finish_and_clear();

    let report = Report::new(&args, &measured, &first_scores)?;
    report.print();
    if let Some(document) = &args.document {
        report.put_into(document)?;
    }
    if let Some(file) = &args.picture {
        picture::draw(file, &measured)?;
    }
    Ok(())
}

/// The numbers below `count`, in another order for each run: no contestant always follows the same
/// one.
fn shuffled(count: usize, run: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut random = run as u64;
    for last in (1..count).rev() {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(last, (random >> 33) as usize % (last + 1));
    }
    order
}

fn contestants(args: &Args) -> Result<Vec<Contestant>> {
    let or_beside = |path: &Option<PathBuf>, name| path.clone().map_or_else(|| beside(name), Ok);
    let (ours, empty) =
        (or_beside(&args.bootstrap, "bootstrap")?, or_beside(&args.empty, "empty")?);
    let one = |name: &str, file: &PathBuf, role, model| Contestant {
        name: name.into(),
        file: file.clone(),
        role,
        model,
    };
    let mut contestants = vec![
        one("empty function", &empty, Role::Empty, Model::CompiledIn),
        one("detector", &ours, Role::Detector, Model::CompiledIn),
        one("detector, model in S3", &ours, Role::Detector, Model::InS3),
        one("calibrator", &ours, Role::Calibrator, Model::CompiledIn),
        one("calibrator, model in S3", &ours, Role::Calibrator, Model::InS3),
    ];
    contestants.extend(
        args.other.iter().map(|(name, file)| one(name, file, Role::Detector, Model::CompiledIn)),
    );
    for Contestant { file, .. } in &contestants {
        ensure!(file.is_file(), "there is no {}: build it, or name another one", file.display());
    }
    Ok(contestants)
}
