//! The engines that take part, and how each is asked to score.

use std::num::NonZeroUsize;
use std::path::Path;
use std::thread::scope;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use burn::tensor::Device;
use deepguard::Artifact;
use deepguard::model::kernel::Kernel;
use deepguard::model::{Autoencoder, device};
use deepguard::window::Windows;
use serde_json::json;

use crate::peer::Peer;
use crate::{Args, BATCHES, THREADS, exchange};

/// In the order of the tables; DeepGuard's own is the one that the others are compared with.
pub(crate) const NAMES: [&str; 4] = ["DeepGuard", "Burn", "PyTorch", "ONNX Runtime"];
const TORCH: &str = "torch";
const ENGINES: [&str; 2] = [TORCH, "onnxruntime"];
/// PyTorch's threads may wait for each other in two ways. The usual one, to look again and again,
/// is the quicker where all processors are free, and thousands of times slower where they are not.
/// With this one they sleep.
const PASSIVE: (&str, &str) = ("OMP_WAIT_POLICY", "passive");
/// The largest number of calls in a turn.
const CALLS: usize = 1000;

/// DeepGuard's own way to score, with one thread and so on.
struct Ours(Vec<Kernel>);

impl Ours {
    fn new(network: &Autoencoder) -> Self {
        let threads = THREADS.into_iter().filter_map(NonZeroUsize::new);
        Self(threads.map(|threads| Kernel::new(network).with_threads(threads)).collect())
    }

    fn ours(&self, windows: &Windows, threads: usize) -> Vec<f32> {
        let kernel =
            THREADS.iter().position(|&there| there == threads).and_then(|index| self.0.get(index));
        kernel.map(|kernel| kernel.reconstruct(windows, windows.time())).unwrap_or_default()
    }
}

/// The network as Burn runs it, a copy for each thread.
struct Burn {
    networks: Vec<Autoencoder>,
    device: Device,
}

impl Burn {
    /// Each part by a thread: Burn itself uses one.
    fn score(&mut self, parts: &[Windows]) -> Result<Vec<f32>> {
        let device = &self.device;
        if let [windows] = parts {
            return Ok(self.networks[0].reconstruct(windows, windows.time(), device));
        }
        scope(|scope| {
            let networks = self.networks.iter_mut().zip(parts);
            let threads: Vec<_> = networks
                .map(|(network, windows)| {
                    scope.spawn(move || network.reconstruct(windows, windows.time(), device))
                })
                .collect();
            let joined = threads
                .into_iter()
                .map(|thread| thread.join().map_err(|_| anyhow!("a thread has panicked")));
            Ok(joined.collect::<Result<Vec<_>>>()?.concat())
        })
    }
}

/// All of them, with the windows that they score.
pub(crate) struct Contestants {
    ours: Ours,
    burn: Burn,
    peers: Vec<Peer>,
    /// As many as each of [`BATCHES`].
    batches: Vec<Windows>,
    expected: Vec<f32>,
}

impl Contestants {
    /// Writes the windows into `folder` and starts the engines.
    pub(crate) fn start(
        args: &Args,
        artifact: &Artifact,
        windows: Windows,
        folder: &Path,
    ) -> Result<Self> {
        let device = device();
        let network = artifact.network(&device);
        let expected = network.reconstruct(&windows, windows.time(), &device);
        let file = folder.join("windows.safetensors");
        exchange::write_windows(&file, &windows, Some(&expected))?;
        let mut peers = Vec::new();
        for engine in ENGINES {
            for threads in THREADS {
                eprintln!("starting {engine} with {}", crate::threads(threads));
                let both = engine == TORCH && threads > 1;
                for environment in [None].into_iter().chain(both.then_some(Some(PASSIVE))) {
                    let files = [args.artifact.as_path(), &file];
                    peers.push(Peer::start(
                        &args.python,
                        &args.script,
                        engine,
                        threads,
                        files,
                        environment,
                    )?);
                }
            }
        }
        let most = THREADS.into_iter().max().unwrap_or(1);
        Ok(Self {
            ours: Ours::new(&network),
            burn: Burn { networks: (0..most).map(|_| artifact.network(&device)).collect(), device },
            peers,
            batches: BATCHES.map(|batch| windows.select(&(0..batch).collect::<Vec<_>>())).into(),
            expected,
        })
    }

