//! Detectors that a user would watch CPU with instead, to compare with.
//!
//! Each detector gives each slot a score that rises with how anomalous the value is. A score never
//! depends on later values. A score is NaN where the value is missing or too little comes before
//! it. All detectors are compared by the same rule: [`records`] of their scores at the threshold
//! that allows everyone the same number of false alarms.

use std::collections::VecDeque;

use super::linear::Linear;

/// Slots of a day of 5-minute datapoints.
const DAY: usize = 288;
/// Half a day: an alarm within it belongs to the one before unless it is worse.
pub(crate) const REFRACTORY: usize = DAY / 2;
/// Values the windowed Gaussian remembers, and after how many it looks at them anew: the parameters
/// of NAB's.
const GAUSSIAN: (usize, usize) = (6400, 100);
/// Days that the seasonal median looks back.
const SEASONS: usize = 14;
/// Slots to either side of the same time of the day that count as the same time.
const SAME_TIME: usize = 2;
/// Slots that the recipe of the PyTorch DeepGuard is fitted on: two weeks, or 60 % of the series
/// where that is less.
const FITTED: usize = 14 * DAY;

/// Something that finds anomalies in plain values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// Its name, in words.
    pub(crate) name: &'static str,
    /// A score for each value.
    pub(crate) score: fn(&[f64]) -> Vec<f64>,
    /// The default threshold for an alarm, if the detector has one.
    pub(crate) fixed_threshold: Option<f64>,
}

/// All of them.
pub(crate) const PEERS: [Peer; 6] = [
    Peer { name: "static CPU > 80 %", score: value, fixed_threshold: Some(80.0) },
    Peer { name: "mean + 3 sigma, 24 h", score: trailing_mean, fixed_threshold: Some(3.0) },
    Peer { name: "median and MAD, 24 h", score: trailing_median, fixed_threshold: Some(3.5) },
    Peer { name: "seasonal median, 14 days", score: seasonal_median, fixed_threshold: Some(3.5) },
    Peer { name: "windowed Gaussian", score: windowed_gaussian, fixed_threshold: None },
    Peer { name: "PyTorch DeepGuard's recipe", score: ancestor, fixed_threshold: Some(2.0) },
];

/// The score where it is above every score of the `refractory` slots before, and minus infinity
/// elsewhere: one alarm per episode at any threshold. A missing score is never a record and never
/// prevents one.
pub(crate) fn records(scores: &[f64], refractory: usize) -> Vec<f64> {
    // Scores that could still be the highest of the last `refractory` slots, falling.
    let mut highest: VecDeque<(usize, f64)> = VecDeque::new();
    let mut kept = vec![f64::NEG_INFINITY; scores.len()];
    for (slot, &score) in scores.iter().enumerate() {
        if highest.front().is_some_and(|(at, _)| at + refractory < slot) {
            highest.pop_front();
        }
        if score.is_nan() {
            continue;
        }
        if highest.front().is_none_or(|(_, high)| score > *high) {
            kept[slot] = score;
        }
        while highest.back().is_some_and(|(_, last)| *last <= score) {
            highest.pop_back();
        }
        highest.push_back((slot, score));
    }
    kept
}

/// The value itself: the alarm that most people start with.
fn value(values: &[f64]) -> Vec<f64> {
    values.to_vec()
}

/// Distance from the mean of the 24 hours before, in their standard deviations.
fn trailing_mean(values: &[f64]) -> Vec<f64> {
    let score = |slot: usize, value: f64| {
        let past = values[slot - DAY..slot].iter().filter(|value| !value.is_nan());
        let count = past.clone().count();
        if count < DAY / 2 {
            return f64::NAN;
        }
        let mean = past.clone().sum::<f64>() / count as f64;
        let variance = past.map(|value| (value - mean).powi(2)).sum::<f64>() / count as f64;
        (value - mean).abs() / scale(variance.sqrt(), 0.0, mean)
    };
    values
        .iter()
        .enumerate()
        .map(|(slot, &value)| if slot < DAY { f64::NAN } else { score(slot, value) })
        .collect()
}

