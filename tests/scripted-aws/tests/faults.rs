//! Shows how each kind of fault looks to a client.
#![allow(clippy::unwrap_used)] // A test that meets what it did not expect should stop there.

mod common;

use std::time::{Duration, Instant};

use aws_sdk_cloudwatch::operation::get_metric_data::GetMetricDataOutput;
use aws_sdk_cloudwatch::types::{MetricDatum, StatusCode};
use aws_sdk_s3::primitives::ByteStream;
use common::{NOW, cloudwatch, get, plain, points, s3, start, start_with, told};
use scripted_aws::{Aws, Fault, Fleet, Generated, Kind, Limits, SLOT, When};

const GET: &str = "GetMetricData";

fn always(kind: Kind) -> Fault {
    Fault::new("*", When::Always, kind)
}

/// The answer to a read of three instances and twelve slots, with a fault.
async fn read(aws: &Aws, fault: Fault) -> GetMetricDataOutput {
    aws.script([fault]);
    get(&cloudwatch(aws), 3, 12).send().await.unwrap()
}

fn truth(n: usize) -> Vec<(i64, f64)> {
    Generated::new(3, 1).datapoints(&Generated::id(n), NOW - 3600, NOW, NOW)
}

#[tokio::test]
async fn errors_of_cloudwatch() {
    let aws = start(1);
    let client = cloudwatch(&aws);
    let cases = [
        (Kind::Throttle("ThrottlingException"), Some((400, "ThrottlingException"))),
        (Kind::Status(500), Some((500, ""))),
        (Kind::Html(502), Some((502, ""))),
        (Kind::Html(200), Some((200, ""))),
        (Kind::Reset, None),
        (Kind::ResetAfter, None),
        (Kind::Forbidden, Some((403, "AccessDenied"))),
        (Kind::Expired, Some((403, "ExpiredToken"))),
        (Kind::ClockSkew, Some((403, "RequestTimeTooSkewed"))),
    ];
    for (kind, expected) in cases {
        aws.script([always(kind.clone())]);
        let error = get(&client, 1, 1).send().await.expect_err("it goes wrong");
        let expected = expected.map(|(status, code)| (status, code.to_owned()));
        assert_eq!(told(&error), expected, "{kind:?}");
        let call = aws.take_calls().pop().unwrap();
        assert_eq!(
            (call.status, &call.faults[..]),
            (expected.map(|told| told.0), &[kind.clone()][..])
        );
        assert_eq!(call.carried_out, kind == Kind::ResetAfter, "{kind:?}");
    }
    aws.clear_faults();
    assert!(get(&client, 1, 1).send().await.is_ok());
}

#[test]
fn answers_of_s3() {
    let aws = start(0);
    aws.put_object("b", "k", vec![b'x'; 1000]);
    let cases = [
        (Kind::Throttle("Throttling"), 503, "<Code>SlowDown</Code>"),
        (Kind::Status(503), 503, ""),
        (Kind::Html(200), 200, "<html>"),
        (Kind::Forbidden, 403, "<Code>AccessDenied</Code>"),
        (Kind::Expired, 400, "<Code>ExpiredToken</Code>"),
        (Kind::ClockSkew, 403, "<Code>RequestTimeTooSkewed</Code>"),
        (Kind::Conflict, 409, "<Code>ConditionalRequestConflict</Code>"),
    ];
    for (kind, status, text) in cases {
        aws.script([always(kind.clone())]);
        let answer = plain(&aws.endpoint(), "GET /b/k", "", "").unwrap();
        assert_eq!(answer.status, status, "{kind:?}");
        assert!(
            answer.text().contains(text) && (answer.text().is_empty() == text.is_empty()),
            "{answer:?}"
        );
        let html = matches!(kind, Kind::Html(_));
        assert_eq!(
            answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")),
            html
        );
        let date = |answer: &common::Plain| answer.header("date").unwrap()[..22].to_owned();
        aws.clear_faults();
        let now = plain(&aws.endpoint(), "GET /b/k", "", "").unwrap();
        // Equal but for the minutes and seconds, or the minute has just changed.
        assert_eq!(
            date(&answer)[17..19] != date(&now)[17..19],
            kind == Kind::ClockSkew,
            "{answer:?}"
        );
    }
    aws.script([always(Kind::Reset)]);
    assert!(plain(&aws.endpoint(), "GET /b/k", "", "").is_none());
    aws.script([always(Kind::Truncate)]);
    let cut = plain(&aws.endpoint(), "GET /b/k", "", "").unwrap();
    assert_eq!(
        (cut.status, cut.header("content-length"), cut.body.len()),
        (200, Some("1000"), 500)
    );
}

