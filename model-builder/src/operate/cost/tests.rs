use clap::Parser;

use super::bill::{
    custom_metrics, fleet_datums_a_datapoint, fleet_metrics, metrics_of_band, metrics_per_instance,
    native, resources,
};
use super::numbers::{dollars, quantity};
use super::*;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn asked(arguments: &str) -> Result<Deployment, clap::Error> {
    let arguments = std::iter::once("cost").chain(arguments.split_whitespace());
    Cli::try_parse_from(arguments).map(|cli| cli.args.deployment())
}

fn deployment(arguments: &str) -> Deployment {
    asked(arguments).unwrap()
}

/// Dollars of the items whose name begins so.
fn part(arguments: &str, name: &str) -> f64 {
    let items = deployment(arguments).items();
    let found: Vec<_> = items.iter().filter(|item| item.item.starts_with(name)).collect();
    assert!(!found.is_empty(), "no item {name}");
    found.iter().map(|item| item.dollars).sum()
}

#[track_caller]
fn close(actual: f64, by_hand: f64) {
    assert!((actual - by_hand).abs() < 1e-6 * by_hand.abs().max(1.0), "{actual} is not {by_hand}");
}

const TEN_THOUSAND: &str = "--instances 10000 --period 5m --mode sparse";

/// A thirtieth of it is what the function's digest says after a day: its test
/// `a_day_costs_a_thirtieth_of_a_month_s_bill`.
#[test]
fn a_small_deployment_by_hand() {
    let small = "--instances 8 --mode full --band off";
    // 8 x 8,640 = 69,120 metrics; / 1,000 x 0.01
    close(part(small, "GetMetricData, detector"), 0.6912);
    // 8 x 2 + 14 = 30 metric-months x 0.30
    close(part(small, "custom metrics"), 9.00);
}

// 30 days x 24 h x 12 runs = 8,640 runs a month, 288 a day; 30 calibrations.
#[test]
fn ten_thousand_instances_sparse_by_hand() {
    // 10,000 x 8,640 = 86,400,000 metrics; / 1,000 x 0.01
    close(part(TEN_THOUSAND, "GetMetricData, detector"), 864.00);
    // 10,000 x 30 = 300,000 metrics; / 1,000 x 0.01
    close(part(TEN_THOUSAND, "GetMetricData, calibrator"), 3.00);
    // 10,000 / 500 = 20 pages x 8,670 = 173,400 requests; / 1,000 x 0.01
    close(part(TEN_THOUSAND, "ListMetrics"), 1.734);
    // 10,000 x (0.05 x 2 + 0.05 x 3) + 4 = 2,504 datums are 3 calls, and one for the gauges; 4 x
    // 8,640 = 34,560 / 1,000 x 0.01
    close(part(TEN_THOUSAND, "PutMetricData"), 0.3456);
    // 10,000 x (0.05 x 2 + 0.05 x 3) + 14 = 2,514 metric-months x 0.30
    close(part(TEN_THOUSAND, "custom metrics"), 754.20);
    // anomaly, suppressed, silence, errors, calibrator, stale, delivery, coverage, throttles,
    // calibrator-throttles, dead-letters: 11 x 0.10
    close(part(TEN_THOUSAND, "alarms"), 1.10);
    // 10,000 x 0.05 x 0.10
    close(part(TEN_THOUSAND, "contributors' alarm"), 50.0);
    close(part(TEN_THOUSAND, "dashboard"), 3.0);
    // 8,640 + 30 = 8,670 requests x 0.20 / 1,000,000
    close(part(TEN_THOUSAND, "Lambda, requests"), 0.001_734);
    // 1 + 10 x 1.5 = 16 s x 8,640 = 138,240 s x 0.5 GB = 69,120 GB-s x 0.0000166667
    close(part(TEN_THOUSAND, "Lambda, detector"), 1.152_002_3);
    // 10,000 x 0.025 s x 30 = 7,500 s x 1,769 / 1,024 = 12,956.543 GB-s x 0.0000166667
    close(part(TEN_THOUSAND, "Lambda, calibrator"), 0.215_942_8);
    // 2 x 8,640 + 30 = 17,310 x 0.005 / 1,000
    close(part(TEN_THOUSAND, "S3, PUT"), 0.086_55);
    // 2 x 8,640 + 2 x 30 = 17,340 x 0.0004 / 1,000
    close(part(TEN_THOUSAND, "S3, GET"), 0.006_936);
    // 10,000 x (4,500 x 289 + 8,600 x 3) = 13,263,000,000 bytes / 1,073,741,824 = 12.352131 GB x
    // 0.023
    close(part(TEN_THOUSAND, "S3, storage"), 0.2840990);
    close(part(TEN_THOUSAND, "Step Functions"), 0.0);
    // 8,670 x 1.00 / 1,000,000
    close(part(TEN_THOUSAND, "EventBridge Scheduler"), 0.008_67);
    // 8,670 x 2,000 = 17,340,000 bytes / 1,073,741,824 = 0.0161491 GB x 0.50
    close(part(TEN_THOUSAND, "CloudWatch Logs"), 0.008_074_6);
    // Their sum: 867.00 + 1.734 + 0.3456 + 754.20 + 1.10 + 50.00 + 3.00 = 1,677.3796, Lambda
    // 1.3696791, S3 0.3775850, the rest 0.0167446
    close(deployment(TEN_THOUSAND).total(), 1_679.143_609);
}

