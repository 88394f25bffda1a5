//! The tables, on the terminal and in Markdown, the numbers as JSON, and the picture.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde_json::{Value, json};

use crate::common::text::{grouped, processor};
use crate::run::{Calls, Kind, Run};
use crate::{Args, picture};

/// MB of memory with which a function of Lambda has one whole processor. (Lambda developer guide,
/// "Configure Lambda function memory")
const ONE_PROCESSOR: f64 = 1769.0;

/// The measurements of a run, for later readers.
pub(crate) struct Report {
    command: String,
    /// The machine and the settings of the run, in words.
    about: Vec<String>,
    tables: Vec<Titled>,
    json: Value,
    runs: Vec<Run>,
}

/// A table and its explanation.
struct Titled {
    title: &'static str,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Report {
    pub(crate) fn new(args: &Args, bootstrap: &Path, runs: Vec<Run>) -> Result<Self> {
        let command = command();
        let size = fs::metadata(bootstrap)?.len() as f64 / 1e6;
        let (processor, processors) = (processor(), std::thread::available_parallelism()?.get());
        let about = vec![
            format!(
                "Measured on {processors} processors ({processor}), which the function shares with \
                 the scripted AWS, with `{}` ({size:.1} MB), `PUBLISH_MODE={}`.",
                shown(bootstrap),
                args.publish.name()
            ),
            format!(
                "With {} MB Lambda gives a function {:.2} of a processor, here it has a whole one.",
                args.memory,
                (args.memory as f64 / ONE_PROCESSOR).min(1.0)
            ),
            format!(
                "Each call to AWS takes {} ms, and {} µs more for every 100 datapoints. CloudWatch \
                 allows 50 GetMetricData calls a second and as many datapoints as the real one; \
                 the function asks at half of that.",
                args.latency, args.latency_per_100
            ),
            format!(
                "The function has the bus, the topics and the groups of a deployment, with {} \
                 instances in each group. The rows \"without groups\" are without groups alone.",
                crate::GROUP_SIZE
            ),
        ];
        let json = json!({
            "command": command,
            "bootstrap": shown(bootstrap),
            "processor": processor,
            "processors": processors,
            "publish_mode": args.publish.name(),
            "latency_ms": args.latency,
            "latency_us_per_100_datapoints": args.latency_per_100,
            "distinct": args.distinct,
            "memory_mb": args.memory,
            "runs": runs,
        });
        let tables = vec![times(&runs, args.memory), parts(&runs), calls(&runs), objects(&runs)];
        let mut report = Self { command, about, tables, json, runs };
        report.about.extend(report.remarks(args));
        Ok(report)
    }

    /// Warnings that a reader should not overlook.
    fn remarks(&self, args: &Args) -> Vec<String> {
        let mut remarks = Vec::new();
        for run in &self.runs {
            let whose = format!("{} instances, {}", grouped(run.instances), run.kind.name());
            if run.peak_mb > args.memory as f64 {
                let memory =
                    format!("{:.0} MB of memory, more than {} MB", run.peak_mb, args.memory);
                remarks.push(format!("{whose}: {memory}."));
            }
            if !run.refused.is_empty() {
                let refused: Vec<String> =
                    run.refused.iter().map(|(what, count)| format!("{count} x {what}")).collect();
                remarks.push(format!("{whose}: calls were refused: {}.", refused.join(", ")));
            }
        }
        remarks
    }

    /// Prints the tables, and writes all files into `out`.
    pub(crate) fn give(&self, out: Option<&Path>) -> Result<()> {
        println!("{}\n", self.command);
        for table in &self.tables {
            println!("{}\n{}\n", table.title, table.text());
        }
        self.about.iter().for_each(|line| println!("{line}"));
        let Some(out) = out else { return Ok(()) };
        let write = |name: &str, text: String| {
            let path = out.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        let tables: Vec<String> = self.tables.iter().map(Titled::markdown).collect();
        let about = self.about.join("\n\n");
        write(
            "load.md",
            format!(
                "# Load\n\nMade by `make load`, which runs `{}`.\n\n![Seconds and memory over the \
                 number of instances](load.png)\n\n{about}\n\n{}",
                self.command,
                tables.join("\n")
            ),
        )?;
        write("load.json", serde_json::to_string_pretty(&self.json)? + "\n")?;
        picture::draw(&out.join("load.png"), &self.runs)?;
        eprintln!("load.md, load.json and load.png are in {}", out.display());
        Ok(())
    }
}

impl Titled {
    fn text(&self) -> Table {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(&self.header).add_rows(&self.rows);
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_cell_alignment(if index == 1 {
                CellAlignment::Left
            } else {
                CellAlignment::Right
            });
        }
        table
    }

    fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let aligned: Vec<String> = (0..self.header.len())
            .map(|index| if index == 1 { ":--" } else { "--:" }.into())
            .collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("**{}**\n\n{}{}{rows}", self.title, line(&self.header), line(&aligned))
    }
}

fn table(
    title: &'static str,
    header: &[&str],
    runs: &[Run],
    cells: impl Fn(&Run) -> Vec<String>,
) -> Titled {
    let row =
        |run: &Run| [vec![grouped(run.instances), run.kind.name().into()], cells(run)].concat();
    let header = ["instances", "run"].iter().chain(header).map(ToString::to_string).collect();
    Titled { title, header, rows: runs.iter().map(row).collect() }
}

fn times(runs: &[Run], memory: u64) -> Titled {
    // Lambda gives a larger part of a processor with more memory.
    let at_memory = format!("CPU s at {memory} MB");
    let part = (memory as f64 / ONE_PROCESSOR).min(1.0);
    let header = [
        "wall s",
        "own s",
        "scoring s",
        "share",
        "CPU s",
        &at_memory,
        "wall ms/instance",
        "CPU ms/instance",
        "peak memory MB",
    ];
    table("Time and memory", &header, runs, |run| {
        let per_instance = |seconds: f64| format!("{:.2}", seconds * 1000.0 / run.instances as f64);
        vec![
            format!("{:.2}", run.wall_seconds),
            format!("{:.2}", run.own_seconds),
            format!("{:.2}", run.scoring_seconds),
            format!("{:.1} %", 100.0 * run.scoring_seconds / run.own_seconds),
            format!("{:.2}", run.cpu_seconds),
            format!("{:.1}", run.cpu_seconds / part),
            per_instance(run.wall_seconds),
            per_instance(run.cpu_seconds),
            format!("{:.0}", run.peak_mb),
        ]
    })
}

fn parts(runs: &[Run]) -> Titled {
    let names = runs.first().map_or(&[][..], |run| &run.parts);
    let header: Vec<&str> =
        names.iter().map(|(name, _)| *name).chain(["reading is paced to take"]).collect();
    let cells = |run: &Run| {
        let seconds = run.parts.iter().map(|(_, seconds)| *seconds).chain([run.paced_seconds]);
        seconds.map(|seconds| format!("{seconds:.2}")).collect()
    };
    table("Where the wall time goes, in seconds", &header, runs, cells)
}

fn calls(runs: &[Run]) -> Titled {
    let header = [
        "ListMetrics",
        "GetMetricData",
        "PutMetricData",
        "S3",
        "GetResources",
        "alerts",
        "datapoints read",
        "datums published",
        "calls refused",
    ];
    let title = "Calls, and in brackets the fewest with which it can be done";
    table(title, &header, runs, |run| {
        let calls = |Calls { made, least }: Calls| format!("{made} ({least})");
        vec![
            calls(run.list),
            calls(run.get),
            calls(run.put),
            calls(run.s3),
            grouped(run.tags),
            grouped(run.alerts),
            grouped(run.datapoints),
            grouped(run.datums),
            grouped(run.refused.values().sum()),
        ]
    })
}

fn objects(runs: &[Run]) -> Titled {
    let header = ["state MB", "state bytes/instance", "baselines MB", "baselines bytes/instance"];
    let last = |run: &&Run| {
        let mut grouped = runs.iter().filter(|other| other.kind.is_grouped());
        grouped.rfind(|other| other.instances == run.instances && is_new(other) == is_new(run))
    };
    let runs: Vec<Run> = runs
        .iter()
        .filter(|run| run.kind.is_grouped())
        .filter(|run| last(run).is_some_and(|last| std::ptr::eq(last, *run)))
        .cloned()
        .collect();
    table("Objects in S3 after the last run", &header, &runs, |run| {
        let size =
            |bytes: usize| [format!("{:.1}", bytes as f64 / 1e6), grouped(bytes / run.instances)];
        [size(run.state_bytes), size(run.baselines_bytes)].concat()
    })
}

fn is_new(run: &Run) -> bool {
    run.kind == Kind::FromNothing
}

/// The command as it was given, without the path of the target folder.
fn command() -> String {
    let mut args = std::env::args();
    let program = args.next().unwrap_or_default();
    [shown(Path::new(&program))].into_iter().chain(args).collect::<Vec<_>>().join(" ")
}

/// A path; only the last parts of one that is far away.
fn shown(path: &Path) -> String {
    let parts: Vec<String> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    match parts.len() {
        4.. => parts[parts.len() - 3..].join("/"),
        _ => path.display().to_string(),
    }
}
