//! EventBridge: the events of alerts, for machines.

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;

use crate::alert::{Alert, SOURCE};
use crate::client::failed;
use crate::ports::{CallError, Sent};

const PUT: &str = "PutEvents";

/// A bus. Without a name it takes events and sends nothing.
#[derive(Debug)]
pub struct Bus {
    client: Client,
    name: Option<String>,
}

impl Bus {
    /// Sends through `client` to the bus of this name; without one, nowhere.
    pub fn new(client: Client, name: Option<String>) -> Self {
        Self { client, name }
    }

    /// Sends as many events as can be sent, in one call.
    pub async fn send(&self, alerts: &[&Alert]) -> Sent {
        let Some(bus) = &self.name else { return Sent::default() };
        let mut sent = Sent::all(alerts.len());
        let entry = |alert: &&Alert| {
            PutEventsRequestEntry::builder()
                .event_bus_name(bus)
                .source(SOURCE)
                .detail_type(alert.kind.detail_type())
                .detail(&alert.detail)
                .time(DateTime::from_secs(alert.time))
                .build()
        };
        let entries = Some(alerts.iter().map(entry).collect());
        match self.client.put_events().set_entries(entries).send().await {
            // The answers are in the order of the entries.
            Ok(answer) if answer.entries().len() == alerts.len() => {
                for (position, entry) in answer.entries().iter().enumerate() {
                    if let Some(code) = entry.error_code() {
                        let text = entry.error_message().unwrap_or("no text");
                        sent.fail([position], PUT, format!("{code}: {text}"));
                    }
                }
            }
            Ok(answer) => {
                let why = format!("{} answers for {} events", answer.entries().len(), alerts.len());
                sent.fail(0..alerts.len(), PUT, why);
            }
            Err(error) => {
                let CallError { why, .. } = failed(PUT, &error);
                sent.fail(0..alerts.len(), PUT, why);
            }
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wiremock::ResponseTemplate;

    use super::*;
    use crate::testing::alert;
    use crate::testing::scripted::Scripted;

    async fn sent(answer: ResponseTemplate, alerts: usize) -> (Sent, Vec<Value>) {
        let aws = Scripted::new([("POST", vec![answer])]).await;
        let alerts: Vec<Alert> = (0..alerts).map(alert).collect();
        let sent = aws.bus().send(&alerts.iter().collect::<Vec<_>>()).await;
        let requests = aws.raw_requests().await;
        let bodies = requests.iter().map(|request| serde_json::from_slice(&request.body).unwrap());
        (sent, bodies.collect())
    }

    #[tokio::test]
    async fn an_event_that_is_refused_is_the_one_that_is_sent_again() {
        let taken = json!({ "EventId": "x" });
        let refused = json!({ "ErrorCode": "ThrottlingException", "ErrorMessage": "slow down" });
        let answer = json!({ "FailedEntryCount": 1, "Entries": [taken, refused, taken] });
        let (sent, requests) = sent(ResponseTemplate::new(200).set_body_json(answer), 3).await;
        assert_eq!((sent.sent, sent.failed), (2, [1].into()));
        assert_eq!(sent.error.unwrap().why, "ThrottlingException: slow down");
        let [request] = &requests[..] else { panic!("{requests:?}") };
        for (number, entry) in request["Entries"].as_array().unwrap().iter().enumerate() {
            assert_eq!((&entry["EventBusName"], &entry["Source"]), (&json!("ops"), &json!(SOURCE)));
            assert_eq!(entry["Detail"], alert(number).detail);
        }
    }

    #[tokio::test]
    async fn a_call_that_fails_or_answers_for_others_sends_none() {
        let denied = json!({ "__type": "AccessDeniedException", "message": "no" });
        let short = json!({ "FailedEntryCount": 0, "Entries": [{ "EventId": "x" }] });
        for (status, body) in [(400, denied), (200, short)] {
            let (sent, _) = sent(ResponseTemplate::new(status).set_body_json(body), 2).await;
            assert_eq!((sent.sent, sent.failed), (0, [0, 1].into()));
            assert!(sent.error.is_some());
        }
    }
}
