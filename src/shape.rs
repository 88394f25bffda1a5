//! The shape of an anomaly, and how unusual it is in the instance's own history: the facts that a
//! person needs.

use serde::{Deserialize, Serialize};

use crate::baseline::Baseline;
use crate::channel::Channel;
use crate::memory::Memory;
use crate::series::{PERIOD, Series};

/// Slots for which a deviation has to last to be no spike: half an hour.
const SHORT: usize = 6;
/// Slots that show a machine that alternates between up and down: two hours.
const UNREST: usize = 24;
/// Slots after which a deviation that stays is a new level, wherever it lies: two hours.
const LONG: usize = 24;
/// A deviation that began below this part of its present size has grown.
const GROWN: f64 = 0.5;
/// A deviation reaches back as far as it is at least this part of its present size.
const PART: f64 = 0.5;
/// Where the deviations of a window add up to this part of their sizes, they go one way.
const ONE_WAY: f64 = 0.6;
/// Up to this number of datapoints in a row may differ without ending a deviation: noise.
const ASIDE: usize = 2;

/// The shape of an anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Far up, for less than half an hour so far, and higher than it has ever been in two weeks.
    Spike,
    /// The same downwards.
    Drop,
    /// It has gone to another level and stays there.
    LevelShift,
    /// It moves away little by little.
    Drift,
    /// The value has stopped changing.
    Flatline,
    /// A value that is normal for the instance, but not at this hour.
    UnusualHour,
    /// Now above, now below the usual value: another rhythm, or more noise.
    Unrest,
    /// The datapoints have stopped.
    Stopped,
    /// It does more than the rest of its group, or less, and nothing that is unusual in itself.
    UnlikePeers,
}

impl Shape {
    /// Its name in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Spike => "spike",
            Self::Drop => "drop",
            Self::LevelShift => "level shift",
            Self::Drift => "drift",
            Self::Flatline => "flatline",
            Self::UnusualHour => "unusual for the hour",
            Self::Unrest => "unrest",
            Self::Stopped => "stopped reporting",
            Self::UnlikePeers => "unlike its group",
        }
    }
}

/// How unusual a value is among those of the last 14 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// Higher than all.
    HighestOfAll,
    /// Higher than all at this hour of the day.
    HighestOfHour,
    /// Neither higher nor lower than all at this hour.
    Within,
    /// Lower than all at this hour of the day.
    LowestOfHour,
    /// Lower than all.
    LowestOfAll,
}

/// The facts of an anomaly beside its score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The kind of anomaly.
    pub shape: Shape,
    /// The start of its first datapoint, in seconds since 1970.
    pub since: i64,
    /// The mean distance, since then, from the usual value at the hour, in percentage points:
    /// positive above it.
    pub deviation: f64,
    /// How unusual the newest value is in itself.
    pub rank: Rank,
    /// How many datapoints in a row had the newest one's value.
    pub run: usize,
}

/// The newest slots of an instance, each with its distance from the usual value at its hour.
#[derive(Debug, Clone)]
pub(crate) struct Deviations {
    /// Time, value and deviation, oldest first, the newest one last.
    slots: Vec<(i64, f64, f64)>,
}

impl Deviations {
    /// Of all that `memory` holds, the newest datapoint included.
    pub(crate) fn of(memory: &Memory, baseline: &Baseline) -> Self {
        let usual = &baseline.expectations[0];
        let points = memory.recent.iter().flat_map(Series::datapoints);
        let deviation = |time, value| value - usual.nearest(time, value);
        Self {
            slots: points
                .map(|point| (point.time, point.value, deviation(point.time, point.value)))
                .collect(),
        }
    }

    /// The newest slots, as many as `channel` looks at.
    fn seen_by(&self, channel: Option<Channel>) -> &[(i64, f64, f64)] {
        let slots = channel.map_or(1, Channel::slots);
        &self.slots[self.slots.len().saturating_sub(slots)..]
    }

