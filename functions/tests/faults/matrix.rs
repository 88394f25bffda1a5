//! Every kind of fault at every stage of a run.

use super::*;

/// A fault with a name, and the stages at which it is possible.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) at: fn(Stage) -> bool,
}

fn row(name: &'static str, kind: Kind, at: fn(Stage) -> bool) -> Row {
    Row { name, kind, at }
}

pub(super) fn rows() -> Vec<Row> {
    let any = |_| true;
    let read = |stage| stage == Stage::Read;
    let of_metrics = |stage| matches!(stage, Stage::List | Stage::Read);
    let pages = |stage| matches!(stage, Stage::List | Stage::Read | Stage::Tags);
    let answers = |stage: Stage| !matches!(stage, Stage::SaveState | Stage::SaveBaselines);
    // A throttled call for tags waits for seconds: a test of its own covers it.
    let throttled = |stage| stage != Stage::Tags;
    let put = |stage| matches!(stage, Stage::SaveState | Stage::SaveBaselines);
    vec![
        row("Throttling", Kind::Throttle("Throttling"), throttled),
        row("ThrottlingException", Kind::Throttle("ThrottlingException"), Stage::is_cloudwatch),
        row("500", Kind::Status(500), any),
        row("503", Kind::Status(503), any),
        row("503, HTML", Kind::Html(503), any),
        row("reset", Kind::Reset, any),
        row("reset after", Kind::ResetAfter, any),
        row("slow", Kind::Slow(Duration::from_millis(20)), any),
        row("slow answer", Kind::SlowAnswer(Duration::from_millis(20)), any),
        row("slow body", Kind::SlowBody(Duration::from_millis(20)), any),
        row("truncated body", Kind::Truncate, answers),
        row("403", Kind::Forbidden, any),
        row("expired", Kind::Expired, any),
        row("clock skew", Kind::ClockSkew, any),
        row("200, HTML", Kind::Html(200), any),
        row("conflict", Kind::Conflict, put),
        row("descending", Kind::Descending, read),
        row("no order", Kind::Shuffle, read),
        row("duplicates", Kind::Duplicate, read),
        row("NaN", Kind::NaN, read),
        row("partial data", Kind::Partial, read),
        row("internal result", Kind::InternalResult, read),
        row("forbidden result", Kind::ForbiddenResult, read),
        row("messages", Kind::Messages, of_metrics),
        row("repeated page", Kind::RepeatPage, pages),
        row("looping token", Kind::LoopToken, pages),
        row("one left out", Kind::LeaveOut, read),
        row("one entry fails", Kind::FailEntry, Stage::tells),
    ]
}

