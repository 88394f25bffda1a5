//! Which scores are alarms: gaps, extremes and ordinary machines raise no alarm.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it did not expect should stop there"
)]

mod common;

use common::{detector, followed, machine, noise};
use deepguard::channel::Channel;
use deepguard::series::{DAY, DAY_SECONDS, PERIOD};
use deepguard::{Datapoint, Score, Scored};

const HOUR: i64 = 12;
const DAY_SLOTS: i64 = DAY as i64;
const NONE: [i64; 0] = [];

/// The slots at which an alarm begins.
fn alarms(scored: &[Scored]) -> Vec<i64> {
    scored.iter().filter(|scored| scored.is_alarm()).map(|scored| scored.time / PERIOD).collect()
}

/// The alarms from a day on, counted from 0. On its second day an instance has shown only one day,
/// so its daily events may still be unusual.
fn alarms_from(day: i64, scored: &[Scored]) -> Vec<i64> {
    alarms(scored).into_iter().filter(|slot| *slot >= day * DAY_SLOTS).collect()
}

/// The first alarm of each episode. An alarm within two hours is the same episode getting worse.
fn episodes(alarms: &[i64]) -> Vec<i64> {
    alarms.chunk_by(|before, next| next - before <= 2 * HOUR).map(|episode| episode[0]).collect()
}

/// Machines of several kinds: with a daily cycle, next to idle, close to the limit, with a job
/// every hour, with one every night.
fn kinds(days: i64) -> [Vec<Datapoint>; 5] {
    let kinds: [fn(i64, f64) -> f64; 5] = [
        |_, cpu| cpu,
        |slot, _| ((0.15 + 0.1 * noise(slot as u64)) * 15.0).round() / 15.0,
        |slot, _| {
            (84.0 + 12.0 * noise(slot as u64) + 8.0 * noise(slot as u64 / 3 + 777_777)).min(100.0)
        },
        |slot, _| if slot % 12 < 3 { 55.0 } else { 8.0 } + 2.0 * noise(slot as u64),
        |slot, _| if (24..30).contains(&(slot % 288)) { 75.0 } else { 3.0 } + noise(slot as u64),
    ];
    kinds.map(|kind| machine(days, kind))
}

fn without(datapoints: &[Datapoint], absent: impl Fn(i64) -> bool) -> Vec<Datapoint> {
    datapoints.iter().filter(|point| !absent(point.time / PERIOD)).copied().collect()
}

#[test]
fn a_datapoint_missing_here_and_there_does_no_harm() {
    let detector = detector();
    let (mut whole, mut holed) = (0, 0);
    for (kind, datapoints) in kinds(14).iter().enumerate() {
        let missing = |slot: i64| noise(slot as u64 + 1_000_000_007 * (kind as u64 + 1)) < 0.05;
        let holes = without(datapoints, missing);
        assert!((3750..3950).contains(&holes.len()), "about one in twenty of 4032 is missing");
        let [of_whole, of_holed] = [datapoints, &holes]
            .map(|datapoints| episodes(&alarms(&followed(&detector, datapoints))));
        assert!(
            of_holed.len() <= of_whole.len() + 3,
            "kind {kind}: {of_whole:?} whole, {of_holed:?} with holes"
        );
        whole += of_whole.len();
        holed += of_holed.len();
    }
    // Two weeks of five machines. Where a datapoint is missing in front of a nightly job, the
    // forecast of that job loses its basis.
    assert!(holed <= whole + 6, "{holed} alarms instead of {whole}");
}

