//! NAB's files in the form that a detector gets, and the detector's scores of each row.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::Result;
use deepguard::series::WEEK;
use deepguard::{Detector, Scored, Series, Watch};

use super::nab_results::read_results;
use super::nab_score::{Rows, ScoredFile};
use super::peers::{Peer, REFRACTORY, records};
use crate::build::nab::{Nab, NabFile, NabLabels, Row};

/// The comparable detectors whose scores NAB publishes, by NAB's names.
pub(crate) const PUBLISHED: [&str; 3] = ["numenta", "randomCutForest", "windowedGaussian"];

/// One file, with labels where there are any.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) file: NabFile,
    pub(crate) labels: Option<NabLabels>,
    pub(crate) series: Series,
    /// Time of each row.
    pub(crate) times: Vec<i64>,
    slots: Vec<Row>,
}

/// A detector's scores of the rows of one file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Judgement {
    /// How unusual each row is, from 0 to 1.
    pub(crate) score: Vec<f64>,
    /// The same where it is higher than all of the half day before, else 0: one alarm for an
    /// episode.
    pub(crate) gated: Vec<f64>,
}

/// A detector's judgement of several files, and the score from which it gives an alarm.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) name: String,
    /// From 0 to 1; `None` where the detector has no threshold that was fixed beforehand.
    pub(crate) threshold: Option<f64>,
    /// One for each entry, in their order; `None` where it was not scored.
    pub(crate) files: Vec<Option<Judgement>>,
}

/// A score of ours (1.0 is the threshold) as one from 0 to 1 (0.5 is the threshold).
pub(crate) fn squeezed(score: f64) -> f64 {
    score / (1.0 + score)
}

/// The threshold of [`squeezed`] scores.
pub(crate) const THRESHOLD: f64 = 0.5;

/// All of NAB's files.
///
/// # Errors
/// Where one cannot be read.
pub(crate) fn load(nab: &Nab) -> Result<Vec<Entry>> {
    let mut labels = nab.labels()?;
    let entry = |file: NabFile| {
        let (series, _) = file.series()?;
        let times = file.datapoints.iter().map(|row| row.time).collect();
        Ok(Entry { labels: labels.remove(&file.name), series, times, slots: file.slots(), file })
    };
    nab.all()?.into_iter().map(entry).collect()
}

impl Entry {
    /// How `detector` judges this file, and every score it gave.
    pub(crate) fn judge(&self, detector: &Detector) -> (Judgement, Vec<Scored>) {
        let scored = detector.follow(&self.series, &mut Watch::default(), self.series.end());
        let at: BTreeMap<i64, (f64, bool)> = scored
            .iter()
            .map(|scored| (scored.time, (scored.score.value(), scored.surpasses)))
            .collect();
        let highest = |gated: bool| {
            let of = |row: &Row| {
                let slots = row.datapoints.iter().filter_map(|slot| at.get(&slot.time));
                let scores =
                    slots.map(|&(score, surpasses)| if surpasses || !gated { score } else { 0.0 });
                squeezed(scores.fold(0.0, f64::max))
            };
            self.slots.iter().map(of).collect()
        };
        (Judgement { score: highest(false), gated: highest(true) }, scored)
    }

    /// The labelled windows.
    pub(crate) fn windows(&self) -> &[Range<i64>] {
        self.labels.as_ref().map_or(&[], |labels| &labels.windows)
    }

    /// For each row after the probationary part: its index, and whether it lies in a window.
    pub(crate) fn judged(&self) -> impl Iterator<Item = (usize, bool)> + '_ {
        let labelled = |time: i64| self.windows().iter().any(|window| window.contains(&time));
        (self.file.probation()..self.times.len()).map(move |row| (row, labelled(self.times[row])))
    }

    /// How long its judged part is, in weeks of five-minute slots.
    pub(crate) fn weeks(&self) -> f64 {
        let rows: usize =
            self.slots.iter().skip(self.file.probation()).map(|row| row.datapoints.len()).sum();
        rows as f64 / WEEK as f64
    }

    /// Times of the judged rows whose gated score is at least `threshold`.
    pub(crate) fn alarms(&self, judgement: &Judgement, threshold: f64) -> Vec<i64> {
        let rows = self.judged().filter(|&(row, _)| judgement.gated[row] >= threshold);
        rows.map(|(row, _)| self.times[row]).collect()
    }
}

impl Run {
    /// The rows of the entries at `indices`, for NAB's scoring. Files that were not scored are left
    /// out.
    pub(crate) fn rows(&self, entries: &[Entry], indices: &[usize]) -> Result<Rows> {
        let scored = indices
            .iter()
            .filter_map(|&index| Some((&entries[index], self.files[index].as_ref()?)));
        let files: Vec<ScoredFile<'_>> = scored
            .map(|(entry, judgement)| ScoredFile {
                times: &entry.times,
                scores: &judgement.gated,
                windows: entry.windows(),
                probation: entry.file.probation(),
            })
            .collect();
        Rows::new(&files)
    }

    /// Whether it has scored all of the entries at `indices`.
    pub(crate) fn covers(&self, indices: &[usize]) -> bool {
        indices.iter().all(|&index| self.files[index].is_some())
    }
}

/// The published scores of one of [`PUBLISHED`], for the files that have them here.
pub(crate) fn published(nab: &Nab, entries: &[Entry], name: &str) -> Result<Run> {
    let read = |entry: &Entry| {
        let Some(path) = nab.published(name, &entry.file.name) else { return Ok(None) };
        let score: Vec<f64> = read_results(&path)?.into_iter().map(|(_, score)| score).collect();
        anyhow::ensure!(
            score.len() == entry.times.len(),
            "{} has not as many rows as the file",
            path.display()
        );
        Ok(Some(Judgement { gated: score.clone(), score }))
    };
    Ok(Run {
        name: name.into(),
        threshold: None,
        files: entries.iter().map(read).collect::<Result<_>>()?,
    })
}

/// How one of the detectors that a user would pick instead judges the files.
pub(crate) fn with_peer(peer: &Peer, entries: &[Entry]) -> Run {
    let scores: Vec<Vec<f64>> = entries
        .iter()
        .map(|entry| {
            (peer.score)(&entry.file.datapoints.iter().map(|row| row.value).collect::<Vec<_>>())
        })
        .collect();
    // Turns scores of any unit into the share of all scores that are not higher. Only the order
    // counts.
    let mut order: Vec<f64> =
        scores.iter().flatten().copied().filter(|score| !score.is_nan()).collect();
    order.sort_unstable_by(f64::total_cmp);
    let share = |score: f64| match score.is_nan() {
        true => 0.0,
        false => order.partition_point(|other| *other < score) as f64 / order.len().max(1) as f64,
    };
    let judged = |score: &Vec<f64>| {
        let gated = records(score, REFRACTORY);
        Some(Judgement {
            score: score.iter().map(|&score| share(score)).collect(),
            gated: gated
                .iter()
                .map(|&score| if score.is_finite() { share(score) } else { 0.0 })
                .collect(),
        })
    };
    Run {
        name: peer.name.into(),
        threshold: peer.fixed_threshold.map(share),
        files: scores.iter().map(judged).collect(),
    }
}
