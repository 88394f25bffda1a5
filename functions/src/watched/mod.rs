//! Which instances are watched, when they are muted, and their holidays.

pub mod holidays;
pub mod muted;
pub mod roster;
