//! A surface to draw on in pixels, with smooth lines and a font that is the same everywhere.
#![allow(dead_code, reason = "each example draws with a part of it")]

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::coord::Shift;
use plotters::element::BitMapElement;
use plotters::prelude::*;
use plotters::style::register_font;

/// All is drawn this much larger and then averaged: plotters draws lines with jagged edges.
const FINER: u32 = 2;

pub(crate) const INK: RGBColor = RGBColor(38, 50, 66);
pub(crate) const FAINT: RGBColor = RGBColor(214, 219, 226);
/// Told apart by colour-blind people as well (Okabe and Ito).
pub(crate) const PALETTE: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(230, 159, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];

/// A place in pixels of the picture.
pub(crate) type Spot = (f64, f64);

/// Which part of a text stands at its place.
#[derive(Clone, Copy)]
pub(crate) enum Align {
    Left,
    Centre,
    Right,
}

/// A surface in pixels of the picture.
pub(crate) struct Canvas<'a, 'b> {
    pub(crate) area: &'a DrawingArea<BitMapBackend<'b>, Shift>,
}

/// Draws a picture of this width and height.
pub(crate) fn draw(
    path: &Path,
    size: (u32, u32),
    paint: impl FnOnce(&Canvas<'_, '_>) -> Result<()>,
) -> Result<()> {
    let whole = (size.0 * FINER, size.1 * FINER);
    let mut buffer = vec![0; whole.0 as usize * whole.1 as usize * 3];
    register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| anyhow!("the built-in font cannot be read"))?;
    {
        let area = BitMapBackend::with_buffer(&mut buffer, whole).into_drawing_area();
        area.fill(&WHITE)?;
        paint(&Canvas { area: &area })?;
        area.present()?;
    }
    let pixels = averaged(&buffer, size.0 as usize);
    let area = BitMapBackend::new(path, size).into_drawing_area();
    let picture =
        BitMapElement::with_ref((0, 0), size, &pixels).context("a picture with too few pixels")?;
    area.draw(&picture)?;
    area.present().map_err(|error| anyhow!("cannot write {}: {error}", path.display()))
}

impl Canvas<'_, '_> {
    pub(crate) fn line(&self, points: &[Spot], width: f64, colour: RGBColor) -> Result<()> {
        let style = colour.stroke_width((width * f64::from(FINER)) as u32);
        self.area.draw(&PathElement::new(
            points.iter().map(|&point| fine(point)).collect::<Vec<_>>(),
            style,
        ))?;
        Ok(())
    }

    /// A line of dashes.
    pub(crate) fn dashes(&self, points: &[Spot], colour: RGBColor) -> Result<()> {
        const DASH: f64 = 9.0;
        const PERIOD: f64 = 16.0;
        let mut walked = 0.0;
        for pair in points.windows(2) {
            let ((x, y), (to_x, to_y)) = (pair[0], pair[1]);
            let length = (to_x - x).hypot(to_y - y);
            let at = |way: f64| (x + (to_x - x) * way / length, y + (to_y - y) * way / length);
            let mut dash = -(walked % PERIOD);
            while dash < length {
                let (from, to) = (dash.max(0.0), (dash + DASH).min(length));
                if from < to {
                    self.line(&[at(from), at(to)], 2.5, colour)?;
                }
                dash += PERIOD;
            }
            walked += length;
        }
        Ok(())
    }

    pub(crate) fn disc(&self, centre: Spot, radius: f64, colour: RGBColor) -> Result<()> {
        self.area.draw(&Circle::new(
            fine(centre),
            (radius * f64::from(FINER)) as i32,
            colour.filled(),
        ))?;
        Ok(())
    }

    /// Text whose capitals are centred on the height of its place.
    pub(crate) fn text(
        &self,
        text: &str,
        (x, y): Spot,
        size: f64,
        align: Align,
        colour: RGBColor,
    ) -> Result<()> {
        let left = match align {
            Align::Left => x,
            Align::Centre => x - width(text, size) / 2.0,
            Align::Right => x - width(text, size),
        };
        // plotters puts the base line half a size below the place; capitals are 0.62 of a size
        // high.
        let style = ("sans-serif", size * f64::from(FINER)).into_font().color(&colour);
        self.area.draw(&Text::new(text.to_string(), fine((left, y - 0.19 * size)), style))?;
        Ok(())
    }
}

/// Pixels from the left to the right end of a text.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    let font = ("sans-serif", size * f64::from(FINER)).into_font();
    f64::from(font.box_size(text).map_or(0, |(width, _)| width)) / f64::from(FINER)
}

/// A place in the finer pixels.
pub(crate) fn fine((x, y): Spot) -> (i32, i32) {
    ((x * f64::from(FINER)).round() as i32, (y * f64::from(FINER)).round() as i32)
}

/// Each square of finer pixels as one.
fn averaged(fine: &[u8], width: usize) -> Vec<u8> {
    let finer = FINER as usize;
    let row = width * finer * 3;
    let mut coarse = Vec::with_capacity(fine.len() / finer.pow(2));
    for rows in fine.chunks_exact(row * finer) {
        for place in 0..width * 3 {
            let (pixel, channel) = (place / 3, place % 3);
            let square = (0..finer.pow(2)).map(|part| {
                usize::from(rows[part / finer * row + (pixel * finer + part % finer) * 3 + channel])
            });
            coarse.push((square.sum::<usize>() / finer.pow(2)) as u8);
        }
    }
    coarse
}
