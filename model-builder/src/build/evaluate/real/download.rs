//! Downloads the published CPU series at a pinned commit and turns the raw files into five-minute
//! series.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use deepguard::series::{DAY_SECONDS, PERIOD};
use deepguard::{Datapoint, Series};
use serde::Deserialize;

use crate::build::evaluate::measures::quantile;
use crate::build::nab::download::{Pinned, fetch};
use crate::common::time::parse_time;

/// Which files of which commit, and the expected stretch of each series.
const SOURCES: &str = include_str!("sources.json");
/// The column of a raw file with the start of a value, and the column with the CPU in an
/// undocumented unit.
const COLUMNS: [usize; 2] = [1, 3];
/// 100 % is this multiple of this quantile: a ceiling a little above everything but rare peaks.
const CEILING: (f64, f64) = (1.15, 0.999);
/// A gap of this many seconds ends a stretch.
const GAP: i64 = DAY_SECONDS;

#[derive(Debug, Deserialize)]
pub(super) struct Sources {
    repository: String,
    commit: String,
    series: BTreeMap<String, Stretch>,
}

/// The raw files of one series, and its first and last datapoint.
#[derive(Debug, Deserialize)]
struct Stretch {
    from: String,
    to: String,
    files: Vec<Raw>,
}

#[derive(Debug, Deserialize)]
struct Raw {
    path: String,
    sha256: String,
}

impl Sources {
    /// The sources pinned here.
    pub(super) fn pinned() -> Result<Self> {
        serde_json::from_str(SOURCES).context("in the list of public CPU series")
    }

    /// Where their repository is.
    pub(super) fn url(&self) -> String {
        format!("https://raw.githubusercontent.com/{}/{}", self.repository, self.commit)
    }

    /// All series with their names, in percent. Files missing in the folder `cache` are downloaded
    /// from `url` first.
    ///
    /// # Errors
    /// Where a file cannot be downloaded, differs from its pin, or yields a different stretch than
    /// recorded.
    pub(super) fn read(&self, cache: &Path, url: &str) -> Result<Vec<(String, Series)>> {
        let raw = || self.series.values().flat_map(|stretch| &stretch.files);
        let manifest: Vec<Pinned> = raw().map(|raw| Pinned::file(&raw.path, &raw.sha256)).collect();
        fetch(cache, url, &manifest)?;
        let read = |(name, stretch): (&String, &Stretch)| {
            let series =
                stretch.read(cache).with_context(|| format!("in the raw files of {name}"))?;
            Ok((name.clone(), series))
        };
        self.series.iter().map(read).collect()
    }
}

impl Stretch {
    fn read(&self, cache: &Path) -> Result<Series> {
        let mut datapoints = Vec::new();
        for Raw { path, .. } in &self.files {
            let text = std::fs::read_to_string(cache.join(path))
                .with_context(|| format!("cannot read {path}"))?;
            for (line, number) in text.lines().zip(1..) {
                datapoints.push(value(line).with_context(|| format!("{path}, line {number}"))?);
            }
        }
        let series = percent(&longest(&Series::from_datapoints(datapoints)?.0)?)?;
        let (from, to) = (parse_time(&self.from)?, parse_time(&self.to)?);
        ensure!(
            (series.start(), series.end()) == (from, to + PERIOD),
            "their longest stretch is not the one from {} to {}: report it as a mistake of this \
             program",
            self.from,
            self.to
        );
        Ok(series)
    }
}

/// The value of one line of a raw file.
fn value(line: &str) -> Result<Datapoint> {
    let [time, value] =
        COLUMNS.map(|column| line.split(',').nth(column).context("too few columns"));
    let value = value?;
    let value = value.parse().with_context(|| format!("`{value}` is no number"))?;
    Ok(Datapoint { time: parse_time(time?)?, value })
}

/// The longest part without a gap of a day.
fn longest(series: &Series) -> Result<Series> {
    let datapoints: Vec<Datapoint> = series.datapoints().collect();
    let parts = datapoints.chunk_by(|earlier, later| later.time - earlier.time < GAP);
    let part = parts.max_by_key(|part| part.len()).context("no values")?;
    Ok(Series::from_datapoints(part.iter().copied())?.0)
}