#[tokio::test]
async fn every_fault_at_every_stage_costs_no_score() {
    let (start, truth) = begun();
    let mut wrong = Vec::new();
    println!(
        "{:20} {}",
        "for three runs",
        Stage::ALL.map(|stage| format!("{:>44}", format!("{stage:?}"))).concat()
    );
    for Row { name, kind, at } in rows() {
        let mut cells = Vec::new();
        for stage in Stage::ALL {
            // A separate test below covers a PutMetricData that gets another service's answer.
            if !at(stage) || (stage, name) == (Stage::Publish, "200, HTML") {
                cells.push(String::new());
                continue;
            }
            let fault = stage.fault(When::Always, kind.clone());
            let warm = play(start, truth, stage, &fault, false, PATIENT).await;
            // A separate test below covers a new process that cannot read its state: it reads all
            // of history in every run.
            let cold = match (stage, name) {
                (Stage::LoadState, "slow" | "slow answer" | "slow body") => None,
                (Stage::LoadState, name) if name != "200, HTML" => None,
                _ => Some(play(start, truth, stage, &fault, true, PATIENT).await),
            };
            let told = match cold {
                Some(cold) if cold != warm => format!("{warm} / {cold}"),
                _ => warm,
            };
            if told != expected(stage, name) {
                wrong.push(format!(
                    "{name} at {stage:?}: {told:?} and not {:?}",
                    expected(stage, name)
                ));
            }
            cells.push(told);
        }
        println!(
            "{name:20} {}",
            cells.iter().map(|cell| format!("{cell:>44}")).collect::<String>()
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The outcomes of the three runs that a fault hits, and the calibrator's: with a process that
/// lives on / with a new process each.
fn expected(stage: Stage, fault: &str) -> &'static str {
    let harmless = [
        "slow",
        "slow answer",
        "slow body",
        "descending",
        "no order",
        "duplicates",
        "NaN",
        "messages",
        "repeated page",
    ];
    match (stage, fault) {
        (_, harmless_one) if harmless.contains(&harmless_one) => "ok",
        // Instances with a state are scored.
        (Stage::List, _) => "calibrator: List, ok",
        (Stage::Read, "partial data") => "NothingRead, calibrator: 8 skipped",
        (Stage::Read, "one left out") => "calibrator: 1 skipped, unread",
        (Stage::Read, _) => "NothingRead, calibrator: NothingRead",
        // There is no body in "not modified".
        (Stage::LoadState, "truncated body") => "ok",
        (Stage::LoadState, "200, HTML") => "state damaged+superseded",
        (Stage::LoadState, _) => "state unreachable",
        (Stage::SaveState, "conflict") => "superseded",
        (Stage::SaveState, _) => "unsaved",
        // A new process makes the baselines that it cannot read; then the calibrator cannot add to
        // them.
        (Stage::LoadBaselines, _) => "ok / calibrator: NotWritten, ok",
        (Stage::SaveBaselines, _) => "calibrator: NotWritten, ok",
        (Stage::Publish, _) => "NothingPublished",
        // Nothing begins in the first of the three runs.
        (Stage::Events | Stage::Messages, _) => "ok, untold",
        // Names and groups are of use, and nothing waits for them.
        (Stage::Tags, _) => "ok",
        // The loaded model stays in use. The calibrator is a new process each night.
        (Stage::Model, _) => "calibrator: Model, ok / Model, calibrator: Model",
    }
}

#[tokio::test]
async fn a_fault_that_is_over_at_the_third_try_goes_unnoticed() {
    let (start, truth) = begun();
    let short = [
        Kind::Throttle("Throttling"),
        Kind::Throttle("ThrottlingException"),
        Kind::Status(500),
        Kind::Status(503),
        Kind::Reset,
        Kind::ResetAfter,
    ];
    let stages = Stage::ALL.into_iter().filter(|stage| *stage != Stage::Tags);
    for stage in stages {
        for kind in &short {
            for cold in [false, true] {
                let told = play(
                    start,
                    truth,
                    stage,
                    &stage.fault(When::First(2), kind.clone()),
                    cold,
                    PATIENT,
                )
                .await;
                assert_eq!(told, "ok", "{stage:?} {kind:?} cold {cold}");
            }
        }
    }
}

#[tokio::test]
async fn a_call_that_hangs_is_given_up() {
    let (start, truth) = begun();
    let hangs = [Kind::Slow(Duration::from_secs(60)), Kind::SlowAnswer(Duration::from_secs(60))];
    let plays = Stage::ALL.into_iter().flat_map(|stage| hangs.clone().map(|kind| (stage, kind)));
    // All at once: they spend their time waiting.
    let plays = plays.map(|(stage, kind)| async move {
        let told = play(
            start,
            truth,
            stage,
            &stage.fault(When::Always, kind.clone()),
            false,
            Duration::from_secs(1),
        )
        .await;
        (stage, kind, told)
    });
    for (stage, kind, told) in futures_util::future::join_all(plays).await {
        // With a process that lives on.
        let expected = expected(stage, "hang").split(" / ").next().unwrap();
        assert_eq!(told, expected, "{stage:?} {kind:?}");
    }
}
