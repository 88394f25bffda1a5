//! Selects the scores to publish, and remembers the numbers of the fleet at each time.

use std::collections::{BTreeMap, BTreeSet};

use deepguard::Scored;
use deepguard::track::LATE;
use deepguard_aws::ids::TargetId;
use deepguard_aws::metric::{Datum, Metric, Of};
use serde::{Deserialize, Serialize};

/// Which scores of an instance are published. Those of the fleet always are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// All of them.
    Full,
    /// Those with at least this score, and the [`TAIL`] after each: a metric costs by the hour in
    /// which it is sent.
    Sparse {
        /// A score; 1.0 is the threshold.
        from: f64,
    },
}

/// How many scores are published after the last one that reached the limit, so that an alarm sees
/// the recovery: half an hour.
pub const TAIL: u8 = 6;

impl Mode {
    /// The datums of an instance's new scores, oldest first. `tail` is how many are still to be
    /// sent, whatever their values. Muted scores are not published: alarms stand on these metrics.
    pub fn datums(self, instance: &TargetId, scored: &[Scored], tail: &mut u8) -> Vec<Datum> {
        let mut datums = Vec::new();
        for scored in scored.iter().filter(|scored| !scored.muted) {
            let worth = match self {
                Self::Full => true,
                Self::Sparse { from } => scored.score.value() >= from,
            };
            if worth {
                *tail = TAIL;
            } else if *tail > 0 {
                *tail -= 1;
            } else {
                continue;
            }
            let datum = |metric, value| Datum {
                metric,
                of: Of::Instance(instance.clone()),
                time: scored.time,
                value,
            };
            datums.push(datum(Metric::AnomalyScore, scored.score.value()));
            datums.push(datum(Metric::ReconstructionError, scored.reconstruction_error()));
        }
        datums
    }
}

/// How long, in seconds, the fleet's numbers at a time are remembered.
pub const TALLIED: i64 = 2 * LATE;

/// The numbers of the fleet at each time. They only grow as scores come, so a value that is
/// published again is never less.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally(BTreeMap<i64, Counted>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Counted {
    scored: u32,
    anomalous: u32,
    suppressed: u32,
    highest: f64,
}

impl Tally {
    /// Takes a score in.
    pub fn add(&mut self, scored: &Scored) {
        let slot = self.0.entry(scored.time).or_default();
        slot.scored = slot.scored.saturating_add(1);
        if scored.muted {
            slot.suppressed =
                slot.suppressed.saturating_add(u32::from(scored.score.is_anomalous()));
        } else {
            slot.highest = slot.highest.max(scored.score.value());
        }
    }

    /// Counts an episode that begins at `time` (seconds since 1970).
    pub fn begins(&mut self, time: i64) {
        let slot = self.0.entry(time).or_default();
        slot.anomalous = slot.anomalous.saturating_add(1);
    }

    /// Forgets the times before `time` (seconds since 1970).
    pub fn forget(&mut self, time: i64) {
        self.0 = self.0.split_off(&time);
    }

    /// Whether there is a score at or after `time` (seconds since 1970).
    pub fn has_since(&self, time: i64) -> bool {
        self.0.range(time..).next().is_some()
    }

    /// The datums of the fleet at `times` (seconds since 1970).
    pub fn datums(&self, times: &BTreeSet<i64>) -> Vec<Datum> {
        let at = |&time: &i64| {
            let Counted { scored, anomalous, suppressed, highest } =
                self.0.get(&time).copied().unwrap_or_default();
            [
                Datum::of_fleet(Metric::AnomalousInstances, time, anomalous.into()),
                Datum::of_fleet(Metric::InstancesScored, time, scored.into()),
                Datum::of_fleet(Metric::MaxAnomalyScore, time, highest),
                Datum::of_fleet(Metric::SuppressedAnomalies, time, suppressed.into()),
            ]
        };
        times.iter().flat_map(at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{instance, lasting, scored};

    fn values(datums: &[Datum]) -> Vec<(&'static str, i64, f64)> {
        datums.iter().map(|datum| (datum.metric.name(), datum.time, datum.value)).collect()
    }

    #[test]
    fn the_fleet_is_counted_at_each_time_and_never_less() {
        let mut tally = Tally::default();
        let muted = Scored { muted: true, ..scored(1200, 9.0) };
        [scored(600, 0.5), scored(900, 1.0), lasting(1200, 2.0), muted]
            .iter()
            .for_each(|scored| tally.add(scored));
        tally.begins(900);
        let all = |tally: &Tally| values(&tally.datums(&[600, 900, 1200].into()));
        let at = |time, anomalous, scored, highest| {
            let suppressed = if time == 1200 { 1.0 } else { 0.0 };
            [
                ("AnomalousInstances", time, anomalous),
                ("InstancesScored", time, scored),
                ("MaxAnomalyScore", time, highest),
                ("SuppressedAnomalies", time, suppressed),
            ]
        };
        assert_eq!(
            all(&tally),
            [at(600, 0.0, 1.0, 0.5), at(900, 1.0, 1.0, 1.0), at(1200, 0.0, 2.0, 2.0)].concat()
        );
        tally.add(&scored(900, 0.2));
        assert_eq!(values(&tally.datums(&[900].into())), at(900, 1.0, 2.0, 1.0));
        assert!(tally.has_since(1200) && !tally.has_since(1201));
        let of_a_time = Metric::ALL.into_iter().filter(|metric| {
            !metric.is_per_instance() && !metric.is_gauge() && !metric.is_of_shadow()
        });
        assert_eq!(tally.datums(&[900].into()).len(), of_a_time.count(), "as the catalogue says");
        tally.forget(900);
        assert_eq!(values(&tally.datums(&[600].into())), at(600, 0.0, 0.0, 0.0));
    }

    #[test]
    fn in_sparse_mode_what_is_worth_it_is_sent_and_half_an_hour_after_it() {
        let scores = [0.1, 0.79, 0.8, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 1.5, 0.2];
        let all: Vec<Scored> = scores
            .iter()
            .enumerate()
            .map(|(slot, &score)| scored(slot as i64 * 300, score))
            .collect();
        let sent = |mode: Mode, portion: usize| {
            let mut tail = 0;
            let datums: Vec<Datum> = all
                .chunks(portion)
                .flat_map(|scored| mode.datums(&instance(1), scored, &mut tail))
                .collect();
            assert!(datums.iter().all(|datum| datum.metric.is_per_instance()));
            datums.iter().step_by(2).map(|datum| datum.time / 300).collect::<Vec<_>>()
        };
        for portion in [1, 4, 100] {
            assert_eq!(sent(Mode::Sparse { from: 0.8 }, portion), [2, 3, 4, 5, 6, 7, 8, 11, 12]);
            assert_eq!(sent(Mode::Full, portion), (0..13).collect::<Vec<_>>());
        }
        assert_eq!(sent(Mode::Sparse { from: 2.0 }, 1), [] as [i64; 0]);
    }
}