#[test]
fn no_alarm_comes_of_a_gap_and_nothing_is_made_up_for_it() {
    let detector = detector();
    for (kind, datapoints) in kinds(8).iter().enumerate() {
        // At night, by day; for two hours, for two days.
        for (gap, length) in [(5 * DAY_SLOTS + 40, 2 * HOUR), (5 * DAY_SLOTS + 150, 48 * HOUR)] {
            let datapoints = without(datapoints, |slot| (gap..gap + length).contains(&slot));
            let scored = followed(&detector, &datapoints);
            let after = |slots: i64| {
                let times = (gap + length) * PERIOD..(gap + length + slots) * PERIOD;
                scored.iter().filter(move |scored| times.contains(&scored.time))
            };
            assert_eq!(after(12).count(), 12, "all that was measured is scored");
            assert!(
                !scored.iter().any(|scored| (gap..gap + length).contains(&(scored.time / PERIOD)))
            );
            assert!(
                after(12).all(|scored| !scored.is_alarm()),
                "kind {kind}, a gap of {length} slots"
            );
            let not_asked = after(40).take_while(|scored| scored.reconstruction.is_none()).count();
            assert_eq!(
                not_asked, 16,
                "half of a window is empty until 16 of its 32 slots have passed"
            );
            assert!(after(40).skip(16).all(|scored| scored.reconstruction.is_some()));
            // A gap gives no forecast. A channel does not judge a stretch of which more than half
            // is missing, so it raises no alarm.
            let seen = |slots: i64, channels: &[Channel]| {
                after(slots)
                    .any(|scored| scored.channel.is_some_and(|channel| channels.contains(&channel)))
            };
            assert!(
                after(1)
                    .all(|scored| scored.score == Score::default()
                        && scored.expected == scored.usual)
            );
            assert!(!seen(6, &[Channel::BurstUp, Channel::BurstDown]));
            assert!(!seen(24, &[Channel::HoursUp, Channel::HoursDown]));
            assert!(!seen(17, &[Channel::StaysHigh]));
        }
    }
}

fn assert_finite(scored: &[Scored]) {
    for scored in scored {
        let numbers = [
            scored.score.value(),
            scored.low,
            scored.high,
            scored.expected,
            scored.reconstruction_error(),
        ];
        assert!(
            numbers.iter().all(|number| number.is_finite()) && scored.score.value() >= 0.0,
            "{scored:?}"
        );
    }
}

#[test]
fn what_hardly_moves_is_no_alarm_and_a_step_of_it_is() {
    let detector = detector();
    type Machine = fn(i64) -> f64;
    let still: [(&str, Machine, f64); 5] = [
        ("zeros", |_| 0.0, 4.0),
        ("constant", |_| 3.5, 4.0),
        ("full", |_| 100.0, -4.0),
        ("noise in the last digit", |slot| 0.07 + 0.001 * noise(slot as u64), 4.0),
        ("one tick now and then", |slot| if slot % 40 == 7 { 0.0667 } else { 0.0 }, 4.0),
    ];
    for (name, value, step) in still {
        let shift = 5 * DAY_SLOTS + 100;
        let stepped = |slot: i64| {
            if (shift..shift + 20).contains(&slot) { value(slot) + step } else { value(slot) }
        };
        let ordinary = followed(&detector, &machine(7, |slot, _| value(slot)));
        assert_finite(&ordinary);
        assert_eq!(alarms(&ordinary), NONE, "{name}");
        let scored = followed(&detector, &machine(7, |slot, _| stepped(slot)));
        assert_finite(&scored);
        // A step that slowly fills half an hour may become clearly worse as it does. Its end is
        // another step. A day later its forecast remembers the step, and an episode recognises that
        // echo.
        let alarms: Vec<i64> =
            alarms(&scored).into_iter().filter(|slot| *slot < shift + DAY_SLOTS - HOUR).collect();
        assert_eq!(alarms.first(), Some(&shift), "{name}");
        assert!(
            alarms.iter().all(|slot| (shift..shift + 20 + 6).contains(slot)),
            "{name}: {alarms:?}"
        );
    }
}

#[test]
fn extremes_are_finite_and_what_is_always_so_is_no_alarm() {
    let detector = detector();
    type Machine = fn(i64, f64) -> f64;
    let machines: [(&str, Machine); 8] = [
        ("a square wave", |slot, _| if slot / 12 % 2 == 0 { 20.0 } else { 60.0 }),
        ("from nothing to everything", |slot, _| if slot / 7 % 2 == 0 { 0.0 } else { 100.0 }),
        ("every other slot", |slot, _| f64::from(u8::from(slot % 2 == 0)) * 100.0),
        ("cut off at 0 and 100", |slot, cpu| {
            ((cpu - 30.0) * 6.0 + 50.0 + noise(slot as u64)).clamp(0.0, 100.0)
        }),
        ("huge", |_, cpu| 1e13 * cpu),
        ("the largest there is", |slot, _| if slot % 2 == 0 { 1e15 } else { -1e15 }),
        ("not always a number", |slot, cpu| if slot % 3 == 0 { f64::NAN } else { cpu }),
        ("now and then infinite", |slot, cpu| if slot % 50 == 0 { f64::INFINITY } else { cpu }),
    ];
    for (name, value) in machines {
        let scored = followed(&detector, &machine(6, value));
        assert!(scored.len() > 2 * DAY, "{name}: {}", scored.len());
        assert_finite(&scored);
        assert_eq!(alarms_from(2, &scored), NONE, "{name}");
    }
    let wild = machine(6, |slot, cpu| if slot % 300 == 299 { 1e15 } else { cpu });
    assert_finite(&followed(&detector, &wild));
}

