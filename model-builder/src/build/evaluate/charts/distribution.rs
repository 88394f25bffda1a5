//! Distributions of errors over a logarithmic axis.

use std::path::Path;

use anyhow::Result;
use plotters::style::Color;

use super::axis::{Axis, drawable};
use super::canvas::{Align, Canvas, fitted};
use super::frame::{Entry, Frame, Sign, legend};
use super::{LABEL, LEGEND, MARGIN, TITLE, colours, nothing, widest};
use crate::common::picture::{INK, WIDTH};

/// Bars in each power of ten.
const BARS: usize = 15;
/// More powers of ten than this show nothing new. Smaller values go into the first bar.
const DECADES: i32 = 7;
const HEIGHT: u32 = 560;

/// Draws each group's values over the same logarithmic bars, as parts of its own count, with its
/// median as a line.
///
/// # Errors
/// Where the picture cannot be written.
pub(crate) fn distribution(
    out: &Path,
    title: &str,
    x_label: &str,
    groups: &[(String, Vec<f64>)],
) -> Result<()> {
    let groups: Vec<(&str, Vec<f64>)> =
        groups.iter().map(|(name, values)| (name.as_str(), sorted(values))).collect();
    let (low, high) = decades(groups.iter().flat_map(|(_, values)| values));
    let bars = (high - low) as usize * BARS;
    let shares = |values: &[f64]| {
        let mut shares = vec![0.0; bars];
        for value in values {
            let bar = (value.max(1e-300).log10() - f64::from(low)) * BARS as f64;
            shares[(bar.max(0.0) as usize).min(bars - 1)] += 100.0 / values.len() as f64;
        }
        shares
    };
    let drawn: Vec<(Vec<f64>, Option<f64>)> = groups
        .iter()
        .map(|(_, values)| (shares(values), values.get(values.len() / 2).copied()))
        .collect();
    let highest = drawn.iter().flat_map(|(shares, _)| shares).copied().fold(0.0, f64::max);
    let name = |name: &str, values: &[f64], median: Option<f64>| match median {
        Some(median) => format!("{name} ({} values, median {})", values.len(), short(median)),
        None => format!("{name} (no values)"),
    };
    let entries: Vec<Entry> = groups
        .iter()
        .zip(&drawn)
        .zip(colours())
        .map(|(((group, values), (_, median)), colour)| {
            (name(group, values, *median), colour, Sign::Block)
        })
        .collect();
    Canvas::png(out, (WIDTH, HEIGHT), |canvas| {
        let (left, right) = (MARGIN, f64::from(WIDTH) - MARGIN);
        let shown = fitted(title, TITLE, right - left);
        canvas.text(&shown, (left, MARGIN + TITLE / 2.0), TITLE, Align::Left, INK)?;
        let top = MARGIN + TITLE * 1.6;
        let top = top + legend(canvas, (left, top), right - left, LEGEND, &entries)? + LABEL * 2.6;
        let y = Axis::linear((0.0, if highest > 0.0 { highest * 1.05 } else { 1.0 }), 5);
        let frame = Frame {
            left: left + widest(&y, LABEL) + LABEL * 0.5,
            top,
            right: right - LABEL * 2.0,
            bottom: f64::from(HEIGHT) - MARGIN - LABEL * 3.0,
            x: Axis::log((10f64.powi(low), 10f64.powi(high)), 12),
            y,
        };
        canvas.text("% of the values", (left, top - LABEL * 1.4), LABEL, Align::Left, INK)?;
        frame.horizontals(canvas, LABEL)?;
        frame.verticals(canvas, LABEL)?;
        let middle = (frame.left + frame.right) / 2.0;
        let label = fitted(x_label, LABEL, right - left);
        canvas.text(&label, (middle, frame.bottom + LABEL * 2.6), LABEL, Align::Centre, INK)?;
        for ((shares, median), colour) in drawn.iter().zip(colours()) {
            let edge = |bar: usize| 10f64.powf(f64::from(low) + bar as f64 / BARS as f64);
            let mut outline = vec![frame.at(edge(0), 0.0)];
            for (bar, &share) in shares.iter().enumerate() {
                let (from, to) = (frame.at(edge(bar), share), frame.at(edge(bar + 1), share));
                canvas.rectangle(from, (to.0, frame.bottom), colour.mix(0.22))?;
                outline.extend([from, to]);
            }
            outline.push((frame.right, frame.bottom));
            if median.is_some() {
                canvas.line(&outline, 2.5, colour)?;
            }
            if let Some(median) = median {
                let (x, _) = frame.inside(frame.at(*median, 0.0));
                canvas.dashes(&[(x, frame.top), (x, frame.bottom)], 2.5, colour)?;
            }
        }
        if drawn.iter().all(|(_, median)| median.is_none()) {
            nothing(canvas, (middle, (frame.top + frame.bottom) / 2.0))?;
        }
        Ok(())
    })
}

/// The sizes of the values that are numbers.
fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values: Vec<f64> = values.iter().copied().filter_map(drawable).map(f64::abs).collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// The powers of ten between which nearly all values lie.
fn decades<'a>(values: impl Iterator<Item = &'a f64>) -> (i32, i32) {
    let mut values: Vec<f64> = values.copied().filter(|&value| value > 0.0).collect();
    values.sort_unstable_by(f64::total_cmp);
    let (Some(low), Some(high)) = (values.get(values.len() / 500), values.last()) else {
        return (-3, 2);
    };
    let high = (high.log10() + 1e-9).floor().clamp(-10.0, 100.0) as i32 + 1;
    (((low.log10().floor()).max(-100.0) as i32).clamp(high - DECADES, high - 1), high)
}

/// A number in about three digits.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if !(1e-4..1e6).contains(&size) => format!("{value:.1e}"),
        size => {
            let decimals = (2.0 - size.log10().floor()).clamp(0.0, 6.0) as usize;
            format!("{value:.decimals$}")
        }
    }
}
