//! The holidays of the instances, as one run sees them.

use deepguard::Holidays;
use deepguard::series::DAY_SECONDS;
use deepguard_aws::holidays::HolidayCalendar;
use deepguard_aws::ids::ObjectUri;
use deepguard_aws::ports::Objects;
use deepguard_aws::settings_file::{FileError, SettingsFile};

/// How far back, in seconds, a run looks at most: at the history of a new instance.
const HISTORY: i64 = 32 * DAY_SECONDS;

/// The calendar of holidays in S3.
#[derive(Debug)]
pub(crate) struct HolidayFile<O> {
    file: SettingsFile<O, HolidayCalendar>,
}

impl<O: Objects> HolidayFile<O> {
    /// Nothing read yet.
    pub(crate) fn new(uri: Option<ObjectUri>, objects: O) -> Self {
        Self { file: SettingsFile::new(uri, objects) }
    }

    /// The holidays that matter to a run up to `until` (seconds since 1970), and the reason why
    /// they may be out of date: see [`SettingsFile::current`].
    pub(crate) async fn until(&mut self, until: i64) -> (Holidays, Option<FileError>) {
        let (calendar, stale) = self.file.current().await;
        (calendar.during(until - HISTORY..until + DAY_SECONDS), stale)
    }
}
