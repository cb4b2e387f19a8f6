//! What a store keeps of a session's refresh tokens.

use session_gate_protocol::{SessionStatus, UnixSeconds};

/// What is stored of a session's refresh tokens: a text that the service alone understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshRecord {
    /// The text.
    pub text: String,
    /// The store's time when it was read.
    pub now: UnixSeconds,
}

/// What became of a change of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshPut {
    /// It is stored.
    Done,
    /// Another text is stored than the caller has read; nothing was changed.
    Changed,
    /// There is no such session.
    NotFound,
    /// The session's status does not allow it; nothing was changed.
    Refused(SessionStatus),
}
