//! The time that a run has, as a bound for every call.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use deepguard_aws::alert::Alert;
use deepguard_aws::ids::{ObjectUri, TargetId};
use deepguard_aws::metric::Datum;
use deepguard_aws::ports::{
    Alerts, Batch, CallError, Condition, Cpu, Fetched, Inventory, Listed, ObjectError, Objects,
    Published, Read, Scores, Sent,
};
use deepguard_aws::tags::{TagRule, Tags};
use tokio::time::{Instant, timeout_at};

/// A run reserves one part in this many of its time at its end, to write down and publish its
/// decisions ...
const TO_END_IN_ORDER: u32 = 5;
/// ... one in this many to do so after a bus or a topic that hangs, ...
const TO_PUBLISH: u32 = 10;
/// ... and one in this many to answer.
const TO_ANSWER: u32 = 25;
/// The message about work that a run has no time for.
pub(crate) const NEXT_RUN: &str = "the run had no time left for it: the next one goes on";

/// The time left for a run; without a limit, all that it needs. Its clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct TimeLeft(Rc<Cell<Ends>>);

#[derive(Debug, Clone, Copy, Default)]
struct Ends {
    /// When reading and scoring ends.
    scoring: Option<Instant>,
    /// When sending alerts ends.
    alerts: Option<Instant>,
    /// When everything ends.
    all: Option<Instant>,
}

impl TimeLeft {
    /// From now on, `left` is left; `None` for no limit.
    pub(crate) fn set(&self, left: Option<Duration>) {
        let without =
            |part: u32| left.and_then(|left| Instant::now().checked_add(left - left / part));
        self.0.set(Ends {
            scoring: without(TO_END_IN_ORDER),
            alerts: without(TO_PUBLISH),
            all: without(TO_ANSWER),
        });
    }

    /// Whether the time for scoring is over.
    pub(crate) fn is_over(&self) -> bool {
        self.0.get().scoring.is_some_and(|end| Instant::now() >= end)
    }

    /// `port`, whose calls end with this time.
    pub(crate) fn limit<P>(&self, port: P) -> Limited<P> {
        Limited { port, time: self.clone() }
    }
}

/// A port whose calls end with the time of the run. A call that is cut short fails with
/// [`NEXT_RUN`]; what it was to send counts as unsent, although it may have arrived.
#[derive(Debug, Clone)]
pub(crate) struct Limited<P> {
    port: P,
    time: TimeLeft,
}

impl<P> Limited<P> {
    /// The port itself.
    pub(crate) fn port(&self) -> &P {
        &self.port
    }

    /// Whether the time for scoring is over.
    pub(crate) fn is_over(&self) -> bool {
        self.time.is_over()
    }

    /// The result of a call that is only of use while there is time to score.
    async fn to_score<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = T>,
    ) -> Result<T, CallError> {
        within(self.time.0.get().scoring, operation, call).await
    }

    /// The result of a call that has to leave time to publish metrics.
    async fn to_tell<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = T>,
    ) -> Result<T, CallError> {
        within(self.time.0.get().alerts, operation, call).await
    }

    /// The result of a call that may take until the end of the run.
    async fn to_end<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = T>,
    ) -> Result<T, CallError> {
        within(self.time.0.get().all, operation, call).await
    }
}

impl<C: Cpu> Cpu for Limited<C> {
    fn share(&self, parts: u32) {
        self.port.share(parts);
    }

    async fn instances(&self) -> Result<BTreeSet<TargetId>, CallError> {
        self.to_score("ListMetrics", self.port.instances()).await?
    }

    async fn read(&self, batch: &Batch) -> Vec<(TargetId, Result<Read, CallError>)> {
        const OPERATION: &str = "GetMetricData";
        let answers = match self.is_over() {
            true => Err(out_of_time(OPERATION)),
            false => self.to_score(OPERATION, self.port.read(batch)).await,
        };
        answers.unwrap_or_else(|error| {
            let unread = |instance: &TargetId| (instance.clone(), Err(error.clone()));
            batch.instances.iter().map(unread).collect()
        })
    }
}

impl<C: Scores> Scores for Limited<C> {
    async fn publish(&self, datums: &[Datum]) -> Published {
        let published = self.to_end("PutMetricData", self.port.publish(datums)).await;
        published.unwrap_or_else(|error| Published {
            failed: datums.to_vec(),
            error: Some(error),
            ..Published::default()
        })
    }
}

impl<A: Inventory> Inventory for Limited<A> {
    async fn tagged(&self, rule: &TagRule) -> Result<BTreeMap<TargetId, Tags>, CallError> {
        self.to_score("GetResources", self.port.tagged(rule)).await?
    }

    async fn tags_of(
        &self,
        instances: &BTreeSet<TargetId>,
    ) -> Result<BTreeMap<TargetId, Tags>, CallError> {
        self.to_score("GetResources", self.port.tags_of(instances)).await?
    }
}

fn unsent(alerts: &[&Alert], error: CallError) -> Sent {
    Sent { sent: 0, failed: (0..alerts.len()).collect(), error: Some(error) }
}

impl<A: Alerts> Alerts for Limited<A> {
    async fn events(&self, alerts: &[&Alert]) -> Sent {
        let sent = self.to_tell("PutEvents", self.port.events(alerts)).await;
        sent.unwrap_or_else(|error| unsent(alerts, error))
    }

    async fn messages(&self, alerts: &[&Alert]) -> Sent {
        let sent = self.to_tell("PublishBatch", self.port.messages(alerts)).await;
        sent.unwrap_or_else(|error| unsent(alerts, error))
    }

    async fn chats(&self, alerts: &[&Alert]) -> Sent {
        let sent = self.to_tell("PublishBatch", self.port.chats(alerts)).await;
        sent.unwrap_or_else(|error| unsent(alerts, error))
    }
}

impl<O: Objects> Objects for Limited<O> {
    async fn get(
        &self,
        uri: &ObjectUri,
        known: Option<&str>,
        most: usize,
    ) -> Result<Fetched, ObjectError> {
        let fetched = self.to_end("GetObject", self.port.get(uri, known, most)).await;
        fetched.unwrap_or_else(|error| Err(ObjectError::Call { uri: uri.clone(), error }))
    }

    async fn put(
        &self,
        uri: &ObjectUri,
        condition: Condition<'_>,
        bytes: Vec<u8>,
    ) -> Result<Option<String>, ObjectError> {
        let written = self.to_end("PutObject", self.port.put(uri, condition, bytes)).await;
        written.unwrap_or_else(|error| Err(ObjectError::Call { uri: uri.clone(), error }))
    }

    async fn list(&self, prefix: &ObjectUri) -> Result<Vec<Listed>, ObjectError> {
        let listed = self.to_end("ListObjectsV2", self.port.list(prefix)).await;
        listed.unwrap_or_else(|error| Err(ObjectError::Call { uri: prefix.clone(), error }))
    }
}

/// The result of `call`, the operation of that name, if there is one before `end`.
async fn within<T>(
    end: Option<Instant>,
    operation: &'static str,
    call: impl Future<Output = T>,
) -> Result<T, CallError> {
    match end {
        None => Ok(call.await),
        Some(end) => timeout_at(end, call).await.map_err(|_| out_of_time(operation)),
    }
}

fn out_of_time(operation: &'static str) -> CallError {
    CallError { operation, why: NEXT_RUN.into() }
}
