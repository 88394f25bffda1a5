//! The messages of a run: their independence of the events, and the test that a person asks for.

use deepguard_aws::alert::{Alert, Kind};
use serde_json::json;

use super::tell::{follow, mended, plain};
use super::*;
use crate::alert::pending::Messages;
use crate::state::State;

const BOTH: Messages = Messages { began: true, ended: true, chat: false };

fn kinds(alerts: &[Alert]) -> Vec<Kind> {
    alerts.iter().map(|alert| alert.kind).collect()
}

#[tokio::test]
async fn a_message_has_the_words_of_its_event_and_the_same_id() {
    let world = World::new();
    mended(&world);
    let mut process = world.telling(Settings { messages: BOTH, ..plain() });
    follow(&mut process, "2026-01-15T14:32:00Z", "2026-01-15T16:32:00Z").await;
    let (events, messages) = (world.metrics.told.take(), world.metrics.notified.take());
    assert_eq!(kinds(&messages), [Kind::Began, Kind::Ended]);
    assert_eq!(messages, events);
    for message in messages {
        let detail: serde_json::Value = serde_json::from_str(&message.detail).unwrap();
        assert_eq!((&detail["text"], &detail["id"]), (&json!(message.text), &json!(message.id)));
        let words = message.text.split("\nIf it is not an anomaly: ").next().unwrap();
        assert!(!words.contains('"'), "{}", message.text);
        assert!(message.subject.starts_with(&format!("{}: ", instance(FAULTY))));
    }
}

#[tokio::test]
async fn people_are_told_what_they_want_and_machines_everything() {
    for (wanted, expected) in [
        (Messages::default(), &[][..]),
        (Messages { began: true, ended: false, chat: false }, &[Kind::Began]),
        (Messages { began: false, ended: true, chat: false }, &[Kind::Ended]),
    ] {
        let world = World::new();
        mended(&world);
        let mut process = world.telling(Settings { messages: wanted, ..plain() });
        follow(&mut process, "2026-01-15T14:32:00Z", "2026-01-15T16:32:00Z").await;
        assert_eq!(kinds(&world.metrics.told.take()), [Kind::Began, Kind::Ended]);
        assert_eq!(kinds(&world.metrics.notified.take()), expected);
    }
}

#[tokio::test]
async fn without_a_topic_no_message_waits_for_one() {
    let world = World::new();
    let mut process = world.telling(Settings { topic: None, messages: BOTH, ..plain() });
    let summary = process.run(&json!({}), at(NOW)).await.unwrap();
    assert_eq!(summary.alerts, Delivered { events: 1, messages: 0, chats: 0, failed: 0 });
    assert_eq!(world.metrics.notified.take(), []);
}

