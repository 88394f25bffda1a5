//! Tiles of sequences, forward and backward: a lane for each sequence.

use pulp::{Simd, WithSimd, bytemuck};

use super::Sizes;
use crate::model::kernel::cell::{SIGMOID, TANH, sigmoid, tanh};
use crate::model::kernel::wide::{Gates, UNITS, sums};
use crate::model::lstm::GATES;

/// The forward pass of a share: gives the stored values.
pub(super) struct Forth<'a> {
    pub(super) sizes: Sizes,
    pub(super) parameters: &'a [[f32; GATES]],
    /// Its sequences, `[sequence, time, inputs]`.
    pub(super) input: &'a [f32],
    /// Where its states go, `[sequence, time, hidden]`.
    pub(super) states: &'a mut [f32],
}

impl WithSimd for Forth<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let Self { sizes, parameters, input, states } = self;
        let Sizes { time, inputs, hidden, .. } = sizes;
        let (of_input, of_states) = (S::F32_LANES * time * inputs, S::F32_LANES * time * hidden);
        let mut kept = vec![0.0; states.len().div_ceil(of_states) * sizes.stored() * S::F32_LANES];
        let tiles = S::as_mut_simd_f32s(&mut kept).0.chunks_exact_mut(sizes.stored());
        for ((kept, input), states) in
            tiles.zip(input.chunks(of_input)).zip(states.chunks_mut(of_states))
        {
            let mut tile = Tile::<S>::of(kept, sizes);
            turn::<S>(input, tile.x);
            for step in 0..time {
                tile.forth(simd, sizes, parameters, step);
            }
            turn_back::<S>(&tile.h[hidden..], states);
        }
        kept
    }
}

/// The backward pass of a share: gives the gradients of the parameters, `[1 + inputs +
/// hidden][hidden][gate]`.
pub(super) struct Back<'a> {
    pub(super) sizes: Sizes,
    pub(super) parameters: &'a [[f32; GATES]],
    pub(super) kept: Vec<f32>,
    /// The gradients of its states, `[sequence, time, hidden]`.
    pub(super) states: &'a [f32],
    /// Where the gradient of its input goes, `[sequence, time, inputs]`.
    pub(super) input: Option<&'a mut [f32]>,
}

impl WithSimd for Back<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let Self { sizes, parameters, mut kept, states, input } = self;
        let Sizes { time, inputs, hidden, .. } = sizes;
        let (of_input, of_states) = (S::F32_LANES * time * inputs, S::F32_LANES * time * hidden);
        let zero = simd.splat_f32s(0.0);
        let mut of_input = input.map(|input| input.chunks_mut(of_input));
        let mut gradients = vec![[zero; GATES]; parameters.len()];
        let mut of_h = vec![zero; time * hidden];
        let mut of_x = vec![zero; time * inputs];
        let tiles = S::as_mut_simd_f32s(&mut kept).0.chunks_exact_mut(sizes.stored());
        for (kept, states) in tiles.zip(states.chunks(of_states)) {
            let mut tile = Tile::<S>::of(kept, sizes);
            of_h.fill(zero);
            turn::<S>(states, &mut of_h);
            let mut of_c = vec![zero; hidden];
            for step in (0..time).rev() {
                let (before, now) = of_h.split_at_mut(step * hidden);
                tile.back(simd, hidden, step, &now[..hidden], &mut of_c);
                let of_gates = &tile.gates[step * hidden..(step + 1) * hidden];
                if step > 0 {
                    let recurrent = &parameters[(1 + inputs) * hidden..];
                    add_rows(simd, recurrent, of_gates, &mut before[(step - 1) * hidden..]);
                }
            }
            for of_gates in tile.gates.chunks_exact(hidden) {
                for (bias, of_gates) in gradients.iter_mut().zip(of_gates) {
                    for gate in 0..GATES {
                        bias[gate] = simd.add_f32s(bias[gate], of_gates[gate]);
                    }
                }
            }
            let (of_weights, of_recurrent) = gradients[hidden..].split_at_mut(inputs * hidden);
            products(simd, tile.x, inputs, tile.gates, hidden, of_weights);
            products(simd, tile.h, hidden, tile.gates, hidden, of_recurrent);
            if let Some(input) = of_input.as_mut().and_then(Iterator::next) {
                of_x.fill(zero);
                for (of_x, of_gates) in
                    of_x.chunks_exact_mut(inputs).zip(tile.gates.chunks_exact(hidden))
                {
                    add_rows(simd, &parameters[hidden..(1 + inputs) * hidden], of_gates, of_x);
                }
                turn_back::<S>(&of_x, input);
            }
        }
        let mut summed = vec![0.0; GATES * gradients.len()];
        for (sum, &lanes) in summed.iter_mut().zip(gradients.as_flattened()) {
            *sum = simd.reduce_sum_f32s(lanes);
        }
        summed
    }
}

