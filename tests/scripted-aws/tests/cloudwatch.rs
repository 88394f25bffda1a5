//! CloudWatch's answers and limits, as the SDK sees them.

mod common;

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::error::ProvideErrorMetadata;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    Dimension, DimensionFilter, MetricDatum, RecentlyActive, ScanBy, StatusCode,
};
use common::{NOW, cloudwatch, get, points, query, start, start_with, told};
use scripted_aws::{Fleet, Generated, Latency, Limits, Options, Stamp};

#[tokio::test]
async fn metrics_come_in_pages() {
    let aws = start(1201);
    let client = cloudwatch(&aws);
    let (mut seen, mut sizes, mut token) = (Vec::new(), Vec::new(), None);
    loop {
        let page = client
            .list_metrics()
            .namespace("AWS/EC2")
            .metric_name("CPUUtilization")
            .dimensions(DimensionFilter::builder().name("InstanceId").build())
            .recently_active(RecentlyActive::Pt3H)
            .set_next_token(token)
            .send()
            .await
            .unwrap();
        sizes.push(page.metrics().len());
        seen.extend(
            page.metrics().iter().map(|metric| metric.dimensions()[0].value().unwrap().to_owned()),
        );
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [500, 500, 201]);
    assert_eq!(seen, Generated::new(1201, 1).instances(NOW));
    let other = client.list_metrics().namespace("AWS/S3").send().await.unwrap();
    assert!(other.metrics().is_empty());
    let error = client.list_metrics().next_token("what").send().await.unwrap_err();
    assert_eq!(told(&error), Some((400, "InvalidParameterValue".into())));
    assert_eq!(aws.take_calls().len(), 5);
}

#[tokio::test]
async fn datapoints_are_those_of_the_fleet() {
    let aws = start_with(Generated::new(3, 1).late(1, NOW - 900, 700), Limits::none());
    let client = cloudwatch(&aws);
    let fleet = Generated::new(3, 1);
    let read = async || get(&client, 2, 12).send().await.unwrap().metric_data_results.unwrap();
    let results = read().await;
    assert_eq!(points(&results[0]), fleet.datapoints(&Generated::id(0), NOW - 3600, NOW, NOW));
    assert_eq!(
        (results[1].id(), results[1].status_code()),
        (Some("m1"), Some(&StatusCode::Complete))
    );
    assert_eq!(points(&results[1]).len(), 11, "the late one has not arrived");
    aws.set_now(NOW + 300);
    assert_eq!(points(&read().await[1]).len(), 12);
    let newest_first =
        get(&client, 1, 12).scan_by(ScanBy::TimestampDescending).send().await.unwrap();
    assert_eq!(points(&newest_first.metric_data_results()[0])[0].0, NOW - 300);
    let hourly = client
        .get_metric_data()
        .metric_data_queries(query("m0".into(), &Generated::id(0), 3600))
        .start_time(DateTime::from_secs(NOW - 7200))
        .end_time(DateTime::from_secs(NOW))
        .send()
        .await
        .unwrap();
    let (time, value) = points(&hourly.metric_data_results()[0])[0];
    let mean = (0..12).map(|slot| fleet.cpu(0, NOW - 3600 + slot * 300)).sum::<f64>() / 12.0;
    assert!(time == NOW - 3600 && (value - mean).abs() < 1e-9, "{time} {value} {mean}");
    let calls = aws.take_calls();
    assert_eq!(calls.iter().map(|call| call.datapoints).collect::<Vec<_>>(), [23, 24, 12, 2]);
    assert_eq!((calls[0].queries, calls[0].range), (2, Some((NOW - 3600, NOW))));
}

