//! The page level: the score from which on a deployment wakes a person.
//!
//! A score of 1.0 is the threshold of an anomaly on one machine. A fleet has the false alarms of
//! all its machines, so it pages from a higher score on. [`FalsePages`] of the artifact says how
//! often a machine reaches a score for nothing. The fleet's own anomalies of the last two weeks say
//! how its machines differ from those that the table was measured on, and those of a group, how
//! that one differs.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::model::card::FalsePages;
use crate::series::DAY_SECONDS;

/// The highest page level. An anomaly this strong pages in any fleet, ...
const HIGHEST: f64 = 20.0;
/// ... and this strong on any machine.
const HIGHEST_STRICT: f64 = 100.0;
/// A page level moves by at most this part of itself a day, so that a person can follow it.
const DAILY: f64 = 0.2;
/// Page levels are multiples of one part in this many.
const STEPS: f64 = 20.0;
/// The anomalies with a score below this one are mostly false. They show how much more often, or
/// less, this fleet reaches a score than the table says. ...
const MOSTLY_FALSE: f64 = 2.0;
/// ... The table weighs as much as this number of them, ...
const PRIOR: f64 = 5.0;
/// ... or, where a group is compared with it, as this number of those that came near the level, ...
const GROUP_PRIOR: f64 = 10.0;
/// ... and a fleet, or a group, may differ from it by at most this factor.
const MOST_DIFFERENT: f64 = 4.0;
/// The exponent of the number of machines that begin together: see [`PageLevel::shared_by`].
const SHARED: f64 = 0.7;
/// How long, in seconds, a fleet's anomalies are remembered: two weeks.
pub const REMEMBERED: i64 = 14 * DAY_SECONDS;
/// The least exponent of the tail beyond the table: pages per machine fall at least as fast as
/// `score^-1`.
const LEAST_FALL: f64 = 1.0;

/// The score from which on an anomaly is a page; under it, it is a notice. At least 1.0.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageLevel(f64);

impl Default for PageLevel {
    /// Each anomaly is a page.
    fn default() -> Self {
        Self(1.0)
    }
}

impl PageLevel {
    /// The score.
    pub fn value(self) -> f64 {
        self.0
    }

    /// The level `score`, at least 1.0 and at most 20, in steps of 0.05.
    pub fn new(score: f64) -> Self {
        Self(in_steps(score.clamp(1.0, HIGHEST)))
    }

    /// The level for a machine whose usual is still being learnt: the square. Such a machine
    /// reaches it for nothing as often as others reach the level itself: `make fleets` has the
    /// rates of machines below and above two weeks of age.
    #[must_use]
    pub fn strict(self) -> Self {
        Self(in_steps((self.0 * self.0).min(HIGHEST_STRICT)))
    }

    /// The level for this number of machines that begin together: the part above 1.0 is divided by
    /// a power of their number, which is less than the number itself, because machines with one
    /// purpose have jobs in common.
    #[must_use]
    pub fn shared_by(self, machines: usize) -> Self {
        Self(1.0 + (self.0 - 1.0) / (machines.max(1) as f64).powf(SHARED))
    }

    /// The level of a new day, which was aimed at `aim`: it moves by at most a fifth a day.
    #[must_use]
    pub fn moved_to(self, aim: Self) -> Self {
        Self::new(aim.0.clamp(self.0 * (1.0 - DAILY), self.0 * (1.0 + DAILY)))
    }

    /// The scores of incidents that say how often a group comes near this level, the level itself
    /// excluded. What reaches it may be a fault. What is below its square root says nothing about
    /// scores as high as this.
    pub fn near(self) -> Range<f64> {
        self.0.sqrt()..self.0
    }

    /// The higher one of two levels.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }
}

/// The next higher step. A score that is a step stays one.
fn in_steps(score: f64) -> f64 {
    (score * STEPS - 1e-6).ceil() / STEPS
}

/// The past of a fleet, on which its page level rests.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FleetPast {
    /// Its machines.
    pub machines: usize,
    /// Incidents of the last two weeks with a highest score below 2.0, notices included. A machine
    /// whose usual is still being learnt counts with the root of its score: see
    /// [`PageLevel::strict`].
    pub low: usize,
    /// Machine-weeks in which they were seen.
    pub machine_weeks: f64,
}

/// The past of a group, on which its page level rests.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GroupPast {
    /// Incidents of the last two weeks that came [near](PageLevel::near) the fleet's page level.
    pub near: usize,
    /// Machine-weeks in which they were seen.
    pub machine_weeks: f64,
}

