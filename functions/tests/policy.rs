//! The functions' permissions match their actions exactly.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it did not expect should stop there"
)]

mod common;

use std::collections::BTreeSet;

use common::*;
use deepguard::Artifact;
use functions::run::calibrate::Calibrated;
use jiff::Timestamp;
use scripted_aws::Call;
use serde_json::json;

const TEMPLATE: &str = include_str!("../../template.yaml");
const CURRENT: &str = "models/current";

/// An IAM action on a resource: a bucket, the keys of a bucket with a prefix and `*`, or
/// everything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Allowed {
    action: String,
    resource: String,
}

impl Allowed {
    fn new(action: &str, resource: &str) -> Self {
        Self { action: action.into(), resource: resource.into() }
    }

    /// The permissions that a call needs.
    fn of(call: &Call) -> Self {
        let bucket = call.resource.split('/').next().unwrap();
        match call.operation.as_str() {
            "ListMetrics" | "GetMetricData" | "PutMetricData" => {
                Self::new(&format!("cloudwatch:{}", call.operation), "*")
            }
            "GetObject" | "HeadObject" => Self::new("s3:GetObject", &call.resource),
            "PutObject" => Self::new("s3:PutObject", &call.resource),
            "DeleteObject" => Self::new("s3:DeleteObject", &call.resource),
            "ListObjectsV2" | "HeadBucket" => Self::new("s3:ListBucket", bucket),
            "GetResources" => Self::new("tag:GetResources", "*"),
            "PutEvents" => Self::new("events:PutEvents", &call.resource),
            "PublishBatch" => Self::new("sns:Publish", call.resource.rsplit(':').next().unwrap()),
            operation => panic!("{operation} is new: name its resources here"),
        }
    }

    fn covers(&self, needed: &Self) -> bool {
        let covers = match self.resource.strip_suffix('*') {
            Some(beginning) => needed.resource.starts_with(beginning),
            None => needed.resource == self.resource,
        };
        self.action == needed.action && covers
    }

    /// Tags, which the calibrator reads where a rule is about them.
    fn is_of_rules(&self) -> bool {
        *self == Self::new("tag:GetResources", "*")
    }

    /// Lambda's own, in a VPC, with X-Ray, or with a key.
    fn is_lambdas(&self) -> bool {
        const ANYWHERE: [&str; 8] = [
            "ec2:CreateNetworkInterface",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSubnets",
            "ec2:DeleteNetworkInterface",
            "ec2:AssignPrivateIpAddresses",
            "ec2:UnassignPrivateIpAddresses",
            "xray:PutTraceSegments",
            "xray:PutTelemetryRecords",
        ];
        let is = |action: &&str| *self == Self::new(action, "*");
        let is_of_key = |action: &&str| *self == Self::new(action, "key");
        ANYWHERE.iter().any(is) || ["kms:Decrypt", "kms:GenerateDataKey"].iter().any(is_of_key)
    }

    /// Lambda's own, to write the log.
    fn is_logs(&self) -> bool {
        ["logs:CreateLogStream", "logs:PutLogEvents"].contains(&self.action.as_str())
            && self.resource == "log"
    }
}

/// The lines of a resource of the template, without comments.
fn resource(name: &str) -> Vec<&'static str> {
    let mut lines = TEMPLATE.lines().skip_while(|line| *line != format!("  {name}:"));
    assert!(lines.next().is_some(), "the template has no {name}");
    let inside = lines
        .take_while(|line| line.is_empty() || line.starts_with("   ") || line.starts_with("  #"));
    inside
        .map(|line| line.split(" # ").next().unwrap().trim())
        .filter(|line| !line.starts_with('#'))
        .collect()
}

/// The items of `[a, b]`, or the one that stands there.
fn items(value: &str) -> Vec<&str> {
    let list = value.strip_prefix('[').and_then(|list| list.strip_suffix(']'));
    list.map_or_else(|| vec![value], |list| list.split(',').map(str::trim).collect())
}

/// A resource of a statement, in the words of the calls.
fn place(value: &str) -> String {
    match value {
        "'*'" => "*".into(),
        "!GetAtt ModelBucket.Arn" => BUCKET.into(),
        "!Ref AlarmTopic" => "topic".into(),
        "!Ref ChatTopic" => "chat".into(),
        "!Ref KmsKeyArn" => "key".into(),
        logs if logs.starts_with("!GetAtt ") && logs.ends_with("Logs.Arn") => "log".into(),
        value => match value.strip_prefix("!Sub ${ModelBucket.Arn}/") {
            Some(key) => format!("{BUCKET}/{key}"),
            None if value.ends_with(":event-bus/${EventBusName}") => "bus".into(),
            None => panic!("{value} is new: name it here"),
        },
    }
}