/// Distance from the median of the 24 hours before, in their median absolute deviations.
fn trailing_median(values: &[f64]) -> Vec<f64> {
    let mut window: Vec<f64> = Vec::with_capacity(DAY + 1);
    // The sums behind the window's standard deviation. They are computed anew each day, so that
    // rounding errors do not add up.
    let (mut sum, mut squares) = (0.0, 0.0);
    let mut scores = Vec::with_capacity(values.len());
    for (slot, &value) in values.iter().enumerate() {
        if slot % DAY == 0 {
            (sum, squares) = (window.iter().sum(), window.iter().map(|value| value * value).sum());
        }
        scores.push(if slot < DAY || window.len() < DAY / 2 {
            f64::NAN
        } else {
            let count = window.len() as f64;
            let deviation = (squares / count - (sum / count).powi(2)).max(0.0).sqrt();
            let (median, mad) = median_and_mad(&window);
            (value - median).abs() / scale(1.4826 * mad, deviation, median)
        });
        if !value.is_nan() {
            window.insert(window.partition_point(|other| *other < value), value);
            (sum, squares) = (sum + value, squares + value * value);
        }
        let oldest =
            slot.checked_sub(DAY).map(|oldest| values[oldest]).filter(|value| !value.is_nan());
        if let Some(oldest) = oldest {
            window.remove(window.partition_point(|other| *other < oldest));
            (sum, squares) = (sum - oldest, squares - oldest * oldest);
        }
    }
    scores
}

/// Distance from the median of the same time of the day, two slots to either side, over the 14 days
/// before, in their median absolute deviations. It needs three days.
fn seasonal_median(values: &[f64]) -> Vec<f64> {
    let around = 2 * SAME_TIME + 1;
    let mut past: Vec<f64> = Vec::with_capacity(SEASONS * around);
    let mut scores = Vec::with_capacity(values.len());
    for (slot, &value) in values.iter().enumerate() {
        past.clear();
        for days in 1..=SEASONS {
            let Some(first) = slot.checked_sub(days * DAY + SAME_TIME) else { break };
            past.extend(values[first..first + around].iter().filter(|value| !value.is_nan()));
        }
        scores.push(if past.len() < 2 * around {
            f64::NAN
        } else {
            past.sort_unstable_by(f64::total_cmp);
            let count = past.len() as f64;
            let mean = past.iter().sum::<f64>() / count;
            let deviation =
                (past.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
            let (median, mad) = median_and_mad(&past);
            (value - median).abs() / scale(1.4826 * mad, deviation, median)
        });
    }
    scores
}

/// NAB's windowed Gaussian: how unlikely a value is under a normal distribution fitted to the last
/// 6400, every 100. The score is minus the decimal logarithm of that tail probability, because the
/// probability itself is soon too small for a number. It needs a day.
fn windowed_gaussian(values: &[f64]) -> Vec<f64> {
    let (remembered, step) = GAUSSIAN;
    let present: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    let (mut sum, mut squares, mut first) = (0.0, 0.0, 0);
    let (mut mean, mut deviation) = (0.0, 1.0);
    // Centres on the first value. Otherwise rounding would lose a small deviation from a large
    // mean.
    let origin = present.first().copied().unwrap_or(0.0);
    let mut seen = 0;
    let mut score = |value: f64| {
        let score =
            if seen < DAY { f64::NAN } else { -log10_tail((value - mean).abs() / deviation) };
        sum += value - origin;
        squares += (value - origin).powi(2);
        seen += 1;
        let full = seen > remembered;
        if !full || (seen - remembered).is_multiple_of(step) {
            while seen - first > remembered {
                sum -= present[first] - origin;
                squares -= (present[first] - origin).powi(2);
                first += 1;
            }
            let count = (seen - first) as f64;
            mean = origin + sum / count;
            deviation = (squares / count - (sum / count).powi(2)).max(0.0).sqrt();
            deviation = if deviation == 0.0 { 1e-6 } else { deviation };
        }
        score
    };
    values.iter().map(|&value| if value.is_nan() { f64::NAN } else { score(value) }).collect()
}

/// The recipe of the PyTorch DeepGuard: one global scaling to 0..1, windows of 50, their mean
/// squared reconstruction error, and a threshold two standard deviations above the mean error of
/// its training data.
///
/// **A stand-in.** The recipe's network, an LSTM autoencoder with a bottleneck of 12, is replaced
/// by the best linear autoencoder with the same bottleneck (principal components of the windows).
/// It is fitted on each series by itself and only on the past. This is kinder than the original,
/// which is fitted on one machine for all, partly on the data that it is then judged on. The score
/// is the number of standard deviations above the mean.
fn ancestor(values: &[f64]) -> Vec<f64> {
    let fitted = FITTED.min(values.len() * 3 / 5);
    let mut last = f64::NAN;
    let filled: Vec<f64> = values
        .iter()
        .map(|&value| {
            last = if value.is_nan() { last } else { value };
            last
        })
        .collect();
    let Some(model) = Linear::fit(&filled[..fitted]) else { return vec![f64::NAN; values.len()] };
    let mut errors = model.errors(&filled);
    for (error, value) in errors.iter_mut().zip(values) {
        *error = if value.is_nan() { f64::NAN } else { *error };
    }
    let own: Vec<f64> = errors[..fitted].iter().copied().filter(|error| !error.is_nan()).collect();
    let mean = own.iter().sum::<f64>() / own.len() as f64;
    let deviation =
        (own.iter().map(|error| (error - mean).powi(2)).sum::<f64>() / own.len() as f64).sqrt();
    errors[..fitted].fill(f64::NAN);
    errors.into_iter().map(|error| (error - mean) / deviation.max(1e-9)).collect()
}

/// The smallest divisor in place of a robust `spread`: 5 % of the plain deviation, 0.1 % of the
/// level, and more than zero. Without it, every blink of a still machine would be infinitely
/// anomalous, which makes every detector worse.
fn scale(spread: f64, deviation: f64, level: f64) -> f64 {
    spread.max(0.05 * deviation).max(1e-3 * level.abs()).max(1e-6)
}

/// The median of sorted values and the median of their distances from it.
fn median_and_mad(sorted: &[f64]) -> (f64, f64) {
    let half = sorted.len() / 2;
    let median =
        if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 };
    // Distances grow outwards from the median in both directions: merge them until half of them are
    // consumed.
    let (mut below, mut above) =
        (sorted[..half].iter().rev().peekable(), sorted[half..].iter().peekable());
    let mut nearest = || {
        let (down, up) =
            (below.peek().map(|low| median - **low), above.peek().map(|high| **high - median));
        match (down, up) {
            (Some(down), Some(up)) if down < up => below.next().map(|_| down),
            (Some(_), Some(up)) | (None, Some(up)) => above.next().map(|_| up),
            (down, None) => below.next().and(down),
        }
    };
    let (mut before, mut mad) = (0.0, 0.0);
    for _ in 0..=half {
        (before, mad) = (mad, nearest().unwrap_or(mad));
    }
    (median, if sorted.len() % 2 == 1 { mad } else { (before + mad) / 2.0 })
}