/// The rules by which page levels follow from the past.
pub trait Aims {
    /// The page level that a fleet's past asks for.
    fn fleet(&self, past: FleetPast) -> PageLevel;

    /// The page level that a group's past asks for, in a fleet with the page level `fleet`.
    fn group(&self, fleet: PageLevel, past: GroupPast) -> PageLevel;
}

/// The number of pages for nothing that people accept, and how often a machine gives cause.
#[derive(Debug, Clone, Copy)]
pub struct Budget<'a> {
    /// Pages for nothing in a week, all machines together. `None`: each anomaly pages.
    pub per_week: Option<f64>,
    /// The table of the artifact. Where it is empty, each anomaly pages, because the rate is not
    /// known.
    pub pages: &'a [FalsePages],
    /// The ratio of errors that scores rest on. Scores scale with it, so the table has the rate of
    /// each score.
    pub threshold: f64,
}

impl Budget<'_> {
    fn tail(&self) -> Option<(f64, Tail)> {
        self.per_week.zip(Tail::of(self.pages, self.threshold))
    }
}

impl Aims for Budget<'_> {
    /// The page level at which the fleet pages for nothing as often as people accept. The table's
    /// rate is multiplied by the ratio of the fleet's own anomalies below 2.0 to those that the
    /// table expects of it.
    fn fleet(&self, past: FleetPast) -> PageLevel {
        let Some((per_week, tail)) = self.tail() else { return PageLevel::default() };
        let expected = past.machine_weeks * (tail.rate(1.0) - tail.rate(MOSTLY_FALSE)).max(0.0);
        let differs = (past.low as f64 + PRIOR) / (expected + PRIOR);
        let differs = differs.clamp(1.0 / MOST_DIFFERENT, MOST_DIFFERENT);
        let rate = per_week / (past.machines.max(1) as f64 * differs);
        PageLevel::new(tail.score(rate))
    }

    /// Not below the page level of the fleet, and higher where the group's machines come near that
    /// level more often than the table says. Then their rate at higher scores is taken to be as
    /// many times the table's.
    fn group(&self, fleet: PageLevel, past: GroupPast) -> PageLevel {
        let Some((_, tail)) = self.tail() else { return fleet };
        let Range { start, end } = fleet.near();
        let expected = past.machine_weeks * (tail.rate(start) - tail.rate(end)).max(0.0);
        let differs = (past.near as f64 + GROUP_PRIOR) / (expected + GROUP_PRIOR);
        match differs.min(MOST_DIFFERENT) {
            more if more > 1.0 => PageLevel::new(tail.score(tail.rate(end) / more)).max(fleet),
            _ => fleet,
        }
    }
}

/// False pages of a machine in a week, by score.
#[derive(Debug, Clone, PartialEq)]
struct Tail {
    /// Scores, rising, and the logarithms of both.
    rows: Vec<(f64, f64)>,
    /// The exponent by which pages fall beyond the last row.
    falls: f64,
}

impl Tail {
    /// Of an artifact's table; `None` where it has no tenth of its rates to go on from.
    fn of(pages: &[FalsePages], threshold: f64) -> Option<Self> {
        let rows: Vec<(f64, f64)> = pages
            .iter()
            .filter(|row| row.is_sure())
            .map(|row| ((row.threshold / threshold).ln(), row.per_instance_week.ln()))
            .collect();
        let &(score, rate) = rows.last()?;
        // From the row with ten times the pages of the last one: the last rows alone rest on few
        // pages.
        let ten = rows.iter().rev().find(|(_, other)| *other >= rate + 10f64.ln())?;
        let falls = ((ten.1 - rate) / (score - ten.0)).max(LEAST_FALL);
        Some(Self { rows, falls })
    }

    /// Pages per machine and week that reach `score`.
    fn rate(&self, score: f64) -> f64 {
        let score = score.ln();
        let after = self.rows.iter().position(|row| row.0 >= score);
        let rate = match after {
            Some(0) => self.rows[0].1,
            Some(row) => between(self.rows[row - 1], self.rows[row], score),
            None => self
                .rows
                .last()
                .map_or(f64::NEG_INFINITY, |(last, rate)| rate - self.falls * (score - last)),
        };
        rate.exp()
    }

