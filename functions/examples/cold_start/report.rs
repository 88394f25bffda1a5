//! The tables, on the terminal and in a document.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::write::DeflateEncoder;

use crate::Args;
use crate::common::text::{grouped, processor};
use crate::first_score::FirstScore;
use crate::measure::{Contestant, Measured, PARTS};
use crate::numbers::{median, quantile};

const BEGIN: &str = "<!-- cold-start -->";
const END: &str = "<!-- /cold-start -->";
/// Milliseconds that ours may be later than the empty function.
pub(crate) const GOAL: f64 = 15.0;

/// The measurements, in Markdown.
pub(crate) struct Report {
    text: String,
}

impl Report {
    pub(crate) fn new(
        args: &Args,
        measured: &[Measured],
        first_scores: &[FirstScore],
    ) -> Result<Self> {
        let (processors, load) =
            (std::thread::available_parallelism()?.get(), fs::read_to_string("/proc/loadavg")?);
        let load: f64 = load.split(' ').next().unwrap_or_default().parse()?;
        let mut text = format!(
            "Made by `make cold-start`: {} starts of each on {processors} processors ({}), taking \
             turns; the load of the machine was {load} at the end. All files were in the page \
             cache, and the scripted AWS answers at once. Lambda adds what it takes to fetch and \
             unpack the function and to start the virtual machine, which is the same for all of \
             them but for the size.\n\n![Each start as a dot, and the parts of a \
             start](images/cold-start.png)\n\n",
            args.runs,
            processor()
        );
        if load > processors as f64 {
            text += "The machine was busy with other things: the minima and the processor time say \
                     more than the medians.\n\n";
        }
        text += &format!("{}\n\n{}", verdict(measured), starts(measured));
        text += &parts(measured);
        text += &answers(measured, args);
        text += &scores(first_scores);
        text += &sizes(measured)?;
        Ok(Self { text })
    }

    pub(crate) fn print(&self) {
        // If the reader of the output has gone, the files are written all the same.
        let _ = writeln!(std::io::stdout(), "{}", self.text);
    }

