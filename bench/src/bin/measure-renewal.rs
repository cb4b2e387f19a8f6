//! `make measure-renewal`: what it costs a request that its token is renewed meanwhile.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use session_gate_bench::output::{conclude, write_json};
use session_gate_bench::renewal::{self, Plan, Report};
use session_gate_bench::stage;

/// Sends requests whose tokens are due, and others in turn with them, one after the other.
#[derive(Debug, Parser)]
struct Args {
    /// Where the figures go.
    #[arg(long, default_value = "target/measure/renewal.json")]
    output: PathBuf,
    /// How many tokens are renewed in a round: a worker asks for 16 at a time.
    #[arg(long, default_value_t = 10)]
    tokens: usize,
    /// How many rounds there are.
    #[arg(long, default_value_t = 100)]
    rounds: usize,
}

fn main() -> ExitCode {
    conclude("measure-renewal", measure(&Args::parse()))
}

fn measure(args: &Args) -> Result<Report> {
    let plan = Plan { tokens: args.tokens, rounds: args.rounds };
    let report = stage::perform(async |upstream, _| renewal::run(plan, upstream).await)?;
    write_json(&args.output, &report).context("the figures cannot be written")?;
    Ok(report)
}
