//! The evaluation: measures the finds of the detector on real machines, on NAB and on injected
//! faults, compares them with other detectors, and writes a report.
//!
//! - [`real`]: real machines, which come first;
//! - [`corpus`]: NAB's files, and what a detector makes of their rows; [`inject`]: machines with
//!   faults of a known kind;
//! - [`nab_score`]: NAB's own score; [`measures`], [`vus`]: others; [`bootstrap`]: how sure a
//!   difference is;
//! - [`labelled`]: what people have said about alerts;
//! - [`peers`]: what a user would pick instead; [`nab_results`]: NAB's format, for NAB's own
//!   runner;
//! - [`tables`]: the tables of NAB; [`fault_tables`]: those of injected faults; [`gain`]: the
//!   difference that the network makes;
//! - [`pictures`]: the pictures; [`report`]: the report and the model card, put together.
//!
//! No file is scored by a network that has seen it: networks are trained two-fold by file, several
//! times with other seeds.

pub(crate) mod bootstrap;
pub(crate) mod charts;
mod corpus;
mod fault_tables;
mod gain;
pub(crate) mod inject;
mod labelled;
mod linear;
mod measures;
mod nab_results;
mod nab_score;
pub(crate) mod peers;
mod pictures;
pub(crate) mod real;
mod report;
mod tables;
mod vus;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use corpus::{Entry, Judgement, PUBLISHED, Run, THRESHOLD};
use deepguard::model::device;
use deepguard::{Artifact, Detector, Scored, Series};
use inject::{Bench, BenchOutcome};
pub(crate) use labelled::Labelled;
use peers::PEERS;
use real::data::Real;
use real::{Extent, Told};

use crate::build::nab::Nab;
use crate::build::train::{self, Options, Source};
use crate::common::parallel::{bar, parallel};
use crate::common::table::Table;

/// Folds of NAB's files: a network is trained on one and scores the other.
const FOLDS: usize = 2;
/// Generated machines of each kind, and faults of each kind on each machine.
const EACH: u64 = 6;
const ONSETS: u64 = 3;

/// How much is evaluated.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Networks are trained with the seeds 1 to this number. 0 trains no network and evaluates the
    /// artifact itself.
    pub(crate) seeds: u64,
    /// Generated machines to train on beside NAB's files.
    pub(crate) generated: u64,
    /// Passes over the windows.
    pub(crate) epochs: usize,
    /// Alerts that people have judged.
    pub(crate) labelled: Option<Labelled>,
    /// Real machines, where they are available.
    pub(crate) real: Option<Real>,
}

/// All results of an evaluation.
struct Findings {
    artifact: Artifact,
    seeds: u64,
    /// Results on real machines.
    real: Vec<Told>,
    /// How much generated machines resemble real ones; `None` without real machines.
    likeness: Option<Table>,
    entries: Vec<Entry>,
    /// The detector, once for each seed, scored by the networks that have not seen the file.
    ours: Vec<Run>,
    /// The same without a network.
    without: Run,
    /// Detectors that a user would pick instead.
    peers: Vec<Run>,
    /// Detectors whose scores NAB publishes.
    published: Vec<Run>,
    /// Every score of the EC2 files, by entry, of the first seed.
    scored: BTreeMap<usize, Vec<Scored>>,
    benches: Vec<Compared>,
    /// Results on alerts that people have judged.
    labelled: Option<Table>,
}

/// A bench, and the scores of each detector on it.
struct Compared {
    name: &'static str,
    bench: Bench,
    ours: Vec<BenchOutcome>,
    without: BenchOutcome,
    peers: Vec<BenchOutcome>,
}

/// The networks of one seed: one for each fold, or the artifact for all.
struct Networks {
    name: String,
    folds: Vec<Artifact>,
}

impl Networks {
    /// The detector that has not seen the item with this number.
    fn unseen_by(&self, number: usize) -> Detector {
        Detector::new(self.folds[number % self.folds.len()].clone(), &device())
    }
}

