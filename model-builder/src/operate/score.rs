//! Scores histories on disk, each from its first datapoint to its last, as the function would have.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use clap::Args;
use deepguard::episode::{Change, Episodes, MOfN};
use deepguard::score::Threshold;
use deepguard::{Detector, Scored, Series, Watch};
use jiff::Timestamp;
use serde::Serialize;

use crate::common::cli::{ClockArgs, ModelArgs, stopped};
use crate::common::csv::read_series;
use crate::common::files::write_whole;
use crate::common::parallel::{bar, parallel};
use crate::common::table::Table;

/// The columns that are written.
const HEADER: &str =
    "time,value,expected,low,high,score,severity,fresh,began,ended,channel,phase,shape";
/// The table shows this many files, those with the highest scores.
const SHOWN: usize = 20;

#[derive(Debug, Args)]
pub(crate) struct ScoreArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    clock: ClockArgs,
    /// A folder of CSV files, each with a column `time` or `timestamp` and a column `value`, or an
    /// export of CloudWatch's console.
    #[arg(long, value_name = "DIR")]
    history: PathBuf,
    /// The folder to write to: a file of the same name for each.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Ratio of an error to the usual one that makes a score of 1.0; the artifact's unless given.
    #[arg(long, value_name = "RATIO")]
    threshold: Option<Threshold>,
    /// Leave the network out: what the rest finds by itself.
    #[arg(long)]
    without_network: bool,
}

/// The result of one file.
#[derive(Debug, Clone, PartialEq)]
struct FileSummary {
    file: String,
    scored: usize,
    pages: usize,
    ended: usize,
    /// The highest score and its time, in seconds since 1970; `None` where nothing was scored.
    highest: Option<(f64, i64)>,
}

/// Scores every `*.csv` of a folder.
///
/// # Errors
/// Where a file cannot be read, before anything is written; where one cannot be written, or on
/// Ctrl-C, after whole files of others were.
pub(crate) fn score(args: &ScoreArgs) -> Result<()> {
    let mut detector = match args.without_network {
        true => Detector::without_network(args.model.load()?),
        false => args.model.detector()?,
    };
    if let Some(threshold) = args.threshold {
        detector = detector.with_threshold(threshold);
    }
    let detector = args.clock.of(detector)?;
    let summaries = score_folder(&detector, &args.history, &args.out, stopped()?.as_ref())?;
    println!("{}", table(&summaries));
    println!("scores: {}", args.out.display());
    Ok(())
}

fn score_folder(
    detector: &Detector,
    history: &Path,
    out: &Path,
    stop: &AtomicBool,
) -> Result<Vec<FileSummary>> {
    let files = csv_files(history)?;
    std::fs::create_dir_all(out).with_context(|| format!("cannot write to {}", out.display()))?;
    ensure!(
        history.canonicalize()? != out.canonicalize()?,
        "{} holds the history, which would be overwritten: give another folder with --out",
        out.display()
    );
    // Reads all files first: a mistake in the last file shows before others are scored for hours.
    let series = parallel(&files, stop, |file| read_series(&history.join(file)))?;
    let jobs: Vec<(String, Series)> = files.into_iter().zip(series).collect();
    let bar = bar("files", jobs.len())?;
    let summaries = parallel(&jobs, stop, |(file, series)| {
        let scored = detector.follow(series, &mut Watch::default(), series.end());
        let (text, summary) = rows(file, &scored)?;
        write_whole(&out.join(file), text.as_bytes())?;
        bar.inc(1);
        Ok(summary)
    })?;
    bar.finish_and_clear();
    Ok(summaries)
}

/// The names of the CSV files in a folder, sorted.
fn csv_files(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?
    {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".csv") && entry.path().is_file() {
            names.push(name);
        }
    }
    ensure!(
        !names.is_empty(),
        "no file in {} ends with .csv: name a folder of histories",
        folder.display()
    );
    names.sort_unstable();
    Ok(names)
}

