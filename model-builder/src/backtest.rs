//! What would have been reported: a detector followed over known histories, and how its alarms depend on the threshold.
//!
//! A score is a distance over the tolerance, and the tolerance is the threshold times what is usual. So another threshold divides
//! all scores, and one pass serves all of them. Two things do not scale: a frozen value, whose score is the same at each threshold
//! (that is taken care of), and the smallest deviation that matters, under which machines at rest are (that is not: what is
//! chosen is scored once more, really).

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use deepguard::model::artifact::Pages;
use deepguard::series::{DAY, DAY_SECONDS, PERIOD, WEEK};
use deepguard::{Artifact, Detector, Scored, Series, Watch};

use crate::evaluate::parallel;
use crate::evaluate::peers::{REFRACTORY, records};
use crate::workload::machine::{Kind, machine};
use crate::workload::series;

/// Generated machines of each kind whose false alarms are counted, and the seeds from which on they are: neither trained on nor
/// those that detectors are compared on.
const EACH: u64 = 6;
const SEEDS: u64 = 1000;
/// Weeks of each of them in which alarms count, and before them the history that is needed for it.
const WEEKS: usize = 4;
const SETTLING: usize = 14;

/// A threshold of the table is this many times the one before it ...
const STEP: f64 = 1.05;
/// ... and there are so many below the artifact's own, and above it.
const BELOW: i32 = 14;
const ABOVE: i32 = 30;

/// One history to follow.
#[derive(Debug, Clone)]
pub(crate) struct Past<'a> {
    /// Its CPU.
    pub(crate) series: &'a Series,
    /// Alarms count from then on, in seconds since 1970.
    pub(crate) from: i64,
    /// What happens in these stretches (seconds since 1970) does not count.
    pub(crate) but: Vec<Range<i64>>,
}

/// Scores of several machines at one threshold.
#[derive(Debug, Clone)]
pub(crate) struct Backtest {
    threshold: f64,
    machines: Vec<Followed>,
}

/// Scores of one machine.
#[derive(Debug, Clone)]
struct Followed {
    /// One for each slot, NaN where there is none.
    scores: Vec<f64>,
    /// Slots in which the score is that of a frozen value.
    frozen: Vec<usize>,
    /// Alarms count from this slot on.
    settled: usize,
    /// Weeks with datapoints from then on.
    weeks: f64,
}

impl<'a> Past<'a> {
    /// All of it after the first `settling` days.
    pub(crate) fn whole(series: &'a Series, settling: usize) -> Self {
        Self { series, from: series.start() + settling as i64 * DAY_SECONDS, but: Vec::new() }
    }
}

impl Followed {
    fn new(past: &Past<'_>, scored: &[Scored]) -> Self {
        let Past { series, from, but } = past;
        let mut scores = vec![f64::NAN; series.len()];
        let mut frozen = Vec::new();
        let settled = (*from).clamp(series.start(), series.end());
        for scored in scored.iter().filter(|scored| !but.iter().any(|but| but.contains(&scored.time))) {
            let slot = series.index_at(scored.time);
            scores[slot] = scored.score.value();
            if scored.channel.is_none() && scored.score.value() > 0.0 {
                frozen.push(slot);
            }
        }
        let settled = ((settled - series.start()) / PERIOD) as usize;
        let weeks = scores[settled..].iter().filter(|score| !score.is_nan()).count() as f64 / WEEK as f64;
        Self { scores, frozen, settled, weeks }
    }

    /// Alarms at the threshold that divides scores by `cut`.
    fn alarms(&self, cut: f64) -> usize {
        let mut scores: Vec<f64> = self.scores.iter().map(|score| score / cut).collect();
        self.frozen.iter().for_each(|&slot| scores[slot] = self.scores[slot]);
        records(&scores, REFRACTORY)[self.settled..].iter().filter(|score| **score >= 1.0).count()
    }

    /// The highest score of each settled day, of days that have any.
    fn day_maxima(&self) -> impl Iterator<Item = f64> + '_ {
        let days = self.scores[self.settled..].chunks(DAY);
        days.map(|day| day.iter().copied().fold(f64::NAN, f64::max)).filter(|highest| !highest.is_nan())
    }
}