/// Evaluates, and writes the report into the folder `out` and the model card to `card`.
///
/// # Errors
/// Where NAB cannot be read, a training fails, something cannot be written, or `stop` is set.
pub(crate) fn evaluate(
    artifact: Artifact,
    nab: &Nab,
    plan: &Plan,
    out: &Path,
    card: Option<&Path>,
    stop: &AtomicBool,
) -> Result<()> {
    let said =
        plan.labelled.as_ref().map(|said| said.table(&Detector::new(artifact.clone(), &device())));
    let entries = corpus::load(nab)?;
    let networks = match plan.seeds {
        0 => vec![Networks { name: "DeepGuard".into(), folds: vec![artifact.clone()] }],
        _ => train_folds(&entries, &artifact, plan, stop)?,
    };
    let benches = match plan.seeds {
        0 => vec![("generated machines", inject::generated(EACH, 1))],
        _ => vec![
            ("generated machines", inject::generated(EACH, ONSETS)),
            ("clean parts of the development files", inject::clean_parts(&entries, ONSETS)),
        ],
    };
    let extent = match plan.seeds {
        0 => Extent { trials: 1, servers: 2 },
        _ => Extent { trials: 3, servers: usize::MAX },
    };
    let real = plan
        .real
        .as_ref()
        .map(|real| real::evaluate(real, &networks, &artifact, extent, stop))
        .transpose()?;
    let likeness =
        plan.real.as_ref().map(|real| likeness(real, &entries, &benches[0].1)).transpose()?;
    let bare = || Detector::without_network(artifact.clone());

    let labelled: Vec<usize> =
        (0..entries.len()).filter(|&index| entries[index].labels.is_some()).collect();
    let machines: usize = benches.iter().map(|(_, bench)| bench.machines.len()).sum();
    let bar = bar("series", (networks.len() + 1) * (labelled.len() + machines))?;
    let jobs: Vec<(Option<&Networks>, usize)> = std::iter::once(None)
        .chain(networks.iter().map(Some))
        .flat_map(|of| labelled.iter().map(move |&index| (of, index)))
        .collect();
    let judged = parallel(&jobs, stop, |&(networks, index)| {
        let detector = networks.map_or_else(bare, |networks| networks.unseen_by(index));
        let judged = entries[index].judge(&detector);
        bar.inc(1);
        Ok(judged)
    })?;
    let mut scored = BTreeMap::new();
    let mut runs: Vec<Run> = Vec::new();
    for (number, judged) in judged.chunks(labelled.len()).enumerate() {
        let name =
            if number == 0 { "DeepGuard without its network" } else { &networks[number - 1].name };
        let mut files: Vec<Option<Judgement>> = vec![None; entries.len()];
        for (&index, (judgement, all)) in labelled.iter().zip(judged) {
            files[index] = Some(judgement.clone());
            if number == 1 && entries[index].file.is_ec2_cpu() {
                scored.insert(index, all.clone());
            }
        }
        runs.push(Run { name: name.into(), threshold: Some(THRESHOLD), files });
    }
    let without = runs.remove(0);

    let mut compared = Vec::new();
    for (name, bench) in benches {
        let jobs: Vec<(Option<&Networks>, usize)> = std::iter::once(None)
            .chain(networks.iter().map(Some))
            .flat_map(|of| (0..bench.machines.len()).map(move |machine| (of, machine)))
            .collect();
        let mut seen = parallel(&jobs, stop, |&(networks, machine)| {
            let unseen = bench.machines[machine].entry.unwrap_or(machine);
            let detector = networks.map_or_else(bare, |networks| networks.unseen_by(unseen));
            let seen = bench.see(machine, &detector)?;
            bar.inc(1);
            Ok(seen)
        })?
        .into_iter();
        let mut next =
            |name: &str| bench.outcome(name, seen.by_ref().take(bench.machines.len()).collect());
        let without = next("without its network");
        let ours = networks.iter().map(|networks| next(&networks.name)).collect();
        let peers = PEERS.iter().map(|peer| bench.with_peer(peer)).collect();
        compared.push(Compared { name, bench, ours, without, peers });
    }
    bar.finish_and_clear();

    let findings = Findings {
        artifact,
        seeds: plan.seeds,
        real: real.unwrap_or_default(),
        likeness,
        peers: PEERS.iter().map(|peer| corpus::with_peer(peer, &entries)).collect(),
        published: PUBLISHED
            .iter()
            .map(|name| corpus::published(nab, &entries, name))
            .collect::<Result<_>>()?,
        ours: runs,
        without,
        scored,
        benches: compared,
        labelled: said,
        entries,
    };
    findings.write(out, card)
}

