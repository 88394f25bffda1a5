//! Baselines, the calibrator, and another model.

use super::*;

#[tokio::test]
async fn the_baselines_of_a_new_day_are_the_calibrators() {
    let world = World::new();
    let (from, to) = ("2026-01-14T23:37:00Z", "2026-01-15T00:37:00Z");
    let expected = undisturbed(&world, from, to).await;
    let mut process = world.process();
    for time in every_five_minutes(from, "2026-01-15T00:02:00Z") {
        process.run(&json!({}), time).await.unwrap();
    }
    world.reads();
    let waiting = process.run(&json!({}), at("2026-01-15T00:07:00Z")).await.unwrap();
    assert_eq!(waiting.instances.skipped, [("awaits_baseline", 5)].into());
    assert_eq!(world.reads(), [(0, 5)]);

    let calibrated = world.calibrator().run(&json!({}), at("2026-01-15T00:09:00Z")).await.unwrap();
    let calibrated = serde_json::to_value(calibrated).unwrap();
    assert_eq!(
        calibrated["instances"],
        json!({ "seen": 5, "known": 0, "made": 5, "too_little": 0, "skipped": 0 })
    );
    assert_eq!(calibrated["day"], "2026-01-15");
    assert_eq!(world.reads(), [(14, 5)]);
    assert!(
        world.bucket.keys().contains(&"s3://my-models/state/baselines/2026-01-15/1/0".to_string())
    );
    for time in every_five_minutes("2026-01-15T00:12:00Z", to) {
        let summary = process.run(&json!({}), time).await.unwrap();
        assert_eq!(summary.instances.scored, 5);
    }
    assert_eq!(world.reads(), [(0, 5); 6]);
    assert!(world.scores() == expected, "other scores than those of undisturbed runs");
    let again = world.calibrator().run(&json!({}), at("2026-01-15T01:09:00Z")).await.unwrap();
    assert_eq!((again.instances.known, again.instances.made, world.reads()), (5, 0, vec![]));
}

#[tokio::test]
async fn without_a_calibrator_the_baselines_are_made_half_an_hour_after_midnight() {
    let world = World::new();
    let mut process = world.process();
    process.run(&json!({}), at("2026-01-14T23:52:00Z")).await.unwrap();
    let awaited = process.run(&json!({}), at("2026-01-15T00:27:00Z")).await.unwrap();
    assert_eq!(awaited.instances.scored, 5, "up to midnight");
    world.reads();
    let summary = process.run(&json!({}), at("2026-01-15T00:32:00Z")).await.unwrap();
    assert_eq!((summary.instances.scored, world.reads()), (5, vec![(14, 5)]));
    assert_eq!(summary.newest_datapoint, Some(seconds("2026-01-15T00:25:00Z")));
    process.run(&json!({}), at("2026-01-15T00:37:00Z")).await.unwrap();
    world.process().run(&json!({}), at("2026-01-15T00:42:00Z")).await.unwrap();
    assert_eq!(world.reads(), [(0, 5), (0, 5)], "they are kept, for other processes as well");
}

#[tokio::test]
async fn baselines_that_are_damaged_or_of_others_are_made_again() {
    let world = World::new();
    let key = "s3://my-models/state/baselines/2026-01-15/1/0";
    for content in [&b"<html>"[..], b""] {
        let world = World { bucket: Rc::new(Bucket::default()), ..world.clone() };
        world.bucket.store(key, content);
        let made = world.calibrator().run(&json!({}), at(NOW)).await.unwrap();
        assert_eq!(made.instances.made, 5);
        let mut second = world.calibrator();
        assert_eq!(second.run(&json!({}), at(NOW)).await.unwrap().instances.known, 5);
        assert!(second.knows(&instance(1), seconds("2026-01-15T00:00:00Z")));
    }
}

