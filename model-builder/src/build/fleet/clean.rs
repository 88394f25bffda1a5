//! Finds the parts of a history that training must not learn from: muted times, confirmed
//! anomalies, and the clearest anomalies of the present model.
//!
//! A clear anomaly scores so high that it would be reported even with a tiny budget of pages. It is
//! left out for as long as it lasts. The first days of a history are never left out: too little is
//! known by then.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use deepguard::model::card::{LeftOut, Why};
use deepguard::series::{DAY_SECONDS, PERIOD};
use deepguard::{Detector, Scored, Series, Watch};
use deepguard_aws::ids::TargetId;

use crate::common::parallel::parallel;

/// The history of each instance.
pub(crate) type Histories = BTreeMap<TargetId, Series>;

/// Days of a history after which scores are meaningful.
const KNOWN_DAYS: i64 = 5;
/// At most this part of all datapoints is left out.
const MOST_LEFT_OUT: f64 = 0.1;
/// Anomalous datapoints of an instance that are closer together than this, in seconds, form one
/// anomaly: six hours.
const TOGETHER: i64 = 6 * 3600;
/// The margin that is left out before the first of them and after the last, in seconds: half an
/// hour.
const MARGIN: i64 = 1800;

/// Histories without the parts that training must not learn from.
#[derive(Debug, Default)]
pub(crate) struct Cleaned {
    /// The remaining history of each instance that has any.
    pub(crate) histories: Histories,
    /// The stretches left out: known ones first, then the clearest anomalies first.
    pub(crate) left_out: Vec<LeftOut>,
    /// The number of datapoints left out.
    pub(crate) datapoints: usize,
}

impl Cleaned {
    /// All histories, with nothing left out yet.
    pub(crate) fn new(histories: Histories) -> Self {
        Self { histories, left_out: Vec::new(), datapoints: 0 }
    }

    /// The stretches of `instance` that are left out.
    pub(crate) fn but(&self, instance: &TargetId) -> Vec<Range<i64>> {
        let of_it = self.left_out.iter().filter(|stretch| stretch.instance == instance.as_str());
        of_it.map(|stretch| stretch.from..stretch.until).collect()
    }

    /// Leaves the stretches out.
    pub(crate) fn leave_out(&mut self, left_out: impl IntoIterator<Item = LeftOut>) {
        let mut by_instance: BTreeMap<String, Vec<LeftOut>> = BTreeMap::new();
        for stretch in left_out {
            by_instance.entry(stretch.instance.clone()).or_default().push(stretch.clone());
            self.left_out.push(stretch);
        }
        let before = std::mem::take(&mut self.histories);
        for (instance, series) in before {
            let Some(stretches) = by_instance.get(instance.as_str()) else {
                self.histories.insert(instance, series);
                continue;
            };
            let fit = |time: i64| {
                !stretches.iter().any(|stretch| (stretch.from..stretch.until).contains(&time))
            };
            let all = series.datapoints().count();
            let kept: Vec<_> = series.datapoints().filter(|point| fit(point.time)).collect();
            self.datapoints += all - kept.len();
            if let Ok((series, _)) = Series::from_datapoints(kept) {
                self.histories.insert(instance, series);
            }
        }
    }

