use serde::{Deserialize, Serialize};

/// An error of the sidecar's API as its callers see it: `application/problem+json` (RFC 9457) with a
/// stable `code`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// Identifies the kind of problem: `urn:session-gate:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words, always the same for one `code`.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable name of the kind.
    pub code: ProblemCode,
    /// What is wrong in this case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The fields that are wrong, where the problem is in the input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

/// One field of a request that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldProblem {
    /// Its path, such as `metadata` or `scopes[1]`.
    pub field: String,
    /// What is allowed.
    pub message: String,
}

/// What kind of problem it is: a closed set, the label of the error metric too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// Too many others change the same at the moment: try again.
    Contended,
    /// The request's credential is missing or unknown.
    CredentialInvalid,
    /// The request's credential is for another role.
    CredentialNotPermitted,
    /// The same request, with the same `Idempotency-Key`, is under way.
    IdempotencyInProgress,
    /// The `Idempotency-Key` was used for another request.
    IdempotencyKeyReused,
    /// Something is wrong in the sidecar itself.
    Internal,
    /// The request's body or parameters are wrong.
    InvalidRequest,
    /// Logins of that account, or from that address, are refused for a while.
    LoginLocked,
    /// There is no such resource.
    NotFound,
    /// The method does not exist here.
    MethodNotAllowed,
    /// The body is larger than allowed.
    PayloadTooLarge,
    /// The user has as many sessions as allowed.
    SessionLimitReached,
    /// The status cannot change that way, or the session has ended.
    StateConflict,
    /// The store cannot be reached or did not answer in time: try again.
    StoreUnavailable,
    /// The body has another media type than the one asked for.
    UnsupportedMediaType,
    /// If-Match names another version than the current one.
    VersionMismatch,
}

impl ProblemCode {
    /// Every code, in the order of their names.
    pub const ALL: [Self; 16] = [
        Self::Contended,
        Self::CredentialInvalid,
        Self::CredentialNotPermitted,
        Self::IdempotencyInProgress,
        Self::IdempotencyKeyReused,
        Self::Internal,
        Self::InvalidRequest,
        Self::LoginLocked,
        Self::MethodNotAllowed,
        Self::NotFound,
        Self::PayloadTooLarge,
        Self::SessionLimitReached,
        Self::StateConflict,
        Self::StoreUnavailable,
        Self::UnsupportedMediaType,
        Self::VersionMismatch,
    ];

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Contended => "contended",
            Self::CredentialInvalid => "credential_invalid",
            Self::CredentialNotPermitted => "credential_not_permitted",
            Self::IdempotencyInProgress => "idempotency_in_progress",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::Internal => "internal",
            Self::InvalidRequest => "invalid_request",
            Self::LoginLocked => "login_locked",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotFound => "not_found",
            Self::PayloadTooLarge => "payload_too_large",
            Self::SessionLimitReached => "session_limit_reached",
            Self::StateConflict => "state_conflict",
            Self::StoreUnavailable => "store_unavailable",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::VersionMismatch => "version_mismatch",
        }
    }

    /// The HTTP status that goes with it.
    pub const fn status(self) -> u16 {
        match self {
            Self::CredentialInvalid => 401,
            Self::CredentialNotPermitted => 403,
            Self::Internal => 500,
            Self::InvalidRequest => 400,
            Self::LoginLocked => 429,
            Self::MethodNotAllowed => 405,
            Self::NotFound => 404,
            Self::PayloadTooLarge => 413,
            Self::IdempotencyInProgress | Self::SessionLimitReached | Self::StateConflict => 409,
            Self::IdempotencyKeyReused => 422,
            Self::Contended | Self::StoreUnavailable => 503,
            Self::UnsupportedMediaType => 415,
            Self::VersionMismatch => 412,
        }
    }

    /// The kind in words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Contended => "Too many others change the same at the moment",
            Self::CredentialInvalid => "Missing or unknown credential",
            Self::CredentialNotPermitted => "This credential's role may not do this",
            Self::IdempotencyInProgress => "The same request is under way",
            Self::IdempotencyKeyReused => "The Idempotency-Key was used for another request",
            Self::Internal => "The sidecar failed",
            Self::InvalidRequest => "The request is not valid",
            Self::LoginLocked => "Too many failed logins",
            Self::MethodNotAllowed => "This method does not exist here",
            Self::NotFound => "There is no such resource",
            Self::PayloadTooLarge => "The body is larger than allowed",
            Self::SessionLimitReached => "The user has as many sessions as allowed",
            Self::StateConflict => "The current state does not allow this",
            Self::StoreUnavailable => "The store cannot be reached",
            Self::UnsupportedMediaType => "The body's media type is not supported",
            Self::VersionMismatch => "The session has changed meanwhile",
        }
    }
}

impl Problem {
    /// The problem of that kind, without detail.
    pub fn new(code: ProblemCode) -> Self {
        Self {
            kind: format!("urn:session-gate:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            code,
            detail: None,
            errors: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_name() {
        for code in ProblemCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
