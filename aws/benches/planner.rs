//! How long it takes to divide a fleet into the fewest calls, and to work out when it is muted.
//! `make bench`.
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark that cannot begin should stop")]

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use deepguard_aws::cloudwatch::plan;
use deepguard_aws::ids::TargetId;
use deepguard_aws::mute::Mutes;
use deepguard_aws::settings_file::Content;
use deepguard_aws::tags::Tags;

/// Where the times to read end: some time in 2026, on a slot.
const END: i64 = 1_795_000_200;

/// A fleet of which one instance in a hundred is new, and is read for 30 days; one in ten has
/// missed some runs.
fn fleet(instances: usize) -> Vec<(TargetId, i64)> {
    let since = |number: usize| match number {
        number if number.is_multiple_of(100) => 30 * 86_400,
        number if number.is_multiple_of(10) => 6 * 3600,
        _ => 3 * 3600 + 300,
    };
    let instance = |number: usize| format!("i-{number:017x}").parse().expect("an instance id");
    (0..instances).map(|number| (instance(number), END - since(number))).collect()
}

fn planning(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("planner");
    for instances in [1000, 10_000] {
        let fleet = fleet(instances);
        let read: usize =
            plan::batches(fleet.clone(), END).iter().map(|batch| batch.instances.len()).sum();
        assert_eq!(read, instances);
        group.throughput(Throughput::Elements(instances as u64));
        group.bench_function(BenchmarkId::new("reads", instances), |bench| {
            bench.iter_batched(
                || fleet.clone(),
                |fleet| plan::batches(fleet, END),
                BatchSize::LargeInput,
            );
        });
    }
}

/// Twenty daily mutes of the whole fleet, over the 32 days that a run can look at: worked out once
/// a run, and beside it once an instance.
fn muting(criterion: &mut Criterion) {
    const INSTANCES: usize = 10_000;
    let mute = |number: usize| {
        format!(
            r#"{{"all": true, "every": "day", "between": ["02:{number:02}", "03:{number:02}"],
                 "zone": "Europe/Berlin"}}"#
        )
    };
    let file = format!(r#"{{"mutes": [{}]}}"#, (0..20).map(mute).collect::<Vec<_>>().join(","));
    let uri = "s3://bucket/settings/mutes.json".parse().expect("an address");
    let mutes = Mutes::parse(&uri, file.as_bytes()).expect("mutes");
    let fleet = fleet(INSTANCES);
    let tags = Tags::new();
    let times = || END - 32 * 86_400..END;
    let mut group = criterion.benchmark_group("mutes");
    group.sample_size(10).throughput(Throughput::Elements(INSTANCES as u64));
    group.bench_function(BenchmarkId::new("once a run", INSTANCES), |bench| {
        bench.iter(|| {
            let during = mutes.during(times());
            fleet.iter().filter(|(instance, _)| during.of(instance, &tags).contains(END)).count()
        });
    });
    group.bench_function(BenchmarkId::new("once an instance", INSTANCES), |bench| {
        let muted = |(instance, _): &&(TargetId, i64)| {
            mutes.during(times()).of(instance, &tags).contains(END)
        };
        bench.iter(|| fleet.iter().filter(muted).count());
    });
}

criterion_group!(benches, planning, muting);
criterion_main!(benches);
