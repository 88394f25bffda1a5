//! The bill of a deployment: how often it calls what, and what that costs.

use deepguard_aws::metric::Metric;
use deepguard_aws::prices::{
    self, KIND_OF_PRICES, NATIVE_ALARM_METRICS, NATIVE_MODELS, PRICES, PRICES_OF, Price, Tier,
};
use serde::Serialize;

use super::deployment::{Architecture, BandMode, DATAPOINT_MINUTES, DAYS, Deployment, Mode};
use super::numbers::quantity;

/// Datums in one `PutMetricData` call at most.
const DATUMS_PER_CALL: f64 = 1_000.0;
/// Metrics on one page of `ListMetrics`.
const METRICS_PER_PAGE: f64 = 500.0;
/// Seconds of one detector call that do not depend on the fleet.
const BASE_SECONDS: f64 = 1.0;
/// Seconds of the detector for every thousand instances, at the default memory of 512 MB: the
/// measured CPU time over the part of a processor that Lambda gives with it. A run takes this long
/// after a missed run; other runs take less. `--memory` changes the price of a second here and not
/// their number, although Lambda gives more processor with more memory.
const SECONDS_PER_THOUSAND_INSTANCES: f64 = 1.5;
/// Seconds of the calibrator for each instance, once a day: its 4,032 datapoints of two weeks at
/// the 180,000 a second that are read unless said otherwise, and the learning of the baseline.
const CALIBRATOR_SECONDS_PER_INSTANCE: f64 = 0.025;
/// Memory of the calibrator, in MB: one whole processor.
const CALIBRATOR_MEMORY: f64 = 1_769.0;
/// Seconds that Lambda lets one call take at most.
const LAMBDA_SECONDS: f64 = 900.0;
/// Bytes of one instance's state, written anew in every run.
const STATE_BYTES: f64 = 4_500.0;
/// Days that replaced versions of the state are kept.
const STATE_DAYS: f64 = 1.0;
/// Bytes of one instance's baseline, written anew once a day.
const BASELINE_BYTES: f64 = 8_600.0;
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
/// State transitions of one sharded run that do not depend on the shards: time, list, map, count,
/// compare, end.
const TRANSITIONS_PER_RUN: f64 = 6.0;
/// State transitions of each shard of the Distributed Map, a Standard workflow of its own: start,
/// call.
const TRANSITIONS_PER_SHARD: f64 = 2.0;
/// Bytes that one call of a function logs.
const LOG_BYTES_PER_RUN: f64 = 2_000.0;
/// Bytes of a GB, as S3 and CloudWatch Logs bill it.
const GB: f64 = 1_073_741_824.0;
/// `PutMetricData` calls of one run for its gauges: `InstancesSkipped`, `DataLagSeconds`,
/// `PublishFailures`, `ModelAgeDays`, and `BaselineAgeHours` go in a call of their own, after the
/// others, whose failures they count.
const GAUGE_CALLS: f64 = 1.0;
/// Metrics that a Metrics Insights query analyses at most.
const ANALYSED_METRICS: f64 = 10_000.0;

/// The template that is deployed.
const TEMPLATE: &str = include_str!("../../../../template.yaml");

/// How many resources of this type the template has under this condition, or under no condition.
pub(super) fn resources(kind: &str, condition: Option<&str>) -> f64 {
    let mut lines = TEMPLATE.lines().map(str::trim).peekable();
    let mut found = 0;
    while let Some(line) = lines.next() {
        if line.strip_prefix("Type: ") == Some(kind) {
            let under = lines.peek().and_then(|next| next.strip_prefix("Condition: "));
            found += usize::from(under == condition);
        }
    }
    found as f64
}

/// Metrics of the catalogue that the model in use publishes, and that this holds for.
fn metrics(holds: impl Fn(Metric) -> bool) -> f64 {
    Metric::ALL.into_iter().filter(|&metric| !metric.is_of_shadow() && holds(metric)).count() as f64
}

/// Metrics of one instance, without its band.
pub(super) fn metrics_per_instance() -> f64 {
    metrics(|metric| metric.is_per_instance() && !metric.is_of_band())
}

/// Metrics of one instance's band.
pub(super) fn metrics_of_band() -> f64 {
    metrics(Metric::is_of_band)
}

