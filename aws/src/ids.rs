//! Names of things in AWS, checked: an [`InstanceId`] and an [`ObjectUri`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of an EC2 instance: `i-` and 17 hexadecimal digits, or 8 where it is old.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(String);

/// A text that is not the id of an instance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no instance: give `i-` and 17 (or 8) hexadecimal digits, such as i-0123456789abcdef0"
)]
pub struct NotAnInstance(String);

impl InstanceId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<InstanceId> for String {
    fn from(instance: InstanceId) -> Self {
        instance.0
    }
}

impl TryFrom<String> for InstanceId {
    type Error = NotAnInstance;

    fn try_from(text: String) -> Result<Self, NotAnInstance> {
        text.parse()
    }
}

impl FromStr for InstanceId {
    type Err = NotAnInstance;

    fn from_str(text: &str) -> Result<Self, NotAnInstance> {
        let digits = text.strip_prefix("i-").unwrap_or_default();
        let hexadecimal = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match digits.len() {
            8 | 17 if hexadecimal => Ok(Self(text.into())),
            _ => Err(NotAnInstance(text.chars().take(64).collect())),
        }
    }
}

impl fmt::Display for InstanceId {
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
            assert_eq!(right.parse::<InstanceId>().unwrap().as_str(), right);
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
            assert!(wrong.parse::<InstanceId>().is_err(), "{wrong:?} was taken");
        }
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
