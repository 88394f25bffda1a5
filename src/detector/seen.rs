//! The inputs of the judgement of one datapoint: the values up to it, and its forecasts.

use crate::baseline::forecast::{Compressed, HORIZONS};
use crate::baseline::residual::{self, Forecast};
use crate::channel::{Channel, Measure};
use crate::compress::expand;

/// The weight of the network in a forecast: it moves the instance's own forecast half of the way to
/// its own. Measured in docs/experiments.md.
pub(super) const NETWORK: f64 = 0.5;

/// The values and the forecasts up to one datapoint.
pub(super) struct Seen<'a> {
    /// The newest values, compressed.
    pub(super) values: &'a Compressed,
    /// The index of the datapoint in them.
    pub(super) slot: usize,
    /// The instance's own forecasts.
    pub(super) own: Forecast,
    /// The network's.
    pub(super) look: Forecast,
}

impl Seen<'_> {
    /// The instance's own forecasts, corrected by the network.
    pub(super) fn forecast(&self) -> Forecast {
        let corrected =
            |own: f64, look: Option<f64>| look.map_or(own, |look| own + NETWORK * (look - own));
        std::array::from_fn(|horizon| Some(corrected(self.own[horizon]?, self.look[horizon])))
    }

    /// How far the slots that `channel` looks at are above what it compares them with, in
    /// percentage points.
    pub(super) fn deviation(&self, channel: Channel, forecast: &Forecast, centre: f64) -> f64 {
        let mean =
            expand(residual::mean(self.values, self.slot, channel.slots()).unwrap_or(centre));
        match channel.measure() {
            Measure::Forecast { horizon, .. } => mean - expand(forecast[horizon].unwrap_or(centre)),
            Measure::Record { .. } | Measure::Peers { .. } => mean - expand(centre),
        }
    }

    /// Takes each forecast of `other`, made by another clock, that is nearer to what it is of.
    pub(super) fn take_nearer(&mut self, other: &Self) {
        let (here, there) = (self.forecast(), other.forecast());
        for (horizon, slots) in HORIZONS.into_iter().enumerate() {
            let mean = residual::mean(self.values, self.slot, slots);
            let far = |forecast: Option<f64>| Some((forecast? - mean?).abs());
            if let (Some(here), Some(there)) = (far(here[horizon]), far(there[horizon]))
                && there < here
            {
                (self.own[horizon], self.look[horizon]) = (other.own[horizon], other.look[horizon]);
            }
        }
    }
}
