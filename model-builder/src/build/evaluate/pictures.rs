//! The findings as pictures.

use std::path::Path;

use anyhow::Result;
use deepguard::Scored;

use super::charts::{self, Chart, Dot, FilePicture, Line, Options};
use super::fault_tables::RATES;
use super::inject::BenchOutcome;
use super::measures::Ranking;
use super::nab_score::ApplicationProfile;
use super::tables::FileGroup;
use super::{Compared, Findings};
use crate::build::workload::fault::Fault;
use crate::common::report::Picture;

/// Points of a curve.
const CURVE: usize = 400;
/// False alarms per machine and week at which the curve of detection has a point.
const CURVE_RATES: [f64; 9] = [0.1, 0.15, 0.25, 0.35, 0.5, 0.75, 1.0, 2.0, 4.0];

impl Findings {
    pub(super) fn curves(&self, out: &Path) -> Result<Picture> {
        let indices = self.group(FileGroup::Ec2);
        // Of the simple rules, the two that differ most: a reader cannot tell more lines than
        // colours apart.
        let left_out: Vec<&str> =
            self.peers[1..self.peers.len() - 1].iter().map(|run| run.name.as_str()).collect();
        let (mut roc, mut precision) = (Vec::new(), Vec::new());
        for (name, runs) in self
            .contestants(&indices)
            .into_iter()
            .filter(|(name, _)| !left_out.contains(&name.as_str()))
        {
            let Some(ranking) = Ranking::of(
                self.rows_of(runs[0], &indices).map(|(score, labelled, _)| (score, labelled)),
            ) else {
                continue;
            };
            let line = |points| Line { name: name.clone(), points, dashed: false };
            roc.push(line(ranking.roc_curve(CURVE)));
            precision.push(line(ranking.precision_recall_curve(CURVE)));
        }
        let chart = |title: &str, x: &str, y: &str, series| Chart {
            title: title.into(),
            x_label: x.into(),
            y_label: y.into(),
            series,
            options: Options {
                x_range: Some((0.0, 1.0)),
                y_range: Some((0.0, 1.0)),
                ..Options::default()
            },
        };
        let charts = [
            chart(
                "ROC, EC2 CPU files, row by row",
                "false positive rate",
                "true positive rate",
                roc,
            ),
            chart(
                "Precision over recall, EC2 CPU files, row by row",
                "recall",
                "precision",
                precision,
            ),
        ];
        charts::panels(&out.join("curves.png"), &charts)?;
        Ok(Picture {
            file: "curves.png".into(),
            alt: "ROC and precision-recall curves of all detectors".into(),
            caption: "Every row against NAB's windows. First seed.".into(),
        })
    }

    pub(super) fn errors(&self, out: &Path) -> Result<Picture> {
        let of = |inside: bool| {
            let scored = self
                .scored
                .iter()
                .flat_map(|(&index, scored)| scored.iter().map(move |scored| (index, scored)));
            let chosen = scored.filter(|(index, scored)| {
                let windows = self.entries[*index].windows();
                windows.iter().any(|window| window.contains(&scored.time)) == inside
            });
            chosen.map(|(_, scored)| scored.reconstruction_error()).collect::<Vec<f64>>()
        };
        let groups =
            [("outside labelled windows".to_string(), of(false)), ("inside".to_string(), of(true))];
        let title = "Reconstruction error of the newest datapoint, EC2 CPU files";
        charts::distribution(&out.join("errors.png"), title, "percentage points", &groups)?;
        Ok(Picture {
            file: "errors.png".into(),
            alt: "Distribution of the reconstruction errors inside and outside labelled windows"
                .into(),
            caption: "Taken alone, the error of one datapoint hardly tells the two apart: \
                      instances differ by more. First seed."
                .into(),
        })
    }

    pub(super) fn difference_picture(&self, out: &Path) -> Result<Picture> {
        let row = |(label, interval): (String, super::bootstrap::Interval)| charts::Row {
            label,
            dots: vec![Dot {
                series: "with minus without".into(),
                value: interval.estimate,
                interval: Some((interval.low, interval.high)),
            }],
        };
        let rows: Vec<charts::Row> = self.differences()?.into_iter().map(row).collect();
        charts::dots(
            &out.join("differences.png"),
            "With the network minus without it",
            "points, or percentage points",
            None,
            &rows,
        )?;
        Ok(Picture {
            file: "differences.png".into(),
            alt: "Differences with their 95 % intervals".into(),
            caption: "Right of zero, the network helps. 95 % intervals.".into(),
        })
    }

