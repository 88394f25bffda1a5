//! The monthly AWS bill of a deployment, item by item, before it is deployed.
//!
//! Everything is dollars a month of 30 days at the list prices below, without the free tier. It is arithmetic on how often
//! what is called, not a bill: retries, other CloudWatch metrics of the account (they share the price tiers), e-mails and
//! taxes are not in it.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde::{Serialize, Serializer};

// The prices. One place for each.

/// Month that the prices are of. Whoever changes a price changes it, too.
const PRICES_OF: &str = "2026-11";
/// What kind of prices they are; stands beside every total.
const KIND_OF_PRICES: &str = "list prices us-east-1, without free tier";

const CLOUDWATCH: &str = "CloudWatch pricing page";
const LAMBDA: &str = "Lambda pricing page";
const S3: &str = "S3 pricing page";
const STEP_FUNCTIONS: &str = "Step Functions pricing page";
const EVENTBRIDGE: &str = "EventBridge pricing page";

const PRICES: Prices = Prices {
    get_metric_data: Price { dollars: 0.01, per: 1_000.0, unit: "metrics requested", source: CLOUDWATCH },
    put_metric_data: Price { dollars: 0.01, per: 1_000.0, unit: "requests", source: CLOUDWATCH },
    list_metrics: Price { dollars: 0.01, per: 1_000.0, unit: "requests", source: CLOUDWATCH },
    custom_metrics: [
        Tier {
            name: "the first 10,000",
            size: 10_000.0,
            price: Price { dollars: 0.30, per: 1.0, unit: "metric-month", source: CLOUDWATCH },
        },
        Tier {
            name: "the next 240,000",
            size: 240_000.0,
            price: Price { dollars: 0.10, per: 1.0, unit: "metric-month", source: CLOUDWATCH },
        },
        Tier {
            name: "the next 750,000",
            size: 750_000.0,
            price: Price { dollars: 0.05, per: 1.0, unit: "metric-month", source: CLOUDWATCH },
        },
        Tier {
            name: "over 1,000,000",
            size: f64::INFINITY,
            price: Price { dollars: 0.02, per: 1.0, unit: "metric-month", source: CLOUDWATCH },
        },
    ],
    alarm: Price { dollars: 0.10, per: 1.0, unit: "alarm-metric", source: CLOUDWATCH },
    log_ingestion: Price { dollars: 0.50, per: 1.0, unit: "GB", source: CLOUDWATCH },
    lambda_requests: Price { dollars: 0.20, per: 1_000_000.0, unit: "requests", source: LAMBDA },
    lambda_x86_64: Price { dollars: 0.000_016_666_7, per: 1.0, unit: "GB-second", source: LAMBDA },
    lambda_arm64: Price { dollars: 0.000_013_333_4, per: 1.0, unit: "GB-second", source: LAMBDA },
    s3_put: Price { dollars: 0.005, per: 1_000.0, unit: "requests", source: S3 },
    s3_get: Price { dollars: 0.0004, per: 1_000.0, unit: "requests", source: S3 },
    s3_storage: Price { dollars: 0.023, per: 1.0, unit: "GB-month", source: S3 },
    state_transitions: Price { dollars: 0.025, per: 1_000.0, unit: "transitions", source: STEP_FUNCTIONS },
    scheduler: Price { dollars: 1.00, per: 1_000_000.0, unit: "invocations", source: EVENTBRIDGE },
};

/// Alarm metrics that one native anomaly detection alarm is billed as: the metric and the two edges of its band.
const NATIVE_ALARM_METRICS: f64 = 3.0;
/// Native anomaly detection models that a Region of an account may have (CloudWatch service quotas).
const NATIVE_MODELS: u32 = 500;

// What is deployed, and how often it calls what.

/// Days in the month of the bill.
const DAYS: f64 = 30.0;
/// Minutes in the month of the bill.
const MINUTES: f64 = DAYS * 24.0 * 60.0;
/// Minutes between two datapoints of EC2's basic monitoring.
const DATAPOINT_MINUTES: u32 = 5;

/// `AnomalyScore` and `ReconstructionError`.
const METRICS_PER_INSTANCE: f64 = 2.0;
/// Metrics of the fleet, published in every run in either mode. Those of skipped instances by reason are only sent where there
/// are some.
const FLEET_METRICS: f64 = 8.0;
/// Datums of the fleet for each datapoint time: `AnomalousInstances`, `InstancesScored`, and `MaxAnomalyScore`. They go with
/// the instances' datums.
const FLEET_DATUMS_A_DATAPOINT: f64 = 3.0;
/// `PutMetricData` calls of one run for its gauges: `InstancesSkipped`, `DataLagSeconds`, `PublishFailures`, `ModelAgeDays`,
/// and `BaselineAgeHours` go in a call of their own, after the others, whose failures they count.
const GAUGE_CALLS: f64 = 1.0;
/// Datums in one `PutMetricData` call at most.
const DATUMS_PER_CALL: f64 = 1_000.0;
/// Metrics on one page of `ListMetrics`.
const METRICS_PER_PAGE: f64 = 500.0;
/// Alarm metrics. Each alarm names its metric: one on a Metrics Insights query would be billed for every metric that the
/// query analyses.
const ALARMS: f64 = 4.0;

