//! Plans calls: GetMetricData for the datapoints to read, PutMetricData for the datums to publish.

use deepguard::series::PERIOD;

use super::limits::{BYTES_PER_PUT, DATAPOINTS_PER_READ, DATUMS_PER_PUT, QUERIES_PER_READ};
use crate::ids::TargetId;
use crate::metric::Datum;
use crate::ports::{Batch, slots};

/// Plans calls that read each instance from its time on (seconds since 1970, aligned) up to `end`.
///
/// A call is as full as [`QUERIES_PER_READ`] and [`DATAPOINTS_PER_READ`] allow. Instances that need
/// about the same stretch share a call, which reads the longest of their stretches. A query costs
/// the same however many datapoints it has. The shortest stretches come first, so that followed
/// instances do not wait for new ones. Among equals the order is that of `wanted`.
pub fn batches(wanted: impl IntoIterator<Item = (TargetId, i64)>, end: i64) -> Vec<Batch> {
    let mut wanted: Vec<(TargetId, i64)> = wanted.into_iter().collect();
    wanted.sort_by_key(|(_, start)| std::cmp::Reverse(*start));
    let mut batches: Vec<Batch> = Vec::new();
    for (instance, start) in wanted {
        let start = start.min(end - PERIOD);
        match batches.last_mut() {
            Some(batch)
                if batch.instances.len() < QUERIES_PER_READ
                    && slots(&(start..end)) * (batch.instances.len() + 1)
                        <= DATAPOINTS_PER_READ =>
            {
                batch.times.start = start;
                batch.instances.push(instance);
            }
            _ => batches.push(Batch { times: start..end, instances: vec![instance] }),
        }
    }
    batches
}

/// Divides datums into PutMetricData calls, each as full as [`DATUMS_PER_PUT`] and
/// [`BYTES_PER_PUT`] allow, in their order.
pub fn puts(datums: &[Datum]) -> impl Iterator<Item = &[Datum]> {
    let mut rest = datums;
    std::iter::from_fn(move || {
        let mut bytes = PUT_OVERHEAD;
        let fits = |datum: &&Datum| {
            bytes += datum_bytes(datum);
            bytes <= BYTES_PER_PUT
        };
        let count = rest.iter().take(DATUMS_PER_PUT).take_while(fits).count();
        let (put, after) = rest.split_at(count);
        rest = after;
        (!put.is_empty()).then_some(put)
    })
}

/// An upper bound for the bytes of a call beside its datums: the longest namespace, and the names
/// of its fields.
const PUT_OVERHEAD: usize = 500;

/// An upper bound for the bytes of a datum in a call: its texts and numbers, and the names and
/// marks of its fields.
pub fn datum_bytes(datum: &Datum) -> usize {
    let dimension = |(name, value): (&str, &str)| 30 + name.len() + value.len();
    120 + datum.metric.name().len() + datum.dimension().map_or(0, dimension)
}

#[cfg(test)]
mod tests {
    use deepguard::series::DAY_SECONDS;
    use proptest::prelude::*;

    use super::*;
    use crate::metric::{Metric, Of};
    use crate::testing::instance;

    fn plan(instances: usize, start: i64, end: i64) -> Vec<Batch> {
        batches((0..instances).map(|number| (instance(number), start)), end)
    }

    #[test]
    fn a_call_keeps_to_both_limits() {
        for (slots, most) in [
            (1, 500),
            (201, 500),
            (202, 499),
            (321, 314),
            (4064, 24),
            (4352, 23),
            (100_800, 1),
            (200_000, 1),
        ] {
            let plan = plan(2 * most + 1, 0, slots * PERIOD);
            let sizes: Vec<usize> = plan.iter().map(|batch| batch.instances.len()).collect();
            assert_eq!(sizes, [most, most, 1], "{slots} slots");
            assert!(plan.iter().all(|batch| batch.times == (0..slots * PERIOD)));
        }
    }

    #[test]
    fn short_stretches_come_first_and_nothing_wants_no_call() {
        let long = (0..30).map(|number| (instance(number), 0));
        let short = (30..700).map(|number| (instance(number), 20 * DAY_SECONDS - 11_100));
        let plan = batches(long.chain(short), 20 * DAY_SECONDS);
        let sizes: Vec<usize> = plan.iter().map(|batch| batch.instances.len()).collect();
        assert_eq!(sizes, [500, 170, 17, 13]);
        assert_eq!(plan[3].instances[12], instance(29), "in the order in which they were given");
        assert_eq!(batches([], 9000), []);
    }

    #[test]
    fn a_stretch_that_is_over_is_one_slot() {
        assert_eq!(batches([(instance(1), 9000)], 9000)[0].times, 8700..9000);
    }

    proptest! {
        #[test]
        fn every_instance_is_read_once_and_far_enough_back_in_full_calls(
            starts in prop::collection::vec(0i64..8000, 0..3000),
            equal in any::<bool>(),
        ) {
            let end = 8640 * PERIOD;
            let start = |slot: i64| if equal { starts[0] * PERIOD } else { slot * PERIOD };
            let wanted: Vec<(TargetId, i64)> = starts
                .iter()
                .enumerate()
                .map(|(number, &slot)| (instance(number), start(slot)))
                .collect();
            let plan = batches(wanted.clone(), end);
            let mut read = std::collections::BTreeMap::new();
            for batch in &plan {
                prop_assert!(batch.instances.len() <= QUERIES_PER_READ);
                prop_assert!(batch.datapoints() <= DATAPOINTS_PER_READ);
                prop_assert!(batch.times.start % PERIOD == 0 && batch.times.start < end);
                prop_assert_eq!(batch.times.end, end);
                for instance in &batch.instances {
                    prop_assert_eq!(read.insert(instance.clone(), batch.times.start), None);
                }
            }
            prop_assert_eq!(read.len(), wanted.len());
            for (instance, start) in &wanted {
                prop_assert!(read[instance] <= *start);
            }
            // No call could have been left out: each call and the first instance of the next one
            // exceed a limit.
            for pair in plan.windows(2) {
                let one_more = pair[0].instances.len() + 1;
                let next = &pair[1].instances[0];
                let (_, start) = wanted.iter().find(|(instance, _)| instance == next).unwrap();
                let slots = slots(&(*start..end));
                prop_assert!(one_more > QUERIES_PER_READ || one_more * slots > DATAPOINTS_PER_READ);
            }
        }

        #[test]
        fn puts_lose_nothing_and_keep_to_both_limits(count in 0usize..4000) {
            let datum = |number| Datum {
                metric: Metric::ReconstructionError,
                of: Of::Instance(instance(number)),
                time: 0,
                value: 1.0,
            };
            let datums: Vec<Datum> = (0..count).map(datum).collect();
            let put: Vec<&[Datum]> = puts(&datums).collect();
            prop_assert_eq!(put.concat(), datums.clone());
            prop_assert_eq!(put.len(), count.div_ceil(DATUMS_PER_PUT));
            for put in put {
                prop_assert!(put.len() <= DATUMS_PER_PUT);
                let bytes = PUT_OVERHEAD + put.iter().map(datum_bytes).sum::<usize>();
                prop_assert!(bytes <= BYTES_PER_PUT);
            }
        }
    }
}
