//! Training: NAB's files to an artifact. The same files and options give the same bytes.

use std::f32::consts::PI;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};
use burn::optim::grad_clipping::GradientClippingConfig;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData};
use deepguard::baseline::level::quantile;
use deepguard::baseline::{Expectation, OWN_DAYS};
use deepguard::model::artifact::{Artifact, ErrorQuantiles, TrainedOn, Training};
use deepguard::model::{Autoencoder, Batch, CONTEXT, LAYERS, Shape, Weights};
use deepguard::series::DAY;
use deepguard::window::Windows;
use deepguard::{Detector, Series};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::nab::NabFile;

/// Standard deviation of the noise on what the network sees, in its own unit.
const NOISE: f32 = 0.05;
/// Fraction of datapoints hidden at random, beside the newest ones.
const HIDDEN: f64 = 0.05;
/// At most this many of the newest datapoints are hidden; they also count twice in the loss.
const NEWEST: usize = 4;
/// Fraction of each batch, the worst reconstructed, that is left out: training data is never all normal.
const CONTAMINATED: f64 = 0.02;
/// Part of the training in which the learning rate rises.
const WARM_UP: f32 = 0.3;
/// Norm at which the gradient of a parameter is clipped.
const GRADIENT_NORM: f32 = 1.0;

/// What a training depends on beside its data.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) epochs: usize,
    pub(crate) batch: usize,
    pub(crate) learning_rate: f32,
    pub(crate) threshold: f64,
    pub(crate) shape: Shape,
    pub(crate) date: String,
}

/// Where training stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    /// Batches done.
    pub(crate) done: usize,
    /// Batches in all.
    pub(crate) total: usize,
    /// Mean loss of the current epoch so far.
    pub(crate) loss: f64,
}

/// The part of one file that is trained on, with what it leads one to expect.
struct Part {
    series: Series,
    expectation: Expectation,
}

/// Trains on the first part of each file, which NAB leaves free of anomalies.
///
/// # Errors
/// Where a file has too little to learn from, the training diverges, or `stop` is set.
pub(crate) fn train(
    files: &[NabFile],
    options: &Options,
    stop: &AtomicBool,
    mut progress: impl FnMut(Progress),
) -> Result<Artifact> {
    ensure!(options.epochs > 0 && options.batch > 0, "epochs and batch must be at least 1");
    ensure!(
        options.shape.is_possible(),
        "there is no network of {:?}: 1 to 1000, a window of at least 2",
        options.shape
    );
    let threshold = options.threshold;
    ensure!(threshold.is_finite() && threshold > 0.0, "the threshold is {threshold}, it must be greater than 0");
    let mut parts = Vec::with_capacity(files.len());
    let mut trained_on = Vec::with_capacity(files.len());
    for file in files {
        let probation = file.probation().min(file.datapoints.len());
        let (series, _) = Series::from_datapoints(file.datapoints[..probation].iter().copied())
            .with_context(|| format!("in {}", file.name))?;
        let expectation = Expectation::learn(&series, series.end()).with_context(|| format!("in {}", file.name))?;
        parts.push(Part { series, expectation });
        trained_on.push(TrainedOn { name: file.name.clone(), sha256: file.sha256.clone(), datapoints: probation });
    }

    let windows = windows(&parts, options.shape.window);
    ensure!(!windows.is_empty(), "no windows to train on: give more or longer files");
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let device = deepguard::model::device().autodiff();
    let mut network = initial(options.shape, &device, &mut random);
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
                bail!("interrupted after {done} of {total} batches: the artifact that was there is unchanged");
            }
            let batch = windows.select(indices);
            let loss = loss(&network, &batch, &mut random, &device)?;
            let value = f64::from(loss.clone().inner().try_into_scalar::<f32>()?);
            ensure!(value.is_finite(), "the loss is {value} after {done} batches: lower the learning rate");
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            network = optimizer.step(f64::from(one_cycle(done, total, options.learning_rate)), network, gradients);
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
        files: trained_on,
    };
    measured(&parts, network.weights(), training, options)
}