// How long a run takes, and how much it keeps. The seconds of the detector and the bytes of an instance come from the load
// test: `make load`, docs/load.md.

/// Seconds of one detector call that do not depend on the fleet.
const BASE_SECONDS: f64 = 1.0;
/// Seconds of the detector for every thousand instances, at the default memory of 512 MB: the measured CPU time over the part
/// of a processor that Lambda gives with it. So much it is after a missed run; others take less. `--memory` changes the price
/// of a second here and not their number, although Lambda gives more processor with more memory.
const SECONDS_PER_THOUSAND_INSTANCES: f64 = 1.5;
/// Seconds of the calibrator for each instance, once a day: its 4,032 datapoints of two weeks at the 180,000 a second that are
/// read unless said otherwise, and the learning of the baseline.
const CALIBRATOR_SECONDS_PER_INSTANCE: f64 = 0.025;
/// Memory of the calibrator, in MB: one whole processor.
const CALIBRATOR_MEMORY: f64 = 1_769.0;
/// Seconds that Lambda lets one call take at most.
const LAMBDA_SECONDS: f64 = 900.0;

/// Bytes of one instance's state, written anew in every run.
const STATE_BYTES: f64 = 3_300.0;
/// Days that replaced versions of the state are kept.
const STATE_DAYS: f64 = 1.0;
/// Bytes of one instance's baseline, written anew once a day.
const BASELINE_BYTES: f64 = 6_900.0;
/// Days that baselines are kept: as many versions.
const BASELINE_DAYS: f64 = 3.0;
/// The detector writes a shard's state in every run, and that it was published, ...
const DETECTOR_PUTS: f64 = 2.0;
/// ... and reads its state and its baselines.
const DETECTOR_GETS: f64 = 2.0;
/// The calibrator writes a shard's baselines once a day, ...
const CALIBRATOR_PUTS: f64 = 1.0;
/// ... and reads the model and the baselines of before.
const CALIBRATOR_GETS: f64 = 2.0;

/// State transitions of one sharded run that do not depend on the shards: time, list, map, count, compare, end.
const TRANSITIONS_PER_RUN: f64 = 6.0;
/// State transitions of each shard of the Distributed Map, a Standard workflow of its own: start, call.
const TRANSITIONS_PER_SHARD: f64 = 2.0;

/// Bytes that one call of a function logs.
const LOG_BYTES_PER_RUN: f64 = 2_000.0;
/// Bytes of a GB, as S3 and CloudWatch Logs bill it.
const GB: f64 = 1_073_741_824.0;

/// Part of the instances that is published in sparse mode in any given hour, unless said otherwise: about what the default
/// model publishes of the generated machines of the evaluation, from 0.8 on. An instance near its threshold for a quarter of
/// an hour costs that whole hour, and the next one, too, if the half hour that is published afterwards reaches into it.
const DEFAULT_ACTIVE: &str = "0.05";
/// Fleets of the README's table of comparison.
const README_FLEETS: [u32; 5] = [10, 100, 500, 1_000, 10_000];

/// What `cost` was asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// EC2 instances in the Region.
    #[arg(
        long,
        value_name = "N",
        required_unless_present = "table",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    instances: Option<u32>,
    /// How often the schedule runs: minutes or hours in steps of 5 minutes, up to 3h.
    #[arg(long, default_value = "5m")]
    period: Period,
    /// Whether the metrics of each instance are published only near or above the threshold, or always.
    #[arg(long, value_enum, default_value_t = Mode::Sparse)]
    mode: Mode,
    /// Parts that a run is split into; more than one is run by Step Functions.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    shards: u32,
    /// Part of the instances, 0 to 1, whose score is 0.8 or more in any given hour or the half hour before it: what sparse mode
    /// publishes.
    #[arg(long, value_name = "FRACTION", default_value = DEFAULT_ACTIVE, value_parser = fraction)]
    active: f64,
    /// Memory of the detector function, in MB.
    #[arg(long, value_name = "MB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(128..=10_240))]
    memory: u32,
    /// Instruction set of the functions.
    #[arg(long, value_enum, default_value_t = Architecture::X86_64)]
    architecture: Architecture,
    /// Print the bill as JSON.
    #[arg(long)]
    json: bool,
    /// Print the README's table instead: both modes and the native detection for several sizes of fleet, in Markdown.
    #[arg(long, conflicts_with_all = ["instances", "mode", "json"])]
    table: bool,
}