#[test]
fn ten_thousand_instances_full_by_hand() {
    let full = "--instances 10000 --mode full";
    // 10,000 x (2 + 0.05 x 3) + 14 = 21,514: 10,000 x 0.30 + 11,514 x 0.10
    close(part(full, "custom metrics"), 4_151.40);
    // 21,500 + 4 = 21,504 datums are 22 calls, and one for the gauges; 23 x 8,640 = 198,720 / 1,000
    // x 0.01
    close(part(full, "PutMetricData"), 1.9872);
    // Only where it is asked for.
    close(part(full, "contributors' alarm"), 0.0);
    // The sparse total, less its 754.20 + 0.3456 + 50.00, and the first two.
    close(deployment(full).total(), 1_679.143_609 - 804.545_6 + 4_153.387_2);
}

#[test]
fn small_fleet_by_hand() {
    // 10 x (0.05 x 2 + 0.05 x 3) + 14 = 16.5 metric-months x 0.30
    close(part("--instances 10", "custom metrics"), 4.95);
    // 10 x (2 + 0.05 x 3) + 14 = 35.5 x 0.30
    close(part("--instances 10 --mode full", "custom metrics"), 10.65);
    // 3 + 4 = 7 datums are one call, and one for the gauges: 2 x 8,640 = 17,280 / 1,000 x 0.01
    close(part("--instances 10", "PutMetricData"), 0.1728);
    // 1 page x 8,670 / 1,000 x 0.01
    close(part("--instances 10", "ListMetrics"), 0.0867);
}

#[test]
fn custom_metrics_pass_through_the_tiers() {
    let dollars = |count| custom_metrics(count).iter().map(|item| item.dollars).sum::<f64>();
    close(dollars(10_000.0), 3_000.0);
    // 3,000 + 0.10
    close(dollars(10_001.0), 3_000.10);
    // 3,000 + 240,000 x 0.10 = 27,000
    close(dollars(250_000.0), 27_000.0);
    // 27,000 + 0.05
    close(dollars(250_001.0), 27_000.05);
    // 27,000 + 750,000 x 0.05 = 64,500
    close(dollars(1_000_000.0), 64_500.0);
    // 64,500 + 1,000,000 x 0.02 = 84,500
    close(dollars(2_000_000.0), 84_500.0);
    assert_eq!(custom_metrics(10_000.0).len(), 1);
    assert_eq!(custom_metrics(2_000_000.0).len(), 4);
}