    /// Describes the anomaly that `channel` sees (`None`: the value does not change), `run`
    /// datapoints after the value last changed.
    pub(crate) fn finding(
        &self,
        channel: Option<Channel>,
        run: usize,
        baseline: &Baseline,
    ) -> Finding {
        let Some(&(newest, observed, last)) = self.slots.last() else {
            return Finding {
                shape: Shape::Unrest,
                since: 0,
                deviation: 0.0,
                rank: Rank::Within,
                run,
            };
        };
        let rank = rank(baseline, newest, observed);
        if channel.is_none() {
            let since = newest - (run.max(1) as i64 - 1) * PERIOD;
            return Finding { shape: Shape::Flatline, since, deviation: last, rank, run };
        }
        let seen = self.seen_by(channel);
        let now = match channel {
            Some(Channel::SpikeUp | Channel::SpikeDown) => last,
            _ => mean(&seen[seen.len().saturating_sub(SHORT)..]),
        };
        let both_ways = |slots: &[(i64, f64, f64)]| mean(slots).abs() < ONE_WAY * size(slots);
        // One deviation among many that alternate between up and down.
        let recent = &self.slots[self.slots.len().saturating_sub(UNREST)..];
        let shaken = size(recent) >= PART * now.abs() && both_ways(recent);
        if shaken || both_ways(seen) || now * mean(seen) <= 0.0 {
            return Finding {
                shape: Shape::Unrest,
                since: newest,
                deviation: mean(seen),
                rank,
                run,
            };
        }
        // As far back as the deviation goes without more than [`ASIDE`] slots in a row that differ.
        let since = |part: f64| {
            let is_so =
                |deviation: f64| deviation * now > 0.0 && deviation.abs() >= part * now.abs();
            let (mut slots, mut aside) = (1, 0);
            for (back, (_, _, deviation)) in self.slots.iter().rev().enumerate() {
                match is_so(*deviation) {
                    true => (slots, aside) = (back + 1, 0),
                    false => aside += 1,
                }
                if aside > ASIDE {
                    break;
                }
            }
            &self.slots[self.slots.len() - slots..]
        };
        // A deviation that grows was small when it began.
        let (stays, grew) = (since(PART), since(PART * PART * PART));
        let third = grew.len() / 3;
        let grown = grew.len() >= 2 * SHORT
            && mean(&grew[..third]).abs() < GROWN * mean(&grew[grew.len() - third..]).abs()
            && mean(&grew[third..grew.len() - third]).abs()
                < (1.0 + GROWN) / 2.0 * mean(&grew[grew.len() - third..]).abs();
        let within = !matches!(rank, Rank::HighestOfAll | Rank::LowestOfAll);
        let (shape, slots) = match stays.len() {
            _ if grown => (Shape::Drift, grew),
            LONG.. => (Shape::LevelShift, stays),
            _ if within => (Shape::UnusualHour, stays),
            SHORT.. => (Shape::LevelShift, stays),
            _ if now > 0.0 => (Shape::Spike, stays),
            _ => (Shape::Drop, stays),
        };
        let since = slots.first().map_or(newest, |(time, ..)| *time);
        Finding { shape, since, deviation: mean(slots), rank, run }
    }
}

/// The mean size of the deviations.
fn size(slots: &[(i64, f64, f64)]) -> f64 {
    slots.iter().map(|(_, _, deviation)| deviation.abs()).sum::<f64>() / slots.len().max(1) as f64
}

fn mean(slots: &[(i64, f64, f64)]) -> f64 {
    slots.iter().map(|(_, _, deviation)| deviation).sum::<f64>() / slots.len().max(1) as f64
}

