//! The Numenta Anomaly Benchmark: its files, with all their quirks, and its labels.

pub(crate) mod download;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use deepguard::series::{Cleaning, PERIOD, slot_start};
use deepguard::{Datapoint, Series};

use crate::common::csv::Csv;
use crate::common::files::hex_sha256;
use crate::common::time::parse_time;

/// The part of each file that NAB leaves free of anomalies, for a detector to learn on.
const PROBATION: f64 = 0.15;
/// ... and at most this many of its first datapoints, where a file is long.
const PROBATION_OF: usize = 5000;
/// NAB beside this checkout.
const BESIDE: &str = "../shared/nab";

/// A folder laid out like the benchmark: `data/<folder>/<file>.csv` and `labels/`.
#[derive(Debug, Clone)]
pub struct Nab {
    root: PathBuf,
}

/// One file of the benchmark.
#[derive(Debug)]
pub struct NabFile {
    /// Name with its folder, as the labels have it.
    pub name: String,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// Its rows in the file's order. A row without a value is not among them.
    pub datapoints: Vec<Datapoint>,
    /// Rows, with and without value.
    pub rows: usize,
}

/// One row of a file as datapoints on slots: the last is its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Oldest first.
    pub datapoints: Vec<Datapoint>,
}

/// NAB's labels of one file, in seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NabLabels {
    /// Datapoints at which an anomaly was labelled.
    pub starts: Vec<i64>,
    /// Windows in which its detection counts; the last slot is part of the window.
    pub windows: Vec<Range<i64>>,
}

impl Nab {
    /// The benchmark in `given`, else in `NAB_DIR`, else beside this checkout, else downloaded.
    ///
    /// # Errors
    /// Where a file is missing or is not what NAB's files are.
    pub fn locate(given: Option<&Path>) -> Result<Self> {
        if let Some(root) = given {
            return Self::at(root);
        }
        if Path::new(BESIDE).join("data").is_dir() {
            return Self::at(Path::new(BESIDE));
        }
        let cache = cache_dir("nab")?;
        download::fetch(&cache, download::SOURCE, &download::manifest()).context(
            "NAB is not here: give its folder with `--nab DIR` or NAB_DIR, or let it be downloaded",
        )?;
        Self::at(&cache)
    }

    fn at(root: &Path) -> Result<Self> {
        if !root.join("data").is_dir() {
            bail!(
                "{} has no folder `data`: name the folder that holds NAB's `data` and `labels`",
                root.display()
            );
        }
        Ok(Self { root: root.to_path_buf() })
    }

    /// NAB's EC2 CPU files, in the order of their names.
    ///
    /// # Errors
    /// Where a file is missing or is not what NAB's files are.
    pub fn ec2_cpu(&self) -> Result<Vec<NabFile>> {
        download::files()
            .filter(|(name, _)| download::is_ec2_cpu(name))
            .map(|(name, _)| self.read(name))
            .collect()
    }

    /// All of NAB's files, in the order of their names.
    ///
    /// # Errors
    /// Where a file is missing or is not what NAB's files are.
    pub fn all(&self) -> Result<Vec<NabFile>> {
        download::files().map(|(name, _)| self.read(name)).collect()
    }

    /// The scores that `detector` gave to each row of the file of that name, where they are at
    /// hand.
    pub fn published(&self, detector: &str, name: &str) -> Option<PathBuf> {
        Some(self.root.join("results").join(detector).join(name)).filter(|path| path.is_file())
    }

    /// The file of that name (`folder/file.csv`).
    ///
    /// # Errors
    /// Where a file is missing or is not what NAB's files are.
    pub fn read(&self, name: &str) -> Result<NabFile> {
        let path = self.root.join("data").join(name);
        let bytes =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let (datapoints, rows) = parse(&bytes).with_context(|| format!("in {}", path.display()))?;
        Ok(NabFile { name: name.into(), sha256: hex_sha256(&bytes), datapoints, rows })
    }

    /// The labels of all files that have an entry.
    ///
    /// # Errors
    /// Where a file is missing or is not what NAB's files are.
    pub fn labels(&self) -> Result<BTreeMap<String, NabLabels>> {
        let read = |name: &str| {
            let path = self.root.join("labels").join(name);
            std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))
        };
        parse_labels(&read("combined_labels.json")?, &read("combined_windows.json")?)
            .context("in NAB's labels")
    }
}

impl NabFile {
    /// The file as a regular series.
    ///
    /// Rows that are regularly further apart than five minutes are joined by straight lines, so
    /// that a file of hourly values has days of the right length. A longer pause stays a gap.
    ///
    /// # Errors
    /// Where a file is missing or is not what NAB's files are.
    pub fn series(&self) -> Result<(Series, Cleaning)> {
        let filled = self.slots().into_iter().flat_map(|row| row.datapoints);
        Series::from_datapoints(filled).with_context(|| format!("in {}", self.name))
    }