#[test]
fn shards_by_hand() {
    let sharded = "--instances 10000 --shards 10";
    // 6 + 2 x 10 = 26 x 8,640 = 224,640 / 1,000 x 0.025
    close(part(sharded, "Step Functions"), 5.616);
    // 10 x (1 + 1.5) = 25 s x 8,640 x 0.5 = 108,000 GB-s x 0.0000166667
    close(part(sharded, "Lambda, detector"), 1.800_003_6);
    // 8,670 x 10 x 0.20 / 1,000,000
    close(part(sharded, "Lambda, requests"), 0.017_34);
    // (2 x 8,640 + 30) x 10 = 173,100 x 0.005 / 1,000
    close(part(sharded, "S3, PUT"), 0.8655);
    // 2,500 / 10 + 4 = 254 datums a shard are one call, and one for the gauges: 2 x 10 x 8,640 =
    // 172,800 / 1,000 x 0.01
    close(part(sharded, "PutMetricData"), 1.728);
    // 21,500 / 10 + 4 = 2,154 datums a shard are 3 calls, and one: 4 x 10 x 8,640 = 345,600 / 1,000
    // x 0.01
    close(part("--instances 10000 --shards 10 --mode full", "PutMetricData"), 3.456);
    // Each shard lists the whole fleet: 20 x 8,670 x 10 = 1,734,000 / 1,000 x 0.01
    close(part(sharded, "ListMetrics"), 17.34);
}

#[test]
fn a_rarer_schedule_costs_less() {
    // 10,000 x 720 / 1,000 x 0.01
    close(part("--instances 10000 --period 1h", "GetMetricData, detector"), 72.0);
    close(part("--instances 10000 --period 1h", "GetMetricData, calibrator"), 3.0);
    // 12 datapoints of 2 metrics and 0.05 x 3 of 10,000 instances, and of 4 of the fleet: 258,000 +
    // 48 = 258,048 datums are 259 calls, and one for the gauges; 260 x 720 = 187,200 / 1,000 x 0.01
    close(part("--instances 10000 --period 1h --mode full", "PutMetricData"), 1.8720);
    // 10,000 x (4,500 x 25 + 8,600 x 3) = 1,383,000,000 bytes / 1,073,741,824 = 1.288019 GB x
    // 0.023
    close(part("--instances 10000 --period 1h", "S3, storage"), 0.0296244);
    // A metric costs its hour however often it is sent in it.
    close(part("--instances 10000 --period 1h", "custom metrics"), 754.20);
}

#[test]
fn items_are_proportional_to_what_they_count() {
    for name in ["GetMetricData", "ListMetrics", "Lambda, calibrator", "S3, storage"] {
        close(part("--instances 10000", name), 10.0 * part("--instances 1000", name));
    }
    for name in ["GetMetricData, detector", "Lambda, detector"] {
        close(
            part("--instances 10000 --period 5m", name),
            3.0 * part("--instances 10000 --period 15m", name),
        );
    }
    close(
        part("--instances 70 --memory 1024", "Lambda, detector"),
        2.0 * part("--instances 70", "Lambda, detector"),
    );
    let (arm, x86) =
        ("--instances 70 --architecture arm64", "--instances 70 --architecture x86_64");
    close(
        part(arm, "Lambda, detector") / part(x86, "Lambda, detector"),
        0.000_013_333_4 / 0.000_016_666_7,
    );
    // The fleet's 14 metrics stay whatever is active: 14 x 0.30
    close(part("--instances 1000 --active 0 --band off", "custom metrics"), 4.20);
    // 1,000 x 3 + 14 = 3,014 x 0.30
    close(part("--instances 1000 --active 0 --band always", "custom metrics"), 904.20);
    // 1,000 x 0.1 x 3 + 14 = 314 x 0.30
    close(part("--instances 1000 --active 0 --banded 0.1", "custom metrics"), 94.20);
    close(
        part("--instances 1000 --active 1", "custom metrics"),
        part("--instances 1000 --mode full", "custom metrics"),
    );
}

#[test]
fn periods_are_steps_of_five_minutes_up_to_three_hours() {
    for (text, minutes) in
        [("5m", 5), ("10m", 10), ("35m", 35), ("90m", 90), ("1h", 60), ("3h", 180), ("180m", 180)]
    {
        assert_eq!(text.parse(), Ok(Period(minutes)));
    }
    for (text, error) in [
        ("5", "say minutes or hours"),
        ("", "say minutes or hours"),
        ("5s", "say minutes or hours"),
        ("m", "not a whole number"),
        ("1.5h", "not a whole number"),
        ("-5m", "not a whole number"),
        ("+5m", "not a whole number"),
        ("5 m", "not a whole number"),
        ("99999999999h", "not a whole number"),
        ("4000000000h", "not a whole number"),
        ("0m", "from 5m to 3h"),
        ("4h", "from 5m to 3h"),
        ("185m", "from 5m to 3h"),
        ("7m", "multiple of 5"),
        ("1m", "multiple of 5"),
    ] {
        let message = text.parse::<Period>().unwrap_err();
        assert!(message.contains(error), "{text}: {message}");
    }
    assert_eq!(Period(60).to_string(), "1h");
    assert_eq!(Period(90).to_string(), "90m");
}

