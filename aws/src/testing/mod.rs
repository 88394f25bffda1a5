//! Common helpers for the tests of several crates: the outside world of a run in memory, and a
//! scripted AWS.

#![allow(
    missing_docs,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "it is for tests, of this crate and of others, and stops where it meets what it did \
              not expect"
)]

use crate::alert::{Alert, Kind};
use crate::ids::TargetId;

pub mod cbor;
pub mod memory;
pub mod scripted;

/// The instance with this number.
pub fn instance(number: usize) -> TargetId {
    format!("i-{number:017x}").parse().unwrap()
}

/// An alert about the instance with this number.
pub fn alert(number: usize) -> Alert {
    Alert {
        kind: Kind::Began,
        time: 300,
        id: format!("{}-300", instance(number)),
        instance: Some(instance(number)),
        deployment: "deepguard".into(),
        subject: format!("subject {number}"),
        text: format!("text {number}"),
        detail: format!("{{\"number\":{number}}}"),
        chat: format!("{{\"version\":\"1.0\",\"id\":\"{number}\"}}"),
    }
}
