//! The artifact: everything that scoring needs from training, in one checked file.
//!
//! It is a safetensors file. The tensors are the layers of [`Shape::layers`]; the header's metadata
//! has one key, `deepguard`, whose value is the JSON of [`Card`]: format version, shape, scaling
//! rule, threshold, the record of the training, and a SHA-256 over the whole file. The checksum is
//! taken with its own 64 characters written as zeros. The same content always gives the same bytes.

use std::collections::HashMap;

use burn::tensor::Device;
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Autoencoder, LAYERS, Layer, Shape, Weights};
use crate::baseline::level::SCALING_RULE;
use crate::channel::{CHANNELS, Channel, Measure};

/// The format this build writes and reads.
pub const FORMAT: u32 = 3;
/// The metadata key of the card.
const KEY: &str = "deepguard";
/// What stands in place of the checksum while it is taken.
const NO_CHECKSUM: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Stands before the checksum in the header, where the card is JSON inside a JSON string.
const BEFORE_CHECKSUM: &[u8] = br#"\"checksum\":\""#;
/// The artifact that is compiled in, so that DeepGuard works before anyone has trained one.
pub const BUILTIN: &[u8] = include_bytes!("../../models/default.safetensors");
/// No artifact is larger. A header that asks for more is damaged or hostile.
pub const MAX_BYTES: usize = 64 << 20;

/// A trained model: its network's parameters and the card that says how to use them.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    card: Card,
    weights: [Weights; LAYERS],
}

/// What an artifact says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// SHA-256 of the file, in hexadecimal. First, so that it is found before anything a file name could hold.
    checksum: String,
    /// Version of this format.
    pub format: u32,
    /// Shape of the network.
    pub shape: Shape,
    /// How CPU is scaled before the network sees it.
    pub scaling: String,
    /// Ratio of a residual to the usual one that makes a score of 1.0.
    pub threshold: f64,
    /// Largest error of an ordinary day, by [`crate::channel::Channel`], in units of the machine's scale: what is usual for a sequence
    /// that has no past.
    pub borrowed_usual: [f64; CHANNELS],
    /// By how much what is usual for a young instance still grows.
    #[serde(flatten)]
    pub growth: Growth,
    /// How it came to be.
    pub training: Training,
    /// False alarms by threshold, thresholds rising. Empty where they were not measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pages: Vec<Pages>,
}

/// How much the usual errors of a young instance still grow until it is two weeks old: a factor for
/// each number of days from 0 on, at least 1; 1 where a table ends.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// Of the errors of forecasts, by days of scores.
    #[serde(rename = "growth")]
    pub forecasts: Vec<f64>,
    /// Of the stretches that lie on one side of the median, by days of scores.
    #[serde(default, rename = "growth_of_records")]
    pub records: Vec<f64>,
    /// Of the longest run of unchanged values, by days of history.
    #[serde(default, rename = "growth_of_runs")]
    pub runs: Vec<f64>,
}

impl Growth {
    /// Of the usual error of `channel` after this number of `days` of scores.
    pub fn of(&self, channel: Channel, days: usize) -> f64 {
        let table = match channel.measure() {
            Measure::Forecast { .. } => &self.forecasts,
            Measure::Record { .. } => &self.records,
        };
        table.get(days).copied().unwrap_or(1.0)
    }

    /// Of the longest run of unchanged values after this number of `days` of history.
    pub fn of_run(&self, days: usize) -> f64 {
        self.runs.get(days).copied().unwrap_or(1.0)
    }
}

/// How often a threshold calls somebody for nothing, measured on machines that were not trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pages {
    /// Ratio of a residual to the usual one that makes a score of 1.0.
    pub threshold: f64,
    /// False alarms that one instance has in a week.
    pub per_instance_week: f64,
    /// How sure that is: 95 % of resampled machines lie between. `None` where it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
}

impl Card {
    /// The threshold with so many false alarms per instance and week: between two of the table on the line that joins them, beyond
    /// its ends the nearer one. `None` where the table is empty.
    pub fn threshold_for(&self, per_instance_week: f64) -> Option<f64> {
        let above = self.pages.iter().position(|pages| pages.per_instance_week <= per_instance_week);
        match above {
            Some(0) => self.pages.first().map(|first| first.threshold),
            Some(index) => {
                let (loose, strict) = (self.pages[index - 1], self.pages[index]);
                let part = (loose.per_instance_week - per_instance_week)
                    / (loose.per_instance_week - strict.per_instance_week);
                Some(loose.threshold + part * (strict.threshold - loose.threshold))
            }
            None => self.pages.last().map(|last| last.threshold),
        }
    }

