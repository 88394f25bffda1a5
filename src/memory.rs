//! What is remembered of one instance from one datapoint to the next: small, and all that scoring needs beside a baseline.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::baseline::calibrated_at;
use crate::residual::CHANNELS;
use crate::series::{DAY, DAY_SECONDS, Datapoint, PERIOD, Series, gaps};

/// Days before this one whose largest errors are kept.
const DAYS: i64 = 14;
/// Slots over which a deviation from what is usual at the hour is averaged: six hours.
const HABIT: usize = DAY / 4;
/// Slots for which a score must stay unsurpassed to make the next higher one a new alarm: half a day.
const EPISODE: usize = DAY / 2;

/// The state of one instance's scoring. The same datapoints lead to the same state, however they were portioned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The newest slots, as many as a window spans; ends with the newest datapoint.
    pub(crate) recent: Option<Series>,
    /// How many datapoints in a row had the newest one's value.
    pub(crate) run: usize,
    /// Whether that run was reported: the length that is too long is another one on the next day.
    reported: bool,
    /// How far the newest slots were off what is usual at the hour.
    habit: Trailing<HABIT>,
    /// The largest errors of the day so far.
    today: Day,
    /// Those of the days before, each with its midnight, oldest first.
    days: VecDeque<(i64, [f64; CHANNELS])>,
    /// Times and scores that none that came after them has surpassed, oldest first.
    unsurpassed: VecDeque<(i64, f64)>,
}

/// The largest error of each channel on one day.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Day {
    /// Midnight, in seconds since 1970.
    start: i64,
    /// `None` until something was scored.
    largest: Option<[f64; CHANNELS]>,
}

/// The last few values of something that has one in each slot, or none.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Trailing<const SLOTS: usize> {
    #[serde(with = "gaps")]
    values: Vec<f64>,
}

impl<const SLOTS: usize> PartialEq for Trailing<SLOTS> {
    fn eq(&self, other: &Self) -> bool {
        let bits = |trailing: &Self| trailing.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        bits(self) == bits(other)
    }
}

impl<const SLOTS: usize> Trailing<SLOTS> {
    /// Takes the next slot's value in.
    fn push(&mut self, value: Option<f64>) {
        if self.values.len() >= SLOTS {
            self.values.drain(..=self.values.len() - SLOTS);
        }
        self.values.push(value.unwrap_or(f64::NAN));
    }

    /// The mean, where at least half of the slots have a value.
    fn mean(&self) -> Option<f64> {
        let present = || self.values.iter().filter(|value| !value.is_nan());
        let count = present().count();
        (2 * count >= SLOTS).then(|| present().sum::<f64>() / count as f64)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            recent: None,
            run: 0,
            reported: false,
            habit: Trailing::default(),
            today: Day { start: i64::MIN, largest: None },
            days: VecDeque::new(),
            unsurpassed: VecDeque::new(),
        }
    }
}

impl Memory {
    /// End of the newest slot that was taken in, in seconds since 1970: what comes next starts there or later.
    pub fn end(&self) -> Option<i64> {
        self.recent.as_ref().map(Series::end)
    }

    /// Takes in how far the newest datapoint is off what is usual at the hour, and gives the mean over six hours.
    pub(crate) fn habit(&mut self, distance: f64) -> Option<f64> {
        self.habit.push(Some(distance));
        self.habit.mean()
    }

