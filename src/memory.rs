//! The memory of one instance from one datapoint to the next. It is small, and it holds all that
//! scoring needs beside a baseline.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::baseline::{Expectation, HISTORY_DAYS, calibrated_at};
use crate::channel::CHANNELS;
use crate::series::{DAY, DAY_SECONDS, Datapoint, PERIOD, Series};

/// Days before this one whose largest errors are stored.
const DAYS: i64 = HISTORY_DAYS as i64;
/// Slots before an alarm that have no score as high as its own: a day.
const RECORD: usize = DAY;
/// Slots before an alarm whose scores the alarm's score clearly exceeds: half a day. A deviation
/// that creeps up is one alarm.
const EPISODE: usize = DAY / 2;
/// How many times a score of the last half day a clearly worse one is.
const WORSE: f64 = 1.05;

/// The state of one instance's scoring. The same datapoints lead to the same state, whatever the
/// split into calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The newest slots, as many as a window spans; ends with the newest datapoint.
    pub(crate) recent: Option<Series>,
    /// How many datapoints in a row had the newest one's value.
    pub(crate) run: usize,
    /// Whether that run was reported. The limit on its length can be another one on the next day.
    reported: bool,
    /// The largest errors of the day so far.
    today: Day,
    /// Those of the days before, each with its midnight, oldest first.
    days: VecDeque<(i64, [f64; CHANNELS])>,
    records: Records,
}

/// Times and scores that no later score has surpassed, oldest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Records(VecDeque<(i64, f64)>);

/// The largest error of each channel on one day.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Day {
    /// Midnight, in seconds since 1970.
    start: i64,
    /// `None` until something was scored.
    largest: Option<[f64; CHANNELS]>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            recent: None,
            run: 0,
            reported: false,
            today: Day { start: i64::MIN, largest: None },
            days: VecDeque::new(),
            records: Records::default(),
        }
    }
}

impl Memory {
    /// End of the newest slot that was taken in, in seconds since 1970: the next slot starts there
    /// or later.
    pub fn end(&self) -> Option<i64> {
        self.recent.as_ref().map(Series::end)
    }

    /// Takes a datapoint in, and retains as much of the past as `slots`.
    pub(crate) fn remember(&mut self, datapoint: Datapoint, slots: usize) {
        let before = self.recent.as_ref().and_then(Series::newest);
        if before == Some(datapoint.value) {
            self.run = self.run.saturating_add(1);
        } else {
            (self.run, self.reported) = (1, false);
        }
        match &mut self.recent {
            Some(recent) if datapoint.time - recent.end() < slots as i64 * PERIOD => {
                recent.push(datapoint);
                if recent.len() > slots {
                    *recent = recent.slice(recent.len() - slots..recent.len());
                }
            }
            recent => *recent = Series::from_datapoints([datapoint]).ok().map(|(series, _)| series),
        }
    }

    /// The memory of a machine that begins at `start` (seconds since 1970), as if it had had the
    /// usual values of the hours for `slots` before it, and errors of up to `usual` on all days.
    pub(crate) fn of_newborn(
        expectation: &Expectation,
        start: i64,
        slots: usize,
        usual: [f64; CHANNELS],
        own: impl Fn(i64) -> Option<f64>,
    ) -> Self {
        let past = (1..=slots as i64).rev().map(|back| start - back * PERIOD);
        let value = |time: i64| own(time).unwrap_or_else(|| expectation.daily(time));
        let past = past.map(|time| Datapoint { time, value: value(time) });
        let today = calibrated_at(start);
        let days = (1..=DAYS).rev().map(|day| (today - day * DAY_SECONDS, usual));
        Self {
            recent: Series::from_datapoints(past).ok().map(|(series, _)| series),
            days: days.collect(),
            ..Self::default()
        }
    }

