//! Compares the kernel that scores with Burn, on the windows of NAB's EC2 files.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that meets what it did not expect should stop there"
)]

use std::path::{Path, PathBuf};

use deepguard::Artifact;
use deepguard::baseline::Baseline;
use deepguard::model::device;
use deepguard::model::kernel::{self, Kernel};
use deepguard::series::RESOLUTIONS;
use deepguard::window::Windows;
use model_builder::build::nab::Nab;

/// A window begins every this number of slots. It does not divide a day, so that each hour has its
/// turn.
const EVERY: usize = 37;

/// NAB where the project looks for it, if it is there.
fn nab() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/nab");
    Some(std::env::var_os("NAB_DIR").map_or_else(beside, PathBuf::from))
        .filter(|root| root.join("data").is_dir())
}

#[test]
fn on_nabs_windows_the_kernel_reconstructs_as_burn_does() {
    let Some(nab) = nab() else { return };
    let files = Nab::locate(Some(&nab)).and_then(|nab| nab.ec2_cpu()).expect("NAB");
    assert_eq!(files.len(), 8);
    let artifact =
        Artifact::from_bytes(include_bytes!("../../models/default.safetensors")).expect("sound");
    let (network, time) = (artifact.network(&device()), artifact.card().shape.window);
    for file in files {
        let (series, _) = file.series().unwrap();
        let baseline = Baseline::learn(&series, series.end()).expect("two weeks");
        let mut windows = Windows::new(time, 0);
        for (over, expectation) in RESOLUTIONS.into_iter().zip(&baseline.expectations) {
            let slots: Vec<usize> = (time..series.len()).step_by(EVERY).collect();
            windows.push_all(&series.averaged(over), expectation, &slots, over);
        }
        windows.hide_newest(1);
        let expected = network.reconstruct(&windows, time, &device());
        for path in kernel::Path::here() {
            let said = Kernel::new(&network).by(path).reconstruct(&windows, windows.time());
            assert_eq!(said.len(), expected.len());
            let furthest =
                said.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(furthest < 1e-5, "{}, {path:?}: {furthest:e}", file.name);
        }
    }
}
