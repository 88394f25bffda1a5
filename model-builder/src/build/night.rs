//! A bad night: twelve machines, the events between eight in the evening and six in the morning,
//! and the events that should raise an alarm.

use deepguard::Datapoint;
use deepguard::series::{DAY, DAY_SECONDS, PERIOD};
use jiff::Timestamp;
use serde::Serialize;

use crate::build::workload::machine::{Kind, machine};

/// Days of history before the morning after.
const DAYS: usize = 32;
/// Slots in an hour.
const HOUR: usize = DAY / 24;
/// Hours from the beginning of the night to its end.
pub(crate) const HOURS: usize = 10;
/// The largest CPU there is, in percent.
const FULL: f64 = 100.0;

/// An event on a machine in that night.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Event {
    /// In words.
    pub(crate) what: &'static str,
    /// When it begins.
    pub(crate) from: Timestamp,
    /// When it is over, if it is.
    pub(crate) until: Option<Timestamp>,
    /// Whether the person on call should be told.
    pub(crate) told: bool,
    /// Whether the machine is muted meanwhile.
    pub(crate) muted: bool,
}

/// One of the machines.
#[derive(Debug)]
pub(crate) struct NightMachine {
    /// Its name, as a tag would have it.
    pub(crate) name: &'static str,
    /// Its CPU, up to the morning.
    pub(crate) datapoints: Vec<Datapoint>,
    /// Its events.
    pub(crate) event: Option<Event>,
}

/// A change to a machine, in slots since the beginning of the night.
enum Plot {
    /// As on any other day.
    Nothing,
    /// This number of percentage points more, from then on.
    Shift(usize, f64),
    /// A rise by up to this number of percentage points, and a drop back after a restart.
    Leak(usize, usize, f64),
    /// The same value.
    Freeze(usize, usize),
    /// A fixed CPU.
    Load(usize, usize, f64),
    /// No datapoints from then on.
    Stop(usize),
    /// Off between these hours of each day.
    Office(usize, usize),
}

/// The seed of the night that is shown.
#[cfg(test)]
pub(crate) const SEED: u64 = 18;

/// The time `hours` and `minutes` after the beginning of the night, in slots.
const fn at(hours: usize, minutes: usize) -> usize {
    hours * HOUR + minutes / 5
}

