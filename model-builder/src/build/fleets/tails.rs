//! Counts false pages down to low rates: how often an episode of a healthy machine reaches a
//! severity.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use deepguard::series::{DAY_SECONDS, WEEK};
use deepguard::{Detector, Series};

use super::course::{Told, follow};
use crate::build::evaluate::bootstrap::{Interval, SEED, bootstrap};
use crate::build::evaluate::real::data::{RealMachine, RealSeries};
use crate::build::evaluate::real::rates::SLACK;
use crate::build::workload::machine::{Kind, machine};
use crate::build::workload::series;
use crate::common::parallel::{bar, parallel};

/// The severities that are counted.
pub(super) const LEVELS: [f64; 24] = [
    1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0,
    20.0, 25.0, 30.0, 40.0, 60.0, 100.0,
];
/// The table ends where the rate is this low, in pages of a machine in a week.
const LOW: f64 = 0.002;
/// Days of a machine's life in which it is young, and from which it is old.
const YOUNG: Range<i64> = 2..14;
/// Days that each generated machine is followed: four old weeks.
const DAYS: usize = 42;
/// The first seed of generated machines. Neither training nor any other measure has these.
const SEEDS: u64 = 500_000;
/// Pages of several series of a machine that are this near to each other may be one, in seconds.
const TOGETHER: i64 = 3600;
const RESAMPLES: usize = 1000;

/// How old a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// 2 to 14 days.
    Young,
    /// More than 14 days.
    Old,
}

/// Machines that have their false pages counted together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tail {
    /// Who they are, in words.
    pub(super) name: String,
    machines: Vec<Counted>,
}

/// The false pages of one machine, perhaps of several series of it.
#[derive(Debug, Clone, PartialEq, Default)]
struct Counted {
    /// When each episode began (seconds since 1970), and its highest severity.
    peaks: Vec<(i64, f64)>,
    weeks: f64,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rate {
    pub(super) level: f64,
    pub(super) pages: usize,
    /// The same, where those of one machine within an hour of each other are one.
    pub(super) together: usize,
    /// Pages of a machine in a week.
    pub(super) interval: Interval,
}

impl Age {
    /// A name, in words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Young => "days 2 to 14",
            Self::Old => "after day 14",
        }
    }

    /// The times of a machine that was launched at `start` at which it is of this age.
    fn times(self, start: i64) -> Range<i64> {
        let day = |day: i64| start + day * DAY_SECONDS;
        match self {
            Self::Young => day(YOUNG.start)..day(YOUNG.end),
            Self::Old => day(YOUNG.end)..i64::MAX,
        }
    }
}

impl Counted {
    fn add(&mut self, told: &[Told], series: &Series, counts: impl Fn(i64) -> bool) {
        let counted = told.iter().filter(|told| counts(told.began()));
        self.peaks.extend(counted.map(|told| (told.began(), told.peak())));
        let slots = (0..series.len())
            .filter(|&slot| series.get(slot).is_some() && counts(series.time_of(slot)));
        self.weeks += slots.count() as f64 / WEEK as f64;
    }
}

impl Tail {
    /// Weeks of all machines.
    pub(super) fn weeks(&self) -> f64 {
        self.machines.iter().map(|machine| machine.weeks).sum()
    }

    /// The machines.
    pub(super) fn machines(&self) -> usize {
        self.machines.iter().filter(|machine| machine.weeks > 0.0).count()
    }

    /// Pages with this severity or more, of these machines, and how many of a machine in a week.
    fn at(&self, level: f64, machines: &[usize]) -> (usize, f64) {
        let of = |machine: &usize| &self.machines[*machine];
        let peaks = machines.iter().flat_map(|machine| &of(machine).peaks);
        let pages = peaks.filter(|(_, peak)| *peak >= level).count();
        (pages, pages as f64 / machines.iter().map(|machine| of(machine).weeks).sum::<f64>())
    }

    /// Pages with this severity or more where those of one machine within an hour of each other
    /// are one.
    fn together(&self, level: f64) -> usize {
        let of = |machine: &Counted| {
            let mut times: Vec<i64> =
                machine.peaks.iter().filter(|(_, peak)| *peak >= level).map(|at| at.0).collect();
            times.sort_unstable();
            times.chunk_by(|before, next| next - before <= TOGETHER).count()
        };
        self.machines.iter().map(of).sum()
    }

    /// The rates from the lowest severity up to the first at which they are as low as is counted.
    pub(super) fn rates(&self) -> Vec<Rate> {
        let all: Vec<usize> = (0..self.machines.len()).collect();
        let mut rates = Vec::new();
        for level in LEVELS {
            let interval =
                bootstrap(all.len(), RESAMPLES, SEED, |machines| self.at(level, machines).1);
            let Some(interval) = interval else { break };
            let pages = self.at(level, &all).0;
            rates.push(Rate { level, pages, together: self.together(level), interval });
            if interval.estimate <= LOW {
                break;
            }
        }
        rates
    }
}

