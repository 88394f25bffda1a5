//! The injection benchmark: puts faults into healthy machines and tells whether they are found at a
//! known rate of false alarms.

use std::ops::Range;

use anyhow::Result;
use deepguard::baseline::{HISTORY_DAYS, calibrated_at};
use deepguard::series::{DAY, PERIOD, WEEK};
use deepguard::{Detector, Scored, Series, Watch};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::corpus::Entry;
use super::peers::{Peer, REFRACTORY, records};
use crate::build::workload::fault::Fault;
use crate::build::workload::machine::{Kind, machine};
use crate::build::workload::{HOUR, START, series};

/// Days of a generated machine.
const DAYS: usize = 35;
/// Scores count from this day on, when two weeks of history exist.
const SETTLED: usize = HISTORY_DAYS;
/// Faults begin at this day or later, in the generated machines.
const FAULTS_FROM: usize = 21;
/// An alarm within this many slots of the end of a fault still counts.
const GRACE: usize = HOUR;
/// A clean part of a file is used if it has this many days.
const CLEAN_DAYS: usize = 18;

/// A healthy machine.
#[derive(Debug)]
pub(crate) struct HealthyMachine {
    /// The kind of machine, or the file, as words.
    pub(crate) kind: String,
    /// One value a slot, NaN where a slot has no value.
    pub(crate) values: Vec<f64>,
    /// The largest possible value.
    cap: Option<f64>,
    /// The index of the entry whose file it comes from.
    pub(crate) entry: Option<usize>,
}

/// A fault of one of the machines.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) machine: usize,
    pub(crate) fault: Fault,
    onset: usize,
    /// The values from the onset on, until alarms no longer count.
    altered: Vec<f64>,
}

/// Machines and their faults.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) machines: Vec<HealthyMachine>,
    pub(crate) cases: Vec<Case>,
}

/// How a detector scores one machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Scores of the clean machine from the first day on, each slot's, 0 where no alarm could
    /// begin.
    clean: Vec<f64>,
    /// For each of its cases, in order: the slots since the onset and the scores that were higher
    /// than all before.
    cases: Vec<Vec<(usize, f64)>>,
}

/// How a detector scores a bench.
#[derive(Debug, Clone)]
pub(crate) struct BenchOutcome {
    pub(crate) name: String,
    pub(crate) machines: Vec<Seen>,
    /// For each case: slots since the onset, and rising scores.
    cases: Vec<Vec<(usize, f64)>>,
}

/// Generated machines: `each` of every kind, and `onsets` of every fault on each.
pub(crate) fn generated(each: u64, onsets: u64) -> Bench {
    let machines = (0..each).flat_map(|seed| Kind::ALL.map(|kind| (kind, seed)));
    let machines = machines.map(|(kind, seed)| HealthyMachine {
        kind: kind.name().into(),
        values: machine(kind, seed, DAYS),
        cap: Some(100.0),
        entry: None,
    });
    Bench::new(machines.collect(), onsets, FAULTS_FROM)
}

/// The longest parts without a label of the development files, where they are long enough.
pub(crate) fn clean_parts(entries: &[Entry], onsets: u64) -> Bench {
    let machine = |(index, entry): (usize, &Entry)| {
        if !entry.file.is_development()
            || entry.labels.is_none()
            || entry.file.slots().iter().any(|row| row.datapoints.len() > 1)
        {
            return None;
        }
        let free = longest_free(entry)?;
        let values =
            free.map(|slot| entry.series.get(slot).unwrap_or(f64::NAN)).take(DAYS * DAY).collect();
        Some(HealthyMachine {
            kind: entry.file.stem().into(),
            values,
            cap: None,
            entry: Some(index),
        })
    };
    Bench::new(entries.iter().enumerate().filter_map(machine).collect(), onsets, SETTLED)
}

/// The histories of instances with their names, and one of every fault on each, from day `from` on.
pub(crate) fn of_histories<'a>(
    histories: impl Iterator<Item = (&'a str, &'a Series)>,
    from: usize,
) -> Bench {
    let machine = |(name, history): (&str, &Series)| {
        // From midnight on, because a profile of a usual day needs whole days.
        let midnight = calibrated_at(history.start());
        let slots = ((history.end() - midnight) / PERIOD) as usize;
        let value = |slot: usize| history.at(midnight + slot as i64 * PERIOD).unwrap_or(f64::NAN);
        HealthyMachine {
            kind: name.into(),
            values: (0..slots).map(value).collect(),
            cap: Some(100.0),
            entry: None,
        }
    };
    Bench::new(histories.map(machine).collect(), 1, from)
}

