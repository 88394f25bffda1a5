//! The common part of all calls to AWS: endpoints, timeouts, and the text of failures.

use std::error::Error;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_cloudwatch::error::{ProvideErrorMetadata, SdkError};

use crate::ports::CallError;

/// One try of one call: the largest answer, 100,800 datapoints, takes a few seconds. Without a
/// bound a connection that hangs would use up the function's whole time.
const ATTEMPT: Duration = Duration::from_secs(30);

/// Region, credentials and endpoint from where the SDK looks for them. In Lambda these are
/// environment variables, which it asks first, so it never waits for the metadata service of an EC2
/// instance.
pub async fn config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build();
    aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).load().await
}

/// A client for S3.
///
/// At AWS's own endpoint the bucket is part of the host, as AWS prefers. At another one
/// (`AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_S3`: a local AWS, a VPC endpoint) it is part of the path:
/// there is no host `bucket.127.0.0.1`.
pub fn s3(config: &SdkConfig) -> aws_sdk_s3::Client {
    let own_endpoint =
        config.endpoint_url().is_some() || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some();
    let config = aws_sdk_s3::config::Builder::from(config).force_path_style(own_endpoint).build();
    aws_sdk_s3::Client::from_conf(config)
}

/// A call that failed, with the code and the message from AWS, or with the failure on the way
/// there.
pub fn failed<E, R>(operation: &'static str, error: &SdkError<E, R>) -> CallError
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug + 'static,
{
    let said = error
        .as_service_error()
        .and_then(|error| Some((error.code()?, error.message().unwrap_or("no message"))));
    let why = match said {
        Some((code, message)) => format!("{code}: {message}{}", advice(code)),
        None => {
            let causes = std::iter::successors(Some(error as &dyn Error), |&error| error.source());
            causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
        }
    };
    CallError { operation, why }
}

/// Whether AWS throttled the call. CloudWatch does so with HTTP 400.
pub fn is_throttled<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
        .is_some_and(|code| THROTTLING.contains(&code))
}

/// Whether AWS refused the request as invalid, so that it will refuse it again.
pub fn is_refused<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
        .is_some_and(|code| REFUSING.contains(&code))
}

/// Error codes of throttled calls.
const THROTTLING: [&str; 6] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "SlowDown",
    "RequestLimitExceeded",
    "TooManyRequestsException",
];
/// Error codes of invalid requests. (PutMetricData, Errors)
const REFUSING: [&str; 9] = [
    "InvalidParameterValue",
    "InvalidParameterValueException",
    "InvalidParameterCombination",
    "InvalidParameterCombinationException",
    "MissingParameter",
    "MissingRequiredParameterException",
    "ValidationError",
    "ValidationException",
    "InvalidFormat",
];

/// Advice on an error, where its code tells enough.
fn advice(code: &str) -> &'static str {
    match code {
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => {
            " (allow it in the function's role)"
        }
        "ExpiredToken"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidAccessKeyId" => " (renew the credentials)",
        code if THROTTLING.contains(&code) => {
            " (the next run makes up for it; if it goes on, ask AWS for a higher quota)"
        }
        _ => "",
    }
}
