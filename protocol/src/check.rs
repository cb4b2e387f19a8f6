use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Claims, Scopes, SessionId, TokenId, UnixSeconds, UserId};

/// Body of `POST /v1/check`: may this credential be used? Asked by the filter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// What the request brings.
    pub credential: CheckedCredential,
    /// The client's address; none where it does not matter to the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub address: Option<IpAddr>,
    /// The client's `User-Agent`; none where it does not matter to the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Whether the request is no activity of the user's, so that the check is no use of the session.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub background: bool,
}

/// What a request brings.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CheckedCredential {
    /// A verified token of another issuer.
    Foreign {
        /// Its claims.
        #[cfg_attr(feature = "openapi", schema(value_type = Object))]
        claims: Map<String, Value>,
        /// Whether its user must have a session here.
        require_session: bool,
    },
    /// An opaque token of the sidecar's own.
    Opaque {
        /// The token. A credential.
        token: String,
    },
    /// A verified token of the sidecar's own.
    Own(OwnToken),
}

impl fmt::Debug for CheckedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign { claims, require_session } => f
                .debug_struct("Foreign")
                .field("sub", &claims.get("sub"))
                .field("require_session", require_session)
                .finish_non_exhaustive(),
            Self::Opaque { token: _ } => f.write_str("Opaque(…)"),
            Self::Own(token) => token.fmt(f),
        }
    }
}

/// What a verified token of the sidecar's own says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OwnToken {
    /// Its `sub`.
    pub user_id: UserId,
    /// Its `sid`; a token without one is only looked up in the blacklist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Its `jti`.
    pub token_id: TokenId,
}

/// Reply of `POST /v1/check`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CheckReply {
    /// What is known of the credential and its session.
    pub verdict: CheckVerdict,
    /// Of an opaque token: what a JWT in its place would say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub claims: Option<Claims>,
    /// The session, where there is one and the verdict is `live` or `session_pending_2fa`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<CheckedSession>,
}

/// A session as a worker needs to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CheckedSession {
    /// Its id.
    pub session_id: SessionId,
    /// When it ends whatever happens.
    pub expires_at: UnixSeconds,
    /// After how many seconds without activity it ends; none: never for that reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<u64>,
    /// What its tokens permit; none: each what it says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Scopes>,
    /// Its version, by which the feed's changes of it are ordered.
    pub version: u64,
    /// Its generation among its user's sessions: what a cut-off of all of them goes by.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub generation: u64,
}

impl From<CheckVerdict> for CheckReply {
    fn from(verdict: CheckVerdict) -> Self {
        Self { verdict, claims: None, session: None }
    }
}

/// What the store knows of a token and its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CheckVerdict {
    /// The client or the user is on the block list.
    Blocked,
    /// There is no such opaque token.
    CredentialUnknown,
    /// The token is not revoked; its session, if it has one, is active and belongs to its user.
    Live,
    /// The session's time or idle time is over.
    SessionExpired,
    /// The session waits for its second factor.
    #[serde(rename = "session_pending_2fa")]
    SessionPending2fa,
    /// The session is suspended.
    SessionSuspended,
    /// The session was ended.
    SessionTerminated,
    /// There is no such session, or it belongs to another user.
    SessionUnknown,
    /// The token is on the blacklist.
    TokenRevoked,
}

impl CheckVerdict {
    /// Every verdict, in the order of their names.
    pub const ALL: [Self; 9] = [
        Self::Blocked,
        Self::CredentialUnknown,
        Self::Live,
        Self::SessionExpired,
        Self::SessionPending2fa,
        Self::SessionSuspended,
        Self::SessionTerminated,
        Self::SessionUnknown,
        Self::TokenRevoked,
    ];

    /// The name in JSON, in Redis' scripts and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::CredentialUnknown => "credential_unknown",
            Self::Live => "live",
            Self::SessionExpired => "session_expired",
            Self::SessionPending2fa => "session_pending_2fa",
            Self::SessionSuspended => "session_suspended",
            Self::SessionTerminated => "session_terminated",
            Self::SessionUnknown => "session_unknown",
            Self::TokenRevoked => "token_revoked",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_has_one_name() {
        for verdict in CheckVerdict::ALL {
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.as_str());
        }
    }
}
