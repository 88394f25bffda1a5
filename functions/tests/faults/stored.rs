//! Stored data is lost, damaged, or written by two runs at once.

use super::*;

/// The content found in place of a state.
#[derive(Debug, Clone, Copy)]
pub(super) enum Harm {
    Deleted,
    Flipped(usize),
    Cut,
    Empty,
    Foreign,
    OtherVersion,
}

pub(super) const HARMS: [Harm; 6] =
    [Harm::Deleted, Harm::Flipped(1000), Harm::Cut, Harm::Empty, Harm::Foreign, Harm::OtherVersion];

impl Harm {
    /// Applies it to an object, if the object exists.
    pub(super) fn to(self, world: &World, key: &str) {
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
                    Harm::Deleted => Origin::Missing,
                    _ => Origin::Damaged,
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
                let keys = world
                    .bucket()
                    .into_iter()
                    .map(|(key, _)| key)
                    .filter(|key| key.contains("baselines"));
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
        // One of them does not see one of the instances, so their decisions would differ.
        world.aws.script(
            [Fault::new("GetMetricData", When::Nth(1), Kind::LeaveOut)]
                .into_iter()
                .filter(|_| time < END - 600),
        );
        let now = Timestamp::from_second(time).unwrap();
        let event = event(time);
        let [one, other] = &mut processes;
        let (one, other) = tokio::join!(one.run(&event, now), other.run(&event, now));
        let runs = [one.unwrap(), other.unwrap()];
        assert!(runs.iter().any(|run| !run.superseded), "one of the two runs has to decide");
        for run in runs.iter().filter(|run| run.superseded) {
            assert_eq!(
                (run.datums_published, run.datums_failed, run.state.saved),
                (0, 0, false),
                "{run:?}"
            );
            superseded += 1;
        }
    }
    truth.assert(&world.aws.published(), &format!("superseded: {superseded}"));
    assert!(superseded >= 5, "only {superseded} runs were superseded");
}
