//! The way of one instance through a run: its datapoints are read, scored and stored.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Instant;

use deepguard::baseline::{HISTORY, calibrated_at};
use deepguard::detector::rebuild_from;
use deepguard::episode::MOfN;
use deepguard::incident::Past;
use deepguard::series::{DAY_SECONDS, PERIOD, SeriesError};
use deepguard::track::{Advanced, Known, LATE, Started, days};
use deepguard::{Detector, Scored, Series, Track};
use deepguard_aws::cloudwatch::plan;
use deepguard_aws::ids::TargetId;
use deepguard_aws::metric::Skip;
use deepguard_aws::ports::{CallError, Cpu, Objects, Read};

use crate::deadline::{Limited, NEXT_RUN};
use crate::run::outcome::Fleet;
use crate::run::reads::Reads;
use crate::state::part::Part;
use crate::state::store::Store;
use crate::state::{Followed, State};
use crate::watched::groups::Groups;
use crate::watched::muted::Muted;
use crate::watched::zones::{ByZone, Zones};

/// Two weeks, in seconds: the history behind a baseline.
const TWO_WEEKS: i64 = HISTORY as i64 * PERIOD;
/// How long after midnight, in seconds, the baselines of the new day are left to the calibrator.
/// After that they are made here.
const CALIBRATOR: i64 = 30 * 60;
/// How long, in seconds, an instance without datapoints is remembered. CloudWatch takes no scores
/// of older ones, and most of its state is of no use by then.
const FORGET: i64 = 14 * DAY_SECONDS;

/// The time from which on to read an instance without history, to score the datapoints before
/// `until` (seconds since 1970).
pub(crate) fn history_from(until: i64) -> i64 {
    rebuild_from(until) - TWO_WEEKS
}

/// The part of the fleet that a round covers: its mutes, groups and time zones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Among<'a> {
    pub(crate) part: &'a Part,
    /// The times at which they are muted.
    pub(crate) mutes: &'a Muted,
    pub(crate) groups: &'a Groups,
    pub(crate) zones: &'a Zones,
}

/// One round through the fleet: all the state, and the results.
#[derive(Debug)]
pub(crate) struct Round<'a, O> {
    pub(crate) detector: &'a Detector,
    pub(crate) detectors: ByZone<'a>,
    pub(crate) store: &'a mut Store<O>,
    pub(crate) state: &'a mut State,
    pub(crate) among: Among<'a>,
    /// How far back, in seconds, the first scores of an instance without history go.
    pub(crate) lookback: i64,
    /// When an episode begins.
    pub(crate) m_of_n: MOfN,
    /// The past episodes of the instances that this round begins to follow.
    pub(crate) past: Past<TargetId>,
    pub(crate) fleet: Fleet,
    /// The midnight of the oldest baseline that was used.
    pub(crate) oldest_baseline: Option<i64>,
    /// The instances that their groups are to judge, when the others are scored.
    pub(crate) newborns: Vec<Waiting>,
}

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

/// The next step for an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing more in this run.
    Done,
    /// It has to be read once more, from this time on (seconds since 1970).
    ReadFrom(i64),
}

impl<'a, O: Objects> Round<'a, O> {
    /// A round without results, over `times` (seconds since 1970).
    pub(crate) fn new(
        detector: &'a Detector,
        store: &'a mut Store<O>,
        state: &'a mut State,
        among: Among<'a>,
        lookback: i64,
        m_of_n: MOfN,
        times: Range<i64>,
    ) -> Self {
        Self {
            detector,
            detectors: among.zones.detectors(detector),
            store,
            state,
            among,
            lookback,
            m_of_n,
            past: Past::default(),
            fleet: Fleet::new(times),
            oldest_baseline: None,
            newborns: Vec::new(),
        }
    }

