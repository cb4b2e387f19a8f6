//! Many runs, over two threads, and what has come of them.

use std::{
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Result, anyhow};
use tokio::runtime::Builder;

use crate::world::World;
pub use crate::{
    counts::Counts,
    history::SHOWN,
    promise::{Promise, Violation},
    world::Outcome,
};

/// Client operations of one run.
const OPS_PER_RUN: u64 = 20_000;

/// What all runs together have shown.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many runs there were.
    pub runs: u64,
    /// How many client operations.
    pub ops: u64,
    /// How much virtual time has passed in all.
    pub virtual_time: Duration,
    /// The hash over the histories of all runs.
    pub hash: u64,
    /// The first promise that was broken, as text: what happened, and how to see it again.
    pub failure: Option<String>,
    counts: Counts,
}

/// Runs one seed. Of what leads to a broken promise it shows so many lines.
///
/// # Errors
/// Where the world itself cannot be made.
pub fn run(seed: u64, ops: u64, shown: usize) -> Result<Outcome> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(async { World::new(seed, ops).await?.run(shown).await })
}

/// Runs that many operations from that seed on, in runs of their own.
///
/// # Errors
/// Where a world cannot be made.
pub fn simulate(seed: u64, ops: u64, threads: usize, shown: usize) -> Result<Summary> {
    let runs = ops.div_ceil(OPS_PER_RUN).max(1);
    let next = Mutex::new(0);
    let summary = Mutex::new(Summary::default());
    let problems: Vec<_> = thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let number = {
                    let mut next = locked(&next);
                    if *next >= runs || locked(&summary).failure.is_some() {
                        return Ok(());
                    }
                    *next += 1;
                    *next - 1
                };
                let ops = OPS_PER_RUN.min(ops - number * OPS_PER_RUN);
                let seed = seed_of(seed, number);
                let outcome = run(seed, ops, shown)?;
                locked(&summary).add(seed, ops, outcome);
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("a run panicked"))).err())
            .collect()
    });
    match problems.into_iter().next() {
        Some(problem) => Err(problem),
        None => Ok(summary.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

/// The first run has the seed itself, so that a run that was found is run again by its own seed.
fn seed_of(seed: u64, number: u64) -> u64 {
    if number == 0 { seed } else { fastrand::Rng::with_seed(seed ^ number.rotate_left(32)).u64(..) }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Summary {
    fn add(&mut self, seed: u64, ops: u64, outcome: Outcome) {
        self.runs += 1;
        self.ops += outcome.ops;
        self.virtual_time += outcome.virtual_time;
        // In whatever order runs end.
        self.hash ^= outcome.hash;
        self.counts.merge(&outcome.counts);
        if let Some((violation, trace)) = outcome.violation {
            let mut text = format!("BROKEN: {}: {}\n", violation.promise, violation.text);
            for line in trace {
                let _ = writeln!(text, "  {line}");
            }
            let _ = write!(text, "again: make sim SEED={seed} OPS={ops}");
            self.failure.get_or_insert(text);
        }
    }

    /// What should have happened in so large a run and never has.
    pub fn missing(&self) -> Vec<String> {
        self.counts.missing()
    }

    /// How often what happened, as a table.
    pub fn table(&self) -> String {
        self.counts.to_string()
    }
}
