//! Trains a network on NAB's files and writes an artifact. The same files and options give the same
//! bytes.

mod growth;
mod recurrence;
mod source;

use std::collections::BTreeMap;
use std::f32::consts::PI;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};
use burn::optim::grad_clipping::GradientClippingConfig;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData};
use deepguard::baseline::forecast::Compressed;
use deepguard::baseline::level::quantile;
use deepguard::baseline::{Baseline, calibrated_at};
use deepguard::channel::{CHANNELS, Channel};
use deepguard::model::artifact::Artifact;
use deepguard::model::card::{ErrorQuantiles, Growth, TrainedOn, Training};
use deepguard::model::{Autoencoder, Batch, Dimensions, LAYERS, Weights};
use deepguard::series::{DAY_SECONDS, RESOLUTIONS};
use deepguard::window::{LOOKS, Windows};
use deepguard::{Detector, Series, Watch};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

pub use self::source::Source;

/// Standard deviation of the noise on what the network sees, in its own unit.
const NOISE: f32 = 0.05;
/// Fraction of datapoints hidden at random, beside those to be forecast.
const HIDDEN: f64 = 0.05;
/// A forecast slot weighs this many times as much as a visible one.
const FORECAST: f32 = 8.0;
/// Fraction of each batch, the worst reconstructed, that is left out: training data is never all
/// normal.
const CONTAMINATED: f64 = 0.02;
/// Part of the training in which the learning rate rises.
const WARM_UP: f32 = 0.3;
/// Norm at which the gradient of a parameter is clipped.
const GRADIENT_NORM: f32 = 1.0;

/// Generated machines to train on beside NAB's files.
pub const GENERATED: u64 = 100;
/// Passes over the windows.
pub const EPOCHS: usize = 8;
/// Windows in a batch.
pub const BATCH: usize = 256;
/// Highest learning rate of the cycle.
pub const LEARNING_RATE: f32 = 5e-3;
/// Ratio of an error to the usual one that makes a score of 1.0.
pub const THRESHOLD: f64 = 1.3;

/// The options of a training beside its data.
#[derive(Debug, Clone)]
pub struct Options {
    /// Of the first weights, the order of the windows and the noise.
    pub seed: u64,
    /// Passes over the windows.
    pub epochs: usize,
    /// Windows in a batch.
    pub batch: usize,
    /// Highest learning rate of the cycle.
    pub learning_rate: f32,
    /// Ratio of an error to the usual one that makes a score of 1.0.
    pub threshold: f64,
    /// Sizes of the network.
    pub shape: Dimensions,
    /// The date to write into the artifact, `YYYY-MM-DD`.
    pub date: String,
    /// Threads to train with. Their number changes no bit of the result.
    pub threads: NonZeroUsize,
}

/// The progress of a training.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Batches done.
    pub done: usize,
    /// Batches in all.
    pub total: usize,
    /// Mean loss of the current epoch so far.
    pub loss: f64,
}

/// The inputs of a training, so that another engine can start from the same ones.
#[derive(Debug)]
pub struct Beginning {
    /// The sources to learn from.
    pub windows: Windows,
    /// The first weights.
    pub weights: [Weights; LAYERS],
    random: ChaCha8Rng,
}

/// Draws random windows of each source, at every resolution, and the first weights.
pub fn begin(sources: &[Source], options: &Options) -> Beginning {
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let count: usize = sources.iter().map(|source| LOOKS.len() * source.windows).sum();
    let mut windows = Windows::new(options.shape.window, count);
    for source in sources {
        sample(&source.series, source.windows, &mut random, &mut windows);
    }
    let weights = initial(options.shape, &mut random);
    Beginning { windows, weights, random }
}

/// Trains on random windows of each source, at every resolution.
///
/// # Errors
/// Where there is too little to learn from, the training diverges, or `stop` is set.
pub fn train(
    sources: &[Source],
    options: &Options,
    stop: &AtomicBool,
    progress: impl FnMut(Progress),
) -> Result<Artifact> {
    train_from(None, sources, options, stop, progress)
}

