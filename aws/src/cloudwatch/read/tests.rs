use deepguard::Series;
use serde_json::{Value, json};

use super::*;
use crate::ids::Targets;
use crate::testing::instance;
use crate::testing::scripted::{Scripted, answer, cloudwatch, cloudwatch_at, error};

fn listed(id: &str, more: &[(&str, &str)]) -> Value {
    let dimension = |&(name, value): &(&str, &str)| json!({ "Name": name, "Value": value });
    let dimensions: Vec<Value> = [("InstanceId", id)].iter().chain(more).map(dimension).collect();
    json!({ "Namespace": "AWS/EC2", "MetricName": "CPUUtilization", "Dimensions": dimensions })
}

fn page(metrics: &[Value], next: Option<&str>) -> Value {
    match next {
        Some(next) => json!({ "Metrics": metrics, "NextToken": next }),
        None => json!({ "Metrics": metrics }),
    }
}

fn result(id: &str, status: &str, points: &[(i64, f64)]) -> Value {
    let float = |value: f64| {
        if value.is_finite() { json!(value) } else { json!({ "$float": value.to_string() }) }
    };
    json!({
        "Id": id, "Label": "CPUUtilization", "StatusCode": status,
        "Timestamps": points.iter().map(|&(time, _)| json!({ "$time": time })).collect::<Vec<_>>(),
        "Values": points.iter().map(|&(_, value)| float(value)).collect::<Vec<_>>(),
    })
}

fn results(results: &[Value], next: Option<&str>) -> Value {
    match next {
        Some(next) => json!({ "MetricDataResults": results, "Messages": [], "NextToken": next }),
        None => json!({ "MetricDataResults": results, "Messages": [] }),
    }
}

fn batch(instances: usize) -> Batch {
    Batch { times: 3000..6000, instances: (0..instances).map(instance).collect() }
}

fn whole(points: &[(i64, f64)]) -> Read {
    Read {
        datapoints: points.iter().map(|&(time, value)| Datapoint { time, value }).collect(),
        whole: true,
    }
}

#[tokio::test]
async fn instances_come_from_all_pages_and_only_with_the_one_dimension() {
    let [a, b, c] = [instance(1), instance(2), instance(3)];
    let first = [listed(a.as_str(), &[]), listed(c.as_str(), &[("AutoScalingGroupName", "web")])];
    let second = [listed(b.as_str(), &[]), listed(a.as_str(), &[]), listed("not-an-instance", &[])];
    let other = json!({ "Dimensions": [{ "Name": "ImageId", "Value": c.as_str() }] });
    let answers = vec![
        answer(page(&first, Some("two"))),
        answer(page(&[], Some("three"))),
        answer(page(&[second.as_slice(), &[other]].concat(), None)),
    ];
    let aws = Scripted::new([(LIST, answers)]).await;
    assert_eq!(aws.cloudwatch(true).instances().await, Ok(BTreeSet::from([a, b])));

    let requests = aws.requests(LIST).await;
    let tokens: Vec<&str> =
        requests.iter().map(|request| request["NextToken"].as_str().unwrap_or_default()).collect();
    assert_eq!(tokens, ["", "two", "three"]);
    for request in requests {
        assert_eq!(request["Namespace"], "AWS/EC2");
        assert_eq!(request["MetricName"], "CPUUtilization");
        assert_eq!(request["RecentlyActive"], "PT3H");
        assert_eq!(request["Dimensions"], json!([{ "Name": "InstanceId" }]));
    }
}

#[tokio::test]
async fn groups_have_a_list_and_queries_of_their_own() {
    let metric =
        |name: &str, value: &str| json!({ "Dimensions": [{ "Name": name, "Value": value }] });
    let group = "AutoScalingGroupName";
    let first = [metric("InstanceId", instance(1).as_str())];
    let second = [metric(group, "web"), metric(group, "no:group"), metric("InstanceId", "web")];
    let listed = vec![answer(page(&first, None)), answer(page(&second, None))];
    let read = vec![answer(results(&[result("m0", "Complete", &[(3000, 7.0)])], None))];
    let aws = Scripted::new([(LIST, listed), (GET, read)]).await;
    let cloudwatch = aws.cloudwatch(true).of(Targets::Both);
    let web: TargetId = "asg:web".parse().unwrap();
    let found = cloudwatch.instances().await;
    assert_eq!(found, Ok(BTreeSet::from([instance(1), web.clone()])));
    let asked: Vec<Value> =
        aws.requests(LIST).await.iter().map(|request| request["Dimensions"][0].clone()).collect();
    assert_eq!(asked, [json!({ "Name": "InstanceId" }), json!({ "Name": group })]);

    let read = cloudwatch.read(&Batch { times: 3000..6000, instances: vec![web.clone()] }).await;
    assert_eq!(read, [(web, Ok(whole(&[(3000, 7.0)])))]);
    let query = &aws.requests(GET).await[0]["MetricDataQueries"][0]["MetricStat"]["Metric"];
    assert_eq!(query["Dimensions"], json!([{ "Name": group, "Value": "web" }]));
}

