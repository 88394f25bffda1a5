//! The functions, in one binary: Lambda's handler setting selects the function. `detector` scores
//! the CPU of EC2 instances. `calibrator` makes the baselines of a new day. `predictor` judges a
//! sequence of CPU values that a client sends.

use std::time::{Duration, SystemTime};

use deepguard_aws::account::Account;
use deepguard_aws::client;
use deepguard_aws::cloudwatch::CloudWatch;
use deepguard_aws::eventbridge::Bus;
use deepguard_aws::s3::S3;
use deepguard_aws::sns::Topic;
use deepguard_aws::tagging::Tagging;
use functions::predict::Prediction;
use functions::run::calibrate::Calibration;
use functions::run::label::Labelled;
use functions::run::summary::Summary;
use functions::run::{Delivered, Detection, RunError, log};
use functions::settings::Settings;
use functions::startup::{Handler, Part, Start};
use functions::trigger::is_test;
use functions::trigger::label::Label;
use jiff::Timestamp;
use lambda_runtime::{Context, Diagnostic, Error, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tracing::{Level, error};

/// Lambda's name for the handler of the function's configuration.
const HANDLER: &str = "_HANDLER";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut start = Start::now();
    let configured =
        std::env::var(HANDLER).unwrap_or_default().parse::<Handler>().map_err(RunError::from);
    let configured = configured.and_then(|handler| Ok((handler, Settings::from_env()?)));
    let (handler, settings) = match configured {
        Ok(configured) => configured,
        Err(error) => {
            log::start(Level::INFO);
            error!(%error, "the function cannot work");
            // Answers every event with the error instead of exiting: an exit would show the caller
            // only its code.
            let refuse = |_: LambdaEvent<Value>| {
                std::future::ready(Err::<Value, Diagnostic>(error.clone().into()))
            };
            return lambda_runtime::run(service_fn(refuse)).await;
        }
    };
    log::start(settings.log_level);
    start.done(Part::Settings);
    let config = client::config().await;
    start.done(Part::AwsConfig);
    let cloudwatch = CloudWatch::new(
        aws_sdk_cloudwatch::Client::new(&config),
        &settings.namespace,
        settings.rates,
    )
    .of(settings.targets);
    let s3 = S3::new(client::s3(&config));
    start.done(Part::Clients);
    // The locks are never contended: Lambda sends a process one event at a time.
    if handler == Handler::Predictor {
        let prediction = &Mutex::new(Prediction::new(settings, s3));
        log::ready(&start);
        let run = |event: LambdaEvent<Value>| async move {
            let answered = prediction.lock().await.answer(&event.payload, Timestamp::now()).await?;
            answered.metrics.iter().for_each(|line| println!("{line}"));
            Ok::<_, Diagnostic>(answered.body)
        };
        return lambda_runtime::run(service_fn(run)).await;
    }
    let account = Account {
        tagging: Tagging::new(aws_sdk_resourcegroupstagging::Client::new(&config)),
        bus: Bus::new(aws_sdk_eventbridge::Client::new(&config), settings.event_bus.clone()),
        topic: Topic::new(aws_sdk_sns::Client::new(&config), settings.topic.clone()),
        chat: Topic::of_chat(aws_sdk_sns::Client::new(&config), settings.chat_topic.clone()),
    };
    if handler == Handler::Calibrator {
        let calibration = &Mutex::new(Calibration::with_account(settings, cloudwatch, s3, account));
        log::ready(&start);
        let run = |event: LambdaEvent<Value>| async move {
            let mut calibration = calibration.lock().await;
            calibration.set_time_left(time_left(&event.context));
            calibration.account().tagging.lives_at(&event.context.invoked_function_arn);
            let summary = calibration.run(&event.payload, Timestamp::now()).await?;
            log::summary(&summary, &event.context.request_id, Timestamp::now());
            Ok::<_, Diagnostic>(summary)
        };
        return lambda_runtime::run(service_fn(run)).await;
    }
    let mut detection = Detection::with_account(settings, cloudwatch, s3, account);
    detection.prepare(start.clock()).await;
    start.done(Part::Model);
    log::ready(&start);
    let detection = &Mutex::new(detection);
    let run = |event: LambdaEvent<Value>| async move {
        let mut detection = detection.lock().await;
        detection.set_time_left(time_left(&event.context));
        detection.account().tagging.lives_at(&event.context.invoked_function_arn);
        if is_test(&event.payload) {
            let test = detection.test_alerts(Timestamp::now()).await?;
            return Ok::<_, Diagnostic>(Answer::Test { test });
        }
        if let Some(label) = Label::from_event(&event.payload) {
            let label = label.map_err(RunError::from)?;
            let label = detection.label(&label, Timestamp::now()).await?;
            return Ok(Answer::Label { label });
        }
        let summary = detection.run(&event.payload, Timestamp::now()).await?;
        log::summary(&summary, &event.context.request_id, Timestamp::now());
        Ok(Answer::Run(Box::new(summary)))
    };
    lambda_runtime::run(service_fn(run)).await
}

/// The answer of the detector.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    /// To a test of its alerts.
    Test { test: Delivered },
    /// To a label.
    Label { label: Labelled },
    /// To a run.
    Run(Box<Summary>),
}

/// The deadline that Lambda sets for the run. A deadline that is over before the run begins does
/// not come from Lambda: an emulator sends such deadlines.
fn time_left(context: &Context) -> Option<Duration> {
    context.deadline().duration_since(SystemTime::now()).ok()
}
