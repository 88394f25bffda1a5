//! The usual CPU at an hour: centre and spread by time of day and by time of the week.

use serde::{Deserialize, Serialize};

use super::HISTORY;
use super::level::{Level, quantile};
use crate::compress::{compress, expand};
use crate::series::{DAY, PERIOD, Series, WEEK};

/// Neighbouring slots on each side that count as the same time: jobs do not start on the second.
const NEIGHBOURS: usize = 2;
/// The minimum number of cycles for a profile.
const MIN_CYCLES: usize = 2;

/// Centre and spread for each slot of a cycle (a day or a week), in the network's unit and
/// precision.
///
/// So the network sees them as they are, and an instance's are small enough to keep ten thousand in
/// memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Slots in a cycle; all of them where it is [laid out](Self::laid_out).
    cycle: usize,
    /// The number of the first stored slot, counted from 1970.
    first: i64,
    /// Median of each slot: see [`Level::scaled`].
    centres: Vec<f32>,
    /// `ln(spread / scale + 0.05)` of each slot. The spread is half the compressed distance between
    /// the quantiles at 16 % and 84 %: one sigma for a normal distribution. Empty where it is not
    /// needed.
    spreads: Vec<f32>,
    /// How far the profile can be trusted, from 0 (not at all) to 1 (a week of days, a month of
    /// weeks).
    pub confidence: f64,
}

impl Profile {
    /// The profile by time of day, over the last 14 days before slot `end`.
    /// Under two days it is flat, with no confidence.
    pub fn daily(history: &Series, end: usize, level: &Level) -> Self {
        let cycles = cycles(history, end, DAY);
        if cycles < MIN_CYCLES {
            return Self {
                cycle: DAY,
                first: 0,
                centres: vec![0.0; DAY],
                spreads: vec![relative(level.scale, level); DAY],
                confidence: 0.0,
            };
        }
        Self::of(history, end, level, DAY, None).trusted(cycles, 7)
    }

    /// The profile by time of the week, over the two weeks before slot `end`; `None` under that. It
    /// has no spreads: two values do not have one.
    pub fn weekly(history: &Series, end: usize, level: &Level) -> Option<Self> {
        let cycles = cycles(history, end, WEEK);
        let weekly = || Self::of(history, end, level, WEEK, None).trusted(cycles, 4);
        (cycles >= MIN_CYCLES).then(|| Self { spreads: Vec::new(), ..weekly() })
    }

    /// The same of the `working` days of `history`. Where a time of the week was a holiday in each
    /// week, it is as on the other days, whose profile is `daily`.
    pub(super) fn weekly_of(
        working: &Series,
        history: &Series,
        daily: &Self,
        level: &Level,
    ) -> Option<Self> {
        let cycles = cycles(history, history.len(), WEEK);
        let weekly = || Self::of(working, working.len(), level, WEEK, Some(daily));
        (cycles >= MIN_CYCLES).then(|| Self { spreads: Vec::new(), ..weekly().trusted(cycles, 4) })
    }

    /// The profile by time of day of the days `off` alone, the only ones that have values; one is
    /// enough.
    pub(super) fn of_days_off(off: &Series, level: &Level) -> Self {
        Self::of(off, off.len(), level, DAY, None)
    }

    /// The centres and spreads of the slots of a cycle, over the 14 days before slot `end`. A slot
    /// without values is as in `otherwise`, or has the level.
    fn of(
        history: &Series,
        end: usize,
        level: &Level,
        cycle: usize,
        otherwise: Option<&Self>,
    ) -> Self {
        let most = HISTORY / cycle;
        let mut centres = Vec::with_capacity(cycle);
        let mut spreads = Vec::with_capacity(cycle);
        let mut values = Vec::with_capacity(most * (2 * NEIGHBOURS + 1));
        for ahead in 0..cycle {
            values.clear();
            for back in 1..=most {
                // The slot `ahead` of `end`, `back` cycles ago, and its neighbours that lie before
                // `end`.
                for shifted in 0..=2 * NEIGHBOURS {
                    let distance = (back * cycle + NEIGHBOURS)
                        .checked_sub(ahead + shifted)
                        .filter(|&distance| distance > 0);
                    values.extend(distance.and_then(|distance| history.before(end, distance)));
                }
            }
            values.sort_unstable_by(f64::total_cmp);
            let usual = (quantile(&values, 0.5), quantile(&values, 0.16), quantile(&values, 0.84));
            let (centre, spread) = match (usual, otherwise) {
                ((Some(centre), Some(low), Some(high)), _) => {
                    let spread = (compress(high) - compress(low)) / 2.0;
                    (level.scaled(centre) as f32, relative(spread, level))
                }
                (_, Some(otherwise)) => {
                    let time = history.time_of(end + ahead);
                    (otherwise.centre(time), otherwise.spread(time))
                }
                _ => (level.scaled(expand(level.centre)) as f32, relative(level.scale, level)),
            };
            centres.push(centre);
            spreads.push(spread);
        }
        let first = history.time_of(end).div_euclid(PERIOD);
        Self { cycle, first, centres, spreads, confidence: 0.0 }
    }

