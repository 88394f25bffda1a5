//! From datapoints to scores with the committed artifact: the pipeline's promises to its callers.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it did not expect should stop there"
)]

mod common;

use common::{detector, followed, machine, series};
use deepguard::baseline::Baseline;
use deepguard::channel::Channel;
use deepguard::compress::{compress, root};
use deepguard::model::Batch;
use deepguard::score::Rule;
use deepguard::series::{DAY, DAY_SECONDS, PERIOD};
use deepguard::window::Windows;
use deepguard::{Datapoint, Detector, Phase, Scored};

const DAYS: i64 = 10;

fn last_day(detector: &Detector, datapoints: &[Datapoint]) -> Vec<Scored> {
    let start = series(datapoints).end() - DAY_SECONDS;
    followed(detector, datapoints).into_iter().filter(|scored| scored.time >= start).collect()
}

#[test]
fn a_fault_at_low_load_is_seen_and_the_daily_peak_is_not() {
    let trough = (DAYS - 1) * DAY as i64 + 216;
    let faulty = machine(
        DAYS,
        |slot, cpu| if slot >= trough && slot < trough + 6 { cpu + 15.0 } else { cpu },
    );
    let scored = last_day(&detector(), &faulty);
    assert_eq!(scored.len(), DAY);
    let alarms: Vec<_> = scored.iter().filter(|scored| scored.is_alarm()).collect();
    assert_eq!(alarms.first().map(|first| first.time), Some(trough * PERIOD), "{alarms:?}");
    assert!(alarms[0].observed < 30.0, "no static threshold would see it");
    assert!(alarms.iter().all(|scored| (trough..trough + 6).contains(&(scored.time / PERIOD))));
    let before = scored.iter().filter(|scored| scored.time < trough * PERIOD);
    assert!(
        before
            .chain(&last_day(&detector(), &machine(DAYS, |_, cpu| cpu)))
            .all(|scored| !scored.score.is_anomalous())
    );
}

#[test]
fn the_band_ends_where_the_score_is_one() {
    let fault = (DAYS - 1) * DAY as i64 + 100;
    let scored = last_day(
        &detector(),
        &machine(DAYS, |slot, cpu| if slot == fault { cpu + 40.0 } else { cpu }),
    );
    let outside = |scored: &Scored| !(scored.low..=scored.high).contains(&scored.observed);
    assert_eq!(
        scored
            .iter()
            .filter(|scored| outside(scored))
            .map(|scored| scored.time / PERIOD)
            .collect::<Vec<_>>(),
        [fault]
    );
    for scored in scored {
        // Inside, only earlier datapoints can make it an anomaly.
        let anomalous = scored.score.value() > 1.0;
        assert!(anomalous || !outside(&scored), "{scored:?}");
        let of_datapoint = matches!(scored.channel, Some(Channel::SpikeUp | Channel::SpikeDown));
        assert!(!of_datapoint || anomalous == outside(&scored), "{scored:?}");
        assert_eq!(scored.outside, outside(&scored), "{scored:?}");
    }
}

#[test]
fn a_datapoint_does_not_explain_itself() {
    let last = DAYS * DAY as i64 - 1;
    let reconstructed = |shift: f64| {
        let scored = last_day(
            &detector(),
            &machine(DAYS, |slot, cpu| if slot == last { cpu + shift } else { cpu }),
        );
        scored[DAY - 1].reconstruction.expect("a whole window")
    };
    assert_eq!(reconstructed(0.0), reconstructed(50.0));
}

#[test]
fn the_newest_datapoint_is_reconstructed_first() {
    let series = series(&machine(DAYS, |_, cpu| cpu));
    let [expectation, _] =
        Baseline::learn(&series, series.end()).expect("enough history").expectations;
    let (detector, device) = (detector(), deepguard::model::device());
    let network = detector.artifact().network(&device);
    let mut windows = Windows::new(detector.artifact().card().shape.window, 3);
    (1..=3).for_each(|back| windows.push(&series, &expectation, series.len() - 50 * back, 1));
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
    let spiked = machine(DAYS, |slot, cpu| {
        cpu + spikes.iter().find(|(at, _)| *at == slot).map_or(0.0, |(_, height)| *height)
    });
    let scored = last_day(&detector(), &spiked);
    let alarms: Vec<i64> = scored
        .iter()
        .filter(|scored| scored.is_alarm())
        .map(|scored| scored.time / PERIOD)
        .collect();
    assert_eq!(alarms.first(), Some(&slot(60)), "{alarms:?}");
    assert!(!alarms.contains(&slot(120)) && alarms.contains(&slot(180)), "{alarms:?}");
    let at = |number: i64| {
        scored.iter().find(|scored| scored.time == slot(number) * PERIOD).expect("scored")
    };
    assert!(
        at(120).score.is_anomalous() && at(120).outside,
        "it is unusual still: today's spikes are not usual today"
    );
}

