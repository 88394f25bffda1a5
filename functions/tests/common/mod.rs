//! Replays: a fleet, a scripted AWS that serves its CPU, and functions that run at the times of a
//! virtual clock.
#![allow(dead_code, unreachable_pub)] // Not every test needs all of it.
#![allow(missing_docs, missing_debug_implementations)] // The names say it.
// A test that meets something unexpected should stop there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod alerts;
mod clients;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use deepguard_aws::account::Account;
use deepguard_aws::cloudwatch::CloudWatch;
use deepguard_aws::cloudwatch::pace::Rates;
use deepguard_aws::eventbridge::Bus;
use deepguard_aws::s3::S3;
use deepguard_aws::sns::Topic;
use deepguard_aws::tagging::Tagging;
use functions::run::calibrate::{Calibrated, Calibration};
use functions::run::summary::Summary;
use functions::run::{Detection, RunError};
use functions::settings::Settings;
use jiff::Timestamp;
use scripted_aws::{Aws, Fleet, GROUP, Generated, Limits, Options, Published};
use serde_json::{Value, json};

use self::clients::Clients;

/// Seconds from one run to the next, and from one datapoint to the next.
pub const SLOT: i64 = 300;
pub const DAY: i64 = 86_400;
/// Midnight UTC of 15 January 2026, a Thursday.
pub const MIDNIGHT: i64 = 1_768_435_200;
pub const BUCKET: &str = "bucket";
/// Where the state of the whole fleet is.
pub const STATE: &str = "state/shards/1/0";
/// Where a model is, for those who take it from S3.
pub const MODEL: &str = "models/default.safetensors";

/// The ARN of the function that a run is in.
const FUNCTION: &str = "arn:aws:lambda:us-east-1:123456789012:function:deepguard";

/// Random numbers from a seed.
#[derive(Clone, Copy)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to one less than `sides`.
    pub fn below(&mut self, sides: u64) -> u64 {
        self.roll() % sides
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        ((self.roll() >> 11) as f64) < probability * (1u64 << 53) as f64
    }

    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }
}

/// How many instances [`fleet`] has.
pub const INSTANCES: usize = 6;

/// Six instances with weeks of history. Around `time` one has a gap, one an anomaly, one is 26
/// hours old, one ten, and one stops.
pub fn fleet(time: i64) -> Generated {
    Generated::new(INSTANCES, 11)
        .gap(1, time + 300, time + 1200)
        .fault(2, time - 1200, time + 1500, 99.0)
        .gap(3, 0, time - 26 * 3600)
        .gap(4, 0, time - 10 * 3600)
        .gap(5, time - 600, i64::MAX)
}

pub fn start_aws(fleet: impl Fleet + 'static, now: i64) -> Aws {
    Aws::start(Arc::new(fleet), Options { now, limits: Limits::none(), ..Options::default() })
}

/// The settings from these variables, without waiting for CloudWatch.
pub fn settings(variables: &[(&str, &str)]) -> Settings {
    let settings = Settings::from_variables(|name| {
        let given = variables
            .iter()
            .find(|(variable, _)| *variable == name)
            .map(|(_, value)| value.to_string());
        given.or_else(|| match name {
            "STATE_URI" => Some(format!("s3://{BUCKET}/state")),
            "PUBLISH_MODE" => Some("full".into()),
            // The runs are at the ends of slots, and the scripted values never change.
            "SETTLE_MINUTES" => Some("0".into()),
            // Alerts take every way that there is.
            "GROUP_BY" => Some(GROUP.into()),
            "EVENT_BUS" => Some("bus".into()),
            "TOPIC" => Some(alerts::TOPIC.into()),
            "CHAT_TOPIC" => Some(alerts::CHAT.into()),
            "NOTIFY_RECOVERY" => Some("on".into()),
            "DIGEST" => Some("00:15".into()),
            _ => None,
        })
    });
    Settings { rates: Rates { calls: 1e9, datapoints: 1e12 }, ..settings.unwrap() }
}

/// How long one try of a call may take.
pub const PATIENT: Duration = Duration::from_secs(20);

/// RFC 3339.
pub fn text(time: i64) -> String {
    Timestamp::from_second(time).unwrap().to_string()
}

