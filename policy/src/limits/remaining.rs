//! What a limit has left, as far as a worker knows.

use std::time::Duration;

use session_gate_protocol::{Quota, QuotaState};

/// What the store has said last.
#[derive(Debug)]
pub(super) struct StoreReport {
    pub(super) at: Duration,
    pub(super) quotas: Vec<QuotaState>,
}

/// What a quota has left for this worker's clients, as far as it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// The quota.
    pub quota: Quota,
    /// How many.
    pub remaining: u64,
    /// In what time there is more.
    pub reset: Duration,
}

impl Remaining {
    /// What each quota has left beside `own`, which is leased and not used.
    pub(super) fn of(quotas: &[Quota], said: &StoreReport, own: u64, now: Duration) -> Vec<Self> {
        let left = |(quota, state): (&Quota, &QuotaState)| {
            let reset = Duration::from_millis(state.reset_ms).saturating_sub(now.saturating_sub(said.at));
            Self { quota: *quota, remaining: state.remaining.saturating_add(own).min(quota.size()), reset }
        };
        quotas.iter().zip(&said.quotas).map(left).collect()
    }

    /// Nothing, for so long.
    pub(super) fn nothing(quota: &Quota, reset: Duration) -> Self {
        Self { quota: *quota, remaining: 0, reset }
    }
}
