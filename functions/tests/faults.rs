//! Whatever goes wrong, and wherever: every datapoint gets its one score, the one that it would have had.
//!
//! `cargo test -p functions --test faults -- --nocapture` prints what each fault does at each stage of a run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it did not expect should stop there"
)]

mod common;

use std::sync::OnceLock;
use std::time::Duration;

use common::*;
use functions::run::RunError;
use functions::run::summary::Summary;
use functions::state::store::Loaded;
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
    Model,
}

impl Stage {
    const ALL: [Self; 8] = [
        Self::List,
        Self::Read,
        Self::LoadState,
        Self::SaveState,
        Self::LoadBaselines,
        Self::SaveBaselines,
        Self::Publish,
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
            Self::Model => ("GetObject", "bucket/models"),
        };
        let fault = Fault::new(operation, when, kind);
        if only.is_empty() { fault } else { fault.only(only) }
    }

    fn is_cloudwatch(self) -> bool {
        matches!(self, Self::List | Self::Read | Self::Publish)
    }

    fn gets_object(self) -> bool {
        matches!(self, Self::LoadState | Self::LoadBaselines | Self::Model)
    }
}

/// What a run came to, in a word or a few.
fn told(run: &Result<Summary, RunError>) -> String {
    let summary = match run {
        Ok(summary) => summary,
        Err(error) => return kind(error).into(),
    };
    let mut told = Vec::new();
    match summary.state.loaded {
        Loaded::Unreachable => told.push("state unreachable"),
        Loaded::Damaged => told.push("state damaged"),
        Loaded::Missing => told.push("no state"),
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
    if told.is_empty() { "ok".into() } else { told.join("+") }
}

/// What is played: from 23:35 to 01:00, with faults from 00:05 to 00:20.
const BEGIN: i64 = MIDNIGHT - 1500;
const END: i64 = MIDNIGHT + 3600;
const FAULTY: std::ops::Range<i64> = MIDNIGHT + 300..MIDNIGHT + 1200;

/// The start that most tests have in common, and the truth about it.
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
            let start = Start::new(fleet(time), time + BEGIN - MIDNIGHT).await;
            let truth = start.undisturbed(time + END - MIDNIGHT).await;
            let scored = of_instances(&truth.published).keys().filter(|mark| mark.2 >= truth.since).count();
            assert!(scored >= 2 * 15 * 3, "{scored} scores are no test");
            (start, truth)
        })
    };
    // On a thread of its own: the test that comes first has a runtime already.
    cell.get_or_init(|| std::thread::spawn(begin).join().expect("a start"))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Plays with a fault of a stage, and tells what the runs that it hit came to: each kind of outcome once.
async fn play(start: &Start, truth: &Truth, stage: Stage, fault: &Fault, cold: bool, attempt: Duration) -> String {
    let variables: &[_] =
        if stage == Stage::Model { &[("MODEL_URI", "s3://bucket/models/default.safetensors")] } else { &[] };
    let mut world = start.world_with(start.fleet.clone(), settings(variables)).with_attempts(attempt);
    world.aws.put_object(BUCKET, MODEL, include_bytes!("../../models/default.safetensors").as_slice());
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
                Ok(calibrated) => note(format!("calibrator: {} skipped", calibrated.instances.skipped)),
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
    truth.assert(&world.aws.published(), &format!("{stage:?} {fault:?} cold {cold}: {came_to:?}"));
    came_to.sort();
    came_to.join(", ")
}

/// A fault with a name, and the stages at which it is possible.
struct Row {
    name: &'static str,
    kind: Kind,
    at: fn(Stage) -> bool,
}

fn row(name: &'static str, kind: Kind, at: fn(Stage) -> bool) -> Row {
    Row { name, kind, at }
}

