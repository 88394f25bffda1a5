use proptest::prelude::*;

use super::*;
use crate::Baseline;
use crate::series::{DAY_SECONDS, Datapoint, PERIOD};
use crate::zone::Zone;

/// Days since 1970 of a Thursday, the day that is judged.
const THURSDAY: i64 = 20_482;
/// The days before it that are Sundays.
const SUNDAYS: [i64; 2] = [THURSDAY - 4, THURSDAY - 11];

/// The value of a working day at `time`, by the clock.
fn working(time: i64) -> f64 {
    10.0 + time.rem_euclid(DAY_SECONDS) as f64 / 3600.0
}

/// Two weeks and a day until the end of [`THURSDAY`], by a clock that is `ahead` of UTC; `off` are
/// days with half the load.
fn machine(off: &[i64], ahead: i64) -> Series {
    let value = |local: i64| {
        let part = if off.contains(&local.div_euclid(DAY_SECONDS)) { 0.5 } else { 1.0 };
        working(local) * part
    };
    let times = ((THURSDAY - 15) * DAY_SECONDS..(THURSDAY + 1) * DAY_SECONDS)
        .step_by(PERIOD as usize)
        .map(|time| Datapoint { time, value: value(time + ahead) });
    Series::from_datapoints(times).expect("usable").0
}

/// The baseline of `day` by such a clock.
fn learnt(series: &Series, day: i64, holidays: &[i64], ahead: i64) -> Baseline {
    let clocks = Clocks::Of(Zone::new(ahead as i32, []));
    let holidays = holidays.iter().copied().collect();
    Baseline::learn_by(series, day * DAY_SECONDS, &clocks, &holidays).expect("two weeks")
}

/// Noon of a day on the clock, in seconds since 1970.
fn noon(day: i64, ahead: i64) -> i64 {
    day * DAY_SECONDS + DAY_SECONDS / 2 - ahead
}

fn close(a: Option<f64>, b: f64) -> bool {
    a.is_some_and(|a| (a - b).abs() < 0.05)
}

#[test]
fn a_holiday_is_expected_to_be_as_a_sunday() {
    for ahead in [0, 3600, -5 * 3600] {
        let series = machine(&SUNDAYS, ahead);
        let noon = noon(THURSDAY, ahead);
        let weekly = |holidays: &[i64]| {
            let baseline = learnt(&series, THURSDAY, holidays, ahead);
            let seen = baseline.for_its_day(200);
            seen.expectations[0].weekly(noon)
        };
        assert!(close(weekly(&[]), 22.0), "{:?}", weekly(&[]));
        assert!(close(weekly(&[THURSDAY]), 11.0), "{:?}", weekly(&[THURSDAY]));
        assert!(close(weekly(&[THURSDAY - 1]), 22.0), "the day after it");
    }
}

#[test]
fn the_day_after_a_holiday_is_known_by_the_clock() {
    // A Friday, before a weekend.
    let holidays: Holidays = [THURSDAY + 1].into_iter().collect();
    for ahead in [0, 3600, -5 * 3600] {
        let clocks = Clocks::Of(Zone::new(ahead as i32, []));
        let off = DaysOff::new(&holidays, &clocks, THURSDAY * DAY_SECONDS);
        let on = |day: i64| {
            let start = (THURSDAY + day) * DAY_SECONDS - ahead;
            let of = |time: i64| (off.follows_holiday(time), off.teaches(time));
            assert_eq!(of(start), of(start + DAY_SECONDS - 1));
            of(start)
        };
        assert_eq!(
            [0, 1, 2, 3].map(on),
            [(false, true), (false, false), (true, false), (false, true)]
        );
    }
    let working: Holidays = [THURSDAY].into_iter().collect();
    let off = DaysOff::new(&working, &Clocks::Unknown, THURSDAY * DAY_SECONDS);
    let friday = (THURSDAY + 1) * DAY_SECONDS;
    assert!(off.follows_holiday(friday) && off.teaches(friday), "a morning of work");
    assert!(!DaysOff::none().follows_holiday(friday) && DaysOff::none().teaches(friday));
}

#[test]
fn a_holiday_is_not_learnt_as_a_working_day() {
    // The same day of each week was off: then the other days say what is usual.
    for off in [&[THURSDAY - 7][..], &[THURSDAY - 7, THURSDAY - 14]] {
        let series = machine(&[&SUNDAYS, off].concat(), 0);
        let expectation = |holidays: &[i64]| {
            let [fine, _] = learnt(&series, THURSDAY, holidays, 0).expectations;
            fine
        };
        let noon = noon(THURSDAY, 0);
        assert!(!close(expectation(&[]).weekly(noon), 22.0));
        assert!(close(expectation(off).weekly(noon), 22.0));
        assert!(close(Some(expectation(off).daily(noon)), 22.0));
    }
}

#[test]
fn the_holidays_of_two_weeks_leave_the_daily_profile_as_it_is() {
    let off: Vec<i64> = [1, 2, 3, 6, 7, 8, 9].map(|back| THURSDAY - back).to_vec();
    let series = machine(&[&SUNDAYS[..], &off].concat(), 0);
    let daily = |holidays: &[i64]| {
        Some(learnt(&series, THURSDAY, holidays, 0).expectations[0].daily(noon(THURSDAY, 0)))
    };
    assert!(daily(&[]) < Some(12.0), "they are most days");
    assert!(daily(&off) > Some(21.5), "{:?}", daily(&off));
}

#[test]
fn what_is_off_on_sundays_need_not_report_on_a_holiday() {
    let off = [&SUNDAYS[..], &[THURSDAY - 7]].concat();
    let whole = machine(&[], 0);
    let is_off = |time: i64| off.contains(&time.div_euclid(DAY_SECONDS));
    let series = whole.without(is_off).expect("some");
    let reports =
        |holidays: &[i64]| learnt(&series, THURSDAY, holidays, 0).reports(noon(THURSDAY, 0));
    assert!(!reports(&[]), "a week ago it was off");
    assert!(reports(&[THURSDAY - 7]), "that was a holiday");
    assert!(!reports(&[THURSDAY - 7, THURSDAY]), "today is one");
}

#[test]
fn where_nearly_all_days_are_holidays_they_are_learnt() {
    let all: Vec<i64> = (1..=15).map(|back| THURSDAY - back).collect();
    let series = machine(&SUNDAYS, 0);
    let [plain, known] =
        [&[][..], &all].map(|holidays| learnt(&series, THURSDAY, holidays, 0).expectations);
    assert_eq!(plain[0].daily, known[0].daily);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn holidays_out_of_sight_change_nothing(
        away in 3i64..400,
        ahead in -12i64..12,
        off in 1i64..14,
    ) {
        let ahead = ahead * 3600;
        let series = machine(&[THURSDAY - off], ahead);
        let plain = learnt(&series, THURSDAY, &[], ahead);
        let far = [THURSDAY + away, THURSDAY - 15 - away];
        prop_assert_eq!(learnt(&series, THURSDAY, &far, ahead), plain);
    }
}
