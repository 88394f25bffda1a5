//! A wide picture of one file or machine: its CPU, its score, and the alarms of each detector.

use std::ops::Range;
use std::path::Path;

use anyhow::{Result, ensure};
use plotters::style::{RGBColor, WHITE};

use super::axis::{Axis, drawable, span};
use super::canvas::{Align, Canvas, Spot, fitted, width};
use super::frame::{Entry, Frame, Sign, legend, legend_height, thinned};
use super::{MARGIN, nothing, widest};
use crate::common::picture::{ALARM, BAND, EXPECTED, FAINT, INK, SCORE, WINDOW, font};

/// The picture is shown at half its size, so everything in it is larger than in the other charts.
const WIDTH: u32 = 2400;
const TITLE: f64 = 40.0;
const TEXT: f64 = 27.0;
const CPU: f64 = 330.0;
const SCORES: f64 = 200.0;
const LANE: f64 = 40.0;
/// Between two parts, with the name of the lower one.
const GAP: f64 = 62.0;
/// Width of the two columns of numbers at the right of the lanes.
const NUMBERS: f64 = 110.0;
/// Detectors' names take at most this much.
const NAMES: f64 = 380.0;
/// Scores below this are drawn as this.
const LEAST_SCORE: f64 = 0.03;

const BELOW_SCORE: RGBColor = RGBColor(226, 219, 238);
const PROBATION: RGBColor = RGBColor(240, 242, 245);
const WINDOW_EDGE: RGBColor = RGBColor(236, 182, 84);
const HIT: RGBColor = RGBColor(0, 158, 115);
const FALSE: RGBColor = RGBColor(213, 94, 0);
const UNJUDGED: RGBColor = RGBColor(150, 158, 170);

/// The data of one file to draw. The slices have one length and are sorted by time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FilePicture<'a> {
    /// In seconds since 1970, like all times here.
    pub(crate) times: &'a [i64],
    /// CPU in percent.
    pub(crate) observed: &'a [f64],
    pub(crate) expected: &'a [Option<f64>],
    /// The lower and the upper end of the expected band.
    pub(crate) low: &'a [Option<f64>],
    pub(crate) high: &'a [Option<f64>],
    /// 1.0 is the threshold.
    pub(crate) score: &'a [f64],
    /// Labelled anomalies.
    pub(crate) windows: &'a [Range<i64>],
    /// The time from which the file is judged.
    pub(crate) probation_end: i64,
    /// Alarms of each detector; those of the first are marked in the curves as well.
    pub(crate) alarms: &'a [(String, Vec<i64>)],
}

/// Draws the picture of one file.
///
/// # Errors
/// Where the slices are of different lengths or the picture cannot be written.
pub(crate) fn file_picture(out: &Path, title: &str, picture: &FilePicture<'_>) -> Result<()> {
    let rows = picture.times.len();
    let ends = [picture.low.len(), picture.high.len()];
    let lengths =
        [picture.observed.len(), picture.expected.len(), ends[0], ends[1], picture.score.len()];
    ensure!(
        lengths.iter().all(|&length| length == rows),
        "{rows} times, but {lengths:?} values for them"
    );
    font()?;
    let entries = entries();
    let inner = f64::from(WIDTH) - 2.0 * MARGIN;
    let top = MARGIN + TITLE * 1.5 + legend_height(inner, TEXT, &entries) + GAP;
    let lanes =
        LANE * picture.alarms.len() as f64 + if picture.alarms.is_empty() { 0.0 } else { GAP };
    let height = top + CPU + GAP + SCORES + lanes + TEXT * 2.2 + MARGIN;
    Canvas::png(out, (WIDTH, height as u32), |canvas| {
        canvas.text(
            &fitted(title, TITLE, inner),
            (MARGIN, MARGIN + TITLE / 2.0),
            TITLE,
            Align::Left,
            INK,
        )?;
        legend(canvas, (MARGIN, MARGIN + TITLE * 1.5), inner, TEXT, &entries)?;
        let (Some(&first), Some(&last)) = (picture.times.first(), picture.times.last()) else {
            return nothing(canvas, (f64::from(WIDTH) / 2.0, top + CPU / 2.0));
        };
        let y = picture.cpu_axis();
        let names =
            picture.alarms.iter().map(|(name, _)| width(name, TEXT)).fold(0.0, f64::max).min(NAMES);
        let left = MARGIN + TEXT * 0.5 + names.max(widest(&y, TEXT)).max(width("0.1", TEXT));
        let right = f64::from(WIDTH)
            - MARGIN
            - if picture.alarms.is_empty() { TEXT } else { 2.0 * NUMBERS };
        let x = Axis::time((first, last), ((right - left) / 125.0) as usize);
        let cpu = Frame { left, top, right, bottom: top + CPU, x: x.clone(), y };
        let top = cpu.bottom + GAP;
        let y = picture.score_axis();
        let score = Frame { left, top, right, bottom: top + SCORES, x: x.clone(), y };
        let bottom = score.bottom + lanes;
        let lanes = Frame {
            left,
            top: (score.bottom + GAP).min(bottom),
            right,
            bottom,
            x,
            y: Axis::linear((0.0, 1.0), 1),
        };
        for frame in [&cpu, &score, &lanes] {
            picture.background(canvas, frame)?;
        }
        picture.draw_cpu(canvas, &cpu)?;
        picture.draw_score(canvas, &score)?;
        picture.draw_lanes(canvas, &lanes)?;
        lanes.x_labels(canvas, TEXT)?;
        let year =
            jiff::Timestamp::from_second(first).map(|time| time.strftime("%Y, UTC").to_string());
        let corner = (right, cpu.top - TEXT * 0.9);
        canvas.text(&year.unwrap_or_default(), corner, TEXT, Align::Right, INK)
    })
}

