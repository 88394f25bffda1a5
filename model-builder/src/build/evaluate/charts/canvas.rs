//! A surface to draw on in pixels, with smooth edges. It offers the part of plotters that the
//! charts use.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use plotters::element::BitMapElement;
use plotters::prelude::*;
use plotters::style::Color;

use crate::common::files::write_whole;
use crate::common::picture::{Area, font};

/// The canvas draws everything this much larger and then averages: plotters draws thick lines and
/// discs with jagged edges.
const FINER: u32 = 2;
/// Coordinates are cut off here: plotters counts pixels in 32 bits.
const FAR: f64 = 1e5;
/// More pixels than this are a mistake of the caller, not a picture.
const MAX_PIXELS: u64 = 40_000_000;

/// A place in pixels, from the upper left.
pub(super) type Spot = (f64, f64);

/// Which part of a text stands at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

/// A white picture; all sizes are pixels of the file.
pub(super) struct Canvas<'a, 'b> {
    area: &'b Area<'a>,
}

impl Canvas<'_, '_> {
    /// Draws on a picture of this size and writes it as a PNG; where drawing fails, no file is
    /// written.
    ///
    /// # Errors
    /// Where `draw` fails or the file cannot be written.
    pub(super) fn png(
        path: &Path,
        (width, height): (u32, u32),
        draw: impl FnOnce(&Canvas<'_, '_>) -> Result<()>,
    ) -> Result<()> {
        let pixels = u64::from(width) * u64::from(height);
        ensure!((1..=MAX_PIXELS).contains(&pixels), "a picture of {width} x {height} pixels");
        font()?;
        let fine = (width * FINER, height * FINER);
        let mut buffer = vec![0; fine.0 as usize * fine.1 as usize * 3];
        {
            let area = BitMapBackend::with_buffer(&mut buffer, fine).into_drawing_area();
            area.fill(&WHITE)?;
            draw(&Canvas { area: &area })?;
            area.present()?;
        }
        save(path, (width, height), &averaged(&buffer, width as usize))
    }

    /// A line through all the points.
    pub(super) fn line(&self, points: &[Spot], width: f64, colour: RGBColor) -> Result<()> {
        let style = colour.stroke_width((width * f64::from(FINER)).round().max(1.0) as u32);
        let mut points = points.iter().map(|&point| fine(point));
        let Some(mut last) = points.next() else { return Ok(()) };
        for point in points {
            if point != last {
                self.area.draw(&PathElement::new([last, point], style))?;
                // plotters leaves a notch where two thick lines meet.
                self.area.draw(&Circle::new(
                    point,
                    (width * f64::from(FINER) / 2.0) as i32,
                    colour.filled(),
                ))?;
                last = point;
            }
        }
        Ok(())
    }

    /// The same in dashes.
    pub(super) fn dashes(&self, points: &[Spot], width: f64, colour: RGBColor) -> Result<()> {
        const DASH: f64 = 9.0;
        const PERIOD: f64 = 16.0;
        let mut walked = 0.0;
        for pair in points.windows(2) {
            let ((x, y), (to_x, to_y)) = (pair[0], pair[1]);
            let length = (to_x - x).hypot(to_y - y);
            if !length.is_finite() || length <= 0.0 || length > FAR {
                continue;
            }
            let at = |way: f64| (x + (to_x - x) * way / length, y + (to_y - y) * way / length);
            let mut dash = -(walked % PERIOD);
            while dash < length {
                let (from, to) = (dash.max(0.0), (dash + DASH).min(length));
                if from < to {
                    self.line(&[at(from), at(to)], width, colour)?;
                }
                dash += PERIOD;
            }
            walked += length;
        }
        Ok(())
    }

    /// A filled rectangle between two corners.
    pub(super) fn rectangle(&self, corner: Spot, opposite: Spot, colour: impl Color) -> Result<()> {
        let ((left, top), (right, bottom)) = (fine(corner), fine(opposite));
        self.area.draw(&Rectangle::new([(left, top), (right, bottom)], colour.filled()))?;
        Ok(())
    }

    /// A filled disc.
    pub(super) fn disc(&self, centre: Spot, radius: f64, colour: RGBColor) -> Result<()> {
        let radius = (radius * f64::from(FINER)).round() as i32;
        self.area.draw(&Circle::new(fine(centre), radius, colour.filled()))?;
        Ok(())
    }

