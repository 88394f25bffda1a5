//! A bad week: 213 machines of twelve groups over a change of clocks and a holiday, and everything
//! that their people are told.
//!
//! Detector and calibrator are the functions' own, with all clients of AWS, at a scripted AWS. They
//! run in this process: the bootstrap would look at the machine's clock, which is in another year.

#[path = "../common/canvas.rs"]
mod canvas;
mod fleet;
mod picture;
mod report;
mod story;
mod told;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use aws_sdk_cloudwatch::config::{BehaviorVersion, Credentials, Region};
use clap::Parser;
use deepguard_aws::account::Account;
use deepguard_aws::cloudwatch::CloudWatch;
use deepguard_aws::cloudwatch::pace::Rates;
use deepguard_aws::eventbridge::Bus;
use deepguard_aws::s3::S3;
use deepguard_aws::sns::Topic;
use deepguard_aws::tagging::Tagging;
use functions::run::Detection;
use functions::run::calibrate::Calibration;
use functions::settings::Settings;
use functions::trigger::label::Label;
use jiff::Timestamp;
use scripted_aws::{Aws, GROUP, Limits, Options, SLOT};
use serde_json::json;

use fleet::{WEEK, Week, ZONE, holidays, local};
use report::Report;
use story::{LABEL, LABELLED};
use told::{TOPICS, Told};

const BUCKET: &str = "deepguard";
const HOLIDAYS_KEY: &str = "settings/holidays.ics";
const FUNCTION: &str = "arn:aws:lambda:us-east-1:123456789012:function:deepguard";
const DAY: i64 = 86_400;
/// When a run begins, after the end of a slot: `ScheduleExpression` of the template.
const RUNS_AT: i64 = 180;
/// When the calibrator runs, after midnight UTC: `cron(7 0,1,2 * * ? *)`.
const CALIBRATES_AT: [i64; 3] = [420, 4020, 7620];

/// Replays a bad week, and writes what its people are told.
#[derive(Debug, Parser)]
struct Args {
    /// Where to write bad-week.md and images/bad-week.png
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let week = Arc::new(Week::new(&story::launches()?, story::troubles)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (told, runs) = runtime.block_on(replay(&week))?;
    Report { week: &week, told: &told, runs }.write(&args.out)
}

/// Runs the functions through the whole week; gives all that was told, and the number of runs.
async fn replay(week: &Arc<Week>) -> Result<(Told, usize)> {
    let [from, until] = WEEK.map(local);
    let (from, until, label) = (from?, until?, local(LABEL)?);
    let options = Options { now: from, limits: Limits::none(), ..Options::default() };
    let aws = Aws::start(Arc::<Week>::clone(week), options);
    aws.put_object(BUCKET, HOLIDAYS_KEY, holidays());
    let services = Services::new(&aws)?;
    let (cloudwatch, s3, account) = services.all();
    let mut detection = Detection::with_account(services.settings.clone(), cloudwatch, s3, account);
    let (began, mut runs, mut labelled) = (Instant::now(), 0, false);
    for time in (from..until).step_by(SLOT as usize) {
        let now = time + RUNS_AT;
        for at in CALIBRATES_AT.map(|after| now.div_euclid(DAY) * DAY + after) {
            if (now - SLOT..now).contains(&at) {
                services.calibrate(&aws, at).await?;
            }
        }
        aws.set_now(now);
        let clock = Timestamp::from_second(now)?;
        let event = json!({ "time": clock.to_string() });
        let summary = detection.run(&event, clock).await?;
        let failed = (summary.alerts.failed, summary.datums_failed);
        ensure!(failed == (0, 0) && summary.state.saved, "a run failed: {summary:?}");
        runs += 1;
        if !labelled && now >= label {
            let told = Told::of(&aws, week)?;
            let page = told.pages_of(week, LABELLED[0]).next();
            let incident = page.context("no page came that could be labelled")?.incident.clone();
            let label = Label::from_event(&json!({ "label": incident })).context("no label")??;
            detection.label(&label, clock).await?;
            labelled = true;
        }
        // They are not looked at, and would fill the memory.
        drop(aws.take_calls());
        drop(aws.take_published());
        if (time - from) % DAY == DAY - SLOT {
            let (seconds, level) = (began.elapsed().as_secs(), summary.episodes.page_level);
            eprintln!("{clock}: {seconds} s, page level {level:.2}");
        }
    }
    Ok((Told::of(&aws, week)?, runs))
}

/// The settings of the deployment, and its clients.
struct Services {
    settings: Settings,
    cloudwatch: aws_sdk_cloudwatch::Client,
    s3: aws_sdk_s3::Client,
    tagging: aws_sdk_resourcegroupstagging::Client,
    bus: aws_sdk_eventbridge::Client,
    sns: aws_sdk_sns::Client,
}

/// A client of a service at the scripted AWS.
macro_rules! client {
    ($service:ident, $aws:expr, $http:expr $(, $set:ident($to:expr))?) => {{
        let config = $service::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("key", "secret", None, None, "example"))
            .http_client($http.clone())
            .endpoint_url($aws.endpoint());
        $(let config = config.$set($to);)?
        $service::Client::from_conf(config.build())
    }};
}