#[test]
fn the_order_of_what_was_read_changes_nothing() {
    let detector = detector();
    let mut datapoints = machine(3, |_, cpu| cpu);
    let scored = followed(&detector, &datapoints);
    assert_eq!(scored.len(), 2 * DAY + DAY / 2);
    datapoints.reverse();
    assert_eq!(scored, followed(&detector, &datapoints));
}

#[test]
fn a_young_machine_is_judged_from_its_second_day_on() {
    let detector = detector();
    let fault = DAY as i64 + 150;
    let dead = |slot: i64, cpu: f64| if (fault..fault + 12).contains(&slot) { 0.3 } else { cpu };
    let scored = followed(&detector, &machine(5, dead));
    assert_eq!(scored[0].time, DAY_SECONDS / 2, "half a day is enough at noon as well");
    let phase = |day: i64| {
        scored.iter().find(|scored| scored.time == day * DAY_SECONDS).expect("scored").phase
    };
    assert_eq!([1, 2, 3].map(phase), [Phase::Borrowed, Phase::Borrowed, Phase::Own]);
    assert!(
        scored.iter().any(|scored| scored.time == fault * PERIOD && scored.is_alarm()),
        "dead on its second day"
    );

    let ordinary = machine(5, |_, cpu| cpu);
    let scored = followed(&detector, &ordinary);
    // The errors of its first day are usual, times the artifact's factor for their growth.
    let baseline = Baseline::learn(&series(&ordinary), DAY_SECONDS).expect("enough history");
    let card = detector.artifact().card();
    let (rule, largest) =
        (Rule::new(card.threshold, &baseline, 1.0), baseline.largest.expect("it is young"));
    let growth = card.growth.of(Channel::SpikeUp, 0);
    let tolerance = |channel, largest| {
        rule.tolerance(channel, rule.usual(channel, &[largest], growth).expect("there is a day"))
    };
    let [up, down] =
        [tolerance(Channel::SpikeUp, largest[0]), tolerance(Channel::SpikeDown, largest[1])];
    for scored in scored.iter().filter(|scored| scored.time / DAY_SECONDS == 1) {
        let expected = compress(scored.expected);
        assert!((root(scored.high) - root(scored.expected) - up).abs() < 1e-9, "{scored:?}: {up}");
        assert!((expected - compress(scored.low) - down).abs() < 1e-9, "{scored:?}: {down}");
    }
    let band = |day: i64| {
        let of_day = scored.iter().filter(|scored| scored.time / DAY_SECONDS == day);
        of_day.map(|scored| compress(scored.high) - compress(scored.low)).fold(0.0, f64::max)
    };
    assert!(
        band(1) < 4.0 * band(4) && band(4) < 4.0 * band(1),
        "{} and {}: no jump",
        band(1),
        band(4)
    );
    let alarms =
        scored.iter().filter(|scored| scored.is_alarm() && scored.time >= 2 * DAY_SECONDS).count();
    assert_eq!(alarms, 0, "an ordinary machine, once it has shown a day");
}

#[test]
fn gaps_are_not_scored_and_nothing_is_made_up_for_them() {
    let gap = (DAYS - 1) * DAY as i64 + 100;
    let mut datapoints = machine(DAYS, |_, cpu| cpu);
    datapoints.retain(|point| !(gap..gap + 40).contains(&(point.time / PERIOD)));
    let scored = last_day(&detector(), &datapoints);
    assert_eq!(scored.len(), DAY - 40);
    let after = scored.iter().find(|scored| scored.time == (gap + 40) * PERIOD).expect("scored");
    assert_eq!(
        after.reconstruction, None,
        "the window of the first datapoint after a long gap is empty"
    );
    assert_eq!(
        (after.expected, after.score.value()),
        (after.usual, 0.0),
        "nothing to forecast from, nothing to compare"
    );
    assert!(scored.iter().all(|scored| !scored.score.is_anomalous()));
}

#[test]
fn a_forecast_needs_one_of_the_newest_three_slots() {
    let detector = detector();
    let at = (DAYS - 1) * DAY as i64 + 100;
    let after = |missing: i64| {
        let mut datapoints = machine(DAYS, |_, cpu| cpu);
        datapoints.retain(|point| !(at - missing..at).contains(&(point.time / PERIOD)));
        *last_day(&detector, &datapoints)
            .iter()
            .find(|scored| scored.time == at * PERIOD)
            .expect("scored")
    };
    for missing in [0, 1, 2] {
        let scored = after(missing);
        assert!(
            scored.expected != scored.usual && scored.score.value() > 0.0,
            "{missing} missing: {scored:?}"
        );
    }
    for missing in [3, 4, 40] {
        let scored = after(missing);
        assert_eq!(scored.expected, scored.usual, "{missing} missing");
        assert!(!scored.outside && !scored.score.is_anomalous(), "{missing} missing: {scored:?}");
    }
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
            assert!(
                scored.score.value().is_finite() && scored.score.value() >= 0.0,
                "case {index}: {scored:?}"
            );
            assert!(
                scored.expected.is_finite() && scored.low.is_finite() && scored.high.is_finite(),
                "case {index}: {scored:?}"
            );
        }
    }
}
