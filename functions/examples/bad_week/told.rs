//! Everything that people were told, read back from the topics and the bus of the scripted AWS.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use jiff::Timestamp;
use scripted_aws::Aws;
use serde_json::Value;

use crate::fleet::Week;

/// The topics: for people, and for their chat.
pub(crate) const TOPICS: [&str; 2] = [
    "arn:aws:sns:us-east-1:123456789012:deepguard",
    "arn:aws:sns:us-east-1:123456789012:deepguard-chat",
];

/// An event with which an anomaly began. One that grows into a page has a second event, with the
/// same id.
#[derive(Debug, Clone)]
pub(crate) struct Began {
    /// When it arrived, in seconds since 1970.
    pub(crate) now: i64,
    pub(crate) id: String,
    /// The position of its machine in the fleet.
    pub(crate) machine: usize,
    /// The begin of the datapoint that showed it, in seconds since 1970.
    pub(crate) seen: i64,
    pub(crate) shape: String,
    /// The incident that it belongs to, and whether that has paged.
    pub(crate) incident: String,
    pub(crate) paged: bool,
    /// `machine`, `group` or `fleet`.
    pub(crate) scope: String,
    /// Whether it is judged by its group.
    pub(crate) by_group: bool,
    /// Whether a message came with it.
    pub(crate) is_message: bool,
}

/// A message, as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// When, in seconds since 1970.
    pub(crate) now: i64,
    pub(crate) id: String,
    /// `began`, `ended` or `digest`.
    pub(crate) kind: String,
    pub(crate) subject: String,
    pub(crate) text: String,
}

/// Everything, in order of arrival.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) began: Vec<Began>,
    pub(crate) inbox: Vec<Message>,
    /// Messages of the chat, with the thread that each belongs to.
    pub(crate) chat: Vec<(String, Message)>,
}

impl Told {
    /// What has come so far.
    pub(crate) fn of(aws: &Aws, week: &Week) -> Result<Self> {
        let (mut inbox, mut chat) = (Vec::new(), Vec::new());
        for message in aws.messages() {
            let attribute = |name: &str| message.attributes.get(name).cloned().unwrap_or_default();
            let (now, id, kind) = (message.now, attribute("id"), attribute("kind"));
            if message.topic == TOPICS[0] {
                let subject = message.subject.clone().unwrap_or_default();
                inbox.push(Message { now, id, kind, subject, text: message.text });
                continue;
            }
            let content: Value = serde_json::from_str(&message.text)?;
            let [subject, text, thread] =
                ["/content/title", "/content/description", "/metadata/threadId"].map(|place| {
                    content.pointer(place).and_then(Value::as_str).unwrap_or_default().to_string()
                });
            chat.push((thread, Message { now, id, kind, subject, text }));
        }
        let mut began = Vec::new();
        for event in aws.events() {
            if event.detail_type != "DeepGuard Anomaly Began" {
                continue;
            }
            let detail: Value = serde_json::from_str(&event.detail)?;
            let text = |place: &str| -> Result<String> {
                let text = detail.pointer(place).and_then(Value::as_str);
                Ok(text.with_context(|| format!("an event without {place}"))?.to_string())
            };
            let (id, instance) = (text("/id")?, text("/instance")?);
            let is_it = |machine: &crate::fleet::Machine| machine.id == instance;
            began.push(Began {
                now: event.now,
                machine: week.machines.iter().position(is_it).context("an unknown machine")?,
                seen: text("/seen")?.parse::<Timestamp>()?.as_second(),
                shape: text("/shape")?,
                incident: text("/incident/id")?,
                paged: detail["incident"]["paged"] == true,
                scope: text("/incident/scope")?,
                by_group: detail["phase"] == "group",
                // A notice that pages later has two events, and its message comes with the second.
                is_message: inbox
                    .iter()
                    .any(|one| (one.kind.as_str(), &one.id, one.now) == ("began", &id, event.now)),
                id,
            });
        }
        Ok(Self { began, inbox, chat })
    }

    /// The anomalies that come of the troubles of this number.
    pub(crate) fn of_trouble<'a>(
        &'a self,
        week: &'a Week,
        number: usize,
    ) -> impl Iterator<Item = &'a Began> {
        self.began.iter().filter(move |began| self.cause(week, began) == Some(number))
    }

    /// Those of them with which a message came.
    pub(crate) fn pages_of<'a>(
        &'a self,
        week: &'a Week,
        number: usize,
    ) -> impl Iterator<Item = &'a Began> {
        self.of_trouble(week, number).filter(|began| began.is_message)
    }

    /// The message of the inbox with which an anomaly began.
    pub(crate) fn message(&self, began: &Began) -> Option<&Message> {
        let is_it = |one: &&Message| (&one.id, one.now) == (&began.id, began.now);
        self.inbox.iter().filter(|one| one.kind == "began").find(is_it)
    }

    /// The number of the trouble that an anomaly comes of: its own, or that of its incident. Where
    /// there are two, it is that of fewer machines.
    pub(crate) fn cause(&self, week: &Week, began: &Began) -> Option<usize> {
        let own = |began: &Began| {
            let causes = week.troubles.iter().filter(|one| one.explains(began.machine, began.seen));
            causes.min_by_key(|trouble| trouble.machines.len()).map(|trouble| trouble.number)
        };
        own(began).or_else(|| {
            let pages = self.began.iter().filter(|one| one.is_message);
            pages.filter(|one| one.incident == began.incident).find_map(own)
        })
    }
}

/// How many anomalies these events are of.
pub(crate) fn anomalies<'a>(began: impl IntoIterator<Item = &'a Began>) -> usize {
    began.into_iter().map(|began| &began.id).collect::<BTreeSet<_>>().len()
}
