//! One run: find the instances, read their CPU, score, publish, tell.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::time::{Duration, Instant};

use deepguard::{Detector, Watch};
use jiff::Timestamp;
use lambda_runtime::Diagnostic;
use serde_json::Value;
use tracing::{error, warn};

use crate::cloudwatch::plan;
use crate::event::{EventError, Trigger};
use crate::fleet::{Fleet, Skip};
use crate::log;
use crate::metric;
use crate::model::{ModelError, Models};
use crate::names::InstanceId;
use crate::ports::{CallError, Cpu, Objects, Published, Read, Scores};
use crate::settings::{Settings, SettingsError};
use crate::summary::{Instances, Model, Summary};

/// One part in this many of a run's time is kept free at its end.
const TIME_TO_PUBLISH: u32 = 6;
/// What becomes of an instance for which a run had no time.
const NEXT_RUN: &str = "the run had no time left for it: the next one goes on";

/// A run that failed as a whole. What fails for some instances only is in the summary.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RunError {
    /// The function's environment.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The event.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The instances are not known.
    #[error("the instances cannot be listed: {0}")]
    List(CallError),
    /// No instance could be read.
    #[error("none of {instances} instances could be read; of the last one: {why}")]
    NothingRead {
        /// How many there are.
        instances: usize,
        /// What went wrong.
        why: String,
    },
    /// The scores reached nobody.
    #[error("none of {datums} datums could be published: {error}")]
    NothingPublished {
        /// How many there were.
        datums: usize,
        /// What went wrong, the last time.
        error: CallError,
    },
}

/// What the Lambda console shows, and what retries and alarms can tell apart.
impl From<RunError> for Diagnostic {
    fn from(error: RunError) -> Self {
        let error_type = match &error {
            RunError::Settings(_) => "SettingsError",
            RunError::Event(_) => "EventError",
            RunError::Model(_) => "ModelError",
            RunError::List(_) => "ListError",
            RunError::NothingRead { .. } => "NothingRead",
            RunError::NothingPublished { .. } => "NothingPublished",
        };
        Self { error_type: error_type.into(), error_message: error.to_string() }
    }
}

/// The detector, with what it keeps from one run to the next while the function is warm.
#[derive(Debug)]
pub struct Detection<C, O> {
    lookback_minutes: i64,
    cloudwatch: C,
    models: Models<O>,
    known: Known,
    /// How long the process took until it was ready; taken by the first run.
    init: Option<Duration>,
    /// When a run stops scoring, to have time left to publish.
    deadline: Option<Instant>,
}

/// What is known of the instances, as one model sees them.
#[derive(Debug, Default)]
struct Known {
    /// The model's checksum.
    model: String,
    watches: HashMap<InstanceId, Watch>,
}

impl<C: Cpu + Scores, O: Objects> Detection<C, O> {
    /// Knows nothing yet of any instance.
    pub fn new(settings: Settings, cloudwatch: C, objects: O) -> Self {
        let models = Models::new(settings.model, objects);
        let lookback_minutes = settings.lookback_minutes;
        Self { lookback_minutes, cloudwatch, models, known: Known::default(), init: None, deadline: None }
    }

    /// Loads the model before the first event. A failure is logged and no more: the run that comes will
    /// meet it again, and has somebody to tell.
    pub async fn prepare(&mut self, started: Instant) {
        if let Err(error) = self.models.current().await {
            error!(%error, "the model cannot be loaded yet");
        }
        self.init = Some(started.elapsed());
    }

    /// The next run has this much time, or all it wants. What it cannot score by then is skipped, and what it knows by then is
    /// kept: the next run goes on from there.
    pub fn set_time_left(&mut self, left: Option<Duration>) {
        self.deadline = left.and_then(|left| Instant::now().checked_add(left - left / TIME_TO_PUBLISH));
    }

    /// One run. `now` is the time of the event where it has none of its own.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn run(&mut self, event: &Value, now: Timestamp) -> Result<Summary, RunError> {
        let started = Instant::now();
        let init = self.init.take();
        let trigger = Trigger::from_event(event)?;
        let times = trigger.times(now, self.lookback_minutes)?;
        let detector = self.models.current().await?;

