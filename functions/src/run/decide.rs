//! Turns new scores into datums to publish and alerts to send. All of it is decided before anything
//! is written down.

use std::collections::BTreeMap;

use deepguard::baseline::calibrated_at;
use deepguard::episode::{Change, MOfN};
use deepguard::incident::{Note, Surroundings};
use deepguard::series::PERIOD;
use deepguard::track::{Known, LATE};
use deepguard::{Detector, Scored};
use deepguard_aws::ids::TargetId;
use deepguard_aws::metric::Datum;
use deepguard_aws::ports::Objects;

use crate::alert::pending::{self, Basis, Learnt, Messages, Pending};
use crate::run::outcome::Fleet;
use crate::state::band::Due;
use crate::state::store::Store;
use crate::state::tally::Mode;
use crate::state::{Followed, State};
use crate::watched::groups::Groups;
use crate::watched::muted::Muted;

/// CloudWatch is up to date if another instance of the fleet has a datapoint no older than this, in
/// seconds.
const FRESH: i64 = 3 * PERIOD;
/// Where more than one in this many instances that should report has no recent datapoint, ...
const MANY: usize = 4;
/// ... and at least this many have none, CloudWatch may be late for a part of the fleet. ...
const LEAST_MANY: usize = 3;
/// ... Its delays are over by then, in seconds. Until then, no instance counts as stopped.
const LATE_CLOUDWATCH: i64 = 90 * 60;
/// Seconds before an instance goes off by its schedule in which it need not report: on the day that
/// clocks change, it goes off an hour earlier by UTC.
const GOES_OFF: i64 = 3600;

/// The changes of the episodes of the instances in one run.
pub(crate) type Changes = Vec<(TargetId, Change)>;

/// A change with the incident that it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) instance: TargetId,
    pub(crate) change: Change,
    pub(crate) note: Note<TargetId>,
    /// Whether the episode had begun before, as a notice, and pages now.
    pub(crate) risen: bool,
}

impl Told {
    /// Whether an episode begins.
    pub(crate) fn is_new(&self) -> bool {
        matches!(self.change, Change::Began(..)) && !self.risen
    }
}

/// Joins the changes to incidents. `machines` is the number of watched instances.
pub(crate) fn incidents(
    state: &mut State,
    fleet: &Fleet,
    changes: Changes,
    groups: &Groups,
    machines: usize,
) -> Vec<Told> {
    let State { incidents, instances, .. } = state;
    let open = |instance: &TargetId| instances.get(instance)?.episodes.open().copied();
    let around = Surroundings {
        now: fleet.times.end,
        machines,
        group: &|instance| groups.with_size(instance),
        open: &open,
        young: &|instance| instances.get(instance).is_some_and(Followed::is_young),
    };
    let (notes, risen) = incidents.update(&changes, &around);
    let told = changes.into_iter().zip(notes).map(|((instance, change), note)| Told {
        instance,
        change,
        note,
        risen: false,
    });
    let mut told: Vec<Told> = told.collect();
    for (instance, note) in risen {
        let severest = |scored: &&Scored| scored.severity.value();
        let scored = fleet.scored.get(&instance).into_iter().flatten();
        let scored = scored.max_by(|a, b| severest(a).total_cmp(&severest(b))).copied();
        let Some(episode) = open(&instance) else { continue };
        told.push(Told { instance, change: Change::Began(episode, scored), note, risen: true });
    }
    told
}

/// Applies the new scores to the episodes and the tally of the fleet, and gives the changes. The
/// bands that are to be published are `due`.
pub(crate) fn episodes(state: &mut State, fleet: &Fleet, rule: MOfN, due: &mut Due) -> Changes {
    let mut changes = Changes::new();
    for (instance, scored) in &fleet.scored {
        let Some(followed) = state.instances.get_mut(instance) else { continue };
        for scored in scored {
            state.tally.add(scored);
            let lasted = followed.episodes.open().is_some();
            let changed = followed.episodes.update_at(scored, rule, fleet.times.end);
            let lasts = lasted || followed.episodes.open().is_some();
            due.take_in(instance, &mut followed.bands, scored, lasts);
            changes.extend(changed.into_iter().map(|change| (instance.clone(), change)));
        }
    }
    changes
}

