//! Evaluation on NAB's EC2 CPU files: errors, and detections against the labels.

use std::path::Path;

use anyhow::Result;
use comfy_table::{CellAlignment, Table};
use deepguard::baseline::level::quantile;
use deepguard::detector::Baselines;
use deepguard::series::{PERIOD, WEEK};
use deepguard::{Detector, Scored};
use indicatif::{ProgressBar, ProgressStyle};

use crate::nab::{Labels, Nab, NabFile};
use crate::picture::{self, PANEL, Panel};

/// Anomalous datapoints that lie no further apart than this are one alarm: an hour, in seconds.
const SAME_ALARM: i64 = 12 * PERIOD;

/// What was found in one file.
struct FileResult {
    name: String,
    scored: Vec<Scored>,
    labels: Labels,
    /// Time of the first datapoint of each alarm.
    alarms: Vec<i64>,
}

impl FileResult {
    fn of(detector: &Detector, file: &NabFile, labels: Labels) -> Result<Self> {
        let (series, _) = file.series()?;
        // The part that NAB gives for learning is not judged.
        let judged = file.datapoints[file.probation().min(file.datapoints.len() - 1)].time;
        let scored = detector.follow(&series, judged..series.end(), &mut Baselines::new());
        let anomalous = scored.iter().filter(|scored| scored.score.is_anomalous());
        let alarms = alarms(&anomalous.map(|scored| scored.time).collect::<Vec<_>>());
        Ok(Self { name: file.stem().into(), scored, labels, alarms })
    }

    fn labelled(&self, time: i64) -> bool {
        self.labels.windows.iter().any(|window| window.contains(&time))
    }

    /// Windows in which there is an anomalous datapoint.
    fn hit(&self) -> usize {
        let anomalous = |window: &&std::ops::Range<i64>| {
            self.scored.iter().any(|scored| scored.score.is_anomalous() && window.contains(&scored.time))
        };
        self.labels.windows.iter().filter(anomalous).count()
    }

    /// Alarms that begin outside every window.
    fn false_alarms(&self) -> usize {
        self.alarms.iter().filter(|&&time| !self.labelled(time)).count()
    }

    /// Reconstruction errors in percentage points, sorted, of the datapoints inside or outside the windows.
    fn errors(&self, inside: bool) -> Vec<f64> {
        let chosen = self.scored.iter().filter(|scored| self.labelled(scored.time) == inside);
        let mut errors: Vec<f64> = chosen.map(Scored::reconstruction_error).collect();
        errors.sort_unstable_by(f64::total_cmp);
        errors
    }
}

/// The first of each run of anomalous datapoints, given and told by their times.
fn alarms(anomalous: &[i64]) -> Vec<i64> {
    anomalous.chunk_by(|earlier, later| later - earlier <= SAME_ALARM).map(|alarm| alarm[0]).collect()
}

/// Scores every EC2 CPU file of NAB, prints a table and draws a picture.
///
/// # Errors
/// Where NAB's files or labels cannot be read, or the picture cannot be written.
pub(crate) fn evaluate(detector: &Detector, nab: &Nab, out: &Path) -> Result<()> {
    let (files, mut labels) = (nab.ec2_cpu()?, nab.labels()?);
    let bar = ProgressBar::new(files.len() as u64)
        .with_style(ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} files, {eta} left")?);
    let mut results = Vec::with_capacity(files.len());
    for file in &files {
        results.push(FileResult::of(detector, file, labels.remove(&file.name).unwrap_or_default())?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    println!("model {}, threshold {}", detector.artifact().version(), detector.artifact().card().threshold);
    println!("{}", table(&results));
    draw(detector, &results, out)?;
    println!("picture: {}", out.display());
    Ok(())
}

fn table(results: &[FileResult]) -> Table {
    let mut table = Table::new();
    table.set_header([
        "file",
        "scored",
        "windows hit",
        "alarms",
        "outside windows",
        "error p50",
        "p95",
        "p99",
        "p50 inside",
    ]);
    let (mut windows, mut hit, mut alarms, mut outside, mut scored) = (0, 0, 0, 0, 0);
    for result in results {
        let errors = result.errors(false);
        let at = |errors: &[f64], q| quantile(errors, q).map_or("-".into(), |error| format!("{error:.3}"));
        table.add_row([
            result.name.clone(),
            result.scored.len().to_string(),
            format!("{} of {}", result.hit(), result.labels.windows.len()),
            result.alarms.len().to_string(),
            result.false_alarms().to_string(),
            at(&errors, 0.5),
            at(&errors, 0.95),
            at(&errors, 0.99),
            at(&result.errors(true), 0.5),
        ]);
        windows += result.labels.windows.len();
        hit += result.hit();
        alarms += result.alarms.len();
        outside += result.false_alarms();
        scored += result.scored.len();
    }
    let weeks = (scored as f64 / WEEK as f64).max(f64::MIN_POSITIVE);
    table.add_row([
        "all".to_string(),
        scored.to_string(),
        format!("{hit} of {windows}"),
        format!("{alarms} ({:.2} a week)", alarms as f64 / weeks),
        format!("{outside} ({:.2} a week)", outside as f64 / weeks),
    ]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn draw(detector: &Detector, results: &[FileResult], out: &Path) -> Result<()> {
    const HEAD: u32 = 80;
    const DISTRIBUTION: u32 = 280;
    let height = HEAD + DISTRIBUTION + PANEL * results.len() as u32;
    picture::png(out, height, |area| {
        let (head, rest) = area.split_vertically(HEAD);
        picture::legend(&head, &format!("NAB's EC2 CPU files, model {}", detector.artifact().version()))?;
        let (above, mut rest) = rest.split_vertically(DISTRIBUTION);
        let all = |inside| results.iter().flat_map(|result| result.errors(inside)).collect::<Vec<f64>>();
        picture::distribution(&above, "Reconstruction error", [&all(false), &all(true)])?;
        for result in results {
            let (panel, below) = rest.split_vertically(PANEL);
            Panel {
                title: result.name.clone(),
                scored: &result.scored,
                windows: &result.labels.windows,
                published: &[],
            }
            .draw(&panel)?;
            rest = below;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anomalous_datapoints_within_an_hour_are_one_alarm() {
        assert_eq!(alarms(&[]), [0; 0]);
        let slots = |slots: &[i64]| slots.iter().map(|slot| slot * PERIOD).collect::<Vec<_>>();
        assert_eq!(alarms(&slots(&[10, 12, 24, 60, 200, 213])), slots(&[10, 60, 200, 213]));
    }
}
