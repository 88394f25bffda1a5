//! The prices. One place for each.

/// Month of the prices. Change it whenever you change a price.
pub(super) const PRICES_OF: &str = "2026-11";
/// The kind of the prices, shown beside every total.
pub(super) const KIND_OF_PRICES: &str = "list prices us-east-1, without free tier";

pub(super) const CLOUDWATCH: &str = "CloudWatch pricing page";
pub(super) const LAMBDA: &str = "Lambda pricing page";
pub(super) const S3: &str = "S3 pricing page";
pub(super) const STEP_FUNCTIONS: &str = "Step Functions pricing page";
pub(super) const EVENTBRIDGE: &str = "EventBridge pricing page";

pub(super) const PRICES: Prices = Prices {
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
pub(super) const NATIVE_ALARM_METRICS: f64 = 3.0;
/// Native anomaly detection models that a Region of an account may have (CloudWatch service
/// quotas).
pub(super) const NATIVE_MODELS: u32 = 500;

/// AWS's price of one kind of usage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Price {
    pub(super) dollars: f64,
    /// The number of units that the price is for.
    pub(super) per: f64,
    pub(super) unit: &'static str,
    pub(super) source: &'static str,
}

/// Dollars of a stretch of a quantity; the stretches follow each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tier {
    pub(super) name: &'static str,
    pub(super) size: f64,
    pub(super) price: Price,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Prices {
    pub(super) get_metric_data: Price,
    pub(super) put_metric_data: Price,
    pub(super) list_metrics: Price,
    pub(super) custom_metrics: [Tier; 4],
    pub(super) dashboard: Price,
    pub(super) alarm: Price,
    pub(super) log_ingestion: Price,
    pub(super) lambda_requests: Price,
    pub(super) lambda_x86_64: Price,
    pub(super) lambda_arm64: Price,
    pub(super) s3_put: Price,
    pub(super) s3_get: Price,
    pub(super) s3_storage: Price,
    pub(super) state_transitions: Price,
    pub(super) scheduler: Price,
}

impl Price {
    /// Dollars of that many.
    pub(super) fn of(&self, quantity: f64) -> f64 {
        quantity / self.per * self.dollars
    }
}
