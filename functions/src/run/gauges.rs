//! The metrics that a run publishes about itself.

use std::collections::BTreeMap;

use deepguard_aws::metric::{Datum, Metric, Of, Skip};

/// The values that hold for one run only.
#[derive(Debug, Clone, PartialEq)]
pub struct Gauges {
    /// Instances with a new score.
    pub scored: usize,
    /// Instances that could not be scored, by reason.
    pub skipped: BTreeMap<Skip, usize>,
    /// Seconds from the end of the newest datapoint that has a score to the run's time.
    pub lag: Option<i64>,
    /// Datums, events and states that AWS did not take.
    pub failures: usize,
    /// Days since the model was trained.
    pub model_days: Option<f64>,
    /// Hours since the midnight of the oldest baseline in use.
    pub baseline_hours: Option<f64>,
    /// Whether no instance has a recent score: an empty fleet is not a silent detector.
    pub nothing_scored: bool,
    /// Episodes that last.
    pub open_episodes: usize,
    /// Inputs that could not be read, so that older ones are in use.
    pub stale: usize,
    /// Anomalies that have begun and do not page.
    pub notices: usize,
    /// The score from which on an anomaly pages.
    pub page_level: f64,
}

impl Gauges {
    /// As datums at `time` (seconds since 1970).
    pub fn datums(&self, time: i64) -> Vec<Datum> {
        let of_fleet = |metric, value| Datum::of_fleet(metric, time, value);
        let mut datums = vec![
            of_fleet(Metric::InstancesSkipped, self.skipped.values().sum::<usize>() as f64),
            of_fleet(Metric::PublishFailures, self.failures as f64),
            of_fleet(Metric::OpenEpisodes, self.open_episodes as f64),
            of_fleet(Metric::StaleInputs, self.stale as f64),
            of_fleet(Metric::Notices, self.notices as f64),
            of_fleet(Metric::PageLevel, self.page_level),
        ];
        datums.extend(self.skipped.iter().map(|(&reason, &instances)| Datum {
            metric: Metric::InstancesSkipped,
            of: Of::Skipped(reason),
            time,
            value: instances as f64,
        }));
        datums.extend(self.nothing_scored.then(|| of_fleet(Metric::InstancesScored, 0.0)));
        datums.extend(self.coverage().map(|share| of_fleet(Metric::Coverage, 100.0 * share)));
        datums.extend(self.lag.map(|lag| of_fleet(Metric::DataLagSeconds, lag as f64)));
        datums.extend(self.model_days.map(|days| of_fleet(Metric::ModelAgeDays, days)));
        datums.extend(self.baseline_hours.map(|hours| of_fleet(Metric::BaselineAgeHours, hours)));
        datums
    }

    /// The share of the instances that could be judged. Instances without new datapoints do not
    /// count; `None` where there is no other.
    fn coverage(&self) -> Option<f64> {
        let skipped =
            |reasons: &[Skip]| reasons.iter().filter_map(|reason| self.skipped.get(reason)).sum();
        let waiting: usize = skipped(&[Skip::NoBaseline, Skip::AwaitsBaseline]);
        let failed: usize = skipped(&[Skip::ReadFailed, Skip::OutOfTime, Skip::Unusable]);
        let judged = self.scored + waiting;
        (judged + failed > 0).then(|| judged as f64 / (judged + failed) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_says_what_it_did_not_see() {
        let gauges = Gauges {
            scored: 1,
            skipped: [(Skip::ReadFailed, 2), (Skip::NoBaseline, 1)].into(),
            lag: Some(600),
            failures: 3,
            model_days: Some(1.5),
            baseline_hours: None,
            nothing_scored: true,
            open_episodes: 2,
            stale: 1,
            notices: 4,
            page_level: 1.6,
        };
        let datums = gauges.datums(900);
        let named: Vec<_> = datums
            .iter()
            .map(|datum| (datum.metric.name(), datum.dimension(), datum.value))
            .collect();
        let expected = [
            ("InstancesSkipped", None, 3.0),
            ("PublishFailures", None, 3.0),
            ("OpenEpisodes", None, 2.0),
            ("StaleInputs", None, 1.0),
            ("Notices", None, 4.0),
            ("PageLevel", None, 1.6),
            ("InstancesSkipped", Some(("Reason", "no_baseline")), 1.0),
            ("InstancesSkipped", Some(("Reason", "read_failed")), 2.0),
            ("InstancesScored", None, 0.0),
            ("Coverage", None, 50.0),
            ("DataLagSeconds", None, 600.0),
            ("ModelAgeDays", None, 1.5),
        ];
        assert_eq!(named, expected);
        assert!(datums.iter().all(|datum| datum.time == 900));
        // The bill counts the metrics of a run itself, by the catalogue.
        let of_a_time = |metric: Metric| !metric.is_gauge() && metric != Metric::InstancesScored;
        assert!(!datums.iter().any(|datum| of_a_time(datum.metric)));
    }
}