/// The event of a run at `time`.
pub fn event(time: i64) -> Value {
    json!({ "time": text(time) })
}

/// The event of a run of a part of the fleet.
pub fn event_of(time: i64, shard: u32, shards: u32) -> Value {
    json!({ "time": text(time), "shard": shard, "shards": shards })
}

/// The detector with all of its services.
pub type Detector = Detection<CloudWatch, S3, Account>;

/// An AWS, and the processes that run there.
pub struct World {
    pub aws: Aws,
    pub settings: Settings,
    clients: Clients,
    detection: Option<Detector>,
    /// Where the next run may know no more than what is stored: the number of calls until then.
    pub handovers: Vec<u64>,
    /// The calls of runs that may have been cut short, or took place at once.
    pub cut: Vec<Range<u64>>,
}

impl World {
    pub fn new(aws: Aws, settings: Settings) -> Self {
        let clients = Clients::new(&aws, PATIENT);
        Self { clients, aws, settings, detection: None, handovers: Vec::new(), cut: Vec::new() }
    }

    /// The time limit of one try of a call.
    #[must_use]
    pub fn with_attempts(self, attempt: Duration) -> Self {
        Self { clients: Clients::new(&self.aws, attempt), ..self }
    }

    fn services(&self) -> (CloudWatch, S3, Account) {
        let Clients { cloudwatch, s3, tagging, bus, sns } = self.clients.clone();
        let Settings { event_bus, topic, chat_topic, rates, .. } = self.settings.clone();
        let account = Account {
            tagging: Tagging::new(tagging),
            bus: Bus::new(bus, event_bus),
            topic: Topic::new(sns.clone(), topic),
            chat: Topic::of_chat(sns, chat_topic),
        };
        account.tagging.lives_at(FUNCTION);
        let cloudwatch = CloudWatch::new(cloudwatch, "DeepGuard", rates);
        (cloudwatch.of(self.settings.targets), S3::new(s3), account)
    }

    /// A new process of the detector.
    pub fn process(&self) -> Detector {
        let (cloudwatch, s3, account) = self.services();
        Detection::with_account(self.settings.clone(), cloudwatch, s3, account)
    }

    /// The detector's process ends; the next run has a new one.
    pub fn restart(&mut self) {
        self.detection = None;
        self.hand_over();
    }

    /// From here on, a run may know no more than what is stored.
    pub fn hand_over(&mut self) {
        self.handovers.push(self.called());
    }

    /// The number of calls so far.
    pub fn called(&self) -> u64 {
        self.aws.calls().last().map_or(0, |call| call.number + 1)
    }

    /// The detector's process.
    pub fn detection(&mut self) -> &mut Detector {
        if self.detection.is_none() {
            self.detection = Some(self.process());
        }
        self.detection.as_mut().unwrap()
    }

    /// A run of the detector for `time`, when it is that time.
    pub async fn run(&mut self, time: i64) -> Result<Summary, RunError> {
        self.run_late(time, time).await
    }

    /// A run of the detector for `time`, when it is `now`.
    pub async fn run_late(&mut self, time: i64, now: i64) -> Result<Summary, RunError> {
        self.run_event(&event(time), now).await
    }

    /// A run of the detector for an event, when it is `now`.
    pub async fn run_event(&mut self, event: &Value, now: i64) -> Result<Summary, RunError> {
        self.aws.set_now(now);
        self.detection().run(event, Timestamp::from_second(now).unwrap()).await
    }

    /// Runs the calibrator in a process of its own.
    pub async fn calibrate(&self, time: i64) -> Result<Calibrated, RunError> {
        self.calibrate_event(&event(time), time).await
    }

    /// Runs the calibrator for an event, in a process of its own, when it is `now`.
    pub async fn calibrate_event(&self, event: &Value, now: i64) -> Result<Calibrated, RunError> {
        self.aws.set_now(now);
        let (cloudwatch, s3, account) = self.services();
        let settings = self.settings.clone();
        let mut calibration = Calibration::with_account(settings, cloudwatch, s3, account);
        calibration.run(event, Timestamp::from_second(now).unwrap()).await
    }

