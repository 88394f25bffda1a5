//! Compares the kernel that scores with the network it was packed from.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it did not expect should stop there"
)]

use std::num::NonZeroUsize;

use deepguard::baseline::{Baseline, Expectation};
use deepguard::model::kernel::{Kernel, Path};
use deepguard::model::{Autoencoder, Dimensions, LAYERS, Weights};
use deepguard::series::{DAY, Datapoint, PERIOD};
use deepguard::window::Windows;
use deepguard::{Artifact, Series};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// The largest allowed difference between a reconstruction and its reference.
const CLOSE: f32 = 1e-5;

/// Numbers that look random, and are the same every time.
struct Numbers(u64);

impl Numbers {
    /// Evenly from -1 to 1.
    fn next(&mut self) -> f32 {
        // Knuth's MMIX generator; its high bits are good enough.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// A network whose weights are up to `most`. The weights that multiply a state are up to
/// `recurrent`.
fn network(shape: Dimensions, most: f32, recurrent: f32, seed: u64) -> Autoencoder {
    let mut numbers = Numbers(seed);
    let mut draw =
        |count: usize, most: f32| (0..count).map(|_| most * numbers.next()).collect::<Vec<f32>>();
    let weights: [Weights; LAYERS] = shape.layers().map(|layer| {
        let of_state = !layer.name.ends_with("input");
        Weights {
            weight: draw(layer.inputs * layer.outputs, if of_state { recurrent } else { most }),
            bias: layer.bias.then(|| draw(layer.outputs, most)),
        }
    });
    Autoencoder::new(shape, &weights, &deepguard::model::device())
}

fn default_network() -> Autoencoder {
    let artifact =
        Artifact::from_bytes(include_bytes!("../models/default.safetensors")).expect("sound");
    artifact.network(&deepguard::model::device())
}

/// Three days of a machine with a habit, noise, a gap, and now and then a value far outside the
/// rest.
fn machine(seed: u64) -> (Series, [Expectation; 2]) {
    let mut numbers = Numbers(seed);
    let value = |slot: usize, noise: f32, chance: f32| {
        let habit = 30.0 + 20.0 * (slot as f64 * std::f64::consts::TAU / DAY as f64).sin();
        if chance > 0.99 { 100.0 * f64::from(noise.abs()) } else { habit + 3.0 * f64::from(noise) }
    };
    let points = (0..3 * DAY).filter(|slot| !(700..720).contains(slot)).map(|slot| {
        let (noise, chance) = (numbers.next(), numbers.next());
        Datapoint { time: slot as i64 * PERIOD, value: value(slot, noise, chance) }
    });
    let series = Series::from_datapoints(points).expect("usable").0;
    let baseline = Baseline::learn(&series, series.end()).expect("enough");
    (series, baseline.expectations)
}

/// `count` windows of a machine, of both resolutions, with the newest slot hidden.
fn windows(time: usize, count: usize, seed: u64) -> Windows {
    let (series, expectations) = machine(seed);
    let mut windows = Windows::new(time, count);
    for index in 0..count {
        let resolution = index % 2;
        windows.push(&series, &expectations[resolution], 37 + index * 13 % 800, [1, 4][resolution]);
    }
    windows.hide_newest(1);
    windows
}

fn reference(network: &Autoencoder, windows: &Windows) -> Vec<f32> {
    network.reconstruct(windows, windows.time(), &deepguard::model::device())
}

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

#[test]
fn this_processor_can_go_the_portable_path_at_least() {
    let here: Vec<Path> = Path::here().collect();
    println!("{here:?}");
    assert_eq!(here.last(), Some(&Path::Portable));
    assert_eq!(here.first(), Some(&Path::best()));
}

#[test]
fn the_default_network_reconstructs_as_burn_does() {
    let (network, windows) = (default_network(), windows(32, 200, 1));
    let expected = reference(&network, &windows);
    for path in Path::here() {
        let said = Kernel::new(&network).by(path).reconstruct(&windows, windows.time());
        let furthest = furthest(&said, &expected);
        println!("{path:?}: {furthest:e}");
        assert!(furthest < CLOSE, "{path:?} is {furthest:e} off");
    }
}

#[test]
fn networks_of_any_shape_reconstruct_as_burn_does() {
    let shape = (2usize..12, 1usize..41, 1usize..20)
        .prop_map(|(window, hidden, bottleneck)| Dimensions { window, hidden, bottleneck });
    let mut runner =
        TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    let run = runner.run(&(shape, 1usize..70, any::<u64>()), |(shape, count, seed)| {
        let most = 1.5 / (shape.hidden as f32).sqrt();
        let network = network(shape, most, most, seed);
        let windows = windows(shape.window, count, seed);
        let expected = reference(&network, &windows);
        for path in Path::here() {
            let said = Kernel::new(&network).by(path).reconstruct(&windows, windows.time());
            prop_assert!(
                furthest(&said, &expected) < CLOSE,
                "{path:?}: {:e}",
                furthest(&said, &expected)
            );
        }
        Ok(())
    });
    if let Err(error) = run {
        panic!("{error}");
    }
}

#[test]
fn neither_path_nor_batch_nor_threads_change_a_bit() {
    let (network, windows) = (default_network(), windows(32, 300, 2));
    let expected =
        bits(&Kernel::new(&network).by(Path::Portable).reconstruct(&windows, windows.time()));
    for path in Path::here() {
        let kernel = Kernel::new(&network).by(path);
        // Every size of a tail, for every number of lanes, with full lanes before it.
        for count in (0..=70).chain([128, 255, 256, 257, 300]) {
            let some: Vec<usize> = (300 - count..300).collect();
            let said = kernel.reconstruct(&windows.select(&some), windows.time());
            assert_eq!(bits(&said), expected[(300 - count) * 32..], "{path:?}, {count} windows");
        }
        // The newest slots alone are the same as among all.
        for (count, datapoints) in [(1, 1), (2, 6), (3, 6), (16, 1), (300, 31)] {
            let some: Vec<usize> = (300 - count..300).collect();
            let said = kernel.reconstruct(&windows.select(&some), datapoints);
            let newest = expected[(300 - count) * 32..]
                .chunks_exact(32)
                .flat_map(|window| &window[..datapoints]);
            assert!(
                bits(&said).iter().eq(newest),
                "{path:?}, {count} windows, {datapoints} datapoints"
            );
        }
        for threads in [1, 2, 3, 5, 64] {
            let kernel =
                kernel.clone().with_threads(NonZeroUsize::new(threads).expect("one or more"));
            assert_eq!(
                bits(&kernel.reconstruct(&windows, windows.time())),
                expected,
                "{path:?}, {threads} threads"
            );
        }
    }
}

#[test]
fn gates_at_their_ends_are_as_burns_are() {
    // Sums of up to some hundreds: sigmoids at 0 and 1, tanh at -1 and 1, cells that count up and
    // down. The state has only a weak influence, or else a rounding error would decide everything.
    let shape = Dimensions { window: 32, hidden: 17, bottleneck: 3 };
    for seed in 0..20 {
        let (network, windows) = (network(shape, 40.0, 0.02, seed), windows(32, 20, seed));
        let expected = reference(&network, &windows);
        // The last bias makes large numbers of it, with roundings to match.
        let largest = expected.iter().fold(1.0f32, |largest, number| largest.max(number.abs()));
        for path in Path::here() {
            let furthest = furthest(
                &Kernel::new(&network).by(path).reconstruct(&windows, windows.time()),
                &expected,
            ) / largest;
            assert!(furthest < CLOSE, "{path:?}, seed {seed}: {furthest:e}");
        }
    }
}

#[test]
fn weights_beyond_all_reason_give_numbers() {
    let shape = Dimensions { window: 8, hidden: 5, bottleneck: 3 };
    for seed in 0..5 {
        let (network, windows) = (network(shape, 1e15, 1e15, seed), windows(8, 20, seed));
        for path in Path::here() {
            let said = Kernel::new(&network).by(path).reconstruct(&windows, windows.time());
            assert!(said.iter().all(|number| number.is_finite()), "{path:?}");
        }
    }
}

#[test]
fn a_window_does_not_know_its_neighbours() {
    let (network, windows) = (default_network(), windows(32, 40, 3));
    let kernel = Kernel::new(&network);
    let expected = kernel.reconstruct(&windows, windows.time());
    let mut spoilt = windows.clone();
    for [values, _] in spoilt.iter_mut().skip(7).take(1) {
        values.fill(f32::NAN);
    }
    let said = kernel.reconstruct(&spoilt, windows.time());
    assert_eq!(bits(&said[..7 * 32]), bits(&expected[..7 * 32]));
    assert_eq!(bits(&said[8 * 32..]), bits(&expected[8 * 32..]));
}