/// The slots of the longest stretch without a label.
fn longest_free(entry: &Entry) -> Option<Range<usize>> {
    let windows = entry.windows();
    let at = |time: i64| entry.series.index_at(time);
    let starts = std::iter::once(0).chain(windows.iter().map(|window| at(window.end)));
    let ends = windows.iter().map(|window| at(window.start)).chain([entry.series.len()]);
    let longest = starts
        .zip(ends)
        .map(|(start, end)| start..end.max(start))
        .max_by_key(ExactSizeIterator::len)?;
    (longest.len() >= CLEAN_DAYS * DAY).then_some(longest)
}

impl Bench {
    fn new(machines: Vec<HealthyMachine>, onsets: u64, from: usize) -> Self {
        let mut cases = Vec::new();
        for (index, machine) in machines.iter().enumerate() {
            for (number, fault) in Fault::ALL.into_iter().enumerate() {
                for onset in 0..onsets {
                    let seed =
                        (index as u64 * Fault::ALL.len() as u64 + number as u64) * 1000 + onset;
                    let mut random = ChaCha8Rng::seed_from_u64(seed);
                    let days = from..machine.values.len() / DAY;
                    let Some(onset) = fault.onset(&machine.values, days, machine.cap, &mut random)
                    else {
                        continue;
                    };
                    let mut altered =
                        fault.inject(&machine.values, onset, machine.cap, &mut random);
                    let after = onset + altered.len();
                    altered.extend(machine.values[after..].iter().take(GRACE));
                    cases.push(Case { machine: index, fault, onset, altered });
                }
            }
        }
        Self { machines, cases }
    }

    /// The cases of one machine.
    fn of(&self, machine: usize) -> impl Iterator<Item = &Case> {
        self.cases.iter().filter(move |case| case.machine == machine)
    }

    /// Weeks in which an alarm is a false one, over all machines.
    fn weeks(&self) -> f64 {
        self.machines.iter().map(HealthyMachine::weeks).sum()
    }

    /// How `detector` scores one machine and its cases.
    pub(crate) fn see(&self, machine: usize, detector: &Detector) -> Result<Seen> {
        let values = &self.machines[machine].values;
        let clean = series(values)?;
        let time = |slot: usize| START + slot as i64 * PERIOD;
        let mut cases: Vec<(usize, &Case)> = self.of(machine).enumerate().collect();
        cases.sort_by_key(|(_, case)| case.onset);
        let mut seen =
            Seen { clean: vec![0.0; values.len()], cases: vec![Vec::new(); cases.len()] };
        let mut watch = Watch::default();
        let gated = |scored: &Scored| if scored.surpasses { scored.score.value() } else { 0.0 };
        let mut take = |scored: Vec<Scored>| {
            scored.iter().for_each(|scored| {
                seen.clean[((scored.time - START) / PERIOD) as usize] = gated(scored)
            });
        };
        for (index, case) in cases {
            take(detector.follow(&clean, &mut watch, time(case.onset)));
            let altered = series(&[&values[..case.onset], &case.altered].concat())?;
            let scored = detector.follow(&altered, &mut watch.clone(), altered.end());
            let since = |scored: &Scored| ((scored.time - time(case.onset)) / PERIOD) as usize;
            seen.cases[index] = rising(scored.iter().map(|scored| (since(scored), gated(scored))));
        }
        take(detector.follow(&clean, &mut watch, clean.end()));
        Ok(seen)
    }

    /// How one of the detectors that a user would pick instead scores all machines.
    pub(crate) fn with_peer(&self, peer: &Peer) -> BenchOutcome {
        let gated = |values: &[f64]| records(&(peer.score)(values), REFRACTORY);
        let see = |machine: usize| {
            let values = &self.machines[machine].values;
            let found = self.of(machine).map(|case| {
                let scores = gated(&[&values[..case.onset], &case.altered].concat());
                rising(scores.into_iter().skip(case.onset).enumerate())
            });
            Seen { clean: gated(values), cases: found.collect() }
        };
        self.outcome(peer.name, (0..self.machines.len()).map(see).collect())
    }

