use std::sync::LazyLock;

use super::*;
use crate::series::{DAY_SECONDS, Datapoint};

fn series(slots: usize, value: impl Fn(usize) -> f64) -> Series {
    let points =
        (0..slots).map(|slot| Datapoint { time: slot as i64 * PERIOD, value: value(slot) });
    Series::from_datapoints(points).expect("usable").0
}

/// UTC, and no holidays, for values whose slot 0 starts at `start` (seconds since
/// 1970).
fn context<'a>(level: &'a Level, daily: &'a Profile, start: i64) -> DayContext<'a> {
    static UTC: LazyLock<Zone> = LazyLock::new(Zone::utc);
    DayContext { level, daily, zone: &UTC, start, off: DaysOff::none() }
}

/// The forecasts learnt from `history`, with its level and its daily profile.
fn learnt(history: &Series) -> (Forecasts, Level, Profile) {
    let level = Level::of(history.present(0..history.len()).collect()).expect("values");
    let daily = Profile::daily(history, history.len(), &level);
    (Forecasts::learn(history, &level, &daily, &Zone::utc(), DaysOff::none()), level, daily)
}

/// Between 10 % and 50 % by the hour, with a little noise that does not repeat.
fn rhythm(slot: usize) -> f64 {
    let hour = (slot % DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
    30.0 + 20.0 * hour.sin() + (slot * 7919 % 101) as f64 / 100.0
}

/// Forecasts of the day after `history` (a whole day of `next`), at each slot of it.
fn of_next_day(history: &Series, next: impl Fn(usize) -> f64, horizon: usize) -> Vec<(f64, f64)> {
    let (forecasts, level, daily) = learnt(history);
    let days = history.len();
    let value = |slot: usize| history.get(slot).unwrap_or_else(|| next(slot));
    let whole = series(days + DAY, value);
    let (values, hours) = (Compressed::of(&whole), context(&level, &daily, 0));
    let slots = days..days + DAY - HORIZONS[horizon];
    let pairs = slots.map(|first| {
        let seen =
            values.mean(first as isize, (first + HORIZONS[horizon]) as isize).expect("whole");
        (forecasts.of(&values, &hours, first, horizon).expect("whole"), seen)
    });
    pairs.collect()
}

fn worst(pairs: &[(f64, f64)]) -> f64 {
    pairs.iter().map(|(forecast, seen)| (forecast - seen).abs()).fold(0.0, f64::max)
}

#[test]
fn with_little_history_tomorrow_is_like_now() {
    // One example fewer than teaches anything, and as many: the first slot has nothing before it.
    for (slots, learns) in [(FEWEST, false), (FEWEST + 1, true)] {
        let (forecasts, ..) = learnt(&series(slots, rhythm));
        let mut persistence = [0.0; FEATURES];
        persistence[0] = 1.0;
        assert_eq!(forecasts.coefficients[0] != persistence, learns, "{slots} slots");
    }
    let history = series(FEWEST, |slot| (slot % 5) as f64);
    let ((forecasts, level, daily), values) = (learnt(&history), Compressed::of(&history));
    let hours = context(&level, &daily, 0);
    for horizon in 0..HORIZONS.len() {
        let forecast = forecasts.of(&values, &hours, 43, horizon).expect("the newest is there");
        assert!((forecast - compress(2.0)).abs() < 1e-12, "slot 42 had 2 %, not {forecast}");
    }
}

#[test]
fn a_daily_rhythm_is_learnt() {
    let history = series(7 * DAY, rhythm);
    for (horizon, slots) in HORIZONS.into_iter().enumerate() {
        let pairs = of_next_day(&history, rhythm, horizon);
        // The errors of persistence: it knows only the value before the first slot.
        let persistence: Vec<(f64, f64)> = pairs
            .iter()
            .enumerate()
            .map(|(slot, (_, seen))| (compress(rhythm(slot + 7 * DAY - 1)), *seen))
            .collect();
        assert!(worst(&pairs) < 0.1, "{slots} slots ahead: {}", worst(&pairs));
        assert!(slots == 1 || worst(&pairs) < worst(&persistence) / 3.0, "{slots} slots ahead");
    }
}

#[test]
fn an_outage_in_the_history_hardly_moves_the_forecast() {
    let outage = |slot: usize| {
        if (3 * DAY + 100..3 * DAY + 112).contains(&slot) { 0.1 } else { rhythm(slot) }
    };
    for horizon in 0..HORIZONS.len() {
        let [clean, broken] = [series(7 * DAY, rhythm), series(7 * DAY, outage)]
            .map(|history| of_next_day(&history, rhythm, horizon));
        let moved = clean.iter().zip(&broken).map(|(a, b)| (a.0 - b.0).abs()).fold(0.0, f64::max);
        // The outage itself is 5 of this unit deep.
        assert!(moved < 0.05, "horizon {horizon}: moved by {moved}");
        assert!(moved > 0.0, "the outage is learnt from, too");
    }
}

#[test]
fn a_mean_has_the_same_bits_whatever_the_slice() {
    let whole = series(3 * DAY, |slot| if slot % 89 == 5 { f64::NAN } else { rhythm(slot) });
    let (first, end) = (2 * DAY - 47, 3 * DAY - 20);
    let part = whole.slice(first..3 * DAY);
    let shift = ((part.start() - whole.start()) / PERIOD) as isize;
    let (values, of_part) = (Compressed::of(&whole), Compressed::of(&part));
    let summed = Summed::of(values.clone());
    for slots in MEANS.into_iter().chain(HORIZONS) {
        let range = end as isize - slots as isize..end as isize;
        let mean = values.mean(range.start, range.end).expect("most are there");
        let in_part = of_part.mean(range.start - shift, range.end - shift).expect("most are there");
        assert_eq!(mean.to_bits(), in_part.to_bits(), "{slots} slots");
        let running = summed.mean(range.start, range.end).expect("most are there");
        assert!((mean - running).abs() < 1e-9, "{slots} slots: {mean} and {running}");
    }
    // And a forecast, from as much of the past as it sees.
    let (forecasts, level, daily) = learnt(&whole);
    let hours = |start: i64| context(&level, &daily, start);
    let start = end - SEEN;
    let seen = whole.slice(start..end);
    for horizon in 0..HORIZONS.len() {
        assert_eq!(
            forecasts.of(&values, &hours(0), end, horizon).map(f64::to_bits),
            forecasts
                .of(&Compressed::of(&seen), &hours(seen.start()), end - start, horizon)
                .map(f64::to_bits),
            "horizon {horizon}"
        );
    }
}

#[test]
fn a_mean_is_of_at_least_half() {
    let points = [(0, 1.0), (1, 3.0), (4, 5.0)]
        .map(|(slot, value)| Datapoint { time: slot * PERIOD, value });
    let values = Compressed::of(&Series::from_datapoints(points).expect("usable").0);
    let summed = Summed::of(values.clone());
    let (one, three) = (compress(1.0), compress(3.0));
    let both = |from, until| [values.mean(from, until), summed.mean(from, until)];
    assert_eq!(both(0, 2), [Some((one + three) / 2.0); 2]);
    assert_eq!(both(0, 4), [Some((one + three) / 2.0); 2], "two of four");
    assert_eq!(both(1, 4), [None; 2], "one of three");
    assert_eq!(both(-2, 2), [Some((one + three) / 2.0); 2], "slots before the series are missing");
    assert_eq!(both(-3, 2), [None; 2]);
    assert_eq!(both(5, 9), [None; 2]);
}

#[test]
fn it_needs_one_of_the_newest_three_slots() {
    let history = series(3 * DAY, rhythm);
    let (forecasts, level, daily) = learnt(&history);
    let hours = context(&level, &daily, 0);
    let end = 3 * DAY - 30;
    let with_gap = |missing: usize| {
        let gap = end - missing..end;
        let kept =
            history.datapoints().filter(|point| !gap.contains(&((point.time / PERIOD) as usize)));
        let values = Compressed::of(&Series::from_datapoints(kept).expect("usable").0);
        forecasts.of(&values, &hours, end, 0).is_some()
    };
    assert_eq!([0, 1, 2, 3, 40].map(with_gap), [true, true, true, false, false]);
}

#[test]
fn a_system_is_solved_as_by_hand() {
    // 4 x + 2 y = 10 and 2 x + 3 y = 9 have x = 1.5 and y = 2; the others are alone, 2 z = 2 (n +
    // 1).
    let mut matrix = [[0.0; FEATURES]; FEATURES];
    let mut right = [0.0; FEATURES];
    for (row, line) in matrix.iter_mut().enumerate() {
        line[row] = 2.0;
        right[row] = 2.0 * (row + 1) as f64;
    }
    (matrix[0][0], matrix[1][0], matrix[1][1]) = (4.0, 2.0, 3.0);
    (right[0], right[1]) = (10.0, 9.0);
    let mut expected: [f64; FEATURES] = std::array::from_fn(|row| (row + 1) as f64);
    (expected[0], expected[1]) = (1.5, 2.0);
    for (found, expected) in solve(matrix, right).into_iter().zip(expected) {
        assert!((found - expected).abs() < 1e-12, "{found} instead of {expected}");
    }
    // For a matrix that is not a valid system, something finite.
    assert!(
        solve([[0.0; FEATURES]; FEATURES], [1.0; FEATURES]).iter().all(|found| found.is_finite())
    );
}

#[test]
fn what_is_older_than_its_days_is_not_learnt() {
    let days = 15;
    let learn = |first: f64| {
        let history =
            series(
                days * DAY,
                |slot| if slot < (days - DAYS) * DAY { first } else { rhythm(slot) },
            );
        let recent = history.slice((days - DAYS) * DAY..days * DAY);
        let level = Level::of(recent.present(0..recent.len()).collect()).expect("values");
        let daily = Profile::daily(&recent, recent.len(), &level);
        assert_eq!(history.end(), days as i64 * DAY_SECONDS);
        Forecasts::learn(&history, &level, &daily, &Zone::utc(), DaysOff::none())
    };
    assert_eq!(learn(1.0), learn(99.0));
}