fn rows() -> Vec<Row> {
    let any = |_| true;
    let read = |stage| stage == Stage::Read;
    let pages = |stage| matches!(stage, Stage::List | Stage::Read);
    let answers = |stage: Stage| stage.is_cloudwatch() || stage.gets_object();
    let put = |stage| matches!(stage, Stage::SaveState | Stage::SaveBaselines);
    vec![
        row("Throttling", Kind::Throttle("Throttling"), any),
        row("ThrottlingException", Kind::Throttle("ThrottlingException"), Stage::is_cloudwatch),
        row("500", Kind::Status(500), any),
        row("503", Kind::Status(503), any),
        row("503, HTML", Kind::Html(503), any),
        row("reset", Kind::Reset, any),
        row("reset after", Kind::ResetAfter, any),
        row("slow", Kind::Slow(Duration::from_millis(20)), any),
        row("slow answer", Kind::SlowAnswer(Duration::from_millis(20)), any),
        row("slow body", Kind::SlowBody(Duration::from_millis(20)), any),
        row("truncated body", Kind::Truncate, answers),
        row("403", Kind::Forbidden, any),
        row("expired", Kind::Expired, any),
        row("clock skew", Kind::ClockSkew, any),
        row("200, HTML", Kind::Html(200), any),
        row("conflict", Kind::Conflict, put),
        row("descending", Kind::Descending, read),
        row("no order", Kind::Shuffle, read),
        row("duplicates", Kind::Duplicate, read),
        row("NaN", Kind::NaN, read),
        row("partial data", Kind::Partial, read),
        row("internal result", Kind::InternalResult, read),
        row("forbidden result", Kind::ForbiddenResult, read),
        row("messages", Kind::Messages, pages),
        row("repeated page", Kind::RepeatPage, pages),
        row("looping token", Kind::LoopToken, pages),
        row("one left out", Kind::LeaveOut, read),
    ]
}

#[tokio::test]
async fn every_fault_at_every_stage_costs_no_score() {
    let (start, truth) = begun();
    let mut wrong = Vec::new();
    println!("{:20} {}", "for three runs", Stage::ALL.map(|stage| format!("{:>44}", format!("{stage:?}"))).concat());
    for Row { name, kind, at } in rows() {
        let mut cells = Vec::new();
        for stage in Stage::ALL {
            // A PutMetricData that is answered by something else is a test of its own, below.
            if !at(stage) || (stage, name) == (Stage::Publish, "200, HTML") {
                cells.push(String::new());
                continue;
            }
            let fault = stage.fault(When::Always, kind.clone());
            let warm = play(start, truth, stage, &fault, false, PATIENT).await;
            // A new process that cannot read its state is a test of its own, below: it reads all of history in every run.
            let cold = match (stage, name) {
                (Stage::LoadState, "slow" | "slow answer" | "slow body") => None,
                (Stage::LoadState, name) if name != "200, HTML" => None,
                _ => Some(play(start, truth, stage, &fault, true, PATIENT).await),
            };
            let told = match cold {
                Some(cold) if cold != warm => format!("{warm} / {cold}"),
                _ => warm,
            };
            if told != expected(stage, name) {
                wrong.push(format!("{name} at {stage:?}: {told:?} and not {:?}", expected(stage, name)));
            }
            cells.push(told);
        }
        println!("{name:20} {}", cells.iter().map(|cell| format!("{cell:>44}")).collect::<String>());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What the three runs that a fault hits come to, and the calibrator's: with a process that lives on / with a new process each.
fn expected(stage: Stage, fault: &str) -> &'static str {
    let harmless = [
        "slow",
        "slow answer",
        "slow body",
        "descending",
        "no order",
        "duplicates",
        "NaN",
        "messages",
        "repeated page",
    ];
    match (stage, fault) {
        (_, harmless_one) if harmless.contains(&harmless_one) => "ok",
        // The instances that are remembered are scored.
        (Stage::List, _) => "calibrator: List, ok",
        (Stage::Read, "partial data") => "NothingRead, calibrator: 6 skipped",
        (Stage::Read, "one left out") => "calibrator: 1 skipped, unread",
        (Stage::Read, _) => "NothingRead, calibrator: NothingRead",
        // There is no body in "not modified".
        (Stage::LoadState, "truncated body") => "ok",
        (Stage::LoadState, "200, HTML") => "state damaged+superseded",
        (Stage::LoadState, _) => "state unreachable",
        (Stage::SaveState, "conflict") => "superseded",
        (Stage::SaveState, _) => "unsaved",
        // A new process makes the baselines that it cannot read; then the calibrator cannot add to them.
        (Stage::LoadBaselines, _) => "ok / calibrator: NotWritten, ok",
        (Stage::SaveBaselines, _) => "calibrator: NotWritten, ok",
        (Stage::Publish, _) => "NothingPublished",
        // What is loaded stays in use; the calibrator is a new process each night.
        (Stage::Model, _) => "calibrator: Model, ok / Model, calibrator: Model",
    }
}

#[tokio::test]
async fn what_is_over_at_the_third_try_nobody_notices() {
    let (start, truth) = begun();
    let short = [
        Kind::Throttle("Throttling"),
        Kind::Throttle("ThrottlingException"),
        Kind::Status(500),
        Kind::Status(503),
        Kind::Reset,
        Kind::ResetAfter,
    ];
    for stage in Stage::ALL {
        for kind in &short {
            for cold in [false, true] {
                let told = play(start, truth, stage, &stage.fault(When::First(2), kind.clone()), cold, PATIENT).await;
                assert_eq!(told, "ok", "{stage:?} {kind:?} cold {cold}");
            }
        }
    }
}

#[tokio::test]
async fn a_call_that_hangs_is_given_up() {
    let (start, truth) = begun();
    let hangs = [Kind::Slow(Duration::from_secs(60)), Kind::SlowAnswer(Duration::from_secs(60))];
    let plays = Stage::ALL.into_iter().flat_map(|stage| hangs.clone().map(|kind| (stage, kind)));
    // All at once: what they do is wait.
    let plays = plays.map(|(stage, kind)| async move {
        let told =
            play(start, truth, stage, &stage.fault(When::Always, kind.clone()), false, Duration::from_secs(1)).await;
        (stage, kind, told)
    });
    for (stage, kind, told) in futures_util::future::join_all(plays).await {
        // With a process that lives on.
        let expected = expected(stage, "hang").split(" / ").next().unwrap();
        assert_eq!(told, expected, "{stage:?} {kind:?}");
    }
}

/// What may be found where a state should be.
#[derive(Debug, Clone, Copy)]
enum Harm {
    Deleted,
    Flipped(usize),
    Cut,
    Empty,
    Foreign,
    OtherVersion,
}

const HARMS: [Harm; 6] =
    [Harm::Deleted, Harm::Flipped(1000), Harm::Cut, Harm::Empty, Harm::Foreign, Harm::OtherVersion];

impl Harm {
    /// Does it to an object, where there is one.
    fn to(self, world: &World, key: &str) {
        let Some(object) = world.aws.object(BUCKET, key) else { return };
        let mut bytes = object.bytes;
        match self {
            Self::Deleted => {
                world.aws.remove_object(BUCKET, key);
                return;
            }
            Self::Flipped(place) => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 4;
                }
            }
            Self::Cut => bytes.truncate(bytes.len() / 2),
            Self::Empty => bytes.clear(),
            Self::Foreign => bytes = b"<html>This is not the page you want</html>".to_vec(),
            Self::OtherVersion => {
                if let Some(version) = bytes.get_mut(7) {
                    *version += 1;
                }
            }
        }
        world.aws.put_object(BUCKET, key, bytes);
    }
}

