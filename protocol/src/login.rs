use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::{
    DeviceToken, Metadata, NewSession, NewToken, RefreshToken, Scopes, SessionData, SessionId, TokenData, UserId,
    WhenFull,
};

/// Body of `POST /v1/login`, sent by the application after it has checked the password: what a new
/// session and its first token need. A session id is always new (no fixation).
#[derive(Clone, PartialEq, Serialize, Deserialize)]
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
    /// What all tokens of the session permit, whatever they say themselves; none: each what it says.
    #[serde(default)]
    pub session_scopes: Option<Scopes>,
    /// The session that ends with this login, by its id or one of its tokens, whatever that is worth by now. What names no
    /// session of this service's ends none.
    #[serde(default)]
    pub replaces: Option<String>,
    /// How many sessions the user may have, the new one included; 0: any number; none: as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_sessions: Option<u64>,
    /// What happens where the user has as many already; none: as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_full: Option<WhenFull>,
    /// The handle that the same login was given when it was refused because the user had too many sessions: now it
    /// succeeds, and ends the session of this user that it `replaces`, or the least recently used one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takeover: Option<String>,
    /// What the token permits; none: nothing, or what the session permits where that is said.
    #[serde(default)]
    pub scopes: Scopes,
    /// Whether the token is opaque: a random text that only the sidecar can read, in place of a JWT.
    #[serde(default)]
    pub opaque: bool,
    /// Whether the client gets a refresh token, to go on with when the token has expired. The token is not renewed then.
    #[serde(default)]
    pub refresh_token: bool,
    /// How the user proved who they are (RFC 8176).
    #[serde(default)]
    pub amr: Vec<String>,
    /// Data for the token, readable by whoever holds it.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub token_metadata: Metadata,
    /// Whether the lock on failed logins is asked first: then `ip_address` must be one, and the reply has a device token.
    #[serde(default)]
    pub lockout: bool,
    /// The device token that the client has shown; with `lockout`.
    #[serde(default)]
    pub device_token: Option<String>,
}

impl LoginRequest {
    /// The two requests that a login consists of; the token's session is yet to be named. What it `replaces`, and
    /// its `takeover`, are not in them.
    pub fn split(self) -> (NewSession, NewToken) {
        let session = NewSession {
            user_id: self.user_id,
            ip_address: self.ip_address,
            user_agent: self.user_agent,
            device_type: self.device_type,
            location: self.location,
            scopes: self.session_scopes,
            metadata: self.metadata,
            pending_2fa: self.pending_2fa,
            class: self.class,
            duration: self.duration,
            max_sessions: self.max_sessions,
            when_full: self.when_full,
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

impl fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginRequest")
            .field("user_id", &self.user_id)
            .field("class", &self.class)
            .field("pending_2fa", &self.pending_2fa)
            .field("replaces", &self.replaces.as_ref().map(|_| "…"))
            .field("takeover", &self.takeover.as_ref().map(|_| "…"))
            .finish_non_exhaustive()
    }
}

/// Body of `POST /v1/elevate`, sent by the application after the session's user has proved more: a second factor, or the
/// password once more. The session is named by its id or by one of its tokens.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ElevateRequest {
    /// The session's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Or one of its tokens: the new one carries over what that one says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What the session permits from now on; none: what it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Scopes>,
    /// What was proved now (RFC 8176), beside what the token says was before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// Whether the client gets a refresh token. Those of the old id are dead.
    #[serde(default)]
    pub refresh_token: bool,
    /// Whether the lock on failed logins is asked first, for the session's user: the reply has a device token then.
    #[serde(default)]
    pub lockout: bool,
    /// The client's address, as the application sees it; with `lockout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub ip_address: Option<IpAddr>,
    /// The device token that the client has shown; with `lockout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_token: Option<String>,
}

impl fmt::Debug for ElevateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session_id, token, scopes, amr, refresh_token, lockout, ip_address: _, device_token: _ } = self;
        f.debug_struct("ElevateRequest")
            .field("session_id", session_id)
            .field("token", &token.as_ref().map(|_| "…"))
            .field("scopes", scopes)
            .field("amr", amr)
            .field("refresh_token", refresh_token)
            .field("lockout", lockout)
            .finish_non_exhaustive()
    }
}

/// Reply of `POST /v1/login` and `POST /v1/elevate`: session and token in one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoginReply {
    /// The new session.
    pub session: SessionData,
    /// Its first token.
    pub token: TokenData,
    /// Its refresh token, where one was asked for. A credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub refresh_token: Option<RefreshToken>,
    /// How many sessions the user now has beyond the limit, where the login was to succeed all the same (`notify`).
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub sessions_over_limit: u64,
    /// The client's new device token, of a call with `lockout`: for a cookie that outlives the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceToken>,
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
    /// Whether every session of the user ends but this one, whose token stays good.
    #[serde(default)]
    pub others: bool,
}

impl fmt::Debug for LogoutRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session_id, token, all, others } = self;
        f.debug_struct("LogoutRequest")
            .field("session_id", session_id)
            .field("token", &token.as_ref().map(|_| "…"))
            .field("all", all)
            .field("others", others)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_lacks_the_tokens() {
        let login =
            serde_json::from_str::<LoginRequest>(r#"{"user_id":"alice","replaces":"secret","takeover":"secret"}"#)
                .unwrap();
        let elevate = serde_json::from_str::<ElevateRequest>(r#"{"token":"secret","device_token":"secret"}"#).unwrap();
        let logout = serde_json::from_str::<LogoutRequest>(r#"{"token":"secret"}"#).unwrap();
        let shown = format!("{login:?} {elevate:?} {logout:?}");
        assert!(shown.contains("alice") && !shown.contains("secret"), "{shown}");
    }
}