#[tokio::test]
async fn a_put_can_happen_without_an_answer() {
    let aws = start(1);
    aws.script([
        Fault::new("PutObject", When::Nth(1), Kind::ResetAfter),
        Fault::new("PutMetricData", When::Nth(1), Kind::ResetAfter),
        Fault::new("PutObject", When::Nth(2), Kind::Reset),
        Fault::new("PutMetricData", When::Nth(2), Kind::Reset),
    ]);
    let (client, metrics) = (s3(&aws), cloudwatch(&aws));
    for time in 0..2 {
        let put = client
            .put_object()
            .bucket("b")
            .key(format!("k{time}"))
            .body(ByteStream::from_static(b"x"));
        assert!(put.send().await.unwrap_err().raw_response().is_none());
        let datum = MetricDatum::builder().metric_name("M").value(f64::from(time)).build();
        assert!(metrics.put_metric_data().namespace("N").metric_data(datum).send().await.is_err());
    }
    assert_eq!(aws.objects(), [("b".into(), "k0".into())]);
    assert_eq!(aws.published().into_values().collect::<Vec<_>>(), [[0.0]]);
    assert_eq!(
        aws.calls().iter().map(|call| call.carried_out).collect::<Vec<_>>(),
        [true, true, false, false]
    );
}

#[tokio::test]
async fn slow_and_broken_bodies() {
    let aws = start(3);
    let wait = Duration::from_millis(200);
    for kind in [Kind::Slow(wait), Kind::SlowAnswer(wait), Kind::SlowBody(wait)] {
        let from = Instant::now();
        assert_eq!(read(&aws, always(kind.clone())).await.metric_data_results().len(), 3);
        assert!((wait..wait * 10).contains(&from.elapsed()), "{kind:?}: {:?}", from.elapsed());
    }
    aws.script([always(Kind::Truncate)]);
    let error = get(&cloudwatch(&aws), 3, 12).send().await.expect_err("it is cut");
    assert!(error.as_service_error().is_none(), "{error:?}");
    // A caller that gives up is logged as well.
    aws.take_calls();
    aws.script([always(Kind::Slow(Duration::from_secs(60)))]);
    let call =
        tokio::time::timeout(Duration::from_millis(50), get(&cloudwatch(&aws), 3, 12).send()).await;
    assert!(call.is_err());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let calls = aws.take_calls();
    assert_eq!((calls.len(), calls[0].status, calls[0].carried_out), (1, None, false));
}

#[tokio::test]
async fn points_are_spoilt() {
    let aws = start(3);
    let results = |answer: GetMetricDataOutput| -> Vec<Vec<(i64, f64)>> {
        answer.metric_data_results().iter().map(points).collect()
    };
    let reversed: Vec<_> = truth(0).into_iter().rev().collect();
    assert_eq!(results(read(&aws, always(Kind::Descending)).await)[0], reversed);

    let mut shuffled = results(read(&aws, always(Kind::Shuffle)).await)[0].clone();
    assert!(shuffled != truth(0) && shuffled != reversed);
    shuffled.sort_by_key(|point| point.0);
    assert_eq!(shuffled, truth(0));

    let twice: Vec<_> = truth(2).iter().flat_map(|point| [*point; 2]).collect();
    assert_eq!(results(read(&aws, always(Kind::Duplicate)).await)[2], twice);

    let some = results(read(&aws, always(Kind::Missing(4))).await);
    assert!(some.iter().all(|points| points.len() == 9));
    assert_eq!(some, results(read(&aws, always(Kind::Missing(4))).await), "the same ones");
    assert!(some[0].iter().all(|point| truth(0).contains(point)));

    let one = results(read(&aws, always(Kind::Duplicate).only(&Generated::id(1))).await);
    assert_eq!((&one[0], one[1].len(), &one[2]), (&truth(0), 24, &truth(2)));
}

#[tokio::test]
async fn nan_is_added() {
    let aws = start_with(Generated::new(3, 1).gap(0, NOW - 1200, NOW - 600), Limits::none());
    let answer = read(&aws, always(Kind::NaN)).await;
    let points = points(&answer.metric_data_results()[0]);
    let (nan, true_ones): (Vec<_>, Vec<_>) = points.into_iter().partition(|point| point.1.is_nan());
    assert_eq!(true_ones.len(), 10);
    let times: Vec<i64> = nan.iter().map(|point| (point.0 - NOW) / SLOT).collect();
    assert_eq!(times, [-12, -7, -4, -3]);
}

