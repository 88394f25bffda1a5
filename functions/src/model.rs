//! The current model: the one compiled in, or the one in S3.
//!
//! In S3, an object whose key ends with `.safetensors` is an artifact. Any other is a pointer, such
//! as `models/current`: JSON that names an artifact in the same bucket, as `model-builder promote`
//! writes it.

use std::fmt;
use std::num::NonZeroUsize;
use std::rc::Rc;

use deepguard::model::artifact::{BUILTIN, MAX_BYTES};
use deepguard::model::device;
use deepguard::{Artifact, ArtifactError, Clocks, Detector, Sensitivity};
use deepguard_aws::ids::ObjectUri;
use deepguard_aws::pointer::{POINTER_BYTES, Target};
use deepguard_aws::ports::{CallError, Fetched, ObjectError, Objects};
use deepguard_aws::signature::{PublicKey, SIGNATURE, SIGNATURE_BYTES, SignatureError};
use tracing::error;

/// The end of an artifact's key.
const ARTIFACT: &str = ".safetensors";

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

/// A model that cannot be loaded. A process that has loaded one before goes on with that
/// ([`Current::stale`]). There is no fallback to the compiled-in model: an operator who named a
/// model wants that one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// The object cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// It has no table of false alarms.
    #[error(
        "the model {0} does not say at which threshold it pages how often, so that \
         PAGES_PER_INSTANCE_WEEK cannot be kept: train it again with this version, or leave the \
         setting empty"
    )]
    NoPages(ModelSource),
    /// The object is no pointer to a model.
    #[error(
        "{uri} points to no model ({why}): move it with `model-builder promote` or `rollback`, or \
         name an artifact ending with {ARTIFACT}"
    )]
    Pointer {
        /// Where the pointer is.
        uri: ObjectUri,
        /// The fault.
        why: String,
    },
    /// Not an artifact that can be used.
    #[error("the model {origin} cannot be used: {error}")]
    Artifact {
        /// Where it is.
        origin: ModelSource,
        /// The fault.
        error: ArtifactError,
    },
    /// Another artifact than the one in the pointer.
    #[error(
        "{uri} has the checksum {found}, but the pointer to it says {needed}: publish the model \
         again with `model-builder publish`"
    )]
    Checksum {
        /// The artifact.
        uri: ObjectUri,
        /// The checksum in the pointer.
        needed: String,
        /// The checksum of the artifact.
        found: String,
    },
    /// It has no signature, or a wrong one.
    #[error(
        "the model {uri} may not be used, because MODEL_PUBLIC_KEY asks for a signature: {why}. \
         Sign it with `model-builder publish --sign`"
    )]
    Signature {
        /// The artifact.
        uri: ObjectUri,
        /// The fault.
        why: String,
    },
}

/// The model to score with.
#[derive(Debug, Clone)]
pub struct Current {
    /// The model.
    pub detector: Rc<Detector>,
    /// Why it is the previously loaded model and not the one that the source names now; `None`
    /// where it is the latter.
    pub stale: Option<ModelError>,
}

/// The use of every model, whichever it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// Threads to score with.
    pub threads: NonZeroUsize,
    /// Which anomalies count.
    pub sensitivity: Sensitivity,
    /// The budget of false alarms per instance and week, which selects the threshold from the
    /// model's table; `None`: the model's own threshold decides.
    pub pages: Option<f64>,
    /// The key that a model in S3 has to be signed with, if any.
    pub signer: Option<PublicKey>,
    /// The clocks by which baselines are learnt.
    pub clocks: Clocks,
}

impl Default for Tuning {
    /// One thread, and the model decides.
    fn default() -> Self {
        Self {
            threads: NonZeroUsize::MIN,
            sensitivity: Sensitivity::default(),
            pages: None,
            signer: None,
            clocks: Clocks::Unknown,
        }
    }
}

impl Tuning {
    /// Without the settings of anomalies: the model decides.
    #[must_use]
    pub fn only_threads(self) -> Self {
        Self { threads: self.threads, signer: self.signer, clocks: self.clocks, ..Self::default() }
    }
}

