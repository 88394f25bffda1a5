//! Helpers for several tests: a bucket and a fleet in memory, and artifacts that differ.

use std::rc::Rc;

use deepguard::Artifact;
use deepguard::model::device;
pub(crate) use deepguard_aws::testing::{instance, memory};

/// A store of objects.
pub(crate) type Bucket = Rc<memory::Bucket>;

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

/// Stores `artifact` as `publish` does, and says its version.
pub(crate) fn put(bucket: &Bucket, artifact: &Artifact) -> String {
    let version = artifact.version();
    let uri = format!("s3://my-models/models/{version}.safetensors");
    bucket.store(&uri, artifact.to_bytes().unwrap());
    version
}
