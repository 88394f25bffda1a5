//! Measures the first score of a process. This program starts itself, because a process has only
//! one first score.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use deepguard::baseline::{HISTORY, calibrated_at};
use deepguard::model::device;
use deepguard::series::PERIOD;
use deepguard::{Artifact, Datapoint, Detector, Memory, Series};
use scripted_aws::{Fleet, Generated};
use serde_json::{Value, json};

use crate::common::fleet::{MODEL, start_of_runs};

/// Datapoints before the first one that is scored with the network: more than its windows span.
const BEFORE: usize = 200;

/// Milliseconds.
pub(crate) struct FirstScore {
    /// From the bytes of the model to a network.
    pub(crate) load: f64,
    /// One datapoint of one instance, which is two windows through the network.
    pub(crate) first: f64,
    /// The next datapoint.
    pub(crate) second: f64,
}

/// Measures in a process of its own.
pub(crate) fn elsewhere() -> Result<FirstScore> {
    let output = Command::new(std::env::current_exe()?).arg("--first-score").output()?;
    ensure!(output.status.success(), "no first score: {}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout)?;
    let number =
        |name: &str| told[name].as_f64().with_context(|| format!("the first score has no {name}"));
    Ok(FirstScore { load: number("load")?, first: number("first")?, second: number("second")? })
}

/// Measures in this process, and prints JSON.
pub(crate) fn here() -> Result<()> {
    let at = start_of_runs()?;
    let day = calibrated_at(at);
    let points =
        Generated::new(1, 1).datapoints(&Generated::id(0), day - HISTORY as i64 * PERIOD, at, at);
    let points: Vec<Datapoint> =
        points.into_iter().map(|(time, value)| Datapoint { time, value }).collect();
    let (series, _) = Series::from_datapoints(points.iter().copied())?;
    // Earlier datapoints are judged without the network, so that it has not run yet.
    let before = Detector::without_network(Artifact::from_bytes(MODEL)?);
    let baseline = before.calibrate(&series, day).context("no baseline")?;
    let [.., first, second] = points[..] else { bail!("the fleet has no datapoints") };
    let mut memory = Memory::default();
    before.score(
        Some(&baseline),
        &mut memory,
        &points[points.len() - 2 - BEFORE..points.len() - 2],
    );

    let began = Instant::now();
    let detector = Detector::new(Artifact::from_bytes(MODEL)?, &device());
    let loaded = Instant::now();
    let scored = detector.score(Some(&baseline), &mut memory, &[first]);
    let once = Instant::now();
    detector.score(Some(&baseline), &mut memory, &[second]);
    let twice = Instant::now();
    ensure!(
        scored.iter().any(|scored| scored.reconstruction.is_some()),
        "the network was not asked"
    );
    let milliseconds = |from: Instant, to: Instant| (to - from).as_secs_f64() * 1000.0;
    println!(
        "{}",
        json!({
            "load": milliseconds(began, loaded),
            "first": milliseconds(loaded, once),
            "second": milliseconds(once, twice),
        })
    );
    Ok(())
}