/// Trains like [`train`], but continues from the weights of an artifact, whose shape the network
/// then has.
///
/// # Errors
/// As [`train`].
pub fn train_from(
    from: Option<&Artifact>,
    sources: &[Source],
    options: &Options,
    stop: &AtomicBool,
    mut progress: impl FnMut(Progress),
) -> Result<Artifact> {
    let shape = from.map_or(options.shape, |from| from.card().shape);
    let options = &Options { shape, ..options.clone() };
    ensure!(options.epochs > 0 && options.batch > 0, "epochs and batch must be at least 1");
    ensure!(
        options.shape.is_possible(),
        "there is no network of {:?}: 1 to 1000, a window of at least 2",
        options.shape
    );
    let threshold = options.threshold;
    ensure!(
        threshold.is_finite() && threshold > 0.0,
        "the threshold is {threshold}, it must be greater than 0"
    );
    let Beginning { windows, weights, mut random } = begin(sources, options);
    ensure!(!windows.is_empty(), "no windows to train on: give more or longer files");
    let device = deepguard::model::device().autodiff();
    let mut network = match from {
        Some(from) => from.network(&device),
        None => Autoencoder::new(options.shape, &weights, &device),
    };
    let clipping = GradientClippingConfig::Norm(GRADIENT_NORM);
    let mut optimizer = AdamConfig::new().with_grad_clipping(Some(clipping)).init();

    let total = options.epochs * windows.len().div_ceil(options.batch);
    let mut order: Vec<usize> = (0..windows.len()).collect();
    let (mut done, mut epoch_loss) = (0, 0.0);
    for _ in 0..options.epochs {
        order.shuffle(&mut random);
        epoch_loss = 0.0;
        let mut seen = 0;
        for indices in order.chunks(options.batch) {
            if stop.load(Ordering::Relaxed) {
                bail!(
                    "interrupted after {done} of {total} batches: the artifact that was there is \
                     unchanged"
                );
            }
            let batch = windows.select(indices);
            let loss = loss(&network, &batch, &mut random, options.threads, &device)?;
            let value = f64::from(loss.clone().inner().try_into_scalar::<f32>()?);
            ensure!(
                value.is_finite(),
                "the loss is {value} after {done} batches: lower the learning rate"
            );
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            network = optimizer.step(
                f64::from(one_cycle(done, total, options.learning_rate)),
                network,
                gradients,
            );
            done += 1;
            epoch_loss += value * indices.len() as f64;
            seen += indices.len();
            progress(Progress { done, total, loss: epoch_loss / seen as f64 });
        }
    }

    let training = Training {
        date: options.date.clone(),
        crate_version: env!("CARGO_PKG_VERSION").into(),
        seed: options.seed,
        epochs: options.epochs,
        windows: windows.len(),
        loss: epoch_loss / windows.len() as f64,
        error: ErrorQuantiles { p50: 0.0, p95: 0.0, p99: 0.0, max: 0.0 },
        generated: sources.iter().filter(|source| source.is_generated()).count(),
        files: sources
            .iter()
            .filter(|source| !source.is_generated())
            .map(|source| TrainedOn {
                name: source.name.clone(),
                sha256: source.sha256.clone(),
                datapoints: source.series.present(0..source.series.len()).count(),
            })
            .collect(),
        fleet: None,
    };
    measured(sources, network.weights(), training, options)
}

/// Days of each source that are scored to measure errors.
const MEASURED_DAYS: i64 = 6;
/// The artifact, with the errors and the usual residuals of the trained network on its own training
/// data.
fn measured(
    sources: &[Source],
    weights: [Weights; LAYERS],
    mut training: Training,
    options: &Options,
) -> Result<Artifact> {
    // This first look works with any borrowed values, because it measures the real ones.
    let nothing = [f64::MIN_POSITIVE; CHANNELS];
    let artifact = |borrowed, growth, training| {
        Ok(Artifact::new(
            options.shape,
            weights.clone(),
            options.threshold,
            borrowed,
            growth,
            training,
        )?)
    };
    let first: Result<Artifact> = artifact(nothing, Growth::default(), training.clone());
    let detector = Detector::new(first?, &deepguard::model::device());
    let (mut errors, mut usual) = (Vec::new(), [const { Vec::new() }; CHANNELS]);
    for Source { series, .. } in sources {
        let mut watch = Watch::default();
        let scored =
            detector.follow(series, &mut watch, series.start() + MEASURED_DAYS * DAY_SECONDS);
        errors.extend(scored.iter().map(deepguard::Scored::reconstruction_error));
        if let Some(baseline) = &watch.baseline {
            for (index, usual) in usual.iter_mut().enumerate() {
                let scale = baseline.expectations[0].level.scale_of(Channel::ALL[index].is_up());
                usual.extend(watch.memory.largest(index).map(|largest| largest / scale));
            }
        }
    }
    errors.sort_unstable_by(f64::total_cmp);
    let of = |sorted: &[f64], q| quantile(sorted, q).context("nothing was scored");
    training.error = ErrorQuantiles {
        p50: of(&errors, 0.5)?,
        p95: of(&errors, 0.95)?,
        p99: of(&errors, 0.99)?,
        max: of(&errors, 1.0)?,
    };
    let mut borrowed = nothing;
    for (borrowed, usual) in borrowed.iter_mut().zip(&mut usual) {
        usual.sort_unstable_by(f64::total_cmp);
        *borrowed = of(usual, BORROWED_QUANTILE)?.max(*borrowed);
    }
    artifact(borrowed, growth::growth(sources, &detector), training)
}

/// The usual error of a sequence without a past: this fraction of the training days has a smaller
/// largest error, in units of scale.
const BORROWED_QUANTILE: f64 = 0.85;