/// When the two metrics of an instance are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// In hours in which its score is near the threshold or above.
    Sparse,
    /// In every run.
    Full,
}

/// Instruction set of the functions; arm64 costs a fifth less a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
pub(crate) enum Architecture {
    /// Intel and AMD.
    #[value(name = "x86_64")]
    #[serde(rename = "x86_64")]
    X86_64,
    /// Graviton.
    #[value(name = "arm64")]
    #[serde(rename = "arm64")]
    Arm64,
}

/// Minutes from one run to the next: a multiple of 5, from 5 to 180.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period(u32);

/// What is deployed.
#[derive(Debug, Clone, Copy, Serialize)]
struct Deployment {
    instances: u32,
    #[serde(rename = "period_minutes")]
    period: Period,
    mode: Mode,
    shards: u32,
    /// Part of the instances that sparse mode publishes in any given hour, 0 to 1.
    #[serde(rename = "active_fraction")]
    active: f64,
    /// Memory of the detector, in MB.
    #[serde(rename = "memory_mb")]
    memory: u32,
    architecture: Architecture,
}

/// What AWS takes for one kind of thing.
#[derive(Debug, Clone, Copy)]
struct Price {
    dollars: f64,
    /// That many of the unit cost the dollars.
    per: f64,
    unit: &'static str,
    source: &'static str,
}

/// Dollars of a stretch of a quantity; the stretches follow each other.
#[derive(Debug, Clone, Copy)]
struct Tier {
    name: &'static str,
    size: f64,
    price: Price,
}

#[derive(Debug, Clone, Copy)]
struct Prices {
    get_metric_data: Price,
    put_metric_data: Price,
    list_metrics: Price,
    custom_metrics: [Tier; 4],
    alarm: Price,
    log_ingestion: Price,
    lambda_requests: Price,
    lambda_x86_64: Price,
    lambda_arm64: Price,
    s3_put: Price,
    s3_get: Price,
    s3_storage: Price,
    state_transitions: Price,
    scheduler: Price,
}

/// One line of the bill.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Item {
    item: String,
    /// How much of the unit a month.
    quantity: f64,
    unit: &'static str,
    /// Dollars for `per` of the unit.
    price: f64,
    per: f64,
    source: &'static str,
    /// Dollars a month, not rounded.
    dollars: f64,
}

/// The bill of a month, and what else could be had instead.
#[derive(Debug, Clone, Serialize)]
struct Bill {
    deployment: Deployment,
    items: Vec<Item>,
    /// Dollars a month: the sum of the items.
    total: f64,
    /// Dollars a month.
    total_per_instance: f64,
    comparison: Comparison,
    prices: &'static str,
    prices_of: &'static str,
    /// What stands against deploying it like this.
    warnings: Vec<String>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Comparison {
    /// Dollars a month of CloudWatch's own anomaly detection alarms; `None` where a Region does not have that many models.
    native: Option<f64>,
    native_models_per_region: u32,
    other_mode: Mode,
    /// Dollars a month.
    other_mode_total: f64,
}

/// Prints the bill, or the README's table.
pub(crate) fn cost(args: &Args) -> Result<()> {
    let deployment = args.deployment();
    if args.table {
        print!("{}", comparison_table(&README_FLEETS, &deployment));
        return Ok(());
    }
    ensure!(
        deployment.shards <= deployment.instances,
        "--shards {} is more than --instances {}: a shard needs an instance",
        deployment.shards,
        deployment.instances
    );
    let bill = deployment.bill();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&bill)?);
    } else {
        println!("{bill}");
    }
    Ok(())
}

/// The table of comparison in the README, in Markdown: dollars a month of both modes and of native anomaly detection for
/// fleets of these numbers of instances. All else is as in `like`.
fn comparison_table(fleets: &[u32], like: &Deployment) -> String {
    let mut lines = vec![
        "| instances | DeepGuard, sparse | DeepGuard, full | native anomaly detection |".into(),
        "| --: | --: | --: | --: |".into(),
    ];
    for &instances in fleets {
        let shards = like.shards.min(instances); // a shard needs an instance
        let total = |mode| dollars(Deployment { instances, shards, mode, ..*like }.total());
        let native = native(instances).map_or_else(|| "not possible".into(), dollars);
        let instances = quantity(f64::from(instances));
        lines.push(format!("| {instances} | {} | {} | {native} |", total(Mode::Sparse), total(Mode::Full)));
    }
    lines.push(String::new());
    lines.push(format!(
        "A month of 30 days, a run every {}, {} % of the instances near or above the threshold in any given hour; {KIND_OF_PRICES}, \
         {PRICES_OF}. Native anomaly detection has {NATIVE_MODELS} models a Region.",
        like.period,
        quantity(like.active * 100.0)
    ));
    lines.join("\n") + "\n"
}

