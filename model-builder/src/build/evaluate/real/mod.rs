//! The evaluation on real machines: measures the finds at a known rate of false pages and compares
//! them with other detectors.
//!
//! - [`data`]: machines and labels; [`download`]: the public ones; [`inject`]: faults put into CPU;
//! - [`likeness`]: how much generated machines are like them;
//! - [`rates`]: thresholds, false pages and finds; [`peers`], [`ridge`]: what a user would pick
//!   instead;
//! - [`tables`], [`pictures`]: what comes out.
//!
//! No machine is scored by a network that has seen it: see [`data::sources`].

pub(crate) mod data;
mod download;
mod inject;
pub(super) mod likeness;
mod peers;
mod pictures;
pub(crate) mod rates;
mod ridge;
mod tables;

use std::sync::atomic::AtomicBool;

use anyhow::Result;
use deepguard::series::PERIOD;
use deepguard::{Artifact, Detector, Scored, Series, Watch};
use indicatif::ProgressBar;

use self::data::{Real, RealMachine};
use self::inject::{InjectedFault, Kind, faults};
use self::rates::{Fresh, Quiet, Truth, Wanted};
pub(super) use self::tables::Told;
use super::Networks;
use super::peers::{Peer, REFRACTORY, records};
use crate::common::parallel::{bar, parallel};

/// The size of the evaluation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    /// Faults of each kind in each CPU series.
    pub(super) trials: u64,
    /// The largest number of servers.
    pub(super) servers: usize,
}

