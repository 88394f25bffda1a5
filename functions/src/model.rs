//! The model that is current: the one compiled in, or the one in S3.
//!
//! In S3, an object whose key ends with `.safetensors` is an artifact. Any other is a pointer, such as
//! `models/current`: JSON that names an artifact in the same bucket, as `model-builder publish` writes it.

use std::fmt;
use std::num::NonZeroUsize;
use std::rc::Rc;

use deepguard::model::artifact::MAX_BYTES;
use deepguard::model::device;
use deepguard::{Artifact, ArtifactError, Detector};
use serde::Deserialize;

use crate::names::ObjectUri;
use crate::ports::{CallError, Fetched, ObjectError, Objects};

/// The artifact that is compiled into the function, so that it works before anyone has trained one.
pub(crate) const BUILTIN: &[u8] = include_bytes!("../../models/default.safetensors");
/// The end of an artifact's key.
const ARTIFACT: &str = ".safetensors";
/// A pointer is a line of JSON. No larger one is read.
const POINTER_BYTES: usize = 4096;

/// Where the model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// Compiled in.
    Builtin,
    /// An artifact in S3, or a pointer to one.
    Object(ObjectUri),
}

impl fmt::Display for ModelSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin => formatter.write_str("builtin"),
            Self::Object(uri) => uri.fmt(formatter),
        }
    }
}

/// A model that cannot be had. There is no falling back to another one: whoever named it wants that one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// The object.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// Not a pointer.
    #[error(
        "{uri} points to no model ({why}): move it with `model-builder publish`, or name an artifact ending with {ARTIFACT}"
    )]
    Pointer {
        /// Where the pointer is.
        uri: ObjectUri,
        /// What is wrong with it.
        why: String,
    },
    /// Not an artifact that can be used.
    #[error("the model {origin} cannot be used: {error}")]
    Artifact {
        /// Where it is.
        origin: ModelSource,
        /// What is wrong with it.
        error: ArtifactError,
    },
    /// Another artifact than the pointer says.
    #[error(
        "{uri} has the checksum {found}, but the pointer to it says {needed}: publish the model again with `model-builder publish`"
    )]
    Checksum {
        /// The artifact.
        uri: ObjectUri,
        /// The checksum in the pointer.
        needed: String,
        /// The checksum of the artifact.
        found: String,
    },
}

/// The content of a pointer. Other fields may stand beside these.
#[derive(Debug, Deserialize)]
struct Pointer {
    /// Key of the artifact, in the bucket of the pointer.
    key: String,
    /// [`Artifact::checksum`].
    sha256: String,
}

/// The model, loaded once and asked for again in each run.
#[derive(Debug)]
pub struct Models<O> {
    source: ModelSource,
    objects: O,
    threads: NonZeroUsize,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    /// Version of the object that [`Models::source`] names.
    etag: Option<String>,
    detector: Rc<Detector>,
}

impl<O: Objects> Models<O> {
    /// Nothing loaded yet.
    pub fn new(source: ModelSource, objects: O) -> Self {
        Self { source, objects, threads: NonZeroUsize::MIN, current: None }
    }

    /// The same, for models that score with so many threads.
    #[must_use]
    pub fn with_threads(self, threads: NonZeroUsize) -> Self {
        Self { threads, ..self }
    }

    /// Where the model comes from.
    pub fn source(&self) -> &ModelSource {
        &self.source
    }

    /// The current model. From S3 it is loaded where its object has another ETag than the last time.
    ///
    /// # Errors
    /// [`ModelError`]. What was loaded before is kept, but not handed out: the next call asks for the same again.
    pub async fn current(&mut self) -> Result<Rc<Detector>, ModelError> {
        let next = match (&self.source, &self.current) {
            (ModelSource::Builtin, Some(current)) => return Ok(Rc::clone(&current.detector)),
            (ModelSource::Builtin, None) => {
                Current { etag: None, detector: load(BUILTIN, &self.source, self.threads)? }
            }
            (ModelSource::Object(uri), current) => {
                let is_artifact = uri.key.ends_with(ARTIFACT);
                let known = current.as_ref().and_then(|current| current.etag.as_deref());
                let most = if is_artifact { MAX_BYTES } else { POINTER_BYTES };
                match (self.objects.get(uri, known, most).await?, current) {
                    (Fetched::Unchanged, Some(current)) => return Ok(Rc::clone(&current.detector)),
                    (fetched, current) => {
                        let (bytes, etag) = content(fetched, uri)?;
                        let detector = match is_artifact {
                            true => load(&bytes, &self.source, self.threads)?,
                            false => self.follow(uri, &bytes, current.as_ref()).await?,
                        };
                        Current { etag, detector }
                    }
                }
            }
        };
        Ok(Rc::clone(&self.current.insert(next).detector))
    }

