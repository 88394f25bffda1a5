//! Which instances are watched, in which groups, when they are muted, and their holidays and
//! time zones.

pub mod groups;
pub mod holidays;
pub mod muted;
pub mod roster;
pub(crate) mod zones;
