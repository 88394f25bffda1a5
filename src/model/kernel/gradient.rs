//! An LSTM for training: all its states, and the gradients of its inputs and parameters.
//!
//! Training uses the same tiles as scoring, a lane for each sequence. The forward pass stores the
//! values that the backward pass needs. The gradient of a weight is summed lane by lane, over all
//! steps of a tile at once. The backward pass is the chain rule of `c' = f c + i g`, `h = o
//! tanh(c')`, through time (Werbos 1990).
//!
//! A batch is cut into shares that depend on its size alone, and their gradients are added in
//! order. So the number of threads changes nothing.

mod tile;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Mutex;

use super::{MOST_LANES, Path};
use crate::model::lstm::GATES;
use tile::{Back, Forth};

/// Sequences in a share, at least.
const SHARE: usize = 2 * MOST_LANES;
/// The maximum number of shares in a batch: each share has its own sums, which cost time to add up.
const MOST_SHARES: usize = 4;

/// The sizes of an LSTM and of a batch of sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Sequences.
    pub batch: usize,
    /// Steps of each.
    pub time: usize,
    /// Features of a step.
    pub inputs: usize,
    /// Width.
    pub hidden: usize,
}

impl Sizes {
    /// Number of vectors stored for a tile: see `tile`.
    fn stored(&self) -> usize {
        self.time * self.inputs
            + self.time * GATES * self.hidden
            + (3 * self.time + 2) * self.hidden
    }

    /// The sequences of each share.
    fn shares(&self) -> impl Iterator<Item = Range<usize>> {
        let share = self.batch.div_ceil(MOST_SHARES).next_multiple_of(MOST_LANES).max(SHARE);
        let batch = self.batch;
        (0..batch).step_by(share).map(move |first| first..(first + share).min(batch))
    }
}

/// The gradients of an LSTM's input and parameters, each as long as its original.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// Of the input, `[batch, time, inputs]`; empty where it was not asked for.
    pub input: Vec<f32>,
    /// Of the input's weights, `[inputs, 4 hidden]`.
    pub weight: Vec<f32>,
    /// Of the bias, `[4 hidden]`.
    pub bias: Vec<f32>,
    /// Of the recurrent weights, `[hidden, 4 hidden]`.
    pub recurrent: Vec<f32>,
}

/// An LSTM that has run over a batch and is ready for the backward pass.
#[derive(Debug, Clone)]
pub struct Recurrence {
    sizes: Sizes,
    /// `[1 + inputs + hidden][hidden][gate]`.
    parameters: Vec<[f32; GATES]>,
    /// The stored values of each share; the backward pass overwrites them.
    shares: Vec<Vec<f32>>,
    threads: NonZeroUsize,
}

impl Recurrence {
    /// Runs an LSTM over `input` `[batch, time, inputs]`. Gives its states after each step,
    /// `[batch, time, hidden]`, too.
    ///
    /// `weight` `[inputs, 4 hidden]`, `bias` `[4 hidden]` and `recurrent` `[hidden, 4 hidden]` have
    /// the gates in the order input, forget, output, candidate.
    ///
    /// # Panics
    /// Where there are fewer numbers than the sizes say.
    pub fn run(
        sizes: Sizes,
        input: &[f32],
        [weight, bias, recurrent]: [&[f32]; 3],
        threads: NonZeroUsize,
    ) -> (Self, Vec<f32>) {
        let Sizes { batch, time, hidden, .. } = sizes;
        let rows = [bias, weight, recurrent].concat();
        let row = |row: &[f32]| {
            let of_unit = |unit| std::array::from_fn(|gate| row[gate * hidden + unit]);
            (0..hidden).map(of_unit).collect::<Vec<[f32; GATES]>>()
        };
        let parameters: Vec<_> = rows.chunks_exact(GATES * hidden).flat_map(row).collect();
        let mut states = vec![0.0; batch * time * hidden];
        let mut left = states.as_mut_slice();
        let mut jobs = Vec::new();
        for share in sizes.shares() {
            let states = left.split_off_mut(..share.len() * time * hidden).unwrap_or_default();
            let input = &input[share.start * time * sizes.inputs..share.end * time * sizes.inputs];
            jobs.push(Forth { sizes, parameters: &parameters, input, states });
        }
        let path = Path::best();
        let shares = on_threads(threads, jobs, |job| path.run(job));
        (Self { sizes, parameters, shares, threads }, states)
    }

    /// The sizes of the run.
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// The gradients, given those of all states, `[batch, time, hidden]`; that of the input where
    /// it is `wanted`.
    ///
    /// # Panics
    /// Where there are fewer numbers than the sizes say.
    pub fn back(self, states: &[f32], wanted: bool) -> Gradients {
        let Self { sizes, parameters, shares, threads } = self;
        let Sizes { batch, time, inputs, hidden } = sizes;
        let mut input = vec![0.0; if wanted { batch * time * inputs } else { 0 }];
        let mut left = input.as_mut_slice();
        let mut jobs = Vec::new();
        for (share, kept) in sizes.shares().zip(shares) {
            let input = wanted.then(|| left.split_off_mut(..share.len() * time * inputs)).flatten();
            let states = &states[share.start * time * hidden..share.end * time * hidden];
            jobs.push(Back { sizes, parameters: &parameters, kept, states, input });
        }
        let path = Path::best();
        let mut summed = vec![[0.0; GATES]; parameters.len()];
        for share in on_threads(threads, jobs, |job| path.run(job)) {
            for (sum, gradient) in summed.as_flattened_mut().iter_mut().zip(share) {
                *sum += gradient;
            }
        }
        let row = |row: &[[f32; GATES]]| {
            let of_gate = |gate| row.iter().map(move |unit| unit[gate]);
            (0..GATES).flat_map(of_gate).collect::<Vec<f32>>()
        };
        let mut rows = summed.chunks_exact(hidden).map(row);
        let mut take = |count: usize| rows.by_ref().take(count).flatten().collect::<Vec<f32>>();
        Gradients { input, bias: take(1), weight: take(inputs), recurrent: take(hidden) }
    }
}

/// The results of `work` for each of the `jobs`, in their order.
fn on_threads<Job: Send, Done: Send>(
    threads: NonZeroUsize,
    jobs: Vec<Job>,
    work: impl Fn(Job) -> Done + Sync,
) -> Vec<Done> {
    let threads = threads.get().min(jobs.len());
    if threads < 2 {
        return jobs.into_iter().map(work).collect();
    }
    let mut done: Vec<Option<Done>> = jobs.iter().map(|_| None).collect();
    let left = Mutex::new(jobs.into_iter().zip(&mut done));
    // A lock is poisoned by a panic only, which ends all of it.
    let next = || left.lock().ok()?.next();
    let all = || {
        while let Some((job, done)) = next() {
            *done = Some(work(job));
        }
    };
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(all)));
        all();
    });
    done.into_iter().flatten().collect()
}
