//! The LSTM autoencoder: one small network for all instances.
//!
//! It reads a window of an instance's CPU in which the newest datapoint is hidden, and squeezes it
//! through a bottleneck. From there it reconstructs the window, newest datapoint first. Beside the
//! CPU it sees the usual value at each datapoint's hour, so it only has to learn how CPU departs
//! from its own habits.

pub mod artifact;
pub mod card;
pub mod kernel;
pub mod lstm;

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::window::{CONTEXT, Windows};
use lstm::Lstm;

/// The outputs of the network for each datapoint: an offset, the logarithm of a scale, and a gate
/// on the profile.
const OUTPUTS: usize = 3;
/// Bounds of the logarithm of the scale. Wider, a perfectly reconstructed datapoint would dominate
/// a training batch.
const LOG_SCALE: std::ops::RangeInclusive<f32> = -6.0..=4.0;

/// The backend that this build scores on: flex if it is compiled in, else ndarray.
pub fn device() -> Device {
    #[cfg(feature = "flex")]
    return Device::flex();
    #[cfg(all(feature = "ndarray", not(feature = "flex")))]
    #[expect(deprecated, reason = "deprecated upstream, and still offered: see docs/DESIGN.md")]
    return Device::ndarray();
    #[cfg(not(any(feature = "flex", feature = "ndarray")))]
    compile_error!("deepguard needs a backend: enable the feature `flex` or `ndarray`");
}

/// The sizes that make two networks the same kind of network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dimensions {
    /// Datapoints in a window.
    pub window: usize,
    /// Width of both LSTMs.
    pub hidden: usize,
    /// Width of the bottleneck.
    pub bottleneck: usize,
}

/// Linear layers of a network, whatever its shape.
pub const LAYERS: usize = 6;

impl Dimensions {
    /// The shape that `model-builder train` makes by default.
    pub const DEFAULT: Self = Self { window: 32, hidden: 24, bottleneck: 8 };

    /// The layers of a network of this shape: name, inputs, outputs, and whether there is a bias.
    pub fn layers(&self) -> [Layer; LAYERS] {
        let gates = lstm::GATES * self.hidden;
        let layer = |name, inputs, outputs, bias| Layer { name, inputs, outputs, bias };
        [
            layer("encoder.input", 2 + CONTEXT, gates, true),
            layer("encoder.recurrent", self.hidden, gates, false),
            layer("bottleneck", self.hidden, self.bottleneck, true),
            layer("decoder.input", self.bottleneck + CONTEXT, gates, true),
            layer("decoder.recurrent", self.hidden, gates, false),
            layer("output", self.hidden, OUTPUTS, true),
        ]
    }

    /// Whether there can be a network of this shape. A thousand is far beyond any sensible one; it
    /// keeps the sizes from overflowing.
    pub fn is_possible(&self) -> bool {
        let Self { window, hidden, bottleneck } = *self;
        (2..=1000).contains(&window)
            && (1..=1000).contains(&hidden)
            && (1..=1000).contains(&bottleneck)
    }

    /// Trainable parameters.
    pub fn parameters(&self) -> usize {
        self.layers()
            .iter()
            .map(|layer| (layer.inputs + usize::from(layer.bias)) * layer.outputs)
            .sum()
    }
}

/// The sizes of one linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// Name in the artifact, before `.weight` and `.bias`.
    pub name: &'static str,
    /// Rows of the weight `[inputs, outputs]`.
    pub inputs: usize,
    /// Columns of the weight.
    pub outputs: usize,
    /// Whether there is a bias `[outputs]`.
    pub bias: bool,
}

/// The parameters of one linear layer, as plain numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// Row-major `[inputs, outputs]`.
    pub weight: Vec<f32>,
    /// `[outputs]`, where the layer has one.
    pub bias: Option<Vec<f32>>,
}

/// The network. Its parameters are those of [`Dimensions::layers`].
#[derive(Module, Debug)]
pub struct Autoencoder {
    encoder: Lstm,
    bottleneck: Linear,
    decoder: Lstm,
    output: Linear,
}

/// A reconstruction of the newest datapoints of a batch of windows, newest first.
#[derive(Debug, Clone)]
pub struct Reconstruction {
    /// Scaled values `[batch, datapoints]`.
    pub value: Tensor<2>,
    /// Logarithm of the expected absolute error of each, `[batch, datapoints]`.
    pub log_scale: Tensor<2>,
}

/// A batch of windows on a device.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The encoder's input: value where visible, 1 where hidden, context. `[batch, time, 2 +
    /// CONTEXT]`, oldest first.
    input: Tensor<3>,
    /// Context alone, `[batch, time, CONTEXT]`, oldest first.
    context: Tensor<3>,
}