impl Services {
    fn new(aws: &Aws) -> Result<Self> {
        let value = |name: &str| {
            Some(match name {
                "STATE_URI" => format!("s3://{BUCKET}/state"),
                "HOLIDAYS_URI" => format!("s3://{BUCKET}/{HOLIDAYS_KEY}"),
                "TIME_ZONE" => ZONE.into(),
                "GROUP_BY" => GROUP.into(),
                "PAGES_PER_WEEK" => "2".into(),
                "REPORTING_STOPPED" | "NOTIFY_RECOVERY" => "on".into(),
                "DIGEST" => "08:00".into(),
                "EVENT_BUS" => "default".into(),
                "TOPIC" => TOPICS[0].into(),
                "CHAT_TOPIC" => TOPICS[1].into(),
                "AWS_REGION" => "us-east-1".into(),
                "AWS_LAMBDA_FUNCTION_NAME" => "deepguard".into(),
                _ => return None,
            })
        };
        let settings = Settings::from_variables(value)?;
        // The scripted CloudWatch need not be spared.
        let settings = Settings { rates: Rates { calls: 1e9, datapoints: 1e12 }, ..settings };
        let http = aws_smithy_http_client::Builder::new().build_http();
        Ok(Self {
            settings,
            cloudwatch: client!(aws_sdk_cloudwatch, aws, http),
            s3: client!(aws_sdk_s3, aws, http, force_path_style(true)),
            tagging: client!(aws_sdk_resourcegroupstagging, aws, http),
            bus: client!(aws_sdk_eventbridge, aws, http),
            sns: client!(aws_sdk_sns, aws, http),
        })
    }

    fn all(&self) -> (CloudWatch, S3, Account) {
        let Settings { event_bus, topic, chat_topic, rates, namespace, .. } = self.settings.clone();
        let account = Account {
            tagging: Tagging::new(self.tagging.clone()),
            bus: Bus::new(self.bus.clone(), event_bus),
            topic: Topic::new(self.sns.clone(), topic),
            chat: Topic::of_chat(self.sns.clone(), chat_topic),
        };
        account.tagging.lives_at(FUNCTION);
        let cloudwatch = CloudWatch::new(self.cloudwatch.clone(), &namespace, rates);
        (cloudwatch, S3::new(self.s3.clone()), account)
    }

    /// Runs the calibrator in a process of its own, at `now` (seconds since 1970).
    async fn calibrate(&self, aws: &Aws, now: i64) -> Result<()> {
        aws.set_now(now);
        let clock = Timestamp::from_second(now)?;
        let (cloudwatch, s3, account) = self.all();
        let settings = self.settings.clone();
        let mut calibration = Calibration::with_account(settings, cloudwatch, s3, account);
        calibration.run(&json!({ "time": clock.to_string() }), clock).await?;
        Ok(())
    }
}