/// The artifact, with the errors and the usual residual that the trained network has on its own training data.
fn measured(parts: &[Part], weights: [Weights; LAYERS], mut training: Training, options: &Options) -> Result<Artifact> {
    // Any borrowed residual does for this first look: it is what the look is for.
    let first = Artifact::new(options.shape, weights.clone(), options.threshold, 1.0, training.clone())?;
    let detector = Detector::new(first, deepguard::model::device());
    let (mut errors, mut usual) = (Vec::new(), Vec::new());
    for Part { series, expectation } in parts {
        let baseline = detector.calibrate(series, series.end())?;
        // Scored against a baseline as of its own beginning: residuals, not the scores, are looked at.
        let baseline = deepguard::Baseline { at: series.start(), ..baseline };
        let scored = detector.score(&baseline, series, series.start()..series.end());
        errors.extend(scored.iter().map(deepguard::Scored::reconstruction_error));
        let residuals: Vec<f64> = scored.iter().map(|scored| (scored.observed - scored.expected).abs()).collect();
        let days = residuals.chunks(DAY).take(OWN_DAYS);
        let largest = days.filter_map(|day| day.iter().copied().reduce(f64::max));
        usual.extend(largest.map(|residual| residual / expectation.level.scale));
    }
    errors.sort_unstable_by(f64::total_cmp);
    usual.sort_unstable_by(f64::total_cmp);
    let of = |sorted: &[f64], q| quantile(sorted, q).context("nothing was scored");
    training.error = ErrorQuantiles {
        p50: of(&errors, 0.5)?,
        p95: of(&errors, 0.95)?,
        p99: of(&errors, 0.99)?,
        max: of(&errors, 1.0)?,
    };
    Ok(Artifact::new(options.shape, weights, options.threshold, of(&usual, BORROWED_QUANTILE)?, training)?)
}

/// The daily maximum residual, in units of scale, that this fraction of the training days stays under is lent to young instances.
const BORROWED_QUANTILE: f64 = 0.5;

/// Every window that lies in one of the parts.
fn windows(parts: &[Part], time: usize) -> Windows {
    let count = parts.iter().map(|part| part.series.len()).sum();
    let mut windows = Windows::new(time, count);
    for Part { series, expectation } in parts {
        (time - 1..series.len()).for_each(|newest| windows.push(series, expectation, newest));
    }
    windows
}

/// A network with random weights, uniform in `±1/sqrt(width)` as is usual for an LSTM.
fn initial(shape: Shape, device: &Device, random: &mut ChaCha8Rng) -> Autoencoder {
    let mut draw =
        |count: usize, bound: f32| (0..count).map(|_| random.random_range(-bound..bound)).collect::<Vec<f32>>();
    let bound = 1.0 / (shape.hidden as f32).sqrt();
    let weights = shape.layers().map(|layer| Weights {
        weight: draw(layer.inputs * layer.outputs, bound),
        bias: layer.bias.then(|| draw(layer.outputs, bound)),
    });
    Autoencoder::new(shape, &weights, device)
}

