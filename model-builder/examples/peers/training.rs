//! Training, epoch by epoch in turns with PyTorch.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use deepguard::model::Dimensions;
use indicatif::ProgressBar;
use model_builder::build::train::{self, Options, Progress, Source};
use serde_json::json;

use crate::contestants::Contestants;
use crate::peer::Peer;
use crate::scoring::best;
use crate::spread::Spread;
use crate::{Args, THREADS, bar, exchange};

/// Windows in a batch.
pub(crate) const BATCHES: [usize; 2] = [64, 256];
/// Trainings whose whole course is compared.
pub(crate) const SEEDS: [u64; 3] = [1, 2, 3];
/// How often PyTorch trains from each beginning, to see how far chance alone moves the loss.
pub(crate) const DRAWS: usize = 5;
/// Epochs of a training of which only the time is of interest, the first of them not measured.
const TIMED: usize = 5;
/// The training whose whole course is compared: windows in a batch, and threads.
pub(crate) const WHOLE: (usize, usize) = (256, 1);

/// One epoch of both.
#[derive(Debug)]
struct Epoch {
    /// Of DeepGuard, and of PyTorch in each way; `None` where it was not measured.
    seconds: Option<(f64, Vec<f64>)>,
    /// Mean loss of both.
    loss: [f64; 2],
}

/// How long an epoch takes.
#[derive(Debug)]
pub(crate) struct Time {
    pub(crate) batch: usize,
    pub(crate) threads: usize,
    /// Seconds, DeepGuard's and PyTorch's.
    pub(crate) seconds: [Spread; 2],
    /// PyTorch's by DeepGuard's of the same turn.
    pub(crate) ratio: Spread,
    /// Epochs that were measured.
    pub(crate) epochs: usize,
}

/// All measurements.
#[derive(Debug)]
pub(crate) struct Trained {
    pub(crate) windows: usize,
    pub(crate) times: Vec<Time>,
    /// For each of [`SEEDS`].
    pub(crate) courses: Vec<Course>,
}

/// The mean loss of each epoch, from the same first weights and windows.
#[derive(Debug)]
pub(crate) struct Course {
    /// DeepGuard's.
    pub(crate) ours: Vec<f64>,
    /// PyTorch's, with [`DRAWS`] different orders of the windows and noises.
    pub(crate) theirs: Vec<Vec<f64>>,
}

/// Trains with both in each setting.
pub(crate) fn measure(
    args: &Args,
    contestants: &mut Contestants,
    shape: &Dimensions,
    folder: &Path,
) -> Result<Trained> {
    let sources = Source::generated(args.machines)?;
    let whole = args.epochs as usize;
    let settings = THREADS.into_iter().flat_map(|threads| BATCHES.map(|batch| (batch, threads)));
    let settings: Vec<(usize, usize)> = settings.collect();
    let timed = whole.min(TIMED);
    let bar = bar("epochs", (settings.len() - 1) * timed + SEEDS.len() * whole)?;
    let (mut windows, mut times, mut courses) = (0, Vec::new(), Vec::new());
    for (batch, threads) in settings {
        let is_whole = (batch, threads) == WHOLE;
        let mut epochs = Vec::new();
        for &seed in if is_whole { &SEEDS[..] } else { &SEEDS[..1] } {
            bar.set_message(format!("batch {batch}, {}, seed {seed}", crate::threads(threads)));
            let options = Options {
                seed,
                epochs: whole,
                batch,
                learning_rate: train::LEARNING_RATE,
                threshold: train::THRESHOLD,
                shape: *shape,
                date: "2026-01-01".into(),
                threads: NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN),
            };
            let beginning = train::begin(&sources, &options);
            windows = beginning.windows.len();
            let files = ["training.safetensors", "first.safetensors"].map(|name| folder.join(name));
            exchange::write_windows(&files[0], &beginning.windows, None)?;
            exchange::write_weights(&files[1], shape, &beginning.weights)?;
            let mut torch = contestants.torch(threads);
            let begin = |peer: &mut Peer, seed: u64| {
                peer.ask(&json!({
                    "do": "begin", "windows": files[0], "weights": files[1],
                    "seed": seed, "epochs": whole, "batch": batch,
                    "learning_rate": options.learning_rate,
                }))
            };
            for peer in &mut torch {
                begin(peer, seed)?;
            }
            let run = by_turns(
                &sources,
                &options,
                &mut torch,
                if is_whole { whole } else { timed },
                &bar,
            )?;
            if is_whole {
                let mut theirs = vec![run.iter().map(|epoch| epoch.loss[1]).collect()];
                for draw in 1..DRAWS {
                    begin(torch[0], seed + 1000 * draw as u64)?;
                    theirs.push((0..whole).map(|_| loss(torch[0])).collect::<Result<Vec<f64>>>()?);
                }
                courses
                    .push(Course { ours: run.iter().map(|epoch| epoch.loss[0]).collect(), theirs });
            }
            epochs.extend(run);
        }
        times.push(time(batch, threads, &epochs));
    }
    bar.finish_and_clear();
    Ok(Trained { windows, times, courses })
}

