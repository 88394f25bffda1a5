//! The time that a run has, as a bound for every call.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use deepguard_aws::alert::Alert;
use deepguard_aws::ids::{InstanceId, ObjectUri};
use deepguard_aws::metric::Datum;
use deepguard_aws::ports::{
    Alerts, Batch, CallError, Cpu, Fetched, Inventory, Listed, ObjectError, Objects, Only,
    Published, Read, Scores, Sent,
};
use deepguard_aws::tags::Tags;
use tokio::time::{Instant, timeout_at};

/// The datapoints read of each instance of a batch; `None` where time ran out.
pub(crate) type Answers = Option<Vec<(InstanceId, Result<Read, CallError>)>>;

/// A run reserves one part in this many of its time at its end, to write down and publish its
/// decisions ...
const TO_END_IN_ORDER: u32 = 5;
/// ... and one in this many to answer.
const TO_ANSWER: u32 = 25;
/// The message about work that a run has no time for.
pub(crate) const NEXT_RUN: &str = "the run had no time left for it: the next one goes on";

/// The time left for a run; without a limit, all that it needs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TimeLeft {
    /// When reading and scoring ends.
    pub(crate) scoring: Option<Instant>,
    /// When everything ends.
    pub(crate) end: Option<Instant>,
}

impl TimeLeft {
    pub(crate) fn new(left: Option<Duration>) -> Self {
        let without =
            |part: u32| left.and_then(|left| Instant::now().checked_add(left - left / part));
        Self { scoring: without(TO_END_IN_ORDER), end: without(TO_ANSWER) }
    }

    /// Whether the time for scoring is over.
    pub(crate) fn is_over(&self) -> bool {
        self.scoring.is_some_and(|end| Instant::now() >= end)
    }

    pub(crate) async fn list(
        &self,
        cloudwatch: &impl Cpu,
    ) -> Result<BTreeSet<InstanceId>, CallError> {
        let over = |_| Err(CallError { operation: "ListMetrics", why: NEXT_RUN.into() });
        within(self.scoring, cloudwatch.instances()).await.unwrap_or_else(over)
    }

    /// The CPU of the instances of a batch.
    pub(crate) async fn read(&self, cloudwatch: &impl Cpu, batch: Batch) -> (Batch, Answers) {
        let answers = match self.is_over() {
            true => None,
            false => within(self.scoring, cloudwatch.read(&batch)).await.ok(),
        };
        (batch, answers)
    }

    /// Publishes datums. Where time is over before CloudWatch has answered, all of them count as
    /// unpublished: the next run publishes them, perhaps again.
    pub(crate) async fn publish(&self, cloudwatch: &impl Scores, datums: &[Datum]) -> Published {
        let over = |_| Published {
            failed: datums.to_vec(),
            error: Some(CallError { operation: "PutMetricData", why: NEXT_RUN.into() }),
            ..Published::default()
        };
        within(self.end, cloudwatch.publish(datums)).await.unwrap_or_else(over)
    }
}

impl TimeLeft {
    /// The tags of instances.
    pub(crate) async fn tags_of(
        &self,
        inventory: &impl Inventory,
        instances: &BTreeSet<InstanceId>,
    ) -> Result<BTreeMap<InstanceId, Tags>, CallError> {
        let over = |_| Err(CallError { operation: "GetResources", why: NEXT_RUN.into() });
        within(self.scoring, inventory.tags_of(instances)).await.unwrap_or_else(over)
    }

    /// Sends alerts. Where time is over before the bus has answered, all of them count as unsent:
    /// the next run sends them, perhaps again.
    pub(crate) async fn send(&self, bus: &impl Alerts, alerts: &[Alert]) -> Sent {
        let over = |_| Sent {
            failed: alerts.to_vec(),
            error: Some(CallError { operation: "PutEvents", why: NEXT_RUN.into() }),
            ..Sent::default()
        };
        within(self.end, bus.send(alerts)).await.unwrap_or_else(over)
    }
}

/// Objects whose calls stop at the end of a run.
#[derive(Debug)]
pub(crate) struct Limited<O> {
    pub(crate) objects: O,
    pub(crate) end: Option<Instant>,
}

impl<O: Objects> Limited<O> {
    async fn within<T>(
        &self,
        uri: &ObjectUri,
        operation: &'static str,
        call: impl Future<Output = Result<T, ObjectError>>,
    ) -> Result<T, ObjectError> {
        let over = || ObjectError::Call {
            uri: uri.clone(),
            error: CallError { operation, why: NEXT_RUN.into() },
        };
        within(self.end, call).await.unwrap_or_else(|_| Err(over()))
    }

    pub(crate) async fn get(
        &self,
        uri: &ObjectUri,
        known: Option<&str>,
        most: usize,
    ) -> Result<Fetched, ObjectError> {
        self.within(uri, "GetObject", self.objects.get(uri, known, most)).await
    }

    pub(crate) async fn put(
        &self,
        uri: &ObjectUri,
        only: Only<'_>,
        bytes: Vec<u8>,
    ) -> Result<Option<String>, ObjectError> {
        self.within(uri, "PutObject", self.objects.put(uri, only, bytes)).await
    }

    pub(crate) async fn list(&self, prefix: &ObjectUri) -> Result<Vec<Listed>, ObjectError> {
        self.within(prefix, "ListObjectsV2", self.objects.list(prefix)).await
    }
}

/// There is no time left.
struct Over;

/// The result of `future`, if there is one before `end`.
async fn within<T>(end: Option<Instant>, future: impl Future<Output = T>) -> Result<T, Over> {
    match end {
        None => Ok(future.await),
        Some(end) => timeout_at(end, future).await.map_err(|_| Over),
    }
}
