//! Backtests a detector: follows it over known histories and shows how its alarms depend on the
//! threshold.
//!
//! A score is an error divided by the usual error and by the threshold. So another threshold
//! divides all scores, and one pass serves every threshold. The smallest error that matters, which
//! covers machines at rest, does not scale. So the chosen threshold is scored once more, exactly.
//!
//! There are few real machines, so the rates that a fleet needs (0.002 a machine and week) are not
//! to be counted on them. From where their pages become too few, the table falls as the pages of
//! many generated machines do.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use deepguard::baseline::HISTORY_DAYS;
use deepguard::model::card::FalsePages;
use deepguard::series::{DAY, DAY_SECONDS, PERIOD, WEEK};
use deepguard::{Artifact, Detector, Scored, Series, Watch};

use crate::build::evaluate::bootstrap::bootstrap;
use crate::build::evaluate::real::data::{Real, RealMachine};
use crate::build::evaluate::real::rates::{self, Fresh, SLACK};
use crate::build::workload::machine::{Kind, machine};
use crate::build::workload::series;
use crate::common::parallel::{bar, parallel};

/// Generated machines of each kind whose false alarms are counted, and their first seed. The seeds
/// are neither trained on nor used to compare detectors.
const EACH: u64 = 6;
const SEEDS: Range<u64> = 1000..1000 + EACH;
/// The seeds of those that low rates are counted on, of each kind: 8,008 weeks of 2,002 machines.
/// At a rate of 0.002 they have sixteen pages.
const TAIL_SEEDS: Range<u64> = 100_000..100_286;
/// Weeks of each machine in which alarms count, and the days of history before them.
const WEEKS: usize = 4;
const SETTLING: usize = HISTORY_DAYS;

/// A threshold of the table is this many times the one before it ...
const STEP: f64 = 1.05;
/// ... and the table has this number of thresholds below the artifact's own, and above it.
const BELOW: i32 = 26;
const ABOVE: i32 = 45;
/// Resamples of the machines, for the intervals of the table, and their seed.
const RESAMPLES: usize = 1000;
const SEED: u64 = 1;

/// One history to follow.
#[derive(Debug, Clone)]
pub(crate) struct Past<'a> {
    /// Its CPU.
    pub(crate) series: &'a Series,
    /// The time from which alarms count, in seconds since 1970.
    pub(crate) from: i64,
    /// Stretches in which events do not count, in seconds since 1970.
    pub(crate) but: Vec<Range<i64>>,
}

/// Scores of several machines at one threshold.
#[derive(Debug, Clone)]
pub(crate) struct Backtest {
    threshold: f64,
    machines: Vec<MachineScores>,
}

/// Scores of one machine.
#[derive(Debug, Clone)]
struct MachineScores {
    /// One score for each slot, NaN where the slot has no score.
    scores: Vec<f64>,
    /// Where an alarm could begin: see [`Scored::surpasses`].
    fresh: Fresh,
    /// The time from which alarms count, in seconds since 1970.
    from: i64,
    /// The slot of that time.
    settled: usize,
    /// Weeks with datapoints since that time.
    weeks: f64,
}

impl<'a> Past<'a> {
    /// The whole history, with alarms counted after the first `settling` days.
    pub(crate) fn whole(series: &'a Series, settling: usize) -> Self {
        Self { series, from: series.start() + settling as i64 * DAY_SECONDS, but: Vec::new() }
    }
}

impl MachineScores {
    fn new(past: &Past<'_>, scored: &[Scored]) -> Self {
        let Past { series, from, but } = past;
        let mut scores = vec![f64::NAN; series.len()];
        let mut fresh = Vec::new();
        let settled = (*from).clamp(series.start(), series.end());
        for scored in
            scored.iter().filter(|scored| !but.iter().any(|but| but.contains(&scored.time)))
        {
            let slot = series.index_at(scored.time);
            scores[slot] = scored.score.value();
            if scored.surpasses {
                fresh.push((scored.time, scored.score.value()));
            }
        }
        let settled = ((settled - series.start()) / PERIOD) as usize;
        let weeks =
            scores[settled..].iter().filter(|score| !score.is_nan()).count() as f64 / WEEK as f64;
        Self { scores, fresh, from: *from, settled, weeks }
    }

    /// Alarms at the threshold that divides scores by `cut`.
    fn alarms(&self, cut: f64) -> usize {
        rates::pages(&self.fresh, cut).into_iter().filter(|page| *page >= self.from).count()
    }

