//! Incidents in a run: the page level, groups, and the state between runs.

use deepguard_aws::alert::Kind;
use deepguard_aws::metric::Metric;
use serde_json::{Value, json};

use super::tell::{Telling, follow, plain};
use super::*;
use crate::alert::digest::Daily;
use crate::alert::pending::Messages;

const GROUP: &str = "aws:autoscaling:groupName";
const FROM: &str = "2026-01-15T14:32:00Z";
const TO: &str = "2026-01-15T16:32:00Z";

/// Adds `more` points of CPU to the instances from [`FAULT`] on, for an hour, in place of the fault
/// of the world.
pub(super) fn fault(world: &World, numbers: &[usize], more: f64) {
    let hour = seconds(FAULT)..seconds(FAULT) + 3600;
    for (number, cpu) in world.metrics.cpu.borrow_mut().values_mut().enumerate() {
        let usual: Vec<f64> = cpu.iter().map(|point| point.value).collect();
        for index in 288..cpu.len() {
            let time = cpu[index].time;
            if time >= hour.start {
                cpu[index].value = usual[index - 288];
            }
            if numbers.contains(&number) && hour.contains(&time) {
                cpu[index].value += more;
            }
        }
    }
}

pub(super) fn group(world: &World, numbers: &[usize], name: &str) {
    for &number in numbers {
        let mut tags = world.metrics.tags.borrow_mut();
        tags.entry(instance(number)).or_default().insert(GROUP.into(), name.into());
    }
}

pub(super) fn grouped(pages_per_week: Option<f64>) -> Settings {
    let messages = Messages { began: true, ended: true, chat: false };
    Settings { pages_per_week, group_by: Some(GROUP.into()), messages, ..plain() }
}

/// The details of what was sent to the topic.
pub(super) fn messages(world: &World) -> Vec<Value> {
    let sent = world.metrics.notified.take();
    sent.iter().map(|alert| serde_json::from_str(&alert.detail).unwrap()).collect()
}

#[tokio::test]
async fn a_group_is_one_message_when_it_begins_and_one_when_all_of_it_is_over() {
    let world = World::new();
    fault(&world, &[0, 1, 2, 3], 60.0);
    group(&world, &[0, 1, 2, 3], "web");
    group(&world, &[4], "db");
    let mut process: Telling = world.telling(grouped(None));
    let summaries = follow(&mut process, FROM, TO).await;
    let messages = messages(&world);
    assert_eq!(messages.len(), 2, "{messages:?}");
    let (began, ended) = (&messages[0], &messages[1]);
    let text = began["text"].as_str().unwrap();
    assert!(text.starts_with("It is on 4 of 4 instances of the group web: i-"), "{text}");
    assert!(began["subject"].as_str().unwrap().starts_with("web: 4 of 4 instances, "));
    assert_eq!(began["incident"]["id"], ended["incident"]["id"]);
    assert!(ended["text"].as_str().unwrap().starts_with("It was on 4 instances of the group web"));
    assert_eq!(
        (&ended["incident"]["over"], &ended["incident"]["open"]),
        (&json!(true), &json!([]))
    );
    // Machines get an event for each instance.
    let events = world.metrics.told.take();
    assert_eq!(events.len(), 8);
    let pages: usize = summaries.iter().map(|summary| summary.episodes.pages).sum();
    assert_eq!(pages, 1);
    let anomalous = of_fleet(&world.published(), Metric::AnomalousInstances);
    assert_eq!(anomalous.iter().map(|(_, value)| value).fold(0.0, |a, b| b.max(a)), 4.0);
}

