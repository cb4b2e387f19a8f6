//! What an application says of its users' sessions by a header of its answer, as the filter passes it on.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::{DeviceToken, LoginGuard, Scopes, UnixSeconds, UserId};

/// Body of `POST /v1/session-commands`: what the answer of an application says, on a route that allows it. Sent by the
/// filter, which has compared it with the ceilings of its route.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SessionCommandRequest {
    /// What is to be done.
    pub command: SessionCommand,
    /// The token that the request has brought, whatever it is worth by now: its session is the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub ip_address: Option<IpAddr>,
    /// The client's `User-Agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Whether failed logins count on that route, and for whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<LoginGuard>,
}

impl fmt::Debug for SessionCommandRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, token, ip_address, user_agent: _, guard } = self;
        f.debug_struct("SessionCommandRequest")
            .field("command", command)
            .field("token", &token.as_ref().map(|_| "…"))
            .field("ip_address", ip_address)
            .field("guard", guard)
            .finish_non_exhaustive()
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SessionCommand {
    /// The current session's user has proved more: the session goes on under a new id, with a new token. The old id is
    /// dead before the reply.
    Elevate {
        /// What the session permits from now on; none: what it did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scopes: Option<Scopes>,
        /// What was proved now (RFC 8176), beside what was before.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        amr: Vec<String>,
    },
    /// The user has logged in: a new session, and its first token. The current session ends before the reply.
    Login {
        /// Who has logged in.
        user_id: UserId,
        /// What the session permits; none: nothing.
        #[serde(default)]
        scopes: Scopes,
        /// How the user proved who they are (RFC 8176).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        amr: Vec<String>,
        /// The session's class, which decides how long it lives; none: the configured durations.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class: Option<String>,
        /// Whether the second factor is still missing.
        #[serde(default)]
        pending_2fa: bool,
    },
    /// A login is about to be tried, and its application has not seen it: whether it would be refused. Nothing counts.
    LoginAttempt {
        /// Whose: the name that the request gives.
        account: String,
    },
    /// A login has failed: it counts.
    LoginFailed {
        /// Whose: the user's id; of an account that does not exist what was typed.
        account: String,
    },
    /// Sessions end before the reply. Where there are none, or none any more, nothing happens.
    Logout {
        /// Which.
        sessions: LogoutScope,
    },
    /// The password was changed. Where `force_logout_on_password_change` says so, the user's sessions end, but for the
    /// current one if that is the user's.
    PasswordChanged {
        /// Whose; none: that of the current session's user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<UserId>,
    },
}

/// What kind of command it is: the label of metrics, and the name in configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionCommandKind {
    /// The user has proved more.
    Elevate,
    /// A user has logged in.
    Login,
    /// A login is about to be tried.
    LoginAttempt,
    /// A login has failed.
    LoginFailed,
    /// Sessions end.
    Logout,
    /// A password was changed.
    PasswordChanged,
}

impl SessionCommandKind {
    /// Every kind, in the order of their names.
    pub const ALL: [Self; 6] =
        [Self::Elevate, Self::Login, Self::LoginAttempt, Self::LoginFailed, Self::Logout, Self::PasswordChanged];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Elevate => "elevate",
            Self::Login => "login",
            Self::LoginAttempt => "login_attempt",
            Self::LoginFailed => "login_failed",
            Self::Logout => "logout",
            Self::PasswordChanged => "password_changed",
        }
    }
}

impl SessionCommand {
    /// Its kind.
    pub const fn kind(&self) -> SessionCommandKind {
        match self {
            Self::Elevate { .. } => SessionCommandKind::Elevate,
            Self::Login { .. } => SessionCommandKind::Login,
            Self::LoginAttempt { .. } => SessionCommandKind::LoginAttempt,
            Self::LoginFailed { .. } => SessionCommandKind::LoginFailed,
            Self::Logout { .. } => SessionCommandKind::Logout,
            Self::PasswordChanged { .. } => SessionCommandKind::PasswordChanged,
        }
    }
}

/// Which sessions a logout ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LogoutScope {
    /// All sessions of the current session's user.
    All,
    /// The current one.
    Current,
    /// All of its user's but the current one.
    Others,
}

/// Reply of `POST /v1/session-commands`: it is done, or refused by the lock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionCommandReply {
    /// The client's new token, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SessionToken>,
    /// Whether the current session has ended, and no other has taken its place: the client's cookie is to go.
    pub logged_out: bool,
    /// Logins are refused for so many seconds, this one too, whatever the application says: nothing was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_for: Option<u64>,
    /// The client's new device token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceToken>,
}

/// The token of a session, for a client to keep. `Debug` hides the token itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionToken {
    /// The token. A credential.
    pub token: String,
    /// When it expires.
    pub expires_at: UnixSeconds,
    /// For how many seconds a browser may keep it after it is closed; none: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u64>,
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token: _, expires_at, max_age } = self;
        f.debug_struct("SessionToken")
            .field("token", &"…")
            .field("expires_at", expires_at)
            .field("max_age", max_age)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_lacks_the_tokens() {
        let command = SessionCommand::Logout { sessions: LogoutScope::Current };
        let token = Some("secret".to_owned());
        let request = SessionCommandRequest { command, token, ip_address: None, user_agent: None, guard: None };
        assert!(!format!("{request:?}").contains("secret"));
        let token = SessionToken { token: "secret".to_owned(), expires_at: UnixSeconds(1), max_age: None };
        assert!(!format!("{token:?}").contains("secret"));
    }

    #[test]
    fn a_command_is_told_by_its_kind() {
        let read = |text| serde_json::from_str::<SessionCommand>(text);
        assert_eq!(
            read(r#"{"kind":"logout","sessions":"others"}"#).unwrap(),
            SessionCommand::Logout { sessions: LogoutScope::Others }
        );
        assert!(read(r#"{"kind":"login"}"#).is_err(), "nobody logs in");
        assert!(read(r#"{"kind":"login","user_id":"alice","role":"admin"}"#).is_err());
    }
}