    /// The artifact that `pointer`, whose content is `pointing`, points to; what is current where it still is the same.
    async fn follow(
        &self,
        pointer: &ObjectUri,
        pointing: &[u8],
        current: Option<&Current>,
    ) -> Result<Rc<Detector>, ModelError> {
        let wrong = |why: String| ModelError::Pointer { uri: pointer.clone(), why };
        let Pointer { key, sha256: needed } =
            serde_json::from_slice(pointing).map_err(|error| wrong(error.to_string()))?;
        if let Some(current) = current.filter(|current| current.detector.artifact().checksum() == needed) {
            return Ok(Rc::clone(&current.detector));
        }
        let uri = pointer.beside(&key).map_err(|error| wrong(error.to_string()))?;
        let (bytes, _) = content(self.objects.get(&uri, None, MAX_BYTES).await?, &uri)?;
        let detector = load(&bytes, &ModelSource::Object(uri.clone()), self.threads)?;
        match detector.artifact().checksum() {
            found if found == needed => Ok(detector),
            found => Err(ModelError::Checksum { uri, needed, found: found.into() }),
        }
    }
}

fn load(bytes: &[u8], origin: &ModelSource, threads: NonZeroUsize) -> Result<Rc<Detector>, ModelError> {
    match Artifact::from_bytes(bytes) {
        Ok(artifact) => Ok(Rc::new(Detector::new(artifact, &device()).with_threads(threads))),
        Err(error) => Err(ModelError::Artifact { origin: origin.clone(), error }),
    }
}

