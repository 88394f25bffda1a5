//! Draws the charts of the report. Any input is drawn, even empty, flat, huge or full of gaps. A
//! chart without data says so.

mod axis;
mod canvas;
mod distribution;
mod dots;
mod frame;
mod nab_file;

use std::path::Path;

use anyhow::Result;
use plotters::style::RGBColor;

use self::axis::{Axis, span};
use self::canvas::{Align, Canvas, Spot, fitted, width};
pub(crate) use self::distribution::distribution;
pub(crate) use self::dots::{Dot, Row, dots};
use self::frame::{Entry, Frame, Sign, legend, legend_height};
pub(crate) use self::nab_file::{FilePicture, file_picture};
use crate::common::picture::{INK, WIDTH, font};

/// Colours that colour-blind people can tell apart, too (Okabe and Ito). The first is for the
/// detector that the report is about.
const PALETTE: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
    GREY,
    RGBColor(120, 90, 30),
];

const GREY: RGBColor = RGBColor(120, 128, 140);

/// Room around each chart.
const MARGIN: f64 = 24.0;

/// One line of a chart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// Points in drawing order. The line breaks where a value is not a number.
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) dashed: bool,
}

/// How a chart is drawn.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    pub(crate) log_x: bool,
    pub(crate) log_y: bool,
    /// The part of the data to draw. `None` draws all of it.
    pub(crate) x_range: Option<(f64, f64)>,
    pub(crate) y_range: Option<(f64, f64)>,
    /// Whether each point is marked on its line.
    pub(crate) points: bool,
}

/// Lines in one frame.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x_label: String,
    pub(crate) y_label: String,
    /// The first one is drawn boldest, above all others.
    pub(crate) series: Vec<Line>,
    pub(crate) options: Options,
}

/// Draws one chart.
///
/// # Errors
/// Where the picture cannot be written.
pub(crate) fn lines(out: &Path, chart: &Chart) -> Result<()> {
    panels(out, std::slice::from_ref(chart))
}

/// Draws several charts in one picture, two or three in a row.
///
/// # Errors
/// Where the picture cannot be written.
pub(crate) fn panels(out: &Path, charts: &[Chart]) -> Result<()> {
    let columns = match charts.len() {
        0 | 1 => 1,
        2 | 4 => 2,
        _ => 3,
    };
    font()?;
    let width = f64::from(WIDTH) / columns as f64;
    // Frames side by side are of one size, however long the legends above them are.
    let rows: Vec<(&[Chart], f64)> = charts
        .chunks(columns)
        .map(|row| {
            let legends = row
                .iter()
                .map(|chart| legend_height(width - 2.0 * MARGIN, LEGEND, &chart.entries()));
            (row, legends.fold(0.0, f64::max))
        })
        .collect();
    let frame = [500.0, 420.0, 340.0][columns - 1];
    let around = 2.0 * MARGIN + TITLE * 1.6 + LABEL * 5.6;
    let height = rows.iter().map(|(_, legends)| frame + around + legends).sum::<f64>().max(frame);
    Canvas::png(out, (WIDTH, height as u32), |canvas| {
        if charts.is_empty() {
            return nothing(canvas, (f64::from(WIDTH) / 2.0, height / 2.0));
        }
        let mut top = 0.0;
        for (row, legends) in rows {
            for (column, chart) in row.iter().enumerate() {
                let corner = (width * column as f64, top);
                chart.draw(canvas, corner, (width, frame + around + legends), legends)?;
            }
            top += frame + around + legends;
        }
        Ok(())
    })
}

const TITLE: f64 = 27.0;
const LEGEND: f64 = 21.0;
const LABEL: f64 = 19.0;

impl Chart {
    fn entries(&self) -> Vec<Entry> {
        let sign = |line: &Line| if line.dashed { Sign::Dashes } else { Sign::Line };
        self.series
            .iter()
            .zip(colours())
            .map(|(line, colour)| (line.name.clone(), colour, sign(line)))
            .collect()
    }

