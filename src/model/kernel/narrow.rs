//! One window, or up to three at once to fill the time that a sum takes: a lane for each unit.

use pulp::{Simd, bytemuck};

use super::cell::{cell, sigmoid, tanh};
use super::{Kernel, PackedLayer};
use crate::model::lstm::GATES;
use crate::window::{CONTEXT, Windows};

/// Reconstructs the newest `datapoints` of the windows from `first` on into `said`, as many windows
/// at once as `WINDOWS` says. Their number is a multiple of it.
#[inline(always)]
pub(super) fn reconstruct<S: Simd, const WINDOWS: usize>(
    simd: S,
    kernel: &Kernel,
    windows: &Windows,
    first: usize,
    datapoints: usize,
    said: &mut [f32],
) {
    let time = windows.time();
    let mut state = State::<S, WINDOWS>::new(simd, &kernel.encoder);
    let mut code = vec![[0.0; WINDOWS]; kernel.bottleneck];
    let mut start = vec![0.0; WINDOWS * GATES * kernel.decoder.padded];
    for (group, said) in said.chunks_exact_mut(WINDOWS * datapoints).enumerate() {
        let slot = |window: usize, slot: usize| (first + group * WINDOWS + window) * time + slot;
        let input = |index: usize| std::array::from_fn(|window| windows.input(slot(window, index)));

        state.c.fill([simd.splat_f32s(0.0); WINDOWS]);
        let bias = &kernel.encoder.gates[..GATES * kernel.encoder.padded];
        for index in 0..time {
            state.step(simd, &kernel.encoder, [bias; WINDOWS], 1, &input(index), index == 0);
        }

        for (unit, code) in code.iter_mut().enumerate() {
            for window in 0..WINDOWS {
                let mut sum = kernel.code[unit];
                for (row, h) in kernel.code.chunks_exact(kernel.bottleneck).skip(1).zip(&state.h) {
                    sum = row[unit].mul_add(h[window], sum);
                }
                code[window] = first_lane::<S>(tanh(simd, simd.splat_f32s(sum)));
            }
        }

        let row = GATES * kernel.decoder.padded;
        for (window, start) in start.chunks_exact_mut(row).enumerate() {
            start.copy_from_slice(&kernel.decoder.gates[..row]);
            for (weights, code) in kernel.decoder.gates.chunks_exact(row).skip(1).zip(&code) {
                for (sum, weight) in start.iter_mut().zip(weights) {
                    *sum = weight.mul_add(code[window], *sum);
                }
            }
        }
        let start: [&[f32]; WINDOWS] =
            std::array::from_fn(|window| &start[window * row..(window + 1) * row]);
        state.c.fill([simd.splat_f32s(0.0); WINDOWS]);
        for back in 0..datapoints {
            let context: [[f32; CONTEXT]; WINDOWS] =
                std::array::from_fn(|window| windows.context_at(slot(window, time - 1 - back)));
            state.step(simd, &kernel.decoder, start, 1 + kernel.bottleneck, &context, back == 0);
            for window in 0..WINDOWS {
                let [mut value, mut gate] = kernel.output[0];
                for ([to_value, to_gate], h) in kernel.output[1..].iter().zip(&state.h) {
                    value = to_value.mul_add(h[window], value);
                    gate = to_gate.mul_add(h[window], gate);
                }
                let open = first_lane::<S>(sigmoid(simd, simd.splat_f32s(gate)));
                said[window * datapoints + back] = open.mul_add(context[window][0], value);
            }
        }
    }
}

#[inline(always)]
fn first_lane<S: Simd>(vector: S::f32s) -> f32 {
    bytemuck::cast_slice::<_, f32>(&[vector])[0]
}

/// The state of one LSTM for each window: `h` by unit, `c` by vectors of units.
struct State<S: Simd, const WINDOWS: usize> {
    h: Vec<[f32; WINDOWS]>,
    next: Vec<[f32; WINDOWS]>,
    c: Vec<[S::f32s; WINDOWS]>,
}

impl<S: Simd, const WINDOWS: usize> State<S, WINDOWS> {
    #[inline(always)]
    fn new(simd: S, layer: &PackedLayer) -> Self {
        let h = vec![[0.0; WINDOWS]; layer.hidden];
        let c = vec![[simd.splat_f32s(0.0); WINDOWS]; layer.hidden.div_ceil(S::F32_LANES)];
        Self { next: h.clone(), h, c }
    }

    /// One step. The sums of each window begin with its `start`; the weights of `inputs` begin at
    /// row `row`. Before the `first` step the state is zero.
    #[inline(always)]
    fn step<const INPUTS: usize>(
        &mut self,
        simd: S,
        layer: &PackedLayer,
        start: [&[f32]; WINDOWS],
        row: usize,
        inputs: &[[f32; INPUTS]; WINDOWS],
        first: bool,
    ) {
        let weights = S::as_simd_f32s(&layer.gates).0;
        let vectors = layer.padded / S::F32_LANES;
        let rows = &weights[row * GATES * vectors..];
        let (of_inputs, of_state) = rows.split_at(INPUTS * GATES * vectors);
        for (vector, (c, next)) in
            self.c.iter_mut().zip(self.next.chunks_mut(S::F32_LANES)).enumerate()
        {
            let mut sums = [[simd.splat_f32s(0.0); WINDOWS]; GATES];
            for window in 0..WINDOWS {
                let start = S::as_simd_f32s(start[window]).0;
                for gate in 0..GATES {
                    sums[gate][window] = start[gate * vectors + vector];
                }
            }
            for input in 0..INPUTS {
                for gate in 0..GATES {
                    let weights = of_inputs[(input * GATES + gate) * vectors + vector];
                    for window in 0..WINDOWS {
                        let x = simd.splat_f32s(inputs[window][input]);
                        sums[gate][window] = simd.mul_add_f32s(weights, x, sums[gate][window]);
                    }
                }
            }
            if !first {
                for (h, weights) in self.h.iter().zip(of_state.chunks_exact(GATES * vectors)) {
                    for gate in 0..GATES {
                        let weights = weights[gate * vectors + vector];
                        for window in 0..WINDOWS {
                            let h = simd.splat_f32s(h[window]);
                            sums[gate][window] = simd.mul_add_f32s(weights, h, sums[gate][window]);
                        }
                    }
                }
            }
            for window in 0..WINDOWS {
                let [input, forget, output, candidate] = sums;
                let gates = [input[window], forget[window], output[window], candidate[window]];
                let (cell, h) = cell(simd, gates, c[window]);
                c[window] = cell;
                for (next, &h) in next.iter_mut().zip(bytemuck::cast_slice::<_, f32>(&[h])) {
                    next[window] = h;
                }
            }
        }
        std::mem::swap(&mut self.h, &mut self.next);
    }
}
