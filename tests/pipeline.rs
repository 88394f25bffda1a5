//! Datapoints to scores with the committed artifact: what the pipeline promises to its callers.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that meets what it did not expect should stop there")]

use deepguard::baseline::Expectation;
use deepguard::detector::Baselines;
use deepguard::model::Batch;
use deepguard::series::{DAY, DAY_SECONDS, PERIOD};
use deepguard::window::Windows;
use deepguard::{Artifact, Datapoint, Detector, Phase, Scored, Series};

const DAYS: i64 = 10;

fn detector() -> Detector {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/default.safetensors");
    let artifact = Artifact::from_bytes(&std::fs::read(path).expect("committed")).expect("sound");
    Detector::new(artifact, deepguard::model::device())
}

/// A machine with a daily cycle between 10 % and 50 %, a little noise, and `altered` on top.
fn machine(days: i64, altered: impl Fn(i64, f64) -> f64) -> Vec<Datapoint> {
    let slots = 0..days * DAY as i64;
    slots
        .map(|slot| {
            let jitter = ((slot as u64).wrapping_mul(6_364_136_223_846_793_005) >> 40) as f64 / 16_777_216.0 - 0.5;
            let daily = 30.0 + 20.0 * (slot as f64 / DAY as f64 * std::f64::consts::TAU).sin();
            Datapoint { time: slot * PERIOD, value: altered(slot, daily + 3.0 * jitter) }
        })
        .collect()
}

fn last_day(detector: &Detector, datapoints: &[Datapoint]) -> Vec<Scored> {
    let (series, _) = Series::from_datapoints(datapoints.iter().copied()).expect("usable");
    detector.follow(&series, series.end() - DAY_SECONDS..series.end(), &mut Baselines::new())
}

#[test]
fn a_fault_at_low_load_is_seen_and_the_daily_peak_is_not() {
    let trough = (DAYS - 1) * DAY as i64 + 216;
    let faulty = machine(DAYS, |slot, cpu| if slot >= trough && slot < trough + 6 { cpu + 15.0 } else { cpu });
    let scored = last_day(&detector(), &faulty);
    assert_eq!(scored.len(), DAY);
    let anomalous: Vec<_> = scored.iter().filter(|scored| scored.score.is_anomalous()).collect();
    assert_eq!(anomalous.first().map(|first| first.time), Some(trough * PERIOD), "{anomalous:?}");
    assert!(anomalous[0].observed < 30.0, "no static threshold would see it");
    assert!(anomalous.iter().all(|scored| (trough..trough + 6).contains(&(scored.time / PERIOD))));
    assert!(last_day(&detector(), &machine(DAYS, |_, cpu| cpu)).iter().all(|scored| !scored.score.is_anomalous()));
}

#[test]
fn the_band_ends_where_the_score_is_one() {
    let fault = (DAYS - 1) * DAY as i64 + 100;
    let scored = last_day(&detector(), &machine(DAYS, |slot, cpu| if slot == fault { cpu + 40.0 } else { cpu }));
    let outside = |scored: &Scored| (scored.observed - scored.expected).abs() > scored.tolerance;
    assert_eq!(scored.iter().filter(|scored| outside(scored)).count(), 1);
    for scored in scored {
        assert_eq!(outside(&scored), scored.score.value() > 1.0, "{scored:?}");
    }
}

#[test]
fn a_datapoint_does_not_explain_itself() {
    let last = DAYS * DAY as i64 - 1;
    let reconstructed = |shift: f64| {
        let scored = last_day(&detector(), &machine(DAYS, |slot, cpu| if slot == last { cpu + shift } else { cpu }));
        scored[DAY - 1].reconstruction.expect("a whole window")
    };
    assert_eq!(reconstructed(0.0), reconstructed(50.0));
}

#[test]
fn the_newest_datapoint_is_reconstructed_first() {
    let (series, _) = Series::from_datapoints(machine(DAYS, |_, cpu| cpu)).expect("usable");
    let expectation = Expectation::learn(&series, series.end()).expect("enough history");
    let (detector, device) = (detector(), deepguard::model::device());
    let network = detector.artifact().network(&device);
    let mut windows = Windows::new(detector.artifact().card().shape.window, 3);
    (1..=3).for_each(|back| windows.push(&series, &expectation, series.len() - 50 * back));
    let first = |datapoints| {
        let values = network.forward(&Batch::new(&windows, &device), datapoints).value;
        values.narrow(1, 0, 1).try_into_vec_as::<f32>().expect("numbers")
    };
    assert_eq!(first(1), first(windows.time()), "how many follow changes nothing about the first");
}

#[test]
fn what_has_been_seen_today_is_no_news_unless_it_is_worse() {
    let slot = |number: i64| (DAYS - 1) * DAY as i64 + number;
    let spikes = [(slot(60), 40.0), (slot(120), 32.0), (slot(180), 60.0)];
    let spiked =
        machine(DAYS, |slot, cpu| cpu + spikes.iter().find(|(at, _)| *at == slot).map_or(0.0, |(_, height)| *height));
    let scored = last_day(&detector(), &spiked);
    let anomalous: Vec<i64> =
        scored.iter().filter(|scored| scored.score.is_anomalous()).map(|scored| scored.time / PERIOD).collect();
    assert_eq!(anomalous, [slot(60), slot(180)]);
}

