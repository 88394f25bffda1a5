//! Injects every fault at every place: every datapoint still gets its one score, the one that it
//! would have had, and every alert comes once.
//!
//! `cargo test -p functions --test faults -- --nocapture` prints what each fault does at each stage
//! of a run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it did not expect should stop there"
)]

#[path = "../common/mod.rs"]
mod common;
mod digests;
mod groups;
mod late;
mod matrix;
mod random;
mod settle;
mod stored;
mod told;
mod whole;

use std::sync::OnceLock;
use std::time::Duration;

use common::*;
use functions::run::RunError;
use functions::run::summary::Summary;
use functions::state::store::Origin;
use jiff::Timestamp;
use scripted_aws::{Fault, Generated, Kind, When};

/// Where something can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    List,
    Read,
    LoadState,
    SaveState,
    LoadBaselines,
    SaveBaselines,
    Publish,
    Events,
    /// Those of the chat, too.
    Messages,
    Tags,
    Model,
}

impl Stage {
    const ALL: [Self; 11] = [
        Self::List,
        Self::Read,
        Self::LoadState,
        Self::SaveState,
        Self::LoadBaselines,
        Self::SaveBaselines,
        Self::Publish,
        Self::Events,
        Self::Messages,
        Self::Tags,
        Self::Model,
    ];

    /// A fault of this stage only.
    fn fault(self, when: When, kind: Kind) -> Fault {
        let (operation, only) = match self {
            Self::List => ("ListMetrics", ""),
            Self::Read => ("GetMetricData", ""),
            Self::LoadState => ("GetObject", "bucket/state/shards"),
            Self::SaveState => ("PutObject", "bucket/state/shards"),
            Self::LoadBaselines => ("GetObject", "bucket/state/baselines"),
            Self::SaveBaselines => ("PutObject", "bucket/state/baselines"),
            Self::Publish => ("PutMetricData", ""),
            Self::Events => ("PutEvents", ""),
            Self::Messages => ("PublishBatch", ""),
            Self::Tags => ("GetResources", ""),
            Self::Model => ("GetObject", "bucket/models"),
        };
        let fault = Fault::new(operation, when, kind);
        if only.is_empty() { fault } else { fault.only(only) }
    }

    fn is_cloudwatch(self) -> bool {
        matches!(self, Self::List | Self::Read | Self::Publish)
    }

    fn tells(self) -> bool {
        matches!(self, Self::Events | Self::Messages)
    }
}

/// The outcome of a run, in a few words.
fn told(run: &Result<Summary, RunError>) -> String {
    let summary = match run {
        Ok(summary) => summary,
        Err(error) => return kind(error).into(),
    };
    let mut told = Vec::new();
    match summary.state.loaded {
        Origin::Unreachable => told.push("state unreachable"),
        Origin::Damaged => told.push("state damaged"),
        Origin::Missing => told.push("no state"),
        _ => {}
    }
    if summary.superseded {
        told.push("superseded");
    } else if !summary.state.saved {
        told.push("unsaved");
    }
    if summary.instances.skipped.contains_key("read_failed") {
        told.push("unread");
    }
    if summary.datums_failed > 0 {
        told.push("unpublished");
    }
    if summary.alerts.failed > 0 {
        told.push("untold");
    }
    if told.is_empty() { "ok".into() } else { told.join("+") }
}

/// The period that is played: from 23:35 to 01:00, with faults from 00:05 to 00:20.
const BEGIN: i64 = MIDNIGHT - 1500;
const END: i64 = MIDNIGHT + 3600;
const FAULTY: std::ops::Range<i64> = MIDNIGHT + 300..MIDNIGHT + 1200;

/// How many instances [`machines`] has.
const MACHINES: usize = INSTANCES + 2;

/// The machines of [`fleet`] and two more that fail together, as a group with its last ones.
fn machines(time: i64) -> Generated {
    let mut fleet = fleet(time).groups(4);
    (fleet.instances, fleet.distinct) = (MACHINES, MACHINES);
    fleet.fault(6, time + 300, time + 1500, 99.0).fault(7, time + 600, time + 1500, 99.0)
}

/// The start that most tests share, and the truth about it.
fn begun() -> &'static (Start, Truth) {
    static BEGUN: OnceLock<(Start, Truth)> = OnceLock::new();
    begun_at(&BEGUN, MIDNIGHT)
}

/// The same on a day's noon.
fn begun_at_noon() -> &'static (Start, Truth) {
    static BEGUN: OnceLock<(Start, Truth)> = OnceLock::new();
    begun_at(&BEGUN, MIDNIGHT + DAY / 2)
}

fn begun_at(cell: &'static OnceLock<(Start, Truth)>, time: i64) -> &'static (Start, Truth) {
    let begin = move || {
        block_on(async {
            let start = Start::new(machines(time), time + BEGIN - MIDNIGHT).await;
            let truth = start.undisturbed(time + END - MIDNIGHT).await;
            let scored =
                of_instances(&truth.published).keys().filter(|mark| mark.2 >= truth.since).count();
            assert!(scored >= 2 * 15 * 3, "{scored} scores are no test");
            (start, truth)
        })
    };
    // On a thread of its own: the first test already has a runtime.
    cell.get_or_init(|| std::thread::spawn(begin).join().expect("a start"))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Plays with a fault of a stage, and returns the outcomes of the runs that it hit: each kind once.
async fn play(
    start: &Start,
    truth: &Truth,
    stage: Stage,
    fault: &Fault,
    cold: bool,
    attempt: Duration,
) -> String {
    let variables: &[_] = if stage == Stage::Model {
        &[("MODEL_URI", "s3://bucket/models/default.safetensors")]
    } else {
        &[]
    };
    let mut world =
        start.world_with(start.fleet.clone(), settings(variables)).with_attempts(attempt);
    world.aws.put_object(
        BUCKET,
        MODEL,
        include_bytes!("../../../models/default.safetensors").as_slice(),
    );
    let mut came_to: Vec<String> = Vec::new();
    let mut note = |told: String| {
        if !came_to.contains(&told) {
            came_to.push(told);
        }
    };
    for time in slots(BEGIN + SLOT, END + 1) {
        if time == FAULTY.start {
            world.aws.script([fault.clone()]);
        } else if time == FAULTY.end {
            world.aws.clear_faults();
        }
        if cold {
            world.restart();
        }
        if let Some(time) = calibrator_before(time) {
            match world.calibrate(time).await {
                Ok(calibrated) if calibrated.instances.skipped == 0 => {}
                Ok(calibrated) => {
                    note(format!("calibrator: {} skipped", calibrated.instances.skipped))
                }
                Err(error) => note(format!("calibrator: {}", kind(&error))),
            }
        }
        let run = world.run(time).await;
        if FAULTY.contains(&time) {
            note(told(&run));
        } else {
            assert!(run.is_ok(), "{stage:?} {fault:?} cold {cold}, at {}: {run:?}", text(time));
        }
    }
    let story = format!("{stage:?} {fault:?} cold {cold}: {came_to:?}");
    truth.assert(&world.aws.published(), &story);
    let loose = stage == Stage::Read || cold && stage == Stage::Tags;
    let wrong = alerts::differences(&truth.told, &world, 1, loose);
    assert!(wrong.is_empty(), "{story}: {wrong:#?}");
    came_to.sort();
    came_to.join(", ")
}
