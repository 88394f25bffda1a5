//! One run: find the instances, read their CPU, score, decide, publish, tell.

pub mod calibrate;
pub mod decide;
pub mod gauges;
pub mod log;
pub mod outcome;
mod pass;
mod publish;
mod question;
mod reads;
mod shadow;
pub mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use deepguard::episode::MOfN;
use deepguard::track::LATE;
use deepguard::{Detector, Scored};
use deepguard_aws::ids::InstanceId;
use deepguard_aws::metric::{Datum, Skip};
use deepguard_aws::mute::{MuteFile, Mutes};
use deepguard_aws::ports::{Alerts, Cpu, Inventory, Nobody, Objects, Published, Scores};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::alert::console::Console;
use crate::deadline::{NEXT_RUN, TimeLeft};
pub use crate::error::RunError;
use crate::model::{Current, Models};
use crate::run::decide::Changes;
use crate::run::outcome::Fleet;
use crate::run::pass::Round;
use crate::run::publish::model_days;
use crate::run::question::Question;
use crate::run::reads::Reads;
use crate::run::shadow::{After, Shadow};
use crate::run::summary::{CaughtUp, Episodes, Instances, Model, StateSummary, Summary};
use crate::settings::Settings;
use crate::state::State;
use crate::state::shard::Shard;
use crate::state::store::{Saved, Store};
use crate::state::tally::{Mode, TALLIED};
use crate::trigger::Trigger;
use crate::watched::muted::Muted;
use crate::watched::roster::Roster;

/// The maximum number of datums that wait to be published. Above it, the oldest are dropped, so
/// that the stored state stays small enough to store.
const MOST_WAITING: usize = 200_000;

/// The detector, with its state from one run to the next while the function is warm.
#[derive(Debug)]
pub struct Detection<C, O, A = Nobody> {
    /// Seconds.
    lookback: i64,
    mode: Mode,
    m_of_n: MOfN,
    reporting_stopped: bool,
    console: Console,
    cloudwatch: C,
    /// Which instances are watched, and the account that knows their tags and gets the alerts.
    roster: Roster<A>,
    mutes: MuteFile<O>,
    models: Models<O>,
    shadow: Option<Shadow<O>>,
    store: Store<O>,
    /// How long the process took until it was ready; taken by the first run.
    init: Option<Duration>,
    time: TimeLeft,
}

impl<C: Cpu + Scores, O: Objects + Clone> Detection<C, O> {
    /// A detector without any state, which sends alerts to the log only.
    pub fn new(settings: Settings, cloudwatch: C, objects: O) -> Self {
        Self::telling(settings, cloudwatch, objects, Nobody)
    }
}

impl<C: Cpu + Scores, O: Objects + Clone, A: Alerts + Inventory> Detection<C, O, A> {
    /// Where tags come from and alerts go.
    pub fn account(&self) -> &A {
        self.roster.inventory()
    }

    /// A detector without any state. `account` knows the tags and gets the alerts.
    pub fn telling(settings: Settings, cloudwatch: C, objects: O, account: A) -> Self {
        Self {
            lookback: settings.lookback_minutes * 60,
            mode: settings.mode,
            m_of_n: settings.m_of_n,
            reporting_stopped: settings.reporting_stopped,
            console: Console { region: settings.region, namespace: settings.namespace },
            cloudwatch,
            roster: Roster::new(settings.selection, account),
            mutes: MuteFile::new(settings.mutes, objects.clone()),
            models: Models::new(settings.model, objects.clone())
                .with_threads(settings.threads)
                .with_sensitivity(settings.sensitivity)
                .with_pages(settings.pages_per_instance_week),
            shadow: settings.shadow.map(|pointer| Shadow {
                models: Models::optional(pointer, objects.clone())
                    .with_threads(settings.threads)
                    .with_sensitivity(settings.sensitivity)
                    .with_pages(settings.pages_per_instance_week),
                store: Store::new(objects.clone(), settings.state.clone()).of_shadow(),
            }),
            store: Store::new(objects, settings.state),
            init: None,
            time: TimeLeft::default(),
        }
    }

    /// Loads the model before the first event. A failure is only logged: the next run meets it
    /// again, and can report it to its caller.
    pub async fn prepare(&mut self, started: std::time::Instant) {
        if let Err(error) = self.models.current().await {
            error!(%error, "the model cannot be loaded yet");
        }
        self.init = Some(started.elapsed());
    }