fn entries() -> Vec<Entry> {
    [
        ("observed CPU", INK, Sign::Line),
        ("expected", EXPECTED, Sign::Line),
        ("expected band", BAND, Sign::Block),
        ("score", SCORE, Sign::Line),
        ("threshold", ALARM, Sign::Dashes),
        ("labelled window", WINDOW, Sign::Block),
        ("alarm in a window", HIT, Sign::Disc),
        ("alarm outside", FALSE, Sign::Disc),
        ("not judged", UNJUDGED, Sign::Disc),
    ]
    .map(|(name, colour, sign)| (name.to_string(), colour, sign))
    .to_vec()
}

impl FilePicture<'_> {
    /// From zero, unless all of the CPU is far above it. The axis never zooms in so far that a
    /// steady machine looks wild.
    fn cpu_axis(&self) -> Axis {
        let values = self.observed.iter().copied().chain(self.expected.iter().copied().flatten());
        let (low, high) = span(values).unwrap_or((0.0, 100.0));
        if low < 0.6 * high || high <= 0.0 {
            let high = if high > low.min(0.0) { high } else { 1.0 };
            return Axis::linear((low.min(0.0), high * 1.08), 5);
        }
        let (middle, half) = ((low + high) / 2.0, ((high - low) * 0.58).max(high * 0.13));
        Axis::linear((middle - half, (middle + half).min(high.max(100.0))), 5)
    }

    fn score_axis(&self) -> Axis {
        let highest = span(self.score.iter().copied()).map_or(1.0, |(_, high)| high);
        Axis::log((LEAST_SCORE, (highest * 1.5).max(5.0)), 4)
    }

    /// Shades the labelled stretches and those that were not judged, and marks the days.
    fn background(&self, canvas: &Canvas<'_, '_>, frame: &Frame) -> Result<()> {
        let x = |time: i64| frame.inside(frame.at(time as f64, 0.0)).0;
        canvas.rectangle(
            (frame.left, frame.top),
            (x(self.probation_end), frame.bottom),
            PROBATION,
        )?;
        for window in self.windows {
            let (from, to) = (x(window.start), x(window.end));
            let to = to.max(from + 3.0);
            canvas.rectangle((from, frame.top), (to, frame.bottom), WINDOW)?;
            // Visible even where the band covers the whole height.
            canvas.rectangle((from, frame.top - 6.0), (to, frame.top), WINDOW_EDGE)?;
        }
        for (tick, _) in &frame.x.ticks {
            let (x, _) = frame.at(*tick, 0.0);
            canvas.rectangle((x - 0.5, frame.top), (x + 0.5, frame.bottom), FAINT)?;
        }
        Ok(())
    }

    fn draw_cpu(&self, canvas: &Canvas<'_, '_>, frame: &Frame) -> Result<()> {
        caption(canvas, frame, "CPU, %")?;
        let [low, high] = [self.low, self.high].map(|end| self.curve(end.iter().copied()));
        frame.band(canvas, &low, &high, BAND)?;
        frame.horizontals(canvas, TEXT)?;
        // The expected value is thinner: where both are the same, a reader sees both.
        for (curve, width, colour) in [
            (self.curve(self.observed.iter().copied().map(Some)), 2.5, INK),
            (self.curve(self.expected.iter().copied()), 1.5, EXPECTED),
        ] {
            for piece in frame.pieces(&curve) {
                dot_or_line(canvas, &thinned(&piece), width, colour)?;
            }
        }
        self.mark(canvas, frame, self.observed)
    }

    fn draw_score(&self, canvas: &Canvas<'_, '_>, frame: &Frame) -> Result<()> {
        caption(canvas, frame, "score, 1 is the threshold")?;
        frame.horizontals(canvas, TEXT)?;
        // Where datapoints share a column of pixels, the highest counts, because it would raise the
        // alarm.
        let curve = self.curve(
            self.score.iter().map(|&score| drawable(score).map(|score| score.max(LEAST_SCORE))),
        );
        let floor: Vec<(f64, f64)> = curve.iter().map(|&(time, _)| (time, LEAST_SCORE)).collect();
        frame.band(canvas, &floor, &curve, BELOW_SCORE)?;
        for piece in frame.pieces(&curve) {
            let highest =
                |column: &[Spot]| column.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1));
            let columns = piece.chunk_by(|a, b| a.0.floor() == b.0.floor());
            dot_or_line(canvas, &columns.filter_map(highest).collect::<Vec<_>>(), 1.5, SCORE)?;
        }
        let (_, y) = frame.at(0.0, 1.0);
        canvas.dashes(&[(frame.left, y), (frame.right, y)], 2.5, ALARM)?;
        self.mark(canvas, frame, self.score)
    }

    /// A row for each detector: a tick for each alarm, and how many alarms were right.
    fn draw_lanes(&self, canvas: &Canvas<'_, '_>, frame: &Frame) -> Result<()> {
        if self.alarms.is_empty() {
            return Ok(());
        }
        caption(canvas, frame, "alarms")?;
        let header = frame.top - TEXT * 0.9;
        let (hits, outside) = (frame.right + NUMBERS, frame.right + 2.0 * NUMBERS);
        canvas.text("hit", (hits, header), TEXT * 0.85, Align::Right, INK)?;
        canvas.text("outside", (outside, header), TEXT * 0.85, Align::Right, INK)?;
        canvas.rectangle((frame.left, frame.top - 1.0), (outside, frame.top), FAINT)?;
        for (lane, (name, alarms)) in self.alarms.iter().enumerate() {
            let y = frame.top + LANE * (lane as f64 + 0.5);
            canvas.rectangle(
                (frame.left, y + LANE * 0.5 - 1.0),
                (outside, y + LANE * 0.5),
                FAINT,
            )?;
            let name = fitted(name, TEXT, frame.left - MARGIN - TEXT * 0.5);
            canvas.text(&name, (frame.left - TEXT * 0.5, y), TEXT, Align::Right, INK)?;
            for &time in alarms.iter().filter(|&&time| frame.x.contains(time as f64)) {
                let (x, _) = frame.at(time as f64, 0.0);
                canvas.rectangle(
                    (x - 2.5, y - LANE * 0.36),
                    (x + 2.5, y + LANE * 0.36),
                    self.verdict(time),
                )?;
            }
            let hit = self
                .windows
                .iter()
                .filter(|window| alarms.iter().any(|time| window.contains(time)))
                .count();
            let hit = if self.windows.is_empty() {
                "-".into()
            } else {
                format!("{hit} of {}", self.windows.len())
            };
            canvas.text(&hit, (hits, y), TEXT, Align::Right, INK)?;
            let wrong = alarms.iter().filter(|&&time| self.verdict(time) == FALSE).count();
            canvas.text(&wrong.to_string(), (outside, y), TEXT, Align::Right, INK)?;
        }
        Ok(())
    }

    /// Marks the first detector's alarms on a curve.
    fn mark(&self, canvas: &Canvas<'_, '_>, frame: &Frame, values: &[f64]) -> Result<()> {
        let mut spots = Vec::new();
        for &time in self.alarms.iter().take(1).flat_map(|(_, alarms)| alarms) {
            let row = self.times.partition_point(|&earlier| earlier < time);
            if let (Some(&value), true) = (values.get(row), frame.x.contains(time as f64)) {
                let spot = frame.at(time as f64, drawable(value).unwrap_or(0.0));
                spots.push((frame.inside(spot), self.verdict(time)));
            }
        }
        // All the rims first, so that alarms close together do not hide each other.
        spots.iter().try_for_each(|&(spot, _)| canvas.disc(spot, 8.5, WHITE))?;
        spots.iter().try_for_each(|&(spot, colour)| canvas.disc(spot, 6.5, colour))
    }

    /// The colour of an alarm.
    fn verdict(&self, time: i64) -> RGBColor {
        if self.windows.iter().any(|window| window.contains(&time)) {
            HIT
        } else if time < self.probation_end {
            UNJUDGED
        } else {
            FALSE
        }
    }

    /// Values at their times, with a break where datapoints are missing.
    fn curve(&self, values: impl Iterator<Item = Option<f64>>) -> Vec<(f64, f64)> {
        let mut steps: Vec<i64> =
            self.times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        steps.sort_unstable();
        let gap = steps.get(steps.len() / 2).copied().unwrap_or(0).saturating_mul(2);
        let mut curve = Vec::with_capacity(self.times.len());
        let mut earlier = None;
        for (&time, value) in self.times.iter().zip(values) {
            if earlier.is_some_and(|earlier: i64| time.saturating_sub(earlier) > gap) {
                curve.push((time as f64, f64::NAN));
            }
            curve.push((time as f64, value.unwrap_or(f64::NAN)));
            earlier = Some(time);
        }
        curve
    }
}

