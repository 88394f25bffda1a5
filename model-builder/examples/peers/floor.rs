//! The lower bound of the cost of scoring: its multiplications, at the rate of the machine.

use std::hint::black_box;
use std::thread::scope;
use std::time::Instant;

use deepguard::model::Dimensions;
use deepguard::window::CONTEXT;
use pulp::{Arch, Simd, WithSimd};

/// Numbers that one value and its gate need of the network's outputs.
const NEEDED_OUTPUTS: usize = 2;
/// Sums that grow side by side: more than an addition takes cycles times how many begin in one.
const SUMS: usize = 16;
/// Additions to each of them in one go.
const ADDITIONS: usize = 1_000_000;

/// Floating-point operations that one window needs: two for each multiply-add of the matrix
/// products. Activations are not counted.
pub(crate) fn operations(shape: &Dimensions) -> usize {
    let Dimensions { window, hidden, bottleneck } = *shape;
    let gates = 4 * hidden;
    let encoder = window * (2 + CONTEXT + hidden) * gates;
    // The code is the same at each step: its part of the decoder's input is needed once.
    let code = hidden * bottleneck + bottleneck * gates;
    let decoder = window * (CONTEXT + hidden) * gates;
    2 * (encoder + code + decoder + window * hidden * NEEDED_OUTPUTS)
}

/// Multiply-adds with the widest vectors that the machine has.
struct Adding;

impl WithSimd for Adding {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let (factor, term) = (simd.splat_f32s(black_box(0.999)), simd.splat_f32s(black_box(0.5)));
        let mut sums = [simd.splat_f32s(0.0); SUMS];
        for _ in 0..ADDITIONS {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, factor, term);
            }
        }
        let mut total = sums[0];
        for sum in &sums[1..] {
            total = simd.add_f32s(total, *sum);
        }
        simd.reduce_sum_f32s(total)
    }
}

/// How many numbers a vector has.
struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// Numbers in the widest vector that the machine has.
pub(crate) fn lanes() -> usize {
    Arch::new().dispatch(Lanes)
}

/// Floating-point operations a second, all threads together.
pub(crate) fn rate(threads: usize) -> f64 {
    let began = Instant::now();
    scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| black_box(Arch::new().dispatch(Adding)));
        }
    });
    (2 * threads * SUMS * ADDITIONS * lanes()) as f64 / began.elapsed().as_secs_f64()
}
