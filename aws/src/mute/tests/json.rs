//! Mutes from JSON.

use super::*;

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
            concat!(
                r#""every": "day", "between": ["04:00", "05:00"], "zone": "UTC", "#,
                r#""from": "2026-10-25T04:30:00Z", "until": "2026-10-26T00:00:00Z""#
            ),
            &["25 04:30 - 25 05:00"],
        ),
    ];
    for (when, expected) in cases {
        assert_eq!(muted(&of(when), "2026-10-24", "2026-10-27"), expected, "{when}");
    }
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
