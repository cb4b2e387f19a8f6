//! `make measure-memory`: how large a worker's VM grows.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use session_gate_bench::memory::{self, Plan, Report};
use session_gate_bench::output::{conclude, write_json};

/// Measures the memory of a worker that has very much to remember.
#[derive(Debug, Parser)]
struct Args {
    /// Where the figures go.
    #[arg(long, default_value = "target/measure/memory.json")]
    output: PathBuf,
    /// Sessions that have ended.
    #[arg(long, default_value_t = 1_000_000)]
    revocations: u64,
    /// Good tokens, each of another user.
    #[arg(long, default_value_t = 100_000)]
    tokens: u64,
    /// Forged tokens.
    #[arg(long, default_value_t = 1_000_000)]
    forged: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    conclude("measure-memory", measure(&Args::parse()).await)
}

async fn measure(args: &Args) -> Result<Report> {
    let plan = Plan { revocations: args.revocations, tokens: args.tokens, forged: args.forged };
    let report = memory::run(plan).await?;
    write_json(&args.output, &report).context("the figures cannot be written")?;
    Ok(report)
}
