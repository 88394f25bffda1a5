//! The tags of an instance, and rules about them: `team=web,env=prod|stage`.
//!
//! The same syntax serves for both uses of a rule: which instances are watched, and which are muted
//! ([`crate::mute`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// The tags of an instance, by key.
pub type Tags = BTreeMap<String, String>;

/// Keys in a rule, and values of a key: the limits of one request to AWS. (GetResources,
/// `TagFilters`)
const MAX_KEYS: usize = 50;
const MAX_VALUES: usize = 20;
/// Characters of a key and of a value. (EC2, "Tag restrictions")
const KEY_LENGTH: usize = 128;
const VALUE_LENGTH: usize = 256;

/// A rule about tags: keys, and for each the values that it may have. A key without values allows
/// any value.
///
/// It is written `key=value,key2=a|b,key3`. Upper and lower case differ, as they do in AWS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TagRule(BTreeMap<String, BTreeSet<String>>);

/// A text that is not a valid rule about tags.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{rule}` is no rule about tags: {why}; give key=value, with more values after `|` and more \
     keys after `,`, such as team=web,env=prod|stage"
)]
pub struct NotATagRule {
    /// The text, or its beginning.
    rule: String,
    /// The fault in it.
    why: String,
}

impl TagRule {
    /// The rule that `key` has one of these values.
    pub fn any_of(key: &str, values: &[&str]) -> Self {
        let values = values.iter().map(|&value| value.to_owned()).collect();
        Self(BTreeMap::from([(key.to_owned(), values)]))
    }

    /// Whether the rule is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys and the values that each may have; a key without values allows any.
    pub fn keys(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = &str>)> {
        self.0.iter().map(|(key, values)| (key.as_str(), values.iter().map(String::as_str)))
    }

    /// Whether `tags` has every key with one of its values. An empty rule holds for everything.
    pub fn holds_for(&self, tags: &Tags) -> bool {
        self.0.iter().all(|(key, values)| has(tags, key, values))
    }

    /// Whether `tags` has any of the keys with one of its values. An empty rule holds for nothing.
    pub fn touches(&self, tags: &Tags) -> bool {
        self.0.iter().any(|(key, values)| has(tags, key, values))
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        let (key, values) = match text.split_once('=') {
            Some((key, values)) => {
                (key.trim(), values.split('|').map(|value| value.trim().to_owned()).collect())
            }
            None => (text.trim(), BTreeSet::new()),
        };
        if key.is_empty() {
            return Err("a key is missing".into());
        }
        if key.chars().any(|character| character == '|' || character.is_control()) {
            return Err("a key has no `|` in it, only values do".into());
        }
        if key.chars().count() > KEY_LENGTH
            || values.iter().any(|value| value.chars().count() > VALUE_LENGTH)
        {
            return Err(format!(
                "a key has up to {KEY_LENGTH} characters and a value up to {VALUE_LENGTH}"
            ));
        }
        if values.len() > MAX_VALUES {
            return Err(format!("a key has up to {MAX_VALUES} values"));
        }
        match self.0.insert(key.to_owned(), values) {
            Some(_) => Err(format!("the key {key} stands in it twice")),
            None if self.0.len() > MAX_KEYS => Err(format!("it has up to {MAX_KEYS} keys")),
            None => Ok(()),
        }
    }
}

fn has(tags: &Tags, key: &str, values: &BTreeSet<String>) -> bool {
    tags.get(key).is_some_and(|value| values.is_empty() || values.contains(value))
}

impl FromStr for TagRule {
    type Err = NotATagRule;

    fn from_str(text: &str) -> Result<Self, NotATagRule> {
        let mut rule = Self::default();
        if text.trim().is_empty() {
            return Ok(rule);
        }
        let added = text.split(',').try_for_each(|part| rule.add(part));
        added
            .map(|()| rule)
            .map_err(|why| NotATagRule { rule: text.chars().take(100).collect(), why })
    }
}

impl fmt::Display for TagRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (key, values)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(formatter, "{comma}{key}")?;
            for (number, value) in values.iter().enumerate() {
                write!(formatter, "{}{value}", if number == 0 { '=' } else { '|' })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tags(tags: &[(&str, &str)]) -> Tags {
        tags.iter().map(|&(key, value)| (key.into(), value.into())).collect()
    }

    fn rule(text: &str) -> TagRule {
        text.parse().unwrap()
    }

    #[test]
    fn every_key_must_match_to_be_included_and_any_key_to_be_excluded() {
        let web = tags(&[("team", "web"), ("env", "stage"), ("Name", "web 1")]);
        for (text, holds, touches) in [
            ("", true, false),
            (" ", true, false),
            ("team=web", true, true),
            ("team=web,env=prod|stage", true, true),
            (" team = web , env = prod | stage ", true, true),
            ("Name=web 1", true, true),
            ("team", true, true),
            ("team,owner", false, true),
            ("team=web,env=prod", false, true),
            ("team=Web", false, false),
            ("Team=web", false, false),
            ("owner", false, false),
            ("team=", false, false),
        ] {
            assert_eq!(
                (rule(text).holds_for(&web), rule(text).touches(&web)),
                (holds, touches),
                "{text:?}"
            );
        }
        assert!(rule("team=").holds_for(&tags(&[("team", "")])), "AWS has empty values");
        assert!(!rule("team=web").holds_for(&Tags::new()));
    }

    #[test]
    fn what_is_no_rule_is_told_with_the_reason() {
        let many_keys: String = (0..=MAX_KEYS).map(|key| format!("{key},")).collect();
        let many_values = format!(
            "key={}",
            (0..=MAX_VALUES).map(|value| value.to_string()).collect::<Vec<_>>().join("|")
        );
        for (text, why) in [
            (",", "a key is missing"),
            ("=web", "a key is missing"),
            ("team=web,", "a key is missing"),
            ("team|env=web", "no `|`"),
            ("team=web,team=db", "the key team stands in it twice"),
            (&"k".repeat(129), "up to 128 characters"),
            (&format!("key={}", "v".repeat(257)), "a value up to 256"),
            (many_keys.trim_end_matches(','), "up to 50 keys"),
            (&many_values, "up to 20 values"),
        ] {
            let error = text.parse::<TagRule>().expect_err(text).to_string();
            assert!(
                error.contains(why) && error.contains("team=web,env=prod|stage"),
                "{text}: {error}"
            );
            assert!(error.len() < 400, "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_rule_or_an_error_and_a_rule_reads_as_it_is_written(
            text in "\\PC{0,40}|[a-c=|, ]{0,20}",
        ) {
            if let Ok(rule) = text.parse::<TagRule>() {
                prop_assert_eq!(rule.to_string().parse::<TagRule>(), Ok(rule));
            }
        }
    }
}
