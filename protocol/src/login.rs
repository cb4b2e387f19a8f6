use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Metadata, NewSession, NewToken, Scopes, SessionData, SessionId, TokenData, UserId};

/// Body of `POST /v1/login`, sent by the application after it has checked the password: what a new
/// session and its first token need. A session id is always new (no fixation).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// Who has logged in.
    pub user_id: UserId,
    /// The client's address, as the application sees it.
    #[serde(default)]
    pub ip_address: Option<String>,
    /// The client's `User-Agent`.
    #[serde(default)]
    pub user_agent: Option<String>,
    /// The kind of device.
    #[serde(default)]
    pub device_type: Option<String>,
    /// Where the device is.
    #[serde(default)]
    pub location: Option<String>,
    /// Data kept with the session.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub metadata: Metadata,
    /// Whether the second factor is still missing: the session starts as `pending_2fa`.
    #[serde(default)]
    pub pending_2fa: bool,
    /// Seconds until the session ends, at most the duration of its class, or else the configured one; none: that.
    #[serde(default)]
    pub duration: Option<u64>,
    /// The session's class, as the sidecar's configuration names them; none: the configured durations.
    #[serde(default)]
    pub class: Option<String>,
    /// What the token permits.
    #[serde(default)]
    pub scopes: Scopes,
    /// Whether the token is opaque: a random text that only the sidecar can read, in place of a JWT.
    #[serde(default)]
    pub opaque: bool,
    /// How the user proved who they are (RFC 8176).
    #[serde(default)]
    pub amr: Vec<String>,
    /// Data for the token, readable by whoever holds it.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub token_metadata: Metadata,
}

impl LoginRequest {
    /// The two requests that a login consists of; the token's session is yet to be named.
    pub fn split(self) -> (NewSession, NewToken) {
        let Self {
            user_id, ip_address, user_agent, device_type, location, metadata, pending_2fa, class, duration, ..
        } = self;
        let session = NewSession {
            user_id,
            ip_address,
            user_agent,
            device_type,
            location,
            scopes: None,
            metadata,
            pending_2fa,
            class,
            duration,
        };
        let token = NewToken {
            user_id: None,
            session_id: None,
            scopes: self.scopes,
            opaque: self.opaque,
            amr: self.amr,
            metadata: self.token_metadata,
            duration: None,
        };
        (session, token)
    }
}

/// Reply of `POST /v1/login`: session and token in one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoginReply {
    /// The new session.
    pub session: SessionData,
    /// Its first token.
    pub token: TokenData,
}

/// Body of `POST /v1/logout`: which session, named by its id or by one of its tokens.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LogoutRequest {
    /// The session's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Or one of its tokens; it is revoked as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Whether every session of the user ends.
    #[serde(default)]
    pub all: bool,
}

impl fmt::Debug for LogoutRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session_id, token, all } = self;
        f.debug_struct("LogoutRequest")
            .field("session_id", session_id)
            .field("token", &token.as_ref().map(|_| "…"))
            .field("all", all)
            .finish()
    }
}

/// Reply of `POST /v1/logout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogoutReply {
    /// How many sessions this call ended: 0 where they had ended already.
    pub terminated: u64,
}
