//! Common helpers for tests.

use deepguard::Artifact;
use deepguard::Scored;
use deepguard::episode::{Episodes, MOfN};
use deepguard::incident::Note;
use deepguard::model::device;
pub(crate) use deepguard_aws::testing::{instance, memory};

use crate::alert::pending::{Basis, Pending, Unsent};

/// The artifact that is compiled in.
pub(crate) fn artifact() -> Artifact {
    Artifact::from_bytes(deepguard::model::artifact::BUILTIN).unwrap()
}

/// The same network with another threshold: another artifact.
pub(crate) fn artifact_with_threshold(threshold: f64) -> Artifact {
    let artifact = artifact();
    let card = artifact.card().clone();
    let weights = artifact.network(&device()).weights();
    Artifact::new(card.shape, weights, threshold, card.borrowed_usual, card.growth, card.training)
        .unwrap()
}

/// A pointer to `artifact` at `key`.
pub(crate) fn pointer(key: &str, artifact: &Artifact) -> String {
    serde_json::json!({ "key": key, "sha256": artifact.checksum(), "published": "2026-01-15" })
        .to_string()
}

/// A datapoint at `time` with this score, higher than any before it.
pub(crate) fn scored(time: i64, score: f64) -> Scored {
    Scored {
        time,
        observed: 90.0,
        reconstruction: Some(12.0),
        expected: 10.0,
        low: 5.0,
        high: 15.0,
        score: serde_json::from_value(score.into()).unwrap(),
        channel: Some(deepguard::channel::Channel::SpikeUp),
        surpasses: true,
        usual: 10.0,
        severity: serde_json::from_value(score.into()).unwrap(),
        outside: score >= 1.0,
        finding: None,
        muted: false,
        phase: deepguard::Phase::Own,
    }
}

/// A datapoint at `time` with this score, in an episode with a higher score before.
pub(crate) fn lasting(time: i64, score: f64) -> Scored {
    Scored { surpasses: false, ..scored(time, score) }
}

/// An unsent alert about an episode that begins at `time`.
pub(crate) fn pending(number: usize, time: i64) -> Pending {
    let change = Episodes::default().update(&scored(time, 1.5), MOfN::default()).remove(0);
    let note = Note::of_one(&instance(number), time);
    Pending {
        instance: instance(number),
        note,
        decided: time,
        change,
        basis: Basis { model: "one".into(), model_days: None, baseline: None },
        unsent: Unsent { event: true, message: true, chat: true },
    }
}
