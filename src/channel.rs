//! The ways in which a datapoint, with those before it, can be unusual.

use serde::{Deserialize, Serialize};

/// One way of being unusual. Its error is a [distance](crate::compress::distance), never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// One datapoint above its forecast of five minutes before.
    SpikeUp,
    /// One datapoint below its forecast.
    SpikeDown,
    /// The mean of half an hour above its forecast.
    BurstUp,
    /// The mean of half an hour below its forecast.
    BurstDown,
    /// The mean of two hours above its forecast.
    HoursUp,
    /// The mean of two hours below its forecast.
    HoursDown,
    /// A quarter of an hour that lies below the median as a whole: as far as its highest value.
    StaysLow,
    /// Three hours that lie above the median as a whole: as far as their lowest value.
    StaysHigh,
    /// Two hours above the rest of the machine's group: see [`crate::peers`].
    PeersUp,
    /// Two hours below the rest of the machine's group.
    PeersDown,
}

/// How many channels a machine has by itself.
pub const CHANNELS: usize = 8;

/// One error for each of [`Channel::ALL`]; `None` where there is too little data.
pub type Errors = [Option<f64>; CHANNELS];

/// The quantity that a channel compares with its usual value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// The mean of some slots, and its forecast at this place in
    /// [`HORIZONS`](crate::baseline::forecast::HORIZONS).
    Forecast {
        /// The place.
        horizon: usize,
        /// Whether an error is above the forecast, or below it.
        up: bool,
    },
    /// A stretch that lies on one side of the median as a whole.
    Record {
        /// Whether that is above it.
        up: bool,
    },
    /// The mean difference from a group.
    Peers {
        /// Whether the machine is above its group, or below it.
        up: bool,
    },
}

impl Channel {
    /// Every channel that a machine has by itself, in the order of [`Errors`].
    pub const ALL: [Self; CHANNELS] = [
        Self::SpikeUp,
        Self::SpikeDown,
        Self::BurstUp,
        Self::BurstDown,
        Self::HoursUp,
        Self::HoursDown,
        Self::StaysLow,
        Self::StaysHigh,
    ];

    /// Its name, as it is serialised.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SpikeUp => "spike_up",
            Self::SpikeDown => "spike_down",
            Self::BurstUp => "burst_up",
            Self::BurstDown => "burst_down",
            Self::HoursUp => "hours_up",
            Self::HoursDown => "hours_down",
            Self::StaysLow => "stays_low",
            Self::StaysHigh => "stays_high",
            Self::PeersUp => "peers_up",
            Self::PeersDown => "peers_down",
        }
    }

    /// The quantity that it compares.
    pub const fn measure(self) -> Measure {
        match self {
            Self::SpikeUp => Measure::Forecast { horizon: 0, up: true },
            Self::SpikeDown => Measure::Forecast { horizon: 0, up: false },
            Self::BurstUp => Measure::Forecast { horizon: 1, up: true },
            Self::BurstDown => Measure::Forecast { horizon: 1, up: false },
            Self::HoursUp => Measure::Forecast { horizon: 2, up: true },
            Self::HoursDown => Measure::Forecast { horizon: 2, up: false },
            Self::StaysLow => Measure::Record { up: false },
            Self::StaysHigh => Measure::Record { up: true },
            Self::PeersUp => Measure::Peers { up: true },
            Self::PeersDown => Measure::Peers { up: false },
        }
    }

    /// Whether the channel looks for values above the expected one.
    pub const fn is_up(self) -> bool {
        match self.measure() {
            Measure::Forecast { up, .. } | Measure::Record { up } | Measure::Peers { up } => up,
        }
    }

    /// Number of slots that it looks at, the newest included.
    pub const fn slots(self) -> usize {
        match self {
            Self::SpikeUp | Self::SpikeDown => 1,
            Self::StaysLow => 3,
            Self::BurstUp | Self::BurstDown => 6,
            Self::HoursUp | Self::HoursDown | Self::PeersUp | Self::PeersDown => 24,
            Self::StaysHigh => 36,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_called_what_it_is_serialised_as() {
        for channel in Channel::ALL.into_iter().chain([Channel::PeersUp, Channel::PeersDown]) {
            assert_eq!(serde_json::to_value(channel).expect("JSON"), channel.name());
        }
    }
}
