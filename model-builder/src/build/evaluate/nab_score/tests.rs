use super::*;
use proptest::prelude::*;

/// Between rows, in seconds.
const PERIOD: i64 = 300;

/// Row numbers as times.
fn times(rows: usize) -> Vec<i64> {
    (0..rows as i64).map(|row| row * PERIOD).collect()
}

/// The window of these rows, both included.
fn window(first: i64, last: i64) -> Range<i64> {
    first * PERIOD..(last + 1) * PERIOD
}

/// Scores of `rows` rows: 0 except at these rows.
fn scores(rows: usize, at: &[(usize, f64)]) -> Vec<f64> {
    let mut scores = vec![0.0; rows];
    at.iter().for_each(|&(row, score)| scores[row] = score);
    scores
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
}

#[test]
fn a_hit_is_worth_less_the_later_it_comes() {
    let window = 10..20;
    close(worth_inside(10, &window), 1.0);
    // Half way: (2 / (1 + e^-2.5) - 1) / (2 / (1 + e^-5) - 1) = 0.8482836 / 0.9866143.
    close(worth_inside(15, &window), 0.848_283_639_957_513 / 0.986_614_298_151_43);
    // The last row: 2 / (1 + e^-0.5) - 1 = 0.2449187.
    close(worth_inside(19, &window), 0.244_918_662_403_709 / 0.986_614_298_151_43);
}

#[test]
fn a_false_positive_costs_less_just_behind_a_window() {
    let window = 10..20;
    close(worth_outside(5, None), -1.0);
    // One row behind the last, and 9 = the width less one is 1: 2 / (1 + e^(5/9)) - 1 = -0.2708471.
    close(worth_outside(20, Some(&window)), -0.270_847_118_516_721);
    close(worth_outside(28, Some(&window)), -0.986_614_298_151_43);
    // Three widths away the sigmoid still holds, beyond it does not.
    close(worth_outside(46, Some(&window)), 2.0 / (1.0 + 15.0_f64.exp()) - 1.0);
    assert_eq!(worth_outside(47, Some(&window)), -1.0);
    assert_eq!(
        worth_outside(11, Some(&(10..11))),
        -1.0,
        "a window of one row has no width to measure by"
    );
}

#[test]
fn hits_misses_and_false_positives_add_up() {
    let (times, windows) = (times(100), [window(20, 29), window(60, 69)]);
    // Under probation; far before; at once and again in the first window; just behind it; the
    // second is missed.
    let scores = scores(100, &[(3, 1.0), (15, 0.9), (20, 0.8), (25, 0.9), (30, 0.7), (65, 0.2)]);
    let quiet = ScoredFile { times: &times, scores: &vec![0.1; 100], windows: &[], probation: 15 };
    let rows =
        Rows::new(&[ScoredFile { scores: &scores, windows: &windows, ..quiet }, quiet]).unwrap();
    let outcome = rows.at(&ApplicationProfile::LOW_FN, 0.7);
    let behind = 0.270_847_118_516_721;
    let expected = FileOutcome {
        windows: 2,
        hit: 1,
        false_positives: 2,
        gained: 1.0,
        missed: 2.0,
        disturbed: 0.11 + 0.11 * behind,
    };
    assert_eq!(
        (outcome.files[0].windows, outcome.files[0].hit, outcome.files[0].false_positives),
        (2, 1, 2)
    );
    close(outcome.files[0].raw(), expected.raw());
    assert_eq!(outcome.files[1], FileOutcome::default());
    // Null: -4. Perfect: 2.
    close(outcome.score, 100.0 * (expected.raw() + 4.0) / 6.0);
    close(outcome.lost(&outcome.files[0]) + outcome.lost(&outcome.files[1]), 100.0 - outcome.score);
    assert_eq!((outcome.hit(), outcome.windows(), outcome.false_positives()), (1, 2, 2));

    // The hit half way through the second window, at 0.2, is worth more than the false positive at
    // 0.7 costs.
    let best = rows.best(&ApplicationProfile::STANDARD);
    assert_eq!(best.threshold, 0.2);
    let half_way = 0.848_283_639_957_513 / 0.986_614_298_151_43;
    close(best.score, 100.0 * (1.0 + half_way - 0.11 - 0.11 * behind + 2.0) / 4.0);
}

