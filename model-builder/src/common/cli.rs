//! Arguments that several commands share, and how commands are interrupted.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use clap::Args;
use deepguard::{Artifact, Clocks, Detector};
use deepguard_aws::clocks::clocks;
use deepguard_aws::holidays::HolidayCalendar;
use deepguard_aws::ids::ObjectUri;
use deepguard_aws::settings_file::Content;
use jiff::tz::TimeZone;

/// Which artifact.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// The artifact.
    #[arg(long, value_name = "FILE", default_value = "models/default.safetensors")]
    pub(crate) artifact: PathBuf,
}

impl ModelArgs {
    /// Its bytes.
    pub(crate) fn read(&self) -> Result<Vec<u8>> {
        std::fs::read(&self.artifact)
            .with_context(|| format!("cannot read {}", self.artifact.display()))
    }

    /// The artifact, checked.
    pub(crate) fn load(&self) -> Result<Artifact> {
        Artifact::from_bytes(&self.read()?)
            .with_context(|| format!("in {}", self.artifact.display()))
    }

    /// Ready to score.
    pub(crate) fn detector(&self) -> Result<Detector> {
        Ok(Detector::new(self.load()?, &deepguard::model::device()))
    }
}

/// The years whose holidays are known, 2000 to 2099, in seconds since 1970.
const YEARS: std::ops::Range<i64> = 946_684_800..4_102_444_800;

/// By whose clock the machines live, and on which days people do not work.
#[derive(Debug, Args)]
pub(crate) struct ClockArgs {
    /// The machines' time zone, such as Europe/Berlin: `TimeZone` of their deployment.
    #[arg(long, value_name = "NAME", default_value = "UTC")]
    time_zone: String,
    /// A calendar of holidays: `HolidaysKey` of their deployment.
    #[arg(long, value_name = "FILE.ics")]
    holidays: Option<PathBuf>,
}

impl ClockArgs {
    /// The detector as a deployment with this zone and this calendar has it.
    ///
    /// # Errors
    /// Where the IANA database has no such zone, or the calendar cannot be used.
    pub(crate) fn of(&self, detector: Detector) -> Result<Detector> {
        let detector = detector.with_clocks(self.clocks()?);
        let Some(file) = &self.holidays else { return Ok(detector) };
        let bytes =
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let uri: ObjectUri = format!("s3://this-machine/{name}").parse()?;
        let calendar = HolidayCalendar::parse(&uri, &bytes)
            .with_context(|| format!("in {}", file.display()))?;
        Ok(detector.with_holidays(calendar.during(YEARS)))
    }

    fn clocks(&self) -> Result<Clocks> {
        let zone = TimeZone::get(&self.time_zone).with_context(|| {
            format!("no time zone is called {}: name one such as Europe/Berlin", self.time_zone)
        })?;
        Ok(clocks(&zone))
    }
}

/// Becomes true when Ctrl-C is pressed.
pub(crate) fn stopped() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed))
        .context("cannot listen for Ctrl-C")?;
    Ok(stop)
}
