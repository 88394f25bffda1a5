//! Pictures: an instance's CPU with the expected values, its score below, and error distributions.

use std::ops::Range;
use std::path::Path;

use anyhow::{Result, anyhow};
use deepguard::Scored;
use deepguard::series::PERIOD;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::register_font;

/// Pixels from left to right.
pub(crate) const WIDTH: u32 = 1600;
/// Pixels of one instance, CPU and score together.
pub(crate) const PANEL: u32 = 270;
/// The score axis ends here at the latest: how far above the threshold hardly matters.
const MAX_SCORE: f64 = 4.0;
/// Times below a panel.
const MAX_TICKS: usize = 12;

pub(crate) const INK: RGBColor = RGBColor(38, 50, 66);
pub(crate) const FAINT: RGBColor = RGBColor(214, 219, 226);
pub(crate) const BAND: RGBColor = RGBColor(206, 226, 243);
pub(crate) const EXPECTED: RGBColor = RGBColor(74, 134, 190);
pub(crate) const SCORE: RGBColor = RGBColor(120, 94, 168);
pub(crate) const ALARM: RGBColor = RGBColor(214, 40, 40);
pub(crate) const WINDOW: RGBColor = RGBColor(253, 236, 200);
const PUBLISHED: RGBColor = RGBColor(20, 140, 90);

pub(crate) type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// One instance to draw.
#[derive(Debug)]
pub(crate) struct Panel<'a> {
    pub(crate) title: String,
    pub(crate) scored: &'a [Scored],
    /// Labelled anomalies, in seconds since 1970.
    pub(crate) windows: &'a [Range<i64>],
    /// Scores that were published: time and value.
    pub(crate) published: &'a [(i64, f64)],
    /// A moment to mark, in seconds since 1970.
    pub(crate) at: Option<i64>,
}

