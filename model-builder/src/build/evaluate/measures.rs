//! Measures of scores and alarms against labels, beside NAB's own score.

use std::iter::Sum;
use std::ops::{Add, Range};

/// Counts how alarms match labelled windows. Counts of several files add up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Alarms {
    /// Alarms, inside and outside the windows.
    pub(crate) raised: usize,
    /// Alarms outside all windows.
    pub(crate) false_alarms: usize,
    /// Labelled windows.
    pub(crate) windows: usize,
    /// From the start of each window that was hit to the first alarm in it, in the unit of the
    /// times.
    pub(crate) delays: Vec<i64>,
}

impl Alarms {
    /// Alarms and windows by time; row numbers do as well. Alarms may come in any order.
    ///
    /// An alarm is judged by its own time alone: one that begins before a window and lasts into it
    /// is false. So give the first row of each episode to count alarms as a person gets them, and
    /// all anomalous rows to see what is hit.
    pub(crate) fn of(alarms: &[i64], windows: &[Range<i64>]) -> Self {
        let first =
            |window: &Range<i64>| alarms.iter().filter(|alarm| window.contains(alarm)).min();
        let false_alarms = alarms
            .iter()
            .filter(|alarm| !windows.iter().any(|window| window.contains(alarm)))
            .count();
        Self {
            raised: alarms.len(),
            false_alarms,
            windows: windows.len(),
            delays: windows
                .iter()
                .filter_map(|window| Some(first(window)? - window.start))
                .collect(),
        }
    }

    /// Windows with an alarm in them.
    pub(crate) fn hit(&self) -> usize {
        self.delays.len()
    }

    /// Share of the alarms that lie in a window, where there are alarms.
    pub(crate) fn precision(&self) -> Option<f64> {
        share(self.raised - self.false_alarms, self.raised)
    }

    /// Share of the windows that were hit, where there are windows.
    pub(crate) fn recall(&self) -> Option<f64> {
        share(self.hit(), self.windows)
    }

    /// Median of the delays, where a window was hit.
    pub(crate) fn median_delay(&self) -> Option<f64> {
        let mut delays: Vec<f64> = self.delays.iter().map(|&delay| delay as f64).collect();
        delays.sort_unstable_by(f64::total_cmp);
        quantile(&delays, 0.5)
    }
}

impl Add for Alarms {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self.delays.extend(other.delays);
        Self {
            raised: self.raised + other.raised,
            false_alarms: self.false_alarms + other.false_alarms,
            windows: self.windows + other.windows,
            delays: self.delays,
        }
    }
}

impl Sum for Alarms {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}

/// Counts rows by call and by truth. Counts of several files add up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Confusion {
    /// Anomalous rows, called so.
    pub(crate) true_positives: usize,
    /// Normal rows, called anomalous.
    pub(crate) false_positives: usize,
    /// Anomalous rows, called normal.
    pub(crate) false_negatives: usize,
    /// Normal rows, called so.
    pub(crate) true_negatives: usize,
}

impl Confusion {
    /// Rows as (called anomalous, is anomalous).
    pub(crate) fn of(rows: impl IntoIterator<Item = (bool, bool)>) -> Self {
        let mut counts = Self::default();
        for row in rows {
            match row {
                (true, true) => counts.true_positives += 1,
                (true, false) => counts.false_positives += 1,
                (false, true) => counts.false_negatives += 1,
                (false, false) => counts.true_negatives += 1,
            }
        }
        counts
    }

    /// Share of the rows called anomalous that are anomalous, where there are any.
    pub(crate) fn precision(&self) -> Option<f64> {
        share(self.true_positives, self.true_positives + self.false_positives)
    }

    /// Share of the anomalous rows that were called so, where there are any.
    pub(crate) fn recall(&self) -> Option<f64> {
        share(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// Harmonic mean of the two, `2 tp / (2 tp + fp + fn)`, where a row is anomalous or called so.
    pub(crate) fn f1(&self) -> Option<f64> {
        let both = 2 * self.true_positives;
        share(both, both + self.false_positives + self.false_negatives)
    }
}

impl Add for Confusion {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            true_positives: self.true_positives + other.true_positives,
            false_positives: self.false_positives + other.false_positives,
            false_negatives: self.false_negatives + other.false_negatives,
            true_negatives: self.true_negatives + other.true_negatives,
        }
    }
}

impl Sum for Confusion {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}

/// Rows from the highest score to the lowest: how many of each class reach each threshold.
#[derive(Debug, Clone)]
pub(crate) struct Ranking {
    /// (anomalous, normal) rows at or over each threshold, one entry for each distinct score. The
    /// last has all rows.
    reached: Vec<(usize, usize)>,
}

/// A point of a curve, both 0 to 1.
pub(crate) type Point = (f64, f64);

impl Ranking {
    /// Rows as (score, is anomalous). Rows of equal score are reached together. A row whose score
    /// is not a number ranks last: it would never have raised an alarm. `None` where one of the
    /// classes has no row.
    pub(crate) fn of(rows: impl IntoIterator<Item = (f64, bool)>) -> Option<Self> {
        let mut rows: Vec<(f64, bool)> =
            rows.into_iter().map(|(score, anomalous)| (ranked(score), anomalous)).collect();
        rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let (mut anomalous, mut normal) = (0, 0);
        let mut reached = Vec::new();
        for equal in rows.chunk_by(|a, b| a.0 == b.0) {
            let here = equal.iter().filter(|row| row.1).count();
            (anomalous, normal) = (anomalous + here, normal + equal.len() - here);
            reached.push((anomalous, normal));
        }
        (anomalous > 0 && normal > 0).then_some(Self { reached })
    }

