//! How the token of a session gets a successor.

use session_gate_protocol::{SessionStatus, UserId};

/// A token that is shown to be renewed, and what may take its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// Whose session it is.
    pub user_id: UserId,
    /// Which renewal of the session's token is shown; the first is 0.
    pub shown: u64,
    /// Which renewal the candidate comes after: the one that is shown, or that one's successor where it has expired. The
    /// candidate's own is the next.
    pub replaced: u64,
    /// The candidate, sealed for whoever shows that token.
    pub sealed: String,
}

/// What became of a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The candidate is the token's successor.
    Stored {
        /// Whether a browser may keep the session's cookie when it is closed.
        is_persistent: bool,
    },
    /// The token had a successor already.
    Before {
        /// The successor, sealed for whoever shows the token.
        sealed: String,
        /// Whether a browser may keep the session's cookie when it is closed.
        is_persistent: bool,
    },
    /// The token is older than the session's current renewal and the one before; nothing was changed.
    Superseded,
    /// The user has no such session.
    NotFound,
    /// The session's status does not allow it; nothing was changed.
    Refused(SessionStatus),
}

/// What a store keeps of a session's renewals.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// The current renewal.
    current: u64,
    /// The one that it is the successor of; none: the token of the login.
    predecessor: Option<u64>,
    /// The current one, sealed for whoever shows its predecessor.
    pub(super) sealed: String,
}

impl Chain {
    /// Whether the candidate becomes the successor of the token that is shown. A token of a later renewal than the store
    /// knows is believed: it is signed, and the store has lost it.
    pub(super) fn takes(&self, renewal: &Renewal) -> bool {
        let Renewal { shown, replaced, .. } = renewal;
        (shown == replaced && *shown >= self.current) || (self.is_predecessor(renewal) && *replaced == self.current)
    }

    /// Whether the token that is shown is the one that has a successor.
    pub(super) fn is_predecessor(&self, renewal: &Renewal) -> bool {
        self.predecessor == Some(renewal.shown)
    }

    /// The chain with the candidate.
    pub(super) fn after(renewal: &Renewal) -> Self {
        let Renewal { user_id: _, shown, replaced, sealed } = renewal;
        Self { current: replaced.saturating_add(1), predecessor: Some(*shown), sealed: sealed.clone() }
    }
}
