//! The LSTM as one operation of Burn's automatic differentiation: its states and its gradients come
//! from [`deepguard::model::kernel::gradient`], instead of from a dozen small operations a step.
#![cfg_attr(
    feature = "ndarray",
    expect(
        deprecated,
        reason = "burn-ndarray is the other backend that this project promises: see docs/DESIGN.md"
    )
)]

use std::num::NonZeroUsize;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

#[cfg(feature = "flex")]
use burn::backend::Flex;
#[cfg(feature = "ndarray")]
use burn::backend::NdArray;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::{Device, FloatTensor};
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};
use deepguard::model::kernel::gradient::{self, Recurrence, Sizes};

/// The states of an LSTM after every step, as [`deepguard::model::lstm::states`] computes them,
/// with this number of threads.
pub(super) fn states(
    input: Tensor<3>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    recurrent: Tensor<2>,
    threads: NonZeroUsize,
) -> Tensor<3> {
    let [input, weight] = [input.into_dispatch(), weight.into_dispatch()];
    let [bias, recurrent] = [bias.into_dispatch(), recurrent.into_dispatch()];
    Tensor::from_dispatch(<Dispatch as LstmStates>::states(input, weight, bias, recurrent, threads))
}

/// The operation.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub(super) trait LstmStates: Backend {
    fn states(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        recurrent: FloatTensor<Self>,
        threads: NonZeroUsize,
    ) -> FloatTensor<Self> {
        run::<Self>([input, weight, bias, recurrent], threads).1
    }
}

#[cfg(feature = "flex")]
impl LstmStates for Flex {}
#[cfg(feature = "ndarray")]
impl LstmStates for NdArray {}

impl<B: LstmStates, C: CheckpointStrategy> LstmStates for Autodiff<B, C> {
    fn states(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        recurrent: FloatTensor<Self>,
        threads: NonZeroUsize,
    ) -> FloatTensor<Self> {
        let given = [input, weight, bias, recurrent];
        let nodes = given.each_ref().map(|tensor| tensor.node());
        let (recurrence, states) = run::<B>(given.map(|tensor| tensor.into_primitive()), threads);
        match BackwardPass.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(recurrence, states),
            OpsKind::UnTracked(prepared) => prepared.finish(states),
        }
    }
}

/// The backward pass of the operation.
#[derive(Debug)]
struct BackwardPass;

impl<B: Backend> Backward<B, 4> for BackwardPass {
    type State = Recurrence;

    fn backward(self, ops: Ops<Recurrence, 4>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let of_states = gradients.consume::<B>(&ops.node);
        let device = of_states.device();
        let Sizes { batch, time, inputs, hidden } = ops.state.sizes();
        let [input, weight, bias, recurrent] = ops.parents;
        let gradient::Gradients {
            input: of_input,
            weight: of_weight,
            bias: of_bias,
            recurrent: of_recurrent,
        } = ops.state.back(&numbers::<B>(of_states), input.is_some());
        let gates = 4 * hidden;
        let all = [
            (input, of_input, vec![batch, time, inputs]),
            (weight, of_weight, vec![inputs, gates]),
            (bias, of_bias, vec![gates]),
            (recurrent, of_recurrent, vec![hidden, gates]),
        ];
        for (parent, gradient, shape) in all {
            if let Some(parent) = parent {
                gradients.register::<B>(parent.id, tensor::<B>(gradient, &shape, &device));
            }
        }
    }
}

/// The operation on numbers.
fn run<B: Backend>(
    given: [FloatTensor<B>; 4],
    threads: NonZeroUsize,
) -> (Recurrence, FloatTensor<B>) {
    let [input, _, _, recurrent] = given.each_ref().map(|tensor| tensor.shape());
    let sizes = Sizes { batch: input[0], time: input[1], inputs: input[2], hidden: recurrent[0] };
    let device = given[0].device();
    let [input, weight, bias, recurrent] = given.map(numbers::<B>);
    let (recurrence, states) =
        Recurrence::run(sizes, &input, [&weight, &bias, &recurrent], threads);
    (recurrence, tensor::<B>(states, &[sizes.batch, sizes.time, sizes.hidden], &device))
}

fn tensor<B: Backend>(numbers: Vec<f32>, shape: &[usize], device: &Device<B>) -> FloatTensor<B> {
    B::float_from_data(TensorData::new(numbers, shape.to_vec()), device)
}

