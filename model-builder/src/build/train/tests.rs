use deepguard::series::{DAY, PERIOD};

use super::growth::{ENOUGH_REAL, GROWN, Ratios, growth};
use super::*;

/// Two generated machines, and one that looks like a file, with `days` days of history.
fn sources(days: usize) -> Vec<Source> {
    let mut sources = Source::generated(3).unwrap();
    for source in &mut sources {
        source.series = source.series.slice(0..days * DAY);
        source.windows = 150;
    }
    (sources[0].name, sources[0].sha256) = ("realAWSCloudwatch/a.csv".into(), "00".into());
    sources
}

#[test]
fn growth_is_what_most_machines_stay_under() {
    let mut ratios = Ratios::default();
    // Of eleven machines, which grow 1 to 11 times; one that shrank has no factor under 1.
    ratios.forecasts[0] = (1..=11).rev().map(f64::from).collect();
    ratios.records[3] = vec![0.5];
    (ratios.runs[0], ratios.runs[1]) = (vec![2.0], vec![5.0]);
    let growth = ratios.growth();
    assert_eq!((growth.forecasts[0], growth.forecasts[1]), (7.5, 1.0));
    assert_eq!(growth.records, vec![1.0; GROWN]);
    assert_eq!(growth.runs[..3], [5.0, 5.0, 1.0], "a first day is no tamer than a second");
    assert_eq!(Ratios::default().growth(), Growth::default());
}

#[test]
fn growth_is_measured_on_real_machines_where_there_are_enough() {
    let detector = Detector::without_network(crate::testing::artifact());
    let wild = |slot: usize| {
        if slot > 5 * DAY && slot % 997 < 3 { 99.0 } else { (slot * 7919 % 13) as f64 }
    };
    let tame = |slot: usize| (slot * 7919 % 13) as f64;
    let source = |name: &str, value: &dyn Fn(usize) -> f64| {
        let point = |slot: usize| deepguard::series::Datapoint {
            time: slot as i64 * PERIOD,
            value: value(slot),
        };
        let series = Series::from_datapoints((0..20 * DAY).map(point)).unwrap().0;
        let sha256 = if name == "generated" { String::new() } else { "00".into() };
        Source { name: name.into(), sha256, series, windows: 1, is_cpu: true }
    };
    let largest = |real: usize| {
        let generated = (0..8).map(|_| source("generated", &tame));
        let sources: Vec<Source> =
            generated.chain((0..real).map(|_| source("real", &wild))).collect();
        growth(&sources, &detector).forecasts[2]
    };
    assert!(largest(ENOUGH_REAL) > 1.5, "{}", largest(ENOUGH_REAL));
    assert!(largest(0) < 1.2, "{}", largest(0));
}

fn options(seed: u64, epochs: usize) -> Options {
    let shape = Dimensions { window: 8, hidden: 4, bottleneck: 2 };
    Options {
        seed,
        epochs,
        batch: 64,
        learning_rate: 1e-2,
        threshold: 1.05,
        shape,
        date: "2026-01-31".into(),
        threads: NonZeroUsize::MIN,
    }
}

