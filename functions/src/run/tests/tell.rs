//! The alerts of a run: episodes, mutes, tags, the shadow, and inputs that are out of date.

use std::collections::BTreeSet;

use deepguard_aws::alert::Kind;
use deepguard_aws::metric::{Metric, Of};
use serde_json::{Value, json};

use super::*;
use crate::model::ModelSource;
use crate::testing::memory::{Bucket, Metrics};
use crate::testing::{artifact, artifact_with_threshold, instance, pointer};

const MUTES: &str = "s3://my-models/settings/mutes.json";
const SHADOW: &str = "s3://my-models/models/shadow";

pub(super) type Telling = Detection<Rc<Metrics>, Rc<Bucket>, Rc<Metrics>>;

impl World {
    pub(super) fn telling(&self, settings: Settings) -> Telling {
        Detection::with_account(
            settings,
            Rc::clone(&self.metrics),
            Rc::clone(&self.bucket),
            Rc::clone(&self.metrics),
        )
    }

    /// The alerts that were sent: the instance, the event, and its detail.
    fn told(&self) -> Vec<(TargetId, Kind, Value)> {
        let alerts = self.metrics.told.take().into_iter();
        alerts
            .map(|alert| {
                let detail = serde_json::from_str(&alert.detail).unwrap();
                (alert.instance.unwrap(), alert.kind, detail)
            })
            .collect()
    }
}

pub(super) fn plain() -> Settings {
    settings(ModelSource::Builtin)
}

/// The fault of [`FAULTY`] is over an hour after it began.
pub(super) fn mended(world: &World) {
    let over = seconds("2026-01-15T15:50:00Z");
    let mut cpu = world.metrics.cpu.borrow_mut();
    let faulty = cpu.get_mut(&instance(FAULTY)).unwrap();
    // The same days as before, so that nothing but the fault is new.
    let before: Vec<f64> = faulty.iter().map(|point| point.value).collect();
    for index in 0..faulty.len() {
        if faulty[index].time >= over {
            faulty[index].value = before[index - 288];
        }
    }
}

pub(super) async fn follow(process: &mut Telling, from: &str, to: &str) -> Vec<Summary> {
    let mut summaries = Vec::new();
    for time in every_five_minutes(from, to) {
        summaries.push(process.run(&json!({}), time).await.unwrap());
    }
    summaries
}

#[tokio::test]
async fn an_episode_is_told_once_when_it_begins_and_once_when_it_is_over() {
    let world = World::new();
    mended(&world);
    world
        .metrics
        .tags
        .borrow_mut()
        .insert(instance(FAULTY), [("Name".to_string(), "web-1".to_string())].into());
    let mut process = world.telling(plain());
    let summaries = follow(&mut process, "2026-01-15T14:32:00Z", "2026-01-15T16:32:00Z").await;
    let told = world.told();
    let (began, ended) = (&told[0].2, &told[1].2);
    assert_eq!(
        told.iter().map(|(instance, kind, _)| (instance.clone(), *kind)).collect::<Vec<_>>(),
        [(instance(FAULTY), Kind::Began), (instance(FAULTY), Kind::Ended)]
    );
    assert_eq!(
        (&began["name"], &began["since"], &began["observed"]),
        (&json!("web-1"), &json!(FAULT), &json!(97.0))
    );
    assert_eq!(began["baseline"]["days"], 4);
    assert_eq!((&ended["id"], &ended["until"]), (&began["id"], &json!("2026-01-15T15:50:00Z")));
    assert_eq!((&ended["end"], &ended["duration_seconds"]), (&json!("recovered"), &json!(3600)));
    let open: Vec<usize> = summaries.iter().map(|summary| summary.episodes.open).collect();
    assert_eq!(open.iter().sum::<usize>(), (3600 + 1500) / 300, "{open:?}");
    let published = world.published();
    let anomalous = of_fleet(&published, Metric::AnomalousInstances);
    let times: BTreeSet<i64> =
        anomalous.iter().filter(|(_, value)| *value > 0.0).map(|(time, _)| *time).collect();
    assert_eq!(times, [seconds(FAULT)].into());
}

