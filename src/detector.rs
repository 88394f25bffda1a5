//! The pipeline: history to baseline, and new datapoints to scores.

use std::num::NonZeroUsize;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::baseline::{Baseline, Phase, calibrated_at};
use crate::memory::Memory;
use crate::model::artifact::Artifact;
use crate::model::kernel::Kernel;
use crate::residual::{CHANNELS, Channel, Errors, Explanation, Residual};
use crate::score::{Direction, Rule, Score, Sensitivity};
use crate::series::{DAY_SECONDS, Datapoint, PERIOD, RESOLUTIONS, Series};
use crate::shape::{Deviations, Finding};
use crate::window::Windows;

/// Datapoints that are looked at at once: enough to fill the processor, few enough to stay in its cache.
const BATCH: usize = 256;
/// With less of the window visible than this, the network is not asked.
const MIN_VISIBLE: f64 = 0.5;
/// Days that are scored again when nothing is remembered: the 14 that are kept, before them one that is not seen as it was
/// because nothing is known of the evening before it, and yesterday's, with which a run shortly after midnight begins.
const REBUILD: i64 = 16;

/// A model ready to score.
#[derive(Debug)]
pub struct Detector {
    artifact: Artifact,
    /// `None`: the daily profile stands in for its reconstruction.
    kernel: Option<Kernel>,
    /// In place of the artifact's.
    threshold: Option<f64>,
    sensitivity: Sensitivity,
}

/// What is known of one instance: its baseline of the day, and what is remembered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Watch {
    /// What is usual today; `None` where there is too little history, or nothing was scored yet.
    pub baseline: Option<Baseline>,
    /// What the datapoints so far left behind.
    pub memory: Memory,
}

impl Watch {
    /// How much history its next score rests on.
    pub fn phase(&self) -> Phase {
        self.baseline.as_ref().map_or(Phase::NoBaseline, |baseline| baseline.phase)
    }
}

/// One datapoint that was judged. Values in percent, distances in percentage points.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scored {
    /// Start of the datapoint's period, in seconds since 1970.
    pub time: i64,
    /// CPU that was measured.
    pub observed: f64,
    /// CPU that the network expected; `None` where too much of its window was missing.
    pub reconstruction: Option<f64>,
    /// CPU that was expected: the nearest of reconstruction, daily and weekly profile.
    pub expected: f64,
    /// Which of them that is.
    pub explanation: Explanation,
    /// Half the width of the expected band: outside of it, this datapoint alone is an anomaly.
    pub tolerance: f64,
    /// How unusual it is, by the channel that finds it most so.
    pub score: Score,
    /// That channel; `None` where the value is frozen.
    pub channel: Option<Channel>,
    /// Whether the score is higher than each of the half day before.
    pub surpasses: bool,
    /// What is usual at the hour: the nearer of daily and weekly profile.
    pub usual: f64,
    /// How unusual it is by the days before alone: unlike the score it stays up as long as an anomaly lasts.
    pub severity: Score,
    /// Whether this datapoint alone is an anomaly, by the days before.
    pub outside: bool,
    /// What there is to say of it, where it is one by its severity.
    pub finding: Option<Finding>,
    /// Whether the instance was muted at that time: the score is nobody's business, and nothing was learnt of the value.
    pub muted: bool,
    /// How much history the score rests on.
    pub phase: Phase,
}

impl Scored {
    /// Whether an alarm begins here: an anomaly, and worse than all of the half day before. So an episode has one alarm, and
    /// a second one only if it gets worse. What is muted raises none.
    pub fn is_alarm(&self) -> bool {
        self.score.is_anomalous() && self.surpasses && !self.muted
    }

    /// How far it is above what is usual at the hour, in percentage points.
    pub fn deviation(&self) -> f64 {
        self.observed - self.usual
    }

    /// `|observed - reconstruction|` in percentage points; from the expected value where the network was not asked.
    pub fn reconstruction_error(&self) -> f64 {
        (self.observed - self.reconstruction.unwrap_or(self.expected)).abs()
    }
}

/// What the network says of one datapoint, at each resolution; `None` where too much of the window is missing.
#[derive(Debug, Clone, Copy, Default)]
struct Look {
    /// Reconstruction in percent.
    reconstruction: Option<f64>,
    /// Error of the whole window.
    window: Option<f64>,
}

impl Detector {
    /// A detector that scores with the network of `artifact`, which is loaded on `device`, and with its threshold.
    pub fn new(artifact: Artifact, device: &Device) -> Self {
        let kernel = Some(Kernel::new(&artifact.network(device)));
        Self { artifact, kernel, threshold: None, sensitivity: Sensitivity::default() }
    }

