//! The values of an instance at each hour of the day, and whether it reported at all.

use serde::{Deserialize, Serialize};

use super::HISTORY_DAYS;
use super::off::DaysOff;
use crate::series::{DAY_SECONDS, PERIOD, Series};

/// Hours of a day.
const HOURS: usize = 24;
/// Seconds in an hour.
const HOUR: i64 = 3600;
/// Slots in an hour.
const SLOTS: usize = (HOUR / PERIOD) as usize;
/// Days of history to look at.
const DAYS: i64 = HISTORY_DAYS as i64;
/// Without the same weekday to go by, an instance reports at an hour if it did on this part of the
/// days, ...
const MOST_DAYS: f64 = 0.75;
/// ... of at least this many.
const LEAST_DAYS: usize = 3;

/// The hours of the two weeks before a day, by hour of the day (UTC, as the clock of the day is).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hours {
    /// Lowest and highest value of each hour, in percent; `None` for an hour without values.
    ranges: [Option<Range>; HOURS],
    /// A bit for each hour: whether the instance should report then, on the day of this baseline.
    reports: u32,
}

/// The lowest and the highest of some values, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Lowest.
    pub low: f32,
    /// Highest.
    pub high: f32,
}

impl Range {
    fn with(self, value: f64) -> Self {
        let value = value as f32;
        Self { low: self.low.min(value), high: self.high.max(value) }
    }

    fn over(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }
}

impl Hours {
    /// Of the 14 days of `history` before `at` (midnight UTC, seconds since 1970).
    pub(super) fn of(history: &Series, at: i64, off: &DaysOff<'_>) -> Self {
        let mut ranges = [None; HOURS];
        for point in history.between(at - DAYS * DAY_SECONDS, at) {
            let range = &mut ranges[hour(point.time)];
            let value = point.value as f32;
            *range = Some(range.unwrap_or(Range { low: value, high: value }).with(point.value));
        }
        let should = |hour: usize| {
            // Whether the instance reported in this hour, `days` days ago; `None` where that is
            // unknown.
            let start = |days: i64| at - days * DAY_SECONDS + hour as i64 * HOUR;
            let reported = |days: i64| {
                let start = start(days);
                let present = || history.between(start, start + HOUR).count();
                (start >= history.start()).then(|| 2 * present() >= SLOTS)
            };
            let is_holiday = |days: i64| off.is_holiday(start(days));
            let known: Vec<bool> =
                (1..=DAYS).filter(|days| !is_holiday(*days)).filter_map(reported).collect();
            let often = known.iter().filter(|reported| **reported).count() as f64
                >= MOST_DAYS * known.len() as f64;
            // A holiday is like the days off before it, another day like the same of the week.
            let like = |days: &i64| match is_holiday(0) {
                true => off.is_off(start(*days)),
                false => days % 7 == 0 && !is_holiday(*days),
            };
            let mut alike = (1..=DAYS).filter(like).filter_map(reported);
            let whole = reported(DAYS).is_some();
            match (alike.next(), alike.next()) {
                (Some(last), Some(before)) => last && before,
                (Some(last), None) => last && (often || whole),
                _ => known.len() >= LEAST_DAYS && often,
            }
        };
        let reports =
            (0..HOURS).filter(|&hour| should(hour)).fold(0, |reports, hour| reports | 1 << hour);
        Self { ranges, reports }
    }

    /// Lowest and highest value at the hour of `time` (seconds since 1970).
    pub fn at(&self, time: i64) -> Option<Range> {
        self.ranges[hour(time)]
    }

    /// Lowest and highest value of all.
    pub fn all(&self) -> Option<Range> {
        self.ranges.iter().flatten().copied().reduce(Range::over)
    }

    /// Whether the instance should report in the hour of `time` (seconds since 1970), on the day of
    /// this baseline. It should if it did on the last two of the same weekday, or, with less
    /// history, on most days. An instance that is switched off on a schedule should not.
    pub fn reports(&self, time: i64) -> bool {
        self.reports & 1 << hour(time) != 0
    }
}

/// The hour of the day, UTC.
fn hour(time: i64) -> usize {
    (time.rem_euclid(DAY_SECONDS) / HOUR) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::holidays::Holidays;
    use crate::series::Datapoint;
    use crate::zone::Clocks;

    const AT: i64 = 100 * DAY_SECONDS;

    /// `days` days before [`AT`] of an instance that reports where `on` says so (days before `AT`,
    /// hour).
    fn hours(days: i64, on: impl Fn(i64, i64) -> bool) -> Hours {
        let slots = (AT - days * DAY_SECONDS..AT).step_by(PERIOD as usize);
        let points = slots.filter(|time| on((AT - 1 - time) / DAY_SECONDS + 1, hour(*time) as i64));
        let points = points
            .map(|time| Datapoint { time, value: hour(time) as f64 + (time % 7) as f64 / 10.0 });
        let none = Holidays::default();
        let off = DaysOff::new(&none, &Clocks::Unknown, AT);
        Hours::of(&Series::from_datapoints(points).expect("usable").0, AT, &off)
    }

    fn reporting(hours: &Hours) -> Vec<usize> {
        (0..HOURS).filter(|&hour| hours.reports(AT + hour as i64 * HOUR)).collect()
    }

    #[test]
    fn an_hour_has_the_range_of_its_values() {
        let hours = hours(14, |_, hour| hour != 3);
        assert_eq!(hours.at(AT + 5 * HOUR + 1), Some(Range { low: 5.0, high: 5.6 }));
        assert_eq!(hours.at(AT + 3 * HOUR), None);
        assert_eq!(hours.all(), Some(Range { low: 0.0, high: 23.6 }));
    }

    #[test]
    fn what_is_off_on_a_schedule_should_not_report() {
        let office: Vec<usize> = (7..19).collect();
        let at_work = |hour| (7..19).contains(&hour);
        assert_eq!(reporting(&hours(14, |_, hour| at_work(hour))), office, "off at night");
        // Off on two days of the week, one of which is today's.
        assert_eq!(
            reporting(&hours(14, |day, hour| at_work(hour) && !matches!(day % 7, 0 | 6))),
            [0usize; 0]
        );
        // Only on today's weekday: a job of the week.
        assert_eq!(reporting(&hours(14, |day, hour| at_work(hour) && day % 7 == 0)), office);
    }

    #[test]
    fn with_little_history_most_days_decide() {
        let whole: Vec<usize> = (0..HOURS).collect();
        assert_eq!(reporting(&hours(2, |_, _| true)), [0usize; 0]);
        assert_eq!(reporting(&hours(3, |_, _| true)), whole);
        assert_eq!(reporting(&hours(5, |day, _| day != 2)), whole);
        assert_eq!(reporting(&hours(5, |day, _| !matches!(day, 2 | 3))), [0usize; 0]);
        assert_eq!(reporting(&hours(9, |day, _| day != 7)), [0usize; 0], "last week it did not");
    }
}
