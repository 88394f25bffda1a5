//! A sequence of CPU values alone, without time or history: how far is it from the network's
//! reconstruction?
//!
//! The instance's own past usually defines the usual values, and it is missing here. So the
//! sequence is scaled by its own level, and there are no profiles. The artifact lends the usual
//! error, as it does to new instances. It is the largest error of an ordinary day elsewhere, in
//! units of the machine's own scale. [`Detector::score`] knows better wherever there is a history.

use crate::baseline::Expectation;
use crate::baseline::HISTORY;
use crate::baseline::level::Level;
use crate::baseline::profile::Profile;
use crate::channel::{CHANNELS, Channel};
use crate::compress::{compress, distance, expand};
use crate::detector::Detector;
use crate::score::{Rule, Score};
use crate::series::{Datapoint, PERIOD, Series};
use crate::window::Windows;

/// The longest sequence: the history of a baseline.
pub const LONGEST: usize = HISTORY;
/// CPU in percent.
const LARGEST: f64 = 100.0;

/// The judgement of a sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The error of the value that is most unusual. Its unit is the sequence's own robust standard
    /// deviation, compressed.
    pub reconstruction_error: f64,
    /// The error from which on it is an anomaly, in the same unit.
    pub threshold: f64,
    /// Whether it is one: the error has reached the threshold, and the score 1.0.
    pub is_anomaly: bool,
    /// How unusual it is.
    pub score: Score,
    /// The channel that finds it so: [`Channel::SpikeUp`] or [`Channel::SpikeDown`].
    pub channel: Channel,
    /// The value that is most unusual, counted from 0.
    pub at: usize,
    /// What each value was expected to be, in percent.
    pub expected: Vec<f64>,
}

/// A sequence that cannot be judged.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum JudgeError {
    /// Too few values, or too many.
    #[error(
        "it has {given} values: give {least} to {LONGEST}, the CPU in percent every five minutes"
    )]
    Length {
        /// How many there are.
        given: usize,
        /// The fewest: a window.
        least: usize,
    },
    /// A value that is not CPU in percent.
    #[error("its value {index} (counted from 0) is {value}: give percent of CPU, 0 to 100")]
    Value {
        /// Which value.
        index: usize,
        /// The value.
        value: f64,
    },
}

/// An error, the tolerated error, and the results made of them.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    error: f64,
    threshold: f64,
    score: Score,
    channel: Channel,
    at: usize,
}

impl Detector {
    /// Judges CPU values in percent, five minutes apart.
    ///
    /// # Errors
    /// [`JudgeError`] names the value that is not valid.
    pub fn judge_sequence(&self, sequence: &[f64]) -> Result<Judged, JudgeError> {
        let card = self.artifact().card();
        let time = card.shape.window;
        let length = JudgeError::Length { given: sequence.len(), least: time };
        if let Some((index, &value)) =
            sequence.iter().enumerate().find(|(_, value)| !(0.0..=LARGEST).contains(*value))
        {
            return Err(JudgeError::Value { index, value });
        }
        if !(time..=LONGEST).contains(&sequence.len()) {
            return Err(length);
        }
        let points = sequence
            .iter()
            .enumerate()
            .map(|(slot, &value)| Datapoint { time: slot as i64 * PERIOD, value });
        let (Ok((series, _)), Some(level)) =
            (Series::from_datapoints(points), Level::of(sequence.to_vec()))
        else {
            return Err(length);
        };
        // Made from no history: the median, with no confidence.
        let expectation =
            Expectation { daily: Profile::daily(&series, 0, &level), weekly: None, level };

        let newest: Vec<usize> = (time - 1..sequence.len()).collect();
        let mut windows = Windows::new(time, newest.len());
        windows.push_all(&series, &expectation, &newest, 1);
        windows.hide_newest(1);
        let reconstructed = self.reconstruct(&windows);

        // Before the first whole window ends, the values as that window reconstructs them.
        let first = reconstructed.get(1..time).unwrap_or_default().iter().rev();
        let scaled = first.chain(
            reconstructed.chunks_exact(time).filter_map(|newest_first| newest_first.first()),
        );
        let rule = Rule::of_level(self.threshold(), &level, 0.0);
        // An ordinary day elsewhere, in units of the scale.
        let usual: [f64; CHANNELS] = std::array::from_fn(|index| {
            card.borrowed_usual[index] * level.scale_of(Channel::ALL[index].is_up())
        });
        let mut expected = Vec::with_capacity(sequence.len());
        let mut worst = Candidate {
            error: 0.0,
            threshold: rule.tolerance(Channel::SpikeUp, usual[0]),
            score: Score::default(),
            channel: Channel::SpikeUp,
            at: 0,
        };
        for (at, (&value, &scaled)) in sequence.iter().zip(scaled).enumerate() {
            let said = level.compressed(f64::from(scaled));
            let is_above = compress(value) >= said;
            let (index, channel) =
                if is_above { (0, Channel::SpikeUp) } else { (1, Channel::SpikeDown) };
            let (error, usual) = (distance(compress(value), said), usual[index]);
            let score = rule.score(channel, error, usual);
            if score > worst.score {
                worst = Candidate {
                    error,
                    threshold: rule.tolerance(channel, usual),
                    score,
                    channel,
                    at,
                };
            }
            expected.push(expand(said));
        }
        Ok(worst.judged(&level, expected))
    }
}

