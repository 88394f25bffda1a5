//! The Lambda wing of DeepGuard: what happens between a scheduled event and the metrics that come of it.
//!
//! The mathematics is in [`deepguard`], which knows no AWS; this crate knows no mathematics.
//!
//! # The way of a run
//!
//! 1. [`event`]: whatever invoked the function becomes a [`event::Trigger`]: which stretch of time, which instances.
//! 2. [`model`]: the artifact that is current, compiled in or from S3, asked for again in each run.
//! 3. [`store`]: what earlier runs left of this [`shard`] of the fleet, its [`state`] and its [`baselines`].
//! 4. [`cloudwatch`]: finds the instances, plans the calls that read their CPU, and makes them.
//! 5. [`deepguard::Detector::take`] scores what is new; what is skipped has a [`fleet::Skip`] as its reason. All of it is a
//!    [`fleet::Fleet`].
//! 6. [`metric`]: the fleet becomes the [`metric::Datum`]s that CloudWatch gets. They are written down with the state before
//!    they are published.
//! 7. [`summary`]: the answer to the invocation, and the same as one line in the log.
//!
//! [`detect`] tells that way as one story, and [`calibrate`] the shorter one of the baselines of a new day. They meet the
//! outside only through [`ports`], which [`cloudwatch`] and [`s3`] implement for AWS. [`settings`] is the only reader of our
//! environment variables.

pub mod account;
pub mod alert;
pub mod aws;
pub mod baselines;
pub mod calibrate;
pub mod cloudwatch;
pub mod console;
pub mod detect;
pub mod event;
pub mod events;
pub mod fleet;
pub mod kept;
pub mod log;
pub mod metric;
pub mod model;
pub mod mute;
mod muted;
pub mod names;
mod pages;
pub mod ports;
pub mod predict;
mod question;
mod reads;
mod round;
pub mod run_error;
pub mod s3;
pub mod selection;
pub mod settings;
mod shadow;
pub mod shard;
pub mod start;
pub mod state;
pub mod store;
pub mod summary;
pub mod tagging;
pub mod tags;
mod tell;
mod time_left;

#[cfg(test)]
mod testing;