    /// Goes on to the end of the slot at `time` (seconds since 1970, aligned) as if nothing had
    /// been measured until then.
    pub(crate) fn pass_over(&mut self, time: i64, slots: usize) {
        let Some(end) = self.end() else { return };
        let missing = (time + PERIOD - end).max(0) / PERIOD;
        match &mut self.recent {
            Some(recent) if missing < slots as i64 => {
                recent.pass_over(missing as usize);
                if recent.len() > slots {
                    *recent = recent.slice(recent.len() - slots..recent.len());
                }
            }
            recent => *recent = Series::nothing(time),
        }
    }

    /// Days from the oldest day whose largest errors are stored to today.
    pub(crate) fn known_days(&self) -> i64 {
        let oldest = self.days.front().map_or(self.today.start, |(start, _)| *start);
        self.today.start.saturating_sub(oldest).div_euclid(DAY_SECONDS)
    }

    /// The largest error of `channel` on each of the days before, oldest first. Today's errors do
    /// not make today usual.
    pub fn largest(&self, channel: usize) -> impl Iterator<Item = f64> {
        self.days.iter().map(move |(_, largest)| largest[channel])
    }

    /// The same for others on `day` (midnight, in seconds since 1970). Not of the day before, whose
    /// datapoints may still come late, and not of the oldest one, which is forgotten on the next
    /// day: so it is the same on `day` and on the next.
    pub(crate) fn largest_for_others(&self, channel: usize, day: i64) -> impl Iterator<Item = f64> {
        let days = day - (DAYS - 1) * DAY_SECONDS..day - DAY_SECONDS;
        let known = self.days.iter().filter(move |(start, _)| days.contains(start));
        known.map(move |(_, largest)| largest[channel])
    }

    /// Begins the day of `time`, if it is another one.
    pub(crate) fn begin_day(&mut self, time: i64) {
        let start = calibrated_at(time);
        if start != self.today.start {
            if let Some(largest) = self.today.largest.take() {
                self.days.push_back((self.today.start, largest));
            }
            // By date, not by number: a day on which nothing was scored counts, too.
            while self.days.front().is_some_and(|(day, _)| *day < start - DAYS * DAY_SECONDS) {
                self.days.pop_front();
            }
            self.today.start = start;
        }
    }

    /// Takes the errors of a datapoint of this day in.
    pub(crate) fn usual_from_now_on(&mut self, errors: &[Option<f64>; CHANNELS]) {
        let largest = self.today.largest.get_or_insert_default();
        for (largest, error) in largest.iter_mut().zip(errors) {
            *largest = largest.max(error.unwrap_or(0.0));
        }
    }

    /// Whether the unchanged value has not been reported yet. Marks it as reported.
    pub(crate) fn reports_run(&mut self) -> bool {
        !std::mem::replace(&mut self.reported, true)
    }

    /// See [`Records::surpasses`].
    pub(crate) fn surpasses(&mut self, time: i64, score: f64) -> bool {
        self.records.surpasses(time, score)
    }
}

