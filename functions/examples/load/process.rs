//! The function's process, started as Lambda starts it, and what Linux says of it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use scripted_aws::Aws;

use crate::Args;
use crate::fleet::{BUCKET, PREFIX};

/// Ticks a second in which Linux tells processor time to programs, on every machine.
const TICKS: f64 = 100.0;
/// Lines of a log that are worth showing when something went wrong.
const LAST_LINES: usize = 5;

/// The function.
pub(crate) struct Function {
    bootstrap: PathBuf,
    settings: Vec<(&'static str, String)>,
    log: PathBuf,
    child: Option<Child>,
}

impl Function {
    /// Not started yet.
    pub(crate) fn new(bootstrap: &Path, args: &Args, log: PathBuf) -> Self {
        let settings = vec![
            ("STATE_URI", format!("s3://{BUCKET}/{PREFIX}")),
            ("PUBLISH_MODE", args.publish.name().into()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", args.memory.to_string()),
        ];
        Self { bootstrap: bootstrap.into(), settings, log, child: None }
    }

    /// Starts the process, unless it runs already.
    pub(crate) fn start(&mut self, aws: &Aws) -> Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let log = File::create(&self.log).with_context(|| format!("cannot write {}", self.log.display()))?;
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
            .env("TZ", ":UTC")
            .env("LANG", "en_US.UTF-8")
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn();
        self.child = Some(child.with_context(|| format!("cannot start {}", self.bootstrap.display()))?);
        Ok(())
    }

    /// Whether there is a process that has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Seconds of processor since the start, the kernel's included.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        self.child.as_ref().map_or(Ok(0.0), |child| cpu_seconds(&child.id().to_string()))
    }

    /// The most memory that it had at once, in MB of 2^20 bytes, as Lambda counts them.
    pub(crate) fn peak_mb(&self) -> Result<f64> {
        let child = self.child.as_ref().context("the function was not started")?;
        let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in its status")?;
        let kilobytes: f64 = peak.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kilobytes / 1024.0)
    }

    /// What became of it, for somebody who has to find out what went wrong.
    pub(crate) fn last_words(&mut self) -> String {
        let state = match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(Some(status))) => format!("the process has ended with {status}"),
            Some(Ok(None)) => "the process runs".into(),
            _ => "the process is not there".into(),
        };
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<String> = log.lines().map(|line| line.chars().take(1000).collect()).collect();
        format!("{state}; the end of its log:\n{}", lines[lines.len().saturating_sub(LAST_LINES)..].join("\n"))
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself, which is just as well.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Seconds of processor of a process, by its number or as `self`.
pub(crate) fn cpu_seconds(process: &str) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in brackets, may contain anything. After it the fields are counted from the third on.
    let Some((_, fields)) = stat.rsplit_once(')') else { bail!("/proc/{process}/stat is not understood") };
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks =
        |field: usize| -> Result<f64> { Ok(fields.get(field - 3).context("/proc/<pid>/stat is too short")?.parse()?) };
    Ok((ticks(14)? + ticks(15)?) / TICKS)
}
