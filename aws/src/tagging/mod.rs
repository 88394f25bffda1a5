//! The Resource Groups Tagging API: the tags of instances, a hundred to a call.
//!
//! It does not know Auto Scaling groups. The tags of such a group are those that all of its
//! instances have in common: a group gives its tags to the instances that it launches.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::OnceLock;
use std::time::Duration;

use aws_sdk_resourcegroupstagging::Client;
use aws_sdk_resourcegroupstagging::operation::get_resources::GetResourcesOutput;
use aws_sdk_resourcegroupstagging::operation::get_resources::builders::GetResourcesFluentBuilder;
use aws_sdk_resourcegroupstagging::types::TagFilter;

use crate::client::{failed, is_throttled};
use crate::ids::{TargetDimension, TargetId};
use crate::pagination::Pages;
use crate::ports::{CallError, Inventory};
use crate::tags::{TagRule, Tags};

const GET: &str = "GetResources";
/// The resource type to look for.
const INSTANCES: &str = "ec2:instance";
/// Resources in one answer, and in one question that names them. (GetResources, `ResourcesPerPage`,
/// `ResourceARNList`)
const PER_CALL: usize = 100;
/// The tag that Auto Scaling gives to the instances of a group: the group's name.
const GROUP_TAG: &str = "aws:autoscaling:groupName";
/// Values of a key in one question. (GetResources, `TagFilters`)
const VALUES_PER_CALL: usize = 20;
/// How often a throttled call starts anew, beside the tries that the SDK makes each time.
const THROTTLED: u32 = 4;
/// How long it waits before the first of them, and twice as long before each other.
const WAIT: Duration = Duration::from_millis(500);

/// The tags in one Region and account.
#[derive(Debug)]
pub struct Tagging {
    client: Client,
    /// The part of an instance's ARN before its id.
    home: OnceLock<String>,
}

impl Tagging {
    /// Makes calls through `client`.
    pub fn new(client: Client) -> Self {
        Self { client, home: OnceLock::new() }
    }

    /// Partition, Region and account are those of this ARN, such as that of the function that was
    /// invoked. Without it they are taken from the first answer that names an instance.
    pub fn lives_at(&self, arn: &str) {
        if let ["arn", partition, _, region, account, ..] = arn.split(':').collect::<Vec<_>>()[..] {
            self.is_home(format!("arn:{partition}:ec2:{region}:{account}:instance/"));
        }
    }

    fn is_home(&self, home: String) {
        // The first one stays: it is always the same.
        self.home.get_or_init(|| home);
    }

    /// Every instance that `rule` holds for, and that has or had a tag: AWS knows of no others.
    async fn pages(&self, rule: &TagRule) -> Result<BTreeMap<TargetId, Tags>, CallError> {
        let filter = |(key, values): (&str, _)| {
            TagFilter::builder().key(key).set_values(values_of(values)).build()
        };
        let filters: Vec<TagFilter> =
            rule.keys().map(|(key, values)| filter((key, values.collect()))).collect();
        let mut found = BTreeMap::new();
        let mut pages = Pages::of(GET);
        loop {
            let request = self
                .client
                .get_resources()
                .resource_type_filters(INSTANCES)
                .resources_per_page(PER_CALL as i32)
                .set_tag_filters(Some(filters.clone()).filter(|filters| !filters.is_empty()))
                .set_pagination_token(pages.token());
            let page = send(request).await?;
            let next = page.pagination_token.clone();
            self.collect(page, &mut found);
            if pages.end_with(next)? {
                return Ok(found);
            }
        }
    }

    fn collect(&self, page: GetResourcesOutput, found: &mut BTreeMap<TargetId, Tags>) {
        for resource in page.resource_tag_mapping_list.unwrap_or_default() {
            let Some((home, Ok(instance))) = resource.resource_arn().and_then(of_arn) else {
                continue;
            };
            self.is_home(home.into());
            let tags =
                resource.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value));
            found.insert(instance, tags.collect());
        }
    }
}

fn values_of(values: Vec<&str>) -> Option<Vec<String>> {
    Some(values.into_iter().map(Into::into).collect())
        .filter(|values: &Vec<String>| !values.is_empty())
}

/// Splits an ARN into the part before an instance's id, and the id.
fn of_arn(arn: &str) -> Option<(&str, Result<TargetId, crate::ids::NotATarget>)> {
    let (before, id) = arn.split_at_checked(arn.rfind('/')? + 1)?;
    before.ends_with(":instance/").then(|| (before, id.parse()))
}

/// Adds the Auto Scaling groups of the instances in `found`, with the tags that all of a group's
/// instances have.
fn add_groups(found: &mut BTreeMap<TargetId, Tags>) {
    let mut groups: BTreeMap<TargetId, Tags> = BTreeMap::new();
    for tags in found.values() {
        let name = tags.get(GROUP_TAG).map(String::as_str).unwrap_or_default();
        let Ok(group) = TargetId::of_dimension(TargetDimension::Group, name) else { continue };
        groups
            .entry(group)
            .and_modify(|common| common.retain(|key, value| tags.get(key) == Some(value)))
            .or_insert_with(|| tags.clone());
    }
    found.extend(groups);
}

/// Makes a call, and again a little later where it is throttled.
async fn send(request: GetResourcesFluentBuilder) -> Result<GetResourcesOutput, CallError> {
    let mut throttled = 0;
    loop {
        match request.clone().send().await {
            Ok(answer) => return Ok(answer),
            Err(error) if is_throttled(&error) && throttled < THROTTLED => {
                tokio::time::sleep(WAIT * 2u32.pow(throttled)).await;
                throttled += 1;
            }
            Err(error) => return Err(told(failed(GET, &error), &error)),
        }
    }
}

/// The same failure, with advice for a role without the permission.
fn told(mut failure: CallError, error: &dyn Error) -> CallError {
    if format!("{error:?}").contains("AccessDenied") {
        failure.why.push_str("; the action is tag:GetResources");
    }
    failure
}

impl Inventory for Tagging {
    async fn tagged(&self, rule: &TagRule) -> Result<BTreeMap<TargetId, Tags>, CallError> {
        let mut found = self.pages(rule).await?;
        // AWS has filtered already; this removes results where AWS may read the rule differently.
        found.retain(|_, tags| rule.holds_for(tags));
        add_groups(&mut found);
        Ok(found)
    }

    async fn tags_of(
        &self,
        instances: &BTreeSet<TargetId>,
    ) -> Result<BTreeMap<TargetId, Tags>, CallError> {
        if instances.is_empty() {
            return Ok(BTreeMap::new());
        }
        let Some(home) = self.home.get() else {
            // The partition, Region and account are not known yet. The answers of this call contain
            // them.
            let mut found = self.pages(&TagRule::default()).await?;
            add_groups(&mut found);
            found.retain(|instance, _| instances.contains(instance));
            return Ok(found);
        };
        let groups: Vec<&str> = instances.iter().filter_map(TargetId::group).collect();
        let mut found = BTreeMap::new();
        for groups in groups.chunks(VALUES_PER_CALL) {
            found.extend(self.pages(&TagRule::any_of(GROUP_TAG, groups)).await?);
        }
        add_groups(&mut found);
        found.retain(|target, _| instances.contains(target));
        let arns: Vec<String> = instances
            .iter()
            .filter(|target| target.group().is_none())
            .map(|instance| format!("{home}{instance}"))
            .collect();
        for arns in arns.chunks(PER_CALL) {
            let request = self.client.get_resources().set_resource_arn_list(Some(arns.to_vec()));
            self.collect(send(request).await?, &mut found);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