/// Metrics of the fleet, published in either mode. Those of skipped instances by reason are only
/// sent where there are some.
pub(super) fn fleet_metrics() -> f64 {
    metrics(|metric| !metric.is_per_instance())
}

/// Datums of the fleet for each datapoint time. They go with the instances' datums; the gauges of a
/// run go in a call of their own, after the others, whose failures they count.
pub(super) fn fleet_datums_a_datapoint() -> f64 {
    metrics(|metric| !metric.is_per_instance() && !metric.is_gauge())
}

/// One line of the bill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Item {
    pub(super) item: String,
    /// How much of the unit a month.
    pub(super) quantity: f64,
    pub(super) unit: &'static str,
    /// Dollars for `per` of the unit.
    pub(super) price: f64,
    pub(super) per: f64,
    pub(super) source: &'static str,
    /// Dollars a month, not rounded.
    pub(super) dollars: f64,
}

/// The bill of a month, and what else could be had instead.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Bill {
    pub(super) deployment: Deployment,
    pub(super) items: Vec<Item>,
    /// Dollars a month: the sum of the items.
    pub(super) total: f64,
    /// Dollars a month.
    pub(super) total_per_instance: f64,
    pub(super) comparison: Alternatives,
    pub(super) prices: &'static str,
    pub(super) prices_of: &'static str,
    /// What stands against deploying it like this.
    pub(super) warnings: Vec<String>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Alternatives {
    /// Dollars a month of CloudWatch's own anomaly detection alarms; `None` where a Region does not
    /// have that many models.
    pub(super) native: Option<f64>,
    pub(super) native_models_per_region: u32,
    pub(super) other_mode: Mode,
    /// Dollars a month.
    pub(super) other_mode_total: f64,
}

