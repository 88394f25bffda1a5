use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::testing::instance;
use crate::testing::memory::Bucket;

const JSON: &str = "s3://my-models/settings/mutes.json";
const ICS: &str = "s3://my-models/settings/mutes.ics";

fn at(time: &str) -> i64 {
    time.parse::<Timestamp>().unwrap().as_second()
}

fn parse(uri: &str, text: &str) -> Result<Mutes, String> {
    Mutes::parse(&uri.parse().unwrap(), text.as_bytes()).map_err(|error| error.to_string())
}

fn json(entry: &str) -> Result<Mutes, String> {
    parse(JSON, &format!("{{\"mutes\": [{entry}]}}"))
}

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

fn tags(tags: &[(&str, &str)]) -> Tags {
    tags.iter().map(|&(key, value)| (key.into(), value.into())).collect()
}

/// When instance 1 is muted between two days, as times in UTC.
fn muted(mutes: &Mutes, from: &str, until: &str) -> Vec<String> {
    let times = at(&format!("{from}T00:00:00Z"))..at(&format!("{until}T00:00:00Z"));
    let text = |time: i64| Timestamp::from_second(time).unwrap().strftime("%d %H:%M").to_string();
    let during = mutes.during(times);
    let ranges = during.of(&instance(1), &Tags::new());
    ranges.iter().map(|(range, _)| format!("{} - {}", text(range.start), text(range.end))).collect()
}