#[test]
fn silence_is_0_and_perfect_is_100() {
    let (times, windows) = (times(100), [window(20, 29), window(60, 69)]);
    for profile in ApplicationProfile::ALL {
        let file = |scores| ScoredFile { times: &times, scores, windows: &windows, probation: 15 };
        let perfect = scores(100, &[(20, 1.0), (60, 0.5)]);
        let rows = Rows::new(&[file(&perfect)]).unwrap();
        close(rows.at(&profile, ABOVE_ALL).score, 0.0);
        let best = rows.best(&profile);
        assert_eq!(best.threshold, 0.5);
        close(best.score, 100.0);
        let early = scores(100, &[(16, 1.0), (17, 1.0), (40, 1.0)]);
        let best = Rows::new(&[file(&early)]).unwrap().best(&profile);
        assert_eq!(best.threshold, ABOVE_ALL, "where nothing is gained, silence is best");
    }
}

#[test]
fn of_equally_good_thresholds_the_highest_is_taken() {
    let (times, windows) = (times(100), [window(20, 29)]);
    // A later row of a window that was already hit changes nothing.
    let scores = scores(100, &[(22, 0.9), (24, 0.8), (25, 0.7)]);
    let file = ScoredFile { times: &times, scores: &scores, windows: &windows, probation: 15 };
    assert_eq!(Rows::new(&[file]).unwrap().best(&ApplicationProfile::STANDARD).threshold, 0.9);
}

#[test]
fn what_cannot_be_scored_is_refused() {
    let (times, windows) = (times(4), [window(1, 2)]);
    let file = ScoredFile { times: &times, scores: &[0.0; 4], windows: &windows, probation: 0 };
    let cases = [
        (ScoredFile { scores: &[0.0; 3], ..file }, "4 times, but 3 scores"),
        (ScoredFile { scores: &[0.0, 1.5, 0.0, 0.0], ..file }, "row 2 has a score of 1.5"),
        (ScoredFile { scores: &[0.0, 0.0, f64::NAN, 0.0], ..file }, "row 3 has a score of NaN"),
        (ScoredFile { windows: &[], ..file }, "no file has a labelled window"),
        (ScoredFile { probation: 3, ..file }, "no file has a labelled window"),
    ];
    for (file, told) in cases {
        let error = format!("{:#}", Rows::new(&[file]).unwrap_err());
        assert!(error.contains(told), "{error:?} does not say {told:?}");
    }
    assert!(Rows::new(&[file]).is_ok());
}

proptest! {
    #[test]
    fn no_threshold_beats_the_best(
        steps in proptest::collection::vec((0u32..8, 0u32..8), 60),
        first in 10i64..30, second in 35i64..50,
    ) {
        let (times, windows) = (times(60), [window(first, first + 4), window(second, second + 8)]);
        let scores: [Vec<f64>; 2] = [0, 1].map(|file| {
            steps.iter().map(|&(one, other)| f64::from([one, other][file]) / 7.0).collect()
        });
        let file = |scores, windows| ScoredFile { times: &times, scores, windows, probation: 9 };
        let files = [file(&scores[0], &windows), file(&scores[1], &windows[..1])];
        let rows = Rows::new(&files).unwrap();
        for profile in ApplicationProfile::ALL {
            let best = rows.best(&profile);
            let scores = (0..=7).map(|step| f64::from(step) / 7.0).chain([ABOVE_ALL]);
            let points = scores.map(|score| rows.at(&profile, score).score);
            let highest = points.fold(f64::MIN, f64::max);
            prop_assert!((best.score - highest).abs() < 1e-9, "{} is not {highest}", best.score);
        }
    }
}
