//! Scoring, by turns.

use std::time::Duration;

use anyhow::Result;
use deepguard::model::Dimensions;

use crate::contestants::{Contestants, NAMES};
use crate::spread::Spread;
use crate::{Args, BATCHES, THREADS, bar, floor};

/// All times of a batch size with this number of threads.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) batch: usize,
    pub(crate) threads: usize,
    /// Microseconds per window, of each of [`NAMES`].
    pub(crate) times: Vec<Spread>,
    /// Each engine's time divided by DeepGuard's in the same round.
    pub(crate) ratios: Vec<Spread>,
    /// DeepGuard's time divided by the floor's.
    pub(crate) over_floor: Spread,
}

/// The rate of the machine with this number of threads.
#[derive(Debug)]
pub(crate) struct Floor {
    pub(crate) threads: usize,
    /// 10^9 floating-point operations a second.
    pub(crate) rate: Spread,
    /// The highest rate of all rounds: the machine's rate when no other program uses it.
    pub(crate) highest: f64,
    /// Microseconds per window at the highest rate.
    pub(crate) time: f64,
}

/// All measurements.
#[derive(Debug)]
pub(crate) struct Scored {
    pub(crate) cells: Vec<Cell>,
    pub(crate) floors: Vec<Floor>,
    pub(crate) rounds: u32,
}

/// Lets all take their turns at each batch size, many rounds.
pub(crate) fn measure(
    args: &Args,
    contestants: &mut Contestants,
    shape: &Dimensions,
) -> Result<Scored> {
    let operations = floor::operations(shape) as f64;
    let steps = args.rounds as usize * THREADS.len() * BATCHES.len() * NAMES.len();
    let bar = bar("turns", steps)?;
    // By threads, batch size, contestant and way: microseconds per window in each round.
    let mut measured = vec![vec![vec![Vec::new(); NAMES.len()]; BATCHES.len()]; THREADS.len()];
    let mut rates = vec![Vec::new(); THREADS.len()];
    for round in 0..args.rounds as usize {
        for (which, threads) in THREADS.into_iter().enumerate() {
            for batch in 0..BATCHES.len() {
                rates[which].push(floor::rate(threads) / 1e9);
                // Each round begins with another engine, so that after-effects of an engine meet a
                // different next one.
                for turn in 0..NAMES.len() {
                    let contestant = (round + turn) % NAMES.len();
                    bar.set_message(format!(
                        "{} with {}",
                        NAMES[contestant],
                        crate::threads(threads)
                    ));
                    let turn = Duration::from_millis(args.turn);
                    let ways: &mut Vec<Vec<f64>> = &mut measured[which][batch][contestant];
                    for (way, seconds) in
                        contestants.turns(contestant, batch, threads, turn)?.iter().enumerate()
                    {
                        ways.resize(ways.len().max(way + 1), Vec::new());
                        ways[way].push(Spread::of(seconds).median * 1e6 / BATCHES[batch] as f64);
                    }
                    bar.inc(1);
                }
            }
        }
    }
    bar.finish_and_clear();

    let (mut cells, mut floors) = (Vec::new(), Vec::new());
    for (which, threads) in THREADS.into_iter().enumerate() {
        let highest = rates[which].iter().copied().fold(0.0, f64::max);
        let time = operations / highest / 1e3;
        floors.push(Floor { threads, rate: Spread::of(&rates[which]), highest, time });
        for (batch, contestants) in BATCHES.into_iter().zip(&measured[which]) {
            let times: Vec<&Vec<f64>> = contestants.iter().filter_map(|ways| best(ways)).collect();
            let ours = times[0];
            let ratio = |times: &&Vec<f64>| {
                Spread::of(
                    &times.iter().zip(ours).map(|(time, ours)| time / ours).collect::<Vec<_>>(),
                )
            };
            cells.push(Cell {
                batch,
                threads,
                times: times.iter().map(|times| Spread::of(times)).collect(),
                ratios: times.iter().map(ratio).collect(),
                over_floor: Spread::of(&ours.iter().map(|ours| ours / time).collect::<Vec<_>>()),
            });
        }
    }
    Ok(Scored { cells, floors, rounds: args.rounds })
}

/// The way that is the quickest by its median.
pub(crate) fn best(ways: &[Vec<f64>]) -> Option<&Vec<f64>> {
    ways.iter().min_by(|a, b| Spread::of(a).median.total_cmp(&Spread::of(b).median))
}
