use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{CheckVerdict, SessionToken};

/// Body of `POST /v1/tokens/renew`: the token of a session that is about to expire, or has. Asked by the filter.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// The token. A credential.
    pub token: String,
}

impl fmt::Debug for RenewRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RenewRequest(…)")
    }
}

/// Reply of `POST /v1/tokens/renew`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RenewReply {
    /// What is known of the token, whatever its time, and of its session.
    pub verdict: CheckVerdict,
    /// What takes its place, the same for all who show it; none: it is not to be renewed. It is not due, was not made to be
    /// renewed, or is older than the session's last two renewals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SessionToken>,
}
