//! SNS: PublishBatch.

use std::collections::{BTreeMap, BTreeSet};

use super::{Delivered, MOST_BYTES, MOST_ENTRIES, Made};
use crate::answer::Answer;
use crate::s3::{escape, unescape};

const NAMESPACE: &str = "http://sns.amazonaws.com/doc/2010-03-31/";
/// Characters of a subject are fewer than these.
const SUBJECT: usize = 100;

/// A message that PublishBatch took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The number of its call: see [`crate::Call::number`].
    pub call: u64,
    /// The virtual time at which it came.
    pub now: i64,
    /// The ARN of its topic.
    pub topic: String,
    /// Its subject, if it has one.
    pub subject: Option<String>,
    /// Its content.
    pub text: String,
    /// Its attributes of type `String`.
    pub attributes: BTreeMap<String, String>,
}

/// A form's fields.
pub(crate) type Form = BTreeMap<String, String>;

/// Reads the fields of a form.
pub(crate) fn form(body: &[u8]) -> Form {
    let body = String::from_utf8_lossy(body);
    let plain = |text: &str| unescape(&text.replace('+', "%20"));
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (plain(name), plain(value))).collect()
}

/// One entry of a request, as it came.
#[derive(Debug)]
pub(crate) struct Entry {
    id: String,
    subject: Option<String>,
    text: String,
    attributes: BTreeMap<String, String>,
    /// Bytes of all of it that count.
    bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) topic: String,
    pub(crate) entries: Vec<Entry>,
}

impl Request {
    pub(crate) fn of(form: &Form) -> Self {
        let topic = form.get("TopicArn").cloned().unwrap_or_default();
        let entries = (1..).map_while(|member| {
            let entry = format!("PublishBatchRequestEntries.member.{member}.");
            Entry::of(|name| form.get(&format!("{entry}{name}")).cloned())
        });
        Self { topic, entries: entries.collect() }
    }

    /// The error of a request that is refused as a whole.
    fn refusal(&self) -> Option<Answer> {
        let refused = |code: &str, message: &str| Some(error(400, code, message));
        let of_id = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let ids: BTreeSet<&str> = self.entries.iter().map(|entry| entry.id.as_str()).collect();
        if !self.topic.starts_with("arn:") {
            return refused("InvalidParameter", "Invalid parameter: TopicArn");
        }
        if self.entries.is_empty() {
            return refused("EmptyBatchRequest", "The batch request doesn't contain any entries.");
        }
        if self.entries.len() > MOST_ENTRIES {
            return refused("TooManyEntriesInBatchRequest", "Too many entries in batch request.");
        }
        if ids.len() < self.entries.len() {
            return refused("BatchEntryIdsNotDistinct", "Two entries have the same Id.");
        }
        if ids.iter().any(|id| !(1..=80).contains(&id.len()) || !id.chars().all(of_id)) {
            return refused("InvalidBatchEntryId", "An Id is not valid.");
        }
        if self.entries.iter().map(|entry| entry.bytes).sum::<usize>() > MOST_BYTES {
            return refused("BatchRequestTooLong", "The batch is longer than 262144 bytes.");
        }
        None
    }

    pub(crate) fn run(self, delivered: &mut Delivered, made: &Made<'_>) -> Answer {
        if let Some(refusal) = self.refusal() {
            return refusal;
        }
        let failing = made.failing(self.entries.len());
        let (mut successful, mut failed) = (String::new(), String::new());
        for (position, entry) in self.entries.into_iter().enumerate() {
            let failure = match failing == Some(position) {
                true => Some(("InternalError", "said the script", false)),
                false => entry.failure().map(|why| ("InvalidParameter", why, true)),
            };
            let id = escape(&entry.id);
            if let Some((code, message, sender)) = failure {
                failed += &format!(
                    "<member><Id>{id}</Id><Code>{code}</Code><Message>{message}</Message>\
                     <SenderFault>{sender}</SenderFault></member>"
                );
                continue;
            }
            let (call, now, topic) = (made.call, made.now, self.topic.clone());
            let Entry { subject, text, attributes, .. } = entry;
            delivered.messages.push(Message { call, now, topic, subject, text, attributes });
            successful +=
                &format!("<member><Id>{id}</Id><MessageId>{call}-{position}</MessageId></member>");
        }
        let body = format!(
            "<PublishBatchResponse xmlns=\"{NAMESPACE}\"><PublishBatchResult>\
             <Successful>{successful}</Successful><Failed>{failed}</Failed></PublishBatchResult>\
             <ResponseMetadata><RequestId>0</RequestId></ResponseMetadata></PublishBatchResponse>"
        );
        Answer::new(200, "text/xml", body)
    }
}

impl Entry {
    /// An entry from the fields that `get` gives; `None` without an `Id`.
    fn of(get: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let (subject, text) = (get("Subject"), get("Message").unwrap_or_default());
        let mut bytes = text.len() + subject.as_ref().map_or(0, String::len);
        let mut attributes = BTreeMap::new();
        for number in 1.. {
            let field = |name: &str| get(&format!("MessageAttributes.entry.{number}.{name}"));
            let Some(name) = field("Name") else { break };
            let kind = field("Value.DataType").unwrap_or_default();
            let value = field("Value.StringValue").unwrap_or_default();
            bytes += name.len() + kind.len() + value.len();
            attributes.insert(name, value);
        }
        Some(Self { id: get("Id")?, subject, text, attributes, bytes })
    }

    /// Why it is not taken.
    fn failure(&self) -> Option<&'static str> {
        let fits = |subject: &String| {
            (1..SUBJECT).contains(&subject.len())
                && subject.chars().all(|c| c.is_ascii_graphic() || c == ' ')
        };
        if self.text.is_empty() {
            return Some("Invalid parameter: Empty message");
        }
        if !self.subject.as_ref().is_none_or(fits) {
            return Some("Invalid parameter: Subject");
        }
        let empty = self.attributes.values().any(String::is_empty);
        empty.then_some("Invalid parameter: MessageAttributes")
    }
}

pub(crate) fn error(status: u16, code: &str, message: &str) -> Answer {
    let body = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>{}</Message></Error><RequestId>0</RequestId></ErrorResponse>",
        escape(message)
    );
    let mut answer = Answer::new(status, "text/xml", body);
    answer.error = Some(code.into());
    answer
}
