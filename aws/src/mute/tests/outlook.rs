//! Calendars as Outlook exports them, and files as Windows writes them.

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::*;

/// Outlook's calendar with one event for instance 1 that begins at two in `zone`.
fn outlook(zone: &str, day: &str, rule: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nPRODID:-//Microsoft Corporation//Outlook 16.0 MIMEDIR//EN\r\n\
         VERSION:2.0\r\nMETHOD:PUBLISH\r\nX-MS-OLK-FORCEINSPECTOROPEN:TRUE\r\nBEGIN:VTIMEZONE\r\n\
         TZID:{zone}\r\nBEGIN:STANDARD\r\nDTSTART:16011028T030000\r\n\
         RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10\r\nTZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\n\
         END:STANDARD\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT\r\nCLASS:PUBLIC\r\n\
         DTEND;TZID=\"{zone}\":{day}T040000\r\nDTSTAMP:20261001T120000Z\r\n\
         DTSTART;TZID=\"{zone}\":{day}T020000\r\nRRULE:{rule}\r\nSEQUENCE:0\r\n\
         SUMMARY;LANGUAGE=de:Prüfung von {}\r\nTRANSP:OPAQUE\r\nUID:040000008200E00074C5B710\r\n\
         X-MICROSOFT-CDO-BUSYSTATUS:BUSY\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
        instance(1)
    )
}

#[test]
fn repetitions_and_zones_of_outlook() {
    let berlin = "W. Europe Standard Time";
    let cases: [(&str, &str, &str, &[&str]); 9] = [
        (
            berlin,
            "20260101",
            "FREQ=DAILY;COUNT=299",
            &["24 00:00 - 24 02:00", "26 01:00 - 26 03:00"],
        ),
        // The last Sunday, on which the clocks go back, and the last working day.
        (berlin, "20260125", "FREQ=MONTHLY;BYDAY=SU;BYSETPOS=-1", &["25 00:00 - 25 02:00"]),
        (
            "Eastern Standard Time",
            "20260126",
            "FREQ=MONTHLY;COUNT=12;BYDAY=MO;BYSETPOS=4",
            &["26 06:00 - 26 08:00"],
        ),
        (
            "UTC",
            "20260105",
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-5",
            &["26 02:00 - 26 04:00"],
        ),
        ("tzone://Microsoft/Utc", "20251024", "FREQ=YEARLY", &["24 02:00 - 24 04:00"]),
        (
            "india standard time",
            "20251024",
            "FREQ=YEARLY;BYMONTHDAY=24;BYMONTH=10",
            &["23 20:30 - 23 22:30"],
        ),
        ("UTC", "20251026", "FREQ=YEARLY;BYDAY=SU;BYMONTH=10;BYSETPOS=4", &["25 02:00 - 25 04:00"]),
        ("UTC", "20251026", "FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10", &["25 02:00 - 25 04:00"]),
        ("UTC", "20251026", "FREQ=YEARLY;INTERVAL=2;BYMONTH=10", &[]),
    ];
    for (zone, day, rule, expected) in cases {
        let mutes = parse(ICS, &outlook(zone, day, rule)).unwrap();
        let mut found = muted(&mutes, "2026-10-23", "2026-10-27");
        if rule.starts_with("FREQ=DAILY") {
            found = vec![found[1].clone(), found.pop().unwrap()];
        }
        assert_eq!(found, expected, "{zone}: {rule}");
    }
}

