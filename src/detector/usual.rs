//! The errors that are usual for an instance, and the band that follows from them.

use super::Detector;
use crate::baseline::Baseline;
use crate::channel::{CHANNELS, Channel};
use crate::compress::{at_distance, expand};
use crate::memory::Memory;
use crate::score::Rule;

impl Detector {
    /// The usual error of each channel for an instance on the day of `baseline`, as others are
    /// compared with it; `None` for a channel without any.
    pub(crate) fn usual_errors(
        &self,
        baseline: &Baseline,
        memory: &Memory,
    ) -> [Option<f64>; CHANNELS] {
        let run_growth = self.artifact.card().growth.of_run(baseline.days());
        let rule = Rule::new(self.threshold(), baseline, run_growth);
        let days = |index: usize| memory.largest_for_others(index, baseline.at).collect();
        self.usual_of(&rule, baseline, days)
    }

    /// The usual error of each channel, from the instance's days before this one; `None` for a
    /// channel without any.
    pub(super) fn usual(
        &self,
        rule: &Rule,
        baseline: &Baseline,
        memory: &Memory,
    ) -> [Option<f64>; CHANNELS] {
        self.usual_of(rule, baseline, |index| memory.largest(index).collect())
    }

    fn usual_of(
        &self,
        rule: &Rule,
        baseline: &Baseline,
        days: impl Fn(usize) -> Vec<f64>,
    ) -> [Option<f64>; CHANNELS] {
        std::array::from_fn(|index| {
            let channel = Channel::ALL[index];
            let growth = |days: usize| self.artifact.card().growth.of(channel, days);
            let days = days(index);
            match (days.as_slice(), baseline.largest) {
                // The errors within the history stand for a first day.
                ([], Some(largest)) => rule.usual(channel, &[largest[index]], growth(0)),
                (days, _) => rule.usual(channel, days, growth(days.len())),
            }
        })
    }

    /// The band of values for one datapoint, in percent, where `expected` (compressed) is expected.
    pub(super) fn band(
        &self,
        rule: &Rule,
        expected: f64,
        usual: &[Option<f64>; CHANNELS],
    ) -> [f64; 2] {
        let end = |index: usize| {
            let channel = Channel::ALL[index];
            at_distance(
                expected,
                rule.tolerance(channel, usual[index].unwrap_or(0.0)),
                channel.is_up(),
            )
        };
        let [high, low] = [0, 1].map(end);
        self.sensitivity.widen(expand(expected), [low, high])
    }
}
