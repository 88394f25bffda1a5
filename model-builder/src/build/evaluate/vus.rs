//! Volume under the surface: areas under curves that forgive a find that is a little early or late.
//!
//! Paparrizos, Boniol, Palpanas, Tsay, Elmore and Franklin, "Volume Under the Surface: A New
//! Accuracy Evaluation Measure for Time-Series Anomaly Detection", PVLDB 15(11), 2022. Each
//! labelled range gets a slope before and behind it; the area under the curve is taken for every
//! length of the slopes from nothing to a longest, and averaged.
//!
//! For a buffer of `l` rows, half of it on each side, and a threshold:
//!
//! 1. A row `d` rows off a labelled range, `d <= l / 2` rounded down, is labelled `sqrt(1 - d /
//!    l)`. Where slopes lie over each other their labels add up, to 1 at most.
//! 2. `P` = labelled rows; `T` = detected rows among them; `B` = sum of the labels of the detected
//!    rows on the slopes; `N` = detected rows; `n` = all rows.
//! 3. `existence` = share of the ranges, slopes included, in which a row is detected. Ranges that
//!    overlap are one.
//! 4. `P' = P + B / 2`; `recall = min(1, (T + B) / P') existence`; `precision = (T + B) / N`;
//!    `fpr = (N - T - B) / (n - P')`.
//! 5. PR: sum of the steps of recall times the precision they lead to. ROC: trapezoids from (0, 0)
//!    to (1, 1).
//!
//! The code that the authors publish has changed. This is what their benchmark TSB-AD computes (Liu
//! and Paparrizos, NeurIPS 2024). The older packages TSB-UAD and VUS count a slope into `P'`
//! whether or not it was detected, and take trapezoids for PR: a detector that marks just the
//! labelled rows does not reach 1 there, and one range without slopes does not give the average
//! precision.

use std::ops::Range;

use super::measures::ranked;

/// How many thresholds the published code looks at: that many rows, evenly spaced by rank.
pub(crate) const THRESHOLDS: usize = 250;

/// VUS-PR of detectors on the subset "Facility" of NAB in TSB-AD: the mean over seven of its files,
/// as its authors publish it. These detectors see a whole series, including its future.
pub(crate) const PUBLISHED: [(&str, f64); 7] = [
    ("Sub-PCA", 0.49),
    ("POLY", 0.48),
    ("MOMENT, fine-tuned", 0.44),
    ("autoencoder", 0.40),
    ("USAD", 0.31),
    ("matrix profile", 0.30),
    ("LSTM forecaster", 0.18),
];

/// Volume under the two surfaces, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Vus {
    /// Precision over recall. Chance gets about the share of labelled rows.
    pub(crate) pr: f64,
    /// True over false positive rate. Chance gets about 0.5.
    pub(crate) roc: f64,
}

/// The volumes of one series: rows as (score, is anomalous), in the order of time, without gaps.
///
/// `longest` is the longest buffer in rows, half of it on each side; its authors take a period of
/// the series, or 100. `thresholds` is the number of thresholds: [`THRESHOLDS`] to compare with
/// published values, the number of rows for all. Returns `None` where one of the classes has no
/// row, or if `thresholds` is zero. For several series, take the mean over them.
pub(crate) fn vus(rows: &[(f64, bool)], longest: usize, thresholds: usize) -> Option<Vus> {
    let labelled = ranges(rows);
    let count: usize = labelled.iter().map(ExactSizeIterator::len).sum();
    if count == 0 || count == rows.len() || thresholds == 0 {
        return None;
    }
    let surface = Surface { cuts: cuts(rows, thresholds), labelled, rows: rows.len(), count };
    let (prs, rocs): (Vec<f64>, Vec<f64>) =
        (0..=longest).map(|buffer| surface.areas(buffer)).unzip();
    let mean = |areas: &[f64]| areas.iter().sum::<f64>() / areas.len() as f64;
    Some(Vus { pr: mean(&prs), roc: mean(&rocs) })
}

/// Runs of labelled rows.
fn ranges(rows: &[(f64, bool)]) -> Vec<Range<usize>> {
    let mut start = 0;
    let runs = rows.chunk_by(|a, b| a.1 == b.1).filter_map(|run| {
        start += run.len();
        run[0].1.then_some(start - run.len()..start)
    });
    runs.collect()
}

/// A threshold and each row's relation to it, for all thresholds, highest first.
struct Cuts {
    /// For each row, the first threshold it reaches.
    reached_at: Vec<usize>,
    /// Rows that reach each threshold.
    detected: Vec<usize>,
}

fn cuts(rows: &[(f64, bool)], thresholds: usize) -> Cuts {
    let mut sorted: Vec<f64> = rows.iter().map(|row| ranked(row.0)).collect();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let last = sorted.len() - 1;
    // As numpy's linspace, cut to whole numbers.
    let step = last as f64 / thresholds.saturating_sub(1).max(1) as f64;
    let rank = |threshold: usize| {
        if threshold + 1 == thresholds && thresholds > 1 {
            last
        } else {
            (threshold as f64 * step) as usize
        }
    };
    let levels: Vec<f64> = (0..thresholds).map(|threshold| sorted[rank(threshold)]).collect();
    Cuts {
        reached_at: rows
            .iter()
            .map(|row| levels.partition_point(|&level| level > ranked(row.0)))
            .collect(),
        detected: levels
            .iter()
            .map(|&level| sorted.partition_point(|&score| score >= level))
            .collect(),
    }
}

