//! The Resource Groups Tagging API: GetResources.

use serde_json::{Value, json};

use super::{HOME, Made, answer, refused};
use crate::Shared;
use crate::answer::Answer;
use crate::fleet::Tags;
use crate::hash;
use crate::pages::{Place, Why};

/// Resources on a page, and in a request that names them, at most. (`ResourcesPerPage`,
/// `ResourceARNList`)
const MOST: usize = 100;
/// Resources on a page of a request that does not say how many.
const USUAL: u64 = 50;
/// Keys of a request, and values of a key, at most. (`TagFilters`)
const MOST_KEYS: usize = 50;
const MOST_VALUES: usize = 20;
const TOKEN: &str = "PaginationToken";
const NAMED: &str = "ResourceARNList";

/// A request, as it came.
#[derive(Debug)]
pub(crate) struct Request(Value);

impl Request {
    pub(crate) fn of(content: Value) -> Self {
        Self(content)
    }

    /// Where the page begins, if it is not the first one.
    pub(crate) fn token(&self) -> Option<&str> {
        self.0[TOKEN].as_str().filter(|token| !token.is_empty())
    }

    /// The resources that it names.
    fn named(&self) -> Vec<&str> {
        strings(&self.0[NAMED])
    }

    /// Whether it names this instance.
    pub(crate) fn names(&self, instance: &str) -> bool {
        self.named().iter().any(|arn| *arn == arn_of(instance))
    }

    pub(crate) fn run(&self, shared: &Shared, made: &Made<'_>) -> Result<Answer, Answer> {
        let filters = self.check()?;
        let named = self.named();
        if !named.is_empty() {
            let found = named.iter().filter_map(|arn| {
                let (_, instance) = arn.rsplit_once('/')?;
                (*arn == arn_of(instance)).then(|| mapping(shared, instance, &filters))?
            });
            return Ok(page(found.collect(), ""));
        }
        let mut question = self.0.clone();
        question.as_object_mut().map(|question| question.remove(TOKEN));
        let fingerprint = hash::of(&[shared.seed, hash::bytes(question.to_string().as_bytes())]);
        let place = match self.token() {
            None => Place::first(made.now),
            Some(token) => Place::of(token, fingerprint).ok_or_else(|| {
                refused(400, "PaginationTokenExpiredException", "The token has expired.")
            })?,
        };
        let kinds = strings(&self.0["ResourceTypeFilters"]);
        let instances = match kinds.is_empty() || kinds.iter().any(|kind| is_ours(kind)) {
            true => shared.fleet.instances(place.now),
            false => Vec::new(),
        };
        let most = self.0["ResourcesPerPage"].as_u64().unwrap_or(USUAL) as usize;
        let mut found = instances
            .iter()
            .enumerate()
            .skip(place.index)
            .filter_map(|(index, id)| Some((index, mapping(shared, id, &filters)?)));
        let (indices, mappings): (Vec<usize>, Vec<Value>) = found.by_ref().take(most).unzip();
        let next = found.next().and(indices.last()).map(|last| Place {
            why: Why::Next,
            index: last + 1,
            ..place
        });
        let next = place.follow(next, made.hits).map(|place| place.token(fingerprint));
        Ok(page(mappings, &next.unwrap_or_default()))
    }

    /// The filters of a request that keeps to the rules.
    fn check(&self) -> Result<Vec<(String, Vec<String>)>, Answer> {
        let invalid = |message: &str| Err(refused(400, "InvalidParameterException", message));
        let has = |name: &str| !self.0[name].is_null();
        let named = self.named();
        if named.len() > MOST {
            return invalid("ResourceARNList has more than 100 members.");
        }
        let others = ["ResourceTypeFilters", "TagFilters", "ResourcesPerPage", TOKEN];
        if !named.is_empty() && others.iter().any(|name| has(name)) {
            return invalid("ResourceARNList cannot be combined with other parameters.");
        }
        let pages = self.0["ResourcesPerPage"].as_u64();
        if pages.is_some_and(|pages| !(1..=MOST as u64).contains(&pages)) {
            return invalid("ResourcesPerPage must be from 1 to 100.");
        }
        let filter = |filter: &Value| {
            let values = strings(&filter["Values"]).into_iter().map(Into::into).collect();
            (filter["Key"].as_str().unwrap_or_default().to_owned(), values)
        };
        let filters = self.0["TagFilters"].as_array().map_or(&[][..], Vec::as_slice);
        let filters: Vec<(String, Vec<String>)> = filters.iter().map(filter).collect();
        if filters.len() > MOST_KEYS || filters.iter().any(|(_, of)| of.len() > MOST_VALUES) {
            return invalid("TagFilters has more than 50 keys, or a key more than 20 values.");
        }
        Ok(filters)
    }
}

/// An instance with its tags, if it has some and they are those that are asked for.
fn mapping(shared: &Shared, instance: &str, filters: &[(String, Vec<String>)]) -> Option<Value> {
    let tags: Tags = shared.fleet.tags(instance);
    if tags.is_empty() || !holds(filters, &tags) {
        return None;
    }
    let tags: Vec<Value> =
        tags.into_iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    Some(json!({ "ResourceARN": arn_of(instance), "Tags": tags }))
}

/// Whether an instance with these tags has every key of the filters with one of its values.
fn holds(filters: &[(String, Vec<String>)], tags: &Tags) -> bool {
    filters.iter().all(|(key, values)| {
        tags.iter()
            .any(|(name, value)| name == key && (values.is_empty() || values.contains(value)))
    })
}

fn page(mappings: Vec<Value>, token: &str) -> Answer {
    answer(&json!({ "ResourceTagMappingList": mappings, TOKEN: token }))
}

fn is_ours(kind: &str) -> bool {
    matches!(kind, "ec2" | "ec2:instance")
}

fn arn_of(instance: &str) -> String {
    format!("arn:aws:ec2:{HOME}:instance/{instance}")
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().map_or(&[][..], Vec::as_slice).iter().filter_map(Value::as_str).collect()
}
