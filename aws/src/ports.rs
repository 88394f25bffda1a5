//! The outside world of a run, as traits, and the plain data that they pass.
//!
//! [`crate::cloudwatch`], [`crate::s3`], [`crate::tagging`] and [`crate::eventbridge`] implement
//! them for AWS.

#![expect(
    async_fn_in_trait,
    reason = "they run on one thread, in these crates alone: no caller needs `Send` futures"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use deepguard::Datapoint;
use deepguard::series::PERIOD;

use crate::alert::Alert;
use crate::ids::{ObjectUri, TargetId};
use crate::metric::Datum;
use crate::tags::{TagRule, Tags};

/// A call to AWS that failed after all tries of the SDK.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation} failed: {why}")]
pub struct CallError {
    /// The operation, such as `GetMetricData`.
    pub operation: &'static str,
    /// The message of AWS, or of the failure on the way to it, and advice.
    pub why: String,
}

/// One GetMetricData call: the CPU of some instances over the same stretch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Seconds since 1970, aligned to the period.
    pub times: Range<i64>,
    /// The instances to read.
    pub instances: Vec<TargetId>,
}

impl Batch {
    /// How many datapoints the answer has at most.
    pub fn datapoints(&self) -> usize {
        slots(&self.times) * self.instances.len()
    }
}

/// How many periods there are in `times` (seconds since 1970).
pub(crate) fn slots(times: &Range<i64>) -> usize {
    ((times.end - times.start) / PERIOD).max(0) as usize
}

/// The CPU of one instance over the stretch that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// In any order; empty without datapoints.
    pub datapoints: Vec<Datapoint>,
    /// Whether these are all datapoints. Otherwise some of the measured ones are missing this time.
    pub whole: bool,
}

/// The CPU of the fleet.
pub trait Cpu {
    /// From now on, this number of concurrent runs shares the rates.
    fn share(&self, _parts: u32) {}

    /// Every instance that had a datapoint in the last three hours.
    ///
    /// # Errors
    /// [`CallError`] where the list cannot be read completely.
    async fn instances(&self) -> Result<BTreeSet<TargetId>, CallError>;

    /// The datapoints of each instance of `batch`.
    ///
    /// Each instance has one answer, in the order of the batch: one failure does not affect the
    /// others.
    async fn read(&self, batch: &Batch) -> Vec<(TargetId, Result<Read, CallError>)>;
}

/// Where scores go.
pub trait Scores {
    /// Publishes as much as can be published.
    async fn publish(&self, datums: &[Datum]) -> Published;
}

/// The result of publishing datums.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Published {
    /// How many were taken.
    pub published: usize,
    /// Those that were not, and may be published another time.
    pub failed: Vec<Datum>,
    /// How many will never be taken.
    pub refused: usize,
    /// Why: the last failure.
    pub error: Option<CallError>,
}

/// The receivers of alerts about episodes: machines and people.
pub trait Alerts {
    /// Sends the events of as many as can be sent, of at most [`crate::alert::BATCH`] alerts.
    async fn events(&self, alerts: &[&Alert]) -> Sent;

    /// Sends the messages of as many as can be sent, of at most [`crate::alert::BATCH`] alerts.
    async fn messages(&self, alerts: &[&Alert]) -> Sent;

    /// Sends the messages of the chat of as many as can be sent, of at most
    /// [`crate::alert::BATCH`] alerts.
    async fn chats(&self, alerts: &[&Alert]) -> Sent;
}

/// No account: alerts stay in the log, and no instance has tags.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoAccount;

impl Alerts for NoAccount {
    async fn events(&self, _: &[&Alert]) -> Sent {
        Sent::default()
    }

    async fn messages(&self, _: &[&Alert]) -> Sent {
        Sent::default()
    }

    async fn chats(&self, _: &[&Alert]) -> Sent {
        Sent::default()
    }
}

impl Inventory for NoAccount {
    async fn tagged(&self, _: &TagRule) -> Result<BTreeMap<TargetId, Tags>, CallError> {
        Ok(BTreeMap::new())
    }

    async fn tags_of(&self, _: &BTreeSet<TargetId>) -> Result<BTreeMap<TargetId, Tags>, CallError> {
        Ok(BTreeMap::new())
    }
}

/// The result of sending alerts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sent {
    /// How many were taken. 0 where there is no receiver.
    pub sent: usize,
    /// The positions of those that were not taken, and may be sent another time.
    pub failed: BTreeSet<usize>,
    /// Why: the last failure.
    pub error: Option<CallError>,
}

