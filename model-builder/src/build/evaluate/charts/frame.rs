//! Common parts of charts: a frame with axes and grid, lines clipped to it, and a legend above it.

use anyhow::Result;
use plotters::style::RGBColor;

use super::axis::{Axis, drawable};
use super::canvas::{Align, Canvas, Spot, fitted, width};
use crate::common::picture::{FAINT, INK};

/// A chart's inner rectangle.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
    pub(super) x: Axis,
    pub(super) y: Axis,
}

impl Frame {
    /// Where a point of the chart is in the picture, perhaps outside of the frame.
    pub(super) fn at(&self, x: f64, y: f64) -> Spot {
        let across = self.left + self.x.place(x) * (self.right - self.left);
        (across, self.bottom - self.y.place(y) * (self.bottom - self.top))
    }

    /// The nearest place on the picture that is inside of the frame.
    pub(super) fn inside(&self, (x, y): Spot) -> Spot {
        (
            x.clamp(self.left, self.right.max(self.left)),
            y.clamp(self.top, self.bottom.max(self.top)),
        )
    }

    /// Horizontal lines with their values at the left.
    pub(super) fn horizontals(&self, canvas: &Canvas<'_, '_>, size: f64) -> Result<()> {
        for (tick, label) in &self.y.ticks {
            let (_, y) = self.at(0.0, *tick);
            canvas.rectangle((self.left, y - 0.5), (self.right, y + 0.5), FAINT)?;
            canvas.text(label, (self.left - size * 0.5, y), size, Align::Right, INK)?;
        }
        Ok(())
    }

    /// Vertical lines, with their values below the frame where these do not overlap.
    pub(super) fn verticals(&self, canvas: &Canvas<'_, '_>, size: f64) -> Result<()> {
        for (tick, _) in &self.x.ticks {
            let (x, _) = self.at(*tick, 0.0);
            canvas.rectangle((x - 0.5, self.top), (x + 0.5, self.bottom), FAINT)?;
        }
        self.x_labels(canvas, size)
    }

    /// The values of the horizontal axis alone.
    pub(super) fn x_labels(&self, canvas: &Canvas<'_, '_>, size: f64) -> Result<()> {
        let mut free = f64::NEG_INFINITY;
        for (tick, label) in &self.x.ticks {
            let (x, _) = self.at(*tick, 0.0);
            let half = width(label, size) / 2.0;
            if x - half >= free {
                canvas.text(label, (x, self.bottom + size), size, Align::Centre, INK)?;
                free = x + half + size * 0.5;
            }
        }
        Ok(())
    }

    /// A line through points, in pieces: broken where a point is not a number, clipped at the
    /// frame.
    pub(super) fn pieces(&self, points: &[(f64, f64)]) -> Vec<Vec<Spot>> {
        let mut pieces: Vec<Vec<Spot>> = Vec::new();
        let numbers = |&(x, y): &(f64, f64)| Some(self.at(drawable(x)?, drawable(y)?));
        let points: Vec<Option<Spot>> = points.iter().map(numbers).collect();
        for run in points.split(Option::is_none) {
            let run: Vec<Spot> = run.iter().copied().flatten().collect();
            if let [alone] = run[..]
                && self.inside(alone) == alone
            {
                pieces.push(vec![alone]);
            }
            for pair in run.windows(2) {
                let Some((from, to)) = self.cut(pair[0], pair[1]) else { continue };
                match pieces.last_mut() {
                    Some(piece) if piece.last() == Some(&from) => piece.push(to),
                    _ => pieces.push(vec![from, to]),
                }
            }
        }
        pieces
    }

