use std::collections::BTreeMap;
use std::rc::Rc;

use deepguard::Datapoint;
use deepguard::series::PERIOD;
use deepguard_aws::ids::TargetId;

use super::*;
use crate::testing::memory::Metrics;
use crate::testing::{Bucket, artifact, artifact_with_threshold, instance, put};

const CURRENT: &str = "s3://my-models/models/current";
const LABELS: &str = "s3://my-models/settings/labels.json";
/// 15 January 2026, 12:00.
const NOW: i64 = 1_768_478_400;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn promotion(version: &str) -> PromoteArgs {
    PromoteArgs {
        to: "s3://my-models/models".parse().unwrap(),
        version: version.parse().unwrap(),
        because: None,
        days: 14,
        labels: None,
        out: None,
        who: Who { by: "somebody".parse().unwrap() },
    }
}

fn metrics(cpu: BTreeMap<TargetId, Vec<Datapoint>>) -> Rc<Metrics> {
    Rc::new(Metrics { cpu: cpu.into(), ..Metrics::default() })
}

/// Three generated machines, the first of which has just broken; and when.
fn fleet() -> (Rc<Metrics>, i64) {
    let machines = crate::build::simulate::fleet(7, NOW);
    let fault = machines[0].fault.unwrap();
    let cpu = machines
        .into_iter()
        .take(3)
        .enumerate()
        .map(|(number, machine)| (instance(number), machine.datapoints));
    (metrics(cpu.collect()), fault)
}

fn label(bucket: &Bucket, instance: TargetId, from: i64, verdict: &str) {
    let time = Timestamp::from_second(from).unwrap().to_string();
    let label = serde_json::json!({
        "instance": instance, "from": time, "until": time,
        "verdict": verdict, "by": "me", "at": time,
    });
    bucket.store(LABELS, serde_json::json!({ "labels": [label] }).to_string());
}

fn record(bucket: &Bucket, version: &str) -> serde_json::Value {
    bucket.json(&format!("s3://my-models/models/promotions/20260115T120000Z-{version}.json"))
}

#[test]
fn an_episode_is_one_page() {
    let (fleet, _) = fleet();
    let cpu = fleet.cpu.borrow()[&instance(0)].clone();
    let series = deepguard::Series::from_datapoints(cpu).unwrap().0;
    let detector = Detector::new(artifact(), &device());
    let last = detector.follow(&series, &mut Default::default(), series.end()).pop().unwrap();
    let of = |score: f64| serde_json::from_value(score.into()).unwrap();
    let alarm = |slot: i64| deepguard::Scored {
        time: slot * 300,
        surpasses: true,
        score: of(2.0),
        severity: of(2.0),
        outside: true,
        observed: last.usual + 50.0,
        finding: None,
        ..last
    };
    let calm = |slot: i64| deepguard::Scored {
        score: of(0.1),
        severity: of(0.1),
        outside: false,
        observed: last.usual,
        ..alarm(slot)
    };
    let scored: Vec<_> =
        (0..3).map(alarm).chain((3..9).map(calm)).chain([alarm(9), alarm(10)]).collect();
    assert_eq!(contest::pages(&scored), [0, 9 * 300]);
    assert_eq!(contest::pages(&[]), [0; 0]);
}

#[tokio::test]
async fn what_is_no_worse_than_the_default_model_becomes_current() {
    let (bucket, (fleet, fault)) = (Bucket::default(), fleet());
    let version = put(&bucket, &artifact_with_threshold(artifact().card().threshold * 1.01));
    label(&bucket, instance(0), fault, "confirmed");
    let folder = tempfile::tempdir().unwrap();
    let args = PromoteArgs { out: Some(folder.path().join("pages.png")), ..promotion(&version) };
    run(&args, &bucket, &fleet, now()).await.unwrap();
    assert!(folder.path().join("pages.png").exists());
    let pointer = bucket.json(CURRENT);
    assert_eq!(pointer["key"], format!("models/{version}.safetensors"));
    assert_eq!(
        (&pointer["promoted"], &pointer["by"]),
        (&"2026-01-15T12:00:00Z".into(), &"somebody".into())
    );
    assert_eq!(pointer["previous"], serde_json::Value::Null);
    let record = record(&bucket, &version);
    assert!(
        record["notes"][0].as_str().unwrap().contains("compared with the default model"),
        "{record}"
    );
    let comparison = &record["comparison"];
    let judged = &comparison["labels"][0];
    assert_eq!(
        (&judged["current"], &judged["candidate"]),
        (&true.into(), &true.into()),
        "{record}"
    );
    assert!(
        comparison["instances"][instance(0).as_str()]["candidate"]["scored"].as_u64().unwrap()
            > 3000
    );
    assert_eq!(comparison["instances"].as_object().unwrap().len(), 3);

    let before = bucket.text(CURRENT);
    run(&promotion(&version), &bucket, &fleet, now()).await.unwrap();
    assert_eq!(bucket.text(CURRENT), before, "it is current already");
}

