//! How far an instance's newest slots are from their forecasts, and from where they usually lie.

use super::forecast::{Compressed, HORIZONS, Values};
use super::level::Level;
use crate::channel::{Channel, Errors, Measure};
use crate::compress::distance;

/// A forecast for each of [`HORIZONS`], compressed; `None` where the values do not suffice.
pub(crate) type Forecast = [Option<f64>; HORIZONS.len()];

/// The error of each channel at slot `slot` of `values`, whose last slots were forecast as
/// `forecast`.
///
/// - a mean: its [`distance`] from its forecast, where it is on the channel's side of it, else 0;
/// - a stretch: that of its value that is nearest to the median;
/// - a difference from a group: none, because a machine alone has none.
pub(crate) fn errors(
    values: &Compressed,
    slot: usize,
    forecast: &Forecast,
    level: &Level,
) -> Errors {
    let means = HORIZONS.map(|slots| mean(values, slot, slots));
    Channel::ALL.map(|channel| match channel.measure() {
        Measure::Forecast { horizon, up } => Some(one_way(means[horizon]?, forecast[horizon]?, up)),
        Measure::Record { up } => {
            let slots = channel.slots();
            let seen = || values.present(slot as isize + 1 - slots as isize, slot as isize + 1);
            if 2 * seen().count() < slots {
                return None;
            }
            let nearest =
                if up { seen().min_by(f64::total_cmp)? } else { seen().max_by(f64::total_cmp)? };
            Some(one_way(nearest, level.centre, up))
        }
        Measure::Peers { .. } => None,
    })
}

/// The distance of a value from the expected one, both compressed, if it is on that side of it.
fn one_way(value: f64, expected: f64, up: bool) -> f64 {
    if (value > expected) == up { distance(value, expected) } else { 0.0 }
}

/// The compressed mean of the `slots` slots that end with `slot`.
pub(crate) fn mean(values: &Compressed, slot: usize, slots: usize) -> Option<f64> {
    let end = slot as isize + 1;
    values.mean(end - slots as isize, end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::CHANNELS;
    use crate::compress::compress;
    use crate::series::{Datapoint, PERIOD, Series};

    /// Values that are 1 compressed, but for the last of them, which have `last` (compressed), and
    /// for those that are missing.
    fn values(last: &[f64], missing: impl Fn(usize) -> bool) -> Compressed {
        let value =
            |slot: usize| (slot + last.len()).checked_sub(60).map_or(1.0, |index| last[index]);
        let points = (0..60).filter(|&slot| !missing(slot));
        let points =
            points.map(|slot| Datapoint { time: slot as i64 * PERIOD, value: value(slot).sinh() });
        Compressed::of(&Series::from_datapoints(points).expect("usable").0)
    }

    /// The errors at the last slot where 1 was forecast and the median is `centre`, rounded.
    fn of(values: &Compressed, forecast: Forecast, centre: f64) -> Errors {
        let level = Level { centre, scale: 0.1, spread: 0.1, deviation: 1.0, datapoints: 1000 };
        errors(values, 59, &forecast, &level)
            .map(|error| error.map(|error| (error * 1e9).round() / 1e9))
    }

    /// The distance between two compressed values, rounded.
    fn far(value: f64, expected: f64) -> f64 {
        (distance(value, expected) * 1e9).round() / 1e9
    }

    const ONE: Forecast = [Some(1.0); HORIZONS.len()];

    #[test]
    fn each_channel_sees_its_own_side() {
        let still = |_: usize| false;
        // One value of 2.2 is 1.2 above its forecast; half an hour is 0.2 above it, two hours 0.05.
        // It stays on no side.
        let spike = of(&values(&[2.2], still), ONE, 1.0);
        assert_eq!(
            spike,
            [far(2.2, 1.0), 0.0, far(1.2, 1.0), 0.0, far(1.05, 1.0), 0.0, 0.0, 0.0].map(Some)
        );
        let drop = of(&values(&[-0.2], still), ONE, 1.0);
        assert_eq!(drop, [0.0, 1.2, 0.0, 0.2, 0.0, 0.05, 0.0, 0.0].map(Some));
        // A quarter of an hour below the median: as far as the highest of the three.
        let low = of(&values(&[0.4, 0.7, 0.4], still), ONE, 1.0);
        assert_eq!((low[6], low[7]), (Some(0.3), Some(0.0)));
        // Three hours above it: as far as the lowest of the 36.
        let high = |slots: usize| of(&values(&vec![1.5; slots], still), ONE, 0.8);
        let expected = (Some(0.0), Some(far(1.0, 0.8)), Some(far(1.5, 0.8)));
        assert_eq!((high(35)[6], high(35)[7], high(36)[7]), expected);
    }

    #[test]
    fn each_horizon_has_its_own_forecast() {
        let errors = of(&values(&[], |_| false), [Some(0.7), Some(1.4), None], 1.0);
        assert_eq!(errors[..6], [Some(far(1.0, 0.7)), Some(0.0), Some(0.0), Some(0.4), None, None]);
        assert_eq!(errors[6..], [Some(0.0); 2], "where it lies is no forecast");
    }

    #[test]
    fn what_is_mostly_missing_has_no_error() {
        let none_but =
            |kept: &'static [usize]| move |slot: usize| slot > 20 && !kept.contains(&slot);
        let known = |kept: &'static [usize]| {
            of(&values(&[], none_but(kept)), ONE, 1.0).map(|error| error.is_some())
        };
        assert_eq!(known(&[59]), [true, true, false, false, false, false, false, false]);
        assert_eq!(known(&[57, 58, 59]), [true, true, true, true, false, false, true, false]);
        assert!(known(&[58, 59])[6], "two of three");
        let half = of(&values(&[], |slot| (24..42).contains(&slot)), ONE, 1.0);
        assert_eq!(
            half.map(|error| error.is_some()),
            [true; CHANNELS],
            "half of 36 slots is enough"
        );
        let less = of(&values(&[], |slot| (24..43).contains(&slot)), ONE, 1.0);
        assert_eq!(less[7], None);
    }

    #[test]
    fn a_forecast_is_of_as_many_slots_as_its_channel_looks_at() {
        for channel in Channel::ALL {
            if let Measure::Forecast { horizon, .. } = channel.measure() {
                assert_eq!(channel.slots(), HORIZONS[horizon], "{}", channel.name());
            }
        }
    }

    #[test]
    fn a_mean_is_taken_of_compressed_values() {
        let mean = mean(&values(&[compress(10.0), compress(90.0)], |_| false), 59, 2)
            .expect("both are there");
        assert!((mean - (compress(10.0) + compress(90.0)) / 2.0).abs() < 1e-12);
    }
}