/// Statistics of real machines beside those of NAB's and of generated ones.
fn likeness(real: &Real, entries: &[Entry], generated: &inject::Bench) -> Result<Table> {
    let values = |series: &Series| -> Vec<f64> {
        (0..series.len()).map(|slot| series.get(slot).unwrap_or(f64::NAN)).collect()
    };
    let of = |machines: &[real::data::RealMachine]| {
        machines
            .iter()
            .flat_map(|machine| &machine.metrics)
            .map(|metric| values(&metric.series))
            .collect()
    };
    let ec2 = entries.iter().filter(|entry| entry.file.is_ec2_cpu());
    let ec2 = ec2.map(|entry| Ok(values(&entry.file.series()?.0))).collect::<Result<Vec<_>>>()?;
    let learnt =
        Source::generated(train::GENERATED)?.iter().map(|source| values(&source.series)).collect();
    let judged = generated.machines.iter().map(|machine| machine.values.clone()).collect();
    Ok(real::likeness::table(&[
        ("real CPU", of(&real.cpu)),
        ("servers' metrics", of(&real.servers)),
        ("NAB's EC2 CPU", ec2),
        ("generated to train on", learnt),
        ("generated to evaluate on", judged),
    ]))
}

/// Trains a network for each seed and fold, with the artifact's shape and threshold.
fn train_folds(
    entries: &[Entry],
    artifact: &Artifact,
    plan: &Plan,
    stop: &AtomicBool,
) -> Result<Vec<Networks>> {
    let jobs: Vec<(u64, usize)> =
        (1..=plan.seeds).flat_map(|seed| (0..FOLDS).map(move |fold| (seed, fold))).collect();
    // Thousandths of a training.
    let bar = bar("thousandths of trainings", 1000 * jobs.len())?;
    let trained = parallel(&jobs, stop, |&(seed, fold)| {
        let learnt = entries.iter().enumerate().filter(|(index, _)| index % FOLDS != fold);
        let mut sources =
            learnt.map(|(_, entry)| Source::of(&entry.file)).collect::<Result<Vec<_>>>()?;
        sources.extend(Source::generated(plan.generated)?);
        sources.extend(
            plan.real
                .iter()
                .flat_map(|real| real::data::sources(real, |number| number % FOLDS != fold)),
        );
        let card = artifact.card();
        let options = Options {
            seed,
            epochs: plan.epochs,
            batch: train::BATCH,
            learning_rate: train::LEARNING_RATE,
            threshold: card.threshold,
            shape: card.shape,
            date: card.training.date.clone(),
            // Several trainings at once already use all processors.
            threads: NonZeroUsize::MIN,
        };
        let mut told = 0;
        train::train(&sources, &options, stop, |progress| {
            let done = 1000 * progress.done / progress.total;
            bar.inc((done - told) as u64);
            told = done;
        })
    })?;
    bar.finish_and_clear();
    let folds = trained.chunks(FOLDS).zip(1..);
    Ok(folds
        .map(|(folds, seed): (_, u64)| Networks {
            name: format!("DeepGuard, seed {seed}"),
            folds: folds.to_vec(),
        })
        .collect())
}
