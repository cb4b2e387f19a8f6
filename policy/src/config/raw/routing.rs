//! What requests are for: what no rule matches, what upstreams may make of a request, and cross-origin access.

use serde::Deserialize;

/// What happens to requests that no rule matches.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RawDefaultRule {
    /// They need a good token, and nothing else.
    Authenticated,
    /// They are refused: 404 `no_rule`.
    Deny,
}

/// What upstreams may make of a request, each on or off.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawUpstreamInterpretations {
    /// `\` is `/`. Default: true.
    pub backslashes_as_slashes: Option<bool>,
    /// `delete` is `DELETE`. Default: true.
    pub case_insensitive_methods: Option<bool>,
    /// `/ORDERS` is `/orders`. Default: true.
    pub case_insensitive_paths: Option<bool>,
    /// `/admin%3fx` is `/admin`. Default: true.
    pub decoded_query_delimiters: Option<bool>,
    /// `/a/../b` is `/b`. Default: true.
    pub dot_segments: Option<bool>,
    /// `/orders.json` is `/orders`. Default: false.
    pub format_suffixes: Option<bool>,
    /// `Forwarded`, `X-Forwarded-Host`, `X-Forwarded-Server`, `X-Host`, `X-HTTP-Host-Override` and `X-Original-Host` name the host. Default: true.
    /// Turn it off where a trusted proxy sets them.
    pub forwarded_host_headers: Option<bool>,
    /// `X-Forwarded-Path` and `X-Forwarded-Uri` name the path. Default: false.
    pub forwarded_path_headers: Option<bool>,
    /// `//` is `/`. Default: true.
    pub merged_slashes: Option<bool>,
    /// `X-HTTP-Method`, `X-HTTP-Method-Override` and `X-Method-Override` name the method. Default: true.
    pub method_override_headers: Option<bool>,
    /// `?_method=DELETE` names the method. Default: true.
    pub method_override_query: Option<bool>,
    /// `/admin::$DATA` is `/admin`. Default: true.
    pub ntfs_streams: Option<bool>,
    /// `X-Original-URL` and `X-Rewrite-URL` name path and host. Default: true.
    pub path_override_headers: Option<bool>,
    /// What follows `;` in a segment does not count. Default: true.
    pub path_parameters: Option<bool>,
    /// Paths are decoded, once or repeatedly: `%2F` is `/`. Default: true.
    pub percent_decoding: Option<bool>,
    /// `/admin.` and `/admin%20` are `/admin`. Default: true.
    pub trailing_dots_and_spaces: Option<bool>,
}

/// Cross-origin access.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawCors {
    /// Origins such as `https://app.example.com` or `capacitor://localhost`, or `*` alone.
    pub allow_origins: Vec<String>,
    /// Whether pages may send cookies. Not with `*`.
    pub allow_credentials: bool,
    /// Methods that preflights allow. Default: the one that a preflight announces, where it meets this rule.
    pub allow_methods: Option<Vec<String>>,
    /// Headers that preflights allow. Default: those that a preflight announces.
    pub allow_headers: Option<Vec<String>>,
    /// For how long a browser may remember a preflight's answer: up to 1day. Default: `10min`.
    pub max_age: Option<String>,
}
