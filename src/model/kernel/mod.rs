//! The same network, written for the processor: scoring runs this one.
//!
//! [`Autoencoder`] stays the one definition of the model. Its parameters are packed here once, and
//! the reconstruction is computed without a tensor. The gates of its two LSTMs stay in registers
//! until they are a new state.
//!
//! # How
//!
//! There are two forms, and a window has the same bits in both:
//!
//! - `wide`: as many windows at once as a vector has lanes, one lane each. A weight is read once
//!   and used for all of them. This is for many windows.
//! - `narrow`: one window, two or three, a lane for each unit. It is for the three windows of one
//!   new datapoint, which cost less than half as much as a tile of sixteen.
//!
//! Every sum is taken in the order bias, inputs, state, each addition fused with its
//! multiplication. Activations are the same few operations everywhere. So the batch, the number of
//! threads and the processor do not change a bit of the result. The packed weights already contain
//! the factor that turns the sum of a gate into an exponent of two: see `cell`.
//!
//! Work that cannot change the result is left out. The part of the decoder's input that is the same
//! at every step is multiplied once. The scale, which only training looks at, is not computed.
//!
//! The kernel detects the available instructions when it is made ([`Path::best`]). All unsafe code
//! for this is in `pulp`.

mod cell;
pub mod gradient;
mod narrow;
mod wide;

use std::num::NonZeroUsize;

use pulp::{Simd, WithSimd};

use super::lstm::GATES;
use super::{Autoencoder, Weights};
use crate::window::{CONTEXT, Windows};

/// Features of a slot that the encoder reads: the value, whether it is hidden, and the context.
const INPUTS: usize = 2 + CONTEXT;
/// Units of `narrow` are padded to a multiple of this: the lanes of the widest vector.
const MOST_LANES: usize = 16;
/// A tile of windows that is not full costs as much as a full one; up to this many are cheaper
/// three at a time.
const NARROW: usize = 6;
/// With fewer windows for each of them, threads take longer to start than to work.
const MIN_WINDOWS: usize = 64;

/// A kind of processor, by the instructions that the kernel uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// x86-64 with AVX-512: 16 lanes.
    Avx512,
    /// x86-64 with AVX2 and FMA: 8 lanes.
    Avx2,
    /// arm64: 4 lanes.
    Neon,
    /// Any other: one lane, and a fused multiplication that may be a function.
    Portable,
}

impl Path {
    /// All of them, fastest first.
    pub const ALL: [Self; 4] = [Self::Avx512, Self::Avx2, Self::Neon, Self::Portable];

    /// The paths that this processor supports.
    pub fn here() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|path| path.is_here())
    }

    /// The fastest path that this processor supports.
    pub fn best() -> Self {
        Self::here().next().unwrap_or(Self::Portable)
    }

    fn is_here(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => pulp::x86::V4::try_new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => pulp::x86::V3::try_new().is_some(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => pulp::aarch64::Neon::try_new().is_some(),
            Self::Portable => true,
            #[allow(unreachable_patterns, reason = "on other processors there are more of them")]
            _ => false,
        }
    }

    /// Runs the code compiled for this path. On a processor without support for it, runs the
    /// portable one.
    fn run<Op: WithSimd>(self, op: Op) -> Op::Output {
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = pulp::x86::V4::try_new().filter(|_| self == Self::Avx512) {
            return Simd::vectorize(simd, op);
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = pulp::x86::V3::try_new().filter(|_| self == Self::Avx2) {
            return Simd::vectorize(simd, op);
        }
        #[cfg(target_arch = "aarch64")]
        if let Some(simd) = pulp::aarch64::Neon::try_new().filter(|_| self == Self::Neon) {
            return Simd::vectorize(simd, op);
        }
        Simd::vectorize(pulp::Scalar::new(), op)
    }
}

/// An [`Autoencoder`], packed to score.
#[derive(Debug, Clone)]
pub struct Kernel {
    encoder: PackedLayer,
    /// Bias and weights of the bottleneck, `[1 + hidden][bottleneck]`.
    code: Vec<f32>,
    decoder: PackedLayer,
    /// Bias and weights of value and gate, `[1 + hidden]`.
    output: Vec<[f32; 2]>,
    bottleneck: usize,
    path: Path,
    threads: NonZeroUsize,
}

/// Bias, input weights and recurrent weights of one LSTM: rows `[1 + inputs + hidden]`, once for
/// each form.
#[derive(Debug, Clone)]
struct PackedLayer {
    hidden: usize,
    /// For `wide`: rows of units, the four gates of a unit side by side.
    units: Vec<[f32; GATES]>,
    /// For `narrow`: rows of gates, the units of a gate side by side and padded with zeros.
    gates: Vec<f32>,
    /// Length of a gate in `gates`.
    padded: usize,
}

