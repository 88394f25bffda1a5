//! Words of a person about a decision: who made it, and why.

use std::str::FromStr;

use anyhow::{Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

/// A person's text: short enough for a pointer, and one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Words(String);

impl FromStr for Words {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        ensure!((1..=300).contains(&text.len()), "say it in 1 to 300 bytes");
        ensure!(!text.chars().any(char::is_control), "say it in one line");
        Ok(Self(text.into()))
    }
}

impl std::fmt::Display for Words {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The author of a change.
#[derive(Debug, Clone, Args)]
pub(crate) struct Who {
    /// Who does this, for the record.
    #[arg(
        long,
        value_name = "NAME",
        env = "USER",
        hide_env_values = true,
        default_value = "unknown"
    )]
    pub(crate) by: Words,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_short_and_one_line() {
        assert_eq!(" it is \"fine\" ".parse::<Words>().unwrap().to_string(), "it is \"fine\"");
        for wrong in ["", "  ", "a\nb", &"w".repeat(301)] {
            assert!(wrong.parse::<Words>().is_err(), "{wrong}");
        }
    }
}
