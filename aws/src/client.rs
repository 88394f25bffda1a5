//! The common part of all calls to AWS: endpoints, timeouts, and the text of failures.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_cloudwatch::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::config::ProvideCredentials;

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

/// A configuration with which no call can succeed.
#[derive(Debug, thiserror::Error)]
pub enum NoAccess {
    /// There are no credentials.
    #[error("there are no AWS credentials for {from}: {why}")]
    Credentials {
        /// Where they were looked for.
        from: Origin,
        /// The failure.
        why: String,
    },
    /// There is no Region.
    #[error("there is no AWS Region: set AWS_REGION, or `region` in ~/.aws/config for {0}")]
    Region(Origin),
}

/// Where credentials and Region come from, for errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The profile.
    profile: Option<String>,
    /// Whether the credentials stand in the environment, which wins over the profile.
    in_environment: bool,
    /// The Region, as it was found.
    region: Option<String>,
    /// The variable that sets it, if one does.
    region_variable: Option<&'static str>,
}

impl Origin {
    /// Reads the variables that the SDK reads.
    fn of(config: &SdkConfig, get: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| get(name).filter(|value| !value.is_empty());
        Self {
            profile: set("AWS_PROFILE"),
            in_environment: set("AWS_ACCESS_KEY_ID").is_some(),
            region: config.region().map(ToString::to_string),
            region_variable: ["AWS_REGION", "AWS_DEFAULT_REGION"]
                .into_iter()
                .find(|name| set(name).is_some()),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.profile, self.in_environment) {
            (_, true) => formatter.write_str("the credentials of AWS_ACCESS_KEY_ID")?,
            (Some(profile), false) => write!(formatter, "the profile `{profile}` (AWS_PROFILE)")?,
            (None, false) => formatter.write_str(
                "the machine's own credentials (neither AWS_PROFILE nor AWS_ACCESS_KEY_ID is set)",
            )?,
        }
        match (&self.region, self.region_variable) {
            (Some(region), Some(variable)) => {
                write!(formatter, " in the Region {region} ({variable})")
            }
            (Some(region), None) => write!(formatter, " in the Region {region}"),
            (None, _) => Ok(()),
        }
    }
}

/// The same as [`config`], checked: a person has typed the profile and the Region.
///
/// # Errors
/// [`NoAccess`] names the profile, the Region, and the variables that chose them.
pub async fn checked_config() -> Result<(SdkConfig, Origin), NoAccess> {
    let config = config().await;
    let from = Origin::of(&config, |name| std::env::var(name).ok());
    if from.region.is_none() {
        return Err(NoAccess::Region(from));
    }
    let credentials = match config.credentials_provider() {
        Some(provider) => provider.provide_credentials().await.map_err(|error| causes(&error)),
        None => Err("no provider".into()),
    };
    match credentials {
        Ok(_) => Ok((config, from)),
        Err(why) => Err(NoAccess::Credentials { from, why }),
    }
}

/// An error with all of its causes.
fn causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
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
        None => causes(error),
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

#[cfg(test)]
mod tests {
    use aws_config::Region;

    use super::*;

    fn origin(region: Option<&'static str>, variables: &[(&str, &str)]) -> String {
        let config = SdkConfig::builder().region(region.map(Region::new)).build();
        let get = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| value.to_string())
        };
        Origin::of(&config, get).to_string()
    }

    #[test]
    fn an_error_names_what_a_person_has_set() {
        let region = Some("eu-central-1");
        for (region, variables, expected) in [
            (
                region,
                &[("AWS_PROFILE", "prdo"), ("AWS_REGION", "eu-central-1")][..],
                "the profile `prdo` (AWS_PROFILE) in the Region eu-central-1 (AWS_REGION)",
            ),
            (
                region,
                &[("AWS_PROFILE", "prod"), ("AWS_ACCESS_KEY_ID", "AK")],
                "the credentials of AWS_ACCESS_KEY_ID in the Region eu-central-1",
            ),
            (
                region,
                &[("AWS_DEFAULT_REGION", "eu-central-1")],
                "the machine's own credentials (neither AWS_PROFILE nor AWS_ACCESS_KEY_ID is set) \
                 in the Region eu-central-1 (AWS_DEFAULT_REGION)",
            ),
            (None, &[("AWS_PROFILE", "prod")], "the profile `prod` (AWS_PROFILE)"),
        ] {
            assert_eq!(origin(region, variables), expected);
        }
    }
}
