//! Tables of the results on NAB.

use anyhow::Result;

use super::Findings;
use super::corpus::{Entry, Run};
use super::measures::{Alarms, Confusion, Proxy, Ranking};
use super::nab_score::{ApplicationProfile, FileOutcome, NabOutcome, Rows};
use super::vus::{self, THRESHOLDS, vus};
use crate::common::table::Table;

/// Longest buffer of VUS, in rows: the value that its authors use for a series without a period.
const BUFFER: usize = 100;
/// Share of the rows that the predecessor's recipe called anomalous.
const TOP: f64 = 0.05;

/// Some of NAB's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileGroup {
    /// The eight EC2 CPU files: reported, never used to make choices.
    Ec2,
    /// The 41 files that are not AWS's: the choices are based on them.
    Development,
}

impl FileGroup {
    pub(super) const ALL: [Self; 2] = [Self::Ec2, Self::Development];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ec2 => "the 8 EC2 CPU files",
            Self::Development => "the 41 development files",
        }
    }
}

/// Several values of the same thing: their mean, and their range where they differ.
pub(super) fn spread(values: &[f64], digits: usize) -> String {
    let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let mean = finite.iter().sum::<f64>() / finite.len() as f64;
    let (low, high) = finite
        .iter()
        .fold((f64::MAX, f64::MIN), |(low, high), &value| (low.min(value), high.max(value)));
    match finite.as_slice() {
        [] => "-".into(),
        [_] => format!("{mean:.digits$}"),
        _ => format!("{mean:.digits$} ({low:.digits$} to {high:.digits$})"),
    }
}

pub(super) fn strings<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(String::from).to_vec()
}

impl Findings {
    /// The indices of the entries in a group.
    pub(super) fn group(&self, group: FileGroup) -> Vec<usize> {
        let belongs = |entry: &Entry| match group {
            FileGroup::Ec2 => entry.file.is_ec2_cpu(),
            FileGroup::Development => entry.file.is_development(),
        };
        (0..self.entries.len()).filter(|&index| belongs(&self.entries[index])).collect()
    }

    /// All seeds of ours as one, then each other detector that has scored all of the files.
    pub(super) fn contestants(&self, indices: &[usize]) -> Vec<(String, Vec<&Run>)> {
        let others = std::iter::once(&self.without).chain(&self.published).chain(&self.peers);
        let others =
            others.filter(|run| run.covers(indices)).map(|run| (run.name.clone(), vec![run]));
        std::iter::once(("DeepGuard".to_string(), self.ours.iter().collect()))
            .chain(others)
            .collect()
    }

    /// NAB's scores of a group.
    pub(super) fn nab(&self, group: FileGroup) -> Result<Table> {
        let indices = self.group(group);
        let weeks: f64 = indices.iter().map(|&index| self.entries[index].weeks()).sum();
        let mut rows = Vec::new();
        for (name, runs) in self.contestants(&indices) {
            let sorted = runs
                .iter()
                .map(|run| run.rows(&self.entries, &indices))
                .collect::<Result<Vec<Rows>>>()?;
            let best = |profile: &ApplicationProfile| {
                spread(&sorted.iter().map(|rows| rows.best(profile).score).collect::<Vec<_>>(), 1)
            };
            let fixed: Vec<_> = runs
                .iter()
                .zip(&sorted)
                .filter_map(|(run, rows)| {
                    Some(rows.at(&ApplicationProfile::STANDARD, run.threshold?))
                })
                .collect();
            let optimal: Vec<_> =
                sorted.iter().map(|rows| rows.best(&ApplicationProfile::STANDARD)).collect();
            let of = |outcomes: &[NabOutcome], value: &dyn Fn(&NabOutcome) -> f64, digits| {
                spread(&outcomes.iter().map(value).collect::<Vec<_>>(), digits)
            };
            let windows = optimal.first().map_or(0, NabOutcome::windows);
            let hit = |outcomes: &[NabOutcome]| match outcomes {
                [] => "-".into(),
                _ => format!("{} of {windows}", of(outcomes, &|outcome| outcome.hit() as f64, 0)),
            };
            let false_alarms =
                |outcomes| of(outcomes, &|outcome| outcome.false_positives() as f64 / weeks, 2);
            rows.push(
                [name, of(&fixed, &|outcome| outcome.score, 1), hit(&fixed), false_alarms(&fixed)]
                    .into_iter()
                    .chain(ApplicationProfile::ALL.iter().map(best))
                    .chain([hit(&optimal), false_alarms(&optimal)])
                    .collect(),
            );
        }
        Ok(Table {
            title: format!("NAB's score on {}", group.name()),
            note: "Fixed: at a threshold set beforehand. Best: at the threshold that is best on \
                   these very files, as NAB does it. False alarms: rows outside all windows, per \
                   file and week of five-minute slots. Where there are several seeds: mean \
                   (range)."
                .into(),
            header: strings([
                "detector",
                "standard, fixed",
                "windows, fixed",
                "false/week, fixed",
                "standard, best",
                "low FP, best",
                "low FN, best",
                "windows, best",
                "false/week, best",
            ]),
            rows,
            strong: vec![0],
        })
    }

