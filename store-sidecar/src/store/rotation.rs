//! How a session goes on under a new id.

use session_gate_protocol::{Scopes, SessionData, SessionId, SessionStatus, SlotTag, UnixSeconds, UserId};

use super::error::{StoreError, StoreErrorKind};

/// A session's new id, and what changes with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotation {
    /// Whose session it is.
    pub user_id: UserId,
    /// The new id, fresh and made for that user.
    pub id: SessionId,
    /// What the session permits from now on; none: what it did.
    pub scopes: Option<Scopes>,
}

/// What became of a rotation.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one is made for an elevation, and taken apart at once")]
pub enum Rotated {
    /// The old id is dead; this is the session under its new one.
    Done(SessionData),
    /// The user has no such session.
    NotFound,
    /// The session's status does not allow it; nothing was changed.
    Refused(SessionStatus),
}

impl Rotation {
    /// Checks what no client can cause.
    ///
    /// # Errors
    /// `Conflict` where the id was made for another user.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.id.tag() == SlotTag::of_user(&self.user_id) {
            return Ok(());
        }
        Err(StoreError::new(StoreErrorKind::Conflict, "the session id was made for another user"))
    }

    /// The session under its new id. It begins now, and ends when it would have ended. Its generation stays: what ends all of
    /// the user's sessions of that generation ends it, too, also where that has begun and not been finished.
    pub(super) fn of(&self, old: SessionData, now: UnixSeconds) -> SessionData {
        SessionData {
            session_id: self.id.clone(),
            status: SessionStatus::Active,
            scopes: self.scopes.clone().or(old.scopes),
            created_at: now,
            last_activity: now,
            version: 1,
            ..old
        }
    }
}
