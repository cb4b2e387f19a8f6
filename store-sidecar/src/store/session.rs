//! What a store is asked about one session, and what it replies.

use std::time::Duration;

use session_gate_protocol::{
    CheckVerdict, CheckedSession, ETag, InvalidTransition, NewSession, Scopes, SessionData, SessionId, SessionStatus,
    SlotTag, UnixSeconds,
};

use super::error::{StoreError, StoreErrorKind};
use super::settings::{MAX_LIFETIME, StoreSettings};

/// Everything about a new session that the caller decides. When it was created, and so when it
/// expires, is decided by the store's clock.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateSession {
    /// A fresh id, made for the user of `session`.
    pub id: SessionId,
    /// What the client of the API asked for; its `duration` has been resolved into the next field.
    pub session: NewSession,
    /// How long it lives at most.
    pub duration: Duration,
    /// How long it lives without activity; none: as long as with.
    pub idle_timeout: Option<Duration>,
    /// Whether a browser may keep its cookie when it is closed: by its class.
    pub is_persistent: bool,
}

impl CreateSession {
    /// Checks what no client can cause: the API answers for these before it asks the store.
    ///
    /// # Errors
    /// `Conflict` where the id was made for another user, or the metadata is larger than allowed.
    pub(super) fn check(&self, settings: &StoreSettings) -> Result<(), StoreError> {
        if self.id.tag() != SlotTag::of_user(&self.session.user_id) {
            return Err(StoreError::new(StoreErrorKind::Conflict, "the session id was made for another user"));
        }
        if !settings.metadata_fits(&self.session.metadata) {
            return Err(StoreError::new(StoreErrorKind::Conflict, "the metadata is larger than the store's limit"));
        }
        Ok(())
    }

    /// The status that it starts with.
    const fn status(&self) -> SessionStatus {
        if self.session.pending_2fa { SessionStatus::Pending2fa } else { SessionStatus::Active }
    }

    /// The session that this makes at `now`, of that generation among its user's.
    pub(super) fn created_at(self, now: UnixSeconds, generation: u64) -> SessionData {
        let status = self.status();
        let NewSession { user_id, ip_address, user_agent, device_type, location, metadata, scopes, class, .. } =
            self.session;
        SessionData {
            session_id: self.id,
            user_id,
            ip_address,
            user_agent,
            device_type,
            location,
            created_at: now,
            last_activity: now,
            expires_at: now.after(self.duration.min(MAX_LIFETIME)),
            idle_timeout: self.idle_timeout.map(|idle| idle.min(MAX_LIFETIME).as_secs()),
            status,
            scopes,
            class,
            persistent: self.is_persistent,
            metadata,
            version: 1,
            generation,
        }
    }
}

/// What became of an update.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// It was applied; this is the session now.
    Applied(SessionData),
    /// The patch asks for a change of status that is not allowed; nothing was changed.
    InvalidTransition(InvalidTransition),
    /// The metadata would have grown beyond the store's limit; nothing was changed.
    MetadataTooLarge {
        /// The limit, in bytes of JSON.
        max_bytes: usize,
    },
    /// There is no such session.
    NotFound,
    /// The session has ended: it cannot be changed.
    Ended(SessionData),
    /// The session's version is not the expected one; nothing was changed.
    VersionMismatch {
        /// The version that it has.
        current: ETag,
    },
}

/// What is known of a later version of a session than the store has: the store has lost it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaterVersion {
    /// The version.
    pub version: u64,
    /// Whether the session is suspended in it; otherwise its status is not known.
    pub is_suspended: bool,
    /// Its scopes, where they were changed.
    pub scopes: Option<Option<Scopes>>,
}

impl LaterVersion {
    /// The session in that version.
    #[must_use]
    pub fn of(self, session: SessionData) -> SessionData {
        let Self { version, is_suspended, scopes } = self;
        let status = if is_suspended { SessionStatus::Suspended } else { session.status };
        let scopes = scopes.unwrap_or_else(|| session.scopes.clone());
        SessionData { status, scopes, version, ..session }
    }
}

/// What became of a request to end a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Termination {
    /// It ended now.
    Ended,
    /// It had ended before.
    AlreadyEnded,
    /// There is no such session.
    NotFound,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// What is known of the token and its session.
    pub verdict: CheckVerdict,
    /// The session, where it may be used: active, or waiting for its second factor.
    pub session: Option<CheckedSession>,
}

impl Checked {
    /// What a check of that session finds, where no token is in question.
    pub fn of(session: &SessionData) -> Self {
        let checked = || CheckedSession {
            session_id: session.session_id.clone(),
            expires_at: session.expires_at,
            idle_timeout: session.idle_timeout,
            scopes: session.scopes.clone(),
            version: session.version,
            generation: session.generation,
        };
        Self { verdict: session.status.verdict(), session: session.status.may_mint().then(checked) }
    }
}

impl From<CheckVerdict> for Checked {
    fn from(verdict: CheckVerdict) -> Self {
        Self { verdict, session: None }
    }
}
