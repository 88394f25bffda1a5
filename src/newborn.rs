//! A machine that has just been launched, judged by its group in its first three days.
//!
//! Machines of an Auto Scaling group often live for hours only. They do the same work as the rest
//! of the group, so a typical member stands in for the history that is missing: the newborn is
//! followed as if it had had that member's usual values until its launch. On each day it is
//! compared with the group as that is then. The errors that are usual for it are the largest ones
//! that are usual for any member, and it may differ from the typical member by as much as any other
//! does. A group whose machines differ much forgives much.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::baseline::{Baseline, Phase};
use crate::channel::{CHANNELS, Channel};
use crate::compress::{compress, distance};
use crate::detector::Detector;
use crate::memory::Memory;
use crate::scored::Scored;
use crate::series::{DAY_SECONDS, PERIOD, Series};
use crate::track::{Known, Track};

/// The least members with a history of their own by which a newborn is judged.
pub const LEAST_MEMBERS: usize = 3;
/// The most members that are compared: more say little more.
pub const MOST_MEMBERS: usize = 12;
/// Seconds from its second datapoint on in which too much CPU is a machine's boot: ten minutes.
const BOOT: i64 = 2 * PERIOD;
/// Seconds of an hour.
const HOUR: i64 = 3600;

/// A member of a group, by which a newborn is judged.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// Its baseline of the day.
    pub baseline: &'a Baseline,
    /// Its memory: the errors of its days before are used.
    pub memory: &'a Memory,
}

/// A machine that is judged by its group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Newborn {
    /// Start of the first datapoint that is judged, in seconds since 1970.
    since: i64,
    /// The state of the typical member, in whose place the newborn is.
    track: Track,
}

impl Newborn {
    /// Begins a day at `from` (seconds since 1970), or the first day with the datapoint there.
    /// Gives the place of the typical member in `members`, too: its baselines are the newborn's.
    /// `None` where fewer than [`LEAST_MEMBERS`] members have a history of their own.
    ///
    /// The newborn is judged from its datapoint at `since` on. Its `own` values after its boot and
    /// before `from` are its past, and the typical member's usual ones before those. So each day
    /// can be judged again from the values and from what is known of the group on that day.
    pub fn begin(
        detector: &Detector,
        members: &[Member<'_>],
        since: i64,
        from: i64,
        own: impl Fn(i64) -> Option<f64>,
    ) -> Option<(usize, Self)> {
        let grown = |member: &Member<'_>| member.baseline.phase == Phase::Own;
        let mut grown: Vec<(usize, Member<'_>)> =
            members.iter().copied().enumerate().filter(|(_, member)| grown(member)).collect();
        if grown.len() < LEAST_MEMBERS {
            return None;
        }
        let centre =
            |(_, member): &(usize, Member<'_>)| member.baseline.expectations[0].level.centre;
        grown.sort_by(|a, b| centre(a).total_cmp(&centre(b)));
        let (place, typical) = grown[grown.len() / 2];
        let mut usual = [0.0_f64; CHANNELS];
        for (_, member) in &grown {
            let errors = detector.usual_errors(member.baseline, member.memory);
            let apart = apart(typical.baseline, member.baseline);
            for (index, channel) in Channel::ALL.into_iter().enumerate() {
                let far = if channel.is_up() { apart.up } else { apart.down };
                usual[index] = usual[index].max(errors[index].unwrap_or(0.0) + far);
            }
        }
        let expectation = &typical.baseline.expectations[0];
        let own = |time: i64| own(time).filter(|_| time >= since + BOOT);
        let memory = Memory::of_newborn(expectation, from, detector.context(), usual, own);
        Some((place, Self { since, track: Track::from(memory) }))
    }

    /// Judges the new datapoints of `series` before `until` (seconds since 1970), by the baselines
    /// of the typical member. Too much CPU within ten minutes of the second datapoint has no score:
    /// the machine boots. The other arguments are those of [`Detector::advance`].
    pub fn judge<'a>(
        &mut self,
        detector: &Detector,
        series: &Series,
        until: i64,
        baseline: impl Fn(i64) -> Known<'a>,
        muted: impl Fn(i64) -> bool,
    ) -> Vec<Scored> {
        let advance = |own: &Series| {
            let mut track = self.track.clone();
            let scored = detector.advance(&mut track, own, until, &baseline, &muted).scored;
            (track, scored)
        };
        let Some((track, scored)) = self.without_boot(series, until, advance) else {
            return Vec::new();
        };
        self.track = track;
        scored
    }

    /// Judges the datapoints between `times` (seconds since 1970) once more, and changes nothing.
    /// `None` where that is too long ago. The other arguments are those of [`Detector::review`].
    pub fn review<'a>(
        &self,
        detector: &Detector,
        series: &Series,
        times: Range<i64>,
        baseline: impl Fn(i64) -> Known<'a>,
        muted: impl Fn(i64) -> bool,
    ) -> Option<Vec<Scored>> {
        let times = times.start.max(self.since)..times.end;
        let review = |own: &Series| {
            let review = detector.review(&self.track, own, times.clone(), &baseline, &muted);
            (review.is_some(), review.map(|review| review.scored).unwrap_or_default())
        };
        let (reaches, scored) = self.without_boot(series, times.end, review)?;
        reaches.then_some(scored)
    }

    /// Gives the datapoints before `until` (seconds since 1970) to `score`, and leaves those of the
    /// boot out that are anomalous. `None` without any datapoint.
    fn without_boot<T>(
        &self,
        series: &Series,
        until: i64,
        score: impl Fn(&Series) -> (T, Vec<Scored>),
    ) -> Option<(T, Vec<Scored>)> {
        let mut boots = BTreeSet::new();
        loop {
            let points = series.between(self.since, until);
            let points = points.filter(|point| !boots.contains(&point.time));
            let (own, _) = Series::from_datapoints(points).ok()?;
            let (with, mut scored) = score(&own);
            if let Some(boot) = scored.iter().find(|scored| self.boots(scored)) {
                boots.insert(boot.time);
                continue;
            }
            for scored in &mut scored {
                scored.phase = Phase::Group;
                if let Some(finding) = &mut scored.finding {
                    finding.since = finding.since.max(self.since);
                }
            }
            return Some((with, scored));
        }
    }

    /// Whether this is the CPU of a boot.
    fn boots(&self, scored: &Scored) -> bool {
        let high = scored.severity.is_anomalous() && scored.observed > scored.expected;
        high && scored.time < self.since + BOOT
    }

    /// The newborn's own value at `time` (seconds since 1970), as far as it is remembered.
    pub fn value(&self, time: i64) -> Option<f64> {
        self.track.memory().recent.as_ref()?.at(time)
    }

    /// End of the newest slot that was judged, in seconds since 1970.
    pub fn end(&self) -> i64 {
        self.track.end().unwrap_or(self.since)
    }
}

/// How far one machine usually is above another, and below it, in the hour of the day in which they
/// are furthest apart.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Apart {
    up: f64,
    down: f64,
}