#[test]
fn the_command_line_has_defaults_and_limits() {
    let default = deployment("--instances 1");
    assert_eq!((default.period, default.mode, default.shards), (Period(5), Mode::Sparse, 1));
    assert_eq!(
        (default.active, default.memory, default.architecture),
        (0.05, 512, Architecture::X86_64)
    );
    assert!(asked("--table").is_ok());
    for wrong in [
        "",
        "--instances 0",
        "--instances 1000001",
        "--instances 1 --active 1.1",
        "--instances 1 --active NaN",
        "--instances 1 --shards 0",
        "--instances 1 --memory 64",
        "--instances 1 --mode dense",
        "--instances 1 --band never",
        "--instances 1 --banded 2",
        "--instances 1 --architecture arm",
        "--table --json",
        "--table --instances 5",
    ] {
        assert!(asked(wrong).is_err(), "{wrong}");
    }
    let cli = Cli::try_parse_from(["cost", "--instances", "2", "--shards", "3"]).unwrap();
    assert!(cost(&cli.args).unwrap_err().to_string().contains("more than --instances 2"));
}

#[test]
fn json_holds_items_that_add_up_to_the_total() {
    for arguments in
        [TEN_THOUSAND, "--instances 1000000 --mode full --shards 50 --period 10m", "--instances 1"]
    {
        let json = serde_json::to_string(&deployment(arguments).bill()).unwrap();
        let bill: serde_json::Value = serde_json::from_str(&json).unwrap();
        let items = bill["items"].as_array().unwrap();
        let sum: f64 = items.iter().map(|item| item["dollars"].as_f64().unwrap()).sum();
        close(bill["total"].as_f64().unwrap(), sum);
        let number = |item: &serde_json::Value, key: &str| item[key].as_f64().unwrap();
        for item in items {
            close(
                number(item, "quantity") * number(item, "price") / number(item, "per"),
                number(item, "dollars"),
            );
            assert!(item["source"].as_str().unwrap().ends_with("pricing page"));
        }
        let instances = bill["deployment"]["instances"].as_f64().unwrap();
        close(bill["total_per_instance"].as_f64().unwrap() * instances, sum);
        assert_eq!(bill["prices_of"], "2026-11");
    }
    let bill = serde_json::to_value(deployment(TEN_THOUSAND).bill()).unwrap();
    assert_eq!(bill["deployment"]["period_minutes"], 5);
    assert_eq!(bill["deployment"]["mode"], "sparse");
    assert_eq!(bill["deployment"]["architecture"], "x86_64");
    assert_eq!(bill["comparison"]["native"], serde_json::Value::Null);
    assert_eq!(bill["comparison"]["other_mode"], "full");
    close(bill["comparison"]["other_mode_total"].as_f64().unwrap(), 5_027.985_209);
}

#[test]
fn native_detection_ends_at_five_hundred_models() {
    close(native(1).unwrap(), 0.30);
    close(native(500).unwrap(), 150.0);
    assert_eq!(native(501), None);
    let shown = |arguments| deployment(arguments).bill().to_string();
    assert!(
        shown("--instances 500")
            .contains("$150.00 ($0.30 an instance: 3 alarm metrics; 500 models a Region at most)")
    );
    assert!(shown("--instances 501").contains("not possible: a Region has 500 models at most"));
}

