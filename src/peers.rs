//! How a machine differs from the others of its group.
//!
//! What the machines of a group have in common, such as load, a holiday or a change of clocks, is
//! in the median of their deviations from what is usual for each. Without it, one machine of thirty
//! that does a little more stands out. The error is the mean difference of two hours. Like each
//! error of a machine, it is compared with the largest ones of its days.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::baseline::level::quantile;
use crate::baseline::{HISTORY_DAYS, calibrated_at};
use crate::channel::Channel;
use crate::compress::root;
use crate::detector::Detector;
use crate::memory::Records;
use crate::score::Score;
use crate::scored::Scored;
use crate::series::{DAY_SECONDS, PERIOD};
use crate::shape::{Finding, Rank, Shape};

/// At least this many machines of a group have a score at the same time.
pub const LEAST_PEERS: usize = 5;
/// Slots whose mean difference counts: two hours.
const SLOTS: usize = 24;
/// Days whose largest errors are known before there is a score.
const LEAST_DAYS: usize = 4;
/// The usual error is at least this many times the median error of the group at that time: about
/// two standard deviations.
const SPREAD: f64 = 3.0;
/// Added to both sides of the ratio, so that machines that are nearly the same do not divide by
/// nothing: two points at 100 % CPU, 0.6 at 10 %.
const FLOOR: f64 = 0.1;
/// The ratio of an error to the usual one that makes a score of 1.0, ...
const RATIO: f64 = 1.4;
/// ... and the power to which it is raised. Ratios of means spread less than those of single
/// datapoints. With both numbers a healthy machine has each score from 1.5 on as seldom as in the
/// other channels: `make fleets`.
const POWER: f64 = 1.7;

/// How one machine differs from its group, from datapoint to datapoint.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Peers {
    /// Start of the newest slot, in seconds since 1970.
    newest: Option<i64>,
    /// The newest differences, oldest first.
    recent: VecDeque<f32>,
    /// Midnights, and the largest errors above and below of each day, oldest first.
    days: VecDeque<(i64, [f32; 2])>,
    records: Records,
}

/// The error of a datapoint.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Unlike {
    /// The mean difference from the group, positive above it; in the unit of errors above a
    /// forecast: [`root`].
    difference: f64,
    /// The usual largest one of a day on that side.
    usual: f64,
}

/// A machine of a group, in one run.
#[derive(Debug)]
pub struct Compared<'a> {
    /// Its differences so far.
    pub peers: &'a mut Peers,
    /// Its new scores, oldest first.
    pub scored: &'a mut [Scored],
}

/// Compares the new scores of a group that has this number of machines. A score becomes higher
/// where the machine differs from the group by more than it usually does.
///
/// A datapoint is compared with those of the same time, if they are of at least [`LEAST_PEERS`]
/// machines and of half of the group. One that comes later than those is not compared.
pub fn compare(detector: &Detector, machines: usize, group: &mut [Compared<'_>]) {
    let mut times: BTreeMap<i64, Vec<(usize, usize)>> = BTreeMap::new();
    for (machine, compared) in group.iter().enumerate() {
        for (index, scored) in compared.scored.iter().enumerate() {
            if !scored.muted {
                times.entry(scored.time).or_default().push((machine, index));
            }
        }
    }
    for (time, present) in times {
        if present.len() < LEAST_PEERS || 2 * present.len() < machines {
            continue;
        }
        let deviations: Vec<f64> = present
            .iter()
            .map(|&(machine, index)| deviation(&group[machine].scored[index]))
            .collect();
        let common = median(deviations.clone());
        let mut unlike = Vec::new();
        for ((machine, index), deviation) in present.into_iter().zip(deviations) {
            let taken = group[machine].peers.take(time, deviation - common);
            unlike.extend(taken.map(|taken| (machine, index, taken)));
        }
        // Where all differ more than they usually do, one of them is like the others.
        let typical = unlike.iter().map(|(_, _, unlike)| unlike.difference.abs()).collect();
        let spread = SPREAD * median(typical);
        for (machine, index, unlike) in unlike {
            let Compared { peers, scored } = &mut group[machine];
            let usual = unlike.usual.max(spread);
            peers.judge(detector, &mut scored[index], Unlike { usual, ..unlike });
        }
    }
}

/// How far a datapoint lies from the usual value at its hour, in the unit of errors above a
/// forecast.
fn deviation(scored: &Scored) -> f64 {
    root(scored.observed) - root(scored.usual)
}

/// 0 without any value.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    quantile(&values, 0.5).unwrap_or(0.0)
}

