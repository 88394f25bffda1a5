//! The pictures: the time of a window over the batch size, and the losses of training.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::RGBColor;

use crate::canvas::{self, Align, Canvas, Spot, width};
use crate::contestants::NAMES;
use crate::scoring::Scored;
use crate::training::Course;
use crate::{BATCHES, THREADS};

const SPEED: (u32, u32) = (1600, 760);
const TRAINING: (u32, u32) = (1600, 680);
const MARGIN: f64 = 24.0;
const TITLE: f64 = 27.0;
const LEGEND: f64 = 21.0;
const LABEL: f64 = 19.0;

const INK: RGBColor = RGBColor(38, 50, 66);
const FAINT: RGBColor = RGBColor(214, 219, 226);
/// Told apart by colour-blind people as well (Okabe and Ito).
const PALETTE: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(204, 121, 167), RGBColor(230, 159, 0), RGBColor(0, 158, 115)];
const GREY: RGBColor = RGBColor(120, 128, 140);

/// A line of a panel; one without a name is not in the legend.
struct Line {
    name: Option<&'static str>,
    points: Vec<(f64, f64)>,
    colour: RGBColor,
    wide: f64,
    dashed: bool,
}

/// Microseconds per window over the batch size, a panel for each number of threads.
pub(crate) fn speed(path: &Path, scored: &Scored) -> Result<()> {
    let wide = f64::from(SPEED.0) / THREADS.len() as f64;
    let medians = scored.cells.iter().flat_map(|cell| cell.times.iter().map(|time| time.median));
    let y = Axis::logarithmic(medians.chain(scored.floors.iter().map(|floor| floor.time)), None);
    let x = Axis::logarithmic([], Some(&BATCHES.map(|batch| batch as f64)));
    canvas::draw(path, SPEED, |canvas| {
        for (place, threads) in THREADS.into_iter().enumerate() {
            let mut lines = Vec::new();
            for (which, name) in NAMES.into_iter().enumerate() {
                let cells = scored.cells.iter().filter(|cell| cell.threads == threads);
                lines.push(Line {
                    name: Some(name),
                    points: cells
                        .map(|cell| (cell.batch as f64, cell.times[which].median))
                        .collect(),
                    colour: PALETTE[which],
                    wide: if which == 0 { 5.0 } else { 3.0 },
                    dashed: false,
                });
            }
            for floor in scored.floors.iter().filter(|floor| floor.threads == threads) {
                lines.push(Line {
                    name: Some("floor"),
                    points: BATCHES.map(|batch| (batch as f64, floor.time)).into(),
                    colour: GREY,
                    wide: 3.0,
                    dashed: true,
                });
            }
            let title = format!("Scoring with {}", crate::threads(threads));
            let panel = Panel {
                title: &title,
                unit: "microseconds per window",
                below: "windows at once",
                x: &x,
                y: &y,
            };
            canvas.panel(
                (wide * place as f64, wide * (place + 1) as f64),
                f64::from(SPEED.1),
                &panel,
                &lines,
            )?;
        }
        Ok(())
    })
}

/// The mean loss of each epoch, and on the right how far it is from PyTorch's mean from the same
/// beginning.
pub(crate) fn training(path: &Path, courses: &[Course]) -> Result<()> {
    let wide = f64::from(TRAINING.0) / 2.0;
    let losses = courses_as_lines(courses, |_, _| 0.0);
    let apart = courses_as_lines(courses, |course, epoch| {
        course.theirs.iter().map(|losses| losses[epoch]).sum::<f64>() / course.theirs.len() as f64
    });
    canvas::draw(path, TRAINING, |canvas| {
        let panels = [
            ("Mean loss of each epoch", losses),
            ("The same, from PyTorch's mean of each beginning", apart),
        ];
        for (place, (title, lines)) in panels.into_iter().enumerate() {
            let points = || lines.iter().flat_map(|line| &line.points);
            let x = Axis::counted(&points().map(|point| point.0).collect::<Vec<_>>());
            let y = Axis::linear(&points().map(|point| point.1).collect::<Vec<_>>());
            let panel = Panel { title, unit: "loss", below: "epoch", x: &x, y: &y };
            let sides = (wide * place as f64, wide * (place + 1) as f64);
            canvas.panel(sides, f64::from(TRAINING.1), &panel, &lines)?;
        }
        Ok(())
    })
}

/// The losses of each epoch, less what `from` gives for it.
fn courses_as_lines(courses: &[Course], from: impl Fn(&Course, usize) -> f64) -> Vec<Line> {
    let line = |name, course: &Course, losses: &[f64], which: usize, wide| {
        let point =
            |(epoch, &loss): (usize, &f64)| (epoch as f64 + 1.0, loss - from(course, epoch));
        let points = losses.iter().enumerate().map(point).collect();
        Line { name, points, colour: PALETTE[which], wide, dashed: false }
    };
    let mut lines = Vec::new();
    for (seed, course) in courses.iter().enumerate() {
        for (draw, losses) in course.theirs.iter().enumerate() {
            let name = (seed == 0 && draw == 0)
                .then_some("PyTorch, five times from each of three beginnings");
            lines.push(line(name, course, losses, 2, 2.0));
        }
    }
    for (seed, course) in courses.iter().enumerate() {
        lines.push(line(
            (seed == 0).then_some("DeepGuard, once from each"),
            course,
            &course.ours,
            0,
            3.0,
        ));
    }
    lines
}

