use session_gate_protocol::{ETag, FieldProblem};
use thiserror::Error;

use super::limit_reached::LimitReached;
use crate::{keys::MintError, rng::NoRandomness, store::StoreError};

/// Why the service did not do what it was asked. Nothing was changed, except where a store's error
/// says that nobody knows.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// The same request is under way.
    #[error("the same request is under way")]
    IdempotencyInProgress,
    /// The key was used for another request.
    #[error("the Idempotency-Key was used for another request")]
    IdempotencyKeyReused,
    /// Something in the service itself failed.
    #[error("the service failed")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The request's fields are wrong.
    #[error("the request is not valid")]
    Invalid(Vec<FieldProblem>),
    /// Logins of that account, or from that address, are refused for a while.
    #[error("too many logins have failed")]
    LoginLocked {
        /// For how many seconds.
        retry_after: u64,
    },
    /// The rule's id is that of another kind of rule.
    #[error("the rule is of another kind")]
    RuleOfAnotherKind {
        /// Where that kind is removed.
        removed_at: &'static str,
    },
    /// The user has as many sessions as allowed.
    #[error("the user has as many sessions as allowed")]
    SessionLimitReached(Box<LimitReached>),
    /// There is no such session.
    #[error("there is no such session")]
    SessionNotFound,
    /// The session's status does not allow it; the text is for the client.
    #[error("{0}")]
    StateConflict(String),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The token is none of this service's.
    #[error("the token is none of this service's")]
    TokenUnknown,
    /// The session has changed since the caller read it.
    #[error("the session has another version")]
    VersionMismatch {
        /// The version that it has.
        current: ETag,
    },
}

impl From<MintError> for ServiceError {
    fn from(error: MintError) -> Self {
        Self::Internal(Box::new(error))
    }
}

impl From<NoRandomness> for ServiceError {
    fn from(error: NoRandomness) -> Self {
        Self::Internal(Box::new(error))
    }
}

impl ServiceError {
    /// No error where there is no problem.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] where there is one.
    pub(super) fn unless_empty(problems: Vec<FieldProblem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self::Invalid(problems)) }
    }
}
