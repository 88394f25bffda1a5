use super::*;
use crate::baseline::Phase;
use crate::channel::Channel;
use crate::score::Score;
use crate::shape::{Finding, Rank};

fn score(value: f64) -> Score {
    serde_json::from_value(value.into()).expect("a number")
}

/// A datapoint in this slot, this far above its usual value. 10 points are tolerable. Each
/// datapoint outside is an alarm, as if it were worse than the one before.
pub(crate) fn at(slot: i64, deviation: f64) -> Scored {
    let time = slot * PERIOD;
    let finding =
        Finding { shape: Shape::Spike, since: time, deviation, rank: Rank::Within, run: 1 };
    let size = deviation.abs() / 10.0;
    Scored {
        time,
        observed: 50.0 + deviation,
        reconstruction: None,
        expected: 50.0,
        low: 40.0,
        high: 60.0,
        score: score(size),
        channel: Some(Channel::SpikeUp),
        surpasses: true,
        usual: 50.0,
        severity: score(size),
        outside: size >= 1.0,
        finding: (size >= 1.0).then_some(finding),
        muted: false,
        phase: Phase::Own,
    }
}

/// The slots at which episodes begin and, as negative numbers, end.
fn changes(
    episodes: &mut Episodes,
    rule: MOfN,
    scored: impl IntoIterator<Item = Scored>,
) -> Vec<i64> {
    let slot = |change: Change| match change {
        Change::Began(episode, _) => episode.told / PERIOD,
        Change::Ended(_, _, at) => -at / PERIOD,
    };
    scored.into_iter().flat_map(|scored| episodes.update(&scored, rule)).map(slot).collect()
}

fn following(deviations: &[f64]) -> impl Iterator<Item = Scored> {
    deviations.iter().enumerate().map(|(slot, &deviation)| at(slot as i64 + 1, deviation))
}

#[test]
fn an_episode_begins_once_and_ends_when_it_has_been_calm_for_half_an_hour() {
    let mut episodes = Episodes::default();
    let all = [1.0, 30.0, 40.0, 2.0, 16.0, 15.0, 14.0, 3.0, 2.0, 1.0, 1.0, 2.0, 1.0, 1.0, 35.0];
    // 14 is under half of 30, and outside all the same; from the eighth on it is calm.
    assert_eq!(changes(&mut episodes, MOfN::default(), following(&all)), [2, -8, 15]);
    let Some(open) = episodes.open() else { panic!("it lasts") };
    assert_eq!((open.since, open.peak), (15 * PERIOD, 3.5));
}

#[test]
fn a_jump_that_is_much_worse_is_told_while_an_episode_lasts() {
    let all: Vec<f64> = (1..=30).map(|slot| if slot < 3 { 1.0 } else { 15.0 }).collect();
    let with = |jump: f64, channel: Channel| {
        let datapoints = following(&all).map(|scored| match scored.time / PERIOD {
            20 => Scored { channel: Some(channel), ..at(20, jump) },
            _ => Scored { surpasses: scored.time == 3 * PERIOD, ..scored },
        });
        changes(&mut Episodes::default(), MOfN::default(), datapoints)
    };
    assert_eq!(with(30.0, Channel::SpikeUp), [3, -20, 20]);
    assert_eq!(with(-30.0, Channel::BurstDown), [3, -20, 20, -21]);
    assert_eq!(with(29.0, Channel::SpikeUp), [3], "it is not twice as bad");
    assert_eq!(with(30.0, Channel::StaysHigh), [3], "a rise of three hours ago is no jump");
}

#[test]
fn what_gets_worse_at_once_is_one_episode() {
    let all = [1.0, 11.0, 30.0, 90.0, 200.0, 500.0];
    assert_eq!(changes(&mut Episodes::default(), MOfN::default(), following(&all)), [2]);
}

#[test]
fn what_lasts_for_a_day_is_usual_from_then_on() {
    let all: Vec<f64> = (0..400).map(|slot| if slot == 0 { 1.0 } else { 30.0 }).collect();
    let rising =
        following(&all).map(|scored| Scored { surpasses: scored.time == 2 * PERIOD, ..scored });
    assert_eq!(changes(&mut Episodes::default(), MOfN::default(), rising), [2, -290]);
}