    /// NAB's standard score at the fixed threshold, file by file, of the first seed.
    pub(super) fn nab_by_file(&self, group: FileGroup) -> Result<Table> {
        let indices: Vec<usize> = self
            .group(group)
            .into_iter()
            .filter(|&index| self.entries[index].labels.is_some())
            .collect();
        let ours = self.ours[0]
            .rows(&self.entries, &indices)?
            .at(&ApplicationProfile::STANDARD, super::THRESHOLD);
        let without = self
            .without
            .rows(&self.entries, &indices)?
            .at(&ApplicationProfile::STANDARD, super::THRESHOLD);
        let row = |(position, &index): (usize, &usize)| {
            let (file, bare): (&FileOutcome, &FileOutcome) =
                (&ours.files[position], &without.files[position]);
            vec![
                self.entries[index].file.name.clone(),
                format!("{} of {}", file.hit, file.windows),
                file.false_positives.to_string(),
                format!("{:.2}", ours.lost(file)),
                format!("{} of {}", bare.hit, bare.windows),
                bare.false_positives.to_string(),
            ]
        };
        Ok(Table {
            title: format!("File by file: {}", group.name()),
            note: "Points lost add up to 100 minus the score. At the fixed threshold, first seed."
                .into(),
            header: strings([
                "file",
                "windows hit",
                "false alarms",
                "points lost",
                "hit without network",
                "false without",
            ]),
            rows: indices.iter().enumerate().map(row).collect(),
            strong: Vec::new(),
        })
    }

    /// Other measures on a group.
    pub(super) fn measures(&self, group: FileGroup) -> Table {
        let indices = self.group(group);
        let row = |(name, runs): (String, Vec<&Run>)| {
            let each = |measure: &dyn Fn(&Run) -> Option<f64>, digits| {
                spread(&runs.iter().filter_map(|run| measure(run)).collect::<Vec<_>>(), digits)
            };
            let alarms = |run: &Run| -> Option<Alarms> {
                let threshold = run.threshold?;
                let of = |&index: &usize| {
                    let entry = &self.entries[index];
                    Some(Alarms::of(
                        &entry.alarms(run.files[index].as_ref()?, threshold),
                        entry.windows(),
                    ))
                };
                Some(indices.iter().filter_map(of).sum())
            };
            let ranking = |run: &Run| {
                Ranking::of(
                    self.rows_of(run, &indices).map(|(score, labelled, _)| (score, labelled)),
                )
            };
            let mut cells = vec![
                name,
                each(&|run| alarms(run)?.precision(), 2),
                each(&|run| alarms(run)?.recall(), 2),
                each(&|run| Some(alarms(run)?.median_delay()? / 3600.0), 1),
                each(&|run| Some(ranking(run)?.auc()), 3),
                each(&|run| Some(ranking(run)?.average_precision()), 3),
            ];
            if group == FileGroup::Ec2 {
                cells.push(each(&|run| self.vus_pr(run, &indices), 3));
            }
            cells
        };
        let mut header = strings([
            "detector",
            "precision of alarms",
            "recall of windows",
            "hours to alarm",
            "ROC AUC",
            "average precision",
        ]);
        if group == FileGroup::Ec2 {
            header.push("VUS-PR".into());
        }
        Table {
            title: format!("Other measures on {}", group.name()),
            note: format!(
                "Alarms at the fixed threshold; hours: median, from the start of a window to its \
                 first alarm. ROC, precision and VUS-PR (buffers up to {BUFFER} rows, {THRESHOLDS} \
                 thresholds, mean over the files with windows) take every row's score against the \
                 labels: NAB's windows are far wider than what is anomalous in them, so a detector \
                 that alarms once and is silent again scores low here by design."
            ),
            header,
            rows: self.contestants(&indices).into_iter().map(row).collect(),
            strong: vec![0],
        }
    }

