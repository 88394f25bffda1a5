//! Turns new scores into datums to publish and alerts to send. All of it is decided before anything
//! is written down.

use std::collections::BTreeMap;

use deepguard::Detector;
use deepguard::baseline::calibrated_at;
use deepguard::episode::{Change, MOfN};
use deepguard::series::PERIOD;
use deepguard::track::Known;
use deepguard_aws::alert::Alert;
use deepguard_aws::ids::InstanceId;
use deepguard_aws::metric::Datum;
use deepguard_aws::ports::Objects;

use crate::alert::About;
use crate::alert::console::Console;
use crate::run::outcome::Fleet;
use crate::state::State;
use crate::state::store::Store;
use crate::state::tally::Mode;
use crate::watched::muted::Muted;

/// CloudWatch is up to date if another instance of the fleet has a datapoint no older than this, in
/// seconds.
const FRESH: i64 = 3 * PERIOD;

/// What happened to the episodes of the instances in one run.
pub(crate) type Changes = Vec<(InstanceId, Change)>;

/// Applies the new scores to the episodes and the tally of the fleet, and gives the changes.
pub(crate) fn episodes(state: &mut State, fleet: &Fleet, rule: MOfN) -> Changes {
    let mut changes = Changes::new();
    for (instance, scored) in &fleet.scored {
        let Some(followed) = state.instances.get_mut(instance) else { continue };
        for scored in scored {
            state.tally.add(scored);
            changes.extend(
                followed
                    .episodes
                    .update(scored, rule)
                    .into_iter()
                    .map(|change| (instance.clone(), change)),
            );
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
) -> Changes {
    let until = fleet.times.end;
    let newest = state.instances.values().filter_map(|followed| followed.track.end()).max();
    if newest.is_none_or(|newest| newest < until - FRESH) {
        return Changes::new();
    }
    let mut changes = Changes::new();
    for (instance, followed) in &mut state.instances {
        let Some(end) = followed.track.end().filter(|end| *end < until - FRESH) else { continue };
        // Where it could not be read, this is unknown.
        if !fleet.looked_at(instance) {
            continue;
        }
        let muted = mutes.of(instance);
        let should = || {
            let slots = || (end..until).step_by(PERIOD as usize);
            let reports = |time: i64| match store.baselines.of(instance, calibrated_at(time)) {
                Known::Baseline(baseline) => baseline.hours.reports(time),
                _ => false,
            };
            told && slots().all(|time| !muted(time) && reports(time))
        };
        let changed = followed.episodes.silent(end, until, should);
        changes.extend(changed.into_iter().map(|change| (instance.clone(), change)));
    }
    changes
}

/// The datums about the new scores and about the fleet.
pub(crate) fn datums(
    state: &mut State,
    fleet: &Fleet,
    mode: Mode,
    changes: &Changes,
) -> Vec<Datum> {
    let mut times = fleet.times_scored();
    for (_, change) in changes {
        if let Change::Began(episode, _) = change {
            state.tally.begins(episode.told);
            times.insert(episode.told);
        }
    }
    let mut datums: Vec<Datum> = Vec::new();
    for (instance, scored) in &fleet.scored {
        let Some(followed) = state.instances.get_mut(instance) else { continue };
        datums.extend(mode.datums(instance, scored, &mut followed.tail));
    }
    datums.extend(state.tally.datums(&times));
    datums
}

/// The alerts about the changes.
pub(crate) fn alerts<O: Objects>(
    changes: &Changes,
    store: &Store<O>,
    detector: &Detector,
    model_days: Option<f64>,
    console: &Console,
    names: &BTreeMap<InstanceId, String>,
) -> Vec<Alert> {
    let version = detector.artifact().version();
    let alert = |(instance, change): &(InstanceId, Change)| {
        let time = match change {
            Change::Began(episode, _) => episode.told,
            Change::Ended(_, _, at) => *at,
        };
        let baseline = match store.baselines.of(instance, calibrated_at(time)) {
            Known::Baseline(baseline) => Some(baseline),
            _ => None,
        };
        let name = names.get(instance).map(String::as_str);
        About { instance, name, baseline, model: &version, model_days, console }.alert(change)
    };
    changes.iter().map(alert).collect()
}
