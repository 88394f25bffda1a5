//! The end of a run: sends the alerts and publishes the datums.

use std::collections::BTreeSet;

use deepguard::Detector;
use deepguard_aws::alert::{Alert, BATCH};
use deepguard_aws::cloudwatch::limits;
use deepguard_aws::ids::TargetId;
use deepguard_aws::metric::Datum;
use deepguard_aws::ports::{Alerts, Cpu, Inventory, Objects, Published, Scores, Sent};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use tracing::{error, warn};

use crate::alert::pending::{Pending, Unsent};
use crate::error::RunError;
use crate::run::digest::shared;
use crate::run::gauges::Gauges;
use crate::run::outcome::Fleet;
use crate::run::{Decisions, Detection, Names, log};
use crate::state::State;
use crate::state::store::Saved;

/// The age, in seconds, at which an unsent alert is dropped as old news: a day.
const FORGOTTEN: i64 = 86_400;

impl<C: Cpu + Scores, O: Objects + Clone, A: Alerts + Inventory> Detection<C, O, A> {
    /// Sends the alerts, then publishes the datums and the metrics of this run itself, those left
    /// from earlier runs included. What is not taken waits for the next run. Gives the numbers of
    /// alerts that were delivered, too.
    pub(super) async fn publish(
        &mut self,
        fleet: &Fleet,
        decisions: &Decisions,
        detector: &Detector,
        state: &mut State,
        now: Timestamp,
        stale: usize,
    ) -> (Result<Published, RunError>, Delivered) {
        let delivered = self.deliver(fleet.times.end, state, &decisions.names).await;
        let unsent = delivered.failed;
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
            notices: decisions.episodes.notices,
            page_level: decisions.episodes.page_level,
        };
        let of_this_run = self.cloudwatch.publish(&gauges.datums(fleet.newest_slot())).await;
        // They hold for this run only, so they are not stored for the next one.
        published.published += of_this_run.published;
        published.refused += of_this_run.refused + of_this_run.failed.len();
        published.error = of_this_run.error.or(published.error);
        state.outbox.clone_from(&published.failed);
        let is_told = unsent == 0 && state.together.told.is_empty();
        if published.failed.is_empty() && is_told && decisions.saved == Saved::Yes {
            self.store.published().await;
        }
        (checked(published), delivered)
    }

    /// Publishes the datums of a question's answer.
    pub(super) async fn publish_answer(&self, datums: &[Datum]) -> Result<Published, RunError> {
        checked(self.cloudwatch.publish(datums).await)
    }

    /// The names of these instances: their tags `Name`. Nothing waits for them: an alert may have
    /// to do without.
    pub(super) async fn names(&self, instances: BTreeSet<TargetId>) -> Names {
        if instances.is_empty() {
            return Names::new();
        }
        match self.roster.inventory().tags_of(&instances).await {
            Ok(tags) => tags
                .into_iter()
                .filter_map(|(instance, mut tags)| Some((instance, tags.remove("Name")?)))
                .collect(),
            Err(error) => {
                warn!(%error, "the names of the anomalous instances are not known");
                Names::new()
            }
        }
    }

    /// Delivers the alerts, for a run up to `until` (seconds since 1970). Alerts that are not taken
    /// wait for the next run. Words are made only now, with the `names` of the instances.
    async fn deliver(&self, until: i64, state: &mut State, names: &Names) -> Delivered {
        state.alerts.retain(|pending| pending.decided > until - FORGOTTEN);
        let weekly = state.incidents.weekly();
        let worded = state.alerts.iter().map(|pending| {
            let name = names.get(&pending.instance).map(String::as_str);
            pending.alert(name, weekly, &self.sender)
        });
        let worded: Vec<Alert> = worded.collect();
        let ways: [fn(&mut Unsent) -> &mut bool; 3] =
            [|unsent| &mut unsent.event, |unsent| &mut unsent.message, |unsent| &mut unsent.chat];
        let places = ways.map(|way| chosen(&state.alerts, way));
        let [to_bus, to_topic, to_chat] = &places;
        let of = |positions: &[usize]| -> Vec<&Alert> {
            positions.iter().map(|&position| &worded[position]).collect()
        };
        // At once, so that a receiver that hangs does not delay the others.
        let account = self.roster.inventory();
        let (events, mut messages, chats) = (of(to_bus), of(to_topic), of(to_chat));
        let to_topic_count = messages.len();
        let name = |instance: &TargetId| names.get(instance).cloned();
        let alone = state.ledger.waiting().iter();
        let number = self.sender.shard.number();
        let alone = alone.map(|digest| shared(state, digest.clone(), number, until));
        let all = alone.chain(state.together.ready.iter().cloned());
        let digests: Vec<Alert> =
            all.map(|digest| self.sender.digest(&digest, weekly, name)).collect();
        messages.extend(&digests);
        let (events, messages, chats) = tokio::join!(
            in_batches(&events, async |batch| account.events(batch).await),
            in_batches(&messages, async |batch| account.messages(batch).await),
            in_batches(&chats, async |batch| account.chats(batch).await),
        );
        for ((way, places), sent) in ways.iter().zip(places).zip([&events, &messages, &chats]) {
            for (number, position) in places.into_iter().enumerate() {
                *way(&mut state.alerts[position].unsent) = sent.failed.contains(&number);
            }
        }
        let unsent: Vec<usize> = (0..digests.len())
            .filter(|digest| messages.failed.contains(&(to_topic_count + digest)))
            .collect();
        let alone = state.ledger.waiting().len();
        state.ledger.sent_but(&unsent);
        let mut position = alone..;
        state.together.ready.retain(|_| position.next().is_some_and(|at| unsent.contains(&at)));
        let mut delivered = Delivered::default();
        delivered.events = delivered.note("events", &events);
        delivered.messages = delivered.note("messages", &messages);
        delivered.chats = delivered.note("messages of the chat", &chats);
        state.alerts.retain(|pending| !pending.is_sent());
        delivered
    }

    /// Sends an alert that says that it is a test, as a person asks for, to the bus and the
    /// topics.
    ///
    /// # Errors
    /// [`RunError::TestFailed`] where the bus or a topic refuses it.
    pub async fn test_alerts(&mut self, now: Timestamp) -> Result<Delivered, RunError> {
        let alert = self.sender.test(now.as_second());
        log::alert(&alert);
        let account = self.roster.inventory();
        let alerts = [&alert];
        let (events, messages, chats) = tokio::join!(
            account.events(&alerts),
            account.messages(&alerts),
            account.chats(&alerts)
        );
        match events.error.or(messages.error).or(chats.error) {
            Some(error) => Err(RunError::TestFailed(error)),
            None => Ok(Delivered {
                events: events.sent,
                messages: messages.sent,
                chats: chats.sent,
                failed: 0,
            }),
        }
    }
}

