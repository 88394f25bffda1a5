//! How long the parts of a process's start take, for the log.

use std::str::FromStr;
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

/// Which of the functions a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handler {
    /// Scores the CPU of EC2 instances.
    Detector,
    /// Makes the baselines of a new day.
    Calibrator,
    /// Judges a sequence of CPU values that a client sends.
    Predictor,
}

/// A handler that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no handler `{0}`: set the function's Handler to detector, calibrator or predictor"
)]
pub struct NoSuchHandler(String);

impl FromStr for Handler {
    type Err = NoSuchHandler;

    /// Parses the handler of the function's configuration. Without one, or with the name of this
    /// program (`cargo lambda` gives it), it is the detector.
    fn from_str(text: &str) -> Result<Self, NoSuchHandler> {
        match text {
            "" | "bootstrap" | "detector" => Ok(Self::Detector),
            "calibrator" => Ok(Self::Calibrator),
            "predictor" => Ok(Self::Predictor),
            other => Err(NoSuchHandler(other.into())),
        }
    }
}

/// A start that is under way.
#[derive(Debug)]
pub struct Start {
    /// When `main` began, by the clock of the machine: the parent process can then tell how long
    /// the start took until then.
    began: Timestamp,
    clock: Instant,
    /// The end of the last finished part.
    divided: Instant,
    parts: Parts,
}

/// Microseconds of each part.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Parts {
    /// The environment is read and the log begun.
    settings: u64,
    /// The shared configuration of all calls to AWS, above all the trusted certificates.
    aws_config: u64,
    /// The clients of CloudWatch and S3.
    clients: u64,
    /// The model, loaded into a network; 0 for the calibrator, which loads it in its first run.
    model: u64,
}

/// A part of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// [`crate::settings`] and [`crate::run::log`].
    Settings,
    /// [`deepguard_aws::client::config`].
    AwsConfig,
    /// The clients of CloudWatch and S3.
    Clients,
    /// [`crate::run::Detection::prepare`].
    Model,
}

impl Start {
    /// Begins a start now.
    pub fn now() -> Self {
        let clock = Instant::now();
        Self { began: Timestamp::now(), clock, divided: clock, parts: Parts::default() }
    }

    /// When it began.
    pub fn clock(&self) -> Instant {
        self.clock
    }

    /// When it began, by the clock of the machine.
    pub fn began(&self) -> Timestamp {
        self.began
    }

    /// Counts the time since the part before towards this one.
    pub fn done(&mut self, part: Part) {
        let now = Instant::now();
        let took = (now - self.divided).as_micros() as u64;
        self.divided = now;
        *match part {
            Part::Settings => &mut self.parts.settings,
            Part::AwsConfig => &mut self.parts.aws_config,
            Part::Clients => &mut self.parts.clients,
            Part::Model => &mut self.parts.model,
        } += took;
    }

    /// The parts that are done.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_with_a_typo_is_refused() {
        for (text, handler) in [
            ("", Handler::Detector),
            ("bootstrap", Handler::Detector),
            ("detector", Handler::Detector),
            ("calibrator", Handler::Calibrator),
            ("predictor", Handler::Predictor),
        ] {
            assert_eq!(text.parse(), Ok(handler));
        }
        let error = "Detector".parse::<Handler>().unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no handler `Detector`: set the function's Handler to detector, calibrator or \
             predictor"
        );
    }

    #[test]
    fn each_part_gets_the_time_since_the_one_before() {
        let mut start = Start::now();
        start.clock -= std::time::Duration::from_millis(5);
        start.divided = start.clock;
        start.done(Part::Settings);
        start.done(Part::Model);
        let Parts { settings, aws_config, clients, model } = *start.parts();
        assert!(settings >= 5000);
        assert_eq!((aws_config, clients), (0, 0));
        assert!(u128::from(settings + model) <= start.clock().elapsed().as_micros());
    }
}
