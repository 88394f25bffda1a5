//! The days of a repetition.

use std::collections::BTreeSet;

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};

/// Days, counted from a first one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Days {
    /// Every `interval` days, if it is one of these days of the week; an empty set allows any day.
    Daily { interval: i32, weekdays: BTreeSet<i8> },
    /// On these days of the week in every `interval`-th week; weeks begin on `starts`.
    Weekly { interval: i32, weekdays: BTreeSet<i8>, starts: Weekday },
    /// On these days of every `interval`-th month. A day of the month counts from the end where it
    /// is negative. A weekday has its place in the month, 0 for all. Where both are given, both
    /// must hold.
    Monthly { interval: i32, days: BTreeSet<i8>, weekdays: BTreeSet<(i8, i8)> },
    /// On these days of the months of every `interval`-th year. A weekday has its place in the
    /// month where `of_month` is set, otherwise in the year.
    Yearly { interval: i32, days: BTreeSet<i8>, weekdays: BTreeSet<(i8, i8)>, of_month: bool },
}

/// What is left of the days of a rule; an empty set leaves them all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Limits {
    /// Those in these months.
    pub(super) months: BTreeSet<i8>,
    /// Those at these places among the days of their week, month or year, counted from its end
    /// where negative.
    pub(super) places: BTreeSet<i16>,
}

/// The days from `start` to `end`.
pub(super) fn each(start: Date, end: Date) -> impl Iterator<Item = Date> {
    std::iter::successors(Some(start), |date| date.tomorrow().ok())
        .take_while(move |&date| date <= end)
}

/// The days of a rule within its limits. Asked in the order of time, it finds the places of each
/// period once.
#[derive(Debug)]
pub(super) struct Chosen<'a> {
    days: &'a Days,
    limits: &'a Limits,
    first: Date,
    /// The begin of the period asked for last, and the days at the places in it.
    period: Option<(Date, BTreeSet<Date>)>,
}

impl<'a> Chosen<'a> {
    /// The days after `first`, which always is one of them.
    pub(super) fn new(days: &'a Days, limits: &'a Limits, first: Date) -> Self {
        Self { days, limits, first, period: None }
    }

    /// Whether `date` is one of them.
    pub(super) fn has(&mut self, date: Date) -> bool {
        date == self.first || (self.is_day(date) && self.is_at_a_place(date))
    }

    fn is_day(&self, date: Date) -> bool {
        let months = &self.limits.months;
        (months.is_empty() || months.contains(&date.month())) && self.days.has(date, self.first)
    }

    fn is_at_a_place(&mut self, date: Date) -> bool {
        let places = &self.limits.places;
        if places.is_empty() {
            return true;
        }
        let (start, end) = self.days.period(date);
        let period = match self.period.take() {
            Some(known) if known.0 == start => known,
            _ => {
                // The days of its period before the first one count: they have places, too.
                let days: Vec<Date> = each(start, end).filter(|&date| self.is_day(date)).collect();
                let at = |&place: &i16| {
                    let count = place.unsigned_abs().into();
                    let index =
                        if place > 0 { count - 1 } else { days.len().checked_sub(count)? };
                    days.get(index).copied()
                };
                (start, places.iter().filter_map(at).collect())
            }
        };
        self.period.insert(period).1.contains(&date)
    }
}

impl Days {
    /// Whether `date` is one of them, counted from `first`.
    fn has(&self, date: Date, first: Date) -> bool {
        let weekday = date.weekday().to_monday_zero_offset();
        let (day, from_end) = (date.day(), date.day() - date.days_in_month() - 1);
        let is_day = |days: &BTreeSet<i8>| {
            days.is_empty() || days.contains(&day) || days.contains(&from_end)
        };
        // `day` counts from the beginning of a month or a year, `from_end` from its end.
        let is_weekday = |weekdays: &BTreeSet<(i8, i8)>, day: i16, from_end: i16| {
            let place = |&(wanted, place): &(i8, i8)| {
                let place = i16::from(place);
                wanted == weekday
                    && (place == 0 || place == (day - 1) / 7 + 1 || place == (from_end + 1) / 7 - 1)
            };
            weekdays.is_empty() || weekdays.iter().any(place)
        };
        match self {
            Self::Daily { interval, weekdays } => {
                between(first, date) % interval == 0
                    && (weekdays.is_empty() || weekdays.contains(&weekday))
            }
            Self::Weekly { interval, weekdays, starts } => {
                // Counted in weeks from the one that the first day is in.
                let into = i32::from(first.weekday().since(*starts));
                (between(first, date) + into) / 7 % interval == 0 && weekdays.contains(&weekday)
            }
            Self::Monthly { interval, days, weekdays } => {
                let month = |date: Date| i32::from(date.year()) * 12 + i32::from(date.month());
                (month(date) - month(first)) % interval == 0
                    && is_day(days)
                    && is_weekday(weekdays, day.into(), from_end.into())
            }
            Self::Yearly { interval, days, weekdays, of_month } => {
                let (day, from_end) = match of_month {
                    true => (day.into(), from_end.into()),
                    false => (date.day_of_year(), date.day_of_year() - date.days_in_year() - 1),
                };
                i32::from(date.year() - first.year()) % interval == 0
                    && is_day(days)
                    && is_weekday(weekdays, day, from_end)
            }
        }
    }

    /// The first and the last day of the period of `date` in which places are counted.
    fn period(&self, date: Date) -> (Date, Date) {
        match self {
            Self::Daily { .. } => (date, date),
            Self::Weekly { starts, .. } => {
                let start = date.saturating_sub(date.weekday().since(*starts).days());
                (start, start.saturating_add(6.days()))
            }
            Self::Monthly { .. } => (date.first_of_month(), date.last_of_month()),
            Self::Yearly { .. } => (date.first_of_year(), date.last_of_year()),
        }
    }
}