/// The model, loaded once and checked again in each run.
#[derive(Debug)]
pub struct Models<O> {
    source: ModelSource,
    objects: O,
    tuning: Tuning,
    loaded: Option<LoadedModel>,
}

/// A model that may be missing: the shadow.
#[derive(Debug)]
pub struct MaybeModel<O> {
    models: Models<O>,
    pointer: ObjectUri,
}

#[derive(Debug)]
struct LoadedModel {
    /// Version of the object that [`Models::source`] names.
    etag: Option<String>,
    detector: Rc<Detector>,
}

impl<O: Objects> Models<O> {
    /// Nothing loaded yet.
    pub fn new(source: ModelSource, objects: O, tuning: Tuning) -> Self {
        Self { source, objects, tuning, loaded: None }
    }

    /// Where the model comes from.
    pub fn source(&self) -> &ModelSource {
        &self.source
    }

    /// The current model. From S3 it is loaded if its object's ETag has changed since the last
    /// time.
    ///
    /// Where that fails and a model was loaded before, that one stays in use, and the log has the
    /// error. The next call tries again.
    ///
    /// # Errors
    /// [`ModelError`] without a previously loaded model.
    pub async fn current(&mut self) -> Result<Current, ModelError> {
        match self.newest().await {
            Ok(detector) => Ok(Current { detector, stale: None }),
            Err(error) => self.fall_back(error),
        }
    }

    /// The previously loaded model, stale because of `error`. Without one, gives `error` back.
    fn fall_back(&self, error: ModelError) -> Result<Current, ModelError> {
        let Some(LoadedModel { detector, .. }) = &self.loaded else { return Err(error) };
        error!(
            %error,
            in_use = detector.artifact().version(),
            "the model that was loaded before stays in use"
        );
        Ok(Current { detector: Rc::clone(detector), stale: Some(error) })
    }

    /// The model that the source names now.
    async fn newest(&mut self) -> Result<Rc<Detector>, ModelError> {
        let next = match (&self.source, &self.loaded) {
            (ModelSource::Builtin, Some(loaded)) => return Ok(Rc::clone(&loaded.detector)),
            (ModelSource::Builtin, None) => {
                LoadedModel { etag: None, detector: self.load(BUILTIN, &self.source)? }
            }
            (ModelSource::Object(uri), loaded) => {
                let is_artifact = uri.key.ends_with(ARTIFACT);
                let known = loaded.as_ref().and_then(|loaded| loaded.etag.as_deref());
                let most = if is_artifact { MAX_BYTES } else { POINTER_BYTES };
                match (self.objects.get(uri, known, most).await?, loaded) {
                    (Fetched::Unchanged, Some(loaded)) => return Ok(Rc::clone(&loaded.detector)),
                    (fetched, loaded) => {
                        let (bytes, etag) = content(fetched, uri)?;
                        let detector = match is_artifact {
                            true => self.signed(uri, self.load(&bytes, &self.source)?).await?,
                            false => self.follow(uri, &bytes, loaded.as_ref()).await?,
                        };
                        LoadedModel { etag, detector }
                    }
                }
            }
        };
        Ok(Rc::clone(&self.loaded.insert(next).detector))
    }

    /// The detector of the artifact in `bytes`.
    fn load(&self, bytes: &[u8], origin: &ModelSource) -> Result<Rc<Detector>, ModelError> {
        let Tuning { threads, sensitivity, pages, ref clocks, .. } = self.tuning;
        let artifact = Artifact::from_bytes(bytes)
            .map_err(|error| ModelError::Artifact { origin: origin.clone(), error })?;
        let threshold = |pages: f64| {
            let ratio =
                artifact.card().threshold_for(pages).and_then(|ratio| ratio.try_into().ok());
            ratio.ok_or_else(|| ModelError::NoPages(origin.clone()))
        };
        let threshold = pages.map(threshold).transpose()?;
        let detector = Detector::new(artifact, &device())
            .with_threads(threads)
            .with_sensitivity(sensitivity)
            .with_clocks(clocks.clone());
        Ok(Rc::new(match threshold {
            Some(threshold) => detector.with_threshold(threshold),
            None => detector,
        }))
    }