    /// Everything in the bucket.
    pub fn bucket(&self) -> Vec<(String, Vec<u8>)> {
        let objects = self.aws.objects().into_iter();
        objects
            .map(|(bucket, key)| (key.clone(), self.aws.object(&bucket, &key).unwrap().bytes))
            .collect()
    }

    pub fn fill_bucket(&self, objects: &[(String, Vec<u8>)]) {
        objects
            .iter()
            .for_each(|(key, bytes)| drop(self.aws.put_object(BUCKET, key, bytes.clone())));
    }
}

/// A fleet that has been watched up to a time. Its first run is the slow one.
#[derive(Clone)]
pub struct Start {
    pub fleet: Generated,
    /// The time of that run.
    pub time: i64,
    pub objects: Vec<(String, Vec<u8>)>,
    pub published: Published,
}

impl Start {
    pub async fn new(fleet: Generated, time: i64) -> Self {
        let mut world = World::new(start_aws(fleet.clone(), time), settings(&[]));
        let summary = world.run(time).await.unwrap();
        assert!(summary.state.saved && summary.datums_failed == 0, "{summary:?}");
        Self { fleet, time, objects: world.bucket(), published: world.aws.published() }
    }

    /// The world after that run. Every process is gone.
    pub fn world(&self) -> World {
        self.world_with(self.fleet.clone(), settings(&[]))
    }

    pub fn world_with(&self, fleet: impl Fleet + 'static, settings: Settings) -> World {
        let world = World::new(start_aws(fleet, self.time), settings);
        world.fill_bucket(&self.objects);
        world
    }

    /// Everything that is published and told from here to `end` when nothing goes wrong.
    pub async fn undisturbed(&self, end: i64) -> Truth {
        self.undisturbed_in(1, end).await
    }

    /// The same with the fleet in this number of parts.
    pub async fn undisturbed_in(&self, shards: u32, end: i64) -> Truth {
        let mut world = self.world();
        for time in slots(self.time + SLOT, end + 1) {
            for shard in 0..shards {
                if let Some(time) = calibrator_before(time) {
                    let event = event_of(time, shard, shards);
                    let calibrated = world.calibrate_event(&event, time).await.unwrap();
                    assert_eq!(calibrated.instances.skipped, 0, "{calibrated:?}");
                }
                let summary = world.run_event(&event_of(time, shard, shards), time).await.unwrap();
                let done = (summary.datums_failed, summary.alerts.failed, summary.superseded);
                assert_eq!(done, (0, 0, false), "{summary:?}");
            }
        }
        let mut published = self.published.clone();
        published.extend(world.aws.published());
        Truth { since: self.time, published, told: alerts::told(&world.aws) }
    }
}

/// The times of the runs from `start` to before `end`.
pub fn slots(start: i64, end: i64) -> impl Iterator<Item = i64> {
    (start..end).step_by(SLOT as usize)
}

/// When the calibrator runs between the run at `time` and the one before it.
pub fn calibrator_before(time: i64) -> Option<i64> {
    let seven_past = time.div_euclid(DAY) * DAY + 420;
    (time - SLOT < seven_past && seven_past <= time).then_some(seven_past)
}

/// One instance's metric at one time.
pub type Mark = (String, String, i64);

/// Every value of each metric of an instance.
pub fn of_instances(published: &Published) -> BTreeMap<Mark, Vec<f64>> {
    let marks = published.iter().filter_map(|(stamp, values)| {
        let instance = stamp.dimension("InstanceId")?;
        Some(((instance.to_owned(), stamp.metric.clone(), stamp.time), values.clone()))
    });
    marks.collect()
}

/// The highest value of each metric that counts the fleet.
pub fn of_fleet(published: &Published) -> BTreeMap<(String, i64), f64> {
    let metrics = ["AnomalousInstances", "InstancesScored", "MaxAnomalyScore"];
    let ours = published.iter().filter(|(stamp, _)| {
        stamp.dimensions.is_empty() && metrics.contains(&stamp.metric.as_str())
    });
    let highest = |values: &[f64]| values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    ours.map(|(stamp, values)| ((stamp.metric.clone(), stamp.time), highest(values))).collect()
}

