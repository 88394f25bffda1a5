//! Datapoints that come late, and runs that have too little time.

use deepguard_aws::metric::Metric;

use super::*;

/// Plays datapoints that come late, and compares with the same datapoints on time.
async fn play_late(start: &Start, end: i64, late: &[(usize, i64, i64)], cold: bool) -> Vec<String> {
    let on_time = start.undisturbed(end).await;
    let fleet = late
        .iter()
        .fold(start.fleet.clone(), |fleet, &(n, time, delay)| fleet.late(n, time, delay));
    let mut world = start.world_with(fleet, settings(&[]));
    let (mut came_late, mut runs) = (0, 0);
    for time in slots(start.time + SLOT, end + 1) {
        if cold {
            world.restart();
        }
        if let Some(time) = calibrator_before(time) {
            world.calibrate(time).await.unwrap();
        }
        came_late += world.run(time).await.unwrap().caught_up.late;
        runs += 1;
    }
    // The first run at or after the arrival finds a late datapoint. Runs between the datapoint's
    // time and its arrival have scored without it.
    let may_differ = |mark: &Mark| {
        late.iter().any(|&(n, time, delay)| {
            let found = time + SLOT + delay + (-delay).rem_euclid(SLOT);
            Generated::id(n) == mark.0 && (time + 1..found - SLOT).contains(&mark.2)
        })
    };
    let mut wrong = on_time.differences_but(&world.aws.published(), may_differ);
    // A late alarm may begin an episode. On time it would have been part of one already.
    let began_late = |line: &String| {
        late.iter()
            .any(|&(_, time, _)| line.starts_with(&format!("AnomalousInstances at {}", text(time))))
    };
    // With it goes the band: a datapoint may have one or not, and never another one.
    let has_a_band = |line: &String| {
        let of_band = Metric::ALL.iter().filter(|metric| metric.is_of_band());
        of_band.map(|metric| metric.name()).any(|name| line.starts_with(name))
            && (line.contains("should not be there") || line.ends_with("is missing"))
    };
    wrong.retain(|line| !began_late(line) && !has_a_band(line));
    if came_late != late.len() {
        wrong.push(format!("{came_late} came late in {runs} runs, and not {}", late.len()));
    }
    wrong
}

#[tokio::test]
async fn what_comes_late_gets_the_score_that_it_would_have_had_and_changes_no_other() {
    let noon = MIDNIGHT + DAY / 2;
    let (start, _) = begun_at_noon();
    let two_hours = [(0, noon - 600, 7200), (2, noon - 900, 6000), (2, noon - 600, 6300)];
    let three_hours = [(0, noon - 300, 3 * 3600 - 600)];
    let two_at_different_times =
        [(0, noon - 600, 3600), (0, noon + 600, 600), (1, noon + 1500, 1700)];
    let before_midnight = [(0, MIDNIGHT - 1200, 600), (2, MIDNIGHT - 900, 600)];
    let after_midnight = [(0, MIDNIGHT + 600, 4000), (3, MIDNIGHT + 300, 900), (2, MIDNIGHT, 3600)];
    for cold in [false, true] {
        for late in [&two_hours[..], &three_hours, &two_at_different_times] {
            let wrong = play_late(start, noon + 3 * 3600, late, cold).await;
            assert!(wrong.is_empty(), "{late:?} cold {cold}: {wrong:#?}");
        }
        for late in [&before_midnight[..], &after_midnight] {
            let wrong = play_late(&begun().0, MIDNIGHT + 7200, late, cold).await;
            assert!(wrong.is_empty(), "{late:?} cold {cold}: {wrong:#?}");
        }
    }
}

