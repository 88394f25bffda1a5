//! Times as text.

use deepguard::series::DAY_SECONDS;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};

/// A time (seconds since 1970) as RFC 3339.
pub(crate) fn rfc3339(time: i64) -> String {
    Timestamp::from_second(time).map_or_else(|_| time.to_string(), |time| time.to_string())
}

/// Serialises a time (seconds since 1970) as RFC 3339.
pub(crate) fn timestamp<S: Serializer>(time: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

/// The same, of a time that may be missing.
pub(crate) fn maybe_timestamp<S: Serializer>(
    time: &Option<i64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(rfc3339).serialize(serializer)
}

/// The date of a midnight UTC.
pub fn date(day: i64) -> String {
    debug_assert_eq!(day % DAY_SECONDS, 0);
    let date =
        Timestamp::from_second(day).map(|time| time.to_zoned(TimeZone::UTC).date().to_string());
    date.unwrap_or_else(|_| day.to_string())
}

/// Serialises a midnight UTC as its date.
pub(crate) fn as_date<S: Serializer>(day: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&date(*day))
}
