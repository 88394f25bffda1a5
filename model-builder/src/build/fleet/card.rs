//! The model card of a training on one's own fleet: the data it used, the data it left out, its
//! finds and its pages.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use deepguard::model::card::Why;
use deepguard::model::device;
use deepguard::series::DAY_SECONDS;
use deepguard::{Detector, Watch};
use jiff::Timestamp;

use super::clean::Cleaned;
use super::{Trained, settling};
use crate::build::evaluate::inject;
use crate::build::workload::fault::Fault;
use crate::common::files::write_whole;
use crate::common::parallel::parallel;
use crate::common::picture::{self, PANEL, Panel};
use crate::common::report::{Picture, Report, Section};
use crate::common::table::Table;

/// Budgets for which the card tells the threshold.
pub(crate) const BUDGETS: [f64; 9] = [0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0];
/// Instances that faults are injected into.
const INJECTED: usize = 40;
/// Instances that are drawn: those with the most data left out.
const DRAWN: usize = 4;

fn time(second: i64) -> String {
    Timestamp::from_second(second).map_or_else(|_| second.to_string(), |time| time.to_string())
}

fn words(why: Why) -> &'static str {
    match why {
        Why::Muted => "muted",
        Why::Confirmed => "confirmed anomaly",
        Why::Contaminated => "clearly anomalous",
    }
}

/// The data that was left out of the history.
pub(super) fn left_out_table(cleaned: &Cleaned) -> Table {
    let row = |stretch: &deepguard::model::card::LeftOut| {
        vec![
            stretch.instance.clone(),
            time(stretch.from),
            time(stretch.until),
            words(stretch.why).into(),
        ]
    };
    Table {
        title: format!(
            "Left out: {} stretches, {} datapoints",
            cleaned.left_out.len(),
            cleaned.datapoints
        ),
        header: ["instance", "from", "until", "why"].map(String::from).to_vec(),
        rows: cleaned.left_out.iter().map(row).collect(),
        ..Table::default()
    }
}

/// Writes the card to `path` and its picture beside it.
///
/// # Errors
/// Where one of them cannot be written, or `stop` is set.
pub(super) fn write(trained: &Trained, path: &Path, stop: &AtomicBool) -> Result<()> {
    let picture_path = path.with_extension("png");
    draw(trained, &picture_path)?;
    let file = picture_path
        .file_name()
        .and_then(|name| name.to_str())
        .context("the card needs a name")?
        .to_string();
    let picture = Picture {
        file,
        alt: "CPU, expected band and score of some instances".into(),
        caption: "Some of the instances, scored with the new artifact. The parts left out of the \
                  training are shaded."
            .into(),
    };
    let report = Report {
        title: format!("Model card of {}", trained.artifact.version()),
        subtitle: subtitle(trained),
        sections: vec![
            Section::new("Artifact").table(facts(trained)),
            Section::new("Pages").table(pages(trained)),
            Section::new("Injected faults").table(faults(trained, stop)?),
            Section::new("History").table(left_out_table(&trained.cleaned)).picture(picture),
        ],
    };
    write_whole(path, report.markdown(Some("")).as_bytes())
}

fn subtitle(trained: &Trained) -> String {
    let (card, fleet) = (trained.artifact.card(), trained.artifact.card().training.fleet.as_ref());
    let from = fleet
        .and_then(|fleet| fleet.tuned_from.clone())
        .map_or("afresh".into(), |from| format!("from {from}"));
    let days = fleet.map_or(0, |fleet| fleet.days);
    format!(
        "Trained {} on {days} days of {} instances of this account and {} generated machines, \
         {from}",
        card.training.date,
        trained.histories.len(),
        card.training.generated
    )
}

fn facts(trained: &Trained) -> Table {
    let card = trained.artifact.card();
    let training = &card.training;
    let used: usize = training.fleet.as_ref().map_or(0, |fleet| fleet.datapoints);
    let rows = [
        ("version", trained.artifact.version()),
        ("SHA-256", trained.artifact.checksum().into()),
        ("threshold", format!("{:.4}", card.threshold)),
        ("pages per instance and week that were asked for", format!("{:.2}", trained.budget)),
        (
            "pages that its own history has, real anomalies included",
            format!("{:.2}", trained.counted),
        ),
        ("datapoints that were trained on", used.to_string()),
        (
            "windows, epochs, last loss",
            format!("{}, {}, {:.4}", training.windows, training.epochs, training.loss),
        ),
        ("seed", training.seed.to_string()),
    ];
    Table {
        title: "What it is".into(),
        header: ["", ""].map(String::from).to_vec(),
        rows: rows.into_iter().map(|(name, value)| vec![name.into(), value]).collect(),
        ..Table::default()
    }
}

