//! The load test: measures the time, calls, processor time and memory of a run of the detector, for
//! fleets of any size.
//!
//! The real `bootstrap` runs as a process of its own, as Lambda would start it. A scripted AWS on
//! this machine answers as slowly and allows as little as the real one. Every run is checked: each
//! instance must get its score.

#[path = "../common/mod.rs"]
mod common;
mod picture;
mod report;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use deepguard::series::PERIOD;
use scripted_aws::{Aws, GROUP, Generated, Latency, Limits, Options};

use common::fleet::{BUCKET, Prepared, start_of_runs};
use common::process::Function;
use common::text::beside;
use report::Report;
use run::{Kind, Load, MUTES_KEY, Run};

/// Measures runs of the detector on fleets of different sizes.
#[derive(Debug, Clone, Parser)]
struct Args {
    /// The function; by default the `bootstrap` of the same build as this program
    #[arg(long, value_name = "FILE")]
    bootstrap: Option<PathBuf>,
    /// How many instances; may be repeated
    #[arg(
        long,
        value_name = "N",
        default_values_t = [1000, 3000, 10_000],
        value_parser = instances
    )]
    instances: Vec<usize>,
    /// How many of them are different; the others are copies
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = instances)]
    distinct: usize,
    /// How many instances the run has that begins with nothing; 0: there is no such run
    #[arg(long, value_name = "N", default_value_t = 100)]
    rebuild: usize,
    /// PUBLISH_MODE of the function
    #[arg(long, value_enum, default_value_t = Mode::Sparse)]
    publish: Mode,
    /// Milliseconds that each call to AWS takes
    #[arg(long, value_name = "MS", default_value_t = Latency::like_aws().base.as_millis() as u64)]
    latency: u64,
    /// Microseconds on top of it for every 100 datapoints
    #[arg(
        long,
        value_name = "US",
        default_value_t = Latency::like_aws().per_100_datapoints.as_micros() as u64
    )]
    latency_per_100: u64,
    /// Memory of the function in MB: the report tells of more, and the run goes on
    #[arg(long, value_name = "MB", default_value_t = 512)]
    memory: u64,
    /// Seconds that a run may take; the one that begins with nothing may take Lambda's 900
    #[arg(long, value_name = "S", default_value_t = 120)]
    timeout: u64,
    /// Where to write load.md, load.json and load.png
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where to keep the logs of the function
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
}

/// PUBLISH_MODE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Scores worth it.
    Sparse,
    /// All scores.
    Full,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Sparse => "sparse",
            Self::Full => "full",
        }
    }
}

/// Instances of an Auto Scaling group.
const GROUP_SIZE: usize = 20;
/// What the template sets beside the usual values, with a chat as well.
const DEPLOYED: [(&str, &str); 6] = [
    ("GROUP_BY", GROUP),
    ("EVENT_BUS", "default"),
    ("TOPIC", "arn:aws:sns:us-east-1:123456789012:alarms"),
    ("CHAT_TOPIC", "arn:aws:sns:us-east-1:123456789012:chat"),
    ("DIGEST", "08:00"),
    ("DEPLOYMENT", "deepguard"),
];

/// The longest that Lambda lets a run take.
const LONGEST: Duration = Duration::from_secs(900);

fn instances(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(instances @ 1..=100_000) => Ok(instances),
        _ => Err("it must be a number from 1 to 100000".into()),
    }
}

