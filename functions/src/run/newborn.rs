//! Instances with a short history, judged by their groups.

use std::time::Instant;

use deepguard::baseline::calibrated_at;
use deepguard::newborn::{MOST_MEMBERS, Member, Newborn, judged_from};
use deepguard::series::PERIOD;
use deepguard::track::{Known, days};
use deepguard::{Phase, Scored, Series};
use deepguard_aws::ids::TargetId;
use deepguard_aws::ports::Objects;

use crate::run::pass::Round;
use crate::state::by_group::{ByGroup, Judged};

/// An instance that waits until the others of its group are scored.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) instance: TargetId,
    pub(crate) series: Series,
    /// The time from which on its datapoints have no score yet, in seconds since 1970.
    pub(crate) since: i64,
    /// The time from which on its own history judges it, in seconds since 1970.
    pub(crate) until: i64,
    /// Its new scores by its own history, oldest first. Those before `until` are for where no group
    /// judges it.
    pub(crate) own: Vec<Scored>,
}

impl<O: Objects> Round<'_, O> {
    /// Takes in the new scores of an instance by its own history, `late` ones among them. Where
    /// that history is short, the group judges the datapoints since `since` (seconds since 1970)
    /// when the others are scored.
    pub(crate) fn take_in(
        &mut self,
        instance: TargetId,
        series: &Series,
        since: i64,
        own: Vec<Scored>,
        late: usize,
    ) {
        let until = self.short_until(&instance, since);
        if until > since {
            self.newborns.push(Waiting { instance, series: series.clone(), since, until, own });
            return;
        }
        if let Some(followed) = self.state.instances.get_mut(&instance)
            && own.iter().any(|own| own.phase == Phase::Own)
        {
            followed.by_group = None;
        }
        self.found(instance, own, late);
    }

    /// The first midnight, or the end of the run (seconds since 1970), from which on an instance
    /// without scores since `since` needs no group. Before it, it has no baseline, or one of less
    /// than three days.
    fn short_until(&self, instance: &TargetId, since: i64) -> i64 {
        let until = self.fleet.times.end;
        let is_short = |day: i64| match self.store.baselines.of(instance, day) {
            Known::TooLittle => true,
            Known::Baseline(baseline) => baseline.phase == Phase::Borrowed,
            Known::NotYet => false,
        };
        days(since.min(until - PERIOD)..until).find(|&day| !is_short(day)).unwrap_or(until)
    }

    /// Whether the score of a datapoint is up to the instance's group, and not to its own history.
    pub(crate) fn is_of_group(&self, instance: &TargetId, scored: &Scored) -> bool {
        let followed = self.state.instances.get(instance);
        let by_group = followed.and_then(|followed| followed.by_group.as_ref());
        scored.phase != Phase::Own && by_group.is_some_and(|known| known.judged.is_some())
    }

    /// Judges the new datapoints of an instance with a short history by its group. Where it has
    /// none, or the group too few members with baselines, its own scores are those that there are:
    /// the next run tries again.
    pub(crate) fn by_group(&mut self, waiting: Waiting) -> Vec<Scored> {
        let Waiting { instance, series, since, until, mut own } = waiting;
        let (instance, series) = (&instance, &series);
        let today = calibrated_at(self.fleet.times.end - PERIOD);
        let began = Instant::now();
        let known = self.state.instances.get_mut(instance).and_then(|known| known.by_group.take());
        let mut known = known.unwrap_or(ByGroup { from: None, until: since, judged: None });
        let is_gone = |judged: &mut Judged| {
            self.store.baselines.of(&judged.typical, today) == Known::NotYet
                && !self.state.instances.contains_key(&judged.typical)
        };
        if let Some(gone) = known.judged.take_if(is_gone) {
            known.from = Some(gone.newborn.end());
        }
        known.from = known.from.or_else(|| judged_from(series));
        if let (Some(from), None) = (known.from, &known.judged) {
            let from = from.max(known.until);
            // As its group was then. Where that is not known any more, as it is now.
            known.judged = [calibrated_at(from), today]
                .into_iter()
                .find_map(|day| self.join_group(instance, from, day));
        }
        let mut scored = Vec::new();
        if let Some(Judged { typical, newborn }) = &mut known.judged {
            scored = newborn.judge(
                self.detectors.of(instance),
                series,
                until,
                |day| self.store.baselines.of(typical, day),
                self.among.mutes.of(instance),
            );
            known.until = known.until.max(newborn.end());
            own.retain(|own| own.time >= until);
        }
        self.fleet.scoring += began.elapsed();
        if let (Some(last), None) = (own.last(), &known.judged) {
            known.until = known.until.max(last.time + PERIOD);
        }
        let hands_over = own.iter().any(|own| own.phase == Phase::Own);
        scored.extend(own);
        if let Some(followed) = self.state.instances.get_mut(instance) {
            followed.by_group = Some(known).filter(|_| !hands_over);
        }
        scored
    }

    /// Begins to judge an instance from the datapoint at `from` (seconds since 1970) on, by its
    /// group as it was on `day`.
    fn join_group(&self, instance: &TargetId, from: i64, day: i64) -> Option<Judged> {
        let name = self.among.groups.of(instance)?;
        let others = self.among.groups.members(name).iter();
        let members = others.filter_map(|other| {
            let followed = self.state.instances.get(other).filter(|_| other != instance)?;
            match self.store.baselines.of(other, day) {
                Known::Baseline(baseline) if baseline.phase == Phase::Own => {
                    Some((other, Member { baseline, memory: followed.track.memory() }))
                }
                _ => None,
            }
        });
        let (ids, members): (Vec<_>, Vec<_>) = members.take(MOST_MEMBERS).unzip();
        let (typical, newborn) = Newborn::begin(self.detector, &members, from)?;
        Some(Judged { typical: ids[typical].clone(), newborn })
    }
}
