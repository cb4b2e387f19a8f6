use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Fingerprint, Metadata, SessionId, TokenId, UnixSeconds, UserId};

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
    /// The generation of its session among its user's: what a cut-off of all the user's sessions goes by.
    #[serde(default, rename = "gen", skip_serializing_if = "crate::is_default")]
    pub generation: u64,
    /// When its session ends whatever happens: open streams end then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_exp: Option<UnixSeconds>,
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
    /// Whether it was asked for with less than its session permits: then it never permits more than it
    /// says, whatever becomes of the session's scopes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub narrowed: bool,
    /// How often its session's token has been renewed before; none: it is not to be renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<u64>,
    /// The range of addresses that its session began in, see [`Claims::bound_to`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_hash: Option<String>,
    /// The user agent that its session began with, see [`Claims::bound_to`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ua_hash: Option<String>,
    /// The application's own data.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

impl Claims {
    /// How a token says what its session is bound to, without saying it: 16 characters of base64url, of
    /// a hash over the session's id, so that no two sessions can be brought together by it. `what` is
    /// `ip` with a [`Network`](crate::Network) around the address, or `ua` with the user agent.
    pub fn bound_to(session: &SessionId, what: &str, value: &str) -> String {
        Fingerprint::of_claim(session.as_str(), what, value).to_string()
    }
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