    /// Combines the results of the machines, in their order.
    pub(crate) fn outcome(&self, name: &str, machines: Vec<Seen>) -> BenchOutcome {
        // Cases are ordered by machine.
        let cases = machines.iter().flat_map(|seen| seen.cases.clone()).collect();
        BenchOutcome { name: name.into(), machines, cases }
    }

    /// The threshold above which there are no more than `rate` false alarms per machine and week.
    pub(crate) fn threshold(&self, outcome: &BenchOutcome, rate: f64) -> f64 {
        let settled =
            outcome.machines.iter().flat_map(|seen| seen.clean.iter().skip(SETTLED * DAY));
        let mut scores: Vec<f64> =
            settled.copied().filter(|score| score.is_finite() && *score > 0.0).collect();
        scores.sort_unstable_by(|a, b| b.total_cmp(a));
        scores.get((rate * self.weeks()).round() as usize).copied().unwrap_or(0.0)
    }

    /// False alarms per week of the machines that `wanted` chooses, above `threshold`: with at
    /// least two weeks of history, and with less.
    pub(crate) fn false_alarms(
        &self,
        outcome: &BenchOutcome,
        threshold: f64,
        wanted: impl Fn(&HealthyMachine) -> bool,
    ) -> [f64; 2] {
        let chosen =
            || self.machines.iter().zip(&outcome.machines).filter(|(machine, _)| wanted(machine));
        let count = |scores: &[f64]| scores.iter().filter(|score| **score > threshold).count();
        let settled: usize = chosen().map(|(_, seen)| count(&seen.clean[SETTLED * DAY..])).sum();
        let young: usize = chosen().map(|(_, seen)| count(&seen.clean[..SETTLED * DAY])).sum();
        let weeks: f64 = chosen().map(|(machine, _)| machine.weeks()).sum();
        let young_weeks = chosen().count() as f64 * ((SETTLED - 1) * DAY) as f64 / WEEK as f64;
        [settled as f64 / weeks, young as f64 / young_weeks]
    }

    /// Whether each case is found above `threshold`, and after how many slots.
    pub(crate) fn found(&self, outcome: &BenchOutcome, threshold: f64) -> Vec<Option<usize>> {
        let first = |scores: &Vec<(usize, f64)>| {
            scores.iter().find(|(_, score)| *score > threshold).map(|(slots, _)| *slots)
        };
        outcome.cases.iter().map(first).collect()
    }
}

impl HealthyMachine {
    fn weeks(&self) -> f64 {
        (self.values.len() - SETTLED * DAY) as f64 / WEEK as f64
    }
}

/// The scores that are higher than all before them.
fn rising(scores: impl Iterator<Item = (usize, f64)>) -> Vec<(usize, f64)> {
    let mut highest = f64::MIN_POSITIVE;
    scores
        .filter(|(_, score)| {
            *score > highest && {
                highest = *score;
                true
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::evaluate::peers::PEERS;

    #[test]
    fn a_threshold_keeps_to_its_rate() {
        let bench = generated(1, 1);
        let outcome = bench.with_peer(&PEERS[1]);
        for rate in [0.25, 1.0, 3.0] {
            let threshold = bench.threshold(&outcome, rate);
            let [found, _] = bench.false_alarms(&outcome, threshold, |_| true);
            assert!(found <= rate + 1e-9 && found > rate - 0.15, "{found} for {rate}");
        }
        let strict = bench.found(&outcome, bench.threshold(&outcome, 0.25));
        let loose = bench.found(&outcome, bench.threshold(&outcome, 3.0));
        assert!(
            strict.iter().zip(&loose).all(|(strict, loose)| strict.is_none() || loose <= strict)
        );
    }

    #[test]
    fn the_same_bench_every_time_and_each_fault_on_some_machine() {
        let (a, b) = (generated(1, 1), generated(1, 1));
        assert!(
            a.cases.iter().zip(&b.cases).all(|(a, b)| a.onset == b.onset && a.altered == b.altered)
        );
        for fault in Fault::ALL {
            assert!(a.cases.iter().any(|case| case.fault == fault), "{}", fault.name());
        }
        assert!(a.cases.iter().all(|case| case.onset >= FAULTS_FROM * DAY));
    }

    #[test]
    fn what_rises_is_kept() {
        let scores =
            [(0, 0.0), (1, 2.0), (2, 1.0), (3, f64::NEG_INFINITY), (4, 3.0), (5, f64::NAN)];
        assert_eq!(rising(scores.into_iter()), [(1, 2.0), (4, 3.0)]);
    }
}
