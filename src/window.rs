//! Series and baseline become the windows that the network sees.
//!
//! A window is `time` slots up to the one in question, oldest first, 5 or 20 minutes apart. Each slot has a value,
//! a flag that says whether the network may see it, and [`CONTEXT`] features of context:
//!
//! | feature | what it is |
//! | --- | --- |
//! | value | `asinh((x - median) / scale)` |
//! | context 0 | the daily profile's centre, scaled like the value |
//! | context 1 | `ln(spread / scale + 0.05)` of the daily profile |
//! | context 2 | confidence of the daily profile, 0 to 1 |
//! | context 3 | the weekly profile's centre, scaled like the value; 0 without one |
//! | context 4 | confidence of the weekly profile, 0 to 1 |

use crate::baseline::Expectation;
use crate::model::CONTEXT;
use crate::series::Series;

/// A batch of windows as plain numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Windows {
    time: usize,
    values: Vec<f32>,
    visible: Vec<f32>,
    /// Whether there is a value at all.
    present: Vec<bool>,
    context: Vec<f32>,
}

impl Windows {
    /// No windows yet, of `time` slots each, with room for `capacity` of them.
    pub fn new(time: usize, capacity: usize) -> Self {
        let slots = time * capacity;
        Self {
            time,
            values: Vec::with_capacity(slots),
            visible: Vec::with_capacity(slots),
            present: Vec::with_capacity(slots),
            context: Vec::with_capacity(slots * CONTEXT),
        }
    }

    /// Adds the window whose newest slot is `newest` and whose slots lie `spacing` apart: `series` averaged over as
    /// many. A slot without a value, or before the series, is hidden.
    pub fn push(&mut self, series: &Series, expectation: &Expectation, newest: usize, spacing: usize) {
        self.push_scaled(series, expectation, newest, spacing, |_, value| expectation.level.scaled(value) as f32);
    }

    /// Adds a window for each of `newest`. Windows that lie close together share most of their values: each is scaled once.
    pub fn push_all(&mut self, series: &Series, expectation: &Expectation, newest: &[usize], spacing: usize) {
        let mut scaled = vec![None; series.len()];
        for &newest in newest {
            self.push_scaled(series, expectation, newest, spacing, |slot, value| {
                *scaled[slot].get_or_insert_with(|| expectation.level.scaled(value) as f32)
            });
        }
    }

    fn push_scaled(
        &mut self,
        series: &Series,
        Expectation { daily, weekly, .. }: &Expectation,
        newest: usize,
        spacing: usize,
        mut scaled: impl FnMut(usize, f64) -> f32,
    ) {
        for back in (0..self.time).rev().map(|back| back * spacing) {
            let slot = newest.checked_sub(back);
            let value = slot.and_then(|slot| series.get(slot).map(|value| scaled(slot, value)));
            self.values.push(value.unwrap_or(0.0));
            self.visible.push(f32::from(u8::from(value.is_some())));
            self.present.push(value.is_some());
            let time = series.time_of(newest) - back as i64 * crate::series::PERIOD;
            self.context.extend([
                daily.centre(time),
                daily.spread(time),
                daily.confidence as f32,
                weekly.as_ref().map_or(0.0, |weekly| weekly.centre(time)),
                weekly.as_ref().map_or(0.0, |weekly| weekly.confidence) as f32,
            ]);
        }
    }

    /// Hides the newest slot of every window: the one that is scored must not explain itself.
    pub fn hide_newest(&mut self) {
        for window in self.visible.chunks_exact_mut(self.time) {
            if let Some(newest) = window.last_mut() {
                *newest = 0.0;
            }
        }
    }

    /// The windows at `indices`, in that order; an index may come twice.
    pub fn select(&self, indices: &[usize]) -> Self {
        let mut selected = Self::new(self.time, indices.len());
        for &index in indices {
            let slots = index * self.time..(index + 1) * self.time;
            selected.values.extend_from_slice(&self.values[slots.clone()]);
            selected.visible.extend_from_slice(&self.visible[slots.clone()]);
            selected.present.extend_from_slice(&self.present[slots.clone()]);
            selected.context.extend_from_slice(&self.context[slots.start * CONTEXT..slots.end * CONTEXT]);
        }
        selected
    }

