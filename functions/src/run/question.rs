//! A question: the scores of some instances, with all that is known now. Answering it changes
//! nothing.

use std::collections::BTreeSet;
use std::ops::Range;

use deepguard::series::{DAY_SECONDS, SeriesError};
use deepguard::track::{Known, LATE, days};
use deepguard::{Detector, Scored, Series};
use deepguard_aws::cloudwatch::plan;
use deepguard_aws::ids::TargetId;
use deepguard_aws::metric::Skip;
use deepguard_aws::ports::{Alerts, Batch, CallError, Cpu, Inventory, Objects, Read, Scores};
use jiff::Timestamp;

use crate::deadline::NEXT_RUN;
use crate::error::RunError;
use crate::run::follow::nothing_read;
use crate::run::outcome::Fleet;
use crate::run::pass::history_from;
use crate::run::reads::Reads;
use crate::run::{Asked, Detection, Inputs, Outcome, Run};
use crate::state::State;
use crate::state::by_group::Judged;
use crate::state::store::Store;
use crate::state::tally::Mode;
use crate::trigger::Trigger;
use crate::watched::groups::Groups;
use crate::watched::muted::Muted;
use crate::watched::roster::Needs;
use crate::watched::zones::Zones;

impl<C: Cpu + Scores, O: Objects + Clone, A: Alerts + Inventory> Detection<C, O, A> {
    /// Answers a question, and changes nothing.
    pub(super) async fn answer(
        &mut self,
        detector: &Detector,
        trigger: &Trigger,
        state: &State,
        asked: Asked<'_>,
        inputs: &mut Inputs,
        now: Timestamp,
    ) -> Result<Run, RunError> {
        let Asked { part, listed, times } = asked;
        let mut instances = listed.map_err(RunError::List)?;
        let all = instances.len();
        if trigger.instances.is_none() || inputs.mutes.needs_tags() {
            // A question that names an instance gets an answer, watched or not.
            let needs = if inputs.mutes.needs_tags() { Needs::Rules } else { Needs::Nothing };
            let selected = self.roster.selected(instances.clone(), needs, now).await;
            let selected = selected.map_err(RunError::List)?;
            inputs.note_stale("the tags", selected.stale);
            instances = if trigger.instances.is_none() { selected.instances } else { instances };
        }
        let left_out = all - instances.len();
        for day in days_needed(&times) {
            self.store.baselines.open(part, day, detector.context()).await;
        }
        let mutes = self.muted(&instances, inputs, times.end);
        let question = Question { detector, store: &self.store, state, mutes: &mutes, times };
        let mut reads = Reads::new(&self.cloudwatch, question.reads(instances));
        let mut fleet = Fleet::new(question.times.clone());
        while let Some((_, answers)) = reads.next().await {
            for (instance, read) in answers {
                if self.cloudwatch.is_over() {
                    fleet.skip(instance, Skip::OutOfTime, NEXT_RUN);
                    continue;
                }
                match question.scores(&instance, read) {
                    Ok(scored) => drop(fleet.scored.insert(instance, scored)),
                    Err((reason, why)) => fleet.skip(instance, reason, why),
                }
                reads.go_on().await;
            }
        }
        nothing_read(&fleet)?;
        let of_instance =
            |(instance, scored): (_, &Vec<Scored>)| Mode::Full.datums(instance, scored, &mut 0);
        let datums = fleet.scored.iter().flat_map(of_instance).collect();
        Ok(Run {
            fleet,
            left_out,
            mutes,
            groups: Groups::default(),
            zones: Zones::default(),
            outcome: Outcome::Answered(datums),
        })
    }
}

/// The reasons why an instance that has datapoints has no scores.
const TOO_LITTLE: &str = "less than half a day of datapoints before midnight or noon UTC";
const LONG_AGO: &str = "its group judges it, and does so again for the last three hours only";

