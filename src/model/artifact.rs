//! The artifact: everything that scoring needs from training, in one checked file.
//!
//! It is a safetensors file. The tensors are the layers of [`Dimensions::layers`]. The header's
//! metadata has one key, `deepguard`, whose value is the JSON of [`Card`]. It has the format
//! version, shape, scaling rule, threshold, the record of the training, and a SHA-256 over the
//! whole file. The checksum is taken with its own 64 characters written as zeros. The same content
//! always gives the same bytes.

use std::collections::HashMap;

use burn::tensor::Device;
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::card::{Card, FalsePages, Fleet, Growth, Training};
use super::{Autoencoder, Dimensions, LAYERS, Layer, Weights};
use crate::baseline::level::SCALING_RULE;
use crate::channel::CHANNELS;

/// The format this build writes and reads.
pub const FORMAT: u32 = 3;
/// The metadata key of the card.
const KEY: &str = "deepguard";
/// The placeholder for the checksum while it is computed.
const NO_CHECKSUM: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// The bytes before the checksum in the header, where the card is JSON inside a JSON string.
const BEFORE_CHECKSUM: &[u8] = br#"\"checksum\":\""#;
/// The artifact that is compiled in, so that DeepGuard works without training.
pub const BUILTIN: &[u8] = include_bytes!("../../models/default.safetensors");
/// The maximum size of an artifact. A header that asks for more is damaged or hostile.
pub const MAX_BYTES: usize = 64 << 20;

/// A trained model: its network's parameters and the card that says how to use them.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    card: Card,
    weights: [Weights; LAYERS],
}

/// Bytes that are not an artifact this build can use.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ArtifactError {
    /// Some other kind of file.
    #[error("not a DeepGuard artifact ({0}): make one with `model-builder train`")]
    Foreign(String),
    /// The file does not end where its header says.
    #[error(
        "the artifact is not whole: it has {0} bytes, its header says otherwise; copy or upload it \
         again"
    )]
    Truncated(usize),
    /// The content differs from the written one.
    #[error("the artifact is damaged ({0}): copy or upload it again")]
    Damaged(String),
    /// Written by a newer DeepGuard.
    #[error(
        "the artifact has format {found}, this build reads {FORMAT}: deploy a newer DeepGuard, or \
         train with this one"
    )]
    NewerFormat {
        /// Format of the artifact.
        found: u32,
    },
    /// Written by an older DeepGuard, for another way of scoring.
    #[error(
        "the artifact has format {found}, this build reads {FORMAT}: train it again with this \
         version"
    )]
    OlderFormat {
        /// Format of the artifact.
        found: u32,
    },
    /// Another scaling rule: the weights would get numbers that they were not trained on.
    #[error(
        "the artifact was trained on another scaling rule, `{0}`: train it again with this version"
    )]
    Scaling(String),
    /// A tensor that the network needs is not there, or has another shape.
    #[error(
        "tensor `{tensor}` is {found}, the network's shape needs {needed:?}: train it again with \
         this version"
    )]
    Shape {
        /// Name in the file.
        tensor: String,
        /// The shape in the file.
        found: String,
        /// The shape that the network needs.
        needed: Vec<usize>,
    },
    /// A number that cannot be used.
    #[error("{0} is not a usable number: the training failed, train again")]
    NotFinite(String),
}

impl Artifact {
    /// Puts an artifact together and checks it as a loaded one is checked.
    ///
    /// # Errors
    /// [`ArtifactError`] where the weights do not fit the shape or a number is not finite.
    pub fn new(
        shape: Dimensions,
        weights: [Weights; LAYERS],
        threshold: f64,
        borrowed_usual: [f64; CHANNELS],
        growth: Growth,
        training: Training,
    ) -> Result<Self, ArtifactError> {
        let card = Card {
            checksum: NO_CHECKSUM.into(),
            format: FORMAT,
            shape,
            scaling: SCALING_RULE.into(),
            threshold,
            borrowed_usual,
            growth,
            training,
            pages: Vec::new(),
        };
        let unsigned = Self { card, weights };
        Self::from_bytes(&unsigned.to_bytes()?)
    }