#[tokio::test]
async fn slots_that_are_silently_missing_for_a_while_are_scored_when_they_come() {
    let noon = MIDNIGHT + DAY / 2;
    let (start, truth) = begun_at_noon();
    for (every, cold) in [(2, false), (3, true), (5, false), (7, true)] {
        let mut world = start.world();
        let silent = noon..noon + 1500;
        for time in slots(start.time + SLOT, noon + END - MIDNIGHT + 1) {
            if time == silent.start {
                world.aws.script([Fault::new("GetMetricData", When::Always, Kind::Missing(every))]);
            } else if time == silent.end {
                world.aws.clear_faults();
            }
            if cold {
                world.restart();
            }
            world.run(time).await.unwrap();
        }
        // Scores of those runs may lack one of the slots before.
        let may_differ = |mark: &Mark| (silent.start - SLOT..silent.end - SLOT).contains(&mark.2);
        let wrong = truth.differences_but(&world.aws.published(), may_differ);
        assert!(wrong.is_empty(), "every {every}, cold {cold}: {wrong:#?}");
    }
}

#[tokio::test]
async fn what_a_run_has_no_time_for_the_next_one_scores() {
    let (start, truth) = begun();
    let slow = Fault::new("GetMetricData", When::Always, Kind::Slow(Duration::from_secs(20)));
    for (fault, left) in [(None, 0), (None, 5), (Some(slow), 1500)] {
        let mut world = start.world();
        for time in slots(BEGIN + SLOT, END + 1) {
            if let Some(time) = calibrator_before(time) {
                world.calibrate(time).await.unwrap();
            }
            let short = [MIDNIGHT - 600, MIDNIGHT - 300, MIDNIGHT + 600].contains(&time);
            if short {
                fault.iter().for_each(|fault| world.aws.add(fault.clone()));
            }
            world.detection().set_time_left(short.then(|| Duration::from_millis(left)));
            let run = world.run(time).await;
            world.aws.clear_faults();
            let skipped = |summary: &Summary| {
                summary.instances.skipped.get("out_of_time").copied().unwrap_or_default()
            };
            match (short, left, &run) {
                (false, _, Ok(summary)) => assert_eq!(skipped(summary), 0, "{summary:?}"),
                // Enough time to read and to say so, but not to score.
                (true, 1500, Ok(summary)) => {
                    assert_eq!(
                        (skipped(summary), summary.instances.scored),
                        (summary.instances.seen, 0),
                        "{summary:?}"
                    );
                    assert_eq!(
                        (summary.state.saved, summary.datums_failed),
                        (true, 0),
                        "{summary:?}"
                    );
                }
                // Whether some milliseconds are enough for any work is unknown.
                (true, 0 | 5, Ok(_) | Err(RunError::NothingPublished { .. })) => {}
                _ => panic!("{left} ms at {}: {run:?}", text(time)),
            }
        }
        truth.assert(&world.aws.published(), &format!("{left} ms"));
    }
}

#[tokio::test]
async fn a_first_run_that_is_too_long_goes_on_in_the_next() {
    let mut fleet = fleet(MIDNIGHT);
    (fleet.instances, fleet.distinct) = (60, 14);
    let start = Start::new(fleet, BEGIN).await;
    let truth = start.undisturbed(END).await;
    let mut world = World::new(start_aws(start.fleet.clone(), BEGIN), settings(&[]));
    let mut scored = Vec::new();
    for time in slots(BEGIN + SLOT, END + 1) {
        if let Some(time) = calibrator_before(time) {
            world.calibrate(time).await.unwrap();
        }
        // The last fifth is reserved: more than one instance takes.
        let short = scored.len() < 2;
        world.detection().set_time_left(short.then(|| Duration::from_millis(4000)));
        let summary = world.run(time).await.unwrap();
        let skipped = summary.instances.skipped.get("out_of_time").copied().unwrap_or_default();
        assert_eq!((summary.datums_failed, summary.state.saved), (0, true), "{summary:?}");
        assert!(short || skipped == 0, "{summary:?}");
        scored.push((summary.instances.scored, skipped));
    }
    assert!(scored[0].0 > 0 && scored[0].1 > 0, "{scored:?}");
    truth.assert(&world.aws.published(), &format!("scored and out of time: {scored:?}"));
}