/// The stored values of a tile of sequences, a lane each.
struct Tile<'a, S: Simd> {
    /// `[time][inputs]`
    x: &'a mut [S::f32s],
    /// `[time][hidden]`: open gates and candidate; on the way back, the gradients of their sums.
    gates: &'a mut [Gates<S>],
    /// `[1 + time][hidden]`, from zero on.
    c: &'a mut [S::f32s],
    /// `[1 + time][hidden]`, from zero on.
    h: &'a mut [S::f32s],
    /// `tanh(c)`, `[time][hidden]`.
    bent: &'a mut [S::f32s],
}

impl<'a, S: Simd> Tile<'a, S> {
    #[inline(always)]
    fn of(kept: &'a mut [S::f32s], Sizes { time, inputs, hidden, .. }: Sizes) -> Self {
        let (x, kept) = kept.split_at_mut(time * inputs);
        let (gates, kept) = kept.split_at_mut(time * hidden * GATES);
        let (c, kept) = kept.split_at_mut((1 + time) * hidden);
        let (h, bent) = kept.split_at_mut((1 + time) * hidden);
        Self { x, gates: gates.as_chunks_mut().0, c, h, bent }
    }

    /// One step of the forward pass.
    #[inline(always)]
    fn forth(
        &mut self,
        simd: S,
        Sizes { inputs, hidden, .. }: Sizes,
        parameters: &[[f32; GATES]],
        step: usize,
    ) {
        let (bias, weights) = parameters.split_at(hidden);
        let (weights, recurrent) = weights.split_at(inputs * hidden);
        let x = &self.x[step * inputs..(step + 1) * inputs];
        let h = &self.h[step * hidden..(step + 1) * hidden];
        let gates = &mut self.gates[step * hidden..(step + 1) * hidden];
        for (gates, biases) in gates.iter_mut().zip(bias) {
            for gate in 0..GATES {
                gates[gate] = simd.splat_f32s(biases[gate]);
            }
        }
        let (blocks, rest) = gates.as_chunks_mut::<UNITS>();
        for (block, gates) in blocks.iter_mut().enumerate() {
            let inputs = sums(simd, *gates, (weights, hidden), block * UNITS, x);
            *gates = sums(simd, inputs, (recurrent, hidden), block * UNITS, h);
        }
        for (unit, gates) in (hidden - rest.len()..hidden).zip(rest) {
            let inputs = sums(simd, [*gates], (weights, hidden), unit, x);
            [*gates] = sums(simd, inputs, (recurrent, hidden), unit, h);
        }
        let now = (step + 1) * hidden;
        for (unit, gates) in gates.iter_mut().enumerate() {
            let [input, forget, output, candidate] = *gates;
            let (input, forget) = (open(simd, input), open(simd, forget));
            let (output, candidate) = (open(simd, output), bend(simd, candidate));
            *gates = [input, forget, output, candidate];
            let c = simd.mul_add_f32s(
                forget,
                self.c[step * hidden + unit],
                simd.mul_f32s(input, candidate),
            );
            let bent = bend(simd, c);
            self.c[now + unit] = c;
            self.bent[step * hidden + unit] = bent;
            self.h[now + unit] = simd.mul_f32s(output, bent);
        }
    }

    /// One step of the backward pass. It starts from the gradients of its `h` and of its `c`, the
    /// latter as far as it comes from later steps. It gives the gradients of the gates' sums and of
    /// the `c` before it.
    #[inline(always)]
    fn back(
        &mut self,
        simd: S,
        hidden: usize,
        step: usize,
        of_h: &[S::f32s],
        of_c: &mut [S::f32s],
    ) {
        let (before, bent) = (&self.c[step * hidden..], &self.bent[step * hidden..]);
        let gates = &mut self.gates[step * hidden..(step + 1) * hidden];
        for (unit, gates) in gates.iter_mut().enumerate() {
            let [input, forget, output, candidate] = *gates;
            let of_output = simd.mul_f32s(of_h[unit], bent[unit]);
            let through =
                simd.mul_f32s(simd.mul_f32s(of_h[unit], output), of_tanh(simd, bent[unit]));
            let of_cell = simd.add_f32s(of_c[unit], through);
            of_c[unit] = simd.mul_f32s(of_cell, forget);
            *gates = [
                simd.mul_f32s(simd.mul_f32s(of_cell, candidate), of_sigmoid(simd, input)),
                simd.mul_f32s(simd.mul_f32s(of_cell, before[unit]), of_sigmoid(simd, forget)),
                simd.mul_f32s(of_output, of_sigmoid(simd, output)),
                simd.mul_f32s(simd.mul_f32s(of_cell, input), of_tanh(simd, candidate)),
            ];
        }
    }
}

// Functions that are always inlined, not closures: a closure would be compiled without the vector
// instructions.

#[inline(always)]
fn open<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    sigmoid(simd, simd.mul_f32s(x, simd.splat_f32s(SIGMOID)))
}

#[inline(always)]
fn bend<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    tanh(simd, simd.mul_f32s(x, simd.splat_f32s(TANH)))
}

/// The derivative of the sigmoid that is `y`: `y (1 - y)`.
#[inline(always)]
fn of_sigmoid<S: Simd>(simd: S, y: S::f32s) -> S::f32s {
    simd.mul_f32s(y, simd.sub_f32s(simd.splat_f32s(1.0), y))
}

