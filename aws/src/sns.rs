//! SNS: the messages of alerts, for people.

use std::collections::HashMap;

use aws_sdk_sns::Client;
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};

use crate::alert::Alert;
use crate::client::failed;
use crate::ports::{CallError, Sent};

const PUBLISH: &str = "PublishBatch";
/// Entries that PublishBatch takes. (PublishBatch, PublishBatchRequestEntries)
const ENTRIES: usize = 10;
/// Characters of a subject: ASCII, without line breaks, fewer than 100. (Publish, Subject)
const SUBJECT: usize = 99;
/// Bytes that all messages of one PublishBatch have together. (PublishBatch)
const BATCH: usize = 262_144;
/// Bytes of one message at most, so that a whole batch of them fits, attributes included.
const MESSAGE: usize = BATCH / ENTRIES - 1024;

/// A topic. Without an ARN it takes messages and sends nothing.
#[derive(Debug)]
pub struct Topic {
    client: Client,
    arn: Option<String>,
}

impl Topic {
    /// Sends through `client` to the topic with this ARN; without one, nowhere.
    pub fn new(client: Client, arn: Option<String>) -> Self {
        Self { client, arn }
    }

    /// Sends as many messages as can be sent. The attributes `kind`, `id` and `deployment` serve
    /// for a subscription's filter.
    pub async fn send(&self, alerts: &[&Alert]) -> Sent {
        let Some(topic) = &self.arn else { return Sent::default() };
        let mut sent = Sent::all(alerts.len());
        for (number, alerts) in alerts.chunks(ENTRIES).enumerate() {
            let first = number * ENTRIES;
            let all = first..first + alerts.len();
            let entries: Result<Vec<_>, _> =
                alerts.iter().enumerate().map(|(index, alert)| entry(index, alert)).collect();
            let entries = match entries {
                Ok(entries) => entries,
                Err(error) => {
                    sent.fail(all, PUBLISH, error.to_string());
                    continue;
                }
            };
            let call = self.client.publish_batch().topic_arn(topic);
            match call.set_publish_batch_request_entries(Some(entries)).send().await {
                Ok(answer) => {
                    let taken = answer.successful().iter().filter_map(|entry| entry.id());
                    let taken: Vec<usize> = taken.filter_map(|id| id.parse().ok()).collect();
                    let why = answer.failed().last().map_or_else(
                        || "a message has no answer".into(),
                        |entry| {
                            format!("{}: {}", entry.code(), entry.message().unwrap_or("no text"))
                        },
                    );
                    let untaken = (0..alerts.len()).filter(|index| !taken.contains(index));
                    sent.fail(untaken.map(|index| first + index), PUBLISH, why);
                }
                Err(error) => {
                    let CallError { why, .. } = failed(PUBLISH, &error);
                    sent.fail(all, PUBLISH, why);
                }
            }
        }
        sent
    }
}

fn entry(
    index: usize,
    alert: &Alert,
) -> Result<PublishBatchRequestEntry, aws_sdk_sns::error::BuildError> {
    let attribute = |text: &str| {
        MessageAttributeValue::builder().data_type("String").string_value(text).build()
    };
    let attributes = HashMap::from([
        ("kind".to_string(), attribute(alert.kind.name())?),
        ("id".to_string(), attribute(&alert.id)?),
        ("deployment".to_string(), attribute(&alert.deployment)?),
    ]);
    PublishBatchRequestEntry::builder()
        .id(index.to_string())
        .subject(subject(&alert.subject))
        .message(message(&alert.text))
        .set_message_attributes(Some(attributes))
        .build()
}

/// A subject that SNS takes: it refuses a message with another one.
fn subject(text: &str) -> String {
    let ascii = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    let subject: String = text.trim_start().chars().map(ascii).take(SUBJECT).collect();
    if subject.is_empty() { "DeepGuard".into() } else { subject }
}

/// A text that is no longer than SNS takes.
fn message(text: &str) -> &str {
    &text[..text.floor_char_boundary(MESSAGE)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sns_takes_every_subject() {
        assert_eq!(subject("web-1: spike (90 % CPU)"), "web-1: spike (90 % CPU)");
        assert_eq!(subject(" K\u{f6}ln\n\u{202e}: drop"), "K?ln??: drop");
        assert_eq!(subject(&"x".repeat(300)).len(), 99);
        assert_eq!(subject("\n"), "DeepGuard");
    }

    #[test]
    fn sns_takes_a_batch_of_the_longest_messages() {
        let longest = "\u{20ac}".repeat(BATCH);
        assert!(message(&longest).len() * ENTRIES < BATCH);
        assert_eq!(message("short"), "short");
    }
}
