//! The prices of AWS. One place for each.

/// Month of the prices. Change it whenever you change a price.
pub const PRICES_OF: &str = "2026-11";
/// The kind of the prices, shown beside every total.
pub const KIND_OF_PRICES: &str = "list prices us-east-1, without free tier";

/// The page that a price is from.
pub const CLOUDWATCH: &str = "CloudWatch pricing page";
/// The page that a price is from.
pub const LAMBDA: &str = "Lambda pricing page";
/// The page that a price is from.
pub const S3: &str = "S3 pricing page";
/// The page that a price is from.
pub const STEP_FUNCTIONS: &str = "Step Functions pricing page";
/// The page that a price is from.
pub const EVENTBRIDGE: &str = "EventBridge pricing page";

/// All prices.
pub const PRICES: Prices = Prices {
    get_metric_data: Price {
        dollars: 0.01,
        per: 1_000.0,
        unit: "metrics requested",
        source: CLOUDWATCH,
    },
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
    dashboard: Price { dollars: 3.00, per: 1.0, unit: "dashboard", source: CLOUDWATCH },
    alarm: Price { dollars: 0.10, per: 1.0, unit: "alarm-metric", source: CLOUDWATCH },
    log_ingestion: Price { dollars: 0.50, per: 1.0, unit: "GB", source: CLOUDWATCH },
    lambda_requests: Price { dollars: 0.20, per: 1_000_000.0, unit: "requests", source: LAMBDA },
    lambda_x86_64: Price { dollars: 0.000_016_666_7, per: 1.0, unit: "GB-second", source: LAMBDA },
    lambda_arm64: Price { dollars: 0.000_013_333_4, per: 1.0, unit: "GB-second", source: LAMBDA },
    s3_put: Price { dollars: 0.005, per: 1_000.0, unit: "requests", source: S3 },
    s3_get: Price { dollars: 0.0004, per: 1_000.0, unit: "requests", source: S3 },
    s3_storage: Price { dollars: 0.023, per: 1.0, unit: "GB-month", source: S3 },
    state_transitions: Price {
        dollars: 0.025,
        per: 1_000.0,
        unit: "transitions",
        source: STEP_FUNCTIONS,
    },
    scheduler: Price { dollars: 1.00, per: 1_000_000.0, unit: "invocations", source: EVENTBRIDGE },
};

/// Alarm metrics that one native anomaly detection alarm is billed as: the metric and the two edges
/// of its band.
pub const NATIVE_ALARM_METRICS: f64 = 3.0;
/// Native anomaly detection models that a Region of an account may have (CloudWatch service
/// quotas).
pub const NATIVE_MODELS: u32 = 500;

/// AWS's price of one kind of usage.
#[derive(Debug, Clone, Copy)]
pub struct Price {
    /// The price of [`Self::per`] units, in US dollars.
    pub dollars: f64,
    /// The number of units that the price is for.
    pub per: f64,
    /// The unit, in words.
    pub unit: &'static str,
    /// Where the price is from.
    pub source: &'static str,
}

/// Dollars of a stretch of a quantity; the stretches follow each other.
#[derive(Debug, Clone, Copy)]
pub struct Tier {
    /// Which stretch it is, in words.
    pub name: &'static str,
    /// Its length, in units.
    pub size: f64,
    /// The price of it.
    pub price: Price,
}

/// The prices of everything that a deployment uses.
#[derive(Debug, Clone, Copy)]
pub struct Prices {
    /// GetMetricData, by the metric.
    pub get_metric_data: Price,
    /// PutMetricData, by the request.
    pub put_metric_data: Price,
    /// ListMetrics, by the request.
    pub list_metrics: Price,
    /// Custom metrics, by the month in which they have datapoints all the time.
    pub custom_metrics: [Tier; 4],
    /// A dashboard, by the month.
    pub dashboard: Price,
    /// A metric of an alarm, by the month.
    pub alarm: Price,
    /// Logs, by the GB that arrives.
    pub log_ingestion: Price,
    /// Lambda, by the request.
    pub lambda_requests: Price,
    /// Lambda on x86-64, by the GB-second.
    pub lambda_x86_64: Price,
    /// Lambda on arm64, by the GB-second.
    pub lambda_arm64: Price,
    /// Writing and listing objects, by the request.
    pub s3_put: Price,
    /// Reading objects, by the request.
    pub s3_get: Price,
    /// Objects, by the GB and month.
    pub s3_storage: Price,
    /// Step Functions, by the transition.
    pub state_transitions: Price,
    /// EventBridge Scheduler, by the invocation.
    pub scheduler: Price,
}

/// The stretches of custom metrics that this many metric-months take, and how much of each.
pub fn custom_metrics(metric_months: f64) -> impl Iterator<Item = (Tier, f64)> {
    let mut left = metric_months;
    PRICES.custom_metrics.into_iter().filter_map(move |tier| {
        let here = left.min(tier.size);
        left -= here;
        (here > 0.0).then_some((tier, here))
    })
}

impl Price {
    /// Dollars of that many.
    pub fn of(&self, quantity: f64) -> f64 {
        quantity / self.per * self.dollars
    }
}
