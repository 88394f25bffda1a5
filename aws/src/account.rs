//! The account around the fleet: the source of instance names, and the receiver of alerts.

use std::collections::{BTreeMap, BTreeSet};

use crate::alert::Alert;
use crate::eventbridge::Bus;
use crate::ids::TargetId;
use crate::ports::{Alerts, CallError, Inventory, Sent};
use crate::sns::Topic;
use crate::tagging::Tagging;
use crate::tags::{TagRule, Tags};

/// Tags, events and messages of one account and Region.
#[derive(Debug)]
pub struct Account {
    /// Where tags come from.
    pub tagging: Tagging,
    /// Where events go.
    pub bus: Bus,
    /// Where messages go.
    pub topic: Topic,
    /// Where the messages of a chat go.
    pub chat: Topic,
}

impl Alerts for Account {
    async fn events(&self, alerts: &[&Alert]) -> Sent {
        self.bus.send(alerts).await
    }

    async fn messages(&self, alerts: &[&Alert]) -> Sent {
        self.topic.send(alerts).await
    }

    async fn chats(&self, alerts: &[&Alert]) -> Sent {
        self.chat.send(alerts).await
    }
}

impl Inventory for Account {
    async fn tagged(&self, rule: &TagRule) -> Result<BTreeMap<TargetId, Tags>, CallError> {
        self.tagging.tagged(rule).await
    }

    async fn tags_of(
        &self,
        instances: &BTreeSet<TargetId>,
    ) -> Result<BTreeMap<TargetId, Tags>, CallError> {
        self.tagging.tags_of(instances).await
    }
}
