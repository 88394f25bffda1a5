//! Runs that fail as a whole, gaps over midnight, and effects that only another process would see.

use super::*;

#[tokio::test]
async fn when_a_run_fails_as_a_whole() {
    let (start, _) = begun();
    let time = BEGIN + SLOT;
    let always = |stage: Stage, kind| stage.fault(When::Always, kind);
    let from_s3: &[_] = &[("MODEL_URI", "s3://bucket/models/default.safetensors")];
    // The fault, the settings, whether there is a state, the detector's answer, and the
    // calibrator's action.
    let cases = [
        (None, &[][..], true, "ok", "ok"),
        (None, &[][..], false, "no state", "ok"),
        (Some(always(Stage::List, Kind::Forbidden)), &[][..], true, "ok", "List"),
        (Some(always(Stage::List, Kind::Forbidden)), &[][..], false, "List", "List"),
        (Some(always(Stage::Read, Kind::Forbidden)), &[][..], true, "NothingRead", "NothingRead"),
        (Some(always(Stage::Read, Kind::Forbidden)), &[][..], false, "NothingRead", "NothingRead"),
        (
            Some(always(Stage::Read, Kind::InternalResult).only(&Generated::id(0))),
            &[][..],
            true,
            "unread",
            "ok",
        ),
        (Some(always(Stage::Publish, Kind::Forbidden)), &[][..], true, "NothingPublished", "ok"),
        (
            Some(Stage::Publish.fault(When::Nth(1), Kind::Forbidden)),
            &[][..],
            true,
            "unpublished",
            "ok",
        ),
        (
            Some(Stage::Publish.fault(When::Nth(2), Kind::Forbidden)),
            &[][..],
            true,
            "unpublished",
            "ok",
        ),
        (Some(always(Stage::SaveState, Kind::Forbidden)), &[][..], true, "unsaved", "ok"),
        (
            Some(always(Stage::SaveBaselines, Kind::Forbidden)),
            &[][..],
            false,
            "no state",
            "NotWritten",
        ),
        // Such an object does not exist yet.
        (None, from_s3, true, "Model", "Model"),
        (None, &[("STATE_URI", "")][..], false, "unsaved", "NothingKept"),
    ];
    for (fault, variables, has_state, detector, calibrator) in cases {
        let mut settings = settings(variables);
        if variables.iter().any(|(name, _)| *name == "STATE_URI") {
            settings.state = None;
        }
        let mut world = World::new(start_aws(start.fleet.clone(), time), settings);
        if has_state {
            world.fill_bucket(&start.objects);
        }
        world.aws.script(fault.clone());
        assert_eq!(told(&world.run(time).await), detector, "{fault:?} {variables:?}");
        world.aws.script(fault.clone());
        let calibrated = world.calibrate(MIDNIGHT + 420).await;
        assert_eq!(
            calibrated.as_ref().map_or_else(kind, |_| "ok"),
            calibrator,
            "{fault:?} {variables:?}"
        );
    }
    let mut world = start.world();
    let now = Timestamp::from_second(time).unwrap();
    for event in [serde_json::json!({ "sharp": 1 }), event(time + 3600), event(time - 15 * DAY)] {
        assert_eq!(
            world.detection().run(&event, now).await.map_err(|error| kind(&error)),
            Err("Event"),
            "{event}"
        );
    }
}

#[tokio::test]
async fn a_gap_over_midnight_is_the_same_gap_whoever_makes_the_baseline() {
    let start = Start::new(fleet(MIDNIGHT).gap(0, MIDNIGHT - 600, MIDNIGHT + 900), BEGIN).await;
    // With the calibrator, at seven minutes past.
    let truth = start.undisturbed(END).await;
    // By the detector, half an hour later.
    let mut world = start.world();
    for time in slots(BEGIN + SLOT, END + 1) {
        world.run(time).await.unwrap();
    }
    truth.assert(&world.aws.published(), &"without a calibrator");
}

#[tokio::test]
async fn a_new_process_that_cannot_read_the_state_says_nothing_else_than_was_said() {
    let noon = MIDNIGHT + DAY / 2;
    let (start, _) = begun_at_noon();
    let mut wrong = Vec::new();
    for kind in [Kind::Status(503), Kind::Truncate, Kind::Html(200)] {
        // Scores made while this datapoint was missing lack it, and have been published.
        let mut world =
            start.world_with(start.fleet.clone().late(2, noon - 900, 1200), settings(&[]));
        let mut hit = String::new();
        for time in slots(start.time + SLOT, noon + 1801) {
            let unreadable = time == noon + 900;
            if unreadable {
                world.restart();
                world.aws.script([Stage::LoadState.fault(When::Always, kind.clone())]);
            }
            let run = world.run(time).await;
            world.aws.clear_faults();
            if unreadable {
                hit = told(&run);
            }
        }
        let published = of_instances(&world.aws.published());
        let several: Vec<_> =
            published.into_iter().filter(|(_, values)| only(values).is_none()).collect();
        if let Some((mark, values)) = several.first() {
            let here = format!("{} of {} at {}", mark.1, mark.0, text(mark.2));
            wrong.push(format!(
                "{kind:?}: {hit}: {} marks with two values, such as {here}: {values:?}",
                several.len()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn scores_that_something_else_than_cloudwatch_took_are_not_lost() {
    let (start, truth) = begun();
    let fault = Stage::Publish.fault(When::Always, Kind::Html(200));
    let told = play(start, truth, Stage::Publish, &fault, false, PATIENT).await;
    assert_eq!(told, "NothingPublished");
}

// ---- random schedules
