//! A run that goes on where the last one ended: it scores the new datapoints and decides.

use std::collections::{BTreeMap, BTreeSet};

use deepguard::Detector;
use deepguard::budget::Budget;
use deepguard::track::LATE;
use deepguard_aws::ids::TargetId;
use deepguard_aws::metric::Skip;
use deepguard_aws::ports::{Alerts, Cpu, Inventory, Objects, Scores};
use jiff::Timestamp;
use tracing::{error, warn};

use crate::alert::ledger::{Coverage, Digest};
use crate::alert::together::Shared;
use crate::error::RunError;
use crate::run::outcome::Fleet;
use crate::run::pass::{Among, Round};
use crate::run::peers::compare_groups;
use crate::run::publish::model_days;
use crate::run::summary::EpisodeCounts;
use crate::run::{Asked, Decisions, Detection, Inputs, MOST_WAITING, Outcome, Run, decide, log};
use crate::state::State;
use crate::state::band::Due;
use crate::state::store::Saved;
use crate::state::tally::TALLIED;
use crate::trigger::shard::Shard;
use crate::watched::groups::Groups;
use crate::watched::muted::Muted;
use crate::watched::roster::Needs;
use crate::watched::zones::{ZONE_TAG, Zones};

impl<C: Cpu + Scores, O: Objects + Clone, A: Alerts + Inventory> Detection<C, O, A> {
    /// Scores the new datapoints, and writes down the decisions.
    pub(super) async fn follow(
        &mut self,
        detector: &Detector,
        asked: Asked<'_>,
        state: &mut State,
        inputs: &mut Inputs,
        now: Timestamp,
    ) -> Result<Run, RunError> {
        let Asked { part, listed, times } = asked;
        let listed = match listed {
            Ok(listed) => listed,
            // Instances in the state can be read all the same.
            Err(error) if !state.instances.is_empty() => {
                warn!(%error, "the instances cannot be listed: those seen before are scored");
                state.instances.keys().cloned().collect()
            }
            Err(error) => return Err(RunError::List(error)),
        };
        let all = listed.len();
        self.roster.recall(&state.tags);
        let listed = self.selected(listed, state, inputs, now).await?;
        if let Some(key) = &self.group_by {
            self.roster.store(&mut state.tags, &[key, ZONE_TAG]);
        }
        let groups = self.groups(&listed);
        let zones: Zones = self.roster.tagged(ZONE_TAG).collect();
        let mutes = self.muted(&listed, inputs, times.end);
        let before = state.marks();
        let Self { cloudwatch, store, lookback, m_of_n, .. } = self;
        let among = Among { part, mutes: &mutes, groups: &groups, zones: &zones };
        let mut round =
            Round::new(detector, store, state, among, *lookback, *m_of_n, times.clone());
        round.all(cloudwatch, &listed).await;
        let Round { mut fleet, oldest_baseline, past, .. } = round;
        nothing_read(&fleet)?;
        compare_groups(detector, state, &mut fleet, &groups);

        let mut bands = Due::new(self.bands);
        let mut changes = decide::episodes(state, &fleet, self.m_of_n, &mut bands);
        let stopped = self.reporting_stopped;
        changes.extend(decide::silent(state, &fleet, &self.store, &mutes, stopped, &mut bands));
        let budget = self.budget(detector, part.shard());
        let group = |instance: &TargetId| groups.with_size(instance);
        state.incidents.learn(&past, times.end, listed.len(), &group, &budget);
        state.incidents.begin_day(times.end, listed.len(), &budget);
        let told = decide::incidents(state, &fleet, changes, &groups, listed.len());
        told.iter().for_each(|told| state.ledger.add(&told.change, &told.note));
        state.ledger.suppress(fleet.suppressed_datapoints());
        let left_out = all - listed.len();
        let made = self.make_digest(state, &fleet, &mutes, listed.len(), left_out);
        let digest = self.digest(state, part, times.end, made).await;
        let began = decide::pages(&told, fleet.newest_slot());
        let datums = decide::datums(state, &fleet, self.mode, began);
        let episodes = EpisodeCounts::of(&told, state);
        let days = model_days(detector, now);
        let Self { store, messages, .. } = self;
        let alerts = decide::alerts(told, times.end, store, detector, days, *messages);
        let named = state.alerts.iter().chain(&alerts).map(|pending| pending.instance.clone());
        let mut named: BTreeSet<TargetId> = named.chain(state.ledger.named().cloned()).collect();
        named.extend(state.together.ready.iter().flat_map(Shared::named).cloned());
        if !state.ledger.waiting().is_empty() {
            let quiet = state.incidents.labels().quiet(fleet.times.end);
            named.extend(quiet.into_iter().map(|quiet| quiet.first.0.clone()));
        }
        let names = self.names(named).await;
        for pending in &alerts {
            let name = names.get(&pending.instance).map(String::as_str);
            log::alert(&pending.alert(name, state.incidents.weekly(), &self.sender));
        }
        state.tally.forget(times.end - TALLIED);
        let changed = inputs.changed
            || fleet.late > 0
            || !alerts.is_empty()
            || before != state.marks()
            || digest;
        // The oldest are given up first, and a band is worth less than a score.
        state.outbox.extend(bands.datums());
        state.outbox.extend(datums);
        state.alerts.extend(alerts);
        if let given_up @ 1.. = state.outbox.len().saturating_sub(MOST_WAITING) {
            error!(
                datums = given_up,
                "too many datums wait to be published: the oldest are given up"
            );
            state.outbox.drain(..given_up);
        }
        state.spent.add(times.end, fleet.reads, &state.outbox, part.shard().number() == 0);
        let saved = match changed {
            true => self.store.save(state).await,
            false => Saved::Yes,
        };
        self.store.baselines.save(detector.context()).await;
        let newest = state.instances.values().filter_map(|followed| followed.track.end()).max();
        let decisions = Decisions {
            oldest_baseline,
            lag: newest.map(|end| (times.end - end).max(0)),
            nothing_scored: !state.tally.has_since(times.end - LATE),
            saved,
            episodes,
            names,
            listed,
        };
        Ok(Run { fleet, left_out, mutes, groups, zones, outcome: Outcome::Followed(decisions) })
    }