/// Adds `count` random windows for each horizon of `series`. Each is seen with the baseline of its
/// own day, and its forecast slots are hidden.
fn sample(series: &Series, count: usize, random: &mut ChaCha8Rng, windows: &mut Windows) {
    let baselines: BTreeMap<i64, Baseline> = (calibrated_at(series.start())..series.end())
        .step_by(DAY_SECONDS as usize)
        .filter_map(|day| Some((day, Baseline::learn(series, day).ok()?)))
        .collect();
    let known: Vec<usize> = (0..series.len())
        .filter(|&slot| baselines.contains_key(&calibrated_at(series.time_of(slot))))
        .collect();
    if known.is_empty() {
        return;
    }
    let values = Compressed::of(series);
    let averaged = RESOLUTIONS.map(|over| series.averaged(over));
    for (horizon, (resolution, _)) in LOOKS.into_iter().enumerate() {
        for _ in 0..count {
            let slot = known[random.random_range(0..known.len())];
            let baseline = &baselines[&calibrated_at(series.time_of(slot))];
            windows.push(
                &averaged[resolution],
                &baseline.expectations[resolution],
                slot,
                RESOLUTIONS[resolution],
            );
            let own = baseline.forecast(&values, series.start(), slot, horizon);
            windows.hide(baseline, windows.len() - 1, horizon, own);
        }
    }
}

/// Random weights, uniform in `±1/sqrt(width)` as is usual for an LSTM.
fn initial(shape: Dimensions, random: &mut ChaCha8Rng) -> [Weights; LAYERS] {
    let mut draw = |count: usize, bound: f32| {
        (0..count).map(|_| random.random_range(-bound..bound)).collect::<Vec<f32>>()
    };
    let bound = 1.0 / (shape.hidden as f32).sqrt();
    shape.layers().map(|layer| Weights {
        weight: draw(layer.inputs * layer.outputs, bound),
        bias: layer.bias.then(|| draw(layer.outputs, bound)),
    })
}

/// `|u - mu| / scale + ln scale`, weighted mean over the window; the worst windows of the batch are
/// left out.
fn loss(
    network: &Autoencoder,
    clean: &Windows,
    random: &mut ChaCha8Rng,
    threads: NonZeroUsize,
    device: &Device,
) -> Result<Tensor<1>> {
    let time = clean.time();
    let seen = disguised(clean, random);
    // The decoder gives the newest first.
    let reversed = |numbers: &[f32]| {
        let numbers: Vec<f32> =
            numbers.chunks_exact(time).flat_map(|window| window.iter().rev().copied()).collect();
        Tensor::<2>::from_data(TensorData::new(numbers, [clean.len(), time]), device)
    };
    // A value that is missing is 0 exactly.
    let weights = clean.values().iter().zip(clean.visible()).map(|(value, visible)| match *value {
        0.0 => *visible,
        _ if *visible > 0.0 => 1.0,
        _ => FORECAST,
    });
    let (target, weight) = (reversed(clean.values()), reversed(&weights.collect::<Vec<_>>()));
    let states = |input, weight, bias, recurrent| {
        recurrence::states(input, weight, bias, recurrent, threads)
    };
    let said = network.forward_by(&Batch::new(&seen, device), time, states);
    let each = ((target - said.value).abs() * said.log_scale.clone().neg().exp() + said.log_scale)
        * weight.clone();
    let of_window = (each.sum_dim(1) / weight.sum_dim(1).clamp_min(1.0)).squeeze_dim::<1>(1);
    let kept = Tensor::<1>::from_data(TensorData::new(kept(&of_window)?, [clean.len()]), device);
    Ok((of_window * kept.clone()).sum() / kept.sum())
}

/// 1 for each window that counts, 0 for the worst of the batch.
fn kept(losses: &Tensor<1>) -> Result<Vec<f32>> {
    let losses = losses.clone().inner().try_into_vec_as::<f32>()?;
    let dropped = (losses.len() as f64 * CONTAMINATED) as usize;
    let mut order: Vec<usize> = (0..losses.len()).collect();
    order.sort_by(|&a, &b| losses[b].total_cmp(&losses[a]));
    let mut kept = vec![1.0; losses.len()];
    order.iter().take(dropped).for_each(|&worst| kept[worst] = 0.0);
    Ok(kept)
}

/// The network's view of the windows: with noise, and with hidden datapoints.
fn disguised(clean: &Windows, random: &mut ChaCha8Rng) -> Windows {
    let mut seen = clean.clone();
    for [values, visible] in seen.iter_mut() {
        for value in values.iter_mut() {
            *value += NOISE * random.sample::<f32, _>(StandardNormal);
        }
        visible
            .iter_mut()
            .filter(|_| random.random_bool(HIDDEN))
            .for_each(|visible| *visible = 0.0);
    }
    seen
}

/// The learning rate of batch `done`: up to `peak` along a cosine, and down again (Smith 2018).
fn one_cycle(done: usize, total: usize, peak: f32) -> f32 {
    let cosine = |from: f32, to: f32, part: f32| to + (from - to) * (1.0 + (PI * part).cos()) / 2.0;
    let part = done as f32 / total as f32;
    match part < WARM_UP {
        true => cosine(peak / 25.0, peak, part / WARM_UP),
        false => cosine(peak, peak / 1e4, (part - WARM_UP) / (1.0 - WARM_UP)),
    }
}

#[cfg(test)]
mod tests;
