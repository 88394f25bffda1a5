//! The tables of docs/reference.md that are made of the code: each must be as the code has it.
//! With `WRITE_REFERENCE=1` in the environment they are written (`make reference`).
#![allow(
    clippy::expect_used,
    reason = "a test that meets what it did not expect should stop there"
)]

use std::collections::BTreeMap;
use std::path::Path;

use deepguard_aws::metric::{Metric, Skip};
use functions::run::Delivered;
use functions::run::summary::{
    CaughtUp, EpisodeCounts, InstancesSummary, ModelSummary, StateSummary, Summary,
};
use functions::settings::{VARIABLES, Variable};
use functions::state::store::Origin;
use functions::trigger::shard::Shard;
use serde_json::Value;

fn variables() -> String {
    let row = |variable: &Variable| {
        let default = match variable.default {
            "" => "empty".into(),
            default => format!("`{default}`"),
        };
        format!("| `{}` | {default} | {} | {} |", variable.name, variable.meaning, variable.values)
    };
    table(&["variable", "default", "what it says", "values"], VARIABLES.iter().map(row))
}

fn metrics() -> String {
    let row = |metric: &Metric| {
        let of = if metric.is_per_instance() {
            "each instance (`InstanceId`), each group (`AutoScalingGroupName`)"
        } else {
            "the fleet"
        };
        format!("| `{}` | {of} | {:?} | {} |", metric.name(), metric.unit(), metric.meaning())
    };
    table(&["metric", "of", "unit", "what it says"], Metric::ALL.iter().map(row))
}

fn skips() -> String {
    let row = |skip: &Skip| format!("| `{}` | {} |", skip.name(), skip.meaning());
    table(&["reason", "cause"], Skip::ALL.iter().map(row))
}

fn table(header: &[&str], rows: impl Iterator<Item = String>) -> String {
    let line = |cells: &[&str]| format!("| {} |", cells.join(" | "));
    let head = [line(header), line(&vec!["---"; header.len()])];
    head.into_iter().chain(rows).collect::<Vec<_>>().join("\n")
}

/// The document with `text` between the markers of `name`.
fn with(document: &str, name: &str, text: &str) -> String {
    let [begin, end] = ["begin", "end"].map(|which| format!("<!-- {name}: {which} -->"));
    let (before, rest) = document.split_once(&begin).expect(&begin);
    let (_, after) = rest.split_once(&end).expect(&end);
    format!("{before}{begin}\n{text}\n{end}{after}")
}

#[test]
fn the_tables_are_those_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference.md");
    let document = std::fs::read_to_string(&path).expect("the reference");
    let tables = [("variables", variables()), ("skips", skips()), ("metrics", metrics())];
    let wanted =
        tables.iter().fold(document.clone(), |document, (name, text)| with(&document, name, text));
    if std::env::var_os("WRITE_REFERENCE").is_some() {
        std::fs::write(&path, &wanted).expect("the reference can be written");
        return;
    }
    for (name, text) in tables {
        assert_eq!(with(&document, name, &text), document, "{name}: `make reference` writes it");
    }
}

/// The names of an object's fields, and of those in it.
fn fields(value: &Value) -> BTreeMap<String, Vec<String>> {
    let names = |value: &Value| {
        value.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
    };
    let object = value.as_object().expect("an object");
    object.iter().map(|(name, value)| (name.clone(), names(value))).collect()
}

#[test]
fn the_summary_has_the_fields_of_the_example() {
    let summary = Summary {
        time: 0,
        dry_run: true,
        shard: Shard::WHOLE,
        model: ModelSummary { version: String::new(), source: String::new() },
        shadow: None,
        newest_datapoint: None,
        data_lag_seconds: None,
        instances: InstancesSummary {
            seen: 0,
            scored: 0,
            unchanged: 0,
            left_out: 0,
            skipped: BTreeMap::new(),
            anomalous_count: 0,
            anomalous: Vec::new(),
        },
        caught_up: CaughtUp { datapoints: 0, late: 0, oldest: None },
        state: StateSummary { loaded: Origin::Known, saved: false },
        superseded: false,
        episodes: EpisodeCounts::default(),
        alerts: Delivered::default(),
        datums_published: 0,
        datums_failed: 0,
        duration_ms: 0,
        scoring_ms: 0,
        cold_start: false,
        init_ms: None,
    };
    let document = include_str!("../../docs/reference.md");
    let example = document
        .split("```json\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .find(|block| block.contains("\"caught_up\""))
        .expect("an example of a summary");
    let example: Value = serde_json::from_str(example).expect("JSON");
    assert_eq!(fields(&example), fields(&serde_json::to_value(summary).expect("JSON")));
}
