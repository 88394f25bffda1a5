//! Which instances are watched, in which groups, when they are muted, and their holidays.

pub mod groups;
pub mod holidays;
pub mod muted;
pub mod roster;
