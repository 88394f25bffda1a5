//! One instance, followed over many runs. A score never changes once it is given, and a late
//! datapoint is scored when it arrives.
//!
//! A datapoint has one score for ever. A late one gets the score that it would have had on time.
//! Those after it were scored without it and keep their scores. From then on everything is as if it
//! had been on time. For that, a [`Track`] holds the memory at its newest datapoint. It also holds
//! the memories at the two boundaries of three hours before, to go on from again.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::baseline::{Baseline, calibrated_at};
use crate::detector::{Detector, rebuild_from};
use crate::memory::Memory;
use crate::scored::Scored;
use crate::series::{DAY_SECONDS, Datapoint, PERIOD, Series};

/// How late a datapoint may come and still be scored, in seconds: three hours.
pub const LATE: i64 = 3 * 3600;
/// Days from which on the usual errors of an instance are known: a working week and the weekends on
/// both sides of it.
pub(crate) const YOUNG: i64 = 10;
/// Number of stored memories to go back to. Their boundaries are [`LATE`] apart. With two of them,
/// one always lies before a datapoint that is late by no more than that.
const CHECKPOINTS: usize = 2;

/// The state of one instance from run to run. The split of its datapoints into runs, and late ones,
/// change nothing about it in the end.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Track {
    /// The memory of the datapoints so far.
    memory: Memory,
    /// The memory before the first datapoint of each of the last stretches of [`LATE`], oldest
    /// first. The empty memory before the very first one is stored, too. Without it, late
    /// datapoints of an instance's first hours would be lost.
    checkpoints: VecDeque<Memory>,
}

/// The baseline of a day, or why there is not one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Known<'a> {
    /// The baseline of that day.
    Baseline(&'a Baseline),
    /// There is too little history for a baseline. Datapoints are remembered and have no score.
    TooLittle,
    /// The history has not been read yet. Datapoints have to wait.
    NotYet,
}

/// The result of taking new datapoints in.
#[derive(Debug, Clone, PartialEq)]
pub struct Advanced {
    /// Those that got a score, oldest first. Each gets its first and only score here.
    pub scored: Vec<Scored>,
    /// How many of them came after a later one had been scored.
    pub late: usize,
    /// The day whose baseline is not known yet, because of which the rest has to wait.
    pub waits_for: Option<i64>,
}

/// A newly followed instance, which had no history here before.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// Its state after the last datapoint.
    pub track: Track,
    /// The baseline of each of the days that were gone through, by their midnight; `None` where
    /// there was too little history.
    pub baselines: BTreeMap<i64, Option<Baseline>>,
    /// The scores of those days, oldest first.
    pub scored: Vec<Scored>,
}

impl From<Memory> for Track {
    /// Goes on from `memory`.
    fn from(memory: Memory) -> Self {
        Self { memory, checkpoints: VecDeque::new() }
    }
}

impl<'a> From<Option<&'a Baseline>> for Known<'a> {
    /// For a day whose history was read.
    fn from(baseline: Option<&'a Baseline>) -> Self {
        baseline.map_or(Self::TooLittle, Self::Baseline)
    }
}

impl Track {
    /// End of the newest slot that was taken in, in seconds since 1970.
    pub fn end(&self) -> Option<i64> {
        self.memory.end()
    }

    /// The memory of the datapoints so far.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Whether the usual errors of the instance are still being learnt: the oldest of them are less
    /// than ten days old.
    pub fn is_young(&self) -> bool {
        self.memory.known_days() < YOUNG
    }

    /// The time from which on datapoints are needed (seconds since 1970), including those that may
    /// still come late; `None` for an instance without history.
    pub fn needs_from(&self) -> Option<i64> {
        Some(self.end()? - LATE)
    }

    /// The track as it was before `time` (seconds since 1970), and the datapoints since then;
    /// `None` where that is too long ago.
    fn back_to(&self, time: i64) -> Option<(Self, Vec<Datapoint>)> {
        let before = |memory: &Memory| memory.end().is_none_or(|end| end <= time);
        if before(&self.memory) {
            return Some((self.clone(), Vec::new()));
        }
        let index = self.checkpoints.iter().rposition(before)?;
        let memory = self.checkpoints[index].clone();
        let start = memory.end().unwrap_or(i64::MIN);
        let since =
            self.memory.recent.iter().flat_map(|recent| recent.between(start, i64::MAX)).collect();
        // The memory itself is stored again with the first datapoint after it.
        Some((
            Self { memory, checkpoints: self.checkpoints.range(..index).cloned().collect() },
            since,
        ))
    }

    /// Keeps the memory as it is where `time` begins another stretch.
    fn checkpoint(&mut self, time: i64) {
        if self.end().is_none_or(|end| stretch(end - PERIOD) != stretch(time)) {
            if self.checkpoints.len() == CHECKPOINTS {
                self.checkpoints.pop_front();
            }
            self.checkpoints.push_back(self.memory.clone());
        }
    }

    /// Of the datapoints of `series` before `until`, the late ones, and those newer than the track.
    fn new_in(
        &self,
        series: &Series,
        until: i64,
        muted: &impl Fn(i64) -> bool,
    ) -> (Vec<Datapoint>, Vec<Datapoint>) {
        let end = self.end().unwrap_or(i64::MIN);
        let unknown = |point: &Datapoint| match &self.memory.recent {
            // A muted datapoint was seen, and left no value.
            Some(recent) if point.time < end => {
                recent.at(point.time).is_none() && !muted(point.time)
            }
            _ => true,
        };
        let new = series.between(end.saturating_sub(LATE), until).filter(unknown);
        new.partition(|point| point.time < end)
    }
}