/// `|u - mu| / scale + ln scale`, mean over the window plus mean over its newest datapoints; the
/// worst windows of the batch are left out.
fn loss(network: &Autoencoder, clean: &Windows, random: &mut ChaCha8Rng, device: &Device) -> Result<Tensor<1>> {
    let time = clean.time();
    let seen = disguised(clean, random);
    // The decoder gives the newest first.
    let reversed = |numbers: &[f32]| {
        let numbers: Vec<f32> = numbers.chunks_exact(time).flat_map(|window| window.iter().rev().copied()).collect();
        Tensor::<2>::from_data(TensorData::new(numbers, [clean.len(), time]), device)
    };
    let (target, measured) = (reversed(clean.values()), reversed(clean.visible()));
    let said = network.forward(&Batch::new(&seen, device), time);
    let each = ((target - said.value).abs() * said.log_scale.clone().neg().exp() + said.log_scale) * measured.clone();
    let mean = |from: &Tensor<2>, measured: &Tensor<2>| {
        (from.clone().sum_dim(1) / measured.clone().sum_dim(1).clamp_min(1.0)).squeeze_dim::<1>(1)
    };
    let newest = |tensor: &Tensor<2>| tensor.clone().narrow(1, 0, NEWEST.min(time));
    let of_window = mean(&each, &measured) + mean(&newest(&each), &newest(&measured));
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

/// What the network gets to see of the windows: noise, hidden datapoints, and profiles of every confidence.
fn disguised(clean: &Windows, random: &mut ChaCha8Rng) -> Windows {
    let mut seen = clean.clone();
    for [values, visible, context] in seen.iter_mut() {
        for value in values.iter_mut() {
            *value += NOISE * random.sample::<f32, _>(StandardNormal);
        }
        let newest = values.len() - random.random_range(0..=NEWEST.min(values.len()));
        for (index, visible) in visible.iter_mut().enumerate() {
            if index >= newest || random.random_bool(HIDDEN) {
                *visible = 0.0;
            }
        }
        // The training data is too short for profiles of every age. A network that never saw one
        // would not know what to make of it, so each window pretends to be of a random age.
        let days = random.random_range(0..=7u8);
        let weeks = if days == 7 { random.random_range(0..=4u8) } else { 0 };
        for context in context.chunks_exact_mut(CONTEXT) {
            if days < 2 {
                context.copy_from_slice(&[0.0, 1.05f32.ln(), 0.0, 0.0, 0.0]);
            } else {
                context[2] = f32::from(days) / 7.0;
                // Of a few weeks, the profile of a week is the profile of a day seen through noise.
                let spread = context[1].exp() - 0.05;
                context[3] =
                    if weeks < 2 { 0.0 } else { context[0] + 0.5 * spread * random.sample::<f32, _>(StandardNormal) };
                context[4] = if weeks < 2 { 0.0 } else { f32::from(weeks) / 4.0 };
            }
        }
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
mod tests {
    use super::*;
    use crate::simulate;

    fn files(rows: usize) -> Vec<NabFile> {
        let file = |machine: simulate::Machine| NabFile {
            name: machine.name,
            sha256: "00".into(),
            datapoints: machine.datapoints[..rows].to_vec(),
            rows,
        };
        simulate::fleet(3, 1_700_000_000).into_iter().take(2).map(file).collect()
    }

    fn options(seed: u64, epochs: usize) -> Options {
        let shape = Shape { window: 8, hidden: 4, bottleneck: 2 };
        Options { seed, epochs, batch: 64, learning_rate: 1e-2, threshold: 1.05, shape, date: "2026-01-31".into() }
    }

    fn trained(seed: u64, epochs: usize) -> Artifact {
        train(&files(4000), &options(seed, epochs), &AtomicBool::new(false), |_| ()).unwrap()
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let bytes = |seed| trained(seed, 1).to_bytes().unwrap();
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    #[test]
    fn it_learns() {
        let (short, long) = (trained(1, 1), trained(1, 8));
        let (before, after) = (short.card().training.loss, long.card().training.loss);
        assert!(after < before - 0.2, "loss {before} after one epoch, {after} after eight");
        assert_eq!(long.card().training.files[0].datapoints, 600, "15 % of 4000 rows");
    }

    #[test]
    fn it_stops_when_asked_to() {
        let stop = AtomicBool::new(false);
        let mut batches = 0;
        let error = train(&files(4000), &options(1, 50), &stop, |progress| {
            batches = progress.done;
            stop.store(progress.done == 3, Ordering::Relaxed);
        });
        assert!(format!("{:#}", error.unwrap_err()).contains("interrupted after 3 of"));
        assert_eq!(batches, 3);
    }

    #[test]
    fn a_file_with_too_little_to_learn_from_is_named() {
        let error = train(&files(900), &options(1, 1), &AtomicBool::new(false), |_| ()).unwrap_err();
        assert!(format!("{error:#}").contains("in web-1"), "{error:#}");
    }

    #[test]
    fn what_cannot_be_trained_is_told_before_training() {
        let wrong: [fn(&mut Options); 7] = [
            |options| options.epochs = 0,
            |options| options.batch = 0,
            |options| options.shape.window = 1,
            |options| options.shape.hidden = 0,
            |options| options.shape.bottleneck = 1001,
            |options| options.threshold = f64::NAN,
            |options| options.threshold = 0.0,
        ];
        for (index, spoil) in wrong.into_iter().enumerate() {
            let mut options = options(1, 1);
            spoil(&mut options);
            let mut batches = 0;
            let trained = train(&files(4000), &options, &AtomicBool::new(false), |_| batches += 1);
            assert!(trained.is_err() && batches == 0, "case {index}: {batches} batches");
        }
    }

    #[test]
    fn the_newest_datapoints_are_hidden_most_and_none_is_always_seen() {
        let machine = &simulate::fleet(3, 1_700_000_000)[0];
        let (series, _) = Series::from_datapoints(machine.datapoints.iter().copied()).unwrap();
        let expectation = Expectation::learn(&series, series.end()).unwrap();
        let windows = windows(&[Part { series, expectation }], 8);
        let mut seen = disguised(&windows, &mut ChaCha8Rng::seed_from_u64(1));
        let mut hidden = [0.0; 8];
        for [_, visible, _] in seen.iter_mut() {
            visible.iter().zip(&mut hidden).for_each(|(&visible, hidden)| *hidden += f64::from(1.0 - visible));
        }
        // Of 0 to 4 newest, equally likely, slot 7 is among them four times in five, slot 3 and older never.
        for (slot, among_newest) in [0.0, 0.0, 0.0, 0.0, 0.2, 0.4, 0.6, 0.8].into_iter().enumerate() {
            let expected = among_newest + (1.0 - among_newest) * HIDDEN;
            let found = hidden[slot] / windows.len() as f64;
            assert!((found - expected).abs() < 0.03, "slot {slot} is hidden in {found:.3}, not {expected:.3}");
        }
    }

    #[test]
    fn the_learning_rate_rises_and_falls() {
        let rates: Vec<f32> = (0..100).map(|done| one_cycle(done, 100, 1.0)).collect();
        assert!(rates[..30].is_sorted() && rates[30..].iter().rev().is_sorted());
        assert!((rates[0] - 0.04).abs() < 1e-6 && (rates[30] - 1.0).abs() < 1e-6 && rates[99] < 0.01);
    }
}
