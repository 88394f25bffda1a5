//! The detector: an AWS Lambda function that scores the CPU of EC2 instances.

use std::time::{Instant, SystemTime};

use functions::cloudwatch::CloudWatch;
use functions::detect::{Detection, RunError};
use functions::s3::S3;
use functions::settings::Settings;
use functions::{aws, log};
use jiff::Timestamp;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde_json::Value;
use tokio::sync::Mutex;
use tracing::{Level, error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let started = Instant::now();
    let settings = match Settings::from_env() {
        Ok(settings) => settings,
        Err(error) => {
            log::start(Level::INFO);
            error!(%error, "the function cannot work");
            // Answers every event with the error instead of ending: an exit would tell the caller nothing but its code.
            let refuse = |_: LambdaEvent<Value>| {
                std::future::ready(Err::<Value, Diagnostic>(RunError::from(error.clone()).into()))
            };
            return lambda_runtime::run(service_fn(refuse)).await;
        }
    };
    log::start(settings.log_level);
    let config = aws::config().await;
    let cloudwatch = CloudWatch::new(aws_sdk_cloudwatch::Client::new(&config), &settings.namespace);
    let mut detection = Detection::new(settings, cloudwatch, S3::new(aws::s3(&config)));
    detection.prepare(started).await;

    // Never contended: Lambda sends a process one event at a time.
    let detection = &Mutex::new(detection);
    let run = |event: LambdaEvent<Value>| async move {
        let mut detection = detection.lock().await;
        // A deadline that is over before the run begins is not Lambda's: an emulator gives such ones.
        detection.set_time_left(event.context.deadline().duration_since(SystemTime::now()).ok());
        let summary = detection.run(&event.payload, Timestamp::now()).await?;
        log::summary(&summary, &event.context.request_id, Timestamp::now());
        Ok::<_, Diagnostic>(summary)
    };
    lambda_runtime::run(service_fn(run)).await
}