    /// With the confidence of this number of cycles, of which `full` give the full one.
    fn trusted(self, cycles: usize, full: usize) -> Self {
        Self { confidence: cycles.min(full) as f64 / full as f64, ..self }
    }

    /// The profile cut to the slots between `start` and `end` (seconds since 1970): all that a day
    /// needs of a week.
    pub(crate) fn between(&self, start: i64, end: i64) -> Self {
        let slots = (end - start).clamp(0, self.cycle as i64 * PERIOD);
        Self { cycle: self.cycle, ..self.laid_out(start, start + slots, |time| time) }
    }

    /// The profile by time, from `start` to `end` (seconds since 1970): at each slot what the
    /// profile has at the time that `shown` gives for it. Around a change of clocks, a profile is
    /// no cycle.
    pub(crate) fn laid_out(&self, start: i64, end: i64, shown: impl Fn(i64) -> i64) -> Self {
        self.laid_out_of(start, end, |time| (self, shown(time)))
    }

    /// The same, of the profile that `at` gives with the time, where all have the spreads that this
    /// one has.
    pub(crate) fn laid_out_of<'a>(
        &self,
        start: i64,
        end: i64,
        at: impl Fn(i64) -> (&'a Self, i64),
    ) -> Self {
        let first = start.div_euclid(PERIOD);
        let slots = end.div_euclid(PERIOD) - first;
        let places = || (0..slots).map(|slot| at((first + slot) * PERIOD));
        let spreads = if self.spreads.is_empty() {
            Vec::new()
        } else {
            places().map(|(profile, time)| profile.spread(time)).collect()
        };
        let centres: Vec<f32> = places().map(|(profile, time)| profile.centre(time)).collect();
        Self { cycle: centres.len(), first, centres, spreads, confidence: self.confidence }
    }

    /// Whether it repeats from day to day or week to week: see [`Self::laid_out`].
    pub(crate) fn is_cycle(&self) -> bool {
        self.cycle == DAY || self.cycle == WEEK
    }

    /// The centre at `time` (seconds since 1970), in the network's unit; the median where that slot
    /// is not stored.
    pub fn centre(&self, time: i64) -> f32 {
        self.centres.get(self.index(time)).copied().unwrap_or_default()
    }

    /// `ln(spread / scale + 0.05)` at `time` (seconds since 1970); 0 where that slot is not stored.
    pub fn spread(&self, time: i64) -> f32 {
        self.spreads.get(self.index(time)).copied().unwrap_or_default()
    }

    fn index(&self, time: i64) -> usize {
        (time.div_euclid(PERIOD) - self.first).rem_euclid(self.cycle.max(1) as i64) as usize
    }
}

/// Cycles in the 14 days before slot `end`. One of which a tenth is missing is still a cycle.
fn cycles(history: &Series, end: usize, cycle: usize) -> usize {
    (history.present(end.saturating_sub(HISTORY)..end).count() + cycle / 10) / cycle
}

