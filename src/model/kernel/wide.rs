//! Many windows: a lane for each.

use pulp::{Simd, bytemuck};

use super::cell::{cell, sigmoid, tanh};
use super::{INPUTS, Kernel, PackedLayer};
use crate::model::lstm::GATES;
use crate::window::{CONTEXT, Windows};

/// Units whose gates are summed at once: four sums each, as many as there are registers for with
/// AVX2.
pub(super) const UNITS: usize = 3;

/// Four gates of as many windows as there are lanes.
pub(super) type Gates<S> = [<S as Simd>::f32s; GATES];

/// Reconstructs the newest `datapoints` of the windows from `first` on into `said`, a tile of
/// windows at a time.
#[inline(always)]
pub(super) fn reconstruct<S: Simd>(
    simd: S,
    kernel: &Kernel,
    windows: &Windows,
    first: usize,
    datapoints: usize,
    said: &mut [f32],
) {
    let (time, hidden) = (windows.time(), kernel.encoder.hidden);
    let zero = simd.splat_f32s(0.0);
    let mut input = vec![zero; time * INPUTS];
    let mut state =
        State::<S> { h: vec![zero; hidden], next: vec![zero; hidden], c: vec![zero; hidden] };
    let mut code = vec![zero; kernel.bottleneck];
    let mut bias = vec![[zero; GATES]; hidden];
    let mut start = bias.clone();
    preset(simd, &kernel.encoder, &mut bias);
    for (tile, said) in said.chunks_mut(S::F32_LANES * datapoints).enumerate() {
        load::<S>(windows, first + tile * S::F32_LANES, said.len() / datapoints, &mut input);

        state.c.fill(zero);
        for (step, input) in input.chunks_exact(INPUTS).enumerate() {
            state.step(simd, &kernel.encoder, &bias, 1, input, step == 0);
        }

        for (unit, code) in code.iter_mut().enumerate() {
            let mut sum = simd.splat_f32s(kernel.code[unit]);
            for (row, &h) in kernel.code.chunks_exact(kernel.bottleneck).skip(1).zip(&state.h) {
                sum = simd.mul_add_f32s(simd.splat_f32s(row[unit]), h, sum);
            }
            *code = tanh(simd, sum);
        }

        // The code is the same at every step, and so is its part of the sums.
        preset(simd, &kernel.decoder, &mut start);
        for (unit, gates) in start.iter_mut().enumerate() {
            [*gates] = sums(simd, [*gates], kernel.decoder.rows_from(1), unit, &code);
        }
        state.c.fill(zero);
        for (back, input) in input.chunks_exact(INPUTS).rev().take(datapoints).enumerate() {
            let context = &input[INPUTS - CONTEXT..];
            state.step(simd, &kernel.decoder, &start, 1 + kernel.bottleneck, context, back == 0);
            let (mut value, mut gate) =
                (simd.splat_f32s(kernel.output[0][0]), simd.splat_f32s(kernel.output[0][1]));
            for ([to_value, to_gate], &h) in kernel.output[1..].iter().zip(&state.h) {
                value = simd.mul_add_f32s(simd.splat_f32s(*to_value), h, value);
                gate = simd.mul_add_f32s(simd.splat_f32s(*to_gate), h, gate);
            }
            // The first of the context is the daily profile.
            let value = [simd.mul_add_f32s(sigmoid(simd, gate), context[0], value)];
            for (window, &value) in
                said.chunks_exact_mut(datapoints).zip(bytemuck::cast_slice::<_, f32>(&value))
            {
                window[back] = value;
            }
        }
    }
}

/// Turns `count` windows from `first` on so that a vector holds one feature of one slot of all of
/// them. The content of the other lanes does not matter.
#[inline(always)]
fn load<S: Simd>(windows: &Windows, first: usize, count: usize, input: &mut [S::f32s]) {
    let time = windows.time();
    let input: &mut [f32] = bytemuck::cast_slice_mut(input);
    for lane in 0..count {
        let slots = (first + lane) * time..(first + lane + 1) * time;
        for (row, slot) in input.chunks_exact_mut(INPUTS * S::F32_LANES).zip(slots) {
            for (feature, value) in windows.input(slot).into_iter().enumerate() {
                row[feature * S::F32_LANES + lane] = value;
            }
        }
    }
}

/// Begins the sums of all units with their biases.
#[inline(always)]
fn preset<S: Simd>(simd: S, layer: &PackedLayer, sums: &mut [Gates<S>]) {
    for (sums, biases) in sums.iter_mut().zip(&layer.units) {
        for gate in 0..GATES {
            sums[gate] = simd.splat_f32s(biases[gate]);
        }
    }
}

/// Adds to the sums of the units from `unit` on what the inputs `x` contribute, given their rows of
/// weights, `hidden` units long.
#[inline(always)]
pub(super) fn sums<S: Simd, const UNITS: usize>(
    simd: S,
    mut sums: [Gates<S>; UNITS],
    (weights, hidden): (&[[f32; GATES]], usize),
    unit: usize,
    x: &[S::f32s],
) -> [Gates<S>; UNITS] {
    for (weights, &x) in weights.chunks_exact(hidden).zip(x) {
        let weights = &weights[unit..unit + UNITS];
        for unit in 0..UNITS {
            for gate in 0..GATES {
                sums[unit][gate] =
                    simd.mul_add_f32s(simd.splat_f32s(weights[unit][gate]), x, sums[unit][gate]);
            }
        }
    }
    sums
}

/// The state of one LSTM: a vector for each unit.
struct State<S: Simd> {
    h: Vec<S::f32s>,
    /// Where the next `h` is made: all units read the old one.
    next: Vec<S::f32s>,
    c: Vec<S::f32s>,
}

impl<S: Simd> State<S> {
    /// One step. Its sums begin with `start`; the weights of `input` begin at row `row`. Before the
    /// `first` step the state is zero.
    #[inline(always)]
    fn step(
        &mut self,
        simd: S,
        layer: &PackedLayer,
        start: &[Gates<S>],
        row: usize,
        input: &[S::f32s],
        first: bool,
    ) {
        let blocks = layer.hidden - layer.hidden % UNITS;
        for unit in (0..blocks).step_by(UNITS) {
            self.units::<UNITS>(simd, layer, start, unit, row, input, first);
        }
        for unit in blocks..layer.hidden {
            self.units::<1>(simd, layer, start, unit, row, input, first);
        }
        std::mem::swap(&mut self.h, &mut self.next);
    }

    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "both arrays are walked, in registers")]
    #[expect(
        clippy::too_many_arguments,
        reason = "it is the inner part of `step`, split off for its number of units"
    )]
    fn units<const UNITS: usize>(
        &mut self,
        simd: S,
        layer: &PackedLayer,
        start: &[Gates<S>],
        unit: usize,
        row: usize,
        input: &[S::f32s],
        first: bool,
    ) {
        let mut gates = [[simd.splat_f32s(0.0); GATES]; UNITS];
        gates.copy_from_slice(&start[unit..unit + UNITS]);
        gates = sums(simd, gates, layer.rows_from(row), unit, input);
        if !first {
            gates = sums(simd, gates, layer.rows_from(row + input.len()), unit, &self.h);
        }
        for index in 0..UNITS {
            let (c, h) = cell(simd, gates[index], self.c[unit + index]);
            (self.c[unit + index], self.next[unit + index]) = (c, h);
        }
    }
}
