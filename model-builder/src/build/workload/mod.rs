//! Generated machines and their faults: ground truth in any amount.
//!
//! Real labelled CPU is scarce, and its labels are disputed. Here the time and the kind of every
//! fault are known exactly:
//!
//! - [`machine`]: the machines that detectors are compared on, seven kinds of them;
//! - [`training`]: machines to train on, of other shapes and ranges, and never one of the former;
//! - [`fault`]: kinds of faults, where and when they happen, and in `scene` how they alter the
//!   values;
//! - [`usual`]: the normal values of a series, from which the sizes of faults follow;
//! - `parts`: noise and jobs, of which the machines are made.
//!
//! A series is a plain `Vec<f64>`: one value per slot of five minutes, slot 0 is midnight UTC of a
//! Monday, and NaN is a value that is missing.

use deepguard::series::{DAY_SECONDS, PERIOD, SeriesError};
use deepguard::{Datapoint, Series};

pub(crate) mod fault;
pub(crate) mod machine;
mod parts;
mod scene;
pub(crate) mod training;
pub(crate) mod usual;

pub(crate) use parts::as_measured;

/// Slots of an hour.
pub(crate) const HOUR: usize = 12;
/// Slots of a day.
pub(crate) const DAY: usize = 24 * HOUR;

/// The values as a series that begins at a midnight of a Monday.
pub(crate) fn series(values: &[f64]) -> Result<Series, SeriesError> {
    let point =
        |(slot, &value): (usize, &f64)| Datapoint { time: START + slot as i64 * PERIOD, value };
    Ok(Series::from_datapoints(values.iter().enumerate().map(point))?.0)
}

/// The first Monday of 1970, in seconds since 1970.
pub(crate) const START: i64 = 4 * DAY_SECONDS;