#[test]
fn as_many_as_were_asked_for_make_an_episode() {
    let two_of_three = MOfN::new(2, 3).expect("possible");
    let begins = |all: &[f64]| changes(&mut Episodes::default(), two_of_three, following(all));
    assert_eq!(begins(&[1.0, 30.0, 1.0, 1.0, 30.0, 1.0]), [0i64; 0]);
    assert_eq!(begins(&[1.0, 30.0, 1.0, 30.0, 1.0]), [4]);
    assert_eq!(begins(&[30.0, 30.0]), [2]);
    // The alarm is the first of them: a lasting deviation surpasses nothing.
    let lasting = following(&[30.0, 29.0])
        .map(|scored| Scored { surpasses: scored.time == PERIOD, ..scored });
    assert_eq!(changes(&mut Episodes::default(), two_of_three, lasting), [2]);
    // A gap is no unusual datapoint.
    assert_eq!(
        changes(&mut Episodes::default(), two_of_three, [at(1, 30.0), at(4, 30.0)]),
        [0i64; 0]
    );
    assert_eq!(MOfN::new(3, 2), None);
    assert_eq!(MOfN::new(0, 2), None);
    assert_eq!(MOfN::new(1, LARGEST_N + 1), None);
}

#[test]
fn what_is_muted_changes_nothing() {
    let mut episodes = Episodes::default();
    let muted = following(&[30.0, 30.0]).map(|scored| Scored { muted: true, ..scored });
    assert_eq!(changes(&mut episodes, MOfN::default(), muted), [0i64; 0]);
    assert_eq!(episodes, Episodes::default());
    assert_eq!(changes(&mut episodes, MOfN::default(), [at(3, 30.0)]), [3]);
    let muted = following(&[0.0; 20]).map(|scored| Scored { muted: true, ..scored });
    assert_eq!(changes(&mut episodes, MOfN::default(), muted), [0i64; 0]);
    assert!(episodes.open().is_some(), "it is not known whether it is over");
}

#[test]
fn a_datapoint_that_comes_late_can_begin_one() {
    let mut episodes = Episodes::default();
    assert_eq!(changes(&mut episodes, MOfN::default(), [at(1, 1.0), at(3, 1.0), at(2, 30.0)]), [2]);
    let two_of_three = MOfN::new(2, 3).expect("possible");
    let late = [at(1, 30.0), at(3, 1.0), at(2, 30.0)];
    assert_eq!(changes(&mut Episodes::default(), two_of_three, late), [2]);
}

#[test]
fn an_instance_that_should_report_and_does_not() {
    let mut episodes = Episodes::default();
    let end = 100 * PERIOD;
    assert_eq!(episodes.silent(end, end + SILENT - PERIOD, || true), []);
    assert_eq!(episodes.silent(end, end + SILENT, || false), [], "it is off on a schedule");
    let began = episodes.silent(end, end + SILENT, || true);
    let [Change::Began(Episode { shape: Shape::Stopped, since, .. }, None)] = began[..] else {
        panic!("{began:?}")
    };
    assert_eq!(since, end);
    assert_eq!(episodes.silent(end, end + SILENT + PERIOD, || true), [], "once");
    assert_eq!(changes(&mut episodes, MOfN::default(), [at(120, 1.0)]), [-120], "it is back");
    // The deviation at the time of the stop is over.
    assert_eq!(changes(&mut episodes, MOfN::default(), [at(121, 30.0)]), [121]);
    let end = 122 * PERIOD;
    assert_eq!(episodes.silent(end, end + SILENT, || true), []);
    let ended = episodes.silent(end, end + GONE, || true);
    assert!(matches!(ended[..], [Change::Ended(_, End::Gone, at)] if at == end), "{ended:?}");
    assert_eq!(episodes.silent(end, end + GONE, || true), [], "it was said to be gone");
}
