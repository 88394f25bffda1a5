//! The picture: time and memory against the size of the fleet, both logarithmic.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;

use crate::common::canvas::{self, Align, Canvas, FAINT, INK, PALETTE, Spot, width};
use crate::common::text::grouped;
use crate::run::{Kind, Run};

const WIDTH: u32 = 1600;
const HEIGHT: u32 = 760;
const MARGIN: f64 = 24.0;
const TITLE: f64 = 27.0;
const LEGEND: f64 = 21.0;
const LABEL: f64 = 19.0;

const GREY: RGBColor = RGBColor(120, 128, 140);

/// A line of a panel.
struct Line {
    name: &'static str,
    points: Vec<(f64, f64)>,
    colour: RGBColor,
    dashed: bool,
}

/// Draws time on the left and memory on the right, of the runs that have a state.
pub(crate) fn draw(path: &Path, runs: &[Run]) -> Result<()> {
    let of = |kind: Kind, value: fn(&Run) -> f64| -> Vec<(f64, f64)> {
        let sizes = sizes(runs);
        let mean = |&size: &usize| {
            let values: Vec<f64> = runs
                .iter()
                .filter(|run| run.kind == kind && run.instances == size)
                .map(value)
                .collect();
            (size as f64, values.iter().sum::<f64>() / values.len() as f64)
        };
        sizes.iter().map(mean).filter(|(_, value)| *value > 0.0).collect()
    };
    let highest: Vec<(f64, f64)> = sizes(runs)
        .iter()
        .map(|&size| {
            let counts = |run: &&Run| run.kind != Kind::FromNothing && run.kind.is_grouped();
            let peaks = runs.iter().filter(counts).filter(|run| run.instances == size);
            (size as f64, peaks.map(|run| run.peak_mb).fold(0.0, f64::max))
        })
        .collect();
    let seconds = [
        ("wall time, warm", of(Kind::Warm, |run| run.wall_seconds)),
        ("the function's own, warm", of(Kind::Warm, |run| run.own_seconds)),
        ("wall time, cold", of(Kind::Cold, |run| run.wall_seconds)),
        ("processor time, warm", of(Kind::Warm, |run| run.cpu_seconds)),
    ];
    let memory = [
        ("after the last run", highest),
        ("after the cold run", of(Kind::Cold, |run| run.peak_mb)),
    ];
    canvas::draw(path, (WIDTH, HEIGHT), |canvas| {
        let half = f64::from(WIDTH) / 2.0;
        canvas.panel((0.0, half), "How long a run takes", "seconds", lines(&seconds))?;
        canvas.panel((half, 2.0 * half), "How much memory it takes", "MB at most", lines(&memory))
    })
}