        let fleet = self.score(&detector, &trigger, times.clone()).await?;
        log::instances(&fleet);
        let published = match trigger.dry_run {
            true => Published::default(),
            false => self.publish(&fleet).await?,
        };
        Ok(Summary {
            time: times.end,
            dry_run: trigger.dry_run,
            model: Model { version: detector.artifact().version(), source: self.models.source().to_string() },
            newest_datapoint: fleet.newest_datapoint(),
            instances: Instances::of(&fleet),
            datums_published: published.published,
            datums_failed: published.failed,
            duration_ms: started.elapsed().as_millis() as u64,
            cold_start: init.is_some(),
            init_ms: init.map(|init| init.as_millis() as u64),
        })
    }

    /// Finds, reads and scores, one call after another: what is held in memory is one call's datapoints.
    async fn score(&mut self, detector: &Detector, trigger: &Trigger, times: Range<i64>) -> Result<Fleet, RunError> {
        let instances = match &trigger.instances {
            Some(instances) => instances.clone(),
            None => self.cloudwatch.instances().await.map_err(RunError::List)?,
        };
        self.known.forget(detector.artifact().checksum(), &times, trigger.instances.is_none().then_some(&instances));

        let mut fleet = Fleet::new(times.clone());
        let wanted = instances.into_iter().map(|instance| {
            let start = detector.needs_from(self.known.watches.get(&instance), times.end);
            (instance, start)
        });
        let out_of_time = || self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        for batch in plan::batches(wanted.collect::<Vec<_>>(), times.end) {
            if out_of_time() {
                batch.instances.into_iter().for_each(|instance| fleet.skip(instance, Skip::OutOfTime, NEXT_RUN));
                continue;
            }
            for (instance, read) in self.cloudwatch.read(&batch).await {
                match read {
                    _ if out_of_time() => fleet.skip(instance, Skip::OutOfTime, NEXT_RUN),
                    // Here and not on another thread: nothing else is under way that could go on meanwhile.
                    Ok(Read { datapoints, whole }) => {
                        let mut watch = self.known.watches.remove(&instance);
                        fleet.score(detector, instance.clone(), datapoints, &mut watch);
                        // Made of history with holes in it, a baseline would be wrong all day. The next run makes it again.
                        if let (Some(watch), true) = (watch, whole) {
                            self.known.watches.insert(instance, watch);
                        }
                    }
                    Err(error) => fleet.skip(instance, Skip::ReadFailed, error),
                }
            }
        }
        let unread: Vec<_> = fleet.skipped.values().filter(|skipped| skipped.reason == Skip::ReadFailed).collect();
        match unread.last() {
            Some(last) if unread.len() == fleet.seen() => {
                Err(RunError::NothingRead { instances: fleet.seen(), why: last.why.clone() })
            }
            _ => Ok(fleet),
        }
    }

    async fn publish(&self, fleet: &Fleet) -> Result<Published, RunError> {
        let datums = metric::datums(fleet);
        let published = self.cloudwatch.publish(&datums).await;
        match &published.error {
            Some(error) if published.published == 0 => {
                Err(RunError::NothingPublished { datums: datums.len(), error: error.clone() })
            }
            Some(error) => {
                warn!(%error, datums = published.failed, "some datums were not published");
                Ok(published)
            }
            None => Ok(published),
        }
    }
}

impl Known {
    /// Forgets what is of no more use: everything where the model is another one, what has gone past the beginning of
    /// `times` (an event may ask for an earlier time), and, where `all` instances are given, those that are not among them.
    fn forget(&mut self, model: &str, times: &Range<i64>, all: Option<&BTreeSet<InstanceId>>) {
        if self.model != model {
            self.watches.clear();
            self.model = model.into();
        }
        self.watches.retain(|instance, watch| {
            watch.memory.end().is_some_and(|end| end <= times.start) && all.is_none_or(|all| all.contains(instance))
        });
    }
}

#[cfg(test)]
#[path = "detect_tests.rs"]
mod tests;
