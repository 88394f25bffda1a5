//! The tables, on the terminal and in Markdown, and the pictures.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use deepguard::model::Dimensions;

use crate::contestants::NAMES;
use crate::scoring::{Cell, Floor, Scored};
use crate::spread::{Spread, digits};
use crate::training::{DRAWS, SEEDS, Time, Trained, WHOLE};
use crate::{TOLERANCE, floor, picture};

/// The text between these in performance.md is replaced.
const MARKERS: [&str; 2] = ["<!-- bench-peers -->", "<!-- /bench-peers -->"];
/// Which versions of Rust's crates were compiled.
const LOCKED: &str = include_str!("../../../Cargo.lock");

/// All measurements, and the setup they were made with.
pub(crate) struct Report {
    pub(crate) versions: Vec<(&'static str, String)>,
    pub(crate) differences: Vec<(String, f64)>,
    pub(crate) shape: Dimensions,
    pub(crate) scored: Scored,
    pub(crate) trained: Trained,
}

/// A table and its explanation.
struct Titled {
    title: String,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Report {
    /// Prints the tables, and writes pictures and tables into `out`.
    pub(crate) fn give(&self, out: Option<&Path>) -> Result<()> {
        let tables = [self.times(), self.ratios(), self.floors(), self.training(), self.losses()];
        for table in &tables {
            println!("{}\n{}\n", table.title, table.text());
        }
        let about = self.about()?;
        about.iter().for_each(|line| println!("{line}"));
        let Some(out) = out else { return Ok(()) };
        let images = out.join("images");
        fs::create_dir_all(&images).with_context(|| format!("cannot make {}", images.display()))?;
        picture::speed(&images.join("speed.png"), &self.scored)?;
        picture::training(&images.join("training.png"), &self.trained.courses)?;
        let [times, ratios, floors, training, losses] = tables.each_ref().map(Titled::markdown);
        let speed =
            "![Microseconds per window over the number of windows at once](images/speed.png)";
        let course = "![Mean loss of each epoch, and how far it is from PyTorch's \
                      mean](images/training.png)";
        let about = about.join("\n\n");
        let text = [&about, speed, &times, &ratios, &floors, course, &training, &losses]
            .map(|part| part.trim_end());
        replace(&out.join("performance.md"), &text.join("\n\n"))?;
        eprintln!(
            "performance.md, images/speed.png and images/training.png are in {}",
            out.display()
        );
        Ok(())
    }

    /// The machine and the programs of the measurement.
    fn about(&self) -> Result<Vec<String>> {
        let versions = self.versions.iter().map(|(name, version)| format!("{name} {version}"));
        let versions: Vec<String> =
            [format!("Burn {}", locked("burn"))].into_iter().chain(versions).collect();
        let Dimensions { window, hidden, bottleneck } = self.shape;
        let worst = self.differences.iter().map(|(_, difference)| *difference).fold(0.0, f64::max);
        Ok(vec![
            format!(
                "Made by `make bench-peers` on {} processors ({}, {}), with {}.",
                std::thread::available_parallelism()?.get(),
                processor("model name"),
                instruction_sets(),
                versions.join(", ")
            ),
            format!(
                "The network has windows of {window} datapoints, LSTMs of {hidden}, a bottleneck \
                 of {bottleneck}. All have the weights of `models/default.safetensors` and the \
                 same windows, and none answers anything that is further than {worst:.0e} from \
                 Burn's (allowed: {TOLERANCE:.0e})."
            ),
            format!(
                "Scoring: {} rounds in which all take their turns; a turn's time is the median of \
                 its calls. Given is the median of the rounds, and in brackets its quartiles. \
                 Every ratio is of two turns of the same round. The input lies ready as each likes \
                 it best: for DeepGuard and Burn that is `Windows`, for the others arrays with \
                 time first. PyTorch's threads are measured with both ways in which OpenMP lets \
                 them wait for each other; given is the better. A turn begins when no thread of \
                 any engine runs any more: some go on looking for work, and would take a processor \
                 from the next.",
                self.scored.rounds
            ),
            String::from(
                "Training: PyTorch trains the same network from the same first weights on the same \
                 windows with the same loss, noise, clipping, optimiser and learning rates, an \
                 epoch after each of DeepGuard's. The first epoch of a training is not timed.",
            ),
            format!(
                "The floor counts {} floating-point operations per window, two for each \
                 multiply-add of the matrix products, at the highest rate in this run of nothing \
                 but f32 multiply-adds (vectors of {}). Activations are not counted, although they \
                 have to be computed as well.",
                floor::operations(&self.shape),
                floor::lanes()
            ),
        ])
    }

    fn times(&self) -> Titled {
        let header = [&NAMES[..], &["floor"]].concat();
        self.by_cell("Microseconds per window", &header, |cell| {
            let floor = self.scored.floors.iter().filter(|floor| floor.threads == cell.threads);
            let times = cell.times.iter().map(Spread::text);
            times.chain(floor.map(|floor| digits(floor.time))).collect()
        })
    }

    fn ratios(&self) -> Titled {
        let header: Vec<String> =
            NAMES[1..].iter().map(|name| format!("{name} / {}", NAMES[0])).collect();
        let header: Vec<&str> =
            header.iter().map(String::as_str).chain(["DeepGuard / floor"]).collect();
        self.by_cell("How many times as long", &header, |cell| {
            cell.ratios[1..].iter().chain([&cell.over_floor]).map(Spread::text).collect()
        })
    }

    fn by_cell(
        &self,
        title: &str,
        header: &[&str],
        cells: impl Fn(&Cell) -> Vec<String>,
    ) -> Titled {
        let row = |cell: &Cell| {
            [vec![cell.threads.to_string(), cell.batch.to_string()], cells(cell)].concat()
        };
        Titled::new(
            title,
            &[&["threads", "batch"], header].concat(),
            self.scored.cells.iter().map(row).collect(),
        )
    }

    fn floors(&self) -> Titled {
        let row = |floor: &Floor| {
            vec![
                floor.threads.to_string(),
                floor.rate.text(),
                digits(floor.highest),
                digits(floor.time),
            ]
        };
        let header = ["threads", "GFLOP/s", "highest GFLOP/s", "µs per window at the highest"];
        Titled::new("The floor", &header, self.scored.floors.iter().map(row).collect())
    }

    fn training(&self) -> Titled {
        let title =
            format!("Seconds that an epoch of {} windows takes in training", self.trained.windows);
        let header =
            ["threads", "batch", "DeepGuard", "PyTorch", "PyTorch / DeepGuard", "epochs measured"];
        let row = |time: &Time| {
            let [ours, theirs] = time.seconds.each_ref().map(Spread::text);
            vec![
                time.threads.to_string(),
                time.batch.to_string(),
                ours,
                theirs,
                time.ratio.text(),
                time.epochs.to_string(),
            ]
        };
        Titled::new(&title, &header, self.trained.times.iter().map(row).collect())
    }

    fn losses(&self) -> Titled {
        let courses = &self.trained.courses;
        let title = format!(
            "Mean loss of each epoch from three beginnings, {} windows in a batch; of PyTorch the \
             mean of {DRAWS} trainings, with lowest and highest",
            WHOLE.0
        );
        let of = |seed: u64| [NAMES[0], NAMES[2]].map(|name| format!("{name} {seed}"));
        let header: Vec<String> =
            ["epoch".into()].into_iter().chain(SEEDS.into_iter().flat_map(of)).collect();
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        let epochs = courses.iter().map(|course| course.ours.len()).min().unwrap_or(0);
        let row = |epoch: usize| {
            let cells = courses.iter().flat_map(|course| {
                let theirs = || course.theirs.iter().map(|losses| losses[epoch]);
                let (low, high) =
                    (theirs().fold(f64::MAX, f64::min), theirs().fold(f64::MIN, f64::max));
                let mean = theirs().sum::<f64>() / course.theirs.len() as f64;
                [format!("{:.4}", course.ours[epoch]), format!("{mean:.4} ({low:.4}–{high:.4})")]
            });
            [(epoch + 1).to_string()].into_iter().chain(cells).collect()
        };
        Titled::new(&title, &header, (0..epochs).map(row).collect())
    }
}

impl Titled {
    fn new(title: &str, header: &[&str], rows: Vec<Vec<String>>) -> Self {
        Self { title: title.into(), header: header.iter().map(ToString::to_string).collect(), rows }
    }

