//! Both backends give the same scores: those of the kernel, whichever backend loaded the network.
//! Runs where both are compiled in: `--features ndarray`.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it did not expect should stop there"
)]
#![cfg(all(feature = "flex", feature = "ndarray"))]

mod common;

use burn::tensor::Device;
use common::{artifact, followed, noise};
use deepguard::baseline::Baseline;
use deepguard::model::kernel::Kernel;
use deepguard::series::{DAY, PERIOD, RESOLUTIONS};
use deepguard::window::Windows;
use deepguard::{Datapoint, Detector, Series};

/// Six days with a daily cycle, a job every six hours, gaps, and a step in the last hour.
fn machine(kind: i64) -> Vec<Datapoint> {
    let slots = 6 * DAY as i64;
    let value = |slot: i64| {
        let daily = (slot as f64 / DAY as f64 * std::f64::consts::TAU).sin();
        let job = if slot % 72 < 3 { 20.0 } else { 0.0 };
        let step = if slot >= slots - 12 { 15.0 } else { 0.0 };
        30.0 + 10.0 * kind as f64 * daily + job + 4.0 * noise((kind * slots + slot) as u64) + step
    };
    let kept = (0..slots).filter(|slot| slot % 97 != 0);
    kept.map(|slot| Datapoint { time: slot * PERIOD, value: value(slot) }).collect()
}

/// Deprecated upstream, but still here for people who have to compare with it: see docs/DESIGN.md.
#[expect(deprecated, reason = "burn-ndarray is the other backend that this project promises")]
fn ndarray() -> Device {
    Device::ndarray()
}

#[test]
fn loaded_on_flex_and_on_ndarray_it_scores_the_same() {
    for kind in 0..3 {
        let machine = machine(kind);
        let [flex, ndarray] = [Device::flex(), ndarray()]
            .map(|device| followed(&Detector::new(artifact(), &device), &machine));
        assert!(flex.len() > 3 * DAY);
        assert!(flex.iter().any(|scored| scored.score.is_anomalous()));
        assert_eq!(flex, ndarray);
    }
}

#[test]
fn both_reconstruct_as_the_kernel_does() {
    for kind in 0..3 {
        let series = Series::from_datapoints(machine(kind)).expect("usable").0;
        let baseline = Baseline::learn(&series, series.end()).expect("enough");
        let mut windows = Windows::new(32, 300);
        for slot in series.len() - 150..series.len() {
            let of = |resolution: usize| {
                (&baseline.expectations[resolution], slot, RESOLUTIONS[resolution])
            };
            [of(0), of(1)]
                .into_iter()
                .for_each(|(expected, slot, over)| windows.push(&series, expected, slot, over));
        }
        windows.hide_newest(1);
        for device in [Device::flex(), ndarray()] {
            let network = artifact().network(&device);
            let kernel = Kernel::new(&network).reconstruct(&windows, windows.time());
            let network = network.reconstruct(&windows, 32, &device);
            assert_eq!(kernel.len(), network.len());
            for (kernel, network) in kernel.iter().zip(&network) {
                assert!((kernel - network).abs() < 1e-5, "{device:?}: {kernel} against {network}");
            }
        }
    }
}
