//! Scores the CPU of one machine: `cargo run --example score_csv -- cpu.csv`.
//!
//! The file has rows `time,value`: seconds since 1970, CPU in percent. Standard output gets a row
//! for each score, standard error a line for each episode that begins or ends. The first scores
//! need half a day of datapoints before them. Rows further apart than five minutes are refused.

use std::error::Error;

use deepguard::episode::{Change, Episodes, MOfN};
use deepguard::model::artifact::BUILTIN;
use deepguard::model::device;
use deepguard::series::{PERIOD, slot_start};
use deepguard::{Artifact, Datapoint, Detector, Series, Watch};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("name a CSV file with rows `time,value`")?;
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let mut datapoints = Vec::new();
    for (index, line) in text.lines().enumerate() {
        match datapoint(line) {
            Some(datapoint) => datapoints.push(datapoint),
            None if index == 0 || line.trim().is_empty() => {}
            None => {
                return Err(
                    format!("{path}, line {}: `{line}` is not `time,value`", index + 1).into()
                );
            }
        }
    }
    if let Some(step) = step(&datapoints).filter(|step| *step > PERIOD) {
        return Err(format!(
            "{path}: the rows are {} minutes apart; DeepGuard scores five-minute values",
            step as f64 / 60.0
        )
        .into());
    }
    let (series, _) = Series::from_datapoints(datapoints)?;
    let detector = Detector::new(Artifact::from_bytes(BUILTIN)?, &device());
    let mut episodes = Episodes::default();
    println!("time,value,expected,score");
    for scored in detector.follow(&series, &mut Watch::default(), series.end()) {
        println!(
            "{},{},{:.2},{:.2}",
            scored.time,
            scored.observed,
            scored.expected,
            scored.score.value()
        );
        for change in episodes.update(&scored, MOfN::default()) {
            match change {
                Change::Began(episode, _) => {
                    eprintln!(
                        "{}: begins, {} since {}",
                        episode.told,
                        episode.shape.words(),
                        episode.since
                    );
                }
                Change::Ended(episode, why, at) => {
                    eprintln!("{at}: ends, {why:?}, highest score {:.2}", episode.peak);
                }
            }
        }
    }
    Ok(())
}

/// The seconds between most rows, counted by slots.
fn step(datapoints: &[Datapoint]) -> Option<i64> {
    let mut slots: Vec<i64> =
        datapoints.iter().map(|datapoint| slot_start(datapoint.time)).collect();
    slots.sort_unstable();
    slots.dedup();
    let mut steps: Vec<i64> = slots.windows(2).map(|pair| pair[1] - pair[0]).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied()
}

/// The datapoint of a row; `None` for a row without one, such as a heading.
fn datapoint(line: &str) -> Option<Datapoint> {
    let (time, value) = line.split_once(',')?;
    Some(Datapoint { time: time.trim().parse().ok()?, value: value.trim().parse().ok()? })
}
