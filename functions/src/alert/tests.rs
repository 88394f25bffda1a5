use deepguard::episode::{Episodes, MOfN};

use super::*;
use crate::testing::{instance, scored};

const NOON: i64 = 1_768_478_400;

fn console() -> Console {
    Console { region: "eu-central-1".into(), namespace: "DeepGuard".into() }
}

/// Both events of an episode of `scored`.
fn told(name: Option<&str>, first: Scored) -> [Value; 2] {
    let (console, instance) = (console(), instance(7));
    let about = About {
        deployment: "deepguard",
        instance: &instance,
        name,
        baseline: None,
        model: "2026-01-01-abc",
        model_days: Some(14.26),
        console: &console,
    };
    let mut episodes = Episodes::default();
    let mut changes = episodes.update(&first, MOfN::default());
    for slot in 1..=6 {
        let calm = Scored { observed: first.usual, ..scored(first.time + slot * PERIOD, 0.1) };
        changes.extend(episodes.update(&calm, MOfN::default()));
    }
    let alerts: Vec<Alert> = changes.iter().map(|change| about.alert(change)).collect();
    assert_eq!(
        alerts.iter().map(|alert| alert.kind).collect::<Vec<_>>(),
        [Kind::Began, Kind::Ended]
    );
    [0, 1].map(|index| serde_json::from_str(&alerts[index].detail).unwrap())
}

#[test]
fn it_says_which_since_when_what_was_expected_and_what_to_look_at() {
    let finding = Finding {
        shape: Shape::Spike,
        since: NOON - 300,
        deviation: 80.0,
        rank: Rank::HighestOfHour,
        run: 1,
    };
    let [began, ended] =
        told(Some("web-1"), Scored { finding: Some(finding), ..scored(NOON, 2.5) });
    assert_eq!(began["id"], ended["id"]);
    assert_eq!((&began["instance"], &began["name"]), (&json!(instance(7)), &json!("web-1")));
    assert_eq!(
        (&began["shape"], &began["since"]),
        (&json!("spike"), &json!("2026-01-15T11:55:00Z"))
    );
    assert_eq!(
        (&began["observed"], &began["expected"], &began["band"]),
        (&json!(90.0), &json!(10.0), &json!([5.0, 15.0]))
    );
    assert_eq!(began["how_unusual"], "higher than all of the last 0 days at this hour");
    let text = began["text"].as_str().unwrap();
    for part in [
        "web-1 (i-00000000000000007) uses 90.0 % CPU instead of 10.0 % (5.00 % to 15.0 %), since \
         2026-01-15 11:55 UTC.",
        "Score 2.50 (1.00 is the threshold)",
        "model 2026-01-01-abc (14 days old)",
        "Look at: the busiest",
        "Graph: https://eu-central-1.",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(ended["duration_seconds"], 600);
    assert!(
        ended["text"].as_str().unwrap().starts_with(
            "web-1 (i-00000000000000007) is as usual again: spike from 2026-01-15 11:55 UTC to"
        ),
        "{ended}"
    );
}

#[test]
fn without_a_name_the_instance_has_its_id() {
    let [began, _] = told(None, scored(NOON, 2.5));
    assert!(began["subject"].as_str().unwrap().starts_with("i-00000000000000007: "), "{began}");
    assert_eq!(began["name"], Value::Null);
}

#[test]
fn durations_are_read_at_a_glance() {
    assert_eq!(
        [300, 3600, 5400, 90_000, -5].map(duration),
        ["5 min", "1 h", "1 h 30 min", "1 d 1 h", "0 min"]
    );
}

#[test]
fn a_stopped_instance_has_no_value() {
    let (console, instance) = (console(), instance(7));
    let about = About {
        deployment: "deepguard",
        instance: &instance,
        name: None,
        baseline: None,
        model: "m",
        model_days: None,
        console: &console,
    };
    let changes = Episodes::default().silent(NOON, NOON + 1800, || true);
    let detail: Value = serde_json::from_str(&about.alert(&changes[0]).detail).unwrap();
    assert_eq!((&detail["shape"], &detail["observed"]), (&json!("stopped"), &Value::Null));
    assert!(detail["text"].as_str().unwrap().contains("has stopped reporting"), "{detail}");
}
