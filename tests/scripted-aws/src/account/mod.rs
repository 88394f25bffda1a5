//! The services around the fleet: EventBridge, SNS, and the tags of resources.

mod events;
mod messages;
mod tags;

use bytes::Bytes;
use hyper::http::request::Parts;
use serde_json::{Value, json};

use crate::Shared;
use crate::answer::Answer;
use crate::calls::Call;
use crate::fault::{Hit, Kind};

pub use events::Event;
pub use messages::Message;

/// Entries of one call at most. (PutEvents, `Entries`; PublishBatch, `PublishBatchRequestEntries`)
const MOST_ENTRIES: usize = 10;
/// Bytes of all entries of one call at most.
const MOST_BYTES: usize = 262_144;
/// Where the function and the fleet live.
const HOME: &str = "us-east-1:123456789012";

/// Everything that was delivered, in order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    pub(crate) events: Vec<Event>,
    pub(crate) messages: Vec<Message>,
}

/// A request to one of these services.
#[derive(Debug)]
pub(crate) enum Request {
    Events(events::Request),
    Messages(messages::Request),
    Tags(tags::Request),
    /// One that cannot be answered, and whether it speaks JSON.
    Unknown(String, bool),
}

/// How a call was made.
#[derive(Debug)]
pub(crate) struct Made<'a> {
    /// The call's number in the log.
    pub(crate) call: u64,
    /// The virtual time.
    pub(crate) now: i64,
    pub(crate) hits: &'a [Hit],
}

impl Made<'_> {
    /// The position of the entry that a fault fails, if one does.
    fn failing(&self, entries: usize) -> Option<usize> {
        let hit = self.hits.iter().find(|hit| hit.kind == Kind::FailEntry)?;
        (entries > 0).then(|| (hit.chance % entries as u64) as usize)
    }
}

impl Request {
    /// The request, if it is one to these services: they name the operation in a header or, the
    /// older ones, in a form.
    pub(crate) fn of(parts: &Parts, body: &Bytes) -> Option<Self> {
        let header = |name: &str| parts.headers.get(name)?.to_str().ok();
        if let Some(target) = header("x-amz-target") {
            let content: Option<Value> = serde_json::from_slice(body).ok();
            return Some(match (target, content) {
                ("AWSEvents.PutEvents", Some(content)) => {
                    Self::Events(events::Request::of(&content))
                }
                ("ResourceGroupsTaggingAPI_20170126.GetResources", Some(content)) => {
                    Self::Tags(tags::Request::of(content))
                }
                _ => Self::Unknown(target.into(), true),
            });
        }
        if !header("content-type")?.starts_with("application/x-www-form-urlencoded") {
            return None;
        }
        let form = messages::form(body);
        Some(match form.get("Action").map(String::as_str) {
            Some("PublishBatch") => Self::Messages(messages::Request::of(&form)),
            action => Self::Unknown(action.unwrap_or_default().into(), false),
        })
    }

    pub(crate) fn service(&self) -> &'static str {
        match self {
            Self::Events(_) => "events",
            Self::Messages(_) => "sns",
            Self::Tags(_) => "tagging",
            Self::Unknown(..) => "unknown",
        }
    }

    pub(crate) fn operation(&self) -> &str {
        match self {
            Self::Events(_) => "PutEvents",
            Self::Messages(_) => "PublishBatch",
            Self::Tags(_) => "GetResources",
            Self::Unknown(operation, _) => operation,
        }
    }

    /// Whether it is about this bus, topic or instance.
    pub(crate) fn concerns(&self, only: &str) -> bool {
        match self {
            Self::Events(request) => request.entries.iter().any(|entry| entry.bus == only),
            Self::Messages(request) => request.topic == only,
            Self::Tags(request) => request.names(only),
            Self::Unknown(..) => false,
        }
    }

    pub(crate) fn describe(&self, call: &mut Call) {
        match self {
            Self::Events(request) => {
                call.resource = request.entries.first().map_or("", |entry| &entry.bus).into();
                call.entries = request.entries.len();
            }
            Self::Messages(request) => {
                call.resource.clone_from(&request.topic);
                call.entries = request.entries.len();
            }
            Self::Tags(request) => call.next_page = request.token().is_some(),
            Self::Unknown(..) => {}
        }
    }

    pub(crate) fn error(&self, status: u16, code: &str, message: &str) -> Answer {
        match self {
            Self::Messages(_) | Self::Unknown(_, false) => messages::error(status, code, message),
            _ => refused(status, code, message),
        }
    }

    /// The answer to a caller without the permission.
    pub(crate) fn forbidden(&self) -> Answer {
        match self {
            Self::Messages(_) => self.error(403, "AuthorizationError", "Not authorized"),
            _ => self.error(400, "AccessDeniedException", "Access Denied"),
        }
    }

    pub(crate) fn run(self, shared: &Shared, made: &Made<'_>) -> Answer {
        match self {
            Self::Events(request) => request.run(&mut shared.delivered.lock().unwrap(), made),
            Self::Messages(request) => request.run(&mut shared.delivered.lock().unwrap(), made),
            Self::Tags(request) => request.run(shared, made).unwrap_or_else(|refused| refused),
            Self::Unknown(ref operation, _) => {
                let message = format!("{operation} is not played here");
                self.error(400, "InvalidAction", &message)
            }
        }
    }
}

/// An answer in JSON.
fn answer(body: &Value) -> Answer {
    Answer::new(200, "application/x-amz-json-1.1", body.to_string())
}

/// An error in JSON.
fn refused(status: u16, code: &str, message: &str) -> Answer {
    let mut answer = answer(&json!({ "__type": code, "message": message }));
    answer.status = status;
    answer.error = Some(code.into());
    answer
}