    /// Reads and scores all instances that are `listed` or in the state, as far as the time goes.
    pub(crate) async fn all(
        &mut self,
        cloudwatch: &Limited<impl Cpu>,
        listed: &BTreeSet<TargetId>,
    ) {
        let mut wanted = self.wanted(listed).await;
        while !wanted.is_empty() {
            let mut reads =
                Reads::new(cloudwatch, plan::batches(wanted.split_off(0), self.until()));
            while let Some((batch, answers)) = reads.next().await {
                self.fleet.reads += answers.len() as u64;
                for (instance, read) in answers {
                    if cloudwatch.is_over() {
                        self.fleet.skip(instance, Skip::OutOfTime, NEXT_RUN);
                        continue;
                    }
                    if let Next::ReadFrom(start) =
                        self.score(instance.clone(), read, &batch.times).await
                    {
                        wanted.push((instance, start));
                    }
                    reads.go_on().await;
                }
            }
        }
        for newborn in std::mem::take(&mut self.newborns) {
            let (instance, since) = (newborn.instance.clone(), newborn.since);
            let scored = self.by_group(newborn);
            let late = scored.iter().filter(|scored| scored.time < since).count();
            self.found(instance, scored, late);
        }
    }

    fn until(&self) -> i64 {
        self.fleet.times.end
    }

    /// The time from which on to read each instance (seconds since 1970), those that wait longest
    /// first. It includes the `listed` instances, and those that may have had a datapoint since
    /// they were last read.
    pub(crate) async fn wanted(&mut self, listed: &BTreeSet<TargetId>) -> Vec<(TargetId, i64)> {
        let until = self.until();
        self.state.instances.retain(|_, followed| followed.watermark > until - FORGET);
        let stopped = |followed: &Followed| followed.looked >= followed.watermark + LATE;
        let remembered = self.state.instances.iter().filter(|(_, followed)| !stopped(followed));
        let instances: BTreeSet<&TargetId> =
            remembered.map(|(instance, _)| instance).chain(listed).collect();
        let mut wanted: Vec<TargetId> = instances.into_iter().cloned().collect();
        // The machines of a group that is new stay together: their past is learnt together.
        wanted.sort_by_key(|instance| {
            let watermark = self.state.instances.get(instance).map(|known| known.watermark);
            (watermark.unwrap_or(i64::MAX), self.among.groups.of(instance))
        });
        self.open_days(&wanted).await;
        let read_from = |instance: TargetId| {
            let from = self.read_from(&instance);
            (instance, from)
        };
        wanted.into_iter().map(read_from).collect()
    }

    /// Loads the baselines that the instances need, as far as they are stored.
    async fn open_days(&mut self, wanted: &[TargetId]) {
        let until = self.until();
        let end = |instance| {
            self.state.instances.get(instance).and_then(|followed: &Followed| followed.track.end())
        };
        let mut missing = BTreeSet::new();
        for instance in wanted {
            match end(instance) {
                Some(end) => {
                    missing.extend(days(end..until).filter(|&day| self.is_unknown(instance, day)))
                }
                None => missing.extend([calibrated_at(until - 1)]),
            }
        }
        // Going back for a late datapoint may take the day before.
        let oldest = wanted.iter().filter_map(end).min().unwrap_or(until).min(until - 2 * LATE);
        self.store.baselines.forget_before(calibrated_at(oldest));
        for day in missing {
            self.store.baselines.open(self.among.part, day, self.detector.context()).await;
        }
    }

    fn is_unknown(&self, instance: &TargetId, day: i64) -> bool {
        self.store.baselines.of(instance, day) == Known::NotYet
    }

    /// Whether the calibrator is still expected to make the missing baselines of this day.
    fn is_awaited(&self, day: i64) -> bool {
        self.until() < day + CALIBRATOR
    }

    /// The time from which on to read an instance. It is the context of the new datapoints where
    /// all else is known. Otherwise it is two weeks before the first day whose baseline is missing,
    /// or as far back as a new instance needs.
    fn read_from(&self, instance: &TargetId) -> i64 {
        let track = self.state.instances.get(instance).map(|followed| &followed.track);
        let Some((track, end)) = track.and_then(|track| Some((track, track.end()?))) else {
            return history_from(self.until());
        };
        let missing = days(end..self.until()).find(|&day| self.is_unknown(instance, day));
        let context = track.needs_from().unwrap_or(end);
        match missing.filter(|&day| !self.is_awaited(day)) {
            Some(day) => context.min(day - TWO_WEEKS),
            None => context,
        }
    }

