//! One start of one process.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use deepguard::Artifact;
use deepguard::baseline::calibrated_at;
use deepguard::series::PERIOD;
use jiff::Timestamp;
use scripted_aws::{Aws, Generated, Options, Outcome};
use serde_json::{Value, json};

use crate::common::fleet::{BUCKET, MODEL, Prepared, baselines_key};
use crate::common::process::Function;

/// The time limit for each step.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the program checks a process that has not answered yet.
const LOOK: Duration = Duration::from_secs(1);
/// Before the second event, so that the function need not wait until it may ask CloudWatch again:
/// real events are minutes apart.
const PAUSE: Duration = Duration::from_millis(400);
const POINTER: &str = "models/current";
const ARTIFACT: &str = "models/default.safetensors";

/// The parts of a start, in the order of time.
pub(crate) const PARTS: [&str; 6] =
    ["process to main", "settings, log", "AWS config", "clients", "model", "to the first question"];

/// A process to start.
pub(crate) struct Contestant {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    pub(crate) role: Role,
    pub(crate) model: Model,
}

/// The handler that it is started as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The empty function, for comparison.
    Empty,
    Detector,
    Calibrator,
}

/// Where its model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Model {
    /// In the binary.
    CompiledIn,
    /// In S3, behind a pointer.
    InS3,
}

/// A contestant and its measurements.
pub(crate) struct Measured {
    pub(crate) contestant: Contestant,
    pub(crate) starts: Vec<Start>,
    pub(crate) answers: Vec<Answers>,
}

impl Measured {
    pub(crate) fn new(contestant: Contestant) -> Self {
        Self { contestant, starts: Vec::new(), answers: Vec::new() }
    }

    /// Milliseconds until it asked for its first event.
    pub(crate) fn ready(&self) -> Vec<f64> {
        self.starts.iter().map(|start| start.ready).collect()
    }
}

/// Until it asked for its first event.
pub(crate) struct Start {
    /// Milliseconds.
    pub(crate) ready: f64,
    /// Milliseconds of each of [`PARTS`], where it reports them.
    pub(crate) parts: Option<[f64; PARTS.len()]>,
    /// Milliseconds of processor, which are the same however busy the machine is.
    pub(crate) cpu: f64,
    /// Memory at most, in MB.
    pub(crate) peak_mb: f64,
}

pub(crate) struct Answers {
    /// Milliseconds from the start of the process to the first answer.
    pub(crate) first: f64,
    /// Milliseconds of processor for it.
    pub(crate) cpu: f64,
    /// Milliseconds that the next event took.
    pub(crate) second: f64,
}

/// The surroundings of every start.
pub(crate) struct Scene {
    pub(crate) fleet: Generated,
    pub(crate) prepared: Prepared,
    /// The time of the run before.
    pub(crate) at: i64,
    /// The log of a process.
    pub(crate) log: PathBuf,
}

impl Scene {
    fn aws(&self, contestant: &Contestant) -> Result<Aws> {
        let options = Options { now: self.at + PERIOD, ..Options::default() };
        let aws = Aws::start(Arc::new(self.fleet.clone()), options);
        self.prepared.put(&aws, self.fleet.instances)?;
        if contestant.role == Role::Calibrator {
            aws.remove_object(BUCKET, &baselines_key(calibrated_at(self.at)));
        }
        let sha256 = Artifact::from_bytes(MODEL)?.checksum().to_string();
        aws.put_object(BUCKET, ARTIFACT, MODEL);
        aws.put_object(BUCKET, POINTER, json!({ "key": ARTIFACT, "sha256": sha256 }).to_string());
        Ok(aws)
    }

