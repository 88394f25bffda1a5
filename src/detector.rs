//! The pipeline: history to baseline, and new datapoints to scores.

mod seen;
mod usual;

use std::num::NonZeroUsize;
use std::sync::Arc;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::baseline::forecast::{Compressed, HORIZONS, SEEN};
use crate::baseline::off::DaysOff;
use crate::baseline::residual::{self, Forecast};
use crate::baseline::{Baseline, Phase, TooLittleHistory, calibrated_at};
use crate::channel::{CHANNELS, Channel};
use crate::compress::{compress, expand};
use crate::detector::seen::Seen;
use crate::holidays::Holidays;
use crate::memory::Memory;
use crate::model::artifact::Artifact;
use crate::model::kernel::Kernel;
use crate::score::{Direction, Rule, Score, Sensitivity, Threshold};
use crate::scored::Scored;
use crate::series::{DAY_SECONDS, Datapoint, PERIOD, RESOLUTIONS, Series};
use crate::shape::Deviations;
use crate::window::{LOOKS, MOST_HIDDEN, Windows};
use crate::zone::Clocks;

/// Datapoints in one batch: enough to fill the processor, few enough to stay in its cache.
const BATCH: usize = 256;
/// The network does not run if less than this fraction of the window is visible.
const MIN_VISIBLE: f64 = 0.5;
/// Days to score again when there is no memory: the 14 stored days, one more day before them, and
/// yesterday. The extra day is not exact, because the evening before it is unknown. A run shortly
/// after midnight begins with yesterday.
const REBUILD: i64 = 16;

/// A model ready to score. A clone shares the model.
#[derive(Debug, Clone)]
pub struct Detector {
    artifact: Arc<Artifact>,
    /// `None`: the instance's own forecast is used alone.
    kernel: Option<Arc<Kernel>>,
    /// Replaces the artifact's threshold.
    threshold: Option<Threshold>,
    sensitivity: Sensitivity,
    /// By which clock baselines are learnt.
    clocks: Clocks,
    holidays: Holidays,
}

/// The state of one instance: its baseline of the day, and its memory.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Watch {
    /// The baseline of today; `None` where there is too little history, or nothing was scored yet.
    pub baseline: Option<Baseline>,
    /// The memory of the datapoints so far.
    pub memory: Memory,
}

impl Watch {
    /// How much history its next score rests on.
    pub fn phase(&self) -> Phase {
        self.baseline.as_ref().map_or(Phase::NoBaseline, |baseline| baseline.phase)
    }
}

impl Detector {
    /// A detector that scores with the network of `artifact`, which is loaded on `device`, and with
    /// its threshold.
    pub fn new(artifact: Artifact, device: &Device) -> Self {
        let kernel = Some(Arc::new(Kernel::new(&artifact.network(device))));
        Self { kernel, ..Self::without_network(artifact) }
    }

    /// The same detector without its network. Everything else is the same, so it shows what the
    /// network adds.
    pub fn without_network(artifact: Artifact) -> Self {
        Self {
            artifact: Arc::new(artifact),
            kernel: None,
            threshold: None,
            sensitivity: Sensitivity::default(),
            clocks: Clocks::default(),
            holidays: Holidays::default(),
        }
    }

    /// The same detector, with this number of threads where there is enough work for them.
    #[must_use]
    pub fn with_threads(self, threads: NonZeroUsize) -> Self {
        let with_threads =
            |kernel| Arc::new(Arc::<Kernel>::unwrap_or_clone(kernel).with_threads(threads));
        Self { kernel: self.kernel.map(with_threads), ..self }
    }

    /// The same detector with another threshold than its artifact's.
    #[must_use]
    pub fn with_threshold(self, threshold: Threshold) -> Self {
        Self { threshold: Some(threshold), ..self }
    }

    /// The same detector with limits: some anomalies do not count.
    #[must_use]
    pub fn with_sensitivity(self, sensitivity: Sensitivity) -> Self {
        Self { sensitivity, ..self }
    }

    /// The same detector, which learns by other clocks than UTC.
    #[must_use]
    pub fn with_clocks(self, clocks: Clocks) -> Self {
        Self { clocks, ..self }
    }