/// A spread as the network sees it.
fn relative(spread: f64, level: &Level) -> f32 {
    (spread / level.scale + 0.05).ln() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{DAY_SECONDS, Datapoint};

    /// `slots` slots from `start` on whose value is the number of their slot in the cycle.
    fn cyclic(start: i64, slots: usize, cycle: usize) -> (Series, Level) {
        let value = |time: i64| ((time / PERIOD) % cycle as i64) as f64;
        let points = (0..slots as i64)
            .map(|i| start + i * PERIOD)
            .map(|time| Datapoint { time, value: value(time) });
        let series = Series::from_datapoints(points).expect("usable").0;
        let level = Level::of(series.present(0..slots).collect()).expect("values");
        (series, level)
    }

    #[test]
    fn knows_the_hour_wherever_history_begins_and_ends() {
        for (start, slots) in
            [(0, 5 * DAY), (7 * 3600, 3 * DAY + 17), (DAY_SECONDS - PERIOD, 14 * DAY)]
        {
            let (series, level) = cyclic(start, slots, DAY);
            let profile = Profile::daily(&series, series.len(), &level);
            for slot in NEIGHBOURS..DAY - NEIGHBOURS {
                let centre =
                    level.unscaled(profile.centre(40 * DAY_SECONDS + slot as i64 * PERIOD).into());
                assert!((centre - slot as f64).abs() < 1e-4, "slot {slot} from {start}: {centre}");
            }
            assert_eq!(profile.confidence, (slots / DAY).min(7) as f64 / 7.0);
        }
    }

    #[test]
    fn is_flat_under_two_days() {
        let (series, level) = cyclic(0, 2 * DAY - DAY / 9, DAY);
        let profile = Profile::daily(&series, series.len(), &level);
        assert_eq!(profile.confidence, 0.0);
        assert_eq!((profile.centre(12345), profile.spread(12345)), (0.0, 1.05f64.ln() as f32));
    }

    #[test]
    fn knows_the_weekday_from_two_weeks_on() {
        let (series, level) = cyclic(3 * DAY_SECONDS, 2 * WEEK - WEEK / 9, WEEK);
        assert_eq!(Profile::weekly(&series, series.len(), &level), None);
        let (series, level) = cyclic(3 * DAY_SECONDS, 2 * WEEK, WEEK);
        let profile = Profile::weekly(&series, series.len(), &level).expect("two weeks");
        let time = 100 * 7 * DAY_SECONDS + 1000 * PERIOD;
        assert!((level.unscaled(profile.centre(time).into()) - 1000.0).abs() < 1e-3);
        assert_eq!((profile.confidence, profile.spread(time)), (0.5, 0.0));
    }

    #[test]
    fn a_part_of_a_profile_says_the_same_of_what_it_keeps() {
        let (series, level) = cyclic(3 * DAY_SECONDS, 2 * WEEK, WEEK);
        let weekly = Profile::weekly(&series, series.len(), &level).expect("two weeks");
        let daily = Profile::daily(&series, series.len(), &level);
        let kept = series.end() - 90 * PERIOD..series.end() + DAY_SECONDS;
        for whole in [weekly, daily] {
            let part = whole.between(kept.start, kept.end);
            for time in kept.clone().step_by(PERIOD as usize) {
                assert_eq!(
                    (part.centre(time), part.spread(time)),
                    (whole.centre(time), whole.spread(time))
                );
            }
            assert_eq!(part.confidence, whole.confidence);
        }
    }

    #[test]
    fn laid_out_it_says_at_each_time_what_the_clock_shows() {
        let (series, level) = cyclic(0, 6 * DAY, DAY);
        let daily = Profile::daily(&series, series.len(), &level);
        let change = series.end() + 3600;
        let shown = |time: i64| if time < change { time } else { time + 3600 };
        let (start, end) = (series.end() - 2 * DAY_SECONDS, series.end() + DAY_SECONDS);
        let by_time = daily.laid_out(start, end, shown);
        assert!(daily.is_cycle() && !by_time.is_cycle());
        for time in (start..end).step_by(PERIOD as usize) {
            assert_eq!(by_time.centre(time), daily.centre(shown(time)));
            assert_eq!(by_time.spread(time), daily.spread(shown(time)));
        }
    }

    #[test]
    fn gaps_fall_back_to_the_level() {
        let (series, level) = cyclic(0, 6 * DAY, DAY);
        let kept = series.datapoints().filter(|point| (point.time / PERIOD) % DAY as i64 >= 20);
        let (series, _) = Series::from_datapoints(kept).expect("usable");
        let profile = Profile::daily(&series, series.len(), &level);
        assert_eq!(profile.centre(10 * PERIOD), 0.0);
        assert_eq!(profile.centre(100 * PERIOD), level.scaled(100.0) as f32);
    }
}