    /// Leaves out the anomalies that `detector` gives a score of `clear` or more, the clearest
    /// first. Keeps those for which `is_fine` is true, because a person said so.
    ///
    /// # Errors
    /// Where `stop` is set.
    pub(crate) fn leave_out_contaminated(
        &mut self,
        detector: &Detector,
        clear: f64,
        is_fine: impl Fn(&TargetId, Range<i64>) -> bool,
        stop: &AtomicBool,
    ) -> Result<()> {
        let all: usize = self.histories.values().map(|series| series.datapoints().count()).sum();
        let mut left = (MOST_LEFT_OUT * all as f64) as usize;
        let histories: Vec<(&TargetId, &Series)> = self.histories.iter().collect();
        let scored = parallel(&histories, stop, |(_, series)| {
            let mut scored = detector.follow(series, &mut Watch::default(), series.end());
            scored.retain(|scored| scored.time >= series.start() + KNOWN_DAYS * DAY_SECONDS);
            Ok(scored)
        })?;
        let mut found: Vec<(f64, LeftOut)> = Vec::new();
        for ((instance, _), scored) in histories.iter().zip(&scored) {
            for (score, times) in anomalies(scored) {
                if score >= clear && !is_fine(instance, times.clone()) {
                    let (from, until) = (times.start - MARGIN, times.end + MARGIN);
                    let why = Why::Contaminated;
                    found.push((
                        score,
                        LeftOut { instance: instance.to_string(), from, until, why },
                    ));
                }
            }
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        found.retain(|(_, stretch)| {
            let slots = ((stretch.until - stretch.from) / PERIOD) as usize;
            let fits = slots <= left;
            left -= if fits { slots } else { 0 };
            fits
        });
        self.leave_out(found.into_iter().map(|(_, stretch)| stretch));
        Ok(())
    }
}

/// The anomalies of an instance: the highest score of each, and its time. An anomaly lasts as long
/// as its severity.
fn anomalies(scored: &[Scored]) -> Vec<(f64, Range<i64>)> {
    let mut anomalies: Vec<(f64, Range<i64>)> = Vec::new();
    for scored in
        scored.iter().filter(|scored| scored.severity.is_anomalous() || scored.score.is_anomalous())
    {
        let (score, end) = (scored.score.value(), scored.time + PERIOD);
        match anomalies.last_mut() {
            Some((highest, times)) if scored.time - times.end < TOGETHER => {
                (*highest, times.end) = (highest.max(score), end);
            }
            _ => anomalies.push((score, scored.time..end)),
        }
    }
    anomalies
}

#[cfg(test)]
mod tests {
    use deepguard::model::device;

    use super::*;
    use crate::build::simulate;
    use crate::testing::{artifact, instance};

    const NOW: i64 = 1_768_478_400;

    fn worn(faulty: f64) -> (Histories, Vec<LeftOut>) {
        let (mut histories, mut faults) = (Histories::new(), Vec::new());
        for (number, machine) in simulate::worn(3, 7, 14, faulty, NOW).into_iter().enumerate() {
            histories
                .insert(instance(number), Series::from_datapoints(machine.datapoints).unwrap().0);
            faults.extend(machine.faults.into_iter().map(|(times, _)| LeftOut {
                instance: instance(number).to_string(),
                from: times.start,
                until: times.end,
                why: Why::Confirmed,
            }));
        }
        (histories, faults)
    }

    fn overlaps(a: &LeftOut, b: &LeftOut) -> bool {
        a.instance == b.instance && a.from < b.until && b.from < a.until
    }

    #[test]
    fn what_is_known_is_left_out_to_the_datapoint() {
        let (histories, faults) = worn(0.05);
        let all: usize = histories.values().map(Series::len).sum();
        let mut cleaned = Cleaned::new(histories);
        cleaned.leave_out(faults.clone());
        assert_eq!(cleaned.datapoints, all / 20);
        for fault in faults {
            let series = &cleaned.histories[&fault.instance.parse().unwrap()];
            assert_eq!(series.between(fault.from, fault.until).count(), 0);
        }
    }

    #[test]
    fn the_clearest_anomalies_are_left_out_unless_a_label_says_that_they_are_fine() {
        let detector = Detector::new(artifact(), &device());
        let left_out = |faulty: f64, is_fine: bool| {
            let mut cleaned = Cleaned::new(worn(faulty).0);
            cleaned
                .leave_out_contaminated(&detector, 1.3, |_, _| is_fine, &AtomicBool::new(false))
                .unwrap();
            cleaned.left_out
        };
        let (clean, dirty, faults) = (left_out(0.0, false), left_out(0.05, false), worn(0.05).1);
        let right =
            dirty.iter().filter(|found| faults.iter().any(|fault| overlaps(found, fault))).count();
        assert!(
            right >= 2 && dirty.len() - right <= clean.len() + 1,
            "{right} of {}: {faults:?}",
            dirty.len()
        );
        assert_eq!(left_out(0.05, true), []);
    }
}
