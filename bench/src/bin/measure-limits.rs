//! `make measure-limits`: whether limits hold over several Envoys, and what counting costs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use session_gate_bench::limits::{self, Plan, Report};
use session_gate_bench::output::{conclude, write_json};
use session_gate_bench::stage;

/// Hammers limits of 1,000 through two Envoys of four workers each, undisturbed and while they are killed.
#[derive(Debug, Parser)]
struct Args {
    /// Where the figures go.
    #[arg(long, default_value = "target/measure/limits.json")]
    output: PathBuf,
    /// How often each limit is hammered, either way.
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
    /// Requests a second, over all workers.
    #[arg(long, default_value_t = 2000)]
    rps: u32,
    /// The same, where Envoys and workers are killed.
    #[arg(long, default_value_t = 200)]
    killed_rps: u32,
    /// Envoys and workers that are killed in a run.
    #[arg(long, default_value_t = 6)]
    kills: usize,
    /// Keys whose first requests come all at once.
    #[arg(long, default_value_t = 5)]
    first_keys: usize,
    /// Requests that are sent far from the limit.
    #[arg(long, default_value_t = 10_000)]
    far: usize,
    /// Clients that come once in five seconds.
    #[arg(long, default_value_t = 100)]
    slow_clients: usize,
    /// For how many seconds they do.
    #[arg(long, default_value_t = 60)]
    slow_seconds: u64,
    /// Requests that are sent with a key that is denied, after each undisturbed run.
    #[arg(long, default_value_t = 5000)]
    denied: usize,
    /// For how many seconds the edge of a sliding window is watched, with a steady load and with bursts.
    #[arg(long, default_value_t = 12)]
    edge_seconds: u64,
    /// What is killed when follows from this.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    conclude("measure-limits", measure(&Args::parse()))
}

fn measure(args: &Args) -> Result<Report> {
    let plan = Plan {
        repetitions: args.repetitions,
        rps: args.rps,
        killed_rps: args.killed_rps,
        kills: args.kills,
        first_keys: args.first_keys,
        far: args.far,
        slow_clients: args.slow_clients,
        slow: Duration::from_secs(args.slow_seconds),
        denied: args.denied,
        edge: Duration::from_secs(args.edge_seconds),
        seed: args.seed,
    };
    let report = stage::perform(async |upstream, journal| limits::run(plan, upstream, journal).await)?;
    write_json(&args.output, &report)?;
    Ok(report)
}
