//! The pipeline: history to baseline, and what came after it to scores.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::Device;
use serde::Serialize;

use crate::baseline::usual::Usual;
use crate::baseline::{Baseline, Expectation, HISTORY, OWN_DAYS, Phase, TooLittleHistory, calibrated_at};
use crate::model::Autoencoder;
use crate::model::artifact::Artifact;
use crate::residual::{Explanation, Residual};
use crate::score::{Rule, Score};
use crate::series::{DAY_SECONDS, PERIOD, Series};
use crate::window::Windows;

/// Windows that the network sees at once: enough to fill the processor, few enough to stay in its cache.
const BATCH: usize = 512;
/// With less of the window visible than this, the network is not asked.
const MIN_VISIBLE: f64 = 0.5;

/// Why a baseline could not be made.
pub type CalibrateError = TooLittleHistory;

/// The baselines of one instance, by the time they were made, and where there was too little history for
/// one: neither is tried again. See [`Detector::follow`].
pub type Baselines = BTreeMap<i64, Result<Baseline, CalibrateError>>;

/// A model ready to score.
#[derive(Debug)]
pub struct Detector {
    artifact: Artifact,
    network: Autoencoder,
    device: Device,
}

/// One scored datapoint. Values in percent, distances in percentage points.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scored {
    /// Start of the datapoint's period, in seconds since 1970.
    pub time: i64,
    /// CPU that was measured.
    pub observed: f64,
    /// CPU that the network expected; `None` where too much of its window was missing.
    pub reconstruction: Option<f64>,
    /// CPU that was expected: the nearest of reconstruction, median and daily profile.
    pub expected: f64,
    /// Which of them that is.
    pub explanation: Explanation,
    /// Half the width of the expected band: `|observed - expected|` where the score is 1.0.
    pub tolerance: f64,
    /// How unusual it is.
    pub score: Score,
    /// Whether the instance was judged by its own history alone.
    pub phase: Phase,
}

impl Scored {
    /// `|observed - reconstruction|` in percentage points; from the expected value where the network was not asked.
    pub fn reconstruction_error(&self) -> f64 {
        (self.observed - self.reconstruction.unwrap_or(self.expected)).abs()
    }
}

impl Detector {
    /// A detector that scores on `device` with the network and the threshold of `artifact`.
    pub fn new(artifact: Artifact, device: Device) -> Self {
        let network = artifact.network(&device);
        Self { artifact, network, device }
    }

    /// The artifact it scores with.
    pub fn artifact(&self) -> &Artifact {
        &self.artifact
    }

    /// Learns from the slots of `history` that start before `at` (seconds since 1970) what is usual
    /// for an instance.
    ///
    /// # Errors
    /// [`TooLittleHistory`] when they hold less than a day.
    pub fn calibrate(&self, history: &Series, at: i64) -> Result<Baseline, CalibrateError> {
        let expectation = Expectation::learn(history, at)?;
        let end = history.index_at(at);
        let residuals = self.residuals(history, &expectation, end.saturating_sub(HISTORY)..end);
        let phase = if expectation.days() < OWN_DAYS { Phase::Borrowed } else { Phase::Own };
        let at_least = match phase {
            Phase::Borrowed => self.artifact.card().borrowed_usual * expectation.level.scale,
            Phase::Own => 0.0,
        };
        let sizes: Vec<Option<f64>> = residuals.iter().map(|found| found.map(|(_, residual)| residual.size)).collect();
        Ok(Baseline { at, phase, usual: Usual::of(&sizes, at_least), expectation })
    }

    /// Scores the datapoints of `series` in `times` (seconds since 1970) against `baseline`.
    ///
    /// A residual that occurred since the baseline was made is usual from then on: the first
    /// datapoint of an episode has its highest score. So the series must reach back to
    /// [`Baseline::at`], and a window further; what lies before that is not scored.
    pub fn score(&self, baseline: &Baseline, series: &Series, times: Range<i64>) -> Vec<Scored> {
        let expectation = &baseline.expectation;
        let rule = Rule::new(self.artifact.card().threshold, expectation.level.deviation);
        let since = series.index_at(baseline.at);
        let residuals = self.residuals(series, expectation, since..series.index_at(times.end));
        let mut usual = baseline.usual.residual;
        let mut scored = Vec::new();
        for (index, found) in (since..).zip(residuals) {
            let (Some((reconstruction, residual)), Some(observed)) = (found, series.get(index)) else { continue };
            let time = series.time_of(index);
            if time >= times.start {
                scored.push(Scored {
                    time,
                    observed,
                    reconstruction,
                    expected: residual.expected,
                    explanation: residual.explanation,
                    tolerance: rule.tolerance(usual),
                    score: rule.score(residual.size, usual),
                    phase: baseline.phase,
                });
            }
            usual = usual.max(residual.size);
        }
        scored
    }

