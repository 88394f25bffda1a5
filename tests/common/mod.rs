//! A machine, and the committed artifact to score it with.
#![allow(dead_code, reason = "no test file needs all of it")]

use deepguard::series::{DAY, PERIOD};
use deepguard::{Artifact, Datapoint, Detector, Scored, Series, Watch};

/// The committed artifact.
pub(crate) fn artifact() -> Artifact {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/default.safetensors");
    Artifact::from_bytes(&std::fs::read(path).expect("committed")).expect("sound")
}

pub(crate) fn detector() -> Detector {
    Detector::new(artifact(), &deepguard::model::device())
}

/// A machine with a daily cycle between 10 % and 50 %, a little noise, and `altered` on top.
pub(crate) fn machine(days: i64, altered: impl Fn(i64, f64) -> f64) -> Vec<Datapoint> {
    let value = |slot: i64| {
        let daily = 30.0 + 20.0 * (slot as f64 / DAY as f64 * std::f64::consts::TAU).sin();
        altered(slot, daily + 3.0 * (noise(slot as u64) - 0.5))
    };
    (0..days * DAY as i64)
        .map(|slot| Datapoint { time: slot * PERIOD, value: value(slot) })
        .collect()
}

/// Noise without a generator: the same number, from 0 to 1, for the same `index` (splitmix64).
pub(crate) fn noise(index: u64) -> f64 {
    let mut bits = index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

pub(crate) fn series(datapoints: &[Datapoint]) -> Series {
    Series::from_datapoints(datapoints.iter().copied()).expect("usable").0
}

/// All scores of a machine, from its first day on.
pub(crate) fn followed(detector: &Detector, datapoints: &[Datapoint]) -> Vec<Scored> {
    let series = series(datapoints);
    detector.follow(&series, &mut Watch::default(), series.end())
}

/// A machine with spikes, a value that stays (each time for longer), missing datapoints, and gaps
/// shorter and longer than a window.
pub(crate) fn eventful(days: i64) -> Vec<Datapoint> {
    let spiked = |slot: i64, cpu: f64| {
        if slot % 331 < 4 { cpu + 25.0 * noise(slot as u64 / 331) } else { cpu }
    };
    let frozen = |slot: i64, cpu: f64| if slot % 650 < 40 + slot / 650 * 80 { 12.5 } else { cpu };
    let broken = |slot: i64, cpu: f64| if (1500..1510).contains(&slot) { 99.0 } else { cpu };
    let mut datapoints = machine(days, |slot, cpu| broken(slot, frozen(slot, spiked(slot, cpu))));
    datapoints.retain(|point| {
        let slot = point.time / PERIOD;
        slot % 89 != 0 && !(700..740).contains(&slot) && !(1000..1160).contains(&slot)
    });
    datapoints
}