impl Deployment {
    pub(super) fn bill(&self) -> Bill {
        let items = self.items();
        let total = items.iter().map(|item| item.dollars).sum();
        let other_mode = self.mode.other();
        Bill {
            deployment: *self,
            items,
            total,
            total_per_instance: total / f64::from(self.instances),
            comparison: Alternatives {
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
    pub(super) fn total(&self) -> f64 {
        self.items().iter().map(|item| item.dollars).sum()
    }

    pub(super) fn items(&self) -> Vec<Item> {
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
            Item::of(
                "ListMetrics",
                (instances / METRICS_PER_PAGE).ceil() * calls,
                PRICES.list_metrics,
            ),
            Item::of("PutMetricData", self.put_calls_a_run() * runs, PRICES.put_metric_data),
        ];
        items.extend(custom_metrics(self.metrics_of_instances() + fleet_metrics()));
        items.extend([
            Item::of("alarms", resources("AWS::CloudWatch::Alarm", None), PRICES.alarm),
            // Its query looks at the scores that are published.
            Item::of("contributors' alarm", self.contributors(), PRICES.alarm),
            Item::of(
                "dashboard",
                resources("AWS::CloudWatch::Dashboard", Some("HasDashboard")),
                PRICES.dashboard,
            ),
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
            Item::of(
                "S3, PUT",
                (runs * DETECTOR_PUTS + DAYS * CALIBRATOR_PUTS) * shards,
                PRICES.s3_put,
            ),
            Item::of(
                "S3, GET",
                (runs * DETECTOR_GETS + DAYS * CALIBRATOR_GETS) * shards,
                PRICES.s3_get,
            ),
            Item::of("S3, storage", self.stored_bytes() / GB, PRICES.s3_storage),
            Item::of("Step Functions", self.transitions_a_run() * runs, PRICES.state_transitions),
            Item::of("EventBridge Scheduler", runs + DAYS, PRICES.scheduler),
            Item::of(
                "CloudWatch Logs, ingestion",
                calls * LOG_BYTES_PER_RUN / GB,
                PRICES.log_ingestion,
            ),
        ]);
        items
    }

    /// How many instances have their metrics published, on an average.
    ///
    /// A metric costs the hours in which it is sent. Full mode is taken to send in each of them:
    /// with a period of more than an hour some may be saved, and the bill is too high rather than
    /// too low.
    pub(super) fn published_instances(&self) -> f64 {
        match self.mode {
            Mode::Sparse => f64::from(self.instances) * self.active,
            Mode::Full => f64::from(self.instances),
        }
    }

    /// How many metrics of instances are published, on an average. A metric of a band costs the
    /// hours of its datapoints: those before an episode, too.
    fn metrics_of_instances(&self) -> f64 {
        let banded = match self.band {
            BandMode::Episodes => f64::from(self.instances) * self.banded,
            BandMode::Always => f64::from(self.instances),
            BandMode::Off => 0.0,
        };
        self.published_instances() * metrics_per_instance() + banded * metrics_of_band()
    }

    /// Alarm metrics of the alarm that lists each anomalous instance: one for each score that its
    /// query analyses. In full mode there is no such alarm by default.
    pub(super) fn contributors(&self) -> f64 {
        if self.mode == Mode::Full {
            return 0.0;
        }
        let alarms = resources("AWS::CloudWatch::Alarm", Some("HasContributorAlarm"));
        alarms * self.published_instances().min(ANALYSED_METRICS)
    }

    /// Each datapoint is published once. The instances' datums are spread evenly over the shards;
    /// each shard adds its own numbers and gauges of the fleet, and makes its own calls.
    pub(super) fn put_calls_a_run(&self) -> f64 {
        let shards = f64::from(self.shards);
        let datapoints = f64::from(self.period.0 / DATAPOINT_MINUTES);
        let of_instances = (self.metrics_of_instances() * datapoints).ceil() / shards;
        let datums = of_instances + fleet_datums_a_datapoint() * datapoints;
        shards * ((datums / DATUMS_PER_CALL).ceil() + GAUGE_CALLS)
    }

    /// Seconds of the detector in one run for one shard.
    pub(super) fn shard_seconds(&self) -> f64 {
        BASE_SECONDS
            + SECONDS_PER_THOUSAND_INSTANCES * f64::from(self.instances)
                / f64::from(self.shards)
                / 1_000.0
    }

    /// Bytes in S3 at any time: the state and its versions of the last day, and the baselines.
    pub(super) fn stored_bytes(&self) -> f64 {
        let state_versions = 1.0 + self.period.runs_a_month() / DAYS * STATE_DAYS;
        f64::from(self.instances) * (STATE_BYTES * state_versions + BASELINE_BYTES * BASELINE_DAYS)
    }

    /// State transitions; none with one shard, where the schedule calls the function itself.
    pub(super) fn transitions_a_run(&self) -> f64 {
        if self.shards > 1 {
            TRANSITIONS_PER_RUN + TRANSITIONS_PER_SHARD * f64::from(self.shards)
        } else {
            0.0
        }
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let instances = f64::from(self.instances);
        let mut warnings = Vec::new();
        // A shard has to be ready before its next run, and before Lambda ends it.
        let limit = LAMBDA_SECONDS.min(f64::from(self.period.0) * 60.0);
        let seconds = self.shard_seconds();
        if seconds > limit {
            let enough =
                SECONDS_PER_THOUSAND_INSTANCES * instances / 1_000.0 / (limit - BASE_SECONDS);
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
                "Calibrating takes about {} s and Lambda allows {}: the next run of the night \
                 continues. Raise ReadDatapointsPerSecond, and the account's quota with it, to be \
                 through in one.",
                quantity(seconds.round()),
                quantity(LAMBDA_SECONDS),
            ));
        }
        warnings
    }
}

/// One item for each tier that is reached.
pub(super) fn custom_metrics(metric_months: f64) -> Vec<Item> {
    let item = |(tier, here): (Tier, f64)| {
        Item::of(&format!("custom metrics, {}", tier.name), here, tier.price)
    };
    prices::custom_metrics(metric_months).map(item).collect()
}

/// Dollars a month of CloudWatch's own anomaly detection alarms, or `None` where there are more
/// instances than models.
pub(super) fn native(instances: u32) -> Option<f64> {
    (instances <= NATIVE_MODELS)
        .then(|| PRICES.alarm.of(f64::from(instances) * NATIVE_ALARM_METRICS))
}

impl Item {
    pub(super) fn of(item: &str, quantity: f64, price: Price) -> Self {
        let Price { dollars, per, unit, source } = price;
        Self {
            item: item.into(),
            quantity,
            unit,
            price: dollars,
            per,
            source,
            dollars: price.of(quantity),
        }
    }
}