    /// Scores an instance by its datapoints from `times.start` on, or says why it cannot.
    pub(crate) async fn score(
        &mut self,
        instance: TargetId,
        read: Result<Read, CallError>,
        times: &Range<i64>,
    ) -> Next {
        let until = self.until();
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                self.fleet.skip(instance, Skip::ReadFailed, error);
                return Next::Done;
            }
        };
        let followed = self.state.instances.get(&instance);
        let behind = followed.is_some_and(|followed| followed.track.end() < Some(until - LATE));
        if !read.whole && !behind {
            // Missing datapoints may be there the next time. Only where they stay missing does the
            // run use the rest alone.
            self.fleet.skip(
                instance,
                Skip::ReadFailed,
                "CloudWatch gave a part of its datapoints only",
            );
            return Next::Done;
        }
        let series = match Series::from_datapoints(read.datapoints) {
            Ok((series, _)) => series,
            Err(SeriesError::Empty { given: 0 }) => {
                self.nothing_new(instance);
                return Next::Done;
            }
            Err(error) => {
                self.fleet.skip(instance, Skip::Unusable, error);
                return Next::Done;
            }
        };
        match followed.and_then(|followed| followed.track.end()) {
            Some(end) => self.go_on(instance, &series, end, read.whole, times).await,
            None => {
                self.start(instance, &series);
                Next::Done
            }
        }
    }

    /// Begins with an instance without history.
    fn start(&mut self, instance: TargetId, series: &Series) {
        let until = self.until();
        let began = Instant::now();
        let Started { track, baselines, mut scored } =
            self.detectors.of(&instance).start(series, until, self.among.mutes.of(&instance));
        self.fleet.scoring += began.elapsed();
        let known = self.state.instances.remove(&instance);
        let (since, tail) = known
            .as_ref()
            .map_or((until - self.lookback, 0), |known| (known.watermark, known.tail));
        let new = scored.split_off(scored.partition_point(|scored| scored.time < since));
        if known.is_none() {
            self.past.add(&instance, &scored, self.m_of_n);
        }
        let (episodes, bands, peers) =
            known.map(|known| (known.episodes, known.bands, known.peers)).unwrap_or_default();
        for (day, baseline) in baselines {
            // The last two days are the ones that the next runs may need.
            if day >= calibrated_at(until) - DAY_SECONDS {
                self.store.baselines.learn(self.among.part, &instance, day, baseline);
            }
        }
        let watermark = track.end().unwrap_or(since).max(since);
        self.state.instances.insert(
            instance.clone(),
            Followed {
                track,
                watermark,
                looked: until,
                tail,
                episodes,
                bands,
                by_group: None,
                peers,
                eve: None,
            },
        );
        self.take_in(instance, series, since, new, 0);
    }

    /// Scores the datapoints of `series` that are new to `track`.
    fn advance(&mut self, track: &mut Track, series: &Series, instance: &TargetId) -> Advanced {
        let began = Instant::now();
        let taken = self.detectors.of(instance).advance(
            track,
            series,
            self.until(),
            |day| self.store.baselines.of(instance, day),
            self.among.mutes.of(instance),
        );
        self.fleet.scoring += began.elapsed();
        taken
    }

    /// Goes on with an instance that was scored up to `end`, by its datapoints from `times.start`
    /// on: the `whole` of them, or not.
    async fn go_on(
        &mut self,
        instance: TargetId,
        series: &Series,
        end: i64,
        whole: bool,
        times: &Range<i64>,
    ) -> Next {
        let until = self.until();
        let covered = |day: i64| times.start <= day - TWO_WEEKS;
        // Not from history with holes in it: a baseline stays for its day once it is made.
        let missing = days(end - 2 * LATE..until)
            .filter(|&day| whole && covered(day) && self.is_unknown(&instance, day));
        for day in missing.collect::<Vec<_>>() {
            let began = Instant::now();
            let learnt = series.without(self.among.mutes.of(&instance));
            let baseline =
                learnt.and_then(|series| self.detectors.of(&instance).calibrate(&series, day));
            self.fleet.scoring += began.elapsed();
            self.store.baselines.learn(self.among.part, &instance, day, baseline);
        }
        let Some(mut followed) = self.state.instances.remove(&instance) else { return Next::Done };
        let mut taken = self.advance(&mut followed.track, series, &instance);
        if let Some(day) = taken.waits_for
            && !self.store.baselines.is_open(day)
        {
            // Going back over midnight for a late datapoint takes the baseline of yesterday.
            self.store.baselines.open(self.among.part, day, self.detector.context()).await;
            let rest = self.advance(&mut followed.track, series, &instance);
            taken.scored.extend(rest.scored);
            taken.late += rest.late;
            taken.waits_for = rest.waits_for;
        }
        let since = followed.watermark;
        followed.watermark = followed.track.end().unwrap_or_default().max(followed.watermark);
        if taken.waits_for.is_none() {
            followed.looked = followed.looked.max(until);
        }
        self.state.instances.insert(instance.clone(), followed);
        match taken.waits_for {
            Some(day) if !self.is_awaited(day) && !covered(day) => {
                taken.scored.retain(|scored| !self.is_of_group(&instance, scored));
                self.found_some(&instance, taken.scored, taken.late);
                Next::ReadFrom(day - TWO_WEEKS)
            }
            Some(_) if taken.scored.is_empty() => {
                self.fleet.skip(
                    instance,
                    Skip::AwaitsBaseline,
                    "the baseline of the new day is still to be made",
                );
                Next::Done
            }
            _ => {
                self.take_in(instance, series, since, taken.scored, taken.late);
                Next::Done
            }
        }
    }

    /// Takes new scores in.
    fn found_some(&mut self, instance: &TargetId, scored: Vec<Scored>, late: usize) {
        self.fleet.late += late;
        let day = scored.iter().map(|scored| calibrated_at(scored.time)).min();
        self.oldest_baseline = self.oldest_baseline.into_iter().chain(day).min();
        if !scored.is_empty() {
            self.fleet.scored.entry(instance.clone()).or_default().extend(scored);
        }
    }

    /// Takes the last new scores in, or says why there are no scores.
    pub(crate) fn found(&mut self, instance: TargetId, scored: Vec<Scored>, late: usize) {
        self.found_some(&instance, scored, late);
        if self.fleet.scored.contains_key(&instance) {
            return;
        }
        let end = self.state.instances.get(&instance).and_then(|followed| followed.track.end());
        let day = end.map(|end| calibrated_at(end - PERIOD));
        match day.map(|day| self.store.baselines.of(&instance, day)) {
            Some(Known::TooLittle) if end > Some(self.until() - LATE) => {
                let why = "less than half a day of datapoints before midnight or noon UTC: too \
                           little to say what is usual for it, and no group of at least 3 others \
                           with a history says it";
                self.fleet.skip(instance, Skip::NoBaseline, why);
            }
            _ => self.nothing_new(instance),
        }
    }

    /// An instance has no new datapoints: that is normal if it had one recently.
    fn nothing_new(&mut self, instance: TargetId) {
        let until = self.until();
        let lookback = self.lookback;
        let followed = self.state.instances.get_mut(&instance);
        let end = followed.and_then(|followed| {
            followed.looked = followed.looked.max(until);
            followed.track.end()
        });
        if end.is_some_and(|end| end > until - lookback) {
            self.fleet.unchanged.insert(instance);
        } else {
            self.fleet.skip(
                instance,
                Skip::NoDatapoints,
                "no datapoint lately: it has just started, or stopped",
            );
        }
    }
}
