//! The state that earlier runs would have left: made once for a few instances, copied for all
//! others.

use std::thread::{available_parallelism, scope};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use deepguard::band::Bands;
use deepguard::baseline::{HISTORY, calibrated_at};
use deepguard::detector::rebuild_from;
use deepguard::model::device;
use deepguard::series::{DAY_SECONDS, PERIOD};
use deepguard::{Artifact, Baseline, Datapoint, Detector, Series};
use deepguard_aws::ids::TargetId;
use functions::state::baselines::Baselines;
use functions::state::{Followed, State};
use functions::time::date;
use functions::trigger::shard::Shard;
use scripted_aws::{Aws, Fleet, Generated};

/// The bucket of the scripted S3 that holds everything.
pub(crate) const BUCKET: &str = "deepguard";
/// The key prefix in it.
pub(crate) const PREFIX: &str = "state";
/// The model that is compiled into the function.
pub(crate) const MODEL: &[u8] = include_bytes!("../../../models/default.safetensors");

const HOUR: i64 = 3600;

/// The key of the state of the whole fleet.
pub(crate) fn state_key() -> String {
    format!("{PREFIX}/shards/{}", Shard::WHOLE)
}

/// The key of the baselines of a day.
pub(crate) fn baselines_key(day: i64) -> String {
    format!("{PREFIX}/baselines/{}/{}", date(day), Shard::WHOLE)
}

/// The time of the run before the first one, in seconds since 1970: an hour ago or a little more.
/// So all runs lie on one day, and the baselines of that day are made.
pub(crate) fn start_of_runs() -> Result<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
    let at = (now - HOUR).div_euclid(PERIOD) * PERIOD;
    let day = at.div_euclid(DAY_SECONDS) * DAY_SECONDS;
    Ok(match at - day {
        into if into < HOUR => day - 2 * HOUR,
        into if into > DAY_SECONDS - HOUR => day + DAY_SECONDS - 2 * HOUR,
        _ => at,
    })
}

/// The state of some instances that are all different.
pub(crate) struct Prepared {
    model: String,
    /// Slots that a window spans.
    context: usize,
    /// Midnight of the day whose baselines these are.
    day: i64,
    instances: Vec<(Followed, Option<Baseline>)>,
}

impl Prepared {
    /// Builds the state of the first `distinct` instances of `fleet`, scored up to `at` like a run
    /// without any state.
    pub(crate) fn new(fleet: &Generated, distinct: usize, at: i64) -> Result<Self> {
        let artifact = Artifact::from_bytes(MODEL).context("the model that is compiled in")?;
        let model = artifact.checksum().to_string();
        let context = Detector::new(artifact.clone(), &device()).context();
        let day = calibrated_at(at);
        debug_assert!(at < day + DAY_SECONDS);
        let from = rebuild_from(at) - HISTORY as i64 * PERIOD;
        let begin = |detector: &Detector, n: usize| {
            let datapoints = fleet.datapoints(&Generated::id(n), from, at, at);
            let datapoints = datapoints.into_iter().map(|(time, value)| Datapoint { time, value });
            let (series, _) = Series::from_datapoints(datapoints)?;
            let mut begun = detector.start(&series, at, |_| false);
            let baseline =
                begun.baselines.remove(&day).context("no baseline of the day was made")?;
            let mut bands = Bands::default();
            begun.scored.iter().for_each(|scored| drop(bands.take_in(scored, false)));
            Ok((
                Followed {
                    track: begun.track,
                    watermark: at,
                    looked: at,
                    tail: 0,
                    episodes: Default::default(),
                    bands,
                    by_group: None,
                    eve: None,
                    peers: Default::default(),
                },
                baseline,
            ))
        };
        // A detector is for one thread.
        let begin_some = |numbers: Vec<usize>| -> Result<Vec<_>> {
            let detector = Detector::new(artifact.clone(), &device());
            numbers.into_iter().map(|n| begin(&detector, n)).collect()
        };
        let all: Vec<usize> = (0..distinct).collect();
        let threads = available_parallelism()?.get();
        let instances: Result<Vec<Vec<_>>> = scope(|scope| {
            let parts = all.chunks(distinct.div_ceil(threads)).map(|numbers| numbers.to_vec());
            let threads: Vec<_> =
                parts.map(|numbers| scope.spawn(|| begin_some(numbers))).collect();
            let joined = threads
                .into_iter()
                .map(|thread| thread.join().map_err(|_| anyhow!("a thread has panicked"))?);
            joined.collect()
        });
        Ok(Self { model, context, day, instances: instances?.concat() })
    }

    /// Puts the state and the baselines of a fleet of this number of instances into S3.
    pub(crate) fn put(&self, aws: &Aws, instances: usize) -> Result<()> {
        let mut state = State { model: self.model.clone(), ..State::default() };
        let mut baselines = Baselines::default();
        for n in 0..instances {
            let id: TargetId = Generated::id(n).parse()?;
            let (followed, baseline) = &self.instances[n % self.instances.len()];
            state.instances.insert(id.clone(), followed.clone());
            baselines.instances.insert(id, baseline.clone());
        }
        let unwritten = |error| anyhow!("the prepared state has no binary form: {error}");
        aws.put_object(BUCKET, &state_key(), state.to_bytes().map_err(unwritten)?);
        aws.put_object(
            BUCKET,
            &baselines_key(self.day),
            baselines.to_bytes(self.day, self.context).map_err(unwritten)?,
        );
        Ok(())
    }
}
