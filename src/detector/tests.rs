use super::seen::NETWORK;
use super::*;
use crate::series::DAY;

fn artifact() -> Artifact {
    Artifact::from_bytes(include_bytes!("../../models/default.safetensors")).expect("sound")
}

/// A few days of a machine that saws.
fn series(days: usize) -> Series {
    let point = |slot: usize| Datapoint { time: slot as i64 * PERIOD, value: (slot % 50) as f64 };
    Series::from_datapoints((0..days * DAY).map(point)).expect("usable").0
}

#[test]
fn without_its_network_the_forecast_is_the_instance_s_own() {
    let series = series(5);
    let scored = |detector: Detector| detector.follow(&series, &mut Watch::default(), series.end());
    let (bare, whole) = (
        scored(Detector::without_network(artifact())),
        scored(Detector::new(artifact(), &crate::model::device())),
    );
    assert!(bare.iter().all(|scored| scored.reconstruction.is_none()));
    for (bare, whole) in bare.iter().zip(&whole) {
        let moved = compress(whole.expected) - compress(bare.expected);
        let said =
            compress(whole.reconstruction.expect("a whole window")) - compress(bare.expected);
        assert!((moved - NETWORK * said).abs() < 1e-6, "{bare:?} {whole:?}");
    }
}

/// A machine that works in waves of an hour, from `launch` (hours after midnight) on. It hangs at
/// full load for the half hour after `hung` (hours after its launch).
fn newborn(launch: usize, hung: usize) -> Series {
    let value = |slot: usize| match slot / 6 == 2 * hung {
        true => 99.0,
        false => 20.0 + 5.0 * (slot as f64 * 0.52).sin() + (slot * 7919 % 101) as f64 / 50.0,
    };
    let time = |slot: usize| ((launch * 12 + slot) as i64) * PERIOD;
    let points = (0..30 * 12).map(|slot| Datapoint { time: time(slot), value: value(slot) });
    Series::from_datapoints(points).expect("usable").0
}

#[test]
fn a_newborn_is_watched_after_a_day_whenever_it_was_launched() {
    let detector = Detector::new(artifact(), &crate::model::device());
    for launch in 0..24 {
        let series = newborn(launch, 26);
        let scored = detector.follow(&series, &mut Watch::default(), series.end());
        let age = |scored: &Scored| (scored.time - series.start()) / 3600;
        let first = scored.first().map(age).expect("scores");
        assert!((12..=24).contains(&first), "launched at {launch}: {first} hours without a score");
        let alarms: Vec<i64> = scored.iter().filter(|scored| scored.is_alarm()).map(age).collect();
        assert!(alarms.contains(&26), "launched at {launch}: {alarms:?}");
        assert!(scored.iter().all(|scored| scored.phase == Phase::Borrowed));
    }
}

#[test]
fn a_newborn_has_the_same_scores_however_its_datapoints_come() {
    let detector = Detector::new(artifact(), &crate::model::device());
    let series = newborn(13, 24);
    let whole = detector.follow(&series, &mut Watch::default(), series.end());
    for slots in [1, 7, 100] {
        let mut watch = Watch::default();
        let ends = (series.start()..=series.end()).step_by(slots * PERIOD as usize);
        let portions =
            ends.chain([series.end()]).flat_map(|end| detector.follow(&series, &mut watch, end));
        assert_eq!(portions.collect::<Vec<_>>(), whole, "{slots} at a time");
    }
}

#[test]
fn a_higher_threshold_scores_less_and_an_impossible_one_is_none() {
    let series = series(5);
    let scores = |detector: Detector| -> Vec<f64> {
        let scored = detector.follow(&series, &mut Watch::default(), series.end());
        scored.iter().map(|scored| scored.score.value()).collect()
    };
    let bare = || Detector::without_network(artifact());
    let (plain, strict) = (
        scores(bare()),
        scores(bare().with_threshold((2.0 * bare().threshold()).try_into().expect("possible"))),
    );
    assert!(plain.iter().zip(&strict).all(|(plain, strict)| strict <= plain));
    assert!(
        plain
            .iter()
            .zip(&strict)
            .any(|(plain, strict)| (strict * 2.0 - plain).abs() < 1e-9 && *plain > 0.0)
    );
    for impossible in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(Threshold::try_from(impossible).is_err(), "{impossible}");
        assert!(impossible.to_string().parse::<Threshold>().is_err(), "{impossible}");
    }
}