/// The inputs of an answer.
#[derive(Debug)]
struct Question<'a, O> {
    detector: &'a Detector,
    store: &'a Store<O>,
    state: &'a State,
    /// The times at which instances are muted.
    mutes: &'a Muted,
    /// The stretch that is asked for, in seconds since 1970.
    times: Range<i64>,
}

/// The days whose baselines are needed to score `times` (seconds since 1970) once more.
fn days_needed(times: &Range<i64>) -> impl Iterator<Item = i64> {
    days(times.start - 2 * LATE..times.end)
}

impl<O: Objects> Question<'_, O> {
    /// The reads for an answer: a little where the instance is followed and the stretch is recent,
    /// else all its history.
    fn reads(&self, instances: BTreeSet<TargetId>) -> Vec<Batch> {
        let wanted = instances.into_iter().map(|instance| {
            let followed = self
                .state
                .instances
                .get(&instance)
                .and_then(|followed| followed.track.needs_from());
            let recent = followed
                .filter(|&needed| needed <= self.times.start && self.times.end >= needed + LATE);
            let mut known = days_needed(&self.times)
                .map(|day| self.store.baselines.of(&instance, day) != Known::NotYet);
            let from = recent
                .filter(|_| known.all(|known| known))
                .unwrap_or_else(|| history_from(self.times.end));
            (instance, from)
        });
        plan::batches(wanted.collect::<Vec<_>>(), self.times.end)
    }

    /// The scores of an instance, at least one, or the reason why it has no score.
    fn scores(
        &self,
        instance: &TargetId,
        read: Result<Read, CallError>,
    ) -> Result<Vec<Scored>, (Skip, String)> {
        let datapoints = read.map_err(|error| (Skip::ReadFailed, error.to_string()))?.datapoints;
        let (series, _) = Series::from_datapoints(datapoints).map_err(|error| match error {
            SeriesError::Empty { given: 0 } => {
                (Skip::NoDatapoints, "no datapoint lately".to_string())
            }
            error => (Skip::Unusable, error.to_string()),
        })?;
        let times = &self.times;
        if let Some(scored) = self.by_group(instance, &series) {
            return Some(scored)
                .filter(|scored| !scored.is_empty())
                .ok_or_else(|| self.no_score(&series, LONG_AGO));
        }
        let known = |day| self.store.baselines.of(instance, day);
        let track = self.state.instances.get(instance).map(|followed| &followed.track);
        let review = track.and_then(|track| {
            self.detector.review(track, &series, times.clone(), known, self.mutes.of(instance))
        });
        let scored = match review.filter(|review| review.waits_for.is_none()) {
            Some(review) => review.scored,
            None => {
                let mut begun =
                    self.detector.start(&series, times.end, self.mutes.of(instance)).scored;
                begun.retain(|scored| times.contains(&scored.time));
                begun
            }
        };
        if !scored.is_empty() {
            return Ok(scored);
        }
        Err(self.no_score(&series, TOO_LITTLE))
    }

    /// The scores of an instance that its group judges; `None` for another one.
    fn by_group(&self, instance: &TargetId, series: &Series) -> Option<Vec<Scored>> {
        let followed = self.state.instances.get(instance)?;
        let today = followed.by_group.as_ref()?.judged.as_ref()?;
        let mut scored = Vec::new();
        for judged in followed.eve.iter().chain([today]) {
            let Judged { typical, newborn } = judged;
            let day = judged.day();
            let times = self.times.start.max(day)..self.times.end.min(day + DAY_SECONDS);
            let baseline = |day| self.store.baselines.of(typical, day);
            let muted = self.mutes.of(instance);
            scored.extend(newborn.review(self.detector, series, times, baseline, muted));
        }
        Some(scored.into_iter().flatten().collect())
    }

    /// Why there is no score, where datapoints would be reason enough for one but for `why`.
    fn no_score(&self, series: &Series, why: &str) -> (Skip, String) {
        match series.between(self.times.start, self.times.end).next() {
            None => {
                (Skip::NoDatapoints, "no datapoint in the stretch that was asked for".to_string())
            }
            Some(_) => (Skip::NoBaseline, why.to_string()),
        }
    }
}