#[tokio::test]
async fn a_state_that_is_lost_or_damaged_is_made_again_and_says_the_same() {
    let (start, truth) = begun();
    for (number, harm) in HARMS.into_iter().enumerate() {
        for cold in [false, true] {
            let mut world = start.world();
            // Before midnight, and in the first minutes after it.
            let harmed = MIDNIGHT + [-600, 300, 600, 1500][number % 4];
            for time in slots(BEGIN + SLOT, END + 1) {
                if let Some(time) = calibrator_before(time) {
                    world.calibrate(time).await.unwrap();
                }
                if time == harmed {
                    harm.to(&world, STATE);
                    if cold {
                        world.restart();
                    }
                }
                let summary = world.run(time).await.unwrap();
                let expected = match harm {
                    _ if time != harmed => summary.state.loaded,
                    Harm::Deleted => Loaded::Missing,
                    _ => Loaded::Damaged,
                };
                assert_eq!(
                    (summary.state.loaded, summary.state.saved, summary.superseded),
                    (expected, true, false),
                    "{harm:?}"
                );
                if time == harmed && cold {
                    let again = summary.caught_up.oldest;
                    assert!(
                        again.is_some_and(|oldest| oldest <= time - 170 * 60),
                        "{harm:?}: {again:?} of {}",
                        text(time)
                    );
                }
            }
            truth.assert(&world.aws.published(), &format!("{harm:?} cold {cold}"));
        }
    }
}

