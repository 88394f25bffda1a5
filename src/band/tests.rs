use proptest::prelude::*;

use super::*;
use crate::baseline::Phase;

fn scored(slot: i64, expected: f64, low: f64, high: f64) -> Scored {
    let score = serde_json::from_value(0.5.into()).unwrap();
    Scored {
        time: slot * PERIOD,
        observed: expected,
        reconstruction: None,
        expected,
        low,
        high,
        score,
        channel: None,
        surpasses: false,
        usual: expected,
        severity: score,
        outside: false,
        finding: None,
        muted: false,
        phase: Phase::Own,
    }
}

fn of_slot(slot: i64) -> Scored {
    let expected = 30.0 + 10.0 * (slot as f64 / 40.0).sin();
    scored(slot, expected, at_distance(compress(expected), 0.4, false), expected + 9.0)
}

fn slots(bands: &[Band]) -> Vec<i64> {
    bands.iter().map(|band| band.time / PERIOD).collect()
}

#[test]
fn the_six_hours_before_are_told_with_the_first_and_then_each_alone() {
    let mut bands = Bands::default();
    for slot in 0..100 {
        assert_eq!(bands.take_in(&of_slot(slot), false), []);
    }
    assert_eq!(slots(&bands.take_in(&of_slot(100), true)), (28..=100).collect::<Vec<_>>());
    assert_eq!(slots(&bands.take_in(&of_slot(101), true)), [101]);
    assert!(bands.is_empty(), "a band is told once");
    assert_eq!(bands.take_in(&of_slot(102), false), []);
    assert_eq!(slots(&bands.take_in(&of_slot(103), true)), [102, 103]);
}

#[test]
fn a_late_datapoint_lies_at_its_place_and_a_muted_one_has_no_band() {
    let mut bands = Bands::default();
    for slot in [10, 12, 11] {
        bands.take_in(&of_slot(slot), false);
    }
    bands.take_in(&Scored { muted: true, ..of_slot(13) }, false);
    assert_eq!(slots(&bands.clone().tell()), [10, 11, 12]);
    // Six hours and more before the newest one.
    bands.take_in(&of_slot(84), false);
    assert_eq!(slots(&bands.clone().tell()), [12, 84]);
    assert_eq!(bands.take_in(&Scored { muted: true, ..of_slot(85) }, true), []);
    assert_eq!(bands.len(), 2, "a muted datapoint tells nothing");
}

#[test]
fn six_hours_take_few_bytes() {
    let mut bands = Bands::default();
    (6_000_000..6_000_200).for_each(|slot| drop(bands.take_in(&of_slot(slot), false)));
    assert_eq!(bands.len() as u32, BEFORE + 1);
    let bytes = postcard::to_allocvec(&bands).unwrap();
    assert!(bytes.len() < 330, "{} bytes", bytes.len());
    assert_eq!(postcard::from_bytes::<Bands>(&bytes).unwrap(), bands);
}

proptest! {
    #[test]
    fn a_band_is_true_to_a_thousandth(
        // As many small values as large ones.
        expected in (-4.0..2.0f64).prop_map(|power| 10f64.powf(power)),
        below in 0.0..60.0f64,
        above in 0.0..60.0f64,
    ) {
        let [told] = &Bands::default().take_in(
            &scored(1, expected, expected - below, expected + above),
            true,
        )[..] else { panic!("one band") };
        let near = |told: f64, cpu: f64| (told - cpu).abs() < 0.001 * cpu.max(1.0);
        prop_assert!(near(told.expected, expected), "{told:?}");
        prop_assert!(near(told.low, (expected - below).max(0.0)), "{told:?}");
        prop_assert!(near(told.high, (expected + above).min(100.0)), "{told:?}");
        prop_assert!(told.low <= told.expected && told.expected <= told.high, "{told:?}");
    }

    #[test]
    fn any_differences_are_some_bands(
        differences in prop::collection::vec(any::<[i32; 4]>(), 0..9),
    ) {
        let mut bands = Bands::from(differences);
        bands.take_in(&of_slot(6_000_000), false);
        prop_assert!(bands.tell().iter().all(|band| band.low <= band.high));
    }
}
