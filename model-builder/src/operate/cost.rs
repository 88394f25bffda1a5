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
/// Fleets of the table of comparison in docs/cost.md.
const TABLE_FLEETS: [u32; 5] = [10, 100, 500, 1_000, 10_000];

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
    /// Print the table of docs/cost.md instead: both modes and the native detection for several sizes of fleet, in Markdown.
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

/// Prints the bill, or the table of docs/cost.md.
pub(crate) fn cost(args: &Args) -> Result<()> {
    let deployment = args.deployment();
    if args.table {
        print!("{}", comparison_table(&TABLE_FLEETS, &deployment));
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

/// The table of comparison in docs/cost.md, in Markdown: dollars a month of both modes and of native anomaly detection for
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
mod active;
#[cfg(test)]
mod tests;