/// The machines of the night that ends at `morning` (seconds since 1970, six o'clock UTC).
pub(crate) fn night(seed: u64, morning: i64) -> Vec<NightMachine> {
    use Plot::{Freeze, Leak, Load, Nothing, Office, Shift, Stop};
    let plots: [(&str, Kind, Plot, &str, bool); 12] = [
        (
            "web-1",
            Kind::Web,
            Shift(at(2, 10), 14.0),
            "a deployment at 22:10 that costs more CPU",
            true,
        ),
        (
            "api-1",
            Kind::Web,
            Leak(at(3, 0), at(7, 30), 25.0),
            "a leak from 23:00 on, and a restart at 03:30",
            true,
        ),
        (
            "db-1",
            Kind::Busy,
            Freeze(at(4, 30), at(8, 30)),
            "a process that hangs from 00:30 to 04:30",
            true,
        ),
        ("worker-1", Kind::Autoscaled, Stop(at(6, 30)), "stops at 02:30, when it never does", true),
        (
            "web-2",
            Kind::Web,
            Load(at(7, 10), at(7, 25), 60.0),
            "a runaway request from 03:10 to 03:25",
            true,
        ),
        (
            "load-1",
            Kind::Web,
            Load(at(3, 30), at(4, 30), 95.0),
            "a load test from 23:30 to 00:30, muted",
            false,
        ),
        (
            "office-1",
            Kind::Web,
            Office(20, 6),
            "switched off from 20:00 to 06:00, as every night",
            false,
        ),
        ("batch-1", Kind::NightlyCron, Nothing, "its nightly job", false),
        ("busy-1", Kind::Busy, Nothing, "busy, as always", false),
        ("cron-1", Kind::Batch, Nothing, "a job every few hours, as always", false),
        ("idle-1", Kind::Idle, Nothing, "idle, as always", false),
        (
            "auto-1",
            Kind::Autoscaled,
            Nothing,
            "one of a group that comes and goes, as always",
            false,
        ),
    ];
    let start = morning - (HOURS * HOUR) as i64 * PERIOD;
    let first = morning - DAYS as i64 * DAY_SECONDS;
    let time =
        |slot: usize| Timestamp::from_second(start + slot as i64 * PERIOD).unwrap_or_default();
    plots
        .into_iter()
        .enumerate()
        .map(|(number, (name, kind, plot, what, told))| {
            let mut values = machine(kind, 100 * seed + number as u64, DAYS);
            let evening = values.len() - HOURS * HOUR;
            let mut on = vec![true; values.len()];
            let (from, until) = match plot {
                Nothing => (None, None),
                Shift(from, points) => {
                    values[evening + from..]
                        .iter_mut()
                        .for_each(|value| *value = (*value + points).min(FULL));
                    (Some(from), None)
                }
                Leak(from, until, points) => {
                    for slot in from..until {
                        let part = (slot - from) as f64 / (until - from) as f64;
                        values[evening + slot] = (values[evening + slot] + part * points).min(FULL);
                    }
                    (Some(from), Some(until))
                }
                Freeze(from, until) => {
                    let value = values[evening + from];
                    values[evening + from..evening + until].fill(value);
                    (Some(from), Some(until))
                }
                Load(from, until, cpu) => {
                    // With the noise that it has at any load.
                    let usual = values.clone();
                    for slot in evening + from..evening + until {
                        values[slot] = (cpu + usual[slot] - usual[slot - 1]).clamp(0.0, FULL);
                    }
                    (Some(from), Some(until))
                }
                Stop(from) => {
                    on[evening + from..].fill(false);
                    (Some(from), None)
                }
                Office(off, on_again) => {
                    let hour = |slot: usize| {
                        ((first + slot as i64 * PERIOD).rem_euclid(DAY_SECONDS) / 3600) as usize
                    };
                    (0..values.len())
                        .for_each(|slot| on[slot] = (on_again..off).contains(&hour(slot)));
                    (Some(0), Some(HOURS * HOUR))
                }
            };
            let event = Event {
                what,
                from: time(from.unwrap_or(0)),
                until: until.map(time),
                told,
                muted: name == "load-1",
            };
            let point =
                |slot: usize| Datapoint { time: first + slot as i64 * PERIOD, value: values[slot] };
            let datapoints = (0..values.len()).filter(|&slot| on[slot]).map(point).collect();
            NightMachine { name, datapoints, event: Some(event) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use deepguard::baseline::calibrated_at;
    use deepguard::episode::{Change, Episodes, MOfN, SILENT};
    use deepguard::shape::Shape;
    use deepguard::track::Known;
    use deepguard::{Artifact, Detector, Series};

    use super::*;

    /// Six in the morning of a Thursday.
    const MORNING: i64 = 1_768_456_800 + 7 * DAY_SECONDS;

    /// The messages about a machine in the night: the shapes of new episodes, their times (minutes
    /// into the night), and the number that are over.
    fn told(detector: &Detector, machine: &NightMachine) -> (Vec<(Shape, i64)>, usize) {
        let start = MORNING - (HOURS * HOUR) as i64 * PERIOD;
        let (series, _) = Series::from_datapoints(machine.datapoints.iter().copied()).unwrap();
        let muted = |time: i64| {
            machine.event.iter().filter(|event| event.muted).any(|event| {
                let until = event.until.map_or(i64::MAX, Timestamp::as_second);
                (event.from.as_second()..until).contains(&time)
            })
        };
        let begun = detector.start(&series, MORNING, muted);
        let mut episodes = Episodes::default();
        let scored: BTreeMap<i64, _> =
            begun.scored.iter().map(|scored| (scored.time, scored)).collect();
        let mut changes = Vec::new();
        let mut end = series.start();
        for time in (begun.scored[0].time..MORNING).step_by(PERIOD as usize) {
            let new: Vec<Change> = match scored.get(&time) {
                Some(scored) => {
                    end = time + PERIOD;
                    episodes.update(scored, MOfN::default())
                }
                None => episodes.silent(end, time + PERIOD, || {
                    let reports = |time: i64| {
                        let known = begun.baselines.get(&calibrated_at(time));
                        match known.map(|known| Known::from(known.as_ref())) {
                            Some(Known::Baseline(baseline)) => baseline.reports(time),
                            _ => false,
                        }
                    };
                    (end..time + PERIOD).step_by(PERIOD as usize).all(reports)
                }),
            };
            changes.extend(new);
        }
        let began = changes.iter().filter_map(|change| match change {
            Change::Began(episode, _) if episode.told >= start => {
                Some((episode.shape, (episode.told - start) / 60))
            }
            _ => None,
        });
        let ended = changes
            .iter()
            .filter(|change| matches!(change, Change::Ended(_, _, at) if *at >= start));
        (began.collect(), ended.count())
    }

    const TOLD: [&str; 5] = ["web-1", "api-1", "db-1", "worker-1", "web-2"];

    fn detector() -> Detector {
        let artifact =
            Artifact::from_bytes(include_bytes!("../../../models/default.safetensors")).unwrap();
        Detector::new(artifact, &deepguard::model::device())
    }

    #[test]
    fn each_episode_of_the_night_is_told_once_and_nothing_else() {
        let detector = detector();
        let all: Vec<_> = night(SEED, MORNING)
            .iter()
            .map(|machine| (machine.name, told(&detector, machine)))
            .collect();
        for (name, (began, ended)) in &all {
            println!("{name}: {began:?}, {ended} over");
            assert_eq!(began.len(), usize::from(TOLD.contains(name)), "{name}");
        }
        let of = |name: &str| all.iter().find(|(other, _)| *other == name).unwrap().1.clone();
        assert_eq!(of("db-1").0[0].0, Shape::Flatline);
        assert_eq!(of("worker-1").0, [(Shape::Stopped, (6 * 60 + 30) + SILENT / 60 - 5)]);
        assert_eq!(["api-1", "db-1", "web-2"].map(|name| of(name).1), [1; 3], "they are over");
    }

    /// Why [`SEED`] was chosen: other nights have a false alarm, or a leak that is too small for
    /// its machine.
    #[test]
    fn most_nights_are_told_as_they_are() {
        let detector = detector();
        let (mut missed, mut more) = (0, 0);
        for seed in 1..=20 {
            let nights = night(seed, MORNING);
            let told: Vec<(&str, usize)> = nights
                .iter()
                .map(|machine| (machine.name, told(&detector, machine).0.len()))
                .collect();
            let of_night = |count: fn(usize, bool) -> usize| {
                told.iter().map(|(name, began)| count(*began, TOLD.contains(name))).sum::<usize>()
            };
            let (lacks, extra) = (
                of_night(|began, expected| usize::from(expected && began == 0)),
                of_night(|began, expected| began.saturating_sub(usize::from(expected))),
            );
            println!("seed {seed}: {lacks} missed, {extra} too many");
            missed += lacks;
            more += extra;
        }
        println!("20 nights of 12 machines: {missed} of 100 episodes missed, {more} too many");
        assert!(missed <= 10 && more <= 30, "{missed} missed, {more} too many");
    }
}
