use serde::{Deserialize, Serialize};

use crate::Jwk;

/// Reply of `GET /v1/keys`: a set of keys (RFC 7517, section 5), and what else the filter takes from the sidecar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeysReply {
    /// The keys.
    pub keys: Vec<Jwk>,
    /// What the sidecar's configuration says is in force, unless the filter's own says otherwise; none: an older sidecar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PublishedPolicy>,
}

/// Reply of `GET /v1/policy`, and part of that of `GET /v1/keys`: what the sidecar's configuration says is in force, for the
/// login service and for the filter. Durations are seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PublishedPolicy {
    /// The shortest password that may be set.
    pub min_password_length: u64,
    /// Failed logins until an account is locked.
    pub max_login_attempts: u64,
    /// How long it stays locked.
    pub lockout_duration: u64,
    /// Whether a login needs a second factor.
    pub require_2fa: bool,
    /// Whether a change of the password ends the user's sessions.
    pub force_logout_on_password_change: bool,
    /// Whether clients must come by https.
    pub require_https: bool,
    /// How long a session lives at most.
    pub session_duration: u64,
    /// After how long without activity it ends; none: never for that reason.
    pub session_idle_timeout: Option<u64>,
    /// How long a token lives at most.
    pub token_duration: u64,
    /// How long before its end it is to be refreshed.
    pub token_refresh_threshold: u64,
}
