//! One run: find the instances, read their CPU, score, decide, publish, tell.

pub mod calibrate;
pub mod decide;
mod digest;
mod follow;
pub mod gauges;
pub mod label;
pub mod log;
mod newborn;

pub mod outcome;
mod part;
mod pass;
mod peers;
mod publish;
mod question;
mod reads;
mod shadow;
pub mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use deepguard::Detector;
use deepguard::episode::MOfN;
use deepguard_aws::ids::TargetId;
use deepguard_aws::metric::Datum;
use deepguard_aws::mute::Mutes;
use deepguard_aws::ports::{
    Alerts, CallError, Cpu, Inventory, NoAccount, Objects, Published, Scores,
};
use deepguard_aws::settings_file::SettingsFile;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;
use tracing::error;

use crate::alert::Sender;
use crate::alert::console::Console;
use crate::alert::digest::Daily;
use crate::alert::pending::Messages;
use crate::deadline::{Limited, TimeLeft};
pub use crate::error::RunError;
use crate::model::{Current, MaybeModel, Models};
use crate::run::outcome::Fleet;
use crate::run::pass::Among;
pub use crate::run::publish::Delivered;
use crate::run::shadow::{After, Shadow};
use crate::run::summary::{
    CaughtUp, EpisodeCounts, InstancesSummary, ModelSummary, StateSummary, Summary,
};
use crate::settings::Settings;
use crate::state::band::BandMode;
use crate::state::part::Part;
use crate::state::store::{Saved, Store};
use crate::state::tally::Mode;
use crate::trigger::Trigger;
use crate::trigger::shard::Shard;
use crate::watched::groups::Groups;
use crate::watched::holidays::HolidayFile;
use crate::watched::muted::Muted;
use crate::watched::roster::Roster;
use crate::watched::zones::Zones;

/// The maximum number of datums that wait to be published. Above it, the oldest are dropped, so
/// that the stored state stays small enough to store.
const MOST_WAITING: usize = 200_000;

/// The detector, with its state from one run to the next while the function is warm.
#[derive(Debug)]
pub struct Detection<C, O, A = NoAccount> {
    /// Seconds.
    lookback: i64,
    /// Seconds after its end at which a slot is settled.
    settle: i64,
    mode: Mode,
    bands: BandMode,
    m_of_n: MOfN,
    reporting_stopped: bool,
    /// False pages a week that are acceptable.
    pages_per_week: Option<f64>,
    /// The tag whose value is an instance's group.
    group_by: Option<String>,
    messages: Messages,
    /// When a digest is made, if there is a topic for it.
    digest: Option<Daily>,
    sender: Sender,
    cloudwatch: Limited<C>,
    /// Which instances are watched, and the account that knows their tags and gets the alerts.
    roster: Roster<Limited<A>>,
    mutes: SettingsFile<Limited<O>, Mutes>,
    holidays: HolidayFile<Limited<O>>,
    models: Models<Limited<O>>,
    shadow: Option<Shadow<Limited<O>>>,
    store: Store<Limited<O>>,
    /// How long the process took until it was ready; taken by the first run.
    init: Option<Duration>,
    time: TimeLeft,
}

impl<C: Cpu + Scores, O: Objects + Clone> Detection<C, O> {
    /// A detector without any state, which sends alerts to the log only.
    pub fn new(settings: Settings, cloudwatch: C, objects: O) -> Self {
        Self::with_account(settings, cloudwatch, objects, NoAccount)
    }
}

impl<C: Cpu + Scores, O: Objects + Clone, A: Alerts + Inventory> Detection<C, O, A> {
    /// Where tags come from and alerts go.
    pub fn account(&self) -> &A {
        self.roster.inventory().port()
    }