/// The rows of one file, header included, and its result.
fn rows(file: &str, all: &[Scored]) -> Result<(String, FileSummary)> {
    let mut text = format!("{HEADER}\n");
    let mut summary =
        FileSummary { file: file.into(), scored: all.len(), pages: 0, ended: 0, highest: None };
    let mut episodes = Episodes::default();
    for scored in all {
        let changes = episodes.update(scored, MOfN::default());
        let began = changes.iter().any(|change| matches!(change, Change::Began(..)));
        let ended = changes.iter().any(|change| matches!(change, Change::Ended(..)));
        summary.pages += usize::from(began);
        summary.ended += usize::from(ended);
        let (score, severity) = (scored.score.value(), scored.severity.value());
        if summary.highest.is_none_or(|(highest, _)| score > highest) {
            summary.highest = Some((score, scored.time));
        }
        let channel = match scored.channel {
            Some(channel) => word(&channel)?,
            // A value that does not change belongs to no channel.
            None if score > 0.0 => "frozen".into(),
            None => String::new(),
        };
        let shape = scored.finding.map_or(Ok(String::new()), |finding| word(&finding.shape))?;
        writeln!(
            text,
            "{},{},{},{},{},{score},{severity},{},{},{},{channel},{},{shape}",
            Timestamp::from_second(scored.time)?,
            scored.observed,
            scored.expected,
            scored.low,
            scored.high,
            u8::from(scored.surpasses),
            u8::from(began),
            u8::from(ended),
            word(&scored.phase)?,
        )?;
    }
    Ok((text, summary))
}

/// The name that a plain enum has in JSON.
fn word(of: &impl Serialize) -> Result<String> {
    let json = serde_json::to_value(of)?;
    Ok(json.as_str().context("an enum without a name")?.into())
}

/// The files with the highest scores, and all of them as one.
fn table(summaries: &[FileSummary]) -> Table {
    let mut shown: Vec<&FileSummary> = summaries.iter().collect();
    let highest =
        |summary: &FileSummary| summary.highest.map_or(f64::NEG_INFINITY, |(score, _)| score);
    shown.sort_by(|a, b| highest(b).total_cmp(&highest(a)));
    let few = shown.len() <= SHOWN;
    if few {
        shown.sort_by(|a, b| a.file.cmp(&b.file));
    }
    let row = |summary: &&FileSummary| {
        let (score, time) = match summary.highest {
            Some((score, time)) => {
                let time = Timestamp::from_second(time)
                    .map_or_else(|_| time.to_string(), |time| time.to_string());
                (format!("{score:.2}"), time)
            }
            None => ("-".into(), "under half a day of history".into()),
        };
        let counts = [summary.scored, summary.pages, summary.ended].map(|count| count.to_string());
        std::iter::once(summary.file.clone()).chain(counts).chain([score, time]).collect::<Vec<_>>()
    };
    let mut rows: Vec<Vec<String>> = shown.iter().take(SHOWN).map(row).collect();
    let sum = |of: fn(&FileSummary) -> usize| summaries.iter().map(of).sum::<usize>().to_string();
    rows.push(vec![
        format!("all {}", summaries.len()),
        sum(|summary| summary.scored),
        sum(|summary| summary.pages),
        sum(|summary| summary.ended),
        String::new(),
        String::new(),
    ]);
    Table {
        title: if few {
            "Scored".into()
        } else {
            format!("Scored: the {SHOWN} files with the highest scores")
        },
        note: "Pages: episodes that begin at the threshold, a score of 1.0.".into(),
        header: ["file", "datapoints", "pages", "ended", "highest score", "at"]
            .map(String::from)
            .to_vec(),
        strong: vec![rows.len() - 1],
        rows,
    }
}

#[cfg(test)]
mod tests {
    use deepguard::model::device;

    use super::*;
    use crate::common::csv::Csv;

    const END: i64 = 1_768_478_400;

    /// A folder with a machine that has a fault, one that is too young, and a file that is no CSV;
    /// the time of the fault.
    fn folder() -> (tempfile::TempDir, i64) {
        let folder = tempfile::tempdir().unwrap();
        let machine = &crate::build::simulate::fleet(7, END)[0];
        let text = |datapoints: &[deepguard::Datapoint]| {
            let row = |point: &deepguard::Datapoint| format!("{},{}\n", point.time, point.value);
            format!("timestamp,value\n{}", datapoints.iter().map(row).collect::<String>())
        };
        std::fs::write(folder.path().join("b.csv"), text(&machine.datapoints)).unwrap();
        std::fs::write(folder.path().join("a.csv"), text(&machine.datapoints[..100])).unwrap();
        std::fs::write(folder.path().join("truth.json"), "{}").unwrap();
        (folder, machine.fault.unwrap())
    }

    fn scored(history: &Path, out: &Path) -> Result<Vec<FileSummary>> {
        let detector = Detector::new(crate::testing::artifact(), &device());
        score_folder(&detector, history, out, &AtomicBool::new(false))
    }

