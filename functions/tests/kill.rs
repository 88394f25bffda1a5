//! Kills the function itself at any moment: no score is lost, and no datapoint gets two different
//! scores.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it did not expect should stop there"
)]

mod common;

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::*;
use scripted_aws::{Aws, Generated, Latency, Limits, Options, Outcome, RuntimeApi};
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(60);
/// How often the function has to be killed while it runs.
const KILLS: usize = 50;

/// A process of a function.
struct Process(Child);

impl Process {
    fn new(aws: &Aws, runtime: &RuntimeApi, handler: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bootstrap"));
        command
            .env_clear()
            .envs([
                ("AWS_ENDPOINT_URL", aws.endpoint()),
                ("AWS_LAMBDA_RUNTIME_API", runtime.endpoint()),
                ("STATE_URI", format!("s3://{BUCKET}/state")),
            ])
            .envs([
                ("_HANDLER", handler),
                ("AWS_REGION", "us-east-1"),
                ("AWS_ACCESS_KEY_ID", "key"),
                ("AWS_SECRET_ACCESS_KEY", "secret"),
                ("AWS_EC2_METADATA_DISABLED", "true"),
                ("AWS_LAMBDA_FUNCTION_NAME", "deepguard"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
                ("AWS_LAMBDA_LOG_GROUP_NAME", "deepguard"),
                ("AWS_LAMBDA_LOG_STREAM_NAME", "deepguard"),
                // The last runs are about the newest slots, whose values never change here.
                ("SETTLE_MINUTES", "0"),
                ("PUBLISH_MODE", "full"),
                ("READ_CALLS_PER_SECOND", "500"),
                ("READ_DATAPOINTS_PER_SECOND", "10000000"),
                ("LOG_LEVEL", "error"),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        Self(command.spawn().expect("the function"))
    }

    fn kill(mut self) {
        self.0.kill().expect("it is alive");
        self.0.wait().expect("it is dead");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A failing test does not leave the process behind. After `kill` there is no process.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The event of a run of the schedule. Its time makes clear that it is no query.
fn regular(time: i64) -> Value {
    json!({ "shard": 0, "shards": 1, "time": text(time) })
}

#[test]
fn killed_at_any_moment_it_loses_nothing_and_says_everything_once() {
    // Two days that end now: the function has a clock of its own.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let end = now - now.rem_euclid(SLOT);
    let begin = end - 2 * DAY;
    let fleet = Generated::new(4, 5)
        .gap(1, begin + DAY, begin + DAY + 3600)
        .fault(2, begin + DAY / 2, begin + DAY / 2 + 1800, 97.0)
        .gap(3, 0, begin - 10 * 3600);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (start, truth) = runtime.block_on(async {
        let start = Start::new(fleet, begin).await;
        let truth = start.undisturbed(end).await;
        (start, truth)
    });
    let latency = Latency { base: Duration::from_millis(3), ..Latency::default() };
    let options = Options { now: begin, limits: Limits::none(), latency, ..Options::default() };
    let aws = Aws::start(Arc::new(start.fleet.clone()), options);
    start.objects.iter().for_each(|(key, bytes)| drop(aws.put_object(BUCKET, key, bytes.clone())));

    let seed = std::env::var("KILL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut dice = Dice(seed);
    let started = Instant::now();
    let calibrators = RuntimeApi::start();
    let mut process: Option<Process> = None;
    // The duration of a run: of a new process, and of one that has run before.
    let mut typical = [Duration::from_millis(60), Duration::from_millis(40)];
    let (mut in_runs, mut between, mut repeated, mut too_late) = (0, 0, 0, 0);
    for time in slots(begin + SLOT, end + 1) {
        let quiet = time > end - 3 * SLOT;
        if let Some(at) = calibrator_before(time) {
            aws.set_now(at);
            // The first try is killed, the second is not.
            let invocation = calibrators.invoke_async(regular(at), LONG);
            let first = Process::new(&aws, &calibrators, "calibrator");
            assert!(invocation.wait_taken(LONG));
            std::thread::sleep(Duration::from_millis(dice.below(40)));
            first.kill();
            let _second = Process::new(&aws, &calibrators, "calibrator");
            let outcome = calibrators.invoke(regular(at), LONG);
            assert!(
                matches!(outcome, Outcome::Answer(_)),
                "the calibrator at {}: {outcome:?}",
                text(at)
            );
        }
        aws.set_now(time);
        if !quiet
            && dice.chance(0.05)
            && let Some(process) = process.take()
        {
            process.kill();
            between += 1;
        }
        loop {
            let is_warm = usize::from(process.is_some());
            let running =
                process.get_or_insert_with(|| Process::new(&aws, aws.runtime(), "detector"));
            let invocation = aws.runtime().invoke_async(regular(time), LONG);
            assert!(invocation.wait_taken(LONG), "no process took the event of {}", text(time));
            let taken = Instant::now();
            if quiet || !dice.chance(0.2) {
                let outcome = invocation.wait(LONG);
                assert!(matches!(outcome, Outcome::Answer(_)), "at {}: {outcome:?}", text(time));
                typical[is_warm] = (typical[is_warm] * 7 + taken.elapsed()) / 8;
                break;
            }
            let delay = typical[is_warm].mul_f64(dice.below(1000) as f64 / 1000.0);
            assert!(running.0.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::sleep(delay);
            process.take().unwrap().kill();
            if invocation.wait(Duration::ZERO) == Outcome::NoAnswer {
                in_runs += 1;
            } else {
                too_late += 1;
            }
            // Lambda tries some of them again.
            if dice.chance(0.5) {
                break;
            }
            repeated += 1;
        }
    }
    let story = format!(
        "KILL_SEED={seed}: killed in {in_runs} runs, after the answer {too_late} times, between \
         runs {between} times; {repeated} runs were repeated; a run takes {typical:?}; {:?} in all",
        started.elapsed()
    );
    println!("{story}");
    truth.assert(&aws.published(), &story);
    assert!(in_runs >= KILLS, "{story}");
}
