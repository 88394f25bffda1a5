//! Both backends, the same scores. Runs where both are compiled in: `--features ndarray`.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that meets what it did not expect should stop there")]
#![cfg(all(feature = "flex", feature = "ndarray"))]

use burn::tensor::Device;
use deepguard::detector::Baselines;
use deepguard::series::{DAY_SECONDS, PERIOD};
use deepguard::{Artifact, Datapoint, Detector, Scored, Series};

fn scored(device: Device, series: &Series) -> Vec<Scored> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/default.safetensors");
    let artifact = Artifact::from_bytes(&std::fs::read(path).expect("committed")).expect("sound");
    let detector = Detector::new(artifact, device);
    detector.follow(series, series.end() - DAY_SECONDS..series.end(), &mut Baselines::new())
}

/// Ten days with a daily cycle, a job every six hours, gaps, and a step in the last hour.
fn series(kind: u64) -> Series {
    let value = |slot: i64| {
        let jitter =
            ((slot as u64).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(kind) >> 40) as f64 / 16_777_216.0;
        let daily = (slot as f64 / 288.0 * std::f64::consts::TAU).sin();
        let job = if slot % 72 < 3 { 20.0 } else { 0.0 };
        let step = if slot > 10 * 288 - 12 { 15.0 } else { 0.0 };
        30.0 + 10.0 * kind as f64 * daily + job + 4.0 * jitter + step
    };
    let points =
        (0..10 * 288).filter(|slot| slot % 97 != 0).map(|slot| Datapoint { time: slot * PERIOD, value: value(slot) });
    Series::from_datapoints(points).expect("usable").0
}

/// Deprecated upstream, and kept for those who have to compare with it: see docs/DESIGN.md.
#[expect(deprecated, reason = "burn-ndarray is the other backend that this project promises")]
fn ndarray() -> Device {
    Device::ndarray()
}

#[test]
fn flex_and_ndarray_agree() {
    for kind in 0..3 {
        let series = series(kind);
        let (flex, ndarray) = (scored(Device::flex(), &series), scored(ndarray(), &series));
        assert!(flex.len() > 280);
        assert_eq!(flex.len(), ndarray.len());
        for (a, b) in flex.iter().zip(&ndarray) {
            let (Some(x), Some(y)) = (a.reconstruction, b.reconstruction) else { panic!("not reconstructed") };
            assert!((x - y).abs() < 1e-4, "reconstruction {x} against {y} at {}", a.time);
            assert!((a.score.value() - b.score.value()).abs() < 1e-4, "score {:?} against {:?}", a.score, b.score);
        }
    }
}
