//! A dot for each detector in each row, with a whisker for its interval.

use std::path::Path;

use anyhow::Result;
use plotters::style::{RGBColor, WHITE};

use super::axis::{Axis, drawable, span};
use super::canvas::{Align, Canvas, fitted, width};
use super::frame::{Entry, Frame, Sign, legend, legend_height};
use super::{LABEL, LEGEND, MARGIN, TITLE, colours, nothing, roomy};
use crate::common::picture::{INK, WIDTH, font};

/// The widest that labels at the left may be.
const LABELS: f64 = 460.0;
/// Every other row is this light, to lead the eye.
const STRIPE: RGBColor = RGBColor(245, 247, 250);

/// One row of the chart: a fault, or a measure.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) dots: Vec<Dot>,
}

/// The value of one detector.
#[derive(Debug, Clone)]
pub(crate) struct Dot {
    pub(crate) series: String,
    pub(crate) value: f64,
    pub(crate) interval: Option<(f64, f64)>,
}

/// Draws the rows below each other. A value outside `range` stands at its edge, hollow. Without a
/// range, the chart shows all values and zero.
///
/// # Errors
/// Where the picture cannot be written.
pub(crate) fn dots(
    out: &Path,
    title: &str,
    x_label: &str,
    range: Option<(f64, f64)>,
    rows: &[Row],
) -> Result<()> {
    let mut series: Vec<&str> = Vec::new();
    for dot in rows.iter().flat_map(|row| &row.dots) {
        if !series.contains(&dot.series.as_str()) {
            series.push(&dot.series);
        }
    }
    let lane = if series.len() > 4 { 15.0 } else { 19.0 };
    let row_height = lane * series.len().max(1) as f64 + 20.0;
    let entries: Vec<Entry> = series
        .iter()
        .zip(colours())
        .map(|(name, colour)| (name.to_string(), colour, Sign::Disc))
        .collect();
    font()?;
    let (left, right) = (MARGIN, f64::from(WIDTH) - MARGIN);
    // The title names a single detector.
    let legends = if series.len() > 1 {
        legend_height(right - left, LEGEND, &entries) + LEGEND * 0.6
    } else {
        0.0
    };
    let top = MARGIN + TITLE * 1.8 + legends;
    let body = row_height * rows.len().max(2) as f64;
    let height = top + body + LABEL * 3.4 + MARGIN;
    Canvas::png(out, (WIDTH, height as u32), |canvas| {
        let shown = fitted(title, TITLE, right - left);
        canvas.text(&shown, (left, MARGIN + TITLE / 2.0), TITLE, Align::Left, INK)?;
        if series.len() > 1 {
            legend(canvas, (left, MARGIN + TITLE * 1.8), right - left, LEGEND, &entries)?;
        }
        let labels =
            rows.iter().map(|row| width(&row.label, LEGEND)).fold(0.0, f64::max).min(LABELS);
        // The values of one detector fit beside its dots. For several, the table beside the picture
        // has them.
        let written =
            if series.len() == 1 { rows.iter().map(value_text).collect() } else { Vec::new() };
        let texts = written.iter().map(|text: &String| width(text, LEGEND)).fold(0.0, f64::max);
        let values = rows.iter().flat_map(|row| &row.dots).flat_map(|dot| {
            let (low, high) = dot.interval.unwrap_or((dot.value, dot.value));
            [dot.value, low, high]
        });
        let all = span(values.chain([0.0])).map(roomy).unwrap_or((0.0, 1.0));
        let frame_right = right - texts - if texts > 0.0 { LEGEND * 2.0 } else { LABEL };
        let frame = Frame {
            left: left + labels + LEGEND,
            top,
            right: frame_right,
            bottom: top + body,
            x: Axis::linear(range.unwrap_or(all), 8),
            y: Axis::linear((0.0, 1.0), 1),
        };
        for number in (0..rows.len()).step_by(2) {
            let y = frame.top + row_height * number as f64;
            canvas.rectangle((left, y), (right, y + row_height), STRIPE)?;
        }
        frame.verticals(canvas, LABEL)?;
        if frame.x.contains(0.0) {
            let (zero, _) = frame.at(0.0, 0.0);
            canvas.rectangle((zero - 1.0, frame.top), (zero + 1.0, frame.bottom), INK)?;
        }
        let middle = (frame.left + frame.right) / 2.0;
        let label = fitted(x_label, LABEL, right - left);
        canvas.text(&label, (middle, frame.bottom + LABEL * 2.6), LABEL, Align::Centre, INK)?;
        for (number, row) in rows.iter().enumerate() {
            let centre = frame.top + row_height * (number as f64 + 0.5);
            let label = fitted(&row.label, LEGEND, labels + 1.0);
            canvas.text(&label, (frame.left - LEGEND * 0.7, centre), LEGEND, Align::Right, INK)?;
            if let Some(text) = written.get(number) {
                canvas.text(text, (right - LEGEND * 0.5, centre), LEGEND, Align::Right, INK)?;
            }
            for dot in &row.dots {
                let lane_of = series.iter().position(|name| *name == dot.series).unwrap_or(0);
                let y = centre + lane * (lane_of as f64 - (series.len() - 1) as f64 / 2.0);
                let colour = entries[lane_of].1;
                draw_dot(canvas, &frame, dot, y, lane, colour)?;
            }
        }
        if rows.iter().all(|row| row.dots.is_empty()) {
            nothing(canvas, (middle, (frame.top + frame.bottom) / 2.0))?;
        }
        Ok(())
    })
}

fn draw_dot(
    canvas: &Canvas<'_, '_>,
    frame: &Frame,
    dot: &Dot,
    y: f64,
    lane: f64,
    colour: RGBColor,
) -> Result<()> {
    let x = |value: f64| frame.inside((frame.at(value, 0.0).0, y)).0;
    if let Some((low, high)) = dot.interval
        && let (Some(low), Some(high)) = (drawable(low), drawable(high))
    {
        canvas.rectangle((x(low), y - 1.5), (x(high), y + 1.5), colour)?;
        for end in [low, high].into_iter().filter(|&end| frame.x.contains(end)) {
            canvas.rectangle(
                (x(end) - 1.5, y - lane * 0.3),
                (x(end) + 1.5, y + lane * 0.3),
                colour,
            )?;
        }
    }
    if let Some(value) = drawable(dot.value) {
        let radius = lane * 0.42;
        canvas.disc((x(value), y), radius, colour)?;
        if !frame.x.contains(value) {
            canvas.disc((x(value), y), radius - 2.5, WHITE)?;
        }
    }
    Ok(())
}

/// The value of a row's only detector, with its interval.
fn value_text(row: &Row) -> String {
    let Some(dot) = row.dots.first() else { return String::new() };
    let size = dot.interval.map_or(dot.value, |(low, high)| (high - low) / 2.0).abs();
    let decimals = if size > 0.0 && size.is_finite() {
        (1.0 - size.log10().floor()).clamp(0.0, 4.0)
    } else {
        2.0
    };
    let decimals = decimals as usize;
    let number = |value: f64| match drawable(value) {
        None => "-".to_string(),
        Some(value) if value.abs() >= 1e7 => format!("{value:.2e}"),
        Some(value) => format!("{value:.decimals$}"),
    };
    match dot.interval {
        Some((low, high)) => format!("{} ({} to {})", number(dot.value), number(low), number(high)),
        None => number(dot.value),
    }
}
