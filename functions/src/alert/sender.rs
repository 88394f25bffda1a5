//! The sender of alerts, and the alert that tests their way.

use deepguard_aws::alert::{Alert, Kind};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::alert::chat::Facts;
use crate::alert::console::Console;
use crate::time::rfc3339;
use crate::trigger::shard::Shard;

/// The sender of alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The name of the deployment.
    pub deployment: String,
    /// The name of the function that takes labels; empty where it is unknown.
    pub function: String,
    /// The part of the fleet whose alerts these are.
    pub shard: Shard,
    /// The console for links to graphs.
    pub console: Console,
    /// The zone of the times in texts.
    pub zone: TimeZone,
}

impl Sender {
    /// A time (seconds since 1970) for a person: date, clock, and the zone's abbreviation.
    pub(crate) fn clock(&self, time: i64) -> String {
        let zoned = Timestamp::from_second(time).map(|time| time.to_zoned(self.zone.clone()));
        zoned.map_or_else(|_| rfc3339(time), |at| at.strftime("%Y-%m-%d %H:%M %Z").to_string())
    }

    /// An alert that says that it is a test.
    pub fn test(&self, time: i64) -> Alert {
        let subject = format!("TEST of {}: nothing is wrong", self.deployment);
        let lines = [
            format!("{subject}."),
            format!(
                "A person has asked the deployment {} to test its messages, at {}.",
                self.deployment,
                self.clock(time)
            ),
            "Do nothing. An anomaly's message takes the same way.".to_string(),
        ];
        let text = lines.join("\n");
        let id = format!("test-{time}");
        let chat = Facts {
            kind: Kind::Test,
            id: &id,
            thread: &id,
            subject: &subject,
            lines: &lines,
            next: None,
            link: None,
            about: None,
            label: None,
            deployment: &self.deployment,
        };
        let chat = chat.notification().to_string();
        let detail = json!({
            "version": 1,
            "deployment": self.deployment,
            "id": id,
            "subject": subject,
            "text": text,
        });
        Alert {
            kind: Kind::Test,
            time,
            id,
            instance: None,
            deployment: self.deployment.clone(),
            subject,
            text,
            detail: detail.to_string(),
            chat,
        }
    }
}