impl Peers {
    /// Takes in the difference at `time` (seconds since 1970): the machine's deviation less the
    /// common one. `None` where there is too little to judge by, and for an old datapoint.
    fn take(&mut self, time: i64, difference: f64) -> Option<Unlike> {
        let gap = self.newest.map_or(i64::MAX, |newest| time - newest);
        if gap <= 0 {
            return None;
        }
        if gap > SLOTS as i64 * PERIOD {
            self.recent.clear();
        }
        self.newest = Some(time);
        if self.recent.len() == SLOTS {
            self.recent.pop_front();
        }
        self.recent.push_back(difference as f32);
        if self.recent.len() < SLOTS {
            return None;
        }
        let sum: f64 = self.recent.iter().map(|difference| f64::from(*difference)).sum();
        let difference = sum / SLOTS as f64;
        let today = calibrated_at(time);
        if self.days.back().is_none_or(|(day, _)| *day != today) {
            self.days.push_back((today, [0.0; 2]));
        }
        let oldest = today - HISTORY_DAYS as i64 * DAY_SECONDS;
        while self.days.front().is_some_and(|(day, _)| *day < oldest) {
            self.days.pop_front();
        }
        let side = usize::from(difference < 0.0);
        if let Some((_, largest)) = self.days.back_mut() {
            largest[side] = largest[side].max(difference.abs() as f32);
        }
        // Today's errors do not make today usual, and one bad day does not make its like usual.
        let mut before: Vec<f32> =
            self.days.range(..self.days.len() - 1).map(|(_, largest)| largest[side]).collect();
        before.sort_unstable_by(|a, b| b.total_cmp(a));
        let usual = before.get(1).filter(|_| before.len() >= LEAST_DAYS)?;
        Some(Unlike { difference, usual: f64::from(*usual) })
    }

