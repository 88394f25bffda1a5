//! The function's process, started as Lambda starts it, and Linux's numbers about it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use scripted_aws::Aws;

use super::fleet::{BUCKET, PREFIX};

/// Lines of a log that are worth showing when something went wrong.
const LAST_LINES: usize = 5;

/// A process of the function, with its settings and its log.
pub(crate) struct Function {
    bootstrap: PathBuf,
    settings: Vec<(&'static str, String)>,
    log: PathBuf,
    child: Option<Child>,
}

impl Function {
    /// A process that is not started yet. `settings` are variables of its environment and override
    /// the usual ones.
    pub(crate) fn new(
        bootstrap: &Path,
        settings: Vec<(&'static str, String)>,
        log: PathBuf,
    ) -> Self {
        Self { bootstrap: bootstrap.into(), settings, log, child: None }
    }

    /// Starts the process, unless it runs already.
    pub(crate) fn start(&mut self, aws: &Aws) -> Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let log = File::create(&self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        let child = Command::new(&self.bootstrap)
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", aws.runtime().endpoint())
            .env("AWS_ENDPOINT_URL", aws.endpoint())
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "none")
            .env("AWS_LAMBDA_FUNCTION_NAME", "load")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/load")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "load")
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
            .env("_HANDLER", "detector")
            .env("STATE_URI", format!("s3://{BUCKET}/{PREFIX}"))
            .env("TZ", ":UTC")
            .env("LANG", "en_US.UTF-8")
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn();
        self.child =
            Some(child.with_context(|| format!("cannot start {}", self.bootstrap.display()))?);
        Ok(())
    }

    /// Whether there is a process that has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// The number of its process, if it was started.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// The most memory that it had at once, in MB of 2^20 bytes, as Lambda counts them.
    pub(crate) fn peak_mb(&self) -> Result<f64> {
        let id = self.id().context("the function was not started")?;
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .context("no VmHWM in its status")?;
        let kilobytes: f64 = peak.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kilobytes / 1024.0)
    }

    /// Its whole log.
    pub(crate) fn logged(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How the process ended, for a person who looks for the fault.
    pub(crate) fn last_words(&mut self) -> String {
        let state = match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(Some(status))) => format!("the process has ended with {status}"),
            Some(Ok(None)) => "the process runs".into(),
            _ => "the process is not there".into(),
        };
        let log = self.logged();
        let lines: Vec<String> =
            log.lines().map(|line| line.chars().take(1000).collect()).collect();
        format!(
            "{state}; the end of its log:\n{}",
            lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
        )
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself, which is fine, too.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