    #[test]
    fn a_file_of_the_same_name_says_where_a_page_began() {
        let (folder, fault) = folder();
        let out = folder.path().join("scored");
        let summaries = scored(folder.path(), &out).unwrap();
        assert_eq!(
            summaries.iter().map(|summary| summary.file.as_str()).collect::<Vec<_>>(),
            ["a.csv", "b.csv"]
        );
        assert_eq!((summaries[0].scored, summaries[0].highest), (0, None));
        assert_eq!(std::fs::read_to_string(out.join("a.csv")).unwrap(), format!("{HEADER}\n"));
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 2);

        let csv = Csv::read(&out.join("b.csv")).unwrap();
        assert_eq!(csv.header().join(","), HEADER);
        let of = |name: &str| csv.column(&[name]).unwrap();
        let columns = [
            "time", "value", "expected", "low", "high", "score", "fresh", "began", "ended",
            "channel",
        ]
        .map(of);
        let rows = csv.map(columns, |cells| Ok(cells.map(String::from))).unwrap();
        assert_eq!(rows.len(), summaries[1].scored);
        let number = |text: &str| text.parse::<f64>().unwrap();
        for [time, _, expected, low, high, score, fresh, began, ended, channel] in &rows {
            assert!(
                time.ends_with('Z')
                    && number(low) <= number(expected)
                    && number(expected) <= number(high),
                "{time}"
            );
            assert!(
                [fresh, began, ended].iter().all(|flag| ["0", "1"].contains(&flag.as_str())),
                "{time}"
            );
            assert!(began == "0" || (fresh == "1" && number(score) >= 1.0), "{time}");
            assert!(!channel.is_empty() || number(score) == 0.0, "{time}");
        }
        let told = Timestamp::from_second(fault).unwrap().to_string();
        let began = rows.iter().filter(|row| row[7] == "1").map(|row| &row[0]);
        assert!(began.clone().any(|time| *time == told), "{told}: {:?}", began.collect::<Vec<_>>());
        assert_eq!(rows.iter().filter(|row| row[7] == "1").count(), summaries[1].pages);
        assert_eq!(rows.iter().filter(|row| row[8] == "1").count(), summaries[1].ended);
    }

    #[test]
    fn the_same_bytes_every_time() {
        let (folder, _) = folder();
        let read = |out: &str| {
            let out = folder.path().join(out);
            scored(folder.path(), &out).unwrap();
            std::fs::read(out.join("b.csv")).unwrap()
        };
        assert!(read("one") == read("two"));
    }

    #[test]
    fn nothing_is_written_where_a_file_is_wrong_or_would_be_overwritten() {
        let (folder, _) = folder();
        let told = |history: &Path, out: &Path| format!("{:#}", scored(history, out).unwrap_err());
        let out = folder.path().join("scored");
        std::fs::write(folder.path().join("c.csv"), "time,value\n300,1\nnoon,1\n").unwrap();
        let error = told(folder.path(), &out);
        assert!(error.contains("c.csv") && error.contains("line 3"), "{error}");
        std::fs::write(folder.path().join("c.csv"), "time,value\n0,1\n3600,1\n7200,1\n").unwrap();
        let error = told(folder.path(), &out);
        assert!(error.contains("c.csv: the rows are 60 minutes apart; DeepGuard"), "{error}");
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);
        assert!(told(folder.path(), folder.path()).contains("give another folder with --out"));
        assert!(told(&out, &folder.path().join("other")).contains("ends with .csv"));
        assert!(told(&folder.path().join("none"), &out).contains("cannot read the folder"));
    }

    #[test]
    fn of_many_files_the_highest_are_shown_and_all_are_counted() {
        let summary = |number: usize| FileSummary {
            file: format!("{number:02}.csv"),
            scored: 10,
            pages: number % 2,
            ended: 0,
            highest: (number > 0).then_some((number as f64, END)),
        };
        let many = table(&(0..25).map(summary).collect::<Vec<_>>());
        assert_eq!(
            (many.rows.len(), many.rows[0][0].as_str(), many.rows[19][0].as_str()),
            (21, "24.csv", "05.csv")
        );
        assert_eq!(many.rows[20][..4], ["all 25", "250", "12", "0"]);
        let few = table(&(0..2).map(summary).collect::<Vec<_>>());
        assert_eq!((few.rows[0][0].as_str(), few.rows[0][4].as_str()), ("00.csv", "-"));
        assert_eq!(few.rows[1][4..], ["1.00", "2026-01-15T12:00:00Z"]);
    }
}