    fn text(&self) -> Table {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(&self.header).add_rows(&self.rows);
        table.column_iter_mut().for_each(|column| {
            column.set_cell_alignment(CellAlignment::Right);
        });
        table
    }

    fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let aligned = vec!["--:".to_string(); self.header.len()];
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("**{}**\n\n{}{}{rows}", self.title, line(&self.header), line(&aligned))
    }
}

/// Puts `text` between the markers of the file at `path`.
fn replace(path: &Path, text: &str) -> Result<()> {
    let [begin, end] = MARKERS;
    let old = fs::read_to_string(path).with_context(|| {
        format!("cannot read {}: the tables belong between {begin} and {end} in it", path.display())
    })?;
    let places =
        old.split_once(begin).and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
    let (before, after) =
        places.with_context(|| format!("{} has no {begin} followed by {end}", path.display()))?;
    fs::write(path, format!("{before}{begin}\n\n{text}\n\n{end}{after}"))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The version of a crate that was compiled.
fn locked(name: &str) -> &'static str {
    let entry =
        LOCKED.split_once(&format!("name = \"{name}\"\nversion = \"")).map(|(_, rest)| rest);
    entry.and_then(|rest| rest.split('"').next()).unwrap_or("?")
}

/// The kernel's description of the processor.
fn processor(what: &str) -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line =
        info.lines().find(|line| line.starts_with(what)).and_then(|line| line.split_once(':'));
    line.map_or_else(|| std::env::consts::ARCH.into(), |(_, value)| value.trim().into())
}

/// Those that matter here.
fn instruction_sets() -> String {
    let flags = processor("flags");
    let has = |flag: &&str| flags.split(' ').any(|other| other == *flag);
    ["sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_bf16"]
        .into_iter()
        .filter(has)
        .collect::<Vec<_>>()
        .join(" ")
}
