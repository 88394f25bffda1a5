//! Checks that the reference's tables of settings and metrics match the code.
#![allow(
    clippy::expect_used,
    reason = "a test that meets what it did not expect should stop there"
)]

use deepguard_aws::metric::Metric;
use functions::settings::VARIABLES;

fn assert_table(header: &str, rows: impl Iterator<Item = String>) {
    let reference = include_str!("../../docs/reference.md");
    let table = std::iter::once(header.to_string()).chain(rows).collect::<Vec<_>>().join("\n");
    assert!(reference.contains(&table), "docs/reference.md lacks this table:\n\n{table}\n");
}

#[test]
fn settings() {
    let header = "| variable | default | what it says | values |\n| --- | --- | --- | --- |";
    let default =
        |default: &str| if default.is_empty() { "empty".into() } else { format!("`{default}`") };
    let row = |variable: &functions::settings::Variable| {
        let default = default(variable.default);
        format!("| `{}` | {default} | {} | {} |", variable.name, variable.meaning, variable.values)
    };
    assert_table(header, VARIABLES.iter().map(row));
}

#[test]
fn metrics() {
    let header = "| metric | of | unit | what it says |\n| --- | --- | --- | --- |";
    let row = |metric: &Metric| {
        let of =
            if metric.is_per_instance() { "each instance (`InstanceId`)" } else { "the fleet" };
        format!("| `{}` | {of} | {:?} | {} |", metric.name(), metric.unit(), metric.meaning())
    };
    assert_table(header, Metric::ALL.iter().map(row));
}
