//! The common vocabulary of both kinds of files: instances, tags, time zones, reasons.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;

use super::windows::iana;
use super::{NO_REASON, REASON_LENGTH};

/// Zones whose clocks are never put forward, though those of most places that use the word are, and
/// the zone of such a place.
const FIXED: [(&str, &str); 3] =
    [("EST", "America/New_York"), ("MST", "America/Denver"), ("HST", "Pacific/Honolulu")];

/// A zone by its name in the IANA database or in Windows. Calendars put prefixes of their own
/// before it (`/example.com/Europe/Berlin`).
pub(super) fn zone(name: &str) -> Result<TimeZone, String> {
    let ends = std::iter::successors(Some(name), |name| name.split_once('/').map(|(_, rest)| rest));
    let get =
        |name: &str| TimeZone::get(name).or_else(|_| TimeZone::get(iana(name).unwrap_or(name)));
    let known = ends.filter(|name| !name.is_empty()).find_map(|name| get(name).ok());
    known.ok_or_else(|| {
        format!(
            "the time zone {:?} is not known: give one such as \"Europe/Berlin\" or \"UTC\"",
            shown(name)
        )
    })
}

/// Warns of each of these zones that has no daylight saving and is likely meant to have it.
pub(super) fn warn_of_fixed_clocks<'a>(zones: impl Iterator<Item = &'a str>) {
    let fixed = |zone: &str| {
        let name = zone.rsplit('/').next()?;
        FIXED.into_iter().find(|(fixed, _)| name.eq_ignore_ascii_case(fixed))
    };
    for (zone, instead) in zones.filter_map(fixed).collect::<BTreeSet<_>>() {
        tracing::warn!(
            zone,
            "events are in the time zone {zone}, which has no daylight saving: write {instead} \
             if they should follow its clock"
        );
    }
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
