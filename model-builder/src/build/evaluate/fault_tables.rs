//! Tables of the results on machines with injected faults.

use deepguard::series::PERIOD;

use super::Compared;
use super::inject::{Bench, BenchOutcome};
use super::tables::{spread, strings};
use crate::build::workload::fault::Fault;
use crate::common::table::Table;

/// False alarms per machine and week at which detection is compared.
pub(super) const RATES: [f64; 2] = [1.0, 0.5];

impl Compared {
    /// All seeds of ours as one, then all others.
    pub(super) fn contestants(&self) -> Vec<(String, Vec<&BenchOutcome>)> {
        let others = std::iter::once(&self.without).chain(&self.peers);
        std::iter::once(("DeepGuard".to_string(), self.ours.iter().collect()))
            .chain(others.map(|outcome| (outcome.name.clone(), vec![outcome])))
            .collect()
    }

    /// Percent of the cases of the given faults that are found, for each seed.
    pub(super) fn detection(
        &self,
        outcomes: &[&BenchOutcome],
        rate: f64,
        faults: &[Fault],
    ) -> Vec<f64> {
        let of = |outcome: &&BenchOutcome| {
            let found = self.bench.found(outcome, self.bench.threshold(outcome, rate));
            mean_over(faults, |fault| share(&self.bench, &found, |case| case == fault))
        };
        outcomes.iter().map(of).collect()
    }

    /// For each machine and each of the eight faults: found cases, and all cases.
    pub(super) fn by_machine(
        &self,
        outcome: &BenchOutcome,
        rate: f64,
    ) -> Vec<[(u32, u32); Fault::EIGHT.len()]> {
        let found = self.bench.found(outcome, self.bench.threshold(outcome, rate));
        let mut counts = vec![[(0, 0); Fault::EIGHT.len()]; self.bench.machines.len()];
        for (case, found) in self.bench.cases.iter().zip(found) {
            if let Some(fault) = Fault::EIGHT.iter().position(|fault| *fault == case.fault) {
                let (hits, cases) = &mut counts[case.machine][fault];
                *hits += u32::from(found.is_some());
                *cases += 1;
            }
        }
        counts
    }

    /// Finds of each fault at a rate of false alarms.
    pub(super) fn faults(&self, rate: f64) -> Table {
        let contestants = self.contestants();
        let cells = |name: &str, faults: &[Fault]| {
            let cell = |(_, outcomes): &(String, Vec<&BenchOutcome>)| {
                let values = self.detection(outcomes, rate, faults);
                format!("{:.0}", values.iter().sum::<f64>() / values.len() as f64)
            };
            std::iter::once(name.to_string())
                .chain(contestants.iter().map(cell))
                .collect::<Vec<_>>()
        };
        let others: Vec<Fault> = Fault::ALL
            .into_iter()
            .filter(|fault| !Fault::EIGHT.contains(fault) && *fault != Fault::Nothing)
            .collect();
        let mut rows = vec![
            cells("mean of the first eight", &Fault::EIGHT),
            cells("mean of the other six", &others),
        ];
        rows.extend(Fault::ALL.map(|fault| cells(fault.name(), &[fault])));
        Table {
            title: format!(
                "Faults found, in %, at {rate} false alarms per machine and week: {}",
                self.name
            ),
            note:
                "Each detector's threshold is set so that it gives this many false alarms on the \
                 clean machines. What is found where nothing happened is found by chance. Of \
                 several seeds, the mean."
                    .into(),
            header: std::iter::once("fault".to_string())
                .chain(contestants.iter().map(|(name, _)| name.clone()))
                .collect(),
            rows,
            strong: vec![0, 1],
        }
    }

