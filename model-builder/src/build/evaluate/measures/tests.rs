use std::cmp::Ordering;

use super::*;
use proptest::prelude::*;

#[test]
fn alarms_are_counted_by_window() {
    let windows = [100..200, 300..400, 500..600];
    // Alarms: one before the windows; two in the first window, the later one given first; one at
    // its end, which is outside; one in the second window.
    let found = Alarms::of(&[50, 180, 130, 200, 300], &windows);
    assert_eq!(found, Alarms { raised: 5, false_alarms: 2, windows: 3, delays: vec![30, 0] });
    assert_eq!((found.precision(), found.recall()), (Some(0.6), Some(2.0 / 3.0)));
    assert_eq!((found.hit(), found.median_delay()), (2, Some(15.0)));

    let silent = Alarms::of(&[], &windows[..1]);
    assert_eq!(
        (silent.precision(), silent.recall(), silent.median_delay()),
        (None, Some(0.0), None)
    );
    let both: Alarms = [found, silent, Alarms::of(&[7], &[])].into_iter().sum();
    assert_eq!(both, Alarms { raised: 6, false_alarms: 3, windows: 4, delays: vec![30, 0] });
    assert_eq!(Alarms::default().recall(), None);
}

#[test]
fn confusion_counts_rows() {
    let rows = [(true, true), (true, true), (true, false), (false, true), (false, false)];
    let found = Confusion::of(rows);
    assert_eq!(
        (found.precision(), found.recall(), found.f1()),
        (Some(2.0 / 3.0), Some(2.0 / 3.0), Some(2.0 / 3.0))
    );
    let twice: Confusion = [found, found].into_iter().sum();
    let counts = |of: Confusion| {
        (of.true_positives, of.false_positives, of.false_negatives, of.true_negatives)
    };
    assert_eq!((counts(found), counts(twice)), ((2, 1, 1, 1), (4, 2, 2, 2)));
    let quiet = Confusion::of([(false, false)]);
    assert_eq!((quiet.precision(), quiet.recall(), quiet.f1()), (None, None, None));
}

#[test]
fn ranking_of_a_case_worked_out_by_hand() {
    // Two rows share 0.8, one of each class. Pairs won: 0.9 beats 3, 0.8 beats 2 and draws 1, 0.3
    // beats 1.
    let rows = [(0.9, true), (0.8, true), (0.8, false), (0.5, false), (0.3, true), (0.1, false)];
    let ranking = Ranking::of(rows).unwrap();
    assert!((ranking.auc() - (3.0 + 2.5 + 1.0) / 9.0).abs() < 1e-12);
    // Recall by steps of 1/3 at precisions 1, 2/3 and 3/5.
    assert!((ranking.average_precision() - (1.0 + 2.0 / 3.0 + 3.0 / 5.0) / 3.0).abs() < 1e-12);
    let third = 1.0 / 3.0;
    let roc = [
        (0.0, 0.0),
        (0.0, third),
        (third, 2.0 / 3.0),
        (2.0 / 3.0, 2.0 / 3.0),
        (2.0 / 3.0, 1.0),
        (1.0, 1.0),
    ];
    assert_eq!(ranking.roc_curve(100), roc);
    assert_eq!(
        ranking.precision_recall_curve(100),
        [(third, 1.0), (2.0 / 3.0, 2.0 / 3.0), (2.0 / 3.0, 0.5), (1.0, 0.6), (1.0, 0.5)]
    );
}

#[test]
fn equal_scores_know_nothing_and_one_class_cannot_be_ranked() {
    let equal = Ranking::of([(0.5, true), (0.5, false), (0.5, false), (0.5, false)]).unwrap();
    assert_eq!((equal.auc(), equal.average_precision()), (0.5, 0.25));
    let unscored = Ranking::of([(f64::NAN, true), (0.1, false), (0.2, true)]).unwrap();
    assert_eq!(unscored.auc(), 0.5, "a row without a score ranks last");
    assert!(Ranking::of([(0.5, true)]).is_none() && Ranking::of([(0.5, false)]).is_none());
}

#[test]
fn what_stands_out_most_is_labelled_for_want_of_labels() {
    let values: Vec<f64> = (1..=100).map(f64::from).collect();
    let labelled = |proxy: Proxy, values: &[f64]| {
        let labels = proxy.labels(values, 0.05);
        labels
            .iter()
            .enumerate()
            .filter(|(_, label)| **label)
            .map(|(row, _)| row)
            .collect::<Vec<usize>>()
    };
    assert_eq!(labelled(Proxy::Value, &values), [95, 96, 97, 98, 99]);
    // 50.5 is the median. 3 and 98 are exactly as far from it as the quantile, and so not over it.
    assert_eq!(labelled(Proxy::FromMedian, &values), [0, 1, 98, 99]);
    assert_eq!(labelled(Proxy::FromMedian, &[5.0; 50]), [0; 0]);
    assert_eq!(labelled(Proxy::Value, &[]), [0; 0]);
    assert_eq!(labelled(Proxy::FromMedian, &[1.0, f64::NAN, 1.0, 9.0]), [3]);
}

proptest! {
    #[test]
    fn the_area_is_the_share_of_pairs_in_order(
        rows in proptest::collection::vec((0u8..6, any::<bool>()), 2..60),
    ) {
        let rows: Vec<(f64, bool)> =
            rows.iter().map(|&(score, label)| (f64::from(score), label)).collect();
        let of = |class| rows.iter().filter(move |row| row.1 == class).map(|row| row.0);
        let pairs = of(true).flat_map(|high| of(false).map(move |low| (high, low)));
        let win = |(high, low): (f64, f64)| match high.total_cmp(&low) {
            Ordering::Greater => 1.0,
            Ordering::Equal => 0.5,
            Ordering::Less => 0.0,
        };
        let won: f64 = pairs.clone().map(win).sum();
        match Ranking::of(rows.iter().copied()) {
            None => prop_assert_eq!(pairs.count(), 0),
            Some(ranking) => {
                prop_assert!((ranking.auc() - won / pairs.count() as f64).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn a_thinned_curve_keeps_its_ends(
        rows in proptest::collection::vec((0.0f64..1.0, any::<bool>()), 300),
        at_most in 0usize..400,
    ) {
        let ranking = Ranking::of(rows).unwrap();
        let (whole, thin) = (ranking.roc_curve(usize::MAX), ranking.roc_curve(at_most));
        prop_assert!(thin.len() <= at_most.max(2));
        prop_assert!(thin.len() >= at_most.clamp(2, whole.len()) / 2);
        prop_assert_eq!((thin.first(), thin.last()), (whole.first(), whole.last()));
        prop_assert!(thin.iter().all(|point| whole.contains(point)));
    }
}
