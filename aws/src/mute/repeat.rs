//! When a mute holds: once, or on days by the clock of a place.

use std::collections::BTreeSet;
use std::ops::Range;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Disambiguation, TimeZone};
use jiff::{SpanFieldwise, Timestamp, ToSpan, Zoned};

use super::days::{Chosen, Days, Limits, each};

/// Days of a stretch of time for which repetitions are computed.
pub(super) const MAX_DAYS: i32 = 400;
/// The longest that a repeated window may be, in seconds: a month.
pub(super) const LONGEST: i64 = 31 * DAY;
/// The maximum number of days from the first one to the last of a counted number of repetitions.
const COUNTED_DAYS: usize = 20 * 366;
/// A day, and the most that clocks are put forward or back around it.
const DAY: i64 = 24 * 3600;

/// When a mute holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum When {
    /// In this window, in seconds since 1970.
    Once(Range<i64>),
    /// In a window on each of certain days.
    Repeated(Box<Repeated>),
}

/// A window on each of certain days.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Repeated {
    /// The time zone of its clock.
    pub(super) zone: TimeZone,
    pub(super) first: Date,
    /// On which days it begins.
    pub(super) days: Days,
    /// Which of these days are left.
    pub(super) limits: Limits,
    /// When it begins on each of these days.
    pub(super) begins: Time,
    /// How long it lasts.
    pub(super) lasts: Lasts,
    /// The last second in which it may begin, if there is one.
    pub(super) until: Option<i64>,
    /// The bounds outside which it does not hold.
    pub(super) within: Range<i64>,
    /// Beginnings that are left out, in seconds since 1970.
    pub(super) except: BTreeSet<i64>,
    /// Days on which it does not begin.
    pub(super) except_days: BTreeSet<Date>,
}

/// How long a window is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Lasts {
    /// Until this time of the same day by the clock, or of the next one.
    Clock { next_day: bool, time: Time },
    /// This number of seconds.
    Seconds(i64),
    /// This span by the clock: a day is a day, however many hours it has.
    Nominal(SpanFieldwise),
}

impl When {
    /// The windows that touch `times`.
    pub(super) fn windows(&self, times: &Range<i64>) -> Vec<Range<i64>> {
        match self {
            Self::Once(window) => {
                Some(window.clone()).into_iter().filter(|window| touches(window, times)).collect()
            }
            Self::Repeated(repeated) => repeated.windows(times),
        }
    }
}

fn touches(window: &Range<i64>, times: &Range<i64>) -> bool {
    // A window is widened to whole slots later, so one that begins within the same five minutes
    // counts.
    window.start < times.end.saturating_add(deepguard::series::PERIOD) && window.end > times.start
}

impl Repeated {
    fn windows(&self, times: &Range<i64>) -> Vec<Range<i64>> {
        let day = |time: i64| {
            Timestamp::from_second(time).ok().map(|time| self.zone.to_datetime(time).date())
        };
        // A window that began as long ago as the longest one lasts can still hold.
        let earliest = times.start.max(self.within.start).saturating_sub(LONGEST + 2 * DAY);
        let start = day(earliest).unwrap_or(Date::MIN).max(self.first);
        let latest = times.end.min(self.within.end).saturating_add(DAY);
        let end = day(latest).unwrap_or(Date::MAX);
        let end = end.min(start.saturating_add((LONGEST / DAY + i64::from(MAX_DAYS) + 4).days()));
        let mut chosen = self.chosen();
        each(start, end)
            .filter(|&date| chosen.has(date) && !self.except_days.contains(&date))
            .filter_map(|date| self.window(date))
            .filter(|window| touches(window, times))
            .collect()
    }

