//! Instances with a short history, judged by their groups.

use std::time::Instant;

use deepguard::baseline::calibrated_at;
use deepguard::newborn::{MOST_MEMBERS, Member, Newborn, judged_from};
use deepguard::series::{DAY_SECONDS, PERIOD};
use deepguard::track::{Known, LATE, days};
use deepguard::{Phase, Scored, Series};
use deepguard_aws::ids::TargetId;
use deepguard_aws::ports::Objects;

use crate::run::pass::{Round, Waiting};
use crate::state::by_group::{ByGroup, Judged};

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
            (followed.by_group, followed.eve) = (None, None);
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

    /// Judges the new datapoints of an instance with a short history by its group, each day by the
    /// group as it is then. Where it has none, or the group too few members with baselines, its own
    /// scores are those that there are: the next run tries again.
    pub(crate) fn by_group(&mut self, waiting: Waiting) -> Vec<Scored> {
        let Waiting { instance, series, since, until, mut own } = waiting;
        let began = Instant::now();
        let followed = self.state.instances.get_mut(&instance);
        let (known, mut eve) = followed
            .map(|followed| (followed.by_group.take(), followed.eve.take()))
            .unwrap_or_default();
        let mut known = known.unwrap_or(ByGroup { from: None, until: since, judged: None });
        known.from = known.from.or_else(|| judged_from(&series));
        let mut scored = self.late_on_eve(&instance, &series, &mut known, &mut eve);
        let first = match (&known.judged, known.from) {
            (Some(judged), _) => judged.day(),
            (None, Some(from)) => calibrated_at(from.max(known.until)),
            (None, None) => until,
        };
        let mut by_itself = until;
        for day in days(first..until) {
            let end = until.min(day + DAY_SECONDS);
            let is_old = known.judged.as_ref().is_some_and(|judged| judged.day() < day);
            if is_old && series.between(day, end).next().is_none() {
                continue;
            }
            let begins = is_old || known.judged.is_none();
            if begins {
                let before = known.judged.as_ref().or(eve.as_ref());
                let Some(new) = self.join_group(&instance, &series, &known, before, day) else {
                    by_itself = day;
                    break;
                };
                eve = known.judged.replace(new).or(eve);
            }
            let judged = self.judge(&instance, &series, &mut known, end);
            // Those before were scored, or are too old. After it, only late ones are.
            let since = if begins { known.until } else { i64::MIN };
            scored.extend(judged.into_iter().filter(|scored| scored.time >= since));
            known.until = known.until.max(known.judged.as_ref().map_or(0, Judged::end));
        }
        self.fleet.scoring += began.elapsed();
        own.retain(|own| own.time >= by_itself || known.judged.is_none());
        let hands_over = own.iter().any(|own| own.phase == Phase::Own);
        if let Some(last) = own.last() {
            known.until = known.until.max(last.time + PERIOD);
        }
        scored.extend(own);
        if let Some(followed) = self.state.instances.get_mut(&instance) {
            followed.by_group = Some(known).filter(|_| !hands_over);
            followed.eve = eve.filter(|_| !hands_over);
        }
        scored
    }

    /// Judges the datapoints before `end` (seconds since 1970) that were not judged on that day.
    fn judge(
        &self,
        instance: &TargetId,
        series: &Series,
        known: &mut ByGroup,
        end: i64,
    ) -> Vec<Scored> {
        let Some(Judged { typical, newborn }) = &mut known.judged else { return Vec::new() };
        newborn.judge(
            self.detectors.of(instance),
            series,
            end,
            |day| self.store.baselines.of(typical, day),
            self.among.mutes.of(instance),
        )
    }

    /// The scores of datapoints of the day before that come late. Today begins anew then, as if
    /// they had been on time.
    fn late_on_eve(
        &self,
        instance: &TargetId,
        series: &Series,
        known: &mut ByGroup,
        eve: &mut Option<Judged>,
    ) -> Vec<Scored> {
        let today = known.judged.as_ref().map(Judged::day);
        let (Some(before), Some(day)) = (eve.take(), today) else { return Vec::new() };
        if self.fleet.times.end >= day + LATE {
            return Vec::new();
        }
        let today = known.judged.replace(before);
        let late = self.judge(instance, series, known, day);
        *eve = std::mem::replace(&mut known.judged, today.filter(|_| late.is_empty()));
        late
    }

    /// Begins to judge an instance by its group as it is on `day`, or the part of `day` after the
    /// launch. `before` has the values before.
    fn join_group(
        &self,
        instance: &TargetId,
        series: &Series,
        known: &ByGroup,
        before: Option<&Judged>,
        day: i64,
    ) -> Option<Judged> {
        let since = known.from?;
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
        let muted = self.among.mutes.of(instance);
        let own = |time: i64| match before {
            Some(before) => before.newborn.value(time),
            None => series.at(time).filter(|_| !muted(time)),
        };
        let (typical, newborn) =
            Newborn::begin(self.detector, &members, since, since.max(day), own)?;
        Some(Judged { typical: ids[typical].clone(), newborn })
    }
}