#[test]
fn who_is_muted() {
    let when = r#""from": "2026-11-22T02:00:00Z", "until": "2026-11-22T04:00:00Z""#;
    let three = at("2026-11-22T03:00:00Z");
    let batch = tags(&[("role", "batch"), ("env", "stage")]);
    let of_json = |who: &str| json(&format!("{{{who}, {when}}}")).unwrap();
    let of_ics = |who: &str| {
        let text = format!(
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20261122T020000Z\nDTEND:20261122T040000Z\n{who}\nEND:VEVENT\nEND:VCALENDAR"
        );
        parse(ICS, &text).unwrap()
    };
    let one = instance(1);
    let cases = [
        (of_json(&format!(r#""instances": ["{one}", "i-1a2b3c4d"]"#)), [true, false, true]),
        (of_json(r#""tags": "role=batch""#), [false, true, false]),
        (of_json(r#""tags": "role=batch,env=prod|stage""#), [false, true, false]),
        (of_json(r#""tags": "role=batch,env=prod""#), [false, false, false]),
        (of_json(r#""all": true"#), [true, true, true]),
        (of_ics(&format!("SUMMARY:Backup of {one}\\, i-1a2b3c4d.")), [true, false, true]),
        (
            of_ics(
                "SUMMARY:Nightly\nDESCRIPTION:see https://wiki.example.com/?page=7\\nrole=batch (env=prod|stage)",
            ),
            [false, true, false],
        ),
        (of_ics("SUMMARY:Reboot all\nLOCATION:role=batch"), [false, true, false]),
        (of_ics("SUMMARY:Everything\nCATEGORIES:ops,all"), [true, true, true]),
        (of_ics("SUMMARY:Moving\\, all instances\nCATEGORIES:ops"), [true, true, true]),
    ];
    for (mutes, expected) in cases {
        let muted = |instance: &InstanceId, tags: &Tags| mutes.at(instance, tags, three).is_some();
        let found = [
            muted(&one, &Tags::new()),
            muted(&instance(2), &batch),
            muted(&one, &tags(&[("role", "web")])),
        ];
        assert_eq!(found, expected, "{mutes:?}");
        assert_eq!(mutes.needs_tags(), expected == [false, true, false] || expected == [false; 3]);
    }
}

#[test]
fn windows_in_json() {
    let of = |when: &str| json(&format!(r#"{{"all": true, {when}}}"#)).unwrap();
    let cases: [(&str, &[&str]); 8] = [
        (
            r#""from": "2026-10-24T02:00:00+02:00", "until": "2026-10-24T03:30:00+02:00""#,
            &["24 00:00 - 24 01:30"],
        ),
        (
            r#""from": "2026-10-24T02:02", "until": "2026-10-24 03:33", "zone": "Europe/Berlin""#,
            &["24 00:00 - 24 01:33"],
        ),
        // The clocks go back in the night from the 24th to the 25th.
        (
            r#""every": "day", "between": ["04:00", "05:00"], "zone": "Europe/Berlin""#,
            &["24 02:00 - 24 03:00", "25 03:00 - 25 04:00", "26 03:00 - 26 04:00"],
        ),
        (
            r#""every": "day", "between": ["23:00", "03:30"], "zone": "Europe/Berlin""#,
            &[
                "24 00:00 - 24 01:30",
                "24 21:00 - 25 02:30",
                "25 22:00 - 26 02:30",
                "26 22:00 - 27 00:00",
            ],
        ),
        (
            r#""every": "weekday", "between": ["20:00", "24:00"], "zone": "UTC""#,
            &["26 20:00 - 27 00:00"],
        ),
        (r#""every": "sun", "zone": "Europe/Berlin""#, &["24 22:00 - 25 23:00"]),
        (
            r#""every": ["sat", "sun"], "zone": "UTC""#,
            &["24 00:00 - 25 00:00", "25 00:00 - 26 00:00"],
        ),
        (
            r#""every": "day", "between": ["04:00", "05:00"], "zone": "UTC", "from": "2026-10-25T04:30:00Z", "until": "2026-10-26T00:00:00Z""#,
            &["25 04:30 - 25 05:00"],
        ),
    ];
    for (when, expected) in cases {
        assert_eq!(muted(&of(when), "2026-10-24", "2026-10-27"), expected, "{when}");
    }
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
                "BEGIN:VCALENDAR\n{zone}BEGIN:VEVENT\nSUMMARY:all instances\n{start}\nDURATION:P1D\nEND:VEVENT\nEND:VCALENDAR"
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
    let google = "\u{feff}BEGIN:VCALENDAR\r\nPRODID:-//Google Inc//Google Calendar 70.9054//EN\r\nVERSION:2.0\r\nCALSCALE:GREGORIAN\r\nX-WR-CALNAME:Ops\r\n\
        X-WR-TIMEZONE:Europe/Berlin\r\nBEGIN:VTIMEZONE\r\nTZID:Europe/Berlin\r\nBEGIN:DAYLIGHT\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0200\r\n\
        DTSTART:19700329T020000\r\nRRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU\r\nEND:DAYLIGHT\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT\r\n\
        DTSTART;TZID=Europe/Berlin:20261019T020000\r\nDTEND;TZID=Europe/Berlin:20261019T040000\r\nRRULE:FREQ=WEEKLY;WKST=MO;UNTIL=20261231T225959Z;BYDAY=MO\r\n\
        DTSTAMP:20261001T120000Z\r\nUID:4s@google.com\r\nDESCRIPTION:The weekly backup\\, it takes until four. It is for i-0000000\r\n 0000000001 and\\nnobody else.\r\n\
        SEQUENCE:0\r\nSTATUS:CONFIRMED\r\nSUMMARY:Backup\r\nTRANSP:OPAQUE\r\nBEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:-P0DT0H10M0S\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    let mutes = parse(ICS, google).unwrap();
    assert_eq!(muted(&mutes, "2026-10-20", "2026-10-27"), ["26 01:00 - 26 03:00"]);
    assert_eq!(mutes.at(&instance(1), &Tags::new(), at("2026-10-26T02:00:00Z")), Some("Backup"));
}

#[test]
fn what_is_not_understood_names_the_entry_the_field_and_the_way_out() {
    let when = r#""from": "2026-11-22T02:00:00Z", "until": "2026-11-22T04:00:00Z""#;
    let cases = [
        (
            format!(r#"{{"all": true, {when}, "form": 1, "why": "backup"}}"#),
            "mute 1 (backup): unknown field `form`, expected one of `instances`, `tags`",
        ),
        (format!(r#"{{"all": true, {when}}}, {{"all": 1}}"#), "mute 2: invalid type"),
        (format!(r#"{{"all": true, "all": true, {when}}}"#), "duplicate field `all`"),
        (format!("{{{when}}}"), "has to say who is muted"),
        (format!(r#"{{"all": false, {when}}}"#), "has to say who is muted"),
        (format!(r#"{{"all": true, "tags": "a=b", {when}}}"#), "in one way"),
        (format!(r#"{{"instances": [], {when}}}"#), "has to say who"),
        (format!(r#"{{"instances": ["web-1"], {when}}}"#), "`instances`: `web-1` is no instance"),
        (format!(r#"{{"tags": "a=b,a=c", {when}}}"#), "`tags`: `a=b,a=c` is no rule about tags"),
        (r#"{"all": true}"#.into(), "it says not when"),
        (r#"{"all": true, "from": "2026-11-22T02:00:00Z"}"#.into(), "it says not when"),
        (
            r#"{"all": true, "from": "2026-11-22", "until": "2026-11-23", "zone": "UTC"}"#.into(),
            "`from` is \"2026-11-22\": give a time such as",
        ),
        (
            r#"{"all": true, "from": "2026-11-22T02:00", "until": "2026-11-22T04:00"}"#.into(),
            "and a `zone`",
        ),
        (
            r#"{"all": true, "from": "2026-11-22T04:00:00Z", "until": "2026-11-22T04:00:00Z"}"#
                .into(),
            "`until` is not after `from`",
        ),
        (r#"{"all": true, "every": "day"}"#.into(), "`every` needs `zone`"),
        (
            r#"{"all": true, "every": "day", "zone": "Europe/Berlln"}"#.into(),
            "`zone`: the time zone \"Europe/Berlln\" is not known",
        ),
        (
            r#"{"all": true, "every": "monday", "zone": "UTC"}"#.into(),
            "`every` is \"monday\": give \"day\"",
        ),
        (r#"{"all": true, "every": [], "zone": "UTC"}"#.into(), "`every` is []"),
        (
            r#"{"all": true, "every": "day", "between": ["2:00", "04:00"], "zone": "UTC"}"#.into(),
            "`between` has \"2:00\"",
        ),
        (
            r#"{"all": true, "every": "day", "between": ["02:00"], "zone": "UTC"}"#.into(),
            "mute 1: invalid length 1",
        ),
        (
            r#"{"all": true, "every": "day", "between": ["02:00", "02:00"], "zone": "UTC"}"#.into(),
            "ends when it begins",
        ),
        (
            r#"{"all": true, "between": ["02:00", "04:00"], "zone": "UTC"}"#.into(),
            "`between` needs `every`",
        ),
    ];
    for (entry, why) in cases {
        let error = json(&entry).expect_err(&entry);
        assert!(error.contains(why) && error.starts_with(JSON), "{entry}: {error}");
    }
    for (text, why) in [
        ("", "EOF"),
        ("[]", "expected struct File"),
        ("{}", "missing field `mutes`"),
        (r#"{"mutes": [], "mute": 1}"#, "unknown field `mute`"),
    ] {
        let error = parse(JSON, text).expect_err(text);
        assert!(error.contains(why), "{text}: {error}");
    }
    let many = [r#"{"all": true}"#; 9].join(",");
    let error = json(&many).unwrap_err();
    assert!(
        error.contains("mute 5:") && !error.contains("mute 6:") && error.ends_with("and 4 more"),
        "{error}"
    );
    assert!(
        parse("s3://my-models/settings/mutes.yaml", "")
            .unwrap_err()
            .contains("end with .json or .ics")
    );
}

#[test]
fn events_that_are_not_understood_are_named() {
    let (start, end) = ("DTSTART:20261024T020000Z", "DTEND:20261024T040000Z");
    let cases: [(&[&str], &str); 22] = [
        (&[end], "it has no DTSTART"),
        (&[start], "neither DTEND nor DURATION"),
        (&[start, "DTEND:20261024T020000Z"], "does not end after it begins"),
        (&[start, "DTEND;VALUE=DATE:20261025"], "one of DTSTART and DTEND is a day"),
        (&[start, "DURATION:-PT1H"], "DURATION \"-PT1H\" is not understood"),
        (&[start, "DURATION:P1M"], "DURATION \"P1M\" is not understood"),
        (&["DTSTART:20261324T020000Z", end], "its DTSTART \"20261324T020000Z\" is neither a day"),
        (
            &["DTSTART;TZID=W. Europe Standard Time:20261024T020000", end],
            "the time zone \"W. Europe Standard Time\" is not known",
        ),
        (&[start, end, "RRULE:FREQ=YEARLY"], "FREQ=\"YEARLY\": DAILY, WEEKLY and MONTHLY"),
        (
            &[start, end, "RRULE:FREQ=MONTHLY;BYDAY=MO;BYSETPOS=1"],
            "its RRULE has BYSETPOS=1, which is not understood",
        ),
        (&[start, end, "RRULE:FREQ=WEEKLY;BYDAY=1MO"], "a BYDAY with a number"),
        (&[start, end, "RRULE:FREQ=MONTHLY;BYDAY=6MO"], "BYDAY=6MO of its RRULE is not understood"),
        (&[start, end, "RRULE:FREQ=DAILY;BYMONTHDAY=1"], "only FREQ=MONTHLY may have"),
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
    let nobody = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:Install all updates\nDTSTART:20261024T020000Z\nDURATION:PT1H\nEND:VEVENT\nEND:VCALENDAR";
    assert!(
        parse(ICS, nobody)
            .unwrap_err()
            .contains("event 1 (Install all updates): its words name nobody to mute")
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

#[test]
fn ranges_that_overlap_are_one_after_the_other() {
    let mutes = MutedRanges::new(vec![(30..60, "b"), (0..40, "a"), (35..50, "c"), (60..70, "d")]);
    let ranges: Vec<_> = mutes.iter().collect();
    assert_eq!(ranges, [(0..40, "a"), (40..60, "b"), (60..70, "d")]);
    assert_eq!(
        [-1, 0, 39, 40, 59, 60, 69, 70].map(|time| mutes.why(time)),
        [None, Some("a"), Some("a"), Some("b"), Some("b"), Some("d"), Some("d"), None]
    );
    assert!(!mutes.contains(70) && MutedRanges::default().is_empty());
}

#[test]
fn a_datapoint_is_muted_with_any_part_of_its_five_minutes() {
    let mutes =
        json(r#"{"all": true, "from": "2026-11-22T02:02:00Z", "until": "2026-11-22T02:06:00Z"}"#)
            .unwrap();
    let muted = ["01:55", "02:00", "02:05", "02:10"].map(|time| {
        let time = at(&format!("2026-11-22T{time}:00Z"));
        let alone = mutes.at(&instance(1), &Tags::new(), time).is_some();
        assert_eq!(
            mutes
                .during(time - 86_400..time + 86_400)
                .of(&instance(1), &Tags::new())
                .contains(time),
            alone
        );
        alone
    });
    assert_eq!(muted, [false, true, true, false]);
}

#[tokio::test]
async fn the_file_is_read_when_it_changed_and_the_last_good_one_stays() {
    let bucket = Rc::new(Bucket::default());
    let mut file = MuteFile::new(Some(JSON.parse().unwrap()), Rc::clone(&bucket));
    let (mutes, stale) = file.current().await;
    assert!(mutes.is_empty() && stale.is_none(), "there is no file");
    bucket.store(JSON, r#"{"mutes": [{"all": true, "every": "day", "zone": "UTC"}]}"#);
    let (mutes, stale) = file.current().await;
    assert!(!mutes.is_empty() && stale.is_none());
    file.current().await;
    assert_eq!(bucket.gets.take(), [(JSON.into(), true), (JSON.into(), false)]);
    for (down, content) in [(false, "{"), (true, "{"), (false, "{")] {
        bucket.down.set(down);
        if !down {
            bucket.store(JSON, content);
        }
        let (kept, stale) = file.current().await;
        assert_eq!((kept, stale.is_some()), (Rc::clone(&mutes), true));
    }
    bucket.remove(JSON);
    let (gone, stale) = file.current().await;
    assert!(gone.is_empty() && stale.is_none(), "whoever removes it wants nothing to be muted");
    assert_eq!(MuteFile::new(None, bucket).current().await, (Rc::default(), None));
}

const PIECES: [&str; 30] = [
    "BEGIN:VEVENT\n",
    "END:VEVENT\n",
    "SUMMARY:all instances\n",
    "DTSTART:",
    "DTEND:",
    "DTSTART;VALUE=DATE:",
    "DTSTART;TZID=Europe/Berlin:",
    "20261024T020000Z\n",
    "99991231T235959Z\n",
    "00000101T000000Z\n",
    "20261025T023000\n",
    "20261024\n",
    "RRULE:",
    "FREQ=DAILY",
    "FREQ=WEEKLY",
    "FREQ=MONTHLY",
    ";INTERVAL=1000",
    ";COUNT=99999",
    ";UNTIL=99991231",
    ";BYDAY=-5SU,MO",
    ";BYMONTHDAY=-31",
    ";WKST=SU",
    "\n",
    "DURATION:P31D\n",
    "DURATION:PT9999999999H\n",
    "EXDATE:",
    ",",
    "\r",
    " ",
    "RECURRENCE-ID:",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_makes_trouble(text in "\\PC{0,80}", pieces in prop::collection::vec(0..PIECES.len(), 0..40), time in prop::num::i64::ANY) {
        let pieces: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
        let calendar = format!("BEGIN:VCALENDAR\n{pieces}\nEND:VCALENDAR\n");
        let event = format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:all instances\n{pieces}\nEND:VEVENT\nEND:VCALENDAR\n");
        for (uri, text) in [(JSON, text.as_str()), (ICS, &text), (ICS, &calendar), (ICS, &event)] {
            if let Ok(mutes) = parse(uri, text) {
                for times in [time..time.saturating_add(86_400 * 30), i64::MIN..i64::MAX] {
                    for (range, _) in mutes.during(times.clone()).of(&instance(1), &Tags::new()).iter() {
                        prop_assert!(!range.is_empty() && times.start <= range.start && range.end <= times.end);
                    }
                }
            }
        }
    }

    #[test]
    fn each_datapoint_alone_is_as_muted_as_in_a_range(start in 1_760_000_000i64..1_800_000_000, zone in 0usize..4, between in (0i8..24, 0i8..24), every in 0usize..4, step in 0i64..2016) {
        prop_assume!(between.0 != between.1);
        let zone = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"][zone];
        let every = ["day", "weekday", "sat", "sun"][every];
        let mutes = json(&format!(r#"{{"all": true, "every": "{every}", "between": ["{:02}:00", "{:02}:15"], "zone": "{zone}"}}"#, between.0, between.1)).unwrap();
        let start = slot_start(start);
        let during = mutes.during(start..start + 7 * 86_400);
        let ranges = during.of(&instance(1), &Tags::new());
        prop_assert!(!ranges.is_empty());
        let time = start + 300 * step;
        prop_assert_eq!(mutes.at(&instance(1), &Tags::new(), time), ranges.why(time));
    }
}
