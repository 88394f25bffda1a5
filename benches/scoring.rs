//! Measures how long it takes to reconstruct, to score an instance and a fleet, to calibrate, and
//! to load an artifact.
//!
//! `make bench`; one group alone: `make bench ONLY=kernel`.
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark that cannot begin should stop")]

use std::hint::black_box;
use std::num::NonZeroUsize;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use deepguard::baseline::{Baseline, calibrated_at};
use deepguard::model::device;
use deepguard::model::kernel::{Kernel, Path};
use deepguard::series::{DAY, Datapoint, PERIOD};
use deepguard::track::Known;
use deepguard::window::Windows;
use deepguard::{Artifact, Detector, Series, Track};

const ARTIFACT: &[u8] = include_bytes!("../models/default.safetensors");

fn artifact() -> Artifact {
    Artifact::from_bytes(ARTIFACT).expect("sound")
}

/// Days of a machine with a daily habit and some noise, from the beginning of a day on.
fn machine(number: usize, slots: usize) -> Series {
    let mut random = 88_172_645_463_325_252u64 + number as u64;
    let points = (0..slots).map(|slot| {
        // Marsaglia's xorshift.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let noise = (random >> 40) as f64 / (1u64 << 24) as f64;
        let habit = 30.0 + 20.0 * (slot as f64 * std::f64::consts::TAU / DAY as f64).sin();
        Datapoint { time: slot as i64 * PERIOD, value: habit + 5.0 * noise }
    });
    Series::from_datapoints(points).expect("usable").0
}

fn windows(count: usize) -> Windows {
    let series = machine(1, 20 * DAY);
    let baseline = Baseline::learn(&series, series.end()).expect("enough");
    let mut windows = Windows::new(32, count);
    for index in 0..count {
        windows.push(&series, &baseline.expectations[0], 10 * DAY + index % (10 * DAY), 1);
    }
    windows.hide_newest(1);
    windows
}

fn kernel(criterion: &mut Criterion) {
    let network = artifact().network(&device());
    let mut group = criterion.benchmark_group("kernel");
    for batch in [1, 2, 3, 16, 256, 1024] {
        let windows = windows(batch);
        group.throughput(Throughput::Elements(batch as u64));
        for path in Path::here().filter(|path| *path != Path::Portable) {
            let kernel = Kernel::new(&network).by(path);
            group.bench_function(BenchmarkId::new(format!("{path:?}"), batch), |bench| {
                bench.iter(|| kernel.reconstruct(black_box(&windows), 32));
            });
        }
        let newest = Kernel::new(&network);
        group.bench_function(BenchmarkId::new("the newest 6 alone", batch), |bench| {
            bench.iter(|| newest.reconstruct(black_box(&windows), 6));
        });
        let two = Kernel::new(&network).with_threads(NonZeroUsize::new(2).expect("two"));
        group.bench_function(BenchmarkId::new("two threads", batch), |bench| {
            bench.iter(|| two.reconstruct(black_box(&windows), 32));
        });
        group.bench_function(BenchmarkId::new("Burn", batch), |bench| {
            bench.iter(|| network.reconstruct(black_box(&windows), 32, &device()));
        });
    }
}

fn scoring(criterion: &mut Criterion) {
    let detector = Detector::new(artifact(), &device());
    let mut group = criterion.benchmark_group("scoring");
    // Three quarters of a day after its newest midnight, so that the next datapoint needs no other
    // baseline.
    let slots = 40 * DAY + DAY * 3 / 4;
    let begun = |number| {
        let series = machine(number, slots + 1);
        let begun = detector.start(&series.slice(0..slots), slots as i64 * PERIOD, |_| false);
        let day = calibrated_at(slots as i64 * PERIOD);
        let baseline = begun.baselines.get(&day).cloned().flatten().expect("enough");
        let recent = series.slice(slots + 1 - 3 * DAY..slots + 1);
        (begun.track, baseline, recent)
    };
    let take = |(track, baseline, recent): &(Track, Baseline, Series)| {
        let mut track = track.clone();
        detector.advance(&mut track, recent, i64::MAX, |_| Known::Baseline(baseline), |_| false)
    };
    let one = begun(1);
    assert_eq!(take(&one).scored.len(), 1);
    group.bench_function("one new datapoint", |bench| bench.iter(|| take(black_box(&one))));

    let few: Vec<_> = (0..20).map(begun).collect();
    let fleet: Vec<_> = (0..1000).map(|index| few[index % few.len()].clone()).collect();
    group.throughput(Throughput::Elements(fleet.len() as u64));
    group.bench_function("a new datapoint of each of 1,000 instances", |bench| {
        bench.iter(|| fleet.iter().map(|one| take(one).scored.len()).sum::<usize>());
    });
    group.throughput(Throughput::Elements(1));
    let series = machine(1, 31 * DAY);
    group.sample_size(20);
    group.bench_function("16 days of an instance of which nothing is known", |bench| {
        bench.iter(|| detector.start(black_box(&series), series.end(), |_| false));
    });
    group.bench_function("the baseline of a day", |bench| {
        bench.iter(|| detector.calibrate(black_box(&series), series.end()));
    });
}

fn loading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("loading");
    group.bench_function("an artifact, checked", |bench| {
        bench.iter(|| Artifact::from_bytes(black_box(ARTIFACT)))
    });
    group.bench_function("an artifact, ready to score", |bench| {
        bench.iter_batched(
            artifact,
            |artifact| Detector::new(artifact, &device()),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, kernel, scoring, loading);
criterion_main!(benches);