#[tokio::test]
async fn baselines_that_are_lost_or_damaged_are_made_again() {
    let (start, truth) = begun();
    for (number, harm) in HARMS.into_iter().enumerate() {
        let mut world = start.world();
        let harmed = MIDNIGHT + [-600, 300, 600, 1500][number % 4];
        for time in slots(BEGIN + SLOT, END + 1) {
            if let Some(time) = calibrator_before(time) {
                world.calibrate(time).await.unwrap();
            }
            if time == harmed {
                let keys = world.bucket().into_iter().map(|(key, _)| key).filter(|key| key.contains("baselines"));
                keys.for_each(|key| harm.to(&world, &key));
                world.restart();
            }
            world.run(time).await.unwrap();
        }
        truth.assert(&world.aws.published(), &format!("{harm:?}"));
    }
}

#[tokio::test]
async fn of_two_runs_at_once_one_decides_and_the_other_publishes_nothing() {
    let (start, truth) = begun();
    let world = start.world();
    let mut processes = [world.process(), world.process()];
    let mut superseded = 0;
    for time in slots(BEGIN + SLOT, END + 1) {
        if let Some(time) = calibrator_before(time) {
            world.calibrate(time).await.unwrap();
        }
        world.aws.set_now(time);
        // One of them does not see one of the instances: what they would decide is not the same.
        world.aws.script(
            [Fault::new("GetMetricData", When::Nth(1), Kind::LeaveOut)].into_iter().filter(|_| time < END - 600),
        );
        let now = Timestamp::from_second(time).unwrap();
        let event = event(time);
        let [one, other] = &mut processes;
        let (one, other) = tokio::join!(one.run(&event, now), other.run(&event, now));
        let runs = [one.unwrap(), other.unwrap()];
        assert!(runs.iter().any(|run| !run.superseded), "somebody has to decide");
        for run in runs.iter().filter(|run| run.superseded) {
            assert_eq!((run.datums_published, run.datums_failed, run.state.saved), (0, 0, false), "{run:?}");
            superseded += 1;
        }
    }
    truth.assert(&world.aws.published(), &format!("superseded: {superseded}"));
    assert!(superseded >= 5, "only {superseded} runs were superseded");
}

/// Plays with datapoints that come late, against the truth of the same datapoints on time.
async fn play_late(start: &Start, end: i64, late: &[(usize, i64, i64)], cold: bool) -> Vec<String> {
    let on_time = start.undisturbed(end).await;
    let fleet = late.iter().fold(start.fleet.clone(), |fleet, &(n, time, delay)| fleet.late(n, time, delay));
    let mut world = start.world_with(fleet, settings(&[]));
    let (mut came_late, mut runs) = (0, 0);
    for time in slots(start.time + SLOT, end + 1) {
        if cold {
            world.restart();
        }
        if let Some(time) = calibrator_before(time) {
            world.calibrate(time).await.unwrap();
        }
        came_late += world.run(time).await.unwrap().caught_up.late;
        runs += 1;
    }
    // The run that finds a late datapoint is the first one at or after its arrival; what others before it have scored since the
    // datapoint's time, they have scored without it.
    let may_differ = |mark: &Mark| {
        late.iter().any(|&(n, time, delay)| {
            let found = time + SLOT + delay + (-delay).rem_euclid(SLOT);
            Generated::id(n) == mark.0 && (time + 1..found - SLOT).contains(&mark.2)
        })
    };
    let mut wrong = on_time.differences_but(&world.aws.published(), may_differ);
    // An alarm that comes late may begin an episode, where on time it would have been in one already.
    let began_late = |line: &String| {
        late.iter().any(|&(_, time, _)| line.starts_with(&format!("AnomalousInstances at {}", text(time))))
    };
    wrong.retain(|line| !began_late(line));
    if came_late != late.len() {
        wrong.push(format!("{came_late} came late in {runs} runs, and not {}", late.len()));
    }
    wrong
}

#[tokio::test]
async fn what_comes_late_gets_the_score_that_it_would_have_had_and_changes_no_other() {
    let noon = MIDNIGHT + DAY / 2;
    let (start, _) = begun_at_noon();
    let two_hours = [(0, noon - 600, 7200), (2, noon - 900, 6000), (2, noon - 600, 6300)];
    let three_hours = [(0, noon - 300, 3 * 3600 - 600)];
    let two_at_different_times = [(0, noon - 600, 3600), (0, noon + 600, 600), (1, noon + 1500, 1700)];
    let before_midnight = [(0, MIDNIGHT - 1200, 600), (2, MIDNIGHT - 900, 600)];
    let after_midnight = [(0, MIDNIGHT + 600, 4000), (3, MIDNIGHT + 300, 900), (2, MIDNIGHT, 3600)];
    for cold in [false, true] {
        for late in [&two_hours[..], &three_hours, &two_at_different_times] {
            let wrong = play_late(start, noon + 3 * 3600, late, cold).await;
            assert!(wrong.is_empty(), "{late:?} cold {cold}: {wrong:#?}");
        }
        for late in [&before_midnight[..], &after_midnight] {
            let wrong = play_late(&begun().0, MIDNIGHT + 7200, late, cold).await;
            assert!(wrong.is_empty(), "{late:?} cold {cold}: {wrong:#?}");
        }
    }
}

