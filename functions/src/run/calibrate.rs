//! The daily run: makes each instance's baseline of the new day, for the detector to read.

use std::time::Duration;

use deepguard::baseline::{HISTORY, calibrated_at};
use deepguard::series::PERIOD;
use deepguard::track::Known;
use deepguard::{Detector, Series};
use deepguard_aws::cloudwatch::plan;
#[cfg(test)]
use deepguard_aws::ids::TargetId;
use deepguard_aws::mute::Mutes;
use deepguard_aws::ports::{Cpu, Inventory, NoAccount, Objects};
use deepguard_aws::settings_file::SettingsFile;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::deadline::{Limited, TimeLeft};
use crate::model::Models;
use crate::run::RunError;
use crate::run::part::part;
use crate::run::reads::Reads;
use crate::settings::Settings;
use crate::state::store::Store;
use crate::time::{as_date, date, timestamp};
use crate::trigger::Trigger;
use crate::trigger::shard::Shard;
use crate::watched::holidays::HolidayFile;
use crate::watched::muted::Muted;
use crate::watched::roster::{Needs, Roster};
use crate::watched::zones::{ZONE_TAG, Zones};

/// The calibrator: it makes the baselines ahead of the runs that need them.
#[derive(Debug)]
pub struct Calibration<C, O, A = NoAccount> {
    cloudwatch: Limited<C>,
    roster: Roster<Limited<A>>,
    /// The tag whose value is an instance's group.
    group_by: Option<String>,
    mutes: SettingsFile<Limited<O>, Mutes>,
    holidays: HolidayFile<Limited<O>>,
    models: Models<Limited<O>>,
    store: Store<Limited<O>>,
    time: TimeLeft,
}

/// The result of a run of the calibrator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibrated {
    /// The time of the run, in whole slots.
    #[serde(serialize_with = "timestamp")]
    pub time: i64,
    /// The part of the fleet that it covered.
    pub shard: Shard,
    /// The day, UTC, whose baselines were made.
    #[serde(serialize_with = "as_date")]
    pub day: i64,
    /// The results by instance.
    pub instances: BaselineCounts,
    /// Milliseconds from the event to this answer.
    pub duration_ms: u64,
}

/// The results by instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BaselineCounts {
    /// How many there are.
    pub seen: usize,
    /// How many baselines existed already.
    pub known: usize,
    /// How many were made.
    pub made: usize,
    /// How many instances have too little history for a baseline.
    pub too_little: usize,
    /// How many could not be read, or not in time: the detector makes their baselines when it needs
    /// them.
    pub skipped: usize,
}

impl<C: Cpu, O: Objects + Clone> Calibration<C, O> {
    /// A calibrator without any state or tags.
    pub fn new(settings: Settings, cloudwatch: C, objects: O) -> Self {
        Self::with_account(settings, cloudwatch, objects, NoAccount)
    }
}

impl<C: Cpu, O: Objects + Clone, A: Inventory> Calibration<C, O, A> {
    /// A calibrator without any state. `account` knows the tags.
    pub fn with_account(settings: Settings, cloudwatch: C, objects: O, account: A) -> Self {
        let time = TimeLeft::default();
        let objects = time.limit(objects);
        let tuning = settings.tuning.only_threads();
        Self {
            cloudwatch: time.limit(cloudwatch),
            roster: Roster::new(settings.selection, time.limit(account)),
            group_by: settings.group_by,
            mutes: SettingsFile::new(settings.mutes, objects.clone()),
            holidays: HolidayFile::new(settings.holidays, objects.clone()),
            models: Models::new(settings.model, objects.clone(), tuning),
            store: Store::new(objects, settings.state),
            time,
        }
    }

    /// Where tags come from.
    pub fn account(&self) -> &A {
        self.roster.inventory().port()
    }

    /// Sets the time for the next run; `None` for no limit.
    pub fn set_time_left(&mut self, left: Option<Duration>) {
        self.time.set(left);
    }