    /// Its limits.
    pub(crate) fn sensitivity(&self) -> Sensitivity {
        self.sensitivity
    }

    /// The same detector, which knows holidays.
    #[must_use]
    pub fn with_holidays(self, holidays: Holidays) -> Self {
        Self { holidays, ..self }
    }

    /// The baseline of the day that begins at `day` (midnight UTC), made of `series`.
    ///
    /// # Errors
    /// [`TooLittleHistory`]: see [`Baseline::learn_by`].
    pub fn learn(&self, series: &Series, day: i64) -> Result<Baseline, TooLittleHistory> {
        Baseline::learn_by(series, day, &self.clocks, &self.holidays)
    }

    /// The clocks by which it learns.
    pub fn clocks(&self) -> &Clocks {
        &self.clocks
    }

    /// The artifact it scores with.
    pub fn artifact(&self) -> &Artifact {
        &self.artifact
    }

    /// Scores the datapoints of `series` that are newer than `watch` and older than `until`
    /// (seconds since 1970). Each has the baseline of its own day. `watch` ends at the last of
    /// them.
    ///
    /// Baselines are made of `series`, where a new day begins.
    pub fn follow(&self, series: &Series, watch: &mut Watch, until: i64) -> Vec<Scored> {
        let mut scored = Vec::new();
        let mut start = watch.memory.end().unwrap_or(series.start()).max(series.start());
        let end = until.min(series.end());
        while start < end {
            let day = calibrated_at(start);
            if watch.baseline.as_ref().is_none_or(|baseline| baseline.at != day) {
                watch.baseline = self.learn(series, day).ok();
            }
            let next = end.min(day + DAY_SECONDS);
            let points: Vec<Datapoint> = series.between(start, next).collect();
            scored.extend(self.score(watch.baseline.as_ref(), &mut watch.memory, &points));
            start = next;
        }
        scored
    }

    /// Scores new datapoints, oldest first, against `baseline`, and remembers the state that the
    /// next ones need.
    ///
    /// Datapoints must lie on slots and be newer than the memory; others are left out. Without a
    /// baseline they are remembered, and scored from noon on if the memory suffices for
    /// [`Baseline::of_newborn`]. The split into calls changes nothing.
    pub fn score(
        &self,
        baseline: Option<&Baseline>,
        memory: &mut Memory,
        datapoints: &[Datapoint],
    ) -> Vec<Scored> {
        let datapoints: Vec<Datapoint> =
            datapoints.iter().copied().filter(Datapoint::is_slot).collect();
        let half_day = |point: &Datapoint| point.time.div_euclid(DAY_SECONDS / 2);
        let mut scored = Vec::new();
        for datapoints in datapoints.chunk_by(|a, b| half_day(a) == half_day(b)) {
            let newborn = match (baseline, &memory.recent) {
                (None, Some(recent)) => {
                    Baseline::of_newborn(recent, datapoints[0].time, &self.clocks)
                }
                _ => None,
            };
            let baseline = baseline.or(newborn.as_ref());
            for datapoints in datapoints.chunks(BATCH) {
                scored.extend(self.score_batch(baseline, memory, datapoints));
            }
        }
        scored
    }

    /// Scores datapoints of a time at which the instance is muted. The memory records only that
    /// they were there.
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

