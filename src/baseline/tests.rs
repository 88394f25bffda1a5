use super::*;
use crate::series::Datapoint;

fn history(slots: usize) -> Series {
    let points = (0..slots).map(|i| Datapoint { time: i as i64 * PERIOD, value: (i % 7) as f64 });
    Series::from_datapoints(points).expect("usable").0
}

#[test]
fn half_a_day_of_history_is_the_least() {
    let series = history(1000);
    let learn = |slots: i64| Baseline::learn(&series, slots * PERIOD);
    assert_eq!(learn(143).unwrap_err().datapoints, 143);
    assert_eq!(learn(-5).unwrap_err().datapoints, 0);
    let phases = [144, 863, 864].map(|slots| learn(slots).expect("enough").phase);
    assert_eq!(phases, [Phase::Borrowed, Phase::Borrowed, Phase::Own]);
}

#[test]
fn nothing_from_the_calibration_on_is_learnt() {
    let mut points: Vec<_> = history(2 * DAY).datapoints().collect();
    let learn = |points: &[Datapoint]| {
        let series = Series::from_datapoints(points.iter().copied()).expect("usable").0;
        Baseline::learn(&series, DAY_SECONDS).expect("enough")
    };
    let before = learn(&points);
    points.iter_mut().filter(|p| p.time >= DAY_SECONDS).for_each(|p| p.value = 1e6);
    assert_eq!(before, learn(&points));
}

#[test]
fn a_gap_before_midnight_is_the_same_whatever_comes_after_it() {
    let (whole, gap) =
        (history(4 * DAY), DAY_SECONDS * 3 - 7 * PERIOD..DAY_SECONDS * 3 + 5 * PERIOD);
    let learn = |until: i64| {
        let points =
            whole.datapoints().filter(|point| point.time < until && !gap.contains(&point.time));
        let (read, _) = Series::from_datapoints(points).expect("usable");
        Baseline::learn(&read, DAY_SECONDS * 3).expect("enough")
    };
    assert_eq!(learn(DAY_SECONDS * 3), learn(DAY_SECONDS * 4));
}

#[test]
fn the_run_that_goes_on_is_not_the_longest_yet() {
    let series = |values: &[f64]| {
        let point = |(slot, &value): (usize, &f64)| Datapoint { time: slot as i64 * PERIOD, value };
        Series::from_datapoints(values.iter().enumerate().map(point)).expect("usable").0
    };
    assert_eq!(longest_run(&series(&[1.0, 1.0, 2.0, 3.0, 3.0, 3.0])), 2);
    assert_eq!(
        longest_run(&series(&[1.0, 1.0, f64::NAN, 1.0, 2.0])),
        3,
        "a gap does not end a run"
    );
    assert_eq!(longest_run(&series(&[1.0, 1.0])), 0);
}

#[test]
fn a_quarter_of_an_hour_early_or_late_is_on_time() {
    let point = |slot: i64| Datapoint { time: slot * PERIOD, value: (slot % DAY as i64) as f64 };
    let (series, _) = Series::from_datapoints((0..6 * DAY as i64).map(point)).expect("usable");
    let [expectation, _] = Baseline::learn(&series, series.end()).expect("enough").expectations;
    let nearest = |value| (expectation.nearest_daily(100 * PERIOD, value) * 1e3).round() / 1e3;
    assert_eq!([nearest(100.2), nearest(102.2), nearest(98.0)], [100.0, 102.0, 98.0]);
    assert_eq!([nearest(150.0), nearest(0.0)], [103.0, 97.0]);
}

#[test]
fn a_day_begins_at_midnight_utc() {
    assert_eq!(calibrated_at(0), 0);
    assert_eq!(calibrated_at(86_399), 0);
    assert_eq!(calibrated_at(86_400), 86_400);
    assert_eq!(calibrated_at(-1), -86_400);
}