#[tokio::test]
async fn more_pages_are_refused_without_a_reason() {
    let (bucket, (fleet, _)) = (Bucket::default(), fleet());
    let current = artifact_with_threshold(1000.0);
    let key = format!("models/{}.safetensors", put(&bucket, &current));
    let to_current = serde_json::json!({ "key": key, "sha256": current.checksum() });
    bucket.store(CURRENT, to_current.to_string());
    let version = put(&bucket, &artifact());
    let error = run(&promotion(&version), &bucket, &fleet, now()).await.unwrap_err().to_string();
    assert!(error.contains("is not promoted") && error.contains("--because"), "{error}");
    assert_eq!(bucket.json(CURRENT), to_current);

    let args =
        PromoteArgs { because: Some("it finds the leak".parse().unwrap()), ..promotion(&version) };
    run(&args, &bucket, &fleet, now()).await.unwrap();
    let pointer = bucket.json(CURRENT);
    assert_eq!(
        (&pointer["because"], &pointer["previous"]),
        (&"it finds the leak".into(), &to_current)
    );
    let record = record(&bucket, &version);
    assert_eq!(record["because"], "it finds the leak");
    assert!(record["objections"][0].as_str().unwrap().contains("pages"), "{record}");
    assert_eq!(record["comparison"]["until"], "2026-01-15T12:00:00Z");
}

#[tokio::test]
async fn what_misses_a_confirmed_anomaly_is_refused() {
    let (bucket, (fleet, fault)) = (Bucket::default(), fleet());
    // It has stopped since, and is compared all the same.
    fleet.unlisted.borrow_mut().insert(instance(0));
    let version = put(&bucket, &artifact_with_threshold(1000.0));
    label(&bucket, instance(0), fault + PERIOD, "confirmed");
    let error = run(&promotion(&version), &bucket, &fleet, now()).await.unwrap_err().to_string();
    assert!(error.contains("there is an objection"), "{error}");
    assert_eq!(bucket.text(CURRENT), None);
    label(&bucket, instance(0), fault - 40 * 86_400, "confirmed");
    run(&promotion(&version), &bucket, &fleet, now()).await.unwrap();
    let note = record(&bucket, &version)["notes"][1].clone();
    assert_eq!(note, "1 labels lie where nothing was scored");
}

#[tokio::test]
async fn of_two_promotions_at_once_one_moves_the_pointer() {
    let (bucket, (fleet, _)) = (Bucket::default(), fleet());
    let version = put(&bucket, &artifact_with_threshold(1000.0));
    bucket.meanwhile.borrow_mut().push((CURRENT.into(), b"theirs".to_vec()));
    let error = run(&promotion(&version), &bucket, &fleet, now()).await.unwrap_err().to_string();
    assert!(error.contains("another writer has moved"), "{error}");
    assert_eq!(bucket.text(CURRENT).as_deref(), Some("theirs"));
    assert!(!bucket.keys().iter().any(|key| key.contains("promotions")), "{:?}", bucket.keys());
}

#[tokio::test]
async fn without_history_it_is_promoted_with_a_note_but_not_where_nothing_can_be_read() {
    let young =
        (0..10).map(|slot| Datapoint { time: NOW - (slot + 1) * PERIOD, value: 5.0 }).collect();
    for cpu in [Vec::new(), vec![(instance(1), young)]] {
        let bucket = Bucket::default();
        let version = put(&bucket, &artifact_with_threshold(3.0));
        let fleet = metrics(cpu.into_iter().collect());
        if !fleet.cpu.borrow().is_empty() {
            fleet.broken.borrow_mut().insert(instance(1));
            let error =
                run(&promotion(&version), &bucket, &fleet, now()).await.unwrap_err().to_string();
            assert!(
                error.contains("cannot read any of 1 instances")
                    && error.contains("said the script"),
                "{error}"
            );
            assert_eq!(bucket.text(CURRENT), None);
            fleet.broken.borrow_mut().clear();
        }
        run(&promotion(&version), &bucket, &fleet, now()).await.unwrap();
        let notes = record(&bucket, &version)["notes"].to_string();
        assert!(notes.contains("no instance has enough history"), "{notes}");
    }
}

#[tokio::test]
async fn what_cannot_be_loaded_is_not_promoted_nor_compared_with() {
    let (bucket, fleet) = (Bucket::default(), metrics(BTreeMap::new()));
    let refused = async |version: &str| {
        format!("{:#}", run(&promotion(version), &bucket, &fleet, now()).await.unwrap_err())
    };
    let version = put(&bucket, &artifact());
    assert!(refused("v1").await.contains("v1.safetensors does not exist: publish it"));
    bucket.store("s3://my-models/models/v2.safetensors", "damaged");
    assert!(refused("v2").await.contains("cannot be used"));
    bucket.store("s3://my-models/models/v3.safetensors", artifact().to_bytes().unwrap());
    assert!(refused("v3").await.contains(&format!("is version {version}")));
    for bad in [
        "{",
        r#"{"key":"models/v9.safetensors","sha256":"0"}"#,
        r#"{"key":"models/v2.safetensors","sha256":"0"}"#,
    ] {
        bucket.store(CURRENT, bad);
        let error = refused(&version).await;
        assert!(error.contains("mend the pointer with `model-builder rollback"), "{error}");
        assert_eq!(bucket.text(CURRENT).as_deref(), Some(bad));
    }
}
