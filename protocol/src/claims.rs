use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Metadata, SessionId, TokenId, UnixSeconds, UserId};

/// How far a verifier's clock may be from the issuer's at most. A revocation must outlive its token by
/// as much, or a verifier that is that lenient would accept the token once more.
pub const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// The claims of a token that the sidecar mints (RFC 7519, RFC 9068). The filter reads tokens of any
/// issuer by its own stricter rules, see `session-gate-policy`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// Whose token it is.
    pub sub: UserId,
    /// Who it is for.
    pub aud: Audience,
    /// When it ends.
    pub exp: UnixSeconds,
    /// When it begins.
    pub nbf: UnixSeconds,
    /// When it was issued.
    pub iat: UnixSeconds,
    /// Its id.
    pub jti: TokenId,
    /// The session that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<SessionId>,
    /// What it permits, in the form of RFC 6749, section 3.3.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// When the user proved who they are (OpenID Connect Core, section 2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<UnixSeconds>,
    /// How the user proved it (RFC 8176): `pwd`, `otp` and the like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// After how many seconds without activity the session ends; none: never for that reason. A
    /// worker that has not seen the session lately asks before it serves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<u64>,
    /// Whether the session waited for its second factor when the token was minted: then every use is
    /// asked about.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pending_2fa: bool,
    /// The application's own data.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// The `aud` claim: one string or an array of them (RFC 7519, section 4.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// A single audience.
    One(String),
    /// Several audiences.
    Many(Vec<String>),
}