#[tokio::test]
async fn a_page_has_a_limit_of_datapoints() {
    for (ascending, most) in [(true, None), (false, None), (true, Some(7000))] {
        let aws = start(60);
        let client = cloudwatch(&aws);
        let (mut series, mut statuses, mut sizes) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut token = None;
        loop {
            let scan =
                if ascending { ScanBy::TimestampAscending } else { ScanBy::TimestampDescending };
            let page =
                get(&client, 60, 4032).scan_by(scan).set_max_datapoints(most).set_next_token(token);
            let page = page.send().await.unwrap();
            sizes.push(
                page.metric_data_results()
                    .iter()
                    .map(|result| result.values().len())
                    .sum::<usize>(),
            );
            statuses
                .push(page.metric_data_results().last().unwrap().status_code().unwrap().clone());
            for result in page.metric_data_results() {
                series
                    .entry(result.id().unwrap().to_owned())
                    .or_insert_with(Vec::new)
                    .extend(points(result));
            }
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        let most = most.unwrap_or(100_800) as usize;
        assert!(sizes[..sizes.len() - 1].iter().all(|size| *size == most), "{sizes:?}");
        assert_eq!(statuses.last(), Some(&StatusCode::Complete));
        // 100,800 points are 25 series; 7000 end within one.
        let partial = statuses.iter().filter(|status| **status == StatusCode::PartialData).count();
        assert_eq!(partial, if most == 7000 { sizes.len() - 1 } else { 0 }, "{sizes:?}");
        for n in 0..60 {
            let mut expected =
                Generated::new(60, 1).datapoints(&Generated::id(n), NOW - 4032 * 300, NOW, NOW);
            if !ascending {
                expected.reverse();
            }
            assert_eq!(series[&format!("m{n}")], expected);
        }
    }
}

#[tokio::test]
async fn reads_keep_to_the_rules() {
    let aws = start(1);
    let client = cloudwatch(&aws);
    let id = Generated::id(0);
    let many = (0..501).map(|n| query(format!("m{n}"), &id, 300)).collect();
    let at = DateTime::from_secs;
    let cases = [
        (get(&client, 0, 1).set_metric_data_queries(Some(many)), "ValidationError"),
        (get(&client, 0, 1), "ValidationError"),
        (get(&client, 1, 1).metric_data_queries(query("m0".into(), &id, 300)), "ValidationError"),
        (get(&client, 1, 1).metric_data_queries(query("M1".into(), &id, 300)), "ValidationError"),
        (get(&client, 1, 1).metric_data_queries(query("m-1".into(), &id, 300)), "ValidationError"),
        (
            get(&client, 1, 1).metric_data_queries(query("m1".into(), &id, 90)),
            "InvalidParameterValue",
        ),
        (get(&client, 1, 0), "ValidationError"),
        (get(&client, 1, 1).start_time(at(NOW - 301)), "InvalidParameterValue"),
        (get(&client, 1, 1).end_time(at(NOW + 1)), "InvalidParameterValue"),
        (get(&client, 1, 1).next_token("what"), "InvalidNextToken"),
        (get(&client, 1, 1).next_token("next.1.0.0.0000000000000000"), "InvalidNextToken"),
    ];
    for (number, (request, code)) in cases.into_iter().enumerate() {
        let error = request.send().await.unwrap_err();
        assert_eq!(
            told(&error),
            Some((400, code.into())),
            "case {number}: {:?}",
            error.as_service_error()
        );
        assert!(error.as_service_error().unwrap().message().is_some());
    }
    let full = (0..500).map(|n| query(format!("m{n}"), &id, 300)).collect();
    assert!(get(&client, 0, 1).set_metric_data_queries(Some(full)).send().await.is_ok());
    assert!(aws.calls()[..11].iter().all(|call| !call.carried_out && call.error.is_some()));
}

#[tokio::test]
async fn rates_are_limited() {
    let limits = Limits { get_calls_per_second: 3.0, list_calls_per_second: 1.0, ..Limits::none() };
    let aws = start_with(Generated::new(10, 1), limits);
    let client = cloudwatch(&aws);
    let mut codes = Vec::new();
    for _ in 0..20 {
        codes.push(get(&client, 1, 1).send().await.err().and_then(|error| told(&error)));
    }
    assert!(codes[..3].iter().all(Option::is_none), "{codes:?}");
    assert!(codes[3..].contains(&Some((400, "Throttling".into()))), "{codes:?}");
    assert!(client.list_metrics().send().await.is_ok());
    assert!(client.list_metrics().send().await.is_err());

    let limits = Limits { get_datapoints_per_second_recent: 10.0, ..Limits::none() };
    let aws = start_with(Generated::new(10, 1), limits);
    let client = cloudwatch(&aws);
    assert!(
        get(&client, 10, 36).send().await.is_ok(),
        "more than the bucket holds, but it is full"
    );
    assert!(get(&client, 1, 36).send().await.is_err());
    assert!(get(&client, 10, 37).send().await.is_ok(), "it begins more than three hours ago");
}

fn datum(value: f64) -> MetricDatum {
    let dimension = Dimension::builder().name("InstanceId").value("i-1").build();
    let datum = MetricDatum::builder().metric_name("AnomalyScore").dimensions(dimension);
    datum.timestamp(DateTime::from_secs(NOW)).value(value).build()
}

#[tokio::test]
async fn puts_are_kept() {
    let aws = start(1);
    let client = cloudwatch(&aws);
    let put = |data: Vec<MetricDatum>| {
        client.put_metric_data().namespace("DeepGuard").set_metric_data(Some(data))
    };
    put(vec![datum(1.0), datum(2.0)]).send().await.unwrap();
    put(vec![datum(1.0)]).send().await.unwrap();
    let stamp = Stamp {
        namespace: "DeepGuard".into(),
        metric: "AnomalyScore".into(),
        dimensions: vec![("InstanceId".into(), "i-1".into())],
        time: NOW,
    };
    assert_eq!(aws.published(), BTreeMap::from([(stamp, vec![1.0, 2.0, 1.0])]));
    // Large enough that the SDK compresses it.
    aws.take_published();
    put((0..1000).map(|n| datum(f64::from(n))).collect()).send().await.unwrap();
    assert_eq!(aws.published().values().next().unwrap().len(), 1000);
    let calls = aws.calls();
    assert!(
        calls[2].bytes_in < 50_000 && calls[2].datums == 1000 && calls[2].resource == "DeepGuard",
        "{calls:?}"
    );
}

#[tokio::test]
async fn puts_keep_to_the_limits() {
    let aws = start(1);
    let client = cloudwatch(&aws);
    let put = |namespace: &str, data: Vec<MetricDatum>| {
        client.put_metric_data().namespace(namespace).set_metric_data(Some(data))
    };
    let at = |seconds: i64| {
        MetricDatum::builder().metric_name("M").timestamp(DateTime::from_secs(seconds)).value(1.0)
    };
    let dimensions = |count: usize| {
        let dimension = |n| Dimension::builder().name(format!("D{n}")).value("v").build();
        at(NOW).set_dimensions(Some((0..count).map(dimension).collect())).build()
    };
    let largest = 2f64.powi(360);
    let good = [
        datum(largest),
        datum(-largest),
        at(NOW - 14 * 86_400).build(),
        at(NOW + 7200).build(),
        dimensions(30),
        MetricDatum::builder().metric_name("M").values(1.0).values(2.0).build(),
    ];
    for datum in good {
        put("DeepGuard", vec![datum]).send().await.unwrap();
    }
    let before = aws.published();
    let invalid = "InvalidParameterValue";
    let bad = [
        (datum(f64::NAN), invalid),
        (datum(f64::INFINITY), invalid),
        (datum(largest * 1.001), invalid),
        (at(NOW - 14 * 86_400 - 1).build(), invalid),
        (at(NOW + 7201).build(), invalid),
        (dimensions(31), invalid),
        (at(NOW).values(1.0).build(), "InvalidParameterCombination"),
        (MetricDatum::builder().metric_name("M").build(), "InvalidParameterCombination"),
    ];
    for (number, (bad, code)) in bad.into_iter().enumerate() {
        let error = put("DeepGuard", vec![datum(1.0), bad]).send().await.unwrap_err();
        assert_eq!(told(&error), Some((400, code.into())), "case {number}");
    }
    for (namespace, count) in [("DeepGuard", 1001), ("AWS/EC2", 1), ("", 1)] {
        assert!(
            put(namespace, vec![datum(1.0); count]).send().await.is_err(),
            "{namespace} {count}"
        );
    }
    assert_eq!(aws.published(), before, "all or nothing");
}

#[tokio::test]
async fn a_put_has_a_limit_of_bytes() {
    let aws = start_with(Generated::new(1, 1), Limits { bytes_per_put: 5_000, ..Limits::none() });
    let client = cloudwatch(&aws);
    let put = |count: u32| {
        // The digits of a root do not compress.
        let data = (0..count).map(|n| datum(f64::from(n).sqrt())).collect();
        client.put_metric_data().namespace("DeepGuard").set_metric_data(Some(data))
    };
    assert!(put(10).send().await.is_ok());
    assert_eq!(
        told(&put(1000).send().await.unwrap_err()),
        Some((413, "RequestEntityTooLarge".into()))
    );
    assert_eq!(aws.published().values().map(Vec::len).sum::<usize>(), 10);
}

#[tokio::test]
async fn answers_take_their_time() {
    let options = Options {
        now: NOW,
        latency: Latency::like_aws(),
        limits: Limits::none(),
        ..Options::default()
    };
    let aws = scripted_aws::Aws::start(std::sync::Arc::new(Generated::new(100, 1)), options);
    let client = cloudwatch(&aws);
    client.list_metrics().send().await.unwrap();
    get(&client, 100, 100).send().await.unwrap();
    let took: Vec<u128> = aws.calls().iter().map(|call| call.took.as_millis()).collect();
    assert!((60..500).contains(&took[0]) && (80..500).contains(&took[1]), "{took:?}");
}