/// The derivative of the tangent that is `y`: `1 - y^2`.
#[inline(always)]
fn of_tanh<S: Simd>(simd: S, y: S::f32s) -> S::f32s {
    simd.negate_mul_add_f32s(y, y, simd.splat_f32s(1.0))
}

/// Rows of weights whose products are summed at once.
const ROWS: usize = 6;

/// Adds to each of `sums` the product of its row of `weights` with the gradients of the gates.
#[inline(always)]
fn add_rows<S: Simd>(
    simd: S,
    weights: &[[f32; GATES]],
    of_gates: &[Gates<S>],
    sums: &mut [S::f32s],
) {
    let hidden = of_gates.len();
    let (blocks, rest) = sums.split_at_mut(sums.len() - sums.len() % ROWS);
    let (of_blocks, of_rest) = weights.split_at(blocks.len() * hidden);
    for (sums, weights) in
        blocks.as_chunks_mut::<ROWS>().0.iter_mut().zip(of_blocks.chunks_exact(ROWS * hidden))
    {
        add_block(simd, weights, of_gates, sums);
    }
    for (sum, weights) in rest.as_chunks_mut::<1>().0.iter_mut().zip(of_rest.chunks_exact(hidden)) {
        add_block(simd, weights, of_gates, sum);
    }
}

#[inline(always)]
fn add_block<S: Simd, const ROWS: usize>(
    simd: S,
    weights: &[[f32; GATES]],
    of_gates: &[Gates<S>],
    sums: &mut [S::f32s; ROWS],
) {
    let hidden = of_gates.len();
    let mut block = *sums;
    for (unit, of_gates) in of_gates.iter().enumerate() {
        for row in 0..ROWS {
            let weights = &weights[row * hidden + unit];
            for gate in 0..GATES {
                block[row] =
                    simd.mul_add_f32s(simd.splat_f32s(weights[gate]), of_gates[gate], block[row]);
            }
        }
    }
    *sums = block;
}

/// Columns of the inputs of the gates that are multiplied at once.
const COLUMNS: usize = 3;

/// Adds to `gradients` `[inputs][hidden]` the products of each input with the gradients of each
/// unit's gates, summed over the steps. `x` has at least as many steps as there are of the gates.
#[inline(always)]
fn products<S: Simd>(
    simd: S,
    x: &[S::f32s],
    inputs: usize,
    of_gates: &[Gates<S>],
    hidden: usize,
    gradients: &mut [Gates<S>],
) {
    let blocks = inputs - inputs % COLUMNS;
    for input in (0..blocks).step_by(COLUMNS) {
        let gradients = &mut gradients[input * hidden..(input + COLUMNS) * hidden];
        products_block::<S, COLUMNS>(simd, x, inputs, input, of_gates, hidden, gradients);
    }
    for input in blocks..inputs {
        let gradients = &mut gradients[input * hidden..(input + 1) * hidden];
        products_block::<S, 1>(simd, x, inputs, input, of_gates, hidden, gradients);
    }
}

#[inline(always)]
fn products_block<S: Simd, const COLUMNS: usize>(
    simd: S,
    x: &[S::f32s],
    inputs: usize,
    input: usize,
    of_gates: &[Gates<S>],
    hidden: usize,
    gradients: &mut [Gates<S>],
) {
    for unit in 0..hidden {
        let mut sums = [[simd.splat_f32s(0.0); GATES]; COLUMNS];
        for column in 0..COLUMNS {
            sums[column] = gradients[column * hidden + unit];
        }
        for (x, of_gates) in x.chunks_exact(inputs).zip(of_gates.chunks_exact(hidden)) {
            let (x, of_gates) = (&x[input..input + COLUMNS], &of_gates[unit]);
            for column in 0..COLUMNS {
                for gate in 0..GATES {
                    sums[column][gate] =
                        simd.mul_add_f32s(x[column], of_gates[gate], sums[column][gate]);
                }
            }
        }
        for column in 0..COLUMNS {
            gradients[column * hidden + unit] = sums[column];
        }
    }
}

/// Turns sequences so that a vector holds one number of all of them. Lanes without a sequence stay
/// as they are.
#[inline(always)]
fn turn<S: Simd>(sequences: &[f32], tile: &mut [S::f32s]) {
    let length = tile.len();
    let tile: &mut [f32] = bytemuck::cast_slice_mut(tile);
    for (index, lanes) in tile.chunks_exact_mut(S::F32_LANES).enumerate() {
        for (lane, sequence) in lanes.iter_mut().zip(sequences.chunks_exact(length)) {
            *lane = sequence[index];
        }
    }
}

/// The inverse of that.
#[inline(always)]
fn turn_back<S: Simd>(tile: &[S::f32s], sequences: &mut [f32]) {
    let length = tile.len();
    let tile: &[f32] = bytemuck::cast_slice(tile);
    for (index, lanes) in tile.chunks_exact(S::F32_LANES).enumerate() {
        for (lane, sequence) in lanes.iter().zip(sequences.chunks_exact_mut(length)) {
            sequence[index] = *lane;
        }
    }
}
