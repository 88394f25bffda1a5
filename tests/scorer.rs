//! The scorer's promises for any order and portions of datapoints.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it did not expect should stop there"
)]

mod common;

use common::{detector, eventful, followed, machine, noise, series};
use deepguard::baseline::Baseline;
use deepguard::series::{DAY, DAY_SECONDS, PERIOD};
use deepguard::{Datapoint, Memory, Phase, Watch};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The state after it was written and read again. It is all that the next process knows of an
/// instance when a process ends.
fn restarted<T: Serialize + DeserializeOwned>(known: &T) -> T {
    let json = serde_json::to_string(known).expect("JSON");
    serde_json::from_str(&json).expect("its own JSON")
}

/// `datapoints` in portions of these sizes, again and again until there are no more.
fn portions<'a>(
    datapoints: &'a [Datapoint],
    sizes: &'a [usize],
) -> impl Iterator<Item = &'a [Datapoint]> {
    let mut rest = datapoints;
    sizes.iter().cycle().map_while(move |&size| {
        let (portion, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        (!portion.is_empty()).then_some(portion)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn portions_and_restarts_change_nothing(
        sizes in prop::collection::vec(1usize..900, 1..8),
        restart in any::<bool>(),
    ) {
        let (detector, datapoints) = (detector(), eventful(6));
        let begin = 3 * DAY_SECONDS;
        let baseline = Baseline::learn(&series(&datapoints), begin).expect("enough history");
        let new: Vec<Datapoint> =
            datapoints.into_iter().filter(|point| point.time >= begin).collect();
        let mut once = Memory::default();
        let whole = detector.score(Some(&baseline), &mut once, &new);
        prop_assert!(whole.len() > 512 && whole.len() == new.len());

        let (mut memory, mut scored) = (Memory::default(), Vec::new());
        for portion in portions(&new, &sizes) {
            if restart {
                memory = restarted(&memory);
                scored.extend(detector.score(Some(&restarted(&baseline)), &mut memory, portion));
            } else {
                scored.extend(detector.score(Some(&baseline), &mut memory, portion));
            }
        }
        prop_assert_eq!(scored, whole);
        prop_assert_eq!(memory, once);
    }
}

#[test]
fn two_runs_give_the_same() {
    let datapoints = eventful(6);
    let run = || {
        let (detector, series) = (detector(), series(&datapoints));
        let mut watch = Watch::default();
        (detector.follow(&series, &mut watch, series.end()), watch)
    };
    assert_eq!(run(), run());
}

#[test]
fn duplicates_change_nothing() {
    let (detector, datapoints) = (detector(), eventful(4));
    let doubled: Vec<Datapoint> = datapoints.iter().flat_map(|point| [*point, *point]).collect();
    let expected = followed(&detector, &datapoints);
    assert!(!expected.is_empty());
    assert_eq!(followed(&detector, &doubled), expected);
    let twice = [datapoints.as_slice(), &datapoints].concat();
    assert_eq!(followed(&detector, &twice), expected);

    let baseline = Baseline::learn(&series(&datapoints), 3 * DAY_SECONDS).expect("enough history");
    let score = |datapoints: &[Datapoint]| {
        let mut memory = Memory::default();
        (detector.score(Some(&baseline), &mut memory, datapoints), memory)
    };
    assert_eq!(score(&doubled), score(&datapoints));
    assert_eq!(score(&twice), score(&datapoints));
}

#[test]
fn what_is_late_or_impossible_is_left_out() {
    let (detector, datapoints) = (detector(), eventful(5));
    let baseline = Baseline::learn(&series(&datapoints), 3 * DAY_SECONDS).expect("enough history");
    let (before, after) = datapoints.split_at(datapoints.len() - 100);
    let newest = before.last().expect("some").time;
    let point = |(time, value)| Datapoint { time, value };
    let late =
        [newest, newest - PERIOD, newest - DAY_SECONDS, 0, -PERIOD].map(|time| point((time, 90.0)));
    let impossible = [
        (newest + PERIOD, f64::NAN),
        (newest + PERIOD, f64::INFINITY),
        (newest + PERIOD, f64::NEG_INFINITY),
        (newest + PERIOD, 1.1e15),
        (newest + PERIOD, -1e300),
        (newest + PERIOD + 7, 90.0),
        (i64::MIN, 90.0),
        (i64::MAX, 90.0),
        (i64::MAX - i64::MAX % PERIOD, 90.0),
    ]
    .map(point);
    let left_out = [late.as_slice(), &impossible].concat();

    let mut clean = Memory::default();
    let mut expected = detector.score(Some(&baseline), &mut clean, before);
    expected.extend(detector.score(Some(&baseline), &mut clean, after));

    let mut memory = Memory::default();
    let mut scored = detector.score(Some(&baseline), &mut memory, before);
    let remembered = memory.clone();
    for datapoint in &left_out {
        assert_eq!(
            detector.score(Some(&baseline), &mut memory, &[*datapoint]),
            [],
            "{datapoint:?}"
        );
        assert_eq!(memory, remembered, "{datapoint:?}");
        assert_eq!(detector.score(None, &mut memory, &[*datapoint]), [], "{datapoint:?}");
        assert_eq!(memory, remembered, "{datapoint:?}");
    }
    let mut nothing = Memory::default();
    assert_eq!(detector.score(Some(&baseline), &mut nothing, &impossible), []);
    assert_eq!(detector.score(None, &mut nothing, &impossible), []);
    assert_eq!(nothing, Memory::default());
    let together = [left_out.as_slice(), after, &left_out].concat();
    scored.extend(detector.score(Some(&baseline), &mut memory, &together));
    assert_eq!(scored, expected);
    assert_eq!(memory, clean);
}

#[test]
fn minutes_are_judged_by_their_means() {
    let detector = detector();
    let minutes: Vec<Datapoint> = machine(3, |_, cpu| cpu)
        .iter()
        .flat_map(|slot| {
            let minute = |minute: i64| slot.time + 60 * minute;
            (0..5).map(move |number| {
                (minute(number), slot.value + 6.0 * noise(minute(number) as u64))
            })
        })
        .map(|(time, value)| Datapoint { time, value })
        .collect();
    let mean = |minutes: &[Datapoint]| {
        minutes.iter().map(|point| point.value).sum::<f64>() / minutes.len() as f64
    };
    let means: Vec<Datapoint> = minutes
        .chunks(5)
        .map(|minutes| Datapoint { time: minutes[0].time, value: mean(minutes) })
        .collect();
    let expected = followed(&detector, &means);
    assert_eq!(expected.len(), 2 * DAY + DAY / 2);
    assert_eq!(followed(&detector, &minutes), expected);
}

#[test]
fn too_short_a_series_has_no_scores() {
    let detector = detector();
    for slots in [1, 2, 31, 32, 33, 127, 128, 129, DAY / 2] {
        let datapoints = &machine(2, |_, cpu| cpu)[..slots];
        let series = series(datapoints);
        let mut watch = Watch::default();
        assert_eq!(detector.follow(&series, &mut watch, series.end()), [], "{slots} slots");
        assert_eq!((watch.memory.end(), watch.phase()), (Some(series.end()), Phase::NoBaseline));
    }
    let machine_of = |slots: std::ops::RangeInclusive<usize>| {
        followed(&detector, &machine(3, |_, cpu| cpu)[slots])
    };
    assert_eq!(machine_of(0..=DAY).len(), DAY / 2 + 1, "from noon on: the morning is half a day");
    assert_eq!(machine_of(DAY / 2..=DAY).len(), 1, "an afternoon is half a day, too");
    assert_eq!(machine_of(DAY / 2 + 1..=DAY), [], "five minutes less is not");
    assert_eq!(machine_of(DAY / 2 + 1..=2 * DAY).len(), DAY / 2 + 1, "and has to wait for noon");
    assert!(
        detector.follow(&series(&machine(1, |_, cpu| cpu)), &mut Watch::default(), -1).is_empty()
    );
}