#[test]
fn a_frozen_value_is_reported_once() {
    let detector = detector();
    let jittery = |slot: i64| 30.0 + 3.0 * noise(slot as u64);
    let reported_of = |value: &dyn Fn(i64) -> f64| -> Vec<i64> {
        let scored = followed(&detector, &machine(7, |slot, _| value(slot)));
        let frozen =
            scored.iter().filter(|scored| scored.score.is_anomalous() && scored.channel.is_none());
        frozen.map(|scored| scored.time / PERIOD).collect()
    };
    let reported = |runs: &[(i64, i64)]| {
        let frozen =
            |slot: i64| runs.iter().any(|(start, length)| (0..*length).contains(&(slot - start)));
        reported_of(&|slot| if frozen(slot) { 31.5 } else { jittery(slot) })
    };
    // One and a half times the longest run, times the growth that a machine this young still has.
    let too_long = |longest: f64, days: usize| {
        let grown = 1.5 * longest.max(6.0) * detector.artifact().card().growth.of_run(days);
        grown.max(24.0).ceil() as i64
    };
    let start = 4 * DAY_SLOTS + 60;
    assert_eq!(reported(&[(start, 23)]), NONE);
    assert_eq!(reported(&[(start, 24)]), [start + 23], "two hours");
    assert_eq!(reported(&[(start, 200)]), [start + 23], "and not again, however long it lasts");
    assert_eq!(reported(&[(start, 2 * DAY_SLOTS)]), [start + 23], "nor on the next day");
    let usual = [(100, 40), (500, 22), (start, 200)];
    assert_eq!(
        reported(&usual),
        [start + too_long(40.0, 4) - 1],
        "one and a half of the longest run"
    );
    assert_eq!(
        reported(&[(start, 30), (start + 40, 30), (start + 2 * DAY_SLOTS, 44)]),
        [start + 23, start + 63]
    );
    let of_days = |slot: i64| 2.0 + (slot / DAY_SLOTS % 2) as f64;
    assert_eq!(
        reported_of(&of_days),
        [DAY_SLOTS + too_long(0.0, 1) - 1],
        "a value that changes once a day, before that habit is known"
    );
    let blip = |slot: i64| if slot == 700 { 1.3 } else { 1.0 };
    assert_eq!(
        reported_of(&blip),
        [700 + too_long(0.0, 2)],
        "nor again on a day on which a run may be longer"
    );
}

#[test]
fn an_episode_has_one_alarm_unless_it_gets_worse() {
    let detector = detector();
    let (start, later, end) = (6 * DAY_SLOTS + 72, 6 * DAY_SLOTS + 144, 6 * DAY_SLOTS + 216);
    let of_shift = |height: f64, then: f64| {
        let shift = |slot: i64| match slot {
            _ if (start..later).contains(&slot) => height,
            _ if (later..end).contains(&slot) => then,
            _ => 0.0,
        };
        let scored = followed(&detector, &machine(7, |slot, cpu| cpu + shift(slot)));
        let anomalous =
            |scored: &&Scored| scored.score.is_anomalous() && scored.time >= 2 * DAY_SECONDS;
        (alarms_from(2, &scored), scored.iter().filter(anomalous).count())
    };
    assert_eq!(of_shift(0.0, 0.0), (vec![], 0));
    // Its first datapoint is an alarm. The windows of half an hour and two hours are unusual once
    // they are full of it: clearly worse twice.
    let begins_once = |(alarms, anomalous): (Vec<i64>, usize), from: i64, what: &str| {
        let lasting: Vec<i64> = alarms.into_iter().filter(|slot| *slot < end).collect();
        assert_eq!(lasting.first(), Some(&from), "{what}: {lasting:?}");
        assert!(lasting.iter().all(|slot| *slot < from + 2 * HOUR), "{what}: {lasting:?}");
        assert!(lasting.len() < anomalous, "{what}: an alarm is rarer than an anomaly");
    };
    begins_once(of_shift(25.0, 25.0), start, "twelve hours of the same");
    begins_once(of_shift(25.0, 25.5), start, "hardly worse");
    begins_once(of_shift(1.0, 45.0), later, "clearly worse");
    begins_once(of_shift(45.0, 15.0), start, "better");
}