    /// The same artifact with another threshold and a table of false alarms, which make it another
    /// version.
    ///
    /// # Errors
    /// [`ArtifactError`] where they cannot be used.
    pub fn calibrated(
        mut self,
        threshold: f64,
        pages: Vec<FalsePages>,
    ) -> Result<Self, ArtifactError> {
        (self.card.threshold, self.card.pages) = (threshold, pages);
        Self::from_bytes(&self.to_bytes()?)
    }

    /// The same artifact with a record of the fleet that it was trained on, which makes it another
    /// version.
    ///
    /// # Errors
    /// [`ArtifactError`] where it cannot be written down.
    pub fn of_fleet(mut self, fleet: Fleet) -> Result<Self, ArtifactError> {
        self.card.training.fleet = Some(fleet);
        Self::from_bytes(&self.to_bytes()?)
    }

    /// The shape, the thresholds and the record of the training.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// Its name: the date of the training and the beginning of the checksum.
    pub fn version(&self) -> String {
        let short: String = self.card.checksum.chars().take(12).collect();
        format!("{}-{short}", self.card.training.date)
    }

    /// SHA-256 of the file, in hexadecimal, as the file itself has it.
    pub fn checksum(&self) -> &str {
        &self.card.checksum
    }

    /// The network, on `device`.
    pub fn network(&self, device: &Device) -> Autoencoder {
        Autoencoder::new(self.card.shape, &self.weights, device)
    }