struct Surface {
    cuts: Cuts,
    labelled: Vec<Range<usize>>,
    rows: usize,
    /// Labelled rows.
    count: usize,
}

impl Surface {
    /// (PR, ROC) area for one buffer.
    fn areas(&self, buffer: usize) -> (f64, f64) {
        let thresholds = self.cuts.detected.len();
        let (mut inside, mut slopes) = (vec![0.0; thresholds + 1], vec![0.0; thresholds + 1]);
        for row in self.labelled.iter().cloned().flatten() {
            inside[self.cuts.reached_at[row]] += 1.0;
        }
        for (label, &threshold) in self.slopes(buffer).iter().zip(&self.cuts.reached_at) {
            slopes[threshold] += label;
        }
        let mut existing = vec![0.0; thresholds + 1];
        let wide = self.wide(buffer);
        for range in &wide {
            let first = self.cuts.reached_at[range.clone()].iter().min();
            existing[first.copied().unwrap_or(thresholds)] += 1.0;
        }
        let (mut t, mut b, mut exist) = (0.0, 0.0, 0.0);
        let (mut before, mut areas) = ((0.0, 0.0), (0.0, 0.0));
        for (threshold, &detected) in self.cuts.detected.iter().enumerate() {
            (t, b, exist) =
                (t + inside[threshold], b + slopes[threshold], exist + existing[threshold]);
            let positives = self.count as f64 + b / 2.0;
            let recall = ((t + b) / positives).min(1.0) * exist / wide.len() as f64;
            let fpr = (detected as f64 - t - b) / (self.rows as f64 - positives);
            areas.0 += (recall - before.0) * (t + b) / detected as f64;
            areas.1 += (fpr - before.1) * (recall + before.0) / 2.0;
            before = (recall, fpr);
        }
        (areas.0, areas.1 + (1.0 - before.1) * (1.0 + before.0) / 2.0)
    }

    /// The label of each row on a slope, 0 elsewhere.
    fn slopes(&self, buffer: usize) -> Vec<f64> {
        let mut labels = vec![0.0_f64; self.rows];
        for range in &self.labelled {
            for away in 1..=buffer / 2 {
                let label = (1.0 - away as f64 / buffer as f64).sqrt();
                let sides = [range.start.checked_sub(away), Some(range.end - 1 + away)];
                for row in sides.into_iter().flatten().filter(|&row| row < self.rows) {
                    labels[row] = (labels[row] + label).min(1.0);
                }
            }
        }
        self.labelled.iter().for_each(|range| labels[range.clone()].fill(0.0));
        labels
    }

    /// The labelled ranges with their slopes, those that meet as one.
    fn wide(&self, buffer: usize) -> Vec<Range<usize>> {
        let half = buffer / 2;
        let mut wide: Vec<Range<usize>> = Vec::with_capacity(self.labelled.len());
        for range in &self.labelled {
            let (start, end) =
                (range.start.saturating_sub(half), (range.end + half).min(self.rows));
            match wide.last_mut().filter(|before| before.end > start) {
                Some(before) => before.end = end,
                None => wide.push(start..end),
            }
        }
        wide
    }
}

#[cfg(test)]
mod tests {
    use super::super::measures::Ranking;
    use super::*;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn close(found: Option<Vus>, pr: f64, roc: f64) {
        let found = found.unwrap();
        assert!(
            (found.pr - pr).abs() < 1e-9 && (found.roc - roc).abs() < 1e-9,
            "{found:?}, not {pr}, {roc}"
        );
    }

    fn rows<const N: usize>(scores: [f64; N], labels: [u8; N]) -> Vec<(f64, bool)> {
        scores.into_iter().zip(labels.map(|label| label == 1)).collect()
    }

    #[test]
    fn one_row_early_as_worked_out_by_hand() {
        let rows = rows([0.0, 0.0, 0.9, 0.8, 0.7, 0.0, 0.0, 0.0], [0, 0, 0, 1, 1, 0, 0, 0]);
        // Buffer 0, and 1, which has no slopes either: the false row first, then both labelled
        // ones, then the rest.
        let (pr, roc) = (0.5 * (1.0 / 2.0) + 0.5 * (2.0 / 3.0), 1.0 - 1.0 / 6.0);
        close(vus(&rows, 0, 8), pr, roc);
        close(vus(&rows, 1, 8), pr, roc);
        // Buffer 2: the rows beside the range are labelled s. The first threshold detects one of
        // them, so P' = 2 + s/2.
        let s = 0.5_f64.sqrt();
        let positives = 2.0 + s / 2.0;
        let recalls = [s / positives, (1.0 + s) / positives, 1.0];
        let wide_pr = recalls[0] * s
            + (recalls[1] - recalls[0]) * (1.0 + s) / 2.0
            + (recalls[2] - recalls[1]) * (2.0 + s) / 3.0;
        // The first threshold detects 1 - s of a normal row, the next two no more: a trapezoid, an
        // edge, the rest.
        let early = (1.0 - s) / (8.0 - positives);
        let wide_roc = early * recalls[0] / 2.0 + (1.0 - early);
        close(vus(&rows, 2, 8), (2.0 * pr + wide_pr) / 3.0, (2.0 * roc + wide_roc) / 3.0);
    }