    /// The same detector without its network: all else the same, it shows what the network adds.
    pub fn without_network(artifact: Artifact) -> Self {
        Self { artifact, kernel: None, threshold: None, sensitivity: Sensitivity::default() }
    }

    /// The same detector, with so many threads where there is enough to do for them.
    #[must_use]
    pub fn with_threads(self, threads: NonZeroUsize) -> Self {
        Self { kernel: self.kernel.map(|kernel| kernel.with_threads(threads)), ..self }
    }

    /// The same detector with another threshold than its artifact's: the ratio of a residual to the usual one that makes a score
    /// of 1.0. What is no such ratio (not finite, or not greater than 0) changes nothing.
    #[must_use]
    pub fn with_threshold(self, threshold: f64) -> Self {
        let possible = threshold.is_finite() && threshold > 0.0;
        Self { threshold: if possible { Some(threshold) } else { self.threshold }, ..self }
    }

    /// The same detector, for which some anomalies do not count.
    #[must_use]
    pub fn with_sensitivity(self, sensitivity: Sensitivity) -> Self {
        Self { sensitivity, ..self }
    }

    /// The artifact it scores with.
    pub fn artifact(&self) -> &Artifact {
        &self.artifact
    }

    /// Scores the datapoints of `series` that are newer than `watch` and older than `until` (seconds since 1970),
    /// each against the baseline of its own day, and leaves `watch` at the last of them.
    ///
    /// Baselines are made of `series`, where a new day begins.
    pub fn follow(&self, series: &Series, watch: &mut Watch, until: i64) -> Vec<Scored> {
        let mut scored = Vec::new();
        let mut start = watch.memory.end().unwrap_or(series.start()).max(series.start());
        let end = until.min(series.end());
        while start < end {
            let day = calibrated_at(start);
            if watch.baseline.as_ref().is_none_or(|baseline| baseline.at != day) {
                watch.baseline = Baseline::learn(series, day).ok();
            }
            let next = end.min(day + DAY_SECONDS);
            let points: Vec<Datapoint> = series.between(start, next).collect();
            scored.extend(self.score(watch.baseline.as_ref(), &mut watch.memory, &points));
            start = next;
        }
        scored
    }

    /// Scores new datapoints, oldest first, against `baseline`, and remembers what the next ones need.
    ///
    /// Datapoints lie on slots and are newer than what is remembered; others are left out. Without a baseline they are
    /// remembered and not scored. How the datapoints are portioned changes nothing.
    pub fn score(&self, baseline: Option<&Baseline>, memory: &mut Memory, datapoints: &[Datapoint]) -> Vec<Scored> {
        datapoints.chunks(BATCH).flat_map(|datapoints| self.score_batch(baseline, memory, datapoints)).collect()
    }

    /// Scores datapoints of a time at which the instance is muted, and remembers no more of them than that they were there.
    pub fn score_muted(
        &self,
        baseline: Option<&Baseline>,
        memory: &mut Memory,
        datapoints: &[Datapoint],
    ) -> Vec<Scored> {
        let scored = self.score(baseline, &mut memory.clone(), datapoints);
        if let Some(last) = datapoints.last() {
            memory.pass_over(last.time, self.context());
        }
        scored.into_iter().map(|scored| Scored { muted: true, ..scored }).collect()
    }

    fn score_batch(&self, baseline: Option<&Baseline>, memory: &mut Memory, datapoints: &[Datapoint]) -> Vec<Scored> {
        let mut newest = memory.end().unwrap_or(i64::MIN);
        let new = datapoints.iter().copied().filter(Datapoint::is_slot).filter(|datapoint| {
            let is_new = datapoint.time >= newest;
            newest = newest.max(datapoint.time + PERIOD);
            is_new
        });
        let new: Vec<Datapoint> = new.collect();
        let Some(baseline) = baseline else {
            new.iter().for_each(|&datapoint| memory.remember(datapoint, self.context()));
            return Vec::new();
        };
        // All that the windows of these datapoints can see.
        let seen = memory.recent.iter().flat_map(Series::datapoints).chain(new.iter().copied());
        let Ok((series, _)) = Series::from_datapoints(seen) else { return Vec::new() };
        let averaged = RESOLUTIONS.map(|over| series.averaged(over));
        let slots: Vec<usize> = new.iter().map(|datapoint| series.index_at(datapoint.time)).collect();
        let looks = self.look(&averaged, baseline, &slots);
        let judged = new.iter().zip(&slots).zip(looks).map(|((&datapoint, &slot), look)| {
            memory.remember(datapoint, self.context());
            let average = averaged[1].get(slot).unwrap_or(datapoint.value);
            self.judge(baseline, memory, datapoint, average, look)
        });
        judged.collect()
    }

