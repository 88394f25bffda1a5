//! Names of things in AWS, checked: a [`TargetId`] and an [`ObjectUri`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What is watched, by its name: an EC2 instance (`i-` and 17 hexadecimal digits, or 8 where it is
/// old), or an Auto Scaling group as a whole (`asg:` and its name), whose CPU is the mean of its
/// instances.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TargetId(String);

/// A text that names neither an instance nor an Auto Scaling group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no instance: give `i-` and 17 (or 8) hexadecimal digits, such as \
     i-0123456789abcdef0, or asg: and the name of an Auto Scaling group"
)]
pub struct NotATarget(String);

/// What comes before the name of an Auto Scaling group. Such a name has no colon.
const GROUP: &str = "asg:";

impl TargetId {
    /// The instance, or the Auto Scaling group, with this value of `dimension` in CloudWatch.
    ///
    /// # Errors
    /// [`NotATarget`] where the value cannot be such a name.
    pub fn of_dimension(dimension: TargetDimension, value: &str) -> Result<Self, NotATarget> {
        let target: Self = match dimension {
            TargetDimension::Instance => value.parse(),
            TargetDimension::Group => format!("{GROUP}{value}").parse(),
        }?;
        match target.dimension() {
            (of, _) if of == dimension => Ok(target),
            _ => Err(not_a_target(value)),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its dimension in CloudWatch, and the value of that.
    pub fn dimension(&self) -> (TargetDimension, &str) {
        match self.group() {
            Some(group) => (TargetDimension::Group, group),
            None => (TargetDimension::Instance, &self.0),
        }
    }

    /// The name of the Auto Scaling group, if it is one.
    pub fn group(&self) -> Option<&str> {
        self.0.strip_prefix(GROUP)
    }
}

/// The dimension of a target's metrics in CloudWatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetDimension {
    /// Each instance has its own.
    Instance,
    /// Those of an Auto Scaling group's instances together.
    Group,
}

impl TargetDimension {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Instance => "InstanceId",
            Self::Group => "AutoScalingGroupName",
        }
    }
}

/// Which sorts of targets are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Targets {
    /// Each instance by itself.
    #[default]
    Instances,
    /// Auto Scaling groups as a whole.
    Groups,
    /// Each instance, and each group as a whole.
    Both,
}

impl Targets {
    /// The dimensions of their metrics.
    pub const fn dimensions(self) -> &'static [TargetDimension] {
        match self {
            Self::Instances => &[TargetDimension::Instance],
            Self::Groups => &[TargetDimension::Group],
            Self::Both => &[TargetDimension::Instance, TargetDimension::Group],
        }
    }
}

fn not_a_target(text: &str) -> NotATarget {
    NotATarget(text.chars().take(64).collect())
}

impl From<TargetId> for String {
    fn from(instance: TargetId) -> Self {
        instance.0
    }
}

impl TryFrom<String> for TargetId {
    type Error = NotATarget;

    fn try_from(text: String) -> Result<Self, NotATarget> {
        text.parse()
    }
}

impl FromStr for TargetId {
    type Err = NotATarget;

    fn from_str(text: &str) -> Result<Self, NotATarget> {
        if let Some(name) = text.strip_prefix(GROUP) {
            // 1 to 255 printable characters of ASCII without a colon. (CreateAutoScalingGroup)
            let is_name = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
            return match name.len() {
                1..=255 if is_name => Ok(Self(text.into())),
                _ => Err(not_a_target(text)),
            };
        }
        let digits = text.strip_prefix("i-").unwrap_or_default();
        let hexadecimal = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match digits.len() {
            8 | 17 if hexadecimal => Ok(Self(text.into())),
            _ => Err(not_a_target(text)),
        }
    }
}

impl fmt::Display for TargetId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The address of an object in S3, `s3://bucket/key`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectUri {
    /// The bucket.
    pub bucket: String,
    /// The key, not empty.
    pub key: String,
}

