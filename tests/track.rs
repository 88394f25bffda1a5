//! Follows an instance from run to run. However its datapoints come, each has one score, and the
//! final state is as if they had come on time.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it did not expect should stop there"
)]

mod common;

use std::collections::BTreeMap;
use std::ops::Range;

use common::{detector, eventful, followed, machine, noise, series};
use deepguard::baseline::{HISTORY, calibrated_at};
use deepguard::detector::rebuild_from;
use deepguard::series::{DAY, DAY_SECONDS, PERIOD};
use deepguard::track::{Advanced, Known, LATE, days};
use deepguard::{Baseline, Datapoint, Detector, Scored, Series, Track};
use proptest::prelude::*;

const DAY_SLOTS: i64 = DAY as i64;
const HOUR: i64 = 12;

/// One instance and the baselines of its days.
struct Runs<'a> {
    detector: &'a Detector,
    track: Track,
    baselines: BTreeMap<i64, Option<Baseline>>,
    /// The score of each datapoint. A datapoint must not get a second score.
    scores: BTreeMap<i64, Scored>,
}

impl<'a> Runs<'a> {
    /// Of an instance whose baselines are made of `all`.
    fn new(detector: &'a Detector, all: &Series) -> Self {
        let baselines =
            days(all.start()..all.end()).map(|day| (day, detector.calibrate(all, day))).collect();
        Self { detector, track: Track::default(), baselines, scores: BTreeMap::new() }
    }

    fn baseline(&self, day: i64) -> Known<'_> {
        match self.baselines.get(&day) {
            Some(Some(baseline)) => Known::Baseline(baseline),
            Some(None) => Known::TooLittle,
            None => Known::NotYet,
        }
    }

    fn run(&mut self, series: &Series, until: i64) -> Advanced {
        let mut track = std::mem::take(&mut self.track);
        let taken =
            self.detector.advance(&mut track, series, until, |day| self.baseline(day), |_| false);
        self.track = track;
        for scored in &taken.scored {
            let twice = self.scores.insert(scored.time, *scored);
            assert_eq!(twice, None, "scored a second time, as {scored:?}");
        }
        taken
    }

    /// A process ends and another one goes on.
    fn restart(&mut self) {
        let bytes = postcard::to_allocvec(&self.track).expect("it can be written");
        self.track = postcard::from_bytes(&bytes).expect("its own bytes");
    }
}

/// The slots that start in `times`, as CloudWatch would give them; `None` if there are no slots.
fn read(datapoints: &[Datapoint], times: Range<i64>) -> Option<Series> {
    let within = datapoints.iter().filter(|point| times.contains(&point.time));
    Series::from_datapoints(within.copied()).ok().map(|(series, _)| series)
}

/// All of `datapoints` in one run.
fn at_once<'a>(detector: &'a Detector, datapoints: &[Datapoint]) -> Runs<'a> {
    let series = series(datapoints);
    let mut runs = Runs::new(detector, &series);
    runs.run(&series, series.end());
    runs
}

