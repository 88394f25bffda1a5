//! Measures how fast DeepGuard scores and trains beside plain Burn, PyTorch and ONNX Runtime, on
//! the same windows with the same weights.
//!
//! All take their turns in one run, so that a machine that slows down slows all of them. Before any
//! time is taken, each engine has to reproduce the answers of the Burn network. The floor is the
//! cost of the multiplications at the machine's own rate.

// The examples of two crates draw with it.
#[path = "../../../functions/examples/common/canvas.rs"]
mod canvas;
mod contestants;
mod exchange;
mod floor;
mod peer;
mod picture;
mod report;
mod scoring;
mod spread;
mod training;
mod windows;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use deepguard::Artifact;
use indicatif::{ProgressBar, ProgressStyle};

use contestants::Contestants;
use report::Report;

/// Windows that are scored at once.
const BATCHES: [usize; 5] = [1, 16, 256, 1024, 4096];
/// Threads that each may use.
const THREADS: [usize; 2] = [1, 2];
/// How far an engine's answer may be from the network's.
const TOLERANCE: f64 = 1e-5;

/// Measures DeepGuard beside other engines.
#[derive(Debug, Parser)]
struct Args {
    /// The Python that has torch, onnx and onnxruntime
    #[arg(long, value_name = "FILE")]
    python: PathBuf,
    /// What that Python runs
    #[arg(long, value_name = "FILE", default_value = "tests/peers/peers.py")]
    script: PathBuf,
    /// The model to score with
    #[arg(long, value_name = "FILE", default_value = "models/default.safetensors")]
    artifact: PathBuf,
    /// How often each contestant has its turn at each batch size
    #[arg(
        long,
        value_name = "N",
        default_value_t = 25,
        value_parser = clap::value_parser!(u32).range(2..=1000)
    )]
    rounds: u32,
    /// Milliseconds of a turn
    #[arg(long, value_name = "MS", default_value_t = 40)]
    turn: u64,
    /// Generated machines to train on, each with 200 windows
    #[arg(long, value_name = "N", default_value_t = 30)]
    machines: u64,
    /// Passes over the windows
    #[arg(
        long,
        value_name = "N",
        default_value_t = 8,
        value_parser = clap::value_parser!(u32).range(3..=100)
    )]
    epochs: u32,
    /// A look in a minute: fewer rounds, machines and epochs
    #[arg(long)]
    quick: bool,
    /// Where to write images/speed.png, images/training.png, and the tables into performance.md
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
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
    let mut args = Args::parse();
    if args.quick {
        (args.rounds, args.machines, args.epochs) = (5, 10, 5);
    }
    let bytes = std::fs::read(&args.artifact)
        .with_context(|| format!("cannot read {}", args.artifact.display()))?;
    let artifact =
        Artifact::from_bytes(&bytes).with_context(|| format!("in {}", args.artifact.display()))?;
    let shape = artifact.card().shape;

    let folder = tempfile::tempdir()?;
    let windows = windows::scored(shape.window, BATCHES[BATCHES.len() - 1])?;
    let mut contestants = Contestants::start(&args, &artifact, windows, folder.path())?;
    let differences = contestants.differences()?;
    for (name, difference) in &differences {
        eprintln!("{name}: at most {difference:.1e} from the network");
        ensure!(
            *difference <= TOLERANCE,
            "{name} computes something else: {difference:e} from the network"
        );
    }

    let scored = scoring::measure(&args, &mut contestants, &shape)?;
    let trained = training::measure(&args, &mut contestants, &shape, folder.path())?;
    let versions = contestants.versions();
    Report { versions, differences, shape, scored, trained }.give(args.out.as_deref())
}

/// This number of threads, in words.
fn threads(count: usize) -> String {
    match count {
        1 => "one thread".into(),
        _ => format!("{count} threads"),
    }
}

/// A bar with this number of steps.
fn bar(what: &str, steps: usize) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template(
        "{elapsed_precise} {wide_bar} {prefix} {pos}/{len}, {msg}, {eta} left",
    )?;
    Ok(ProgressBar::new(steps as u64).with_style(style).with_prefix(what.to_string()))
}
