//! Real machines: CPU without labels, and servers whose operators have marked when something was
//! wrong.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::{Context, Result, bail};
use deepguard::Series;
use deepguard::baseline::HISTORY;
use deepguard::series::PERIOD;
use serde::Deserialize;

use super::download::Sources;
use crate::build::nab::cache_dir;
use crate::build::train::Source;
use crate::common::csv::Csv;
use crate::common::time::parse_time;

/// Real machines beside this checkout.
const BESIDE: &str = "../shared/real";
/// The folder of the CPU series, and that of the servers.
const CPU: &str = "cpu";
const SERVERS: &str = "servers";
/// Server names of one source begin like this, those of the other do not.
const LABELLED_BY: [(&str, &str); 2] =
    [("server", "servers, by incidents"), ("", "machines, by experts")];

/// Random windows of a machine's CPU for each horizon to train on, and of a metric of a server.
const CPU_WINDOWS: usize = 600;
const METRIC_WINDOWS: usize = 60;

/// The starts of the first and the last datapoint of a stretch, in seconds since 1970.
pub(crate) type Span = RangeInclusive<i64>;

/// All of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Real {
    /// CPU of machines without any other data.
    pub(crate) cpu: Vec<RealMachine>,
    /// Several metrics each, labelled.
    pub(crate) servers: Vec<RealMachine>,
}

/// One machine.
#[derive(Debug, Clone)]
pub(crate) struct RealMachine {
    /// Its number among all machines, even if only a part of them is used. It belongs to the fold
    /// `number % FOLDS`, with all its metrics.
    pub(crate) number: usize,
    pub(crate) name: String,
    pub(crate) metrics: Vec<RealSeries>,
}

/// One series of a machine.
#[derive(Debug, Clone)]
pub(crate) struct RealSeries {
    /// Empty where the machine has no other.
    pub(crate) name: String,
    pub(crate) series: Series,
    /// From this time on (seconds since 1970), a page outside all labels is a false one.
    pub(crate) judged_from: i64,
    /// Who labelled it, in words.
    pub(crate) kind: &'static str,
    /// Labelled anomalies that this metric shows.
    pub(crate) shown: Vec<Span>,
    /// Labelled anomalies of other metrics: a page in them is neither right nor false.
    pub(crate) elsewhere: Vec<Span>,
}

#[derive(Debug, Deserialize)]
struct LabelFile {
    labelled_from: String,
    windows: Vec<Window>,
}

#[derive(Debug, Deserialize)]
struct Window {
    start: String,
    end: String,
    metrics: Vec<String>,
}

impl Real {
    /// Reads the machines in `given`, else beside this checkout. Otherwise downloads the CPU series
    /// alone.
    ///
    /// # Errors
    /// Where a file is missing, is something else, or cannot be downloaded; names it.
    pub(crate) fn locate(given: Option<&Path>) -> Result<Self> {
        let beside = Path::new(BESIDE);
        match given.or_else(|| beside.join(CPU).is_dir().then_some(beside)) {
            Some(folder) => Self::read(folder),
            None => {
                let sources = Sources::pinned()?;
                let series = sources.read(&cache_dir("real")?, &sources.url());
                let series = series
                    .context("give the folder of real machines with `--real DIR` or REAL_DIR")?;
                Ok(Self {
                    cpu: numbered(
                        series.into_iter().map(|(name, series)| (name, vec![unlabelled(series)])),
                        0,
                    ),
                    servers: Vec::new(),
                })
            }
        }
    }

    /// The machines in a folder: `cpu/<machine>.csv` with a column `value`, and
    /// `servers/<machine>.csv` with a column for each metric and `servers/labels.json`. Either may
    /// be missing.
    fn read(folder: &Path) -> Result<Self> {
        let (cpu, servers) = (folder.join(CPU), folder.join(SERVERS));
        let (mut all, mut labelled) = (Vec::new(), Vec::new());
        if cpu.is_dir() {
            for name in names(&cpu)? {
                let series =
                    crate::common::csv::read_series(&cpu.join(&name).with_extension("csv"))?;
                all.push((name, vec![unlabelled(series)]));
            }
        }
        if servers.is_dir() {
            let path = servers.join("labels.json");
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let labels: BTreeMap<String, LabelFile> =
                serde_json::from_str(&text).with_context(|| format!("in {}", path.display()))?;
            for (name, labels) in labels {
                let path = servers.join(format!("{name}.csv"));
                let metrics = metrics(&name, &path, &labels)
                    .with_context(|| format!("in {}", path.display()))?;
                labelled.push((name, metrics));
            }
        }
        if all.is_empty() && labelled.is_empty() {
            bail!(
                "{} holds no real machines: name a folder with `cpu/*.csv` or `servers/*.csv` in \
                 it",
                folder.display()
            );
        }
        let cpu = numbered(all, 0);
        Ok(Self { servers: numbered(labelled, cpu.len()), cpu })
    }

    /// All machines.
    pub(crate) fn machines(&self) -> impl Iterator<Item = &RealMachine> {
        self.cpu.iter().chain(&self.servers)
    }
}