/// Machines of one sort, and the results of each detector on them.
struct MachineGroup {
    /// Their description, in words.
    name: &'static str,
    /// The same in the name of a file.
    short: &'static str,
    machines: Vec<RealMachine>,
    truth: Truth,
    ours: Vec<Vec<Fresh>>,
    without: Vec<Fresh>,
    peers: Vec<(&'static Peer, Vec<Fresh>)>,
    pictured: Vec<Pictured>,
}

/// A fault to draw.
#[derive(Debug)]
pub(super) struct Pictured {
    name: String,
    fault: InjectedFault,
    series: Series,
    with: Vec<Scored>,
    without: Vec<Scored>,
}

/// The detectors to compare.
#[derive(Clone, Copy)]
enum By<'a> {
    Network(&'a Networks),
    NoNetwork(&'a Artifact),
    Peer(&'static Peer),
}

/// Follows all machines with each detector, and reports the finds.
///
/// # Errors
/// Where `stop` is set.
pub(super) fn evaluate(
    real: &Real,
    networks: &[Networks],
    artifact: &Artifact,
    extent: Extent,
    stop: &AtomicBool,
) -> Result<Vec<Told>> {
    let servers = real.servers.iter().rev().take(extent.servers).rev().cloned().collect();
    let mut told = Vec::new();
    for (name, short, machines, trials) in [
        ("CPU with injected faults", "cpu", real.cpu.clone(), extent.trials),
        ("labelled servers", "servers", servers, 0),
    ] {
        if !machines.is_empty() {
            told.push(
                MachineGroup::of(name, short, machines, trials, networks, artifact, stop)?.tell(),
            );
        }
    }
    Ok(told)
}

impl MachineGroup {
    fn of(
        name: &'static str,
        short: &'static str,
        machines: Vec<RealMachine>,
        trials: u64,
        networks: &[Networks],
        artifact: &Artifact,
        stop: &AtomicBool,
    ) -> Result<Self> {
        let faulty: Vec<Vec<InjectedFault>> = machines
            .iter()
            .map(|machine| faults(&machine.metrics[0].series, trials, machine.number as u64 + 1))
            .collect();
        let truth = truth(&machines, &faulty);
        let peers = || super::peers::PEERS.iter().chain(&peers::PEERS);
        let all: Vec<By<'_>> = std::iter::once(By::NoNetwork(artifact))
            .chain(networks.iter().map(By::Network))
            .chain(peers().map(By::Peer))
            .collect();
        let jobs: Vec<(By<'_>, usize)> = all
            .iter()
            .flat_map(|&by| (0..machines.len()).map(move |machine| (by, machine)))
            .collect();
        let bar: ProgressBar = bar(&format!("machines, {name}"), jobs.len())?;
        let seen = parallel(&jobs, stop, |&(by, machine)| {
            let tracks = by.follow(&machines[machine], &faulty[machine]);
            bar.inc(1);
            Ok(tracks)
        })?;
        bar.finish_and_clear();
        let mut seen = seen.chunks(machines.len()).map(|tracks| tracks.concat());
        let without = seen.next().unwrap_or_default();
        let ours = seen.by_ref().take(networks.len()).collect();
        let peers = peers().zip(seen).collect();
        let pictured = pictured(&machines, &faulty, networks, artifact);
        Ok(Self { name, short, truth, ours, without, peers, pictured, machines })
    }
}

/// The targets in the tracks: for each machine its metrics, then the same metrics with each of its
/// faults.
fn truth(machines: &[RealMachine], faulty: &[Vec<InjectedFault>]) -> Truth {
    let mut truth = Truth { machines: machines.len(), ..Truth::default() };
    let mut track = 0;
    for (machine, (of, faults)) in machines.iter().zip(faulty).enumerate() {
        let clean = track;
        for metric in &of.metrics {
            let labelled = metric.shown.iter().chain(&metric.elsewhere).cloned().collect();
            truth.quiet.push(Quiet {
                machine,
                track,
                judged: metric.judged_from..metric.series.end(),
                labelled,
            });
            let shown = metric.shown.iter().cloned();
            truth.wanted.extend(shown.map(|span| Wanted {
                machine,
                kind: metric.kind,
                track,
                span,
                clean: None,
            }));
            track += 1;
        }
        for fault in faults {
            let span = fault.span(&of.metrics[0].series);
            truth.wanted.push(Wanted {
                machine,
                kind: fault.kind.name(),
                track,
                span,
                clean: Some(clean),
            });
            track += 1;
        }
    }
    truth
}

impl By<'_> {
    /// The tracks of one machine.
    fn follow(self, machine: &RealMachine, faults: &[InjectedFault]) -> Vec<Fresh> {
        match self {
            By::Network(networks) => followed(&networks.unseen_by(machine.number), machine, faults),
            By::NoNetwork(artifact) => {
                followed(&Detector::without_network(artifact.clone()), machine, faults)
            }
            By::Peer(peer) => {
                let faulty = faults.iter().map(|fault| fault.put_into(&machine.metrics[0].series));
                let all = machine.metrics.iter().map(|metric| metric.series.clone()).chain(faulty);
                all.map(|series| peer_fresh(peer, &series)).collect()
            }
        }
    }
}

/// The tracks of one machine, followed by a detector of ours.
fn followed(detector: &Detector, machine: &RealMachine, faults: &[InjectedFault]) -> Vec<Fresh> {
    let mut tracks: Vec<Fresh> = Vec::new();
    for (number, metric) in machine.metrics.iter().enumerate() {
        let mut faults: Vec<(usize, &InjectedFault)> =
            if number == 0 { faults.iter().enumerate().collect() } else { Vec::new() };
        faults.sort_by_key(|(_, fault)| fault.onset);
        let (clean, faulty) = with_faults(detector, &metric.series, &faults);
        tracks.push(clean);
        tracks.extend(faulty);
    }
    tracks
}

/// The track of a series, and those with each of its faults. The faults are processed by onset and
/// returned by number.
fn with_faults(
    detector: &Detector,
    series: &Series,
    faults: &[(usize, &InjectedFault)],
) -> (Fresh, Vec<Fresh>) {
    let mut faulty = vec![Fresh::new(); faults.len()];
    let (mut clean, mut watch) = (Fresh::new(), Watch::default());
    for &(number, fault) in faults {
        // Up to its onset a series with a fault is the one without.
        clean.extend(fresh(&detector.follow(series, &mut watch, series.time_of(fault.onset))));
        let until = fault.span(series).end() + LOOKED_AT;
        let altered = detector.follow(&fault.put_into(series), &mut watch.clone(), until);
        faulty[number] = clean.iter().copied().chain(fresh(&altered)).collect();
    }
    clean.extend(fresh(&detector.follow(series, &mut watch, series.end())));
    (clean, faulty)
}

/// Seconds after the start of a fault's last datapoint in which a page still finds it, plus one
/// datapoint.
const LOOKED_AT: i64 = rates::SLACK + 2 * PERIOD;

fn fresh(scored: &[Scored]) -> Fresh {
    let surpassing = scored.iter().filter(|scored| scored.surpasses && scored.score.value() > 0.0);
    surpassing.map(|scored| (scored.time, scored.score.value())).collect()
}

fn peer_fresh(peer: &Peer, series: &Series) -> Fresh {
    let values: Vec<f64> =
        (0..series.len()).map(|slot| series.get(slot).unwrap_or(f64::NAN)).collect();
    let records = records(&(peer.score)(&values), REFRACTORY).into_iter().enumerate();
    records
        .filter(|(_, score)| score.is_finite())
        .map(|(slot, score)| (series.time_of(slot), score))
        .collect()
}

/// The kinds of faults that are drawn.
const DRAWN: [Kind; 3] = [Kind::Shift, Kind::Crash, Kind::Leak];

/// For each kind that is drawn, the fault that changes most, each on another machine.
fn pictured(
    machines: &[RealMachine],
    faulty: &[Vec<InjectedFault>],
    networks: &[Networks],
    artifact: &Artifact,
) -> Vec<Pictured> {
    let all = || {
        machines
            .iter()
            .zip(faulty)
            .flat_map(|(machine, faults)| faults.iter().map(move |fault| (machine, fault)))
    };
    let mut pictured: Vec<Pictured> = Vec::new();
    for kind in DRAWN {
        let left = all().filter(|(machine, fault)| {
            fault.kind == kind && pictured.iter().all(|other| other.name != machine.name)
        });
        let change = |(machine, fault): &(&RealMachine, &InjectedFault)| {
            fault.change(&machine.metrics[0].series)
        };
        let most = left.max_by(|a, b| change(a).total_cmp(&change(b)));
        let (Some((machine, fault)), Some(networks)) = (most, networks.first()) else { continue };
        let series = fault.put_into(&machine.metrics[0].series);
        let follow =
            |detector: &Detector| detector.follow(&series, &mut Watch::default(), series.end());
        let with = follow(&networks.unseen_by(machine.number));
        let without = follow(&Detector::without_network(artifact.clone()));
        pictured.push(Pictured {
            name: machine.name.clone(),
            fault: fault.clone(),
            with,
            without,
            series,
        });
    }
    pictured
}

#[cfg(test)]
mod tests {
    use deepguard::Datapoint;
    use deepguard::model::device;

    use super::data::RealSeries;
    use super::*;
    use crate::testing::artifact;

    fn machine() -> RealMachine {
        let value = |slot: i64| {
            30.0 + 9.0 * (slot as f64 * 0.0218).sin() + (slot * 7919 % 101) as f64 / 50.0
        };
        let points =
            (0..21 * 288).map(|slot| Datapoint { time: slot * PERIOD, value: value(slot) });
        let series = Series::from_datapoints(points).unwrap().0;
        let metric = RealSeries {
            name: String::new(),
            judged_from: series.start() + 14 * 86_400,
            series,
            kind: "labelled",
            shown: vec![0..=600],
            elsewhere: Vec::new(),
        };
        RealMachine {
            number: 0,
            name: "one".into(),
            metrics: vec![metric.clone(), RealSeries { name: "b".into(), ..metric }],
        }
    }

    #[test]
    fn a_fault_is_followed_from_its_onset_as_the_whole_series_would_be() {
        let one = machine();
        let faults = faults(&one.metrics[0].series, 1, 1);
        let detector = Detector::new(artifact(), &device());
        let tracks = followed(&detector, &one, &faults);
        assert_eq!(tracks.len(), faults.len() + 2);
        let whole =
            |series: &Series| fresh(&detector.follow(series, &mut Watch::default(), series.end()));
        assert_eq!(tracks[0], whole(&one.metrics[0].series));
        for (fault, track) in faults.iter().zip(&tracks[1..]) {
            let altered = whole(&fault.put_into(&one.metrics[0].series));
            let until = fault.span(&one.metrics[0].series).end() + LOOKED_AT;
            let seen: Fresh = altered.into_iter().filter(|(time, _)| *time < until).collect();
            assert_eq!(*track, seen, "{}", fault.kind.name());
        }
        assert_eq!(
            tracks[faults.len() + 1],
            tracks[0],
            "the other metric has no faults and is the same series"
        );
    }

    #[test]
    fn tracks_are_those_that_the_truth_means() {
        let machines = [machine(), RealMachine { number: 1, ..machine() }];
        let faulty: Vec<Vec<InjectedFault>> =
            vec![Vec::new(), faults(&machines[1].metrics[0].series, 1, 1)];
        let truth = truth(&machines, &faulty);
        let quiet: Vec<_> = truth.quiet.iter().map(|quiet| (quiet.machine, quiet.track)).collect();
        assert_eq!(quiet, [(0, 0), (0, 1), (1, 2), (1, 3)]);
        let of = |kind: &'static str| truth.wanted.iter().filter(move |wanted| wanted.kind == kind);
        assert_eq!(of("labelled").map(|wanted| wanted.track).collect::<Vec<_>>(), [0, 1, 2, 3]);
        let leak: Vec<_> = of(Kind::Leak.name())
            .map(|wanted| (wanted.machine, wanted.track, wanted.clean))
            .collect();
        assert_eq!(leak, [(1, 5, Some(2))]);
        let peer = &peers::PEERS[0];
        assert_eq!(By::Peer(peer).follow(&machines[1], &faulty[1]).len(), 2 + Kind::ALL.len());
    }
}