/// Converts any unit to percent of the ceiling.
fn percent(series: &Series) -> Result<Series> {
    let mut sorted: Vec<f64> = series.present(0..series.len()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let (times, q) = CEILING;
    let ceiling = times * quantile(&sorted, q).context("no values")?;
    ensure!(ceiling > 0.0, "the values are 0 throughout");
    let scaled =
        |point: Datapoint| Datapoint { value: (100.0 * point.value / ceiling).min(100.0), ..point };
    Ok(Series::from_datapoints(series.datapoints().map(scaled))?.0)
}

#[cfg(test)]
mod tests {
    use wiremock::matchers::{any, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::common::files::hex_sha256;

    /// Values every 30 seconds: two days, then a gap of more than a day, then one.
    fn raw() -> [String; 2] {
        let line = |half: i64| {
            let time =
                jiff::Timestamp::from_second(half * 30).unwrap().strftime("%Y-%m-%d %H:%M:%S");
            // Ten values a slot, 1 to 10 above 20 or, in one slot, above 110.
            let more = if half / 10 == 100 { 110 } else { 20 };
            format!("pool,{time},,{}.5,7\n", more + half % 10)
        };
        let day = DAY_SECONDS / 30;
        [(0..2 * day).map(line).collect(), (4 * day..5 * day).map(line).collect()]
    }

    fn sources(files: &[String]) -> Sources {
        let raw = |(number, text): (usize, &String)| Raw {
            path: format!("pool/{number}.csv"),
            sha256: hex_sha256(text.as_bytes()),
        };
        let stretch = Stretch {
            from: "1970-01-01T00:00:00Z".into(),
            to: "1970-01-02T23:55:00Z".into(),
            files: files.iter().enumerate().map(raw).collect(),
        };
        Sources {
            repository: "a/b".into(),
            commit: "c".into(),
            series: BTreeMap::from([("pool".into(), stretch)]),
        }
    }

    async fn read_from(
        server: &MockServer,
        sources: Sources,
        cache: &Path,
    ) -> Result<Vec<(String, Series)>> {
        let (url, cache) = (server.uri(), cache.to_path_buf());
        tokio::task::spawn_blocking(move || sources.read(&cache, &url)).await.unwrap()
    }

    async fn serve(files: &[String]) -> MockServer {
        let server = MockServer::start().await;
        for (number, text) in files.iter().enumerate() {
            let answer = ResponseTemplate::new(200).set_body_string(text.clone());
            Mock::given(path(format!("/pool/{number}.csv")))
                .respond_with(answer)
                .mount(&server)
                .await;
        }
        Mock::given(any()).respond_with(ResponseTemplate::new(404)).mount(&server).await;
        server
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn raw_files_become_percent_of_a_ceiling_and_are_fetched_once() {
        let (cache, files) = (tempfile::tempdir().unwrap(), raw());
        let server = serve(&files).await;
        let read = read_from(&server, sources(&files), cache.path()).await.unwrap();
        let (name, series) = &read[0];
        assert_eq!((name.as_str(), series.start(), series.len()), ("pool", 0, 2 * 288));
        // The mean of ten values is 25, but 115 in one slot of 576: over the 99.9 % quantile, and
        // so cut off.
        let quantile = 25.0 + (115.0 - 25.0) * (0.999 * 575.0 - 574.0);
        let usual = 100.0 * 25.0 / (1.15 * quantile);
        assert!((series.get(0).unwrap() - usual).abs() < 1e-9, "{:?}, {usual}", series.get(0));
        assert_eq!(series.get(100), Some(100.0));
        drop(server);
        let gone = MockServer::start().await;
        read_from(&gone, sources(&files), cache.path()).await.expect("all is here already");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_altered_cut_off_or_another_stretch_is_refused() {
        let files = raw();
        let altered = [files[0].replacen("20.5", "21.5", 1), files[1].clone()];
        let cut = [files[0][..files[0].len() / 2].to_string(), files[1].clone()];
        for (served, told) in
            [(&altered[..], "SHA-256"), (&cut[..], "SHA-256"), (&files[..1], "cannot download")]
        {
            let cache = tempfile::tempdir().unwrap();
            let server = serve(served).await;
            let error = format!(
                "{:#}",
                read_from(&server, sources(&files), cache.path()).await.unwrap_err()
            );
            assert!(error.contains(told) && error.contains("pool/"), "{error}");
        }
        let cache = tempfile::tempdir().unwrap();
        let spoilt = [files[0].replacen("20.5", "many", 1), files[1].clone()];
        for (files, told) in
            [(&files[1..], "longest stretch is not the one"), (&spoilt[..], "line 1: `many` is no")]
        {
            let server = serve(files).await;
            let error = format!(
                "{:#}",
                read_from(&server, sources(files), cache.path()).await.unwrap_err()
            );
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn the_list_is_whole() {
        let sources = Sources::pinned().unwrap();
        assert!(
            sources.url().starts_with("https://raw.githubusercontent.com/")
                && sources.commit.len() == 40
        );
        for (name, stretch) in &sources.series {
            assert!(
                parse_time(&stretch.from).unwrap() < parse_time(&stretch.to).unwrap(),
                "{name}"
            );
            assert!(
                !stretch.files.is_empty() && stretch.files.iter().all(|raw| raw.sha256.len() == 64),
                "{name}"
            );
        }
    }
}