/// The permissions from the statements of a resource of the template, and from the policies that it
/// names.
fn allowed(name: &str) -> BTreeSet<Allowed> {
    let lines = resource(name);
    let mut allowed = BTreeSet::new();
    let mut actions: Vec<&str> = Vec::new();
    for line in &lines {
        if let Some(action) = line.strip_prefix("- ").filter(|item| item.starts_with("ec2:")) {
            actions.push(action);
        }
        if let Some(policies) = line.strip_prefix("ManagedPolicyArns: ") {
            for policy in items(policies) {
                allowed.extend(self::allowed(
                    policy.strip_prefix("!Ref ").expect("a policy of the template"),
                ));
            }
        } else if *line == "Action:" {
            actions.clear();
        } else if let Some(action) = line.strip_prefix("Action: ") {
            actions = items(action);
        } else if let Some(place_of) = line.strip_prefix("Resource: ") {
            allowed.extend(actions.iter().map(|action| Allowed::new(action, &place(place_of))));
        }
        // The service that may take the role is not a permission of the role.
        allowed.retain(|allowed| allowed.action != "sts:AssumeRole");
    }
    allowed
}

/// A world like the template's: a pointer to a model in the bucket, and the state beside it.
fn world() -> World {
    let world = World::new(
        start_aws(fleet(MIDNIGHT), MIDNIGHT - 600),
        settings(&[
            ("MODEL_URI", "s3://bucket/models/current"),
            ("SHADOW_URI", "s3://bucket/models/shadow"),
            ("MUTES_URI", "s3://bucket/settings/mutes.json"),
            ("HOLIDAYS_URI", "s3://bucket/settings/holidays.ics"),
        ]),
    );
    let model = include_bytes!("../../models/default.safetensors");
    let checksum = Artifact::from_bytes(model).unwrap().checksum().to_owned();
    world.aws.put_object(BUCKET, MODEL, model.as_slice());
    for pointer in [CURRENT, "models/shadow"] {
        world.aws.put_object(
            BUCKET,
            pointer,
            json!({ "key": MODEL, "sha256": checksum }).to_string(),
        );
    }
    world.aws.put_object(BUCKET, "settings/mutes.json", r#"{ "mutes": [] }"#);
    world
}

async fn run_shard(world: &mut World, time: i64, shard: u32, shards: u32) {
    world.aws.set_now(time);
    let event = json!({ "time": text(time), "shard": shard, "shards": shards });
    world.detection().run(&event, Timestamp::from_second(time).unwrap()).await.unwrap();
}

/// The calls of the detector and of the calibrator in their lives. They have first runs, later
/// ones, new processes, midnight with and without a calibrator, and another number of shards.
async fn calls() -> (Vec<Call>, Vec<Call>) {
    let mut world = world();
    let (mut detector, mut calibrator) = (Vec::new(), Vec::new());
    for time in [MIDNIGHT - 600, MIDNIGHT - 300, MIDNIGHT, MIDNIGHT + 300] {
        world.run(time).await.unwrap();
        world.run(time).await.unwrap();
    }
    detector.append(&mut world.aws.take_calls());
    let calibrated: Calibrated = world.calibrate(MIDNIGHT + 420).await.unwrap();
    assert!(calibrated.instances.made > 0, "{calibrated:?}");
    world.calibrate(MIDNIGHT + 420).await.unwrap();
    calibrator.append(&mut world.aws.take_calls());
    world.run(MIDNIGHT + 600).await.unwrap();
    for shard in 0..2 {
        world.restart();
        run_shard(&mut world, MIDNIGHT + 900, shard, 2).await;
        run_shard(&mut world, MIDNIGHT + 1200, shard, 2).await;
    }
    // The next midnight has no calibrator.
    for time in [DAY + 300, DAY + 1800, DAY + 2100] {
        run_shard(&mut world, MIDNIGHT + time, 0, 1).await;
    }
    detector.append(&mut world.aws.take_calls());
    (detector, calibrator)
}

fn assert_least(role: &str, calls: &[Call]) {
    let needed: BTreeSet<Allowed> = calls.iter().map(Allowed::of).collect();
    let allowed = allowed(role);
    let missing: Vec<_> = needed
        .iter()
        .filter(|needed| !allowed.iter().any(|allowed| allowed.covers(needed)))
        .collect();
    assert!(missing.is_empty(), "{role} lacks {missing:#?}");
    let unused: Vec<_> = allowed
        .iter()
        .filter(|allowed| !allowed.is_logs() && !allowed.is_of_rules() && !allowed.is_lambdas())
        .filter(|allowed| !needed.iter().any(|needed| allowed.covers(needed)))
        .collect();
    assert!(unused.is_empty(), "{role} has no use for {unused:#?}");
    let logs = allowed.iter().filter(|allowed| allowed.is_logs()).count();
    assert_eq!(logs, 2, "{role} cannot write its log");
}

#[tokio::test]
async fn each_role_allows_what_its_function_does_and_nothing_else() {
    let (detector, calibrator) = calls().await;
    let operations =
        |calls: &[Call]| calls.iter().map(|call| call.operation.clone()).collect::<BTreeSet<_>>();
    assert_eq!(operations(&detector).len(), 9, "{:?}", operations(&detector));
    assert_least("DetectorRole", &detector);
    assert_least("CalibratorRole", &calibrator);
    // The action takes no resource; this condition limits it.
    let conditions = TEMPLATE
        .lines()
        .filter(|line| line.contains("cloudwatch:namespace: !Ref Namespace"))
        .count();
    assert_eq!(conditions, TEMPLATE.matches("cloudwatch:PutMetricData").count());
    assert!(
        detector
            .iter()
            .filter(|call| call.operation == "PutMetricData")
            .all(|call| call.resource == "DeepGuard")
    );
}
