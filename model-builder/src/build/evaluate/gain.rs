//! The gain from the network: the difference to the detector without it, and how sure that is.

use anyhow::Result;

use super::Findings;
use super::bootstrap::{Interval, SEED, bootstrap};
use super::corpus::Run;
use super::fault_tables::{RATES, eight};
use super::nab_score::{ApplicationProfile, FileOutcome};
use super::tables::{FileGroup, strings};
use crate::common::table::Table;

/// Resamples of a bootstrap.
const RESAMPLES: usize = 2000;

impl Findings {
    /// The gain from the network, with 95 % intervals: name, unit and difference.
    pub(super) fn differences(&self) -> Result<Vec<(String, Interval)>> {
        let mut found: Vec<_> =
            self.real.iter().flat_map(|told| told.differences.clone()).collect();
        for group in FileGroup::ALL {
            let indices: Vec<usize> = self
                .group(group)
                .into_iter()
                .filter(|&index| self.entries[index].labels.is_some())
                .collect();
            let outcomes = |run: &Run| -> Result<Vec<FileOutcome>> {
                Ok(run
                    .rows(&self.entries, &indices)?
                    .at(&ApplicationProfile::STANDARD, super::THRESHOLD)
                    .files)
            };
            let without = outcomes(&self.without)?;
            let ours = self.ours.iter().map(outcomes).collect::<Result<Vec<_>>>()?;
            let score = |files: &[FileOutcome], chosen: &[usize]| {
                ApplicationProfile::STANDARD.score(chosen.iter().map(|&file| &files[file]))
            };
            let difference = |chosen: &[usize]| {
                let mean =
                    ours.iter().map(|files| score(files, chosen)).sum::<f64>() / ours.len() as f64;
                mean - score(&without, chosen)
            };
            let interval = bootstrap(indices.len(), RESAMPLES, SEED, difference);
            found.extend(interval.map(|interval| {
                (format!("NAB standard at the fixed threshold, {}", group.name()), interval)
            }));
        }
        for compared in &self.benches {
            for rate in RATES {
                let without = compared.by_machine(&compared.without, rate);
                let ours: Vec<_> = compared
                    .ours
                    .iter()
                    .map(|outcome| compared.by_machine(outcome, rate))
                    .collect();
                let difference = |chosen: &[usize]| {
                    let mean = ours.iter().map(|seed| eight(seed, chosen)).sum::<f64>()
                        / ours.len() as f64;
                    mean - eight(&without, chosen)
                };
                let interval =
                    bootstrap(compared.bench.machines.len(), RESAMPLES, SEED, difference);
                let name = format!(
                    "% of the eight faults found at {rate} false alarms a week, {}",
                    compared.name
                );
                found.extend(interval.map(|interval| (name, interval)));
            }
        }
        Ok(found)
    }

    /// [`Self::differences`] as a table.
    pub(super) fn difference_table(&self) -> Result<Table> {
        let cells = |(name, interval): (String, Interval)| {
            let Interval { estimate, low, high } = interval;
            let sure = if interval.excludes_zero() { "yes" } else { "no" };
            vec![name, format!("{estimate:+.1}"), format!("{low:+.1} to {high:+.1}"), sure.into()]
        };
        Ok(Table {
            title: "With the network minus without it".into(),
            note: "The detector without its network is the same in all else: each instance's own \
                   forecast stands alone. Intervals: paired bootstrap over files or machines, \
                   seeds averaged; thresholds held fixed, but for real machines, where each \
                   resample has its own."
                .into(),
            header: strings(["measure", "difference", "95 %", "sure"]),
            rows: self.differences()?.into_iter().map(cells).collect(),
            strong: Vec::new(),
        })
    }
}
