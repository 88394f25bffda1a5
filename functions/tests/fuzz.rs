//! Fuzzes all bytes that come from outside: bad input is refused, and nothing panics or takes
//! memory without end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it did not expect should stop there"
)]

#[path = "../../tests/common/fuzz.rs"]
mod fuzz;

use deepguard::series::{DAY_SECONDS, PERIOD};
use deepguard::track::Known;
use deepguard::{Artifact, Baseline, Datapoint, Detector, Series};
use deepguard_aws::ids::TargetId;
use deepguard_aws::metric::{Datum, Metric, Of};
use functions::state::baselines::Baselines;
use functions::state::format::{Reader, Writer};
use functions::state::{Followed, State};
use functions::trigger::Trigger;
use fuzz::fuzz;
use jiff::Timestamp;

const MODEL: &[u8] = include_bytes!("../../models/default.safetensors");
/// The length of the name and version at the beginning of an object. Its checksum follows.
const MAGIC: usize = 8;
const DIGEST: usize = 32;

fn detector() -> Detector {
    Detector::new(Artifact::from_bytes(MODEL).unwrap(), &deepguard::model::device())
}

/// Three days of a machine, and its next datapoints.
fn series() -> Series {
    let point = |slot: i64| Datapoint { time: slot * PERIOD, value: 20.0 + (slot % 37) as f64 };
    Series::from_datapoints((0..3 * 288 + 2).map(point)).unwrap().0
}

/// The same object with a checksum that fits it, however it was altered.
fn signed(object: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut object = object.to_vec();
    if object.len() >= MAGIC + DIGEST {
        let digest = Sha256::digest(&object[MAGIC + DIGEST..]);
        object[MAGIC..MAGIC + DIGEST].copy_from_slice(&digest);
    }
    object
}

/// An object with the given `records`, each with its length, so that a change does not hit the
/// compression.
fn compressed(records: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut object = Writer::new(&()).unwrap().finish().unwrap()[..MAGIC + DIGEST].to_vec();
    let mut stream = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    stream.write_all(records).unwrap();
    object.extend(stream.finish().unwrap());
    signed(&object)
}

fn decompressed(object: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut records = Vec::new();
    flate2::read::ZlibDecoder::new(&object[MAGIC + DIGEST..]).read_to_end(&mut records).unwrap();
    records
}

fn state(detector: &Detector) -> State {
    let series = series();
    let followed = |until: i64| {
        let begun = detector.start(&series, until, |_| false);
        Followed {
            track: begun.track,
            watermark: until,
            looked: until,
            tail: 3,
            episodes: Default::default(),
            bands: Default::default(),
            by_group: None,
            eve: None,
            peers: Default::default(),
        }
    };
    let instance = |number: usize| -> TargetId { format!("i-{number:017x}").parse().unwrap() };
    let datum = Datum {
        metric: Metric::AnomalyScore,
        of: Of::Instance(instance(1)),
        time: 300,
        value: 1.5,
    };
    State {
        alerts: Vec::new(),
        model: detector.artifact().checksum().into(),
        instances: [
            (instance(1), followed(3 * DAY_SECONDS)),
            (instance(2), followed(2 * DAY_SECONDS)),
        ]
        .into(),
        outbox: vec![datum],
        tally: Default::default(),
        incidents: Default::default(),
        ledger: Default::default(),
        tags: Default::default(),
        together: Default::default(),
        spent: Default::default(),
    }
}

#[test]
fn state_bytes() {
    let detector = detector();
    let series = series();
    let baseline: Baseline = detector.calibrate(&series, 3 * DAY_SECONDS).unwrap();
    let whole = state(&detector).to_bytes().unwrap();
    let use_it = |bytes: &[u8]| {
        if let Ok(mut state) = State::from_bytes(bytes) {
            let _ = state.to_bytes();
            for followed in state.instances.values_mut() {
                detector.advance(
                    &mut followed.track,
                    &series,
                    series.end(),
                    |_| Known::Baseline(&baseline),
                    |_| false,
                );
            }
        }
    };
    let records = decompressed(&whole);
    fuzz("state", &[whole, State::default().to_bytes().unwrap(), b"<html>".to_vec()], |bytes| {
        use_it(bytes);
        use_it(&signed(bytes));
    });
    fuzz("state-records", &[records], |bytes| use_it(&compressed(bytes)));
}

#[test]
fn baseline_bytes() {
    let detector = detector();
    let series = series();
    let (day, context) = (3 * DAY_SECONDS, detector.context());
    let mut baselines = Baselines::default();
    baselines.instances.insert("i-1a2b3c4d".parse().unwrap(), detector.calibrate(&series, day));
    baselines.instances.insert("i-1a2b3c4e".parse().unwrap(), None);
    let whole = baselines.to_bytes(day, context).unwrap();
    let track = detector.start(&series, day, |_| false).track;
    let use_it = |bytes: &[u8]| {
        if let Ok(baselines) = Baselines::from_bytes(bytes, day, context) {
            for instance in baselines.instances.keys() {
                let mut track = track.clone();
                detector.advance(
                    &mut track,
                    &series,
                    series.end(),
                    |_| baselines.known(instance),
                    |_| false,
                );
            }
        }
    };
    let records = decompressed(&whole);
    fuzz("baselines", &[whole], |bytes| use_it(&signed(bytes)));
    fuzz("baselines-records", &[records], |bytes| use_it(&compressed(bytes)));
}

#[test]
fn kept_bytes() {
    let object =
        Writer::new(&"head").and_then(|mut writer| writer.record(&7u8).map(|()| writer)).unwrap();
    fuzz("kept", &[object.finish().unwrap()], |bytes| {
        for bytes in [bytes.to_vec(), signed(bytes)] {
            if let Ok((_, mut reader)) = Reader::open::<String>(&bytes) {
                while let Ok(Some(_)) = reader.record::<Vec<String>>() {}
            }
        }
    });
}

#[test]
fn event_json() {
    let events = concat!(env!("CARGO_MANIFEST_DIR"), "/../events");
    let mut seeds: Vec<Vec<u8>> = std::fs::read_dir(events)
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    seeds.push(br#"{"shard": 2, "shards": 4, "time": "2026-01-15T12:00:00Z"}"#.to_vec());
    let now: Timestamp = "2026-01-15T12:00:00Z".parse().unwrap();
    fuzz("event", &seeds, |bytes| {
        if let Ok(event) = serde_json::from_slice(bytes)
            && let Ok(trigger) = Trigger::from_event(&event)
            && let Ok(times) = trigger.times(now, 180, 120)
        {
            assert!(times.start < times.end && times.end % PERIOD == 0);
        }
    });
}

#[test]
fn artifact_bytes() {
    // Behind the length of its header; the checksum in there is taken with its own 64 characters as
    // zeros.
    let sign = |bytes: &[u8]| {
        use sha2::{Digest, Sha256};
        let mut bytes = bytes.to_vec();
        let before = br#"\"checksum\":\""#;
        let place = bytes
            .windows(before.len())
            .position(|window| window == before)
            .map(|place| place + before.len());
        if let Some(place) = place.filter(|place| place + 64 <= bytes.len()) {
            bytes[place..place + 64].fill(b'0');
            let digest: String =
                Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            bytes[place..place + 64].copy_from_slice(digest.as_bytes());
        }
        bytes
    };
    fuzz("artifact", &[MODEL.to_vec()], |bytes| {
        for bytes in [bytes.to_vec(), sign(bytes)] {
            if let Ok(artifact) = Artifact::from_bytes(&bytes) {
                let _ = artifact.to_bytes();
            }
        }
    });
}
