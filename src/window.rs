//! Series and baseline become the windows that the network sees.
//!
//! A window is `time` slots up to the one in question, oldest first, 5 or 20 minutes apart. Each
//! slot has a value, a flag that says whether the network may see it, and [`CONTEXT`] features of
//! context:
//!
//! | feature | what it is |
//! | --- | --- |
//! | value | `asinh((y - median) / scale)`, y the [compressed](crate::compress) CPU |
//! | context 0 | the daily profile's centre, scaled like the value |
//! | context 1 | `ln(spread / scale + 0.05)` of the daily profile, compressed |
//! | context 2 | confidence of the daily profile, 0 to 1 |
//! | context 3 | the weekly profile's centre, scaled like the value; 0 without one |
//! | context 4 | confidence of the weekly profile, 0 to 1 |
//!
//! In slots that are forecast, context 0 is the instance's own forecast.

use crate::baseline::forecast::HORIZONS;
use crate::baseline::{Baseline, Expectation};
use crate::series::{PERIOD, Series};

/// Context features beside each value: see [`crate::window`].
pub const CONTEXT: usize = 5;

/// The windows of a datapoint, one for each of [`HORIZONS`]: the resolution, and the number of
/// newest slots that are hidden. The network's reconstruction of these is its forecast.
pub const LOOKS: [(usize, usize); HORIZONS.len()] = [(0, 1), (0, 6), (1, 6)];
/// The most slots that one of them hides.
pub(crate) const MOST_HIDDEN: usize = {
    let (mut most, mut look) = (0, 0);
    while look < LOOKS.len() {
        if LOOKS[look].1 > most {
            most = LOOKS[look].1;
        }
        look += 1;
    }
    most
};

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

    /// Adds the window whose newest slot is `newest` and whose slots lie `spacing` apart: `series`
    /// averaged over as many. A slot without a value, or before the series, is hidden.
    pub fn push(
        &mut self,
        series: &Series,
        expectation: &Expectation,
        newest: usize,
        spacing: usize,
    ) {
        let scaled =
            |slot: usize| series.get(slot).map(|value| expectation.level.scaled(value) as f32);
        self.push_scaled(expectation, newest, series.time_of(newest), spacing, scaled);
    }

    /// Adds a window for each of `newest`. Windows that lie close together share most of their
    /// values: each is scaled once.
    pub fn push_all(
        &mut self,
        series: &Series,
        expectation: &Expectation,
        newest: &[usize],
        spacing: usize,
    ) {
        let mut known = vec![None; series.len()];
        let mut scaled = |slot: usize| {
            let value = || series.get(slot).map(|value| expectation.level.scaled(value) as f32);
            *known.get_mut(slot)?.get_or_insert_with(value)
        };
        for &newest in newest {
            self.push_scaled(expectation, newest, series.time_of(newest), spacing, &mut scaled);
        }
    }

    /// Adds the window whose newest slot is `newest`, which starts at `time` (seconds since 1970),
    /// and whose slots lie `spacing` apart. `scaled`: the value of a slot as the network sees it,
    /// if there is one.
    pub(crate) fn push_scaled(
        &mut self,
        Expectation { daily, weekly, .. }: &Expectation,
        newest: usize,
        time: i64,
        spacing: usize,
        mut scaled: impl FnMut(usize) -> Option<f32>,
    ) {
        for back in (0..self.time).rev().map(|back| back * spacing) {
            let value = newest.checked_sub(back).and_then(&mut scaled);
            self.values.push(value.unwrap_or(0.0));
            self.visible.push(f32::from(u8::from(value.is_some())));
            let time = time - back as i64 * PERIOD;
            self.context.extend([
                daily.centre(time),
                daily.spread(time),
                daily.confidence as f32,
                weekly.as_ref().map_or(0.0, |weekly| weekly.centre(time)),
                weekly.as_ref().map_or(0.0, |weekly| weekly.confidence) as f32,
            ]);
        }
    }

    /// Hides the newest `slots` slots of every window: a value must not take part in its own
    /// forecast.
    pub fn hide_newest(&mut self, slots: usize) {
        (0..self.len()).for_each(|index| self.forecast(index, slots, None));
    }

    /// Hides the newest `slots` slots of window `index`. Puts the instance's own `forecast` of
    /// them, scaled like a value, in place of their daily profile.
    pub fn forecast(&mut self, index: usize, slots: usize, forecast: Option<f32>) {
        let end = (index + 1) * self.time;
        for slot in end - slots.min(self.time)..end {
            self.visible[slot] = 0.0;
            if let Some(forecast) = forecast {
                self.context[slot * CONTEXT] = forecast;
            }
        }
    }

    /// Hides the slots that window `index` is to forecast at this horizon of `baseline`. Gives the
    /// network the instance's `own` forecast (compressed) of them.
    pub fn hide(&mut self, baseline: &Baseline, index: usize, horizon: usize, own: Option<f64>) {
        let (resolution, hidden) = LOOKS[horizon];
        let level = &baseline.expectations[resolution].level;
        self.forecast(index, hidden, own.map(|own| level.of_compressed(own) as f32));
    }

    /// The windows at `indices`, in that order; an index may come twice.
    pub fn select(&self, indices: &[usize]) -> Self {
        let mut selected = Self::new(self.time, indices.len());
        for &index in indices {
            let slots = index * self.time..(index + 1) * self.time;
            selected.values.extend_from_slice(&self.values[slots.clone()]);
            selected.visible.extend_from_slice(&self.visible[slots.clone()]);
            selected
                .context
                .extend_from_slice(&self.context[slots.start * CONTEXT..slots.end * CONTEXT]);
        }
        selected
    }

    /// Values and visibility of each window, to be altered for training: `[time]` each.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = [&mut [f32]; 2]> {
        let values = self.values.chunks_exact_mut(self.time);
        let visible = self.visible.chunks_exact_mut(self.time);
        values.zip(visible).map(|(values, visible)| [values, visible])
    }

    /// The encoder's input for a slot, counted over all windows: the value where it is visible, 1
    /// where it is hidden, and the context.
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

    /// How many of the slots before the newest `hidden` ones are visible in window `index`, as a
    /// fraction.
    pub fn visible_fraction(&self, index: usize, hidden: usize) -> f64 {
        let end = self.time.saturating_sub(hidden);
        let window = &self.visible[index * self.time..index * self.time + end];
        f64::from(window.iter().sum::<f32>()) / window.len().max(1) as f64
    }

    /// Number of windows.
    pub fn len(&self) -> usize {
        self.values.len() / self.time
    }

    /// Whether the batch is empty.
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
    use crate::series::{DAY, Datapoint, RESOLUTIONS};

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
        windows.hide_newest(1);
        assert_eq!(windows.visible()[7], 0.0);
        assert_eq!(
            [1, 2, 3].map(|hidden| windows.visible_fraction(0, hidden)),
            [6.0 / 7.0, 5.0 / 6.0, 1.0]
        );
        windows.hide_newest(3);
        assert_eq!(windows.visible(), [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
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
        assert_eq!(windows.context()[3 * CONTEXT], expectation.daily.centre(113 * PERIOD));
    }
}