#[test]
fn rules_that_are_not_understood_are_told() {
    for (rule, why) in [
        ("FREQ=MONTHLY;BYSETPOS=1", "BYSETPOS, which needs BYDAY, BYMONTHDAY or BYMONTH"),
        ("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=0", "BYSETPOS=0 of its RRULE is not understood"),
        ("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=367", "BYSETPOS=367 of its RRULE"),
        ("FREQ=YEARLY;BYMONTH=13", "BYMONTH=13 of its RRULE"),
        ("FREQ=YEARLY;BYMONTH=-1", "BYMONTH=-1 of its RRULE"),
        ("FREQ=YEARLY;BYDAY=54MO", "BYDAY=54MO of its RRULE"),
        ("FREQ=YEARLY;BYMONTH=3;BYDAY=6MO", "BYDAY=6MO of its RRULE"),
        ("FREQ=YEARLY;BYYEARDAY=1", "its RRULE has BYYEARDAY=1, which is not understood"),
        ("FREQ=HOURLY", "FREQ=\"HOURLY\": DAILY, WEEKLY, MONTHLY and YEARLY are understood"),
    ] {
        let error = parse(ICS, &outlook("UTC", "20260101", rule)).expect_err(rule);
        assert!(error.contains(why), "{rule}: {error}");
    }
}

#[test]
fn mutes_are_the_same_in_every_encoding() {
    let json = r#"{"mutes": [{"all": true, "every": "day", "zone": "UTC", "why": "Prüfung"}]}"#;
    let ics = outlook("UTC", "20260101", "FREQ=DAILY");
    for (uri, text) in [(JSON, json), (ICS, &ics)] {
        let wide = |mark: &[u8], unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
            mark.iter().copied().chain(text.encode_utf16().flat_map(unit)).collect()
        };
        let expected = parse(uri, text).unwrap();
        for bytes in [
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            wide(b"\xff\xfe", u16::to_le_bytes),
            wide(b"\xfe\xff", u16::to_be_bytes),
        ] {
            assert_eq!(Mutes::parse(&uri.parse().unwrap(), &bytes).as_ref(), Ok(&expected));
        }
        let latin: Vec<u8> = text.chars().map(|letter| letter as u8).collect();
        let error = Mutes::parse(&uri.parse().unwrap(), &latin).unwrap_err().to_string();
        assert!(error.contains("is no text in UTF-8") && error.contains("Pr\u{fffd}"), "{error}");
    }
    assert!(parse(JSON, "\u{feff}{\n\"mutes\": 1}").unwrap_err().contains("line 2"));
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The lines that are logged meanwhile.
fn logged(during: impl FnOnce()) -> Vec<String> {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, during);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    log.lines().map(String::from).collect()
}

#[test]
fn a_zone_without_daylight_saving_is_a_warning() {
    let entry = |zone: &str| {
        format!(
            r#"{{"all": true, "every": "day", "between": ["02:00", "04:00"], "zone": "{zone}"}}"#
        )
    };
    let log = logged(|| {
        let zones = [entry("EST"), entry("est"), entry("Etc/UTC"), entry("MST")].join(",");
        let mutes = json(&zones).unwrap();
        assert!(!mutes.is_empty());
        // It is used as it is: five hours behind UTC in summer, too.
        let summer = json(&entry("EST")).unwrap();
        assert_eq!(muted(&summer, "2026-07-01", "2026-07-02"), ["01 07:00 - 01 09:00"]);
    });
    assert_eq!(log.len(), 3, "each zone once in a file: {log:?}");
    assert!(log[0].contains("WARN") && log[0].contains("time zone EST, which has no daylight"));
    assert!(log[0].contains("write America/New_York") && log[1].contains("America/Denver"));
    let log = logged(|| assert!(parse(ICS, &outlook("HST", "20260101", "FREQ=DAILY")).is_ok()));
    assert!(log.len() == 1 && log[0].contains("write Pacific/Honolulu"), "{log:?}");
    let quiet = logged(|| {
        for zone in ["Eastern Standard Time", "America/New_York", "UTC", "EST5EDT"] {
            assert!(parse(ICS, &outlook(zone, "20260101", "FREQ=DAILY")).is_ok(), "{zone}");
        }
        assert!(json(&[entry("EST"), entry("Europe/Berlln")].join(",")).is_err());
    });
    assert!(quiet.is_empty(), "{quiet:?}");
}
