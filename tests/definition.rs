//! The scorer keeps a memory and goes through batches. Here is what its scores are, written down without either: each one from
//! the whole series. The two give the same, bit for bit.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that meets what it did not expect should stop there")]

mod common;

use std::collections::BTreeMap;

use common::{detector, eventful, followed, series};
use deepguard::baseline::{Baseline, calibrated_at};
use deepguard::model::kernel::Kernel;
use deepguard::residual::{CHANNELS, Channel, Errors, Residual};
use deepguard::score::{Rule, Score};
use deepguard::series::{DAY, DAY_SECONDS, PERIOD, RESOLUTIONS};
use deepguard::window::Windows;
use deepguard::{Detector, Phase, Scored, Series};

/// What is known of a datapoint that was scored.
struct Judged {
    errors: Errors,
    /// How far its mean over 20 minutes is off what is usual at the hour.
    distance: f64,
    score: Score,
}

/// The scores of a series, each from all of it.
fn by_definition(detector: &Detector, series: &Series) -> Vec<Scored> {
    let card = detector.artifact().card();
    let kernel = Kernel::new(&detector.artifact().network(&deepguard::model::device()));
    let averaged = RESOLUTIONS.map(|over| series.averaged(over));
    let mut judged: BTreeMap<i64, Judged> = BTreeMap::new();
    let mut scored = Vec::new();
    let mut reported_until = 0;
    let mut baseline = None;
    for slot in (0..series.len()).filter(|&slot| series.get(slot).is_some()) {
        let (time, observed) = (series.time_of(slot), series.get(slot).expect("there is one"));
        let day = calibrated_at(time);
        if baseline.as_ref().is_none_or(|baseline: &Baseline| baseline.at != day) {
            baseline = Baseline::learn(series, day).ok();
        }
        let Some(baseline) = &baseline else { continue };

        let looks = [0, 1].map(|resolution| {
            let expectation = &baseline.expectations[resolution];
            let mut windows = Windows::new(card.shape.window, 1);
            windows.push(&averaged[resolution], expectation, slot, RESOLUTIONS[resolution]);
            windows.hide_newest();
            let newest_first = kernel.reconstruct(&windows);
            let reconstruction = expectation.level.unscaled(f64::from(newest_first[0]));
            (windows.visible_fraction(0) >= 0.5).then(|| (reconstruction, windows.error(0, &newest_first)))
        });
        let reconstruction = looks[0].map(|(reconstruction, _)| reconstruction);
        let residual = Residual::of(observed, time, reconstruction, &baseline.expectations[0]);

        let average = averaged[1].get(slot).expect("the newest of it is there");
        let distance = baseline.expectations[1].distance(time, average);
        let before = judged.range(time - 71 * PERIOD..time).map(|(_, judged)| judged.distance);
        let six_hours: Vec<f64> = before.chain([distance]).collect();
        let habit = (six_hours.len() >= 36).then(|| six_hours.iter().sum::<f64>() / six_hours.len() as f64);
        let errors: Errors =
            [Some(residual.size), looks[0].map(|(_, window)| window), looks[1].map(|(_, window)| window), habit];

        let largest = |channel: usize, times: std::ops::Range<i64>| {
            let errors = judged.range(times).map(|(_, judged)| judged.errors[channel].unwrap_or(0.0));
            errors.reduce(f64::max)
        };
        let rule = Rule::new(card.threshold, baseline.deviation(), baseline.longest_run);
        let before: [f64; CHANNELS] = std::array::from_fn(|index| {
            let channel = Channel::ALL[index];
            let days = (1..=14).rev().map(|back| day - back * DAY_SECONDS);
            let own = rule.usual(channel, days.filter_map(|day| largest(index, day..day + DAY_SECONDS)));
            let lent = card.borrowed_usual[index] * channel.unit(baseline.scale(channel));
            if baseline.phase == Phase::Borrowed { own.max(lent) } else { own }
        });
        let usual: [f64; CHANNELS] =
            std::array::from_fn(|index| before[index].max(largest(index, day..time).unwrap_or(0.0)));
        let of_channels = |usual: &[f64; CHANNELS]| {
            let mut highest = (Score::default(), None);
            for (index, channel) in Channel::ALL.into_iter().enumerate() {
                if let Some(error) = errors[index] {
                    let score = rule.score(channel, error, usual[index]);
                    highest = if score > highest.0 { (score, Some(channel)) } else { highest };
                }
            }
            highest
        };
        let mut highest = of_channels(&usual);
        let mut severity = of_channels(&before).0;
        let values = (0..=slot).rev().filter_map(|slot| Some((slot, series.get(slot)?)));
        let run: Vec<usize> = values.take_while(|(_, value)| *value == observed).map(|(slot, _)| slot).collect();
        if let Some(score) = rule.frozen(run.len()).filter(|_| run.last() >= Some(&reported_until)) {
            highest = if score > highest.0 { (score, None) } else { highest };
            reported_until = slot;
        }
        if let Some(score) = rule.still_frozen(run.len()) {
            severity = if score > severity { score } else { severity };
        }
        let (score, channel) = highest;
        let mut half_a_day = judged.range(time - DAY as i64 / 2 * PERIOD..time);
        scored.push(Scored {
            time,
            observed,
            reconstruction,
            expected: residual.expected,
            explanation: residual.explanation,
            tolerance: rule.tolerance(Channel::Datapoint, usual[0]),
            score,
            channel,
            surpasses: half_a_day.all(|(_, before)| score > before.score),
            usual: baseline.expectations[0].nearest(time, observed),
            severity,
            outside: rule.score(Channel::Datapoint, residual.size, before[0]).is_anomalous(),
            finding: None,
            muted: false,
            phase: baseline.phase,
        });
        judged.insert(time, Judged { errors, distance, score });
    }
    scored
}

#[test]
fn the_scorer_does_what_its_scores_are() {
    let (detector, datapoints) = (detector(), eventful(18));
    let (scored, expected) = (followed(&detector, &datapoints), by_definition(&detector, &series(&datapoints)));
    assert_eq!(scored.len(), expected.len());
    for (scored, expected) in scored.iter().zip(&expected) {
        assert_eq!(scored.finding.is_some(), scored.severity.is_anomalous());
        assert_eq!(&Scored { finding: None, ..*scored }, expected, "in slot {}", scored.time / PERIOD);
    }
    for channel in Channel::ALL.map(Some).into_iter().chain([None]) {
        assert!(scored.iter().any(|scored| scored.channel == channel), "nothing is found by {channel:?}");
    }
}
