//! Text for reports: numbers, paths and the machine.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The programs built with this one, which lies in `examples` beside them.
pub(crate) fn beside(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()
        .context("where this program is, is not known: name the function with --bootstrap")?;
    let target = own
        .parent()
        .and_then(|examples| examples.parent())
        .context("this program lies in no target folder")?;
    Ok(target.join(name))
}

/// With commas between the thousands.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// The name of the processor.
pub(crate) fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.into(), |(_, name)| name.trim().into())
}