    fn draw(
        &self,
        canvas: &Canvas<'_, '_>,
        (x, y): Spot,
        (width, height): Spot,
        legends: f64,
    ) -> Result<()> {
        let (left, right) = (x + MARGIN, x + width - MARGIN);
        let title = fitted(&self.title, TITLE, right - left);
        canvas.text(&title, (left, y + MARGIN + TITLE / 2.0), TITLE, Align::Left, INK)?;
        let legend_top = y + MARGIN + TITLE * 1.6;
        legend(canvas, (left, legend_top), right - left, LEGEND, &self.entries())?;
        let frame =
            self.frame((left, legend_top + legends + LABEL * 2.6), (right, y + height - MARGIN));
        frame.horizontals(canvas, LABEL)?;
        frame.verticals(canvas, LABEL)?;
        let label = fitted(&self.y_label, LABEL, right - left);
        canvas.text(&label, (left, frame.top - LABEL * 1.4), LABEL, Align::Left, INK)?;
        let label = fitted(&self.x_label, LABEL, right - left);
        let middle = (frame.left + frame.right) / 2.0;
        canvas.text(&label, (middle, frame.bottom + LABEL * 2.6), LABEL, Align::Centre, INK)?;
        let mut empty = true;
        for (number, (line, colour)) in self.series.iter().zip(colours()).enumerate().rev() {
            let width = if number == 0 { 4.0 } else { 2.5 };
            for piece in frame.pieces(&line.points) {
                empty = false;
                if line.dashed {
                    canvas.dashes(&piece, width, colour)?;
                } else {
                    canvas.line(&piece, width, colour)?;
                }
                if let [alone] = piece[..] {
                    canvas.disc(alone, width + 2.0, colour)?;
                }
            }
            let marked =
                line.points.iter().filter(|(x, y)| frame.x.contains(*x) && frame.y.contains(*y));
            for &(x, y) in marked.filter(|_| self.options.points) {
                canvas.disc(frame.at(x, y), width + 2.0, colour)?;
            }
        }
        if empty {
            nothing(canvas, (middle, (frame.top + frame.bottom) / 2.0))?;
        }
        Ok(())
    }

    /// The frame between two corners, with room for what is written at its axes.
    fn frame(&self, (left, top): Spot, (right, bottom): Spot) -> Frame {
        let Options { log_x, log_y, x_range, y_range, .. } = self.options;
        let points = || self.series.iter().flat_map(|line| line.points.iter());
        // A value of zero or less has no place on a logarithmic axis.
        let xs = points().map(|&(x, _)| x).filter(|&x| !log_x || x > 0.0);
        let xs =
            x_range.or_else(|| span(xs)).unwrap_or(if log_x { (0.1, 10.0) } else { (0.0, 1.0) });
        let ys = span(points().map(|&(_, y)| y).filter(|&y| !log_y || y > 0.0));
        let ys = if log_y { ys } else { ys.map(roomy) };
        let ys = y_range.or(ys).unwrap_or(if log_y { (0.1, 10.0) } else { (0.0, 1.0) });
        let bottom = bottom - LABEL * 3.0;
        let ticks = ((bottom - top) / 75.0).max(2.0) as usize;
        let y = if log_y { Axis::log(ys, ticks) } else { Axis::linear(ys, ticks) };
        let left = left + widest(&y, LABEL) + LABEL * 0.5;
        let right = right - LABEL;
        let ticks = |room: f64| ((right - left) / room).max(2.0) as usize;
        let x =
            if log_x { Axis::log(xs, ticks(60.0).min(12)) } else { Axis::linear(xs, ticks(90.0)) };
        Frame { left, top, right, bottom, x, y }
    }
}

/// The range and a little more, from zero where zero is near.
fn roomy((low, high): (f64, f64)) -> (f64, f64) {
    let room = (high - low) * 0.05;
    if low >= 0.0 && low <= 0.4 * high { (0.0, high + room) } else { (low - room, high + room) }
}

/// Width of the widest label of an axis.
fn widest(axis: &Axis, size: f64) -> f64 {
    axis.ticks.iter().map(|(_, label)| width(label, size)).fold(0.0, f64::max)
}

/// A colour for each detector, the same ones in every picture.
fn colours() -> impl DoubleEndedIterator<Item = RGBColor> + ExactSizeIterator {
    // More detectors than a reader can tell apart. All that matters is that each has a colour.
    (0..1000).map(|number| PALETTE[number % PALETTE.len()])
}

