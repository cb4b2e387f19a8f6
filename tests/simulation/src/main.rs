//! `make sim`: runs the simulation, and says what it has shown.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use clap::Parser;
use session_gate_simulation::{
    recorded,
    simulation::{SHOWN, simulate},
};
use tokio::time::Instant;

/// A run this large exercises everything, or says that it has not.
const LARGE: u64 = 1_000_000;

/// Session Gate on virtual time.
#[derive(Debug, Parser)]
struct Arguments {
    /// Client operations.
    #[arg(long, default_value_t = LARGE)]
    ops: u64,
    /// What everything follows from; a new one each time where it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs at a time.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Lines of a trace.
    #[arg(long, default_value_t = SHOWN)]
    lines: usize,
    /// Play the recorded scenarios, and nothing else.
    #[arg(long)]
    scenarios: bool,
}

fn main() -> Result<ExitCode> {
    let Arguments { ops, seed, threads, lines, scenarios } = Arguments::parse();
    if scenarios {
        return play_recorded();
    }
    let seed = seed.unwrap_or_else(|| fastrand::Rng::new().u64(..));
    println!("again: make sim SEED={seed} OPS={ops}");
    let start = Instant::now();
    let summary = simulate(seed, ops, threads, lines)?;
    let took = start.elapsed();
    print!("{}", summary.table());
    let per_second = summary.ops as f64 / took.as_secs_f64();
    println!("{} runs, {} ops in {took:.1?}: {per_second:.0} ops/s", summary.runs, summary.ops);
    println!("virtual time: {:?}; history {:016x}", Duration::from_secs(summary.virtual_time.as_secs()), summary.hash);
    if let Some(failure) = summary.failure {
        println!("found after {} ops and {took:.1?}", summary.ops);
        println!("{failure}");
        return Ok(ExitCode::FAILURE);
    }
    println!("no promise was broken");
    let missing = summary.missing();
    if summary.ops >= LARGE && !missing.is_empty() {
        println!("EXERCISED TOO LITTLE, which is no broken promise: {} never happened", missing.join("; "));
    }
    Ok(ExitCode::SUCCESS)
}

/// Plays the recorded scenarios: what was found once.
fn play_recorded() -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for scenario in recorded::all() {
        let name = scenario.name();
        match scenario.play()? {
            None => println!("as promised: {name}"),
            Some(failure) => {
                println!("{failure}");
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}
