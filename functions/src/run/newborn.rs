//! Instances without a history of their own, judged by their groups.

use std::time::Instant;

use deepguard::baseline::calibrated_at;
use deepguard::newborn::{MOST_MEMBERS, Member, Newborn, judged_from};
use deepguard::series::PERIOD;
use deepguard::track::Known;
use deepguard::{Phase, Scored};
use deepguard_aws::ids::TargetId;
use deepguard_aws::ports::Objects;

use crate::run::pass::{Round, Waiting};
use crate::state::by_group::{ByGroup, Judged};

impl<O: Objects> Round<'_, O> {
    /// Whether an instance has no baseline, so that its group may judge it.
    pub(crate) fn is_newborn(&self, instance: &TargetId) -> bool {
        let day = calibrated_at(self.fleet.times.end - PERIOD);
        self.store.baselines.of(instance, day) == Known::TooLittle
    }

    /// Judges the new datapoints of an instance that has no baseline by its group. No scores where
    /// it has none, or the group too few members with baselines: the next run tries again.
    pub(crate) fn by_group(&mut self, waiting: &Waiting) -> Vec<Scored> {
        let Waiting { instance, series, since } = waiting;
        let until = self.fleet.times.end;
        let today = calibrated_at(until - PERIOD);
        let began = Instant::now();
        let known = self.state.instances.get_mut(instance).and_then(|known| known.by_group.take());
        let mut known = known.unwrap_or(ByGroup { from: None, until: *since, judged: None });
        let is_gone = |judged: &mut Judged| {
            self.store.baselines.of(&judged.typical, today) == Known::NotYet
                && !self.state.instances.contains_key(&judged.typical)
        };
        if let Some(gone) = known.judged.take_if(is_gone) {
            known.from = Some(gone.newborn.end());
        }
        known.from = known.from.or_else(|| judged_from(series));
        let begins = known.judged.is_none();
        if let (Some(from), true) = (known.from, begins) {
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
            // Those before were scored, or are too old; after it, only late ones are.
            scored.retain(|scored| !begins || scored.time >= known.until);
            known.until = known.until.max(newborn.end());
        }
        self.fleet.scoring += began.elapsed();
        if let Some(followed) = self.state.instances.get_mut(instance) {
            followed.by_group = Some(known);
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