#[test]
fn runs_score_what_the_backtest_scores() {
    let (detector, datapoints) = (detector(), eventful(17));
    let expected = followed(&detector, &datapoints);
    assert!(expected.len() > 14 * DAY && expected.iter().any(|scored| scored.score.is_anomalous()));
    assert_eq!(at_once(&detector, &datapoints).scores.into_values().collect::<Vec<_>>(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn portions_and_restarts_change_nothing(
        steps in prop::collection::vec(1i64..400, 1..8),
        restart in any::<bool>(),
    ) {
        let (detector, datapoints) = (detector(), eventful(6));
        let once = at_once(&detector, &datapoints);
        let series = series(&datapoints);
        let mut runs = Runs::new(&detector, &series);
        let mut until = series.start();
        for step in steps.iter().cycle() {
            until = series.end().min(until + step * PERIOD);
            // A run reads no more than it needs.
            let needed = runs.track.needs_from().unwrap_or(series.start());
            if let Some(read) = read(&datapoints, needed..until) {
                runs.run(&read, until);
            }
            if restart {
                runs.restart();
            }
            if until == series.end() {
                break;
            }
        }
        prop_assert_eq!(runs.scores, once.scores);
        prop_assert_eq!(runs.track, once.track);
    }

    #[test]
    fn what_comes_late_has_the_score_that_it_would_have_had_on_time(
        seed in any::<u64>(),
        late in 1u64..20,
        every in 1i64..9,
    ) {
        let (detector, datapoints) = (detector(), eventful(4));
        let on_time = at_once(&detector, &datapoints);
        let whole = series(&datapoints);
        let mut runs = Runs::new(&detector, &whole);
        // One in a hundred (or more) comes up to three hours after the next one.
        let delay = |time: i64| {
            let random = noise(seed ^ time as u64);
            if random * 100.0 >= late as f64 {
                return 0;
            }
            (random * 1e6) as i64 % (LATE / PERIOD - every) * PERIOD
        };
        let mut influenced = Vec::new();
        let ends = whole.start() + PERIOD..=whole.end() + LATE;
        for until in ends.step_by((every * PERIOD) as usize) {
            let arrived: Vec<Datapoint> = datapoints
                .iter()
                .filter(|point| point.time + PERIOD + delay(point.time) <= until)
                .copied()
                .collect();
            let from = runs.track.needs_from().unwrap_or(whole.start());
            let missing = datapoints
                .iter()
                .filter(|point| point.time + PERIOD <= until && !arrived.contains(point));
            let missing: Vec<i64> = missing.map(|point| point.time).collect();
            if let Some(read) = read(&arrived, from..until) {
                let taken = runs.run(&read, until);
                let without = |scored: &&Scored| missing.iter().any(|time| *time < scored.time);
                influenced.extend(taken.scored.iter().filter(without).map(|scored| scored.time));
            }
        }
        prop_assert!(runs.scores.keys().eq(on_time.scores.keys()), "no score is lost");
        for (time, scored) in &runs.scores {
            if !influenced.contains(time) {
                prop_assert_eq!(scored, &on_time.scores[time]);
            }
        }
        prop_assert!(runs.track == on_time.track, "in the end it is as if all had been on time");
    }
}

#[test]
fn what_comes_late_in_the_first_hours_of_an_instance_is_kept() {
    let (detector, datapoints) = (detector(), machine(2, |_, cpu| cpu));
    let (whole, on_time) = (series(&datapoints), at_once(&detector, &datapoints));
    // Within the first stretch of three hours, and from the first into the second.
    for (late, until) in [(3, 5), (30, 40)] {
        let mut without = datapoints.clone();
        without.retain(|point| point.time != late * PERIOD);
        let mut runs = Runs::new(&detector, &whole);
        runs.run(&series(&without), until * PERIOD);
        assert!(runs.run(&whole, until * PERIOD).late == 1, "slot {late} counts as late");
        runs.run(&whole, whole.end());
        assert_eq!(
            runs.scores, on_time.scores,
            "the forecasts of the second day look back to slot {late}"
        );
        assert!(runs.track == on_time.track);
    }
}

#[test]
fn what_comes_later_than_three_hours_changes_nothing() {
    let (detector, datapoints) = (detector(), machine(3, |_, cpu| cpu));
    let whole = series(&datapoints);
    let missing = 2 * DAY_SLOTS + 100;
    let mut without = datapoints.clone();
    without.retain(|point| point.time != missing * PERIOD);
    let mut runs = Runs::new(&detector, &whole);
    let until = (missing + 1) * PERIOD + LATE + PERIOD;
    runs.run(&series(&without), until);
    let before = runs.track.clone();
    let taken = runs.run(&whole, until);
    assert_eq!((taken.scored, taken.late), (vec![], 0));
    assert!(runs.track == before);

    let mut runs = Runs::new(&detector, &whole);
    runs.run(&series(&without), missing * PERIOD + LATE);
    let taken = runs.run(&whole, missing * PERIOD + LATE);
    assert_eq!((taken.scored.len(), taken.late), (1, 1), "five minutes earlier it counts");
    assert_eq!(taken.scored[0].time, missing * PERIOD);
}

#[test]
fn datapoints_wait_for_the_baseline_of_their_day() {
    let (detector, datapoints) = (detector(), machine(4, |_, cpu| cpu));
    let (whole, expected) = (series(&datapoints), at_once(&detector, &datapoints));
    let mut runs = Runs::new(&detector, &whole);
    let withheld = runs.baselines.remove(&(3 * DAY_SECONDS)).expect("there is one");
    for until in
        [2 * DAY_SECONDS + 5 * PERIOD, 3 * DAY_SECONDS + 7 * PERIOD, 3 * DAY_SECONDS + 9 * PERIOD]
    {
        let taken = runs.run(&whole, until);
        assert_eq!(taken.waits_for, (until > 3 * DAY_SECONDS).then_some(3 * DAY_SECONDS));
    }
    assert_eq!(runs.track.end(), Some(3 * DAY_SECONDS), "datapoints before midnight do not wait");
    runs.baselines.insert(3 * DAY_SECONDS, withheld);
    assert_eq!(runs.run(&whole, whole.end()).waits_for, None);
    assert!(runs.scores == expected.scores && runs.track == expected.track);
}

#[test]
fn going_back_without_the_baseline_of_yesterday_waits_and_forgets_nothing() {
    let (detector, datapoints) = (detector(), machine(4, |_, cpu| cpu));
    let whole = series(&datapoints);
    let (midnight, until) = (3 * DAY_SECONDS, 3 * DAY_SECONDS + 4 * PERIOD);
    let mut without = datapoints.clone();
    without.retain(|point| point.time != midnight - 2 * PERIOD);
    let mut runs = Runs::new(&detector, &whole);
    runs.run(&series(&without), until);
    let (before, yesterday) = (runs.track.clone(), midnight - DAY_SECONDS);
    let withheld = runs.baselines.remove(&yesterday).expect("there is one");
    let taken = runs.run(&whole, until + PERIOD);
    assert_eq!((taken.scored.len(), taken.waits_for), (0, Some(yesterday)));
    assert!(runs.track == before);
    runs.baselines.insert(yesterday, withheld);
    let taken = runs.run(&whole, until + PERIOD);
    assert_eq!((taken.scored.len(), taken.late, taken.waits_for), (2, 1, None));
}

#[test]
fn a_review_says_the_same_and_changes_nothing() {
    let (detector, datapoints) = (detector(), eventful(6));
    let whole = series(&datapoints);
    let runs = at_once(&detector, &datapoints);
    for back in [1, 7, 36] {
        let times = whole.end() - back * PERIOD..whole.end();
        let review = detector
            .review(&runs.track, &whole, times.clone(), |day| runs.baseline(day), |_| false)
            .expect("not long ago");
        let expected: Vec<Scored> = runs.scores.range(times).map(|(_, scored)| *scored).collect();
        assert!(!expected.is_empty());
        assert_eq!(review.scored, expected);
    }
    let long_ago = 3 * DAY_SECONDS..whole.end();
    assert_eq!(
        detector.review(&runs.track, &whole, long_ago, |day| runs.baseline(day), |_| false),
        None
    );
}

#[test]
fn a_track_that_was_begun_late_scores_like_one_that_always_was() {
    let detector = detector();
    // One shift ends on the first morning after 15 days. Another is later (the second largest day
    // counts), and one is at the end. The largest of the spikes is early.
    let shifts =
        [28 * DAY_SLOTS + 20 * HOUR, 32 * DAY_SLOTS + 9 * HOUR, 43 * DAY_SLOTS + 20 * HOUR];
    let shifted = |slot: i64| shifts.iter().any(|start| (0..60).contains(&(slot - start)));
    let spike = |slot: i64| match slot % 331 < 4 {
        true if (27..29).contains(&(slot / DAY_SLOTS)) => 50.0,
        true => 25.0 * noise(slot as u64 / 331),
        false => 0.0,
    };
    let watched =
        machine(45, |slot, cpu| cpu + spike(slot) + if shifted(slot) { 6.0 } else { 0.0 });
    let missing = |slot: i64| slot % 89 == 0;
    // Off for an evening, and for days.
    let off = |slot: i64| {
        (0..40).contains(&(slot - 40 * DAY_SLOTS - 200)) || (35..38).contains(&(slot / DAY_SLOTS))
    };
    for (name, absent) in
        [("on", &missing as &dyn Fn(i64) -> bool), ("off", &|slot| missing(slot) || off(slot))]
    {
        let mut datapoints = watched.clone();
        datapoints.retain(|point| !absent(point.time / PERIOD));
        let always = followed(&detector, &datapoints);
        for until in [44 * DAY_SECONDS, 44 * DAY_SECONDS + 600] {
            let history = rebuild_from(until) - HISTORY as i64 * PERIOD;
            let read = read(&datapoints, history..until + 6 * 3600).expect("there are some");
            let mut runs = Runs::new(&detector, &read);
            let begun = detector.start(&read, until, |_| false);
            runs.track = begun.track;
            runs.scores = begun.scored.into_iter().map(|scored| (scored.time, scored)).collect();
            // And on from there.
            runs.run(&read, until + 6 * 3600);
            let times = until - LATE..until + 6 * 3600;
            let expected: Vec<Scored> =
                always.iter().filter(|scored| times.contains(&scored.time)).copied().collect();
            let scored: Vec<Scored> = runs.scores.range(times).map(|(_, scored)| *scored).collect();
            assert!(expected.len() > 100 && expected.len() == scored.len());
            for (scored, expected) in scored.iter().zip(expected) {
                assert_eq!(*scored, expected, "always {name}, begun for {until}");
            }
        }
    }
}

#[test]
fn days_begin_at_midnight() {
    let noon = DAY_SECONDS / 2;
    assert_eq!(days(noon..noon + PERIOD).collect::<Vec<_>>(), [0]);
    assert_eq!(days(noon..DAY_SECONDS).collect::<Vec<_>>(), [0]);
    assert_eq!(
        days(noon..2 * DAY_SECONDS + 1).collect::<Vec<_>>(),
        [0, DAY_SECONDS, 2 * DAY_SECONDS]
    );
    assert_eq!(calibrated_at(noon), 0);
}

#[test]
fn a_damaged_track_is_refused_or_harmless() {
    let (detector, datapoints) = (detector(), machine(2, |_, cpu| cpu));
    let (whole, once) = (series(&datapoints), at_once(&detector, &datapoints));
    let bytes = postcard::to_allocvec(&once.track).expect("it can be written");
    for (index, flip) in
        (0..bytes.len()).step_by(7).zip([0x01, 0x80, 0x7f, 0xff].into_iter().cycle())
    {
        let mut damaged = bytes.clone();
        damaged[index] ^= flip;
        if let Ok(mut track) = postcard::from_bytes::<Track>(&damaged) {
            let later = whole.end() + PERIOD;
            let next = Series::from_datapoints([Datapoint { time: whole.end(), value: 30.0 }])
                .expect("usable")
                .0;
            let known = once.baselines.values().next_back().expect("one").as_ref().expect("enough");
            detector.advance(&mut track, &next, later, |_| Known::Baseline(known), |_| false);
        }
    }
}