fn sizes(runs: &[Run]) -> Vec<usize> {
    let mut sizes: Vec<usize> =
        runs.iter().filter(|run| run.kind == Kind::Warm).map(|run| run.instances).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// The lines with their colours, and one that grows like the fleet, from where the first one
/// begins.
fn lines(named: &[(&'static str, Vec<(f64, f64)>)]) -> Vec<Line> {
    let lines = named.iter().zip(PALETTE);
    let mut lines: Vec<Line> = lines
        .map(|((name, points), colour)| Line {
            name,
            points: points.clone(),
            colour,
            dashed: false,
        })
        .collect();
    if let Some(&(size, value)) = named.first().and_then(|(_, points)| points.first()) {
        let points = named[0].1.iter().map(|&(x, _)| (x, value * x / size)).collect();
        lines.push(Line { name: "grows like the fleet", points, colour: GREY, dashed: true });
    }
    lines
}

/// A logarithmic axis: its ends as logarithms, and the values beside it.
struct Axis {
    low: f64,
    high: f64,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    fn place(&self, value: f64) -> f64 {
        (value.log10() - self.low) / (self.high - self.low)
    }

    /// With room around `values` and ticks of 1, 2 and 5.
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = span(values, 0.08);
        let (first, last) = (low.floor() as i32, high.ceil() as i32);
        let ticks = (first..=last).flat_map(|power| {
            [1, 2, 5].map(|digit| {
                // Parsed, because a product of floats is not the number that is meant.
                let tick: f64 = format!("{digit}e{power}").parse().unwrap_or(1.0);
                (tick, if tick < 1.0 { tick.to_string() } else { grouped(tick as usize) })
            })
        });
        Self {
            low,
            high,
            ticks: ticks.filter(|(tick, _)| (low..=high).contains(&tick.log10())).collect(),
        }
    }

    /// With a tick at each value.
    fn at(values: &[f64]) -> Self {
        let (low, high) = span(values.iter().copied(), 0.06);
        Self {
            low,
            high,
            ticks: values.iter().map(|&value| (value, grouped(value as usize))).collect(),
        }
    }
}

/// The logarithms of the smallest and the largest value, with room around them.
fn span(values: impl Iterator<Item = f64>, room: f64) -> (f64, f64) {
    let ends = values.map(f64::log10).fold(None, |ends: Option<(f64, f64)>, value| {
        Some(ends.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
    });
    let (low, high) = ends.unwrap_or((0.0, 1.0));
    let room = if high - low < 0.3 { 0.3 } else { (high - low) * room };
    (low - room, high + room)
}

impl Canvas<'_, '_> {
    /// One panel between two places from left to right.
    fn panel(&self, (left, right): Spot, title: &str, unit: &str, lines: Vec<Line>) -> Result<()> {
        let (left, right) = (left + MARGIN, right - MARGIN);
        self.text(title, (left, MARGIN + TITLE / 2.0), TITLE, Align::Left, INK)?;
        self.legend((left, MARGIN + TITLE * 2.0), right, &lines)?;
        let (top, bottom) =
            (MARGIN + TITLE * 2.0 + LEGEND * 5.6, f64::from(HEIGHT) - MARGIN - LABEL * 3.4);
        self.text(unit, (left, top - LABEL * 1.4), LABEL, Align::Left, INK)?;
        let (left, right) = (left + LABEL * 3.4, right - LABEL);
        let mut xs: Vec<f64> =
            lines.iter().flat_map(|line| &line.points).map(|point| point.0).collect();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        let x = Axis::at(&xs);
        let y = Axis::of(lines.iter().flat_map(|line| &line.points).map(|point| point.1));
        let spot = |(across, up): (f64, f64)| {
            (left + x.place(across) * (right - left), bottom - y.place(up) * (bottom - top))
        };
        for (tick, label) in &y.ticks {
            let (_, height) = spot((1.0, *tick));
            self.line(&[(left, height), (right, height)], 1.0, FAINT)?;
            self.text(label, (left - LABEL * 0.5, height), LABEL, Align::Right, INK)?;
        }
        let mut free = f64::NEG_INFINITY;
        for (tick, label) in &x.ticks {
            let (across, _) = spot((*tick, 1.0));
            self.line(&[(across, top), (across, bottom)], 1.0, FAINT)?;
            let half = width(label, LABEL) / 2.0;
            if across - half >= free {
                self.text(label, (across, bottom + LABEL), LABEL, Align::Centre, INK)?;
                free = across + half + LABEL * 0.5;
            }
        }
        self.text(
            "instances",
            ((left + right) / 2.0, bottom + LABEL * 2.6),
            LABEL,
            Align::Centre,
            INK,
        )?;
        // The first line is wide and below all others, so that a line on top of it hides nothing.
        for (number, line) in lines.iter().enumerate() {
            let width = if number == 0 { 8.0 } else { 3.0 };
            let points: Vec<Spot> = line.points.iter().map(|&point| spot(point)).collect();
            match line.dashed {
                true => self.dashes(&points, line.colour)?,
                false => {
                    self.line(&points, width, line.colour)?;
                    points
                        .iter()
                        .try_for_each(|&point| self.disc(point, width + 2.0, line.colour))?;
                }
            }
        }
        Ok(())
    }

    /// The names of the lines with their colours, as many in a row as there is room for.
    fn legend(&self, (left, top): Spot, right: f64, lines: &[Line]) -> Result<()> {
        let (mut x, mut y) = (left, top);
        for line in lines {
            let wide = 44.0 + width(line.name, LEGEND);
            if x > left && x + wide > right {
                (x, y) = (left, y + LEGEND * 1.6);
            }
            let sample = [(x, y), (x + 34.0, y)];
            match line.dashed {
                true => self.dashes(&sample, line.colour)?,
                false => self.line(&sample, 3.0, line.colour)?,
            }
            self.text(line.name, (x + 44.0, y), LEGEND, Align::Left, INK)?;
            x += wide + 30.0;
        }
        Ok(())
    }
}