fn trained(seed: u64, epochs: usize) -> Artifact {
    train(&sources(4), &options(seed, epochs), &AtomicBool::new(false), |_| ()).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let bytes = |seed| trained(seed, 1).to_bytes().unwrap();
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

#[test]
fn it_learns_and_records_what_from() {
    let (short, long) = (trained(1, 1), trained(1, 8));
    let (before, after) = (short.card().training.loss, long.card().training.loss);
    assert!(after < before - 0.1, "loss {before} after one epoch, {after} after eight");
    let Training { files, generated, windows, seed, epochs, .. } = &long.card().training;
    assert_eq!((*generated, *windows, *seed, *epochs), (2, 3 * 150 * LOOKS.len(), 1, 8));
    let expected = TrainedOn {
        name: "realAWSCloudwatch/a.csv".into(),
        sha256: "00".into(),
        datapoints: 4 * DAY,
    };
    assert_eq!(*files, [expected]);
    assert_eq!(long.card().threshold, 1.05);
}

#[test]
fn what_is_lent_is_what_most_days_stay_under() {
    let artifact = trained(1, 2);
    let detector = Detector::new(artifact.clone(), &deepguard::model::device());
    let mut usual = [const { Vec::new() }; CHANNELS];
    for source in sources(4) {
        let mut watch = Watch::default();
        detector.follow(&source.series, &mut watch, source.series.end());
        let level = watch.baseline.unwrap().expectations[0].level;
        for (index, usual) in usual.iter_mut().enumerate() {
            let scale = level.scale_of(Channel::ALL[index].is_up());
            usual.extend(watch.memory.largest(index).map(|largest| largest / scale));
        }
    }
    for (lent, usual) in artifact.card().borrowed_usual.iter().zip(usual) {
        // Three sources of four days. The first has no score, and the last is not over.
        assert_eq!(usual.len(), 3 * 2);
        let under = usual.iter().filter(|usual| *usual <= lent).count();
        assert_eq!(under, 1 + (5.0 * BORROWED_QUANTILE) as usize, "{lent} of {usual:?}");
    }
}

#[test]
fn it_goes_on_from_the_weights_it_is_given() {
    let (start, plain) = (trained(1, 8), trained(1, 1));
    let gentle = Options { learning_rate: 1e-4, shape: Dimensions::DEFAULT, ..options(2, 1) };
    let tuned =
        train_from(Some(&start), &sources(4), &gentle, &AtomicBool::new(false), |_| ()).unwrap();
    assert_eq!(tuned.card().shape, start.card().shape, "the shape is the artifact's");
    let loss = |artifact: &Artifact| artifact.card().training.loss;
    assert!((loss(&tuned) - loss(&start)).abs() < 0.1, "{} after {}", loss(&tuned), loss(&start));
    assert!(loss(&tuned) < loss(&plain) - 0.1, "{} is a loss of one epoch", loss(&plain));
}

#[test]
fn it_stops_when_asked_to() {
    let stop = AtomicBool::new(false);
    let mut batches = 0;
    let error = train(&sources(4), &options(1, 50), &stop, |progress| {
        batches = progress.done;
        stop.store(progress.done == 3, Ordering::Relaxed);
    });
    assert!(format!("{:#}", error.unwrap_err()).contains("interrupted after 3 of"));
    assert_eq!(batches, 3);
}

#[test]
fn nothing_to_learn_from_is_told_before_training() {
    for sources in [sources(1), vec![]] {
        let mut batches = 0;
        let trained = train(&sources, &options(1, 1), &AtomicBool::new(false), |_| batches += 1);
        let error = format!("{:#}", trained.unwrap_err());
        assert!(error.contains("no windows to train on: give more or longer files"), "{error}");
        assert_eq!(batches, 0);
    }
}

#[test]
fn what_cannot_be_trained_is_told_before_training() {
    let wrong: [fn(&mut Options); 7] = [
        |options| options.epochs = 0,
        |options| options.batch = 0,
        |options| options.shape.window = 1,
        |options| options.shape.hidden = 0,
        |options| options.shape.bottleneck = 1001,
        |options| options.threshold = f64::NAN,
        |options| options.threshold = 0.0,
    ];
    let sources = sources(4);
    for (index, spoil) in wrong.into_iter().enumerate() {
        let mut options = options(1, 1);
        spoil(&mut options);
        let mut batches = 0;
        let trained = train(&sources, &options, &AtomicBool::new(false), |_| batches += 1);
        assert!(trained.is_err() && batches == 0, "case {index}: {batches} batches");
    }
}

#[test]
fn windows_are_of_every_horizon_and_of_days_with_a_baseline() {
    let Source { series, .. } = &sources(3)[1];
    let mut windows = Windows::new(8, 200);
    sample(series, 100, &mut ChaCha8Rng::seed_from_u64(1), &mut windows);
    assert_eq!(windows.len(), 100 * LOOKS.len());
    let visible = (0..windows.len()).map(|index| windows.visible_fraction(index, 6));
    assert!(
        visible.min_by(f64::total_cmp) > Some(0.99),
        "none reaches into a time before the series"
    );
}

#[test]
fn what_is_forecast_is_hidden_and_no_other_slot_is_always_seen() {
    let Source { series, .. } = &sources(4)[1];
    let mut windows = Windows::new(8, 4000);
    sample(series, 2000, &mut ChaCha8Rng::seed_from_u64(1), &mut windows);
    let mut seen = disguised(&windows, &mut ChaCha8Rng::seed_from_u64(1));
    let mut hidden = [0.0; 8];
    for [_, visible] in seen.iter_mut() {
        visible
            .iter()
            .zip(&mut hidden)
            .for_each(|(&visible, hidden)| *hidden += f64::from(1.0 - visible));
    }
    // One look in three hides the newest slot, two hide the newest six.
    for (slot, thirds) in [0.0, 0.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.0].into_iter().enumerate() {
        let among_newest = thirds / 3.0;
        let expected = among_newest + (1.0 - among_newest) * HIDDEN;
        let found = hidden[slot] / windows.len() as f64;
        assert!(
            (found - expected).abs() < 0.03,
            "slot {slot} is hidden in {found:.3}, not {expected:.3}"
        );
    }
}

#[test]
fn the_learning_rate_rises_and_falls() {
    let rates: Vec<f32> = (0..100).map(|done| one_cycle(done, 100, 1.0)).collect();
    assert!(rates[..30].is_sorted() && rates[30..].iter().rev().is_sorted());
    assert!((rates[0] - 0.04).abs() < 1e-6 && (rates[30] - 1.0).abs() < 1e-6 && rates[99] < 0.01);
}