    /// Time until a fault is found, in hours.
    pub(super) fn delays(&self) -> Table {
        let row = |fault: Fault| {
            let cell = |rate: f64| {
                let of = |outcome: &BenchOutcome| {
                    let found = self.bench.found(outcome, self.bench.threshold(outcome, rate));
                    let own =
                        self.bench.cases.iter().zip(&found).filter(|(case, _)| case.fault == fault);
                    let mut slots: Vec<usize> = own.filter_map(|(_, found)| *found).collect();
                    slots.sort_unstable();
                    slots.get(slots.len() / 2).map(|&slots| slots as f64 * PERIOD as f64 / 3600.0)
                };
                spread(&self.ours.iter().filter_map(of).collect::<Vec<_>>(), 1)
            };
            vec![fault.name().to_string(), cell(RATES[0]), cell(RATES[1])]
        };
        Table {
            title: format!("Hours from the onset of a fault to its alarm: {}", self.name),
            note: "Median over the cases that are found.".into(),
            header: vec![
                "fault".into(),
                format!("at {} false alarms a week", RATES[0]),
                format!("at {} false alarms a week", RATES[1]),
            ],
            rows: Fault::ALL
                .into_iter()
                .filter(|fault| *fault != Fault::Nothing)
                .map(row)
                .collect(),
            strong: Vec::new(),
        }
    }

    /// False alarms at the fixed threshold, by kind of machine.
    pub(super) fn false_alarms(&self) -> Table {
        let mut kinds: Vec<&str> = Vec::new();
        for machine in &self.bench.machines {
            if !kinds.contains(&machine.kind.as_str()) {
                kinds.push(&machine.kind);
            }
        }
        let cells = |name: &str, wanted: &dyn Fn(&str) -> bool| {
            let of = |outcomes: &[BenchOutcome], part: usize| {
                let rates = outcomes.iter().map(|outcome| {
                    self.bench.false_alarms(outcome, 1.0, |machine| wanted(&machine.kind))[part]
                });
                spread(&rates.collect::<Vec<_>>(), 2)
            };
            vec![
                name.to_string(),
                of(&self.ours, 0),
                of(&self.ours, 1),
                of(std::slice::from_ref(&self.without), 0),
                of(std::slice::from_ref(&self.without), 1),
            ]
        };
        let mut rows = vec![cells("all", &|_| true)];
        rows.extend(kinds.into_iter().map(|kind| cells(kind, &|of| of == kind)));
        let fixed = |outcome: &BenchOutcome| {
            let found = self.bench.found(outcome, 1.0);
            mean_over(&Fault::EIGHT, |fault| share(&self.bench, &found, |case| case == fault))
        };
        Table {
            title: format!(
                "False alarms per machine and week at the fixed threshold: {}",
                self.name
            ),
            note: format!(
                "At this threshold {} % of the first eight faults are found. Young: from the \
                 second day to the fourteenth.",
                spread(&self.ours.iter().map(fixed).collect::<Vec<_>>(), 1)
            ),
            header: strings([
                "kind",
                "settled",
                "young",
                "settled, without network",
                "young, without network",
            ]),
            rows,
            strong: vec![0],
        }
    }
}

/// Percent found, mean over the eight faults, on the machines that are chosen.
pub(super) fn eight(machines: &[[(u32, u32); Fault::EIGHT.len()]], chosen: &[usize]) -> f64 {
    let percent = |fault: usize| {
        let counts = chosen.iter().map(|&machine| machines[machine][fault]);
        let (hits, cases) =
            counts.fold((0, 0), |(hits, cases), (found, all)| (hits + found, cases + all));
        (cases > 0).then(|| 100.0 * f64::from(hits) / f64::from(cases))
    };
    let found: Vec<f64> = (0..Fault::EIGHT.len()).filter_map(percent).collect();
    found.iter().sum::<f64>() / found.len() as f64
}

fn mean_over(faults: &[Fault], of: impl Fn(Fault) -> Option<f64>) -> f64 {
    let found: Vec<f64> = faults.iter().filter_map(|&fault| of(fault)).collect();
    found.iter().sum::<f64>() / found.len() as f64
}

/// Percent of the cases of the wanted faults that are found; `None` without such cases.
fn share(bench: &Bench, found: &[Option<usize>], wanted: impl Fn(Fault) -> bool) -> Option<f64> {
    let own: Vec<bool> = bench
        .cases
        .iter()
        .zip(found)
        .filter(|(case, _)| wanted(case.fault))
        .map(|(_, found)| found.is_some())
        .collect();
    (!own.is_empty())
        .then(|| 100.0 * own.iter().filter(|hit| **hit).count() as f64 / own.len() as f64)
}