    /// Text whose capitals are centred on the height of `spot`.
    pub(super) fn text(
        &self,
        text: &str,
        spot: Spot,
        size: f64,
        align: Align,
        colour: RGBColor,
    ) -> Result<()> {
        let (x, y) = spot;
        let left = match align {
            Align::Left => x,
            Align::Centre => x - width(text, size) / 2.0,
            Align::Right => x - width(text, size),
        };
        // plotters puts the base line half a size below the place; capitals are 0.62 of a size
        // high.
        let style = ("sans-serif", size * f64::from(FINER)).into_font().color(&colour);
        self.area.draw(&Text::new(
            text.to_string(),
            fine((left, y + (0.31 - 0.5) * size)),
            style,
        ))?;
        Ok(())
    }
}

/// Pixels from the left to the right end of a text; needs [`font`].
pub(super) fn width(text: &str, size: f64) -> f64 {
    let font = ("sans-serif", size * f64::from(FINER)).into_font();
    f64::from(font.box_size(text).map_or(0, |(width, _)| width)) / f64::from(FINER)
}

/// The text, or as much of it as is no wider than `room`.
pub(super) fn fitted(text: &str, size: f64, room: f64) -> String {
    let mut fitted = text.to_string();
    // The first round drops a letter, later rounds drop the dots and a letter.
    while width(&fitted, size) > room && fitted.pop().is_some() && fitted.pop().is_some() {
        fitted.push('…');
    }
    fitted
}

/// A place in the finer pixels. A value that is not a number is placed far away.
fn fine((x, y): Spot) -> (i32, i32) {
    let fine = |place: f64| (place.clamp(-FAR, FAR) * f64::from(FINER)).round() as i32;
    (fine(x), fine(y))
}

/// Averages each square of finer pixels into one pixel.
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

fn save(path: &Path, size: (u32, u32), pixels: &[u8]) -> Result<()> {
    // plotters writes only to a path; a reader must not find half a picture there.
    let folder = tempfile::tempdir()?;
    let unfinished = folder.path().join("picture.png");
    let area = BitMapBackend::new(&unfinished, size).into_drawing_area();
    let picture =
        BitMapElement::with_ref((0, 0), size, pixels).context("a picture with too few pixels")?;
    area.draw(&picture)?;
    area.present()?;
    write_whole(path, &std::fs::read(&unfinished)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_smooth_and_places_far_away_do_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/picture.png");
        let far =
            [(f64::NAN, 5.0), (-1e300, 1e300), (f64::INFINITY, f64::NEG_INFINITY), (20.0, 20.0)];
        Canvas::png(&path, (40, 30), |canvas| {
            canvas.line(&far[2..], 1.0, BLACK)?;
            canvas.dashes(&far, 1.0, BLACK)?;
            canvas.rectangle(far[0], far[1], BLACK.mix(0.5))?;
            canvas.disc(far[2], 5.0, BLACK)?;
            canvas.text("", far[3], 10.0, Align::Right, BLACK)
        })
        .unwrap();
        assert!(std::fs::read(&path).unwrap().starts_with(b"\x89PNG"));
        let mut fine = vec![255; 4 * 2 * 3];
        fine[..3].fill(55);
        assert_eq!(averaged(&fine, 2), [205, 205, 205, 255, 255, 255]);
    }

    #[test]
    fn a_picture_that_fails_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture.png");
        Canvas::png(&path, (40, 30), |_| anyhow::bail!("no ink")).unwrap_err();
        for size in [(0, 10), (10, 0), (u32::MAX, u32::MAX)] {
            Canvas::png(&path, size, |_| Ok(())).unwrap_err();
        }
        assert!(!path.exists());
    }

    #[test]
    fn long_texts_are_cut() {
        font().unwrap();
        assert_eq!(fitted("short", 20.0, 200.0), "short");
        let cut = fitted("a name that is by far too long", 20.0, 100.0);
        assert!(
            cut.ends_with('…') && cut.starts_with("a name") && width(&cut, 20.0) <= 100.0,
            "{cut}"
        );
        assert_eq!(fitted("none", 20.0, 0.0), "");
    }
}