impl Records {
    /// Takes a score in and says whether an alarm may begin with it. It has to be higher than each
    /// of the day before, and clearly higher than each of the last half day.
    pub(crate) fn surpasses(&mut self, time: i64, score: f64) -> bool {
        let before = |slots: usize| time - slots as i64 * PERIOD;
        while self.0.front().is_some_and(|(time, _)| *time < before(RECORD)) {
            self.0.pop_front();
        }
        let higher = self.0.front().is_none_or(|(_, highest)| score > *highest);
        let recent = self.0.iter().find(|(time, _)| *time >= before(EPISODE));
        let clearly = recent.is_none_or(|(_, highest)| score > WORSE * highest);
        while self.0.back().is_some_and(|(_, lower)| *lower <= score) {
            self.0.pop_back();
        }
        self.0.push_back((time, score));
        higher && clearly
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn remembered(points: &[(i64, f64)], slots: usize) -> Memory {
        let mut memory = Memory::default();
        points.iter().for_each(|&(slot, value)| {
            memory.remember(Datapoint { time: slot * PERIOD, value }, slots)
        });
        memory
    }

    fn days(memory: &Memory, channel: usize) -> (Vec<f64>, f64) {
        let today = memory.today.largest.map_or(0.0, |largest| largest[channel]);
        (memory.largest(channel).collect(), today)
    }

    #[test]
    fn the_largest_errors_of_two_weeks_are_kept() {
        let mut memory = Memory::default();
        assert_eq!(days(&memory, 0), (vec![], 0.0));
        for day in 0..20 {
            for (hour, error) in [(1, 1.0), (2, day as f64), (3, 0.5)] {
                memory.begin_day(day * DAY_SECONDS + hour * 3600);
                let mut errors = [None; CHANNELS];
                (errors[0], errors[2]) = (Some(error), Some(10.0 * error));
                memory.usual_from_now_on(&errors);
            }
        }
        let expected: Vec<f64> = (5..19).map(f64::from).collect();
        assert_eq!(days(&memory, 0), (expected.clone(), 19.0));
        assert_eq!(days(&memory, 2), (expected.iter().map(|error| 10.0 * error).collect(), 190.0));
        assert_eq!(days(&memory, 1), (vec![0.0; 14], 0.0), "an unknown error is not unusual");
        assert_eq!((memory.known_days(), Memory::default().known_days()), (14, 0));
    }

    #[test]
    fn a_day_on_which_nothing_was_scored_leaves_nothing() {
        let mut memory = Memory::default();
        memory.begin_day(0);
        memory.usual_from_now_on(&[Some(3.0); CHANNELS]);
        memory.begin_day(DAY_SECONDS);
        assert_eq!(days(&memory, 0), (vec![3.0], 0.0));
        memory.begin_day(14 * DAY_SECONDS);
        assert_eq!(days(&memory, 0), (vec![3.0], 0.0));
        memory.begin_day(15 * DAY_SECONDS);
        assert_eq!(days(&memory, 0), (vec![], 0.0), "and is two weeks old as soon as any other");
    }

    #[test]
    fn a_score_surpasses_a_day_and_clearly_half_a_day() {
        let mut memory = Memory::default();
        let mut surpasses = |slot: usize, score| memory.surpasses(slot as i64 * PERIOD, score);
        assert!(surpasses(0, 2.0), "the first one");
        assert!(!surpasses(1, 2.0), "as high is not higher");
        assert!(!surpasses(2, 2.05), "a little higher is the same");
        assert!(surpasses(3, 3.0));
        assert!(!surpasses(3 + EPISODE, 3.1), "half a day ago is within half a day");
        assert!(surpasses(4 + 2 * EPISODE, 3.3));
        assert!(!surpasses(5 + 3 * EPISODE, 3.2), "a day ago is within a day");
        assert!(surpasses(6 + 5 * EPISODE, 3.0), "it is too long ago");
    }

    #[test]
    fn no_more_than_a_window_is_remembered() {
        let memory = remembered(&(0..50).map(|slot| (slot, slot as f64)).collect::<Vec<_>>(), 8);
        let recent: Vec<f64> =
            memory.recent.iter().flat_map(Series::datapoints).map(|point| point.value).collect();
        assert_eq!(recent, [42.0, 43.0, 44.0, 45.0, 46.0, 47.0, 48.0, 49.0]);
        assert_eq!(memory.end(), Some(50 * PERIOD));

        let slots = |memory: &Memory| memory.recent.as_ref().map_or(0, Series::len);
        let after_a_gap = remembered(&[(0, 1.0), (1, 1.0), (6, 1.0)], 8);
        assert_eq!((slots(&after_a_gap), after_a_gap.end()), (7, Some(7 * PERIOD)));
        for gap in [6, 7, 8, 9, 1_000_000] {
            let after_a_gap = remembered(&[(0, 1.0), (1, 1.0), (gap + 2, 1.0)], 8);
            assert!(slots(&after_a_gap) <= 8, "{gap}");
            assert_eq!(after_a_gap.end(), Some((gap + 3) * PERIOD), "{gap}");
        }
        assert_eq!(Memory::default().end(), None);
    }

    #[test]
    fn a_run_counts_equal_datapoints_over_gaps_and_beyond_what_is_remembered() {
        let run = |points: &[(i64, f64)]| remembered(points, 4).run;
        assert_eq!(run(&[]), 0);
        assert_eq!(run(&[(0, 1.0)]), 1);
        assert_eq!(run(&[(0, 1.0), (1, 2.0), (2, 2.0), (9, 2.0)]), 3);
        assert_eq!(run(&[(0, 2.0), (1, 2.0), (2, 2.1)]), 1);
        assert_eq!(run(&(0..30).map(|slot| (slot, 5.0)).collect::<Vec<_>>()), 30);
    }

    #[test]
    fn what_is_passed_over_is_a_gap() {
        let mut passed = remembered(&[(0, 1.0), (1, 2.0)], 8);
        passed.pass_over(4 * PERIOD, 8);
        assert_eq!((passed.end(), passed.run), (Some(5 * PERIOD), 1));
        passed.remember(Datapoint { time: 5 * PERIOD, value: 2.0 }, 8);
        let mut gap = remembered(&[(0, 1.0), (1, 2.0), (5, 2.0)], 8);
        assert_eq!(passed, gap, "whether it was passed over or missing");
        for memory in [&mut passed, &mut gap] {
            memory.pass_over(100 * PERIOD, 8);
            assert_eq!(memory.end(), Some(101 * PERIOD));
            assert_eq!(memory.recent.as_ref().and_then(Series::newest), None);
        }
        let mut nothing = Memory::default();
        nothing.pass_over(PERIOD, 8);
        assert_eq!(nothing, Memory::default());
    }

    #[test]
    fn a_run_is_reported_once() {
        let mut memory = remembered(&[(0, 1.0), (1, 1.0)], 4);
        assert!(memory.reports_run() && !memory.reports_run());
        memory.remember(Datapoint { time: 2 * PERIOD, value: 1.0 }, 4);
        assert!(!memory.reports_run(), "the same run");
        memory.remember(Datapoint { time: 3 * PERIOD, value: 2.0 }, 4);
        assert!(memory.reports_run(), "another one");
    }

    proptest! {
        #[test]
        fn surpassing_is_what_it_says(
            steps in prop::collection::vec((1usize..40, 0u8..6), 1..120),
        ) {
            let mut memory = Memory::default();
            let mut before: Vec<(usize, u8)> = Vec::new();
            let mut slot = 0;
            for (step, score) in steps {
                slot += step;
                let expected = before.iter().all(|(earlier, other)| {
                    let (age, worse) = (slot - earlier, WORSE * f64::from(*other));
                    let clearly = age > EPISODE || f64::from(score) > worse;
                    age > RECORD || (score > *other && clearly)
                });
                prop_assert_eq!(memory.surpasses(slot as i64 * PERIOD, f64::from(score)), expected);
                before.push((slot, score));
            }
            prop_assert!(memory.records.0.len() <= 6, "as many as there are different scores");
        }

        #[test]
        fn it_comes_back_from_json_as_it_was(
            points in prop::collection::vec((1i64..30, -1e3f64..1e3), 0..60),
        ) {
            let mut memory = Memory::default();
            let mut slot = 0;
            for (step, value) in points {
                slot += step;
                let time = slot * PERIOD;
                memory.remember(Datapoint { time, value }, 12);
                memory.begin_day(time);
                let mut errors = [None; CHANNELS];
                (errors[0], errors[2]) = (Some(value.abs()), Some(value.abs() / 3.0));
                memory.usual_from_now_on(&errors);
                memory.surpasses(time, value.abs() / 7.0);
            }
            let json = serde_json::to_string(&memory).expect("JSON");
            let read: Memory = serde_json::from_str(&json).expect("a memory");
            prop_assert_eq!(read, memory);
        }
    }
}