/// Checks the instances without recent datapoints. It does so only if others of the fleet have
/// some. Otherwise CloudWatch is behind, or no instance reports, and there is an alarm for that.
/// `told`: whether missing datapoints count as an anomaly at all.
pub(crate) fn silent<O: Objects>(
    state: &mut State,
    fleet: &Fleet,
    store: &Store<O>,
    mutes: &Muted,
    told: bool,
    due: &mut Due,
) -> Changes {
    let until = fleet.times.end;
    let is_recent = |end: i64| end >= until - FRESH;
    let newest = state.instances.values().filter_map(|followed| followed.track.end()).max();
    if !newest.is_some_and(is_recent) {
        return Changes::new();
    }
    // Whether an instance should have reported in all slots since `end`.
    let should = |instance: &TargetId, end: i64| {
        let muted = mutes.of(instance);
        let reports = |time: i64| match store.baselines.of(instance, calibrated_at(time)) {
            Known::Baseline(baseline) => {
                baseline.reports(time) && baseline.reports(time + GOES_OFF)
            }
            _ => false,
        };
        (end..until).step_by(PERIOD as usize).all(|time| !muted(time) && reports(time))
    };
    let mut missing: BTreeMap<TargetId, bool> = BTreeMap::new();
    let mut reporting = 0;
    for (instance, followed) in &state.instances {
        let Some(end) = followed.track.end() else { continue };
        if is_recent(end) {
            reporting += 1;
        } else if fleet.looked_at(instance) {
            // Where it could not be read, this is unknown.
            let lately = until - end < LATE;
            missing.insert(instance.clone(), told && lately && should(instance, end));
        }
    }
    let stopped = missing.values().filter(|should| **should).count();
    let are_many = stopped >= LEAST_MANY && MANY * stopped > stopped + reporting;
    let mut changes = Changes::new();
    for (instance, should) in missing {
        let Some(followed) = state.instances.get_mut(&instance) else { continue };
        let Some(end) = followed.track.end() else { continue };
        let should = should && (!are_many || until - end >= LATE_CLOUDWATCH);
        let changed = followed.episodes.silent(end, until, || should);
        if changed.iter().any(|change| matches!(change, Change::Began(..))) {
            due.begins(&instance, &mut followed.bands);
        }
        changes.extend(changed.into_iter().map(|change| (instance.clone(), change)));
    }
    changes
}

/// The datums about the new scores and about the fleet. `began` is the times, in seconds since
/// 1970, at which an instance counts as one in which an anomaly begins.
pub(crate) fn datums(
    state: &mut State,
    fleet: &Fleet,
    mode: Mode,
    began: impl Iterator<Item = i64>,
) -> Vec<Datum> {
    let mut times = fleet.times_scored();
    for time in began {
        state.tally.begins(time);
        times.insert(time);
    }
    let mut datums: Vec<Datum> = Vec::new();
    for (instance, scored) in &fleet.scored {
        let Some(followed) = state.instances.get_mut(instance) else { continue };
        datums.extend(mode.datums(instance, scored, &mut followed.tail));
    }
    datums.extend(state.tally.datums(&times));
    datums
}

/// The times at which an instance of `told` begins to page, alone or with others, in seconds since
/// 1970. `newest` is the time of a notice that pages now.
pub(crate) fn pages(told: &[Told], newest: i64) -> impl Iterator<Item = i64> {
    told.iter().filter(|told| told.note.paged).filter_map(move |told| match &told.change {
        Change::Began(..) if told.risen => Some(newest),
        Change::Began(episode, _) => Some(episode.told),
        Change::Ended(..) => None,
    })
}

/// The times at which episodes begin, in seconds since 1970.
pub(crate) fn beginnings(changes: &Changes) -> impl Iterator<Item = i64> {
    changes.iter().filter_map(|(_, change)| match change {
        Change::Began(episode, _) => Some(episode.told),
        Change::Ended(..) => None,
    })
}

/// The alerts about the changes, decided at `now` (seconds since 1970).
pub(crate) fn alerts<O: Objects>(
    told: Vec<Told>,
    now: i64,
    store: &Store<O>,
    detector: &Detector,
    model_days: Option<f64>,
    messages: Messages,
) -> Vec<Pending> {
    let model = detector.artifact().version();
    let alert = |Told { instance, change, note, risen: _ }: Told| {
        let at = calibrated_at(pending::time(&change));
        let baseline = match store.baselines.of(&instance, at) {
            Known::Baseline(baseline) => Some(Learnt::from(baseline)),
            _ => None,
        };
        let basis = Basis { model: model.clone(), model_days, baseline };
        let unsent = messages.unsent(pending::kind(&change), note.page);
        Pending { instance, change, basis, note, decided: now, unsent }
    };
    told.into_iter().map(alert).collect()
}
