//! What is usual at this hour: centre and spread by time of day and by time of the week.

use serde::{Deserialize, Serialize};

use super::HISTORY;
use super::level::{Level, quantile};
use crate::series::{DAY, PERIOD, Series, WEEK};

/// Neighbouring slots on each side that count as the same time: jobs do not start on the second.
const NEIGHBOURS: usize = 2;
/// Slots by which a datapoint may be early or late.
const LENIENCE: i64 = 3;
/// Cycles without which there is no profile.
const MIN_CYCLES: usize = 2;

/// Centre and spread, in percent, for each slot of a cycle (a day or a week).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    slots: Vec<Slot>,
    /// How far the profile can be trusted, from 0 (not at all) to 1 (a week of days, a month of weeks).
    pub confidence: f64,
}

/// What is usual in one slot of a cycle, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    /// Median.
    pub centre: f64,
    /// Half the distance between the quantiles at 16 % and 84 %: one sigma, were it normal.
    pub spread: f64,
}

impl Profile {
    /// The profile by time of day, over the last 14 days before slot `end`.
    /// Under two days it is flat, with no confidence.
    pub fn daily(history: &Series, end: usize, level: &Level) -> Self {
        Self::of(history, end, level, DAY, 7).unwrap_or_else(|| Self {
            slots: vec![Slot { centre: level.median, spread: level.scale }; DAY],
            confidence: 0.0,
        })
    }

    /// The profile by time of the week, over the two weeks before slot `end`; `None` under that.
    pub fn weekly(history: &Series, end: usize, level: &Level) -> Option<Self> {
        Self::of(history, end, level, WEEK, 4)
    }

    /// `trusted`: the number of cycles that give full confidence.
    fn of(history: &Series, end: usize, level: &Level, cycle: usize, trusted: usize) -> Option<Self> {
        let most = HISTORY / cycle;
        // A cycle of which a tenth is missing is still a cycle.
        let cycles = (history.present(end.saturating_sub(HISTORY)..end).count() + cycle / 10) / cycle;
        if cycles < MIN_CYCLES {
            return None;
        }
        // Slot 0 of the profile is the slot of the cycle that begins at 1970-01-01T00:00Z.
        let offset = history.time_of(end).div_euclid(PERIOD).rem_euclid(cycle as i64) as usize;
        let mut slots = vec![Slot { centre: level.median, spread: level.scale }; cycle];
        let mut values = Vec::with_capacity(most * (2 * NEIGHBOURS + 1));
        for ahead in 0..cycle {
            values.clear();
            for back in 1..=most {
                // The slot `ahead` of `end`, `back` cycles ago, and its neighbours that lie before `end`.
                for shifted in 0..=2 * NEIGHBOURS {
                    let distance =
                        (back * cycle + NEIGHBOURS).checked_sub(ahead + shifted).filter(|&distance| distance > 0);
                    values.extend(distance.and_then(|distance| history.before(end, distance)));
                }
            }
            values.sort_unstable_by(f64::total_cmp);
            if let (Some(centre), Some(low), Some(high)) =
                (quantile(&values, 0.5), quantile(&values, 0.16), quantile(&values, 0.84))
            {
                slots[(offset + ahead) % cycle] = Slot { centre, spread: (high - low) / 2.0 };
            }
        }
        Some(Self { slots, confidence: cycles.min(trusted) as f64 / trusted as f64 })
    }

    /// The centre nearest to `value` (percent) within a quarter of an hour of `time`: a job that starts ten minutes early is
    /// the same job.
    pub fn nearest(&self, time: i64, value: f64) -> f64 {
        let centres = (-LENIENCE..=LENIENCE).map(|slots| self.at(time + slots * PERIOD).centre);
        centres.fold(
            self.at(time).centre,
            |best, centre| {
                if (value - centre).abs() < (value - best).abs() { centre } else { best }
            },
        )
    }

    /// What is usual at `time` (seconds since 1970).
    pub fn at(&self, time: i64) -> Slot {
        self.slots[time.div_euclid(PERIOD).rem_euclid(self.slots.len() as i64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{DAY_SECONDS, Datapoint};

    /// `slots` slots from `start` on whose value is the number of their slot in the cycle.
    fn cyclic(start: i64, slots: usize, cycle: usize) -> (Series, Level) {
        let value = |time: i64| ((time / PERIOD) % cycle as i64) as f64;
        let points = (0..slots as i64).map(|i| start + i * PERIOD).map(|time| Datapoint { time, value: value(time) });
        let series = Series::from_datapoints(points).expect("usable").0;
        let level = Level::of(series.present(0..slots).collect()).expect("values");
        (series, level)
    }

    #[test]
    fn knows_the_hour_wherever_history_begins_and_ends() {
        for (start, slots) in [(0, 5 * DAY), (7 * 3600, 3 * DAY + 17), (DAY_SECONDS - PERIOD, 14 * DAY)] {
            let (series, level) = cyclic(start, slots, DAY);
            let profile = Profile::daily(&series, series.len(), &level);
            for slot in NEIGHBOURS..DAY - NEIGHBOURS {
                assert_eq!(
                    profile.at(40 * DAY_SECONDS + slot as i64 * PERIOD).centre,
                    slot as f64,
                    "slot {slot} from {start}"
                );
            }
            assert_eq!(profile.confidence, (slots / DAY).min(7) as f64 / 7.0);
        }
    }

    #[test]
    fn is_flat_under_two_days() {
        let (series, level) = cyclic(0, 2 * DAY - DAY / 9, DAY);
        let profile = Profile::daily(&series, series.len(), &level);
        assert_eq!(profile.confidence, 0.0);
        assert_eq!(profile.at(12345), Slot { centre: level.median, spread: level.scale });
    }

    #[test]
    fn knows_the_weekday_from_two_weeks_on() {
        let (series, level) = cyclic(3 * DAY_SECONDS, 2 * WEEK - WEEK / 9, WEEK);
        assert_eq!(Profile::weekly(&series, series.len(), &level), None);
        let (series, level) = cyclic(3 * DAY_SECONDS, 2 * WEEK, WEEK);
        let profile = Profile::weekly(&series, series.len(), &level).expect("two weeks");
        assert_eq!(profile.at(100 * 7 * DAY_SECONDS + 1000 * PERIOD).centre, 1000.0);
        assert_eq!(profile.confidence, 0.5);
    }

    #[test]
    fn a_quarter_of_an_hour_early_or_late_is_on_time() {
        let (series, level) = cyclic(0, 6 * DAY, DAY);
        let profile = Profile::daily(&series, series.len(), &level);
        let nearest = |value| profile.nearest(100 * PERIOD, value);
        assert_eq!([nearest(100.2), nearest(102.2), nearest(98.0)], [100.0, 102.0, 98.0]);
        assert_eq!([nearest(150.0), nearest(0.0)], [103.0, 97.0]);
    }

    #[test]
    fn gaps_fall_back_to_the_level() {
        let (series, level) = cyclic(0, 6 * DAY, DAY);
        let kept = series.datapoints().filter(|point| (point.time / PERIOD) % DAY as i64 >= 20);
        let (series, _) = Series::from_datapoints(kept).expect("usable");
        let profile = Profile::daily(&series, series.len(), &level);
        assert_eq!(profile.at(10 * PERIOD).centre, level.median);
        assert_eq!(profile.at(100 * PERIOD).centre, 100.0);
    }
}
