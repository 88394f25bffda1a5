//! Measures by how much the usual errors of a young machine still grow.

use deepguard::baseline::level::quantile;
use deepguard::baseline::{HISTORY_DAYS, calibrated_at};
use deepguard::channel::{CHANNELS, Channel, Measure};
use deepguard::model::card::Growth;
use deepguard::score::{ORDINARY_RUN, Rule};
use deepguard::series::{DAY_SECONDS, PERIOD};
use deepguard::{Detector, Series, Watch};

use super::Source;

/// Days over which the growth of a machine's usual errors is measured ...
const GROWING_DAYS: i64 = 17;
/// ... on no more machines than this.
const GROWING: usize = 40;
/// The quantile of the growth of usual forecast errors that a young machine gets. A lower one finds
/// more on young machines, and pages more for nothing: docs/experiments.md.
const FORECAST_QUANTILE: f64 = 0.65;
/// The quantile of the growth for levels and runs, which show themselves in days, not in minutes.
const SLOW_QUANTILE: f64 = 0.9;
/// From this number of real machines on, generated ones, which grow less, are left out.
pub(super) const ENOUGH_REAL: usize = 4;
/// Days of scores after which a machine has shown what is usual for it.
pub(super) const GROWN: usize = HISTORY_DAYS;

/// How much the usual values of a machine with 0, 1, 2 ... days still grow. It is a quantile, over
/// machines and channels, of the usual value after two weeks over the usual value then. It is never
/// under 1. It uses real CPU where there are enough machines, else all CPU. It is empty where no
/// source is long enough.
pub(super) fn growth(sources: &[Source], detector: &Detector) -> Growth {
    let is_long = |source: &&Source| {
        source.is_cpu && source.series.len() as i64 * PERIOD > GROWING_DAYS * DAY_SECONDS
    };
    let all: Vec<&Source> = sources.iter().filter(is_long).collect();
    let real: Vec<&Source> = all.iter().copied().filter(|source| !source.is_generated()).collect();
    let chosen = if real.len() >= ENOUGH_REAL { real } else { all };
    let mut ratios = Ratios::default();
    for source in chosen.iter().step_by(chosen.len().div_ceil(GROWING).max(1)) {
        ratios.add(&source.series, detector);
    }
    ratios.growth()
}

/// The growth of the usual values, by days of history.
#[derive(Default)]
pub(super) struct Ratios {
    pub(super) forecasts: [Vec<f64>; GROWN],
    pub(super) records: [Vec<f64>; GROWN],
    pub(super) runs: [Vec<f64>; GROWN],
}

impl Ratios {
    /// The growth factors of one machine.
    fn add(&mut self, series: &Series, detector: &Detector) {
        let mut watch = Watch::default();
        // By days of history: the usual errors, and the longest run.
        let mut usual: Vec<[Option<f64>; CHANNELS]> = vec![[None; CHANNELS]; GROWN + 1];
        let mut runs: Vec<Option<f64>> = vec![None; GROWN + 1];
        let mut day = calibrated_at(series.start()) + DAY_SECONDS;
        while day < series.start() + GROWING_DAYS * DAY_SECONDS {
            // The first datapoint of the day brings its baseline, and the usual values until then.
            detector.follow(series, &mut watch, day + PERIOD);
            if let Some(baseline) = &watch.baseline {
                let rule = Rule::new(detector.threshold(), baseline, 1.0);
                for (index, channel) in Channel::ALL.into_iter().enumerate() {
                    let mut days: Vec<f64> = watch.memory.largest(index).collect();
                    let known = days.len().min(GROWN);
                    days.extend(
                        baseline.largest.filter(|_| known == 0).map(|largest| largest[index]),
                    );
                    let floored =
                        rule.usual(channel, &days, 1.0).map(|usual| usual + rule.floor(channel));
                    usual[known][index] = floored.or(usual[known][index]);
                }
                runs[baseline.days().min(GROWN)] =
                    Some((baseline.longest_run as f64).max(ORDINARY_RUN));
            }
            day += DAY_SECONDS;
        }
        for known in 0..GROWN {
            for (index, channel) in Channel::ALL.into_iter().enumerate() {
                let ratios = match channel.measure() {
                    Measure::Forecast { .. } | Measure::Peers { .. } => &mut self.forecasts,
                    Measure::Record { .. } => &mut self.records,
                };
                ratios[known].extend(
                    usual[GROWN][index].zip(usual[known][index]).map(|(now, then)| now / then),
                );
            }
            self.runs[known].extend(runs[GROWN].zip(runs[known]).map(|(now, then)| now / then));
        }
    }

    pub(super) fn growth(mut self) -> Growth {
        let of = |ratios: &mut [Vec<f64>; GROWN], cautious: f64| -> Vec<f64> {
            let growth = |ratios: &mut Vec<f64>| {
                ratios.sort_unstable_by(f64::total_cmp);
                quantile(ratios, cautious).unwrap_or(1.0).max(1.0)
            };
            ratios.iter_mut().map(growth).collect()
        };
        if self.forecasts.iter().all(Vec::is_empty) {
            return Growth::default();
        }
        let mut growth = Growth {
            forecasts: of(&mut self.forecasts, FORECAST_QUANTILE),
            records: of(&mut self.records, SLOW_QUANTILE),
            runs: of(&mut self.runs, SLOW_QUANTILE),
        };
        // A machine that begins at midnight never shows a history of under a day.
        growth.runs[0] = growth.runs[0].max(growth.runs[1]);
        growth
    }
}