/// Decimal logarithm of the probability that a standard normal variable exceeds `z >= 0`, relative
/// error 1e-7 at any `z`. It uses the Chebyshev fit of erfc in Numerical Recipes, which gives the
/// logarithm directly.
fn log10_tail(z: f64) -> f64 {
    const FIT: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let z = z / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * z);
    let fit = FIT.iter().rev().fold(0.0, |sum, factor| sum * t + factor);
    (t.ln() - z * z + fit - std::f64::consts::LN_2) * std::f64::consts::LOG10_E
}

/// Checks that every detector passes, those of other modules included.
#[cfg(test)]
pub(super) mod checks {
    use super::{DAY, Peer};

    /// Days of a daily wave with a small repeating disturbance, and one spike.
    pub(in super::super) fn wave(days: usize, spike: Option<usize>) -> Vec<f64> {
        let value = |slot: usize| {
            30.0 + 10.0 * (slot as f64 * 0.0218).sin() + (slot * 7919 % 13) as f64 / 10.0
        };
        (0..days * DAY)
            .map(|slot| value(slot) + if spike == Some(slot) { 45.0 } else { 0.0 })
            .collect()
    }

    /// It scores every slot, those before a spike as without the spike. The highest score's slot.
    pub(in super::super) fn highest_without_looking_ahead(
        peer: Peer,
        days: usize,
        spike: usize,
    ) -> usize {
        let scores = |spike| (peer.score)(&wave(days, spike));
        let (with, without) = (scores(Some(spike)), scores(None));
        assert_eq!(with.len(), days * DAY, "{}", peer.name);
        let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        assert!(with.iter().zip(&without).take(spike).all(same), "{}", peer.name);
        (0..with.len())
            .filter(|slot| !with[*slot].is_nan())
            .max_by(|a, b| with[*a].total_cmp(&with[*b]))
            .unwrap()
    }

