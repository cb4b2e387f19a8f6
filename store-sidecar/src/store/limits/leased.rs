//! What became of a question for a lease.

use session_gate_protocol::Lease;

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
