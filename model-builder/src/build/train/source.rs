//! The series to train on, and where each is from.

use anyhow::Result;
use deepguard::Series;

use crate::build::nab::NabFile;
use crate::build::workload::{self, training::training_machine};
use crate::common::files::hex_sha256;

/// A series to train on, and its source.
#[derive(Debug)]
pub struct Source {
    /// Name, with its folder in NAB.
    pub name: String,
    /// SHA-256 of the whole file; empty where it was generated.
    pub sha256: String,
    /// Its CPU.
    pub series: Series,
    /// Random windows to take of it at each resolution.
    pub windows: usize,
    /// Whether it is CPU or another changing number.
    pub is_cpu: bool,
}

/// Random windows of a file of NAB at each resolution.
const FILE_WINDOWS: usize = 330;
/// Random windows of a generated machine at each resolution.
const MACHINE_WINDOWS: usize = 100;

impl Source {
    /// A whole file of NAB.
    pub fn of(file: &NabFile) -> Result<Self> {
        let (series, _) = file.series()?;
        Ok(Self {
            name: file.name.clone(),
            sha256: file.sha256.clone(),
            series,
            windows: FILE_WINDOWS,
            is_cpu: file.is_ec2_cpu(),
        })
    }

    /// The history of one instance; `windows` random ones of it at each resolution.
    pub fn of_instance(instance: &str, series: Series, windows: usize) -> Self {
        let rows = series.datapoints().map(|point| format!("{},{}\n", point.time, point.value));
        let sha256 = hex_sha256(rows.collect::<String>().as_bytes());
        Self { name: instance.into(), sha256, series, windows, is_cpu: true }
    }

    /// A series of a real machine.
    pub fn of_machine(name: String, series: Series, windows: usize, is_cpu: bool) -> Self {
        Self { windows, is_cpu, ..Self::of_instance(&name, series, windows) }
    }

    pub(super) fn is_generated(&self) -> bool {
        self.sha256.is_empty()
    }

    /// The first `count` of the machines that are generated to train on.
    pub fn generated(count: u64) -> Result<Vec<Self>> {
        let source = |seed| {
            let series = workload::series(&training_machine(seed))?;
            Ok(Self {
                name: format!("generated {seed}"),
                sha256: String::new(),
                series,
                windows: MACHINE_WINDOWS,
                is_cpu: true,
            })
        };
        (0..count).map(source).collect()
    }
}
