//! One run: invoked, measured and checked.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use deepguard::series::{DAY_SECONDS, PERIOD};
use deepguard_aws::cloudwatch::limits::{DATAPOINTS_PER_READ, DATUMS_PER_PUT, QUERIES_PER_READ};
use functions::settings::VARIABLES;
use jiff::Timestamp;
use scripted_aws::{Aws, Call, Outcome};
use serde::Serialize;
use serde_json::{Value, json};

use crate::Mode;
use crate::common::fleet::{BUCKET, baselines_key, state_key};
use crate::common::process::Function;

/// Metrics on one page of ListMetrics.
const METRICS_PER_PAGE: usize = 500;
/// How often the program checks a process that has not answered yet.
const LOOK: Duration = Duration::from_secs(1);
/// Linux's ticks a second for the processor time of programs, the same on every machine.
const TICKS: f64 = 100.0;
const LIST: &str = "ListMetrics";
const GET: &str = "GetMetricData";
const PUT: &str = "PutMetricData";
/// Operations of S3.
const S3: [&str; 3] = ["GetObject", "ListObjectsV2", "PutObject"];

/// The key of the mutes.
pub(crate) const MUTES_KEY: &str = "settings/mutes.json";
/// How many mutes the fleet has in the end.
const MUTES: usize = 20;

/// A file of daily mutes for the whole fleet, six hours after `time` (seconds since 1970).
pub(crate) fn mutes(time: i64) -> String {
    let hour = (time.rem_euclid(DAY_SECONDS) / 3600 + 6) % 24;
    let mute = |number: usize| {
        json!({
            "all": true,
            "every": "day",
            "between": [format!("{hour:02}:{number:02}"), format!("{hour:02}:{:02}", number + 20)],
            "zone": "UTC",
            "why": format!("backup {number}"),
        })
    };
    json!({ "mutes": (0..MUTES).map(mute).collect::<Vec<_>>() }).to_string()
}

/// The task of a run.
pub(crate) struct Load {
    pub(crate) instances: usize,
    pub(crate) publish: Mode,
}

/// How a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// In a new process, with nothing in S3.
    FromNothing,
    /// In a new process, with the state in S3.
    Cold,
    /// In a process that made the run five minutes before.
    Warm,
    /// In a process that made the run ten minutes before.
    AfterMissed,
    /// As warm, with [`MUTES`] mutes that came since.
    WithMutes,
    /// As cold, where instances have no groups.
    ColdUngrouped,
    /// As warm, where instances have no groups.
    WarmUngrouped,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FromNothing => "from nothing",
            Self::Cold => "cold",
            Self::Warm => "warm",
            Self::AfterMissed => "warm, one missed",
            Self::WithMutes => "warm, 20 mutes",
            Self::ColdUngrouped => "cold, without groups",
            Self::WarmUngrouped => "warm, without groups",
        }
    }

    fn is_new_process(self) -> bool {
        matches!(self, Self::FromNothing | Self::Cold | Self::ColdUngrouped)
    }

    /// Whether the function runs as the template deploys it, with groups.
    pub(crate) fn is_grouped(self) -> bool {
        !matches!(self, Self::ColdUngrouped | Self::WarmUngrouped)
    }

    /// How the run gets its state.
    fn loaded(self) -> &'static str {
        match self {
            Self::FromNothing => "missing",
            Self::Cold | Self::ColdUngrouped => "read",
            Self::Warm | Self::AfterMissed | Self::WithMutes | Self::WarmUngrouped => "known",
        }
    }

    /// Datapoints of each instance that get a score.
    fn new_slots(self) -> usize {
        match self {
            Self::FromNothing => 36,
            Self::Cold | Self::Warm | Self::WithMutes => 1,
            Self::AfterMissed => 2,
            Self::ColdUngrouped | Self::WarmUngrouped => 1,
        }
    }

    /// The fewest calls to S3. A run reads mutes, state and baselines. A new process looks for data
    /// of other divisions of the fleet. A run writes changes, and records that they were published.
    fn least_s3(self) -> usize {
        match self {
            // Two looks and a list each for state and baselines, and the state and the baselines of
            // two days to write.
            Self::FromNothing => 9,
            Self::Cold | Self::ColdUngrouped => 6,
            Self::Warm | Self::AfterMissed | Self::WithMutes | Self::WarmUngrouped => 4,
        }
    }
}

/// How often an operation was called.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Calls {
    pub(crate) made: usize,
    /// The fewest calls that could have done it.
    pub(crate) least: usize,
}

