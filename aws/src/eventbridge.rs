//! EventBridge: the events of alerts, for machines.

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;

use crate::alert::{Alert, SOURCE};
use crate::client::failed;
use crate::ports::{CallError, Sent};

const PUT: &str = "PutEvents";
/// Entries that PutEvents takes. (PutEvents, Limits)
const ENTRIES: usize = 10;

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

    /// Sends as many events as can be sent.
    pub async fn send(&self, alerts: &[&Alert]) -> Sent {
        let Some(bus) = &self.name else { return Sent::default() };
        let mut sent = Sent::all(alerts.len());
        for (number, alerts) in alerts.chunks(ENTRIES).enumerate() {
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
            let first = number * ENTRIES;
            match self.client.put_events().set_entries(entries).send().await {
                Ok(answer) if answer.entries().len() == alerts.len() => {
                    for (index, entry) in answer.entries().iter().enumerate() {
                        if let Some(code) = entry.error_code() {
                            let text = entry.error_message().unwrap_or("no text");
                            sent.fail([first + index], PUT, format!("{code}: {text}"));
                        }
                    }
                }
                Ok(answer) => {
                    let why =
                        format!("{} answers for {} events", answer.entries().len(), alerts.len());
                    sent.fail(first..first + alerts.len(), PUT, why);
                }
                Err(error) => {
                    let CallError { why, .. } = failed(PUT, &error);
                    sent.fail(first..first + alerts.len(), PUT, why);
                }
            }
        }
        sent
    }
}