impl PackedLayer {
    fn new(input: &Weights, recurrent: &Weights, hidden: usize) -> Self {
        let rows =
            [input.bias.as_deref().unwrap_or_default(), &input.weight, &recurrent.weight].concat();
        let padded = hidden.next_multiple_of(MOST_LANES);
        let (mut units, mut gates) = (Vec::new(), Vec::new());
        for row in rows.chunks_exact(GATES * hidden) {
            let weight =
                |gate: usize, unit: usize| row[gate * hidden + unit] * cell::EXPONENTS[gate];
            units.extend((0..hidden).map(|unit| std::array::from_fn(|gate| weight(gate, unit))));
            for gate in 0..GATES {
                gates.extend(
                    (0..padded).map(|unit| if unit < hidden { weight(gate, unit) } else { 0.0 }),
                );
            }
        }
        Self { hidden, units, gates, padded }
    }

    /// The rows from `row` on in the form for `wide`, and their length.
    #[inline(always)]
    fn rows_from(&self, row: usize) -> (&[[f32; GATES]], usize) {
        (&self.units[row * self.hidden..], self.hidden)
    }
}

impl Kernel {
    /// Packs the parameters of `network`, for the fastest path of this processor and one thread.
    pub fn new(network: &Autoencoder) -> Self {
        let [encoder, encoder_recurrent, bottleneck, decoder, decoder_recurrent, output] =
            network.weights();
        let [hidden, width] = network.widths();
        let rows = |weights: &Weights| {
            [weights.bias.as_deref().unwrap_or_default(), &weights.weight].concat()
        };
        let output = rows(&output);
        Self {
            encoder: PackedLayer::new(&encoder, &encoder_recurrent, hidden),
            code: rows(&bottleneck).iter().map(|weight| weight * cell::TANH).collect(),
            decoder: PackedLayer::new(&decoder, &decoder_recurrent, hidden),
            // Between the two stands the scale.
            output: output
                .chunks_exact(super::OUTPUTS)
                .map(|row| [row[0], row[2] * cell::SIGMOID])
                .collect(),
            bottleneck: width,
            path: Path::best(),
            threads: NonZeroUsize::MIN,
        }
    }

    /// The same kernel on another path. A processor without support for it takes the portable one.
    #[must_use]
    pub fn by(self, path: Path) -> Self {
        Self { path, ..self }
    }

    /// The same kernel, with this number of threads where there are enough windows for them.
    #[must_use]
    pub fn with_threads(self, threads: NonZeroUsize) -> Self {
        Self { threads, ..self }
    }

    /// The scaled reconstruction of the newest `datapoints` of each window, newest first: `[batch,
    /// datapoints]`, row-major.
    ///
    /// As [`Autoencoder::reconstruct`], to about a millionth. The decoder goes backwards from the
    /// newest, so fewer datapoints are fewer steps, and the same bits.
    pub fn reconstruct(&self, windows: &Windows, datapoints: usize) -> Vec<f32> {
        let datapoints = datapoints.clamp(1, windows.time());
        let mut said = vec![0.0; windows.len() * datapoints];
        let threads = self.threads.get().min(windows.len() / MIN_WINDOWS).max(1);
        // Whole tiles for all but the last.
        let share = windows.len().div_ceil(threads).next_multiple_of(MOST_LANES).max(MOST_LANES);
        std::thread::scope(|scope| {
            let part = |first: usize, said| {
                self.path.run(Part { kernel: self, windows, first, datapoints, said })
            };
            let mut parts = said.chunks_mut(share * datapoints).enumerate();
            let own = parts.next();
            for (index, said) in parts {
                scope.spawn(move || part(index * share, said));
            }
            if let Some((_, said)) = own {
                part(0, said);
            }
        });
        said
    }
}

/// Some windows of a batch, and where their reconstruction goes.
struct Part<'a> {
    kernel: &'a Kernel,
    windows: &'a Windows,
    first: usize,
    datapoints: usize,
    said: &'a mut [f32],
}

impl WithSimd for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { kernel, windows, first, datapoints, said } = self;
        let count = said.len() / datapoints;
        let tail = count % S::F32_LANES;
        // Whole tiles, and the rest with them if it is worth one.
        let tiled = if tail > NARROW { count } else { count - tail };
        let (in_tiles, rest) = said.split_at_mut(tiled * datapoints);
        if !in_tiles.is_empty() {
            wide::reconstruct(simd, kernel, windows, first, datapoints, in_tiles);
        }
        let first = first + tiled;
        let (threes, fewer) = rest.split_at_mut(rest.len() - rest.len() % (3 * datapoints));
        let done = threes.len() / datapoints;
        if !threes.is_empty() {
            narrow::reconstruct::<S, 3>(simd, kernel, windows, first, datapoints, threes);
        }
        match fewer.len() / datapoints {
            0 => {}
            1 => {
                narrow::reconstruct::<S, 1>(simd, kernel, windows, first + done, datapoints, fewer)
            }
            _ => {
                narrow::reconstruct::<S, 2>(simd, kernel, windows, first + done, datapoints, fewer)
            }
        }
    }
}