/// The measurements.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Run {
    pub(crate) instances: usize,
    pub(crate) kind: Kind,
    /// The caller's time; for a new process, with its start.
    pub(crate) wall_seconds: f64,
    /// The function's own time.
    pub(crate) own_seconds: f64,
    /// The part of that time in which it scored.
    pub(crate) scoring_seconds: f64,
    /// A new process's own time to be ready.
    pub(crate) init_seconds: Option<f64>,
    /// The function's processor time.
    pub(crate) cpu_seconds: f64,
    /// The scripted AWS's processor time in the same period.
    pub(crate) scripted_cpu_seconds: f64,
    /// The most memory up to the end of this run.
    pub(crate) peak_mb: f64,
    pub(crate) list: Calls,
    pub(crate) get: Calls,
    pub(crate) put: Calls,
    pub(crate) s3: Calls,
    /// Calls that read tags.
    pub(crate) tags: usize,
    /// Events and messages that were delivered.
    pub(crate) alerts: usize,
    /// Calls without success, by operation and error.
    pub(crate) refused: BTreeMap<String, usize>,
    pub(crate) datapoints: usize,
    pub(crate) datums: usize,
    pub(crate) state_bytes: usize,
    pub(crate) baselines_bytes: usize,
    /// Where the wall time went.
    pub(crate) parts: Vec<(&'static str, f64)>,
    /// How long the settings alone make the function take for its reading.
    pub(crate) paced_seconds: f64,
}

/// Invokes the function for the time `time` and measures the outcome.
///
/// # Errors
/// Where the run did not do all its work.
pub(crate) fn measure(
    aws: &Aws,
    since: Instant,
    function: &mut Function,
    load: &Load,
    kind: Kind,
    time: i64,
    timeout: Duration,
) -> Result<Run> {
    aws.take_calls();
    aws.take_published();
    let event =
        json!({ "shard": 0, "shards": 1, "time": Timestamp::from_second(time)?.to_string() });
    let cpu = of_function(function)?;
    let scripted = cpu_seconds("self")?;
    let began = since.elapsed();
    function.start(aws)?;
    let invocation = aws.runtime().invoke_async(event, timeout);
    let outcome = loop {
        match invocation.wait(LOOK) {
            Outcome::NoAnswer if function.is_running() && since.elapsed() - began < timeout => {}
            outcome => break outcome,
        }
    };
    let ended = since.elapsed();
    let summary = match outcome {
        Outcome::Answer(summary) => summary,
        Outcome::Error(error) | Outcome::InitError(error) => {
            bail!("it failed: {error}; {}", function.last_words())
        }
        Outcome::NoAnswer => bail!(
            "no answer after {:.1} s; {}",
            (ended - began).as_secs_f64(),
            function.last_words()
        ),
    };
    let calls = aws.take_calls();
    let published: usize = aws.take_published().values().map(Vec::len).sum();
    check(&summary, load, kind, time, published)
        .with_context(|| format!("its answer was {}", shortened(&summary)))?;
    let size = |key: &str| aws.object(BUCKET, key).map_or(0, |object| object.bytes.len());
    let milliseconds =
        |name: &str| summary[name].as_f64().map(|milliseconds| milliseconds / 1000.0);
    let of = |operation: &'static str| calls.iter().filter(move |call| call.operation == operation);
    let longest =
        of(GET).filter_map(|call| call.range).map(|(start, end)| (end - start) / PERIOD).max();
    let per_get =
        QUERIES_PER_READ.min(DATAPOINTS_PER_READ / longest.unwrap_or(1).max(1) as usize).max(1);
    let made = |operation: &'static str, least: usize| Calls { made: of(operation).count(), least };
    let mut refused = BTreeMap::new();
    for call in calls.iter().filter(|call| call.error.is_some() && !is_expected(call)) {
        let error = call.error.as_deref().unwrap_or_default();
        *refused.entry(format!("{} {error}", call.operation)).or_insert(0) += 1;
    }
    Ok(Run {
        instances: load.instances,
        kind,
        wall_seconds: (ended - began).as_secs_f64(),
        own_seconds: milliseconds("duration_ms").context("no duration in the answer")?,
        scoring_seconds: milliseconds("scoring_ms").context("no time of scoring in the answer")?,
        init_seconds: milliseconds("init_ms"),
        cpu_seconds: of_function(function)? - cpu,
        scripted_cpu_seconds: cpu_seconds("self")? - scripted,
        peak_mb: function.peak_mb()?,
        list: made(LIST, load.instances.div_ceil(METRICS_PER_PAGE)),
        get: made(GET, load.instances.div_ceil(per_get)),
        put: made(PUT, published.div_ceil(DATUMS_PER_PUT)),
        s3: Calls { made: S3.iter().map(|name| of(name).count()).sum(), least: kind.least_s3() },
        tags: of("GetResources").count(),
        alerts: calls.iter().filter(|call| call.carried_out).map(|call| call.entries).sum(),
        refused,
        datapoints: calls.iter().map(|call| call.datapoints).sum(),
        datums: published,
        state_bytes: size(&state_key()),
        baselines_bytes: size(&baselines_key(time - time.rem_euclid(DAY_SECONDS))),
        parts: parts(&calls, began, ended),
        paced_seconds: paced(&calls)?,
    })
}