/// A PNG of the given height, white, to draw on; `draw` must not fail silently.
pub(crate) fn png(
    path: &Path,
    height: u32,
    draw: impl FnOnce(&Area<'_>) -> Result<()>,
) -> Result<()> {
    font()?;
    let area = BitMapBackend::new(path, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    draw(&area)?;
    area.present().map_err(|error| anyhow!("cannot write {}: {error}", path.display()))?;
    Ok(())
}

/// Makes "sans-serif" a font of our own: the machine may have none. To call it twice is harmless.
pub(crate) fn font() -> Result<()> {
    register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| anyhow!("the built-in font cannot be read"))
}

/// A line that explains the colours.
pub(crate) fn legend(area: &Area<'_>, title: &str) -> Result<()> {
    area.draw(&Text::new(title.to_string(), (20, 12), ("sans-serif", 26).into_font().color(&INK)))?;
    let entries = [
        ("observed CPU", INK),
        ("expected", EXPECTED),
        ("expected band", BAND),
        ("score", SCORE),
        ("published score", PUBLISHED),
        ("anomalous", ALARM),
        ("labelled window", WINDOW),
    ];
    let mut x = 20;
    for (name, colour) in entries {
        area.draw(&Rectangle::new([(x, 50), (x + 22, 62)], colour.filled()))?;
        area.draw(&Text::new(name, (x + 30, 47), ("sans-serif", 18).into_font().color(&INK)))?;
        x += 60 + 9 * name.len() as i32;
    }
    Ok(())
}

impl Panel<'_> {
    /// Draws CPU with its band above, the score below.
    pub(crate) fn draw(&self, area: &Area<'_>) -> Result<()> {
        let (Some(first), Some(last)) = (self.scored.first(), self.scored.last()) else {
            area.draw(&Text::new(
                format!("{}: nothing was scored", self.title),
                (20, 20),
                ("sans-serif", 20).into_font().color(&INK),
            ))?;
            return Ok(());
        };
        let times = first.time..last.time + PERIOD;
        let (above, below) = area.split_vertically(PANEL * 62 / 100);
        self.draw_cpu(&above, times.clone())?;
        self.draw_score(&below, times)
    }

    fn draw_cpu(&self, area: &Area<'_>, times: Range<i64>) -> Result<()> {
        let values = self.scored.iter().flat_map(|scored| [scored.observed, scored.expected]);
        let top = values.fold(0.0, f64::max).max(1e-3) * 1.12;
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, ("sans-serif", 20).into_font().color(&INK))
            .margin_left(10)
            .margin_right(20)
            .x_label_area_size(4)
            .y_label_area_size(70)
            .build_cartesian_2d(times, 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(0)
            .y_labels(4)
            .y_desc("CPU %")
            .bold_line_style(FAINT)
            .light_line_style(TRANSPARENT)
            .axis_style(FAINT)
            .label_style(("sans-serif", 15).into_font().color(&INK))
            .draw()?;
        self.draw_marks(&mut chart, top)?;
        for run in self.runs() {
            let edge = |scored: &Scored, end: f64| (scored.time, end.clamp(0.0, top));
            let above = run.iter().map(|scored| edge(scored, scored.high));
            let outline = above.chain(run.iter().rev().map(|scored| edge(scored, scored.low)));
            chart.draw_series([Polygon::new(outline.collect::<Vec<_>>(), BAND.filled())])?;
            chart.draw_series(LineSeries::new(
                run.iter().map(|scored| (scored.time, scored.expected)),
                EXPECTED,
            ))?;
            let observed = run.iter().map(|scored| (scored.time, scored.observed));
            chart.draw_series(LineSeries::new(observed, INK))?;
        }
        let anomalous = self.scored.iter().filter(|scored| scored.score.is_anomalous());
        chart.draw_series(
            anomalous.map(|scored| Circle::new((scored.time, scored.observed), 5, ALARM.filled())),
        )?;
        Ok(())
    }

    fn draw_score(&self, area: &Area<'_>, times: Range<i64>) -> Result<()> {
        let scores = self
            .scored
            .iter()
            .map(|scored| scored.score.value())
            .chain(self.published.iter().map(|&(_, score)| score));
        let top = scores.fold(1.3, f64::max).min(MAX_SCORE) * 1.06;
        let mut chart = ChartBuilder::on(area)
            .margin_left(10)
            .margin_right(20)
            .x_label_area_size(26)
            .y_label_area_size(70)
            .build_cartesian_2d(times.clone().with_key_points(ticks(&times)), 0.0..top)?;
        chart
            .configure_mesh()
            .disable_mesh()
            .x_labels(MAX_TICKS)
            .x_label_formatter(&|time| clock(*time))
            .y_labels(3)
            .y_desc("score")
            .axis_style(FAINT)
            .label_style(("sans-serif", 15).into_font().color(&INK))
            .draw()?;
        self.draw_marks(&mut chart, top)?;
        chart.draw_series([PathElement::new(
            [(times.start, 1.0), (times.end, 1.0)],
            ALARM.mix(0.6),
        )])?;
        for run in self.runs() {
            let score = run.iter().map(|scored| (scored.time, scored.score.value().min(top)));
            chart.draw_series(LineSeries::new(score, SCORE))?;
        }
        let inside = self.published.iter().filter(|(time, _)| times.contains(time));
        chart.draw_series(
            inside.map(|&(time, score)| Circle::new((time, score.min(top)), 4, PUBLISHED.filled())),
        )?;
        let anomalous = self.scored.iter().filter(|scored| scored.score.is_anomalous());
        chart.draw_series(anomalous.map(|scored| {
            Circle::new((scored.time, scored.score.value().min(top)), 4, ALARM.filled())
        }))?;
        Ok(())
    }

    /// Marks the labelled anomalies and the moment, from the axis to the `top`.
    fn draw_marks<T: Ranged<ValueType = i64>>(
        &self,
        chart: &mut ChartContext<'_, BitMapBackend<'_>, Cartesian2d<T, RangedCoordf64>>,
        top: f64,
    ) -> Result<()> {
        let windows = self.windows.iter().map(|window| {
            Rectangle::new([(window.start, 0.0), (window.end, top)], WINDOW.filled())
        });
        chart.draw_series(windows)?;
        chart.draw_series(
            self.at.map(|at| PathElement::new([(at, 0.0), (at, top)], ALARM.mix(0.5))),
        )?;
        Ok(())
    }

    /// The scored datapoints in runs without a gap.
    fn runs(&self) -> impl Iterator<Item = &[Scored]> {
        self.scored.chunk_by(|earlier, later| later.time - earlier.time <= PERIOD)
    }
}

/// Round times, at most [`MAX_TICKS`] of them.
fn ticks(times: &Range<i64>) -> Vec<i64> {
    let wanted = (times.end - times.start) / MAX_TICKS as i64;
    let step = [1, 2, 3, 6, 12, 24, 48, 96]
        .map(|hours| hours * 3600)
        .into_iter()
        .find(|&step| step >= wanted);
    let step = step.unwrap_or(wanted);
    let first = times.start.div_euclid(step) * step + step;
    // A label at the very end would be cut off.
    let last = times.end - (times.end - times.start) / 40;
    (first..last).step_by(step as usize).collect()
}

/// Seconds since 1970 as day and time, UTC.
pub(crate) fn clock(time: i64) -> String {
    jiff::Timestamp::from_second(time)
        .map_or_else(|_| time.to_string(), |time| time.strftime("%b %d %H:%M").to_string())
}