/// Healthy generated machines, `count` of them, by age.
///
/// # Errors
/// Where `stop` is set.
pub(super) fn generated(
    detector: &Detector,
    count: usize,
    stop: &AtomicBool,
) -> Result<[(Age, Tail); 2]> {
    let numbers: Vec<usize> = (0..count).collect();
    let bar = bar("healthy machines", count)?;
    let counted = parallel(&numbers, stop, |number| {
        let kind = Kind::ALL[number % Kind::ALL.len()];
        let series = series(&machine(kind, SEEDS + *number as u64, DAYS))?;
        let told = follow(detector, &series, series.end());
        bar.inc(1);
        Ok([Age::Young, Age::Old].map(|age| {
            let times = age.times(series.start());
            let mut counted = Counted::default();
            counted.add(&told, &series, |time| times.contains(&time));
            counted
        }))
    })?;
    bar.finish_and_clear();
    let (young, old) = counted.into_iter().map(|[young, old]| (young, old)).unzip();
    let tail = |machines| Tail { name: "generated machines".into(), machines };
    Ok([(Age::Young, tail(young)), (Age::Old, tail(old))])
}

/// Real machines, by age. All series of a server count together, and labelled stretches do not
/// count.
///
/// # Errors
/// Where `stop` is set.
pub(super) fn real(
    name: &str,
    detector: &Detector,
    machines: &[RealMachine],
    stop: &AtomicBool,
) -> Result<[(Age, Tail); 2]> {
    let all: Vec<(usize, &RealSeries)> = machines
        .iter()
        .enumerate()
        .flat_map(|(machine, of)| of.metrics.iter().map(move |metric| (machine, metric)))
        .collect();
    let bar = bar(&format!("series, {name}"), all.len())?;
    let told = parallel(&all, stop, |(_, metric)| {
        let told = follow(detector, &metric.series, metric.series.end());
        bar.inc(1);
        Ok(told)
    })?;
    bar.finish_and_clear();
    let tail = |age: Age| {
        let mut counted = vec![Counted::default(); machines.len()];
        for ((machine, metric), told) in all.iter().zip(&told) {
            let times = age.times(metric.series.start());
            let labelled = |time: i64| {
                let mut spans = metric.shown.iter().chain(&metric.elsewhere);
                spans.any(|span| (span.start() - SLACK..=span.end() + SLACK).contains(&time))
            };
            // Before labels begin, an anomaly has no label.
            let judged = |time: i64| age == Age::Young || time >= metric.judged_from;
            counted[*machine].add(told, &metric.series, |time| {
                times.contains(&time) && judged(time) && !labelled(time)
            });
        }
        (age, Tail { name: name.to_string(), machines: counted })
    };
    Ok([tail(Age::Young), tail(Age::Old)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::artifact;
    use deepguard::model::device;

    fn tail(machines: &[(&[(i64, f64)], f64)]) -> Tail {
        let counted = |(peaks, weeks): &(&[(i64, f64)], f64)| Counted {
            peaks: peaks.to_vec(),
            weeks: *weeks,
        };
        Tail { name: String::new(), machines: machines.iter().map(counted).collect() }
    }

    #[test]
    fn rates_fall_with_the_level_and_end_where_they_are_low() {
        let tail = tail(&[(&[(9000, 1.0), (0, 1.3), (3600, 2.6)], 100.0), (&[(0, 1.1)], 300.0)]);
        let rates = tail.rates();
        assert_eq!((rates[0].level, rates[0].pages, rates[0].interval.estimate), (1.0, 4, 0.01));
        assert_eq!((rates[1].pages, rates[2].pages), (3, 2));
        assert_eq!((rates[0].together, rates[1].together, rates[2].together), (3, 2, 1));
        let last = rates[rates.len() - 1];
        assert!(last.interval.estimate <= LOW);
        assert!(rates[..rates.len() - 1].iter().all(|rate| rate.interval.estimate > LOW));
        assert!(rates.iter().all(|rate| rate.interval.low <= rate.interval.estimate));
        assert_eq!((tail.weeks(), tail.machines()), (400.0, 2));
    }

    #[test]
    fn ages_are_days_of_a_life() {
        let day = |day: i64| 1000 + day * DAY_SECONDS;
        for (at, age) in
            [(1, None), (2, Some(Age::Young)), (13, Some(Age::Young)), (14, Some(Age::Old))]
        {
            for of in [Age::Young, Age::Old] {
                assert_eq!(of.times(1000).contains(&day(at)), Some(of) == age, "{at} {of:?}");
            }
        }
    }

    #[test]
    fn healthy_machines_are_counted_for_their_weeks() {
        let detector = Detector::new(artifact(), &device());
        let [(_, young), (_, old)] = generated(&detector, 3, &AtomicBool::new(false)).unwrap();
        assert!(
            (young.weeks() - 3.0 * 12.0 / 7.0).abs() < 1e-9 && (old.weeks() - 12.0).abs() < 1e-9
        );
        assert!(generated(&detector, 3, &AtomicBool::new(true)).is_err());
    }
}
