//! A scripted AWS on a loopback port: it gives the scripted answers in their order, and stores the
//! requests.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use aws_sdk_cloudwatch::config::retry::RetryConfig;
use aws_sdk_cloudwatch::config::{BehaviorVersion, Credentials, Region};
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::cbor;
use crate::cloudwatch::CloudWatch;
use crate::cloudwatch::pace::Rates;
use crate::eventbridge::Bus;
use crate::s3::S3;
use crate::sns::Topic;
use crate::tagging::Tagging;

/// An answer of CloudWatch.
pub fn answer(body: Value) -> ResponseTemplate {
    cloudwatch(200, &cbor::encode(&body))
}

/// An error of CloudWatch.
pub fn error(status: u16, code: &str) -> ResponseTemplate {
    cloudwatch(status, &cbor::encode(&json!({ "__type": code, "message": "said the script" })))
}

/// Anything with the headers of CloudWatch.
pub fn cloudwatch(status: u16, body: &[u8]) -> ResponseTemplate {
    let answer = ResponseTemplate::new(status).insert_header("smithy-protocol", "rpc-v2-cbor");
    let answer = answer.insert_header("x-amzn-requestid", "53dc4d37");
    answer.set_body_raw(body, "application/cbor")
}

/// CloudWatch at an endpoint, with a shorter wait between tries.
pub fn cloudwatch_at(endpoint: impl Into<String>, compress: bool) -> CloudWatch {
    let config = aws_sdk_cloudwatch::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
        .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)))
        .disable_request_compression(!compress)
        .endpoint_url(endpoint)
        .build();
    let rates = Rates { calls: 1e6, datapoints: 1e9 };
    CloudWatch::new(aws_sdk_cloudwatch::Client::from_conf(config), "DeepGuard", rates)
}

/// A server on loopback that gives scripted answers and keeps all requests.
pub struct Scripted {
    server: MockServer,
}

struct Script(Mutex<HashMap<&'static str, VecDeque<ResponseTemplate>>>);

/// The operation: the last part of CloudWatch's path; of S3, whose paths are keys, the method.
fn operation(request: &Request) -> &str {
    match request.url.path().split_once("/operation/") {
        Some((_, operation)) => operation,
        None => request.method.as_str(),
    }
}

impl Respond for Script {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut script = self.0.lock().unwrap();
        let next = script.get_mut(operation(request)).and_then(VecDeque::pop_front);
        // Not one that the SDK tries again, so that a call too many is seen at once.
        next.unwrap_or_else(|| error(400, "NotInTheScript"))
    }
}

impl Scripted {
    /// Answers each operation with its list, one after another.
    pub async fn new<const N: usize>(script: [(&'static str, Vec<ResponseTemplate>); N]) -> Self {
        // One of its own: `MockServer::start` hands out servers that other tests may still be
        // calling.
        let server = MockServer::builder().start().await;
        let script =
            script.into_iter().map(|(operation, answers)| (operation, answers.into())).collect();
        Mock::given(any()).respond_with(Script(Mutex::new(script))).mount(&server).await;
        Self { server }
    }

    /// CloudWatch as the detector meets it, with a shorter wait between tries.
    pub fn cloudwatch(&self, compress: bool) -> CloudWatch {
        cloudwatch_at(self.server.uri(), compress)
    }

    /// S3 as the detector meets it, with a shorter wait between tries.
    pub fn s3(&self) -> S3 {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
            .region(aws_sdk_s3::config::Region::new("us-east-1"))
            .credentials_provider(aws_sdk_s3::config::Credentials::new(
                "key", "secret", None, None, "test",
            ))
            .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)))
            .force_path_style(true)
            .endpoint_url(self.server.uri())
            .build();
        S3::new(aws_sdk_s3::Client::from_conf(config))
    }

    /// The Tagging API, with a shorter wait between tries.
    pub fn tagging(&self) -> Tagging {
        use aws_sdk_resourcegroupstagging::config;
        let config = aws_sdk_resourcegroupstagging::Config::builder()
            .behavior_version(config::BehaviorVersion::latest())
            .region(config::Region::new("us-east-1"))
            .credentials_provider(config::Credentials::new("key", "secret", None, None, "test"))
            .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)))
            .endpoint_url(self.server.uri())
            .build();
        Tagging::new(aws_sdk_resourcegroupstagging::Client::from_conf(config))
    }

    /// A bus named `ops`.
    pub fn bus(&self) -> Bus {
        use aws_sdk_eventbridge::config;
        let config = aws_sdk_eventbridge::Config::builder()
            .behavior_version(config::BehaviorVersion::latest())
            .region(config::Region::new("us-east-1"))
            .credentials_provider(config::Credentials::new("key", "secret", None, None, "test"))
            .endpoint_url(self.server.uri())
            .build();
        Bus::new(aws_sdk_eventbridge::Client::from_conf(config), Some("ops".into()))
    }

    /// A topic.
    pub fn topic(&self) -> Topic {
        let arn = "arn:aws:sns:us-east-1:000000000000:pager".to_string();
        Topic::new(self.sns(), Some(arn))
    }

    /// The topic of a chat.
    pub fn chat(&self) -> Topic {
        let arn = "arn:aws:sns:us-east-1:000000000000:chat".to_string();
        Topic::of_chat(self.sns(), Some(arn))
    }

    fn sns(&self) -> aws_sdk_sns::Client {
        use aws_sdk_sns::config;
        let config = aws_sdk_sns::Config::builder()
            .behavior_version(config::BehaviorVersion::latest())
            .region(config::Region::new("us-east-1"))
            .credentials_provider(config::Credentials::new("key", "secret", None, None, "test"))
            .endpoint_url(self.server.uri())
            .build();
        aws_sdk_sns::Client::from_conf(config)
    }

    /// The requests as they came.
    pub async fn raw_requests(&self) -> Vec<Request> {
        self.server.received_requests().await.unwrap()
    }

    /// The requests to CloudWatch for `operation`, decoded.
    pub async fn requests(&self, name: &str) -> Vec<Value> {
        let requests = self.raw_requests().await;
        requests
            .iter()
            .filter(|request| operation(request) == name)
            .map(|request| cbor::decode(&request.body))
            .collect()
    }
}