#[tokio::test]
async fn what_could_not_be_told_is_told_by_the_next_run_whichever_process_that_is() {
    for anew in [false, true] {
        let world = World::new();
        let mut process = world.telling(plain());
        world.metrics.deaf.set(true);
        let summary = process.run(&json!({}), at(NOW)).await.unwrap();
        let delivered = Delivered { events: 0, messages: 1, chats: 0, failed: 1 };
        assert_eq!((summary.episodes.began, summary.alerts), (1, delivered));
        let failures = of_fleet(&world.published(), Metric::PublishFailures);
        assert_eq!(failures.last().map(|(_, value)| *value), Some(1.0));
        world.metrics.deaf.set(false);
        let mut process = if anew { world.telling(plain()) } else { process };
        process.run(&json!({}), at("2026-01-15T15:07:00Z")).await.unwrap();
        assert_eq!(world.told().len(), 1, "anew: {anew}");
        world.telling(plain()).run(&json!({}), at("2026-01-15T15:12:00Z")).await.unwrap();
        assert_eq!(world.told(), [], "no anomaly is told twice, anew: {anew}");
        // Another process does not know that the message has arrived. It sends the same id again.
        let ids = world.metrics.notified.take().into_iter().map(|alert| alert.id);
        let ids: Vec<String> = ids.collect();
        assert_eq!(ids.len(), if anew { 2 } else { 1 });
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 1, "{ids:?}");
    }
}

#[tokio::test]
async fn m_of_n_waits_and_the_direction_and_the_smallest_deviation_count() {
    let told = async |settings: Settings| {
        let world = World::new();
        follow(&mut world.telling(settings), "2026-01-15T14:32:00Z", "2026-01-15T15:22:00Z").await;
        world
            .told()
            .iter()
            .map(|(_, _, detail)| detail["seen"].as_str().unwrap().to_string())
            .collect::<Vec<_>>()
    };
    use deepguard::score::Direction;
    let limited = |min_deviation, direction| {
        let sensitivity = deepguard::Sensitivity { min_deviation, direction };
        Settings { tuning: Tuning { sensitivity, ..Tuning::default() }, ..plain() }
    };
    assert_eq!(told(plain()).await, [FAULT]);
    assert_eq!(
        told(Settings { m_of_n: MOfN::new(3, 4).unwrap(), ..plain() }).await,
        ["2026-01-15T15:00:00Z"]
    );
    let nothing = [""; 0];
    assert_eq!(told(limited(0.0, Direction::Up)).await, [FAULT]);
    assert_eq!(told(limited(0.0, Direction::Down)).await, nothing);
    assert_eq!(told(limited(50.0, Direction::Both)).await, [FAULT]);
    assert_eq!(told(limited(90.0, Direction::Both)).await, nothing);
}

#[tokio::test]
async fn what_is_muted_is_counted_and_not_told_nor_learnt() {
    let world = World::new();
    mended(&world);
    let settings = || Settings { mutes: Some(MUTES.parse().unwrap()), ..plain() };
    world.bucket.store(
        MUTES,
        json!({ "mutes": [{ "instances": [instance(FAULTY).as_str()],
            "from": "2026-01-15T14:00:00Z",
            "until": "2026-01-15T15:50:00Z", "why": "load test" }] })
        .to_string(),
    );
    let mut process = world.telling(settings());
    follow(&mut process, "2026-01-15T14:32:00Z", "2026-01-15T18:32:00Z").await;
    // While it is muted, and on the next day: in between it is four days old, and anything may be
    // news.
    let told_between = |from: &str, until: &str| {
        let seen = |detail: &Value| {
            detail["seen"].as_str().is_some_and(|seen| (from..until).contains(&seen))
        };
        world
            .told()
            .into_iter()
            .filter(|(_, kind, detail)| *kind == Kind::Began && seen(detail))
            .collect::<Vec<_>>()
    };
    assert_eq!(told_between("2026-01-15T14:00:00Z", "2026-01-15T15:50:00Z"), []);
    let published = world.published();
    let highest = |metric| {
        of_fleet(&published, metric).into_iter().map(|(_, value)| value).fold(0.0, f64::max)
    };
    assert_eq!(highest(Metric::SuppressedAnomalies), 1.0);
    let muted = seconds("2026-01-15T14:00:00Z")..seconds("2026-01-15T15:50:00Z");
    let loud = |datum: &&Datum| {
        datum.of == Of::Instance(instance(FAULTY))
            && datum.value >= 1.0
            && muted.contains(&datum.time)
    };
    let of_score = |datum: &&Datum| datum.metric == Metric::AnomalyScore;
    assert_eq!(published.iter().filter(loud).filter(of_score).count(), 0);

    // On the next day the same fault, without a mute: as if there had never been a mute.
    let tomorrow = seconds(FAULT) + deepguard::series::DAY_SECONDS;
    {
        let mut cpu = world.metrics.cpu.borrow_mut();
        let faulty = cpu.get_mut(&instance(FAULTY)).unwrap().iter_mut();
        faulty.filter(|point| point.time >= tomorrow).for_each(|point| point.value = 97.0);
    }
    follow(&mut process, "2026-01-15T18:37:00Z", "2026-01-16T14:57:00Z").await;
    let told = told_between("2026-01-16T14:00:00Z", "2026-01-16T15:00:00Z");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].2["how_unusual"], "higher than all of the last 5 days");
}