    /// The false alarms per instance and week that `threshold` has, by the same table. `None` where it is empty.
    pub fn pages_at(&self, threshold: f64) -> Option<f64> {
        let above = self.pages.iter().position(|pages| pages.threshold >= threshold);
        match above {
            Some(0) => self.pages.first().map(|first| first.per_instance_week),
            Some(index) => {
                let (loose, strict) = (self.pages[index - 1], self.pages[index]);
                let part = (threshold - loose.threshold) / (strict.threshold - loose.threshold);
                Some(loose.per_instance_week + part * (strict.per_instance_week - loose.per_instance_week))
            }
            None => self.pages.last().map(|last| last.per_instance_week),
        }
    }
}

/// The record of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// The date given by whoever trained, `YYYY-MM-DD`.
    pub date: String,
    /// Version of the crate that trained.
    pub crate_version: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Passes over the windows.
    pub epochs: usize,
    /// Windows in each pass.
    pub windows: usize,
    /// Mean loss of the last pass.
    pub loss: f64,
    /// Reconstruction error of the newest datapoint on the training windows, in percentage points.
    pub error: ErrorQuantiles,
    /// What it saw.
    pub files: Vec<TrainedOn>,
    /// How many generated machines it saw beside them.
    pub generated: usize,
    /// What came from an account's own instances; `None` where nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<Fleet>,
}

/// The part of a training that came from an account's own instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fleet {
    /// Version of the artifact that it went on from; `None` where it began afresh.
    pub tuned_from: Option<String>,
    /// Days of history that were asked for.
    pub days: usize,
    /// Instances whose history was used.
    pub instances: usize,
    /// Datapoints that were used.
    pub datapoints: usize,
    /// Datapoints that were left out.
    pub left_out_datapoints: usize,
    /// Stretches that were left out.
    pub left_out_stretches: usize,
    /// Which these were; of a large fleet the first ones only.
    pub left_out: Vec<LeftOut>,
}

/// A stretch of an instance's history that was not trained on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The instance.
    pub instance: String,
    /// When it begins, in seconds since 1970.
    pub from: i64,
    /// When it is over, in seconds since 1970.
    pub until: i64,
    /// Why.
    pub why: Why,
}

/// Why a stretch of history was not trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It was muted.
    Muted,
    /// Somebody has confirmed that it is an anomaly.
    Confirmed,
    /// The model that was there before finds it clearly anomalous.
    Contaminated,
}

/// A distribution of reconstruction errors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ErrorQuantiles {
    /// Median.
    pub p50: f64,
    /// 95 %.
    pub p95: f64,
    /// 99 %.
    pub p99: f64,
    /// Largest.
    pub max: f64,
}

/// One file of the training data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainedOn {
    /// Name, with its folder in NAB.
    pub name: String,
    /// SHA-256 of the whole file.
    pub sha256: String,
    /// Datapoints of it that were used, counted from its beginning.
    pub datapoints: usize,
}

