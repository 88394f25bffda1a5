//! Injects faults into the values of a machine that are known to be healthy.
//!
//! One principle gives every size: a fault is a few times the normal noise of the series. Noise is
//! the robust standard deviation of the part that the daily profile does not explain
//! ([`Usual::noise`]). The level may leave the known range by that much and no more, unless the
//! fault is to leave it. So a reader who knows the last two weeks sees the fault in the graph, and
//! a reader who knows only a limit does not. A fault happens where it makes sense: a machine
//! without a daily peak never misses one.

use std::ops::Range;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::usual::{Usual, quantile, sorted};
use super::{DAY, HOUR};

/// How late a late daily pattern is.
pub(super) const LATE: usize = 9 * HOUR;

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Up or down by 3 to 5 times the noise, at once.
    LevelShift,
    /// Rises slowly, by 6 to 12 times the noise in the end.
    Leak,
    /// Daily work does not arrive: the load stays as it was before.
    PeakMissing,
    /// One and the same value again and again.
    Frozen,
    /// Noise is three times as wide.
    Variance,
    /// The whole day comes 9 hours later.
    PatternLate,
    /// As high as the day gets (70 to 100 % of its top), at a time at which it never is.
    OddSpike,
    /// A wave of 20 minutes to 3 hours that was not there, 2 to 4 times the noise to either side.
    Oscillation,
    /// Rises by 4 to 8 times the noise for 3 to 8 hours, is restarted, rises again.
    Sawtooth,
    /// Another machine takes its share: 55 to 85 % of the load is left, ragged by 1.5 to 3 times
    /// the noise.
    NoisyNeighbour,
    /// A restart of ten minutes, a warm-up, and then a level that stays 1.5 to 3 times the noise
    /// above or below.
    Deploy,
    /// Every 20 to 45 minutes it falls over (20 to 60 % of its load are left), and starting takes 4
    /// to 8 times the noise.
    CrashLoop,
    /// At the limit, whatever the load: 100 %, or 1.3 times the known maximum where there is no
    /// limit.
    Stuck,
    /// Daily work is 1 to 3 hours late: a person changed a schedule, or a clock.
    ClockShift,
    /// No fault at all. A find here is chance.
    Nothing,
}

impl Fault {
    /// The eight faults that detectors are compared by first.
    pub(crate) const EIGHT: [Self; 8] = {
        let [eight @ .., _, _, _, _, _, _, _] = Self::ALL;
        eight
    };

    /// All of them: the eight come first, the control last.
    pub(crate) const ALL: [Self; 15] = [
        Self::LevelShift,
        Self::Leak,
        Self::PeakMissing,
        Self::Frozen,
        Self::Variance,
        Self::PatternLate,
        Self::OddSpike,
        Self::Oscillation,
        Self::Sawtooth,
        Self::NoisyNeighbour,
        Self::Deploy,
        Self::CrashLoop,
        Self::Stuck,
        Self::ClockShift,
        Self::Nothing,
    ];