    /// The highest score of each settled day, of days that have any.
    fn day_maxima(&self) -> impl Iterator<Item = f64> + '_ {
        let days = self.scores[self.settled..].chunks(DAY);
        days.map(|day| day.iter().copied().fold(f64::NAN, f64::max))
            .filter(|highest| !highest.is_nan())
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
            Ok(MachineScores::new(past, &scored))
        })?;
        Ok(Self { threshold: detector.threshold(), machines })
    }

    /// Follows generated machines that no detector was trained on, over this number of days. Alarms
    /// count after the first `settling` days.
    ///
    /// # Errors
    /// Where `stop` is set.
    pub(crate) fn of_generated(
        detector: &Detector,
        days: usize,
        settling: usize,
        stop: &AtomicBool,
    ) -> Result<Self> {
        let machines = of_each_kind(SEEDS)
            .map(|(kind, seed)| series(&machine(kind, seed, days)))
            .collect::<Result<Vec<Series>, _>>()?;
        let past = |series| Past::whole(series, settling);
        Self::run(detector, &machines.iter().map(past).collect::<Vec<_>>(), stop)
    }

    /// Follows the generated machines of these seeds, of each kind, over as many weeks as the table
    /// of an artifact rests on, and shows how far it is.
    ///
    /// # Errors
    /// Where `stop` is set.
    fn of_many(detector: &Detector, seeds: Range<u64>, stop: &AtomicBool) -> Result<Self> {
        let machines: Vec<(Kind, u64)> = of_each_kind(seeds).collect();
        let bar = bar("healthy machines", machines.len())?;
        let machines = parallel(&machines, stop, |&(kind, seed)| {
            let series = series(&machine(kind, seed, SETTLING + 7 * WEEKS))?;
            let scored = detector.follow(&series, &mut Watch::default(), series.end());
            bar.inc(1);
            Ok(MachineScores::new(&Past::whole(&series, SETTLING), &scored))
        })?;
        bar.finish_and_clear();
        Ok(Self { threshold: detector.threshold(), machines })
    }

    /// Follows them over as many weeks as the table of an artifact rests on.
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
        self.alarms(threshold) as f64 / self.weeks()
    }

    /// The highest score of each day of each machine that counts.
    pub(crate) fn day_maxima(&self) -> Vec<f64> {
        self.machines.iter().flat_map(MachineScores::day_maxima).collect()
    }

    /// Alarms at `threshold`, of all machines.
    fn alarms(&self, threshold: f64) -> usize {
        let cut = threshold / self.threshold;
        self.machines.iter().map(|machine| machine.alarms(cut)).sum()
    }
}

/// The kinds of generated machines, with each of these seeds.
fn of_each_kind(seeds: Range<u64>) -> impl Iterator<Item = (Kind, u64)> {
    seeds.flat_map(|seed| Kind::ALL.map(|kind| (kind, seed)))
}

/// The table for an artifact's card, around the threshold that the backtests were made at.
///
/// Each sort of machines has the same weight, whatever their number. A backtest is one machine with
/// all its series. The intervals describe other machines of the same sorts.
pub(crate) fn pages_of(sorts: &[Vec<Backtest>]) -> Vec<FalsePages> {
    let Some(own) = sorts.iter().flatten().map(|machine| machine.threshold).next() else {
        return Vec::new();
    };
    let machines: Vec<(usize, &Backtest)> = sorts
        .iter()
        .enumerate()
        .flat_map(|(sort, machines)| machines.iter().map(move |machine| (sort, machine)))
        .collect();
    let weeks: Vec<f64> = machines.iter().map(|(_, machine)| machine.weeks()).collect();
    let row = |step: i32| {
        let threshold = if step == 0 { own } else { round(own * STEP.powi(step)) };
        let alarms: Vec<usize> =
            machines.iter().map(|(_, machine)| machine.alarms(threshold)).collect();
        let rate = |chosen: &[usize]| {
            let mut of_sort = vec![(0.0, 0.0); sorts.len()];
            for &machine in chosen {
                let (counted, lasted) = &mut of_sort[machines[machine].0];
                *counted += alarms[machine] as f64;
                *lasted += weeks[machine];
            }
            let rates: Vec<f64> = of_sort
                .iter()
                .filter(|(_, weeks)| *weeks > 0.0)
                .map(|(alarms, weeks)| alarms / weeks)
                .collect();
            rates.iter().sum::<f64>() / rates.len() as f64
        };
        let all: Vec<usize> = (0..machines.len()).collect();
        let interval = bootstrap(machines.len(), RESAMPLES, SEED, rate);
        FalsePages {
            threshold,
            per_instance_week: round(rate(&all)),
            interval: interval
                .filter(|_| machines.len() > 1)
                .map(|of| [of.low, of.high].map(round)),
        }
    };
    let mut pages: Vec<FalsePages> = (-BELOW..=ABOVE).map(row).collect();
    never_rise(&mut pages);
    pages
}

