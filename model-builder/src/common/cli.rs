//! Arguments that several commands share, and how commands are interrupted.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use clap::Args;
use deepguard::{Artifact, Clocks, Detector};
use deepguard_aws::clocks::clocks;
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

/// By whose clock the machines live.
#[derive(Debug, Args)]
pub(crate) struct ClockArgs {
    /// The machines' time zone, such as Europe/Berlin: `TimeZone` of their deployment.
    #[arg(long, value_name = "NAME", default_value = "UTC")]
    time_zone: String,
}

impl ClockArgs {
    /// Its clocks, as a deployment with this zone has them.
    ///
    /// # Errors
    /// Where the IANA database has no such zone.
    pub(crate) fn clocks(&self) -> Result<Clocks> {
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