    /// Fills the area between two curves over the same values of x, wherever both are numbers.
    pub(super) fn band(
        &self,
        canvas: &Canvas<'_, '_>,
        lower: &[(f64, f64)],
        upper: &[(f64, f64)],
        colour: RGBColor,
    ) -> Result<()> {
        let edges = lower.iter().zip(upper).map(|(&(x, low), &(_, high))| {
            let (x, low, high) = (drawable(x)?, drawable(low)?, drawable(high)?);
            Some((self.at(x, low), self.at(x, high)))
        });
        let edges: Vec<Option<(Spot, Spot)>> = edges.collect();
        // Draws one column of pixels after the other, each once. Then shapes that overlap or have
        // no area do no harm.
        let columns = (self.right - self.left).max(0.0) as usize;
        let mut band: Vec<Option<(f64, f64)>> = vec![None; columns + 1];
        let mut add = |column: f64, low: f64, high: f64| {
            if let Some(held) = band.get_mut(column as usize).filter(|_| column >= 0.0) {
                let (held_low, held_high) = held.unwrap_or((low, high));
                *held = Some((low.max(held_low), high.min(held_high)));
            }
        };
        for run in edges.split(Option::is_none) {
            let run: Vec<(Spot, Spot)> = run.iter().copied().flatten().collect();
            for &(low, high) in &run {
                add((low.0 - self.left).floor(), low.1, high.1);
            }
            for pair in run.windows(2) {
                let ((low, high), (next_low, next_high)) = (pair[0], pair[1]);
                let across = next_low.0 - low.0;
                let (first, last) =
                    ((low.0 - self.left).floor() + 1.0, (next_low.0 - self.left).floor());
                for column in (first.max(0.0) as usize)..(last.clamp(0.0, columns as f64) as usize)
                {
                    let part = (column as f64 + self.left - low.0) / across;
                    let between = |from: f64, to: f64| from + part * (to - from);
                    add(column as f64, between(low.1, next_low.1), between(high.1, next_high.1));
                }
            }
        }
        for (column, (low, high)) in
            band.into_iter().enumerate().filter_map(|(column, band)| Some((column, band?)))
        {
            let x = self.left + column as f64;
            let ((_, top), (_, bottom)) = (self.inside((x, high)), self.inside((x, low)));
            if bottom > top {
                canvas.rectangle((x, top), (x + 1.0, bottom), colour)?;
            }
        }
        Ok(())
    }

    /// The part of a straight line that is inside of the frame.
    fn cut(&self, from: Spot, to: Spot) -> Option<(Spot, Spot)> {
        let (across, down) = (to.0 - from.0, to.1 - from.1);
        let (mut first, mut last) = (0f64, 1f64);
        let edges = [
            (-across, from.0 - self.left),
            (across, self.right - from.0),
            (-down, from.1 - self.top),
            (down, self.bottom - from.1),
        ];
        for (outwards, room) in edges {
            if outwards < 0.0 {
                first = first.max(room / outwards);
            } else if outwards > 0.0 {
                last = last.min(room / outwards);
            } else if room < 0.0 {
                return None;
            }
        }
        let at = |part: f64| {
            if part == 1.0 { to } else { (from.0 + part * across, from.1 + part * down) }
        };
        (first <= last).then(|| (at(first), at(last)))
    }
}

/// The same line with fewer points: of all those in one column of pixels, only the first, the last
/// and the extremes. No peak is lost.
pub(super) fn thinned(piece: &[Spot]) -> Vec<Spot> {
    let mut thinned = Vec::with_capacity(piece.len());
    for column in piece.chunk_by(|a, b| a.0.floor() == b.0.floor()) {
        let extreme = |sign: f64| {
            (0..column.len()).max_by(|&a, &b| (sign * column[a].1).total_cmp(&(sign * column[b].1)))
        };
        let mut kept = [Some(0), extreme(-1.0), extreme(1.0), column.len().checked_sub(1)];
        kept.sort_unstable();
        let mut kept = kept.to_vec();
        kept.dedup();
        thinned.extend(kept.into_iter().flatten().map(|point| column[point]));
    }
    thinned
}

/// How a legend shows an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Line,
    Dashes,
    Disc,
    Block,
}

/// The legend's entry for one colour.
pub(super) type Entry = (String, RGBColor, Sign);