/// Says that there was nothing to draw.
fn nothing(canvas: &Canvas<'_, '_>, spot: Spot) -> Result<()> {
    canvas.text("no data", spot, TITLE, Align::Centre, GREY)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test inputs for pictures, beside the ordinary ones.
    const ODD: [&[f64]; 8] = [
        &[],
        &[3.0],
        &[0.07; 40],
        &[0.0; 40],
        &[f64::NAN, 1.0, f64::INFINITY, 2.0, 3.0, f64::NEG_INFINITY, f64::NAN],
        &[f64::NAN; 5],
        &[-1e300, 1e300, f64::MAX, f64::MIN, 0.0],
        &[1e-300, 1e-9, -1e-12, 0.0],
    ];

    /// Checks that a picture of this width was written and that it shows something.
    fn check(path: &Path, wanted: u32, what: &str) {
        let bytes = std::fs::read(path).unwrap();
        let number = |from: usize| u32::from_be_bytes(bytes[from..from + 4].try_into().unwrap());
        let (width, height) = (number(16), number(20));
        assert!(width == wanted && (150..3000).contains(&height), "{what}: {width} x {height}");
        let blank = path.with_file_name("blank.png");
        Canvas::png(&blank, (width, height), |_| Ok(())).unwrap();
        let blank = std::fs::metadata(blank).unwrap().len();
        assert!(
            bytes.len() as u64 > blank + 500,
            "{what}: {} bytes, {blank} if blank",
            bytes.len()
        );
    }

    #[test]
    fn odd_lines_are_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("lines.png");
        for values in ODD {
            let points: Vec<(f64, f64)> =
                values.iter().enumerate().map(|(x, &y)| (x as f64, y)).collect();
            let turned = points.iter().map(|&(x, y)| (y, x)).collect();
            let line = |points, dashed| Line { name: "a line".into(), points, dashed };
            let series = vec![line(points, false), line(turned, true)];
            for (log_x, log_y) in [(false, false), (true, false), (false, true), (true, true)] {
                let options = Options { log_x, log_y, points: true, ..Options::default() };
                let chart = Chart {
                    title: "odd".into(),
                    series: series.clone(),
                    options,
                    ..Chart::default()
                };
                lines(&out, &chart).unwrap();
                check(&out, WIDTH, &format!("{values:?}"));
                let options =
                    Options { x_range: Some((0.05, 10.0)), y_range: Some((0.0, 0.0)), ..options };
                panels(&out, &vec![Chart { options, ..chart }; 5]).unwrap();
                check(&out, WIDTH, &format!("{values:?} in panels"));
            }
        }
        panels(&out, &[]).unwrap();
        check(&out, WIDTH, "no panels");
    }

    #[test]
    fn odd_dots_and_distributions_are_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("dots.png");
        for values in ODD {
            for names in [1, 3, 12] {
                let dot = |(number, &value): (usize, &f64)| Dot {
                    series: format!("detector {}", number % names),
                    value,
                    interval: (number % 2 == 0).then_some((value - 1.0, value + 1.0)),
                };
                let row = Row {
                    label: "a row".repeat(20),
                    dots: values.iter().enumerate().map(dot).collect(),
                };
                dots(&out, "odd", "unit", None, std::slice::from_ref(&row)).unwrap();
                check(&out, WIDTH, &format!("{values:?}"));
                dots(&out, "odd", "unit", Some((0.0, 1.0)), &[row.clone(), row]).unwrap();
                check(&out, WIDTH, &format!("{values:?}"));
            }
            distribution(
                &out,
                "odd",
                "unit",
                &[("all".into(), values.to_vec()), ("none".into(), vec![])],
            )
            .unwrap();
            check(&out, WIDTH, &format!("{values:?}"));
        }
        dots(&out, "none", "", None, &[]).unwrap();
        check(&out, WIDTH, "no dots");
        distribution(&out, "none", "", &[]).unwrap();
        check(&out, WIDTH, "no distribution");
    }

    #[test]
    fn odd_files_are_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("file.png");
        for values in ODD {
            let times: Vec<i64> =
                (0..values.len() as i64).map(|row| 1_392_388_200 + 300 * row).collect();
            let some: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
            let alarms = [
                ("ours".to_string(), vec![i64::MIN, 1_392_388_500, i64::MAX]),
                ("none".to_string(), vec![]),
            ];
            let windows = [(1_392_388_200..1_392_388_201), (i64::MIN..i64::MAX), (5..5)];
            let picture = FilePicture {
                times: &times,
                observed: values,
                expected: &some,
                low: &some,
                high: &some,
                score: values,
                windows: &windows,
                probation_end: i64::MAX,
                alarms: &alarms,
            };
            file_picture(&out, "odd", &picture).unwrap();
            check(&out, 2400, &format!("{values:?}"));
            let none = vec![None; values.len()];
            let picture = FilePicture {
                expected: &none,
                windows: &[],
                alarms: &[],
                probation_end: i64::MIN,
                ..picture
            };
            file_picture(&out, "odd", &picture).unwrap();
            check(&out, 2400, &format!("{values:?}"));
        }
    }
}