/// The numbers of alerts that went out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Delivered {
    /// To the bus.
    pub events: usize,
    /// To the topic.
    pub messages: usize,
    /// To the topic of the chat.
    pub chats: usize,
    /// Deliveries to bus or topics that failed: the next run tries them again.
    pub failed: usize,
}

impl Delivered {
    /// Counts the failures among `what`, and gives the number of successes.
    fn note(&mut self, what: &'static str, sent: &Sent) -> usize {
        let failed = sent.failed.len();
        if let Some(error) = &sent.error {
            error!(%error, what, failed, "some alerts were not sent: the next run sends them");
        }
        self.failed += failed;
        sent.sent
    }
}

/// Sends alerts in calls of [`BATCH`]. Each has a limit of its own, so that a call that hangs does
/// not make the others look unsent.
async fn in_batches(alerts: &[&Alert], send: impl AsyncFn(&[&Alert]) -> Sent) -> Sent {
    let mut sent = Sent::default();
    for (number, batch) in alerts.chunks(BATCH).enumerate() {
        sent.add(send(batch).await, number * BATCH);
    }
    sent
}

/// The positions of the alerts that still have to go to one place.
fn chosen(alerts: &[Pending], way: impl Fn(&mut Unsent) -> &mut bool) -> Vec<usize> {
    (0..alerts.len()).filter(|&index| *way(&mut { alerts[index].unsent })).collect()
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use deepguard_aws::testing::alert;

    use super::*;

    #[tokio::test]
    async fn batches_keep_the_positions_of_what_failed() {
        let alerts: Vec<Alert> = (0..25).map(alert).collect();
        let sizes = RefCell::new(Vec::new());
        let sent = in_batches(&alerts.iter().collect::<Vec<_>>(), async |batch| {
            sizes.borrow_mut().push(batch.len());
            let mut sent = Sent::all(batch.len());
            let second = batch[0].id == alerts[10].id;
            sent.fail(second.then_some(3), "PublishBatch", "said the script".into());
            sent
        })
        .await;
        assert_eq!(sizes.take(), [10, 10, 5]);
        assert_eq!((sent.sent, sent.failed), (24, [13].into()));
        assert!(sent.error.is_some());
    }
}
