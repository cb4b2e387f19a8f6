//! The gate's own endpoints for clients, below `/.session-gate/`.
//!
//! The sidecar serves them, behind a route of Envoy's. It believes no header of ours: it is shown the very token that was
//! found good here, and verifies it itself. So nothing that the gate adds is worth anything to another upstream.

use session_gate_protocol::{SESSION_PATH, TOKEN_PATH};

use crate::http::headers::HeaderChange;

/// One of the gate's own endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Whose session it is, and until when.
    Session,
    /// Exchanges a refresh token.
    Token,
}

impl Endpoint {
    /// Its path.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Session => SESSION_PATH,
            Self::Token => TOKEN_PATH,
        }
    }

    /// Its method.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Session => "GET",
            Self::Token => "POST",
        }
    }

    /// What the sidecar gets of the caller's credentials: the session's token where that is asked about, however it came,
    /// and nothing else. `token`: the one that was found good.
    pub fn credentials(self, token: &str) -> [HeaderChange; 2] {
        let authorization = match self {
            Self::Session => HeaderChange::set("authorization", format!("Bearer {token}")),
            Self::Token => HeaderChange::Remove("authorization".to_owned()),
        };
        [HeaderChange::Remove("cookie".to_owned()), authorization]
    }
}
