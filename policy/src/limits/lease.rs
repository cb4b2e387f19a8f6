//! A lease in a worker's hands.

use std::time::Duration;

use session_gate_protocol::{MAX_LEASE_MS, SettledLease};

/// No lease lives longer: after that there is nothing to settle.
pub(super) const LONGEST_LEASE: Duration = Duration::from_millis(MAX_LEASE_MS);

/// A lease that may live longer has so little of its limit that nobody misses it soon.
const LONG_LEASE: Duration = Duration::from_secs(10);

/// A lease.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldLease {
    pub(super) number: u64,
    pub(super) granted: u64,
    pub(super) used: u64,
    /// Requests that have taken of it, and whose cost their answers will say.
    pub(super) pending: u64,
    pub(super) asked_at: Duration,
    pub(super) lifetime: Duration,
}

/// What was taken from one lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseDraw {
    /// The lease's number.
    pub lease: u64,
    /// How many.
    pub count: u64,
}

impl HeldLease {
    /// Until when it can be used. Less than its lifetime, for this clock may be slow: by a hundredth, and
    /// the store's fast by as much; and the store's milliseconds are whole.
    pub(super) fn ends_at(&self) -> Duration {
        let safe = self.lifetime - self.lifetime / 50;
        self.asked_at.saturating_add(safe.saturating_sub(Duration::from_millis(1)))
    }

    /// How long it may lie unused.
    pub(super) fn patience(&self) -> Duration {
        if self.lifetime > LONG_LEASE { self.lifetime * 3 / 4 } else { self.lifetime / 4 }
    }

    /// From when on it is handed back: in time for the store to hear of it.
    pub(super) fn return_at(&self) -> Duration {
        self.asked_at.saturating_add(self.lifetime * 3 / 4)
    }

    /// Whether more of it may come back with the answers of requests. They may take longer than it lives.
    pub(super) fn awaits_costs(&self, now: Duration) -> bool {
        self.pending > 0 && now < self.return_at()
    }

    pub(super) const fn left(&self) -> u64 {
        self.granted.saturating_sub(self.used)
    }

    pub(super) const fn settled(&self) -> SettledLease {
        SettledLease { lease: self.number, used: self.used }
    }
}
