//! Instances that are judged by their groups.

use deepguard_aws::metric::Skip;
use serde_json::{Value, json};

use super::incidents::{group, grouped, messages};
use super::*;
use crate::run::tests::tell::{Telling, follow};
use crate::state::by_group::ByGroup;

const NEWBORN: usize = 9;
const BORN: &str = "2026-01-15T14:40:00Z";
const BROKEN: &str = "2026-01-15T15:20:00Z";

/// Five machines that do the same work, and one that was launched at [`BORN`] and is stuck from
/// [`BROKEN`] on.
fn launch(broken: f64) -> World {
    launch_at(BORN, (BROKEN, broken))
}

/// The same, with another time of the launch.
fn launch_at(born: &str, (since, broken): (&str, f64)) -> World {
    let world = World::new();
    let mut cpu = world.metrics.cpu.borrow_mut();
    for number in 0..5 {
        let jitter = |point: &Datapoint| ((point.time / 300 * 31 + number * 7) % 11) as f64 / 20.0;
        let own =
            cpu_of_work().map(|point| Datapoint { value: point.value + jitter(&point), ..point });
        cpu.insert(instance(number as usize), own.collect());
    }
    let alive = cpu_of_work().filter(|point| point.time >= seconds(born)).map(|point| {
        let value = if point.time >= seconds(since) { broken } else { point.value };
        Datapoint { value, ..point }
    });
    cpu.insert(instance(NEWBORN), alive.collect());
    drop(cpu);
    world
}

fn cpu_of_work() -> impl Iterator<Item = Datapoint> {
    cpu(0, DAYS).into_iter()
}

/// The times at which the newborn was scored.
fn scored(world: &World) -> Vec<i64> {
    let scores = world.scores().into_keys();
    let newborn = scores
        .filter(|(id, metric, _)| (id, metric) == (&instance(NEWBORN), &Metric::AnomalyScore));
    newborn.map(|(_, _, time)| time).collect()
}

#[tokio::test]
async fn a_newborn_is_judged_from_its_second_datapoint_on_and_its_fault_is_told() {
    let world = launch(97.0);
    group(&world, &[0, 1, 2, 3, 4, NEWBORN], "web");
    let mut process = world.telling(grouped(None));
    let summaries = follow(&mut process, "2026-01-15T14:47:00Z", "2026-01-15T15:42:00Z").await;
    let skipped: Vec<Option<&usize>> = summaries
        .iter()
        .map(|summary| summary.instances.skipped.get(Skip::NoBaseline.name()))
        .collect();
    assert_eq!(skipped[0], Some(&1), "its first datapoint says nothing");
    assert!(skipped[1..].iter().all(Option::is_none), "{skipped:?}");
    let from = seconds(BORN) + PERIOD;
    let expected: Vec<i64> = (from..seconds("2026-01-15T15:40:00Z")).step_by(300).collect();
    assert_eq!(scored(&world), expected);
    let told = messages(&world);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["since"], BROKEN);
    let text = &told[0]["text"];
    assert!(text.as_str().is_some_and(|text| text.contains("Judged by its group")), "{text}");
}

#[tokio::test]
async fn runs_and_processes_change_no_score_of_a_newborn() {
    let world = launch(97.0);
    group(&world, &[0, 1, 2, 3, 4, NEWBORN], "web");
    let end = "2026-01-15T15:42:00Z";
    follow(&mut world.telling(grouped(None)), "2026-01-15T14:47:00Z", end).await;
    let expected = world.scores();
    let world = World { bucket: Rc::default(), ..world };
    for (index, time) in every_five_minutes("2026-01-15T14:47:00Z", end).enumerate() {
        if index % 3 == 1 {
            world.telling(grouped(None)).run(&json!({}), time).await.unwrap();
        }
    }
    let of_newborn = |scores: Scores| -> Vec<_> {
        let last = seconds("2026-01-15T15:35:00Z");
        let newborn =
            |(id, _, time): &(TargetId, Metric, i64)| *id == instance(NEWBORN) && *time < last;
        scores.into_iter().filter(|(of, _)| newborn(of)).collect()
    };
    let (expected, scores) = (of_newborn(expected), of_newborn(world.scores()));
    assert!(!expected.is_empty());
    assert_eq!(scores, expected);
}

