//! The end of a run: sends the alerts and publishes the datums.

use deepguard::Detector;
use deepguard_aws::cloudwatch::limits;
use deepguard_aws::metric::Datum;
use deepguard_aws::ports::{Alerts, Cpu, Inventory, Objects, Published, Scores, Sent};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tracing::{error, warn};

use crate::error::RunError;
use crate::run::gauges::Gauges;
use crate::run::outcome::Fleet;
use crate::run::{Decisions, Detection};
use crate::state::State;
use crate::state::store::Saved;

/// The age, in seconds, at which an unsent alert is dropped as old news: a day.
const FORGOTTEN: i64 = 86_400;

impl<C: Cpu + Scores, O: Objects + Clone, A: Alerts + Inventory> Detection<C, O, A> {
    /// Sends the alerts, then publishes the datums and the metrics of this run itself, those left
    /// from earlier runs included. What is not taken waits for the next run. Gives the number of
    /// alerts that were sent, too.
    pub(super) async fn publish(
        &mut self,
        fleet: &Fleet,
        decisions: &Decisions,
        detector: &Detector,
        state: &mut State,
        now: Timestamp,
        stale: usize,
    ) -> (Result<Published, RunError>, usize) {
        let sent = self.send(fleet.times.end, state).await;
        let unsent = sent.failed.len();
        let oldest = now.as_second() - limits::PUBLISHABLE_PAST.as_secs();
        state.outbox.retain(|datum| datum.time > oldest);
        let mut published = self.cloudwatch.publish(&state.outbox).await;
        let unsaved = usize::from(decisions.saved == Saved::No);
        let gauges = Gauges {
            scored: fleet.scored.len(),
            skipped: fleet.reasons(),
            lag: decisions.lag,
            failures: published.failed.len() + published.refused + unsent + unsaved,
            model_days: model_days(detector, now),
            baseline_hours: decisions
                .oldest_baseline
                .map(|day| (fleet.times.end - day) as f64 / 3600.0),
            nothing_scored: decisions.nothing_scored,
            open_episodes: decisions.episodes.open,
            stale,
        };
        let of_this_run = self.cloudwatch.publish(&gauges.datums(fleet.newest_slot())).await;
        // They hold for this run only, so they are not stored for the next one.
        published.published += of_this_run.published;
        published.refused += of_this_run.refused + of_this_run.failed.len();
        published.error = of_this_run.error.or(published.error);
        state.outbox.clone_from(&published.failed);
        if published.failed.is_empty() && unsent == 0 && decisions.saved == Saved::Yes {
            self.store.published().await;
        }
        (checked(published), sent.sent)
    }

    /// Publishes the datums of a question's answer.
    pub(super) async fn publish_answer(&self, datums: &[Datum]) -> Result<Published, RunError> {
        checked(self.cloudwatch.publish(datums).await)
    }

    /// Sends the alerts, for a run up to `until` (seconds since 1970). Alerts that are not taken
    /// wait for the next run.
    async fn send(&mut self, until: i64, state: &mut State) -> Sent {
        if state.alerts.is_empty() {
            return Sent::default();
        }
        state.alerts.retain(|alert| alert.time > until - FORGOTTEN);
        let sent = self.roster.inventory().send(&state.alerts).await;
        if let Some(error) = &sent.error {
            let alerts = sent.failed.len();
            error!(%error, alerts, "some alerts were not sent: the next run sends them");
        }
        state.alerts.clone_from(&sent.failed);
        sent
    }
}

/// An error where nothing at all was published; a warning where it was a part.
fn checked(published: Published) -> Result<Published, RunError> {
    let Some(error) = &published.error else { return Ok(published) };
    let datums = published.failed.len() + published.refused;
    if published.published == 0 {
        return Err(RunError::NothingPublished { datums, error: error.clone() });
    }
    warn!(%error, datums, "some datums were not published");
    Ok(published)
}

/// Days since the model was trained.
pub(super) fn model_days(detector: &Detector, now: Timestamp) -> Option<f64> {
    let date: Date = detector.artifact().card().training.date.parse().ok()?;
    let trained = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(now.duration_since(trained).as_secs_f64() / 86_400.0)
}
