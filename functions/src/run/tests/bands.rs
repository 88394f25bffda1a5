//! The bands of a run: which datapoints have theirs published, each one once.

use super::tell::{Telling, follow, mended, plain};
use super::*;

const BAND: [Metric; 3] = [Metric::ExpectedCPU, Metric::ExpectedLow, Metric::ExpectedHigh];
/// The end of the episode of [`mended`], and the run that sees half an hour after it.
const CALM: &str = "2026-01-15T15:50:00Z";

/// The times, in slots, at which an instance has all of its band.
fn banded(scores: &Scores, number: usize) -> Vec<i64> {
    let of = |metric: Metric| {
        let times =
            scores.keys().filter(|(of, name, _)| *of == instance(number) && *name == metric);
        times.map(|(_, _, time)| time / PERIOD).collect::<Vec<_>>()
    };
    let [expected, low, high] = BAND.map(of);
    assert_eq!((&expected, &expected), (&low, &high));
    expected
}

/// Runs every hour, and every five minutes around the fault.
async fn afternoon(process: &mut Telling) {
    for hour in 6..14 {
        let time = at(&format!("2026-01-15T{hour:02}:32:00Z"));
        process.run(&json!({}), time).await.unwrap();
    }
    follow(process, "2026-01-15T14:32:00Z", "2026-01-15T16:52:00Z").await;
}

#[tokio::test]
async fn an_episode_has_its_band_and_that_of_the_six_hours_before_once() {
    let world = World::new();
    mended(&world);
    let mut process = world.telling(plain());
    afternoon(&mut process).await;
    let scores = world.scores();
    let (told, over) = (seconds(FAULT) / PERIOD, seconds(CALM) / PERIOD + 5);
    assert_eq!(banded(&scores, FAULTY), (told - 72..=over).collect::<Vec<_>>());
    for number in (0..5).filter(|&number| number != FAULTY) {
        assert_eq!(banded(&scores, number), [] as [i64; 0], "it has no episode");
    }
    let at_fault = |metric| scores[&(instance(FAULTY), metric, seconds(FAULT))];
    let [expected, low, high] = BAND.map(at_fault);
    assert!(low <= expected && expected <= high && high < 97.0, "{low} {expected} {high}");
    let alerts = world.metrics.told.take();
    assert!(alerts[0].text.contains("~'ExpectedHigh~"), "{}", alerts[0].text);
    let detail: serde_json::Value = serde_json::from_str(&alerts[0].detail).unwrap();
    let told = detail["band"][1].as_f64().unwrap();
    assert!((told - high).abs() < 0.1, "the message has the same: {told} and {high}");
}

#[tokio::test]
async fn the_band_is_the_same_whatever_the_runs_and_processes() {
    let world = World::new();
    mended(&world);
    let mut process = world.telling(plain());
    afternoon(&mut process).await;
    let steadily = world.scores();
    let apart = World { bucket: Rc::new(Bucket::default()), ..world.clone() };
    // A process for each run, one of which publishes nothing of what it decided.
    for time in ["06:32", "09:32", "12:32", "14:32", "14:57", "15:32", "16:52"] {
        apart.metrics.takes.set((time == "14:57").then_some(0));
        let time = at(&format!("2026-01-15T{time}:00Z"));
        drop(apart.telling(plain()).run(&json!({}), time).await);
    }
    let rarely = apart.scores();
    assert_eq!(banded(&rarely, FAULTY), banded(&steadily, FAULTY));
    for ((instance, metric, time), value) in &rarely {
        if BAND.contains(metric) {
            assert_eq!(steadily[&(instance.clone(), *metric, *time)], *value);
        }
    }
}

#[tokio::test]
async fn always_and_never_are_what_they_say() {
    for (bands, each) in [(BandMode::Always, true), (BandMode::Off, false)] {
        let world = World::new();
        let mut process = world.telling(Settings { bands, ..plain() });
        process.run(&json!({}), at(NOW)).await.unwrap();
        let scores = world.scores();
        for number in 0..5 {
            let scored = scores.keys().filter(|(of, metric, _)| {
                *of == instance(number) && *metric == Metric::AnomalyScore
            });
            let expected = if each { scored.count() } else { 0 };
            assert_eq!(banded(&scores, number).len(), expected);
        }
        let alert = &world.metrics.told.take()[0];
        assert_eq!(alert.text.contains("ExpectedLow"), each, "the link shows what there is");
    }
}