#[tokio::test]
async fn a_notice_is_an_event_and_a_metric_and_no_message() {
    let world = World::new();
    fault(&world, &[2], 1.5);
    let mut process = world.telling(grouped(Some(0.1)));
    let summaries = follow(&mut process, FROM, TO).await;
    let level = summaries[0].episodes.page_level;
    let events: Vec<Value> = world
        .metrics
        .told
        .take()
        .iter()
        .map(|alert| serde_json::from_str(&alert.detail).unwrap())
        .collect();
    assert!((1.5..=4.0).contains(&level), "{level}");
    assert_eq!((events.len(), messages(&world)), (2, vec![]), "{events:?}");
    assert_eq!(
        (&events[0]["page"], &events[0]["incident"]["paged"]),
        (&json!(false), &json!(false))
    );
    let score = events[0]["score"].as_f64().unwrap();
    assert!((1.0..level).contains(&score), "{score}");
    let published = world.published();
    let highest =
        |metric| of_fleet(&published, metric).iter().map(|(_, value)| *value).fold(0.0, f64::max);
    assert_eq!((highest(Metric::Notices), highest(Metric::AnomalousInstances)), (1.0, 0.0));
    assert_eq!(highest(Metric::PageLevel), level);
    // The same anomaly pages where each one is to.
    let world = World::new();
    fault(&world, &[2], 1.5);
    follow(&mut world.telling(grouped(None)), FROM, TO).await;
    assert_eq!(messages(&world).len(), 2);
}

#[tokio::test]
async fn without_tags_instances_are_scored_and_told_of_one_by_one() {
    let world = World::new();
    fault(&world, &[0, 1], 60.0);
    group(&world, &[0, 1, 2], "web");
    world.metrics.untagged.set(true);
    let mut process = world.telling(grouped(None));
    let summaries = follow(&mut process, FROM, "2026-01-15T15:02:00Z").await;
    assert!(summaries.iter().all(|summary| summary.instances.seen == 5));
    assert_eq!(messages(&world).len(), 2);
    assert_eq!(of_fleet(&world.published(), Metric::StaleInputs).last().unwrap().1, 1.0);
}

