//! An LSTM whose four gates share one multiplication.
//!
//! Burn's own `nn::Lstm` multiplies once for each gate and for each of input and state. Here the
//! input of all steps is projected at once, and a step is one multiplication `[batch, hidden] x [hidden, 4 hidden]`.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;

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

    /// The state after the last step: `[batch, time, inputs]` to `[batch, hidden]`.
    pub(super) fn last(&self, input: Tensor<3>) -> Tensor<2> {
        let [batch, _, _] = input.dims();
        let initial = Tensor::zeros([batch, self.hidden()], &input.device());
        self.states(input).last().unwrap_or(initial)
    }

    /// The states after every step: `[batch, time, inputs]` to `[batch, time, hidden]`.
    pub(super) fn all(&self, input: Tensor<3>) -> Tensor<3> {
        Tensor::stack(self.states(input).collect(), 1)
    }

    fn hidden(&self) -> usize {
        let [hidden, _] = self.recurrent.weight.dims();
        hidden
    }

    fn states(&self, input: Tensor<3>) -> impl Iterator<Item = Tensor<2>> {
        let hidden = self.hidden();
        let [_, time, _] = input.dims();
        let projected = self.input.forward(input);
        // Both states begin at zero, where a multiplication would give nothing.
        let mut state: Option<(Tensor<2>, Tensor<2>)> = None;
        (0..time).map(move |step| {
            let mut gates = projected.clone().narrow(1, step, 1).squeeze_dim::<2>(1);
            if let Some((h, _)) = &state {
                gates = gates + self.recurrent.forward(h.clone());
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
        })
    }
}
