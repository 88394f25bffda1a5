use super::*;
use proptest::prelude::*;

fn at(time: i64, value: f64) -> Datapoint {
    Datapoint { time, value }
}

#[test]
fn gaps_stay_gaps_and_order_does_not_matter() {
    let (series, cleaning) =
        Series::from_datapoints([at(1200, 4.0), at(0, 1.0), at(301, 2.0)]).expect("usable");
    assert_eq!((series.start(), series.end(), series.len()), (0, 1500, 5));
    assert_eq!(
        (0..5).map(|i| series.get(i)).collect::<Vec<_>>(),
        [Some(1.0), Some(2.0), None, None, Some(4.0)]
    );
    assert_eq!(cleaning, Cleaning { given: 3, unusable: 0, merged: 0, missing: 2 });
}

#[test]
fn one_minute_datapoints_become_their_mean() {
    let (series, cleaning) =
        Series::from_datapoints((0..10).map(|m| at(m * 60, m as f64))).expect("usable");
    assert_eq!(series.datapoints().collect::<Vec<_>>(), [at(0, 2.0), at(300, 7.0)]);
    assert_eq!(cleaning.merged, 8);
}

#[test]
fn what_is_not_a_number_is_counted_and_left_out() {
    let (series, cleaning) = Series::from_datapoints([
        at(0, 1.0),
        at(300, f64::NAN),
        at(600, f64::INFINITY),
        at(750, -1e300),
        at(900, 1.0),
    ])
    .expect("usable");
    assert_eq!(series.present(0..4).count(), 2);
    assert_eq!((cleaning.unusable, cleaning.missing), (3, 2));
}

#[test]
fn unusable_input_is_an_error() {
    assert_eq!(Series::from_datapoints([]).unwrap_err(), SeriesError::Empty { given: 0 });
    assert_eq!(
        Series::from_datapoints([at(0, f64::NAN)]).unwrap_err(),
        SeriesError::Empty { given: 1 }
    );
    for far in [1_700_000_000_000, i64::MAX] {
        let error = Series::from_datapoints([at(1_700_000_000, 1.0), at(far, 1.0)]).unwrap_err();
        assert!(matches!(error, SeriesError::Times { .. }), "{error}");
    }
    for impossible in [i64::MIN, i64::MAX] {
        assert!(Series::from_datapoints([at(impossible, 1.0)]).is_err());
    }
}

#[test]
fn times_before_1970_are_ordinary() {
    let (series, _) = Series::from_datapoints([at(-1, 1.0), at(0, 2.0)]).expect("usable");
    assert_eq!((series.start(), series.len()), (-300, 2));
    assert_eq!(
        (
            series.index_at(-301),
            series.index_at(-300),
            series.index_at(-299),
            series.index_at(9999)
        ),
        (0, 0, 1, 2)
    );
}

proptest! {
    #[test]
    fn every_slot_lies_between_the_values_it_got(
        points in prop::collection::vec((0i64..100_000, -1e6f64..1e6), 1..200),
    ) {
        let datapoints = points.iter().map(|&(t, v)| at(t, v));
        let (series, cleaning) = Series::from_datapoints(datapoints).expect("usable");
        prop_assert_eq!(series.present(0..series.len()).count() + cleaning.missing, series.len());
        for point in series.datapoints() {
            let got = points.iter().filter(|(t, _)| slot_start(*t) == point.time).map(|&(_, v)| v);
            let (low, high) = got.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
            prop_assert!(point.value >= low - 1e-6 && point.value <= high + 1e-6);
        }
    }
}
