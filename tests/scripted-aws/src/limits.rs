//! The limits of the services, and how long they take.

use std::time::{Duration, Instant};

/// CloudWatch's limits. The sizes hold for one call. The rates are token buckets on real time that
/// hold one second's worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// GetMetricData calls a second.
    pub get_calls_per_second: f64,
    /// Datapoints that GetMetricData gives a second when the start is within the last three hours.
    pub get_datapoints_per_second_recent: f64,
    /// Datapoints that GetMetricData gives a second when the start is longer ago.
    pub get_datapoints_per_second_old: f64,
    /// ListMetrics calls a second.
    pub list_calls_per_second: f64,
    /// PutMetricData calls a second.
    pub put_calls_per_second: f64,
    /// Queries of one GetMetricData call.
    pub queries_per_get: usize,
    /// Datapoints on one page of GetMetricData.
    pub datapoints_per_page: usize,
    /// Metrics on one page of ListMetrics.
    pub metrics_per_page: usize,
    /// Datums of one PutMetricData call.
    pub datums_per_put: usize,
    /// Bytes of one PutMetricData body as it is sent.
    pub bytes_per_put: usize,
    /// Dimensions of one datum.
    pub dimensions: usize,
}

impl Default for Limits {
    /// Those of the real service.
    fn default() -> Self {
        Self {
            get_calls_per_second: 50.0,
            get_datapoints_per_second_recent: 180_000.0,
            get_datapoints_per_second_old: 396_000.0,
            list_calls_per_second: 25.0,
            put_calls_per_second: 500.0,
            ..Self::none()
        }
    }
}

impl Limits {
    /// The sizes of the real service, but no limit on rates.
    pub fn none() -> Self {
        Self {
            get_calls_per_second: f64::INFINITY,
            get_datapoints_per_second_recent: f64::INFINITY,
            get_datapoints_per_second_old: f64::INFINITY,
            list_calls_per_second: f64::INFINITY,
            put_calls_per_second: f64::INFINITY,
            queries_per_get: 500,
            datapoints_per_page: 100_800,
            metrics_per_page: 500,
            datums_per_put: 1000,
            bytes_per_put: 1_000_000,
            dimensions: 30,
        }
    }
}

/// How long an answer takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// Of every call.
    pub base: Duration,
    /// On top of it, for every 100 datapoints that GetMetricData gives.
    pub per_100_datapoints: Duration,
}

impl Latency {
    /// About as long as the real service takes.
    pub fn like_aws() -> Self {
        Self { base: Duration::from_millis(60), per_100_datapoints: Duration::from_micros(200) }
    }

    pub(crate) fn of(&self, datapoints: usize) -> Duration {
        self.base + self.per_100_datapoints.mul_f64(datapoints as f64 / 100.0)
    }
}

/// A token bucket that holds one second's worth.
#[derive(Debug)]
struct Bucket {
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn new(per_second: f64) -> Self {
        Self { per_second, tokens: per_second, at: Instant::now() }
    }

    fn fill(&mut self) {
        let now = Instant::now();
        if self.per_second.is_finite() {
            let new = now.duration_since(self.at).as_secs_f64() * self.per_second;
            self.tokens = (self.tokens + new).min(self.per_second);
        }
        self.at = now;
    }

    fn has(&mut self, tokens: f64) -> bool {
        self.fill();
        // A request for more than the bucket can hold passes when the bucket is full. Otherwise it
        // would never pass.
        self.tokens >= tokens.min(self.per_second)
    }

    fn take(&mut self, tokens: f64) {
        if self.per_second.is_finite() {
            self.tokens -= tokens;
        }
    }
}

/// The rates of CloudWatch.
#[derive(Debug)]
pub(crate) struct Rates {
    get: Bucket,
    recent: Bucket,
    old: Bucket,
    list: Bucket,
    put: Bucket,
}

impl Rates {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            get: Bucket::new(limits.get_calls_per_second),
            recent: Bucket::new(limits.get_datapoints_per_second_recent),
            old: Bucket::new(limits.get_datapoints_per_second_old),
            list: Bucket::new(limits.list_calls_per_second),
            put: Bucket::new(limits.put_calls_per_second),
        }
    }

    /// Whether another call of this operation is within its rate.
    pub(crate) fn call(&mut self, operation: &str) -> bool {
        let bucket = match operation {
            "GetMetricData" => &mut self.get,
            "ListMetrics" => &mut self.list,
            _ => &mut self.put,
        };
        let allowed = bucket.has(1.0);
        if allowed {
            bucket.take(1.0);
        }
        allowed
    }

    /// Whether this number of further datapoints is within their rate.
    pub(crate) fn datapoints(&mut self, recent: bool, count: usize) -> bool {
        let bucket = if recent { &mut self.recent } else { &mut self.old };
        let allowed = bucket.has(count as f64);
        if allowed {
            bucket.take(count as f64);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_a_second_at_once_and_then_waits() {
        let mut rates = Rates::new(&Limits::default());
        assert!((0..50).all(|_| rates.call("GetMetricData")));
        assert!(!(0..20).all(|_| rates.call("GetMetricData")));
        assert!(rates.call("ListMetrics"));
        std::thread::sleep(Duration::from_millis(60));
        assert!(rates.call("GetMetricData"));
    }

    #[test]
    fn what_a_bucket_cannot_hold_passes_when_it_is_full() {
        let mut rates =
            Rates::new(&Limits { get_datapoints_per_second_old: 10.0, ..Limits::none() });
        assert!(rates.datapoints(false, 1000));
        assert!(!rates.datapoints(false, 1));
        assert!(rates.datapoints(true, 1_000_000));
    }
}
