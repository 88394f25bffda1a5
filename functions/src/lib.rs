//! The Lambda functions of DeepGuard: the way from a scheduled event to the metrics that it leads
//! to.
//!
//! The mathematics is in [`deepguard`], which knows no AWS; this crate knows no mathematics. Its
//! edges to AWS are in [`deepguard_aws`].
//!
//! # The way of a run
//!
//! 1. [`trigger`]: the event becomes a [`trigger::Trigger`]: which stretch of time, which
//!    instances.
//! 2. [`model`]: the current artifact, compiled in or from S3, checked again in each run.
//! 3. [`state`]: the state that earlier runs stored for this part of the fleet.
//! 4. [`deepguard_aws::cloudwatch`]: finds the instances, plans the calls that read their CPU, and
//!    makes them; [`watched`] says which of them count.
//! 5. [`deepguard::Detector::advance`] scores new datapoints. The result is a
//!    [`run::outcome::Fleet`].
//! 6. [`run::decide`]: the scores become episodes, datums and events. They are written down with
//!    the state before they are published.
//! 7. [`run::summary`]: the answer to the invocation, and the same as one line in the log.
//!
//! [`run`] follows these steps in order, and [`run::calibrate`] the fewer ones for the baselines of
//! a new day. [`settings`] is the only reader of our environment variables.

pub mod alert;
mod deadline;
pub mod error;
pub mod model;
pub mod predict;
pub mod run;
pub mod settings;
pub mod spent;
pub mod startup;
pub mod state;
pub mod time;
pub mod trigger;
pub mod watched;

#[cfg(test)]
mod testing;
