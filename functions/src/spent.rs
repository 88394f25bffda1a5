//! What the function has used of CloudWatch since the month began, for the digest.
//!
//! Reading and custom metrics are nearly all of a deployment's bill (`model-builder cost`). A run
//! whose state is not stored is not counted, nor is what another division of the fleet used.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::AddAssign;

use deepguard_aws::metric::{Datum, Metric};
use deepguard_aws::prices::{PRICES, custom_metrics};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Seconds of an hour.
const HOUR: i64 = 3600;
/// Hours of the month that prices are for.
const HOURS_A_MONTH: f64 = 720.0;

/// What was used in a month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Metrics that GetMetricData was asked for.
    pub reads: u64,
    /// Hours in which a custom metric was sent, of all metrics.
    pub metric_hours: u64,
}

/// What a part of the fleet has used in the current month (UTC).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The month, counted from the year 0.
    month: i32,
    used: Used,
    /// The current hour, counted from 1970, ...
    hour: i64,
    /// ... and the hashes of the metrics that were sent in it.
    sent: BTreeSet<u32>,
}

impl Spent {
    /// Adds what a run at `now` (seconds since 1970) uses: it requests `reads` metrics and sends
    /// `datums`, and the gauges of the run. Metrics of the fleet count for the `first` part only:
    /// the others send the same ones.
    pub fn add(&mut self, now: i64, reads: u64, datums: &[Datum], first: bool) {
        let month = month(now);
        if month != self.month {
            *self = Self { month, ..Self::default() };
        }
        let hour = now.div_euclid(HOUR);
        if hour != self.hour {
            self.hour = hour;
            self.sent.clear();
        }
        self.used.reads += reads;
        let is_counted = |datum: &&Datum| first || datum.metric.is_per_instance();
        let sent = datums.iter().filter(is_counted);
        let sent = sent.map(|datum| (datum.metric, datum.dimension().map_or("", |of| of.1)));
        let gauges = Metric::ALL.into_iter().filter(|metric| first && metric.is_gauge());
        for metric in sent.chain(gauges.map(|gauge| (gauge, ""))) {
            // Another build may hash otherwise: then an hour counts twice.
            let mut hash = DefaultHasher::new();
            metric.hash(&mut hash);
            if self.sent.insert(hash.finish() as u32) {
                self.used.metric_hours += 1;
            }
        }
    }

    /// What was used so far in the month of `now` (seconds since 1970).
    pub fn used(&self, now: i64) -> Used {
        if month(now) == self.month { self.used } else { Used::default() }
    }
}

/// The month of a time (UTC), counted from the year 0.
fn month(time: i64) -> i32 {
    let date = Timestamp::from_second(time).map(|time| time.to_zoned(TimeZone::UTC).date());
    date.map_or(0, |date| i32::from(date.year()) * 12 + i32::from(date.month()))
}

impl AddAssign for Used {
    fn add_assign(&mut self, other: Self) {
        self.reads += other.reads;
        self.metric_hours += other.metric_hours;
    }
}

impl Used {
    /// Its list prices, in US dollars: of reading, and of metrics.
    pub fn dollars(self) -> [f64; 2] {
        let months = self.metric_hours as f64 / HOURS_A_MONTH;
        let metrics = custom_metrics(months).map(|(tier, here)| tier.price.of(here)).sum();
        [PRICES.get_metric_data.of(self.reads as f64), metrics]
    }
}

#[cfg(test)]
mod tests {
    use deepguard_aws::metric::Of;

    use super::*;
    use crate::testing::instance;

    fn datum(number: usize) -> Datum {
        let of = Of::Instance(instance(number));
        Datum { metric: Metric::AnomalyScore, of, time: 0, value: 1.0 }
    }

    #[test]
    fn a_metric_costs_for_each_hour_in_which_it_is_sent_and_a_read_each_time() {
        let (mut spent, fleet) = (Spent::default(), [1, 2, 2].map(datum));
        // 30 November 2026, 23:00 UTC.
        let begin = 1_796_083_200 - HOUR;
        for run in 0..24 {
            spent.add(begin + 300 * run, 1000, &fleet, false);
        }
        let now = begin + HOUR;
        let used = |reads, metric_hours| Used { reads, metric_hours };
        assert_eq!(spent.used(now), used(12_000, 2), "a new month begins");
        assert_eq!(spent.used(begin), used(0, 0), "the old one is over");
        spent.add(begin + 2 * HOUR, 1000, &[], false);
        spent.add(begin + 2 * HOUR + 300, 1000, &fleet[..1], false);
        assert_eq!(spent.used(now), used(14_000, 3));
        let gauges = Metric::ALL.into_iter().filter(|metric| metric.is_gauge()).count() as u64;
        let of_fleet = [Datum::of_fleet(Metric::InstancesScored, 0, 1.0)];
        spent.add(begin + 2 * HOUR + 600, 0, &of_fleet, false);
        assert_eq!(spent.used(now), used(14_000, 3), "the first part has those of the fleet");
        spent.add(begin + 2 * HOUR + 600, 0, &of_fleet, true);
        assert_eq!(spent.used(now), used(14_000, 3 + 1 + gauges));
    }

    #[test]
    fn a_month_costs_what_the_bill_of_a_deployment_says() {
        // 1,000 instances, a run every five minutes, ten metrics all the time: $86.40 and $3.00.
        let used = Used { reads: 1000 * 288 * 30, metric_hours: 10 * 720 };
        let [reading, metrics] = used.dollars();
        assert!((reading - 86.40).abs() < 1e-9 && (metrics - 3.0).abs() < 1e-9);
        let many = Used { reads: 0, metric_hours: 20_000 * 720 };
        assert!((many.dollars()[1] - 4000.0).abs() < 1e-6, "the second 10,000 are cheaper");
    }
}
