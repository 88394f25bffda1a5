//! The windows that all engines score: from generated machines, made as the detector makes them.

use anyhow::{Context, Result, ensure};
use deepguard::baseline::{Baseline, calibrated_at};
use deepguard::series::RESOLUTIONS;
use deepguard::window::Windows;
use model_builder::build::train::Source;

/// Different machines among them.
const MACHINES: u64 = 16;

/// This number of windows of the last datapoints of each machine, of both resolutions, with the
/// newest datapoint hidden.
pub(crate) fn scored(time: usize, count: usize) -> Result<Windows> {
    let mut windows = Windows::new(time, count);
    let per_machine = count.div_ceil(MACHINES as usize * RESOLUTIONS.len());
    for Source { name, series, .. } in Source::generated(MACHINES)? {
        let day = calibrated_at(series.end() - 1);
        let baseline = Baseline::learn(&series, day).with_context(|| name)?;
        for (expectation, over) in baseline.expectations.iter().zip(RESOLUTIONS) {
            let averaged = series.averaged(over);
            for slot in series.len() - per_machine..series.len() {
                windows.push(&averaged, expectation, slot, over);
            }
        }
    }
    windows.hide_newest(1);
    ensure!(windows.len() >= count, "{} windows, not {count}", windows.len());
    // In another order, so that each batch has windows of all machines and both resolutions.
    let step = windows.len() / count * 37;
    let order: Vec<usize> = (0..count).map(|index| index * step % windows.len()).collect();
    Ok(windows.select(&order))
}
