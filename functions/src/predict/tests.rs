use std::rc::Rc;

use deepguard_aws::metric::Metric;

use super::*;
use crate::testing::memory::Bucket;

const NOW: i64 = 1_768_478_400;

fn prediction(model: &str) -> Prediction<Rc<Bucket>> {
    let variables = |name: &str| (name == "MODEL_URI").then(|| model.to_owned());
    Prediction::new(Settings::from_variables(variables).unwrap(), Rc::default())
}

async fn answer(event: Value) -> Result<Answered, PredictError> {
    prediction("").answer(&event, Timestamp::from_second(NOW).unwrap()).await
}

/// Fifty values, as the old service took them.
fn calm() -> Vec<f64> {
    (0..50)
        .map(|slot| 12.0 + 0.5 * (f64::from(slot) / 8.0).sin() + f64::from(slot * 7 % 5) / 5.0)
        .collect()
}

fn url(method: &str, path: &str, body: Value) -> Value {
    json!({
        "version": "2.0",
        "rawPath": path,
        "requestContext": { "http": { "method": method, "path": path } },
        "body": body,
        "isBase64Encoded": false,
    })
}

/// Status, body and headers of the answer to the URL.
async fn http(event: Value) -> (u64, Value, Value) {
    let answered = answer(event).await.unwrap().body;
    let body = serde_json::from_str(answered["body"].as_str().unwrap()).unwrap();
    (answered["statusCode"].as_u64().unwrap(), body, answered["headers"].clone())
}

#[tokio::test]
async fn a_sequence_gets_what_the_old_service_said_and_more() {
    let told = answer(json!({ "sequence": calm() })).await.unwrap().body;
    assert_eq!(
        (told["is_anomaly"].as_bool(), told["expected"].as_array().unwrap().len()),
        (Some(false), 50)
    );
    let mut spike = calm();
    spike[30] = 99.0;
    let told = answer(json!({ "sequence": spike })).await.unwrap().body;
    assert_eq!(
        (&told["is_anomaly"], &told["at"], &told["channel"]),
        (&json!(true), &json!(30), &json!("spike_up"))
    );
    assert!(told["reconstruction_error"].as_f64() >= told["threshold"].as_f64());
    assert!(told["score"].as_f64().unwrap() >= 1.0);
    assert_eq!(told["model"]["source"], "builtin");
}

