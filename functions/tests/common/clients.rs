//! Clients of the scripted AWS.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_cloudwatch::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_cloudwatch::config::timeout::TimeoutConfig;
use aws_sdk_cloudwatch::config::{BehaviorVersion, Credentials, Region};
use scripted_aws::Aws;

/// A client of a service, with a shorter wait between tries. Each has its own retry budget, so that
/// one test does not use up that of another.
macro_rules! client {
    ($service:ident, $aws:expr, $attempt:expr, $http:expr $(, $set:ident($to:expr))?) => {{
        static MADE: AtomicU64 = AtomicU64::new(0);
        let name = format!("{}{}", stringify!($service), MADE.fetch_add(1, Ordering::Relaxed));
        let config = $service::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
            .retry_config(
                RetryConfig::standard()
                    .with_initial_backoff(Duration::from_millis(1))
                    .with_max_backoff(Duration::from_millis(4)),
            )
            .retry_partition(
                RetryPartition::custom(name).token_bucket(TokenBucket::unlimited()).build(),
            )
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout($attempt).build())
            .http_client($http.clone())
            .endpoint_url($aws.endpoint());
        $(let config = config.$set($to);)?
        $service::Client::from_conf(config.build())
    }};
}

/// The clients of one world.
#[derive(Clone)]
pub(super) struct Clients {
    pub(super) cloudwatch: aws_sdk_cloudwatch::Client,
    pub(super) s3: aws_sdk_s3::Client,
    pub(super) tagging: aws_sdk_resourcegroupstagging::Client,
    pub(super) bus: aws_sdk_eventbridge::Client,
    pub(super) sns: aws_sdk_sns::Client,
}

impl Clients {
    pub(super) fn new(aws: &Aws, attempt: Duration) -> Self {
        // Without TLS: reading the trusted certificates takes longer than a run.
        let http = aws_smithy_http_client::Builder::new().build_http();
        Self {
            cloudwatch: client!(aws_sdk_cloudwatch, aws, attempt, http),
            s3: client!(aws_sdk_s3, aws, attempt, http, force_path_style(true)),
            tagging: client!(aws_sdk_resourcegroupstagging, aws, attempt, http),
            bus: client!(aws_sdk_eventbridge, aws, attempt, http),
            sns: client!(aws_sdk_sns, aws, attempt, http),
        }
    }
}