    /// Scores the datapoints of `series` in `times`, each against the baseline of its own day.
    ///
    /// Baselines that are in `baselines` are used, others are made of `series` and kept there. A day
    /// before which there is too little history is passed over. See [`Self::needs_from`] for how much is read.
    pub fn follow(&self, series: &Series, times: Range<i64>, baselines: &mut Baselines) -> Vec<Scored> {
        let (start, end) = (times.start.max(series.start()), times.end.min(series.end()));
        let mut scored = Vec::new();
        for day in days(start..end) {
            let made = baselines.entry(day).or_insert_with(|| self.calibrate(series, day));
            if let Ok(baseline) = made {
                scored.extend(self.score(baseline, series, start.max(day)..end.min(day + DAY_SECONDS)));
            }
        }
        scored
    }

    /// How far back the series must reach for [`Self::follow`] to score `times` with what is in
    /// `baselines`: to midnight and a window further, or two weeks more where a baseline is missing.
    pub fn needs_from(&self, times: Range<i64>, baselines: &Baselines) -> i64 {
        let context = self.artifact.card().shape.window as i64 * PERIOD;
        let history = |day| if baselines.contains_key(&day) { 0 } else { HISTORY as i64 * PERIOD };
        let needed = days(times.clone()).map(|day| day - history(day) - context).min();
        needed.unwrap_or(times.start)
    }

    /// Reconstruction and residual of each slot in `slots`, `None` where nothing was measured.
    fn residuals(
        &self,
        series: &Series,
        expectation: &Expectation,
        slots: Range<usize>,
    ) -> Vec<Option<(Option<f64>, Residual)>> {
        let slots: Vec<usize> = slots.collect();
        let time = self.artifact.card().shape.window;
        let mut found = Vec::with_capacity(slots.len());
        for slots in slots.chunks(BATCH) {
            let measured: Vec<usize> = slots.iter().copied().filter(|&slot| series.get(slot).is_some()).collect();
            let mut windows = Windows::new(time, measured.len());
            measured.iter().for_each(|&slot| windows.push(series, expectation, slot));
            windows.hide_newest();
            let mut reconstructed = self.network.reconstruct_newest(&windows, &self.device).into_iter().enumerate();
            found.extend(slots.iter().map(|&slot| {
                let observed = series.get(slot)?;
                let (window, scaled) = reconstructed.next()?;
                let reconstruction = (windows.visible_fraction(window) >= MIN_VISIBLE)
                    .then(|| expectation.level.unscaled(f64::from(scaled)));
                let profile = expectation.daily.at(series.time_of(slot)).centre;
                Some((reconstruction, Residual::of(observed, reconstruction, expectation.level.median, profile)))
            }));
        }
        found
    }
}

/// The days that `times` touches, each by the time its baseline is made.
fn days(times: Range<i64>) -> impl Iterator<Item = i64> {
    (calibrated_at(times.start)..times.end).step_by(DAY_SECONDS as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_reaches_to_midnight_or_two_weeks_further() {
        let artifact = Artifact::from_bytes(include_bytes!("../models/default.safetensors")).expect("sound");
        let context = artifact.card().shape.window as i64 * PERIOD;
        let detector = Detector::new(artifact, crate::model::device());
        let unknown = |at| Err(TooLittleHistory { at, datapoints: 0 });
        let (today, tomorrow) = (100 * DAY_SECONDS, 101 * DAY_SECONDS);
        let noon = today + DAY_SECONDS / 2..today + DAY_SECONDS / 2 + 1800;
        let midnight = tomorrow - 900..tomorrow + 900;

        let mut baselines = Baselines::new();
        assert_eq!(detector.needs_from(noon.clone(), &baselines), today - 14 * DAY_SECONDS - context);
        baselines.insert(today, unknown(today));
        assert_eq!(detector.needs_from(noon, &baselines), today - context);
        assert_eq!(detector.needs_from(midnight.clone(), &baselines), tomorrow - 14 * DAY_SECONDS - context);
        baselines.insert(tomorrow, unknown(tomorrow));
        assert_eq!(detector.needs_from(midnight, &baselines), today - context);
    }
}