    /// A name, in words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LevelShift => "level shift",
            Self::Leak => "leak over 48 h",
            Self::PeakMissing => "daily peak missing",
            Self::Frozen => "frozen",
            Self::Variance => "variance x3",
            Self::PatternLate => "daily pattern 9 h late",
            Self::OddSpike => "spike at an odd hour",
            Self::Oscillation => "new oscillation",
            Self::Sawtooth => "leak with restarts",
            Self::NoisyNeighbour => "noisy neighbour",
            Self::Deploy => "deploy",
            Self::CrashLoop => "crash loop",
            Self::Stuck => "stuck at the limit",
            Self::ClockShift => "schedule 1 to 3 h late",
            Self::Nothing => "nothing",
        }
    }

    /// Slots that are altered: 15 minutes of a spike, 2 hours at the limit, 6 of a crash loop or a
    /// neighbour, 12 of a frozen, missing, restless or swinging value, 48 of a leak, and a day of
    /// everything else.
    pub(crate) fn duration(self) -> usize {
        match self {
            Self::OddSpike => 3,
            Self::Stuck => 2 * HOUR,
            Self::NoisyNeighbour | Self::CrashLoop => 6 * HOUR,
            Self::Frozen | Self::PeakMissing | Self::Variance | Self::Oscillation => 12 * HOUR,
            Self::Leak => 2 * DAY,
            Self::LevelShift
            | Self::PatternLate
            | Self::Sawtooth
            | Self::Deploy
            | Self::ClockShift
            | Self::Nothing => DAY,
        }
    }

    /// Finds a slot on one of `days` at which this fault would make sense by the normal values
    /// until then. The series is long enough from that slot on. `None` without such a slot: then
    /// the fault is not counted.
    pub(crate) fn onset(
        self,
        values: &[f64],
        days: Range<usize>,
        cap: Option<f64>,
        random: &mut ChaCha8Rng,
    ) -> Option<usize> {
        let last = values.len().checked_sub(self.duration())? / DAY;
        let days = days.start.max(3)..days.end.min(last);
        if days.is_empty() {
            return None;
        }
        let day = random.random_range(days);
        let usual = Usual::before(values, day * DAY, cap)?;
        let time = match self {
            Self::PeakMissing => before_peak(&usual, random)?,
            Self::PatternLate if matters(&usual, LATE) => unnoticed(&usual, LATE, random)?,
            Self::ClockShift if delays(&usual).next().is_some() => {
                unnoticed(&usual, 2 * HOUR, random)?
            }
            Self::PatternLate | Self::ClockShift => return None,
            Self::OddSpike if usual.daily => {
                let odd =
                    |time: &usize| usual.ceiling[*time] + 4.0 * usual.noise < spike(&usual, 0.7);
                one_of((0..DAY).filter(odd).collect(), random)?
            }
            Self::OddSpike => return None,
            Self::Frozen if usual.longest_run >= 2 * HOUR => return None,
            _ => random.random_range(0..DAY),
        };
        Some(day * DAY + time)
    }
}

/// The height of a spike: this part of the way from the quietest to the top of a typical day.
pub(super) fn spike(usual: &Usual, part: f64) -> f64 {
    usual.low + part * (usual.daily_top - usual.low)
}

/// A time of the day before the daily peak, when the load has not begun to rise. The whole peak
/// follows it.
fn before_peak(usual: &Usual, random: &mut ChaCha8Rng) -> Option<usize> {
    let profile = &usual.profile;
    let ((peak, highest), (_, lowest)) = (extreme(profile, f64::gt)?, extreme(profile, f64::lt)?);
    let calm = lowest + 0.3 * (highest - lowest);
    let back = (1..=10 * HOUR).find(|back| profile[(peak + DAY - back) % DAY] <= calm)?;
    usual.daily.then_some((peak + DAY - back - random.random_range(0..HOUR)) % DAY)
}

/// The place and value that beat all others.
fn extreme(values: &[f64], beats: impl Fn(&f64, &f64) -> bool) -> Option<(usize, f64)> {
    values
        .iter()
        .copied()
        .enumerate()
        .reduce(|best, next| if beats(&next.1, &best.1) { next } else { best })
}

/// Whether a day that is this late looks any different. Jobs every three hours do not if they are
/// nine hours late.
fn matters(usual: &Usual, late: usize) -> bool {
    let profile = &usual.profile;
    let differs = (0..DAY)
        .map(|time| (profile[time] - profile[(time + DAY - late) % DAY]).abs())
        .fold(0.0, f64::max);
    let range = extreme(profile, f64::gt)
        .zip(extreme(profile, f64::lt))
        .map_or(0.0, |(high, low)| high.1 - low.1);
    usual.daily && differs >= 0.3 * range
}

