//! The common vocabulary of both kinds of files: instances, tags, time zones, reasons.

use jiff::tz::TimeZone;

use super::{NO_REASON, REASON_LENGTH};

/// A zone by its name in the IANA database. Calendars put prefixes of their own before it
/// (`/example.com/Europe/Berlin`).
pub(super) fn zone(name: &str) -> Result<TimeZone, String> {
    let ends = std::iter::successors(Some(name), |name| name.split_once('/').map(|(_, rest)| rest));
    let known = ends.filter(|name| !name.is_empty()).find_map(|name| TimeZone::get(name).ok());
    known.ok_or_else(|| {
        format!(
            "the time zone {:?} is not known: give one such as \"Europe/Berlin\" or \"UTC\"",
            shown(name)
        )
    })
}

/// A text from a file, shortened for an error.
pub(super) fn shown(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(60)
        .collect()
}

/// A reason, as it is stored.
pub(super) fn reason(text: Option<&str>) -> String {
    let words: Vec<&str> = text.unwrap_or_default().split_whitespace().collect();
    match words.is_empty() {
        true => NO_REASON.into(),
        false => words
            .join(" ")
            .chars()
            .filter(|character| !character.is_control())
            .take(REASON_LENGTH)
            .collect(),
    }
}
