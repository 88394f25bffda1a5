//! Random faults in random order, by fixed seeds.

use serde_json::Value;

use super::matrix::rows;
use super::stored::{HARMS, Harm};
use super::*;

/// An action at one time of a schedule.
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
    /// This number of seconds after its time.
    Late(i64),
    /// Together with a run for a time this number of seconds before.
    Again(i64),
}

/// A schedule from a seed.
#[derive(Debug)]
struct Schedule {
    seed: u64,
    at_noon: bool,
    /// The parts of the fleet, which one process runs in turn.
    shards: u32,
    /// Datapoints of a machine that come late: seconds after the start, and of delay.
    late: Vec<(i64, i64)>,
    /// When the calibrator runs, in minutes after midnight.
    calibrator: Vec<i64>,
    steps: Vec<Step>,
}

impl std::fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            formatter,
            "FAULT_SEED={} (noon: {}, shards: {}, late: {:?}, calibrator: {:?})",
            self.seed, self.at_noon, self.shards, self.late, self.calibrator
        )?;
        self.steps.iter().try_for_each(|step| writeln!(formatter, "  {step:?}"))
    }
}

/// The machine whose datapoints come late. Nothing else happens to it.
const LATE: usize = 0;
/// A newborn of its group. Where a baseline of that group is made before a late datapoint is there,
/// the newborn is compared with it as it is.
const NEWBORN: usize = 3;
/// Slots at the end of a schedule in which nothing goes wrong any more.
const QUIET: i64 = 3;

impl Schedule {
    fn of(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let at_noon = dice.chance(0.3);
        let shards = if !at_noon && dice.chance(0.2) { SHARDS } else { 1 };
        let late = (0..dice.pick(&[0, 0, 1, 3]))
            .map(|_| (SLOT * (1 + dice.below(8) as i64), 60 + dice.below(1440) as i64))
            .collect();
        let calibrator = dice.pick(&[vec![7], vec![7], vec![7, 40], vec![], vec![22], vec![3, 7]]);
        let mut harms_left = usize::from(dice.chance(0.1));
        let restless = dice.pick(&[0.1, 0.3, 0.6]);
        let mut steps = Vec::new();
        for after in slots(SLOT, END - BEGIN + 1) {
            let mut step = Step {
                after,
                cold: false,
                act: Act::Run,
                harm: None,
                faults: Vec::new(),
                milliseconds: None,
            };
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
        Self { seed, at_noon, shards, late, calibrator, steps }
    }

    /// Plays it, and returns the differences from the truth.
    async fn play(&self) -> Vec<String> {
        let (start, truth) = match (self.at_noon, self.shards) {
            (true, _) => begun_at_noon(),
            (false, 1) => begun(),
            (false, _) => begun_in_parts(),
        };
        let late = self.late.iter();
        let fleet = late.fold(start.fleet.clone(), |fleet, (after, delay)| {
            fleet.late(LATE, start.time + after, *delay)
        });
        let mut world = start.world_with(fleet, settings(&[]));
        let mut wrong = Vec::new();
        for step in &self.steps {
            let time = start.time + step.after;
            if step.cold {
                world.restart();
            }
            if let Some((harm, below)) = step.harm {
                let keys = world
                    .bucket()
                    .into_iter()
                    .map(|(key, _)| key)
                    .filter(|key| key.starts_with(below));
                keys.for_each(|key| harm.to(&world, &key));
            }
            world.aws.script(
                step.faults
                    .iter()
                    .map(|(stage, when, kind)| stage.fault(when.clone(), kind.clone())),
            );
            for shard in 0..self.shards {
                self.calibrate(&world, step, time, shard, &mut wrong).await;
            }
            let before = world.called();
            for shard in 0..self.shards {
                if self.shards > 1 {
                    // The process forgets the other part.
                    world.hand_over();
                }
                for error in self.act(&mut world, step, time, shard).await {
                    wrong.push(format!("part {shard} at {}: {error}", text(time)));
                }
            }
            world.aws.clear_faults();
            if step.milliseconds.is_some() {
                let calls = before..world.called();
                world.cut.push(calls);
            }
        }
        let late = |mark: &Mark| {
            let first = self.late.iter().map(|(after, _)| start.time + after).min();
            let follows = [LATE, NEWBORN].into_iter().any(|n| mark.0 == Generated::id(n));
            follows && first.is_some_and(|first| mark.2 > first)
        };
        wrong.extend(truth.differences_but(&world.aws.published(), late));
        // A state that is made anew does not know what was told.
        if self.steps.iter().all(|step| step.harm.is_none()) {
            let parts = self.shards as usize;
            let loose = |step: &Step| {
                step.has(Stage::Tags) || step.has(Stage::Read) || step.milliseconds.is_some()
            };
            let loose = self.steps.iter().any(loose);
            wrong.extend(alerts::differences(&truth.told, &world, parts, loose));
        }
        // Without the late datapoint the next one may begin an episode, with a band and alerts.
        wrong.retain(|line| {
            let is_late = !self.late.is_empty() && line.contains(&Generated::id(LATE));
            let is_of_episode = line.starts_with("Expected") || line.starts_with("Told");
            !(is_late && is_of_episode && line.contains("should not be there"))
        });
        wrong
    }

    /// Runs the calibrator where it is due between the run before and this one.
    async fn calibrate(
        &self,
        world: &World,
        step: &Step,
        time: i64,
        shard: u32,
        wrong: &mut Vec<String>,
    ) {
        let midnight = time.div_euclid(DAY) * DAY;
        for minutes in &self.calibrator {
            let at = midnight + 60 * minutes;
            if !(time - SLOT..time).contains(&at) {
                continue;
            }
            let calibrated = world.calibrate_event(&self.event(at, shard), at).await;
            if calibrated.is_err() && step.faults.is_empty() {
                wrong.push(format!("the calibrator at {}: {calibrated:?}", text(at)));
            }
        }
    }

    /// The runs of a step, and their errors that no fault of it explains.
    async fn act(&self, world: &mut World, step: &Step, time: i64, shard: u32) -> Vec<RunError> {
        let left = step.milliseconds.map(Duration::from_millis);
        world.detection().set_time_left(left);
        let event = self.event(time, shard);
        let runs = match step.act {
            Act::Missed => vec![],
            Act::Run => vec![world.run_event(&event, time).await],
            Act::Twice => {
                vec![world.run_event(&event, time).await, world.run_event(&event, time).await]
            }
            Act::Late(seconds) => vec![world.run_event(&event, time + seconds).await],
            Act::Again(ago) => {
                let before = self.event(time - ago, shard);
                vec![world.run_event(&event, time).await, world.run_event(&before, time).await]
            }
            Act::AtOnce => {
                world.aws.set_now(time);
                let now = Timestamp::from_second(time).unwrap();
                // Either may decide, by what is stored. Where they decide the same, both tell it.
                world.hand_over();
                let before = world.called();
                let mut other = world.process();
                let (one, other) =
                    tokio::join!(world.detection().run(&event, now), other.run(&event, now));
                world.hand_over();
                let calls = before..world.called();
                world.cut.push(calls);
                vec![one, other]
            }
        };
        let may = |error: &RunError| match error {
            // While its groups are unknown, a part of the fleet is.
            RunError::List(_) => {
                let no_part = self.shards > 1 && step.has(Stage::Tags);
                step.has(Stage::List) || no_part || left.is_some()
            }
            RunError::NothingRead { .. } => step.has(Stage::Read),
            RunError::NothingPublished { .. } => step.has(Stage::Publish) || left.is_some(),
            _ => false,
        };
        runs.into_iter().filter_map(Result::err).filter(|error| !may(error)).collect()
    }

    fn event(&self, time: i64, shard: u32) -> Value {
        match self.shards {
            1 => event(time),
            shards => event_of(time, shard, shards),
        }
    }
}

impl Step {
    fn has(&self, stage: Stage) -> bool {
        self.faults.iter().any(|fault| fault.0 == stage)
    }
}

/// The number of parts, where there are some.
const SHARDS: u32 = 2;

/// The start that most tests share, and the truth about it in parts.
fn begun_in_parts() -> &'static (Start, Truth) {
    static BEGUN: OnceLock<(Start, Truth)> = OnceLock::new();
    let begin = || {
        let start = begun().0.clone();
        let truth = block_on(start.undisturbed_in(SHARDS, END));
        (start, truth)
    };
    BEGUN.get_or_init(|| std::thread::spawn(begin).join().expect("a truth"))
}