    /// A missing value has no score, and a still series has no infinite one.
    pub(in super::super) fn scores_what_there_is(peer: Peer, days: usize) {
        let mut values = wave(days, None);
        values[..50].fill(f64::NAN);
        values[2000..2050].fill(f64::NAN);
        values.iter_mut().step_by(5).for_each(|value| *value = f64::NAN);
        let scores = (peer.score)(&values);
        assert!(
            scores.iter().zip(&values).all(|(score, value)| !value.is_nan() || score.is_nan()),
            "{}",
            peer.name
        );
        assert!(scores[(days - 1) * DAY..].iter().any(|score| !score.is_nan()), "{}", peer.name);
        let nothing = (peer.score)(&vec![f64::NAN; days * DAY]);
        assert!(nothing.iter().all(|score| score.is_nan()), "{}", peer.name);
        let still = (peer.score)(&vec![5.0; days * DAY]);
        assert!(still.iter().all(|score| !score.is_infinite()), "{}", peer.name);
        assert!((peer.score)(&[]).is_empty());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn everyone_sees_a_spike_and_does_not_look_ahead() {
        let spike = 8 * DAY + 100;
        for peer in PEERS {
            let highest = checks::highest_without_looking_ahead(peer, 9, spike);
            let seen = spike..spike + super::super::linear::WINDOW;
            assert!(seen.contains(&highest), "{}: {highest}", peer.name);
        }
    }

    #[test]
    fn what_is_missing_has_no_score_and_what_is_still_has_a_finite_one() {
        PEERS.into_iter().for_each(|peer| checks::scores_what_there_is(peer, 9));
    }

    #[test]
    fn the_tail_is_that_of_the_normal_distribution() {
        for (z, tail) in
            [(0.0, 0.5f64), (1.0, 0.158_655_254), (3.0, 1.349_898_03e-3), (8.0, 6.220_960_57e-16)]
        {
            assert!((log10_tail(z) - tail.log10()).abs() < 1e-6, "{z}: {}", log10_tail(z));
        }
        assert!((-320_000.0..0.0).contains(&log10_tail(1000.0)));
    }

    #[test]
    fn the_trailing_window_is_the_day_before() {
        let mut values = vec![1.0; DAY];
        values.iter_mut().step_by(2).for_each(|value| *value = 3.0);
        values.push(10.0);
        assert_eq!(trailing_mean(&values)[DAY], 8.0);
        assert_eq!(trailing_median(&values)[DAY], 8.0 / 1.4826);
        assert!(trailing_median(&values)[DAY - 1].is_nan());
    }

    #[test]
    fn records_are_one_per_episode() {
        let none = f64::NEG_INFINITY;
        assert_eq!(records(&[1.0, 2.0, 2.0, 1.0, 0.5, 1.5], 2), [1.0, 2.0, none, none, none, 1.5]);
        assert_eq!(records(&[f64::NAN, 2.0, f64::NAN, 3.0], 5), [none, 2.0, none, 3.0]);
    }

    proptest! {
        #[test]
        fn records_are_those_that_nothing_before_reaches(
            scores in proptest::collection::vec(
                prop_oneof![Just(f64::NAN), (0u8..6).prop_map(f64::from)],
                0..60,
            ),
            refractory in 1usize..10,
        ) {
            let kept = records(&scores, refractory);
            for slot in 0..scores.len() {
                let before = &scores[slot.saturating_sub(refractory)..slot];
                let reached = before.iter().any(|score| *score >= scores[slot]);
                let record = !scores[slot].is_nan() && !reached;
                prop_assert_eq!(kept[slot], if record { scores[slot] } else { f64::NEG_INFINITY });
            }
        }

        #[test]
        fn the_mad_is_the_median_of_distances(
            mut values in proptest::collection::vec(-9.0f64..9.0, 1..40),
        ) {
            values.sort_unstable_by(f64::total_cmp);
            let (median, mad) = median_and_mad(&values);
            let mut distances: Vec<f64> =
                values.iter().map(|value| (value - median).abs()).collect();
            distances.sort_unstable_by(f64::total_cmp);
            let half = distances.len() / 2;
            let expected = match distances.len() % 2 {
                1 => distances[half],
                _ => (distances[half - 1] + distances[half]) / 2.0,
            };
            prop_assert!((mad - expected).abs() < 1e-12);
        }
    }
}
