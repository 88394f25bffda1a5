//! Time stamps of files.

use anyhow::{Context, Result};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// An error shows at most this many characters of a time.
const SHOWN: usize = 60;
/// The most digits of seconds since 1970. A number with more of them counts milliseconds.
const SECONDS: usize = 11;
/// The most digits of milliseconds since 1970.
const MILLISECONDS: usize = 13;

/// A time as seconds since 1970: such seconds or milliseconds, or what [`parse_time`] understands.
///
/// A number of 12 or 13 digits counts milliseconds: as seconds it would be a time after the year
/// 5000. Parts of a second are dropped, as a slot begins at its first second.
///
/// # Errors
/// Where the text is no time. Names it.
pub(crate) fn seconds(text: &str) -> Result<i64> {
    let time = match plain(text) {
        Some((_, digits)) if digits > MILLISECONDS => None,
        Some((number, digits)) if digits > SECONDS => Some((number / 1000.0).floor() as i64),
        Some((number, _)) => Some(number.floor() as i64),
        None => parse_time(text).ok(),
    };
    time.with_context(|| {
        format!(
            "`{}` is no time: write 2026-01-31T12:00:00Z, 2026-01-31 12:00:00, or seconds or \
             milliseconds since 1970",
            text.chars().take(SHOWN).collect::<String>()
        )
    })
}

/// A number in plain digits, and how many of them stand before the point. A spreadsheet writes
/// `1.77E+12` of a large number, which has lost its last digits: it is refused.
fn plain(text: &str) -> Option<(f64, usize)> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (before, after) = digits.split_once('.').unwrap_or((digits, ""));
    let plain =
        !before.is_empty() && (before.bytes().chain(after.bytes())).all(|b| b.is_ascii_digit());
    Some((text.parse().ok().filter(|_| plain)?, before.len()))
}

/// A time stamp as seconds since 1970: RFC 3339, with an offset (`Z`, `+02:00`, also after a
/// blank), with a zone (`[Europe/Berlin]`), or with neither, which is UTC. Slashes may divide its
/// date (`2026/01/31`).
///
/// # Errors
/// Where the text is no time stamp. Names it.
pub(crate) fn parse_time(text: &str) -> Result<i64> {
    let wrong = || format!("`{}` is no time stamp", text.chars().take(SHOWN).collect::<String>());
    let iso = iso(text);
    if iso.contains('[') {
        // An offset beside the zone has to agree with it.
        let time: jiff::Zoned = iso.parse().with_context(wrong)?;
        return Ok(time.timestamp().as_second());
    }
    if let Ok(time) = iso.parse::<Timestamp>() {
        return Ok(time.as_second());
    }
    let civil: DateTime = iso.parse().with_context(wrong)?;
    Ok(TimeZone::UTC.to_timestamp(civil)?.as_second())
}

/// The text with hyphens in its date, and with nothing between the time and its offset.
fn iso(text: &str) -> String {
    let mut iso = text.trim().to_string();
    if let [_, _, _, _, b'/', _, _, b'/', ..] = iso.as_bytes() {
        iso = iso.replacen('/', "-", 2);
    }
    for utc in [" UTC", " GMT", " Z"] {
        if let Some(time) = iso.strip_suffix(utc) {
            iso = format!("{time}Z");
        }
    }
    match iso.rsplit_once(' ') {
        Some((time, offset)) if offset.starts_with(['+', '-']) => format!("{time}{offset}"),
        _ => iso,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-31T12:00:00Z.
    const NOON: i64 = 1_769_860_800;

    #[test]
    fn a_time_is_the_same_in_every_way_of_writing() {
        for text in [
            "1769860800",
            "1769860800.9",
            "1769860800000",
            "1769860800999",
            "2026-01-31T12:00:00Z",
            "2026-01-31T12:00:00.999Z",
            "2026-01-31T13:00:00+01:00",
            "2026-01-31 13:00:00 +01:00",
            "2026-01-31 13:00:00 +0100",
            "2026-01-31 07:00:00-05",
            "2026-01-31T13:00:00[Europe/Berlin]",
            "2026-01-31T13:00:00+01:00[Europe/Berlin]",
            "2026-01-31T12:00:00",
            "2026-01-31 12:00:00",
            "2026-01-31 12:00:00 UTC",
            "2026-01-31 12:00:00 Z",
            "2026-01-31 12:00",
            "2026/01/31 12:00:00",
            "2026/01/31 12:00",
        ] {
            assert_eq!(seconds(text).unwrap(), NOON, "{text}");
        }
        for (text, time) in
            [("-1", -1), ("-0.5", -1), ("300", 300), ("-300000000000", -300_000_000)]
        {
            assert_eq!(seconds(text).unwrap(), time, "{text}");
        }
        assert_eq!(parse_time("2026-01-31").unwrap(), NOON - 12 * 3600);
    }

    #[test]
    fn what_is_no_time_is_named() {
        for text in [
            "",
            "noon",
            "nan",
            "inf",
            "1.77E+12",
            "1_769_860_800",
            "17698608000000",
            "01/31/2026 12:00",
            "2026-01-31T12:00:00[Europe/Berlln]",
            "2026-01-31T12:00:00+05:00[Europe/Berlin]",
            "2026-02-30 12:00:00",
        ] {
            let told = format!("{:#}", seconds(text).expect_err(text));
            assert!(told.starts_with(&format!("`{text}` is no time: write 2026-01-31T")), "{told}");
        }
        let told = format!("{:#}", parse_time(&"x".repeat(99)).unwrap_err());
        assert!(told.starts_with(&format!("`{}` is no time stamp", "x".repeat(SHOWN))), "{told}");
    }
}