fn main() -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn work() -> Result<()> {
    let mut args = Args::parse();
    args.instances.sort_unstable();
    args.instances.dedup();
    let bootstrap = match &args.bootstrap {
        Some(path) => path.clone(),
        None => beside("bootstrap")?,
    };
    ensure!(
        bootstrap.is_file(),
        "there is no {}: build it, or name another one with --bootstrap",
        bootstrap.display()
    );
    let temporary = tempfile::tempdir()?;
    let logs = args.logs.as_deref().unwrap_or(temporary.path());
    for folder in [Some(logs), args.out.as_deref()].into_iter().flatten() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }

    let at = start_of_runs()?;
    let started = Instant::now();
    eprintln!("preparing the state of {} different instances", args.distinct);
    let prepared = Prepared::new(&generated(&args, args.distinct), args.distinct, at)?;
    eprintln!("prepared in {:.1} s", started.elapsed().as_secs_f64());

    let mut runs = Vec::new();
    if args.rebuild > 0 {
        let function = Measuring::begin(&args, &bootstrap, logs, args.rebuild, None, at, true)?;
        runs.extend(function.measure(&[(Kind::FromNothing, 1)], LONGEST)?);
    }
    for &instances in &args.instances {
        eprintln!("putting the state of {instances} instances into the scripted S3");
        let begin = |grouped: bool| {
            Measuring::begin(&args, &bootstrap, logs, instances, Some(&prepared), at, grouped)
        };
        let steps = [
            (Kind::Cold, 1),
            (Kind::Warm, 1),
            (Kind::AfterMissed, 2),
            (Kind::Warm, 1),
            (Kind::WithMutes, 1),
        ];
        let timeout = Duration::from_secs(args.timeout);
        runs.extend(begin(true)?.measure(&steps, timeout)?);
        if args.instances.last() == Some(&instances) {
            let steps =
                [(Kind::ColdUngrouped, 1), (Kind::WarmUngrouped, 1), (Kind::WarmUngrouped, 2)];
            runs.extend(begin(false)?.measure(&steps, timeout)?);
        }
    }
    Report::new(&args, &bootstrap, runs)?.give(args.out.as_deref())
}

fn generated(args: &Args, instances: usize) -> Generated {
    let mut fleet = Generated::new(instances, 1).groups(GROUP_SIZE);
    fleet.distinct = args.distinct;
    fleet
}

/// A scripted AWS and a function that is measured at it.
struct Measuring {
    aws: Aws,
    since: Instant,
    function: Function,
    load: Load,
    at: i64,
}

impl Measuring {
    /// Starts the function with its prepared state, up to the time `at`; with the groups that the
    /// template gives it, or without.
    fn begin(
        args: &Args,
        bootstrap: &std::path::Path,
        logs: &std::path::Path,
        instances: usize,
        prepared: Option<&Prepared>,
        at: i64,
        grouped: bool,
    ) -> Result<Self> {
        let latency = Latency {
            base: Duration::from_millis(args.latency),
            per_100_datapoints: Duration::from_micros(args.latency_per_100),
        };
        let options = Options { now: at, latency, limits: Limits::default(), ..Options::default() };
        let since = Instant::now();
        let aws = Aws::start(Arc::new(generated(args, instances)), options);
        if let Some(prepared) = prepared {
            prepared.put(&aws, instances)?;
        }
        let log = logs.join(match (prepared, grouped) {
            (Some(_), true) => format!("load-{instances}.log"),
            (Some(_), false) => format!("load-ungrouped-{instances}.log"),
            (None, _) => format!("load-from-nothing-{instances}.log"),
        });
        let mut settings = vec![
            ("PUBLISH_MODE", args.publish.name().into()),
            ("MUTES_URI", format!("s3://{BUCKET}/{MUTES_KEY}")),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", args.memory.to_string()),
        ];
        let deployed = DEPLOYED.into_iter().filter(|(name, _)| grouped || *name != "GROUP_BY");
        settings.extend(deployed.map(|(name, value)| (name, value.to_string())));
        let function = Function::new(bootstrap, settings, log);
        Ok(Self { aws, since, function, load: Load { instances, publish: args.publish }, at })
    }

    /// Makes one run after the other, each this number of slots after the one before.
    fn measure(mut self, steps: &[(Kind, i64)], timeout: Duration) -> Result<Vec<Run>> {
        let mut time = self.at;
        let mut runs = Vec::new();
        for &(kind, slots) in steps {
            time += slots * PERIOD;
            self.aws.set_now(time);
            if kind == Kind::WithMutes {
                self.aws.put_object(BUCKET, MUTES_KEY, run::mutes(time));
            }
            let instances = self.load.instances;
            eprint!("{instances} instances, {}: ", kind.name());
            let run = run::measure(
                &self.aws,
                self.since,
                &mut self.function,
                &self.load,
                kind,
                time,
                timeout,
            );
            let run = run.with_context(|| format!("{instances} instances, {}", kind.name()))?;
            eprintln!(
                "{:.2} s, {:.2} s of processor, {:.0} MB",
                run.wall_seconds, run.cpu_seconds, run.peak_mb
            );
            runs.push(run);
        }
        Ok(runs)
    }
}
