//! Clients for the tests: the SDKs, without tries of their own, and one that speaks plain HTTP.
#![allow(dead_code, unreachable_pub)] // Not every test needs all of it.
#![allow(clippy::unwrap_used)] // A test that meets what it did not expect should stop there.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_cloudwatch::config::retry::RetryConfig;
use aws_sdk_cloudwatch::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_cloudwatch::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudwatch::operation::get_metric_data::builders::GetMetricDataFluentBuilder;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, ScanBy,
};
use scripted_aws::{Aws, Generated, Limits, Options};

pub const NOW: i64 = 1_768_478_400;

pub fn start(instances: usize) -> Aws {
    start_with(Generated::new(instances, 1), Limits::none())
}

pub fn start_with(fleet: Generated, limits: Limits) -> Aws {
    Aws::start(Arc::new(fleet), Options { now: NOW, limits, ..Options::default() })
}

pub fn cloudwatch(aws: &Aws) -> aws_sdk_cloudwatch::Client {
    let config = aws_sdk_cloudwatch::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .endpoint_url(aws.endpoint())
        .build();
    aws_sdk_cloudwatch::Client::from_conf(config)
}

pub fn s3(aws: &Aws) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
        .region(aws_sdk_s3::config::Region::new("us-east-1"))
        .credentials_provider(aws_sdk_s3::config::Credentials::new(
            "key", "secret", None, None, "test",
        ))
        .retry_config(aws_sdk_s3::config::retry::RetryConfig::disabled())
        .endpoint_url(aws.endpoint())
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

pub fn query(id: String, instance: &str, period: i32) -> MetricDataQuery {
    let dimension = Dimension::builder().name("InstanceId").value(instance).build();
    let metric = Metric::builder()
        .namespace("AWS/EC2")
        .metric_name("CPUUtilization")
        .dimensions(dimension)
        .build();
    let stat = MetricStat::builder().metric(metric).period(period).stat("Average").build();
    MetricDataQuery::builder().id(id).metric_stat(stat).build()
}

/// Of the first instances, the `slots` slots before now.
pub fn get(
    client: &aws_sdk_cloudwatch::Client,
    instances: usize,
    slots: i64,
) -> GetMetricDataFluentBuilder {
    let queries = (0..instances).map(|n| query(format!("m{n}"), &Generated::id(n), 300)).collect();
    client
        .get_metric_data()
        .set_metric_data_queries(Some(queries))
        .start_time(DateTime::from_secs(NOW - slots * 300))
        .end_time(DateTime::from_secs(NOW))
        .scan_by(ScanBy::TimestampAscending)
}

pub fn points(result: &MetricDataResult) -> Vec<(i64, f64)> {
    assert_eq!(result.timestamps().len(), result.values().len());
    result.timestamps().iter().map(DateTime::secs).zip(result.values().iter().copied()).collect()
}

/// The status and the code of an error; `None` when there was no answer.
pub fn told<E: ProvideErrorMetadata>(
    error: &SdkError<E, aws_sdk_cloudwatch::config::http::HttpResponse>,
) -> Option<(u16, String)> {
    let code = error.as_service_error().and_then(|error| error.code()).unwrap_or_default();
    error.raw_response().map(|response| (response.status().as_u16(), code.to_owned()))
}

/// An answer as it came.
#[derive(Debug)]
pub struct Plain {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Plain {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|line| line.0.eq_ignore_ascii_case(name)).map(|line| line.1)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends a request on a connection of its own; `None` when the connection is closed without an
/// answer.
pub fn plain(endpoint: &str, request: &str, headers: &str, body: &str) -> Option<Plain> {
    let mut stream = TcpStream::connect(endpoint.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let length = body.len();
    write!(
        stream,
        "{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\
         {headers}\r\n{body}"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1)?.parse().unwrap();
    Some(Plain { status, head, body: answer[end + 4..].to_vec() })
}
