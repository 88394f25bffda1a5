//! The end of a run: sends the alerts and publishes the datums.

use deepguard::Detector;
use deepguard_aws::cloudwatch::limits;
use deepguard_aws::ports::{Alerts, Cpu, Inventory, Objects, Published, Scores, Sent};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tracing::{error, warn};

use crate::error::RunError;
use crate::run::gauges::Gauges;
use crate::run::{Detection, Run};
use crate::state::State;
use crate::state::store::Saved;

/// The age, in seconds, at which an unsent alert is dropped as old news: a day.
const FORGOTTEN: i64 = 86_400;

impl<C: Cpu + Scores, O: Objects + Clone, A: Alerts + Inventory> Detection<C, O, A> {
    /// Sends the alerts, including those left from earlier runs. Alerts that are not taken wait for
    /// the next run.
    pub(super) async fn send(&mut self, run: &Run, state: &mut State) -> Sent {
        if run.saved.is_none() || state.alerts.is_empty() {
            return Sent::default();
        }
        let old = run.fleet.times.end - FORGOTTEN;
        state.alerts.retain(|alert| alert.time > old);
        let sent = self.time.send(self.roster.inventory(), &state.alerts).await;
        if let Some(error) = &sent.error {
            error!(
                %error,
                alerts = sent.failed.len(),
                "some alerts were not sent: the next run sends them"
            );
        }
        state.alerts.clone_from(&sent.failed);
        sent
    }

    /// Publishes the datums, including those left from earlier runs, and the metrics of this run
    /// itself.
    pub(super) async fn publish(
        &mut self,
        run: &Run,
        detector: &Detector,
        state: &mut State,
        now: Timestamp,
        unsent: usize,
        stale: usize,
    ) -> Result<Published, RunError> {
        let oldest = now.as_second() - limits::PUBLISHABLE_PAST.as_secs();
        state.outbox.retain(|datum| datum.time > oldest);
        let is_question = run.saved.is_none();
        let datums = if is_question { &run.answers } else { &state.outbox };
        let mut published = self.time.publish(&self.cloudwatch, datums).await;
        if !is_question {
            let gauges = Gauges {
                skipped: run.fleet.reasons(),
                lag: run.lag,
                failures: published.failed.len() + published.refused + unsent,
                model_days: model_days(detector, now),
                baseline_hours: run
                    .oldest_baseline
                    .map(|day| (run.fleet.times.end - day) as f64 / 3600.0),
                nothing_scored: run.nothing_scored,
                open_episodes: run.episodes.open,
                stale,
            };
            let gauges = gauges.datums(run.fleet.newest_slot());
            let told = self.time.publish(&self.cloudwatch, &gauges).await;
            // They hold for this run only, so they are not stored for the next one.
            published.published += told.published;
            published.refused += told.refused + told.failed.len();
            published.error = told.error.or(published.error);
            state.outbox.clone_from(&published.failed);
            if published.failed.is_empty() && unsent == 0 && run.saved == Some(Saved::Yes) {
                self.store.published().await;
            }
        }
        match &published.error {
            Some(error) if published.published == 0 => {
                let datums = published.failed.len() + published.refused;
                Err(RunError::NothingPublished { datums, error: error.clone() })
            }
            Some(error) => {
                let datums = published.failed.len() + published.refused;
                warn!(%error, datums, "some datums were not published");
                Ok(published)
            }
            None => Ok(published),
        }
    }
}

/// Days since the model was trained.
pub(super) fn model_days(detector: &Detector, now: Timestamp) -> Option<f64> {
    let date: Date = detector.artifact().card().training.date.parse().ok()?;
    let trained = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(now.duration_since(trained).as_secs_f64() / 86_400.0)
}
