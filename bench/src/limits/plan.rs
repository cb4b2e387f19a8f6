//! How much is measured.

use std::time::Duration;

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often each limit is hammered undisturbed, and how often while Envoys and workers are killed.
    pub repetitions: usize,
    /// Requests a second of undisturbed runs, over all workers.
    pub rps: u32,
    /// Requests a second of the others: few enough for the limit not to be reached before the killing is over.
    pub killed_rps: u32,
    /// Envoys and workers that are killed in a run.
    pub kills: usize,
    /// Keys whose first requests come all at once.
    pub first_keys: usize,
    /// Requests that are sent far from the limit.
    pub far: usize,
    /// Clients that come now and then, and for how long they do.
    pub slow_clients: usize,
    /// See `slow_clients`.
    pub slow: Duration,
    /// Requests with a key that is denied.
    pub denied: usize,
    /// For how long the window's edge is watched, each way.
    pub edge: Duration,
    /// What follows from chance follows from this.
    pub seed: u64,
}