#[tokio::test]
async fn mutes_that_cannot_be_read_leave_the_last_good_ones_in_use_and_ring() {
    let world = World::new();
    let settings = || Settings { mutes: Some(MUTES.parse().unwrap()), ..plain() };
    let mutes = json!({ "mutes": [{ "all": true, "from": "2026-01-15T14:00:00Z",
        "until": "2026-01-15T15:50:00Z", "why": "move" }] });
    world.bucket.store(MUTES, mutes.to_string());
    let mut process = world.telling(settings());
    process.run(&json!({}), at("2026-01-15T14:32:00Z")).await.unwrap();
    assert_eq!(of_fleet(&world.published(), Metric::StaleInputs).last().unwrap().1, 0.0);
    world.bucket.store(MUTES, "{ mutes");
    process.run(&json!({}), at(NOW)).await.unwrap();
    assert_eq!(of_fleet(&world.published(), Metric::StaleInputs).last().unwrap().1, 1.0);
    assert_eq!(world.told(), []);
}

#[tokio::test]
async fn holidays_that_cannot_be_read_ring_until_they_are_mended() {
    let world = World::new();
    let calendar = "s3://my-models/settings/holidays.ics";
    let mut process =
        world.telling(Settings { holidays: Some(calendar.parse().unwrap()), ..plain() });
    let whole = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:New Year\r\n\
                 DTSTART;VALUE=DATE:20260101\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    let contents = [None, Some("BEGIN:VCALENDAR"), Some(whole)];
    for (minute, (content, stale)) in (32..).step_by(5).zip(contents.iter().zip([0.0, 1.0, 0.0])) {
        content.iter().for_each(|content| world.bucket.store(calendar, *content));
        process.run(&json!({}), at(&format!("2026-01-15T14:{minute}:00Z"))).await.unwrap();
        let told = of_fleet(&world.published(), Metric::StaleInputs).last().unwrap().1;
        assert_eq!(told, stale, "{content:?}");
    }
}

#[tokio::test]
async fn tags_choose_who_is_watched() {
    let world = World::new();
    let tag = |number, env: &str| {
        world
            .metrics
            .tags
            .borrow_mut()
            .insert(instance(number), [("env".to_string(), env.to_string())].into());
    };
    [(0, "prod"), (1, "prod"), (FAULTY, "test")]
        .into_iter()
        .for_each(|(number, env)| tag(number, env));
    let selecting = |include: &str, exclude: &str| {
        let selection = crate::watched::roster::Selection {
            include: include.parse().unwrap(),
            exclude: exclude.parse().unwrap(),
        };
        Settings { selection, ..plain() }
    };
    let seen = async |settings| {
        let summary =
            world.telling(settings).run(&json!({}), at("2026-01-15T14:32:00Z")).await.unwrap();
        (summary.instances.seen, summary.instances.left_out)
    };
    assert_eq!(seen(selecting("env=prod", "")).await, (2, 3));
    assert_eq!(seen(selecting("", "env=test")).await, (4, 1));
    world.metrics.untagged.set(true);
    let mut cold = world.telling(selecting("env=prod", ""));
    let summary = cold.run(&json!({}), at("2026-01-15T14:37:00Z")).await.unwrap();
    assert_eq!(summary.instances.scored, 4, "those that were watched are");
    assert_eq!(of_fleet(&world.published(), Metric::StaleInputs).last().unwrap().1, 1.0);
    let error = World::new();
    error.metrics.untagged.set(true);
    let error =
        error.telling(selecting("env=prod", "")).run(&json!({}), at(NOW)).await.unwrap_err();
    assert!(matches!(error, RunError::List(_)), "the instances to watch are not known: {error}");
}

