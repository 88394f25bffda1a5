//! Which GetMetricData calls to make.

use std::collections::BTreeMap;
use std::ops::Range;

use deepguard::series::PERIOD;

use super::limits::{DATAPOINTS_PER_READ, QUERIES_PER_READ};
use crate::names::InstanceId;

/// One GetMetricData call: the CPU of some instances over the same stretch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Seconds since 1970, aligned to the period.
    pub times: Range<i64>,
    /// Whose CPU.
    pub instances: Vec<InstanceId>,
}

/// Plans calls that read each instance from its time on (seconds since 1970, aligned) up to `end`.
///
/// Instances that need the same stretch share calls, as many as [`QUERIES_PER_READ`] and
/// [`DATAPOINTS_PER_READ`] allow. The shortest stretches come first, so that warm instances do not wait for new ones.
pub fn batches(wanted: impl IntoIterator<Item = (InstanceId, i64)>, end: i64) -> Vec<Batch> {
    let mut by_start: BTreeMap<i64, Vec<InstanceId>> = BTreeMap::new();
    for (instance, start) in wanted {
        by_start.entry(start).or_default().push(instance);
    }
    let calls = |(start, instances): (i64, Vec<InstanceId>)| {
        let slots = ((end - start) / PERIOD).max(1) as usize;
        let most = (DATAPOINTS_PER_READ / slots).clamp(1, QUERIES_PER_READ);
        let batch = |instances: &[InstanceId]| Batch { times: start..end, instances: instances.to_vec() };
        instances.chunks(most).map(batch).collect::<Vec<_>>()
    };
    by_start.into_iter().rev().flat_map(calls).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::instance;
    use deepguard::series::DAY_SECONDS;

    fn plan(instances: usize, start: i64, end: i64) -> Vec<Batch> {
        batches((0..instances).map(|number| (instance(number), start)), end)
    }

    #[test]
    fn a_call_keeps_to_both_limits() {
        for (slots, most) in
            [(1, 500), (201, 500), (202, 499), (321, 314), (4064, 24), (4352, 23), (100_800, 1), (200_000, 1)]
        {
            let plan = plan(2 * most + 1, 0, slots * PERIOD);
            let sizes: Vec<usize> = plan.iter().map(|batch| batch.instances.len()).collect();
            assert_eq!(sizes, [most, most, 1], "{slots} slots");
            assert!(plan.iter().all(|batch| batch.times == (0..slots * PERIOD)));
        }
    }

    #[test]
    fn every_instance_is_read_once_from_where_it_asked() {
        let end = 20 * DAY_SECONDS;
        let wanted: Vec<(InstanceId, i64)> =
            (0..1300).map(|number| (instance(number), (number as i64 % 3) * 7 * DAY_SECONDS)).collect();
        let mut read: Vec<(InstanceId, i64)> = batches(wanted.clone(), end)
            .iter()
            .flat_map(|batch| batch.instances.iter().map(|instance| (instance.clone(), batch.times.start)))
            .collect();
        read.sort();
        assert_eq!(read, wanted);
    }

    #[test]
    fn short_stretches_come_first_and_nothing_wants_no_call() {
        let plan = batches([(instance(1), 0), (instance(2), 6000)], 9000);
        assert_eq!(plan.iter().map(|batch| batch.times.start).collect::<Vec<_>>(), [6000, 0]);
        assert_eq!(batches([], 9000), []);
    }
}
