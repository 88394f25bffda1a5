//! The errors that stop a whole run of a function.

use deepguard::incident::NotPaged;
use deepguard_aws::ports::CallError;
use lambda_runtime::Diagnostic;

use crate::model::ModelError;
use crate::settings::SettingsError;
use crate::startup::NoSuchHandler;
use crate::trigger::EventError;
use crate::trigger::shard::Shard;

/// A run that failed as a whole. Failures of some instances only are in the summary.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RunError {
    /// A setting has a value that cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The function's configuration names no handler of this binary.
    #[error(transparent)]
    Handler(#[from] NoSuchHandler),
    /// The event cannot be understood.
    #[error(transparent)]
    Event(#[from] EventError),
    /// No model can be loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The list of instances failed.
    #[error("the instances cannot be listed: {0}")]
    List(CallError),
    /// No instance could be read.
    #[error("none of {instances} instances could be read; of the last one: {why}")]
    NothingRead {
        /// Number of instances.
        instances: usize,
        /// The last failure.
        why: String,
    },
    /// CloudWatch took no score.
    #[error("none of {datums} datums could be published: {error}")]
    NothingPublished {
        /// Number of datums.
        datums: usize,
        /// The last failure.
        error: CallError,
    },
    /// A test alert was refused.
    #[error("the test did not arrive: {0}")]
    TestFailed(CallError),
    /// No incident to label.
    #[error(
        "{error}: `{incident}`, of shard {shard} (shards/shard). Send the event as the incident's \
         message has it, the shard included; an older incident cannot be labelled"
    )]
    NotPaged {
        /// The id.
        incident: String,
        /// The part of the fleet that was asked.
        shard: Shard,
        /// What is wrong.
        error: NotPaged,
    },
    /// A label that was not stored.
    #[error("the label is not kept, because {0}: send it again")]
    LabelLost(&'static str),
    /// There is no place to store baselines.
    #[error(
        "STATE_URI is empty, so that baselines could not be kept: set it, or do without a \
         calibrator"
    )]
    NothingKept,
    /// The new baselines could not be stored.
    #[error("the baselines that were made could not be written: the log says why")]
    NotWritten,
}

/// The error as the Lambda console shows it, and as retries and alarms can distinguish it.
impl From<RunError> for Diagnostic {
    fn from(error: RunError) -> Self {
        let error_type = match &error {
            RunError::Settings(_) | RunError::Handler(_) => "SettingsError",
            RunError::Event(_) => "EventError",
            RunError::Model(_) => "ModelError",
            RunError::List(_) => "ListError",
            RunError::NothingRead { .. } => "NothingRead",
            RunError::NothingPublished { .. } => "NothingPublished",
            RunError::TestFailed(_) => "TestFailed",
            RunError::NotPaged { .. } => "NotPaged",
            RunError::LabelLost(_) => "LabelLost",
            RunError::NothingKept => "NothingKept",
            RunError::NotWritten => "NotWritten",
        };
        Self { error_type: error_type.into(), error_message: error.to_string() }
    }
}