#[tokio::test]
async fn an_instance_that_should_report_and_does_not_is_an_anomaly_where_that_is_asked_for() {
    for asked in [false, true] {
        let world = World::new();
        let stop = seconds("2026-01-15T13:00:00Z");
        world
            .metrics
            .cpu
            .borrow_mut()
            .get_mut(&instance(1))
            .unwrap()
            .retain(|point| point.time < stop);
        let mut process = world.telling(Settings { reporting_stopped: asked, ..plain() });
        follow(&mut process, "2026-01-15T12:32:00Z", "2026-01-15T14:32:00Z").await;
        let told = world.told();
        assert_eq!(told.len(), usize::from(asked), "{told:?}");
        if asked {
            assert_eq!((&told[0].0, &told[0].2["shape"]), (&instance(1), &json!("stopped")));
            assert_eq!(told[0].2["since"], "2026-01-15T13:00:00Z");
        }
        // CloudWatch has no datapoints of any instance: that is for the other alarm.
        world
            .metrics
            .cpu
            .borrow_mut()
            .values_mut()
            .for_each(|points| points.retain(|point| point.time < stop + 6000));
        follow(&mut process, "2026-01-15T14:37:00Z", "2026-01-15T16:32:00Z").await;
        assert_eq!(world.told(), []);
    }
}

/// Lets some instances deliver `late` seconds late, in each run.
async fn delivered_late(
    world: &World,
    process: &mut Telling,
    late: impl Fn(usize, i64) -> i64,
    (from, to): (&str, &str),
) {
    let whole = world.metrics.cpu.borrow().clone();
    for time in every_five_minutes(from, to) {
        for (number, (instance, points)) in whole.iter().enumerate() {
            let until = time.as_second() - late(number, time.as_second());
            let arrived = points.iter().filter(|point| point.time + PERIOD <= until).copied();
            world.metrics.cpu.borrow_mut().insert(instance.clone(), arrived.collect());
        }
        process.run(&json!({}), time).await.unwrap();
    }
    *world.metrics.cpu.borrow_mut() = whole;
}

#[tokio::test]
async fn a_late_cloudwatch_stops_no_instance() {
    let world = World::new();
    world.metrics.cpu.borrow_mut().remove(&instance(FAULTY));
    world
        .metrics
        .cpu
        .borrow_mut()
        .extend((5..12).map(|number| (instance(number), cpu(number, DAYS))));
    let mut process = world.telling(Settings { reporting_stopped: true, ..plain() });
    // Ten of eleven are 45 minutes late for two hours.
    let from = seconds("2026-01-15T10:00:00Z");
    let late = |number, time: i64| match number {
        1.. if (from..from + 7200).contains(&time) => 45 * 60,
        _ => 0,
    };
    delivered_late(&world, &mut process, late, ("2026-01-15T09:02:00Z", "2026-01-15T13:57:00Z"))
        .await;
    assert_eq!(world.told(), []);
}

#[tokio::test]
async fn many_that_stop_are_told_once_when_cloudwatch_cannot_be_late_any_more() {
    let world = World::new();
    let mut process = world.telling(Settings { reporting_stopped: true, ..plain() });
    let stop = seconds("2026-01-15T10:00:00Z");
    let stopped = |number, time| if number < 3 { time - stop } else { 0 };
    let times = ("2026-01-15T09:02:00Z", "2026-01-15T12:02:00Z");
    delivered_late(&world, &mut process, stopped, times).await;
    let told = world.told();
    assert_eq!(told.len(), 3, "{told:?}");
    for (_, kind, detail) in told {
        assert_eq!((kind, &detail["shape"]), (Kind::Began, &json!("stopped")));
        assert_eq!(detail["since"], "2026-01-15T10:00:00Z");
        assert_eq!(detail["seen"], "2026-01-15T11:25:00Z");
    }
}