    /// The detector of the artifact at `uri`, where its signature holds or none is asked for.
    async fn signed(
        &self,
        uri: &ObjectUri,
        detector: Rc<Detector>,
    ) -> Result<Rc<Detector>, ModelError> {
        let Some(signer) = self.tuning.signer else { return Ok(detector) };
        let wrong = |why: String| ModelError::Signature { uri: uri.clone(), why };
        let beside = uri.beside(&format!("{}{SIGNATURE}", uri.key));
        let beside = beside.map_err(|error| wrong(error.to_string()))?;
        let signature = match self.objects.get(&beside, None, SIGNATURE_BYTES).await {
            Ok(fetched) => content(fetched, &beside)?.0,
            Err(ObjectError::Missing { uri }) => {
                return Err(wrong(format!("there is no {uri}")));
            }
            Err(error) => return Err(error.into()),
        };
        let checked = signer.check(detector.artifact().checksum(), &signature);
        checked.map_err(|error: SignatureError| wrong(error.to_string()))?;
        Ok(detector)
    }

    /// The artifact that `pointer`, whose content is `pointing`, points to; the loaded model where
    /// it still is the same.
    async fn follow(
        &self,
        pointer: &ObjectUri,
        pointing: &[u8],
        loaded: Option<&LoadedModel>,
    ) -> Result<Rc<Detector>, ModelError> {
        let wrong = |why: String| ModelError::Pointer { uri: pointer.clone(), why };
        let Target { key, sha256: needed } =
            serde_json::from_slice(pointing).map_err(|error| wrong(error.to_string()))?;
        if let Some(loaded) =
            loaded.filter(|loaded| loaded.detector.artifact().checksum() == needed)
        {
            return Ok(Rc::clone(&loaded.detector));
        }
        let uri = pointer.beside(&key).map_err(|error| wrong(error.to_string()))?;
        let (bytes, _) = content(self.objects.get(&uri, None, MAX_BYTES).await?, &uri)?;
        let detector = self.load(&bytes, &ModelSource::Object(uri.clone()))?;
        match detector.artifact().checksum() {
            found if found == needed => self.signed(&uri, detector).await,
            found => Err(ModelError::Checksum { uri, needed, found: found.into() }),
        }
    }
}

impl<O: Objects> MaybeModel<O> {
    /// The model that `pointer` names, where there is such an object.
    pub fn new(pointer: ObjectUri, objects: O, tuning: Tuning) -> Self {
        let source = ModelSource::Object(pointer.clone());
        Self { models: Models::new(source, objects, tuning), pointer }
    }

    /// The model that the pointer names now, `None` where there is no pointer; else as
    /// [`Models::current`].
    ///
    /// # Errors
    /// [`ModelError`] where there is a pointer, its model cannot be loaded, and there is no
    /// previous one.
    pub async fn current(&mut self) -> Result<Option<Current>, ModelError> {
        match self.models.newest().await {
            Err(ModelError::Object(ObjectError::Missing { uri })) if uri == self.pointer => {
                self.models.loaded = None;
                Ok(None)
            }
            Ok(detector) => Ok(Some(Current { detector, stale: None })),
            Err(error) => self.models.fall_back(error).map(Some),
        }
    }
}

/// Content and ETag of an object that was requested without a known version.
fn content(fetched: Fetched, uri: &ObjectUri) -> Result<(Vec<u8>, Option<String>), ObjectError> {
    match fetched {
        Fetched::Object { bytes, etag } => Ok((bytes, etag)),
        Fetched::Unchanged => {
            let why = "\"not modified\", although no version is known".into();
            Err(ObjectError::Call {
                uri: uri.clone(),
                error: CallError { operation: "GetObject", why },
            })
        }
    }
}

#[cfg(test)]
mod tests;