#[tokio::test]
async fn slots_that_are_silently_missing_for_a_while_are_scored_when_they_come() {
    let noon = MIDNIGHT + DAY / 2;
    let (start, truth) = begun_at_noon();
    for (every, cold) in [(2, false), (3, true), (5, false), (7, true)] {
        let mut world = start.world();
        let silent = noon..noon + 1500;
        for time in slots(start.time + SLOT, noon + END - MIDNIGHT + 1) {
            if time == silent.start {
                world.aws.script([Fault::new("GetMetricData", When::Always, Kind::Missing(every))]);
            } else if time == silent.end {
                world.aws.clear_faults();
            }
            if cold {
                world.restart();
            }
            world.run(time).await.unwrap();
        }
        // What was scored in those runs may lack one of the slots before it.
        let may_differ = |mark: &Mark| (silent.start - SLOT..silent.end - SLOT).contains(&mark.2);
        let wrong = truth.differences_but(&world.aws.published(), may_differ);
        assert!(wrong.is_empty(), "every {every}, cold {cold}: {wrong:#?}");
    }
}

#[tokio::test]
async fn what_a_run_has_no_time_for_the_next_one_scores() {
    let (start, truth) = begun();
    let slow = Fault::new("GetMetricData", When::Always, Kind::Slow(Duration::from_secs(20)));
    for (fault, left) in [(None, 0), (None, 5), (Some(slow), 1500)] {
        let mut world = start.world();
        for time in slots(BEGIN + SLOT, END + 1) {
            if let Some(time) = calibrator_before(time) {
                world.calibrate(time).await.unwrap();
            }
            let short = [MIDNIGHT - 600, MIDNIGHT - 300, MIDNIGHT + 600].contains(&time);
            if short {
                fault.iter().for_each(|fault| world.aws.add(fault.clone()));
            }
            world.detection().set_time_left(short.then(|| Duration::from_millis(left)));
            let run = world.run(time).await;
            world.aws.clear_faults();
            let skipped = |summary: &Summary| summary.instances.skipped.get("out_of_time").copied().unwrap_or_default();
            match (short, left, &run) {
                (false, _, Ok(summary)) => assert_eq!(skipped(summary), 0, "{summary:?}"),
                // Time enough to read and to say so, and none to score.
                (true, 1500, Ok(summary)) => {
                    assert_eq!(
                        (skipped(summary), summary.instances.scored),
                        (summary.instances.seen, 0),
                        "{summary:?}"
                    );
                    assert_eq!((summary.state.saved, summary.datums_failed), (true, 0), "{summary:?}");
                }
                // Whether some milliseconds are enough for anything nobody knows.
                (true, 0 | 5, Ok(_) | Err(RunError::NothingPublished { .. })) => {}
                _ => panic!("{left} ms at {}: {run:?}", text(time)),
            }
        }
        truth.assert(&world.aws.published(), &format!("{left} ms"));
    }
}

#[tokio::test]
async fn a_first_run_that_is_too_long_goes_on_in_the_next() {
    let mut fleet = fleet(MIDNIGHT);
    (fleet.instances, fleet.distinct) = (60, 14);
    let start = Start::new(fleet, BEGIN).await;
    let truth = start.undisturbed(END).await;
    let mut world = World::new(start_aws(start.fleet.clone(), BEGIN), settings(&[]));
    let mut scored = Vec::new();
    for time in slots(BEGIN + SLOT, END + 1) {
        if let Some(time) = calibrator_before(time) {
            world.calibrate(time).await.unwrap();
        }
        // The last fifth is kept free: more than one instance takes.
        let short = scored.len() < 2;
        world.detection().set_time_left(short.then(|| Duration::from_millis(4000)));
        let summary = world.run(time).await.unwrap();
        let skipped = summary.instances.skipped.get("out_of_time").copied().unwrap_or_default();
        assert_eq!((summary.datums_failed, summary.state.saved), (0, true), "{summary:?}");
        assert!(short || skipped == 0, "{summary:?}");
        scored.push((summary.instances.scored, skipped));
    }
    assert!(scored[0].0 > 0 && scored[0].1 > 0, "{scored:?}");
    truth.assert(&world.aws.published(), &format!("scored and out of time: {scored:?}"));
}

