//! CPU history on disk, a file for each instance and day, so that each day is read only once.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use deepguard::series::DAY_SECONDS;
use deepguard::{Datapoint, Series};
use deepguard_aws::ids::TargetId;
use jiff::Timestamp;

use crate::common::files::write_whole;

/// CPU history by instance.
pub(crate) type History = BTreeMap<String, Series>;

/// The first line of each file.
const HEADER: &str = "time,value";

/// A folder of days.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// A history in `folder`, which is created with the first stored day.
    pub(crate) fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    fn path(&self, instance: &TargetId, day: i64) -> Result<PathBuf> {
        let date = Timestamp::from_second(day).context("no valid day")?.strftime("%Y-%m-%d.csv");
        Ok(self.folder.join(instance.as_str()).join(date.to_string()))
    }

    /// The datapoints of the day that begins at `day` (midnight UTC). `None` where the day is not
    /// stored, or where the file is not one of ours. In both cases the day is read again, and the
    /// file is replaced.
    pub(crate) fn get(&self, instance: &TargetId, day: i64) -> Option<Vec<Datapoint>> {
        let text = std::fs::read_to_string(self.path(instance, day).ok()?).ok()?;
        parse(&text, day).ok()
    }

    /// Stores the datapoints of a day that is over.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(crate) fn put(
        &self,
        instance: &TargetId,
        day: i64,
        datapoints: &[Datapoint],
    ) -> Result<()> {
        let mut text = format!("{HEADER}\n");
        for Datapoint { time, value } in datapoints {
            writeln!(text, "{},{value}", Timestamp::from_second(*time)?)?;
        }
        write_whole(&self.path(instance, day)?, text.as_bytes())
    }

    /// The path of the file.
    pub(crate) fn folder(&self) -> &std::path::Path {
        &self.folder
    }
}

fn parse(text: &str, day: i64) -> Result<Vec<Datapoint>> {
    let mut lines = text.lines();
    ensure!(lines.next() == Some(HEADER) && text.ends_with('\n'), "not one of ours");
    let datapoint = |line: &str| {
        let (time, value) = line.split_once(',').context("not two columns")?;
        let datapoint =
            Datapoint { time: time.parse::<Timestamp>()?.as_second(), value: value.parse()? };
        ensure!((day..day + DAY_SECONDS).contains(&datapoint.time), "of another day");
        Ok(datapoint)
    };
    lines.map(datapoint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::instance;

    const DAY: i64 = 1_768_435_200;

    #[test]
    fn a_day_is_read_as_it_was_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let point = |slot: i64, value: f64| Datapoint { time: DAY + slot * 300, value };
        let day = [point(0, 1.5), point(1, 0.1 + 0.2), point(287, 100.0)];
        assert_eq!(cache.get(&instance(1), DAY), None);
        cache.put(&instance(1), DAY, &day).unwrap();
        cache.put(&instance(2), DAY, &[]).unwrap();
        assert_eq!(cache.get(&instance(1), DAY).unwrap(), day);
        assert_eq!(cache.get(&instance(2), DAY).unwrap(), []);
        assert_eq!(cache.get(&instance(1), DAY + DAY_SECONDS), None);
    }

    #[test]
    fn a_file_that_is_damaged_counts_as_missing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        cache.put(&instance(1), DAY, &[]).unwrap();
        let path = cache.path(&instance(1), DAY).unwrap();
        for damaged in [
            "",
            "time,value",
            "time,value\n2026-01-15T00:00:00Z\n",
            "time,value\n2026-01-16T00:00:00Z,1\n",
        ] {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(cache.get(&instance(1), DAY), None, "{damaged:?}");
        }
    }
}
