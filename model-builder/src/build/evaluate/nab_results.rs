//! Files of results as NAB keeps them: one row for each row of the data, with its anomaly score.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::common::files::write_whole;

/// Time stamps and scores of a file of results: NAB's own, or any with columns `timestamp` and
/// `anomaly_score`.
///
/// # Errors
/// Where the file cannot be read, lacks a column, or has a score that is no number; the line is
/// told.
pub(crate) fn read_results(path: &Path) -> Result<Vec<(String, f64)>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse_results(&text).with_context(|| format!("in {}", path.display()))
}

fn parse_results(text: &str) -> Result<Vec<(String, f64)>> {
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    let header: Vec<&str> = lines.next().map_or("", |(_, line)| line.trim()).split(',').collect();
    let column = |name: &str| {
        header
            .iter()
            .position(|&column| column == name)
            .with_context(|| format!("line 1 has no column `{name}`"))
    };
    let (time, score) = (column("timestamp")?, column("anomaly_score")?);
    let rows = lines.filter(|(_, line)| !line.trim().is_empty()).map(|(index, line)| {
        let cells: Vec<&str> = line.trim().split(',').collect();
        let cell = |column: usize| {
            cells.get(column).with_context(|| format!("line {} is too short", index + 1))
        };
        let (time, score) = (cell(time)?, cell(score)?);
        let score =
            score.parse().with_context(|| format!("line {}: `{score}` is no number", index + 1))?;
        Ok((time.to_string(), score))
    });
    rows.collect()
}

/// A row of a file of results.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ResultRow<'a> {
    /// `YYYY-MM-DD HH:MM:SS`, as in NAB's data.
    pub(crate) timestamp: &'a str,
    /// The observed value.
    pub(crate) value: f64,
    /// 0 to 1.
    pub(crate) score: f64,
    /// Whether it lies in a labelled window.
    pub(crate) labelled: bool,
}

/// Where NAB's runner looks for a detector's results of the file `folder/name.csv`:
/// `results/<detector>/<folder>/<detector>_<name>.csv`.
///
/// # Errors
/// Where NAB could not take the name of the detector, or of the file, apart again.
pub(crate) fn results_path(results: &Path, detector: &str, file: &str) -> Result<PathBuf> {
    let plain =
        !detector.is_empty() && detector.chars().all(|letter| letter.is_ascii_alphanumeric());
    ensure!(plain, "`{detector}`: NAB wants the name of a detector in letters and digits");
    let (folder, name) =
        file.rsplit_once('/').with_context(|| format!("`{file}` is not `folder/name.csv`"))?;
    Ok(results.join(detector).join(folder).join(format!("{detector}_{name}")))
}

/// The text of a file of results as NAB's runner reads it.
fn results_csv<'a>(rows: impl IntoIterator<Item = ResultRow<'a>>) -> String {
    let mut text = String::from("timestamp,value,anomaly_score,label\n");
    for ResultRow { timestamp, value, score, labelled } in rows {
        text += &format!("{timestamp},{value},{score},{}\n", u8::from(labelled));
    }
    text
}