/// Days from one to another.
fn between(from: Date, to: Date) -> i32 {
    (to.duration_since(from).as_hours() / 24) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn every_place_of_a_weekday_in_its_month() {
        // March 2026 has five Mondays: 2, 9, 16, 23, 30.
        let day = |place: i8| {
            let days =
                Days::Monthly { interval: 1, days: BTreeSet::new(), weekdays: [(0, place)].into() };
            let of_march =
                (1..=31).filter(|&day| days.has(Date::constant(2026, 3, day), date("2026-01-01")));
            of_march.collect::<Vec<i8>>()
        };
        assert_eq!(
            [1, 2, 3, 4, 5, -1, -2, -5].map(day),
            [[2], [9], [16], [23], [30], [30], [23], [2]]
        );
        assert_eq!(day(0), [2, 9, 16, 23, 30]);
    }

    /// The first of such days from 2026-01-15 on, a Thursday.
    fn chosen(days: &Days, limits: &Limits) -> [String; 4] {
        let first = date("2026-01-15");
        let mut chosen = Chosen::new(days, limits, first);
        let mut dates = each(first, Date::MAX).filter(|&date| chosen.has(date));
        std::array::from_fn(|_| dates.next().unwrap().to_string())
    }

    #[test]
    fn days_of_the_year() {
        let yearly = |interval, days: &[i8], weekdays: &[(i8, i8)], of_month| Days::Yearly {
            interval,
            days: days.iter().copied().collect(),
            weekdays: weekdays.iter().copied().collect(),
            of_month,
        };
        let months = |months: &[i8]| Limits {
            months: months.iter().copied().collect(),
            ..Limits::default()
        };
        let cases = [
            (
                yearly(1, &[25], &[], true),
                months(&[12]),
                ["2026-01-15", "2026-12-25", "2027-12-25", "2028-12-25"],
            ),
            (
                yearly(3, &[-1], &[], true),
                months(&[2, 11]),
                ["2026-01-15", "2026-02-28", "2026-11-30", "2029-02-28"],
            ),
            // Only leap years have it.
            (
                yearly(1, &[29], &[], true),
                months(&[2]),
                ["2026-01-15", "2028-02-29", "2032-02-29", "2036-02-29"],
            ),
            // Thanksgiving, and the last Sunday in March.
            (
                yearly(1, &[], &[(3, 4)], true),
                months(&[11]),
                ["2026-01-15", "2026-11-26", "2027-11-25", "2028-11-23"],
            ),
            (
                yearly(2, &[], &[(6, -1)], true),
                months(&[3]),
                ["2026-01-15", "2026-03-29", "2028-03-26", "2030-03-31"],
            ),
            // The 20th Monday of the year, as RFC 5545 has it, and the last one.
            (
                yearly(1, &[], &[(0, 20), (0, -1)], false),
                months(&[]),
                ["2026-01-15", "2026-05-18", "2026-12-28", "2027-05-17"],
            ),
        ];
        for (days, limits, expected) in cases {
            assert_eq!(chosen(&days, &limits), expected, "{days:?} {limits:?}");
        }
    }

    #[test]
    fn places_are_counted_among_the_days_of_a_period() {
        let working: BTreeSet<(i8, i8)> = (0..5).map(|weekday| (weekday, 0)).collect();
        let monthly = |weekdays: &BTreeSet<(i8, i8)>| Days::Monthly {
            interval: 1,
            days: BTreeSet::new(),
            weekdays: weekdays.clone(),
        };
        let yearly = Days::Yearly {
            interval: 1,
            days: BTreeSet::new(),
            weekdays: working.clone(),
            of_month: true,
        };
        let weekly =
            Days::Weekly { interval: 2, weekdays: [0, 3, 6].into(), starts: Weekday::Sunday };
        let of = |months: &[i8], places: &[i16]| Limits {
            months: months.iter().copied().collect(),
            places: places.iter().copied().collect(),
        };
        let cases = [
            // The last working day of the month, and the second Tuesday.
            (
                monthly(&working),
                of(&[], &[-1]),
                ["2026-01-15", "2026-01-30", "2026-02-27", "2026-03-31"],
            ),
            (
                monthly(&[(1, 0)].into()),
                of(&[], &[2]),
                ["2026-01-15", "2026-02-10", "2026-03-10", "2026-04-14"],
            ),
            (
                monthly(&working),
                of(&[4, 6], &[1, 2]),
                ["2026-01-15", "2026-04-01", "2026-04-02", "2026-06-01"],
            ),
            // The 23rd of them is there in long months alone.
            (
                monthly(&working),
                of(&[], &[23, -23]),
                ["2026-01-15", "2026-07-01", "2026-07-31", "2026-12-01"],
            ),
            (
                yearly.clone(),
                of(&[], &[1]),
                ["2026-01-15", "2027-01-01", "2028-01-03", "2029-01-01"],
            ),
            (
                yearly,
                of(&[9, 10], &[-1, 1]),
                ["2026-01-15", "2026-09-01", "2026-10-30", "2027-09-01"],
            ),
            // Sunday is the first of its three days, and the week of the first day counts.
            (weekly, of(&[], &[1, 3]), ["2026-01-15", "2026-01-25", "2026-01-29", "2026-02-08"]),
            (
                Days::Daily { interval: 7, weekdays: BTreeSet::new() },
                of(&[3], &[1]),
                ["2026-01-15", "2026-03-05", "2026-03-12", "2026-03-19"],
            ),
        ];
        for (days, limits, expected) in cases {
            assert_eq!(chosen(&days, &limits), expected, "{days:?} {limits:?}");
        }
    }
}