impl Sent {
    /// All of this number were taken, until some [fail](Self::fail).
    pub fn all(alerts: usize) -> Self {
        Self { sent: alerts, ..Self::default() }
    }

    /// Notes that these were not taken, and why.
    pub fn fail(
        &mut self,
        positions: impl IntoIterator<Item = usize>,
        operation: &'static str,
        why: String,
    ) {
        let before = self.failed.len();
        self.failed.extend(positions);
        let failed = self.failed.len() - before;
        self.sent = self.sent.saturating_sub(failed);
        if failed > 0 {
            self.error = Some(CallError { operation, why });
        }
    }

    /// Adds the result of the batch that begins at the position `first`.
    pub fn add(&mut self, batch: Self, first: usize) {
        self.sent += batch.sent;
        self.failed.extend(batch.failed.into_iter().map(|position| first + position));
        self.error = batch.error.or(self.error.take());
    }
}

/// The tags of the fleet. An instance that never had one may be missing in the answers.
pub trait Inventory {
    /// Every instance that `rule` holds for, with all of its tags.
    ///
    /// # Errors
    /// [`CallError`] where the list cannot be read completely.
    async fn tagged(&self, rule: &TagRule) -> Result<BTreeMap<TargetId, Tags>, CallError>;

    /// The tags of these instances.
    ///
    /// # Errors
    /// [`CallError`] where they cannot be read completely.
    async fn tags_of(
        &self,
        instances: &BTreeSet<TargetId>,
    ) -> Result<BTreeMap<TargetId, Tags>, CallError>;
}

/// The store of artifacts and of all state between runs.
pub trait Objects {
    /// The object at `uri`, unless it still is the version that `known` (an ETag) names.
    ///
    /// # Errors
    /// [`ObjectError`]; [`ObjectError::TooLarge`] before more than `most` bytes are held in memory.
    async fn get(
        &self,
        uri: &ObjectUri,
        known: Option<&str>,
        most: usize,
    ) -> Result<Fetched, ObjectError>;

    /// Writes the object at `uri` where the condition holds. The ETag of the new version, or `None`
    /// where it does not hold: then nothing was written.
    ///
    /// # Errors
    /// [`ObjectError`]. In that case, the object may or may not have been written.
    async fn put(
        &self,
        uri: &ObjectUri,
        condition: Condition<'_>,
        bytes: Vec<u8>,
    ) -> Result<Option<String>, ObjectError>;

    /// The objects whose addresses begin like `prefix`.
    ///
    /// # Errors
    /// [`ObjectError`].
    async fn list(&self, prefix: &ObjectUri) -> Result<Vec<Listed>, ObjectError>;
}

/// Objects that can be removed. No function does that: it is for the command line.
pub trait Removable: Objects {
    /// Removes the object at `uri`; a missing object is not an error.
    ///
    /// # Errors
    /// [`ObjectError`].
    async fn remove(&self, uri: &ObjectUri) -> Result<(), ObjectError>;
}

/// The condition for writing an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition<'a> {
    /// The object still is the version that this ETag names.
    Unchanged(&'a str),
    /// The object does not exist.
    New,
    /// No condition.
    None,
}

impl<'a> From<Option<&'a str>> for Condition<'a> {
    /// Over the known version, or a new one without a known version.
    fn from(known: Option<&'a str>) -> Self {
        known.map_or(Self::New, Self::Unchanged)
    }
}

/// An object in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its address.
    pub uri: ObjectUri,
    /// When it was written, in seconds since 1970.
    pub written: i64,
}

/// The answer to a conditional request for an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// It is the version that is known.
    Unchanged,
    /// It is another one.
    Object {
        /// Its content.
        bytes: Vec<u8>,
        /// The name of this version, to ask again with.
        etag: Option<String>,
    },
}

/// An object that could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// The object does not exist.
    #[error(
        "{uri} does not exist: publish and promote a model with `model-builder`, or set MODEL_URI \
         to one that exists"
    )]
    Missing {
        /// Its address.
        uri: ObjectUri,
    },
    /// Larger than anything that belongs there.
    #[error("{uri} has {bytes} bytes, more than the {most} allowed: it is nothing of DeepGuard's")]
    TooLarge {
        /// Its address.
        uri: ObjectUri,
        /// Its size, as far as it was read.
        bytes: u64,
        /// The bound.
        most: usize,
    },
    /// The call failed.
    #[error("{uri}: {error}")]
    Call {
        /// Its address.
        uri: ObjectUri,
        /// The failure.
        error: CallError,
    },
}
