//! Measures what a deployment tells its people: pages for nothing, faults found and incidents told
//! once, in generated fleets of several sizes.
//!
//! - [`plan`]: groups, lives and shared events; [`values`]: the CPU of one machine, with its fault;
//! - [`course`]: its episodes by the real detector; [`newborns`]: those of machines that their
//!   groups judge; [`rules`]: pages made of episodes; [`peers`]: machines beside their groups;
//! - [`events`]: which page is about what; [`tally`]: what is counted;
//! - [`tails`]: pages of healthy machines down to low rates;
//! - [`document`], [`figures`]: tables and picture.
//!
//! Every machine is generated and followed by itself: nothing is resampled to make a fleet larger.
//! Of each machine only its episodes are kept.

mod course;
mod document;
mod events;
mod figures;
mod newborns;
mod peers;
mod plan;
mod rules;
mod tails;
mod tally;
mod values;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use deepguard::Detector;
use events::Event;
use newborns::Newborns;
use peers::Beside;
use plan::Plan;
use rules::{Fleet, PageRule};
use tails::{Age, Tail};
use tally::Tally;

use crate::build::evaluate::real::data::Real;
use crate::common::parallel::{bar, parallel};

/// The most fleets of one size.
const MOST_FLEETS: usize = 30;

/// Options of the measurement.
#[derive(Debug, Clone, Args)]
pub(crate) struct FleetsArgs {
    /// Sizes of fleets. 10,000 machines take half an hour on two cores.
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000",
          value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub(crate) machines: Vec<u32>,
    /// Generate fleets of a small size until they have this number of machines together, at most
    /// 30 fleets.
    #[arg(long, default_value_t = 300)]
    pub(crate) at_least: u32,
    /// Pages for nothing that the people of a fleet accept, in a week.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) pages_per_week: f64,
    /// Healthy machines whose pages are counted down to low rates, four weeks each.
    #[arg(long, default_value_t = 504)]
    pub(crate) healthy: u32,
    /// Groups that launch machines, and groups whose machines are compared.
    #[arg(long, default_value_t = 70, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) groups: u32,
    /// Seed of all fleets.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u16,
    /// The folder to write `fleets.md` and `images/fleets.png` into.
    #[arg(long, value_name = "DIR", default_value = "docs")]
    pub(crate) out: PathBuf,
}

/// What every rule did in all fleets of one size.
#[derive(Debug, PartialEq)]
struct Size {
    machines: usize,
    fleets: usize,
    groups: usize,
    tallies: Vec<(PageRule, Tally)>,
}

/// All that was measured.
#[derive(Debug)]
struct Measured {
    args: FleetsArgs,
    /// The version of the artifact.
    version: String,
    sizes: Vec<Size>,
    tails: Vec<(Age, Tail)>,
    newborns: Newborns,
    beside: Beside,
}

/// Measures and writes document and picture.
///
/// # Errors
/// Where something cannot be written, or `stop` is set.
pub(crate) fn fleets(
    args: &FleetsArgs,
    detector: &Detector,
    real: Option<&Real>,
    stop: &AtomicBool,
) -> Result<()> {
    let measured = measure(args, detector, real, stop)?;
    let images = args.out.join("images");
    std::fs::create_dir_all(&images)
        .with_context(|| format!("cannot write {}", images.display()))?;
    measured.write(&args.out, &images)
}

fn measure(
    args: &FleetsArgs,
    detector: &Detector,
    real: Option<&Real>,
    stop: &AtomicBool,
) -> Result<Measured> {
    let mut sizes = Vec::new();
    for &machines in &args.machines {
        let begun = Instant::now();
        let size = Size::measure(machines as usize, args, detector, stop)?;
        println!(
            "{} fleets of {machines} machines: {:.0} s",
            size.fleets,
            begun.elapsed().as_secs_f64()
        );
        sizes.push(size);
    }
    let begun = Instant::now();
    let mut tails: Vec<_> = tails::generated(detector, args.healthy as usize, stop)?.into();
    if let Some(real) = real {
        for (name, machines) in
            [("real CPU", &real.cpu), ("metrics of real servers", &real.servers)]
        {
            if !machines.is_empty() {
                tails.extend(tails::real(name, detector, machines, stop)?);
            }
        }
    }
    let newborns = newborns::newborns(detector, args.groups as usize, stop)?;
    let beside = peers::beside(detector, args.groups as usize, stop)?;
    println!("rates of false pages: {:.0} s", begun.elapsed().as_secs_f64());
    Ok(Measured {
        args: args.clone(),
        version: detector.artifact().version(),
        sizes,
        tails,
        newborns,
        beside,
    })
}