    /// A detector without any state. `account` knows the tags and gets the alerts.
    pub fn with_account(settings: Settings, cloudwatch: C, objects: O, account: A) -> Self {
        let time = TimeLeft::default();
        let messages = settings.sent();
        let objects = time.limit(objects);
        let store = || Store::new(objects.clone(), settings.state.clone());
        Self {
            lookback: settings.lookback_minutes * 60,
            settle: settings.settle,
            mode: settings.mode,
            bands: settings.bands,
            m_of_n: settings.m_of_n,
            reporting_stopped: settings.reporting_stopped,
            pages_per_week: settings.pages_per_week,
            group_by: settings.group_by,
            digest: settings.digest.filter(|_| settings.topic.is_some()),
            messages,
            sender: Sender {
                deployment: settings.deployment,
                function: settings.function,
                shard: Shard::WHOLE,
                console: Console {
                    region: settings.region,
                    namespace: settings.namespace,
                    bands: settings.bands != BandMode::Off,
                },
                zone: settings.zone,
            },
            cloudwatch: time.limit(cloudwatch),
            roster: Roster::new(settings.selection, time.limit(account)),
            mutes: SettingsFile::new(settings.mutes, objects.clone()),
            holidays: HolidayFile::new(settings.holidays, objects.clone()),
            models: Models::new(settings.model, objects.clone(), settings.tuning.clone()),
            shadow: settings.shadow.map(|pointer| Shadow {
                models: MaybeModel::new(pointer, objects.clone(), settings.tuning),
                store: store().of_shadow(),
            }),
            store: store(),
            init: None,
            time,
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
        self.time.set(left);
    }

    /// One run. `now` is the time of the event if the event has no time of its own.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn run(&mut self, event: &Value, now: Timestamp) -> Result<Summary, RunError> {
        let started = Instant::now();
        let init = self.init.take();
        let trigger = Trigger::from_event(event)?;
        self.sender.shard = trigger.shard;
        let times = trigger.times(now, self.lookback / 60, self.settle)?;
        let Current { detector, stale } = self.models.current().await?;
        let mut inputs = Inputs { stale: usize::from(stale.is_some()), ..Inputs::default() };
        let (mutes, stale) = self.mutes.current().await;
        inputs.mutes = mutes;
        inputs.note_stale("the mutes", stale);
        let (holidays, stale) = self.holidays.until(times.end).await;
        inputs.note_stale("the holidays", stale);
        let detector = Detector::clone(&detector).with_holidays(holidays.clone());
        self.cloudwatch.share(trigger.shard.of());
        let (part, listed) = self.part(trigger.shard, trigger.instances.as_ref(), now).await?;
        let (mut state, loaded) = self.store.state(&part).await;
        let changed = state.model != detector.artifact().checksum();
        state.seen_by(detector.artifact().checksum());

        let mut shadow = None;
        let run = match trigger.is_question(times.end, now) {
            true => {
                let asked = Asked { part: &part, listed, times };
                self.answer(&detector, &trigger, &state, asked, &mut inputs, now).await
            }
            false => {
                if let Some((detector, stale)) = self.current_shadow().await {
                    inputs.stale += usize::from(stale);
                    shadow =
                        detector.map(|detector| Detector::clone(&detector).with_holidays(holidays));
                }
                inputs.changed = changed;
                let asked = Asked { part: &part, listed, times };
                self.follow(&detector, asked, &mut state, &mut inputs, now).await
            }
        };
        let run = match run {
            Ok(run) => run,
            Err(error) => {
                self.store.remember(state);
                return Err(error);
            }
        };
        log::instances(&run.fleet, &run.mutes);
        let nothing = Delivered::default();
        let (published, alerts) = match &run.outcome {
            Outcome::Answered(_) if trigger.dry_run => (Ok(Published::default()), nothing),
            Outcome::Answered(datums) => (self.publish_answer(datums).await, nothing),
            Outcome::Followed(decisions) if decisions.saved == Saved::Superseded => {
                (Ok(Published::default()), nothing)
            }
            Outcome::Followed(decisions) => {
                if decisions.saved == Saved::Yes {
                    self.tell(&part, &mut state).await;
                }
                self.publish(&run.fleet, decisions, &detector, &mut state, now, inputs.stale).await
            }
        };
        self.store.remember(state);
        let published = published?;
        let decisions = match &run.outcome {
            Outcome::Followed(decisions) => Some(decisions),
            Outcome::Answered(_) => None,
        };
        let shadow = match (shadow, decisions) {
            (Some(detector), Some(decisions)) => {
                self.shadow(&detector, &part, &run, &decisions.listed).await
            }
            _ => None,
        };
        let saved = decisions.map(|decisions| decisions.saved);
        let (datapoints, oldest) = run.fleet.caught_up();
        Ok(Summary {
            time: run.fleet.times.end,
            dry_run: trigger.dry_run,
            shard: trigger.shard,
            model: ModelSummary {
                version: detector.artifact().version(),
                source: self.models.source().to_string(),
            },
            newest_datapoint: run.fleet.newest_datapoint(),
            data_lag_seconds: decisions.and_then(|decisions| decisions.lag),
            shadow,
            instances: InstancesSummary::of(&run.fleet, run.left_out),
            caught_up: CaughtUp { datapoints, late: run.fleet.late, oldest },
            state: StateSummary { loaded, saved: saved == Some(Saved::Yes) && self.store.keeps() },
            superseded: saved == Some(Saved::Superseded),
            episodes: decisions.map(|decisions| decisions.episodes).unwrap_or_default(),
            alerts,
            datums_published: published.published,
            datums_failed: published.failed.len() + published.refused,
            duration_ms: started.elapsed().as_millis() as u64,
            scoring_ms: run.fleet.scoring.as_millis() as u64,
            cold_start: init.is_some(),
            init_ms: init.map(|init| init.as_millis() as u64),
        })
    }

