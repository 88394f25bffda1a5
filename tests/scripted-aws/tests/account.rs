//! The answers of EventBridge, SNS and the Tagging API, as the SDK sees them.
#![allow(clippy::unwrap_used)] // A test that meets what it did not expect should stop there.

mod common;

use std::sync::Arc;

use aws_sdk_cloudwatch::error::ProvideErrorMetadata;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_resourcegroupstagging::types::TagFilter;
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use common::{NOW, start, start_with, told};
use scripted_aws::{Aws, Fault, Fleet, GROUP, Generated, Kind, Limits, Options, Tags, When};

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:pager";

macro_rules! client {
    ($service:ident, $aws:expr) => {{
        use $service::config;
        let config = $service::Config::builder()
            .behavior_version(config::BehaviorVersion::latest())
            .region(config::Region::new("us-east-1"))
            .credentials_provider(config::Credentials::new("key", "secret", None, None, "test"))
            .retry_config(config::retry::RetryConfig::disabled())
            .endpoint_url($aws.endpoint())
            .build();
        $service::Client::from_conf(config)
    }};
}

/// The code of an error.
macro_rules! code {
    ($error:expr) => {
        $error.unwrap_err().as_service_error().unwrap().code().unwrap().to_owned()
    };
}

fn event(source: &str, detail: &str) -> PutEventsRequestEntry {
    let entry = PutEventsRequestEntry::builder().event_bus_name("ops").source(source);
    entry.detail_type("Began").detail(detail).build()
}

fn message(id: usize, text: &str) -> PublishBatchRequestEntry {
    let entry = PublishBatchRequestEntry::builder().id(id.to_string()).message(text);
    let kind =
        MessageAttributeValue::builder().data_type("String").string_value("began").build().unwrap();
    entry.subject("a & b").message_attributes("kind", kind).build().unwrap()
}

