//! Reads state and baselines that an earlier build has written, and checks that scoring continues
//! with the same scores.
//!
//! The objects in `stored/` are those of a build before this one. They are written again, by
//! `WRITE_STORED=1 cargo test --test stored`, only together with a new version of the format.
//! `earlier-state` is of a build that stored alerts in words, `bandless-state` of one that kept no
//! bands, and no incidents of alerts, `unlabelled-state` of one that knew no labels, and
//! `weekless-state` of one that remembered no earlier weeks.
#![allow(
    clippy::expect_used,
    reason = "a test that meets what it did not expect should stop there"
)]

use std::path::Path;

use deepguard::baseline::calibrated_at;
use deepguard::episode::{Change, MOfN};
use deepguard::incident::{Incidents, Note, Surroundings, Weekly};
use deepguard::series::{DAY, PERIOD};
use deepguard::track::Known;
use deepguard::{Artifact, Datapoint, Detector, Series};
use deepguard_aws::ids::TargetId;
use deepguard_aws::metric::{Datum, Metric, Of, Skip};
use functions::alert::pending::{Basis, Pending, Unsent};
use functions::state::baselines::Baselines;
use functions::state::{Followed, State};

const MODEL: &[u8] = include_bytes!("../../models/default.safetensors");
/// Days of history of each instance, and slots of the day after them that the stored state
/// includes.
const DAYS: usize = 32;
const SEEN: usize = 100;
/// Slots that are scored after the stored state.
const NEXT: usize = 24;

fn stored(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stored").join(name)
}

fn instance(number: usize) -> TargetId {
    format!("i-{number:017x}").parse().expect("an instance")
}

/// Machine `number`: a daily rhythm, noise, an outage on the last day, and from the stored state on
/// a jump.
fn machine(number: usize, slots: usize) -> Series {
    let value = |slot: usize| {
        let rhythm = 30.0 + 15.0 * ((slot % DAY) as f64 / DAY as f64 * std::f64::consts::TAU).sin();
        let noise = (slot * 7919 + number * 104_729) % 101;
        match slot {
            _ if slot > DAYS * DAY + SEEN + 6 => 93.0,
            _ if number == 1 && (DAYS * DAY + 40..DAYS * DAY + 50).contains(&slot) => 0.5,
            _ => rhythm + noise as f64 / 25.0,
        }
    };
    let points =
        (0..slots).map(|slot| Datapoint { time: slot as i64 * PERIOD, value: value(slot) });
    Series::from_datapoints(points).expect("usable").0
}

fn day() -> i64 {
    calibrated_at(((DAYS * DAY + SEEN) as i64) * PERIOD)
}

/// The objects that this build would store.
fn state(detector: &Detector) -> (State, Baselines) {
    let until = (DAYS * DAY + SEEN) as i64 * PERIOD;
    let mut state = State { model: "an earlier model".into(), ..State::default() };
    let mut baselines = Baselines::default();
    for number in 0..2 {
        let mut begun = detector.start(&machine(number, DAYS * DAY + SEEN), until, |_| false);
        let mut followed = Followed {
            track: begun.track,
            watermark: until,
            looked: until,
            tail: number as u8,
            episodes: Default::default(),
            bands: Default::default(),
            by_group: None,
            eve: None,
            peers: Default::default(),
        };
        for scored in begun.scored.iter().filter(|scored| scored.time >= day()) {
            state.tally.add(scored);
            let changes = followed.episodes.update(scored, MOfN::default());
            followed.bands.take_in(scored, false);
            state.alerts.extend(changes.into_iter().map(|change| pending(number, change)));
        }
        state.instances.insert(instance(number), followed);
        baselines.instances.insert(instance(number), begun.baselines.remove(&day()).flatten());
    }
    baselines.instances.insert(instance(2), None);
    let of = [Of::Fleet, Of::Instance(instance(1)), Of::Skipped(Skip::NoBaseline)];
    let page = state.alerts.first().expect("an outage is an episode");
    let around = Surroundings {
        now: until,
        machines: 2,
        group: &|_| Some(("web".into(), 2)),
        open: &|_| None,
        young: &|_| false,
    };
    let both = [page.instance.clone(), instance(0)].map(|instance| (instance, page.change));
    state.incidents.update(&both, &around);
    *state.incidents.begun_mut() = Some(day() / (DAY as i64 * PERIOD));
    let first = &page.note.first;
    state.incidents.labels_mut().label(first, until).expect("a page");
    state.outbox = of
        .into_iter()
        .map(|of| Datum { metric: Metric::AnomalyScore, of, time: until, value: 1.5 })
        .collect();
    (state, baselines)
}