/// The single number that all of `values` equal, bit for bit.
pub fn only(values: &[f64]) -> Option<u64> {
    let all: BTreeSet<u64> = values.iter().map(|value| value.to_bits()).collect();
    all.first().copied().filter(|_| all.len() == 1)
}

/// The published values of a replay in which nothing goes wrong.
pub struct Truth {
    /// Where the replay begins, in seconds since 1970.
    pub since: i64,
    pub published: Published,
    /// The alerts of the replay.
    pub told: BTreeSet<alerts::Told>,
}

impl Truth {
    /// Every difference between `published` and the truth: missing values, extra values, other
    /// values, and values that changed.
    pub fn differences(&self, published: &Published) -> Vec<String> {
        self.differences_but(published, |_| false)
    }

    /// The same, but the values of the instances in `may_differ` only have to exist and be unique.
    pub fn differences_but(
        &self,
        published: &Published,
        may_differ: impl Fn(&Mark) -> bool,
    ) -> Vec<String> {
        let (truth, found) = (of_instances(&self.published), of_instances(published));
        let mut wrong = Vec::new();
        for (mark, values) in &found {
            let (instance, metric, time) = mark;
            let here = format!("{metric} of {instance} at {}", text(*time));
            match (only(values), truth.get(mark).and_then(|values| only(values))) {
                (None, _) => wrong.push(format!("{here} has more than one value: {values:?}")),
                (Some(_), None) => wrong.push(format!("{here} should not be there: {values:?}")),
                (Some(found), Some(truth)) if found != truth && !may_differ(mark) => {
                    wrong.push(format!(
                        "{here} is {} and not {}",
                        f64::from_bits(found),
                        f64::from_bits(truth)
                    ));
                }
                _ => {}
            }
        }
        for mark in truth.keys().filter(|mark| mark.2 >= self.since && !found.contains_key(*mark)) {
            wrong.push(format!("{} of {} at {} is missing", mark.1, mark.0, text(mark.2)));
        }
        if wrong.is_empty() {
            wrong.extend(self.differences_of_fleet(published, |time| {
                truth.keys().any(|mark| mark.2 == time && may_differ(mark))
            }));
        }
        wrong
    }

    fn differences_of_fleet(
        &self,
        published: &Published,
        may_differ: impl Fn(i64) -> bool,
    ) -> Vec<String> {
        let (truth, found) = (of_fleet(&self.published), of_fleet(published));
        let mut wrong = Vec::new();
        for (mark, &highest) in
            truth.iter().filter(|(mark, _)| mark.1 >= self.since && !may_differ(mark.1))
        {
            if found.get(mark).is_none_or(|found| found.to_bits() != highest.to_bits()) {
                wrong.push(format!(
                    "{} at {} is {:?} and not {highest}",
                    mark.0,
                    text(mark.1),
                    found.get(mark)
                ));
            }
        }
        // At this time no instance has a score. The metrics can only say so.
        let more =
            found.iter().filter(|(mark, highest)| !truth.contains_key(*mark) && **highest > 0.0);
        wrong.extend(more.map(|(mark, highest)| {
            format!("{} at {} should not be there: {highest}", mark.0, text(mark.1))
        }));
        wrong
    }

    /// Fails on differences, and shows the events that led to them.
    pub fn assert(&self, published: &Published, story: &dyn std::fmt::Display) {
        let wrong = self.differences(published);
        assert!(
            wrong.is_empty(),
            "{story}\n{} differences: {:#?}",
            wrong.len(),
            &wrong[..wrong.len().min(12)]
        );
    }
}

/// The kind of a run's failure.
pub fn kind(error: &RunError) -> &'static str {
    match error {
        RunError::Settings(_) | RunError::Handler(_) => "Settings",
        RunError::Event(_) => "Event",
        RunError::Model(_) => "Model",
        RunError::List(_) => "List",
        RunError::NothingRead { .. } => "NothingRead",
        RunError::NothingPublished { .. } => "NothingPublished",
        RunError::TestFailed(_) => "TestFailed",
        RunError::NotPaged { .. } => "NotPaged",
        RunError::LabelLost(_) => "LabelLost",
        RunError::NothingKept => "NothingKept",
        RunError::NotWritten => "NotWritten",
    }
}