/// The sources for training a network: each metric of the machines whose number is `wanted`. For
/// the fold that scores the machines `number % FOLDS == fold`, want all others.
pub(crate) fn sources(real: &Real, wanted: impl Fn(usize) -> bool) -> Vec<Source> {
    let machines = real.machines().filter(|machine| wanted(machine.number));
    let source = |machine: &RealMachine, metric: &RealSeries| {
        // The meaning of a server's metrics is unknown. The only metric of a machine is its CPU.
        let is_cpu = machine.metrics.len() == 1;
        let name =
            if is_cpu { machine.name.clone() } else { format!("{} {}", machine.name, metric.name) };
        Source::of_machine(
            name,
            metric.series.clone(),
            if is_cpu { CPU_WINDOWS } else { METRIC_WINDOWS },
            is_cpu,
        )
    };
    let sources = machines
        .flat_map(|machine| machine.metrics.iter().map(move |metric| source(machine, metric)));
    sources.collect()
}

/// Machines with their numbers, from `first` on.
fn numbered(
    machines: impl IntoIterator<Item = (String, Vec<RealSeries>)>,
    first: usize,
) -> Vec<RealMachine> {
    let machines = machines.into_iter().enumerate();
    machines
        .map(|(index, (name, metrics))| RealMachine { number: first + index, name, metrics })
        .collect()
}

/// Machines are judged once there are two weeks of history.
fn unlabelled(series: Series) -> RealSeries {
    let judged_from = series.start() + HISTORY as i64 * PERIOD;
    RealSeries {
        name: String::new(),
        series,
        judged_from,
        kind: "",
        shown: Vec::new(),
        elsewhere: Vec::new(),
    }
}

/// The names of the CSV files in a folder, sorted, without their ending.
fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".csv").map(String::from));
    }
    names.sort_unstable();
    Ok(names)
}

/// Every column except the times.
fn metrics(machine: &str, path: &Path, labels: &LabelFile) -> Result<Vec<RealSeries>> {
    let csv = Csv::read(path)?;
    let kind = LABELLED_BY
        .into_iter()
        .find(|(begins, _)| machine.starts_with(begins))
        .map_or("", |(_, kind)| kind);
    let span = |window: &Window| {
        Ok::<_, anyhow::Error>(parse_time(&window.start)?..=parse_time(&window.end)?)
    };
    let windows = labels
        .windows
        .iter()
        .map(|window| Ok((span(window)?, window)))
        .collect::<Result<Vec<_>>>()?;
    let times = csv.times()?;
    let columns = csv.header().iter().enumerate().filter(|(column, _)| *column != times);
    let metric = |(column, name): (usize, &String)| {
        let of = |here: bool| {
            let mine =
                windows.iter().filter(move |(_, window)| window.metrics.contains(name) == here);
            mine.map(|(span, _)| span.clone()).collect()
        };
        Ok(RealSeries {
            name: name.clone(),
            series: csv.series(column).with_context(|| format!("column `{name}`"))?,
            judged_from: parse_time(&labels.labelled_from)?,
            kind,
            shown: of(true),
            elsewhere: of(false),
        })
    };
    columns.map(metric).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: &str = r#"{"server1": {"labelled_from": "1970-01-02 00:00:00", "windows": [
        {"start": "1970-01-02 01:00:00", "end": "1970-01-02 02:00:00", "metrics": ["b"]}]}}"#;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("cpu")).unwrap();
        std::fs::create_dir_all(folder.path().join("servers")).unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        put("cpu/z.csv", "timestamp,value\n1970-01-01 00:00:00,1\n1970-01-01 00:10:00,2\n");
        put("cpu/a.csv", "timestamp,value\n1970-01-01 00:00:00,3\n");
        put(
            "servers/server1.csv",
            "timestamp,a,b\n1970-01-01 00:00:00,1,2\n1970-01-01 00:05:00,,3\n",
        );
        put("servers/labels.json", LABELS);
        folder
    }

    #[test]
    fn machines_are_numbered_and_windows_belong_to_the_metrics_that_show_them() {
        let real = Real::read(folder().path()).unwrap();
        let names: Vec<_> =
            real.machines().map(|machine| (machine.number, machine.name.as_str())).collect();
        assert_eq!(names, [(0, "a"), (1, "z"), (2, "server1")]);
        assert_eq!(real.cpu[1].metrics[0].judged_from, 14 * 86_400);
        let [a, b] = &real.servers[0].metrics[..] else { panic!("two metrics") };
        let window = vec![90_000..=93_600];
        assert_eq!(
            (a.series.len(), &a.shown, &a.elsewhere, a.judged_from),
            (1, &vec![], &window, 86_400)
        );
        assert_eq!(
            (b.series.len(), &b.shown, &b.elsewhere, b.kind),
            (2, &window, &vec![], LABELLED_BY[0].1)
        );
        let learnt = |fold: usize| {
            let sources = sources(&real, |number| number % 2 != fold);
            sources.into_iter().map(|source| source.name).collect::<Vec<_>>()
        };
        assert_eq!(
            (learnt(0), learnt(1)),
            (vec!["z".to_string()], vec!["a".into(), "server1 a".into(), "server1 b".into()])
        );
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let folder = folder();
        let told = || format!("{:#}", Real::read(folder.path()).unwrap_err());
        std::fs::write(folder.path().join("servers/server1.csv"), "timestamp,a\nnoon,1\n").unwrap();
        assert!(told().contains("server1.csv") && told().contains("line 2"), "{}", told());
        std::fs::remove_file(folder.path().join("servers/labels.json")).unwrap();
        assert!(told().contains("labels.json"));
        let empty = tempfile::tempdir().unwrap();
        assert!(
            format!("{:#}", Real::locate(Some(empty.path())).unwrap_err())
                .contains("holds no real machines")
        );
    }
}