/// A text that is not the address of an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no object: give s3://bucket/key, such as s3://my-models/models/current")]
pub struct NotAnObject(String);

impl ObjectUri {
    /// The object `key` in the same bucket.
    ///
    /// # Errors
    /// [`NotAnObject`] where `key` is not a valid key.
    pub fn beside(&self, key: &str) -> Result<Self, NotAnObject> {
        format!("s3://{}/{key}", self.bucket).parse()
    }
}

impl FromStr for ObjectUri {
    type Err = NotAnObject;

    fn from_str(text: &str) -> Result<Self, NotAnObject> {
        let (bucket, key) =
            text.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).unwrap_or_default();
        let of_bucket = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
        // S3's rules: a bucket has 3 to 63 such characters, a key 1 to 1024 bytes.
        let valid = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(of_bucket)
            && (1..=1024).contains(&key.len())
            && !key.chars().any(char::is_control)
            && !key.ends_with('/');
        match valid {
            true => Ok(Self { bucket: bucket.into(), key: key.into() }),
            false => Err(NotAnObject(text.chars().take(256).collect())),
        }
    }
}

impl fmt::Display for ObjectUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "s3://{}/{}", self.bucket, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_have_8_or_17_hexadecimal_digits() {
        for right in ["i-0123456789abcdef0", "i-1a2b3c4d"] {
            assert_eq!(right.parse::<TargetId>().unwrap().as_str(), right);
        }
        for wrong in [
            "",
            "i-",
            "i-0123456789abcdef",
            "i-0123456789abcdeg0",
            "I-1a2b3c4d",
            "i-1A2B3C4D",
            "1a2b3c4d",
            "i-1a2b3c4d\n",
        ] {
            assert!(wrong.parse::<TargetId>().is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn a_group_has_a_name_and_a_dimension_of_its_own() {
        let group: TargetId = "asg:web/prod-1".parse().unwrap();
        assert_eq!(group.group(), Some("web/prod-1"));
        assert_eq!(group.dimension(), (TargetDimension::Group, "web/prod-1"));
        assert_eq!(TargetId::of_dimension(TargetDimension::Group, "web/prod-1").unwrap(), group);
        let instance: TargetId = "i-1a2b3c4d".parse().unwrap();
        assert_eq!(instance.dimension(), (TargetDimension::Instance, "i-1a2b3c4d"));
        assert_eq!(instance.group(), None);
        for wrong in ["asg:", "asg:web:1", "asg:web 1", "asg:web\n", &format!("asg:{:256}", 'x')] {
            assert!(wrong.parse::<TargetId>().is_err(), "{wrong:?} was taken");
        }
        let crossed = TargetId::of_dimension(TargetDimension::Instance, "asg:web");
        assert!(crossed.is_err());
    }

    #[test]
    fn objects_have_a_bucket_and_a_key() {
        let uri: ObjectUri = "s3://my-models/models/current".parse().unwrap();
        assert_eq!((uri.bucket.as_str(), uri.key.as_str()), ("my-models", "models/current"));
        assert_eq!(uri.to_string(), "s3://my-models/models/current");
        assert_eq!(
            uri.beside("models/a b.safetensors").unwrap().to_string(),
            "s3://my-models/models/a b.safetensors"
        );
        let wrong = [
            "",
            "current",
            "s3://",
            "s3://my-models",
            "s3://my-models/",
            "s3:///models/current",
            "https://my-models/current",
            "s3://My-Models/current",
            "s3://ab/current",
            "s3://my-models/models/",
            "s3://my-models/a\nb",
            "file:///model",
        ];
        for wrong in wrong {
            assert!(wrong.parse::<ObjectUri>().is_err(), "{wrong:?} was taken");
        }
        assert!(uri.beside("").is_err());
        assert!(uri.beside(&"k".repeat(1025)).is_err());
    }
}