/// Dollars a month of CloudWatch's own anomaly detection alarms, or `None` where there are more instances than models.
fn native(instances: u32) -> Option<f64> {
    (instances <= NATIVE_MODELS).then(|| PRICES.alarm.of(f64::from(instances) * NATIVE_ALARM_METRICS))
}

impl Args {
    fn deployment(&self) -> Deployment {
        Deployment {
            instances: self.instances.unwrap_or(1), // none only with --table, which brings its own
            period: self.period,
            mode: self.mode,
            shards: self.shards,
            active: self.active,
            memory: self.memory,
            architecture: self.architecture,
        }
    }
}

impl Deployment {
    fn bill(&self) -> Bill {
        let items = self.items();
        let total = items.iter().map(|item| item.dollars).sum();
        let other_mode = self.mode.other();
        Bill {
            deployment: *self,
            items,
            total,
            total_per_instance: total / f64::from(self.instances),
            comparison: Comparison {
                native: native(self.instances),
                native_models_per_region: NATIVE_MODELS,
                other_mode,
                other_mode_total: Self { mode: other_mode, ..*self }.total(),
            },
            prices: KIND_OF_PRICES,
            prices_of: PRICES_OF,
            warnings: self.warnings(),
        }
    }

    /// Dollars a month.
    fn total(&self) -> f64 {
        self.items().iter().map(|item| item.dollars).sum()
    }

    fn items(&self) -> Vec<Item> {
        let instances = f64::from(self.instances);
        let shards = f64::from(self.shards);
        let runs = self.period.runs_a_month();
        let calls = (runs + DAYS) * shards; // of both functions
        let gb_second = match self.architecture {
            Architecture::X86_64 => PRICES.lambda_x86_64,
            Architecture::Arm64 => PRICES.lambda_arm64,
        };
        let gb_seconds = |seconds: f64, megabytes: f64| seconds * megabytes / 1_024.0;

        let mut items = vec![
            Item::of("GetMetricData, detector", instances * runs, PRICES.get_metric_data),
            Item::of("GetMetricData, calibrator", instances * DAYS, PRICES.get_metric_data),
            // Every shard lists the whole fleet itself.
            Item::of("ListMetrics", (instances / METRICS_PER_PAGE).ceil() * calls, PRICES.list_metrics),
            Item::of("PutMetricData", self.put_calls_a_run() * runs, PRICES.put_metric_data),
        ];
        items.extend(custom_metrics(self.published_instances() * METRICS_PER_INSTANCE + FLEET_METRICS));
        items.extend([
            Item::of("alarms", ALARMS, PRICES.alarm),
            Item::of("Lambda, requests", calls, PRICES.lambda_requests),
            Item::of(
                "Lambda, detector",
                gb_seconds(self.shard_seconds() * shards * runs, f64::from(self.memory)),
                gb_second,
            ),
            Item::of(
                "Lambda, calibrator",
                gb_seconds(instances * CALIBRATOR_SECONDS_PER_INSTANCE * DAYS, CALIBRATOR_MEMORY),
                gb_second,
            ),
            Item::of("S3, PUT", (runs * DETECTOR_PUTS + DAYS * CALIBRATOR_PUTS) * shards, PRICES.s3_put),
            Item::of("S3, GET", (runs * DETECTOR_GETS + DAYS * CALIBRATOR_GETS) * shards, PRICES.s3_get),
            Item::of("S3, storage", self.stored_bytes() / GB, PRICES.s3_storage),
            Item::of("Step Functions", self.transitions_a_run() * runs, PRICES.state_transitions),
            Item::of("EventBridge Scheduler", runs + DAYS, PRICES.scheduler),
            Item::of("CloudWatch Logs, ingestion", calls * LOG_BYTES_PER_RUN / GB, PRICES.log_ingestion),
        ]);
        items
    }

    /// How many instances have their metrics published, on an average.
    ///
    /// A metric costs the hours in which it is sent. Full mode is taken to send in each of them: with a period of more than
    /// an hour some may be saved, and the bill is too high rather than too low.
    fn published_instances(&self) -> f64 {
        match self.mode {
            Mode::Sparse => f64::from(self.instances) * self.active,
            Mode::Full => f64::from(self.instances),
        }
    }

