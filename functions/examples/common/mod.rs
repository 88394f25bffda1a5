//! What the measuring programs share: the function's process, the fleet that it watches, and how
//! results are shown.

pub(crate) mod canvas;
pub(crate) mod fleet;
pub(crate) mod process;
pub(crate) mod text;