impl Batch {
    /// Puts windows onto `device`.
    pub fn new(windows: &Windows, device: &Device) -> Self {
        let [batch, time] = [windows.len(), windows.time()];
        let tensor = |values: &[f32]| {
            Tensor::<2>::from_data(TensorData::new(values.to_vec(), [batch, time]), device)
        };
        let visible = tensor(windows.visible());
        let values = tensor(windows.values()) * visible.clone();
        let hidden = visible.neg() + 1.0;
        let context = Tensor::<3>::from_data(
            TensorData::new(windows.context().to_vec(), [batch, time, CONTEXT]),
            device,
        );
        let input =
            Tensor::cat(vec![values.unsqueeze_dim(2), hidden.unsqueeze_dim(2), context.clone()], 2);
        Self { input, context }
    }
}

impl Autoencoder {
    /// A network of the given shape with `weights` in the order of [`Dimensions::layers`].
    ///
    /// # Panics
    /// Where there are not as many numbers as the shape has. Those of an [`artifact::Artifact`]
    /// have been counted.
    pub fn new(shape: Dimensions, weights: &[Weights; LAYERS], device: &Device) -> Self {
        let layers = shape.layers();
        let [
            encoder_input,
            encoder_recurrent,
            bottleneck,
            decoder_input,
            decoder_recurrent,
            output,
        ] = std::array::from_fn(|index| linear(layers[index], &weights[index], device));
        Self {
            encoder: Lstm::new(encoder_input, encoder_recurrent),
            bottleneck,
            decoder: Lstm::new(decoder_input, decoder_recurrent),
            output,
        }
    }

    /// The sizes of the network, but for the window's, which its parameters do not depend on.
    pub(crate) fn widths(&self) -> [usize; 2] {
        let [hidden, bottleneck] = self.bottleneck.weight.dims();
        [hidden, bottleneck]
    }

    /// The parameters, in the order of [`Dimensions::layers`].
    pub fn weights(&self) -> [Weights; LAYERS] {
        let [encoder_input, encoder_recurrent] = self.encoder.layers();
        let [decoder_input, decoder_recurrent] = self.decoder.layers();
        [
            encoder_input,
            encoder_recurrent,
            &self.bottleneck,
            decoder_input,
            decoder_recurrent,
            &self.output,
        ]
        .map(|linear| Weights {
            weight: numbers(linear.weight.val()),
            bias: linear.bias.as_ref().map(|bias| numbers(bias.val())),
        })
    }

    /// Reconstructs the newest `datapoints` of each window.
    pub fn forward(&self, batch: &Batch, datapoints: usize) -> Reconstruction {
        self.forward_by(batch, datapoints, lstm::states)
    }

    /// The same, with another function for the states of an LSTM: `states` takes its input, weight,
    /// bias and recurrent weight, as [`lstm::states`] does.
    pub fn forward_by(
        &self,
        batch: &Batch,
        datapoints: usize,
        states: impl Fn(Tensor<3>, Tensor<2>, Tensor<1>, Tensor<2>) -> Tensor<3>,
    ) -> Reconstruction {
        let [size, time, _] = batch.input.dims();
        let newest = self
            .encoder
            .states(batch.input.clone(), &states)
            .narrow(1, time - 1, 1)
            .squeeze_dim::<2>(1);
        let code = self.bottleneck.forward(newest).tanh();
        let [_, width] = code.dims();

        let context = batch.context.clone().narrow(1, time - datapoints, datapoints).flip([1]);
        let code = code.unsqueeze_dim::<3>(1).expand([size, datapoints, width]);
        let decoded = self.decoder.states(Tensor::cat(vec![code, context.clone()], 2), &states);
        let said = self.output.forward(decoded);
        let column = |tensor: &Tensor<3>, index: usize| {
            tensor.clone().narrow(2, index, 1).squeeze_dim::<2>(2)
        };

        // The first context feature is the daily profile, in the same unit as the value.
        let profile = column(&context, 0);
        Reconstruction {
            value: column(&said, 0) + sigmoid(column(&said, 2)) * profile,
            log_scale: column(&said, 1).clamp(*LOG_SCALE.start(), *LOG_SCALE.end()),
        }
    }

    /// The scaled reconstruction of the newest `datapoints` of each window, newest first: `[batch,
    /// datapoints]`, row-major.
    pub fn reconstruct(&self, windows: &Windows, datapoints: usize, device: &Device) -> Vec<f32> {
        if windows.is_empty() {
            return Vec::new();
        }
        numbers(self.forward(&Batch::new(windows, device), datapoints).value)
    }
}

fn linear(layer: Layer, weights: &Weights, device: &Device) -> Linear {
    let weight = TensorData::new(weights.weight.clone(), [layer.inputs, layer.outputs]);
    let bias = weights.bias.as_ref().map(|bias| TensorData::new(bias.clone(), [layer.outputs]));
    Linear {
        weight: Param::from_data(weight, device),
        bias: bias.map(|bias| Param::from_data(bias, device)),
    }
}

/// The elements of a tensor, row-major.
#[expect(
    clippy::expect_used,
    reason = "the CPU backends read their own memory: there is no device to lose"
)]
fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().expect("a CPU tensor can be read")
}
