//! Parts that the measuring programs share: the function's process, the fleet that it watches, and
//! the display of results.

pub(crate) mod canvas;
pub(crate) mod fleet;
pub(crate) mod process;
pub(crate) mod text;
