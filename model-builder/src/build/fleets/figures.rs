//! The picture: noise and finds by size of the fleet, and false pages by severity.

use std::path::Path;

use anyhow::Result;

use super::Measured;
use super::plan::Strength;
use super::tally::Tally;
use crate::build::evaluate::charts::{Chart, Line, Options, panels};
use crate::common::report::Picture;

/// Draws it, and gives its place in the document.
///
/// # Errors
/// Where it cannot be written.
pub(super) fn picture(measured: &Measured, out: &Path) -> Result<Picture> {
    let budget = measured.args.pages_per_week;
    let line = |of: &dyn Fn(&Tally) -> f64, dashed: bool, more: &str| -> Vec<Line> {
        let rules = measured.sizes.first().map_or(0, |size| size.tallies.len());
        let rule = |rule: usize| {
            let sizes = measured.sizes.iter();
            let point = sizes.map(|size| (size.machines as f64, of(&size.tallies[rule].1)));
            let name = measured.sizes[0].tallies[rule].0.name();
            Line { name: format!("{name}{more}"), points: point.collect(), dashed }
        };
        // The rule that a reader should look at is the last one, and the chart's first is boldest.
        (0..rules).rev().map(rule).collect()
    };
    // A fleet without such a page has a place on a logarithmic axis, too.
    let mut noise = line(&|tally| tally.noise().max(0.05), false, "");
    let ends: Vec<f64> = measured.sizes.iter().map(|size| size.machines as f64).collect();
    let allowed = Line {
        name: format!("the budget: {budget}"),
        points: ends.iter().map(|&machines| (machines, budget)).collect(),
        dashed: true,
    };
    noise.push(allowed);
    let percent = |tally: &Tally, strength| {
        tally.found(strength).percent.map_or(f64::NAN, |interval| interval.estimate)
    };
    let found = line(&|tally| percent(tally, Strength::Strong), false, "");
    let counted = measured.tails.iter().filter(|(_, tail)| tail.machines() > 0);
    let tails = counted.map(|(age, tail)| {
        let points = tail.rates().into_iter().map(|rate| (rate.level, rate.interval.estimate));
        let dashed = tail.name != "generated machines";
        let points = points.filter(|(_, rate)| *rate > 0.0).collect();
        Line { name: format!("{}, {}", tail.name, age.name()), points, dashed }
    });
    let log = Options { log_x: true, log_y: true, points: true, ..Options::default() };
    let charts = [
        Chart {
            title: "Pages for nothing".into(),
            x_label: "machines".into(),
            y_label: "a fleet and week".into(),
            series: noise,
            options: log,
        },
        Chart {
            title: "Strong faults told".into(),
            x_label: "machines".into(),
            y_label: "percent".into(),
            series: found,
            options: Options { log_y: false, y_range: Some((0.0, 100.0)), ..log },
        },
        Chart {
            title: "Pages of healthy machines".into(),
            x_label: "severity of at least".into(),
            y_label: "a series and week".into(),
            series: tails.collect(),
            options: log,
        },
    ];
    panels(out, &charts)?;
    Ok(Picture {
        file: "fleets.png".into(),
        alt: "Pages for nothing and strong faults told over the size of the fleet, and pages of \
              healthy machines over their severity"
            .into(),
        caption: String::new(),
    })
}