/// Draws a legend from the left to the right in as many rows as it needs; returns the height below
/// `top` it takes.
pub(super) fn legend(
    canvas: &Canvas<'_, '_>,
    (left, top): Spot,
    room: f64,
    size: f64,
    entries: &[Entry],
) -> Result<f64> {
    let mut y = top + size * 0.7;
    for (row, entry) in arranged(room, size, entries) {
        y = top + size * (0.7 + 1.4 * row as f64);
        let (name, (_, colour, sign), x) = (entry.name, entry.entry, left + entry.x);
        let end = x + size * SIGN;
        match sign {
            Sign::Line => canvas.line(&[(x, y), (end, y)], size * 0.2, *colour)?,
            Sign::Dashes => canvas.dashes(&[(x, y), (end, y)], size * 0.15, *colour)?,
            Sign::Disc => canvas.disc(((x + end) / 2.0, y), size * 0.33, *colour)?,
            Sign::Block => canvas.rectangle((x, y - size * 0.4), (end, y + size * 0.4), *colour)?,
        }
        canvas.text(&name, (end + size * 0.4, y), size, Align::Left, INK)?;
    }
    Ok(if entries.is_empty() { 0.0 } else { y - top + size * 0.7 })
}

/// The height that [`legend`] will take.
pub(super) fn legend_height(room: f64, size: f64, entries: &[Entry]) -> f64 {
    arranged(room, size, entries).last().map_or(0.0, |(row, _)| size * 1.4 * (row + 1) as f64)
}

/// Width of a sign, in sizes of the text.
const SIGN: f64 = 1.6;

struct Arranged<'a> {
    entry: &'a Entry,
    name: String,
    x: f64,
}

/// Each entry with its row: all in one row, or else in columns.
fn arranged(room: f64, size: f64, entries: &[Entry]) -> Vec<(usize, Arranged<'_>)> {
    let between = size * 1.4;
    let names: Vec<String> =
        entries.iter().map(|entry| fitted(&entry.0, size, room - size * (SIGN + 0.4))).collect();
    let widths: Vec<f64> =
        names.iter().map(|name| size * (SIGN + 0.4) + width(name, size) + between).collect();
    let column = widths.iter().copied().fold(1.0, f64::max);
    let columns = ((room + between) / column).max(1.0) as usize;
    let one_row = widths.iter().sum::<f64>() <= room + between;
    let mut x = 0.0;
    let places = widths.iter().enumerate().map(|(number, width)| {
        let place =
            if one_row { (0, x) } else { (number / columns, column * (number % columns) as f64) };
        x += width;
        place
    });
    let places: Vec<(usize, f64)> = places.collect();
    let arranged = entries.iter().zip(names).zip(places);
    arranged.map(|((entry, name), (row, x))| (row, Arranged { entry, name, x })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        let axis = |high| Axis::linear((0.0, high), 5);
        Frame { left: 0.0, top: 0.0, right: 100.0, bottom: 100.0, x: axis(10.0), y: axis(10.0) }
    }

    #[test]
    fn lines_are_broken_at_gaps_and_cut_off_at_the_frame() {
        let gap = (5.0, f64::NAN);
        let pieces = frame().pieces(&[
            (0.0, 0.0),
            (2.0, 5.0),
            gap,
            (6.0, 5.0),
            gap,
            (8.0, 5.0),
            (8.0, 20.0),
            (9.0, 5.0),
        ]);
        assert_eq!(pieces.len(), 4, "{pieces:?}");
        assert_eq!(pieces[0], [(0.0, 100.0), (20.0, 50.0)]);
        assert_eq!(pieces[1], [(60.0, 50.0)]);
        assert_eq!(pieces[2], [(80.0, 50.0), (80.0, 0.0)]);
        assert_eq!(pieces[3].last(), Some(&(90.0, 50.0)));
        assert_eq!(frame().pieces(&[(20.0, 5.0)]), [[(0.0, 0.0); 0]; 0]);
        assert_eq!(frame().pieces(&[(-5.0, -5.0), (-5.0, 50.0)]), [[(0.0, 0.0); 0]; 0]);
    }

    #[test]
    fn no_peak_is_lost_where_points_share_a_column() {
        let noise = (0..1000).map(|point| (f64::from(point) / 100.0, f64::from(point % 7)));
        let mut piece: Vec<Spot> = noise.collect();
        piece[505].1 = -40.0;
        piece[506].1 = 90.0;
        let thinned = thinned(&piece);
        assert!(
            thinned.len() <= 40 && thinned.contains(&piece[505]) && thinned.contains(&piece[506])
        );
        assert!(thinned.is_sorted_by(|a, b| a.0 <= b.0));
        assert_eq!((thinned.first(), thinned.last()), (piece.first(), piece.last()));
    }
}
