//! The monthly AWS bill of a deployment, item by item, before it is deployed.
//!
//! Everything is dollars a month of 30 days at the list prices below, without the free tier. It is
//! arithmetic on the number of calls, not a bill: retries, other CloudWatch metrics of the account
//! (they share the price tiers), e-mails and taxes are not in it.

mod bill;
mod deployment;
mod numbers;
mod table;

use anyhow::{Result, ensure};

use deployment::{Architecture, BandMode, Deployment, Mode, Period};
use table::comparison_table;

/// Part of the instances that is published in sparse mode in any given hour, unless said otherwise:
/// about what the default model publishes of the generated machines of the evaluation, from 0.8 on.
/// An instance near its threshold for a quarter of an hour costs that whole hour, and the next one,
/// too, if the half hour that is published afterwards reaches into it.
const DEFAULT_ACTIVE: &str = "0.05";
/// Part of the instances whose band is published in any given hour, unless said otherwise: an
/// episode lasts, or begins within the next six hours. About what the default model does with the
/// same machines.
const DEFAULT_BANDED: &str = "0.05";
/// Fleets of the table of comparison in docs/cost.md.
const TABLE_FLEETS: [u32; 5] = [10, 100, 500, 1_000, 10_000];

/// The arguments of `cost`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// EC2 instances in the Region.
    #[arg(
        long,
        value_name = "N",
        required_unless_present = "table",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    instances: Option<u32>,
    /// How often the schedule runs: minutes or hours in steps of 5 minutes, up to 3h.
    #[arg(long, default_value = "5m")]
    period: Period,
    /// Whether the metrics of each instance are published only near or above the threshold, or
    /// always.
    #[arg(long, value_enum, default_value_t = Mode::Sparse)]
    mode: Mode,
    /// Parts that a run is split into; more than one is run by Step Functions.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    shards: u32,
    /// Part of the instances, 0 to 1, whose score is 0.8 or more in any given hour or the half hour
    /// before it: what sparse mode publishes.
    #[arg(long, value_name = "FRACTION", default_value = DEFAULT_ACTIVE, value_parser = fraction)]
    active: f64,
    /// When the band of an instance is published: in an episode and six hours before it, always, or
    /// never.
    #[arg(long, value_enum, default_value_t = BandMode::Episodes)]
    band: BandMode,
    /// Part of the instances, 0 to 1, that are in an episode or in the six hours before one in any
    /// given hour.
    #[arg(long, value_name = "FRACTION", default_value = DEFAULT_BANDED, value_parser = fraction)]
    banded: f64,
    /// Memory of the detector function, in MB.
    #[arg(
        long,
        value_name = "MB",
        default_value_t = 512,
        value_parser = clap::value_parser!(u32).range(128..=10_240)
    )]
    memory: u32,
    /// Instruction set of the functions.
    #[arg(long, value_enum, default_value_t = Architecture::X86_64)]
    architecture: Architecture,
    /// Print the bill as JSON.
    #[arg(long)]
    json: bool,
    /// Print the table of docs/cost.md instead: both modes and the native detection for several
    /// sizes of fleet, in Markdown.
    #[arg(long, conflicts_with_all = ["instances", "mode", "json"])]
    table: bool,
}

/// Prints the bill, or the table of docs/cost.md.
pub(crate) fn cost(args: &Args) -> Result<()> {
    let deployment = args.deployment();
    if args.table {
        print!("{}", comparison_table(&TABLE_FLEETS, &deployment));
        return Ok(());
    }
    ensure!(
        deployment.shards <= deployment.instances,
        "--shards {} is more than --instances {}: a shard needs an instance",
        deployment.shards,
        deployment.instances
    );
    let bill = deployment.bill();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&bill)?);
    } else {
        println!("{bill}");
    }
    Ok(())
}

impl Args {
    fn deployment(&self) -> Deployment {
        Deployment {
            instances: self.instances.unwrap_or(1), // none only with --table, which brings its own
            period: self.period,
            mode: self.mode,
            shards: self.shards,
            active: self.active,
            band: self.band,
            banded: self.banded,
            memory: self.memory,
            architecture: self.architecture,
        }
    }
}

fn fraction(text: &str) -> Result<f64, String> {
    let fraction: f64 = text.parse().map_err(|_| "not a number")?;
    if (0.0..=1.0).contains(&fraction) { Ok(fraction) } else { Err("must be from 0 to 1".into()) }
}

#[cfg(test)]
mod active;
#[cfg(test)]
mod tests;
