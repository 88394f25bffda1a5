//! The log: one JSON object a line, on standard output, where Lambda collects it.

use deepguard::channel::Channel;
use deepguard_aws::alert::{Alert, Kind};
use deepguard_aws::ids::TargetId;
use jiff::Timestamp;
use serde::Serialize;
use tracing::{Level, enabled, info, warn};
use tracing_subscriber::EnvFilter;

use crate::run::outcome::{Fleet, MOST_NAMED};
use crate::startup::{Parts, Start};
use crate::time::rfc3339;
use crate::watched::muted::Muted;

/// Starts logging at `level`. Of the libraries only warnings are logged, and from `lambda_runtime`
/// the span with the request id.
pub fn start(level: Level) {
    let filter = format!(
        "warn,lambda_runtime=info,functions={level},deepguard_aws={level},bootstrap={level}"
    );
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_target(false)
        .with_env_filter(EnvFilter::new(filter))
        .init();
}

/// Logs each anomalous, each muted anomalous, and each skipped instance.
pub(crate) fn instances(fleet: &Fleet, mutes: &Muted) {
    for (instance, scored) in fleet.anomalous() {
        info!(
            %instance,
            time = rfc3339(scored.time),
            score = scored.score.value(),
            observed = scored.observed,
            expected = scored.expected,
            low = scored.low,
            high = scored.high,
            channel = scored.channel.map_or("frozen", Channel::name),
            "the instance is anomalous"
        );
    }
    for (instance, scored) in fleet.suppressed().take(MOST_NAMED) {
        info!(
            %instance,
            time = rfc3339(scored.time),
            score = scored.score.value(),
            why = mutes.why(instance, scored.time).as_deref(),
            "the anomaly is muted"
        );
    }
    for (instance, skipped) in fleet.skipped.iter().take(MOST_NAMED) {
        warn!(
            %instance,
            reason = skipped.reason.name(),
            why = skipped.why,
            "the instance is skipped"
        );
    }
    if let unnamed @ 1.. = fleet.skipped.len().saturating_sub(MOST_NAMED) {
        warn!(instances = unnamed, "more are skipped: the summary counts them by reason");
    }
}

/// Logs an alert as it is sent.
pub fn alert(alert: &Alert) {
    #[derive(Serialize)]
    struct Line<'a> {
        detail_type: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<serde_json::Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        instance: Option<&'a TargetId>,
    }
    if enabled!(Level::WARN) {
        let detail = serde_json::from_str(&alert.detail).ok();
        let (detail_type, instance) = (alert.kind.detail_type(), alert.instance.as_ref());
        let (level, message) = match alert.kind {
            Kind::Began => (Level::WARN, "an anomaly begins"),
            Kind::Ended => (Level::INFO, "an anomaly is over"),
            Kind::Digest => (Level::INFO, "a digest is made"),
            Kind::Test => (Level::INFO, "the messages are tested"),
        };
        object(level, message, Timestamp::now(), Line { detail_type, detail, instance });
    }
}

/// Logs how long the parts of a start took, where debug messages are logged.
pub fn ready(start: &Start) {
    #[derive(Serialize)]
    struct Line<'a> {
        began: Timestamp,
        parts_us: &'a Parts,
    }
    if enabled!(Level::DEBUG) {
        object(
            Level::DEBUG,
            "the process is ready",
            Timestamp::now(),
            Line { began: start.began(), parts_us: start.parts() },
        );
    }
}

/// Logs the summary of a run.
pub fn summary(summary: &impl Serialize, request_id: &str, now: Timestamp) {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Line<'a, S> {
        request_id: &'a str,
        summary: &'a S,
    }
    if enabled!(Level::INFO) {
        object(Level::INFO, "the run is over", now, Line { request_id, summary });
    }
}

/// Logs a message with fields that are objects themselves.
///
/// Not through `tracing`: its fields hold no nested values, so an object would be a text inside
/// JSON, which CloudWatch Logs Insights cannot look into.
fn object(level: Level, message: &str, now: Timestamp, fields: impl Serialize) {
    #[derive(Serialize)]
    struct Line<'a, F> {
        timestamp: Timestamp,
        level: &'a str,
        message: &'a str,
        #[serde(flatten)]
        fields: F,
    }
    match serde_json::to_string(&Line { timestamp: now, level: level.as_str(), message, fields }) {
        Ok(line) => println!("{line}"),
        Err(error) => warn!(%error, message, "the line of the log has no JSON form"),
    }
}