/// Bytes that are not an artifact this build can use.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ArtifactError {
    /// Some other kind of file.
    #[error("not a DeepGuard artifact ({0}): make one with `model-builder train`")]
    Foreign(String),
    /// The file does not end where its header says.
    #[error("the artifact is not whole: it has {0} bytes, its header says otherwise; copy or upload it again")]
    Truncated(usize),
    /// The content is not what was written.
    #[error("the artifact is damaged ({0}): copy or upload it again")]
    Damaged(String),
    /// Written by a newer DeepGuard.
    #[error(
        "the artifact has format {found}, this build reads {FORMAT}: deploy a newer DeepGuard, or train with this one"
    )]
    NewerFormat {
        /// Format of the artifact.
        found: u32,
    },
    /// Written by an older DeepGuard, for another way of scoring.
    #[error("the artifact has format {found}, this build reads {FORMAT}: train it again with this version")]
    OlderFormat {
        /// Format of the artifact.
        found: u32,
    },
    /// Another scaling rule: the weights would see numbers they do not know.
    #[error("the artifact was trained on another scaling rule, `{0}`: train it again with this version")]
    Scaling(String),
    /// A tensor that the network needs is not there, or has another shape.
    #[error("tensor `{tensor}` is {found}, the network's shape needs {needed:?}: train it again with this version")]
    Shape {
        /// Name in the file.
        tensor: String,
        /// What the file has.
        found: String,
        /// What is needed.
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
        shape: Shape,
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

    /// The same artifact with another threshold and a table of false alarms, which make it another version.
    ///
    /// # Errors
    /// [`ArtifactError`] where they cannot be used.
    pub fn calibrated(mut self, threshold: f64, pages: Vec<Pages>) -> Result<Self, ArtifactError> {
        (self.card.threshold, self.card.pages) = (threshold, pages);
        Self::from_bytes(&self.to_bytes()?)
    }

    /// The same artifact with a record of the fleet that it was trained on, which makes it another version.
    ///
    /// # Errors
    /// [`ArtifactError`] where it cannot be written down.
    pub fn of_fleet(mut self, fleet: Fleet) -> Result<Self, ArtifactError> {
        self.card.training.fleet = Some(fleet);
        Self::from_bytes(&self.to_bytes()?)
    }

    /// What it says of itself.
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
                let weight = Some((layer.tensor("weight"), vec![layer.inputs, layer.outputs], bytes(&weights.weight)));
                let bias = weights.bias.as_ref().map(|bias| (layer.tensor("bias"), vec![layer.outputs], bytes(bias)));
                weight.into_iter().chain(bias)
            })
            .collect();
        let mut views = Vec::with_capacity(tensors.len());
        for (name, shape, data) in &tensors {
            let view = TensorView::new(Dtype::F32, shape.clone(), data).map_err(|_| ArtifactError::Shape {
                tensor: name.clone(),
                found: format!("{} numbers", data.len() / size_of::<f32>()),
                needed: shape.clone(),
            })?;
            views.push((name, view));
        }
        let unsigned = Card { checksum: NO_CHECKSUM.into(), ..self.card.clone() };
        let json = serde_json::to_string(&unsigned).map_err(|error| ArtifactError::NotFinite(error.to_string()))?;
        // One key only: the order of several would not be fixed.
        let metadata = HashMap::from([(KEY.to_string(), json)]);
        let mut file =
            safetensors::serialize(views, Some(metadata)).map_err(|error| ArtifactError::Damaged(error.to_string()))?;
        let checksum = hex(&Sha256::digest(&file));
        let place = checksum_place(&file).ok_or_else(|| ArtifactError::Damaged("no place for the checksum".into()))?;
        file[place].copy_from_slice(checksum.as_bytes());
        Ok(file)
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ArtifactError`] says what is wrong with it and what to do.
    pub fn from_bytes(file: &[u8]) -> Result<Self, ArtifactError> {
        let (_, metadata) = SafeTensors::read_metadata(file).map_err(|error| explain(&error, file))?;
        let json = metadata.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
        let json = json.ok_or_else(|| ArtifactError::Foreign(format!("safetensors without a `{KEY}` entry")))?;
        let Format { format } =
            serde_json::from_str(json).map_err(|error| ArtifactError::Damaged(format!("its card: {error}")))?;
        if format > FORMAT {
            return Err(ArtifactError::NewerFormat { found: format });
        }
        if format < FORMAT {
            return Err(ArtifactError::OlderFormat { found: format });
        }
        verify(file)?;
        let card: Card =
            serde_json::from_str(json).map_err(|error| ArtifactError::Damaged(format!("its card: {error}")))?;
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
    if ![forecasts, records, runs].into_iter().flatten().all(|growth| (1.0..=f64::MAX).contains(growth)) {
        return Err(ArtifactError::NotFinite("by how much the usual error of a young instance grows".into()));
    }
    let usable = |pages: &Pages| {
        pages.threshold.is_finite() && pages.threshold > 0.0 && (0.0..=f64::MAX).contains(&pages.per_instance_week)
    };
    let falls = |pair: &[Pages]| {
        pair[0].threshold < pair[1].threshold && pair[0].per_instance_week >= pair[1].per_instance_week
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
                let numbers: Vec<f32> =
                    view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
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
    let start =
        file.windows(BEFORE_CHECKSUM.len()).position(|window| window == BEFORE_CHECKSUM)? + BEFORE_CHECKSUM.len();
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

/// What a file is that the safetensors reader refuses.
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
