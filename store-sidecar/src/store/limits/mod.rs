//! The counters of global rate limits: what of each was used, and who has taken what of it ahead.
//!
//! An [`Account`] is the whole of one counter, with one pure step. The memory store keeps accounts; the
//! Redis store has the same step as a script (`account.lua`), and a test that both answer alike.

mod account;
mod count;
#[cfg(test)]
pub(super) mod tests;

use session_gate_protocol::{CounterId, Lease, Quota};

pub(super) use self::account::Account;

/// Parts that the counters are divided into, by the first two of their characters: all of a part are in one
/// slot of a Redis Cluster, with the index that bounds their number.
const SHARDS: usize = 64 * 64;

/// A lease, and what the step found out besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    /// What the worker is told.
    pub lease: Lease,
    /// Admissions that came back: of leases that were settled and not used up.
    pub returned: u64,
    /// Admissions in leases that ended without being settled: they count as used.
    pub lapsed: u64,
    /// Other counters that were forgotten to make room for this one.
    pub evicted: u64,
}

/// Whether two quotas count alike, whatever each allows.
pub(super) fn is_alike(a: &Quota, b: &Quota) -> bool {
    a.algorithm == b.algorithm && a.window_ms == b.window_ms
}

/// Which part a counter is of.
pub(super) fn shard_of(counter: &CounterId) -> &str {
    // An id is ASCII and has 16 characters.
    counter.as_str().get(..2).unwrap_or_default()
}

/// How many counters a part has at most, where there are to be `max_counters` in all.
pub(super) fn shard_capacity(max_counters: usize) -> usize {
    max_counters.div_ceil(SHARDS).max(1)
}