    /// Values and visibility of each window, to be altered for training: `[time]` each.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = [&mut [f32]; 2]> {
        let values = self.values.chunks_exact_mut(self.time);
        let visible = self.visible.chunks_exact_mut(self.time);
        values.zip(visible).map(|(values, visible)| [values, visible])
    }

    /// What the encoder reads of a slot, counted over all windows: the value where it is visible, 1 where it is hidden, and the
    /// context.
    #[inline(always)]
    pub(crate) fn input(&self, slot: usize) -> [f32; 2 + CONTEXT] {
        let visible = self.visible[slot];
        let [a, b, c, d, e] = self.context_at(slot);
        [self.values[slot] * visible, 1.0 - visible, a, b, c, d, e]
    }

    /// The context of a slot, counted over all windows.
    #[inline(always)]
    pub(crate) fn context_at(&self, slot: usize) -> [f32; CONTEXT] {
        std::array::from_fn(|feature| self.context[slot * CONTEXT + feature])
    }

    /// How many of the slots before the newest are visible in window `index`, as a fraction.
    pub fn visible_fraction(&self, index: usize) -> f64 {
        let window = &self.visible[index * self.time..(index + 1) * self.time - 1];
        f64::from(window.iter().sum::<f32>()) / window.len().max(1) as f64
    }

    /// The error of window `index`: the mean, over its slots with a value, of
    /// `min(|u|, |u - reconstruction|, |u - daily profile|, |u - weekly profile|)`, all scaled, so that the median is 0.
    /// `newest_first` is the reconstruction of the whole window, `[time]`.
    pub fn error(&self, index: usize, newest_first: &[f32]) -> f64 {
        let slots = index * self.time..(index + 1) * self.time;
        let (mut sum, mut count) = (0.0, 0.0);
        for (slot, reconstruction) in slots.zip(newest_first.iter().rev()) {
            // The newest is hidden from the network, and still has a value.
            if self.present[slot] {
                let context = &self.context[slot * CONTEXT..(slot + 1) * CONTEXT];
                let from = |expected: f32| (self.values[slot] - expected).abs();
                let [daily, weekly] = [from(context[0]), if context[4] > 0.0 { from(context[3]) } else { f32::MAX }];
                sum += f64::from(from(0.0).min(from(*reconstruction)).min(daily).min(weekly));
                count += 1.0;
            }
        }
        sum / f64::max(count, 1.0)
    }

    /// The daily profile of each window, newest first: `[batch, time]`.
    pub fn profile_newest_first(&self) -> Vec<f32> {
        let windows = self.context.chunks_exact(self.time * CONTEXT);
        windows.flat_map(|window| window.chunks_exact(CONTEXT).rev().map(|context| context[0])).collect()
    }

    /// Number of windows.
    pub fn len(&self) -> usize {
        self.values.len() / self.time
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Slots in a window.
    pub fn time(&self) -> usize {
        self.time
    }

    /// Scaled values `[batch, time]`, 0 where missing.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// 1 where the network may see the value, else 0. `[batch, time]`.
    pub fn visible(&self) -> &[f32] {
        &self.visible
    }

    /// Context `[batch, time, CONTEXT]`.
    pub fn context(&self) -> &[f32] {
        &self.context
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Baseline;
    use crate::series::{DAY, Datapoint, PERIOD, RESOLUTIONS};

    fn series(slots: usize) -> (Series, [Expectation; RESOLUTIONS.len()]) {
        let points = (0..slots)
            .filter(|&i| i != slots - 3)
            .map(|i| Datapoint { time: i as i64 * PERIOD, value: (i % 50) as f64 });
        let series = Series::from_datapoints(points).expect("usable").0;
        let baseline = Baseline::learn(&series, series.end()).expect("enough");
        (series, baseline.expectations)
    }

    #[test]
    fn a_gap_is_hidden_and_the_newest_on_request() {
        let (series, [expectation, _]) = series(3 * DAY);
        let mut windows = Windows::new(8, 1);
        windows.push(&series, &expectation, series.len() - 1, 1);
        assert_eq!(windows.visible(), [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0]);
        assert_eq!(windows.values()[5], 0.0);
        windows.hide_newest();
        assert_eq!(windows.visible()[7], 0.0);
        assert_eq!(windows.present, [true, true, true, true, true, false, true, true], "hidden is not missing");
        assert_eq!(windows.visible_fraction(0), 6.0 / 7.0);
    }

    #[test]
    fn what_lies_before_the_series_is_hidden() {
        let (series, [expectation, _]) = series(3 * DAY);
        let mut windows = Windows::new(4, 2);
        windows.push(&series, &expectation, 1, 1);
        windows.push(&series, &expectation, 20, 1);
        assert_eq!(windows.len(), 2);
        assert_eq!(windows.visible(), [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert!(windows.context().iter().all(|x| x.is_finite()));
    }

    #[test]
    fn slots_lie_as_far_apart_as_was_asked() {
        let (series, [_, expectation]) = series(3 * DAY);
        let mut windows = Windows::new(4, 1);
        windows.push(&series, &expectation, 113, 4);
        // 101 % 50 and so on: in the fourth the saw has begun anew.
        let expected = [1.0, 5.0, 9.0, 13.0].map(|value| expectation.level.scaled(value) as f32);
        assert_eq!(windows.values(), expected);
        let profile = expectation.daily.centre(113 * PERIOD);
        assert_eq!(windows.profile_newest_first()[0], profile);
    }

    #[test]
    fn the_error_of_a_window_is_the_mean_distance_to_what_is_nearest() {
        // One slot is 3 from anything, one is explained by each of median, reconstruction, daily and weekly profile.
        let values = vec![8.0, 0.0, 5.0, 2.0, 3.0, 100.0];
        let context = |daily: f32, weekly: f32, confidence: f32| [daily, 0.0, 1.0, weekly, confidence];
        let contexts = [
            context(20.0, 30.0, 0.5),
            context(20.0, 30.0, 0.5),
            context(20.0, 30.0, 0.5),
            context(2.0, 30.0, 0.5),
            context(20.0, 3.0, 0.5),
            context(20.0, 30.0, 0.5),
        ];
        let windows = Windows {
            time: 6,
            values,
            visible: vec![1.0, 1.0, 1.0, 1.0, 0.0, 0.0],
            present: vec![true, true, true, true, true, false],
            context: contexts.concat(),
        };
        // Newest first; the last is for the oldest slot.
        let reconstructed = [0.0, 20.0, 20.0, 5.0, 20.0, 11.0];
        assert_eq!(windows.error(0, &reconstructed), 3.0 / 5.0, "a gap has no error, a hidden value has");
        let untrusted = Windows {
            context: contexts.map(|[daily, a, b, weekly, _]| [daily, a, b, weekly, 0.0]).concat(),
            ..windows
        };
        assert_eq!(
            untrusted.error(0, &reconstructed),
            6.0 / 5.0,
            "without a weekly profile there is none to be near to"
        );
    }
}
