//! Shows the contents of an artifact, for a person or as JSON.

use anyhow::Result;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use deepguard::Artifact;

use crate::build::fleet::BUDGETS;

/// Prints it.
pub(crate) fn inspect(artifact: &Artifact, json: bool) -> Result<()> {
    let card = artifact.card();
    if json {
        println!("{}", serde_json::to_string_pretty(card)?);
        return Ok(());
    }
    let training = &card.training;
    let error = &training.error;
    let shape = &card.shape;
    let rows = [
        ("version", artifact.version()),
        ("SHA-256", artifact.checksum().into()),
        ("format", card.format.to_string()),
        (
            "network",
            format!(
                "window {}, LSTM {}, bottleneck {}: {} parameters",
                shape.window,
                shape.hidden,
                shape.bottleneck,
                shape.parameters()
            ),
        ),
        ("scaling", card.scaling.clone()),
        ("threshold", format!("{} times the usual error is a score of 1.0", card.threshold)),
        (
            "borrowed usual",
            format!(
                "{:.2?} times the scale, by channel, for sequences without a past",
                card.borrowed_usual
            ),
        ),
        (
            "growth",
            format!(
                "{:.2?} times the usual error of an instance with 0, 1, 2 ... days",
                card.growth.forecasts
            ),
        ),
        ("... of records", format!("{:.2?} times", card.growth.records)),
        ("... of runs", format!("{:.2?} times", card.growth.runs)),
        (
            "trained",
            format!(
                "{}, version {}, seed {}, {} epochs over {} windows, last loss {:.4}; beside the \
                 files below on {} generated machines",
                training.date,
                training.crate_version,
                training.seed,
                training.epochs,
                training.windows,
                training.loss,
                training.generated
            ),
        ),
        (
            "error",
            format!(
                "on the training windows, percentage points: median {:.3}, 95 % {:.3}, 99 % {:.3}, \
                 largest {:.3}",
                error.p50, error.p95, error.p99, error.max
            ),
        ),
    ];
    let mut table = Table::new();
    table.load_style(NOTHING);
    for (name, value) in rows {
        table.add_row([name, &value]);
    }
    if let Some(fleet) = &training.fleet {
        let from = fleet
            .tuned_from
            .as_ref()
            .map_or("afresh".into(), |from| format!("going on from {from}"));
        table.add_row([
            "own fleet",
            &format!(
                "{} days of {} instances, {} datapoints, {from}; left out {} stretches, {} \
                 datapoints",
                fleet.days,
                fleet.instances,
                fleet.datapoints,
                fleet.left_out_stretches,
                fleet.left_out_datapoints
            ),
        ]);
    }
    for (index, budget) in BUDGETS.into_iter().enumerate() {
        if let Some(threshold) = card.threshold_for(budget) {
            let name = if index == 0 { "false alarms" } else { "" };
            let sure = card
                .pages
                .iter()
                .find(|row| row.threshold >= threshold)
                .and_then(|row| row.interval);
            let sure =
                sure.map_or_else(String::new, |[low, high]| format!(" (95 %: {low} to {high})"));
            table.add_row([
                name,
                &format!("{budget} per instance and week: threshold {threshold:.3}{sure}"),
            ]);
        }
    }
    for (index, file) in training.files.iter().enumerate() {
        let name = if index == 0 { "trained on" } else { "" };
        table.add_row([
            name,
            &format!(
                "{} ({} datapoints, SHA-256 {}...)",
                file.name,
                file.datapoints,
                &file.sha256[..12.min(file.sha256.len())]
            ),
        ]);
    }
    println!("{table}");
    Ok(())
}
