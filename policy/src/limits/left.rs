//! What a limit has left, as far as a worker knows.

use std::time::Duration;

use session_gate_protocol::{Quota, QuotaState};

/// What the store has said last.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) at: Duration,
    pub(super) quotas: Vec<QuotaState>,
}

/// What a quota has left for this worker's clients, as far as it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// The quota.
    pub quota: Quota,
    /// How many.
    pub remaining: u64,
    /// In what time there is more.
    pub reset: Duration,
}

impl Left {
    /// What each quota has left beside `own`, which is leased and not used.
    pub(super) fn of(quotas: &[Quota], said: Option<&Said>, own: u64, now: Duration) -> Vec<Self> {
        let left = |(place, quota): (usize, &Quota)| {
            let said = said.and_then(|said| Some((said.at, said.quotas.get(place)?)));
            let (remaining, reset) = said.map_or_else(Default::default, |(at, state)| {
                let reset = Duration::from_millis(state.reset_ms).saturating_sub(now.saturating_sub(at));
                (state.remaining, reset)
            });
            Self { quota: *quota, remaining: remaining.saturating_add(own).min(quota.size()), reset }
        };
        quotas.iter().enumerate().map(left).collect()
    }
}
