//! Prints the table of the abuse suite from the verdicts that its tests wrote. See `hack/abuse`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

/// Prints the table of the abuse suite.
#[derive(Debug, Parser)]
struct Arguments {
    /// The file of verdicts.
    verdicts: PathBuf,
}

fn main() -> Result<ExitCode> {
    let Arguments { verdicts } = Arguments::parse();
    let text = std::fs::read_to_string(&verdicts).with_context(|| format!("reading {}", verdicts.display()))?;
    let (table, good) = wio_testkit::abuse::table(&text).context("reading the verdicts")?;
    print!("{table}");
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
