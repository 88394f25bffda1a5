//! The bands of an instance's newest datapoints, kept until it is known whether they are told.
//!
//! A graph of an episode shows the hours before it, too. When it begins, their bands have long been
//! scored. So each instance keeps its newest ones, in few bytes. A band that is told is forgotten.

use serde::{Deserialize, Serialize};

use crate::compress::{at_distance, compress, distance, expand};
use crate::scored::Scored;
use crate::series::PERIOD;

/// How many slots before a datapoint have bands that can be told with it: six hours.
pub const BEFORE: u32 = 72;
/// Steps of a stored number in one unit of distance. So a value is true to a thousandth of it, and
/// below one percent to a thousandth of a percentage point.
const STEPS: f64 = 1000.0;

/// The band of one datapoint, in percent, within 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// Start of the datapoint's period, in seconds since 1970.
    pub time: i64,
    /// The CPU that was expected.
    pub expected: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The bands that may still be told, oldest first.
///
/// Stored as differences from one to the next. Over a day the distances from the expected value to
/// the ends hardly change, in the units of [`crate::compress`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<[i32; 4]>", into = "Vec<[i32; 4]>")]
pub struct Bands(Vec<Coded>);

/// A band in steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Coded {
    /// Periods since 1970.
    slot: u32,
    expected: u16,
    below: u16,
    above: u16,
}

impl Bands {
    /// Takes the band of a scored datapoint in. Where it is `told`, gives it and all that were
    /// kept before it, oldest first, and forgets them. A muted datapoint has no band.
    pub fn take_in(&mut self, scored: &Scored, told: bool) -> Vec<Band> {
        let Some(coded) = Coded::of(scored).filter(|_| !scored.muted) else { return Vec::new() };
        let place = self.0.partition_point(|kept| kept.slot < coded.slot);
        self.0.reserve_exact(1);
        self.0.insert(place, coded);
        let newest = self.0.last().map_or(coded.slot, |newest| newest.slot);
        self.0.retain(|kept| newest - kept.slot <= BEFORE);
        if told { self.tell() } else { Vec::new() }
    }

    /// Gives all bands that were kept, oldest first, and forgets them.
    pub fn tell(&mut self) -> Vec<Band> {
        std::mem::take(&mut self.0).into_iter().map(Band::from).collect()
    }

    /// How many bands are kept.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Coded {
    /// `None` for a time before 1970 or far from now.
    fn of(scored: &Scored) -> Option<Self> {
        let slot = u32::try_from(scored.time.div_euclid(PERIOD)).ok()?;
        // Beyond these limits a CPU cannot go.
        let [expected, low, high] =
            [scored.expected, scored.low, scored.high].map(|cpu| compress(cpu.clamp(0.0, 100.0)));
        let steps = |distance: f64| (distance * STEPS).round() as u16; // saturates
        let stored = steps(expected);
        // From the value as it is stored, so that its error is not in the ends.
        let expected = f64::from(stored) / STEPS;
        Some(Self {
            slot,
            expected: stored,
            below: steps(distance(low.min(expected), expected)),
            above: steps(distance(high.max(expected), expected)),
        })
    }

    fn numbers(self) -> [i64; 4] {
        [self.slot.into(), self.expected.into(), self.below.into(), self.above.into()]
    }
}

impl From<Coded> for Band {
    fn from(coded: Coded) -> Self {
        let [expected, below, above] =
            [coded.expected, coded.below, coded.above].map(|steps| f64::from(steps) / STEPS);
        let ends = [expand(expected), at_distance(expected, below, false)];
        let [expected, low, high] =
            [ends[0], ends[1], at_distance(expected, above, true)].map(|cpu| cpu.clamp(0.0, 100.0));
        Self { time: i64::from(coded.slot) * PERIOD, expected, low, high }
    }
}

impl From<Bands> for Vec<[i32; 4]> {
    fn from(bands: Bands) -> Self {
        let mut before = Coded::default();
        let differences = bands.0.into_iter().map(|coded| {
            let (now, then) = (coded.numbers(), std::mem::replace(&mut before, coded).numbers());
            std::array::from_fn(|index| (now[index] - then[index]) as i32)
        });
        differences.collect()
    }
}

impl From<Vec<[i32; 4]>> for Bands {
    /// Differences that no band has lead to other bands, and to no panic.
    fn from(differences: Vec<[i32; 4]>) -> Self {
        let mut now = [0_i64; 4];
        let bands = differences.into_iter().map(|difference| {
            now = std::array::from_fn(|index| now[index].wrapping_add(difference[index].into()));
            let [slot, expected, below, above] = now;
            let steps = |number: i64| number.clamp(0, u16::MAX.into()) as u16;
            Coded {
                slot: slot.clamp(0, u32::MAX.into()) as u32,
                expected: steps(expected),
                below: steps(below),
                above: steps(above),
            }
        });
        let mut bands: Vec<Coded> = bands.collect();
        bands.sort_by_key(|band| band.slot);
        Self(bands)
    }
}

#[cfg(test)]
mod tests;