    #[test]
    fn the_authors_definition_run_in_numpy_gives_the_same() {
        // Four ranges, one at the very start, two whose slopes overlap. Rows 5 and 20 have the same
        // score.
        let mut scores: Vec<f64> =
            (0..48_u32).map(|row| f64::from(row * 37 % 101) / 101.0).collect();
        (scores[14], scores[38], scores[20]) = (0.99, 1.25, scores[5]);
        let labelled =
            |row: &usize| [0..2, 12..17, 19..22, 40..44].iter().any(|range| range.contains(row));
        let rows: Vec<(f64, bool)> = (0..48).map(|row| (scores[row], labelled(&row))).collect();
        let cases = [
            (0, 48, 0.379_094_574_555_082_44, 0.522_058_823_529_411_7),
            (7, 48, 0.484_238_519_225_051_6, 0.680_697_127_516_822_5),
            (8, THRESHOLDS, 0.507_237_953_647_959_8, 0.701_457_603_394_712_2),
            (12, 10, 0.559_219_366_311_567_9, 0.762_053_192_646_169_3),
        ];
        for (longest, thresholds, pr, roc) in cases {
            close(vus(&rows, longest, thresholds), pr, roc);
        }
    }

    #[test]
    fn chance_gets_the_share_of_labelled_rows() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let rows: Vec<(f64, bool)> =
            (0..20_000).map(|row| (random.random(), (8000..10_000).contains(&row))).collect();
        let found = vus(&rows, 20, THRESHOLDS).unwrap();
        assert!((found.pr - 0.1).abs() < 0.02 && (found.roc - 0.5).abs() < 0.02, "{found:?}");
    }

    #[test]
    fn a_near_miss_is_forgiven_more_than_a_far_one() {
        let marked = |at: Range<usize>| -> Vec<(f64, bool)> {
            (0..200)
                .map(|row| (f64::from(u8::from(at.contains(&row))), (100..110).contains(&row)))
                .collect()
        };
        let volume = |at| vus(&marked(at), 20, THRESHOLDS).unwrap();
        let (exact, near, far) = (volume(100..110), volume(94..104), volume(80..90));
        assert_eq!((exact.pr, exact.roc), (1.0, 1.0));
        assert!(
            exact.pr > near.pr && near.pr > far.pr && exact.roc > near.roc && near.roc > far.roc
        );
        let plain = Ranking::of(marked(94..104)).unwrap();
        assert!(near.pr > plain.average_precision() && near.roc > plain.auc());
    }

    #[test]
    fn one_class_has_no_surface() {
        assert_eq!(vus(&[], 5, 8), None);
        assert_eq!(vus(&[(0.1, true), (0.2, true)], 5, 8), None);
        assert_eq!(vus(&[(0.1, false), (0.2, false)], 5, 8), None);
        assert_eq!(vus(&[(0.1, true), (0.2, false)], 5, 0), None);
    }

    proptest! {
        #[test]
        fn without_slopes_a_single_range_gives_the_plain_areas(
            scores in proptest::collection::vec(0u8..20, 40),
            start in 0usize..30,
            length in 1usize..10,
        ) {
            let labelled = start..start + length;
            let rows: Vec<(f64, bool)> = scores
                .iter()
                .enumerate()
                .map(|(row, &score)| (f64::from(score), labelled.contains(&row)))
                .collect();
            let found = vus(&rows, 0, rows.len()).unwrap();
            let plain = Ranking::of(rows.iter().copied()).unwrap();
            prop_assert!((found.pr - plain.average_precision()).abs() < 1e-9);
            prop_assert!((found.roc - plain.auc()).abs() < 1e-9);
        }

        #[test]
        fn the_volume_is_within_0_and_1_and_knows_only_the_order(
            rows in proptest::collection::vec((0.0f64..1.0, any::<bool>()), 2..60),
            longest in 0usize..12,
        ) {
            let found = vus(&rows, longest, THRESHOLDS);
            let stretched: Vec<(f64, bool)> =
                rows.iter().map(|row| (row.0.exp() * 7.0 - 3.0, row.1)).collect();
            prop_assert_eq!(found, vus(&stretched, longest, THRESHOLDS));
            if let Some(found) = found {
                let possible = 0.0..=1.0 + 1e-9;
                prop_assert!(possible.contains(&found.pr) && possible.contains(&found.roc));
            }
        }
    }
}
