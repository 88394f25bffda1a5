//! The files that the other engines read: safetensors, the format of the artifact, too.

use std::path::Path;

use anyhow::{Context, Result};
use deepguard::model::{Dimensions, LAYERS, Weights};
use deepguard::window::CONTEXT;
use deepguard::window::Windows;
use serde_json::json;

/// A named array.
type Tensor<'a> = (String, Vec<usize>, &'a [f32]);

/// Writes windows, and the network's answers to them if these are known.
pub(crate) fn write_windows(
    path: &Path,
    windows: &Windows,
    expected: Option<&[f32]>,
) -> Result<()> {
    let shape = vec![windows.len(), windows.time()];
    let mut tensors: Vec<Tensor<'_>> = vec![
        ("values".into(), shape.clone(), windows.values()),
        ("visible".into(), shape.clone(), windows.visible()),
        ("context".into(), [&shape[..], &[CONTEXT]].concat(), windows.context()),
    ];
    tensors.extend(expected.map(|expected| ("expected".into(), shape, expected)));
    write(path, &tensors)
}

/// Writes weights under the names that they have in an artifact.
pub(crate) fn write_weights(
    path: &Path,
    shape: &Dimensions,
    weights: &[Weights; LAYERS],
) -> Result<()> {
    let mut tensors: Vec<Tensor<'_>> = Vec::new();
    for (layer, weights) in shape.layers().iter().zip(weights) {
        tensors.push((
            format!("{}.weight", layer.name),
            vec![layer.inputs, layer.outputs],
            &weights.weight,
        ));
        let bias = weights.bias.as_ref();
        tensors.extend(
            bias.map(|bias| (format!("{}.bias", layer.name), vec![layer.outputs], &bias[..])),
        );
    }
    write(path, &tensors)
}

/// Length of the header, the header in JSON, the numbers.
fn write(path: &Path, tensors: &[Tensor<'_>]) -> Result<()> {
    let (mut header, mut numbers) = (serde_json::Map::new(), Vec::new());
    for (name, shape, values) in tensors {
        let begin = numbers.len();
        numbers.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        header.insert(
            name.clone(),
            json!({ "dtype": "F32", "shape": shape, "data_offsets": [begin, numbers.len()] }),
        );
    }
    let header = serde_json::to_vec(&header)?;
    let bytes = [&(header.len() as u64).to_le_bytes()[..], &header, &numbers].concat();
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
