//! Chooses the bands of a run that are published.

use deepguard::Scored;
use deepguard::band::{Band, Bands};
use deepguard_aws::ids::TargetId;
use deepguard_aws::metric::{Datum, Metric, Of};

/// When an instance's band is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BandMode {
    /// While an episode lasts, and for the six hours before it.
    #[default]
    Episodes,
    /// With each datapoint.
    Always,
    /// Never.
    Off,
}

/// The number of datums in one run after which an episode's band waits for the next run. An
/// incident of thousands of instances must not fill the outbox with the hours before it.
const MOST: usize = 50_000;

/// The bands that are due in one run.
#[derive(Debug)]
pub struct Due {
    mode: BandMode,
    datums: Vec<Datum>,
}

impl Due {
    /// None yet.
    pub fn new(mode: BandMode) -> Self {
        Self { mode, datums: Vec::new() }
    }

    /// Takes a scored datapoint in: an episode `lasts` at it, or does not.
    pub fn take_in(
        &mut self,
        instance: &TargetId,
        bands: &mut Bands,
        scored: &Scored,
        lasts: bool,
    ) {
        let told = match self.mode {
            BandMode::Off => return drop(bands.tell()),
            BandMode::Always => true,
            BandMode::Episodes => lasts && self.datums.len() < MOST,
        };
        let told = bands.take_in(scored, told);
        self.publish(instance, told);
    }

    /// Notes that an episode of missing datapoints begins.
    pub fn begins(&mut self, instance: &TargetId, bands: &mut Bands) {
        if self.mode == BandMode::Episodes && self.datums.len() < MOST {
            self.publish(instance, bands.tell());
        }
    }

    /// The datums, oldest first for each instance.
    pub fn datums(self) -> Vec<Datum> {
        self.datums
    }

    fn publish(&mut self, instance: &TargetId, told: Vec<Band>) {
        for Band { time, expected, low, high } in told {
            let values = [
                (Metric::ExpectedCPU, expected),
                (Metric::ExpectedLow, low),
                (Metric::ExpectedHigh, high),
            ];
            let of = || Of::Instance(instance.clone());
            let datum = |(metric, value)| Datum { metric, of: of(), time, value };
            self.datums.extend(values.map(datum));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{instance, scored};

    fn due(mode: BandMode, lasts: impl Fn(i64) -> bool) -> Vec<(&'static str, i64)> {
        let (mut due, mut bands) = (Due::new(mode), Bands::default());
        for slot in 0..100 {
            due.take_in(&instance(1), &mut bands, &scored(300 * slot, 0.5), lasts(slot));
        }
        let datums = due.datums();
        datums.iter().map(|datum| (datum.metric.name(), datum.time / 300)).collect()
    }

    #[test]
    fn each_mode_publishes_its_datapoints_once() {
        let lasts = |slot: i64| (80..85).contains(&slot);
        let names = ["ExpectedCPU", "ExpectedLow", "ExpectedHigh"];
        let all = |slots: std::ops::Range<i64>| {
            slots.flat_map(|slot| names.map(|name| (name, slot))).collect::<Vec<_>>()
        };
        assert_eq!(due(BandMode::Episodes, lasts), all(8..85));
        assert_eq!(due(BandMode::Always, lasts), all(0..100));
        assert_eq!(due(BandMode::Off, lasts), []);
        assert_eq!(due(BandMode::Episodes, |_| false), []);
    }

    #[test]
    fn a_band_holds_the_expected_value_between_its_ends() {
        let (mut due, mut bands) = (Due::new(BandMode::Always), Bands::default());
        due.take_in(&instance(1), &mut bands, &scored(300, 0.5), false);
        let values: Vec<f64> = due.datums().iter().map(|datum| datum.value).collect();
        let expected = [10.0, 5.0, 15.0];
        assert!(values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.02), "{values:?}");
    }

    #[test]
    fn an_incident_of_the_whole_fleet_is_told_over_several_runs() {
        let mut fleet: Vec<(TargetId, Bands)> =
            (0..1000).map(|number| (instance(number), Bands::default())).collect();
        let mut run = |slot: i64, lasts: bool| {
            let mut due = Due::new(BandMode::Episodes);
            for (instance, bands) in &mut fleet {
                due.take_in(instance, bands, &scored(300 * slot, 0.5), lasts);
            }
            due.datums().len()
        };
        assert_eq!((0..72).map(|slot| run(slot, false)).sum::<usize>(), 0);
        let sizes: Vec<usize> = (72..80).map(|slot| run(slot, true)).collect();
        assert!(sizes.iter().all(|&size| size < MOST + 3 * 73), "{sizes:?}");
        assert_eq!(sizes.last(), Some(&3000), "each instance has its six hours: {sizes:?}");
    }

    #[test]
    fn an_instance_that_stops_reporting_has_the_hours_before() {
        let mut bands = Bands::default();
        let mut due = Due::new(BandMode::Episodes);
        due.take_in(&instance(1), &mut bands, &scored(300, 0.5), false);
        due.begins(&instance(1), &mut bands);
        assert_eq!(due.datums().len(), 3);
        assert!(bands.is_empty());
    }
}