/// An axis: its ends, and the values beside it.
struct Axis {
    logarithmic: bool,
    low: f64,
    high: f64,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// With room around `values` and ticks of 1, 2 and 5, or with a tick at each value.
    fn logarithmic(values: impl IntoIterator<Item = f64>, ticks: Option<&[f64]>) -> Self {
        let values = values.into_iter().chain(ticks.into_iter().flatten().copied()).map(f64::log10);
        let (low, high) = ends(values, 0.06);
        let ticks = ticks.map_or_else(
            || {
                let powers = low.floor() as i32..=high.ceil() as i32;
                // Parsed, because a product of floats is not the number that is meant.
                let tick = |power, digit| format!("{digit}e{power}").parse().unwrap_or(1.0);
                powers.flat_map(|power| [1, 2, 5].map(|digit| tick(power, digit))).collect()
            },
            <[f64]>::to_vec,
        );
        let ticks = ticks.into_iter().filter(|tick| (low..=high).contains(&tick.log10()));
        Self {
            logarithmic: true,
            low,
            high,
            ticks: ticks.map(|tick| (tick, tick.to_string())).collect(),
        }
    }

    /// With a tick at each whole number.
    fn counted(values: &[f64]) -> Self {
        let (low, high) = ends(values.iter().copied(), 0.03);
        let ticks = low.ceil() as i64..=high.floor() as i64;
        Self {
            logarithmic: false,
            low,
            high,
            ticks: ticks.map(|tick| (tick as f64, tick.to_string())).collect(),
        }
    }

    /// With four to nine ticks.
    fn linear(values: &[f64]) -> Self {
        let (low, high) = ends(values.iter().copied(), 0.06);
        let power = ((high - low) / 4.0).log10().floor() as i32;
        let step = [5.0, 2.0, 1.0]
            .map(|digit| digit * 10f64.powi(power))
            .into_iter()
            .find(|s| (high - low) / s >= 4.0);
        let (step, digits) = (step.unwrap_or(high - low), (-power).max(0) as usize);
        let ticks = ((low / step).ceil() as i64..=(high / step).floor() as i64)
            .map(|tick| tick as f64 * step);
        Self {
            logarithmic: false,
            low,
            high,
            ticks: ticks.map(|tick| (tick, format!("{tick:.digits$}"))).collect(),
        }
    }

    /// 0 at the low end, 1 at the high one.
    fn place(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.log10() } else { value };
        (value - self.low) / (self.high - self.low)
    }
}

/// The smallest and the largest value, with room around them.
fn ends(values: impl Iterator<Item = f64>, room: f64) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    let room = ((high - low) * room).max(0.01);
    (low - room, high + room)
}

/// The contents of a panel.
struct Panel<'a> {
    title: &'a str,
    unit: &'a str,
    below: &'a str,
    x: &'a Axis,
    y: &'a Axis,
}

impl Canvas<'_, '_> {
    /// One panel between two places from left to right.
    fn panel(
        &self,
        (left, right): Spot,
        height: f64,
        about: &Panel<'_>,
        lines: &[Line],
    ) -> Result<()> {
        let Panel { title, unit, below, x, y } = about;
        let (left, right) = (left + MARGIN, right - MARGIN);
        self.text(title, (left, MARGIN + TITLE / 2.0), TITLE, Align::Left, INK)?;
        let end = self.legend((left, MARGIN + TITLE * 2.0), right, lines)?;
        let (top, bottom) = (end + LABEL * 3.4, height - MARGIN - LABEL * 3.4);
        self.text(unit, (left, top - LABEL * 1.2), LABEL, Align::Left, INK)?;
        let labels = y.ticks.iter().map(|(_, label)| width(label, LABEL)).fold(0.0, f64::max);
        let (left, right) = (left + labels + LABEL, right - LABEL);
        let spot = |(across, up): (f64, f64)| {
            (left + x.place(across) * (right - left), bottom - y.place(up) * (bottom - top))
        };
        for (tick, label) in &y.ticks {
            let height = bottom - y.place(*tick) * (bottom - top);
            self.line(&[(left, height), (right, height)], 1.0, FAINT)?;
            self.text(label, (left - LABEL * 0.5, height), LABEL, Align::Right, INK)?;
        }
        for (tick, label) in &x.ticks {
            let across = left + x.place(*tick) * (right - left);
            self.line(&[(across, top), (across, bottom)], 1.0, FAINT)?;
            self.text(label, (across, bottom + LABEL), LABEL, Align::Centre, INK)?;
        }
        self.text(below, ((left + right) / 2.0, bottom + LABEL * 2.6), LABEL, Align::Centre, INK)?;
        for line in lines {
            let points: Vec<Spot> = line.points.iter().map(|&point| spot(point)).collect();
            match line.dashed {
                true => self.dashes(&points, line.colour)?,
                false => {
                    self.line(&points, line.wide, line.colour)?;
                    points
                        .iter()
                        .try_for_each(|&point| self.disc(point, line.wide + 1.0, line.colour))?;
                }
            }
        }
        Ok(())
    }

    /// The names of the lines with their colours, as many in a row as there is room for. Where the
    /// last row is.
    fn legend(&self, (left, top): Spot, right: f64, lines: &[Line]) -> Result<f64> {
        let (mut x, mut y) = (left, top);
        for (line, name) in lines.iter().filter_map(|line| Some((line, line.name?))) {
            let wide = 44.0 + width(name, LEGEND);
            if x > left && x + wide > right {
                (x, y) = (left, y + LEGEND * 1.6);
            }
            let sample = [(x, y), (x + 34.0, y)];
            match line.dashed {
                true => self.dashes(&sample, line.colour)?,
                false => self.line(&sample, line.wide, line.colour)?,
            }
            self.text(name, (x + 44.0, y), LEGEND, Align::Left, INK)?;
            x += wide + 30.0;
        }
        Ok(y)
    }
}
