//! Instances without a history of their own, judged by their groups.

use std::time::Instant;

use deepguard::baseline::calibrated_at;
use deepguard::newborn::{MOST_MEMBERS, Member, Newborn, judged_from};
use deepguard::series::PERIOD;
use deepguard::track::Known;
use deepguard::{Phase, Scored, Series};
use deepguard_aws::ids::InstanceId;
use deepguard_aws::ports::Objects;

use crate::run::pass::Round;
use crate::state::by_group::ByGroup;

impl<O: Objects> Round<'_, O> {
    /// Judges the new datapoints of an instance that has no baseline, as far as `series` has them,
    /// by its group. Those before `since` (seconds since 1970) get no score. No scores where the
    /// instance has no group, or the group too few members with baselines.
    pub(crate) fn by_group(
        &mut self,
        instance: &InstanceId,
        series: &Series,
        since: i64,
    ) -> Vec<Scored> {
        let until = self.fleet.times.end;
        let day = calibrated_at(until - PERIOD);
        if self.store.baselines.of(instance, day) != Known::TooLittle {
            return Vec::new();
        }
        let began = Instant::now();
        let known = self.state.instances.get_mut(instance).and_then(|known| known.by_group.take());
        let since = known.as_ref().map_or(since, |known| known.newborn.end());
        let lives = |known: &ByGroup| {
            matches!(self.store.baselines.of(&known.typical, day), Known::Baseline(_))
        };
        let known = known.filter(lives).or_else(|| self.join_group(instance, series, since, day));
        let Some(mut by_group) = known else { return Vec::new() };
        let scored = by_group.newborn.judge(
            self.detector_of(instance),
            series,
            until,
            |day| self.store.baselines.of(&by_group.typical, day),
            self.among.mutes.of(instance),
        );
        self.fleet.scoring += began.elapsed();
        if let Some(followed) = self.state.instances.get_mut(instance) {
            followed.by_group = Some(by_group);
        }
        scored
    }

    /// Begins to judge an instance by its group, from the first datapoint at `since` or later on.
    /// Members that are anomalous themselves are no measure.
    fn join_group(
        &self,
        instance: &InstanceId,
        series: &Series,
        since: i64,
        day: i64,
    ) -> Option<ByGroup> {
        let first = judged_from(series)?.max(since);
        let until = self.fleet.times.end;
        series.between(first, until).next()?;
        let name = self.among.groups.of(instance)?;
        let others = self.among.groups.members(name).iter();
        let members = others.filter_map(|other| {
            let followed = self.state.instances.get(other).filter(|_| other != instance)?;
            let calm = followed.episodes.open().is_none();
            match self.store.baselines.of(other, day) {
                Known::Baseline(baseline) if calm && baseline.phase == Phase::Own => {
                    Some((other, Member { baseline, memory: followed.track.memory() }))
                }
                _ => None,
            }
        });
        let (ids, members): (Vec<_>, Vec<_>) = members.take(MOST_MEMBERS).unzip();
        let (typical, newborn) = Newborn::begin(self.detector, &members, first)?;
        Some(ByGroup { typical: ids[typical].clone(), newborn })
    }
}