    /// The predecessor's method: it calls the most extreme values anomalous, whatever they are.
    pub(super) fn proxies(&self) -> Table {
        let indices = self.group(FileGroup::Ec2);
        let mut rows = Vec::new();
        for (name, runs) in self.contestants(&indices) {
            for (proxy, what) in
                [(Proxy::Value, "highest"), (Proxy::FromMedian, "farthest from the median")]
            {
                let labelled = |index: usize| {
                    let entry = &self.entries[index];
                    let values: Vec<f64> =
                        entry.file.datapoints.iter().map(|row| row.value).collect();
                    proxy.labels(&values, TOP)
                };
                let run = runs[0];
                let scores: Vec<(f64, bool)> = indices
                    .iter()
                    .filter_map(|&index| Some((run.files[index].as_ref()?, labelled(index))))
                    .flat_map(|(judgement, labels)| judgement.score.iter().copied().zip(labels))
                    .collect();
                let threshold = run.threshold.unwrap_or(1.0);
                let confusion =
                    Confusion::of(scores.iter().map(|&(score, label)| (score >= threshold, label)));
                let cell =
                    |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.2}"));
                rows.push(vec![
                    name.clone(),
                    what.into(),
                    cell(confusion.precision()),
                    cell(confusion.recall()),
                    cell(confusion.f1()),
                    cell(Ranking::of(scores).map(|ranking| ranking.auc())),
                ]);
            }
        }
        Table {
            title: "The predecessor's proxies, on the 8 EC2 CPU files".into(),
            note:
                "Its labels are the 5 % of the rows that stand out most. They reward a threshold \
                 on the value and punish a detector that stays silent at a normal high load. Shown \
                 because it reported such figures; they say nothing about faults."
                    .into(),
            header: strings([
                "detector",
                "called anomalous: the 5 % …",
                "precision",
                "recall",
                "F1",
                "ROC AUC",
            ]),
            rows,
            strong: vec![0, 1],
        }
    }

    /// Score, label and index of the entry of each judged row.
    pub(super) fn rows_of<'a>(
        &'a self,
        run: &'a Run,
        indices: &'a [usize],
    ) -> impl Iterator<Item = (f64, bool, usize)> + 'a {
        indices.iter().filter_map(|&index| Some((index, run.files[index].as_ref()?))).flat_map(
            move |(index, judgement)| {
                self.entries[index]
                    .judged()
                    .map(move |(row, labelled)| (judgement.score[row], labelled, index))
            },
        )
    }

    fn vus_pr(&self, run: &Run, indices: &[usize]) -> Option<f64> {
        let of = |&index: &usize| {
            let judgement = run.files[index].as_ref()?;
            let rows: Vec<(f64, bool)> = self.entries[index]
                .judged()
                .map(|(row, labelled)| (judgement.score[row], labelled))
                .collect();
            Some(vus(&rows, BUFFER, THRESHOLDS)?.pr)
        };
        let volumes: Vec<f64> = indices.iter().filter_map(of).collect();
        (!volumes.is_empty()).then(|| volumes.iter().sum::<f64>() / volumes.len() as f64)
    }

    /// Published VUS-PR values of others, for scale.
    pub(super) fn published_vus(&self) -> Table {
        let row = |(name, volume): (&str, f64)| vec![name.to_string(), format!("{volume:.2}")];
        Table {
            title:
                "VUS-PR that is published: seven files of NAB's \"Facility\" in TSB-AD (NeurIPS \
                 2024)"
                    .into(),
            note: "For scale: these detectors see a series as a whole, its future included, and \
                   the files are not the eight of the table above, in which ours stands."
                .into(),
            header: strings(["detector", "VUS-PR"]),
            rows: vus::PUBLISHED.into_iter().map(row).collect(),
            strong: Vec::new(),
        }
    }
}