    /// The score of one datapoint, given its mean over 20 minutes and what the network says of it.
    fn judge(
        &self,
        baseline: &Baseline,
        memory: &mut Memory,
        Datapoint { time, value: observed }: Datapoint,
        averaged: f64,
        [fine, coarse]: [Look; RESOLUTIONS.len()],
    ) -> Scored {
        memory.begin_day(time);
        let [expected, expected_of_average] = &baseline.expectations;
        let residual = Residual::of(observed, time, fine.reconstruction, expected);
        let habit = memory.habit(expected_of_average.distance(time, averaged));
        let errors: Errors = [Some(residual.size), fine.window, coarse.window, habit];

        let rule = Rule::new(self.threshold(), baseline.deviation(), baseline.longest_run)
            .with_min_deviation(self.sensitivity.min_deviation);
        let [before, usual] = self.usual(&rule, baseline, memory);
        let frozen = rule.frozen(memory.run).filter(|_| memory.reports_run());
        let context = Judging { detector: self, rule: &rule, errors: &errors, memory, baseline };
        let spike = observed - residual.expected;
        let (score, channel) = context.highest(&usual, frozen, spike);
        let (severity, seen_by) = context.highest(&before, rule.still_frozen(memory.run), spike);
        let window = self.artifact.card().shape.window;
        let finding = || Deviations::of(memory, baseline).finding(seen_by, window, memory.run, baseline);
        let finding = severity.is_anomalous().then(finding);
        let outside = rule.score(Channel::Datapoint, residual.size, before[0]);
        let outside = self.sensitivity.limit(outside, spike).is_anomalous();
        memory.usual_from_now_on(&errors);
        let surpasses = memory.surpasses(time, score.value());
        Scored {
            time,
            observed,
            reconstruction: fine.reconstruction,
            expected: residual.expected,
            explanation: residual.explanation,
            tolerance: rule.tolerance(Channel::Datapoint, usual[0]),
            score,
            channel,
            surpasses,
            usual: residual.usual,
            severity,
            outside,
            finding,
            muted: false,
            phase: baseline.phase,
        }
    }

    /// The ratio of an error to the usual one that makes a score of 1.0.
    pub fn threshold(&self) -> f64 {
        self.threshold.unwrap_or(self.artifact.card().threshold)
    }

    /// The error of each channel that is usual for the instance: by the days before, and with what this day has had.
    fn usual(&self, rule: &Rule, baseline: &Baseline, memory: &Memory) -> [[f64; CHANNELS]; 2] {
        let lent = self.artifact.card().borrowed_usual;
        let mut usual = [[0.0; CHANNELS]; 2];
        for (index, channel) in Channel::ALL.into_iter().enumerate() {
            let (days, today) = memory.largest(index);
            let own = rule.usual(channel, days);
            let lent = match baseline.phase {
                Phase::Borrowed => lent[index] * channel.unit(baseline.scale(channel)),
                _ => 0.0,
            };
            usual[0][index] = own.max(lent);
            usual[1][index] = own.max(today).max(lent);
        }
        usual
    }

    /// What the network says of the datapoints in `slots`.
    fn look(
        &self,
        averaged: &[Series; RESOLUTIONS.len()],
        baseline: &Baseline,
        slots: &[usize],
    ) -> Vec<[Look; RESOLUTIONS.len()]> {
        let time = self.artifact.card().shape.window;
        // One batch of both resolutions: a small one costs about as much as a single window.
        let mut windows = Windows::new(time, RESOLUTIONS.len() * slots.len());
        for (resolution, (series, expectation)) in averaged.iter().zip(&baseline.expectations).enumerate() {
            windows.push_all(series, expectation, slots, RESOLUTIONS[resolution]);
        }
        windows.hide_newest();
        let reconstructed = self.reconstruct(&windows);
        let mut looks = vec![[Look::default(); RESOLUTIONS.len()]; slots.len()];
        for (window, newest_first) in reconstructed.chunks_exact(time).enumerate() {
            let (resolution, index) = (window / slots.len(), window % slots.len());
            if windows.visible_fraction(window) >= MIN_VISIBLE {
                let level = &baseline.expectations[resolution].level;
                looks[index][resolution] = Look {
                    reconstruction: Some(level.unscaled(f64::from(newest_first[0]))),
                    window: Some(windows.error(window, newest_first)),
                };
            }
        }
        looks
    }

