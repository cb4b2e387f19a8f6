//! Tokens that are renewed: what takes the place of which, and whether it may.
//!
//! Held twice: when the store makes a successor, and when anybody is answered with one.

use std::collections::HashMap;

use session_gate_protocol::RenewRequest;

use crate::{
    clocks::Millis,
    numbers::{SessionNumber, TokenNumber},
    sidecar::ApiCall,
};

/// What must have happened in a large run.
pub const NEEDED: [(&str, &str); 8] = [
    ("calls", "renew"),
    ("renewals", "an older one refused"),
    ("renewals", "in place of one that has expired"),
    ("renewals", "of an expired cookie"),
    ("renewals", "shared"),
    ("renewals", "stored"),
    ("renewals", "told in a cookie"),
    ("renewals", "told in a header"),
];

/// By how much walls differ at most, in seconds.
pub(crate) const SLACK: u64 = 2;

/// What has taken the place of what.
#[derive(Debug, Default)]
pub(crate) struct Renewals {
    /// Of a token, the latest last: one that has expired may be replaced.
    pub(crate) successors: HashMap<TokenNumber, Vec<TokenNumber>>,
    /// Of a session: which renewal is current, and which one that took the place of.
    pub(crate) lines: HashMap<SessionNumber, (u64, u64)>,
}

/// A question for a token's successor, at a sidecar.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) shown: String,
    pub(crate) begun: Millis,
}

impl Renewals {
    /// What has taken a token's place.
    pub(crate) fn successor_of(&self, token: TokenNumber) -> Option<TokenNumber> {
        self.successors.get(&token)?.last().copied()
    }

    /// Whether that has ever taken the token's place.
    pub(crate) fn has_replaced(&self, token: TokenNumber, given: TokenNumber) -> bool {
        self.successors.get(&token).is_some_and(|all| all.contains(&given))
    }
}

/// The token whose successor a call asks for.
pub(crate) fn asked_about(call: &ApiCall) -> Option<String> {
    let is_meant = call.path == "/v1/tokens/renew";
    is_meant.then(|| serde_json::from_slice::<RenewRequest>(&call.body).ok().map(|ask| ask.token)).flatten()
}