    /// The part of the fleet with this number, and its instances that CloudWatch lists, or that are
    /// `named`.
    async fn part(
        &mut self,
        shard: Shard,
        named: Option<&BTreeSet<TargetId>>,
        now: Timestamp,
    ) -> Result<(Part, Result<BTreeSet<TargetId>, CallError>), RunError> {
        let listed = match named {
            Some(named) => Ok(named.clone()),
            None => self.cloudwatch.instances().await,
        };
        let Self { roster, group_by, .. } = self;
        part::part(roster, shard, group_by.as_deref(), listed, now).await.map_err(RunError::List)
    }

    /// The shadow's model, if there is one, and whether it is stale.
    async fn current_shadow(&mut self) -> Option<(Option<Rc<Detector>>, bool)> {
        self.shadow.as_mut()?.current().await
    }

    /// Lets the shadow score the instances of a run. Gives the version of its model.
    async fn shadow(
        &mut self,
        detector: &Detector,
        part: &Part,
        run: &Run,
        listed: &BTreeSet<TargetId>,
    ) -> Option<String> {
        let after = After {
            cloudwatch: &self.cloudwatch,
            among: Among { part, mutes: &run.mutes, groups: &run.groups, zones: &run.zones },
            times: run.fleet.times.clone(),
            listed,
            lookback: self.lookback,
            mode: self.mode,
            m_of_n: self.m_of_n,
        };
        Some(self.shadow.as_mut()?.run(detector, after).await)
    }
}

/// The tags `Name` of instances.
type Names = BTreeMap<TargetId, String>;

/// What a run is to score.
struct Asked<'a> {
    part: &'a Part,
    /// The instances of the part that CloudWatch lists, or that the event names.
    listed: Result<BTreeSet<TargetId>, CallError>,
    /// Seconds since 1970.
    times: Range<i64>,
}

/// The results of a run.
struct Run {
    fleet: Fleet,
    /// How many more instances there are that are not watched.
    left_out: usize,
    mutes: Muted,
    groups: Groups,
    zones: Zones,
    outcome: Outcome,
}

/// The use of a run's scores.
enum Outcome {
    /// New datapoints were scored, and what follows from them was stored.
    Followed(Decisions),
    /// A question was answered by these datums. Nothing was stored.
    Answered(Vec<Datum>),
}

/// The decisions of a run, beside those in its state.
struct Decisions {
    oldest_baseline: Option<i64>,
    /// Seconds from the newest datapoint of all to the run's time.
    lag: Option<i64>,
    nothing_scored: bool,
    saved: Saved,
    episodes: EpisodeCounts,
    /// Of the instances that alerts are about.
    names: Names,
    /// The instances that were to be scored.
    listed: BTreeSet<TargetId>,
}

/// The inputs of a run beside the model, and how many of them are older than they should be.
#[derive(Debug, Default)]
struct Inputs {
    mutes: Rc<Mutes>,
    /// Whether another model scores than in the run before.
    changed: bool,
    stale: usize,
}

impl Inputs {
    /// Notes that `what` could not be read, and that its last version stays in use.
    fn note_stale(&mut self, what: &'static str, error: Option<impl std::fmt::Display>) {
        if let Some(error) = error {
            error!(%error, what, "the last good version stays in use");
            self.stale += 1;
        }
    }
}

#[cfg(test)]
mod tests;