#[tokio::test]
async fn a_list_that_cannot_be_had_whole_is_an_error() {
    let id = instance(1);
    let some = |next| answer(page(&[listed(id.as_str(), &[])], next));
    let throttled = || error(400, "ThrottlingException");
    let cases = [
        (
            vec![error(403, "AccessDenied")],
            "ListMetrics failed: AccessDenied: said the script (allow it",
        ),
        (vec![some(Some("two")), error(403, "AccessDeniedException")], "AccessDeniedException"),
        (vec![some(Some("two")), some(Some("two"))], "NextToken that it had given before"),
        (
            vec![some(Some("a")), some(Some("b")), some(Some("a"))],
            "NextToken that it had given before",
        ),
        // Seven times, and each time the three tries of the SDK.
        (vec![throttled(); 21], "ThrottlingException: said the script (the next run"),
        (vec![cloudwatch(200, b"<html>")], "ListMetrics failed"),
        (
            vec![cloudwatch(502, b"<html>"), cloudwatch(502, b""), cloudwatch(502, b"")],
            "ListMetrics failed",
        ),
    ];
    for (answers, why) in cases {
        let calls = answers.len();
        let aws = Scripted::new([(LIST, answers)]).await;
        let error = aws.cloudwatch(true).instances().await.unwrap_err().to_string();
        assert!(error.contains(why), "{why}: {error}");
        assert!(!error.contains("secret"), "{error}");
        assert_eq!(aws.raw_requests().await.len(), calls, "{why}");
    }
}

#[tokio::test]
async fn throttled_calls_are_tried_again() {
    for code in ["Throttling", "ThrottlingException"] {
        let id = instance(1);
        let aws = Scripted::new([
            (LIST, vec![error(400, code), answer(page(&[listed(id.as_str(), &[])], None))]),
            (
                GET,
                vec![
                    error(400, code),
                    error(400, code),
                    answer(results(&[result("m0", "Complete", &[])], None)),
                ],
            ),
        ])
        .await;
        assert_eq!(
            aws.cloudwatch(true).instances().await.map(|instances| instances.len()),
            Ok(1),
            "{code}"
        );
        assert_eq!(
            aws.cloudwatch(true).read(&batch(1)).await,
            [(instance(0), Ok(whole(&[])))],
            "{code}"
        );
    }
}

#[tokio::test]
async fn what_answers_become() {
    let pair = [(3000, 1.0), (3300, 2.0)];
    let one_page = |points: &[(i64, f64)]| vec![results(&[result("m0", "Complete", points)], None)];
    type Points = Vec<(i64, f64)>;
    let cases: [(&str, Vec<Value>, Points); 7] = [
        ("empty", one_page(&[]), vec![]),
        ("one page", one_page(&pair), pair.to_vec()),
        ("out of order", one_page(&[(3300, 2.0), (3000, 1.0)]), vec![(3300, 2.0), (3000, 1.0)]),
        ("duplicates", one_page(&[(3000, 1.0), (3000, 1.0)]), vec![(3000, 1.0), (3000, 1.0)]),
        (
            "no number",
            one_page(&[(3000, f64::INFINITY), (3300, 2.0)]),
            vec![(3000, f64::INFINITY), (3300, 2.0)],
        ),
        (
            "two pages",
            vec![
                results(&[result("m0", "PartialData", &pair[..1])], Some("two")),
                results(&[result("m0", "Complete", &pair[1..])], None),
            ],
            pair.to_vec(),
        ),
        ("never whole", vec![results(&[result("m0", "PartialData", &pair)], None)], pair.to_vec()),
    ];
    for (name, pages, expected) in cases {
        let aws = Scripted::new([(GET, pages.into_iter().map(answer).collect())]).await;
        let expected = Read { whole: name != "never whole", ..whole(&expected) };
        assert_eq!(
            aws.cloudwatch(true).read(&batch(1)).await,
            [(instance(0), Ok(expected))],
            "{name}"
        );
    }
}

#[tokio::test]
async fn not_a_number_reaches_the_series_as_a_gap() {
    let mixed = result("m0", "Complete", &[(3000, 1.0), (3300, f64::NAN), (3600, 3.0)]);
    let aws = Scripted::new([(GET, vec![answer(results(&[mixed], None))])]).await;
    let [(_, Ok(Read { datapoints, whole: true }))] =
        &aws.cloudwatch(true).read(&batch(1)).await[..]
    else {
        panic!("no answer")
    };
    let (series, cleaning) = Series::from_datapoints(datapoints.iter().copied()).unwrap();
    assert_eq!(
        (series.get(0), series.get(1), series.get(2), cleaning.unusable),
        (Some(1.0), None, Some(3.0), 1)
    );
}