#[tokio::test]
async fn without_a_group_or_with_too_few_members_it_is_not_judged() {
    for members in [&[][..], &[0, 1, NEWBORN]] {
        let world = launch(97.0);
        group(&world, members, "web");
        let mut process = world.telling(grouped(None));
        follow(&mut process, "2026-01-15T14:47:00Z", "2026-01-15T15:42:00Z").await;
        assert_eq!((scored(&world), messages(&world)), (vec![], Vec::<Value>::new()));
    }
}

#[tokio::test]
async fn a_member_that_is_gone_is_replaced_by_another() {
    let world = launch(97.0);
    group(&world, &[0, 1, 2, 3, 4, NEWBORN], "web");
    let mut process = world.telling(grouped(None));
    follow(&mut process, "2026-01-15T14:47:00Z", "2026-01-15T15:12:00Z").await;
    let judged = scored(&world);
    let (state, _) = process.store.state(&Part::WHOLE).await;
    let typical = state.instances[&instance(NEWBORN)]
        .by_group
        .as_ref()
        .unwrap()
        .judged
        .as_ref()
        .unwrap()
        .typical
        .clone();
    process.store.remember(state);
    // On the next day the typical member has no baseline. The newborn is too young for one.
    {
        let mut cpu = world.metrics.cpu.borrow_mut();
        cpu.get_mut(&typical).unwrap().retain(|point| point.time < seconds(BROKEN));
    }
    let mut process = world.telling(grouped(None));
    process.run(&json!({}), at("2026-01-16T00:37:00Z")).await.unwrap();
    let all = [judged, scored(&world)].concat();
    let from = seconds(BORN) + PERIOD;
    let expected: Vec<i64> = (from..seconds("2026-01-16T00:35:00Z")).step_by(300).collect();
    assert_eq!(all, expected);
    assert_eq!(messages(&world).len(), 1);
}

/// What the newborn's group knows of it, as it is stored.
async fn by_group(process: &mut Telling) -> Option<ByGroup> {
    let (state, _) = process.store.state(&Part::WHOLE).await;
    let by_group = state.instances[&instance(NEWBORN)].by_group.clone();
    process.store.remember(state);
    by_group
}

#[tokio::test]
async fn its_own_history_takes_over_at_the_first_midnight_after_three_days() {
    let born = "2026-01-12T14:40:00Z";
    let (first, last) = ("2026-01-15T22:02:00Z", "2026-01-16T01:02:00Z");
    let midnight = seconds("2026-01-16T00:00:00Z");
    let judged = |every: usize| async move {
        let world = launch_at(born, ("2026-01-20T00:00:00Z", 0.0));
        group(&world, &[0, 1, 2, 3, 4, NEWBORN], "web");
        let mut process = world.telling(grouped(None));
        let mut scores = Scores::new();
        for time in every_five_minutes(first, last).step_by(every) {
            process.run(&json!({}), time).await.unwrap();
            let of_newborn = |((id, metric, _), _): &(_, f64)| {
                (id, metric) == (&instance(NEWBORN), &Metric::AnomalyScore)
            };
            scores.extend(world.scores().into_iter().filter(of_newborn));
            let by_itself = scores.keys().any(|(_, _, time)| *time >= midnight);
            let by_group = by_group(&mut process).await;
            assert_eq!(by_group.and_then(|known| known.judged).is_none(), by_itself, "{time}");
        }
        scores
    };
    let expected = judged(1).await;
    let times: Vec<i64> = expected.keys().map(|(_, _, time)| *time).collect();
    assert!(times.windows(2).all(|pair| pair[1] == pair[0] + PERIOD), "{times:?}");
    assert!(times[0] < midnight && *times.last().unwrap() > midnight);
    // One of these runs has datapoints of both days.
    assert_eq!(judged(4).await, expected);
}