fn pending(number: usize, change: Change) -> Pending {
    let basis = Basis { model: "an earlier model".into(), model_days: Some(1.5), baseline: None };
    let unsent = Unsent { event: false, message: true, chat: false };
    let (instance, decided) = (instance(number), change.episode().told);
    let note = Note::of_one(&instance, decided);
    Pending { instance, change, basis, note, decided, unsent }
}

/// The scores after the state, as text with all their bits.
fn next(detector: &Detector, state: &State, baselines: &Baselines) -> String {
    let mut text = String::new();
    for (number, (instance, followed)) in state.instances.iter().enumerate() {
        let series = machine(number, DAYS * DAY + SEEN + NEXT);
        let known = |at| match at == day() {
            true => baselines.known(instance),
            false => Known::NotYet,
        };
        let mut track = followed.track.clone();
        let taken = detector.advance(&mut track, &series, series.end(), known, |_| false);
        for scored in taken.scored {
            let line = serde_json::to_string(&scored).expect("JSON");
            text.push_str(&format!("{instance} {line}\n"));
        }
    }
    text
}

#[test]
fn an_earlier_build_s_state_is_read_and_scored_on_from() {
    // Without the values that a newly trained model would change.
    let artifact = Artifact::from_bytes(MODEL).expect("sound");
    let detector =
        Detector::without_network(artifact).with_threshold(1.3.try_into().expect("a threshold"));
    if std::env::var_os("WRITE_STORED").is_some() {
        let (state, baselines) = state(&detector);
        std::fs::write(stored("state"), state.to_bytes().expect("a form")).expect("written");
        let bytes = baselines.to_bytes(day(), detector.context()).expect("a form");
        std::fs::write(stored("baselines"), bytes).expect("written");
        std::fs::write(stored("scores.jsonl"), next(&detector, &state, &baselines))
            .expect("written");
    }
    let read = |name: &str| std::fs::read(stored(name)).expect(name);
    let state = State::from_bytes(&read("state")).expect("this build's format");
    let baselines = Baselines::from_bytes(&read("baselines"), day(), detector.context())
        .expect("this build's format");
    assert_eq!(
        state.to_bytes().expect("a form"),
        read("state"),
        "the same state is the same bytes"
    );
    assert_eq!(baselines.to_bytes(day(), detector.context()).expect("a form"), read("baselines"));
    assert_eq!((state.instances.len(), state.outbox.len(), state.alerts.len()), (2, 3, 2));
    assert!(state.instances.values().all(|followed| followed.bands.len() == 73));
    let until = (DAYS * DAY + SEEN) as i64 * PERIOD;
    assert_eq!(state.incidents.labels().quiet(until).len(), 1);
    assert_ne!(*state.incidents.weekly(), Weekly::default());
    assert!(state.incidents.begun().is_some());
    let unlabelled = State { incidents: Incidents::default(), ..state.clone() };
    let mut bandless = unlabelled.clone();
    bandless.instances.values_mut().for_each(|followed| drop(followed.bands.tell()));
    let of_build = |name: &str| State::from_bytes(&read(name)).expect("an earlier build's format");
    let expected = State { alerts: Vec::new(), ..bandless };
    let weekless = of_build("weekless-state");
    assert_eq!(weekless.incidents.labels().quiet(until).len(), 1, "all that it has is read");
    assert_eq!(*weekless.incidents.weekly(), Weekly::default());
    assert_eq!(State { incidents: Incidents::default(), ..weekless }, unlabelled);
    assert_eq!(of_build("unlabelled-state"), unlabelled);
    assert_eq!(of_build("bandless-state"), expected);
    assert_eq!(of_build("earlier-state"), expected);
    assert_eq!(baselines.instances.len(), 3);
    let scores = next(&detector, &state, &baselines);
    assert_eq!(scores.lines().count(), 2 * NEXT);
    assert_eq!(scores, String::from_utf8(read("scores.jsonl")).expect("text"));
}
