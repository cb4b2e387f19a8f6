//! The session cookie.

use serde::Deserialize;

/// The cookie that may carry the token.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawCookie {
    /// Its name. Default: `__Host-session-gate`.
    pub name: Option<String>,
    /// The domain whose hosts share it. Not with a name that begins with `__Host-`. Default: this host alone.
    pub domain: Option<String>,
    /// On which requests from pages of other sites it is sent. Default: `lax`, and `none` where it is `partitioned`.
    pub same_site: Option<RawSameSite>,
    /// Whether each top-level site has one of its own (CHIPS): for pages that are shown in frames of others.
    pub partitioned: bool,
}

/// On which requests from pages of other sites a cookie is sent.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RawSameSite {
    /// On page loads alone.
    Lax,
    /// On all.
    None,
    /// On none: whoever follows a link from elsewhere comes without it.
    Strict,
}