    /// The score that is reached with this `rate`.
    fn score(&self, rate: f64) -> f64 {
        let rate = rate.ln();
        let swapped = |row: (f64, f64)| (row.1, row.0);
        let after = self.rows.iter().position(|row| row.1 <= rate);
        let score = match after {
            Some(0) => self.rows[0].0,
            Some(row) => between(swapped(self.rows[row - 1]), swapped(self.rows[row]), rate),
            None => self
                .rows
                .last()
                .map_or(f64::INFINITY, |(last, least)| last + (least - rate) / self.falls),
        };
        score.exp()
    }
}

/// The value at `x` on the line through two points.
fn between(a: (f64, f64), b: (f64, f64), x: f64) -> f64 {
    if b.0 == a.0 { b.1 } else { a.1 + (x - a.0) / (b.0 - a.0) * (b.1 - a.1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table in which pages fall with the cube of the score, from one at the threshold.
    fn cubic() -> Vec<FalsePages> {
        let row = |step: i32| {
            let score = 1.05f64.powi(step);
            FalsePages { threshold: 1.3 * score, per_instance_week: score.powi(-3), interval: None }
        };
        (-10..=40).map(row).collect()
    }

    fn tail() -> Tail {
        Tail::of(&cubic(), 1.3).unwrap()
    }

    #[test]
    fn a_rate_has_a_score_within_the_table_and_beyond_it() {
        for rate in [0.9, 0.3, 0.01, 2e-4f64] {
            let score = tail().score(rate);
            assert!((score - rate.powf(-1.0 / 3.0)).abs() < 0.01 * score, "{rate}: {score}");
            assert!((tail().rate(score) / rate - 1.0).abs() < 0.01, "{rate}");
        }
        assert_eq!(Tail::of(&[], 1.3), None);
        assert_eq!(Tail::of(&cubic()[..1], 1.3), None);
    }

    fn budget(pages: &[FalsePages]) -> Budget<'_> {
        Budget { per_week: Some(2.0), pages, threshold: 1.3 }
    }

    fn level(machines: usize, low: usize, machine_weeks: f64) -> f64 {
        budget(&cubic()).fleet(FleetPast { machines, low, machine_weeks }).value()
    }

    #[test]
    fn more_machines_need_a_higher_score() {
        assert_eq!(level(1, 0, 0.0), 1.0);
        // 100 machines: 0.02 each, the cube root of 50.
        assert_eq!(level(100, 0, 0.0), 3.7);
        assert_eq!(level(100_000, 0, 0.0), HIGHEST);
        let many = FleetPast { machines: 1000, ..FleetPast::default() };
        assert_eq!(budget(&[]).fleet(many), PageLevel::default(), "no table");
        let table = cubic();
        let unbounded = Budget { per_week: None, ..budget(&table) };
        assert_eq!(unbounded.fleet(many), PageLevel::default(), "each anomaly pages");
    }

    #[test]
    fn a_fleet_s_own_weeks_correct_the_table() {
        // As the table says: seven in eight have a score below 2.
        assert_eq!(level(100, 175, 200.0), 3.7);
        let twice = level(100, 350, 200.0);
        assert!((4.6..=4.7).contains(&twice), "{twice}");
        assert!(level(100, 0, 200.0) < 2.5, "fewer");
        assert_eq!(level(100, 0, 1e6), level(100, 0, 1e9), "not without limit");
    }

    #[test]
    fn a_group_that_comes_near_the_level_more_often_than_others_has_a_higher_one() {
        let fleet = PageLevel::new(4.0);
        let level = |near: usize, machine_weeks: f64| {
            budget(&cubic()).group(fleet, GroupPast { near, machine_weeks }).value()
        };
        // The table has one in eight machine-weeks at 2 or more, of which one in eight reaches 4.
        assert_eq!(level(21, 200.0), 4.0);
        assert_eq!(level(0, 200.0), 4.0, "not below that of the fleet");
        let twice = level(49, 200.0);
        assert!((4.95..=5.1).contains(&twice), "the cube root of 2 times 4: {twice}");
        assert_eq!(level(9000, 200.0), level(1000, 200.0), "not without limit");
        assert!(level(3, 1.0) < level(49, 200.0), "three are no proof");
        assert_eq!(budget(&[]).group(fleet, GroupPast::default()), fleet, "no table");
    }

    #[test]
    fn a_level_moves_slowly() {
        let [low, high] = [1.0, 3.0].map(PageLevel::new);
        assert_eq!(low.moved_to(high).value(), 1.2);
        assert_eq!(high.moved_to(low).value(), 2.4);
        assert_eq!(high.moved_to(PageLevel::new(3.1)).value(), 3.1);
        assert_eq!([low, high].map(|level| level.strict().value()), [1.0, 9.0]);
    }
}