    /// Makes the missing baselines of the day of the event's time, or of `now`.
    ///
    /// # Errors
    /// [`RunError`], where nothing at all could be read or written.
    pub async fn run(&mut self, event: &Value, now: Timestamp) -> Result<Calibrated, RunError> {
        let started = Instant::now();
        if !self.store.keeps() {
            return Err(RunError::NothingKept);
        }
        let trigger = Trigger::from_event(event)?;
        let time = trigger.times(now, PERIOD / 60, 0)?.end;
        let (day, shard) = (calibrated_at(time), trigger.shard);
        self.cloudwatch.share(shard.of());
        let detector = self.models.current().await?.detector;
        let instances = match trigger.instances {
            Some(instances) => instances,
            None => self.cloudwatch.instances().await.map_err(RunError::List)?,
        };
        let Self { roster, group_by, .. } = self;
        let parted = part(roster, shard, group_by.as_deref(), Ok(instances), now).await;
        let (part, instances) = parted.map_err(RunError::List)?;
        let instances = instances.map_err(RunError::List)?;
        let (mutes, stale) = self.mutes.current().await;
        if let Some(error) = stale {
            error!(%error, "the mutes that were known before stay in use");
        }
        let (holidays, stale) = self.holidays.until(day).await;
        if let Some(error) = stale {
            error!(%error, "the holidays that were known before stay in use");
        }
        let detector = Detector::clone(&detector).with_holidays(holidays);
        let needs = match mutes.needs_tags() {
            true => Needs::Rules,
            false if self.group_by.is_some() => Needs::Groups,
            false => Needs::Nothing,
        };
        let selected = self.roster.selected(instances, needs, now).await.map_err(RunError::List)?;
        if let Some(error) = selected.stale {
            error!(%error, "the tags that were known before stay in use");
        }
        let mut instances = selected.instances;
        let tags = instances
            .iter()
            .map(|instance| (instance.clone(), self.roster.tags(instance).clone()))
            .collect();
        let mutes = Muted::new(&mutes, tags, day);
        let zones: Zones = self.roster.tagged(ZONE_TAG).collect();
        let detectors = zones.detectors(&detector);

        self.store.baselines.open(&part, day, detector.context()).await;
        let mut done = BaselineCounts { seen: instances.len(), ..BaselineCounts::default() };
        instances.retain(|instance| self.store.baselines.of(instance, day) == Known::NotYet);
        done.known = done.seen - instances.len();
        let start = day - HISTORY as i64 * PERIOD;
        let wanted = instances.into_iter().map(|instance| (instance, start));
        let mut reads = Reads::new(&self.cloudwatch, plan::batches(wanted, day));
        let mut why = None;
        while let Some((_, answers)) = reads.next().await {
            for (instance, read) in answers {
                reads.go_on().await;
                let datapoints = match read {
                    Ok(read) if read.whole => read.datapoints,
                    Ok(_) => {
                        done.skipped += 1;
                        continue;
                    }
                    Err(_) if self.cloudwatch.is_over() => {
                        done.skipped += 1;
                        continue;
                    }
                    Err(error) => {
                        warn!(%instance, %error, "no baseline is made");
                        why = Some(error);
                        done.skipped += 1;
                        continue;
                    }
                };
                let series = Series::from_datapoints(datapoints).ok();
                // Muted datapoints are not usual behaviour.
                let series = series.and_then(|(series, _)| series.without(mutes.of(&instance)));
                let baseline =
                    series.and_then(|series| detectors.of(&instance).calibrate(&series, day));
                match &baseline {
                    Some(_) => done.made += 1,
                    None => done.too_little += 1,
                }
                self.store.baselines.learn(&part, &instance, day, baseline);
            }
        }
        drop(reads);
        if let (Some(why), true) = (why, done.skipped == done.seen) {
            return Err(RunError::NothingRead { instances: done.seen, why: why.to_string() });
        }
        if self.store.baselines.save(detector.context()).await > 0 {
            return Err(RunError::NotWritten);
        }
        self.store.baselines.forget_before(day);
        info!(day = date(day), made = done.made, "the baselines of the day are made");
        let duration_ms = started.elapsed().as_millis() as u64;
        Ok(Calibrated { time, shard, day, instances: done, duration_ms })
    }

    /// The baseline of an instance on a day, for tests.
    #[cfg(test)]
    pub(crate) fn knows(&self, instance: &TargetId, day: i64) -> bool {
        self.store.baselines.of(instance, day) != Known::NotYet
    }
}