    /// Each datapoint is published once. The instances' datums are spread evenly over the shards; each shard adds its own
    /// numbers and gauges of the fleet, and makes its own calls.
    fn put_calls_a_run(&self) -> f64 {
        let shards = f64::from(self.shards);
        let datapoints = f64::from(self.period.0 / DATAPOINT_MINUTES);
        let of_instances = (self.published_instances() * METRICS_PER_INSTANCE * datapoints).ceil() / shards;
        let datums = of_instances + FLEET_DATUMS_A_DATAPOINT * datapoints;
        shards * ((datums / DATUMS_PER_CALL).ceil() + GAUGE_CALLS)
    }

    /// Seconds of the detector in one run for one shard.
    fn shard_seconds(&self) -> f64 {
        BASE_SECONDS + SECONDS_PER_THOUSAND_INSTANCES * f64::from(self.instances) / f64::from(self.shards) / 1_000.0
    }

    /// Bytes in S3 at any time: the state and its versions of the last day, and the baselines.
    fn stored_bytes(&self) -> f64 {
        let state_versions = 1.0 + self.period.runs_a_month() / DAYS * STATE_DAYS;
        f64::from(self.instances) * (STATE_BYTES * state_versions + BASELINE_BYTES * BASELINE_DAYS)
    }

    /// State transitions; none with one shard, where the schedule calls the function itself.
    fn transitions_a_run(&self) -> f64 {
        if self.shards > 1 { TRANSITIONS_PER_RUN + TRANSITIONS_PER_SHARD * f64::from(self.shards) } else { 0.0 }
    }

    fn warnings(&self) -> Vec<String> {
        let instances = f64::from(self.instances);
        let mut warnings = Vec::new();
        // A shard has to be ready before its next run, and before Lambda ends it.
        let limit = LAMBDA_SECONDS.min(f64::from(self.period.0) * 60.0);
        let seconds = self.shard_seconds();
        if seconds > limit {
            let enough = SECONDS_PER_THOUSAND_INSTANCES * instances / 1_000.0 / (limit - BASE_SECONDS);
            warnings.push(format!(
                "A shard's run takes about {} s and has {} s at most: use {} shards or more.",
                quantity(seconds.round()),
                quantity(limit),
                quantity(enough.ceil())
            ));
        }
        // However many shards there are: they share the rate at which datapoints are read.
        let seconds = CALIBRATOR_SECONDS_PER_INSTANCE * instances;
        if seconds > LAMBDA_SECONDS {
            warnings.push(format!(
                "Calibrating takes about {} s and Lambda allows {}: the next run of the night goes on. Raise \
                 ReadDatapointsPerSecond, and the account's quota with it, to be through in one.",
                quantity(seconds.round()),
                quantity(LAMBDA_SECONDS),
            ));
        }
        warnings
    }
}

/// One item for each tier that is reached.
fn custom_metrics(metric_months: f64) -> Vec<Item> {
    let mut left = metric_months;
    let mut items = Vec::new();
    for tier in PRICES.custom_metrics {
        let here = left.min(tier.size);
        if here > 0.0 {
            items.push(Item::of(&format!("custom metrics, {}", tier.name), here, tier.price));
        }
        left -= here;
    }
    items
}

impl Item {
    fn of(item: &str, quantity: f64, price: Price) -> Self {
        let Price { dollars, per, unit, source } = price;
        Self { item: item.into(), quantity, unit, price: dollars, per, source, dollars: price.of(quantity) }
    }

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

impl Price {
    /// Dollars of that many.
    fn of(&self, quantity: f64) -> f64 {
        quantity / self.per * self.dollars
    }
}

impl Mode {
    fn other(self) -> Self {
        match self {
            Self::Sparse => Self::Full,
            Self::Full => Self::Sparse,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sparse => "sparse",
            Self::Full => "full",
        })
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        })
    }
}

impl Period {
    const LONGEST: u32 = 180;