#[tokio::test]
async fn the_url_says_the_same_with_and_without_base64() {
    let body = json!({ "sequence": calm() });
    let direct = answer(body.clone()).await.unwrap().body;
    let plain = url("POST", "/predict", json!(body.to_string()));
    let mut encoded = plain.clone();
    encoded["body"] = json!(base64::encode(body.to_string()));
    encoded["isBase64Encoded"] = json!(true);
    for event in [plain, encoded, url("POST", "/predict/", json!(body.to_string()))] {
        assert_eq!(
            http(event).await,
            (200, direct.clone(), json!({ "content-type": "application/json" }))
        );
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_field_and_is_an_error_where_it_was_sent_directly() {
    let with = |value: Value| {
        let mut sequence: Vec<Value> = calm().into_iter().map(Value::from).collect();
        sequence[7] = value;
        json!({ "sequence": sequence })
    };
    let cases = [
        (json!({}), "missing field `sequence`", Value::Null),
        (json!([1, 2]), "no JSON object", Value::Null),
        (json!({ "sequence": "1,2" }), "invalid type", Value::Null),
        (json!({ "sequence": calm(), "threshold": 1 }), "unknown field `threshold`", Value::Null),
        (json!({ "sequence": [] }), "it has 0 values: give 32 to 4032", json!("sequence")),
        (json!({ "sequence": vec![1.0; 31] }), "it has 31 values", json!("sequence")),
        (json!({ "sequence": vec![1.0; 4033] }), "it has 4033 values", json!("sequence")),
        (with(json!(null)), "holds at 7 (counted from 0) null", json!("sequence")),
        (with(json!("NaN")), "holds at 7 (counted from 0) \"NaN\"", json!("sequence")),
        (with(json!(100.5)), "its value 7 (counted from 0) is 100.5", json!("sequence")),
        (with(json!(-1)), "its value 7 (counted from 0) is -1", json!("sequence")),
    ];
    for (question, why, field) in cases {
        let error = answer(question.clone()).await.expect_err(why);
        let diagnostic = Diagnostic::from(error);
        assert!(diagnostic.error_message.contains(why), "{}", diagnostic.error_message);
        assert_eq!(diagnostic.error_type, "InputError");
        let (status, body, _) = http(url("POST", "/predict", json!(question.to_string()))).await;
        assert_eq!((status, &body["field"]), (400, &field), "{body}");
        assert!(body["error"].as_str().unwrap().contains(why), "{body}");
    }
    for (body, why) in [
        (json!(""), "empty"),
        (json!(null), "empty"),
        (json!("{"), "no JSON"),
        (json!("[NaN]"), "no JSON"),
    ] {
        let (status, body, _) = http(url("POST", "/predict", body)).await;
        assert!(status == 400 && body["error"].as_str().unwrap().contains(why), "{body}");
    }
    let mut broken = url("POST", "/predict", json!("%%%"));
    broken["isBase64Encoded"] = json!(true);
    assert!(http(broken).await.1["error"].as_str().unwrap().contains("no Base64"));
}

#[tokio::test]
async fn other_ways_are_shown_the_right_one() {
    for (method, path, status, allow) in [
        ("GET", "/predict", 405, json!("POST")),
        ("POST", "/health", 405, json!("GET")),
        ("GET", "/", 404, Value::Null),
        ("POST", "/predict/now", 404, Value::Null),
    ] {
        let (found, _, headers) = http(url(method, path, Value::Null)).await;
        assert_eq!(
            (found, headers.get("allow").cloned().unwrap_or_default()),
            (status, allow),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn health_is_that_of_the_model() {
    let (status, body, _) = http(url("GET", "/health", Value::Null)).await;
    assert_eq!(
        (status, &body["status"], &body["model"]["source"]),
        (200, &json!("ok"), &json!("builtin"))
    );
    let mut without = prediction("s3://my-models/models/current");
    let now = Timestamp::from_second(NOW).unwrap();
    for event in [
        url("GET", "/health", Value::Null),
        url("POST", "/predict", json!(json!({ "sequence": calm() }).to_string())),
    ] {
        let answered = without.answer(&event, now).await.unwrap();
        assert_eq!(
            (&answered.body["statusCode"], answered.metrics),
            (&json!(503), None),
            "no model, no answer"
        );
        assert!(answered.body["body"].as_str().unwrap().contains("models/current does not exist"));
    }
    let error = without.answer(&json!({ "sequence": calm() }), now).await.unwrap_err();
    assert_eq!(Diagnostic::from(error).error_type, "ModelError");
}

#[tokio::test]
async fn each_prediction_is_one_line_of_metrics() {
    let mut spike = calm();
    spike[30] = 99.0;
    for (sequence, anomalies) in [(calm(), 0), (spike, 1)] {
        let answered = answer(json!({ "sequence": sequence })).await.unwrap();
        let line = answered.metrics.unwrap();
        // The embedded metric format:
        // https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
        assert_eq!(line["_aws"]["Timestamp"], NOW * 1000);
        let [directive] = &line["_aws"]["CloudWatchMetrics"].as_array().unwrap()[..] else {
            panic!("one directive")
        };
        assert_eq!(
            (&directive["Namespace"], &directive["Dimensions"]),
            (&json!("DeepGuard"), &json!([[]]))
        );
        let metrics = directive["Metrics"].as_array().unwrap();
        assert_eq!(
            metrics.iter().map(|metric| metric["Name"].as_str().unwrap()).collect::<Vec<_>>(),
            [ANOMALIES, ERRORS]
        );
        metrics
            .iter()
            .for_each(|metric| assert!(line[metric["Name"].as_str().unwrap()].is_number()));
        assert_eq!(
            (&line[ANOMALIES], &line[ERRORS]),
            (&json!(anomalies), &answered.body["reconstruction_error"])
        );
        assert!(!line.to_string().contains('\n'));
    }
    assert_eq!(answer(url("GET", "/health", Value::Null)).await.unwrap().metrics, None);
}

#[test]
fn prometheus_scrapes_what_there_is() {
    let config = include_str!("../../../docs/prometheus.yml");
    let of = |key: &str| {
        config
            .lines()
            .filter_map(|line| line.trim().strip_prefix(key))
            .map(str::trim)
            .collect::<Vec<_>>()
    };
    let mut named = of("aws_metric_name:");
    named.sort_unstable();
    let mut there: Vec<&str> =
        Metric::ALL.iter().map(|metric| metric.name()).chain([ANOMALIES, ERRORS]).collect();
    there.sort_unstable();
    assert_eq!(named, there, "docs/prometheus.yml names each metric once");
    assert!(of("- aws_namespace:").iter().all(|&namespace| namespace == "DeepGuard"));
    assert_eq!(of("- aws_namespace:").len(), named.len());
}

#[tokio::test]
async fn the_samples_are_answered() {
    let direct: Value =
        serde_json::from_str(include_str!("../../../samples/predict-direct.json")).unwrap();
    assert_eq!(answer(direct).await.unwrap().body["expected"].as_array().unwrap().len(), 50);
    assert_eq!(
        http(serde_json::from_str(include_str!("../../../samples/predict-url.json")).unwrap())
            .await
            .0,
        200
    );
}