/// Whether each instance got its scores, and whether all of them were published.
fn check(summary: &Value, load: &Load, kind: Kind, time: i64, published: usize) -> Result<()> {
    let instances = &summary["instances"];
    ensure!(
        instances["scored"] == load.instances,
        "not each of {} instances is scored",
        load.instances
    );
    ensure!(
        instances["seen"] == load.instances,
        "it saw others than the {} instances that there are",
        load.instances
    );
    ensure!(instances["skipped"] == json!({}), "some instances were skipped");
    ensure!(
        summary["newest_datapoint"] == Timestamp::from_second(time - PERIOD)?.to_string(),
        "a datapoint is not scored"
    );
    ensure!(
        summary["state"] == json!({ "loaded": kind.loaded(), "saved": true }),
        "the state was not kept as it should be"
    );
    ensure!(summary["superseded"] == false, "another run is said to have decided");
    ensure!(summary["alerts"]["failed"] == 0, "some alerts were not sent");
    ensure!(summary["datums_failed"] == 0, "some datums were not published");
    ensure!(summary["datums_published"] == published, "{published} datums came to CloudWatch");
    ensure!(
        summary["cold_start"] == kind.is_new_process(),
        "the process is not the one that it should be"
    );
    let all = 2 * load.instances * kind.new_slots();
    ensure!(
        load.publish == Mode::Sparse || published > all,
        "{published} datums, although there are {all} of instances"
    );
    Ok(())
}

/// The answer without the list of anomalous instances, which may be long.
fn shortened(summary: &Value) -> String {
    let mut summary = summary.clone();
    if let Some(anomalous) = summary.pointer_mut("/instances/anomalous") {
        *anomalous = anomalous.as_array().map_or(0, Vec::len).into();
    }
    summary.to_string()
}

/// Whether an error is an ordinary answer: an object may be missing.
fn is_expected(call: &Call) -> bool {
    call.operation == "GetObject" && call.status == Some(404)
}

/// Seconds from the first to the last call of GetMetricData at the rates that the function's
/// settings are without a deployment's.
fn paced(calls: &[Call]) -> Result<f64> {
    let setting = |name: &str| -> Result<f64> {
        let variable = VARIABLES
            .iter()
            .find(|variable| variable.name == name)
            .context("a setting is not there")?;
        Ok(variable.default.parse()?)
    };
    let (a_call, a_datapoint) =
        (1.0 / setting("READ_CALLS_PER_SECOND")?, 1.0 / setting("READ_DATAPOINTS_PER_SECOND")?);
    let takes = calls.iter().filter(|call| call.operation == GET).filter_map(|call| {
        let (start, end) = call.range?;
        Some(a_call.max(call.queries as f64 * ((end - start) / PERIOD) as f64 * a_datapoint))
    });
    let takes: Vec<f64> = takes.collect();
    Ok(takes.iter().take(takes.len().saturating_sub(1)).fold(0.0, |sum, seconds| sum + seconds))
}

/// The wall time, divided by the first and the last call of each operation.
fn parts(calls: &[Call], began: Duration, ended: Duration) -> Vec<(&'static str, f64)> {
    let of = |operation: &'static str| calls.iter().filter(move |call| call.operation == operation);
    let first = |operation| of(operation).map(|call| call.came).min();
    let last = |operation| of(operation).map(|call| call.came + call.took).max();
    let marks = [
        ("start, state", first(LIST)),
        ("list", last(LIST)),
        ("baselines, plan", first(GET)),
        ("read, score, pack", first("PutObject")),
        ("write", first(PUT)),
        ("publish", Some(ended)),
    ];
    let mut before = began;
    let mut parts = Vec::new();
    for (name, mark) in marks {
        let mark = mark.unwrap_or(before).max(before);
        parts.push((name, (mark - before).as_secs_f64()));
        before = mark;
    }
    parts
}

/// Seconds of processor of the function since its start, the kernel's included.
fn of_function(function: &Function) -> Result<f64> {
    function.id().map_or(Ok(0.0), |id| cpu_seconds(&id.to_string()))
}

/// Seconds of processor of a process, by its number or as `self`.
fn cpu_seconds(process: &str) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in brackets, may contain anything. After it the fields are counted from the third
    // on.
    let Some((_, fields)) = stat.rsplit_once(')') else {
        bail!("/proc/{process}/stat is not understood")
    };
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |field: usize| -> Result<f64> {
        Ok(fields.get(field - 3).context("/proc/<pid>/stat is too short")?.parse()?)
    };
    Ok((ticks(14)? + ticks(15)?) / TICKS)
}
