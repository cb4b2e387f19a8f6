//! `make measure-logout`: what it costs to end all sessions of an account that has very many.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use session_gate_bench::logout::{self, Plan, Report};
use session_gate_bench::output::{conclude, write_json};

/// Ends all sessions of an account again and again, while others are asked about.
#[derive(Debug, Parser)]
struct Args {
    /// Where the figures go.
    #[arg(long, default_value = "target/measure/logout.json")]
    output: PathBuf,
    /// Sessions of the account.
    #[arg(long, default_value_t = 50_000)]
    sessions: u64,
    /// How often they are all ended.
    #[arg(long, default_value_t = 20)]
    rounds: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    conclude("measure-logout", measure(&Args::parse()).await)
}

async fn measure(args: &Args) -> Result<Report> {
    let report = logout::run(Plan { sessions: args.sessions, rounds: args.rounds }).await?;
    write_json(&args.output, &report).context("the figures cannot be written")?;
    Ok(report)
}