#[tokio::test]
async fn a_bus_that_refuses_delays_no_message_and_a_topic_that_refuses_no_event() {
    for bus_fails in [true, false] {
        let world = World::new();
        let mut process = world.telling(plain());
        world.metrics.deaf.set(bus_fails);
        world.metrics.unheard.set(!bus_fails);
        let summary = process.run(&json!({}), at(NOW)).await.unwrap();
        let (events, messages) = (usize::from(!bus_fails), usize::from(bus_fails));
        assert_eq!(summary.alerts, Delivered { events, messages, chats: 0, failed: 1 });
        let failures = of_fleet(&world.published(), Metric::PublishFailures);
        assert_eq!(failures.last().map(|(_, value)| *value), Some(1.0), "an alarm rings by it");

        world.metrics.deaf.set(false);
        world.metrics.unheard.set(false);
        let summary = process.run(&json!({}), at("2026-01-15T15:07:00Z")).await.unwrap();
        assert_eq!((summary.alerts.events, summary.alerts.messages), (messages, events));
        let (events, messages) = (world.metrics.told.take(), world.metrics.notified.take());
        assert_eq!((events.len(), messages.len()), (1, 1), "each arrives once");
        assert_eq!(events[0].id, messages[0].id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_hangs_delays_neither_message_nor_metrics() {
    let world = World::new();
    let mut process = world.telling(plain());
    world.metrics.hangs.set(true);
    process.set_time_left(Some(Duration::from_secs(120)));
    let summary = process.run(&json!({}), at(NOW)).await.unwrap();
    assert_eq!(summary.alerts, Delivered { events: 0, messages: 1, chats: 0, failed: 1 });
    assert!(summary.datums_published > 0 && summary.datums_failed == 0, "{summary:?}");
    let failures = of_fleet(&world.published(), Metric::PublishFailures);
    assert_eq!(failures.last().map(|(_, value)| *value), Some(1.0));
}

#[tokio::test]
async fn an_alert_is_worded_when_it_is_sent() {
    let world = World::new();
    world.metrics.deaf.set(true);
    world.metrics.unheard.set(true);
    let name = |name: &str| [("Name".to_string(), name.to_string())].into();
    world.metrics.tags.borrow_mut().insert(instance(FAULTY), name("before"));
    world.telling(plain()).run(&json!({}), at(NOW)).await.unwrap();
    let key = "s3://my-models/state/shards/1/0";
    let state = State::from_bytes(&world.bucket.content(key).unwrap()).unwrap();
    assert_eq!(state.alerts.len(), 1);
    assert!(!format!("{:?}", state.alerts).contains("before"), "the state holds no words");

    world.metrics.deaf.set(false);
    world.metrics.unheard.set(false);
    world.metrics.tags.borrow_mut().insert(instance(FAULTY), name("after"));
    world.telling(plain()).run(&json!({}), at("2026-01-15T15:07:00Z")).await.unwrap();
    let [message] = &world.metrics.notified.take()[..] else { panic!("one message") };
    assert!(message.subject.starts_with("after: "), "{}", message.subject);
}

#[tokio::test]
async fn a_test_goes_to_the_bus_and_to_the_topics_or_fails() {
    let world = World::new();
    let mut process = world.telling(Settings { messages: Messages::default(), ..plain() });
    process.test_alerts(at(NOW)).await.unwrap();
    assert_eq!(kinds(&world.metrics.told.take()), [Kind::Test]);
    assert_eq!(kinds(&world.metrics.notified.take()), [Kind::Test]);
    assert_eq!(kinds(&world.metrics.chatted.take()), [Kind::Test]);
    world.metrics.away.set(true);
    assert!(process.test_alerts(at(NOW)).await.is_err());
    world.metrics.away.set(false);
    world.metrics.unheard.set(true);
    let error = process.test_alerts(at(NOW)).await.unwrap_err().to_string();
    assert_eq!(error, "the test did not arrive: PublishBatch failed: said the script");
}

const CHAT: &str = "arn:aws:sns:us-east-1:000000000000:chat";

fn thread(alert: &Alert) -> String {
    let chat: serde_json::Value = serde_json::from_str(&alert.chat).unwrap();
    chat["metadata"]["threadId"].as_str().unwrap().into()
}

#[tokio::test]
async fn a_chat_gets_the_whole_episode_in_one_thread() {
    let world = World::new();
    mended(&world);
    let chat_topic = Some(CHAT.to_string());
    // Whatever the messages of the other topic are.
    let settings = Settings { chat_topic, topic: None, ..plain() };
    let mut process = world.telling(settings);
    follow(&mut process, "2026-01-15T14:32:00Z", "2026-01-15T16:32:00Z").await;
    let chatted = world.metrics.chatted.take();
    assert_eq!(kinds(&chatted), [Kind::Began, Kind::Ended]);
    assert_eq!(thread(&chatted[0]), chatted[0].id);
    assert_eq!(thread(&chatted[0]), thread(&chatted[1]), "the end answers the beginning");
    assert_eq!(world.metrics.notified.take(), []);
}

#[tokio::test]
async fn a_chat_that_refuses_delays_only_itself_and_another_process_tries_again() {
    let world = World::new();
    let settings = || Settings { chat_topic: Some(CHAT.into()), ..plain() };
    world.metrics.away.set(true);
    let summary = world.telling(settings()).run(&json!({}), at(NOW)).await.unwrap();
    assert_eq!(summary.alerts, Delivered { events: 1, messages: 1, chats: 0, failed: 1 });
    world.metrics.away.set(false);
    // The state that this process has decided upon was stored before anything was sent.
    let mut process = world.telling(settings());
    process.run(&json!({}), at("2026-01-15T15:07:00Z")).await.unwrap();
    assert_eq!(kinds(&world.metrics.chatted.take()), [Kind::Began]);
    process.run(&json!({}), at("2026-01-15T15:12:00Z")).await.unwrap();
    assert_eq!(world.metrics.chatted.take(), [], "it arrives once");
}

#[tokio::test]
async fn without_a_chat_nothing_waits_for_one() {
    let world = World::new();
    let summary = world.telling(plain()).run(&json!({}), at(NOW)).await.unwrap();
    assert_eq!(summary.alerts, Delivered { events: 1, messages: 1, chats: 0, failed: 0 });
    assert_eq!(world.metrics.chatted.take(), []);
}
