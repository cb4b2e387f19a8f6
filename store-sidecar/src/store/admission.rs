//! How many sessions a user may have: what a new one is admitted by, and which ones end for it.
//!
//! Which ones end is known only in the step that ends them, and everybody must be told of that before anybody is
//! answered. So the caller first notes that sessions are about to end, the step notes which, and both notes go once
//! everybody has been told; where the caller dies before, another finds the notes and tells.

use std::time::Duration;

use session_gate_protocol::{SessionData, SessionId, SessionStatus, UnixSeconds, UserId, WhenFull};

use super::lockout::LoginHash;
use super::operation::OperationId;

/// How many sessions one step ends at most: some milliseconds of Redis.
pub const MAX_ENDED: usize = 256;

/// How many sessions of a user one step looks at: more than any limit allows.
pub const MAX_LOOKED_AT: usize = 2_048;

/// For how long a session that waits for its second factor counts. Where there is no room one that has waited for longer
/// ends.
pub const PENDING_COUNTS_FOR: Duration = Duration::from_mins(10);

/// How many sessions that one device has just begun do not count at most.
pub const MAX_TWINS: usize = 4;

/// What a new session is admitted by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// The user's sessions of a generation before this have ended, as the feed says: a store that has lost that counts
    /// on from here.
    pub floor: u64,
    /// How many sessions the user may have; none: any number.
    pub limit: Option<SessionLimit>,
    /// The session that ends in the same step, of which everybody has been told. It does not count.
    pub replaces: Option<SessionId>,
    /// Whether the caller has noted that sessions are about to end: see
    /// [`Store::note_evictions`](super::Store::note_evictions).
    pub is_noted: bool,
    /// The device that logs in, where the account knows it.
    pub device: Option<LoginDevice>,
    /// Sessions of the user that the store has said to be in the way, see [`Admitted::Unknown`]. Of what has begun since it is
    /// known that it counts, and that it was used later than these.
    pub known: Vec<SessionId>,
}

/// A device that logs in. What it has just begun neither counts nor ends, up to four: whoever sends a form twice
/// keeps one of two cookies, and must not be left with that of a session that the other login has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginDevice {
    /// Its token's hash.
    pub hash: LoginHash,
    /// For how long a session has just begun.
    pub window: Duration,
}

/// How many sessions a user may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimit {
    /// At least 1.
    pub max: usize,
    /// What becomes of one more.
    pub when_full: WhenFull,
}

/// What became of a new session.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one is made for a login, and taken apart at once")]
pub enum Admitted {
    /// It has begun.
    Created {
        /// The session.
        session: SessionData,
        /// Those that have ended by this operation, and that nobody has been told of yet.
        ended: Vec<EndedSession>,
        /// How many sessions the user now has beyond the limit.
        beyond: u64,
    },
    /// The user has as many as allowed: it has not begun. Only what has waited for its second factor for too long has
    /// ended.
    Full(Vec<EndedSession>),
    /// These have ended, and there is more to do than one step does: call again.
    Partly(Vec<EndedSession>),
    /// Sessions would end, and the caller has not noted that: nothing was changed.
    NotNoted,
    /// These sessions are in the way, and the caller must name them: a step of a Cluster uses no key that is not named.
    Unknown(Vec<SessionId>),
}

/// A session that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedSession {
    /// The session.
    pub id: SessionId,
    /// When it would have ended by itself.
    pub expires_at: UnixSeconds,
}

/// Sessions that an operation has ended, and that nobody may have been told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    /// Whose.
    pub user: UserId,
    /// The operation.
    pub op: OperationId,
    /// The sessions; none: none has ended by it, or all have been told.
    pub ended: Vec<EndedSession>,
}

/// Whether a session that has not ended counts.
pub(crate) fn counts(session: &SessionData, now: UnixSeconds) -> bool {
    session.status != SessionStatus::Pending2fa || now.since(session.created_at) < PENDING_COUNTS_FOR
}