/// The title of a part, above its upper left corner.
fn caption(canvas: &Canvas<'_, '_>, frame: &Frame, text: &str) -> Result<()> {
    canvas.text(text, (frame.left, frame.top - TEXT * 0.9), TEXT, Align::Left, INK)
}

/// A piece of a curve; one that is a single point is a dot.
fn dot_or_line(
    canvas: &Canvas<'_, '_>,
    piece: &[Spot],
    width: f64,
    colour: RGBColor,
) -> Result<()> {
    match piece {
        [alone] => canvas.disc(*alone, 3.0, colour),
        _ => canvas.line(piece, width, colour),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALARMS: [(String, Vec<i64>); 0] = [];

    fn picture<'a>(observed: &'a [f64], score: &'a [f64]) -> FilePicture<'a> {
        FilePicture {
            times: &[0, 300, 600, 3000],
            observed,
            expected: &[None; 4],
            low: &[None; 4],
            high: &[None; 4],
            score,
            windows: &[],
            probation_end: 300,
            alarms: &ALARMS,
        }
    }

    #[test]
    fn the_axis_suits_the_machine() {
        let axis = |observed: [f64; 4]| picture(&observed, &[0.0; 4]).cpu_axis();
        // An idle machine, and one with peaks, from zero.
        for idle in [[0.066, 0.068, 0.2, 0.07], [2.0, 2.0, 99.0, 2.0], [0.0; 4]] {
            let axis = axis(idle);
            assert!(axis.contains(0.0) && idle.iter().all(|&cpu| axis.contains(cpu)), "{axis:?}");
            assert!(axis.ticks.len() >= 3, "{axis:?}");
        }
        // A steady one around its level, which does not look wild.
        for steady in [[85.0, 85.2, 84.9, 85.0], [0.07; 4]] {
            let axis = axis(steady);
            assert!(
                !axis.contains(0.0) && steady.iter().all(|&cpu| axis.contains(cpu)),
                "{axis:?}"
            );
            assert!((axis.place(steady[0]) - axis.place(steady[1])).abs() < 0.02, "{axis:?}");
        }
    }

    #[test]
    fn missing_datapoints_are_gaps() {
        let curve = picture(&[1.0; 4], &[0.0; 4])
            .curve([Some(1.0), None, Some(2.0), Some(3.0)].into_iter());
        let broken: Vec<bool> = curve.iter().map(|(_, value)| value.is_nan()).collect();
        assert_eq!(broken, [false, true, false, true, false]);
    }

    #[test]
    fn an_alarm_is_judged_by_the_windows_first() {
        let picture =
            FilePicture { windows: &[(100..200), (500..700)], ..picture(&[1.0; 4], &[0.0; 4]) };
        let verdicts = [150, 200, 299, 300, 500, 700].map(|time| picture.verdict(time));
        assert_eq!(verdicts, [HIT, UNJUDGED, UNJUDGED, FALSE, HIT, FALSE]);
    }

    #[test]
    fn slices_of_different_lengths_are_refused() {
        let error = file_picture(Path::new("unwritten.png"), "", &picture(&[1.0; 3], &[0.0; 4]))
            .unwrap_err();
        assert!(error.to_string().contains("4 times, but [3, 4, 4, 4, 4] values"), "{error}");
    }
}