#[tokio::test]
async fn one_result_that_failed_does_not_keep_the_others() {
    let failing = |status: &str| {
        let mut result = result("m1", status, &[]);
        result["Messages"] = json!([{ "Code": "Broken", "Value": "said the script" }]);
        result
    };
    let mut uneven = result("m1", "Complete", &[(3000, 1.0)]);
    uneven["Values"] = json!([]);
    let cases = [
        (vec![failing("InternalError")], "InternalError: Broken: said the script"),
        (vec![failing("Forbidden")], "Forbidden: Broken: said the script"),
        (vec![uneven], "not as many values as time stamps"),
        (vec![], "left this instance out"),
        (vec![result("other", "Complete", &[(3000, 1.0)])], "left this instance out"),
    ];
    for (second, why) in cases {
        let all = [
            vec![result("m0", "Complete", &[(3000, 1.0)])],
            second,
            vec![result("m2", "Complete", &[(3000, 3.0)])],
        ];
        let aws = Scripted::new([(GET, vec![answer(results(&all.concat(), None))])]).await;
        let read = aws.cloudwatch(true).read(&batch(3)).await;
        assert_eq!(read[0], (instance(0), Ok(whole(&[(3000, 1.0)]))));
        assert_eq!(read[2], (instance(2), Ok(whole(&[(3000, 3.0)]))));
        let error = read[1].1.as_ref().expect_err(why).to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
}

#[tokio::test]
async fn a_later_page_may_mend_a_result() {
    let pages = [
        results(&[result("m0", "InternalError", &[])], Some("two")),
        results(&[result("m0", "Complete", &[(3000, 1.0)])], None),
    ];
    let aws = Scripted::new([(GET, pages.map(answer).to_vec())]).await;
    assert_eq!(
        aws.cloudwatch(true).read(&batch(1)).await,
        [(instance(0), Ok(whole(&[(3000, 1.0)])))]
    );
}

#[tokio::test]
async fn a_call_that_failed_is_told_of_each_of_its_instances() {
    let one = || results(&[result("m0", "Complete", &[(3000, 1.0)])], Some("two"));
    let cases = [
        (vec![error(403, "AccessDenied")], "AccessDenied: said the script"),
        (
            vec![
                error(500, "InternalServiceFault"),
                error(500, "InternalServiceFault"),
                error(503, "Busy"),
            ],
            "Busy",
        ),
        (vec![answer(one()), error(400, "InvalidNextToken")], "InvalidNextToken"),
        (vec![answer(one()), answer(one())], "NextToken that it had given before"),
        (vec![cloudwatch(200, b"")], "GetMetricData failed"),
    ];
    for (answers, why) in cases {
        let aws = Scripted::new([(GET, answers)]).await;
        let read = aws.cloudwatch(true).read(&batch(2)).await;
        assert_eq!(
            read.iter().map(|(instance, _)| instance.clone()).collect::<Vec<_>>(),
            [instance(0), instance(1)]
        );
        for (_, read) in read {
            let error = read.expect_err(why).to_string();
            assert!(error.contains(why), "{why}: {error}");
        }
    }
}

#[tokio::test]
async fn an_endpoint_without_a_service_is_an_error_that_says_so() {
    // Port 1 is below those that any test is given.
    let error =
        cloudwatch_at("http://127.0.0.1:1", true).instances().await.unwrap_err().to_string();
    assert!(
        error.starts_with("ListMetrics failed: dispatch failure") && error.contains("onnect"),
        "{error}"
    );
}

#[tokio::test]
async fn a_call_asks_for_the_five_minute_average_of_each_instance() {
    let pages = [
        results(&[result("m0", "PartialData", &[]), result("m1", "Complete", &[])], Some("two")),
        results(&[result("m0", "Complete", &[])], None),
    ];
    let aws = Scripted::new([(GET, pages.map(answer).to_vec())]).await;
    aws.cloudwatch(true).read(&batch(2)).await;
    let requests = aws.requests(GET).await;
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1]["NextToken"], "two");
    for request in requests {
        assert_eq!(
            (&request["StartTime"], &request["EndTime"]),
            (&json!({ "$time": 3000 }), &json!({ "$time": 6000 }))
        );
        assert_eq!(request["ScanBy"], "TimestampAscending");
        for (index, query) in request["MetricDataQueries"].as_array().unwrap().iter().enumerate() {
            let metric = json!({ "Namespace": "AWS/EC2", "MetricName": "CPUUtilization",
                "Dimensions": [{ "Name": "InstanceId", "Value": instance(index).as_str() }] });
            let expected = json!({ "Id": format!("m{index}"),
                "MetricStat": { "Metric": metric, "Period": 300, "Stat": "Average" } });
            assert_eq!(*query, expected);
        }
    }
}
