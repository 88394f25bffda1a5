//! An LSTM whose four gates share one multiplication.
//!
//! Burn's own `nn::Lstm` multiplies once for each gate and for each of input and state. Here the
//! input of all steps is projected at once, and a step is one multiplication `[batch, hidden] x
//! [hidden, 4 hidden]`.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use burn::tensor::module::linear;

/// Gates of a cell, in the order of the columns: input, forget, output, candidate. The three that
/// share the sigmoid stand together.
pub(super) const GATES: usize = 4;

/// One layer: `gates = input(x) + recurrent(h)`, `c = f c + i g`, `h = o tanh(c)` (Hochreiter and
/// Schmidhuber 1997, with the forget gate of Gers et al. 2000).
#[derive(Module, Debug)]
pub(super) struct Lstm {
    input: Linear,
    recurrent: Linear,
}

impl Lstm {
    pub(super) fn new(input: Linear, recurrent: Linear) -> Self {
        Self { input, recurrent }
    }

    pub(super) fn layers(&self) -> [&Linear; 2] {
        [&self.input, &self.recurrent]
    }

    /// The states after every step, as `states` makes them: see [`super::Autoencoder::forward_by`].
    pub(super) fn states(
        &self,
        input: Tensor<3>,
        states: impl Fn(Tensor<3>, Tensor<2>, Tensor<1>, Tensor<2>) -> Tensor<3>,
    ) -> Tensor<3> {
        let [weight, recurrent] = [&self.input, &self.recurrent].map(|linear| linear.weight.val());
        let bias = self.input.bias.as_ref().map(|bias| bias.val());
        let bias = bias.unwrap_or_else(|| Tensor::zeros([weight.dims()[1]], &weight.device()));
        states(input, weight, bias, recurrent)
    }
}

/// The states of an LSTM after every step, in tensor operations: `[batch, time, inputs]` to
/// `[batch, time, hidden]`, with weights `[inputs, 4 hidden]`, bias `[4 hidden]` and recurrent
/// weights `[hidden, 4 hidden]`.
pub fn states(
    input: Tensor<3>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    recurrent: Tensor<2>,
) -> Tensor<3> {
    let [hidden, _] = recurrent.dims();
    let [_, time, _] = input.dims();
    let projected = linear(input, weight, Some(bias));
    // Both states begin at zero, where a multiplication would be wasted.
    let mut state: Option<(Tensor<2>, Tensor<2>)> = None;
    let step = |step| {
        let mut gates = projected.clone().narrow(1, step, 1).squeeze_dim::<2>(1);
        if let Some((h, _)) = &state {
            gates = gates + h.clone().matmul(recurrent.clone());
        }
        let open = sigmoid(gates.clone().narrow(1, 0, 3 * hidden));
        let candidate = gates.narrow(1, 3 * hidden, hidden).tanh();
        let [i, f, o] = [0, 1, 2].map(|gate| open.clone().narrow(1, gate * hidden, hidden));
        let mut cell = i * candidate;
        if let Some((_, c)) = state.take() {
            cell = cell + f * c;
        }
        let h = o * cell.clone().tanh();
        state = Some((h.clone(), cell));
        h
    };
    Tensor::stack((0..time).map(step).collect(), 1)
}