    fn chosen(&self) -> Chosen<'_> {
        Chosen::new(&self.days, &self.limits, self.first)
    }

    /// The window that begins on this day.
    fn window(&self, date: Date) -> Option<Range<i64>> {
        let start = self.instant(date.to_datetime(self.begins), Disambiguation::Compatible)?;
        let began = start.timestamp().as_second();
        if self.except.contains(&began) || self.until.is_some_and(|until| began > until) {
            return None;
        }
        let end = match &self.lasts {
            Lasts::Seconds(seconds) => began.checked_add(*seconds)?,
            Lasts::Nominal(span) => start.checked_add(span.0).ok()?.timestamp().as_second(),
            Lasts::Clock { next_day, time } => {
                let last = if *next_day { date.tomorrow().ok()? } else { date };
                // An hour that occurs twice is muted twice.
                let end = self
                    .instant(last.to_datetime(*time), Disambiguation::Later)?
                    .timestamp()
                    .as_second();
                // An hour that does not occur would remove the window. So the window is as long as
                // on any other day, and an hour later.
                if end > began { end } else { began + length(self.begins, *next_day, *time) }
            }
        };
        let window = began.max(self.within.start)..end.min(self.within.end);
        (!window.is_empty()).then_some(window)
    }

    fn instant(&self, local: DateTime, disambiguation: Disambiguation) -> Option<Zoned> {
        self.zone.to_ambiguous_zoned(local).disambiguate(disambiguation).ok()
    }

    /// The beginning, in seconds since 1970, of the last of `count` repetitions.
    ///
    /// The first day counts as one of them, whether or not it is one of the days. `None` where that
    /// is too far away.
    pub(super) fn last_of(&self, count: u32) -> Option<i64> {
        let mut chosen = self.chosen();
        let last = each(self.first, Date::MAX)
            .take(1 + COUNTED_DAYS)
            .filter(|&date| chosen.has(date))
            .nth(count.checked_sub(1)? as usize)?;
        Some(
            self.instant(last.to_datetime(self.begins), Disambiguation::Compatible)?
                .timestamp()
                .as_second(),
        )
    }
}

/// Seconds from one time of day to another on a day without a change of the clock.
pub(super) fn length(begins: Time, next_day: bool, ends: Time) -> i64 {
    let second = |time: Time| {
        (i64::from(time.hour()) * 60 + i64::from(time.minute())) * 60 + i64::from(time.second())
    };
    second(ends) - second(begins) + if next_day { DAY } else { 0 }
}

#[cfg(test)]
mod tests {
    use jiff::civil::Weekday;

    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn of(days: Days, first: &str) -> Repeated {
        Repeated {
            zone: TimeZone::get("Europe/Berlin").unwrap(),
            first: date(first),
            days,
            limits: Limits::default(),
            begins: Time::constant(2, 0, 0, 0),
            lasts: Lasts::Clock { next_day: false, time: Time::constant(3, 0, 0, 0) },
            until: None,
            within: i64::MIN..i64::MAX,
            except: BTreeSet::new(),
            except_days: BTreeSet::new(),
        }
    }

    /// Beginnings in local time, of a year from the first day on.
    fn begins(repeated: &Repeated, count: usize) -> Vec<String> {
        let start = repeated.first.to_zoned(repeated.zone.clone()).unwrap().timestamp().as_second();
        let windows = repeated.windows(&(start..start + 366 * DAY));
        let local = |window: &Range<i64>| {
            repeated
                .zone
                .to_datetime(Timestamp::from_second(window.start).unwrap())
                .date()
                .to_string()
        };
        windows.iter().take(count).map(local).collect()
    }

    fn every_day(first: &str) -> Repeated {
        of(Days::Daily { interval: 1, weekdays: BTreeSet::new() }, first)
    }

    #[test]
    fn days_are_counted_from_the_first() {
        let weekdays = |days: &[i8]| days.iter().copied().collect();
        let daily = |interval, days: &[i8]| Days::Daily { interval, weekdays: weekdays(days) };
        let weekly = |interval, days: &[i8], starts| Days::Weekly {
            interval,
            weekdays: weekdays(days),
            starts,
        };
        let monthly = |interval, days: &[i8], places: &[(i8, i8)]| Days::Monthly {
            interval,
            days: weekdays(days),
            weekdays: places.iter().copied().collect(),
        };
        // The 15th of January 2026 is a Thursday (3 days after Monday).
        let first = "2026-01-15";
        let cases: [(Days, [&str; 4]); 11] = [
            (daily(1, &[]), ["2026-01-15", "2026-01-16", "2026-01-17", "2026-01-18"]),
            (daily(10, &[]), ["2026-01-15", "2026-01-25", "2026-02-04", "2026-02-14"]),
            (daily(1, &[0, 4]), ["2026-01-15", "2026-01-16", "2026-01-19", "2026-01-23"]),
            (
                weekly(1, &[3], Weekday::Monday),
                ["2026-01-15", "2026-01-22", "2026-01-29", "2026-02-05"],
            ),
            (
                weekly(2, &[1, 3], Weekday::Monday),
                ["2026-01-15", "2026-01-27", "2026-01-29", "2026-02-10"],
            ),
            // RFC 5545, 3.3.10: where weeks begin changes which days every other week has.
            (
                weekly(2, &[3, 6], Weekday::Monday),
                ["2026-01-15", "2026-01-18", "2026-01-29", "2026-02-01"],
            ),
            (
                weekly(2, &[3, 6], Weekday::Sunday),
                ["2026-01-15", "2026-01-25", "2026-01-29", "2026-02-08"],
            ),
            (monthly(1, &[15, -1], &[]), ["2026-01-15", "2026-01-31", "2026-02-15", "2026-02-28"]),
            (monthly(2, &[31], &[]), ["2026-01-15", "2026-01-31", "2026-03-31", "2026-05-31"]),
            (
                monthly(1, &[], &[(6, -1), (1, 2)]),
                ["2026-01-15", "2026-01-25", "2026-02-10", "2026-02-22"],
            ),
            // Friday the 13th.
            (
                monthly(1, &[13], &[(4, 0)]),
                ["2026-01-15", "2026-02-13", "2026-03-13", "2026-11-13"],
            ),
        ];
        for (days, expected) in cases {
            let repeated = of(days, first);
            assert_eq!(begins(&repeated, 4), expected, "{:?}", repeated.days);
        }
    }