#[test]
fn what_does_not_fit_into_a_run_is_warned_of() {
    assert!(deployment("--instances 10000").warnings().is_empty());
    // 100,000 x 0.025 = 2,500 s in 900. The detector's 1 + 100 x 1.5 = 151 s fit into 300.
    let warnings = deployment("--instances 100000").warnings();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with("Calibrating takes about 2,500 s and Lambda allows 900"),
        "{warnings:?}"
    );
    // 1 + 300 x 1.5 = 451 s in 300; 450 / 299 = 1.5 shards. 300,000 x 0.025 = 7,500 s, with shards
    // as without.
    let warnings = deployment("--instances 300000").warnings();
    assert_eq!(
        warnings[0],
        "A shard's run takes about 451 s and has 300 s at most: use 2 shards or more."
    );
    assert!(warnings[1].starts_with("Calibrating takes about 7,500 s"), "{warnings:?}");
    assert_eq!(deployment("--instances 300000 --shards 2").warnings(), warnings[1..]);
    // With an hour's time it is Lambda that sets the limit: 1 + 1,000 x 1.5 = 1,501 s in 900; 1,500
    // / 899 = 1.7 shards.
    let warnings = deployment("--instances 1000000 --period 1h").warnings();
    assert!(
        warnings[0].contains("about 1,501 s and has 900 s at most: use 2 shards"),
        "{warnings:?}"
    );
}

#[test]
fn the_text_says_what_the_numbers_are() {
    let text = deployment(TEN_THOUSAND).bill().to_string();
    for expected in [
        "10,000 instances, a run every 5m, sparse (5 % active in any given hour), bands of 5 % in \
         any given hour, 1 shard, 512 MB, x86_64",
        "86,400,000",
        "$0.01 per 1,000 metrics requested",
        "$0.0000166667 per GB-second",
        "$0.30 per metric-month",
        "$864.00",
        "$1,679.14",
        "DeepGuard in full mode: $5,027.99",
        "Prices: list prices us-east-1, without free tier, 2026-11",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    assert_eq!(dollars(0.0), "$0.00");
    assert_eq!(dollars(0.001), "< $0.01");
    assert_eq!(dollars(1_234_567.891), "$1,234,567.89");
    assert_eq!(dollars(999.999), "$1,000.00");
    assert_eq!(
        [quantity(211.0), quantity(11.2), quantity(0.0161), quantity(5_182.6)],
        ["211", "11.20", "0.0161", "5,183"]
    );
}

#[test]
fn the_table_of_the_document_is_markdown() {
    let table = comparison_table(&[500, 10_000], &deployment("--table"));
    let lines: Vec<_> = table.lines().collect();
    assert!(
        lines[..4].iter().all(|line| line.starts_with('|') && line.matches('|').count() == 5),
        "{table}"
    );
    assert!(lines[2].starts_with("| 500 | $") && lines[2].ends_with(" | $150.00 |"), "{table}");
    assert_eq!(lines[3], "| 10,000 | $1,679.14 | $5,027.99 | not possible |");
    assert!(lines[5].contains("list prices us-east-1, without free tier, 2026-11"));

    let table = comparison_table(&TABLE_FLEETS, &deployment("--table"));
    let (table, _) = table.split_once("\n\n").unwrap();
    assert!(
        include_str!("../../../../docs/cost.md").contains(table),
        "docs/cost.md lacks this table:\n\n{table}\n"
    );
}

#[test]
fn the_catalogue_and_the_template_are_what_is_billed() {
    // By the catalogue: 2 of an instance and 3 of its band, 14 of the fleet, 4 of them for each
    // datapoint's time.
    assert_eq!(
        (metrics_per_instance(), metrics_of_band(), fleet_metrics(), fleet_datums_a_datapoint()),
        (2.0, 3.0, 14.0, 4.0)
    );
    // Every alarm and dashboard of the template is on the bill, or is one of a function that the
    // default leaves out.
    let template = include_str!("../../../../template.yaml");
    let alarms = template.matches("Type: AWS::CloudWatch::Alarm\n").count() as f64;
    let under = |condition| resources("AWS::CloudWatch::Alarm", condition);
    let [always, contributors, predictor] =
        [None, Some("HasContributorAlarm"), Some("HasPredictApi")].map(under);
    assert_eq!((always, contributors, predictor), (11.0, 1.0, 1.0));
    assert_eq!(always + contributors + predictor, alarms, "an alarm under another condition");
    assert_eq!(resources("AWS::CloudWatch::Dashboard", Some("HasDashboard")), 1.0);
}
