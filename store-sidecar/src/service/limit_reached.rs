//! Why a login was refused whose user has as many sessions as allowed, and the way out.

use std::fmt;

use session_gate_protocol::ListedSession;

/// A login was refused, because its user has as many sessions as allowed.
#[derive(Debug)]
pub struct LimitReached {
    /// How many that are.
    pub max: usize,
    /// The first of them, the one that expires last first.
    pub sessions: Vec<ListedSession>,
    /// The handle by which the same login succeeds once.
    pub takeover: Option<Handle>,
}

/// A credential, which no log shows.
pub struct Handle(pub(super) String);

impl Handle {
    /// The handle itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle(…)")
    }
}
