//! EventBridge: PutEvents.

use serde_json::{Value, json};

use super::{Delivered, MOST_BYTES, MOST_ENTRIES, Made, answer, refused};
use crate::answer::Answer;

/// Bytes that an entry's time counts as. (EventBridge, "Calculating PutEvents event entry size")
const TIME: usize = 14;

/// An event that PutEvents took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The number of its call: see [`crate::Call::number`].
    pub call: u64,
    /// The virtual time at which it came.
    pub now: i64,
    /// The name of its bus.
    pub bus: String,
    /// Who sent it.
    pub source: String,
    /// What it is.
    pub detail_type: String,
    /// Its own time, in seconds since 1970.
    pub time: Option<i64>,
    /// Its content, JSON.
    pub detail: String,
}

/// One entry of a request, as it came.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) bus: String,
    source: String,
    detail_type: String,
    time: Option<i64>,
    detail: String,
}

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) entries: Vec<Entry>,
}

impl Request {
    pub(crate) fn of(content: &Value) -> Self {
        let entry = |entry: &Value| {
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            Entry {
                bus: entry["EventBusName"].as_str().unwrap_or("default").to_owned(),
                source: text("Source"),
                detail_type: text("DetailType"),
                time: entry["Time"].as_f64().map(|time| time as i64),
                detail: text("Detail"),
            }
        };
        let entries = content["Entries"].as_array().map_or(&[][..], Vec::as_slice);
        Self { entries: entries.iter().map(entry).collect() }
    }

    pub(crate) fn run(self, delivered: &mut Delivered, made: &Made<'_>) -> Answer {
        let invalid = |message: &str| refused(400, "ValidationException", message);
        if !(1..=MOST_ENTRIES).contains(&self.entries.len()) {
            return invalid("Entries must have 1 to 10 members.");
        }
        if self.entries.iter().map(Entry::bytes).sum::<usize>() > MOST_BYTES {
            return invalid("Total size of the entries in the request is over the limit.");
        }
        let failing = made.failing(self.entries.len());
        let mut failed = 0;
        let mut answers = Vec::new();
        for (position, entry) in self.entries.into_iter().enumerate() {
            let failure = match failing == Some(position) {
                true => Some(("InternalFailure", "said the script")),
                false => entry.failure(),
            };
            answers.push(match failure {
                Some((code, message)) => {
                    failed += 1;
                    json!({ "ErrorCode": code, "ErrorMessage": message })
                }
                None => {
                    let Entry { bus, source, detail_type, time, detail } = entry;
                    let (call, now) = (made.call, made.now);
                    let event = Event { call, now, bus, source, detail_type, time, detail };
                    delivered.events.push(event);
                    json!({ "EventId": format!("{call}-{position}") })
                }
            });
        }
        answer(&json!({ "FailedEntryCount": failed, "Entries": answers }))
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        let time = if self.time.is_some() { TIME } else { 0 };
        time + self.source.len() + self.detail_type.len() + self.detail.len()
    }

    /// Why it is not taken.
    fn failure(&self) -> Option<(&'static str, &'static str)> {
        if self.source.is_empty() || self.detail_type.is_empty() || self.detail.is_empty() {
            return Some(("InvalidArgument", "Source, DetailType and Detail are required."));
        }
        if self.source.starts_with("aws.") {
            return Some(("NotAuthorizedForSourceException", "Not authorized for the source."));
        }
        match serde_json::from_str::<Value>(&self.detail) {
            Ok(Value::Object(_)) => None,
            _ => Some(("MalformedDetail", "Detail is malformed.")),
        }
    }
}