#[tokio::test]
async fn when_a_run_fails_as_a_whole() {
    let (start, _) = begun();
    let time = BEGIN + SLOT;
    let always = |stage: Stage, kind| stage.fault(When::Always, kind);
    let from_s3: &[_] = &[("MODEL_URI", "s3://bucket/models/default.safetensors")];
    // The fault, the settings, whether there is a state, what the detector says, and what the calibrator does.
    let cases = [
        (None, &[][..], true, "ok", "ok"),
        (None, &[][..], false, "no state", "ok"),
        (Some(always(Stage::List, Kind::Forbidden)), &[][..], true, "ok", "List"),
        (Some(always(Stage::List, Kind::Forbidden)), &[][..], false, "List", "List"),
        (Some(always(Stage::Read, Kind::Forbidden)), &[][..], true, "NothingRead", "NothingRead"),
        (Some(always(Stage::Read, Kind::Forbidden)), &[][..], false, "NothingRead", "NothingRead"),
        (Some(always(Stage::Read, Kind::InternalResult).only(&Generated::id(0))), &[][..], true, "unread", "ok"),
        (Some(always(Stage::Publish, Kind::Forbidden)), &[][..], true, "NothingPublished", "ok"),
        (Some(Stage::Publish.fault(When::Nth(1), Kind::Forbidden)), &[][..], true, "unpublished", "ok"),
        (Some(Stage::Publish.fault(When::Nth(2), Kind::Forbidden)), &[][..], true, "unpublished", "ok"),
        (Some(always(Stage::SaveState, Kind::Forbidden)), &[][..], true, "unsaved", "ok"),
        (Some(always(Stage::SaveBaselines, Kind::Forbidden)), &[][..], false, "no state", "NotWritten"),
        // There is no such object yet.
        (None, from_s3, true, "Model", "Model"),
        (None, &[("STATE_URI", "")][..], false, "unsaved", "NothingKept"),
    ];
    for (fault, variables, has_state, detector, calibrator) in cases {
        let mut settings = settings(variables);
        if variables.iter().any(|(name, _)| *name == "STATE_URI") {
            settings.state = None;
        }
        let mut world = World::new(start_aws(start.fleet.clone(), time), settings);
        if has_state {
            world.fill_bucket(&start.objects);
        }
        world.aws.script(fault.clone());
        assert_eq!(told(&world.run(time).await), detector, "{fault:?} {variables:?}");
        world.aws.script(fault.clone());
        let calibrated = world.calibrate(MIDNIGHT + 420).await;
        assert_eq!(calibrated.as_ref().map_or_else(kind, |_| "ok"), calibrator, "{fault:?} {variables:?}");
    }
    let mut world = start.world();
    let now = Timestamp::from_second(time).unwrap();
    for event in [serde_json::json!({ "sharp": 1 }), event(time + 3600), event(time - 15 * DAY)] {
        assert_eq!(world.detection().run(&event, now).await.map_err(|error| kind(&error)), Err("Event"), "{event}");
    }
}

#[tokio::test]
async fn a_gap_over_midnight_is_the_same_gap_whoever_makes_the_baseline() {
    let start = Start::new(fleet(MIDNIGHT).gap(0, MIDNIGHT - 600, MIDNIGHT + 900), BEGIN).await;
    // With the calibrator, at seven minutes past.
    let truth = start.undisturbed(END).await;
    // By the detector, half an hour later.
    let mut world = start.world();
    for time in slots(BEGIN + SLOT, END + 1) {
        world.run(time).await.unwrap();
    }
    truth.assert(&world.aws.published(), &"without a calibrator");
}