    /// The slots of each row, in the file's order: its own, and those on the straight line from the
    /// row before.
    pub fn slots(&self) -> Vec<Row> {
        let step = |pair: &[Datapoint]| pair[1].time - pair[0].time;
        let mut steps: Vec<i64> = self.datapoints.windows(2).map(step).collect();
        steps.sort_unstable();
        let period = steps.get(steps.len() / 2).copied().unwrap_or(PERIOD);
        let mut rows = Vec::with_capacity(self.datapoints.len());
        let mut before: Option<Datapoint> = None;
        for &row in &self.datapoints {
            let joined = before.filter(|before| {
                period > PERIOD && (PERIOD..=2 * period).contains(&(row.time - before.time))
            });
            let end = slot_start(row.time);
            let mut datapoints = Vec::new();
            if let Some(before) = joined {
                let start = slot_start(before.time);
                let value = |time: i64| {
                    let part = (time - start) as f64 / (end - start) as f64;
                    before.value + part * (row.value - before.value)
                };
                let between = (start + PERIOD..end).step_by(PERIOD as usize);
                datapoints.extend(between.map(|time| Datapoint { time, value: value(time) }));
            }
            datapoints.push(Datapoint { time: end, value: row.value });
            rows.push(Row { datapoints });
            before = Some(row);
        }
        rows
    }

    /// Whether it is the CPU of an EC2 instance.
    pub fn is_ec2_cpu(&self) -> bool {
        download::is_ec2_cpu(&self.name)
    }

    /// Whether choices may be based on this file: all files that are not AWS's.
    pub fn is_development(&self) -> bool {
        !self.name.starts_with("realAWSCloudwatch/")
    }

    /// How many of its first rows NAB leaves free of anomalies.
    pub fn probation(&self) -> usize {
        (PROBATION * self.rows.min(PROBATION_OF) as f64) as usize
    }

    /// The file's name alone: `ec2_cpu_utilization_5f5533`.
    pub fn stem(&self) -> &str {
        let file = self.name.rsplit('/').next().unwrap_or(&self.name);
        file.strip_suffix(".csv").unwrap_or(file)
    }
}

/// Where a download of that name is stored.
pub(crate) fn cache_dir(name: &str) -> Result<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home);
    let cache = cache
        .context("a download has no place, neither XDG_CACHE_HOME nor HOME is set: set one")?;
    Ok(cache.join("deepguard").join(name))
}

/// Datapoints and number of rows of a file, gaps among the rows. Its rows may be any time apart.
///
/// # Errors
/// Names the malformed line.
pub fn parse(bytes: &[u8]) -> Result<(Vec<Datapoint>, usize)> {
    let csv = Csv::parse(bytes)?;
    let datapoints = csv.datapoints(csv.value()?)?;
    ensure!(!datapoints.is_empty(), "no datapoints");
    Ok((datapoints, csv.rows()))
}

fn parse_labels(labels: &str, windows: &str) -> Result<BTreeMap<String, NabLabels>> {
    let labels: BTreeMap<String, Vec<String>> =
        serde_json::from_str(labels).context("combined_labels.json")?;
    let mut windows: BTreeMap<String, Vec<[String; 2]>> =
        serde_json::from_str(windows).context("combined_windows.json")?;
    let times = |(name, starts): (String, Vec<String>)| {
        let starts = starts.iter().map(|start| parse_time(start)).collect::<Result<_>>()?;
        let windows = windows.remove(&name).with_context(|| format!("no windows for {name}"))?;
        let window = |[from, to]: &[String; 2]| Ok(parse_time(from)?..parse_time(to)? + PERIOD);
        Ok((
            name,
            NabLabels { starts, windows: windows.iter().map(window).collect::<Result<_>>()? },
        ))
    };
    labels.into_iter().map(times).collect()
}

