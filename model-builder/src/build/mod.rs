//! Builds a model and measures it: training, NAB, generated machines, evaluation.

pub(crate) mod backtest;
pub(crate) mod evaluate;
pub(crate) mod fleet;
pub(crate) mod fleets;
pub mod nab;
pub(crate) mod night;
pub(crate) mod replay;
pub(crate) mod simulate;
pub mod train;
pub(crate) mod workload;
