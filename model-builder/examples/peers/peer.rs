//! An engine in a Python process of its own, asked line by line.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// How often, and how many times at most, to check whether an engine has come to rest. The kernel
/// renews the times of a busy thread only at its ticks, of which there are at least a hundred a
/// second.
const LOOK: Duration = Duration::from_millis(25);
const LOOKS: usize = 400;

/// One engine with a number of threads.
pub(crate) struct Peer {
    pub(crate) engine: &'static str,
    pub(crate) threads: usize,
    pub(crate) version: String,
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts it with a model and the windows to score, and perhaps a variable of the environment.
    pub(crate) fn start(
        python: &Path,
        script: &Path,
        engine: &'static str,
        threads: usize,
        [artifact, windows]: [&Path; 2],
        environment: Option<(&str, &str)>,
    ) -> Result<Self> {
        let mut process = Command::new(python)
            .arg(script)
            .args([engine, &threads.to_string()])
            .args([artifact, windows])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", python.display()))?;
        let requests = process.stdin.take().context("a process without input")?;
        let answers = BufReader::new(process.stdout.take().context("a process without output")?);
        let mut peer = Self { engine, threads, version: String::new(), process, requests, answers };
        peer.version = peer.answer()?["version"].as_str().context("no version")?.to_string();
        Ok(peer)
    }

    /// Reads its answer.
    pub(crate) fn ask(&mut self, request: &Value) -> Result<Value> {
        writeln!(self.requests, "{request}")
            .with_context(|| format!("{} has ended", self.engine))?;
        self.answer()
    }

    /// Seconds of each call that it makes in its turn.
    pub(crate) fn score(&mut self, windows: usize, turn: Duration) -> Result<Vec<f64>> {
        let answer =
            self.ask(&json!({ "do": "score", "batch": windows, "seconds": turn.as_secs_f64() }))?;
        let seconds = answer["seconds_per_call"].as_array().context("no times")?;
        seconds.iter().map(|seconds| seconds.as_f64().context("no time")).collect()
    }

    /// Waits until all of its threads rest. Some engines' threads keep looking for work long after
    /// the last call. They would take a processor from the engine that has the next turn.
    pub(crate) fn rest(&self) -> Result<()> {
        let mut before = self.ran()?;
        for _ in 0..LOOKS {
            sleep(LOOK);
            let now = self.ran()?;
            if now == before {
                return Ok(());
            }
            before = now;
        }
        bail!("{} with {} does not come to rest", self.engine, crate::threads(self.threads))
    }

    /// How long its threads have run, in nanoseconds.
    fn ran(&self) -> Result<u64> {
        let mut sum = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            // A thread that has ended meanwhile does not run.
            let times = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            sum += times.split_whitespace().next().map_or(Ok(0), str::parse::<u64>)?;
        }
        Ok(sum)
    }

    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        ensure!(
            !line.is_empty(),
            "{} with {} has failed, see above",
            self.engine,
            crate::threads(self.threads)
        );
        serde_json::from_str(&line).with_context(|| format!("{} says {line:?}", self.engine))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
