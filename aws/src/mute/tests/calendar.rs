//! Mutes from a calendar.

use super::*;

/// A calendar with one event of these lines, for instance 1.
fn event(lines: &[&str]) -> Result<Mutes, String> {
    calendar(&[lines])
}

fn calendar(events: &[&[&str]]) -> Result<Mutes, String> {
    let event = |lines: &&[&str]| {
        format!(
            "BEGIN:VEVENT\r\nSUMMARY:for {}\r\n{}\r\nEND:VEVENT\r\n",
            instance(1),
            lines.join("\r\n")
        )
    };
    let events: String = events.iter().map(event).collect();
    parse(ICS, &format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{events}END:VCALENDAR\r\n"))
}

#[test]
fn windows_in_a_calendar() {
    let cases: [(&[&str], &[&str]); 13] = [
        (&["DTSTART:20261024T020000Z", "DTEND:20261024T040000Z"], &["24 02:00 - 24 04:00"]),
        (
            &["DTSTART;TZID=Europe/Berlin:20261024T020000", "DURATION:PT1H30M"],
            &["24 00:00 - 24 01:30"],
        ),
        (
            &[
                "DTSTART;TZID=\"/citadel.org/20210210_1/Europe/Berlin\":20261024T020000",
                "DURATION:P1D",
            ],
            &["24 00:00 - 25 00:00"],
        ),
        (&["DTSTART;VALUE=DATE:20261024"], &["24 00:00 - 25 00:00"]),
        (&["DTSTART;VALUE=DATE:20261024", "DTEND;VALUE=DATE:20261026"], &["24 00:00 - 26 00:00"]),
        (
            &[
                "DTSTART;TZID=Europe/Berlin:20250101T040000",
                "DTEND;TZID=Europe/Berlin:20250101T050000",
                "RRULE:FREQ=DAILY",
            ],
            &["24 02:00 - 24 03:00", "25 03:00 - 25 04:00", "26 03:00 - 26 04:00"],
        ),
        // As long as it was on its first day: two hours, also where one of them comes twice.
        (
            &[
                "DTSTART;TZID=Europe/Berlin:20250101T020000",
                "DTEND;TZID=Europe/Berlin:20250101T040000",
                "RRULE:FREQ=DAILY;COUNT=662",
            ],
            &["24 00:00 - 24 02:00"],
        ),
        (
            &["DTSTART:20261001T220000Z", "DURATION:PT4H", "RRULE:FREQ=WEEKLY;BYDAY=SA"],
            &["24 22:00 - 25 02:00"],
        ),
        (
            &[
                "DTSTART:20261020T010000Z",
                "DURATION:PT1H",
                "RRULE:FREQ=DAILY;UNTIL=20261025T010000Z",
                "EXDATE:20261024T010000Z,20261023T010000Z",
            ],
            &["25 01:00 - 25 02:00"],
        ),
        (
            &[
                "DTSTART;TZID=Europe/Berlin:20261020T010000",
                "DURATION:PT1H",
                "RRULE:FREQ=DAILY;UNTIL=20261025",
                "EXDATE;VALUE=DATE:20261024",
            ],
            &["24 23:00 - 25 00:00"],
        ),
        (
            &["DTSTART:20260831T010000Z", "DURATION:PT1H", "RRULE:FREQ=MONTHLY;BYDAY=-1SU"],
            &["25 01:00 - 25 02:00"],
        ),
        (
            &["DTSTART:20260724T010000Z", "DURATION:PT1H", "RRULE:FREQ=MONTHLY;INTERVAL=3"],
            &["24 01:00 - 24 02:00"],
        ),
        (&["DTSTART:20261024T010000Z", "DURATION:PT1H", "STATUS:CANCELLED"], &[]),
    ];
    for (lines, expected) in cases {
        assert_eq!(
            muted(&event(lines).unwrap(), "2026-10-24", "2026-10-27"),
            expected,
            "{lines:?}"
        );
    }
}

#[test]
fn a_repetition_that_was_moved_has_an_event_of_its_own() {
    let series = ["UID:1", "DTSTART:20261020T010000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY"];
    let moved =
        ["UID:1", "RECURRENCE-ID:20261025T010000Z", "DTSTART:20261025T050000Z", "DURATION:PT1H"];
    let cancelled = [
        "UID:1",
        "RECURRENCE-ID:20261024T010000Z",
        "DTSTART:20261024T010000Z",
        "DURATION:PT1H",
        "STATUS:CANCELLED",
    ];
    let other =
        ["UID:2", "RECURRENCE-ID:20261026T010000Z", "DTSTART:20261026T090000Z", "DURATION:PT1H"];
    let mutes = calendar(&[&series, &moved, &cancelled, &other]).unwrap();
    assert_eq!(
        muted(&mutes, "2026-10-24", "2026-10-27"),
        ["25 05:00 - 25 06:00", "26 01:00 - 26 02:00", "26 09:00 - 26 10:00"]
    );
}

#[test]
fn times_without_a_zone_are_by_the_clock_of_the_calendar() {
    let of = |zone: &str, start: &str| {
        parse(
            ICS,
            &format!(
                "BEGIN:VCALENDAR\n{zone}BEGIN:VEVENT\nSUMMARY:all instances\n{start}\n\
                 DURATION:P1D\nEND:VEVENT\nEND:VCALENDAR"
            ),
        )
    };
    let berlin = "X-WR-TIMEZONE:Europe/Berlin\n";
    for start in ["DTSTART:20261024T000000", "DTSTART;VALUE=DATE:20261024"] {
        assert_eq!(
            muted(&of(berlin, start).unwrap(), "2026-10-20", "2026-10-27"),
            ["23 22:00 - 24 22:00"]
        );
    }
    assert!(of("", "DTSTART:20261024T000000").unwrap_err().contains("has no zone: give it a TZID"));
}

#[test]
fn the_files_of_other_programs() {
    // As Google Calendar and Outlook write them: folded lines, time zones with their rules, alarms.
    let google = "\u{feff}BEGIN:VCALENDAR\r\nPRODID:-//Google Inc//Google Calendar 70.9054//EN\r\n\
                  VERSION:2.0\r\nCALSCALE:GREGORIAN\r\nX-WR-CALNAME:Ops\r\n\
                  X-WR-TIMEZONE:Europe/Berlin\r\nBEGIN:VTIMEZONE\r\nTZID:Europe/Berlin\r\n\
                  BEGIN:DAYLIGHT\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0200\r\n\
                  DTSTART:19700329T020000\r\nRRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU\r\n\
                  END:DAYLIGHT\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT\r\n\
                  DTSTART;TZID=Europe/Berlin:20261019T020000\r\n\
                  DTEND;TZID=Europe/Berlin:20261019T040000\r\n\
                  RRULE:FREQ=WEEKLY;WKST=MO;UNTIL=20261231T225959Z;BYDAY=MO\r\n\
                  DTSTAMP:20261001T120000Z\r\nUID:4s@google.com\r\n\
                  DESCRIPTION:The weekly backup\\, it takes until four. It is for i-0000000\r\n \
                  0000000001 and\\nno other.\r\n\
                  SEQUENCE:0\r\nSTATUS:CONFIRMED\r\nSUMMARY:Backup\r\nTRANSP:OPAQUE\r\n\
                  BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:-P0DT0H10M0S\r\nEND:VALARM\r\n\
                  END:VEVENT\r\nEND:VCALENDAR\r\n";
    let mutes = parse(ICS, google).unwrap();
    assert_eq!(muted(&mutes, "2026-10-20", "2026-10-27"), ["26 01:00 - 26 03:00"]);
    assert_eq!(mutes.at(&instance(1), &Tags::new(), at("2026-10-26T02:00:00Z")), Some("Backup"));
}

#[test]
fn events_that_are_not_understood_are_named() {
    let (start, end) = ("DTSTART:20261024T020000Z", "DTEND:20261024T040000Z");
    let cases: [(&[&str], &str); 20] = [
        (&[end], "it has no DTSTART"),
        (&[start], "neither DTEND nor DURATION"),
        (&[start, "DTEND:20261024T020000Z"], "does not end after it begins"),
        (&[start, "DTEND;VALUE=DATE:20261025"], "one of DTSTART and DTEND is a day"),
        (&[start, "DURATION:-PT1H"], "DURATION \"-PT1H\" is not understood"),
        (&[start, "DURATION:P1M"], "DURATION \"P1M\" is not understood"),
        (&["DTSTART:20261324T020000Z", end], "its DTSTART \"20261324T020000Z\" is neither a day"),
        (
            &["DTSTART;TZID=W. Europe Summer Time:20261024T020000", end],
            "the time zone \"W. Europe Summer Time\" is not known",
        ),
        (&[start, end, "RRULE:FREQ=WEEKLY;BYDAY=1MO"], "a BYDAY with a number"),
        (&[start, end, "RRULE:FREQ=MONTHLY;BYDAY=6MO"], "BYDAY=6MO of its RRULE is not understood"),
        (
            &[start, end, "RRULE:FREQ=DAILY;BYMONTHDAY=1"],
            "only FREQ=MONTHLY and FREQ=YEARLY may have",
        ),
        (&[start, end, "RRULE:FREQ=DAILY;INTERVAL=0"], "INTERVAL=0"),
        (&[start, end, "RRULE:FREQ=DAILY;COUNT=0"], "COUNT=0"),
        (&[start, end, "RRULE:FREQ=DAILY;COUNT=3;UNTIL=20261101"], "both COUNT and UNTIL"),
        (&[start, end, "RRULE:FREQ=DAILY;FREQ=WEEKLY"], "FREQ twice"),
        (&[start, end, "RRULE:FREQ=DAILY", "RRULE:FREQ=WEEKLY"], "more than one RRULE"),
        (&[start, end, "RDATE:20261101T020000Z"], "RDATE is not understood"),
        (&[start, "DURATION:P40D", "RRULE:FREQ=MONTHLY"], "longer than a month"),
        (&[start, end, "DESCRIPTION:role=batch"], "in more than one way"),
        (&[start, end, "DESCRIPTION:i-0123456789abcde"], "`i-0123456789abcde` is no instance"),
    ];
    for (lines, why) in cases {
        let error = event(lines).expect_err(why);
        assert!(error.contains(why), "{lines:?}: {error}");
        assert!(error.contains(&format!("event 1 (for {}): ", instance(1))), "{error}");
    }
    let no_one = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:Install all updates\n\
                  DTSTART:20261024T020000Z\nDURATION:PT1H\nEND:VEVENT\nEND:VCALENDAR";
    assert!(
        parse(ICS, no_one)
            .unwrap_err()
            .contains("event 1 (Install all updates): its words name no instance to mute")
    );
    for (text, why) in [
        ("", "no calendar"),
        ("BEGIN:VCALENDAR", "no calendar"),
        (&"BEGIN:A\n".repeat(30_000), "more than 4 deep"),
    ] {
        let error = parse(ICS, text).expect_err(why);
        assert!(error.contains(why) && error.len() < 400, "{error}");
    }
    let latin = Mutes::parse(&ICS.parse().unwrap(), b"\xff").unwrap_err().to_string();
    assert!(latin.contains("no text in UTF-8"), "{latin}");
    assert!(
        parse(ICS, &" ".repeat(MAX_BYTES + 1))
            .unwrap_err()
            .contains("more than the 262144 allowed")
    );
}