    /// (anomalous, normal) rows.
    fn rows(&self) -> (f64, f64) {
        self.reached
            .last()
            .map_or((0.0, 0.0), |&(anomalous, normal)| (anomalous as f64, normal as f64))
    }

    /// (share of the normal rows, share of the anomalous rows) reached, from (0, 0) to (1, 1).
    fn roc(&self) -> impl Iterator<Item = Point> {
        let (anomalous, normal) = self.rows();
        let point =
            move |&(hit, wrong): &(usize, usize)| (wrong as f64 / normal, hit as f64 / anomalous);
        std::iter::once((0.0, 0.0)).chain(self.reached.iter().map(point))
    }

    /// (recall, precision), from the highest threshold down.
    fn precision_recall(&self) -> impl Iterator<Item = Point> {
        let (anomalous, _) = self.rows();
        self.reached
            .iter()
            .map(move |&(hit, wrong)| (hit as f64 / anomalous, hit as f64 / (hit + wrong) as f64))
    }

    /// Area under the ROC curve: the probability that an anomalous row scores higher than a normal
    /// one. A tie counts half.
    pub(crate) fn auc(&self) -> f64 {
        self.roc()
            .zip(self.roc().skip(1))
            .map(|(from, to)| (to.0 - from.0) * (to.1 + from.1) / 2.0)
            .sum()
    }

    /// Area under the precision-recall curve as a sum of steps, `Σ (R_i - R_(i-1)) P_i`. Trapezoids
    /// would promise a precision that no threshold gives.
    pub(crate) fn average_precision(&self) -> f64 {
        let before = std::iter::once(0.0).chain(self.precision_recall().map(|point| point.0));
        self.precision_recall()
            .zip(before)
            .map(|((recall, precision), before)| (recall - before) * precision)
            .sum()
    }

    /// The ROC curve as (false positive rate, true positive rate), thinned for a plot.
    pub(crate) fn roc_curve(&self, at_most: usize) -> Vec<Point> {
        thinned(self.roc().collect(), at_most)
    }

    /// The precision-recall curve as (recall, precision), thinned for a plot. Draw it in steps.
    pub(crate) fn precision_recall_curve(&self, at_most: usize) -> Vec<Point> {
        thinned(self.precision_recall().collect(), at_most)
    }
}

/// A number to rank by.
pub(super) fn ranked(score: f64) -> f64 {
    if score.is_nan() { f64::NEG_INFINITY } else { score }
}

/// At most this number of points, evenly spaced along the curve. The first and the last point are
/// always included, so there are never fewer than two.
fn thinned(curve: Vec<Point>, at_most: usize) -> Vec<Point> {
    let steps = at_most.max(2) - 1;
    let length = |from: &Point, to: &Point| (to.0 - from.0).abs() + (to.1 - from.1).abs();
    let whole: f64 = curve.windows(2).map(|pair| length(&pair[0], &pair[1])).sum();
    let (Some(&first), Some(&last)) = (curve.first(), curve.last()) else { return curve };
    if curve.len() <= at_most.max(2) {
        return curve;
    }
    let (mut kept, mut gone) = (vec![first], 0.0);
    for pair in curve.windows(2) {
        gone += length(&pair[0], &pair[1]);
        // Reserves one place for the last point.
        if gone * steps as f64 >= whole * kept.len() as f64 && kept.len() < steps {
            kept.push(pair[1]);
        }
    }
    kept.push(last);
    kept
}

/// The rule that labels rows as anomalous where labels are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proxy {
    /// The highest values.
    Value,
    /// The values farthest from the median, up or down.
    FromMedian,
}

impl Proxy {
    /// Substitute labels for rows without labels: the `share` (0.05: the top 5 %) of the values
    /// that stand out most.
    ///
    /// Only values strictly over the quantile count. If all values are equal, no value is
    /// anomalous. If many are equal, fewer than `share` are. Such labels reward a threshold on the
    /// value and say little about faults.
    pub(crate) fn labels(self, values: &[f64], share: f64) -> Vec<bool> {
        let quantile_of = |values: &[f64], q| {
            let mut sorted: Vec<f64> =
                values.iter().copied().filter(|value| !value.is_nan()).collect();
            sorted.sort_unstable_by(f64::total_cmp);
            quantile(&sorted, q).unwrap_or(f64::NAN)
        };
        let standing_out: Vec<f64> = match self {
            Self::Value => values.to_vec(),
            Self::FromMedian => {
                let median = quantile_of(values, 0.5);
                values.iter().map(|value| (value - median).abs()).collect()
            }
        };
        let limit = quantile_of(&standing_out, 1.0 - share);
        standing_out.iter().map(|&value| value > limit).collect()
    }
}

/// The `q`-quantile of sorted values, linear between neighbours; `None` of an empty slice.
pub(super) fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = q.clamp(0.0, 1.0) * last as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    Some(sorted[below] + (sorted[above] - sorted[below]) * position.fract())
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests;
