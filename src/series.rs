//! Datapoints become a regular series: one slot every five minutes, gaps known.

use serde::{Deserialize, Serialize};

use crate::compress::{compress, expand};

/// Seconds from one slot of a [`Series`] to the next: the period of EC2's basic monitoring.
pub const PERIOD: i64 = 300;
/// Slots in a day.
pub const DAY: usize = 288;
/// Slots in a week.
pub const WEEK: usize = 7 * DAY;
/// Slots over which values are averaged: scoring looks at an instance in steps of 5 and of 20
/// minutes.
pub const RESOLUTIONS: [usize; 2] = [1, 4];
/// Seconds in a day.
pub const DAY_SECONDS: i64 = DAY as i64 * PERIOD;

/// The longest stretch a series may span: ten years. A wrong unit in a time stamp (milliseconds
/// for seconds) would otherwise ask for terabytes.
const MAX_SPAN: i64 = 3653 * DAY_SECONDS;
/// Time stamps that can be written as a date: the years 1 to 9999.
const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// The largest magnitude taken for a measurement. Squares of it still fit a float with room to sum
/// them.
const MAX_MAGNITUDE: f64 = 1e15;

/// One value as it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Datapoint {
    /// Start of the datapoint's period, in seconds since 1970-01-01 UTC.
    pub time: i64,
    /// CPU utilisation in percent.
    pub value: f64,
}

impl Datapoint {
    /// Whether it can be a slot of a [`Series`] as it is: a measurement, at the start of a slot.
    pub(crate) fn is_slot(&self) -> bool {
        self.value.abs() <= MAX_MAGNITUDE
            && TIMES.contains(&self.time)
            && self.time.rem_euclid(PERIOD) == 0
    }
}

/// A regular series: one slot every [`PERIOD`] seconds, aligned to it, each with a finite value or
/// known to be missing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Series {
    start: i64,
    /// NaN marks a gap. It never leaves this type: every way out gives an `Option`.
    #[serde(with = "gaps")]
    values: Vec<f64>,
}

/// A series as it was read from somewhere.
#[derive(Deserialize)]
#[serde(rename = "Series")]
struct Unchecked {
    start: i64,
    #[serde(with = "gaps")]
    values: Vec<f64>,
}

impl TryFrom<Unchecked> for Series {
    type Error = &'static str;

    fn try_from(Unchecked { start, values }: Unchecked) -> Result<Self, Self::Error> {
        let spans = values.len() as i64 * PERIOD;
        let possible = TIMES.contains(&start)
            && start.rem_euclid(PERIOD) == 0
            && (1..=MAX_SPAN).contains(&spans);
        match possible && values.iter().all(|value| value.is_nan() || value.abs() <= MAX_MAGNITUDE)
        {
            true => Ok(Self { start, values }),
            false => {
                Err("a series has aligned times that are dates, and values that are measurements")
            }
        }
    }
}

impl PartialEq for Series {
    /// A gap equals a gap.
    fn eq(&self, other: &Self) -> bool {
        let same = |(a, b): (&f64, &f64)| a == b || (a.is_nan() && b.is_nan());
        self.start == other.start
            && self.values.len() == other.values.len()
            && self.values.iter().zip(&other.values).all(same)
    }
}

/// Values in which NaN marks a gap, written as optional ones where a person may read them: JSON has
/// no NaN.
pub(crate) mod gaps {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        values: &[f64],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return values.serialize(serializer);
        }
        let values: Vec<Option<f64>> =
            values.iter().map(|value| Some(*value).filter(|value| !value.is_nan())).collect();
        values.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<f64>, D::Error> {
        if !deserializer.is_human_readable() {
            return Vec::deserialize(deserializer);
        }
        let values = Vec::<Option<f64>>::deserialize(deserializer)?;
        Ok(values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
    }
}

/// The changes to datapoints on their way into a [`Series`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Cleaning {
    /// Datapoints given.
    pub given: usize,
    /// Dropped because the value was NaN, infinite or larger than any measurement.
    pub unusable: usize,
    /// Shared their slot with an earlier datapoint; the slot has the mean.
    pub merged: usize,
    /// Slots between the first and the last datapoint that have no value.
    pub missing: usize,
}