impl Backtest {
    /// Follows each of `pasts` with `detector`.
    ///
    /// # Errors
    /// Where `stop` is set.
    pub(crate) fn run(detector: &Detector, pasts: &[Past<'_>], stop: &AtomicBool) -> Result<Self> {
        let machines = parallel(pasts, stop, |past| {
            let scored = detector.follow(past.series, &mut Watch::default(), past.series.end());
            Ok(Followed::new(past, &scored))
        })?;
        Ok(Self { threshold: detector.threshold(), machines })
    }

    /// Follows generated machines that nobody has seen, over so many days; alarms count after the first `settling` of them.
    ///
    /// # Errors
    /// Where `stop` is set.
    pub(crate) fn of_generated(detector: &Detector, days: usize, settling: usize, stop: &AtomicBool) -> Result<Self> {
        let machines = (SEEDS..SEEDS + EACH).flat_map(|seed| Kind::ALL.map(|kind| (kind, seed)));
        let machines = machines.map(|(kind, seed)| series(&machine(kind, seed, days)));
        let machines = machines.collect::<Result<Vec<Series>, _>>()?;
        let past = |series| Past::whole(series, settling);
        Self::run(detector, &machines.iter().map(past).collect::<Vec<_>>(), stop)
    }

    /// The same over as many weeks as the table of an artifact rests on.
    ///
    /// # Errors
    /// Where `stop` is set.
    pub(crate) fn of_settled(detector: &Detector, stop: &AtomicBool) -> Result<Self> {
        Self::of_generated(detector, SETTLING + 7 * WEEKS, SETTLING, stop)
    }

    /// Weeks in which alarms count, of all machines.
    pub(crate) fn weeks(&self) -> f64 {
        self.machines.iter().map(|machine| machine.weeks).sum()
    }

    /// Alarms of one machine in a week at `threshold`.
    pub(crate) fn per_instance_week(&self, threshold: f64) -> f64 {
        let cut = threshold / self.threshold;
        let alarms: usize = self.machines.iter().map(|machine| machine.alarms(cut)).sum();
        alarms as f64 / self.weeks()
    }

    /// The highest score of each day of each machine that counts.
    pub(crate) fn day_maxima(&self) -> Vec<f64> {
        self.machines.iter().flat_map(Followed::day_maxima).collect()
    }

    /// The table for an artifact's card, around its threshold.
    pub(crate) fn pages(&self) -> Vec<Pages> {
        let round = |number: f64| (number * 1e4).round() / 1e4;
        let thresholds = (-BELOW..=ABOVE).map(|step| match step {
            0 => self.threshold,
            step => round(self.threshold * STEP.powi(step)),
        });
        let row = |threshold| Pages { threshold, per_instance_week: round(self.per_instance_week(threshold)) };
        let mut pages: Vec<Pages> = thresholds.map(row).collect();
        // A frozen value that no longer hides behind something higher can make one alarm more: the table only falls.
        let mut most = 0.0;
        for row in pages.iter_mut().rev() {
            most = f64::max(most, row.per_instance_week);
            row.per_instance_week = most;
        }
        pages
    }
}

/// The artifact with the table of its false alarms on generated machines.
///
/// # Errors
/// Where `stop` is set.
pub(crate) fn with_pages(artifact: Artifact, stop: &AtomicBool) -> Result<Artifact> {
    let detector = Detector::new(artifact.clone(), &deepguard::model::device());
    let pages = Backtest::of_settled(&detector, stop)?.pages();
    let threshold = artifact.card().threshold;
    Ok(artifact.calibrated(threshold, pages)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detector() -> Detector {
        let artifact = Artifact::from_bytes(include_bytes!("../../models/default.safetensors")).unwrap();
        Detector::new(artifact, &deepguard::model::device())
    }

    fn followed(scores: &[f64], frozen: &[usize]) -> Followed {
        Followed { scores: scores.to_vec(), frozen: frozen.to_vec(), settled: 0, weeks: 1.0 }
    }

    #[test]
    fn a_cut_divides_all_scores_but_those_of_what_is_frozen() {
        let rises = followed(&[0.5, 1.2, 1.1, 1.6, f64::NAN], &[]);
        assert_eq!([0.4, 1.0, 1.3, 1.7].map(|cut| rises.alarms(cut)), [3, 2, 1, 0]);
        let frozen = followed(&[0.5, 1.1, 0.2], &[1]);
        assert_eq!([1.0, 5.0].map(|cut| frozen.alarms(cut)), [1, 1]);
    }

    #[test]
    fn what_is_read_off_is_what_another_threshold_really_gives() {
        let machines: Vec<Series> = Kind::ALL.map(|kind| series(&machine(kind, SEEDS, 35)).unwrap()).to_vec();
        let pasts: Vec<Past<'_>> = machines.iter().map(|series| Past::whole(series, 14)).collect();
        let stop = AtomicBool::new(false);
        let run = |detector: &Detector| Backtest::run(detector, &pasts, &stop).unwrap();
        let base = run(&detector());
        for factor in [0.8, 1.0, 1.3] {
            let threshold = factor * base.threshold;
            let really = run(&detector().with_threshold(threshold)).per_instance_week(threshold);
            let said = base.per_instance_week(threshold);
            assert!((said - really).abs() <= 0.1 * really + 0.1, "{said} instead of {really} at {threshold}");
        }
    }

    #[test]
    fn the_table_falls_and_has_the_threshold_itself() {
        let machine = series(&machine(Kind::HeavyTailed, SEEDS, 28)).unwrap();
        let stop = AtomicBool::new(false);
        let base = Backtest::run(&detector(), &[Past::whole(&machine, 14)], &stop).unwrap();
        let pages = base.pages();
        assert!(pages.windows(2).all(
            |pair| pair[0].threshold < pair[1].threshold && pair[0].per_instance_week >= pair[1].per_instance_week
        ));
        assert!(pages.iter().any(|row| row.threshold == base.threshold));
        assert!(detector().artifact().clone().calibrated(base.threshold, pages).is_ok());
    }
}