    fn score_batch(
        &self,
        baseline: Option<&Baseline>,
        memory: &mut Memory,
        datapoints: &[Datapoint],
    ) -> Vec<Scored> {
        let mut newest = memory.end().unwrap_or(i64::MIN);
        let new = datapoints.iter().copied().filter(|datapoint| {
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
        let values = Compressed::of(&series);
        let slots: Vec<usize> =
            new.iter().map(|datapoint| series.index_at(datapoint.time)).collect();
        let mut seen = self.seen(&values, series.start(), baseline, &slots);
        if let Some(other) = self.other_clock(baseline, &new) {
            let others = self.seen(&values, series.start(), &other, &slots);
            seen.iter_mut().zip(others).for_each(|(seen, other)| seen.take_nearer(&other));
        }
        let judged = new.iter().zip(seen).map(|(&datapoint, seen)| {
            memory.remember(datapoint, self.context());
            self.judge(baseline, memory, datapoint, seen)
        });
        judged.collect()
    }

    /// The forecasts of the datapoints in `slots` of `values`, whose slot 0 starts at `start`
    /// (seconds since 1970).
    fn seen<'a>(
        &self,
        values: &'a Compressed,
        start: i64,
        baseline: &Baseline,
        slots: &[usize],
    ) -> Vec<Seen<'a>> {
        let off = DaysOff::new(&self.holidays, &self.clocks, baseline.at);
        let forecast = |slot, horizon| baseline.forecast_around(off, values, start, slot, horizon);
        let own = |slot| std::array::from_fn(|horizon| forecast(slot, horizon));
        let own: Vec<Forecast> = slots.iter().map(|&slot| own(slot)).collect();
        let looks = self.look(values, start, baseline, slots, &own);
        let seen = slots.iter().zip(own).zip(looks);
        seen.map(|((&slot, own), look)| Seen { values, slot, own, look }).collect()
    }

    /// The baseline by the other clock that the instance may live by, where that is unknown and a
    /// clock changes on the day of `datapoints`.
    fn other_clock(&self, baseline: &Baseline, datapoints: &[Datapoint]) -> Option<Baseline> {
        let unknown = self.clocks == Clocks::Unknown && !datapoints.is_empty();
        unknown.then(|| baseline.by_changed_clock()).flatten()
    }

    /// The score of one datapoint, given the values and the forecasts up to it.
    fn judge(
        &self,
        baseline: &Baseline,
        memory: &mut Memory,
        datapoint: Datapoint,
        seen: Seen<'_>,
    ) -> Scored {
        let Datapoint { time, value: observed } = datapoint;
        memory.begin_day(time);
        let level = &baseline.expectations[0].level;
        let forecast = seen.forecast();
        let errors = residual::errors(seen.values, seen.slot, &forecast, level);
        let run_growth = self.artifact.card().growth.of_run(baseline.days());
        let rule = Rule::new(self.threshold(), baseline, run_growth);
        let usual = self.usual(&rule, baseline, memory);

        let at_hour = baseline.expectations[0].nearest(time, observed);
        let expected = forecast[0].map_or(at_hour, expand);
        let deviation = |channel: Channel| seen.deviation(channel, &forecast, level.centre);
        let score =
            |index: usize| Some(rule.score(Channel::ALL[index], errors[index]?, usual[index]?));
        let limited = |(index, channel): (usize, Channel)| {
            let limited = self.sensitivity.limit(score(index)?, || deviation(channel));
            Some((limited, Some(channel)))
        };
        let scores: [_; CHANNELS] =
            std::array::from_fn(|index| limited((index, Channel::ALL[index])));
        let higher = |best: (Score, _), next: (Score, _)| if next.0 > best.0 { next } else { best };
        let highest = scores.into_iter().flatten().fold((Score::default(), None), higher);
        // A value that does not change has no direction: it counts only if both directions do.
        let of_frozen = |score: Option<Score>| {
            let score = score.filter(|_| self.sensitivity.direction == Direction::Both);
            score.map_or(highest, |score| higher(highest, (score, None)))
        };
        let frozen = rule.frozen(memory.run).filter(|_| memory.reports_run());
        let (score, channel) = of_frozen(frozen);
        let (severity, seen_by) = of_frozen(rule.still_frozen(memory.run));
        let finding = || Deviations::of(memory, baseline).finding(seen_by, memory.run, baseline);
        let finding = severity.is_anomalous().then(finding);
        let is_spike = |channel: Channel| matches!(channel, Channel::SpikeUp | Channel::SpikeDown);
        let outside = scores
            .iter()
            .flatten()
            .any(|(score, channel)| score.is_anomalous() && channel.is_some_and(is_spike));
        let [low, high] = self.band(&rule, compress(expected), &usual);
        // Half a day shows too little of a day to set the largest errors for the next one.
        if !baseline.is_of_newborn() {
            memory.usual_from_now_on(&errors);
        }
        let surpasses = memory.surpasses(time, score.value());
        Scored {
            time,
            observed,
            reconstruction: seen.look[0].map(expand),
            expected,
            low,
            high,
            score,
            channel,
            surpasses,
            usual: at_hour,
            severity,
            outside,
            finding,
            muted: false,
            phase: baseline.phase,
        }
    }