fn pages(trained: &Trained) -> Table {
    let row = |budget: f64| {
        let threshold = trained.artifact.card().threshold_for(budget).unwrap_or(f64::NAN);
        vec![budget.to_string(), format!("{threshold:.3}")]
    };
    Table {
        title: "Threshold for a budget of false alarms per instance and week".into(),
        note:
            "Measured on generated machines that were not trained on, and scaled to this fleet by \
             the bulk of its days."
                .into(),
        header: ["budget", "threshold"].map(String::from).to_vec(),
        rows: BUDGETS.map(row).to_vec(),
        ..Table::default()
    }
}

/// Counts how many faults of each kind are found in the fleet's own quiet history, by the new
/// artifact and by the one before.
fn faults(trained: &Trained, stop: &AtomicBool) -> Result<Table> {
    let days = trained.artifact.card().training.fleet.as_ref().map_or(14, |fleet| fleet.days);
    let step = trained.cleaned.histories.len().div_ceil(INJECTED).max(1);
    let chosen = trained.cleaned.histories.iter().step_by(step);
    let machines = chosen.map(|(instance, series)| (instance.as_str(), series));
    let bench = inject::of_histories(machines, settling(days).max(3));
    let found = |artifact: &deepguard::Artifact, threshold: f64| {
        let detector = Detector::new(artifact.clone(), &device());
        let numbers: Vec<usize> = (0..bench.machines.len()).collect();
        let seen = parallel(&numbers, stop, |&machine| bench.see(machine, &detector))?;
        Ok::<_, anyhow::Error>(
            bench.found(&bench.outcome("", seen), threshold / detector.threshold()),
        )
    };
    let new = found(&trained.artifact, trained.artifact.card().threshold)?;
    let before = found(&trained.start, trained.before)?;
    let share = |found: &[Option<usize>], of: &dyn Fn(Fault) -> bool| {
        let cases = || bench.cases.iter().zip(found).filter(|(case, _)| of(case.fault));
        let hit = cases().filter(|(_, found)| found.is_some()).count();
        format!("{hit} of {}", cases().count())
    };
    let row = |name: &str, of: &dyn Fn(Fault) -> bool| {
        vec![name.into(), share(&new, of), share(&before, of)]
    };
    let kinds = Fault::ALL.into_iter().filter(|fault| *fault != Fault::Nothing);
    let mut rows: Vec<Vec<String>> =
        kinds.map(|fault| row(fault.name(), &|other| other == fault)).collect();
    rows.push(row("all faults", &|fault| fault != Fault::Nothing));
    rows.push(row("nothing at all (found by chance)", &|fault| fault == Fault::Nothing));
    Ok(Table {
        title: "Faults found that were injected into the quiet history of this account's instances"
            .into(),
        note: format!(
            "Both at the threshold for the same budget on this fleet, {:.3} and {:.3}. The new \
             network has seen the history without the faults.",
            trained.artifact.card().threshold,
            trained.before
        ),
        header: vec![
            "fault".into(),
            "this model".into(),
            format!("before: {}", trained.start.version()),
        ],
        strong: vec![rows.len() - 2],
        rows,
    })
}

fn draw(trained: &Trained, path: &Path) -> Result<()> {
    const HEAD: u32 = 80;
    let mut chosen: Vec<_> = trained.histories.iter().collect();
    let left_out = |(instance, _): &(&deepguard_aws::ids::TargetId, _)| {
        trained.cleaned.but(instance).iter().map(|times| times.end - times.start).sum::<i64>()
    };
    chosen.sort_by_key(|of| std::cmp::Reverse(left_out(of)));
    chosen.truncate(DRAWN);
    let detector = Detector::new(trained.artifact.clone(), &device());
    let days = trained.artifact.card().training.fleet.as_ref().map_or(14, |fleet| fleet.days);
    picture::png(path, HEAD + PANEL * chosen.len() as u32, |area| {
        let (head, mut rest) = area.split_vertically(HEAD);
        picture::legend(
            &head,
            &format!("Instances of this account, model {}", trained.artifact.version()),
        )?;
        for (instance, series) in &chosen {
            let (panel, below) = rest.split_vertically(PANEL);
            let mut scored = detector.follow(series, &mut Watch::default(), series.end());
            scored.retain(|scored| {
                scored.time >= series.start() + settling(days) as i64 * DAY_SECONDS
            });
            let shown = scored.first().map_or(0, |first| first.time)
                ..scored.last().map_or(0, |last| last.time);
            let within = |times: &std::ops::Range<i64>| {
                times.start.max(shown.start)..times.end.min(shown.end)
            };
            let windows: Vec<_> = trained
                .cleaned
                .but(instance)
                .iter()
                .map(within)
                .filter(|w| !w.is_empty())
                .collect();
            let panel_of = Panel {
                title: instance.to_string(),
                scored: &scored,
                windows: &windows,
                published: &[],
                at: None,
            };
            panel_of.draw(&panel)?;
            rest = below;
        }
        Ok(())
    })
}
