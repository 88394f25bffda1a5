//! The threshold for a budget of pages, from a history that may still have anomalies in it.
//!
//! Simply counting the alarms of a history would take every anomaly in it for a false alarm. The
//! threshold would rise until it is silent. So the threshold follows the highest score of each day,
//! and only the bulk of the days: days with anomalies lie above it. If the bulk of a fleet is twice
//! as high as that of generated machines of the same age, its threshold is, too. The generated
//! machines, which are known to be healthy, tell how much rarer than the bulk a page is.

use deepguard::baseline::level::quantile;
use deepguard::model::card::FalsePages;

use crate::build::backtest::Backtest;

/// The quantiles of the days that are compared: above merely quiet days, and below days that could
/// hold an anomaly.
const BULK: [f64; 5] = [0.55, 0.6, 0.65, 0.7, 0.75];
/// With fewer instance-weeks than this, a fleet's days say too little.
const ENOUGH_WEEKS: f64 = 5.0;

/// How much higher the days of `fleet` are than those of `generated`, by their bulk. 1 where there
/// are too few of them.
pub(crate) fn scale(fleet: &Backtest, generated: &Backtest) -> f64 {
    let days = |backtest: &Backtest| {
        let mut maxima = backtest.day_maxima();
        maxima.retain(|highest| *highest > 0.0);
        maxima.sort_unstable_by(f64::total_cmp);
        maxima
    };
    let (fleet_days, generated) = (days(fleet), days(generated));
    let logarithm = |q| Some((quantile(&fleet_days, q)? / quantile(&generated, q)?).ln());
    match BULK.into_iter().map(logarithm).sum::<Option<f64>>() {
        Some(sum) if fleet.weeks() >= ENOUGH_WEEKS => (sum / BULK.len() as f64).exp(),
        _ => 1.0,
    }
}

/// The table of generated machines, for a fleet whose days are higher by this factor.
pub(crate) fn scaled(pages: &[FalsePages], scale: f64) -> Vec<FalsePages> {
    let round = |number: f64| (number * 1e4).round() / 1e4;
    pages.iter().map(|row| FalsePages { threshold: round(row.threshold * scale), ..*row }).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use deepguard::model::device;
    use deepguard::{Detector, Series};

    use super::*;
    use crate::build::backtest::Past;
    use crate::build::simulate;
    use crate::testing::artifact;

    #[test]
    fn a_twentieth_of_faults_hardly_moves_it() {
        let detector = Detector::new(artifact(), &device());
        let stop = AtomicBool::new(false);
        let run = |faulty: f64| {
            let machines = simulate::worn(5, 21, 14, faulty, 1_768_478_400);
            let histories: Vec<Series> = machines
                .into_iter()
                .map(|machine| Series::from_datapoints(machine.datapoints).unwrap().0)
                .collect();
            let pasts: Vec<Past<'_>> =
                histories.iter().map(|series| Past::whole(series, 7)).collect();
            Backtest::run(&detector, &pasts, &stop).unwrap()
        };
        let (clean, faulty) = (run(0.0), run(0.05));
        let moved = scale(&faulty, &clean);
        assert!((moved - 1.0).abs() < 0.05, "{moved}");
        assert!(
            faulty.per_instance_week(detector.threshold())
                > 1.2 * clean.per_instance_week(detector.threshold()),
            "there are alarms to be misled by"
        );
    }

    #[test]
    fn a_table_is_scaled_by_its_thresholds() {
        let row = |threshold, per_instance_week| FalsePages {
            threshold,
            per_instance_week,
            interval: None,
        };
        assert_eq!(scaled(&[row(1.0, 2.0), row(1.2, 1.0)], 1.1), [row(1.1, 2.0), row(1.32, 1.0)]);
    }
}