    fn function(&self, contestant: &Contestant, log_level: &str) -> Function {
        let handler = if contestant.role == Role::Calibrator { "calibrator" } else { "detector" };
        let mut settings = vec![
            ("_HANDLER", handler.to_string()),
            ("LOG_LEVEL", log_level.to_string()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512".to_string()),
        ];
        if contestant.model == Model::InS3 {
            settings.push(("MODEL_URI", format!("s3://{BUCKET}/{POINTER}")));
        }
        Function::new(&contestant.file, settings, self.log.clone())
    }
}

/// Starts a process and waits until it asks for its first event, which it does not get.
pub(crate) fn start(contestant: &Contestant, scene: &Scene) -> Result<Start> {
    let aws = scene.aws(contestant)?;
    let mut function = scene.function(contestant, "debug");
    let (clock, began) = (Timestamp::now(), Instant::now());
    function.start(&aws)?;
    let Some(asked) = aws.runtime().take_asked(PATIENCE) else {
        bail!("it is not ready; {}", function.last_words())
    };
    let ready = milliseconds(asked - began);
    let (cpu, peak_mb) = (on_processor(&function)?, function.peak_mb()?);
    let lines = function.logged();
    let told = lines
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .find(|line: &Value| line["parts_us"].is_object());
    let parts = told.map(|told| parts(&told, clock, ready)).transpose()?;
    Ok(Start { ready, parts, cpu, peak_mb })
}

/// A process's report of its start, with the times before and after.
fn parts(told: &Value, clock: Timestamp, ready: f64) -> Result<[f64; PARTS.len()]> {
    let main: Timestamp = told["began"].as_str().context("the start has no time")?.parse()?;
    let to_main = main.duration_since(clock).as_secs_f64() * 1000.0;
    let part = |name: &str| -> Result<f64> {
        Ok(told["parts_us"][name]
            .as_f64()
            .with_context(|| format!("the start has no part {name}"))?
            / 1000.0)
    };
    let inside = [part("settings")?, part("aws_config")?, part("clients")?, part("model")?];
    let [settings, config, clients, model] = inside;
    let rest = ready - to_main - inside.iter().sum::<f64>();
    Ok([to_main, settings, config, clients, model, rest])
}

/// Starts a process for which an event already waits, and sends a second event after the first
/// answer.
pub(crate) fn answers(contestant: &Contestant, scene: &Scene) -> Result<Answers> {
    let aws = scene.aws(contestant)?;
    let mut function = scene.function(contestant, "info");
    let instances = scene.fleet.instances;
    let began = Instant::now();
    function.start(&aws)?;
    let summary = answer(&aws, &mut function, scene.at + PERIOD)?;
    let first = milliseconds(began.elapsed());
    let cpu = on_processor(&function)?;
    let all = match contestant.role {
        Role::Empty => true,
        Role::Detector => summary["instances"]["scored"] == instances,
        Role::Calibrator => summary["instances"]["made"] == instances,
    };
    ensure!(all, "not all of {instances} instances were done: {summary}");
    aws.set_now(scene.at + 2 * PERIOD);
    sleep(PAUSE);
    let began = Instant::now();
    answer(&aws, &mut function, scene.at + 2 * PERIOD)?;
    Ok(Answers { first, cpu, second: milliseconds(began.elapsed()) })
}

fn answer(aws: &Aws, function: &mut Function, time: i64) -> Result<Value> {
    let event =
        json!({ "shard": 0, "shards": 1, "time": Timestamp::from_second(time)?.to_string() });
    let began = Instant::now();
    let invocation = aws.runtime().invoke_async(event, PATIENCE);
    loop {
        match invocation.wait(LOOK) {
            Outcome::Answer(answer) => return Ok(answer),
            Outcome::NoAnswer if function.is_running() && began.elapsed() < PATIENCE => {}
            outcome => bail!("{outcome:?}; {}", function.last_words()),
        }
    }
}

/// Milliseconds of processor of all threads that there are; the usual number counts hundredths of a
/// second only.
fn on_processor(function: &Function) -> Result<f64> {
    let id = function.id().context("the function was not started")?;
    let mut nanoseconds = 0.0;
    for task in fs::read_dir(format!("/proc/{id}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        nanoseconds += text.split(' ').next().unwrap_or_default().parse::<f64>()?;
    }
    Ok(nanoseconds / 1e6)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
