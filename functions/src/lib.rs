//! The Lambda wing of DeepGuard: what happens between a scheduled event and the metrics that come of it.
//!
//! The mathematics is in [`deepguard`], which knows no AWS; this crate knows no mathematics.
//!
//! # The way of a run
//!
//! 1. [`event`]: whatever invoked the function becomes a [`event::Trigger`]: which stretch of time, which instances.
//! 2. [`model`]: the artifact that is current, compiled in or from S3, asked for again in each run.
//! 3. [`cloudwatch`]: finds the instances, plans the calls that read their CPU, and makes them.
//! 4. [`deepguard::Detector::follow`] scores; what is skipped has a [`fleet::Skip`] as its reason. All of it is a [`fleet::Fleet`].
//! 5. [`metric`]: the fleet becomes the [`metric::Datum`]s that CloudWatch gets.
//! 6. [`summary`]: the answer to the invocation, and the same as one line in the log.
//!
//! [`detect`] tells that way as one story. It meets the outside only through [`ports`], which
//! [`cloudwatch`] and [`s3`] implement for AWS. [`settings`] is the only reader of our environment variables.

pub mod aws;
pub mod cloudwatch;
pub mod detect;
pub mod event;
pub mod fleet;
pub mod log;
pub mod metric;
pub mod model;
pub mod names;
pub mod ports;
pub mod s3;
pub mod settings;
pub mod summary;

#[cfg(test)]
mod testing;