/// The delays of one to three hours that matter.
pub(super) fn delays(usual: &Usual) -> impl Iterator<Item = usize> {
    (HOUR..=3 * HOUR).filter(|late| matters(usual, *late))
}

/// A time of the day, in its lower half, at which a pattern that is `late` slots late looks the
/// same as one that is not. The values do not jump there, and the fault shows afterwards.
fn unnoticed(usual: &Usual, late: usize, random: &mut ChaCha8Rng) -> Option<usize> {
    let profile = &usual.profile;
    let middle = quantile(&sorted(profile.iter().copied()), 0.5);
    let mut times: Vec<(f64, usize)> = (0..DAY)
        .filter(|time| profile[*time] <= middle)
        .map(|time| ((profile[time] - profile[(time + DAY - late) % DAY]).abs(), time))
        .collect();
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    times.truncate(DAY / 12);
    one_of(times.into_iter().map(|(_, time)| time).collect(), random)
}

/// Draws one of these; all are equally likely.
pub(super) fn one_of(choices: Vec<usize>, random: &mut ChaCha8Rng) -> Option<usize> {
    (!choices.is_empty()).then(|| choices[random.random_range(0..choices.len())])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;
    use crate::build::workload::machine::{Kind, machine};

    fn random(seed: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(seed)
    }

    /// Applies the fault to the machine and returns the clean values there. `None` where the fault
    /// would make no sense.
    fn case(fault: Fault, kind: Kind, seed: u64) -> Option<(Vec<f64>, Vec<f64>, Usual)> {
        let values = machine(kind, seed, 28);
        let onset = fault.onset(&values, 15..28, Some(100.0), &mut random(seed))?;
        let altered = fault.inject(&values, onset, Some(100.0), &mut random(seed));
        let usual = Usual::before(&values, onset, Some(100.0)).unwrap();
        Some((values[onset..onset + fault.duration()].to_vec(), altered, usual))
    }

    #[test]
    fn every_fault_is_possible_and_alters_what_it_says() {
        for kind in Kind::ALL {
            for fault in Fault::ALL {
                let Some((clean, altered, _)) = case(fault, kind, 3) else { continue };
                assert_eq!(altered.len(), fault.duration());
                assert!(
                    altered.iter().all(|value| (0.0..=100.0).contains(value)),
                    "{kind:?} {fault:?}"
                );
                assert_eq!(altered == clean, fault == Fault::Nothing, "{kind:?} {fault:?}");
            }
        }
    }

    #[test]
    fn the_same_randomness_is_the_same_fault() {
        for fault in Fault::ALL {
            let two = || case(fault, Kind::Web, 5).map(|(_, altered, _)| altered);
            assert_eq!(two(), two());
        }
    }

    #[test]
    fn a_fault_happens_where_it_means_something() {
        let happens =
            |fault, kind| (0..6).filter(|seed| case(fault, kind, *seed).is_some()).count();
        for daily in [Fault::PeakMissing, Fault::PatternLate, Fault::ClockShift] {
            assert_eq!(
                (
                    happens(daily, Kind::Web),
                    happens(daily, Kind::Busy),
                    happens(daily, Kind::HeavyTailed)
                ),
                (6, 0, 0)
            );
        }
        let spikes = [Kind::NightlyCron, Kind::Busy, Kind::HeavyTailed]
            .map(|kind| happens(Fault::OddSpike, kind));
        assert_eq!(spikes, [6, 0, 0]);
        let still = [1.0; 20 * DAY];
        assert!(Fault::Frozen.onset(&still, 15..20, Some(100.0), &mut random(1)).is_none());
        assert!(Fault::LevelShift.onset(&still, 15..20, Some(100.0), &mut random(1)).is_some());
        assert!(
            Fault::Leak.onset(&still, 19..20, Some(100.0), &mut random(1)).is_none(),
            "it would not end"
        );
    }

    #[test]
    fn subtle_faults_stay_within_what_the_machine_is_known_for() {
        for seed in 0..10 {
            for fault in [
                Fault::PeakMissing,
                Fault::Frozen,
                Fault::PatternLate,
                Fault::OddSpike,
                Fault::ClockShift,
            ] {
                let Some((_, altered, usual)) = case(fault, Kind::Web, seed) else { continue };
                // A day may be the highest so far without any fault.
                let highest = altered.iter().copied().fold(0.0, f64::max);
                assert!(
                    highest <= usual.top + 8.0 * usual.noise,
                    "{fault:?}: {highest} of {}",
                    usual.top
                );
            }
        }
    }

    #[test]
    fn the_sizes_follow_from_the_noise() {
        for seed in 0..10 {
            let (clean, altered, usual) = case(Fault::LevelShift, Kind::Web, seed).unwrap();
            let shift =
                sorted(altered.iter().zip(&clean).map(|(altered, clean)| (altered - clean).abs()));
            let shift = quantile(&shift, 0.5) / usual.noise;
            assert!((2.9..5.1).contains(&shift), "{shift}");
            let (clean, altered, usual) = case(Fault::Leak, Kind::Web, seed).unwrap();
            let most = (altered[2 * DAY - 1] - clean[2 * DAY - 1]) / usual.noise;
            assert!(
                (5.9..12.1).contains(&most) && altered[0] - clean[0] < 0.1 * usual.noise,
                "{most}"
            );
        }
    }

    #[test]
    fn a_missing_peak_is_missing_and_a_late_day_is_yesterday_s() {
        let (clean, altered, _) = case(Fault::PeakMissing, Kind::NightlyCron, 1).unwrap();
        let highest = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        assert!(highest(&clean) > 20.0 && highest(&altered) < 12.0);
        let values = machine(Kind::Web, 2, 28);
        let onset = Fault::PatternLate.onset(&values, 20..24, Some(100.0), &mut random(2)).unwrap();
        let late = Fault::PatternLate.inject(&values, onset, Some(100.0), &mut random(2));
        assert_eq!(late, values[onset - LATE..onset - LATE + DAY]);
    }

    #[test]
    fn values_of_another_unit_are_not_cut_at_100() {
        let values: Vec<f64> =
            machine(Kind::Web, 1, 20).into_iter().map(|value| 1e4 * value - 5e4).collect();
        let most = values[..16 * DAY].iter().copied().fold(f64::MIN, f64::max);
        let stuck = Fault::Stuck.inject(&values, 16 * DAY, None, &mut random(1));
        assert!(stuck.iter().all(|value| *value > 1.25 * most && *value <= 1.3 * most));
        let shifted = Fault::LevelShift.inject(&values, 16 * DAY, None, &mut random(1));
        assert!(shifted.iter().any(|value| *value > 1e4));
    }

    proptest! {
        #[test]
        fn anything_can_be_broken(
            seed in 0u64..1000,
            fault in 0usize..Fault::ALL.len(),
            hole in 0usize..3,
            cap: bool,
        ) {
            let fault = Fault::ALL[fault];
            let mut values = machine(Kind::ALL[(seed % 7) as usize], seed, 12);
            values.iter_mut().skip(hole).step_by(3).for_each(|value| *value = f64::NAN);
            let cap = cap.then_some(100.0);
            if let Some(onset) = fault.onset(&values, 4..12, cap, &mut random(seed)) {
                prop_assert!((4 * DAY..=12 * DAY - fault.duration()).contains(&onset));
                let altered = fault.inject(&values, onset, cap, &mut random(seed));
                let mut both = altered.iter().zip(&values[onset..]);
                let same = both.all(|(altered, clean)| altered.is_nan() == clean.is_nan());
                prop_assert!(same && altered.len() == fault.duration());
            }
            for early in [0, 1, DAY, 12 * DAY - 1, 12 * DAY] {
                let altered = fault.inject(&values, early, cap, &mut random(seed));
                prop_assert!(altered.len() <= fault.duration());
            }
        }
    }
}
