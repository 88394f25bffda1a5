//! SNS: the messages of alerts, for people and for their chat.

use std::collections::HashMap;

use aws_sdk_sns::Client;
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};

use crate::alert::{Alert, BATCH};
use crate::client::failed;
use crate::ports::{CallError, Sent};

const PUBLISH: &str = "PublishBatch";
/// Characters of a subject: without line breaks, fewer than 100. ASCII, because that is taken
/// everywhere. (Publish, Subject)
const SUBJECT: usize = 99;
/// Bytes that all messages of one PublishBatch have together. (PublishBatch)
const CALL: usize = 262_144;
/// Bytes of one message at most, so that a whole batch of them fits, attributes included.
pub const MESSAGE: usize = CALL / BATCH - 1024;

/// A topic. Without an ARN it takes messages and sends nothing.
#[derive(Debug)]
pub struct Topic {
    client: Client,
    arn: Option<String>,
    form: Form,
}

/// The form of a topic's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A subject and a text, as in a mail.
    Text,
    /// The notification that a chat client reads. It has no subject.
    Chat,
}

impl Topic {
    /// Sends through `client` to the topic with this ARN; without one, nowhere.
    pub fn new(client: Client, arn: Option<String>) -> Self {
        Self { client, arn, form: Form::Text }
    }

    /// The same for the topic that a chat client reads.
    pub fn of_chat(client: Client, arn: Option<String>) -> Self {
        Self { client, arn, form: Form::Chat }
    }

    /// Sends as many messages as can be sent, in one call. The attributes `kind`, `id` and
    /// `deployment` serve for a subscription's filter.
    pub async fn send(&self, alerts: &[&Alert]) -> Sent {
        let Some(topic) = &self.arn else { return Sent::default() };
        let mut sent = Sent::all(alerts.len());
        let entries: Result<Vec<_>, _> = alerts
            .iter()
            .enumerate()
            .map(|(position, alert)| entry(position, alert, self.form))
            .collect();
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                sent.fail(0..alerts.len(), PUBLISH, error.to_string());
                return sent;
            }
        };
        let call = self.client.publish_batch().topic_arn(topic);
        match call.set_publish_batch_request_entries(Some(entries)).send().await {
            Ok(answer) => {
                let taken = answer.successful().iter().filter_map(|entry| entry.id());
                let taken: Vec<usize> = taken.filter_map(|id| id.parse().ok()).collect();
                let why = answer.failed().last().map_or_else(
                    || "a message has no answer".into(),
                    |entry| format!("{}: {}", entry.code(), entry.message().unwrap_or("no text")),
                );
                let untaken = (0..alerts.len()).filter(|position| !taken.contains(position));
                sent.fail(untaken, PUBLISH, why);
            }
            Err(error) => {
                let CallError { why, .. } = failed(PUBLISH, &error);
                sent.fail(0..alerts.len(), PUBLISH, why);
            }
        }
        sent
    }
}