#[test]
fn a_datapoint_has_one_score_whatever_was_asked() {
    let detector = detector();
    let (series, _) = Series::from_datapoints(machine(DAYS, |_, cpu| cpu)).expect("usable");
    let whole = detector.follow(&series, 2 * DAY_SECONDS..series.end(), &mut Baselines::new());
    let mut kept = Baselines::new();
    let piecewise: Vec<Scored> = (2 * DAY as i64..DAYS * DAY as i64)
        .step_by(50)
        .flat_map(|slot| {
            let times = slot * PERIOD..(slot + 50).min(DAYS * DAY as i64) * PERIOD;
            detector.follow(&series, times, &mut kept)
        })
        .collect();
    assert_eq!(whole, piecewise);
    let reversed: Vec<Datapoint> = series.datapoints().collect::<Vec<_>>().into_iter().rev().collect();
    let (again, _) = Series::from_datapoints(reversed).expect("usable");
    assert_eq!(whole, detector.follow(&again, 2 * DAY_SECONDS..series.end(), &mut Baselines::new()));
}

#[test]
fn more_history_than_is_needed_changes_nothing() {
    let detector = detector();
    let (series, _) = Series::from_datapoints(machine(40, |slot, cpu| if slot % 700 == 0 { cpu + 30.0 } else { cpu }))
        .expect("usable");
    // Over midnight, so that two baselines are needed, the second of which finds a day more than it needs.
    let times = 35 * DAY_SECONDS - 3600..35 * DAY_SECONDS + 3600;
    let from = detector.needs_from(times.clone(), &Baselines::new());
    let (needed, _) = Series::from_datapoints(series.datapoints().filter(|point| point.time >= from)).expect("usable");
    let follow = |series: &Series| detector.follow(series, times.clone(), &mut Baselines::new());
    assert_eq!(follow(&series).len(), 24);
    assert_eq!(follow(&series), follow(&needed));
    let second = 35 * DAY_SECONDS..times.end;
    let from = detector.needs_from(second.clone(), &Baselines::new());
    let (needed, _) = Series::from_datapoints(series.datapoints().filter(|point| point.time >= from)).expect("usable");
    assert_eq!(follow(&series)[12..], detector.follow(&needed, second, &mut Baselines::new()));
}

#[test]
fn a_young_machine_is_judged_by_a_borrowed_measure() {
    let detector = detector();
    let (series, _) = Series::from_datapoints(machine(5, |_, cpu| cpu)).expect("usable");
    let scored = detector.follow(&series, series.start()..series.end(), &mut Baselines::new());
    assert_eq!(scored[0].time, DAY_SECONDS, "the first day has no history");
    let phase = |day: i64| scored.iter().find(|scored| scored.time == day * DAY_SECONDS).map(|scored| scored.phase);
    assert_eq!([phase(1), phase(2), phase(3)], [Some(Phase::Borrowed), Some(Phase::Borrowed), Some(Phase::Own)]);

    let usual = |day: i64| {
        let baseline = detector.calibrate(&series, day * DAY_SECONDS).expect("enough history");
        baseline.usual.residual / baseline.expectation.level.scale
    };
    let lent = detector.artifact().card().borrowed_usual;
    assert!((usual(2) - lent).abs() < 1e-9, "lent {lent}, has {}", usual(2));
    assert!(usual(3) < lent / 2.0, "a calm machine that is old enough is held to its own {}", usual(3));
}

#[test]
fn gaps_are_not_scored_and_nothing_is_made_up_for_them() {
    let gap = (DAYS - 1) * DAY as i64 + 100;
    let mut datapoints = machine(DAYS, |_, cpu| cpu);
    datapoints.retain(|point| !(gap..gap + 40).contains(&(point.time / PERIOD)));
    let scored = last_day(&detector(), &datapoints);
    assert_eq!(scored.len(), DAY - 40);
    let after = scored.iter().find(|scored| scored.time == (gap + 40) * PERIOD).expect("scored");
    assert_eq!(after.reconstruction, None, "the window of the first datapoint after a long gap is empty");
    assert!(scored.iter().all(|scored| !scored.score.is_anomalous()));
}

#[test]
fn extreme_values_give_finite_scores() {
    let cases: [fn(i64, f64) -> f64; 5] = [
        |_, _| 0.0,
        |_, _| 1e12,
        |slot, _| if slot % 2 == 0 { 0.0 } else { 1e14 },
        |slot, cpu| if slot == 2700 { 1e15 } else { cpu },
        |slot, cpu| if slot % 3 == 0 { f64::NAN } else { cpu },
    ];
    for (index, altered) in cases.into_iter().enumerate() {
        let scored = last_day(&detector(), &machine(DAYS, altered));
        assert!(!scored.is_empty(), "case {index}");
        for scored in scored {
            assert!(scored.score.value().is_finite() && scored.score.value() >= 0.0, "case {index}: {scored:?}");
            assert!(scored.expected.is_finite() && scored.tolerance.is_finite(), "case {index}: {scored:?}");
        }
    }
}
