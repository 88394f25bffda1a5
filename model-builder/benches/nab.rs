//! Measures how long it takes to read a file of NAB, and to turn it into a series. `make bench`.
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark that cannot begin should stop")]

use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use deepguard::Series;
use model_builder::build::nab;

/// A file like NAB's, so that the benchmark does not need NAB: two weeks, a row every five minutes.
fn file() -> String {
    let mut file = String::from("timestamp,value\n");
    for slot in 0..14 * 288 {
        let (day, minute) = (1 + slot / 288, slot % 288 * 5);
        let value = 40.0 + 30.0 * f64::from(slot % 97) / 97.0;
        writeln!(file, "2014-02-{day:02} {:02}:{:02}:00,{value:.3}", minute / 60, minute % 60)
            .expect("a String");
    }
    file
}

fn parsing(criterion: &mut Criterion) {
    let file = file();
    let (datapoints, rows) = nab::parse(file.as_bytes()).expect("a file of NAB");
    assert_eq!((datapoints.len(), rows), (14 * 288, 14 * 288));
    let mut group = criterion.benchmark_group("nab");
    group.throughput(Throughput::Elements(rows as u64));
    group.bench_function("parse a file", |bench| {
        bench.iter(|| nab::parse(black_box(file.as_bytes())))
    });
    group.bench_function("a series of it", |bench| {
        bench.iter(|| Series::from_datapoints(black_box(&datapoints).iter().copied()));
    });
}

criterion_group!(benches, parsing);
criterion_main!(benches);
