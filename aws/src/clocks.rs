//! The clocks of a time zone, from the IANA database.

use deepguard::zone::{Change, Clocks, Zone};
use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;

/// The years whose changes of clocks are known: from this one on ...
const FIRST: i16 = 2000;
/// ... until before this one.
const END: i16 = 2100;

/// By which clock instances live where `zone` was set. UTC is what stands there when nothing was
/// set.
pub fn clocks(zone: &TimeZone) -> Clocks {
    if *zone == TimeZone::UTC { Clocks::Unknown } else { Clocks::Of(changes(zone)) }
}

/// The changes of clocks in `zone`, in the years 2000 to 2099.
pub fn changes(zone: &TimeZone) -> Zone {
    let [start, end] = [FIRST, END].map(|year| {
        date(year, 1, 1).to_zoned(TimeZone::UTC).map_or(Timestamp::MIN, |time| time.timestamp())
    });
    let following = zone.following(start).take_while(|change| change.timestamp() < end);
    let changes = following.map(|change| Change {
        time: change.timestamp().as_second(),
        offset: change.offset().seconds(),
    });
    Zone::new(zone.to_offset(start).seconds(), changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        changes(&TimeZone::get(name).expect("a zone"))
    }

    fn time(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("a time").as_second()
    }

    #[test]
    fn the_clocks_are_those_of_the_place() {
        for (name, changed, [before, after]) in [
            ("Europe/Berlin", "2026-03-29T01:00:00Z", [60, 120]),
            ("Europe/Berlin", "2026-10-25T01:00:00Z", [120, 60]),
            ("America/New_York", "2026-03-08T07:00:00Z", [-300, -240]),
            ("America/New_York", "2099-11-01T06:00:00Z", [-240, -300]),
            ("Australia/Sydney", "2026-04-04T16:00:00Z", [660, 600]),
            ("Australia/Lord_Howe", "2026-10-03T15:30:00Z", [630, 660]),
        ] {
            let (zone, changed) = (zone(name), time(changed));
            assert_eq!(
                [changed - 1, changed].map(|time| zone.offset(time)),
                [before * 60, after * 60],
                "{name}"
            );
        }
        assert_eq!(zone("Asia/Kolkata").offset(0), 19_800);
    }

    #[test]
    fn where_nothing_is_set_the_clock_is_unknown() {
        assert_eq!(clocks(&TimeZone::get("UTC").expect("a zone")), Clocks::Unknown);
        let fixed = clocks(&TimeZone::get("Africa/Lagos").expect("a zone"));
        assert_eq!(fixed, Clocks::Of(Zone::new(3600, [])));
    }
}