/// Trains with both, `epochs` of the epochs that the options name: after each of DeepGuard's comes
/// PyTorch's.
fn by_turns(
    sources: &[Source],
    options: &Options,
    torch: &mut [&mut Peer],
    epochs: usize,
    bar: &ProgressBar,
) -> Result<Vec<Epoch>> {
    let stop = AtomicBool::new(false);
    let (mut run, mut failed) = (Vec::new(), None);
    let mut since = None;
    let trained = train::train(sources, options, &stop, |Progress { done, total, loss }| {
        if !done.is_multiple_of(total / options.epochs) || stop.load(Ordering::Relaxed) {
            return;
        }
        // When the first one began is not known: it has no time.
        let seconds = since.map(|since: Instant| since.elapsed().as_secs_f64());
        let mut turn = || -> Result<Epoch> {
            let (mut theirs, mut their_loss) = (Vec::new(), f64::NAN);
            for peer in torch.iter_mut() {
                let answer = peer.ask(&json!({ "do": "epoch" }))?;
                let of = |what: &str| answer[what].as_f64().with_context(|| format!("no {what}"));
                theirs.push(of("seconds")?);
                their_loss = of("loss")?;
                peer.rest()?;
            }
            Ok(Epoch { seconds: seconds.map(|ours| (ours, theirs)), loss: [loss, their_loss] })
        };
        match turn() {
            Ok(epoch) => run.push(epoch),
            Err(error) => failed = Some(error),
        }
        bar.inc(1);
        if failed.is_some() || run.len() == epochs {
            stop.store(true, Ordering::Relaxed);
        }
        since = Some(Instant::now());
    });
    match (failed, trained) {
        (Some(error), _) => Err(error),
        // It was stopped here.
        (None, _) if run.len() == epochs => Ok(run),
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => bail!("{} epochs instead of {epochs}", run.len()),
    }
}

/// The mean loss of PyTorch's next epoch.
fn loss(torch: &mut Peer) -> Result<f64> {
    torch.ask(&json!({ "do": "epoch" }))?["loss"].as_f64().context("no loss")
}

fn time(batch: usize, threads: usize, epochs: &[Epoch]) -> Time {
    let measured: Vec<&(f64, Vec<f64>)> =
        epochs.iter().filter_map(|epoch| epoch.seconds.as_ref()).collect();
    let ours: Vec<f64> = measured.iter().map(|(ours, _)| *ours).collect();
    let count = measured.first().map_or(0, |(_, theirs)| theirs.len());
    let ways: Vec<Vec<f64>> =
        (0..count).map(|way| measured.iter().map(|(_, theirs)| theirs[way]).collect()).collect();
    let theirs = best(&ways).cloned().unwrap_or_default();
    let ratios: Vec<f64> = theirs.iter().zip(&ours).map(|(theirs, ours)| theirs / ours).collect();
    Time {
        batch,
        threads,
        seconds: [Spread::of(&ours), Spread::of(&theirs)],
        ratio: Spread::of(&ratios),
        epochs: measured.len(),
    }
}