    /// Runs in the month of the bill. Not always a whole number: 35 minutes do not divide a day.
    fn runs_a_month(self) -> f64 {
        MINUTES / f64::from(self.0)
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, minutes_each) = match (text.strip_suffix('m'), text.strip_suffix('h')) {
            (Some(number), _) => (number, 1),
            (_, Some(number)) => (number, 60),
            _ => return Err("say minutes or hours, such as 5m or 1h".into()),
        };
        // `parse` alone would take +5.
        let minutes = Some(number)
            .filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|number| number.parse::<u32>().ok())
            .and_then(|number| number.checked_mul(minutes_each))
            .ok_or("the number before m or h is not a whole number")?;
        if minutes == 0 || minutes > Self::LONGEST {
            return Err("must be from 5m to 3h".into());
        }
        if !minutes.is_multiple_of(DATAPOINT_MINUTES) {
            return Err("must be a multiple of 5 minutes, in which EC2 gives a datapoint".into());
        }
        Ok(Self(minutes))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(60) { write!(f, "{}h", self.0 / 60) } else { write!(f, "{}m", self.0) }
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl fmt::Display for Bill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Deployment { instances, period, mode, shards, active, memory, architecture } = self.deployment;
        let count = quantity(f64::from(instances));
        let plural = |number: u32, thing: &str| format!("{thing}{}", if number == 1 { "" } else { "s" });
        let published = match mode {
            Mode::Sparse => format!("sparse ({} % active in any given hour)", quantity(active * 100.0)),
            Mode::Full => "full".into(),
        };
        writeln!(
            f,
            "{count} {}, a run every {period}, {published}, {shards} {}, {memory} MB, {architecture}; a month of 30 days\n",
            plural(instances, "instance"),
            plural(shards, "shard"),
        )?;

        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header(["item", "quantity", "price", "dollars"]);
        for item in &self.items {
            table.add_row([&item.item, &quantity(item.quantity), &item.price(), &dollars(item.dollars)]);
        }
        table.add_row(["total", "", "", &dollars(self.total)]);
        table.add_row(["total per instance", "", "", &dollars(self.total_per_instance)]);
        for column in [1, 3] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(f, "{}\n", table.trim_fmt())?;

        let Comparison { native, native_models_per_region, other_mode, other_mode_total } = self.comparison;
        let native = match native {
            Some(native) => format!(
                "{} ({} an instance: {NATIVE_ALARM_METRICS} alarm metrics; {native_models_per_region} models a Region at most)",
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

fn fraction(text: &str) -> Result<f64, String> {
    let fraction: f64 = text.parse().map_err(|_| "not a number")?;
    if (0.0..=1.0).contains(&fraction) { Ok(fraction) } else { Err("must be from 0 to 1".into()) }
}

/// Whole cents, except that what costs something never reads as nothing.
fn dollars(dollars: f64) -> String {
    if dollars > 0.0 && dollars < 0.005 { "< $0.01".into() } else { format!("${}", grouped(dollars, 2)) }
}

/// As many decimals as are worth reading.
fn quantity(quantity: f64) -> String {
    let decimals = match quantity {
        whole if (whole - whole.round()).abs() < 1e-9 => 0,
        large if large >= 100.0 => 0,
        medium if medium >= 1.0 => 2,
        _ => 4,
    };
    grouped(quantity, decimals)
}

/// With a comma after each three digits, as in 1,234.50.
fn grouped(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use clap::Parser;

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

    // 30 days x 24 h x 12 runs = 8,640 runs a month, 288 a day; 30 calibrations.
    #[test]
    fn ten_thousand_instances_sparse_by_hand() {
        // 10,000 x 8,640 = 86,400,000 metrics; / 1,000 x 0.01
        close(part(TEN_THOUSAND, "GetMetricData, detector"), 864.00);
        // 10,000 x 30 = 300,000 metrics; / 1,000 x 0.01
        close(part(TEN_THOUSAND, "GetMetricData, calibrator"), 3.00);
        // 10,000 / 500 = 20 pages x 8,670 = 173,400 requests; / 1,000 x 0.01
        close(part(TEN_THOUSAND, "ListMetrics"), 1.734);
        // 10,000 x 0.05 x 2 + 3 = 1,003 datums are 2 calls, and one for the gauges; 3 x 8,640 = 25,920 / 1,000 x 0.01
        close(part(TEN_THOUSAND, "PutMetricData"), 0.2592);
        // 10,000 x 0.05 x 2 + 8 = 1,008 metric-months x 0.30
        close(part(TEN_THOUSAND, "custom metrics"), 302.40);
        // 4 x 0.10
        close(part(TEN_THOUSAND, "alarms"), 0.40);
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
        // 10,000 x (3,300 x 289 + 6,900 x 3) = 9,744,000,000 bytes / 1,073,741,824 = 9.074807 GB x 0.023
        close(part(TEN_THOUSAND, "S3, storage"), 0.208_720_6);
        close(part(TEN_THOUSAND, "Step Functions"), 0.0);
        // 8,670 x 1.00 / 1,000,000
        close(part(TEN_THOUSAND, "EventBridge Scheduler"), 0.008_67);
        // 8,670 x 2,000 = 17,340,000 bytes / 1,073,741,824 = 0.0161491 GB x 0.50
        close(part(TEN_THOUSAND, "CloudWatch Logs"), 0.008_074_6);
        // Their sum: 867.00 + 1.734 + 0.2592 + 302.40 + 0.40 = 1,171.7932, Lambda 1.3696791, S3 0.3022066, the rest 0.0167446
        close(deployment(TEN_THOUSAND).total(), 1_173.481_830);
    }

    #[test]
    fn ten_thousand_instances_full_by_hand() {
        let full = "--instances 10000 --mode full";
        // 10,000 x 2 + 8 = 20,008: 10,000 x 0.30 + 10,008 x 0.10
        close(part(full, "custom metrics"), 4_000.80);
        // 20,000 + 3 = 20,003 datums are 21 calls, and one for the gauges; 22 x 8,640 = 190,080 / 1,000 x 0.01
        close(part(full, "PutMetricData"), 1.9008);
        // The sparse total, less its 302.40 + 0.2592, and these two.
        close(deployment(full).total(), 1_173.481_830 - 302.659_2 + 4_002.700_8);
    }

    #[test]
    fn small_fleet_by_hand() {
        // 10 x 0.05 x 2 + 8 = 9 metric-months x 0.30
        close(part("--instances 10", "custom metrics"), 2.70);
        // 10 x 2 + 8 = 28 x 0.30
        close(part("--instances 10 --mode full", "custom metrics"), 8.40);
        // 1 + 3 = 4 datums are one call, and one for the gauges: 2 x 8,640 = 17,280 / 1,000 x 0.01
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
        // 1,000 / 10 + 3 = 103 datums a shard are one call, and one for the gauges: 2 x 10 x 8,640 = 172,800 / 1,000 x 0.01
        close(part(sharded, "PutMetricData"), 1.728);
        // 20,000 / 10 + 3 = 2,003 datums a shard are 3 calls, and one: 4 x 10 x 8,640 = 345,600 / 1,000 x 0.01
        close(part("--instances 10000 --shards 10 --mode full", "PutMetricData"), 3.456);
        // Each shard lists the whole fleet: 20 x 8,670 x 10 = 1,734,000 / 1,000 x 0.01
        close(part(sharded, "ListMetrics"), 17.34);
    }

    #[test]
    fn a_rarer_schedule_costs_less() {
        // 10,000 x 720 / 1,000 x 0.01
        close(part("--instances 10000 --period 1h", "GetMetricData, detector"), 72.0);
        close(part("--instances 10000 --period 1h", "GetMetricData, calibrator"), 3.0);
        // 12 datapoints of 2 metrics of 10,000 instances, and of 3 of the fleet: 240,000 + 36 = 240,036 datums are 241 calls, and
        // one for the gauges; 242 x 720 = 174,240 / 1,000 x 0.01
        close(part("--instances 10000 --period 1h --mode full", "PutMetricData"), 1.7424);
        // 10,000 x (3,300 x 25 + 6,900 x 3) = 1,032,000,000 bytes / 1,073,741,824 = 0.9611249 GB x 0.023
        close(part("--instances 10000 --period 1h", "S3, storage"), 0.022_105_9);
        // A metric costs its hour however often it is sent in it.
        close(part("--instances 10000 --period 1h", "custom metrics"), 302.40);
    }

    #[test]
    fn items_are_proportional_to_what_they_count() {
        for name in ["GetMetricData", "ListMetrics", "Lambda, calibrator", "S3, storage"] {
            close(part("--instances 10000", name), 10.0 * part("--instances 1000", name));
        }
        for name in ["GetMetricData, detector", "Lambda, detector"] {
            close(part("--instances 10000 --period 5m", name), 3.0 * part("--instances 10000 --period 15m", name));
        }
        close(
            part("--instances 70 --memory 1024", "Lambda, detector"),
            2.0 * part("--instances 70", "Lambda, detector"),
        );
        let (arm, x86) = ("--instances 70 --architecture arm64", "--instances 70 --architecture x86_64");
        close(part(arm, "Lambda, detector") / part(x86, "Lambda, detector"), 0.000_013_333_4 / 0.000_016_666_7);
        // The fleet's 8 metrics stay whatever is active: 8 x 0.30
        close(part("--instances 1000 --active 0", "custom metrics"), 2.40);
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
        assert_eq!((default.active, default.memory, default.architecture), (0.05, 512, Architecture::X86_64));
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
        for arguments in [TEN_THOUSAND, "--instances 1000000 --mode full --shards 50 --period 10m", "--instances 1"] {
            let json = serde_json::to_string(&deployment(arguments).bill()).unwrap();
            let bill: serde_json::Value = serde_json::from_str(&json).unwrap();
            let items = bill["items"].as_array().unwrap();
            let sum: f64 = items.iter().map(|item| item["dollars"].as_f64().unwrap()).sum();
            close(bill["total"].as_f64().unwrap(), sum);
            let number = |item: &serde_json::Value, key: &str| item[key].as_f64().unwrap();
            for item in items {
                close(number(item, "quantity") * number(item, "price") / number(item, "per"), number(item, "dollars"));
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
        close(bill["comparison"]["other_mode_total"].as_f64().unwrap(), 4_873.523_430);
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
        assert!(warnings[0].starts_with("Calibrating takes about 2,500 s and Lambda allows 900"), "{warnings:?}");
        // 1 + 300 x 1.5 = 451 s in 300; 450 / 299 = 1.5 shards. 300,000 x 0.025 = 7,500 s, with shards as without.
        let warnings = deployment("--instances 300000").warnings();
        assert_eq!(warnings[0], "A shard's run takes about 451 s and has 300 s at most: use 2 shards or more.");
        assert!(warnings[1].starts_with("Calibrating takes about 7,500 s"), "{warnings:?}");
        assert_eq!(deployment("--instances 300000 --shards 2").warnings(), warnings[1..]);
        // With an hour's time it is Lambda that sets the limit: 1 + 1,000 x 1.5 = 1,501 s in 900; 1,500 / 899 = 1.7 shards.
        let warnings = deployment("--instances 1000000 --period 1h").warnings();
        assert!(warnings[0].contains("about 1,501 s and has 900 s at most: use 2 shards"), "{warnings:?}");
    }

    #[test]
    fn the_text_says_what_the_numbers_are() {
        let text = deployment(TEN_THOUSAND).bill().to_string();
        for expected in [
            "10,000 instances, a run every 5m, sparse (5 % active in any given hour), 1 shard, 512 MB, x86_64",
            "86,400,000",
            "$0.01 per 1,000 metrics requested",
            "$0.0000166667 per GB-second",
            "$0.30 per metric-month",
            "$864.00",
            "$1,173.48",
            "DeepGuard in full mode: $4,873.52",
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
    fn the_table_of_the_readme_is_markdown() {
        let table = comparison_table(&[500, 10_000], &deployment("--table"));
        let lines: Vec<_> = table.lines().collect();
        assert!(lines[..4].iter().all(|line| line.starts_with('|') && line.matches('|').count() == 5), "{table}");
        assert!(lines[2].starts_with("| 500 | $") && lines[2].ends_with(" | $150.00 |"), "{table}");
        assert_eq!(lines[3], "| 10,000 | $1,173.48 | $4,873.52 | not possible |");
        assert!(lines[5].contains("list prices us-east-1, without free tier, 2026-11"));

        let table = comparison_table(&README_FLEETS, &deployment("--table"));
        let (table, _) = table.split_once("\n\n").unwrap();
        assert!(include_str!("../../README.md").contains(table), "README.md lacks this table:\n\n{table}\n");
    }
}

/// What sparse mode publishes, measured.
#[cfg(test)]
mod active {
    use std::collections::BTreeSet;

    use deepguard::series::{DAY_SECONDS, PERIOD};
    use deepguard::{Artifact, Datapoint, Detector, Series};

    use super::DEFAULT_ACTIVE;
    use crate::workload::machine::{Kind, machine};

    /// Days of a machine, of which the last ones count: before, a detector is still learning.
    const DAYS: usize = 28;
    const COUNTED_DAYS: i64 = 14;
    /// What sparse mode publishes unless said otherwise: datapoints from this score on, and that many after each.
    const FROM: f64 = 0.8;
    const AFTERWARDS: usize = 6;

    /// Hours of one machine in which something is published.
    fn active_hours(detector: &Detector, kind: Kind, seed: u64) -> usize {
        let values = machine(kind, seed, DAYS);
        let datapoints = (0..).zip(values).map(|(slot, value)| Datapoint { time: slot * PERIOD, value });
        let (series, _) = Series::from_datapoints(datapoints).unwrap();
        let counted = series.end() - COUNTED_DAYS * DAY_SECONDS;
        let mut hours = BTreeSet::new();
        let mut left = 0;
        for scored in detector.follow(&series, &mut Default::default(), series.end()) {
            let is_high = scored.score.value() >= FROM;
            if (is_high || left > 0) && scored.time >= counted {
                hours.insert(scored.time / 3600);
            }
            left = if is_high { AFTERWARDS } else { left.saturating_sub(1) };
        }
        hours.len()
    }

    #[test]
    fn the_default_is_about_what_the_default_model_publishes() {
        let artifact = Artifact::from_bytes(include_bytes!("../../models/default.safetensors")).unwrap();
        let detector = Detector::new(artifact, deepguard::model::device());
        let machines: Vec<_> = Kind::ALL.into_iter().flat_map(|kind| [(kind, 100), (kind, 101)]).collect();
        let active: usize = machines.iter().map(|&(kind, seed)| active_hours(&detector, kind, seed)).sum();
        let measured = active as f64 / (machines.len() as f64 * COUNTED_DAYS as f64 * 24.0);
        let default: f64 = DEFAULT_ACTIVE.parse().unwrap();
        assert!(
            (measured - default).abs() < 0.02,
            "{measured} of the hours are published, and the default is {default}"
        );
    }
}