/// The table with another end: from the last row on whose rate is sure, it falls as the alarms of
/// the machines of `many` do. The interval of such a row is that of its ratio to the sure one.
fn with_tail(mut pages: Vec<FalsePages>, many: &Backtest) -> Vec<FalsePages> {
    let Some(last) = pages.iter().rposition(FalsePages::is_sure) else { return pages };
    let sure = pages[last];
    let alarms = |threshold: f64| -> Vec<usize> {
        let cut = threshold / many.threshold;
        many.machines.iter().map(|machine| machine.alarms(cut)).collect()
    };
    let at_sure = alarms(sure.threshold);
    let sum = |alarms: &[usize], chosen: &[usize]| -> usize {
        chosen.iter().map(|&machine| alarms[machine]).sum()
    };
    for row in &mut pages[last + 1..] {
        let alarms = alarms(row.threshold);
        let rate = |chosen: &[usize]| {
            let falls = sum(&alarms, chosen) as f64 / sum(&at_sure, chosen) as f64;
            sure.per_instance_week * falls
        };
        let Some(interval) = bootstrap(alarms.len(), RESAMPLES, SEED, rate) else { continue };
        row.per_instance_week = round(interval.estimate);
        row.interval = Some([interval.low, interval.high].map(round));
    }
    never_rise(&mut pages);
    pages
}

