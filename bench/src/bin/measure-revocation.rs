//! `make measure-revocation`: how fast a revocation is known everywhere, and what happens while a sidecar
//! is frozen.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use session_gate_bench::measure::{self, Plan};
use session_gate_bench::output::{conclude, write_json};
use session_gate_bench::report::Report;
use session_gate_bench::stage;

/// Measures how fast a revocation is known to two Envoys of four workers each, under load.
#[derive(Debug, Parser)]
struct Args {
    /// Where the figures go.
    #[arg(long, default_value = "target/measure/revocation.json")]
    output: PathBuf,
    /// Requests a second, over all workers.
    #[arg(long, default_value_t = 1000)]
    rps: u32,
    /// Sessions that the load goes to, beside what is revoked.
    #[arg(long, default_value_t = 220)]
    sessions: usize,
    /// Revocations.
    #[arg(long, default_value_t = 320)]
    revocations: usize,
    /// Revocations with ?wait=applied.
    #[arg(long, default_value_t = 100)]
    waited: usize,
    /// Sessions with open streams, four each, that are ended.
    #[arg(long, default_value_t = 40)]
    streaming_sessions: usize,
    /// For how many seconds the sidecar is frozen.
    #[arg(long, default_value_t = 10)]
    freeze_seconds: u64,
    /// For how many seconds bare Envoys get the load, before and after.
    #[arg(long, default_value_t = 5)]
    bare_seconds: u64,
}

fn main() -> ExitCode {
    conclude("measure-revocation", measure(&Args::parse()))
}

fn measure(args: &Args) -> Result<Report> {
    let plan = Plan {
        rps: args.rps,
        sessions: args.sessions,
        revocations: args.revocations,
        waited: args.waited,
        streaming_sessions: args.streaming_sessions,
        freeze: Duration::from_secs(args.freeze_seconds),
        bare: Duration::from_secs(args.bare_seconds),
    };
    let report = stage::perform(async |upstream, journal| measure::run(plan, upstream, journal).await)?;
    write_json(&args.output, &report)?;
    Ok(report)
}
