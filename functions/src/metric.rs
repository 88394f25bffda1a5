//! The metrics: what a run's result is called in CloudWatch.

use std::collections::BTreeMap;

use crate::fleet::Fleet;
use crate::names::InstanceId;

/// A metric that the detector publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// How unusual an instance's CPU is.
    AnomalyScore,
    /// How far it is from the network's reconstruction.
    ReconstructionError,
    /// In how many instances an alarm begins.
    AnomalousInstances,
    /// How many instances have a score.
    InstancesScored,
    /// How many have none.
    InstancesSkipped,
    /// The highest score of all.
    MaxAnomalyScore,
}

/// The unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A ratio.
    None,
    /// Percentage points of CPU.
    Percent,
    /// A number of instances.
    Count,
}

/// The dimension of the metrics of one instance. Those of the fleet have none.
pub const DIMENSION: &str = "InstanceId";

impl Metric {
    /// Every metric there is.
    pub const ALL: [Self; 6] = [
        Self::AnomalyScore,
        Self::ReconstructionError,
        Self::AnomalousInstances,
        Self::InstancesScored,
        Self::InstancesSkipped,
        Self::MaxAnomalyScore,
    ];

    /// Its name in CloudWatch.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AnomalyScore => "AnomalyScore",
            Self::ReconstructionError => "ReconstructionError",
            Self::AnomalousInstances => "AnomalousInstances",
            Self::InstancesScored => "InstancesScored",
            Self::InstancesSkipped => "InstancesSkipped",
            Self::MaxAnomalyScore => "MaxAnomalyScore",
        }
    }

    /// Its unit.
    pub const fn unit(self) -> Unit {
        match self {
            Self::AnomalyScore | Self::MaxAnomalyScore => Unit::None,
            Self::ReconstructionError => Unit::Percent,
            Self::AnomalousInstances | Self::InstancesScored | Self::InstancesSkipped => Unit::Count,
        }
    }

    /// Whether each instance has its own (with [`DIMENSION`]), or the fleet has one.
    pub const fn is_per_instance(self) -> bool {
        matches!(self, Self::AnomalyScore | Self::ReconstructionError)
    }

    /// What it says.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::AnomalyScore => "how unusual the instance's CPU is; 1.0 is the threshold",
            Self::ReconstructionError => "distance of the CPU from what the network expected, in percentage points",
            Self::AnomalousInstances => {
                "instances whose score has risen to 1.0 or more, above all of the half day before"
            }
            Self::InstancesScored => "instances that have a score",
            Self::InstancesSkipped => "instances that could not be scored; the log says why",
            Self::MaxAnomalyScore => "the highest score of all instances",
        }
    }
}

/// One value of one metric at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Datum {
    /// Which metric.
    pub metric: Metric,
    /// Whose, where the metric is of one instance.
    pub instance: Option<InstanceId>,
    /// The time stamp of the CPU datapoint that it is about, in seconds since 1970.
    pub time: i64,
    /// In the metric's unit.
    pub value: f64,
}

/// What is published of a fleet: the same datums in the same order for the same fleet.
///
/// The time stamps are those of the datapoints, so a run that scores a datapoint again publishes the same
/// again. Where nothing was scored, `InstancesScored` is 0 at the newest slot: an empty fleet is not a silent detector.
pub fn datums(fleet: &Fleet) -> Vec<Datum> {
    #[derive(Default)]
    struct Slot {
        scored: usize,
        anomalous: usize,
        highest: f64,
    }
    let mut datums = Vec::new();
    let mut slots: BTreeMap<i64, Slot> = BTreeMap::new();
    for (instance, datapoints) in &fleet.scored {
        for scored in datapoints {
            let of_instance =
                |metric, value| Datum { metric, instance: Some(instance.clone()), time: scored.time, value };
            datums.push(of_instance(Metric::AnomalyScore, scored.score.value()));
            datums.push(of_instance(Metric::ReconstructionError, scored.reconstruction_error()));
            let slot = slots.entry(scored.time).or_default();
            slot.scored += 1;
            slot.anomalous += usize::from(scored.is_alarm());
            slot.highest = slot.highest.max(scored.score.value());
        }
    }
    let of_fleet = |metric, time, value| Datum { metric, instance: None, time, value };
    for (&time, slot) in &slots {
        datums.push(of_fleet(Metric::AnomalousInstances, time, slot.anomalous as f64));
        datums.push(of_fleet(Metric::InstancesScored, time, slot.scored as f64));
        datums.push(of_fleet(Metric::MaxAnomalyScore, time, slot.highest));
    }
    if slots.is_empty() {
        datums.push(of_fleet(Metric::InstancesScored, fleet.newest_slot(), 0.0));
    }
    datums.push(of_fleet(Metric::InstancesSkipped, fleet.newest_slot(), fleet.skipped.len() as f64));
    datums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Skip;
    use crate::testing::{instance, lasting, scored};

    fn fleet_values(datums: &[Datum]) -> Vec<(&'static str, i64, f64)> {
        let of_fleet = datums.iter().filter(|datum| datum.instance.is_none());
        of_fleet.map(|datum| (datum.metric.name(), datum.time, datum.value)).collect()
    }

    #[test]
    fn the_fleet_is_counted_at_each_time() {
        let mut fleet = Fleet::new(600..1500);
        fleet.scored.insert(instance(1), vec![scored(600, 0.5), scored(900, 1.0), lasting(1200, 2.0)]);
        fleet.scored.insert(instance(2), vec![scored(900, 3.0)]);
        fleet.skip(instance(3), Skip::NoDatapoints, "none");
        let datums = datums(&fleet);
        assert_eq!(
            fleet_values(&datums),
            [
                ("AnomalousInstances", 600, 0.0),
                ("InstancesScored", 600, 1.0),
                ("MaxAnomalyScore", 600, scored(600, 0.5).score.value()),
                ("AnomalousInstances", 900, 2.0),
                ("InstancesScored", 900, 2.0),
                ("MaxAnomalyScore", 900, scored(900, 3.0).score.value()),
                ("AnomalousInstances", 1200, 0.0),
                ("InstancesScored", 1200, 1.0),
                ("MaxAnomalyScore", 1200, scored(1200, 2.0).score.value()),
                ("InstancesSkipped", 1200, 1.0),
            ]
        );
        assert_eq!(datums.len() - fleet_values(&datums).len(), 2 * 4);
        assert!(datums.iter().all(|datum| datum.metric.is_per_instance() == datum.instance.is_some()));
    }

    #[test]
    fn an_empty_fleet_is_not_silent() {
        assert_eq!(
            fleet_values(&datums(&Fleet::new(600..1500))),
            [("InstancesScored", 1200, 0.0), ("InstancesSkipped", 1200, 0.0)]
        );
    }
}
