//! The scorer keeps a memory and works in batches. This test defines its scores without either:
//! each score from the whole series. The two give the same scores, bit for bit.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it did not expect should stop there"
)]

mod common;

use std::collections::BTreeMap;

use common::{detector, eventful, followed, series};
use deepguard::baseline::forecast::Compressed;
use deepguard::baseline::level::Level;
use deepguard::baseline::{Baseline, calibrated_at};
use deepguard::channel::{CHANNELS, Channel, Errors, Measure};
use deepguard::compress::{compress, expand};
use deepguard::model::kernel::Kernel;
use deepguard::score::{Rule, Score};
use deepguard::series::{DAY, DAY_SECONDS, PERIOD, RESOLUTIONS};
use deepguard::window::{LOOKS, Windows};
use deepguard::{Detector, Scored, Series};

/// The facts about a datapoint that was scored.
struct Judged {
    errors: Errors,
    score: Score,
}

/// The compressed values of the last `slots` slots up to `slot`, oldest first.
fn newest(series: &Series, slot: usize, slots: usize) -> Vec<f64> {
    ((slot + 1).saturating_sub(slots)..=slot)
        .filter_map(|slot| series.get(slot).map(compress))
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Converts a compressed value to the root of its percent: the unit of errors above a forecast.
fn root(compressed: f64) -> f64 {
    let percent = expand(compressed);
    percent.abs().sqrt().copysign(percent)
}

/// The network's forecast, in the compressed unit. No CPU is more than 1e15 %, and asinh(1e15) is
/// under 36.
fn unscaled(level: &Level, said: f32) -> f64 {
    (level.centre + level.scale * f64::from(said).clamp(-20.0, 20.0).sinh()).clamp(-36.0, 36.0)
}

/// The scores of a series, each from all of it.
fn by_definition(detector: &Detector, series: &Series) -> Vec<Scored> {
    let card = detector.artifact().card();
    let kernel = Kernel::new(&detector.artifact().network(&deepguard::model::device()));
    let averaged = RESOLUTIONS.map(|over| series.averaged(over));
    let values = Compressed::of(series);
    let mut judged: BTreeMap<i64, Judged> = BTreeMap::new();
    let mut scored = Vec::new();
    let mut reported_until = 0;
    let mut baseline = None;
    for slot in (0..series.len()).filter(|&slot| series.get(slot).is_some()) {
        let (time, observed) = (series.time_of(slot), series.get(slot).expect("there is one"));
        let day = calibrated_at(time);
        if baseline.as_ref().is_none_or(|baseline: &Baseline| baseline.at != day) {
            baseline = detector.learn(series, day).ok();
        }
        if baseline.is_none() {
            baseline = Baseline::of_newborn(series, time, detector.clocks());
        }
        let Some(baseline) = &baseline else { continue };

        // The instance's own forecasts, moved half of the way to the network's.
        let own: [Option<f64>; 3] = std::array::from_fn(|horizon| {
            baseline.forecast(&values, series.start(), slot, horizon)
        });
        let looks: [Option<f64>; 3] = std::array::from_fn(|horizon| {
            let (resolution, hidden) = LOOKS[horizon];
            let expectation = &baseline.expectations[resolution];
            let mut windows = Windows::new(card.shape.window, 1);
            windows.push(&averaged[resolution], expectation, slot, RESOLUTIONS[resolution]);
            windows.hide(baseline, 0, horizon, own[horizon]);
            let newest_first = kernel.reconstruct(&windows, windows.time());
            let said: Vec<f64> = newest_first[..hidden]
                .iter()
                .map(|&said| unscaled(&expectation.level, said))
                .collect();
            (windows.visible_fraction(0, hidden) >= 0.5).then(|| mean(&said))
        });
        let forecast: [Option<f64>; 3] = std::array::from_fn(|horizon| {
            let own = own[horizon]?;
            Some(looks[horizon].map_or(own, |look| own + 0.5 * (look - own)))
        });

        let level = &baseline.expectations[0].level;
        let error = |channel: Channel| {
            let seen = newest(series, slot, channel.slots());
            if 2 * seen.len() < channel.slots() {
                return None;
            }
            let (value, expected, up) = match channel.measure() {
                Measure::Forecast { horizon, up } => (mean(&seen), forecast[horizon]?, up),
                // A machine alone has no group.
                Measure::Peers { .. } => return None,
                Measure::Record { up: true } => {
                    (seen.iter().copied().reduce(f64::min)?, level.centre, true)
                }
                Measure::Record { up: false } => {
                    (seen.iter().copied().reduce(f64::max)?, level.centre, false)
                }
            };
            let distance = if up { root(value) - root(expected) } else { expected - value };
            Some(distance.max(0.0))
        };
        let errors: Errors = Channel::ALL.map(error);

        let largest = |channel: usize, times: std::ops::Range<i64>| {
            let errors =
                judged.range(times).map(|(_, judged)| judged.errors[channel].unwrap_or(0.0));
            errors.reduce(f64::max)
        };
        let rule = Rule::new(card.threshold, baseline, card.growth.of_run(baseline.days()));
        let usual: [Option<f64>; CHANNELS] = std::array::from_fn(|index| {
            let days = (1..=14).rev().map(|back| day - back * DAY_SECONDS);
            let mut days: Vec<f64> =
                days.filter_map(|day| largest(index, day..day + DAY_SECONDS)).collect();
            let growth = card.growth.of(Channel::ALL[index], days.len());
            if days.is_empty() {
                days.extend(baseline.largest.map(|largest| largest[index]));
            }
            rule.usual(Channel::ALL[index], &days, growth)
        });
        let mut highest = (Score::default(), None);
        for (index, channel) in Channel::ALL.into_iter().enumerate() {
            if let (Some(error), Some(usual)) = (errors[index], usual[index]) {
                let score = rule.score(Channel::ALL[index], error, usual);
                highest = if score > highest.0 { (score, Some(channel)) } else { highest };
            }
        }
        let spiked = |index: usize| {
            let (Some(error), Some(usual)) = (errors[index], usual[index]) else { return false };
            rule.score(Channel::ALL[index], error, usual).is_anomalous()
        };
        let outside = spiked(0) || spiked(1);
        let mut severity = highest.0;
        let same = (0..=slot).rev().filter_map(|slot| Some((slot, series.get(slot)?)));
        let run: Vec<usize> =
            same.take_while(|(_, value)| *value == observed).map(|(slot, _)| slot).collect();
        if let Some(score) = rule.frozen(run.len()).filter(|_| run.last() >= Some(&reported_until))
        {
            highest = if score > highest.0 { (score, None) } else { highest };
            reported_until = slot;
        }
        if let Some(score) = rule.still_frozen(run.len()) {
            severity = if score > severity { score } else { severity };
        }
        let (score, channel) = highest;
        let before = |slots: usize| {
            judged.range(time - slots as i64 * PERIOD..time).map(|(_, judged)| judged.score)
        };
        let clearly = before(DAY / 2).all(|before| score.value() > 1.05 * before.value());
        let expected =
            forecast[0].map_or_else(|| baseline.expectations[0].nearest(time, observed), expand);
        let tolerance =
            |index: usize| rule.tolerance(Channel::ALL[index], usual[index].unwrap_or(0.0));
        let high = root(compress(expected)) + tolerance(0);
        scored.push(Scored {
            time,
            observed,
            reconstruction: looks[0].map(expand),
            expected,
            low: expand(compress(expected) - tolerance(1)),
            high: high * high.abs(),
            score,
            channel,
            surpasses: clearly && before(DAY).all(|before| score > before),
            usual: baseline.expectations[0].nearest(time, observed),
            severity,
            outside,
            finding: None,
            muted: false,
            phase: baseline.phase,
        });
        judged.insert(time, Judged { errors, score });
    }
    scored
}

#[test]
fn the_scorer_does_what_its_scores_are() {
    let (detector, datapoints) = (detector(), eventful(18));
    let (scored, expected) =
        (followed(&detector, &datapoints), by_definition(&detector, &series(&datapoints)));
    assert_eq!(scored.len(), expected.len());
    for (scored, expected) in scored.iter().zip(&expected) {
        assert_eq!(scored.finding.is_some(), scored.severity.is_anomalous());
        assert_eq!(
            &Scored { finding: None, ..*scored },
            expected,
            "in slot {}",
            scored.time / PERIOD
        );
    }
    for channel in Channel::ALL.map(Some).into_iter().chain([None]) {
        assert!(
            scored.iter().any(|scored| scored.channel == channel),
            "nothing is found by {channel:?}"
        );
    }
    assert!(scored.iter().any(Scored::is_alarm));
}
