//! What clients ask of the gate itself, below `/.session-gate/`.

use serde::{Deserialize, Serialize};

use crate::{Scopes, SessionStatus, UnixSeconds, UserId};

/// Below it are the gate's own endpoints, and nothing of an application's.
pub const ENDPOINTS_PREFIX: &str = "/.session-gate";
/// Whose session it is, and until when.
pub const SESSION_PATH: &str = "/.session-gate/session";
/// Exchanges a refresh token.
pub const TOKEN_PATH: &str = "/.session-gate/token";

/// Reply of `GET /.session-gate/session`: whose session it is, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OwnSession {
    /// Whose it is.
    pub user_id: UserId,
    /// `active`, or `pending_2fa`.
    pub status: SessionStatus,
    /// Whether its second factor is still missing.
    pub second_factor_missing: bool,
    /// What the user has proved (RFC 8176).
    pub amr: Vec<String>,
    /// What the token permits by now.
    pub scopes: Scopes,
    /// When it ends whatever happens.
    pub expires_at: UnixSeconds,
    /// When it ends unless it is used; none: never for that reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_ends_at: Option<UnixSeconds>,
}