#[tokio::test]
async fn only_a_recent_datapoint_says_that_an_instance_reports_again() {
    let world = World::new();
    let mut process = world.telling(Settings { reporting_stopped: true, ..plain() });
    let (stop, back) = (seconds("2026-01-15T10:00:00Z"), seconds("2026-01-15T11:00:00Z"));
    // From 11:00 on its datapoints come, and are 40 minutes old.
    let late = |number, time: i64| match number {
        0 if (stop..back).contains(&time) => time - stop,
        0 if (back..back + 3600).contains(&time) => 40 * 60,
        _ => 0,
    };
    delivered_late(&world, &mut process, late, ("2026-01-15T09:02:00Z", "2026-01-15T11:57:00Z"))
        .await;
    let told = world.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].1, &told[0].2["shape"]), (Kind::Began, &json!("stopped")));
    delivered_late(&world, &mut process, late, ("2026-01-15T12:02:00Z", "2026-01-15T12:07:00Z"))
        .await;
    let told = world.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].1, &told[0].2["end"]), (Kind::Ended, &json!("recovered")));
}

#[tokio::test]
async fn an_instance_that_goes_off_an_hour_early_when_clocks_change_has_not_stopped() {
    let world = World::new();
    let (morning, evening) = (6 * 3600, 17 * 3600);
    let change = seconds("2026-01-15T00:00:00Z");
    for number in 0..2 {
        let mut points = cpu(number, DAYS);
        points.retain(|point| {
            let clock = point.time + if point.time >= change { 3600 } else { 0 };
            (morning..evening).contains(&clock.rem_euclid(DAY_SECONDS))
        });
        world.metrics.cpu.borrow_mut().insert(instance(number), points);
    }
    let mut process = world.telling(Settings { reporting_stopped: true, ..plain() });
    follow(&mut process, "2026-01-15T12:32:00Z", "2026-01-15T18:32:00Z").await;
    let stopped =
        world.told().into_iter().filter(|(_, _, detail)| detail["shape"] == "stopped").count();
    assert_eq!(stopped, 0);
}

#[tokio::test]
async fn a_shadow_scores_beside_and_decides_nothing() {
    let world = World::new();
    let shadowing = || Settings { shadow: Some(SHADOW.parse().unwrap()), ..plain() };
    let mut process = world.telling(shadowing());
    let summary = process.run(&json!({}), at("2026-01-15T14:32:00Z")).await.unwrap();
    assert_eq!(summary.shadow, None, "no pointer, no shadow");
    assert!(world.published().iter().all(|datum| !datum.metric.name().starts_with("Shadow")));

    // Ten times as tolerant.
    let other = artifact_with_threshold(10.0 * artifact().card().threshold);
    world.bucket.store("s3://my-models/models/other.safetensors", other.to_bytes().unwrap());
    world.bucket.store(SHADOW, pointer("models/other.safetensors", &other));
    let summary = process.run(&json!({}), at(NOW)).await.unwrap();
    assert_eq!(
        (summary.model.version, summary.shadow),
        (artifact().version(), Some(other.version()))
    );
    let published = world.published();
    let faulty = |metric| {
        let of =
            |datum: &&Datum| datum.metric == metric && datum.of == Of::Instance(instance(FAULTY));
        published.iter().filter(of).map(|datum| datum.value).fold(0.0, f64::max)
    };
    let ratio = faulty(Metric::AnomalyScore) / faulty(Metric::ShadowAnomalyScore);
    assert!((9.0..11.0).contains(&ratio), "{ratio}");
    assert_eq!(world.told().len(), 1, "the shadow sends no alert");
    assert_eq!(of_fleet(&published, Metric::ShadowInstancesScored).last().unwrap().1, 5.0);

    // It has a state of its own, and a broken one stays out of the way.
    let before = world.bucket.keys();
    assert!(before.iter().any(|key| key.contains("/state/shadow/shards/1/0")), "{before:?}");
    world.bucket.store(SHADOW, "{");
    let summary = process.run(&json!({}), at("2026-01-15T15:07:00Z")).await.unwrap();
    assert_eq!(summary.shadow, Some(other.version()), "the last good one");
    assert_eq!(of_fleet(&world.published(), Metric::StaleInputs).last().unwrap().1, 1.0);
    world.bucket.remove(SHADOW);
    let summary = process.run(&json!({}), at("2026-01-15T15:12:00Z")).await.unwrap();
    assert_eq!(summary.shadow, None);
}
