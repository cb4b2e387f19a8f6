//! The gate's own endpoints for clients.

use serde::Deserialize;

use super::RawCors;

/// The gate's own endpoints for clients, below `/.session-gate/`: the sidecar serves them, behind a route of Envoy's to
/// `sidecar.cluster`. Each is off until it is here.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawEndpoints {
    /// `GET /.session-gate/session`: whose session it is, and until when.
    pub session: Option<RawEndpoint>,
    /// `POST /.session-gate/token`: exchanges a refresh token (RFC 6749, section 6).
    pub token: Option<RawEndpoint>,
}

/// One of the gate's own endpoints.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawEndpoint {
    /// Whose pages may read its replies, and whose preflights are answered.
    pub cors: Option<RawCors>,
    /// Names of rate limits, of which each must admit. Empty: none. Default: `authenticated` or `default`.
    pub rate_limit: Option<Vec<String>>,
    /// Overrides the setting of the same name. Empty: none.
    pub rate_limit_before_authentication: Option<Vec<String>>,
}