#[tokio::test]
async fn a_calibrator_that_can_do_nothing_says_so() {
    let world = World::new();
    let settings = Settings { state: None, ..settings(ModelSource::Builtin) };
    let mut nowhere =
        Calibration::new(settings, Rc::clone(&world.metrics), Rc::clone(&world.bucket));
    assert_eq!(nowhere.run(&json!({}), at(NOW)).await, Err(RunError::NothingKept));
    world.bucket.down.set(true);
    assert_eq!(world.calibrator().run(&json!({}), at(NOW)).await, Err(RunError::NotWritten));
    world.bucket.down.set(false);
    world.metrics.broken.borrow_mut().extend((0..5).map(instance));
    let error = world.calibrator().run(&json!({}), at(NOW)).await.unwrap_err();
    assert!(matches!(error, RunError::NothingRead { instances: 5, .. }), "{error}");
    world.metrics.broken.borrow_mut().remove(&instance(3));
    assert_eq!(world.calibrator().run(&json!({}), at(NOW)).await.unwrap().instances.skipped, 4);
}

#[tokio::test]
async fn an_instance_without_a_baseline_is_read_from_far_back_once() {
    let world = World::new();
    let young =
        cpu(7, DAYS).into_iter().filter(|point| point.time >= seconds("2026-01-15T09:00:00Z"));
    world.metrics.cpu.borrow_mut().insert(instance(7), young.collect());
    let mut process = world.process();
    for expected in [vec![(COLD, 6)], vec![(0, 6)]] {
        let summary = process.run(&json!({}), at(NOW)).await.unwrap();
        assert_eq!(world.reads(), expected);
        assert_eq!(summary.instances.skipped, [("no_baseline", 1)].into());
    }
}

#[tokio::test]
async fn another_model_begins_anew_and_scores_nothing_twice() {
    let world = World::new();
    let uri = "s3://my-models/models/one.safetensors";
    let mut process = world.with(settings(ModelSource::Object(uri.parse().unwrap())));
    world.bucket.store(uri, artifact().to_bytes().unwrap());
    process.run(&json!({}), at("2026-01-15T14:47:00Z")).await.unwrap();
    let before = world.scores();
    assert_eq!(world.reads(), [(COLD, 5)]);

    let other = artifact_with_threshold(1000.0);
    world.bucket.store(uri, other.to_bytes().unwrap());
    let summary = process.run(&json!({}), at(NOW)).await.unwrap();
    assert_eq!(world.reads(), [(COLD, 5)]);
    assert_eq!(summary.model.version, other.version());
    assert_eq!(summary.instances.anomalous, [], "the threshold is the artifact's");
    let after = world.scores();
    assert_eq!(after.len(), 5 * 3 * 2);
    assert!(before.keys().all(|key| !after.contains_key(key)));
}

/// Four weeks of an office until `end` that begins at nine by the clock of Berlin, which is put
/// forward at 2026-03-29 01:00 UTC.
fn office(end: &str) -> Vec<Datapoint> {
    let (end, change) = (seconds(end), seconds("2026-03-29T01:00:00Z"));
    let value = |time: i64| {
        let ahead = if time < change { 3600 } else { 7200 };
        let works = ((time + ahead).rem_euclid(DAY_SECONDS) / 3600 - 13).abs() <= 4;
        let noise = (time / PERIOD * 7919 % 101) as f64 / 40.0;
        noise + if works { 50.0 } else { 10.0 }
    };
    (end - (COLD + 2) * DAY_SECONDS..end)
        .step_by(PERIOD as usize)
        .map(|time| Datapoint { time, value: value(time) })
        .collect()
}

/// The scores of a morning, where the calibrator has run at a time before, or where it has not.
async fn morning(
    world: &World,
    settings: impl Fn() -> Settings,
    calibrated: Option<&str>,
    [from, to]: [&str; 2],
) -> Vec<f64> {
    if let Some(time) = calibrated {
        let (metrics, bucket) = (Rc::clone(&world.metrics), Rc::clone(&world.bucket));
        let account = Rc::clone(&metrics);
        let mut calibrator = Calibration::with_account(settings(), metrics, bucket, account);
        calibrator.run(&json!({}), at(time)).await.unwrap();
    }
    let mut process = world.telling(settings());
    for time in every_five_minutes(from, to) {
        process.run(&json!({}), time).await.unwrap();
    }
    let scores = world.scores().into_iter();
    let scores = scores.filter(|((_, metric, _), _)| *metric == Metric::AnomalyScore);
    scores.map(|(_, score)| score).collect()
}