    pub(super) fn file_picture(
        &self,
        index: usize,
        scored: &[Scored],
        out: &Path,
    ) -> Result<Picture> {
        let entry = &self.entries[index];
        let by_time: std::collections::BTreeMap<i64, &Scored> =
            scored.iter().map(|scored| (scored.time, scored)).collect();
        let points: Vec<_> = entry.series.datapoints().collect();
        let of = |value: &dyn Fn(&Scored) -> f64| -> Vec<Option<f64>> {
            points
                .iter()
                .map(|point| by_time.get(&point.time).map(|scored| value(scored)))
                .collect()
        };
        let times: Vec<i64> = points.iter().map(|point| point.time).collect();
        let observed: Vec<f64> = points.iter().map(|point| point.value).collect();
        let score: Vec<f64> =
            of(&|scored| scored.score.value()).into_iter().map(Option::unwrap_or_default).collect();
        let judged = entry.times[entry.file.probation().min(entry.times.len() - 1)];
        let ours = scored
            .iter()
            .filter(|scored| scored.is_alarm() && scored.time >= judged)
            .map(|scored| scored.time);
        let mut alarms = vec![("DeepGuard".to_string(), ours.collect::<Vec<i64>>())];
        for run in self.published.iter().filter(|run| run.files[index].is_some()) {
            let indices = self.group(FileGroup::Ec2);
            let threshold =
                run.rows(&self.entries, &indices)?.best(&ApplicationProfile::STANDARD).threshold;
            if let Some(judgement) = &run.files[index] {
                alarms.push((run.name.clone(), entry.alarms(judgement, threshold)));
            }
        }
        let file = format!("{}.png", entry.file.stem());
        let picture = FilePicture {
            times: &times,
            observed: &observed,
            expected: &of(&|scored| scored.expected),
            low: &of(&|scored| scored.low),
            high: &of(&|scored| scored.high),
            score: &score,
            windows: entry.windows(),
            probation_end: judged,
            alarms: &alarms,
        };
        charts::file_picture(&out.join(&file), entry.file.stem(), &picture)?;
        Ok(Picture {
            alt: format!("CPU, expected band, score and alarms of {}", entry.file.stem()),
            caption: format!(
                "{}: ours at the fixed threshold, the published detectors at the one that is best \
                 for each on these eight files.",
                entry.file.stem()
            ),
            file,
        })
    }
}

impl Compared {
    fn file(&self, what: &str) -> String {
        format!("{what}-{}.png", self.name.split(' ').next().unwrap_or_default())
    }

    pub(super) fn fault_picture(&self, out: &Path) -> Result<Picture> {
        let contestants = self.contestants();
        let row = |fault: Fault| charts::Row {
            label: fault.name().into(),
            dots: contestants
                .iter()
                .map(|(name, outcomes)| {
                    let values = self.detection(outcomes, RATES[0], &[fault]);
                    Dot {
                        series: name.clone(),
                        value: values.iter().sum::<f64>() / values.len() as f64,
                        interval: None,
                    }
                })
                .collect(),
        };
        let file = self.file("faults");
        let title =
            format!("Faults found at {} false alarm per machine and week: {}", RATES[0], self.name);
        charts::dots(
            &out.join(&file),
            &title,
            "% found",
            Some((0.0, 100.0)),
            &Fault::ALL.map(row),
        )?;
        Ok(Picture {
            file,
            alt: "Percent of each fault that each detector finds".into(),
            caption: "By fault. The last row is chance.".into(),
        })
    }

    pub(super) fn rate_picture(&self, out: &Path) -> Result<Picture> {
        let line = |(name, outcomes): (String, Vec<&BenchOutcome>)| {
            let at = |rate: f64| {
                let values = self.detection(&outcomes, rate, &Fault::EIGHT);
                (rate, values.iter().sum::<f64>() / values.len() as f64)
            };
            Line { name, points: CURVE_RATES.map(at).to_vec(), dashed: false }
        };
        let chart = Chart {
            title: format!("The first eight faults: {}", self.name),
            x_label: "false alarms per machine and week".into(),
            y_label: "% found".into(),
            series: self.contestants().into_iter().map(line).collect(),
            options: Options {
                log_x: true,
                y_range: Some((0.0, 100.0)),
                points: true,
                ..Options::default()
            },
        };
        let file = self.file("rates");
        charts::lines(&out.join(&file), &chart)?;
        Ok(Picture {
            file,
            alt: "Percent of faults found over false alarms per week".into(),
            caption: "Further up and left is better.".into(),
        })
    }
}