#[tokio::test]
async fn an_incident_goes_on_in_another_process() {
    let world = World::new();
    fault(&world, &[0, 1, 2], 60.0);
    group(&world, &[0, 1, 2], "web");
    let mut told = Vec::new();
    for time in every_five_minutes(FROM, TO) {
        let mut process = world.telling(grouped(None));
        process.run(&json!({}), time).await.unwrap();
        told.extend(messages(&world));
    }
    let overs: Vec<bool> = told.iter().map(|told| told["incident"]["over"] == true).collect();
    let ids: Vec<&Value> = told.iter().map(|told| &told["incident"]["id"]).collect();
    // A process does not know that its predecessor's messages arrived, and the same ids tell.
    assert_eq!((overs.first(), overs.last()), (Some(&false), Some(&true)));
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn a_digest_comes_once_a_day_by_the_reader_s_clock_whatever_is_restarted_or_refused() {
    let world = World::new();
    fault(&world, &[2], 60.0);
    let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
    // 17:00 in Berlin is 16:00 UTC.
    let daily = Daily { at: jiff::civil::Time::constant(17, 0, 0, 0), quiet: false };
    let settings = || Settings { digest: Some(daily), zone: zone.clone(), ..grouped(None) };
    let mut digests = Vec::new();
    // The topic refuses the run in which the digest is due, and the one after it.
    for time in ["14:57", "15:57", "16:02", "16:07", "16:12", "16:17"] {
        world.metrics.unheard.set(time == "16:02" || time == "16:07");
        let now = at(&format!("2026-01-15T{time}:00Z"));
        world.telling(settings()).run(&json!({}), now).await.unwrap();
        let sent = world.metrics.notified.take();
        let new = sent.into_iter().filter(|alert| alert.kind == Kind::Digest);
        digests.extend(new.map(|alert| (time, alert.subject, alert.text)));
    }
    let times: Vec<&str> = digests.iter().map(|(time, ..)| *time).collect();
    assert_eq!(times, ["16:12"], "{digests:?}");
    assert_eq!(digests[0].1, "deepguard: 1 page, 0 notices in a day");
    assert!(digests[0].2.contains("to 2026-01-15 17:00 CET."), "{}", digests[0].2);
    assert!(digests[0].2.contains("Scored: 5 of 5 watched instances"), "{}", digests[0].2);
}

/// A run of each of four shards. Gives the instances that each saw.
async fn four(world: &World, process: &mut Telling, time: &str) -> Vec<usize> {
    let mut seen = Vec::new();
    for shard in 0..4 {
        let event = json!({ "shard": shard, "shards": 4 });
        seen.push(process.run(&event, at(time)).await.unwrap().instances.seen);
    }
    assert_eq!(seen.iter().sum::<usize>(), world.metrics.cpu.borrow().len());
    seen
}

#[tokio::test]
async fn shards_keep_a_group_together_and_another_division_loses_nothing() {
    let world = World::new();
    fault(&world, &[0, 1, 2, 3], 60.0);
    let more = (10..22).map(|number| (instance(number), cpu(number, DAYS)));
    world.metrics.cpu.borrow_mut().extend(more);
    group(&world, &[0, 1, 2, 3, 4, 10, 11], "web");
    group(&world, &[12, 13, 14], "db");
    let times = ["14:32", "14:37", "14:42", "14:47", "15:02", "16:32"];
    let times = times.map(|time| format!("2026-01-15T{time}:00Z"));
    follow(&mut world.telling(grouped(None)), &times[0], &times[4]).await;
    let expected = world.scores();
    messages(&world);
    let world = World { bucket: Rc::default(), ..world };
    // One part, four of instances, four of groups, and one again.
    let ungrouped = || Settings { group_by: None, ..grouped(None) };
    world.telling(ungrouped()).run(&json!({}), at(&times[0])).await.unwrap();
    four(&world, &mut world.telling(ungrouped()), &times[1]).await;
    let seen = four(&world, &mut world.telling(grouped(None)), &times[2]).await;
    assert!(seen.contains(&0) || seen.iter().any(|seen| *seen >= 7), "{seen:?}");
    four(&world, &mut world.telling(grouped(None)), &times[3]).await;
    let mut process = world.telling(grouped(None));
    four(&world, &mut process, &times[4]).await;
    let told = messages(&world);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["incident"]["instances"], 4, "{}", told[0]["incident"]);
    let scores = world.scores();
    assert!(scores == expected, "other scores than those of one part");
    // Back into one part, whose incident goes on until it is over.
    follow(&mut world.telling(grouped(None)), &times[4], &times[5]).await;
    let over = messages(&world);
    assert_eq!(over.len(), 1, "{over:?}");
    assert_eq!(over[0]["incident"]["id"], told[0]["incident"]["id"]);
}

#[tokio::test]
async fn a_shard_whose_groups_are_unknown_scores_nothing_and_the_next_run_makes_up_for_it() {
    let world = World::new();
    group(&world, &[0, 1, 2], "web");
    world.metrics.untagged.set(true);
    let mut process = world.telling(grouped(None));
    let event = json!({ "shard": 0, "shards": 2 });
    let error = process.run(&event, at("2026-01-15T14:32:00Z")).await.unwrap_err();
    assert!(error.to_string().contains("GetResources"), "{error}");
    assert!(world.published().is_empty() && world.bucket.keys().is_empty());
    world.metrics.untagged.set(false);
    let mut seen = 0;
    for shard in 0..2 {
        let event = json!({ "shard": shard, "shards": 2 });
        let run = process.run(&event, at("2026-01-15T14:37:00Z")).await.unwrap();
        seen += run.instances.scored;
    }
    assert_eq!(seen, 5);
    // Known once, they stay in use.
    world.metrics.untagged.set(true);
    let now = at("2026-01-16T14:47:00Z");
    assert!(process.run(&event, now).await.is_ok());
}