/// Datapoints that cannot become a [`Series`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SeriesError {
    /// No datapoint is usable.
    #[error("no usable datapoint among the {given} given")]
    Empty {
        /// Datapoints given, usable or not.
        given: usize,
    },
    /// The time stamps are no dates, or lie impossibly far apart.
    #[error(
        "time stamps from {first} to {last} cannot be right (more than ten years, or no date at \
         all): are they in seconds since 1970?"
    )]
    Times {
        /// Earliest time stamp.
        first: i64,
        /// Latest time stamp.
        last: i64,
    },
}

/// The start of the slot that holds `time` (seconds since 1970).
pub fn slot_start(time: i64) -> i64 {
    time.div_euclid(PERIOD) * PERIOD
}

impl Series {
    /// Makes a series of datapoints in any order.
    ///
    /// A slot that got several datapoints (one-minute monitoring, a clock set back) has their mean.
    /// Values that cannot be measurements are dropped and counted. Slots that got nothing stay
    /// missing.
    ///
    /// # Errors
    /// [`SeriesError`] when no datapoint is usable or their time stamps cannot be right.
    pub fn from_datapoints(
        datapoints: impl IntoIterator<Item = Datapoint>,
    ) -> Result<(Self, Cleaning), SeriesError> {
        let mut cleaning = Cleaning::default();
        let mut usable: Vec<Datapoint> = Vec::new();
        for datapoint in datapoints {
            cleaning.given += 1;
            if datapoint.value.abs() <= MAX_MAGNITUDE {
                usable.push(datapoint);
            } else {
                cleaning.unusable += 1;
            }
        }
        let times = || usable.iter().map(|datapoint| datapoint.time);
        let (Some(first), Some(last)) = (times().min(), times().max()) else {
            return Err(SeriesError::Empty { given: cleaning.given });
        };
        if !TIMES.contains(&first) || !TIMES.contains(&last) || last - first > MAX_SPAN {
            return Err(SeriesError::Times { first, last });
        }
        let start = slot_start(first);
        let slots = ((slot_start(last) - start) / PERIOD) as usize + 1;
        let mut sums = vec![0.0; slots];
        let mut counts = vec![0u32; slots];
        for datapoint in &usable {
            let slot = ((slot_start(datapoint.time) - start) / PERIOD) as usize;
            sums[slot] += datapoint.value;
            counts[slot] += 1;
        }
        let values: Vec<f64> = sums
            .iter()
            .zip(&counts)
            .map(|(sum, &count)| if count == 0 { f64::NAN } else { sum / f64::from(count) })
            .collect();
        cleaning.missing = counts.iter().filter(|&&count| count == 0).count();
        cleaning.merged = usable.len() - (slots - cleaning.missing);
        Ok((Self { start, values }, cleaning))
    }

    /// Start of the first slot, in seconds since 1970.
    pub fn start(&self) -> i64 {
        self.start
    }

    /// End of the last slot (exclusive), in seconds since 1970.
    pub fn end(&self) -> i64 {
        self.time_of(self.values.len())
    }

    /// Number of slots, missing ones included. Never zero.
    #[expect(clippy::len_without_is_empty, reason = "a series has at least one slot")]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// The value of slot `index`, or `None` where it has no value.
    pub fn get(&self, index: usize) -> Option<f64> {
        self.values.get(index).copied().filter(|value| !value.is_nan())
    }

    /// The value of the slot that holds `time` (seconds since 1970), or `None` where it has no
    /// value.
    pub fn at(&self, time: i64) -> Option<f64> {
        let slot = time.checked_sub(self.start)?.div_euclid(PERIOD);
        usize::try_from(slot).ok().and_then(|slot| self.get(slot))
    }

    /// The value `back` slots before slot `index`.
    pub fn before(&self, index: usize, back: usize) -> Option<f64> {
        index.checked_sub(back).and_then(|earlier| self.get(earlier))
    }

    /// Start of slot `index`, in seconds since 1970.
    pub fn time_of(&self, index: usize) -> i64 {
        self.start + index as i64 * PERIOD
    }

    /// The index of the first slot that starts at or after `time`, at most [`Self::len`].
    pub fn index_at(&self, time: i64) -> usize {
        let slots = (time.saturating_sub(self.start).max(0) as u64).div_ceil(PERIOD as u64);
        slots.min(self.values.len() as u64) as usize
    }

