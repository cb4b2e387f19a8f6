//! The counters of global rate limits: what of each was used, and who has taken what of it ahead.
//!
//! An [`Account`] is the whole of one counter, with one pure step. The memory store keeps accounts; the
//! Redis store has the same step as a script (`account.lua`), and a test that both answer alike.

mod account;
mod count;
mod parts;
#[cfg(test)]
pub(super) mod tests;

use session_gate_protocol::{Lease, Quota};

pub(super) use self::account::Account;
pub(crate) use self::parts::{PARTS, Parts, SMALLEST_PART};

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