    /// Takes a datapoint in, and keeps of what was before it as much as `slots`.
    pub(crate) fn remember(&mut self, datapoint: Datapoint, slots: usize) {
        // Slots that were passed over have no errors either.
        let missing = self.end().map_or(0, |end| (datapoint.time - end).max(0) / PERIOD);
        (0..missing.min(HABIT as i64)).for_each(|_| self.habit.push(None));
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

    /// Goes on to the end of the slot at `time` (seconds since 1970, aligned) as if nothing had been measured until then.
    pub(crate) fn pass_over(&mut self, time: i64, slots: usize) {
        let Some(end) = self.end() else { return };
        let missing = (time + PERIOD - end).max(0) / PERIOD;
        (0..missing.min(HABIT as i64)).for_each(|_| self.habit.push(None));
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

    /// The largest errors of `channel` on each of the days before, oldest first, and on this day so far.
    pub fn largest(&self, channel: usize) -> (impl Iterator<Item = f64>, f64) {
        (
            self.days.iter().map(move |(_, largest)| largest[channel]),
            self.today.largest.map_or(0.0, |largest| largest[channel]),
        )
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

    /// Whether nobody has been told yet that the value stays the same. From now on somebody has.
    pub(crate) fn reports_run(&mut self) -> bool {
        !std::mem::replace(&mut self.reported, true)
    }

    /// Takes a score in and says whether it is higher than each of the half day before.
    pub(crate) fn surpasses(&mut self, time: i64, score: f64) -> bool {
        let before = time - EPISODE as i64 * PERIOD;
        while self.unsurpassed.front().is_some_and(|(time, _)| *time < before) {
            self.unsurpassed.pop_front();
        }
        let surpasses = self.unsurpassed.front().is_none_or(|(_, highest)| score > *highest);
        while self.unsurpassed.back().is_some_and(|(_, lower)| *lower <= score) {
            self.unsurpassed.pop_back();
        }
        self.unsurpassed.push_back((time, score));
        surpasses
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn remembered(points: &[(i64, f64)], slots: usize) -> Memory {
        let mut memory = Memory::default();
        points.iter().for_each(|&(slot, value)| memory.remember(Datapoint { time: slot * PERIOD, value }, slots));
        memory
    }

    fn days(memory: &Memory, channel: usize) -> (Vec<f64>, f64) {
        let (days, today) = memory.largest(channel);
        (days.collect(), today)
    }

    #[test]
    fn the_largest_errors_of_two_weeks_are_kept() {
        let mut memory = Memory::default();
        assert_eq!(days(&memory, 0), (vec![], 0.0));
        for day in 0..20 {
            for (hour, error) in [(1, 1.0), (2, day as f64), (3, 0.5)] {
                memory.begin_day(day * DAY_SECONDS + hour * 3600);
                memory.usual_from_now_on(&[Some(error), None, Some(10.0 * error), None]);
            }
        }
        let expected: Vec<f64> = (5..19).map(f64::from).collect();
        assert_eq!(days(&memory, 0), (expected.clone(), 19.0));
        assert_eq!(days(&memory, 2), (expected.iter().map(|error| 10.0 * error).collect(), 190.0));
        assert_eq!(days(&memory, 1), (vec![0.0; 14], 0.0), "what is not known is not unusual");
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
    fn half_of_the_slots_make_a_mean() {
        let mut trailing = Trailing::<4>::default();
        let mut after = |value| {
            trailing.push(value);
            trailing.mean()
        };
        assert_eq!(after(Some(1.0)), None);
        assert_eq!(after(Some(3.0)), Some(2.0));
        assert_eq!(after(None), Some(2.0));
        assert_eq!(after(None), Some(2.0));
        assert_eq!(after(None), None, "the first has been pushed out");
        assert_eq!(after(Some(5.0)), None);
        assert_eq!(after(Some(7.0)), Some(6.0));
    }

    #[test]
    fn slots_that_were_passed_over_count_as_missing_in_the_mean() {
        let fed = |gap: i64| {
            let mut memory = Memory::default();
            for slot in (0..HABIT as i64).chain(HABIT as i64 + gap..HABIT as i64 + gap + 5) {
                memory.remember(Datapoint { time: slot * PERIOD, value: 1.0 }, 10);
                memory.habit(if slot < HABIT as i64 { 1.0 } else { 2.0 });
            }
            memory.habit.mean()
        };
        let mean = |ones: usize| Some((ones as f64 + 10.0) / (ones as f64 + 5.0));
        assert_eq!(fed(0), mean(HABIT - 5));
        assert_eq!(fed(10), mean(HABIT - 15));
        assert_eq!(fed(HABIT as i64 / 2), mean(HABIT / 2 - 5));
        assert_eq!(fed(HABIT as i64 / 2 + 1), None);
        assert_eq!(fed(100_000), None);
    }

    #[test]
    fn a_score_surpasses_half_a_day() {
        let mut memory = Memory::default();
        let mut surpasses = |slot: usize, score| memory.surpasses(slot as i64 * PERIOD, score);
        assert!(surpasses(0, 2.0), "the first one");
        assert!(!surpasses(1, 2.0), "as high is not higher");
        assert!(!surpasses(2, 1.0));
        assert!(surpasses(3, 3.0));
        assert!(!surpasses(3 + EPISODE, 2.9), "half a day ago is within half a day");
        assert!(!surpasses(4 + EPISODE, 2.8));
        assert!(surpasses(5 + EPISODE, 2.95));
    }

    #[test]
    fn no_more_than_a_window_is_remembered() {
        let memory = remembered(&(0..50).map(|slot| (slot, slot as f64)).collect::<Vec<_>>(), 8);
        let recent: Vec<f64> = memory.recent.iter().flat_map(Series::datapoints).map(|point| point.value).collect();
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
        fn surpassing_is_what_it_says(steps in prop::collection::vec((1usize..40, 0u8..6), 1..120)) {
            let mut memory = Memory::default();
            let mut before: Vec<(usize, u8)> = Vec::new();
            let mut slot = 0;
            for (step, score) in steps {
                slot += step;
                let expected = before.iter().all(|(earlier, other)| slot - earlier > EPISODE || score > *other);
                prop_assert_eq!(memory.surpasses(slot as i64 * PERIOD, f64::from(score)), expected);
                before.push((slot, score));
            }
            prop_assert!(memory.unsurpassed.len() <= 6, "as many as there are different scores");
        }

        #[test]
        fn it_comes_back_from_json_as_it_was(points in prop::collection::vec((1i64..30, -1e3f64..1e3), 0..60)) {
            let mut memory = Memory::default();
            let mut slot = 0;
            for (step, value) in points {
                slot += step;
                let time = slot * PERIOD;
                memory.remember(Datapoint { time, value }, 12);
                memory.begin_day(time);
                memory.habit(value.abs());
                memory.usual_from_now_on(&[Some(value.abs()), None, Some(value.abs() / 3.0), None]);
                memory.surpasses(time, value.abs() / 7.0);
            }
            let json = serde_json::to_string(&memory).expect("JSON");
            prop_assert_eq!(serde_json::from_str::<Memory>(&json).expect("what was written"), memory);
        }
    }
}