    /// Sets the time for the next run; `None` for no limit. Instances that it cannot score by then
    /// are skipped, and its results so far are stored: the next run goes on from there.
    pub fn set_time_left(&mut self, left: Option<Duration>) {
        self.time = TimeLeft::new(left);
        self.store.set_end(self.time.end);
    }

    /// One run. `now` is the time of the event if the event has no time of its own.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn run(&mut self, event: &Value, now: Timestamp) -> Result<Summary, RunError> {
        let started = Instant::now();
        let init = self.init.take();
        let trigger = Trigger::from_event(event)?;
        let times = trigger.times(now, self.lookback / 60)?;
        let Current { detector, stale } = self.models.current().await?;
        let mut inputs = Inputs { stale: usize::from(stale.is_some()), ..Inputs::default() };
        let (mutes, stale) = self.mutes.current().await;
        inputs.mutes = mutes;
        inputs.tell("the mutes", stale);
        let (mut state, loaded) = self.store.state(trigger.shard).await;
        self.cloudwatch.share(trigger.shard.of());
        let changed = state.model != detector.artifact().checksum();
        state.seen_by(detector.artifact().checksum());

        let run = match trigger.is_question(times.end, now) {
            true => self.answer(&detector, &trigger, &state, times, &mut inputs, now).await,
            false => {
                let shadow = match &mut self.shadow {
                    Some(shadow) => shadow.current().await,
                    None => None,
                };
                inputs.stale += usize::from(shadow.as_ref().is_some_and(|(_, stale)| *stale));
                inputs.shadow = shadow.and_then(|(detector, _)| detector);
                inputs.changed = changed;
                self.follow(&detector, trigger.shard, &mut state, times, &mut inputs, now).await
            }
        };
        let lag = run.as_ref().ok().and_then(|run| run.lag);
        let run = match run {
            Ok(run) => run,
            Err(error) => {
                self.store.remember(state);
                return Err(error);
            }
        };
        log::instances(&run.fleet, &run.mutes);
        let (published, told) = match (trigger.dry_run, run.saved) {
            (true, _) | (_, Some(Saved::Superseded)) => (Ok(Published::default()), 0),
            _ => {
                let sent = self.send(&run, &mut state).await;
                let unsent = sent.failed.len();
                (
                    self.publish(&run, &detector, &mut state, now, unsent, inputs.stale).await,
                    sent.sent,
                )
            }
        };
        self.store.remember(state);
        let published = published?;
        let shadow = self.shadow(trigger.shard, &run, inputs.shadow).await;
        let (datapoints, oldest) = run.fleet.caught_up();
        Ok(Summary {
            time: run.fleet.times.end,
            dry_run: trigger.dry_run,
            shard: trigger.shard,
            model: Model {
                version: detector.artifact().version(),
                source: self.models.source().to_string(),
            },
            newest_datapoint: run.fleet.newest_datapoint(),
            data_lag_seconds: lag,
            shadow,
            instances: Instances::of(&run.fleet, run.left_out),
            caught_up: CaughtUp { datapoints, late: run.fleet.late, oldest },
            state: StateSummary {
                loaded,
                saved: run.saved == Some(Saved::Yes) && self.store.keeps(),
            },
            superseded: run.saved == Some(Saved::Superseded),
            episodes: run.episodes,
            alerts_sent: told,
            datums_published: published.published,
            datums_failed: published.failed.len() + published.refused,
            duration_ms: started.elapsed().as_millis() as u64,
            scoring_ms: run.fleet.scoring.as_millis() as u64,
            cold_start: init.is_some(),
            init_ms: init.map(|init| init.as_millis() as u64),
        })
    }

    /// Scores the new datapoints, and writes down the decisions.
    async fn follow(
        &mut self,
        detector: &Detector,
        shard: Shard,
        state: &mut State,
        times: Range<i64>,
        inputs: &mut Inputs,
        now: Timestamp,
    ) -> Result<Run, RunError> {
        let listed: BTreeSet<InstanceId> = match self.time.list(&self.cloudwatch).await {
            Ok(listed) => listed.into_iter().filter(|instance| shard.holds(instance)).collect(),
            // Instances in the state can be read all the same.
            Err(error) if !state.instances.is_empty() => {
                warn!(%error, "the instances cannot be listed: those seen before are scored");
                state.instances.keys().cloned().collect()
            }
            Err(error) => return Err(RunError::List(error)),
        };
        let all = listed.len();
        let listed = self.selected(listed, state, inputs, now).await?;
        let mutes = self.muted(&listed, inputs, times.end);
        let before = state.marks();
        let Self { cloudwatch, store, lookback, time, .. } = self;
        let mut round = Round::new(detector, store, state, shard, *lookback, &mutes, times.clone());
        round.all(cloudwatch, *time, &listed).await;
        let Round { fleet, oldest_baseline, .. } = round;
        nothing_read(&fleet)?;

        let mut changes = decide::episodes(state, &fleet, self.m_of_n);
        changes.extend(decide::silent(state, &fleet, &self.store, &mutes, self.reporting_stopped));
        let datums = decide::datums(state, &fleet, self.mode, &changes);
        let names = self.names(&changes).await;
        let days = model_days(detector, now);
        let alerts = decide::alerts(&changes, &self.store, detector, days, &self.console, &names);
        log::alerts(&alerts);
        state.tally.forget(times.end - TALLIED);
        let changed =
            inputs.changed || fleet.late > 0 || !alerts.is_empty() || before != state.marks();
        state.outbox.extend(datums);
        state.alerts.extend(alerts);
        if let given_up @ 1.. = state.outbox.len().saturating_sub(MOST_WAITING) {
            error!(
                datums = given_up,
                "too many datums wait to be published: the oldest are given up"
            );
            state.outbox.drain(..given_up);
        }
        let saved = match changed {
            true => self.store.save(state).await,
            false => Saved::Yes,
        };
        self.store.save_baselines(detector.context()).await;
        let newest = state.instances.values().filter_map(|followed| followed.track.end()).max();
        let lag = newest.map(|end| (times.end - end).max(0));
        let nothing_scored = !state.tally.has_since(times.end - LATE);
        let episodes = Episodes::of(&changes, state);
        let left_out = all - listed.len();
        let answers = Vec::new();
        let saved = Some(saved);
        Ok(Run {
            fleet,
            oldest_baseline,
            lag,
            nothing_scored,
            saved,
            answers,
            episodes,
            listed,
            left_out,
            mutes,
        })
    }

    /// The watched instances of `listed`. Instances that are no longer watched are forgotten.
    async fn selected(
        &mut self,
        listed: BTreeSet<InstanceId>,
        state: &mut State,
        inputs: &mut Inputs,
        now: Timestamp,
    ) -> Result<BTreeSet<InstanceId>, RunError> {
        let all = listed.clone();
        match self.roster.selected(listed, inputs.mutes.needs_tags(), now).await {
            Ok(selected) => {
                inputs.tell("the tags", selected.stale);
                state.instances.retain(|instance, _| {
                    selected.instances.contains(instance) || !all.contains(instance)
                });
                Ok(selected.instances)
            }
            // Instances in the state were watched.
            Err(error) if !state.instances.is_empty() => {
                inputs.tell("the tags", Some(error));
                Ok(all
                    .into_iter()
                    .filter(|instance| state.instances.contains_key(instance))
                    .collect())
            }
            Err(error) => Err(RunError::List(error)),
        }
    }

    /// The times at which each of these instances is muted, in a run up to `until` (seconds since
    /// 1970).
    fn muted(&self, instances: &BTreeSet<InstanceId>, inputs: &Inputs, until: i64) -> Muted {
        let tags = || {
            instances
                .iter()
                .map(|instance| (instance.clone(), self.roster.tags(instance).clone()))
                .collect()
        };
        let tags = if inputs.mutes.needs_tags() { tags() } else { BTreeMap::new() };
        Muted::new(&inputs.mutes, tags, until)
    }

    /// The names of the instances whose episodes have changed: their tags `Name`. Nothing waits for
    /// them: an alert may have to do without.
    async fn names(&self, changes: &Changes) -> BTreeMap<InstanceId, String> {
        let instances: BTreeSet<InstanceId> =
            changes.iter().map(|(instance, _)| instance.clone()).collect();
        if instances.is_empty() {
            return BTreeMap::new();
        }
        match self.time.tags_of(self.roster.inventory(), &instances).await {
            Ok(tags) => tags
                .into_iter()
                .filter_map(|(instance, mut tags)| Some((instance, tags.remove("Name")?)))
                .collect(),
            Err(error) => {
                warn!(%error, "the names of the anomalous instances are not known");
                BTreeMap::new()
            }
        }
    }

    /// Lets the shadow score, if there is one.
    async fn shadow(
        &mut self,
        shard: Shard,
        run: &Run,
        detector: Option<Rc<Detector>>,
    ) -> Option<String> {
        let (Some(shadow), Some(detector)) = (&mut self.shadow, detector) else { return None };
        let after = After {
            cloudwatch: &self.cloudwatch,
            time: self.time,
            shard,
            times: run.fleet.times.clone(),
            listed: &run.listed,
            mutes: &run.mutes,
            lookback: self.lookback,
            mode: self.mode,
            m_of_n: self.m_of_n,
        };
        Some(shadow.run(&detector, after).await)
    }

    /// Answers a question, and changes nothing.
    async fn answer(
        &mut self,
        detector: &Detector,
        trigger: &Trigger,
        state: &State,
        times: Range<i64>,
        inputs: &mut Inputs,
        now: Timestamp,
    ) -> Result<Run, RunError> {
        let mut instances = match &trigger.instances {
            Some(instances) => instances.clone(),
            None => self.time.list(&self.cloudwatch).await.map_err(RunError::List)?,
        };
        instances.retain(|instance| trigger.shard.holds(instance));
        let all = instances.len();
        if trigger.instances.is_none() || inputs.mutes.needs_tags() {
            // A question that names an instance gets an answer, watched or not.
            let selected =
                self.roster.selected(instances.clone(), inputs.mutes.needs_tags(), now).await;
            let selected = selected.map_err(RunError::List)?;
            inputs.tell("the tags", selected.stale);
            instances = if trigger.instances.is_none() { selected.instances } else { instances };
        }
        let left_out = all - instances.len();
        for day in question::days_needed(&times) {
            self.store.open(trigger.shard, day, detector.context()).await;
        }
        let mutes = self.muted(&instances, inputs, times.end);
        let question = Question { detector, store: &self.store, state, mutes: &mutes, times };
        let mut reads = Reads::new(&self.cloudwatch, self.time, question.reads(instances));
        let mut fleet = Fleet::new(question.times.clone());
        while let Some((batch, answers)) = reads.next().await {
            for (instance, read) in answers.unwrap_or_default() {
                if !self.time.is_over() {
                    match question.answer(&instance, read) {
                        Ok(scored) => drop(fleet.scored.insert(instance, scored)),
                        Err((reason, why)) => fleet.skip(instance, reason, why),
                    }
                }
                reads.go_on().await;
            }
            let unanswered = batch
                .instances
                .into_iter()
                .filter(|instance| !fleet.has(instance))
                .collect::<Vec<_>>();
            unanswered
                .into_iter()
                .for_each(|instance| fleet.skip(instance, Skip::OutOfTime, NEXT_RUN));
        }
        nothing_read(&fleet)?;
        let of_instance =
            |(instance, scored): (_, &Vec<Scored>)| Mode::Full.datums(instance, scored, &mut 0);
        let answers = fleet.scored.iter().flat_map(of_instance).collect();
        Ok(Run {
            fleet,
            oldest_baseline: None,
            lag: None,
            nothing_scored: false,
            saved: None,
            answers,
            episodes: Episodes::default(),
            listed: BTreeSet::new(),
            left_out,
            mutes,
        })
    }
}