    /// The ratio of an error to the usual one that makes a score of 1.0.
    pub fn threshold(&self) -> f64 {
        self.threshold.map_or(self.artifact.card().threshold, Threshold::value)
    }

    /// The network's correction of the instance's `own` forecasts of the datapoints in `slots` of
    /// `values`, for each of [`HORIZONS`]: compressed; `None` where too much of the window is
    /// missing. Slot 0 starts at `start` (seconds since 1970).
    fn look(
        &self,
        values: &Compressed,
        start: i64,
        baseline: &Baseline,
        slots: &[usize],
        own: &[Forecast],
    ) -> Vec<Forecast> {
        let mut looks = vec![Forecast::default(); slots.len()];
        let Some(kernel) = &self.kernel else { return looks };
        let time = self.artifact.card().shape.window;
        // One batch of all horizons: a small one costs about as much as a single window.
        let mut windows = Windows::new(time, LOOKS.len() * slots.len());
        // Windows that lie close together share most of their values: each is averaged and scaled
        // once.
        let mut known = RESOLUTIONS.map(|_| vec![None; values.len()]);
        for (horizon, (resolution, _)) in LOOKS.into_iter().enumerate() {
            let (expectation, over) = (&baseline.expectations[resolution], RESOLUTIONS[resolution]);
            let known = &mut known[resolution];
            let mut scaled = |slot: usize| {
                let value =
                    || Some(expectation.level.of_compressed(values.averaged(slot, over)?) as f32);
                *known[slot].get_or_insert_with(value)
            };
            for (index, (&slot, own)) in slots.iter().zip(own).enumerate() {
                windows.push_scaled(
                    expectation,
                    slot,
                    start + slot as i64 * PERIOD,
                    over,
                    &mut scaled,
                );
                windows.hide(baseline, horizon * slots.len() + index, horizon, own[horizon]);
            }
        }
        let reconstructed = kernel.reconstruct(&windows, MOST_HIDDEN);
        for (window, newest_first) in reconstructed.chunks_exact(MOST_HIDDEN).enumerate() {
            let (horizon, index) = (window / slots.len(), window % slots.len());
            let (resolution, hidden) = LOOKS[horizon];
            if windows.visible_fraction(window, hidden) >= MIN_VISIBLE {
                let level = &baseline.expectations[resolution].level;
                let sum: f64 = newest_first[..hidden]
                    .iter()
                    .map(|&value| level.compressed(f64::from(value)))
                    .sum();
                looks[index][horizon] = Some(sum / hidden as f64);
            }
        }
        looks
    }

    /// The network's reconstruction of each window: scaled, newest first, `[batch, time]`; empty
    /// without a network.
    pub(crate) fn reconstruct(&self, windows: &Windows) -> Vec<f32> {
        match &self.kernel {
            Some(kernel) => kernel.reconstruct(windows, windows.time()),
            None => vec![0.0; windows.len() * windows.time()],
        }
    }

    /// Slots that a datapoint's score can see, averages included: those of its windows, and of its
    /// forecasts.
    pub fn context(&self) -> usize {
        let windows = (self.artifact.card().shape.window + 1) * RESOLUTIONS[RESOLUTIONS.len() - 1];
        windows.max(SEEN + HORIZONS[HORIZONS.len() - 1])
    }
}

/// Where to begin with an instance without history, to score the datapoints before `until` as if it
/// had always been watched, from yesterday's midnight on. By then, the memory holds nothing from
/// before the start.
pub fn rebuild_from(until: i64) -> i64 {
    calibrated_at(until - 1) - REBUILD * DAY_SECONDS
}

#[cfg(test)]
mod tests;