/// How unusual `value` is at `time`.
fn rank(baseline: &Baseline, time: i64, value: f64) -> Rank {
    let above = |range: Option<crate::baseline::hours::Range>| {
        range.is_some_and(|range| value > f64::from(range.high) + 1e-4)
    };
    let below = |range: Option<crate::baseline::hours::Range>| {
        range.is_some_and(|range| value < f64::from(range.low) - 1e-4)
    };
    let (all, hour) = (baseline.range(), baseline.range_of_hour(time));
    match () {
        () if above(all) => Rank::HighestOfAll,
        () if below(all) => Rank::LowestOfAll,
        () if above(hour) => Rank::HighestOfHour,
        () if below(hour) => Rank::LowestOfHour,
        () => Rank::Within,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{DAY, Datapoint};

    /// The finding at the end of `values` (percentage points above the usual value), after two
    /// weeks of a machine. It has 30 % by night and 60 % by day, with a little noise. `from` is the
    /// slot of the day at which `values` begin.
    fn found(channel: Option<Channel>, from: usize, values: &[f64]) -> Finding {
        let usual = |slot: usize| {
            let hour = if slot % DAY < DAY / 2 { 30.0 } else { 60.0 };
            hour + (slot * 7919 % 101) as f64 / 100.0
        };
        let rounded = |value: f64| (value * 1e6).round() / 1e6;
        let point = |slot: usize, more: f64| Datapoint {
            time: slot as i64 * PERIOD,
            value: rounded(usual(slot) + more),
        };
        let history = (0..14 * DAY).map(|slot| point(slot, 0.0));
        let (series, _) = Series::from_datapoints(history).expect("usable");
        let baseline = Baseline::learn(&series, series.end()).expect("enough");
        let mut memory = Memory::default();
        let first = 14 * DAY + from - (128 - values.len());
        for slot in first..first + 128 {
            let more =
                (slot + values.len()).checked_sub(first + 128).map_or(0.0, |index| values[index]);
            memory.remember(point(slot, more), 128);
        }
        let mut finding =
            Deviations::of(&memory, &baseline).finding(channel, memory.run, &baseline);
        finding.since = (first as i64 + 128) - finding.since / PERIOD;
        finding
    }

    /// Shape, and for how many slots.
    fn shape(channel: Channel, from: usize, values: &[f64]) -> (Shape, i64) {
        let found = found(Some(channel), from, values);
        (found.shape, found.since)
    }

    #[test]
    fn shapes_are_told_apart() {
        use Channel::{BurstUp, HoursUp, SpikeDown, SpikeUp, StaysHigh};
        // By day, where more is more than ever.
        let day = DAY - 30;
        assert_eq!(shape(SpikeUp, day, &[20.0]), (Shape::Spike, 1));
        assert_eq!(shape(SpikeUp, day, &[20.0, 30.0, 25.0]), (Shape::Spike, 3));
        assert_eq!(shape(SpikeDown, day, &[-58.0]), (Shape::Drop, 1));
        assert_eq!(shape(HoursUp, day, &[15.0; 30]).0, Shape::LevelShift);
        assert_eq!(shape(SpikeUp, day, &[15.0; 8]), (Shape::LevelShift, 8));
        let ramp: Vec<f64> = (1..=60).map(|slot| slot as f64 / 3.0).collect();
        assert_eq!(shape(HoursUp, day, &ramp).0, Shape::Drift);
        let shaking: Vec<f64> =
            (0..32).map(|slot| if slot % 2 == 0 { 12.0 } else { -12.0 }).collect();
        assert_eq!(shape(SpikeUp, day, &shaking).0, Shape::Unrest);
        // By night, with the values of the day.
        assert_eq!(shape(BurstUp, DAY / 2 - 40, &[25.0]), (Shape::UnusualHour, 1));
        assert_eq!(shape(StaysHigh, DAY / 2 - 100, &[25.0; 80]), (Shape::LevelShift, 80));
        assert_eq!(shape(StaysHigh, 5, &[25.0; 127]).0, Shape::LevelShift);
    }

    #[test]
    fn a_value_is_ranked_among_those_of_the_hour_and_of_all() {
        let rank = |from, more: f64| found(Some(Channel::SpikeUp), from, &[more]).rank;
        assert_eq!(rank(DAY - 30, 20.0), Rank::HighestOfAll);
        assert_eq!(rank(DAY - 30, -20.0), Rank::LowestOfHour);
        assert_eq!(rank(60, 20.0), Rank::HighestOfHour);
        assert_eq!(rank(60, -20.0), Rank::LowestOfAll);
        assert_eq!(rank(60, 0.0), Rank::Within);
    }

    #[test]
    fn a_flatline_began_with_the_first_datapoint_that_was_the_same() {
        let usual = |slot: usize| 30.0 + (slot * 7919 % 101) as f64 / 100.0;
        let first = 14 * DAY + 60;
        let values: Vec<f64> = (0..30).map(|index| 33.0 - usual(first + index)).collect();
        let found = found(None, 60, &values);
        assert_eq!((found.shape, found.since, found.run), (Shape::Flatline, 30, 30));
    }
}