/// The elements of a tensor, row-major.
#[expect(
    clippy::panic,
    reason = "the CPU backends read back what they hold: there is no device to lose or to wait for"
)]
fn numbers<B: Backend>(tensor: FloatTensor<B>) -> Vec<f32> {
    let read = pin!(B::float_into_data(tensor)).poll(&mut Context::from_waker(Waker::noop()));
    match read.map(|data| data.map(TensorData::try_into_vec::<f32>)) {
        Poll::Ready(Ok(Ok(numbers))) => numbers,
        other => panic!("a CPU tensor can be read: {}", other.is_ready()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random, from -1 to 1.
    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        use rand::{RngExt, SeedableRng};
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| random.random_range(-1.0..1.0)).collect()
    }

    const SIZES: [Sizes; 5] = [
        Sizes { batch: 1, time: 1, inputs: 1, hidden: 1 },
        Sizes { batch: 3, time: 5, inputs: 2, hidden: 4 },
        Sizes { batch: 17, time: 7, inputs: 13, hidden: 24 },
        Sizes { batch: 70, time: 4, inputs: 3, hidden: 7 },
        Sizes { batch: 200, time: 3, inputs: 5, hidden: 10 },
    ];

    /// Input, weight, bias and recurrent weight, and the weight of each state in the sum.
    fn given(Sizes { batch, time, inputs, hidden }: Sizes) -> [(Vec<f32>, Vec<usize>); 5] {
        let shapes = [
            vec![batch, time, inputs],
            vec![inputs, 4 * hidden],
            vec![4 * hidden],
            vec![hidden, 4 * hidden],
            vec![batch, time, hidden],
        ];
        let mut seed = 0;
        shapes.map(|shape| {
            seed += 1;
            (numbers(shape.iter().product(), seed), shape)
        })
    }

    /// The states, and the gradients of input, weight, bias and recurrent weight for their weighted
    /// sum.
    fn differentiated(
        sizes: Sizes,
        device: &burn::tensor::Device,
        states: impl Fn(Tensor<3>, Tensor<2>, Tensor<1>, Tensor<2>) -> Tensor<3>,
    ) -> Vec<Vec<f32>> {
        let [input, weight, bias, recurrent, counts] =
            given(sizes).map(|(numbers, shape)| TensorData::new(numbers, shape));
        let input = Tensor::<3>::from_data(input, device).require_grad();
        let [weight, recurrent] =
            [weight, recurrent].map(|data| Tensor::<2>::from_data(data, device).require_grad());
        let bias = Tensor::<1>::from_data(bias, device).require_grad();
        let states = states(input.clone(), weight.clone(), bias.clone(), recurrent.clone());
        let numbers = |data: TensorData| data.try_into_vec::<f32>().unwrap();
        let made = numbers(states.clone().inner().into_data());
        let gradients = (states * Tensor::from_data(counts, device)).sum().backward();
        vec![
            made,
            numbers(input.grad(&gradients).unwrap().into_data()),
            numbers(weight.grad(&gradients).unwrap().into_data()),
            numbers(bias.grad(&gradients).unwrap().into_data()),
            // The state of a single step is not multiplied with anything.
            recurrent
                .grad(&gradients)
                .map(|gradient| numbers(gradient.into_data()))
                .unwrap_or_default(),
        ]
    }

    #[test]
    fn states_and_gradients_are_those_of_automatic_differentiation() {
        let devices = [
            burn::tensor::Device::flex(),
            #[cfg(feature = "ndarray")]
            burn::tensor::Device::ndarray(),
        ];
        for (sizes, device) in
            SIZES.into_iter().flat_map(|sizes| devices.clone().map(|device| (sizes, device)))
        {
            let device = device.autodiff();
            let expected = differentiated(sizes, &device, deepguard::model::lstm::states);
            for threads in [1, 3] {
                let threads = NonZeroUsize::new(threads).unwrap();
                let found =
                    differentiated(sizes, &device, |a, b, c, d| states(a, b, c, d, threads));
                for (name, (found, expected)) in ["states", "input", "weight", "bias", "recurrent"]
                    .iter()
                    .zip(found.iter().zip(&expected))
                {
                    let nothing = vec![0.0; found.len()];
                    let expected = if expected.is_empty() { &nothing } else { expected };
                    assert_eq!(found.len(), expected.len());
                    for (a, b) in found.iter().zip(expected) {
                        // Sums of up to 600 products, in another order.
                        assert!(
                            (a - b).abs() < 1e-5 * (3.0 + b.abs()),
                            "{name} of {sizes:?}: {a} against {b}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_are_differences() {
        let sizes = SIZES[1];
        let one = NonZeroUsize::MIN;
        let [input, weight, bias, recurrent, counts] = given(sizes).map(|(numbers, _)| numbers);
        let parts = [input, weight, bias, recurrent];
        let run = |[input, weight, bias, recurrent]: &[Vec<f32>; 4]| {
            Recurrence::run(sizes, input, [weight, bias, recurrent], one)
        };
        let counted = |parts: &[Vec<f32>; 4]| -> f64 {
            run(parts)
                .1
                .iter()
                .zip(&counts)
                .map(|(state, count)| f64::from(*state) * f64::from(*count))
                .sum()
        };
        let found = run(&parts).0.back(&counts, true);
        let found = [found.input, found.weight, found.bias, found.recurrent];
        for (part, found) in found.iter().enumerate() {
            assert_eq!(found.len(), parts[part].len());
            for (index, &gradient) in found.iter().enumerate() {
                let step = 1e-2;
                let at = |by: f32| {
                    let mut parts = parts.clone();
                    parts[part][index] += by;
                    counted(&parts)
                };
                // The error is of fourth order: only f32's rounding remains.
                let difference = (8.0 * (at(step) - at(-step))
                    - (at(2.0 * step) - at(-2.0 * step)))
                    / (12.0 * f64::from(step));
                assert!(
                    (difference - f64::from(gradient)).abs() < 2e-4,
                    "{part}, {index}: {gradient} against {difference}"
                );
            }
        }
    }

    #[test]
    fn threads_change_no_bit() {
        for sizes in SIZES {
            let [input, weight, bias, recurrent, counts] = given(sizes).map(|(numbers, _)| numbers);
            let of = |threads| {
                let threads = NonZeroUsize::new(threads).unwrap();
                let (recurrence, states) =
                    Recurrence::run(sizes, &input, [&weight, &bias, &recurrent], threads);
                (states, recurrence.back(&counts, true))
            };
            let one = of(1);
            assert!([2, 3, 16].into_iter().all(|threads| of(threads) == one), "{sizes:?}");
        }
    }
}