    /// The values that exist in slots `range`.
    pub fn present(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = f64> + '_ {
        let end = range.end.min(self.values.len());
        self.values[range.start.min(end)..end].iter().copied().filter(|value| !value.is_nan())
    }

    /// Each slot with the mean of its value and the `over - 1` before it, of those that exist,
    /// taken of [compressed](crate::compress) values.
    pub fn averaged(&self, over: usize) -> Self {
        if over == 1 {
            return self.clone();
        }
        let mean = |end: usize| {
            let (mut sum, mut count) = (0.0, 0.0);
            for value in self.present((end + 1).saturating_sub(over)..end + 1) {
                sum += compress(value);
                count += 1.0;
            }
            // Without a value: NaN, a gap.
            expand(sum / count)
        };
        Self { start: self.start, values: (0..self.values.len()).map(mean).collect() }
    }

    /// The `slots` slots before `end` (seconds since 1970, aligned), as far as the series reaches
    /// back; those after its last one are missing. `None` where it begins later.
    pub fn up_to(&self, end: i64, slots: usize) -> Option<Self> {
        let start = self.start.max(end.saturating_sub(slots as i64 * PERIOD));
        let slots = usize::try_from((end - start) / PERIOD).ok().filter(|slots| *slots > 0)?;
        let first = self.index_at(start);
        let value = |slot: usize| self.get(first + slot).unwrap_or(f64::NAN);
        Some(Self { start, values: (0..slots).map(value).collect() })
    }

    /// The slots in `range`; at least one, the last there is.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        let end = range.end.clamp(1, self.values.len());
        let start = range.start.min(end - 1);
        Self { start: self.time_of(start), values: self.values[start..end].to_vec() }
    }

    /// Adds `datapoint` after the last slot, with a gap where it does not follow at once.
    /// One that is not newer than the series is not added.
    pub(crate) fn push(&mut self, datapoint: Datapoint) {
        let slot = (slot_start(datapoint.time) - self.start).div_euclid(PERIOD);
        if let Ok(slot) = usize::try_from(slot)
            && slot >= self.values.len()
        {
            self.values.resize(slot, f64::NAN);
            self.values.push(datapoint.value);
        }
    }

    /// One slot, at `time` (seconds since 1970, aligned), that has no value.
    pub(crate) fn nothing(time: i64) -> Option<Self> {
        (TIMES.contains(&time) && time.rem_euclid(PERIOD) == 0)
            .then(|| Self { start: time, values: vec![f64::NAN] })
    }

    /// Adds this number of slots without a value.
    pub(crate) fn pass_over(&mut self, slots: usize) {
        self.values.resize(self.values.len() + slots, f64::NAN);
    }

    /// The newest value.
    pub(crate) fn newest(&self) -> Option<f64> {
        self.values.iter().rev().copied().find(|value| !value.is_nan())
    }

    /// The same series without the values at times where `left_out` holds (seconds since 1970);
    /// `None` where no value remains.
    pub fn without(&self, left_out: impl Fn(i64) -> bool) -> Option<Self> {
        let value = |(slot, &value): (usize, &f64)| {
            if left_out(self.time_of(slot)) { f64::NAN } else { value }
        };
        let values: Vec<f64> = self.values.iter().enumerate().map(value).collect();
        values.iter().any(|value| !value.is_nan()).then_some(Self { start: self.start, values })
    }

    /// The values that exist in the slots that start at or after `start` and before `end`, with the
    /// start of their slot.
    pub fn between(&self, start: i64, end: i64) -> impl Iterator<Item = Datapoint> + '_ {
        let slots = self.index_at(start)..self.index_at(end);
        slots.filter_map(|index| {
            Some(Datapoint { time: self.time_of(index), value: self.get(index)? })
        })
    }

    /// All values that exist, with the start of their slot.
    pub fn datapoints(&self) -> impl Iterator<Item = Datapoint> + '_ {
        (0..self.len()).filter_map(|index| {
            Some(Datapoint { time: self.time_of(index), value: self.get(index)? })
        })
    }
}

#[cfg(test)]
mod tests;
