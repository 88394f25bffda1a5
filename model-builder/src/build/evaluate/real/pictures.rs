//! Pictures of the results on real machines.

use std::path::Path;

use anyhow::Result;
use deepguard::{Datapoint, Scored};

use super::rates::pages;
use super::tables::{Contestant, SHIPPED, Told};
use super::{MachineGroup, Pictured, fresh};
use crate::build::evaluate::charts::{self, Chart, FilePicture, Line, Options};
use crate::common::report::{Picture, Section};

/// False pages per machine and week at which a curve has a point.
const CURVE: [f64; 10] = [0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.4, 0.6, 1.0, 2.0];
/// A reader cannot tell more lines than this apart.
const LINES: usize = 8;
/// Seconds that a picture shows before a fault, and after it.
const AROUND: (i64, i64) = (4 * 86_400, 86_400);

impl MachineGroup {
    /// Finds over false pages: ours, without the network, and the best of the others.
    pub(super) fn curves(&self, contestants: &[Contestant<'_>]) -> (String, Chart, String) {
        let all = self.truth.all();
        let line = |contestant: &Contestant<'_>| {
            let at = |rate: f64| (rate, contestant.mean(|sweep| sweep.percent_at(rate, &all)));
            Line { name: contestant.name.into(), points: CURVE.map(at).to_vec(), dashed: false }
        };
        let mut series: Vec<Line> = contestants.iter().map(line).collect();
        let height = |line: &Line| line.points.iter().map(|(_, found)| found).sum::<f64>();
        series[2..].sort_by(|a, b| height(b).total_cmp(&height(a)));
        series.truncate(LINES);
        let chart = Chart {
            title: format!("Real machines, {}", self.name),
            x_label: "false pages per machine and week".into(),
            y_label: "% found".into(),
            series,
            options: Options {
                log_x: true,
                points: true,
                y_range: Some((0.0, 100.0)),
                ..Options::default()
            },
        };
        let caption = format!(
            "Further up and left is better. With and without the network, and the {} others that \
             find most. {:.1} machine-weeks: one page more or less is {:.2} a week.",
            LINES - 2,
            self.truth.weeks(),
            1.0 / self.truth.weeks()
        );
        (format!("real-{}.png", self.short), chart, caption)
    }
}

impl Told {
    /// Adds all pictures to the report, in the folder `out`.
    ///
    /// # Errors
    /// Where a picture cannot be written.
    pub(in crate::build::evaluate) fn section(&self, out: &Path) -> Result<Section> {
        let (file, chart, caption) = &self.curves;
        charts::lines(&out.join(file), chart)?;
        let curves = Picture {
            file: file.clone(),
            alt: format!("Percent found over false pages a week, {}", self.name),
            caption: caption.clone(),
        };
        let section = Section::new(format!("Real machines: {}", self.name))
            .table(self.found.clone())
            .picture(curves);
        let section = section.table(self.by_kind.clone()).table(self.asked_and_had.clone());
        self.pictured
            .iter()
            .try_fold(section, |section, pictured| Ok(section.picture(pictured.draw(out)?)))
    }
}

impl Pictured {
    fn draw(&self, out: &Path) -> Result<Picture> {
        let span = self.fault.span(&self.series);
        let shown = span.start() - AROUND.0..span.end() + AROUND.1;
        let points: Vec<Datapoint> = self.series.between(shown.start, shown.end).collect();
        let scored = |point: &Datapoint| {
            let at = self.with.binary_search_by_key(&point.time, |scored| scored.time).ok()?;
            self.with.get(at)
        };
        let of = |value: &dyn Fn(&Scored) -> f64| -> Vec<Option<f64>> {
            points.iter().map(|point| scored(point).map(value)).collect()
        };
        let times: Vec<i64> = points.iter().map(|point| point.time).collect();
        let score: Vec<f64> =
            of(&|scored| scored.score.value()).into_iter().map(Option::unwrap_or_default).collect();
        let alarms = [("DeepGuard", &self.with), ("without its network", &self.without)];
        let shown_pages = |scored: &[Scored]| {
            pages(&fresh(scored), SHIPPED)
                .into_iter()
                .filter(|page| shown.contains(page))
                .collect::<Vec<i64>>()
        };
        let alarms = alarms.map(|(name, scored)| (name.to_string(), shown_pages(scored)));
        let what = self.fault.kind.name();
        let window = *span.start()..*span.end() + 1;
        let picture = FilePicture {
            times: &times,
            observed: &points.iter().map(|point| point.value).collect::<Vec<_>>(),
            expected: &of(&|scored| scored.expected),
            low: &of(&|scored| scored.low),
            high: &of(&|scored| scored.high),
            score: &score,
            windows: std::slice::from_ref(&window),
            probation_end: shown.start,
            alarms: &alarms,
        };
        let file = format!("real-{}.png", self.name);
        charts::file_picture(&out.join(&file), &format!("{}: {what}", self.name), &picture)?;
        Ok(Picture {
            alt: format!(
                "CPU, expected band, score and pages of {} around an injected fault: {what}",
                self.name
            ),
            caption: format!(
                "{}, {what}, injected where it is shaded. Pages at the detector's own threshold.",
                self.name
            ),
            file,
        })
    }
}
