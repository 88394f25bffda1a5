//! Checks that each kind of wrong bytes in an artifact has its own clear error.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it did not expect should stop there"
)]

use deepguard::channel::{CHANNELS, Channel};
use deepguard::model::artifact::FORMAT;
use deepguard::model::card::{
    ErrorQuantiles, FalsePages, Fleet, Growth, LeftOut, TrainedOn, Training, Why,
};
use deepguard::model::{Dimensions, LAYERS, Weights};
use deepguard::{Artifact, ArtifactError};
use proptest::prelude::*;

const SHAPE: Dimensions = Dimensions { window: 8, hidden: 3, bottleneck: 2 };
const LENT: [f64; CHANNELS] = [12.0, 8.0, 6.0, 4.0, 3.0, 2.5, 2.0, 1.0];

fn training() -> Training {
    Training {
        date: "2026-01-31".into(),
        crate_version: "0.0.0".into(),
        seed: 1,
        epochs: 2,
        windows: 3,
        loss: -0.5,
        error: ErrorQuantiles { p50: 1.0, p95: 2.0, p99: 3.0, max: 4.0 },
        // A name that could be mistaken for the checksum.
        files: vec![TrainedOn {
            name: r#"a","checksum":"0000"#.into(),
            sha256: "00".into(),
            datapoints: 604,
        }],
        generated: 5,
        fleet: None,
    }
}

fn growth() -> Growth {
    Growth { forecasts: vec![1.5, 1.2], records: vec![2.5], runs: vec![3.5, 1.1] }
}

fn weights(shape: Dimensions) -> [Weights; LAYERS] {
    let number = |index: usize| (index as f32 * 0.7).sin() * 0.3;
    shape.layers().map(|layer| Weights {
        weight: (0..layer.inputs * layer.outputs).map(number).collect(),
        bias: layer.bias.then(|| (0..layer.outputs).map(number).collect()),
    })
}

fn artifact() -> Artifact {
    Artifact::new(SHAPE, weights(SHAPE), 1.05, LENT, growth(), training())
        .expect("a sound artifact")
}

/// The file with `from` replaced by `to` of the same length, and the checksum made right again if
/// `sign`.
fn altered(from: &str, to: &str, sign: bool) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    assert_eq!(from.len(), to.len());
    let mut file = artifact().to_bytes().expect("bytes");
    let place =
        file.windows(from.len()).position(|window| window == from.as_bytes()).expect("there");
    file[place..place + to.len()].copy_from_slice(to.as_bytes());
    if sign {
        let before = br#"\"checksum\":\""#;
        let start = file.windows(before.len()).position(|window| window == before).expect("there")
            + before.len();
        file[start..start + 64].fill(b'0');
        let digest: String =
            Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
        file[start..start + 64].copy_from_slice(digest.as_bytes());
    }
    file
}

#[test]
fn there_and_back() {
    let bytes = artifact().to_bytes().expect("bytes");
    let read = Artifact::from_bytes(&bytes).expect("sound");
    assert_eq!(read, artifact());
    assert_eq!(read.to_bytes().expect("bytes"), bytes, "the same content is the same bytes");
    assert_eq!(read.version(), format!("2026-01-31-{}", &read.checksum()[..12]));
    assert_eq!(read.checksum().len(), 64);
    let network = read.network(&deepguard::model::device());
    assert_eq!(network.weights(), weights(SHAPE));
}

#[test]
fn the_committed_artifact_is_sound() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/default.safetensors");
    let artifact = Artifact::from_bytes(&std::fs::read(path).expect("committed")).expect("sound");
    assert_eq!(artifact.card().shape, Dimensions::DEFAULT);
    assert_eq!(artifact.card().format, FORMAT);
}

