//! Measures how much sparse mode publishes, and of how many hours the bands.

use std::collections::BTreeSet;

use deepguard::band::Bands;
use deepguard::episode::{Episodes, MOfN};
use deepguard::series::{DAY_SECONDS, PERIOD};
use deepguard::{Artifact, Datapoint, Detector, Series};

use super::{DEFAULT_ACTIVE, DEFAULT_BANDED};
use crate::build::workload::machine::{Kind, machine};

/// Days of a machine, of which the last ones count: before, a detector is still learning.
const DAYS: usize = 28;
const COUNTED_DAYS: i64 = 14;
/// The defaults of sparse mode: the score from which it publishes, and the number of datapoints
/// that follow each such score.
const FROM: f64 = 0.8;
const AFTERWARDS: usize = 6;

/// Hours of one machine in which its scores are published, and those in which its band is.
fn hours(detector: &Detector, kind: Kind, seed: u64) -> [usize; 2] {
    let values = machine(kind, seed, DAYS);
    let datapoints =
        (0..).zip(values).map(|(slot, value)| Datapoint { time: slot * PERIOD, value });
    let (series, _) = Series::from_datapoints(datapoints).unwrap();
    let counted = series.end() - COUNTED_DAYS * DAY_SECONDS;
    let (mut hours, mut banded) = (BTreeSet::new(), BTreeSet::new());
    let (mut left, mut episodes, mut bands) = (0, Episodes::default(), Bands::default());
    for scored in detector.follow(&series, &mut Default::default(), series.end()) {
        let is_high = scored.score.value() >= FROM;
        if (is_high || left > 0) && scored.time >= counted {
            hours.insert(scored.time / 3600);
        }
        let lasted = episodes.open().is_some();
        episodes.update(&scored, MOfN::default());
        let told = bands.take_in(&scored, lasted || episodes.open().is_some());
        banded.extend(told.iter().filter(|band| band.time >= counted).map(|band| band.time / 3600));
        left = if is_high { AFTERWARDS } else { left.saturating_sub(1) };
    }
    [hours.len(), banded.len()]
}

#[test]
fn the_defaults_are_about_what_the_default_model_publishes() {
    let artifact =
        Artifact::from_bytes(include_bytes!("../../../../models/default.safetensors")).unwrap();
    let detector = Detector::new(artifact, &deepguard::model::device());
    let machines: Vec<_> =
        Kind::ALL.into_iter().flat_map(|kind| [(kind, 100), (kind, 101)]).collect();
    let hours: Vec<[usize; 2]> =
        machines.iter().map(|&(kind, seed)| hours(&detector, kind, seed)).collect();
    for (index, default) in [DEFAULT_ACTIVE, DEFAULT_BANDED].into_iter().enumerate() {
        let published: usize = hours.iter().map(|hours| hours[index]).sum();
        let measured = published as f64 / (machines.len() as f64 * COUNTED_DAYS as f64 * 24.0);
        let default: f64 = default.parse().unwrap();
        assert!(
            (measured - default).abs() < 0.02,
            "{measured} of the hours are published, and the default is {default}"
        );
    }
}
