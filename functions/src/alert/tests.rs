use deepguard::episode::{Episodes, MOfN};
use deepguard_aws::alert::Kind;
use jiff::tz::TimeZone;

use super::*;
use crate::alert::console::Console;
use crate::testing::{instance, scored};
use crate::trigger::shard::Shard;

const NOON: i64 = 1_768_478_400;

fn sender() -> Sender {
    let console =
        Console { region: "eu-central-1".into(), namespace: "DeepGuard".into(), bands: true };
    Sender {
        deployment: "deepguard".into(),
        function: "deepguard-Detector-abc".into(),
        shard: Shard::WHOLE,
        console,
        zone: TimeZone::UTC,
    }
}

fn basis(model_days: Option<f64>) -> Basis {
    Basis { model: "2026-01-01-abc".into(), model_days, baseline: None }
}

/// Both events of an episode of `scored`.
fn told(name: Option<&str>, first: Scored) -> [Value; 2] {
    let (sender, basis, instance) = (sender(), basis(Some(14.26)), instance(7));
    let note = Note::of_one(&instance, first.time);
    let about = About {
        instance: &instance,
        name,
        basis: &basis,
        note: &note,
        earlier: None,
        sender: &sender,
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
    assert_eq!(
        began["how_unusual"],
        "higher than all that its group had in two weeks at this hour"
    );
    let text = began["text"].as_str().unwrap();
    for part in [
        "web-1 (i-00000000000000007) uses 90.0 % CPU instead of 10.0 % (5.00 % to 15.0 %), since \
         2026-01-15 11:55 UTC.",
        "Score 2.50 (1.00 is the threshold)",
        "model 2026-01-01-abc (14 days old)",
        "Look at: the busiest",
        "Graph: https://eu-central-1.",
        "\nIf it is not an anomaly: aws lambda invoke --function-name deepguard-Detector-abc \
         --region eu-central-1 --cli-binary-format raw-in-base64-out --payload \
         '{\"label\":{\"incident\":\"i-00000000000000007-1768478400\",\"is\":\"not an \
         anomaly\"}}' /dev/stdout",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!ended["text"].as_str().unwrap().contains("aws lambda"), "{ended}");
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
    let (sender, basis, instance) = (sender(), basis(None), instance(7));
    let note = Note::of_one(&instance, NOON);
    let about = About {
        instance: &instance,
        name: None,
        basis: &basis,
        note: &note,
        earlier: None,
        sender: &sender,
    };
    let changes = Episodes::default().silent(NOON, NOON + 1800, || true);
    let detail: Value = serde_json::from_str(&about.alert(&changes[0]).detail).unwrap();
    assert_eq!((&detail["shape"], &detail["observed"]), (&json!("stopped"), &Value::Null));
    assert!(detail["text"].as_str().unwrap().contains("has stopped reporting"), "{detail}");
}

#[test]
fn a_name_that_is_a_text_stays_a_name() {
    let name = "web\nSubject: you won https://evil.example/\u{202e}";
    let [began, ended] = told(Some(name), scored(NOON, 2.5));
    assert_eq!(began["name"], name, "machines get it as it is");
    for event in [began, ended] {
        let (subject, text) = (event["subject"].as_str().unwrap(), event["text"].as_str().unwrap());
        assert!(subject.starts_with("webSubject: you won https: / /evil.example/: "), "{subject}");
        assert!(!text.contains("https://evil") && !text.contains('\u{202e}'), "{text}");
        assert!(text.lines().next().unwrap().contains("(i-00000000000000007)"), "{text}");
    }
}

#[test]
fn a_subject_says_which_instance_in_any_script() {
    let [began, _] = told(Some("\u{6570}\u{636e}\u{5e93}"), scored(NOON, 2.5));
    let (subject, text) = (began["subject"].as_str().unwrap(), began["text"].as_str().unwrap());
    assert!(subject.starts_with("i-00000000000000007: "), "{subject}");
    assert!(text.starts_with("\u{6570}\u{636e}\u{5e93} (i-00000000000000007) "), "{text}");
}

#[test]
fn the_longest_alert_is_far_below_the_limits() {
    // A tag's value has up to 256 characters. (EC2, "Tag restrictions")
    let name = "\u{20ac}".repeat(256);
    for event in told(Some(&name), scored(NOON, 2.5)) {
        // PutEvents takes 256 KB in one call, and PublishBatch too, for up to ten of them.
        let bytes = event.to_string().len();
        assert!(bytes * 10 < 100_000, "{bytes}");
    }
}

#[test]
fn a_test_says_that_it_is_one() {
    let alert = sender().test(NOON);
    let detail: Value = serde_json::from_str(&alert.detail).unwrap();
    assert_eq!((alert.kind, &detail["deployment"]), (Kind::Test, &json!("deepguard")));
    assert!(alert.subject.starts_with("TEST of deepguard"), "{}", alert.subject);
    assert!(alert.text.contains("2026-01-15 12:00 UTC"), "{}", alert.text);
}

#[test]
fn times_are_those_of_the_reader_in_summer_and_in_winter() {
    let berlin = Sender { zone: TimeZone::get("Europe/Berlin").unwrap(), ..sender() };
    assert_eq!(sender().clock(NOON), "2026-01-15 12:00 UTC");
    assert_eq!(berlin.clock(NOON), "2026-01-15 13:00 CET");
    assert_eq!(berlin.clock(NOON + 180 * 86_400), "2026-07-14 14:00 CEST");
    let (basis, instance) = (basis(None), instance(7));
    let note = Note::of_one(&instance, NOON);
    let about = About {
        instance: &instance,
        name: None,
        basis: &basis,
        note: &note,
        earlier: None,
        sender: &berlin,
    };
    let changes = Episodes::default().silent(NOON, NOON + 1800, || true);
    let alert = about.alert(&changes[0]);
    assert!(alert.text.contains("since 2026-01-15 13:00 CET."), "{}", alert.text);
    assert!(alert.detail.contains("\"since\":\"2026-01-15T12:00:00Z\""), "machines get UTC");
}
