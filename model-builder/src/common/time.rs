//! Time stamps of files.

use anyhow::{Context, Result};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A zone in a time stamp (`Z`, `+02:00`) counts. NAB's own time stamps have no zone and are taken
/// as UTC.
pub(crate) fn parse_time(text: &str) -> Result<i64> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.as_second());
    }
    let civil: DateTime = text.parse().with_context(|| format!("`{text}` is no time stamp"))?;
    Ok(TimeZone::UTC.to_timestamp(civil)?.as_second())
}