#[tokio::test]
async fn a_group_that_grows_takes_over_from_a_short_history_and_scores_nothing_twice() {
    let born = "2026-01-14T06:40:00Z";
    let world = launch_at(born, (BROKEN, 97.0));
    group(&world, &[0, 1, 2, 3, 4, NEWBORN], "web");
    let others = world.metrics.cpu.borrow_mut().split_off(&instance(2));
    let newborn =
        others.get_key_value(&instance(NEWBORN)).map(|(id, cpu)| (id.clone(), cpu.clone()));
    world.metrics.cpu.borrow_mut().extend(newborn);
    let mut process = world.telling(grouped(None));
    follow(&mut process, "2026-01-15T14:47:00Z", "2026-01-15T15:07:00Z").await;
    assert!(by_group(&mut process).await.unwrap().judged.is_none());
    let before = scored(&world);
    assert!(!before.is_empty(), "its own short history judges it");
    world.metrics.cpu.borrow_mut().extend(others);
    follow(&mut process, "2026-01-15T15:12:00Z", "2026-01-15T15:42:00Z").await;
    assert!(by_group(&mut process).await.unwrap().judged.is_some());
    let all = [before, scored(&world)].concat();
    assert!(all.windows(2).all(|pair| pair[1] == pair[0] + PERIOD), "{all:?}");
}

#[tokio::test]
async fn a_question_about_a_newborn_is_answered_by_its_group() {
    let world = launch(97.0);
    group(&world, &[0, 1, 2, 3, 4, NEWBORN], "web");
    let mut process = world.telling(grouped(None));
    follow(&mut process, "2026-01-15T14:47:00Z", "2026-01-15T15:42:00Z").await;
    let published = world.scores();
    let question = json!({ "instances": [instance(NEWBORN).to_string()] });
    let answer = process.run(&question, at("2026-01-15T15:42:00Z")).await.unwrap();
    assert_eq!((answer.instances.scored, answer.instances.anomalous.len()), (1, 1));
    let answered = world.scores();
    assert!(answered.len() > 5);
    for (of, value) in answered {
        assert_eq!(published.get(&of), Some(&value), "{of:?}");
    }
}

#[tokio::test]
async fn a_datapoint_of_the_day_before_that_comes_late_is_scored_as_if_it_had_been_on_time() {
    let missing = seconds("2026-01-15T23:50:00Z");
    let arrives = seconds("2026-01-16T00:47:00Z");
    let judged = |late: bool| async move {
        let world = launch_at(BORN, ("2026-01-20T00:00:00Z", 0.0));
        group(&world, &[0, 1, 2, 3, 4, NEWBORN], "web");
        let whole = world.metrics.cpu.borrow()[&instance(NEWBORN)].clone();
        if late {
            let holed = whole.iter().filter(|point| point.time != missing).copied().collect();
            world.metrics.cpu.borrow_mut().insert(instance(NEWBORN), holed);
        }
        let mut process = world.telling(grouped(None));
        let mut scores = Scores::new();
        for time in every_five_minutes("2026-01-15T22:02:00Z", "2026-01-16T01:02:00Z") {
            if time.as_second() >= arrives {
                world.metrics.cpu.borrow_mut().insert(instance(NEWBORN), whole.clone());
            }
            process.run(&json!({}), time).await.unwrap();
            scores.extend(world.scores().into_iter().filter(|((id, metric, _), _)| {
                (id, metric) == (&instance(NEWBORN), &Metric::AnomalyScore)
            }));
        }
        scores
    };
    let (on_time, late) = (judged(false).await, judged(true).await);
    assert_eq!(on_time.keys().collect::<Vec<_>>(), late.keys().collect::<Vec<_>>());
    let as_before = |time: i64| time <= missing || time >= arrives;
    for (of, value) in late.iter().filter(|((_, _, time), _)| as_before(*time)) {
        assert_eq!(on_time.get(of), Some(value), "{of:?}");
    }
    assert!(late.keys().any(|(_, _, time)| *time >= arrives));
}
