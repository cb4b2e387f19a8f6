//! What the store has done about logins and their tokens, in its order.

use std::sync::{Mutex, PoisonError};

use session_gate_protocol::SessionId;
use store_sidecar::store::LoginHash;

use crate::crowd::AdmissionStep;

/// A step that the store has done.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionStep {
    /// A login with a limit was let in, or was not.
    Admitted(Box<AdmissionStep>),
    /// What was counted of an account's failed logins was forgotten.
    Forgotten(LoginHash),
    /// A token's successor was stored, or found.
    Renewed {
        /// The session.
        session: SessionId,
        /// Which renewal was shown.
        shown: u64,
        /// Which one the successor comes after.
        replaced: u64,
        /// Whether the successor is new.
        is_new: bool,
    },
}

/// The steps since somebody asked.
#[derive(Debug, Default)]
pub struct SessionSteps(Mutex<Vec<SessionStep>>);

impl SessionSteps {
    /// One more.
    pub fn note(&self, step: SessionStep) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(step);
    }

    /// Those since somebody asked.
    pub fn take(&self) -> Vec<SessionStep> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
