//! What is deployed: the options of the bill, and how they are read and written.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Serialize, Serializer};

/// Days in the month of the bill.
pub(super) const DAYS: f64 = 30.0;
/// Minutes in the month of the bill.
const MINUTES: f64 = DAYS * 24.0 * 60.0;
/// Minutes between two datapoints of EC2's basic monitoring.
pub(super) const DATAPOINT_MINUTES: u32 = 5;

/// When the two metrics of an instance are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// In hours in which its score is near the threshold or above.
    Sparse,
    /// In every run.
    Full,
}

/// When the three metrics of an instance's band are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BandMode {
    /// While an episode lasts, and for the six hours before it.
    Episodes,
    /// In every run.
    Always,
    /// Never.
    Off,
}

/// Instruction set of the functions; arm64 costs a fifth less a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
pub(super) enum Architecture {
    /// Intel and AMD.
    #[value(name = "x86_64")]
    #[serde(rename = "x86_64")]
    X86_64,
    /// Graviton.
    #[value(name = "arm64")]
    #[serde(rename = "arm64")]
    Arm64,
}

/// Minutes from one run to the next: a multiple of 5, from 5 to 180.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period(pub(super) u32);

/// What is deployed.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Deployment {
    pub(super) instances: u32,
    #[serde(rename = "period_minutes")]
    pub(super) period: Period,
    pub(super) mode: Mode,
    pub(super) shards: u32,
    /// Part of the instances that sparse mode publishes in any given hour, 0 to 1.
    #[serde(rename = "active_fraction")]
    pub(super) active: f64,
    pub(super) band: BandMode,
    /// Part of the instances that are in an episode in any given hour, or in the six hours before
    /// one, 0 to 1.
    #[serde(rename = "banded_fraction")]
    pub(super) banded: f64,
    /// Memory of the detector, in MB.
    #[serde(rename = "memory_mb")]
    pub(super) memory: u32,
    pub(super) architecture: Architecture,
}

impl Mode {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Sparse => Self::Full,
            Self::Full => Self::Sparse,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sparse => "sparse",
            Self::Full => "full",
        })
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        })
    }
}

impl Period {
    const LONGEST: u32 = 180;

    /// Runs in the month of the bill. Not always a whole number: 35 minutes do not divide a day.
    pub(super) fn runs_a_month(self) -> f64 {
        MINUTES / f64::from(self.0)
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, minutes_each) = match (text.strip_suffix('m'), text.strip_suffix('h')) {
            (Some(number), _) => (number, 1),
            (_, Some(number)) => (number, 60),
            _ => return Err("say minutes or hours, such as 5m or 1h".into()),
        };
        // `parse` alone would take +5.
        let minutes = Some(number)
            .filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|number| number.parse::<u32>().ok())
            .and_then(|number| number.checked_mul(minutes_each))
            .ok_or("the number before m or h is not a whole number")?;
        if minutes == 0 || minutes > Self::LONGEST {
            return Err("must be from 5m to 3h".into());
        }
        if !minutes.is_multiple_of(DATAPOINT_MINUTES) {
            return Err("must be a multiple of 5 minutes, in which EC2 gives a datapoint".into());
        }
        Ok(Self(minutes))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(60) {
            write!(f, "{}h", self.0 / 60)
        } else {
            write!(f, "{}m", self.0)
        }
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}