/// Content and ETag of an object that was asked for without knowing a version.
fn content(fetched: Fetched, uri: &ObjectUri) -> Result<(Vec<u8>, Option<String>), ObjectError> {
    match fetched {
        Fetched::Object { bytes, etag } => Ok((bytes, etag)),
        Fetched::Unchanged => {
            let why = "\"not modified\", although no version is known".into();
            Err(ObjectError::Call { uri: uri.clone(), error: CallError { operation: "GetObject", why } })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::memory::Bucket;
    use crate::testing::{artifact, artifact_with_threshold, pointer};

    const CURRENT: &str = "s3://my-models/models/current";
    const ONE: &str = "s3://my-models/models/one.safetensors";
    const TWO: &str = "s3://my-models/models/two.safetensors";

    fn models(uri: &str) -> (Models<Rc<Bucket>>, Rc<Bucket>) {
        let bucket = Rc::new(Bucket::default());
        (Models::new(ModelSource::Object(uri.parse().unwrap()), Rc::clone(&bucket)), bucket)
    }

    fn gets(bucket: &Bucket) -> Vec<(String, bool)> {
        bucket.gets.take()
    }

    fn got(uri: &str, content: bool) -> (String, bool) {
        (uri.into(), content)
    }

    #[tokio::test]
    async fn the_builtin_model_needs_no_store() {
        let mut models = Models::new(ModelSource::Builtin, Rc::new(Bucket::default()));
        let first = models.current().await.unwrap();
        assert_eq!(first.artifact(), &artifact());
        assert!(Rc::ptr_eq(&first, &models.current().await.unwrap()));
    }

    #[tokio::test]
    async fn an_artifact_is_loaded_again_only_when_it_changed() {
        let (mut models, bucket) = models(ONE);
        bucket.store(ONE, artifact().to_bytes().unwrap());
        let first = models.current().await.unwrap();
        assert!(Rc::ptr_eq(&first, &models.current().await.unwrap()));
        let changed = artifact_with_threshold(3.0);
        bucket.store(ONE, changed.to_bytes().unwrap());
        assert_eq!(models.current().await.unwrap().artifact(), &changed);
        assert_eq!(gets(&bucket), [got(ONE, true), got(ONE, false), got(ONE, true)]);
    }

    #[tokio::test]
    async fn a_pointer_is_followed_when_it_moves() {
        let (mut models, bucket) = models(CURRENT);
        let (one, two) = (artifact(), artifact_with_threshold(3.0));
        bucket.store(ONE, one.to_bytes().unwrap());
        bucket.store(TWO, two.to_bytes().unwrap());
        bucket.store(CURRENT, pointer("models/one.safetensors", &one));
        let first = models.current().await.unwrap();
        assert_eq!(first.artifact(), &one);
        assert_eq!(gets(&bucket), [got(CURRENT, true), got(ONE, true)]);

        assert!(Rc::ptr_eq(&first, &models.current().await.unwrap()));
        assert_eq!(gets(&bucket), [got(CURRENT, false)]);

        bucket.store(CURRENT, pointer("models/one.safetensors", &one));
        assert!(Rc::ptr_eq(&first, &models.current().await.unwrap()), "written again, to the same artifact");
        assert_eq!(gets(&bucket), [got(CURRENT, true)]);
        models.current().await.unwrap();
        assert_eq!(gets(&bucket), [got(CURRENT, false)]);

        bucket.store(CURRENT, pointer("models/two.safetensors", &two));
        assert_eq!(models.current().await.unwrap().artifact(), &two);
        assert_eq!(gets(&bucket), [got(CURRENT, true), got(TWO, true)]);
    }

    #[tokio::test]
    async fn what_cannot_be_loaded_is_told_and_never_replaced() {
        let one = artifact();
        let bytes = one.to_bytes().unwrap();
        let mut damaged = bytes.clone();
        *damaged.last_mut().unwrap() ^= 1;
        let to_one = pointer("models/one.safetensors", &one);
        let other = pointer("models/one.safetensors", &artifact_with_threshold(3.0));
        type Object = (&'static str, Vec<u8>);
        let cases: [(&str, Vec<Object>, &str); 13] = [
            (ONE, vec![], "s3://my-models/models/one.safetensors does not exist"),
            (
                ONE,
                vec![(ONE, damaged.clone())],
                "the model s3://my-models/models/one.safetensors cannot be used: the artifact is damaged",
            ),
            (ONE, vec![(ONE, bytes[..bytes.len() / 2].to_vec())], "not whole"),
            (ONE, vec![(ONE, vec![])], "not a DeepGuard artifact"),
            (ONE, vec![(ONE, to_one.clone().into())], "not a DeepGuard artifact"),
            (ONE, vec![(ONE, vec![0; MAX_BYTES + 1])], "more than the 67108864 allowed"),
            (CURRENT, vec![], "s3://my-models/models/current does not exist"),
            (CURRENT, vec![(CURRENT, to_one.clone().into())], "s3://my-models/models/one.safetensors does not exist"),
            (CURRENT, vec![(CURRENT, to_one.into()), (ONE, damaged)], "damaged"),
            (CURRENT, vec![(CURRENT, other.into()), (ONE, bytes.clone())], "has the checksum"),
            (CURRENT, vec![(CURRENT, bytes)], "bytes, more than the 4096 allowed"),
            (
                CURRENT,
                vec![(CURRENT, b"models/one.safetensors".to_vec())],
                "s3://my-models/models/current points to no model",
            ),
            (CURRENT, vec![(CURRENT, br#"{"key": "", "sha256": "0"}"#.to_vec())], "points to no model"),
        ];
        for (uri, objects, why) in cases {
            let (mut models, bucket) = models(uri);
            for (uri, bytes) in objects {
                bucket.store(uri, bytes);
            }
            for _ in 0..2 {
                let error = models.current().await.expect_err(why).to_string();
                assert!(error.contains(why), "{why}: {error}");
            }
        }
    }

    #[tokio::test]
    async fn a_pointer_that_moved_to_a_broken_artifact_fails_until_it_is_mended() {
        let (mut models, bucket) = models(CURRENT);
        let (one, two) = (artifact(), artifact_with_threshold(3.0));
        bucket.store(ONE, one.to_bytes().unwrap());
        bucket.store(CURRENT, pointer("models/one.safetensors", &one));
        models.current().await.unwrap();
        bucket.store(CURRENT, pointer("models/two.safetensors", &two));
        for _ in 0..2 {
            assert!(models.current().await.is_err(), "the old model was handed out");
        }
        bucket.store(TWO, two.to_bytes().unwrap());
        assert_eq!(models.current().await.unwrap().artifact(), &two);
    }
}
