//! The picture: every start as a dot, and the parts of ours as bars.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;

use crate::common::canvas::{self, Align, Canvas, FAINT, INK, PALETTE, Spot, fine, width};
use crate::measure::{Measured, PARTS};
use crate::numbers::{median, quantile};
use crate::report::{GOAL, typical};

const WIDTH: u32 = 1600;
const MARGIN: f64 = 24.0;
const TITLE: f64 = 27.0;
const LABEL: f64 = 19.0;
/// Height of the row of a contestant.
const ROW: f64 = 64.0;
/// Where the names end and the time begins.
const NAMES: f64 = 270.0;
const BAR: f64 = 32.0;
const DOT: f64 = 5.0;
const GREY: RGBColor = RGBColor(120, 128, 140);
const GREEN: RGBColor = PALETTE[2];

pub(crate) fn draw(path: &Path, measured: &[Measured]) -> Result<()> {
    let told: Vec<(&Measured, [f64; PARTS.len()])> =
        measured.iter().filter_map(|one| Some((one, typical(one)?))).collect();
    let dots_top = MARGIN + TITLE * 2.6;
    let bars_top = dots_top + ROW * measured.len() as f64 + TITLE * 5.6;
    let height = bars_top + ROW * told.len() as f64 + LABEL * 3.4 + MARGIN;
    let empty = measured.first().map_or(0.0, |one| median(one.ready()));
    let goal = empty + GOAL;
    // A few starts that other work held up would make all others unreadable: they stand at the
    // edge.
    let most = measured.iter().map(|one| quantile(&one.ready(), 0.9)).fold(goal, f64::max);
    let starts = Time { longest: (most * 1.1).min(2.0 * goal) };
    let sums = told.iter().map(|(_, parts)| parts.iter().sum());
    let parts = Time { longest: sums.fold(1.0, f64::max) * 1.1 };
    canvas::draw(path, (WIDTH, height.ceil() as u32), |canvas| {
        let title = "From the start of the process until it asks for its first event";
        canvas.text(title, (MARGIN, MARGIN + TITLE / 2.0), TITLE, Align::Left, INK)?;
        let bottom = dots_top + ROW * measured.len() as f64;
        canvas.axis(&starts, dots_top, bottom)?;
        canvas.line(&[(starts.place(goal), dots_top), (starts.place(goal), bottom)], 2.5, GREEN)?;
        canvas.text(
            "goal",
            (starts.place(goal) - 8.0, dots_top + LABEL * 0.7),
            LABEL,
            Align::Right,
            GREEN,
        )?;
        for (row, one) in measured.iter().enumerate() {
            let middle = dots_top + ROW * (row as f64 + 0.5);
            canvas.dots(&starts, middle, one)?;
        }

        let title = "Where that time goes, in the fastest quarter of the starts";
        canvas.text(title, (MARGIN, bars_top - TITLE * 2.5), TITLE, Align::Left, INK)?;
        canvas.legend((MARGIN, bars_top - TITLE * 1.1))?;
        canvas.axis(&parts, bars_top, bars_top + ROW * told.len() as f64)?;
        for (row, (one, its)) in told.iter().enumerate() {
            canvas.bar(&parts, bars_top + ROW * (row as f64 + 0.5), &one.contestant.name, its)?;
        }
        Ok(())
    })
}

/// The colour of each part. Grey parts also exist in the empty function.
fn colours() -> [RGBColor; PARTS.len()] {
    [GREY, PALETTE[3], PALETTE[0], PALETTE[2], PALETTE[1], RGBColor(176, 182, 192)]
}

/// The axis from left to right.
struct Time {
    longest: f64,
}

impl Time {
    fn place(&self, milliseconds: f64) -> f64 {
        let (left, right) = (MARGIN + NAMES, f64::from(WIDTH) - MARGIN - LABEL * 7.0);
        left + milliseconds / self.longest * (right - left)
    }

    /// Milliseconds from one tick to the next.
    fn step(&self) -> f64 {
        [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]
            .into_iter()
            .find(|step| self.longest / step <= 16.0)
            .unwrap_or(100.0)
    }
}

impl Canvas<'_, '_> {
    fn axis(&self, time: &Time, top: f64, bottom: f64) -> Result<()> {
        // Counted, because a sum of fractions would miss the exact number.
        for number in 0..=(time.longest / time.step()) as usize {
            let tick = number as f64 * time.step();
            let x = time.place(tick);
            self.line(&[(x, top), (x, bottom)], 1.0, FAINT)?;
            let tick = (tick * 10.0).round() / 10.0;
            self.text(&tick.to_string(), (x, bottom + LABEL), LABEL, Align::Centre, INK)?;
        }
        self.text("ms", (f64::from(WIDTH) - MARGIN, bottom + LABEL), LABEL, Align::Right, INK)
    }

    fn name(&self, name: &str, middle: f64) -> Result<()> {
        self.text(name, (MARGIN + NAMES - LABEL, middle), LABEL, Align::Right, INK)
    }

    /// All starts of one contestant, one below the other in the order in which they were made, and
    /// their median.
    fn dots(&self, time: &Time, middle: f64, one: &Measured) -> Result<()> {
        self.name(&one.contestant.name, middle)?;
        let ready = one.ready();
        let centre = median(ready.iter().copied());
        let half = ROW * 0.36;
        self.line(
            &[(time.place(centre), middle - half), (time.place(centre), middle + half)],
            3.0,
            INK,
        )?;
        let last = ready.len().saturating_sub(1).max(1) as f64;
        for (number, value) in ready.iter().enumerate() {
            let down = (number as f64 / last - 0.5) * 2.0 * (half - DOT);
            match *value <= time.longest {
                true => self.disc((time.place(*value), middle + down), DOT, PALETTE[0])?,
                false => self.disc((time.place(time.longest), middle + down), DOT, PALETTE[1])?,
            }
        }
        if let late @ 1.. = ready.iter().filter(|value| **value > time.longest).count() {
            let text = format!("{late}, to {:.0}", quantile(&ready, 1.0));
            self.text(&text, (time.place(time.longest) + LABEL, middle), LABEL, Align::Left, INK)?;
        }
        Ok(())
    }

    fn bar(&self, time: &Time, middle: f64, name: &str, parts: &[f64]) -> Result<()> {
        self.name(name, middle)?;
        let mut from = 0.0;
        for (part, colour) in parts.iter().zip(colours()) {
            let to = from + part.max(0.0);
            self.rectangle(
                (time.place(from), middle - BAR / 2.0),
                (time.place(to), middle + BAR / 2.0),
                colour,
            )?;
            from = to;
        }
        self.text(
            &format!("{from:.1}"),
            (time.place(from) + LABEL * 0.6, middle),
            LABEL,
            Align::Left,
            INK,
        )
    }

    fn legend(&self, (left, y): Spot) -> Result<()> {
        let mut x = left;
        for (name, colour) in PARTS.iter().zip(colours()) {
            self.rectangle((x, y - 8.0), (x + 26.0, y + 8.0), colour)?;
            self.text(name, (x + 36.0, y), LABEL, Align::Left, INK)?;
            x += 36.0 + width(name, LABEL) + 30.0;
        }
        Ok(())
    }

    /// A rectangle from its upper left to its lower right corner.
    fn rectangle(&self, from: Spot, to: Spot, colour: RGBColor) -> Result<()> {
        self.area.draw(&Rectangle::new([fine(from), fine(to)], colour.filled()))?;
        Ok(())
    }
}