    /// Raises the score of a datapoint to that of its error, if that is higher.
    fn judge(&mut self, detector: &Detector, scored: &mut Scored, unlike: Unlike) {
        let Unlike { difference, usual } = unlike;
        // As the detector's own threshold is to its artifact's.
        let stricter = detector.threshold() / detector.artifact().card().threshold;
        let ratio = (difference.abs() + FLOOR) / (usual + FLOOR);
        let score = Score::of((ratio / (RATIO * stricter)).powf(POWER));
        let usual = scored.usual;
        let away = root(usual) + difference;
        let points = away * away.abs() - usual;
        let score = detector.sensitivity().limit(score, || points);
        let surpasses = self.records.surpasses(scored.time, score.value());
        if score <= scored.score {
            return;
        }
        let up = difference > 0.0;
        scored.score = score;
        scored.channel = Some(if up { Channel::PeersUp } else { Channel::PeersDown });
        scored.surpasses = surpasses;
        if score > scored.severity {
            scored.severity = score;
            scored.finding = score.is_anomalous().then(|| Finding {
                shape: Shape::UnlikePeers,
                since: scored.time - (SLOTS as i64 - 1) * PERIOD,
                deviation: points,
                rank: scored.finding.map_or(Rank::Within, |finding| finding.rank),
                run: scored.finding.map_or(1, |finding| finding.run),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Phase;
    use crate::model::artifact::{Artifact, BUILTIN};
    use crate::model::device;
    use crate::score::{Direction, Sensitivity};
    use crate::series::DAY;

    const MACHINES: usize = 6;

    fn detector() -> Detector {
        Detector::new(Artifact::from_bytes(BUILTIN).expect("the built-in artifact"), &device())
    }

    /// Calm scores of a machine over `days`, which deviates from its usual 25 % by `points`.
    fn scored(number: usize, days: usize, points: impl Fn(usize) -> f64) -> Vec<Scored> {
        let at = |slot: usize| {
            let noise = ((slot * 7919 + number * 104_729) % 1009) as f64 / 1009.0 - 0.5;
            Scored {
                time: slot as i64 * PERIOD,
                observed: 25.0 + noise + points(slot),
                reconstruction: None,
                expected: 25.0,
                low: 20.0,
                high: 30.0,
                score: Score::of(0.3),
                channel: Some(Channel::SpikeUp),
                surpasses: false,
                usual: 25.0,
                severity: Score::of(0.3),
                outside: false,
                finding: None,
                muted: false,
                phase: Phase::Own,
            }
        };
        (0..days * DAY).map(at).collect()
    }

    /// The group after the comparison, `step` slots at a time.
    fn compared(detector: &Detector, mut group: Vec<Vec<Scored>>, step: usize) -> Vec<Vec<Scored>> {
        let mut peers = vec![Peers::default(); group.len()];
        let slots = group[0].len();
        for first in (0..slots).step_by(step.min(slots)) {
            let mut run: Vec<Compared<'_>> = peers
                .iter_mut()
                .zip(&mut group)
                .map(|(peers, scored)| Compared {
                    peers,
                    scored: &mut scored[first..first.saturating_add(step).min(slots)],
                })
                .collect();
            compare(detector, MACHINES, &mut run);
        }
        group
    }

    /// All share a hump on the last day, and the first machine does `points` more in its second
    /// half.
    fn group(machines: usize, points: f64) -> Vec<Vec<Scored>> {
        let last = 7 * DAY;
        let more = move |number: usize| {
            move |slot: usize| {
                let hump = if slot >= last { 12.0 } else { 0.0 };
                let late = slot >= last + DAY / 2 && number == 0;
                hump + if late { points } else { 0.0 }
            }
        };
        (0..machines).map(|number| scored(number, 8, more(number))).collect()
    }

    fn alarms(scored: &[Scored]) -> Vec<usize> {
        let alarms = scored.iter().filter(|scored| scored.is_alarm());
        alarms.map(|scored| (scored.time / PERIOD) as usize).collect()
    }

    #[test]
    fn what_all_share_is_no_difference_and_what_one_does_alone_is() {
        let detector = detector();
        let judged = compared(&detector, group(MACHINES, 5.0), usize::MAX);
        let begun = 7 * DAY + DAY / 2;
        let found = alarms(&judged[0]);
        assert!(found.iter().any(|slot| (begun..begun + SLOTS).contains(slot)), "{found:?}");
        assert!(found.iter().all(|slot| *slot >= begun));
        assert!(judged[1..].iter().all(|scored| alarms(scored).is_empty()));
        let alarm = judged[0][found[found.len() - 1]];
        assert_eq!(alarm.channel, Some(Channel::PeersUp));
        let finding = alarm.finding.expect("a finding");
        assert_eq!(finding.shape, Shape::UnlikePeers);
        assert!((3.0..6.0).contains(&finding.deviation), "{finding:?}");
        let lower = compared(&detector, group(MACHINES, -5.0), usize::MAX);
        let lowest = lower[0].iter().find(|scored| scored.is_alarm()).expect("an alarm");
        assert_eq!(lowest.channel, Some(Channel::PeersDown));
        assert!(lowest.finding.is_some_and(|finding| finding.deviation < -0.3));
    }

    #[test]
    fn where_a_whole_group_spreads_one_of_it_is_like_the_others() {
        let detector = detector();
        // Each goes its own way on the last day, up or down, by four to six points.
        let spread = |number: usize| {
            move |slot: usize| match slot >= 7 * DAY {
                true if number.is_multiple_of(2) => 4.0 + number as f64 / 3.0,
                true => -4.0 - number as f64 / 3.0,
                false => 0.0,
            }
        };
        let group = (0..MACHINES).map(|number| scored(number, 8, spread(number))).collect();
        let judged = compared(&detector, group, usize::MAX);
        assert!(judged.iter().all(|scored| alarms(scored).is_empty()));
    }

    #[test]
    fn the_split_into_runs_changes_nothing() {
        let detector = detector();
        let whole = compared(&detector, group(MACHINES, 5.0), usize::MAX);
        for step in [1, 7, DAY] {
            assert_eq!(compared(&detector, group(MACHINES, 5.0), step), whole, "{step}");
        }
    }

    #[test]
    fn without_enough_machines_or_days_nothing_is_compared() {
        let detector = detector();
        let few = group(LEAST_PEERS - 1, 5.0);
        assert_eq!(compared(&detector, few.clone(), usize::MAX), few);
        let mut half = group(LEAST_PEERS, 5.0);
        let unchanged = half.clone();
        let mut peers = vec![Peers::default(); half.len()];
        let mut run: Vec<Compared<'_>> = peers
            .iter_mut()
            .zip(&mut half)
            .map(|(peers, scored)| Compared { peers, scored })
            .collect();
        compare(&detector, 2 * LEAST_PEERS + 1, &mut run);
        assert_eq!(half, unchanged, "fewer than half of the group");
        let days = |days: usize| {
            let more = |number: usize| move |_: usize| if number == 0 { 9.0 } else { 0.0 };
            let group = (0..MACHINES).map(|number| scored(number, days, more(number))).collect();
            compared(&detector, group, usize::MAX)
        };
        assert!(days(LEAST_DAYS).iter().flatten().all(|scored| scored.score == Score::of(0.3)));
        assert!(days(9).iter().all(|scored| alarms(scored).is_empty()), "it always does more");
    }

    #[test]
    fn a_muted_datapoint_is_left_out_and_limits_hold() {
        let detector = detector();
        let mut muted = group(MACHINES, 5.0);
        muted[0].iter_mut().for_each(|scored| scored.muted = true);
        let judged = compared(&detector, muted.clone(), usize::MAX);
        assert_eq!(judged[0], muted[0]);
        let limited = |min_deviation, direction| {
            let detector =
                self::detector().with_sensitivity(Sensitivity { min_deviation, direction });
            alarms(&compared(&detector, group(MACHINES, 5.0), usize::MAX)[0]).is_empty()
        };
        assert!(limited(9.0, Direction::Both) && limited(0.0, Direction::Down));
        assert!(!limited(2.0, Direction::Up));
    }
}