    /// What the network, or the daily profile in its place, makes of each window: scaled, newest first, `[batch, time]`.
    pub(crate) fn reconstruct(&self, windows: &Windows) -> Vec<f32> {
        match &self.kernel {
            Some(kernel) => kernel.reconstruct(windows),
            None => windows.profile_newest_first(),
        }
    }

    /// Slots that a datapoint's windows span at the coarsest resolution, averages included.
    pub fn context(&self) -> usize {
        self.artifact.card().shape.window * RESOLUTIONS[RESOLUTIONS.len() - 1]
    }
}

/// One datapoint that is being judged.
struct Judging<'a> {
    detector: &'a Detector,
    rule: &'a Rule,
    errors: &'a Errors,
    memory: &'a Memory,
    baseline: &'a Baseline,
}

impl Judging<'_> {
    /// The highest score of all channels where so much is `usual`, and of a value that is `frozen`; with the channel that has it.
    /// `spike` is how far the datapoint is above what was expected, in percentage points.
    fn highest(&self, usual: &[f64; CHANNELS], frozen: Option<Score>, spike: f64) -> (Score, Option<Channel>) {
        let Self { detector: Detector { sensitivity, artifact, .. }, .. } = self;
        let everything = *sensitivity == Sensitivity::default();
        let score = |(index, channel): (usize, Channel)| {
            let score = self.rule.score(channel, self.errors[index]?, usual[index]);
            let deviation = || match channel {
                Channel::Datapoint => spike,
                _ => Deviations::of(self.memory, self.baseline).mean(channel, artifact.card().shape.window),
            };
            // Worth looking at only where it would be an anomaly.
            match everything || !score.is_anomalous() {
                true => Some((score, Some(channel))),
                false => Some((sensitivity.limit(score, deviation()), Some(channel))),
            }
        };
        // A value that does not change goes no way: it matters to those who want to hear of all.
        let frozen = frozen.filter(|_| sensitivity.direction == Direction::Both).map(|score| (score, None));
        let higher = |best: (Score, _), next: (Score, _)| if next.0 > best.0 { next } else { best };
        Channel::ALL.into_iter().enumerate().filter_map(score).chain(frozen).fold((Score::default(), None), higher)
    }
}

/// Where to begin with an instance of which nothing is known, to score what lies before `until` as if it had always been
/// watched, from yesterday's midnight on: nothing of what was before is left in what is remembered then.
pub fn rebuild_from(until: i64) -> i64 {
    calibrated_at(until - 1) - REBUILD * DAY_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::DAY;

    fn artifact() -> Artifact {
        Artifact::from_bytes(include_bytes!("../models/default.safetensors")).expect("sound")
    }

    /// A few days of a machine that saws.
    fn series(days: usize) -> Series {
        let point = |slot: usize| Datapoint { time: slot as i64 * PERIOD, value: (slot % 50) as f64 };
        Series::from_datapoints((0..days * DAY).map(point)).expect("usable").0
    }

    #[test]
    fn without_its_network_it_expects_what_is_usual_at_the_hour() {
        let detector = Detector::without_network(artifact());
        let series = series(5);
        let mut watch = Watch::default();
        let scored = detector.follow(&series, &mut watch, series.end());
        let expectation = &watch.baseline.as_ref().expect("enough").expectations[0];
        for scored in &scored[3 * DAY..] {
            let (said, usual) = (scored.reconstruction.expect("a whole window"), expectation.daily(scored.time));
            assert!((said - usual).abs() < 1e-4, "{said} instead of {usual}");
        }
    }

    #[test]
    fn a_higher_threshold_scores_less_and_an_impossible_one_changes_nothing() {
        let series = series(5);
        let scores = |detector: Detector| -> Vec<f64> {
            let scored = detector.follow(&series, &mut Watch::default(), series.end());
            scored.iter().map(|scored| scored.score.value()).collect()
        };
        let bare = || Detector::without_network(artifact());
        let (plain, strict) = (scores(bare()), scores(bare().with_threshold(2.0 * bare().threshold())));
        assert!(plain.iter().zip(&strict).all(|(plain, strict)| strict <= plain));
        assert!(plain.iter().zip(&strict).any(|(plain, strict)| (strict * 2.0 - plain).abs() < 1e-9 && *plain > 0.0));
        for impossible in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(scores(bare().with_threshold(impossible)), plain, "{impossible}");
        }
    }
}
