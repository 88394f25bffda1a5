//! Both backends, the same scores. Runs where both are compiled in: `--features ndarray`.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that meets what it did not expect should stop there")]
#![cfg(all(feature = "flex", feature = "ndarray"))]

mod common;

use burn::tensor::Device;
use common::{artifact, followed, noise};
use deepguard::series::{DAY, PERIOD};
use deepguard::{Datapoint, Detector};

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

/// Deprecated upstream, and kept for those who have to compare with it: see docs/DESIGN.md.
#[expect(deprecated, reason = "burn-ndarray is the other backend that this project promises")]
fn ndarray() -> Device {
    Device::ndarray()
}

#[test]
fn flex_and_ndarray_agree() {
    for kind in 0..3 {
        let machine = machine(kind);
        let [flex, ndarray] =
            [Device::flex(), ndarray()].map(|device| followed(&Detector::new(artifact(), device), &machine));
        assert!(flex.len() > 3 * DAY);
        assert_eq!(flex.len(), ndarray.len());
        assert!(flex.iter().any(|scored| scored.score.is_anomalous()));
        for (a, b) in flex.iter().zip(&ndarray) {
            let (Some(x), Some(y)) = (a.reconstruction, b.reconstruction) else { panic!("not reconstructed") };
            assert!((x - y).abs() < 1e-4, "reconstruction {x} against {y} at {}", a.time);
            assert!((a.score.value() - b.score.value()).abs() < 1e-4, "score {:?} against {:?}", a.score, b.score);
        }
    }
}