    /// The largest difference of each engine from the network in Burn.
    pub(crate) fn differences(&mut self) -> Result<Vec<(String, f64)>> {
        let mut differences = Vec::new();
        let all = self.batches.last().context("no windows")?;
        for threads in THREADS {
            let own = self.ours.ours(all, threads);
            let far = own
                .iter()
                .zip(&self.expected)
                .map(|(a, b)| f64::from((a - b).abs()))
                .fold(0.0, f64::max);
            let far = if own.len() == self.expected.len() && own.iter().all(|own| own.is_finite()) {
                far
            } else {
                1e30
            };
            differences.push((format!("{}, {}", NAMES[0], crate::threads(threads)), far));
        }
        for peer in &mut self.peers {
            let answer = peer.ask(&json!({ "do": "check" }))?;
            let difference = answer["difference"].as_f64().context("no difference")?;
            differences
                .push((format!("{}, {}", name(peer), crate::threads(peer.threads)), difference));
        }
        Ok(differences)
    }

    /// Seconds of each call that `contestant` makes in its turn, one turn for each way in which it
    /// may be done.
    pub(crate) fn turns(
        &mut self,
        contestant: usize,
        batch: usize,
        threads: usize,
        turn: Duration,
    ) -> Result<Vec<Vec<f64>>> {
        self.rest()?;
        let windows = &self.batches[batch];
        match contestant {
            0 => Ok(vec![timed(turn, || Ok(self.ours.ours(windows, threads)))?]),
            1 => {
                // Divided before the time is taken: the detector could hand out parts as well.
                let parts: Vec<Windows> = match windows.len() < threads {
                    true => vec![windows.clone()],
                    false => {
                        let all: Vec<usize> = (0..windows.len()).collect();
                        all.chunks(windows.len().div_ceil(threads))
                            .map(|part| windows.select(part))
                            .collect()
                    }
                };
                Ok(vec![timed(turn, || self.burn.score(&parts))?])
            }
            _ => {
                let count = windows.len();
                self.peers(ENGINES[contestant - 2], threads)
                    .map(|peer| peer.score(count, turn))
                    .collect()
            }
        }
    }

    /// Waits until no engine uses a processor any more.
    pub(crate) fn rest(&self) -> Result<()> {
        self.peers.iter().try_for_each(Peer::rest)
    }

    /// PyTorch with this number of threads, to train, in each way in which it may be done.
    pub(crate) fn torch(&mut self, threads: usize) -> Vec<&mut Peer> {
        self.peers(TORCH, threads).collect()
    }

    fn peers(&mut self, engine: &str, threads: usize) -> impl Iterator<Item = &mut Peer> {
        self.peers.iter_mut().filter(move |peer| peer.engine == engine && peer.threads == threads)
    }

    /// Of each engine that is not DeepGuard itself.
    pub(crate) fn versions(&self) -> Vec<(&'static str, String)> {
        let first = self.peers.iter().filter(|peer| peer.threads == THREADS[0]);
        first.map(|peer| (name(peer), peer.version.clone())).collect()
    }
}

fn name(peer: &Peer) -> &'static str {
    NAMES[if peer.engine == TORCH { 2 } else { 3 }]
}

/// Seconds of each call in a turn; the first one does not count.
fn timed(turn: Duration, mut call: impl FnMut() -> Result<Vec<f32>>) -> Result<Vec<f64>> {
    std::hint::black_box(call()?);
    let until = Instant::now() + turn;
    let mut seconds = Vec::new();
    while seconds.len() < CALLS {
        let began = Instant::now();
        std::hint::black_box(call()?);
        seconds.push(began.elapsed().as_secs_f64());
        if Instant::now() >= until {
            break;
        }
    }
    Ok(seconds)
}