impl Detector {
    /// Scores the datapoints of `series` before `until` (seconds since 1970) that `track` has not
    /// seen, and takes them in. Each has the baseline of its own day. Late ones are scored as if
    /// they had been on time.
    ///
    /// Where a baseline is not known yet, datapoints before that day are taken in, and the rest has
    /// to come again. At times (seconds since 1970) that are `muted`, datapoints are scored and not
    /// learnt from.
    pub fn advance<'a>(
        &self,
        track: &mut Track,
        series: &Series,
        until: i64,
        baseline: impl Fn(i64) -> Known<'a>,
        muted: impl Fn(i64) -> bool,
    ) -> Advanced {
        let (mut late, new) = track.new_in(series, until, &muted);
        let (ahead, mut points) =
            late.first().and_then(|first| track.back_to(first.time)).unwrap_or_else(|| {
                // Older than all stored memories: as good as never measured.
                late.clear();
                (track.clone(), Vec::new())
            });
        let end = track.end();
        points.extend(late.iter().chain(&new));
        points.sort_by_key(|point| point.time);
        let (ahead, mut scored, waits_for) = self.replay(ahead, &points, baseline, &muted);
        // Going back without arriving at the same end would forget datapoints taken in already.
        if ahead.end() < end {
            return Advanced { scored: Vec::new(), late: 0, waits_for };
        }
        let is_new = |time: i64| {
            end.is_none_or(|end| time >= end) || late.iter().any(|point| point.time == time)
        };
        scored.retain(|scored| is_new(scored.time));
        *track = ahead;
        Advanced { scored, late: late.len(), waits_for }
    }

    /// Scores the datapoints between `times` (seconds since 1970) once more, with all that is known
    /// now, and changes nothing. `None` where `track` does not reach back that far.
    pub fn review<'a>(
        &self,
        track: &Track,
        series: &Series,
        times: Range<i64>,
        baseline: impl Fn(i64) -> Known<'a>,
        muted: impl Fn(i64) -> bool,
    ) -> Option<Advanced> {
        let (late, new) = track.new_in(series, times.end, &muted);
        let first = late.first().map_or(times.start, |first| first.time.min(times.start));
        let (before, mut points) = track.back_to(first)?;
        points.extend(late.iter().chain(&new));
        points.retain(|point| point.time < times.end);
        points.sort_by_key(|point| point.time);
        let (_, mut scored, waits_for) = self.replay(before, &points, baseline, &muted);
        scored.retain(|scored| times.contains(&scored.time));
        Some(Advanced { scored, late: late.len(), waits_for })
    }

    /// Goes on from `track` with `points`, oldest first, as far as baselines are known. Gives the
    /// track then, the scores, and the day that is waited for.
    fn replay<'a>(
        &self,
        mut track: Track,
        points: &[Datapoint],
        baseline: impl Fn(i64) -> Known<'a>,
        muted: &impl Fn(i64) -> bool,
    ) -> (Track, Vec<Scored>, Option<i64>) {
        let mut scored = Vec::new();
        for points in points.chunk_by(|a, b| calibrated_at(a.time) == calibrated_at(b.time)) {
            let day = calibrated_at(points[0].time);
            let known = match baseline(day) {
                Known::Baseline(baseline) => Some(baseline),
                Known::TooLittle => None,
                Known::NotYet => return (track, scored, Some(day)),
            };
            let alike = |a: &Datapoint, b: &Datapoint| {
                stretch(a.time) == stretch(b.time) && muted(a.time) == muted(b.time)
            };
            for points in points.chunk_by(alike) {
                track.checkpoint(points[0].time);
                scored.extend(match muted(points[0].time) {
                    false => self.score(known, &mut track.memory, points),
                    true => self.score_muted(known, &mut track.memory, points),
                });
            }
        }
        (track, scored, None)
    }

    /// Begins with an instance without history. Where `series` reaches
    /// [`HISTORY`](crate::baseline::HISTORY) further back than [`rebuild_from`], all is as if it
    /// had always been followed. `muted`: see [`Self::advance`].
    pub fn start(&self, series: &Series, until: i64, muted: impl Fn(i64) -> bool) -> Started {
        let start = rebuild_from(until);
        let mut memory = Memory::default();
        let learnt = series.without(&muted);
        let seen = learnt
            .iter()
            .flat_map(|series| series.between(start - self.context() as i64 * PERIOD, start));
        seen.for_each(|datapoint| memory.remember(datapoint, self.context()));
        let calibrate = |day| (day, learnt.as_ref().and_then(|series| self.calibrate(series, day)));
        let baselines: BTreeMap<i64, Option<Baseline>> =
            days(start..until).map(calibrate).collect();
        let points: Vec<Datapoint> = series.between(start, until).collect();
        let known = |day| {
            baselines.get(&day).map_or(Known::NotYet, |baseline| Known::from(baseline.as_ref()))
        };
        let (track, scored, _) =
            self.replay(Track { memory, checkpoints: VecDeque::new() }, &points, known, &muted);
        Started { track, baselines, scored }
    }

    /// The baseline of the day that begins at `day` (midnight UTC), without the parts that no
    /// datapoint of the day is compared with. `None` if there is too little history: see
    /// [`Baseline::learn`].
    pub fn calibrate(&self, series: &Series, day: i64) -> Option<Baseline> {
        let baseline = self.learn(series, day).ok();
        baseline.map(|baseline| baseline.for_its_day(self.context()))
    }
}

/// The number of the stretch of [`LATE`] that `time` lies in.
fn stretch(time: i64) -> i64 {
    time.div_euclid(LATE)
}

/// The days, by their midnight UTC, in which `times` (seconds since 1970) lies.
pub fn days(times: Range<i64>) -> impl Iterator<Item = i64> {
    (calibrated_at(times.start)..times.end).step_by(DAY_SECONDS as usize)
}