/// The results of a run.
struct Run {
    fleet: Fleet,
    oldest_baseline: Option<i64>,
    /// Seconds from the newest datapoint of all to the run's time.
    lag: Option<i64>,
    nothing_scored: bool,
    /// The result of saving the state; `None` where there was nothing to save.
    saved: Option<Saved>,
    /// The datums of a question's answer.
    answers: Vec<Datum>,
    episodes: Episodes,
    /// The instances that were to be scored.
    listed: BTreeSet<InstanceId>,
    /// How many more instances there are that are not watched.
    left_out: usize,
    mutes: Muted,
}

/// The inputs of a run beside the model, and how many of them are older than they should be.
#[derive(Debug, Default)]
struct Inputs {
    mutes: Rc<Mutes>,
    shadow: Option<Rc<Detector>>,
    /// Whether another model scores than in the run before.
    changed: bool,
    stale: usize,
}

impl Inputs {
    /// Notes that `what` could not be read, and that its last version stays in use.
    fn tell(&mut self, what: &'static str, error: Option<impl std::fmt::Display>) {
        if let Some(error) = error {
            error!(%error, what, "the last good version stays in use");
            self.stale += 1;
        }
    }
}

fn nothing_read(fleet: &Fleet) -> Result<(), RunError> {
    let unread: Vec<_> =
        fleet.skipped.values().filter(|skipped| skipped.reason == Skip::ReadFailed).collect();
    match unread.last() {
        Some(last) if unread.len() == fleet.seen() => {
            Err(RunError::NothingRead { instances: fleet.seen(), why: last.why.clone() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