#[tokio::test]
async fn results_are_spoilt() {
    let aws = start(3);
    let answer = read(&aws, always(Kind::Partial)).await;
    for (n, result) in answer.metric_data_results().iter().enumerate() {
        assert_eq!(
            (result.status_code(), points(result)),
            (Some(&StatusCode::PartialData), truth(n)[..6].to_vec())
        );
    }
    for (kind, status) in [
        (Kind::InternalResult, StatusCode::InternalError),
        (Kind::ForbiddenResult, StatusCode::Forbidden),
    ] {
        let answer = read(&aws, always(kind.clone())).await;
        assert!(
            answer.metric_data_results().iter().all(|result| result.status_code() == Some(&status))
        );
        let answer = read(&aws, always(kind).only(&Generated::id(1))).await;
        let one = &answer.metric_data_results()[1];
        assert!(
            one.status_code() == Some(&status)
                && one.values().is_empty()
                && one.messages().len() == 1
        );
        assert_eq!(points(&answer.metric_data_results()[2]), truth(2));
    }
    let answer = read(&aws, always(Kind::Messages)).await;
    assert_eq!((answer.messages().len(), answer.metric_data_results()[0].messages().len()), (1, 1));
    assert_eq!(points(&answer.metric_data_results()[0]), truth(0));

    assert_eq!(read(&aws, always(Kind::LeaveOut)).await.metric_data_results().len(), 2);
    let answer = read(&aws, always(Kind::LeaveOut).only(&Generated::id(1))).await;
    assert!(answer.metric_data_results().iter().all(|result| result.id() != Some("m1")));
}

#[tokio::test]
async fn pages_come_again() {
    let limits = Limits { datapoints_per_page: 20, metrics_per_page: 2, ..Limits::none() };
    let aws = start_with(Generated::new(3, 1), limits);
    let client = cloudwatch(&aws);
    let pages = async |most: usize| {
        let (mut pages, mut token) = (Vec::new(), None);
        while pages.len() < most {
            let page = get(&client, 3, 12).set_next_token(token).send().await.unwrap();
            token = page.next_token;
            pages.push((page.metric_data_results.unwrap(), token.clone()));
            if token.is_none() {
                break;
            }
        }
        pages
    };
    assert_eq!(pages(9).await.len(), 2);
    aws.script([Fault::new(GET, When::Nth(1), Kind::RepeatPage)]);
    let again = pages(9).await;
    assert_eq!(again.len(), 3);
    assert_eq!(again[0].0, again[1].0);
    assert_ne!(again[0].1, again[1].1);
    aws.script([Fault::new(GET, When::Always, Kind::RepeatPage)]);
    assert_eq!(pages(9).await.len(), 4, "each page once more");
    aws.script([Fault::new(GET, When::Nth(2), Kind::LoopToken)]);
    let circle = pages(9).await;
    assert_eq!(circle.len(), 9);
    assert!(circle[2..].iter().all(|page| *page == circle[1]));

    aws.script([Fault::new("ListMetrics", When::Always, Kind::RepeatPage)]);
    let first = client.list_metrics().send().await.unwrap();
    let again =
        client.list_metrics().set_next_token(first.next_token.clone()).send().await.unwrap();
    assert_eq!(first.metrics(), again.metrics());
    assert_ne!(first.next_token, again.next_token);
}

#[tokio::test]
async fn the_virtual_clock_rules_faults_and_keys_limit_them() {
    let aws = start(1);
    aws.script([
        Fault::new("s3:*", When::Always, Kind::Forbidden).only("b/state/"),
        Fault::new("cloudwatch:*", When::Between(NOW, NOW + 300), Kind::Status(500)),
    ]);
    let status = |path: &str| plain(&aws.endpoint(), path, "", "").unwrap().status;
    assert_eq!([status("GET /b/state/x"), status("GET /b/models/x")], [403, 404]);
    assert!(get(&cloudwatch(&aws), 1, 1).send().await.is_err());
    aws.set_now(NOW + 300);
    assert!(get(&cloudwatch(&aws), 1, 1).send().await.is_ok());
}

#[test]
fn the_seed_decides() {
    let run = |seed: u64| -> Vec<u16> {
        let options = scripted_aws::Options { seed, ..Default::default() };
        let aws = Aws::start(std::sync::Arc::new(Generated::new(1, 1)), options);
        aws.script([Fault::new("GetObject", When::Probability(0.5), Kind::Status(500))]);
        (0..40).map(|_| plain(&aws.endpoint(), "GET /b/k", "", "").unwrap().status).collect()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
