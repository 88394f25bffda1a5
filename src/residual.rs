//! How far the observed CPU is from everything that could explain it.

use serde::{Deserialize, Serialize};

use crate::baseline::Expectation;

/// What a datapoint was compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Explanation {
    /// The network's reconstruction.
    Reconstruction,
    /// What is usual at this hour.
    DailyProfile,
    /// What is usual at this hour of the week.
    WeeklyProfile,
}

/// The smallest distance between a datapoint and what could explain it.
///
/// A datapoint that any one of the explanations fits is explained: the residual is
/// `min(|x - reconstruction|, |x - daily profile|, |x - weekly profile|)`. The daily profile may be a few minutes
/// early or late: see [`Expectation::nearest_daily`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Residual {
    /// Percentage points, never negative.
    pub size: f64,
    /// The value it is measured from, in percent: the nearest explanation.
    pub expected: f64,
    /// Which explanation that is.
    pub explanation: Explanation,
    /// What is usual at the hour, in percent: the nearer of the profiles. The network follows an anomaly after a while, they do not.
    pub usual: f64,
}

impl Residual {
    /// Of the datapoint `observed` (percent) at `time` (seconds since 1970). `reconstruction` is `None` where too
    /// much of the window is missing to ask the network.
    pub fn of(observed: f64, time: i64, reconstruction: Option<f64>, expectation: &Expectation) -> Self {
        let from = |expected: f64, explanation| {
            let size = (observed - expected).abs();
            Self { size, expected, explanation, usual: expected }
        };
        let nearer = |best: Self, other: Self| if other.size < best.size { other } else { best };
        let daily = from(expectation.nearest_daily(time, observed), Explanation::DailyProfile);
        let weekly = expectation.weekly(time).map(|weekly| from(weekly, Explanation::WeeklyProfile));
        let profile = weekly.into_iter().fold(daily, nearer);
        let reconstructed =
            reconstruction.map(|value| Self { usual: profile.usual, ..from(value, Explanation::Reconstruction) });
        reconstructed.into_iter().fold(profile, nearer)
    }
}

/// The ways in which a datapoint, and what came before it, can be unusual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// The [`Residual`] of one datapoint, in percentage points.
    Datapoint,
    /// The shape of the last 32 datapoints: see [`Windows::error`](crate::window::Windows::error).
    Window,
    /// The shape of the last 32 means over 20 minutes.
    LongWindow,
    /// Six hours off what is usual at the hour: the mean, over the last 72 slots, of the distance between the mean
    /// over 20 minutes and the nearer of daily and weekly profile. In percentage points.
    Habit,
}

/// How many channels there are.
pub const CHANNELS: usize = 4;

/// One error for each of [`Channel::ALL`], `None` where there is too little to go by.
pub type Errors = [Option<f64>; CHANNELS];

impl Channel {
    /// Every channel, in the order of [`Errors`].
    pub const ALL: [Self; CHANNELS] = [Self::Datapoint, Self::Window, Self::LongWindow, Self::Habit];

    /// Its name, as it is serialised.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Datapoint => "datapoint",
            Self::Window => "window",
            Self::LongWindow => "long_window",
            Self::Habit => "habit",
        }
    }

    /// Which of [`crate::series::RESOLUTIONS`] it looks at.
    pub const fn resolution(self) -> usize {
        match self {
            Self::Datapoint | Self::Window => 0,
            Self::LongWindow | Self::Habit => 1,
        }
    }

    /// Whether its errors are percentage points. Those of windows are in the network's unit.
    pub const fn is_percent(self) -> bool {
        matches!(self, Self::Datapoint | Self::Habit)
    }

    /// What one unit of its error is, for an instance whose CPU has this `scale` (percentage points).
    pub const fn unit(self, scale: f64) -> f64 {
        if self.is_percent() { scale } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Baseline;
    use crate::series::{DAY, Datapoint, PERIOD, Series};

    #[test]
    fn a_channel_is_called_what_it_is_serialised_as() {
        for channel in Channel::ALL {
            assert_eq!(serde_json::to_value(channel).expect("JSON"), channel.name());
        }
    }

    #[test]
    fn the_nearest_explanation_counts() {
        // 20 % in the first half of each day, 40 % in the second; on the seventh day of each week 60 % all day.
        let value = |slot: usize| match (slot / DAY % 7, slot % DAY) {
            (6, _) => 60.0,
            (_, time) if time < DAY / 2 => 20.0,
            _ => 40.0,
        };
        let point = |slot: usize| Datapoint { time: slot as i64 * PERIOD, value: value(slot) };
        let (series, _) = Series::from_datapoints((0..14 * DAY).map(point)).expect("usable");
        let baseline = Baseline::learn(&series, series.end()).expect("enough");
        let of = |day: usize, observed, reconstruction| {
            let residual =
                Residual::of(observed, (day * DAY + 60) as i64 * PERIOD, reconstruction, &baseline.expectations[0]);
            assert_eq!((observed - residual.expected).abs(), residual.size);
            ((residual.size * 1e3).round() / 1e3, residual.explanation)
        };
        assert_eq!(of(15, 50.0, Some(49.0)), (1.0, Explanation::Reconstruction));
        assert_eq!(of(15, 22.0, Some(49.0)), (2.0, Explanation::DailyProfile));
        assert_eq!(of(15, 62.0, None), (42.0, Explanation::DailyProfile));
        assert_eq!(of(20, 62.0, None), (2.0, Explanation::WeeklyProfile));
    }
}