    /// The file.
    ///
    /// # Errors
    /// [`ArtifactError::Shape`] where the weights do not fit the shape.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ArtifactError> {
        let layers = self.card.shape.layers();
        let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = layers
            .iter()
            .zip(&self.weights)
            .flat_map(|(layer, weights)| {
                let weight = Some((
                    layer.tensor("weight"),
                    vec![layer.inputs, layer.outputs],
                    bytes(&weights.weight),
                ));
                let bias = weights
                    .bias
                    .as_ref()
                    .map(|bias| (layer.tensor("bias"), vec![layer.outputs], bytes(bias)));
                weight.into_iter().chain(bias)
            })
            .collect();
        let mut views = Vec::with_capacity(tensors.len());
        for (name, shape, data) in &tensors {
            let view = TensorView::new(Dtype::F32, shape.clone(), data).map_err(|_| {
                ArtifactError::Shape {
                    tensor: name.clone(),
                    found: format!("{} numbers", data.len() / size_of::<f32>()),
                    needed: shape.clone(),
                }
            })?;
            views.push((name, view));
        }
        let unsigned = Card { checksum: NO_CHECKSUM.into(), ..self.card.clone() };
        let json = serde_json::to_string(&unsigned)
            .map_err(|error| ArtifactError::NotFinite(error.to_string()))?;
        // One key only: the order of several would not be fixed.
        let metadata = HashMap::from([(KEY.to_string(), json)]);
        let mut file = safetensors::serialize(views, Some(metadata))
            .map_err(|error| ArtifactError::Damaged(error.to_string()))?;
        let checksum = hex(&Sha256::digest(&file));
        let place = checksum_place(&file)
            .ok_or_else(|| ArtifactError::Damaged("no place for the checksum".into()))?;
        file[place].copy_from_slice(checksum.as_bytes());
        Ok(file)
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ArtifactError`] names the fault and the way out.
    pub fn from_bytes(file: &[u8]) -> Result<Self, ArtifactError> {
        let (_, metadata) =
            SafeTensors::read_metadata(file).map_err(|error| explain(&error, file))?;
        let json = metadata.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
        let json = json.ok_or_else(|| {
            ArtifactError::Foreign(format!("safetensors without a `{KEY}` entry"))
        })?;
        let Format { format } = serde_json::from_str(json)
            .map_err(|error| ArtifactError::Damaged(format!("its card: {error}")))?;
        if format > FORMAT {
            return Err(ArtifactError::NewerFormat { found: format });
        }
        if format < FORMAT {
            return Err(ArtifactError::OlderFormat { found: format });
        }
        verify(file)?;
        let card: Card = serde_json::from_str(json)
            .map_err(|error| ArtifactError::Damaged(format!("its card: {error}")))?;
        let tensors = SafeTensors::deserialize(file).map_err(|error| explain(&error, file))?;
        check(&card)?;
        let [a, b, c, d, e, f] = card.shape.layers().map(|layer| read_layer(&tensors, layer));
        let weights = [a?, b?, c?, d?, e?, f?];
        Ok(Self { card, weights })
    }
}

/// The one field that every format has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl Layer {
    fn tensor(&self, part: &str) -> String {
        format!("{}.{part}", self.name)
    }
}

fn check(card: &Card) -> Result<(), ArtifactError> {
    if card.scaling != SCALING_RULE {
        return Err(ArtifactError::Scaling(card.scaling.clone()));
    }
    let lent = card.borrowed_usual.map(|lent| ("a borrowed usual error", lent));
    for (name, number) in [("the threshold", card.threshold)].into_iter().chain(lent) {
        if !(number.is_finite() && number > 0.0) {
            return Err(ArtifactError::NotFinite(name.into()));
        }
    }
    let Growth { forecasts, records, runs } = &card.growth;
    if ![forecasts, records, runs]
        .into_iter()
        .flatten()
        .all(|growth| (1.0..=f64::MAX).contains(growth))
    {
        return Err(ArtifactError::NotFinite(
            "by how much the usual error of a young instance grows".into(),
        ));
    }
    let usable = |pages: &FalsePages| {
        pages.threshold.is_finite()
            && pages.threshold > 0.0
            && (0.0..=f64::MAX).contains(&pages.per_instance_week)
    };
    let falls = |pair: &[FalsePages]| {
        pair[0].threshold < pair[1].threshold
            && pair[0].per_instance_week >= pair[1].per_instance_week
    };
    if !card.pages.iter().all(usable) || !card.pages.windows(2).all(falls) {
        return Err(ArtifactError::NotFinite("the table of false alarms by threshold".into()));
    }
    if !card.shape.is_possible() {
        return Err(ArtifactError::Damaged(format!("impossible network {:?}", card.shape)));
    }
    Ok(())
}

fn read_layer(tensors: &SafeTensors<'_>, layer: Layer) -> Result<Weights, ArtifactError> {
    let read = |part: &str, needed: Vec<usize>| {
        let name = layer.tensor(part);
        let found = match tensors.tensor(&name) {
            Ok(view) if view.dtype() == Dtype::F32 && view.shape() == needed => {
                let numbers: Vec<f32> = view
                    .data()
                    .chunks_exact(4)
                    .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                    .collect();
                return match numbers.iter().all(|number| number.is_finite()) {
                    true => Ok(numbers),
                    false => Err(ArtifactError::NotFinite(format!("a weight in `{name}`"))),
                };
            }
            Ok(view) => format!("{:?} {:?}", view.dtype(), view.shape()),
            Err(_) => "missing".into(),
        };
        Err(ArtifactError::Shape { tensor: name, found, needed })
    };
    Ok(Weights {
        weight: read("weight", vec![layer.inputs, layer.outputs])?,
        bias: layer.bias.then(|| read("bias", vec![layer.outputs])).transpose()?,
    })
}

/// Where the checksum stands in the file.
fn checksum_place(file: &[u8]) -> Option<std::ops::Range<usize>> {
    let start = file.windows(BEFORE_CHECKSUM.len()).position(|window| window == BEFORE_CHECKSUM)?
        + BEFORE_CHECKSUM.len();
    let place = start..start + NO_CHECKSUM.len();
    (place.end <= file.len()).then_some(place)
}

fn verify(file: &[u8]) -> Result<(), ArtifactError> {
    let place = checksum_place(file).ok_or_else(|| ArtifactError::Damaged("no checksum".into()))?;
    let mut digest = Sha256::new();
    digest.update(&file[..place.start]);
    digest.update(NO_CHECKSUM);
    digest.update(&file[place.end..]);
    if hex(&digest.finalize()).as_bytes() == &file[place] {
        Ok(())
    } else {
        Err(ArtifactError::Damaged("its content does not match its SHA-256".into()))
    }
}

/// Describes a file that the safetensors reader refuses.
fn explain(error: &SafeTensorError, file: &[u8]) -> ArtifactError {
    let looks_right = file.get(8) == Some(&b'{') && file[..8].iter().skip(4).all(|&byte| byte == 0);
    match error {
        _ if !looks_right => ArtifactError::Foreign("no safetensors file".into()),
        SafeTensorError::InvalidHeaderLength | SafeTensorError::MetadataIncompleteBuffer => {
            ArtifactError::Truncated(file.len())
        }
        error => ArtifactError::Damaged(error.to_string()),
    }
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// Lower-case hexadecimal.
fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