#[test]
fn wrong_bytes_are_told_apart() {
    let sound = artifact().to_bytes().expect("bytes");
    let length = sound.len();
    type Check = fn(&ArtifactError) -> bool;
    let foreign: Check = |error| matches!(error, ArtifactError::Foreign(_));
    let truncated: Check = |error| matches!(error, ArtifactError::Truncated(_));
    let damaged: Check = |error| matches!(error, ArtifactError::Damaged(_));
    let cases: Vec<(&str, Vec<u8>, Check)> = vec![
        ("empty", vec![], foreign),
        ("a word", b"PK\x03\x04 is a zip file".to_vec(), foreign),
        ("pickle", [b"\x80\x02}q\x00".as_slice(), &[0; 64]].concat(), foreign),
        ("another program's safetensors", foreign_safetensors(), foreign),
        ("cut in the header", sound[..100].to_vec(), truncated),
        ("cut in the weights", sound[..length - 5].to_vec(), truncated),
        ("longer than it says", [sound.as_slice(), &[0]].concat(), truncated),
        (
            "a weight changed",
            {
                let mut file = sound.clone();
                file[length - 2] ^= 1;
                file
            },
            damaged,
        ),
        ("the date changed", altered("2026-01-31", "2026-01-30", false), damaged),
        ("a newer format", altered(r#"\"format\":3"#, r#"\"format\":7"#, true), |error| {
            matches!(error, ArtifactError::NewerFormat { found: 7 })
        }),
        (
            "a newer format, checksum or not",
            altered(r#"\"format\":3"#, r#"\"format\":7"#, false),
            |error| matches!(error, ArtifactError::NewerFormat { found: 7 }),
        ),
        (
            "an older format, checksum or not",
            altered(r#"\"format\":3"#, r#"\"format\":1"#, false),
            |error| matches!(error, ArtifactError::OlderFormat { found: 1 }),
        ),
        ("another shape", altered(r#"\"hidden\":3"#, r#"\"hidden\":4"#, true), |error| {
            matches!(error, ArtifactError::Shape { .. })
        }),
        (
            "a missing tensor",
            altered("\"bottleneck.bias\"", "\"bottleneck.bIas\"", true),
            |error| matches!(error, ArtifactError::Shape { found, .. } if found == "missing"),
        ),
        ("an impossible shape", altered(r#"\"window\":8"#, r#"\"window\":0"#, true), damaged),
        ("another scaling rule", altered("asinh((y", "asinh((x", true), |error| {
            matches!(error, ArtifactError::Scaling(_))
        }),
        (
            "a threshold of nothing",
            altered(r#"\"threshold\":1.05"#, r#"\"threshold\":0.00"#, true),
            |error| matches!(error, ArtifactError::NotFinite(_)),
        ),
        (
            "a borrowed error of nothing",
            altered("12.0,8.0,6.0,4.0", "12.0,8.0,0.0,4.0", true),
            |error| matches!(error, ArtifactError::NotFinite(what) if what.contains("borrowed")),
        ),
        (
            "a growth that shrinks",
            altered("[1.5,1.2]", "[1.5,0.2]", true),
            |error| matches!(error, ArtifactError::NotFinite(what) if what.contains("grows")),
        ),
        ("one channel too few", altered("12.0,8.0,6.0,4.0", "12.0,8.0,6.01234", true), damaged),
    ];
    for (what, file, expected) in cases {
        let error = Artifact::from_bytes(&file).expect_err(what);
        assert!(expected(&error), "{what}: {error:?}");
        assert!(error.to_string().contains(':'), "{what}: `{error}` does not say what to do");
    }
}

#[test]
fn weights_that_are_not_numbers_are_refused() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut weights = weights(SHAPE);
        weights[2].weight[1] = bad;
        let error = Artifact::new(SHAPE, weights, 1.05, LENT, growth(), training())
            .expect_err("not finite");
        assert!(
            matches!(&error, ArtifactError::NotFinite(what) if what.contains("bottleneck.weight")),
            "{error}"
        );
    }
    for threshold in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
        assert!(
            Artifact::new(SHAPE, weights(SHAPE), threshold, LENT, growth(), training()).is_err(),
            "{threshold}"
        );
        for channel in 0..CHANNELS {
            let mut lent = LENT;
            lent[channel] = threshold;
            assert!(
                Artifact::new(SHAPE, weights(SHAPE), 1.05, lent, Growth::default(), training())
                    .is_err(),
                "lent {threshold}"
            );
        }
        for shrinking in [
            Growth { forecasts: vec![threshold], ..growth() },
            Growth { records: vec![threshold], ..growth() },
            Growth { runs: vec![threshold], ..growth() },
        ] {
            let made = Artifact::new(SHAPE, weights(SHAPE), 1.05, LENT, shrinking, training());
            assert_eq!(made.is_err(), !(1.0..=f64::MAX).contains(&threshold), "growth {threshold}");
        }
    }
}

#[test]
fn weights_of_another_shape_are_refused() {
    let other = Dimensions { hidden: 4, ..SHAPE };
    assert!(Artifact::new(SHAPE, weights(other), 1.05, LENT, growth(), training()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_damaged_byte_is_noticed(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut file = artifact().to_bytes().expect("bytes");
        let at = at.index(file.len());
        file[at] ^= flip;
        prop_assert!(Artifact::from_bytes(&file).is_err(), "byte {at} changed by {flip}");
    }

    #[test]
    fn every_number_comes_back_as_it_was(loss in any::<f64>(), threshold in 1e-3f64..1e3) {
        prop_assume!(loss.is_finite());
        let training = Training { loss, ..training() };
        let made = Artifact::new(SHAPE, weights(SHAPE), threshold, LENT, growth(), training);
        let made = made.expect("sound");
        prop_assert_eq!(made.card().training.loss, loss);
        let bytes = made.to_bytes().expect("bytes");
        let read = Artifact::from_bytes(&bytes).expect("sound");
        prop_assert_eq!(read.checksum(), made.checksum());
        prop_assert_eq!(read.to_bytes().expect("bytes"), bytes);
    }

    #[test]
    fn any_cut_is_noticed(at in any::<prop::sample::Index>()) {
        let file = artifact().to_bytes().expect("bytes");
        prop_assert!(Artifact::from_bytes(&file[..at.index(file.len())]).is_err());
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Artifact::from_bytes(&bytes).is_err());
    }
}

/// A sound safetensors file that has nothing to do with DeepGuard.
fn foreign_safetensors() -> Vec<u8> {
    let header = br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    [(header.len() as u64).to_le_bytes().as_slice(), header, &[0; 4]].concat()
}

/// Thresholds and false alarms per instance and week.
fn table(rows: &[(f64, f64)]) -> Vec<FalsePages> {
    rows.iter()
        .map(|&(threshold, per_instance_week)| FalsePages {
            threshold,
            per_instance_week,
            interval: None,
        })
        .collect()
}

#[test]
fn false_alarms_and_fleet_are_read_as_written_and_without_them_the_bytes_are_as_ever() {
    let bytes = artifact().to_bytes().expect("bytes");
    let text = String::from_utf8_lossy(&bytes);
    assert!(!text.contains("pages") && !text.contains("fleet"));
    let left_out =
        LeftOut { instance: "i-1a2b3c4d".into(), from: 300, until: 900, why: Why::Contaminated };
    let fleet = Fleet {
        tuned_from: Some("a".into()),
        days: 14,
        instances: 1,
        datapoints: 4000,
        left_out_datapoints: 2,
        left_out_stretches: 1,
        left_out: vec![left_out],
    };
    let training = Training { fleet: Some(fleet), ..training() };
    let made = Artifact::new(SHAPE, weights(SHAPE), 1.05, LENT, growth(), training).expect("sound");
    let made = made.calibrated(1.2, table(&[(1.0, 2.0), (1.5, 0.1)])).expect("sound");
    let read = Artifact::from_bytes(&made.to_bytes().expect("bytes")).expect("sound");
    assert_eq!(read, made);
    assert_eq!((read.card().threshold, read.card().pages.len()), (1.2, 2));
    assert_ne!(read.version(), artifact().version());
}

#[test]
fn a_budget_is_a_threshold_of_the_table() {
    let made = artifact()
        .calibrated(1.05, table(&[(1.0, 2.0), (1.2, 1.0), (1.4, 1.0), (2.0, 0.0)]))
        .expect("sound");
    let card = made.card();
    let cases =
        [(9.0, 1.0), (2.0, 1.0), (1.5, 1.1), (1.0, 1.2), (0.5, 1.7), (0.0, 2.0), (-1.0, 2.0)];
    for (budget, threshold) in cases {
        let found = card.threshold_for(budget).expect("a table");
        assert!((found - threshold).abs() < 1e-12, "{budget}: {found}");
    }
    for (threshold, pages) in
        [(0.5, 2.0), (1.0, 2.0), (1.1, 1.5), (1.3, 1.0), (1.7, 0.5), (2.0, 0.0), (3.0, 0.0)]
    {
        let found = card.pages_at(threshold).expect("a table");
        assert!((found - pages).abs() < 1e-12, "{threshold}: {found}");
    }
    assert_eq!(
        (artifact().card().threshold_for(1.0), artifact().card().pages_at(1.0)),
        (None, None)
    );
}

#[test]
fn a_table_that_is_none_is_refused() {
    let wrong = [
        [(1.0, 1.0), (1.0, 0.5)],
        [(1.0, 1.0), (2.0, 1.5)],
        [(0.0, 1.0), (2.0, 0.5)],
        [(1.0, f64::NAN), (2.0, 0.5)],
        [(1.0, 1.0), (2.0, -0.5)],
        [(1.0, 1.0), (f64::INFINITY, 0.5)],
    ];
    for rows in wrong {
        assert!(artifact().calibrated(1.05, table(&rows)).is_err(), "{rows:?}");
    }
}

#[test]
fn what_still_grows_depends_on_the_channel_and_ends_with_its_table() {
    let growth = growth();
    assert_eq!([0, 1, 2].map(|days| growth.of(Channel::SpikeUp, days)), [1.5, 1.2, 1.0]);
    assert_eq!([0, 1].map(|days| growth.of(Channel::StaysHigh, days)), [2.5, 1.0]);
    assert_eq!([0, 1, 2].map(|days| growth.of_run(days)), [3.5, 1.1, 1.0]);
}