impl Size {
    fn measure(
        machines: usize,
        args: &FleetsArgs,
        detector: &Detector,
        stop: &AtomicBool,
    ) -> Result<Self> {
        let fleets = (args.at_least as usize).div_ceil(machines).clamp(1, MOST_FLEETS);
        let bar = bar(&format!("machines, fleets of {machines}"), fleets * machines)?;
        let mut size = Self {
            machines,
            fleets,
            groups: 0,
            tallies: PageRule::ALL.map(|rule| (rule, Tally::default())).to_vec(),
        };
        for fleet in 0..fleets {
            // No two fleets of a measurement have the same seed.
            let seed = u64::from(args.seed) * 10_000_000 + (machines * 100 + fleet) as u64;
            let plan = Plan::new(machines, seed);
            let numbers: Vec<usize> = (0..machines).collect();
            let followed = parallel(&numbers, stop, |&machine| {
                let (series, placed) = plan.make(machine)?;
                let told = course::follow(detector, &series, events::time(plan::UNTIL));
                bar.inc(1);
                Ok((told, placed.map(|placed| (machine, placed))))
            })?;
            let (told, placed): (Vec<_>, Vec<_>) = followed.into_iter().unzip();
            let faults: Vec<_> = placed.into_iter().flatten().collect();
            let events = Event::of(&plan, &faults);
            let budget = args.pages_per_week;
            let launched = newborns::launched(&plan, detector, stop)?;
            let fleet = Fleet { plan: &plan, told: &told, launched: &launched, detector, budget };
            for (rule, tally) in &mut size.tallies {
                tally.add(&plan, &events, &rule.decide(&fleet));
            }
            size.groups += plan.groups.len();
        }
        bar.finish_and_clear();
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use deepguard::model::device;

    use super::plan::Strength;
    use super::*;
    use crate::testing::artifact;

    fn args(out: &std::path::Path, seed: u16) -> FleetsArgs {
        FleetsArgs {
            machines: vec![10],
            at_least: 10,
            pages_per_week: 2.0,
            healthy: 2,
            groups: 1,
            seed,
            out: out.to_path_buf(),
        }
    }

    fn written(seed: u16) -> (String, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let detector = Detector::new(artifact(), &device());
        let stop = AtomicBool::new(false);
        fleets(&args(folder.path(), seed), &detector, None, &stop).unwrap();
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        (String::from_utf8(read("fleets.md")).unwrap(), read("images/fleets.png"))
    }

    #[test]
    fn the_same_seed_writes_the_same_bytes() {
        let (document, picture) = written(1);
        assert_eq!((document.clone(), picture), written(1));
        let lines = |document: &str| -> Vec<String> {
            document.lines().filter(|line| line.starts_with("| 10 |")).map(String::from).collect()
        };
        assert_ne!(lines(&document), lines(&written(2).0));
        assert!(document.contains("](images/fleets.png)"));
    }

    #[test]
    fn strong_faults_are_found_more_often_than_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let detector = Detector::new(artifact(), &device());
        let stop = AtomicBool::new(false);
        let args = FleetsArgs { machines: vec![40], at_least: 40, ..args(folder.path(), 1) };
        let size = Size::measure(40, &args, &detector, &stop).unwrap();
        let (_, tally) = &size.tallies[0];
        let [strong, chance] = [Strength::Strong, Strength::Control].map(|of| tally.found(of));
        assert_eq!((strong.of, chance.of), (4, 4));
        assert!(strong.found > chance.found, "{} and {} by chance", strong.found, chance.found);
        assert_eq!(size.fleets, 1);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(Size::measure(40, &args, &detector, &stop).is_err());
    }
}
