mod calendar;
mod json;
mod outlook;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::settings_file::SettingsFile;
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
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20261122T020000Z\nDTEND:20261122T040000Z\n\
             {who}\nEND:VEVENT\nEND:VCALENDAR"
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
                "SUMMARY:Nightly\nDESCRIPTION:see https://wiki.example.com/?page=7\\nrole=batch \
                 (env=prod|stage)",
            ),
            [false, true, false],
        ),
        (of_ics("SUMMARY:Reboot all\nLOCATION:role=batch"), [false, true, false]),
        (of_ics("SUMMARY:Everything\nCATEGORIES:ops,all"), [true, true, true]),
        (of_ics("SUMMARY:Moving\\, all instances\nCATEGORIES:ops"), [true, true, true]),
    ];
    for (mutes, expected) in cases {
        let muted = |instance: &TargetId, tags: &Tags| mutes.at(instance, tags, three).is_some();
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
fn ranges_that_overlap_are_one_after_the_other() {
    let mutes = [(30..60, "b"), (0..40, "a"), (35..50, "c"), (60..70, "d")];
    let mutes = MutedRanges::new(mutes.map(|(range, why)| (range, why.into())).into());
    let ranges: Vec<_> = mutes.iter().collect();
    assert_eq!(ranges, [(0..40, "a"), (40..60, "b"), (60..70, "d")]);
    assert_eq!(
        [-1, 0, 39, 40, 59, 60, 69, 70].map(|time| mutes.why(time).map(|why| &**why)),
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
    let mut file = SettingsFile::<_, Mutes>::new(Some(JSON.parse().unwrap()), Rc::clone(&bucket));
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
    assert!(gone.is_empty() && stale.is_none(), "without the file nothing is muted");
    assert_eq!(SettingsFile::<_, Mutes>::new(None, bucket).current().await, (Rc::default(), None));
}

const PIECES: [&str; 34] = [
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
    "FREQ=YEARLY",
    ";BYMONTH=2,12",
    ";BYSETPOS=-1,2",
    ";BYDAY=53MO",
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
    fn no_text_makes_trouble(
        text in "\\PC{0,80}",
        pieces in prop::collection::vec(0..PIECES.len(), 0..40),
        time in prop::num::i64::ANY,
    ) {
        let pieces: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
        let calendar = format!("BEGIN:VCALENDAR\n{pieces}\nEND:VCALENDAR\n");
        let event = format!(
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:all instances\n{pieces}\n\
             END:VEVENT\nEND:VCALENDAR\n"
        );
        for (uri, text) in [(JSON, text.as_str()), (ICS, &text), (ICS, &calendar), (ICS, &event)] {
            if let Ok(mutes) = parse(uri, text) {
                for times in [time..time.saturating_add(86_400 * 30), i64::MIN..i64::MAX] {
                    let during = mutes.during(times.clone());
                    for (range, _) in during.of(&instance(1), &Tags::new()).iter() {
                        prop_assert!(!range.is_empty());
                        prop_assert!(times.start <= range.start && range.end <= times.end);
                    }
                }
            }
        }
    }

    #[test]
    fn each_datapoint_alone_is_as_muted_as_in_a_range(
        start in 1_760_000_000i64..1_800_000_000,
        zone in 0usize..4,
        between in (0i8..24, 0i8..24),
        every in 0usize..4,
        step in 0i64..2016,
    ) {
        prop_assume!(between.0 != between.1);
        let zone = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"][zone];
        let every = ["day", "weekday", "sat", "sun"][every];
        let between = format!(r#"["{:02}:00", "{:02}:15"]"#, between.0, between.1);
        let mutes = json(&format!(
            r#"{{"all": true, "every": "{every}", "between": {between}, "zone": "{zone}"}}"#
        ))
        .unwrap();
        let start = slot_start(start);
        let during = mutes.during(start..start + 7 * 86_400);
        let ranges = during.of(&instance(1), &Tags::new());
        prop_assert!(!ranges.is_empty());
        let time = start + 300 * step;
        let why = ranges.why(time).map(|why| &**why);
        prop_assert_eq!(mutes.at(&instance(1), &Tags::new(), time), why);
    }
}