/// The highest score of the office on its first morning by the changed clock, where this is the
/// zone of the settings, and that of its tag.
async fn first_morning(zone: &str, tag: Option<&str>, calibrated: bool) -> f64 {
    let world = World::new();
    *world.metrics.cpu.borrow_mut() = [(instance(0), office("2026-03-31T00:00:00Z"))].into();
    if let Some(tag) = tag {
        let tags = [("deepguard:timezone".to_string(), tag.to_string())].into();
        world.metrics.tags.borrow_mut().insert(instance(0), tags);
    }
    let read = Settings::from_variables(|name| (name == "TIME_ZONE").then(|| zone.into()));
    let tuning = read.unwrap().tuning;
    let settings = || Settings {
        tuning: tuning.clone(),
        group_by: Some("team".into()),
        ..settings(ModelSource::Builtin)
    };
    let calibrated = calibrated.then_some("2026-03-30T00:07:00Z");
    let times = ["2026-03-30T05:32:00Z", "2026-03-30T08:02:00Z"];
    morning(&world, settings, calibrated, times).await.into_iter().fold(0.0, f64::max)
}

#[tokio::test]
async fn the_time_zone_of_the_settings_is_that_of_the_days() {
    let berlin = first_morning("Europe/Berlin", None, false).await;
    let calibrated = first_morning("Europe/Berlin", None, true).await;
    assert_eq!(berlin, calibrated, "the calibrator's are the same");
    assert!(berlin < 1.0, "{berlin}");
    let elsewhere = first_morning("Africa/Lagos", None, false).await;
    assert!(elsewhere > 1.0, "where clocks do not change: {elsewhere}");
    let unknown = first_morning("UTC", None, false).await;
    assert!(unknown < 1.0, "where no zone is set: {unknown}");
}

#[tokio::test]
async fn a_tag_names_the_time_zone_of_an_instance() {
    let of_tag = async |tag, calibrated| first_morning("Africa/Lagos", Some(tag), calibrated).await;
    let berlin = of_tag("Europe/Berlin", false).await;
    assert_eq!(berlin, of_tag("Europe/Berlin", true).await, "the calibrator's are the same");
    assert!(berlin < 1.0, "{berlin}");
    let unknown = of_tag("Mars/Olympus", false).await;
    assert!(unknown > 1.0, "such a zone is the deployment's: {unknown}");
}

const HOLIDAYS: &str = "s3://my-models/settings/holidays.ics";

/// A calendar with Good Friday of 2026.
const GOOD_FRIDAY: &str = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Good Friday\r\n\
                           DTSTART;VALUE=DATE:20260403\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

/// Four weeks and a half of an office that works from Monday to Friday, but not on Good Friday.
fn closed_on_good_friday() -> Vec<Datapoint> {
    let end = seconds("2026-04-04T00:00:00Z");
    let value = |time: i64| {
        let day = time.div_euclid(DAY_SECONDS);
        // 1970-01-01 was a Thursday.
        let off = (day + 3).rem_euclid(7) >= 5 || day == seconds(GOOD).div_euclid(DAY_SECONDS);
        let works = !off && (time.rem_euclid(DAY_SECONDS) / 3600 - 13).abs() <= 4;
        let noise = (time / PERIOD * 7919 % 101) as f64 / 40.0;
        noise + if works { 50.0 } else { 10.0 }
    };
    (end - (COLD + 2) * DAY_SECONDS..end)
        .step_by(PERIOD as usize)
        .map(|time| Datapoint { time, value: value(time) })
        .collect()
}

const GOOD: &str = "2026-04-03T00:00:00Z";

#[tokio::test]
async fn the_calendar_of_the_settings_has_the_holidays_of_the_baselines() {
    let scores = async |calendar: bool, calibrated: bool| {
        let world = World::new();
        *world.metrics.cpu.borrow_mut() = [(instance(0), closed_on_good_friday())].into();
        if calendar {
            world.bucket.store(HOLIDAYS, GOOD_FRIDAY);
        }
        let holidays = HOLIDAYS.parse().ok();
        let settings = || Settings { holidays: holidays.clone(), ..settings(ModelSource::Builtin) };
        let calibrated = calibrated.then_some("2026-04-03T00:07:00Z");
        morning(&world, settings, calibrated, ["2026-04-03T08:32:00Z", "2026-04-03T10:02:00Z"])
            .await
    };
    let known = scores(true, false).await;
    assert_eq!(known, scores(true, true).await, "the calibrator's are the same");
    assert_ne!(known, scores(false, false).await, "without the object it is a working day");
}
