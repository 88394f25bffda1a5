//! The dates of an event of whole days.

use std::ops::Range;

use deepguard::series::DAY_SECONDS;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::super::repeat::When;

/// Days for which repetitions are computed at once.
const AT_ONCE: i64 = 300;

/// An event of whole days, once or repeated.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WholeDays {
    pub(super) when: When,
    /// The zone of its days.
    pub(super) zone: TimeZone,
}

impl WholeDays {
    /// Its dates that lie in `days`, all of them days since 1970.
    pub(crate) fn dates(&self, days: &Range<i64>) -> Vec<i64> {
        let mut dates = Vec::new();
        let mut start = days.start;
        while start < days.end {
            let end = days.end.min(start.saturating_add(AT_ONCE));
            // A day more on both sides: those of some zone.
            let times = (start - 1) * DAY_SECONDS..(end + 1) * DAY_SECONDS;
            for window in self.when.windows(&times) {
                let window = window.start.max(times.start)..window.end.min(times.end);
                let of_window = self.date(window.start)..=self.date(window.end - 1);
                dates.extend(of_window.filter(|date| (start..end).contains(date)));
            }
            start = end;
        }
        dates
    }

    /// Days from 1970-01-01 to the date at `time` (seconds since 1970).
    fn date(&self, time: i64) -> i64 {
        let offset = Timestamp::from_second(time).map(|time| self.zone.to_offset(time).seconds());
        (time + i64::from(offset.unwrap_or(0))).div_euclid(DAY_SECONDS)
    }
}
