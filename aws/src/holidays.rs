//! Holidays from a calendar file, as it is published for a country.
//!
//! Each event of whole days is a holiday, for each of its days, once or repeated. Events with times
//! are not. Its days are dates, and so hold by the clock of any zone.

use std::ops::Range;

use deepguard::Holidays;
use deepguard::series::DAY_SECONDS;

use crate::mute::ics::{WholeDays, whole_days};
use crate::settings_file::Content;

/// The most events in a file: fifty years of a country with many holidays.
const MAX_EVENTS: usize = 5000;

/// A calendar of holidays.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HolidayCalendar {
    events: Vec<WholeDays>,
}

impl Content for HolidayCalendar {
    /// Calendars with long descriptions, for several years.
    const MAX_BYTES: usize = 2 * 1024 * 1024;
    const ENDINGS: &[&str] = &[".ics"];

    fn read(bytes: &[u8], _: &str) -> Result<Self, Vec<String>> {
        Ok(Self { events: whole_days(bytes, MAX_EVENTS)? })
    }
}

impl HolidayCalendar {
    /// The holidays that matter to what is learnt and judged in `times` (seconds since 1970), by
    /// the clock of any place.
    pub fn during(&self, times: Range<i64>) -> Holidays {
        let day = |time: i64| time.div_euclid(DAY_SECONDS);
        let days = day(times.start) - 1..day(times.end) + 2;
        self.events.iter().flat_map(|event| event.dates(&days)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ObjectUri;

    /// 2026-12-01 00:00 UTC.
    const DECEMBER: i64 = 1_796_083_200;

    fn parse(events: &[&str]) -> Result<HolidayCalendar, String> {
        let event = |lines: &&str| format!("BEGIN:VEVENT\r\n{lines}\r\nEND:VEVENT\r\n");
        let events: String = events.iter().map(event).collect();
        let text = format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{events}END:VCALENDAR\r\n");
        let uri: ObjectUri = "s3://my-models/settings/holidays.ics".parse().expect("an address");
        HolidayCalendar::parse(&uri, text.as_bytes()).map_err(|error| error.to_string())
    }

    /// The days of December 2026, from the first on, that are holidays.
    fn december(events: &[&str]) -> Vec<i64> {
        let calendar = parse(events).expect("a calendar");
        let first = DECEMBER / DAY_SECONDS;
        let holidays = calendar.during(DECEMBER..DECEMBER + 30 * DAY_SECONDS);
        holidays.days().map(|day| day - first + 1).collect()
    }

    #[test]
    fn whole_days_are_holidays_and_events_with_times_are_not() {
        for (event, days) in [
            ("DTSTART;VALUE=DATE:20261208", &[8][..]),
            ("DTSTART;VALUE=DATE:20261225\r\nDTEND;VALUE=DATE:20261227", &[25, 26]),
            ("DTSTART;VALUE=DATE:20261225\r\nDURATION:P2D", &[25, 26]),
            ("DTSTART;VALUE=DATE:20101224\r\nRRULE:FREQ=YEARLY", &[24]),
            ("DTSTART;VALUE=DATE:20101224\r\nRRULE:FREQ=YEARLY;UNTIL=20201231", &[]),
            ("DTSTART;VALUE=DATE:20261208\r\nSTATUS:CANCELLED", &[]),
            ("DTSTART:20261208T000000Z\r\nDTEND:20261209T000000Z", &[]),
            ("DTSTART:20261208T000000\r\nDTEND:20261209T000000", &[]),
        ] {
            assert_eq!(december(&[event]), days, "{event}");
        }
    }

    #[test]
    fn a_day_is_a_date_whatever_the_zone_of_the_calendar() {
        for zone in ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Berlin"] {
            let event = format!("DTSTART;TZID={zone};VALUE=DATE:20261208");
            assert_eq!(december(&[&event]), [8], "{zone}");
        }
    }

    #[test]
    fn years_are_computed_in_parts() {
        let calendar = parse(&["DTSTART;VALUE=DATE:20000106\r\nRRULE:FREQ=YEARLY"]);
        let holidays =
            calendar.expect("a calendar").during(DECEMBER - 3653 * DAY_SECONDS..DECEMBER);
        assert_eq!(holidays.days().count(), 10);
    }

    #[test]
    fn an_error_names_the_event_and_its_line() {
        let error = parse(&["DTSTART;VALUE=DATE:20261208", "SUMMARY:Midsummer\r\nDTSTART:soon"]);
        let error = error.unwrap_err();
        assert!(
            error.starts_with("s3://my-models/settings/holidays.ics cannot be used: "),
            "{error}"
        );
        assert!(error.contains("event 2 (Midsummer): its DTSTART \"soon\""), "{error}");
        assert!(error.ends_with("(line 6)"), "{error}");
    }
}
