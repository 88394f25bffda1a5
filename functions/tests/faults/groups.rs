//! Auto Scaling groups that are watched as a whole, by the metric that CloudWatch makes of them.

use std::collections::BTreeSet;

use common::alerts::{Delivery, Way, deliveries};

use super::*;

/// Both machines of a group are stuck from here on, ...
const STUCK: i64 = MIDNIGHT + 3600;
/// ... until here.
const FREE: i64 = STUCK + 3600;
/// The instances, ...
const INSTANCES: usize = 8;
/// ... in four groups.
const SIZE: usize = 2;

/// A world that is watched so from half an hour before the fault to half an hour after it.
async fn watched(how: &str) -> World {
    let fleet = Generated::new(INSTANCES, 3).groups(SIZE);
    let fleet = [2, 3].into_iter().fold(fleet, |fleet, n| fleet.fault(n, STUCK, FREE, 100.0));
    let mut world = World::new(start_aws(fleet, STUCK - 1800), settings(&[("WATCH", how)]));
    for time in slots(STUCK - 1800, FREE + 1801) {
        let summary = world.run(time).await.unwrap();
        assert_eq!((summary.datums_failed, summary.alerts.failed), (0, 0), "{summary:?}");
    }
    world
}

/// The message of the beginning.
fn began(world: &World) -> Delivery {
    let is_it =
        |delivery: &Delivery| (delivery.told.way, &*delivery.told.kind) == (Way::Message, "began");
    let mut all: Vec<Delivery> = deliveries(&world.aws).into_iter().filter(is_it).collect();
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

/// The instances and groups that have scores.
fn scored(world: &World) -> BTreeSet<(String, String)> {
    let published = world.aws.published();
    let of = published.keys().filter(|stamp| stamp.metric == "AnomalyScore");
    of.flat_map(|stamp| stamp.dimensions.clone()).collect()
}

fn groups() -> BTreeSet<(String, String)> {
    let group = |n: usize| ("AutoScalingGroupName".to_string(), format!("group-{n}"));
    (0..INSTANCES / SIZE).map(group).collect()
}

fn instances() -> BTreeSet<(String, String)> {
    (0..INSTANCES).map(|n| ("InstanceId".to_string(), Generated::id(n))).collect()
}

#[tokio::test]
async fn groups_alone_cost_a_read_each_and_are_told_of_by_name() {
    let world = watched("groups").await;
    assert_eq!(scored(&world), groups());
    let reads = world.aws.calls().into_iter().filter(|call| call.operation == "GetMetricData");
    let queries: BTreeSet<usize> = reads.map(|call| call.queries).collect();
    assert_eq!(queries, BTreeSet::from([INSTANCES / SIZE]));
    let Delivery { text, told, .. } = began(&world);
    assert!(told.id.starts_with("asg:group-1-"), "{told:?}");
    assert!(text.starts_with("The group group-1 as a whole uses 100.0 % CPU"), "{text}");
    assert!(text.contains("AutoScalingGroupName~'group-1"), "{text}");
    assert!(text.contains("group-1 as a whole"), "{text}");
}

#[tokio::test]
async fn a_group_and_its_instances_are_one_incident() {
    let world = watched("both").await;
    assert_eq!(scored(&world), groups().union(&instances()).cloned().collect());
    let Delivery { text, .. } = began(&world);
    let all = format!("asg:group-1, {}, {}", Generated::id(2), Generated::id(3));
    let first = format!("It is on 3 of 3 instances of the group group-1: {all}.");
    assert!(text.starts_with(&first), "{text}");
}

#[tokio::test]
async fn instances_are_what_is_watched_without_a_word() {
    assert_eq!(scored(&watched("").await), instances());
}

#[tokio::test]
async fn tags_choose_groups_by_what_their_instances_have_in_common() {
    let fleet = Generated::new(INSTANCES, 3).groups(SIZE);
    let exclude = format!("{}=group-0|group-2", scripted_aws::GROUP);
    let variables = [("WATCH", "both"), ("EXCLUDE_TAGS", exclude.as_str())];
    let mut world = World::new(start_aws(fleet, STUCK), settings(&variables));
    world.run(STUCK).await.unwrap();
    let left = scored(&world).into_iter().map(|(_, value)| value).collect::<Vec<_>>();
    let ids = [2, 3, 6, 7].map(Generated::id);
    let expected: Vec<String> =
        ["group-1", "group-3"].map(String::from).into_iter().chain(ids).collect();
    assert_eq!(left, expected);
}
