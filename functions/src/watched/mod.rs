//! Which instances are watched, in which groups, and when they are muted.

pub mod groups;
pub mod muted;
pub mod roster;