    #[test]
    fn the_clock_of_the_place_counts_when_it_is_put_forward_and_back() {
        let hours = |repeated: &Repeated, day: &str| {
            let midnight =
                date(day).to_zoned(repeated.zone.clone()).unwrap().timestamp().as_second();
            let window = repeated.window(date(day)).unwrap();
            let hours = |time: i64| (time - midnight) as f64 / 3600.0;
            (hours(window.start), hours(window.end))
        };
        let between = |begins: (i8, i8), next_day, ends: (i8, i8)| Repeated {
            begins: Time::constant(begins.0, begins.1, 0, 0),
            lasts: Lasts::Clock { next_day, time: Time::constant(ends.0, ends.1, 0, 0) },
            ..every_day("2026-01-01")
        };
        let (ordinary, forward, back) = ("2026-03-28", "2026-03-29", "2026-10-25");
        let two_to_three = between((2, 0), false, (3, 0));
        assert_eq!(hours(&two_to_three, ordinary), (2.0, 3.0));
        assert_eq!(
            hours(&two_to_three, forward),
            (2.0, 3.0),
            "that hour does not exist: the one after it"
        );
        assert_eq!(hours(&two_to_three, back), (2.0, 4.0), "that hour comes twice");
        assert_eq!(hours(&between((1, 0), false, (4, 0)), forward), (1.0, 3.0));
        assert_eq!(hours(&between((1, 0), false, (4, 0)), back), (1.0, 5.0));
        assert_eq!(hours(&between((1, 0), false, (2, 30)), back), (1.0, 3.5));
        assert_eq!(hours(&between((22, 0), true, (6, 0)), ordinary), (22.0, 29.0));
        let whole_day = Repeated {
            begins: Time::midnight(),
            lasts: Lasts::Nominal(1.day().fieldwise()),
            ..every_day("2026-01-01")
        };
        assert_eq!(
            [ordinary, forward, back].map(|day| hours(&whole_day, day).1),
            [24.0, 23.0, 25.0]
        );
        let a_day = Repeated {
            begins: Time::midnight(),
            lasts: Lasts::Seconds(DAY),
            ..every_day("2026-01-01")
        };
        assert_eq!(hours(&a_day, forward).1, 24.0);
    }

    #[test]
    fn a_number_of_repetitions_ends_with_the_last_of_them() {
        let mut repeated = every_day("2026-01-15");
        repeated.until = repeated.last_of(3);
        assert_eq!(begins(&repeated, 9), ["2026-01-15", "2026-01-16", "2026-01-17"]);
        assert_eq!((repeated.last_of(0), repeated.last_of(u32::MAX)), (None, None));
        let never = of(
            Days::Monthly { interval: 1, days: [31].into(), weekdays: [(0, 1)].into() },
            "2026-01-15",
        );
        assert_eq!(never.last_of(2), None, "no first Monday is a 31st");
    }

    #[test]
    fn the_ends_of_time_are_no_trouble() {
        let mut repeated = every_day("-009999-01-01");
        for times in [i64::MIN..i64::MAX, i64::MIN..i64::MIN + 1, i64::MAX - 1..i64::MAX, 0..0] {
            assert!(repeated.windows(&times).len() <= (MAX_DAYS + 40) as usize, "{times:?}");
        }
        repeated.first = Date::MAX;
        repeated.lasts = Lasts::Nominal(30.days().fieldwise());
        assert!(repeated.windows(&(i64::MIN..i64::MAX)).is_empty());
    }
}