    /// Puts the tables between their markers. Creates the document around them if it is missing.
    pub(crate) fn put_into(&self, path: &Path) -> Result<()> {
        let before = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                format!("# Performance\n\n{BEGIN}\n{END}\n")
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let place =
            before.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
        let (head, tail) =
            place.with_context(|| format!("{} has no {BEGIN} and {END}", path.display()))?;
        ensure!(!tail.contains(BEGIN), "{} has {BEGIN} twice", path.display());
        let text = format!("{head}{BEGIN}\n{}\n{END}{tail}", self.text.trim_end());
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Tells whether the goal is met, by the medians and by the minima. Other load on the machine
/// disturbs the minima less.
fn verdict(measured: &[Measured]) -> String {
    let most = |part: f64| {
        let at = |one: &Measured| quantile(&one.ready(), part);
        let empty = measured.first().map_or(0.0, at);
        let more =
            measured.iter().skip(1).map(|ours| (at(ours) - empty, ours.contestant.name.as_str()));
        more.max_by(|one, other| one.0.total_cmp(&other.0)).unwrap_or_default()
    };
    let ((median, slowest), (least, _)) = (most(0.5), most(0.0));
    let kept = if median <= GOAL { "kept" } else { "**missed**" };
    format!(
        "The goal, at most {GOAL} ms more than an empty function, is {kept}: by the medians it is \
         {median:.1} ms more ({slowest}), by the minima {least:.1} ms."
    )
}

/// A table in Markdown, the first column to the left.
fn table(title: &str, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let header_line = line(header.iter().map(ToString::to_string).collect());
    let aligned = line(
        (0..header.len()).map(|index| if index == 0 { ":--" } else { "--:" }.into()).collect(),
    );
    let rows: String = rows.into_iter().map(line).collect();
    format!("**{title}**\n\n{header_line}{aligned}{rows}\n")
}

fn ms(value: f64) -> String {
    format!("{value:.1}")
}

fn starts(measured: &[Measured]) -> String {
    let empty = measured.first().map_or(0.0, |empty| median(empty.ready()));
    let rows = measured.iter().map(|one| {
        let ready = one.ready();
        let spread = [0.0, 0.25, 0.5, 0.75, 1.0].map(|part| ms(quantile(&ready, part)));
        let memory = median(one.starts.iter().map(|start| start.peak_mb));
        let more = format!("{:+.1}", median(ready) - empty);
        let cpu = median(one.starts.iter().map(|start| start.cpu));
        [vec![one.contestant.name.clone()], spread.to_vec(), vec![more, ms(cpu), ms(memory)]]
            .concat()
    });
    let header = [
        "",
        "min",
        "quartile",
        "median",
        "quartile",
        "max",
        "more than empty",
        "processor",
        "memory MB",
    ];
    table("From the start of the process until it asks for its first event, in ms", &header, rows)
}

fn parts(measured: &[Measured]) -> String {
    let rows = measured.iter().filter_map(|one| {
        let parts = typical(one)?;
        Some(
            [vec![one.contestant.name.clone()], parts.map(|part| format!("{part:.2}")).to_vec()]
                .concat(),
        )
    });
    let header: Vec<&str> = [""].into_iter().chain(PARTS).collect();
    let table =
        table("Its parts, in ms (means over the fastest quarter of the starts)", &header, rows);
    format!(
        "{table}The function tells its parts at `LOG_LEVEL=debug`, in a line with the message `the \
         process is ready`. The calibrator loads its model in its first run.\n\n"
    )
}

/// The parts of a start, for the contestants that report them: means over the fastest quarter of
/// the starts, which no other work held up.
pub(crate) fn typical(one: &Measured) -> Option<[f64; PARTS.len()]> {
    let ready = one.ready();
    let quick = quantile(&ready, 0.25);
    let starts: Vec<_> = one.starts.iter().filter(|start| start.ready <= quick).collect();
    let told: Option<Vec<_>> = starts.iter().map(|start| start.parts).collect();
    let told = told.filter(|told| !told.is_empty())?;
    Some(std::array::from_fn(|part| {
        told.iter().map(|parts| parts[part]).sum::<f64>() / told.len() as f64
    }))
}

fn answers(measured: &[Measured], args: &Args) -> String {
    let rows = measured.iter().map(|one| {
        let first: Vec<f64> = one.answers.iter().map(|answers| answers.first).collect();
        let spread = [0.0, 0.25, 0.5, 0.75, 1.0].map(|part| ms(quantile(&first, part)));
        let cpu = median(one.answers.iter().map(|answers| answers.cpu));
        let second = median(one.answers.iter().map(|answers| answers.second));
        [vec![one.contestant.name.clone()], spread.to_vec(), vec![ms(cpu), ms(second)]].concat()
    });
    let header = ["", "min", "quartile", "median", "quartile", "max", "processor", "second answer"];
    let title = format!(
        "From the start of the process to its first answer, {} instances, in ms",
        args.instances
    );
    let table = table(&title, &header, rows);
    format!(
        "{table}The detector finds the state and the baselines in S3, the calibrator finds nothing \
         and makes all baselines, for its second answer none. 40 ms of the detector's answers are \
         the pace of 25 calls a second between its first two calls: ListMetrics of the real \
         CloudWatch takes about as long itself.\n\n"
    )
}

fn scores(first_scores: &[FirstScore]) -> String {
    let row = |name: &str, of: fn(&FirstScore) -> f64| {
        let values: Vec<f64> = first_scores.iter().map(of).collect();
        let spread = [0.0, 0.5, 1.0].map(|part| format!("{:.2}", quantile(&values, part)));
        [vec![name.to_string()], spread.to_vec()].concat()
    };
    let rows = [
        row("from the model's bytes to a network", |score| score.load),
        row("the first score of a process, two windows through the network", |score| score.first),
        row("the second score", |score| score.second),
    ];
    table("The first forward, in ms, in the host build", &["", "min", "median", "max"], rows)
}

fn sizes(measured: &[Measured]) -> Result<String> {
    let mut files: Vec<&Contestant> = measured.iter().map(|one| &one.contestant).collect();
    let mut seen = Vec::new();
    files.retain(|contestant| {
        !seen.contains(&&contestant.file) && {
            seen.push(&contestant.file);
            true
        }
    });
    let rows: Result<Vec<Vec<String>>> = files
        .into_iter()
        .map(|Contestant { name, file, .. }| {
            let bytes = fs::read(file)?;
            let mut packed = DeflateEncoder::new(Vec::new(), Compression::best());
            packed.write_all(&bytes)?;
            Ok(vec![name.clone(), grouped(bytes.len()), grouped(packed.finish()?.len())])
        })
        .collect();
    Ok(table("Sizes", &["", "bytes", "bytes in a zip"], rows?))
}
