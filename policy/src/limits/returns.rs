//! What keys that were forgotten had leased, and is still to be handed back.

use std::time::Duration;

use session_gate_protocol::{CounterId, LeaseAsk, MAX_SETTLED, Quota, SettledLease};

use super::question::Question;

/// Leases of forgotten keys that are still to be handed back, at most. What is beyond counts as used.
const MAX_RETURNS: usize = 1024;

/// What is to be handed back.
#[derive(Default)]
pub(super) struct Returns(Vec<Return>);

/// What one key had leased.
pub(super) struct Return {
    pub(super) counter: CounterId,
    pub(super) quotas: Vec<Quota>,
    pub(super) settle: Vec<SettledLease>,
    pub(super) owed: u64,
    /// Not before then: the store could not be asked.
    pub(super) from: Duration,
    /// After that there is nothing to settle.
    pub(super) until: Duration,
}

impl Returns {
    /// One more, while there is room.
    pub(super) fn add(&mut self, back: Return) {
        if self.0.len() < MAX_RETURNS {
            self.0.push(back);
        }
    }

    /// Adds them to what is asked, up to so many questions in all. One call asks about each counter once.
    pub(super) fn add_to(&mut self, questions: &mut Vec<Question>, most: usize, last_lease: &mut u64, now: Duration) {
        let mut later = Vec::new();
        for back in std::mem::take(&mut self.0) {
            if back.until <= now && back.owed == 0 {
                continue;
            }
            let is_there = questions.iter().any(|question| question.ask.counter == back.counter);
            if is_there || questions.len() >= most || now < back.from {
                later.push(back);
                continue;
            }
            let Return { counter, quotas, mut settle, owed, .. } = back;
            settle.truncate(MAX_SETTLED);
            *last_lease += 1;
            let ask = LeaseAsk { counter, quotas, settle, owed, lease: *last_lease, kept: 0, need: 0, want: 0 };
            questions.push(Question { key: None, ask });
        }
        self.0 = later;
    }
}
