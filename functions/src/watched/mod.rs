//! Which instances are watched, and when they are muted.

pub mod muted;
pub mod roster;
