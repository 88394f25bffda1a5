use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::*;
use crate::testing::instance;
use crate::testing::scripted::Scripted;

const OPERATION: &str = "POST";

fn arn(number: usize) -> String {
    format!("arn:aws:ec2:us-east-1:123456789012:instance/{}", instance(number))
}

fn json_answer(status: u16, body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(body.to_string(), "application/x-amz-json-1.1")
}

/// A page with these instances, each with its tags.
fn page(resources: &[(String, &[(&str, &str)])], next: &str) -> ResponseTemplate {
    let tag = |&(key, value): &(&str, &str)| json!({ "Key": key, "Value": value });
    let resource = |(arn, tags): &(String, &[(&str, &str)])| {
        let tags: Vec<Value> = tags.iter().map(tag).collect();
        json!({ "ResourceARN": arn, "Tags": tags })
    };
    let resources: Vec<Value> = resources.iter().map(resource).collect();
    json_answer(200, &json!({ "ResourceTagMappingList": resources, "PaginationToken": next }))
}

fn error(code: &str) -> ResponseTemplate {
    json_answer(400, &json!({ "__type": code, "message": "said the script" }))
}

async fn asked(aws: &Scripted) -> Vec<Value> {
    let requests = aws.raw_requests().await;
    for request in &requests {
        assert_eq!(
            request.headers["x-amz-target"],
            "ResourceGroupsTaggingAPI_20170126.GetResources"
        );
    }
    requests.iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
}

fn tags(tags: &[(&str, &str)]) -> Tags {
    tags.iter().map(|&(key, value)| (key.into(), value.into())).collect()
}

#[tokio::test]
async fn all_pages_are_read_and_the_rule_is_asked_for() {
    let answers = vec![
        page(&[(arn(1), &[("env", "prod"), ("Name", "web")]), (arn(2), &[("env", "test")])], "two"),
        page(
            &[
                (arn(3), &[("env", "stage")]),
                ("arn:aws:ec2:us-east-1:123456789012:volume/vol-1".into(), &[]),
            ],
            "",
        ),
    ];
    let aws = Scripted::new([(OPERATION, answers)]).await;
    let found = aws.tagging().tagged(&"env=prod|stage,Name".parse().unwrap()).await.unwrap();
    let expected = BTreeMap::from([(instance(1), tags(&[("env", "prod"), ("Name", "web")]))]);
    assert_eq!(
        found, expected,
        "instances outside the rule are left out, even where the answer has them"
    );
    let filters = json!([{ "Key": "Name" }, { "Key": "env", "Values": ["prod", "stage"] }]);
    let question = json!({
        "ResourceTypeFilters": ["ec2:instance"],
        "ResourcesPerPage": 100,
        "TagFilters": filters,
    });
    let mut next = question.clone();
    next["PaginationToken"] = "two".into();
    assert_eq!(asked(&aws).await, [question, next]);
}

#[tokio::test]
async fn instances_are_named_by_their_arns_once_their_account_is_known() {
    let fleet: BTreeSet<TargetId> = (0..150).map(instance).collect();
    let aws =
        Scripted::new([(OPERATION, vec![page(&[(arn(7), &[("a", "b")])], ""), page(&[], "")])])
            .await;
    let tagging = aws.tagging();
    tagging.lives_at("arn:aws:lambda:us-east-1:123456789012:function:deepguard-Detector");
    let found = tagging.tags_of(&fleet).await.unwrap();
    assert_eq!(found, BTreeMap::from([(instance(7), tags(&[("a", "b")]))]));
    let asked = asked(&aws).await;
    let lengths: Vec<usize> =
        asked.iter().map(|asked| asked["ResourceARNList"].as_array().unwrap().len()).collect();
    assert_eq!(lengths, [100, 50]);
    assert_eq!(asked[0]["ResourceARNList"][7], arn(7));
    assert_eq!(
        asked[0].as_object().unwrap().len(),
        1,
        "no other parameter may stand beside the list"
    );
}

#[tokio::test]
async fn a_group_has_the_tags_that_its_instances_share() {
    let web = |name: &'static str| [("team", "a"), ("Name", name), (GROUP_TAG, "web")];
    let (one, two) = (web("web-1"), web("web-2"));
    let all = || page(&[(arn(1), &one), (arn(2), &two), (arn(3), &[("team", "b")])], "");
    let aws = Scripted::new([(OPERATION, vec![all(), all()])]).await;
    let tagging = aws.tagging();
    let group: TargetId = "asg:web".parse().unwrap();
    let found = tagging.tagged(&TagRule::default()).await.unwrap();
    assert_eq!(found.len(), 4);
    assert_eq!(found[&group], tags(&[("team", "a"), (GROUP_TAG, "web")]));
    let asked_for = BTreeSet::from([group.clone()]);
    let found = tagging.tags_of(&asked_for).await.unwrap();
    assert_eq!(found.into_keys().collect::<Vec<_>>(), [group]);
    let filter = json!([{ "Key": GROUP_TAG, "Values": ["web"] }]);
    assert_eq!(asked(&aws).await[1]["TagFilters"], filter);
}

#[tokio::test]
async fn without_anybody_saying_where_they_live_the_first_answer_does() {
    let every = page(&[(arn(1), &[("a", "b")]), (arn(2), &[])], "");
    let aws = Scripted::new([(OPERATION, vec![every, page(&[(arn(2), &[])], "")])]).await;
    let tagging = aws.tagging();
    let found = tagging.tags_of(&[instance(1)].into()).await.unwrap();
    assert_eq!(found, BTreeMap::from([(instance(1), tags(&[("a", "b")]))]));
    tagging.tags_of(&[instance(2)].into()).await.unwrap();
    let asked = asked(&aws).await;
    assert!(asked[0].get("ResourceARNList").is_none());
    assert_eq!(asked[1], json!({ "ResourceARNList": [arn(2)] }));
    assert!(tagging.tags_of(&BTreeSet::new()).await.unwrap().is_empty(), "nothing to ask for");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_call_begins_anew_until_it_is_too_often() {
    // The SDK makes three tries of each call.
    let throttled = |calls: usize| vec![error("ThrottledException"); 3 * calls];
    for (calls, well) in [(1, true), (4, true), (5, false)] {
        let mut answers = throttled(calls);
        answers.push(page(&[(arn(1), &[])], ""));
        let aws = Scripted::new([(OPERATION, answers)]).await;
        let found = aws.tagging().tagged(&TagRule::default()).await;
        assert_eq!(found.is_ok(), well, "{calls}: {found:?}");
    }
}

#[tokio::test]
async fn what_goes_wrong_is_told() {
    let cases = [
        (
            vec![error("AccessDeniedException")],
            "allow it in the function's role); the action is tag:GetResources",
        ),
        (vec![error("InvalidParameterException")], "InvalidParameterException: said the script"),
        (vec![page(&[], "same"), page(&[], "same")], "its pages do not end"),
        (
            vec![ResponseTemplate::new(200).set_body_raw("<html>", "text/html")],
            "GetResources failed",
        ),
    ];
    for (answers, why) in cases {
        let aws = Scripted::new([(OPERATION, answers)]).await;
        let error = aws.tagging().tagged(&TagRule::default()).await.expect_err(why).to_string();
        assert!(error.contains(why) && error.contains("GetResources"), "{why}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
