//! How far an instance's newest slots are from their forecasts, and from where they usually lie.

use crate::baseline::forecast::{Compressed, HORIZONS, Values};
use crate::baseline::level::Level;
use crate::channel::{Channel, Errors, Measure};

/// A forecast for each of [`HORIZONS`], compressed; `None` where there is too little to forecast from.
pub(crate) type Forecast = [Option<f64>; HORIZONS.len()];

/// The error of each channel at slot `slot` of `values`, whose last slots were forecast as `forecast`.
///
/// - a mean and its forecast: `max(0, mean - forecast)` above, `max(0, forecast - mean)` below;
/// - a stretch above the median: `max(0, its lowest value - median)`; below: `max(0, median - its highest value)`.
pub(crate) fn errors(values: &Compressed, slot: usize, forecast: &Forecast, level: &Level) -> Errors {
    let means = HORIZONS.map(|slots| mean(values, slot, slots));
    Channel::ALL.map(|channel| match channel.measure() {
        Measure::Forecast { horizon, up } => {
            let above = means[horizon]? - forecast[horizon]?;
            Some(if up { above } else { -above }.max(0.0))
        }
        Measure::Record { up } => {
            let slots = channel.slots();
            let seen = || values.present(slot as isize + 1 - slots as isize, slot as isize + 1);
            if 2 * seen().count() < slots {
                return None;
            }
            let nearest = if up {
                seen().min_by(f64::total_cmp)? - level.centre
            } else {
                level.centre - seen().max_by(f64::total_cmp)?
            };
            Some(nearest.max(0.0))
        }
    })
}

/// The compressed mean of the `slots` slots that end with `slot`.
pub(crate) fn mean(values: &Compressed, slot: usize, slots: usize) -> Option<f64> {
    let end = slot as isize + 1;
    values.mean(end - slots as isize, end)
}
