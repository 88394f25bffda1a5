//! What keeps a run of a function from doing anything at all.

use deepguard_aws::ports::CallError;
use lambda_runtime::Diagnostic;

use crate::model::ModelError;
use crate::settings::SettingsError;
use crate::startup::NoSuchHandler;
use crate::trigger::EventError;

/// A run that failed as a whole. What fails for some instances only is in the summary.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RunError {
    /// The function's environment.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The handler of the function's configuration.
    #[error(transparent)]
    Handler(#[from] NoSuchHandler),
    /// The event.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The instances are not known.
    #[error("the instances cannot be listed: {0}")]
    List(CallError),
    /// No instance could be read.
    #[error("none of {instances} instances could be read; of the last one: {why}")]
    NothingRead {
        /// How many there are.
        instances: usize,
        /// What went wrong.
        why: String,
    },
    /// The scores reached nobody.
    #[error("none of {datums} datums could be published: {error}")]
    NothingPublished {
        /// How many there were.
        datums: usize,
        /// What went wrong, the last time.
        error: CallError,
    },
    /// There is nowhere to keep baselines.
    #[error(
        "STATE_URI is empty, so that baselines could not be kept: set it, or do without a calibrator"
    )]
    NothingKept,
    /// Baselines were made in vain.
    #[error("the baselines that were made could not be written: the log says why")]
    NotWritten,
}

/// What the Lambda console shows, and what retries and alarms can tell apart.
impl From<RunError> for Diagnostic {
    fn from(error: RunError) -> Self {
        let error_type = match &error {
            RunError::Settings(_) | RunError::Handler(_) => "SettingsError",
            RunError::Event(_) => "EventError",
            RunError::Model(_) => "ModelError",
            RunError::List(_) => "ListError",
            RunError::NothingRead { .. } => "NothingRead",
            RunError::NothingPublished { .. } => "NothingPublished",
            RunError::NothingKept => "NothingKept",
            RunError::NotWritten => "NotWritten",
        };
        Self { error_type: error_type.into(), error_message: error.to_string() }
    }
}
