//! The activations of an LSTM's cell, in a form that is only additions, multiplications, and two
//! divisions.
//!
//! `sigmoid(x) = 1 / (1 + 2^(-x log2 e))` and `tanh(x) = (2^(2 x log2 e) - 1) / (2^(2 x log2 e) +
//! 1)`. The factor of the exponent is part of the packed weights, so the inputs here are exponents
//! of two.

use std::f32::consts::{LN_2, LOG2_E};

use pulp::Simd;

use crate::model::lstm::GATES;

/// The factor that makes `x` the exponent of its [`sigmoid`].
pub(super) const SIGMOID: f32 = -LOG2_E;
/// The factor that makes `x` the exponent of its [`tanh`].
pub(super) const TANH: f32 = 2.0 * LOG2_E;
/// The same for each gate of a cell: input, forget, output, candidate.
pub(super) const EXPONENTS: [f32; GATES] = [SIGMOID, SIGMOID, SIGMOID, TANH];

/// Beyond `2^±30` nothing changes any more: both activations are at their ends, except for the last
/// few bits. The product of three such numbers is still a number.
const LARGEST_EXPONENT: f32 = 30.0;
/// Added to a small number, it leaves the nearest integer, plus 127, in the lowest bits.
const TO_INTEGER: f32 = 12_582_912.0 + 127.0;
/// Bits of the fraction of an f32.
const FRACTION: u32 = 23;
/// `2^f` for f from -1/2 to 1/2, to 2e-7: 1 plus f times the polynomial through the Chebyshev nodes
/// of `(2^f - 1) / f`. Its first coefficient is that of the Taylor series, in all bits.
const POWERS: [f32; 6] = [1.0, LN_2, 0.240_223_5, 0.055_503_81, 0.009_666_368, 0.001_338_130_2];

/// `2^x`, where x is cut off at `±LARGEST_EXPONENT`.
#[inline(always)]
fn exp2<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let x = simd.min_f32s(
        simd.splat_f32s(LARGEST_EXPONENT),
        simd.max_f32s(simd.splat_f32s(-LARGEST_EXPONENT), x),
    );
    let biased = simd.add_f32s(x, simd.splat_f32s(TO_INTEGER));
    let fraction = simd.sub_f32s(x, simd.sub_f32s(biased, simd.splat_f32s(TO_INTEGER)));
    let mut power = simd.splat_f32s(POWERS[5]);
    for index in [4, 3, 2, 1, 0] {
        power = simd.mul_add_f32s(power, fraction, simd.splat_f32s(POWERS[index]));
    }
    // The integer is biased as an exponent is: shifted to its place, it is the power of two itself.
    let whole =
        simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(biased), simd.splat_u32s(FRACTION));
    simd.mul_f32s(power, simd.transmute_f32s_u32s(whole))
}

/// The sigmoid whose exponent is given.
#[inline(always)]
pub(super) fn sigmoid<S: Simd>(simd: S, exponent: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    simd.div_f32s(one, simd.add_f32s(one, exp2(simd, exponent)))
}

/// The hyperbolic tangent whose exponent is given.
#[inline(always)]
pub(super) fn tanh<S: Simd>(simd: S, exponent: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    let power = exp2(simd, exponent);
    simd.div_f32s(simd.sub_f32s(power, one), simd.add_f32s(power, one))
}

/// The next cell state and output of a unit, from the exponents of its gates and its cell state:
/// `c' = f c + i g`, `h = o tanh(c')`.
///
/// Each of them is one fraction: with `I = 2^-i` and so on, `c' = (c (1 + I)(G + 1) + (G - 1)(1 +
/// F)) / ((1 + F)(1 + I)(G + 1))`.
#[inline(always)]
pub(super) fn cell<S: Simd>(simd: S, gates: [S::f32s; GATES], c: S::f32s) -> (S::f32s, S::f32s) {
    let [input, forget, output, candidate] = gates;
    let (input, forget) = (exp2(simd, input), exp2(simd, forget));
    let (output, candidate) = (exp2(simd, output), exp2(simd, candidate));
    let one = simd.splat_f32s(1.0);
    let keep = simd.add_f32s(forget, one);
    let enter = simd.mul_f32s(simd.add_f32s(input, one), simd.add_f32s(candidate, one));
    let above = simd.mul_add_f32s(simd.sub_f32s(candidate, one), keep, simd.mul_f32s(c, enter));
    let c = simd.div_f32s(above, simd.mul_f32s(keep, enter));
    let power = exp2(simd, simd.mul_f32s(c, simd.splat_f32s(TANH)));
    let below = simd.mul_f32s(simd.add_f32s(output, one), simd.add_f32s(power, one));
    (c, simd.div_f32s(simd.sub_f32s(power, one), below))
}

#[cfg(test)]
mod tests {
    use pulp::{WithSimd, bytemuck};

    use super::*;
    use crate::model::kernel::Path;

    /// Sigmoid and tanh of each number, in all lanes.
    struct Both<'a>(&'a [f32]);

    impl WithSimd for Both<'_> {
        type Output = Vec<[f32; 2]>;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Vec<[f32; 2]> {
            let lane = |lanes: S::f32s| {
                let lanes = [lanes];
                let lanes: &[f32] = bytemuck::cast_slice(&lanes);
                assert!(lanes.iter().all(|lane| lane.to_bits() == lanes[0].to_bits()));
                lanes[0]
            };
            let of = |x: &f32| {
                let times = |factor| simd.splat_f32s(x * factor);
                [lane(sigmoid(simd, times(SIGMOID))), lane(tanh(simd, times(TANH)))]
            };
            self.0.iter().map(of).collect()
        }
    }

    #[test]
    fn activations_are_those_of_the_definition() {
        let numbers: Vec<f32> = (-40_000..=40_000)
            .map(|x| x as f32 / 1000.0)
            .chain([1e10, -1e10, 1e38, -1e38])
            .collect();
        let all: Vec<Vec<[f32; 2]>> = Path::here().map(|path| path.run(Both(&numbers))).collect();
        for (x, [sigmoid, tanh]) in numbers.iter().zip(&all[0]) {
            let exact = f64::from(*x);
            assert!(
                (f64::from(*sigmoid) - 1.0 / (1.0 + (-exact).exp())).abs() < 2.5e-7,
                "sigmoid({x}) = {sigmoid}"
            );
            assert!((f64::from(*tanh) - exact.tanh()).abs() < 4e-7, "tanh({x}) = {tanh}");
        }
        assert!(all.iter().all(|path| *path == all[0]), "the same bits on every path");
        assert_eq!(all[0][40_000], [0.5, 0.0]);
    }
}
