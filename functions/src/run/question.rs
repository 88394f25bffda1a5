//! A question: the scores of some instances, with all that is known now. Answering it changes
//! nothing.

use std::collections::BTreeSet;
use std::ops::Range;

use deepguard::series::SeriesError;
use deepguard::track::{Known, LATE, days};
use deepguard::{Detector, Scored, Series};
use deepguard_aws::cloudwatch::plan;
use deepguard_aws::ids::InstanceId;
use deepguard_aws::metric::Skip;
use deepguard_aws::ports::{Batch, CallError, Objects, Read};

use crate::run::pass::history_from;
use crate::state::State;
use crate::state::store::Store;
use crate::watched::muted::Muted;

/// The inputs of an answer.
#[derive(Debug)]
pub(crate) struct Question<'a, O> {
    pub(crate) detector: &'a Detector,
    pub(crate) store: &'a Store<O>,
    pub(crate) state: &'a State,
    /// The times at which instances are muted.
    pub(crate) mutes: &'a Muted,
    /// The stretch that is asked for, in seconds since 1970.
    pub(crate) times: Range<i64>,
}

/// The days whose baselines are needed to score `times` (seconds since 1970) once more.
pub(crate) fn days_needed(times: &Range<i64>) -> impl Iterator<Item = i64> {
    days(times.start - 2 * LATE..times.end)
}

impl<O: Objects> Question<'_, O> {
    /// The reads for an answer: a little where the instance is followed and the stretch is recent,
    /// else all its history.
    pub(crate) fn reads(&self, instances: BTreeSet<InstanceId>) -> Vec<Batch> {
        let wanted = instances.into_iter().map(|instance| {
            let followed = self
                .state
                .instances
                .get(&instance)
                .and_then(|followed| followed.track.needs_from());
            let recent = followed
                .filter(|&needed| needed <= self.times.start && self.times.end >= needed + LATE);
            let mut known = days_needed(&self.times)
                .map(|day| self.store.baseline(&instance, day) != Known::NotYet);
            let from = recent
                .filter(|_| known.all(|known| known))
                .unwrap_or_else(|| history_from(self.times.end));
            (instance, from)
        });
        plan::batches(wanted.collect::<Vec<_>>(), self.times.end)
    }

    /// The scores of an instance, at least one, or the reason why it has no score.
    pub(crate) fn answer(
        &self,
        instance: &InstanceId,
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
        let known = |day| self.store.baseline(instance, day);
        let track = self.state.instances.get(instance).map(|followed| &followed.track);
        let review = track.and_then(|track| {
            self.detector.review(track, &series, times.clone(), known, self.mutes.of(instance))
        });
        let scored = match review.filter(|review| review.waits_for.is_none()) {
            Some(review) => review.scored,
            None => {
                let mut begun =
                    self.detector.begin(&series, times.end, self.mutes.of(instance)).scored;
                begun.retain(|scored| times.contains(&scored.time));
                begun
            }
        };
        if !scored.is_empty() {
            return Ok(scored);
        }
        let (reason, why) = match series.between(times.start, times.end).next() {
            None => (Skip::NoDatapoints, "no datapoint in the stretch that was asked for"),
            Some(_) => {
                (Skip::NoBaseline, "less than half a day of datapoints before midnight or noon UTC")
            }
        };
        Err((reason, why.to_string()))
    }
}