/// Writes a file of results as NAB's runner reads it, with the folders above it.
///
/// # Errors
/// Where the place cannot be written.
pub(crate) fn write_results<'a>(
    path: &Path,
    rows: impl IntoIterator<Item = ResultRow<'a>>,
) -> Result<()> {
    write_whole(path, results_csv(rows).as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Range;

    use serde_json::Value;

    use super::super::nab_score::{ApplicationProfile, Rows, ScoredFile};
    use super::*;

    #[test]
    fn published_and_written_results_are_read() {
        let published =
            "timestamp,anomaly_score\n2014-02-14 14:30:00,0.25\r\n\n2014-02-14 14:35:00,1e-3\n";
        let expected =
            [("2014-02-14 14:30:00".to_string(), 0.25), ("2014-02-14 14:35:00".to_string(), 0.001)];
        assert_eq!(parse_results(published).unwrap(), expected);
        let row =
            |timestamp, score, labelled| ResultRow { timestamp, value: 71.25, score, labelled };
        let written = results_csv([
            row("2014-02-14 14:30:00", 0.25, false),
            row("2014-02-14 14:35:00", 0.001, true),
        ]);
        assert_eq!(
            written,
            "timestamp,value,anomaly_score,label\n\
             2014-02-14 14:30:00,71.25,0.25,0\n2014-02-14 14:35:00,71.25,0.001,1\n"
        );
        assert_eq!(parse_results(&written).unwrap(), expected);
    }

    #[test]
    fn what_is_no_file_of_results_is_told_with_its_line() {
        let cases = [
            ("", "no column `timestamp`"),
            ("timestamp,value\n", "no column `anomaly_score`"),
            ("timestamp,anomaly_score\na,1\nb\n", "line 3 is too short"),
            ("timestamp,anomaly_score\na,high\n", "line 2: `high` is no number"),
        ];
        for (text, told) in cases {
            let error = format!("{:#}", parse_results(text).unwrap_err());
            assert!(error.contains(told), "{error:?} does not say {told:?}");
        }
    }

    #[test]
    fn results_lie_where_nabs_runner_looks() {
        let path =
            results_path(Path::new("results"), "deepguard", "realTweets/Twitter_volume_AAPL.csv")
                .unwrap();
        assert_eq!(
            path,
            Path::new("results/deepguard/realTweets/deepguard_Twitter_volume_AAPL.csv")
        );
        for (detector, file) in [
            ("deep_guard", "a/b.csv"),
            ("", "a/b.csv"),
            ("../up", "a/b.csv"),
            ("deepguard", "b.csv"),
        ] {
            assert!(
                results_path(Path::new("results"), detector, file).is_err(),
                "{detector:?}, {file:?}"
            );
        }
    }

    #[test]
    fn a_written_file_is_read_again() {
        let folder = std::env::temp_dir().join(format!("nab_results-{}", std::process::id()));
        let path = results_path(&folder, "deepguard", "folder/name.csv").unwrap();
        write_results(
            &path,
            [ResultRow { timestamp: "t", value: 1.0, score: 0.1 + 0.2, labelled: false }],
        )
        .unwrap();
        assert_eq!(read_results(&path).unwrap(), [("t".to_string(), 0.1 + 0.2)]);
        std::fs::remove_dir_all(&folder).unwrap();
        let error = read_results(&path).unwrap_err();
        assert!(format!("{error:#}").contains("deepguard_name.csv"), "{error:#}");
    }

    /// NAB where the project looks for it, if it is there with the published results.
    fn nab() -> Option<PathBuf> {
        let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/nab");
        let root = std::env::var_os("NAB_DIR").map_or_else(beside, PathBuf::from);
        root.join("results/expected.json").is_file().then_some(root)
    }

    fn json(path: &Path) -> Value {
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    /// Seconds of `YYYY-MM-DD HH:MM:SS` since an arbitrary day. Months have 31 days here, which is
    /// fine because the times are only compared.
    fn seconds(text: &str) -> i64 {
        let number = |range: Range<usize>| text[range].parse::<i64>().unwrap();
        let days = (number(0..4) * 12 + number(5..7)) * 31 + number(8..10);
        days * 86_400 + number(11..13) * 3600 + number(14..16) * 60 + number(17..19)
    }

    /// Time stamps and scores of one published detector, with the labelled windows.
    struct PublishedFile {
        times: Vec<i64>,
        scores: Vec<f64>,
        windows: Vec<Range<i64>>,
    }

    impl PublishedFile {
        fn read(nab: &Path, detector: &str, folder: &str) -> Vec<Self> {
            let labels: BTreeMap<String, Vec<[String; 2]>> =
                serde_json::from_value(json(&nab.join("labels/combined_windows.json"))).unwrap();
            let mut files: Vec<PathBuf> =
                std::fs::read_dir(nab.join("results").join(detector).join(folder))
                    .unwrap()
                    .map(|entry| entry.unwrap().path())
                    .collect();
            files.sort();
            let read = |path: &PathBuf| {
                let (times, scores) = read_results(path)
                    .unwrap()
                    .into_iter()
                    .map(|(time, score)| (seconds(&time), score))
                    .unzip();
                let name = format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap());
                let windows = labels[&name]
                    .iter()
                    .map(|[from, to]| seconds(from)..seconds(to) + 300)
                    .collect();
                Self { times, scores, windows }
            };
            files.iter().map(read).collect()
        }

        fn file(&self) -> ScoredFile<'_> {
            let probation = (0.15 * self.times.len().min(5000) as f64) as usize;
            ScoredFile {
                times: &self.times,
                scores: &self.scores,
                windows: &self.windows,
                probation,
            }
        }
    }

    #[test]
    fn published_detectors_get_nabs_own_scores() {
        let Some(nab) = nab() else {
            println!("skipped: NAB's published results are not here; name their folder in NAB_DIR");
            return;
        };
        let expected = json(&nab.join("results/expected.json"));
        let (mut compared, mut deviation) = (0, 0.0_f64);
        for (detector, sets) in expected.as_object().unwrap() {
            let read = |folder| PublishedFile::read(&nab, detector, folder);
            let (ec2, quiet) = (read("realAWSCloudwatch"), read("artificialNoAnomaly"));
            assert_eq!((ec2.len(), quiet.len()), (8, 5));
            let ec2: Vec<_> = ec2.iter().map(PublishedFile::file).collect();
            let all: Vec<_> =
                ec2.iter().copied().chain(quiet.iter().map(PublishedFile::file)).collect();
            for (set, files) in [("ec2_cpu_8", &ec2), ("all_13", &all)] {
                let rows = Rows::new(files).unwrap();
                for (name, profile) in
                    ["standard", "low_FP", "low_FN"].into_iter().zip(ApplicationProfile::ALL)
                {
                    let best = rows.best(&profile);
                    let found = [best.threshold, best.score, rows.at(&profile, 0.5).score];
                    for (name_of, found) in
                        ["best_threshold", "score", "score_at_half"].into_iter().zip(found)
                    {
                        let expected = sets[set][name][name_of].as_f64().unwrap();
                        let off = (found - expected).abs();
                        assert!(
                            off < 1e-6,
                            "{detector}, {set}, {name}: {name_of} is {found}, not {expected}"
                        );
                        (compared, deviation) = (compared + 1, deviation.max(off));
                    }
                }
            }
        }
        println!("{compared} numbers compared, none off by more than {deviation:.1e}");
        assert!(compared >= 54, "only {compared} numbers compared");
    }
}