#[tokio::test]
async fn a_new_process_that_cannot_read_the_state_says_nothing_else_than_was_said() {
    let noon = MIDNIGHT + DAY / 2;
    let (start, _) = begun_at_noon();
    let mut wrong = Vec::new();
    for kind in [Kind::Status(503), Kind::Truncate, Kind::Html(200)] {
        // What was scored while this datapoint was missing was scored without it, and has been published.
        let mut world = start.world_with(start.fleet.clone().late(2, noon - 900, 1200), settings(&[]));
        let mut hit = String::new();
        for time in slots(start.time + SLOT, noon + 1801) {
            let unreadable = time == noon + 900;
            if unreadable {
                world.restart();
                world.aws.script([Stage::LoadState.fault(When::Always, kind.clone())]);
            }
            let run = world.run(time).await;
            world.aws.clear_faults();
            if unreadable {
                hit = told(&run);
            }
        }
        let published = of_instances(&world.aws.published());
        let several: Vec<_> = published.into_iter().filter(|(_, values)| only(values).is_none()).collect();
        if let Some((mark, values)) = several.first() {
            let here = format!("{} of {} at {}", mark.1, mark.0, text(mark.2));
            wrong.push(format!("{kind:?}: {hit}: {} marks with two values, such as {here}: {values:?}", several.len()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn scores_that_something_else_than_cloudwatch_took_are_not_lost() {
    let (start, truth) = begun();
    let fault = Stage::Publish.fault(When::Always, Kind::Html(200));
    let told = play(start, truth, Stage::Publish, &fault, false, PATIENT).await;
    assert_eq!(told, "NothingPublished");
}

// ---- random schedules

/// What is done at one time of a schedule.
#[derive(Debug, Clone)]
struct Step {
    /// Seconds after the start.
    after: i64,
    /// The process before it has ended.
    cold: bool,
    act: Act,
    harm: Option<(Harm, &'static str)>,
    faults: Vec<(Stage, When, Kind)>,
    milliseconds: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Run,
    Missed,
    /// The same again.
    Twice,
    /// Two processes at once.
    AtOnce,
    /// So many seconds after its time.
    Late(i64),
    /// Together with a run for a time so many seconds before.
    Again(i64),
}

/// A schedule from a seed.
#[derive(Debug)]
struct Schedule {
    seed: u64,
    at_noon: bool,
    /// When the calibrator runs, in minutes after midnight.
    calibrator: Vec<i64>,
    steps: Vec<Step>,
}

impl std::fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(formatter, "FAULT_SEED={} (noon: {}, calibrator: {:?})", self.seed, self.at_noon, self.calibrator)?;
        self.steps.iter().try_for_each(|step| writeln!(formatter, "  {step:?}"))
    }
}

/// Slots at the end of a schedule in which nothing goes wrong any more.
const QUIET: i64 = 3;

impl Schedule {
    fn of(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let at_noon = dice.chance(0.3);
        let calibrator = dice.pick(&[vec![7], vec![7], vec![7, 40], vec![], vec![22], vec![3, 7]]);
        let mut harms_left = usize::from(dice.chance(0.1));
        let restless = dice.pick(&[0.1, 0.3, 0.6]);
        let mut steps = Vec::new();
        for after in slots(SLOT, END - BEGIN + 1) {
            let mut step =
                Step { after, cold: false, act: Act::Run, harm: None, faults: Vec::new(), milliseconds: None };
            if after <= END - BEGIN - QUIET * SLOT && dice.chance(restless) {
                step.cold = dice.chance(0.4);
                step.act = match dice.below(12) {
                    0 | 1 => Act::Missed,
                    2 => Act::Twice,
                    3 | 4 => Act::AtOnce,
                    5 => Act::Late(dice.below(1200) as i64),
                    6 => Act::Again(SLOT * (1 + dice.below(8) as i64)),
                    _ => Act::Run,
                };
                let faults = dice.below(4);
                step.faults = (0..faults).map(|_| random_fault(&mut dice)).collect();
                step.milliseconds = dice.chance(0.1).then(|| dice.below(60));
                if harms_left > 0 && dice.chance(0.2) {
                    harms_left -= 1;
                    let harm = dice.pick(&HARMS);
                    step.harm = Some((harm, dice.pick(&["state/shards", "state/baselines"])));
                }
            }
            steps.push(step);
        }
        Self { seed, at_noon, calibrator, steps }
    }

    /// Plays it, and tells in what it differs from the truth.
    async fn play(&self) -> Vec<String> {
        let (start, truth) = if self.at_noon { begun_at_noon() } else { begun() };
        let mut world = start.world();
        let mut wrong = Vec::new();
        for step in &self.steps {
            let time = start.time + step.after;
            let midnight = time.div_euclid(DAY) * DAY;
            if step.cold {
                world.restart();
            }
            if let Some((harm, below)) = step.harm {
                let keys = world.bucket().into_iter().map(|(key, _)| key).filter(|key| key.starts_with(below));
                keys.for_each(|key| harm.to(&world, &key));
            }
            world.aws.script(step.faults.iter().map(|(stage, when, kind)| stage.fault(when.clone(), kind.clone())));
            for minutes in &self.calibrator {
                let at = midnight + 60 * minutes;
                if (time - SLOT..time).contains(&at) {
                    let calibrated = world.calibrate(at).await;
                    if calibrated.is_err() && step.faults.is_empty() {
                        wrong.push(format!("the calibrator at {}: {calibrated:?}", text(at)));
                    }
                }
            }
            let left = step.milliseconds.map(Duration::from_millis);
            world.detection().set_time_left(left);
            let runs = match step.act {
                Act::Missed => vec![],
                Act::Run => vec![world.run(time).await],
                Act::Twice => vec![world.run(time).await, world.run(time).await],
                Act::Late(seconds) => vec![world.run_late(time, time + seconds).await],
                Act::Again(ago) => vec![world.run(time).await, world.run_late(time - ago, time).await],
                Act::AtOnce => {
                    world.aws.set_now(time);
                    let (event, now) = (event(time), Timestamp::from_second(time).unwrap());
                    let mut other = world.process();
                    let (one, other) = tokio::join!(world.detection().run(&event, now), other.run(&event, now));
                    vec![one, other]
                }
            };
            world.aws.clear_faults();
            for error in runs.into_iter().filter_map(Result::err) {
                let has = |stage| step.faults.iter().any(|fault| fault.0 == stage);
                let may = match error {
                    RunError::List(_) => has(Stage::List) || left.is_some(),
                    RunError::NothingRead { .. } => has(Stage::Read),
                    RunError::NothingPublished { .. } => has(Stage::Publish) || left.is_some(),
                    _ => false,
                };
                if !may {
                    wrong.push(format!("at {}: {error}", text(time)));
                }
            }
        }
        wrong.extend(truth.differences(&world.aws.published()));
        wrong
    }
}

fn random_fault(dice: &mut Dice) -> (Stage, When, Kind) {
    // Without a model there is nothing to see.
    let stage = dice.pick(&Stage::ALL[..7]);
    let kinds: Vec<Kind> = rows().into_iter().filter(|row| (row.at)(stage)).map(|row| row.kind).collect();
    let kind = match dice.pick(&kinds) {
        // Taken for success by the SDK: a test of its own.
        Kind::Html(200) if stage == Stage::Publish => Kind::Html(502),
        kind => kind,
    };
    let when = match dice.below(6) {
        0 => When::First(1 + dice.below(3)),
        1 => When::Nth(1 + dice.below(3)),
        2 => When::Every(2 + dice.below(2)),
        3 => When::Probability(0.5),
        // All of history would be read again.
        _ if stage == Stage::LoadState => When::First(1 + dice.below(2)),
        _ => When::Always,
    };
    (stage, when, kind)
}

#[test]
fn whatever_happens_in_whatever_order_every_datapoint_gets_its_one_score() {
    begun();
    begun_at_noon();
    // One of them again, or others: `FAULT_SEED=7`, `FAULT_SEED=301..400`.
    let given = std::env::var("FAULT_SEED").unwrap_or_else(|_| "1..240".into());
    let (first, last) = given.split_once("..").unwrap_or((&given, &given));
    let seeds: Vec<u64> = (first.parse().expect("a seed")..=last.parse().expect("a seed")).collect();
    let threads = 2;
    let play = |part: usize| {
        let seeds = &seeds;
        move || {
            let mine = seeds.iter().skip(part).step_by(threads);
            let play = |seed: &u64| {
                let schedule = Schedule::of(*seed);
                let wrong = block_on(schedule.play());
                (!wrong.is_empty()).then(|| format!("{schedule}{:#?}", &wrong[..wrong.len().min(8)]))
            };
            mine.filter_map(play).collect::<Vec<String>>()
        }
    };
    let failed: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|part| scope.spawn(play(part))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(
        failed.is_empty(),
        "{} of {} schedules failed:\n{}",
        failed.len(),
        seeds.len(),
        failed[..failed.len().min(5)].join("\n")
    );
}