impl Candidate {
    fn judged(self, level: &Level, expected: Vec<f64>) -> Judged {
        let Self { error, threshold, score, channel, at } = self;
        let scale = level.scale_of(channel.is_up());
        let (error, mut threshold) = (error / scale, threshold / scale);
        let is_anomaly = score.is_anomalous();
        // A difference in the last bit must not lead to a contradiction.
        if is_anomaly {
            threshold = threshold.min(error);
        } else if error >= threshold {
            threshold = error.next_up();
        }
        Judged { reconstruction_error: error, threshold, is_anomaly, score, channel, at, expected }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::artifact::Artifact;
    use crate::model::device;

    fn detector() -> Detector {
        let artifact =
            Artifact::from_bytes(include_bytes!("../models/default.safetensors")).expect("sound");
        Detector::new(artifact, &device())
    }

    /// A machine that has little to do.
    fn wave(length: usize) -> Vec<f64> {
        (0..length)
            .map(|slot| 12.0 + 0.5 * (slot as f64 / 8.0).sin() + (slot * 7 % 5) as f64 / 5.0)
            .collect()
    }

    #[test]
    fn a_spike_is_an_anomaly_and_a_calm_sequence_is_none() {
        let detector = detector();
        let calm = detector.judge_sequence(&wave(50)).expect("judged");
        assert!(!calm.is_anomaly, "{calm:?}");
        for at in [3, 20, 40, 49] {
            let mut spike = wave(50);
            spike[at] = 99.0;
            let judged = detector.judge_sequence(&spike).expect("judged");
            assert!(judged.is_anomaly && judged.score > calm.score, "at {at}: {judged:?}");
            assert_eq!((judged.channel, judged.at), (Channel::SpikeUp, at));
        }
    }

    #[test]
    fn a_constant_sequence_is_no_anomaly() {
        for value in [0.0, 0.1, 37.5, 100.0] {
            let judged = detector().judge_sequence(&[value; 50]).expect("judged");
            assert!(!judged.is_anomaly && judged.threshold.is_finite(), "{judged:?}");
            judged.expected.iter().for_each(|expected| {
                assert!((expected - value).abs() < 0.5, "{expected} for {value}")
            });
        }
    }

    #[test]
    fn what_is_no_sequence_of_cpu_is_told_with_its_place() {
        let detector = detector();
        for (length, well) in
            [(0, false), (31, false), (32, true), (50, true), (LONGEST, true), (LONGEST + 1, false)]
        {
            let judged = detector.judge_sequence(&wave(length));
            assert_eq!(judged.is_ok(), well, "{length}");
            assert!(judged.is_err() || judged.is_ok_and(|judged| judged.expected.len() == length));
        }
        for value in [f64::NAN, f64::INFINITY, -0.1, 100.1] {
            let mut sequence = wave(50);
            sequence[17] = value;
            let error = detector.judge_sequence(&sequence).expect_err("no CPU").to_string();
            assert!(error.contains("its value 17"), "{error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn error_threshold_and_score_say_the_same(
            sequence in prop::collection::vec(
                prop_oneof![0.0f64..=100.0, Just(50.0), Just(50.000_001)],
                32..80,
            ),
        ) {
            let judged = detector().judge_sequence(&sequence).expect("judged");
            prop_assert_eq!(judged.is_anomaly, judged.score.value() >= 1.0);
            prop_assert_eq!(judged.is_anomaly, judged.reconstruction_error >= judged.threshold);
            prop_assert!(judged.reconstruction_error.is_finite());
            prop_assert!(judged.threshold.is_finite() && judged.threshold > 0.0);
            prop_assert!(judged.expected.iter().all(|expected| expected.is_finite()));
        }
    }
}