    /// The watched instances of `listed`. Instances that are no longer watched are forgotten.
    pub(super) async fn selected(
        &mut self,
        listed: BTreeSet<TargetId>,
        state: &mut State,
        inputs: &mut Inputs,
        now: Timestamp,
    ) -> Result<BTreeSet<TargetId>, RunError> {
        let all = listed.clone();
        let needs = match inputs.mutes.needs_tags() {
            true => Needs::Rules,
            false if self.group_by.is_some() => Needs::Groups,
            false => Needs::Nothing,
        };
        match self.roster.selected(listed, needs, now).await {
            Ok(selected) => {
                inputs.note_stale("the tags", selected.stale);
                state.instances.retain(|instance, _| {
                    selected.instances.contains(instance) || !all.contains(instance)
                });
                Ok(selected.instances)
            }
            // Instances in the state were watched.
            Err(error) if !state.instances.is_empty() => {
                inputs.note_stale("the tags", Some(error));
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
    pub(super) fn muted(
        &self,
        instances: &BTreeSet<TargetId>,
        inputs: &Inputs,
        until: i64,
    ) -> Muted {
        let tags = || {
            instances
                .iter()
                .map(|instance| (instance.clone(), self.roster.tags(instance).clone()))
                .collect()
        };
        let tags = if inputs.mutes.needs_tags() { tags() } else { BTreeMap::new() };
        Muted::new(&inputs.mutes, tags, until)
    }

    /// The groups of the watched instances, as far as their tags are known.
    fn groups(&self, listed: &BTreeSet<TargetId>) -> Groups {
        let Some(key) = &self.group_by else { return Groups::default() };
        let group = |instance| Some((instance, self.roster.tags(instance).get(key)?.as_str()));
        listed.iter().filter_map(group).collect()
    }

    /// Makes the digest that is due, if one is.
    fn make_digest(
        &self,
        state: &mut State,
        fleet: &Fleet,
        mutes: &Muted,
        watched: usize,
        left_out: usize,
    ) -> Option<Digest> {
        let now = fleet.times.end;
        let due = self.digest?.last(&self.sender.zone, now)?;
        let muted = state.instances.keys().filter(|instance| mutes.of(instance)(now)).count();
        let coverage = Coverage { watched, skipped: fleet.reasons(), left_out, muted };
        let level = state.incidents.level();
        state.ledger.make(due, coverage, level)
    }

    /// How often this shard may page for nothing. Shards have equal parts of the fleet, and of what
    /// it may page.
    fn budget<'a>(&self, detector: &'a Detector, shard: Shard) -> Budget<'a> {
        Budget {
            per_week: self.pages_per_week.map(|all| all / f64::from(shard.of())),
            pages: &detector.artifact().card().pages,
            threshold: detector.threshold(),
        }
    }
}

/// An error where no instance could be read.
pub(super) fn nothing_read(fleet: &Fleet) -> Result<(), RunError> {
    let unread: Vec<_> =
        fleet.skipped.values().filter(|skipped| skipped.reason == Skip::ReadFailed).collect();
    match unread.last() {
        Some(last) if unread.len() == fleet.seen() => {
            Err(RunError::NothingRead { instances: fleet.seen(), why: last.why.clone() })
        }
        _ => Ok(()),
    }
}