fn random_fault(dice: &mut Dice) -> (Stage, When, Kind) {
    // Without a model the test shows nothing.
    let stage = dice.pick(&Stage::ALL[..10]);
    let kinds: Vec<Kind> =
        rows().into_iter().filter(|row| (row.at)(stage)).map(|row| row.kind).collect();
    let kind = match dice.pick(&kinds) {
        // The SDK takes it for success: a test of its own covers it.
        Kind::Html(200) if stage == Stage::Publish => Kind::Html(502),
        kind => kind,
    };
    let when = match dice.below(6) {
        0 => When::First(1 + dice.below(3)),
        1 => When::Nth(1 + dice.below(3)),
        2 => When::Every(2 + dice.below(2)),
        3 => When::Probability(0.5),
        // It would read all of history again.
        _ if stage == Stage::LoadState => When::First(1 + dice.below(2)),
        _ => When::Always,
    };
    (stage, when, kind)
}

#[test]
fn whatever_happens_in_whatever_order_every_datapoint_gets_its_one_score() {
    begun();
    begun_at_noon();
    begun_in_parts();
    // One of them again, or others: `FAULT_SEED=7`, `FAULT_SEED=301..400`.
    let given = std::env::var("FAULT_SEED").unwrap_or_else(|_| "1..240".into());
    let (first, last) = given.split_once("..").unwrap_or((&given, &given));
    let seeds: Vec<u64> =
        (first.parse().expect("a seed")..=last.parse().expect("a seed")).collect();
    let threads = 2;
    let play = |part: usize| {
        let seeds = &seeds;
        move || {
            let mine = seeds.iter().skip(part).step_by(threads);
            let play = |seed: &u64| {
                let schedule = Schedule::of(*seed);
                let wrong = block_on(schedule.play());
                (!wrong.is_empty())
                    .then(|| format!("{schedule}{:#?}", &wrong[..wrong.len().min(8)]))
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
