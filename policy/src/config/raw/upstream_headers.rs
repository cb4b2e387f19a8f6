//! The headers by which upstreams know whom they serve.

use serde::Deserialize;

/// The headers by which upstreams know whom they serve. A client's own of these names are removed, in every spelling.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawUpstreamHeaders {
    /// Carries `sub`. Default: `x-user-id`.
    pub user_id: Option<String>,
    /// Carries `sid`. Default: `x-session-id`.
    pub session_id: Option<String>,
    /// Carries whether the session is `active` or `pending_2fa`, on routes that accept both. Default: `x-session-status`.
    pub session_status: Option<String>,
    /// Carries the scopes. Default: `x-scopes`.
    pub scopes: Option<String>,
    /// Carries `jti`. Default: `x-token-id`.
    pub token_id: Option<String>,
    /// Carries `iss`. Default: `x-token-issuer`.
    pub issuer: Option<String>,
    /// Carries how the user has logged in (`amr`, RFC 8176), such as `pwd otp`. Default: not sent; a client's
    /// `x-session-amr` is removed.
    pub amr: Option<String>,
    /// Carries when that was (`auth_time`), in seconds since 1970. Default: not sent; a client's `x-session-auth-time` is
    /// removed.
    pub auth_time: Option<String>,
    /// Carries when the session ends, or a token without one, in seconds since 1970. Default: not sent; a client's
    /// `x-session-expires-at` is removed.
    pub expires_at: Option<String>,
    /// Carries the proofs that a request came through the gate, on routes with an `upstream`. Default: `x-session-proof`.
    pub proof: Option<String>,
    /// Claims of the token, each in a header of its own: at most 32. Default: none.
    pub claims: Vec<RawClaimHeader>,
}

/// A claim that upstreams are told.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawClaimHeader {
    /// The claim's name; of one within another their names with dots between: `realm_access.roles`. Required.
    pub claim: Option<String>,
    /// The header that carries it. Required.
    pub header: Option<String>,
}