/// A rate or a threshold, as the table has it.
fn round(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

/// An alarm can appear where the half day after another alarm no longer hides it. So the table is
/// forced never to rise.
fn never_rise(pages: &mut [FalsePages]) {
    let mut most = 0.0;
    for row in pages.iter_mut().rev() {
        most = f64::max(most, row.per_instance_week);
        row.per_instance_week = most;
    }
}

/// The artifact with the table of its false alarms. They are counted on real machines, in stretches
/// without a label, and low rates on many generated ones. Where real machines are missing, a few
/// generated ones stand for them.
///
/// # Errors
/// Where `stop` is set.
pub(crate) fn with_pages(
    artifact: Artifact,
    real: Option<&Real>,
    stop: &AtomicBool,
) -> Result<Artifact> {
    let detector = Detector::new(artifact.clone(), &deepguard::model::device());
    let of = |machine: &RealMachine| {
        let pasts: Vec<Past<'_>> = machine
            .metrics
            .iter()
            .map(|metric| Past {
                series: &metric.series,
                from: metric.judged_from,
                but: metric
                    .shown
                    .iter()
                    .chain(&metric.elsewhere)
                    .map(|span| span.start() - SLACK..span.end() + SLACK + 1)
                    .collect(),
            })
            .collect();
        Backtest::run(&detector, &pasts, stop)
    };
    let sorts = match real {
        Some(real) => [&real.cpu, &real.servers]
            .map(|machines| machines.iter().map(of).collect::<Result<Vec<_>>>())
            .into_iter()
            .collect::<Result<Vec<_>>>()?,
        None => vec![vec![Backtest::of_settled(&detector, stop)?]],
    };
    let mut pages = pages_of(&sorts);
    if real.is_some() {
        pages = with_tail(pages, &Backtest::of_many(&detector, TAIL_SEEDS, stop)?);
    }
    let threshold = artifact.card().threshold;
    Ok(artifact.calibrated(threshold, pages)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detector() -> Detector {
        let artifact =
            Artifact::from_bytes(include_bytes!("../../../models/default.safetensors")).unwrap();
        Detector::new(artifact, &deepguard::model::device())
    }

    fn followed(scores: &[f64], settled: usize) -> MachineScores {
        let time = |slot: usize| slot as i64 * PERIOD;
        let present = (0..scores.len()).filter(|&slot| !scores[slot].is_nan());
        let fresh = present.map(|slot| (time(slot), scores[slot])).collect();
        MachineScores { scores: scores.to_vec(), fresh, from: time(settled), settled, weeks: 1.0 }
    }

    fn of(machines: Vec<MachineScores>) -> Backtest {
        Backtest { threshold: 1.3, machines }
    }

    #[test]
    fn alarms_are_half_a_day_apart_and_counted_once_settled() {
        const HALF: usize = DAY / 2;
        let mut scores = vec![f64::NAN; 3 * HALF];
        for (slot, score) in [(0, 1.5), (1, 2.0), (HALF, 1.2), (2 * HALF + 5, 1.2)] {
            scores[slot] = score;
        }
        let alarms = |cut| followed(&scores, 0).alarms(cut);
        assert_eq!([1.0, 1.3, 1.6, 2.1].map(alarms), [3, 1, 1, 0]);
        assert_eq!(followed(&scores, 1).alarms(1.0), 2, "the first one is over before they count");
    }

    #[test]
    fn each_sort_counts_alike_and_few_machines_make_it_unsure() {
        let noisy = || of(vec![followed(&[2.0], 0)]);
        let calm = || of(vec![followed(&[0.5], 0)]);
        let sorts = [vec![noisy()], (0..9).map(|_| calm()).collect()];
        let pages = pages_of(&sorts);
        let at_own = pages.iter().find(|row| row.threshold == 1.3).unwrap();
        assert_eq!(at_own.per_instance_week, 0.5);
        assert_eq!(pages.last().unwrap().per_instance_week, 0.0);
        let [low, high] =
            pages_of(&[vec![noisy(), calm(), calm(), calm()]])[BELOW as usize].interval.unwrap();
        assert!(low == 0.0 && high >= 0.5, "{low} to {high}");
        assert_eq!(pages_of(&[]), []);
    }

    #[test]
    fn low_rates_fall_as_those_of_many_machines_do() {
        let followed = |score: f64| followed(&[score], 0);
        // Half of the few have an alarm at a score of 1.2.
        let few = (0..20).map(|n| of(vec![followed(if n % 2 == 0 { 1.2 } else { 0.1 })])).collect();
        let pages = pages_of(&[few]);
        let last = pages.iter().rposition(FalsePages::is_sure).unwrap();
        assert_eq!((pages[last].per_instance_week, pages[last + 1].per_instance_week), (0.5, 0.0));
        // Of the many all have one at 1.3, and one in a hundred at 2.4.
        let many = (0..4000).map(|n| followed(if n % 100 == 0 { 2.4 } else { 1.3 })).collect();
        let pages = with_tail(pages, &of(many));
        let at = |score: f64| pages.iter().find(|row| row.threshold > 1.3 * score).unwrap();
        let rates = [1.1, 1.21, 1.35, 2.2, 2.5].map(|score| at(score).per_instance_week);
        assert_eq!(rates, [0.5, 0.5, 0.005, 0.005, 0.0], "a hundredth of that of the few");
        let [low, high] = at(1.35).interval.unwrap();
        assert!(low > 0.003 && low < 0.004 && high > 0.006, "{low} to {high}");
        assert!(at(1.35).is_sure() && !at(2.5).is_sure());
        assert_eq!(with_tail(Vec::new(), &of(Vec::new())), []);
    }

    #[test]
    fn what_is_read_off_is_what_another_threshold_really_gives() {
        let machines: Vec<Series> =
            Kind::ALL.map(|kind| series(&machine(kind, SEEDS.start, 35)).unwrap()).to_vec();
        let pasts: Vec<Past<'_>> = machines.iter().map(|series| Past::whole(series, 14)).collect();
        let stop = AtomicBool::new(false);
        let run = |detector: &Detector| Backtest::run(detector, &pasts, &stop).unwrap();
        let base = run(&detector());
        for factor in [0.8, 1.0, 1.3] {
            let threshold = factor * base.threshold;
            let really = run(&detector().with_threshold(threshold.try_into().unwrap()))
                .per_instance_week(threshold);
            let said = base.per_instance_week(threshold);
            assert!(
                (said - really).abs() <= 0.1 * really + 0.1,
                "{said} instead of {really} at {threshold}"
            );
        }
    }

    #[test]
    fn the_table_falls_and_has_the_threshold_itself() {
        let machine = series(&machine(Kind::HeavyTailed, SEEDS.start, 28)).unwrap();
        let stop = AtomicBool::new(false);
        let base = Backtest::run(&detector(), &[Past::whole(&machine, 14)], &stop).unwrap();
        let threshold = base.threshold;
        let pages = pages_of(&[vec![base]]);
        assert!(pages.windows(2).all(|pair| pair[0].threshold < pair[1].threshold
            && pair[0].per_instance_week >= pair[1].per_instance_week));
        assert!(pages.iter().any(|row| row.threshold == threshold));
        assert!(detector().artifact().clone().calibrated(threshold, pages).is_ok());
    }
}
