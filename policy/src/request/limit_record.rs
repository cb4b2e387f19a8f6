//! What a request's limits have said, and what it has taken of them.

use std::{rc::Rc, time::Duration};

use session_gate_protocol::MAX_REQUESTS;

use crate::{
    http::headers::{HeaderChange, Headers},
    limits::{KeyText, LeaseDraw, Ledger, Limit, Report, RouteLimits},
};

/// What a request has been told, and what it has taken.
#[derive(Debug, Default)]
pub(super) struct LimitRecord {
    /// What it has taken that is not settled yet.
    pub(super) tickets: Vec<Ticket>,
    /// What its client is told.
    pub(super) report: Option<Report>,
    /// After which time it may come again.
    pub(super) retry: Option<Duration>,
    /// For the access log.
    pub(super) notes: String,
}

/// What was taken of a limit, and may have to be corrected when the answer is there.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) limit: Rc<Limit>,
    pub(super) key: KeyText,
    /// From which leases.
    pub(super) drawn: Vec<LeaseDraw>,
}

impl LimitRecord {
    /// The answer is there: what it says of its cost is nobody else's business. Where it does not say, the request has
    /// cost what was taken.
    pub(super) fn settle_costs(
        &mut self,
        limits: &RouteLimits,
        answer: &Headers,
        ledger: Option<&mut Ledger>,
        now: Duration,
    ) -> Vec<HeaderChange> {
        let said = |header: &str| answer.text(header).and_then(cost_said);
        if let Some(ledger) = ledger {
            for Ticket { limit, key, drawn } in &self.tickets {
                if let Some(header) = limit.cost.header() {
                    let cost = said(header).unwrap_or(limit.reserve()).min(MAX_REQUESTS);
                    ledger.correct(key, drawn, limit.reserve(), cost, now);
                }
            }
        }
        self.tickets.retain(|ticket| ticket.limit.is_in_flight());
        let headers = limits.cost_headers().filter(|header| answer.has(header));
        headers.map(|header| HeaderChange::Remove(header.to_owned())).collect()
    }

    /// The stream has ended: what it held counts no more, and no answer will say what it has cost.
    pub(super) fn release(&self, ledger: &mut Ledger, now: Duration) {
        for Ticket { limit, key, drawn } in &self.tickets {
            if limit.is_in_flight() {
                ledger.release(key, now);
            } else {
                ledger.correct(key, drawn, limit.reserve(), limit.reserve(), now);
            }
        }
    }
}

/// The cost that an answer says: a number, however large.
fn cost_said(text: &str) -> Option<u64> {
    let digits = text.trim();
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_a_number_however_large() {
        assert_eq!([" 7 ", "0", "99999999999999999999"].map(cost_said), [Some(7), Some(0), Some(u64::MAX)]);
        assert_eq!(["", "-1", "+1", "1.5", "1e3", "7 8"].map(cost_said), [None; 6]);
    }
}