fn apart(typical: &Baseline, member: &Baseline) -> Apart {
    let hours = (typical.at..typical.at + DAY_SECONDS).step_by(HOUR as usize);
    // Means of an hour: a job that starts a few minutes later is the same job.
    let usual = |baseline: &Baseline, hour: i64| {
        let slots = (hour..hour + HOUR).step_by(PERIOD as usize);
        let values = slots.map(|time| compress(baseline.expectations[0].daily(time)));
        values.sum::<f64>() / (HOUR / PERIOD) as f64
    };
    let mut apart = Apart { up: 0.0, down: 0.0 };
    for hour in hours {
        let [here, there] = [typical, member].map(|baseline| usual(baseline, hour));
        let side = if there > here { &mut apart.up } else { &mut apart.down };
        *side = side.max(distance(there, here));
    }
    apart
}

/// The start of the first datapoint of a machine by which it can be judged: its second. A machine
/// boots in the first one.
pub fn judged_from(series: &Series) -> Option<i64> {
    series.datapoints().nth(1).map(|second| second.time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::Watch;
    use crate::model::artifact::{Artifact, BUILTIN};
    use crate::model::device;
    use crate::series::Datapoint;

    const BORN: i64 = 15 * DAY_SECONDS + 9 * 3600;
    const UNTIL: i64 = BORN + 6 * 3600;

    fn detector() -> Detector {
        Detector::new(Artifact::from_bytes(BUILTIN).expect("the built-in artifact"), &device())
    }

    /// A machine with a daily rhythm around `level`, and noise of its own.
    fn machine(number: i64, level: f64, start: i64) -> Series {
        let point = |time: i64| {
            let hour = (time as f64 / DAY_SECONDS as f64 * std::f64::consts::TAU).sin();
            let slot = time / PERIOD;
            let noise = ((slot * 7919 + number * 104_729) % 1009) as f64 / 500.0;
            Datapoint { time, value: level * (1.0 + 0.4 * hour) + noise }
        };
        let times = (start..UNTIL).step_by(PERIOD as usize);
        Series::from_datapoints(times.map(point)).expect("usable").0
    }

    fn altered(series: &Series, alter: impl Fn(&Datapoint) -> f64) -> Series {
        let points = series.datapoints().map(|point| Datapoint { value: alter(&point), ..point });
        Series::from_datapoints(points).expect("usable").0
    }

    /// Members with these levels, as they are at the launch.
    fn grown(detector: &Detector, levels: &[f64]) -> Vec<Watch> {
        let follow = |(number, level): (i64, &f64)| {
            let mut watch = Watch::default();
            detector.follow(&machine(number, *level, 0), &mut watch, BORN);
            watch
        };
        (0..).zip(levels).map(follow).collect()
    }

    fn judged(detector: &Detector, grown: &[Watch], series: &Series) -> Vec<Scored> {
        let members: Vec<Member<'_>> = grown
            .iter()
            .filter_map(|watch| {
                Some(Member { baseline: watch.baseline.as_ref()?, memory: &watch.memory })
            })
            .collect();
        let since = judged_from(series).expect("two datapoints");
        let Some((typical, mut newborn)) =
            Newborn::begin(detector, &members, since, since, |_| None)
        else {
            return Vec::new();
        };
        let baseline = |_| Known::Baseline(members[typical].baseline);
        let scored = newborn.judge(detector, series, UNTIL, baseline, |_| false);
        assert_eq!(newborn.end(), scored.last().map_or(since, |last| last.time + PERIOD));
        scored
    }

    #[test]
    fn a_newborn_is_judged_from_its_second_datapoint_on_as_one_of_its_group() {
        let detector = detector();
        let grown = grown(&detector, &[20.0, 21.0, 22.0, 20.5]);
        let healthy = machine(99, 20.8, BORN);
        let scored = judged(&detector, &grown, &healthy);
        let first = scored.first().expect("a score");
        assert!(first.time <= BORN + 3 * PERIOD && first.phase == Phase::Group);
        assert!(scored.iter().all(|scored| !scored.severity.is_anomalous()));
        let broken_at = BORN + 2 * 3600;
        for broken in [0.2, 60.0, 99.0] {
            let series =
                altered(
                    &healthy,
                    |point| {
                        if point.time >= broken_at { broken } else { point.value }
                    },
                );
            let scored = judged(&detector, &grown, &series);
            let alarm = scored.iter().find(|scored| scored.is_alarm()).expect("an alarm");
            assert!((broken_at..broken_at + 1800).contains(&alarm.time), "{broken}: {alarm:?}");
            assert!(alarm.finding.is_some_and(|finding| finding.since >= BORN));
        }
    }

    #[test]
    fn fewer_than_three_members_with_a_history_judge_nothing() {
        let detector = detector();
        let mut grown = grown(&detector, &[20.0, 21.0, 22.0]);
        let healthy = machine(99, 20.8, BORN);
        assert!(!judged(&detector, &grown, &healthy).is_empty());
        assert!(judged(&detector, &grown[..2], &healthy).is_empty());
        grown[0].baseline.as_mut().expect("a baseline").phase = Phase::Borrowed;
        assert!(judged(&detector, &grown, &healthy).is_empty());
    }

    #[test]
    fn a_group_whose_machines_differ_forgives_that_much() {
        let detector = detector();
        let (alike, apart) =
            (grown(&detector, &[20.0, 20.5, 21.0]), grown(&detector, &[12.0, 20.5, 35.0]));
        let other = machine(99, 31.0, BORN);
        let anomalous = |grown: &[Watch]| {
            judged(&detector, grown, &other).iter().any(|scored| scored.severity.is_anomalous())
        };
        assert_eq!((anomalous(&alike), anomalous(&apart)), (true, false));
    }

    #[test]
    fn high_cpu_at_first_is_the_boot_and_low_cpu_is_not() {
        let detector = detector();
        let grown = grown(&detector, &[20.0, 21.0, 22.0, 20.5]);
        let healthy = machine(99, 20.8, BORN);
        let first = |value: f64| {
            let boot = BORN..BORN + BOOT + PERIOD;
            let change = |point: &Datapoint| {
                if boot.contains(&point.time) { value } else { point.value }
            };
            judged(&detector, &grown, &altered(&healthy, change))
        };
        let booted = first(95.0);
        assert_eq!(booted[0].time, BORN + BOOT + PERIOD);
        assert!(booted.iter().all(|scored| !scored.severity.is_anomalous()));
        assert!(first(0.1)[..2].iter().any(|scored| scored.severity.is_anomalous()));
    }

    #[test]
    fn a_late_datapoint_is_scored_when_it_comes() {
        let detector = detector();
        let grown = grown(&detector, &[20.0, 21.0, 22.0]);
        let members: Vec<Member<'_>> = grown
            .iter()
            .map(|watch| Member {
                baseline: watch.baseline.as_ref().expect("a baseline"),
                memory: &watch.memory,
            })
            .collect();
        let series = machine(99, 20.8, BORN);
        let whole: Vec<Scored> = judged(&detector, &grown, &series);
        let missing = UNTIL - 2 * 3600;
        let points = series.datapoints().filter(|point| point.time != missing);
        let (holed, _) = Series::from_datapoints(points).expect("usable");
        let since = BORN + PERIOD;
        let (typical, mut newborn) =
            Newborn::begin(&detector, &members, since, since, |_| None).expect("a group");
        let baseline = |_| Known::Baseline(members[typical].baseline);
        let mut judge = |series| newborn.judge(&detector, series, UNTIL, baseline, |_| false);
        assert_eq!(judge(&holed).len(), whole.len() - 1);
        let late = whole.into_iter().filter(|scored| scored.time == missing);
        assert_eq!(judge(&series), late.collect::<Vec<_>>());
        assert_eq!(judge(&series), []);
    }
}
