//! Series and baseline become the windows that the network sees.
//!
//! A window is the last `time` slots up to the one in question, oldest first. Each slot has a value,
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
            context: Vec::with_capacity(slots * CONTEXT),
        }
    }

    /// Adds the window whose newest slot is `newest`. A slot without a value, or before the series, is hidden.
    pub fn push(&mut self, series: &Series, expectation: &Expectation, newest: usize) {
        let Expectation { level, daily, weekly } = expectation;
        for back in (0..self.time).rev() {
            let value = series.before(newest, back);
            self.values.push(value.map_or(0.0, |value| level.scaled(value) as f32));
            self.visible.push(f32::from(u8::from(value.is_some())));
            let time = series.time_of(newest) - back as i64 * crate::series::PERIOD;
            let usual = daily.at(time);
            self.context.extend([
                level.scaled(usual.centre) as f32,
                (usual.spread / level.scale + 0.05).ln() as f32,
                daily.confidence as f32,
                weekly.as_ref().map_or(0.0, |weekly| level.scaled(weekly.at(time).centre)) as f32,
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
            selected.context.extend_from_slice(&self.context[slots.start * CONTEXT..slots.end * CONTEXT]);
        }
        selected
    }

    /// Values, visibility and context of each window, to be altered for training: `[time]`, `[time]` and `[time, CONTEXT]`.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = [&mut [f32]; 3]> {
        let values = self.values.chunks_exact_mut(self.time);
        let visible = self.visible.chunks_exact_mut(self.time);
        let context = self.context.chunks_exact_mut(self.time * CONTEXT);
        values.zip(visible).zip(context).map(|((values, visible), context)| [values, visible, context])
    }

    /// How many of the slots before the newest are visible in window `index`, as a fraction.
    pub fn visible_fraction(&self, index: usize) -> f64 {
        let window = &self.visible[index * self.time..(index + 1) * self.time - 1];
        f64::from(window.iter().sum::<f32>()) / window.len().max(1) as f64
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
    use crate::series::{DAY, Datapoint, PERIOD};

    fn series(slots: usize) -> (Series, Expectation) {
        let points = (0..slots)
            .filter(|&i| i != slots - 3)
            .map(|i| Datapoint { time: i as i64 * PERIOD, value: (i % 50) as f64 });
        let series = Series::from_datapoints(points).expect("usable").0;
        let expectation = Expectation::learn(&series, series.end()).expect("enough");
        (series, expectation)
    }

    #[test]
    fn a_gap_is_hidden_and_the_newest_on_request() {
        let (series, expectation) = series(3 * DAY);
        let mut windows = Windows::new(8, 1);
        windows.push(&series, &expectation, series.len() - 1);
        assert_eq!(windows.visible(), [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0]);
        assert_eq!(windows.values()[5], 0.0);
        windows.hide_newest();
        assert_eq!(windows.visible()[7], 0.0);
        assert_eq!(windows.visible_fraction(0), 6.0 / 7.0);
    }

    #[test]
    fn what_lies_before_the_series_is_hidden() {
        let (series, expectation) = series(3 * DAY);
        let mut windows = Windows::new(4, 2);
        windows.push(&series, &expectation, 1);
        windows.push(&series, &expectation, 20);
        assert_eq!(windows.len(), 2);
        assert_eq!(windows.visible(), [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert!(windows.context().iter().all(|x| x.is_finite()));
    }
}
