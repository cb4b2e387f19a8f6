//! Questions to the store about limits.

use session_gate_protocol::LeaseAsk;

use super::demand::KeyText;

/// A question to the store under way.
#[derive(Clone, Debug)]
pub struct Question {
    /// What it is about; none: a key that was forgotten.
    pub key: Option<KeyText>,
    /// As it is sent.
    pub ask: LeaseAsk,
}

/// Whether the store can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reachable {
    /// It cannot.
    No,
    /// It can again.
    Yes,
}