#[cfg(test)]
#[path = "../../../../tests/common/fuzz.rs"]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quirks_of_the_files_are_understood() {
        type Quirk<'a> = (&'a str, &'a str, &'a [(i64, f64)], usize);
        let cases: [Quirk<'_>; 6] = [
            ("plain", "timestamp,value\n1970-01-01 00:05:00,1.5\n", &[(300, 1.5)], 1),
            (
                "carriage returns, byte order mark",
                "\u{feff}timestamp,value\r\n1970-01-01 00:00:00,1\r\n",
                &[(0, 1.0)],
                1,
            ),
            (
                "fractions of a second",
                "timestamp,value\n1970-01-01 00:00:01.000000,1e1\n",
                &[(1, 10.0)],
                1,
            ),
            (
                "zones",
                "timestamp,value\n1970-01-01T00:00:00Z,1\n1970-01-01 02:00:00+02:00,2\n",
                &[(0, 1.0), (0, 2.0)],
                2,
            ),
            (
                "empty values, NaN",
                "timestamp,value\n1970-01-01 00:00:00,\n1970-01-01 00:05:00,NaN\n\
                 1970-01-01 00:10:00,3\n",
                &[(600, 3.0)],
                3,
            ),
            (
                "doubles, any order",
                "timestamp,value\n1970-01-01 00:05:00,1\n1970-01-01 00:05:00,2\n\
                 1970-01-01 00:00:00,3\n\n",
                &[(300, 1.0), (300, 2.0), (0, 3.0)],
                3,
            ),
        ];
        for (what, text, expected, rows) in cases {
            let (points, found) = parse(text.as_bytes()).expect(what);
            assert_eq!(
                points.iter().map(|p| (p.time, p.value)).collect::<Vec<_>>(),
                expected,
                "{what}"
            );
            assert_eq!(found, rows, "{what}");
        }
    }

    #[test]
    fn rows_an_hour_apart_are_joined_and_a_longer_pause_is_not() {
        let file = |times: &[i64]| NabFile {
            name: String::new(),
            sha256: String::new(),
            datapoints: times.iter().map(|&time| Datapoint { time, value: time as f64 }).collect(),
            rows: times.len(),
        };
        let hourly = file(&[10, 3610, 7210, 18010, 21610]);
        let (series, cleaning) = hourly.series().unwrap();
        assert_eq!(
            (series.len(), cleaning.missing),
            (73, 35),
            "the pause of three hours stays a gap"
        );
        assert!((series.get(6).unwrap() - 1810.0).abs() < 1e-9, "half an hour after the first row");
        let counts = |file: &NabFile| {
            file.slots().iter().map(|row| row.datapoints.len()).collect::<Vec<_>>()
        };
        assert_eq!(counts(&hourly), [1, 12, 12, 1, 12]);
        assert_eq!(counts(&file(&[0, 300, 900, 600, 600])), [1; 5], "five minutes need nothing");
        assert_eq!(hourly.slots()[2].datapoints[11], Datapoint { time: 7200, value: 7210.0 });
    }

    #[test]
    fn what_is_no_nab_file_is_told_with_its_line() {
        let cases: [(&[u8], &str); 7] = [
            (b"", "the file is empty"),
            (b"when,value\n", "line 1 is `when,value`: it has to name a column `time`"),
            (b"timestamp,value\n", "no datapoints"),
            (b"timestamp,value\n1970-01-01 00:00:00 1\n", "line 2 has 1 columns, the header 2"),
            (b"timestamp,value\n1970-01-01 00:00:00,1\nyesterday,1\n", "line 3: `yesterday`"),
            (b"timestamp,value\n1970-01-01 00:00:00,many\n", "line 2: `many` is no number"),
            (b"timestamp,value\n\xff", "line 2 is no text in UTF-8"),
        ];
        for (bytes, told) in cases {
            let error = format!("{:#}", parse(bytes).unwrap_err());
            assert!(error.contains(told), "{error:?} does not say {told:?}");
        }
    }

    #[test]
    fn labels_come_with_their_windows() {
        let labels = r#"{"a/b.csv": ["1970-01-01 00:10:00"], "a/c.csv": []}"#;
        let windows = r#"{
            "a/b.csv": [["1970-01-01 00:05:00.000000", "1970-01-01 00:20:00.000000"]],
            "a/c.csv": []
        }"#;
        let found = parse_labels(labels, windows).expect("labels");
        let expected =
            NabLabels { starts: vec![600], windows: vec![Range { start: 300, end: 1500 }] };
        assert_eq!((&found["a/b.csv"], &found["a/c.csv"]), (&expected, &NabLabels::default()));
        assert!(parse_labels(labels, "{}").is_err());
        assert!(parse_labels("[", windows).is_err());
    }

    #[test]
    fn wrong_files_of_every_kind_are_refused() {
        let csv = "timestamp,value\n2014-02-14 14:30:00,6.456\n2014-02-14 14:35:00,5.816\n\
                   2014-02-14 14:40:00,-1e3\n";
        fuzz::fuzz(
            "nab-csv",
            &[csv.into(), csv.repeat(20).into(), b"timestamp,value\r\n".to_vec()],
            |bytes| {
                if let Ok((datapoints, _)) = parse(bytes) {
                    let _ = deepguard::Series::from_datapoints(datapoints);
                }
            },
        );
        let labels = r#"{"a/b.csv": ["2014-02-26 22:05:00"]}"#;
        fuzz::fuzz("nab-labels", &[labels.into()], |bytes| {
            if let Ok(text) = std::str::from_utf8(bytes) {
                let _ = parse_labels(text, text);
                let _ = parse_labels(labels, text);
            }
        });
    }
}
