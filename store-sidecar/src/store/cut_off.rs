//! How all sessions of a user end at once, and how they are listed: in steps that cost
//! the same however many there are.

use std::fmt;

use session_gate_protocol::{SessionData, SessionId, SessionStatus, UnixSeconds};

/// How many sessions are looked at in one step of the store: some two milliseconds of Redis, well below its usual
/// slow log.
pub const SWEEP_BATCH: usize = 32;

/// Which cut-off has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// The one that was asked for.
    New,
    /// One that began before, and has not been finished: by it the session is to end that was to go on by the new one,
    /// which has not begun. Whoever finishes it does what its own caller does, or did not live to do.
    Earlier,
    /// None: the session that was to go on is not the user's, or has ended.
    None,
}

/// A cut-off that has begun: nothing has ended by it yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BegunCutOff {
    /// Which it is.
    pub beginning: Beginning,
    /// Sessions of a generation before this are to end.
    pub before: u64,
    /// The session that goes on.
    pub except: Option<SessionId>,
    /// How many sessions the user's list has: those that end by it, and maybe some that ended before and have not been
    /// removed yet.
    pub listed: u64,
    /// When the last of them would have expired.
    pub latest_expiry: UnixSeconds,
    /// The store's time.
    pub now: UnixSeconds,
}

/// A place in a user's list of sessions, which is ordered by when they expire: `<seconds>-<session id>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexPlace {
    /// When the session there expires.
    pub expires_at: UnixSeconds,
    /// The session.
    pub id: SessionId,
}

impl fmt::Display for IndexPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.expires_at.0, self.id)
    }
}

impl IndexPlace {
    /// The place that was written so; none: it was not.
    pub fn parse(text: &str) -> Option<Self> {
        let (expires_at, id) = text.split_once('-')?;
        let expires_at = Some(expires_at).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
        // What Redis counts exactly.
        let expires_at = expires_at.parse().ok().filter(|at| *at < 1_u64 << 53)?;
        Some(Self { expires_at: UnixSeconds(expires_at), id: id.parse().ok()? })
    }
}

/// Which part of a user's list of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageAsk {
    /// Where the page before ended; none: from the start.
    pub after: Option<IndexPlace>,
    /// How many sessions are looked at.
    pub limit: usize,
}

/// A part of a user's list of sessions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionPage {
    /// Those that have not ended.
    pub sessions: Vec<SessionData>,
    /// Where the next page begins; none: this is the last.
    pub next: Option<IndexPlace>,
}

/// What a step of sweeping did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many sessions it removed from the list.
    pub removed: u64,
    /// Where the next step begins; none: all has been looked at.
    pub next: Option<IndexPlace>,
}

/// The session at `now`, where those of its user of a generation before `ended_before` have ended. What has expired by
/// itself stays expired.
pub(super) fn session_at(session: SessionData, ended_before: u64, now: UnixSeconds) -> SessionData {
    let session = session.at(now);
    if session.status.is_final() || session.generation >= ended_before {
        return session;
    }
    SessionData { status: SessionStatus::Terminated, ..session.bare() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written_and_nothing_else_is_one() {
        let id = SessionId::new(&"alice".parse().unwrap(), &[255; 32]);
        let place = IndexPlace { expires_at: UnixSeconds(1_790_000_000), id };
        assert_eq!(IndexPlace::parse(&place.to_string()), Some(place));
        for bad in ["", "1", "-", "1-", "1-x", "+1-K9gGyX.BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"] {
            assert!(IndexPlace::parse(bad).is_none(), "{bad:?}");
        }
    }
}
