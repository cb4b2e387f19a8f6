//! What becomes of a request.

use session_gate_protocol::{AllowReason, DenyReason};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// It passes.
    Allow(AllowReason),
    /// It is refused.
    Deny(DenyReason),
}