#[tokio::test]
async fn an_event_that_is_not_one_fails_alone() {
    let aws = start(0);
    let client = client!(aws_sdk_eventbridge, aws);
    let put = client.put_events().entries(event("me", r#"{"a":"ü"}"#));
    let put = put.entries(event("aws.ec2", "{}")).entries(event("me", "no json"));
    let answer = put.entries(event("", "{}")).send().await.unwrap();
    let codes: Vec<_> = answer.entries().iter().map(|entry| entry.error_code()).collect();
    let refused = ["NotAuthorizedForSourceException", "MalformedDetail", "InvalidArgument"];
    assert_eq!(codes[1..], refused.map(Some));
    assert_eq!((answer.failed_entry_count(), codes[0]), (3, None));
    let [taken] = &aws.events()[..] else { panic!("{:?}", aws.events()) };
    assert_eq!(
        (taken.bus.as_str(), taken.detail.as_str(), taken.now),
        ("ops", r#"{"a":"ü"}"#, NOW)
    );
    let call = aws.take_calls().pop().unwrap();
    assert_eq!((call.resource.as_str(), call.entries, call.number), ("ops", 4, taken.call));
}

#[tokio::test]
async fn a_message_that_is_not_one_fails_alone() {
    let aws = start(0);
    let client = client!(aws_sdk_sns, aws);
    let long = PublishBatchRequestEntry::builder().id("2").message("x").subject("x".repeat(100));
    let publish = client.publish_batch().topic_arn(TOPIC);
    let publish = publish.publish_batch_request_entries(message(0, "1 + 1 = 2 & ü\n<b>"));
    let publish = publish.publish_batch_request_entries(message(1, ""));
    let publish = publish.publish_batch_request_entries(long.build().unwrap());
    let answer = publish.send().await.unwrap();
    let failed: Vec<_> =
        answer.failed().iter().map(|failed| (failed.id(), failed.sender_fault())).collect();
    assert_eq!(failed, [("1", true), ("2", true)]);
    assert_eq!(answer.successful()[0].id(), Some("0"));
    let [taken] = &aws.messages()[..] else { panic!("{:?}", aws.messages()) };
    assert_eq!((taken.topic.as_str(), taken.text.as_str()), (TOPIC, "1 + 1 = 2 & ü\n<b>"));
    assert_eq!((taken.subject.as_deref(), &*taken.attributes["kind"]), (Some("a & b"), "began"));
}

#[tokio::test]
async fn a_batch_has_its_limits() {
    let aws = start(0);
    let (bus, topic) = (client!(aws_sdk_eventbridge, aws), client!(aws_sdk_sns, aws));
    let put = |count: usize, size: usize| {
        let detail = format!(r#"{{"a":"{}"}}"#, "x".repeat(size));
        bus.put_events().set_entries(Some(vec![event("me", &detail); count])).send()
    };
    assert_eq!(code!(put(11, 1).await), "ValidationException");
    assert_eq!(code!(put(10, 26_300).await), "ValidationException");
    assert_eq!(put(10, 26_000).await.unwrap().failed_entry_count(), 0);
    let publish = |ids: &[usize], size: usize| {
        let entries = ids.iter().map(|id| message(*id, &"x".repeat(size))).collect();
        topic
            .publish_batch()
            .topic_arn(TOPIC)
            .set_publish_batch_request_entries(Some(entries))
            .send()
    };
    let ten: Vec<usize> = (0..10).collect();
    let eleven: Vec<usize> = (0..11).collect();
    assert_eq!(code!(publish(&eleven, 1).await), "TooManyEntriesInBatchRequest");
    assert_eq!(code!(publish(&ten, 26_300).await), "BatchRequestTooLong");
    assert_eq!(code!(publish(&[], 1).await), "EmptyBatchRequest");
    assert_eq!(code!(publish(&[1, 1], 1).await), "BatchEntryIdsNotDistinct");
    assert_eq!(publish(&ten, 26_000).await.unwrap().successful().len(), 10);
    assert_eq!((aws.events().len(), aws.messages().len()), (10, 10), "all or nothing");
}

#[tokio::test]
async fn one_entry_of_a_batch_can_fail() {
    let aws = start(0);
    aws.script([Fault::new("*", When::Always, Kind::FailEntry)]);
    let entries = vec![event("me", "{}"); 5];
    let put = client!(aws_sdk_eventbridge, aws).put_events().set_entries(Some(entries));
    let answer = put.send().await.unwrap();
    assert_eq!((answer.failed_entry_count(), aws.events().len()), (1, 4));
    let codes = answer.entries().iter().filter_map(|entry| entry.error_code());
    assert_eq!(codes.collect::<Vec<_>>(), ["InternalFailure"]);
    let entries = (0..5).map(|id| message(id, &id.to_string())).collect();
    let publish = client!(aws_sdk_sns, aws).publish_batch().topic_arn(TOPIC);
    let publish = publish.set_publish_batch_request_entries(Some(entries));
    let answer = publish.send().await.unwrap();
    let [failed] = answer.failed() else { panic!("{answer:?}") };
    assert_eq!((failed.code(), failed.sender_fault()), ("InternalError", false));
    assert!(aws.messages().iter().all(|message| message.text != failed.id()));
    assert_eq!(aws.messages().len(), 4);
}

#[tokio::test]
async fn what_was_delivered_without_an_answer_is_known() {
    let aws = start(0);
    let (bus, topic) = (client!(aws_sdk_eventbridge, aws), client!(aws_sdk_sns, aws));
    for kind in [Kind::ResetAfter, Kind::Truncate, Kind::Reset] {
        let delivered = usize::from(kind != Kind::Reset);
        aws.script([Fault::new("*", When::Always, kind.clone())]);
        let before = (aws.events().len(), aws.messages().len());
        assert!(bus.put_events().entries(event("me", "{}")).send().await.is_err());
        let publish = topic.publish_batch().topic_arn(TOPIC);
        assert!(publish.publish_batch_request_entries(message(0, "x")).send().await.is_err());
        let now = (aws.events().len(), aws.messages().len());
        assert_eq!(now, (before.0 + delivered, before.1 + delivered), "{kind:?}");
        let calls = aws.take_calls();
        assert!(calls.iter().all(|call| !call.is_answered()), "{calls:?}");
        assert!(calls.iter().all(|call| call.carried_out == (delivered == 1)), "{calls:?}");
    }
    aws.clear_faults();
    assert!(bus.put_events().entries(event("me", "{}")).send().await.is_ok());
    assert!(aws.take_calls()[0].is_answered());
}

#[tokio::test]
async fn errors_are_those_of_the_service() {
    let aws = start(0);
    let (bus, topic) = (client!(aws_sdk_eventbridge, aws), client!(aws_sdk_sns, aws));
    let tags = client!(aws_sdk_resourcegroupstagging, aws);
    let cases = [
        (Kind::Throttle("ThrottlingException"), ["ThrottlingException"; 3]),
        (Kind::Forbidden, ["AccessDeniedException", "AuthorizationError", "AccessDeniedException"]),
        (Kind::Expired, ["ExpiredToken"; 3]),
        (Kind::ClockSkew, ["RequestTimeTooSkewed"; 3]),
        (Kind::Status(503), [""; 3]),
        (Kind::Html(200), [""; 3]),
    ];
    for (kind, expected) in cases {
        aws.script([Fault::new("*", When::Always, kind.clone())]);
        let put = bus.put_events().entries(event("me", "{}")).send().await.unwrap_err();
        let publish = topic.publish_batch().topic_arn(TOPIC);
        let publish = publish.publish_batch_request_entries(message(0, "x"));
        let publish = publish.send().await.unwrap_err();
        let get = tags.get_resources().send().await.unwrap_err();
        let codes = [told(&put), told(&publish), told(&get)].map(|told| told.unwrap().1);
        assert_eq!(codes, expected, "{kind:?}");
    }
    assert!(aws.events().is_empty() && aws.messages().is_empty());
}

/// Instances of which every third is `prod`, every other has a name, and the last has no tag.
struct Tagged;

impl Fleet for Tagged {
    fn instances(&self, _: i64) -> Vec<String> {
        (0..=250).map(Generated::id).collect()
    }

    fn datapoints(&self, _: &str, _: i64, _: i64, _: i64) -> Vec<(i64, f64)> {
        Vec::new()
    }

    fn tags(&self, instance: &str) -> Tags {
        let n = Generated::number(instance).unwrap();
        let env = if n.is_multiple_of(3) { "prod" } else { "test" };
        let name = (n.is_multiple_of(2)).then(|| ("Name".to_owned(), format!("web-{n}")));
        if n == 250 {
            Tags::new()
        } else {
            name.into_iter().chain([("env".into(), env.into())]).collect()
        }
    }
}

#[tokio::test]
async fn tags_come_in_pages_of_those_that_are_asked_for() {
    let aws = Aws::start(Arc::new(Tagged), Options { now: NOW, ..Options::default() });
    let client = client!(aws_sdk_resourcegroupstagging, aws);
    let filter = |key: &str, values: &[&str]| {
        let values = values.iter().map(ToString::to_string).collect();
        TagFilter::builder().key(key).set_values(Some(values)).build()
    };
    let pages = async |filters: &[TagFilter], most: Option<i32>| {
        let (mut sizes, mut found, mut token) = (Vec::new(), Vec::new(), None);
        loop {
            let request = client.get_resources().resource_type_filters("ec2:instance");
            let request = request.set_tag_filters(Some(filters.to_vec()));
            let request = request.set_resources_per_page(most).set_pagination_token(token);
            let page = request.send().await.unwrap();
            let page_of = page.resource_tag_mapping_list().iter();
            let arns: Vec<String> = page_of.map(|one| one.resource_arn().unwrap().into()).collect();
            sizes.push(arns.len());
            found.extend(arns);
            token = page.pagination_token.filter(|token| !token.is_empty());
            if token.is_none() || sizes.len() > 9 {
                return (sizes, found);
            }
        }
    };
    let (sizes, found) = pages(&[], Some(100)).await;
    assert_eq!((sizes, found.len()), (vec![100, 100, 50], 250), "what has no tag is not there");
    assert_eq!(
        found[7],
        format!("arn:aws:ec2:us-east-1:123456789012:instance/{}", Generated::id(7))
    );
    assert_eq!(pages(&[], None).await.0, [50; 5]);
    assert_eq!(pages(&[filter("env", &["prod"])], Some(100)).await.0, [84]);
    assert_eq!(pages(&[filter("env", &["prod"]), filter("Name", &[])], Some(100)).await.0, [42]);
    assert_eq!(pages(&[filter("owner", &[])], Some(100)).await.0, [0]);
    let volumes = client.get_resources().resource_type_filters("ec2:volume").send().await.unwrap();
    assert!(volumes.resource_tag_mapping_list().is_empty());
    aws.script([Fault::new("GetResources", When::Always, Kind::RepeatPage)]);
    assert_eq!(pages(&[], Some(100)).await.0, [100, 100, 100, 100, 50, 50]);
    aws.script([Fault::new("GetResources", When::Nth(1), Kind::LoopToken)]);
    assert_eq!(pages(&[], Some(100)).await.0, [100; 10]);
}

#[tokio::test]
async fn instances_can_be_named_and_the_rules_are_kept() {
    let aws = start_with(Generated::new(150, 1).groups(40), Limits::none());
    let client = client!(aws_sdk_resourcegroupstagging, aws);
    let arn =
        |n: usize| format!("arn:aws:ec2:us-east-1:123456789012:instance/{}", Generated::id(n));
    let named = |count: usize| {
        let arns = (100..100 + count).map(arn).collect();
        client.get_resources().set_resource_arn_list(Some(arns))
    };
    let answer = named(100).send().await.unwrap();
    let found = answer.resource_tag_mapping_list();
    assert_eq!((found.len(), found[0].resource_arn()), (50, Some(arn(100).as_str())));
    let [tag] = found[49].tags() else { panic!("{found:?}") };
    assert_eq!((tag.key(), tag.value()), (GROUP, "group-3"));
    let invalid = "InvalidParameterException";
    assert_eq!(code!(named(101).send().await), invalid);
    assert_eq!(code!(named(1).resources_per_page(100).send().await), invalid);
    assert_eq!(code!(named(1).resource_type_filters("ec2").send().await), invalid);
    assert_eq!(code!(client.get_resources().resources_per_page(101).send().await), invalid);
    let foreign = client.get_resources().pagination_token("next.1.2.3.4").send().await;
    assert_eq!(code!(foreign), "PaginationTokenExpiredException");
    aws.script([
        Fault::new("GetResources", When::Always, Kind::Status(500)).only(&Generated::id(101))
    ]);
    assert!(named(1).send().await.is_ok() && named(2).send().await.is_err());
}
