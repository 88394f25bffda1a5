//! The edges of DeepGuard: its access to AWS, for the functions and `model-builder`.
//!
//! [`ports`] defines the interface, as traits and plain data. The rest implements it:
//! [`cloudwatch`] reads CPU and publishes scores, and [`s3`] holds objects. [`tagging`] knows the
//! tags of instances, [`eventbridge`] takes the events of episodes, [`sns`] their messages, and
//! [`account`] is these three together. All of them are made of one [`client`] configuration.
//!
//! The data types are [`ids`], [`tags`], [`metric`] (the catalogue of published metrics) and
//! [`alert`] (one event and message). [`mute`] reads the mutes and [`holidays`] the holidays, each
//! from a [`settings_file`]. [`mod@pointer`] names the current model, and [`signature`] says who
//! made it. [`text`] decodes files that people write, and
//! [`clocks`] knows the clocks of time zones.

pub mod account;
pub mod alert;
pub mod client;
pub mod clocks;
pub mod cloudwatch;
pub mod eventbridge;
pub mod holidays;
pub mod ids;
pub mod metric;
pub mod mute;
mod pagination;
pub mod pointer;
pub mod ports;
pub mod prices;
pub mod s3;
pub mod settings_file;
pub mod signature;
pub mod sns;
pub mod tagging;
pub mod tags;
pub mod text;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
