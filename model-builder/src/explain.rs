//! Instances drawn from their history, scored by the same code as everywhere.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use comfy_table::Table;
use deepguard::{Datapoint, Detector, Scored, Series, Watch};
use indicatif::ProgressIterator;

use crate::nab::parse_time;
use crate::picture::{self, PANEL, Panel, clock};

/// The most instances that one picture holds.
const MAX_INSTANCES: usize = 60;

/// Published scores by instance: time and value.
type Published = BTreeMap<String, Vec<(i64, f64)>>;

/// CPU history by instance.
pub(crate) type History = BTreeMap<String, Series>;

/// Draws each instance over its last `hours`.
///
/// # Errors
/// Where `published` cannot be read or the picture cannot be written.
pub(crate) fn explain(
    detector: &Detector,
    history: &History,
    published: Option<&Path>,
    hours: u32,
    out: &Path,
) -> Result<()> {
    let published = published.map_or_else(|| Ok(Published::new()), read_published)?;
    let mut scored = Vec::new();
    for (instance, series) in history.iter().progress() {
        let from = series.end() - i64::from(hours) * 3600;
        let mut all = detector.follow(series, &mut Watch::default(), series.end());
        all.retain(|scored| scored.time >= from);
        scored.push((instance, all));
    }
    const HEAD: u32 = 80;
    picture::png(out, HEAD + PANEL * scored.len() as u32, |area| {
        let (head, mut rest) = area.split_vertically(HEAD);
        picture::legend(&head, &format!("The last {hours} hours, model {}", detector.artifact().version()))?;
        for (instance, scored) in &scored {
            let (panel, below) = rest.split_vertically(PANEL);
            let title = match scored.last() {
                Some(last) => format!(
                    "{instance}   {}   CPU {:.1} %, expected {:.1} ± {:.1} %, score {:.2}",
                    clock(last.time),
                    last.observed,
                    last.expected,
                    last.tolerance,
                    last.score.value()
                ),
                None => instance.to_string(),
            };
            let published = published.get(*instance).map_or(&[][..], Vec::as_slice);
            Panel { title, scored, windows: &[], published }.draw(&panel)?;
            rest = below;
        }
        Ok(())
    })?;
    println!("{}", table(&scored));
    println!("picture: {}", out.display());
    Ok(())
}

/// The newest datapoint of each instance, and the highest score of those that were drawn.
fn table(scored: &[(&String, Vec<Scored>)]) -> Table {
    let mut table = Table::new();
    table.set_header(["instance", "newest", "CPU %", "expected %", "score", "highest score", "at"]);
    for (instance, scored) in scored {
        let highest = scored.iter().max_by(|a, b| a.score.value().total_cmp(&b.score.value()));
        match (scored.last(), highest) {
            (Some(newest), Some(highest)) => table.add_row([
                instance.to_string(),
                clock(newest.time),
                format!("{:.2}", newest.observed),
                format!("{:.2} ± {:.2}", newest.expected, newest.tolerance),
                format!("{:.2}", newest.score.value()),
                format!("{:.2}", highest.score.value()),
                clock(highest.time),
            ]),
            _ => table.add_row([instance, "nothing was scored"]),
        };
    }
    table
}

/// The history of every `<instance>.csv` in `folder`, or of those in `wanted` if any is named.
///
/// # Errors
/// Where a file is missing or cannot be read, or there are more than one picture holds.
pub(crate) fn read_history(folder: &Path, wanted: &[String]) -> Result<History> {
    let mut names = wanted.to_vec();
    if names.is_empty() {
        for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.extend(name.strip_suffix(".csv").map(str::to_string));
        }
    }
    match names.len() {
        0 => bail!("no .csv file in {}", folder.display()),
        count if count > MAX_INSTANCES => {
            bail!("{count} instances in {}, a picture holds {MAX_INSTANCES}: name some", folder.display())
        }
        _ => names.into_iter().map(|name| Ok((name.clone(), read_series(&folder.join(name + ".csv"))?))).collect(),
    }
}

fn read_series(path: &Path) -> Result<Series> {
    let datapoint = |[time, value]: [String; 2]| {
        let value = value.parse().with_context(|| format!("`{value}` is no number"))?;
        Ok(Datapoint { time: parse_time(&time)?, value })
    };
    let read = || {
        let datapoints = rows(path, "time,value")?.into_iter().map(datapoint).collect::<Result<Vec<_>>>()?;
        Ok::<_, anyhow::Error>(Series::from_datapoints(datapoints)?.0)
    };
    read().with_context(|| format!("in {}", path.display()))
}

fn read_published(path: &Path) -> Result<Published> {
    let mut published = Published::new();
    for [instance, time, metric, value] in rows(path, "instance,time,metric,value")? {
        if metric == "AnomalyScore" {
            let value = value.parse().with_context(|| format!("`{value}` in {}", path.display()))?;
            published.entry(instance).or_default().push((parse_time(&time)?, value));
        }
    }
    Ok(published)
}

/// The rows of a CSV file without quotes, after its header.
fn rows<const COLUMNS: usize>(path: &Path, header: &str) -> Result<Vec<[String; COLUMNS]>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut lines = text.lines();
    if lines.next() != Some(header) {
        bail!("{} does not begin with `{header}`", path.display());
    }
    let row = |line: &str| {
        let cells: Vec<String> = line.split(',').map(str::to_string).collect();
        cells.try_into().map_err(|_| anyhow::anyhow!("`{line}` in {} has not {COLUMNS} columns", path.display()))
    };
    lines.map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let told = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|name| name.to_string()).collect();
            format!("{:#}", read_history(folder.path(), &wanted).unwrap_err())
        };
        assert!(told(&[]).contains("no .csv file"));
        let cases = [
            ("", "does not begin with"),
            ("when,what\n", "does not begin with"),
            ("time,value\n1,2,3\n", "has not 2 columns"),
            ("time,value\n", "no usable datapoint"),
            ("time,value\nnow,1\n", "`now` is no time stamp"),
            ("time,value\n2026-01-01T00:00:00Z,x\n", "`x` is no number"),
        ];
        for (content, reason) in cases {
            std::fs::write(folder.path().join("i-1.csv"), content).unwrap();
            let told = told(&[]);
            assert!(told.contains("i-1.csv") && told.contains(reason), "{content:?}: {told}");
        }
        assert!(told(&["i-2"]).contains("i-2.csv"));
    }

    #[test]
    fn the_instances_asked_for_are_read() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["i-1.csv", "i-2.csv", "replay.json"] {
            std::fs::write(folder.path().join(name), "time,value\n2026-01-01T00:00:00Z,1\n").unwrap();
        }
        let names = |wanted: &[String]| read_history(folder.path(), wanted).unwrap().into_keys().collect::<Vec<_>>();
        assert_eq!(names(&[]), ["i-1", "i-2"]);
        assert_eq!(names(&["i-2".into()]), ["i-2"]);
    }
}
