//! The bill as a table: for a person, and in Markdown for the document.

use std::fmt;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use deepguard_aws::prices::{KIND_OF_PRICES, NATIVE_ALARM_METRICS, NATIVE_MODELS, PRICES_OF};

use super::bill::{Alternatives, Bill, Item, native};
use super::deployment::{BandMode, Deployment, Mode};
use super::numbers::{dollars, quantity};

/// The table of comparison in docs/cost.md, in Markdown: dollars a month of both modes and of
/// native anomaly detection for fleets of these numbers of instances. All else is as in `like`.
pub(super) fn comparison_table(fleets: &[u32], like: &Deployment) -> String {
    let mut lines = vec![
        "| instances | DeepGuard, sparse | DeepGuard, full | native anomaly detection |".into(),
        "| --: | --: | --: | --: |".into(),
    ];
    for &instances in fleets {
        let shards = like.shards.min(instances); // a shard needs an instance
        let total = |mode| dollars(Deployment { instances, shards, mode, ..*like }.total());
        let native = native(instances).map_or_else(|| "not possible".into(), dollars);
        let instances = quantity(f64::from(instances));
        lines.push(format!(
            "| {instances} | {} | {} | {native} |",
            total(Mode::Sparse),
            total(Mode::Full)
        ));
    }
    lines.push(String::new());
    lines.push(format!(
        "A month of 30 days, a run every {}, {} % of the instances near or above the threshold in \
         any given hour, {} % in an anomaly or in the six hours before one; {KIND_OF_PRICES}, \
         {PRICES_OF}. Native anomaly detection has {NATIVE_MODELS} models a Region.",
        like.period,
        quantity(like.active * 100.0),
        quantity(like.banded * 100.0)
    ));
    lines.join("\n") + "\n"
}

impl Item {
    fn price(&self) -> String {
        // A price keeps all its digits, and has two at least.
        let digits = self.price.to_string();
        let digits = match digits.split_once('.') {
            Some((_, decimals)) if decimals.len() >= 2 => digits,
            _ => format!("{:.2}", self.price),
        };
        if self.per == 1.0 {
            format!("${digits} per {}", self.unit)
        } else {
            format!("${digits} per {} {}", quantity(self.per), self.unit)
        }
    }
}

impl fmt::Display for Bill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Deployment {
            instances,
            period,
            mode,
            shards,
            active,
            memory,
            architecture,
            band,
            banded,
        } = self.deployment;
        let count = quantity(f64::from(instances));
        let plural =
            |number: u32, thing: &str| format!("{thing}{}", if number == 1 { "" } else { "s" });
        let published = match mode {
            Mode::Sparse => {
                format!("sparse ({} % active in any given hour)", quantity(active * 100.0))
            }
            Mode::Full => "full".into(),
        };
        let bands = match band {
            BandMode::Episodes => {
                format!("bands of {} % in any given hour", quantity(banded * 100.0))
            }
            BandMode::Always => "all bands".into(),
            BandMode::Off => "no bands".into(),
        };
        writeln!(
            f,
            "{count} {}, a run every {period}, {published}, {bands}, {shards} {}, {memory} \
             MB, {architecture}; a month of 30 days\n",
            plural(instances, "instance"),
            plural(shards, "shard"),
        )?;

        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header(["item", "quantity", "price", "dollars"]);
        for item in &self.items {
            table.add_row([
                &item.item,
                &quantity(item.quantity),
                &item.price(),
                &dollars(item.dollars),
            ]);
        }
        table.add_row(["total", "", "", &dollars(self.total)]);
        table.add_row(["total per instance", "", "", &dollars(self.total_per_instance)]);
        for column in [1, 3] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(f, "{}\n", table.trim_fmt())?;

        let Alternatives { native, native_models_per_region, other_mode, other_mode_total } =
            self.comparison;
        let native = match native {
            Some(native) => format!(
                "{} ({} an instance: {NATIVE_ALARM_METRICS} alarm metrics; \
                 {native_models_per_region} models a Region at most)",
                dollars(native),
                dollars(native / f64::from(instances))
            ),
            None => format!("not possible: a Region has {native_models_per_region} models at most"),
        };
        writeln!(f, "CloudWatch's own anomaly detection of the same fleet: {native}")?;
        writeln!(f, "DeepGuard in {other_mode} mode: {}", dollars(other_mode_total))?;
        for warning in &self.warnings {
            writeln!(f, "Warning: {warning}")?;
        }
        write!(f, "Prices: {}, {}; arithmetic, not a bill.", self.prices, self.prices_of)
    }
}
