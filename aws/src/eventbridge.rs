//! EventBridge: where alerts go.

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;

use crate::alert::{Alert, SOURCE};
use crate::client::failed;
use crate::ports::{Alerts, CallError, Sent};

const PUT: &str = "PutEvents";
/// Entries that PutEvents takes. (PutEvents, Limits)
const ENTRIES: usize = 10;

/// A bus. Without a name it takes alerts and sends nothing.
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
}

impl Alerts for Bus {
    async fn send(&self, alerts: &[Alert]) -> Sent {
        let Some(bus) = &self.name else { return Sent { sent: alerts.len(), ..Sent::default() } };
        let mut sent = Sent::default();
        for alerts in alerts.chunks(ENTRIES) {
            let entry = |alert: &Alert| {
                PutEventsRequestEntry::builder()
                    .event_bus_name(bus)
                    .source(SOURCE)
                    .detail_type(alert.kind.detail_type())
                    .detail(&alert.detail)
                    .time(DateTime::from_secs(alert.time))
                    .build()
            };
            match self
                .client
                .put_events()
                .set_entries(Some(alerts.iter().map(entry).collect()))
                .send()
                .await
            {
                Ok(answer) if answer.entries().len() == alerts.len() => {
                    for (alert, entry) in alerts.iter().zip(answer.entries()) {
                        match entry.error_code() {
                            None => sent.sent += 1,
                            Some(code) => {
                                let why = format!(
                                    "{code}: {}",
                                    entry.error_message().unwrap_or("no text")
                                );
                                sent.error = Some(CallError { operation: PUT, why });
                                sent.failed.push(alert.clone());
                            }
                        }
                    }
                }
                Ok(answer) => {
                    let why =
                        format!("{} answers for {} events", answer.entries().len(), alerts.len());
                    sent.error = Some(CallError { operation: PUT, why });
                    sent.failed.extend_from_slice(alerts);
                }
                Err(error) => {
                    sent.error = Some(failed(PUT, &error));
                    sent.failed.extend_from_slice(alerts);
                }
            }
        }
        sent
    }
}