fn entry(
    position: usize,
    alert: &Alert,
    form: Form,
) -> Result<PublishBatchRequestEntry, aws_sdk_sns::error::BuildError> {
    let attribute = |text: &str| {
        MessageAttributeValue::builder().data_type("String").string_value(text).build()
    };
    let attributes = HashMap::from([
        ("kind".to_string(), attribute(alert.kind.name())?),
        ("id".to_string(), attribute(&alert.id)?),
        ("deployment".to_string(), attribute(&alert.deployment)?),
    ]);
    let entry = PublishBatchRequestEntry::builder().id(position.to_string());
    let entry = match form {
        Form::Text => entry.subject(subject(&alert.subject)).message(message(&alert.text)),
        Form::Chat => entry.message(&alert.chat),
    };
    entry.set_message_attributes(Some(attributes)).build()
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
    use wiremock::ResponseTemplate;

    use super::*;
    use crate::testing::alert;
    use crate::testing::scripted::Scripted;

    #[test]
    fn sns_takes_every_subject() {
        assert_eq!(subject("web-1: spike (90 % CPU)"), "web-1: spike (90 % CPU)");
        assert_eq!(subject(" K\u{f6}ln\n\u{202e}: drop"), "K?ln??: drop");
        assert_eq!(subject(&"x".repeat(300)).len(), 99);
        assert_eq!(subject("\n"), "DeepGuard");
    }

    #[test]
    fn sns_takes_a_batch_of_the_longest_messages() {
        let longest = "\u{20ac}".repeat(CALL);
        assert!(message(&longest).len() * BATCH < CALL);
        assert_eq!(message("short"), "short");
    }

    fn answer(status: u16, result: &str) -> ResponseTemplate {
        let body = format!(
            "<PublishBatchResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">\
             {result}</PublishBatchResponse>"
        );
        ResponseTemplate::new(status).set_body_raw(body, "text/xml")
    }

    async fn sent(status: u16, result: &str, alerts: usize) -> (Sent, Vec<String>) {
        let aws = Scripted::new([("POST", vec![answer(status, result)])]).await;
        let alerts: Vec<Alert> = (0..alerts).map(alert).collect();
        let sent = aws.topic().send(&alerts.iter().collect::<Vec<_>>()).await;
        let requests = aws.raw_requests().await;
        let bodies = requests.iter().map(|request| String::from_utf8_lossy(&request.body).into());
        (sent, bodies.collect())
    }

    fn taken(id: usize) -> String {
        format!("<member><Id>{id}</Id><MessageId>m{id}</MessageId></member>")
    }

    #[tokio::test]
    async fn a_message_that_is_refused_is_the_one_that_is_sent_again() {
        let result = format!(
            "<PublishBatchResult><Successful>{}{}</Successful><Failed><member><Id>1</Id>\
             <Code>InternalError</Code><Message>later</Message><SenderFault>false</SenderFault>\
             </member></Failed></PublishBatchResult>",
            taken(2),
            taken(0)
        );
        let (sent, requests) = sent(200, &result, 3).await;
        assert_eq!((sent.sent, sent.failed), (2, [1].into()));
        assert_eq!(sent.error.unwrap().why, "InternalError: later");
        let [request] = &requests[..] else { panic!("{requests:?}") };
        for part in ["Action=PublishBatch", "member.3.Id=2", "Subject=subject%201", "=began"] {
            assert!(request.contains(part), "{part} is not in {request}");
        }
    }

    #[tokio::test]
    async fn a_chat_gets_its_notification_and_no_subject() {
        let result = format!(
            "<PublishBatchResult><Successful>{}</Successful></PublishBatchResult>",
            taken(0)
        );
        let aws = Scripted::new([("POST", vec![answer(200, &result)])]).await;
        let sent = aws.chat().send(&[&alert(0)]).await;
        assert_eq!((sent.sent, sent.failed.len()), (1, 0));
        let [request] = &aws.raw_requests().await[..] else { panic!("one request") };
        let body = String::from_utf8_lossy(&request.body).into_owned();
        for part in ["Message=%7B%22version%22%3A%221.0%22", "=began", "%3Achat&"] {
            assert!(body.contains(part), "{part} is not in {body}");
        }
        assert!(!body.contains("Subject"), "{body}");
    }

    #[tokio::test]
    async fn a_message_without_an_answer_is_sent_again() {
        let result = format!(
            "<PublishBatchResult><Successful>{}{}</Successful><Failed/></PublishBatchResult>",
            taken(0),
            taken(7)
        );
        let (sent, _) = sent(200, &result, 2).await;
        assert_eq!((sent.sent, sent.failed), (1, [1].into()));
    }

    #[tokio::test]
    async fn a_call_that_is_refused_sends_none() {
        let error = "<Error><Code>AuthorizationError</Code><Message>no</Message></Error>";
        let (sent, _) = sent(403, error, 2).await;
        assert_eq!((sent.sent, sent.failed), (0, [0, 1].into()));
        assert!(sent.error.is_some());
    }
}
