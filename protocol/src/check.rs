use serde::{Deserialize, Serialize};

use crate::{SessionId, TokenId, UserId};

/// Body of `POST /v1/check`: may this verified token still be used? Asked by the filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// The token's `sub`.
    pub user_id: UserId,
    /// The token's `sid`; a token without one is only looked up in the blacklist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// The token's `jti`.
    pub token_id: TokenId,
}

/// Reply of `POST /v1/check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CheckReply {
    /// What the store says of the token and its session, in one atomic step.
    pub verdict: CheckVerdict,
}

/// What the store knows of a token and its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CheckVerdict {
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
    pub const ALL: [Self; 7] = [
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
