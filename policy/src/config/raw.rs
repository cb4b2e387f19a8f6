//! The filter's configuration as it is written: the shape of the JSON, and nothing judged. The JSON
//! Schema is made from these types; their docs are its descriptions.

mod cookie;
mod endpoints;
mod limits;
mod login;
mod routing;
mod session_commands;
mod upstream_headers;
mod upstreams;

use std::fmt;

use serde::Deserialize;
use session_gate_protocol::JwkSet;

pub use self::cookie::{RawCookie, RawSameSite};
pub use self::endpoints::{RawEndpoint, RawEndpoints};
pub use self::limits::{
    RawAlgorithm, RawCost, RawCostHeader, RawKeyPart, RawLimitHeaders, RawOnStoreUnavailable, RawQuota, RawRateLimit,
    RawRateLimits, RawRequestsFrom, RawWindow,
};
pub use self::login::{RawLogin, RawRouteLogin};
pub use self::routing::{RawCors, RawDefaultRule, RawUpstreamInterpretations};
pub use self::session_commands::{
    RawAccountSource, RawMetadataKey, RawSessionCommand, RawSessionCommands, RawSiteData, RawTokenDelivery,
};
pub use self::upstream_headers::{RawClaimHeader, RawUpstreamHeaders};
pub use self::upstreams::{RawUpstream, RawUpstreams};
use session_gate_jose::Algorithm;

/// Configuration of Session Gate's filter.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// How the sidecar is reached. Required where an issuer's keys come from it or its tokens are checked.
    pub sidecar: Option<RawSidecar>,
    /// Whose tokens are accepted. At least one, unless every route is public.
    pub issuers: Vec<RawIssuer>,
    /// The rules, in their order: the first that matches counts.
    pub routes: Vec<RawRoute>,
    /// The gate's own endpoints for clients, below `/.session-gate/`. Default: there are none.
    pub endpoints: Option<RawEndpoints>,
    /// What happens to requests that no rule matches. Default, with a warning: `authenticated`.
    pub default_rule: Option<RawDefaultRule>,
    /// What upstreams may make of a request. One that may be read in two ways is refused where these meet
    /// different rules.
    pub upstream_interpretations: RawUpstreamInterpretations,
    /// The cookie that may carry the token.
    pub cookie: RawCookie,
    /// The check of cookie requests that may come from another site.
    pub csrf: RawCsrf,
    /// Whether clients must come by https. Page loads by http are redirected, the rest is refused. Default: as the sidecar
    /// publishes it.
    pub require_https: Option<bool>,
    /// How long before its end a session's token is renewed: up to 1day, `0s` for never. Default: as the sidecar publishes
    /// it.
    pub token_refresh_threshold: Option<String>,
    /// Where page loads are sent that lack a login. Default: nowhere, they get a page.
    pub login: Option<RawLogin>,
    /// The page for people whose request is refused: HTML of at most 64 KiB with `{{status}}`, `{{title}}`, `{{code}}`,
    /// `{{retry_after}}` and `{{advice}}`. Default: a plain one.
    pub error_page: Option<String>,
    /// The realm in `WWW-Authenticate`. Default: `session-gate`.
    pub realm: Option<String>,
    /// Names of the headers by which upstreams know whom they serve.
    pub upstream_headers: RawUpstreamHeaders,
    /// Upstreams that can tell whether a request came through the gate, by name.
    pub upstreams: RawUpstreams,
    /// The one of them that routes lead to, where they say nothing else. Default: none.
    pub upstream: Option<String>,
    /// Headers that make browsers careful, on every answer.
    pub security_headers: RawSecurityHeaders,
    /// Headers to remove from every answer. Default: `server`, `x-powered-by` and the like.
    pub remove_response_headers: Option<Vec<String>>,
    /// Rate limits, by name. Without this section there are none.
    pub rate_limits: Option<RawRateLimits>,
    /// Names of rate limits that each request with a token must meet before the token is looked at, so that forged ones
    /// cost nothing beyond them. Default: none.
    pub rate_limit_before_authentication: Option<Vec<String>>,
    /// Which headers tell clients of the limit that denied them, or of the tightest. Default: all.
    pub rate_limit_headers: Option<Vec<RawLimitHeaders>>,
    /// Bounds.
    pub bounds: RawBounds,
}

/// How the sidecar is reached.
#[derive(Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawSidecar {
    /// Envoy's cluster; on Istio `outbound|PORT||HOST`. Required.
    pub cluster: Option<String>,
    /// The `:authority` of the calls. Default: `session-gate-sidecar`.
    pub authority: Option<String>,
    /// How long a call may take: 1ms to 60s. Default: `250ms`.
    pub timeout: Option<String>,
    /// How long an answer waits for what it says of sessions to be done, and a request for a token in the place of one that
    /// has expired: 1500ms to 60s. Default: `2s`.
    pub command_timeout: Option<String>,
    /// The bearer credential of the sidecar's `filter` role.
    pub credential: Option<String>,
    /// How often its keys are fetched: 1s to 1day. Default: `1min`.
    pub keys_refresh: Option<String>,
    /// How soon a token with an unknown key may have them fetched again: 1s to 1h. Default: `5s`.
    pub keys_refetch: Option<String>,
    /// For how long a worker believes what it knows from the change feed without hearing from it:
    /// 100ms to 60s. After that each token is asked about. Default: `1s`.
    pub max_staleness: Option<String>,
}

impl fmt::Debug for RawSidecar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One of the fields is a credential.
        f.debug_struct("RawSidecar").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// An issuer of tokens.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawIssuer {
    /// The `iss` of its tokens, compared exactly. Required.
    pub issuer: Option<String>,
    /// Accepted audiences: a token's `aud` must have one. Empty: tokens must have no `aud`.
    pub audiences: Vec<String>,
    /// Where its keys come from. Required.
    pub jwks: Option<RawJwks>,
    /// Algorithms that its keys may be for. Default: each key's own.
    pub algorithms: Vec<Algorithm>,
    /// How far its clock may be from Envoy's: up to 5min. Default: `30s`, and `0s` for the sidecar's own.
    pub leeway: Option<String>,
    /// The claim with the scopes. Default: `scope`.
    pub scope_claim: Option<String>,
    /// What takes its tokens back. Default: `sessions` where the keys come from the sidecar, else `feed`
    /// where there is a sidecar, else `none`.
    pub revocation: Option<RawRevocation>,
    /// Whether its opaque tokens are accepted, too: only with `revocation: sessions`. Each costs one call per
    /// worker.
    pub opaque_tokens: bool,
    /// What happens to tokens that are bound to a key (`cnf`). Default: `refuse`.
    pub bound_tokens: RawBoundTokens,
}

/// What happens to an issuer's tokens that are bound to a key: DPoP (RFC 9449), mTLS (RFC 8705).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RawBoundTokens {
    /// They are refused: their proof is not looked at here.
    #[default]
    Refuse,
    /// They are accepted from whoever bears them, without proof.
    AcceptAsBearer,
}

/// Where an issuer's keys come from.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RawJwks {
    /// From this configuration: a JSON Web Key Set (RFC 7517).
    Inline(JwkSet),
    /// From the sidecar.
    Sidecar,
}

/// What takes an issuer's tokens back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RawRevocation {
    /// The sidecar minted them: they end with their session and by `POST /v1/tokens/revoke`.
    Sessions,
    /// Another issuer did: they are revoked by `POST /v1/revocations`.
    Feed,
    /// Nothing: they are good until they expire, whatever happens.
    None,
}

/// The check of cookie requests that may come from another site.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawCsrf {
    /// Origins besides the request's own whose pages may use the cookie: `https://app.example.com`.
    pub allowed_origins: Vec<String>,
    /// Whether requests with neither `Origin` nor `Sec-Fetch-Site` pass: clients that are no browsers.
    pub allow_missing_origin: bool,
}

/// Bounds on what a worker holds.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawBounds {
    /// Longest token, in bytes: 512 to 65536. Default: 8192.
    pub max_token_bytes: Option<u32>,
    /// Verified tokens that are remembered: 0 to 1000000. Default: 10000.
    pub cache_entries: Option<u32>,
    /// Bytes that they hold, texts and claims: 0 to 268435456. Default: 8388608.
    pub cache_bytes: Option<u32>,
    /// Requests that may wait for the sidecar: 1 to 100000. Default: 1024.
    pub max_held_requests: Option<u32>,
    /// Keys of rate limits that a worker keeps count of: 100 to 1000000. Beyond that, the one used longest
    /// ago is forgotten first. Default: 10000.
    pub rate_limit_keys: Option<u32>,
}

/// A rule.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawRoute {
    /// Its name in metrics and the access log: 1 to 64 of `a-z A-Z 0-9 _ . -`, each once. Required.
    pub name: Option<String>,
    /// Which requests it is for. Empty: all.
    pub r#match: RawMatch,
    /// Whether a token is needed. Default: `required`, which `scopes` and `require_session` imply.
    pub authentication: Option<RawAuthentication>,
    /// Whether the token must belong to a session.
    pub require_session: bool,
    /// Scopes that the token must have.
    pub scopes: Option<RawScopes>,
    /// What happens when the feed is stale and the sidecar cannot be asked. Default: `deny`.
    pub failure_mode: Option<RawFailureMode>,
    /// Whether a session that waits for its second factor is served.
    pub accept_pending_2fa: bool,
    /// Whether its requests are no activity of the user's, a page's polling for instance: they keep no session from going
    /// idle.
    pub background: bool,
    /// The query parameter that may carry the token (RFC 6750, section 2.3).
    pub token_query_parameter: Option<String>,
    /// Names of rate limits, of which each must admit. Empty: none. Default: `authenticated` or `default`.
    pub rate_limit: Option<Vec<String>>,
    /// Overrides the setting of the same name. Empty: none.
    pub rate_limit_before_authentication: Option<Vec<String>>,
    /// Overrides the setting of the same name.
    pub require_https: Option<bool>,
    /// Overrides the setting of the same name. `false`: page loads are not sent anywhere.
    pub login: Option<RawRouteLogin>,
    /// Whose pages may read denials, and whose preflights are answered.
    pub cors: Option<RawCors>,
    /// Overrides single headers.
    pub security_headers: RawSecurityHeaders,
    /// Overrides the setting of the same name: where Envoy's own route leads to.
    pub upstream: Option<String>,
    /// What the application may say of sessions by headers of its answers: logins, logouts. Default: nothing.
    pub session_commands: Option<RawSessionCommands>,
}

/// Which requests a rule is for: all of its parts must match.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawMatch {
    /// Hosts without port: `api.example.com`, `*.example.com`.
    pub hosts: Vec<String>,
    /// Methods, in upper case. GET includes HEAD.
    pub methods: Vec<String>,
    /// The path.
    pub path: Option<RawPath>,
}

/// A path. Exactly one of them.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawPath {
    /// This path.
    pub exact: Option<String>,
    /// This path and everything below it.
    pub prefix: Option<String>,
    /// Segments, of which those in braces match any one: `/users/{id}`.
    pub template: Option<String>,
    /// A regular expression that matches the whole path, with or without a slash at its end.
    pub regex: Option<String>,
}

/// Whether a token is needed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RawAuthentication {
    /// Without one the request passes anonymously; a wrong one is refused.
    Optional,
    /// No token is looked at.
    Public,
    /// Without one the request is refused.
    Required,
}

/// What happens when the sidecar cannot be asked.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RawFailureMode {
    /// A good token passes.
    Allow,
    /// 503.
    Deny,
    /// A good token passes while the feed was heard of within this time, 1s to 1h: revocations known by
    /// then hold. Later: 503.
    LastKnown(String),
}

/// Scopes that the token must have. Exactly one of them.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawScopes {
    /// At least one of these.
    pub any: Option<Vec<String>>,
    /// All of these.
    pub all: Option<Vec<String>>,
}

/// Headers that make browsers careful.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawSecurityHeaders {
    /// Only where the client came by https. Default: `max-age=31536000`, if missing.
    pub strict_transport_security: Option<RawHeader>,
    /// Default: `base-uri 'self'; frame-ancestors 'none'`, if missing, on pages.
    pub content_security_policy: Option<RawHeader>,
    /// Default: `nosniff`.
    pub x_content_type_options: Option<RawHeader>,
    /// Default: `DENY`, if missing.
    pub x_frame_options: Option<RawHeader>,
    /// Default: `0`, which turns a harmful filter of old browsers off.
    pub x_xss_protection: Option<RawHeader>,
    /// Default: `strict-origin-when-cross-origin`, if missing.
    pub referrer_policy: Option<RawHeader>,
    /// Default: none.
    pub permissions_policy: Option<RawHeader>,
    /// Default: none.
    pub cross_origin_opener_policy: Option<RawHeader>,
    /// Default: none.
    pub cross_origin_embedder_policy: Option<RawHeader>,
    /// Default: none.
    pub cross_origin_resource_policy: Option<RawHeader>,
}

/// A header's value, alone (then it replaces the upstream's) or with its mode; `false`: not set.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "a header value, {value, mode: set | set_if_missing}, or false")]
pub enum RawHeader {
    /// `false`: the header is not set.
    Off(bool),
    /// Its value.
    Value(String),
    /// Its value and mode.
    Full(RawHeaderWithMode),
}

/// A header's value and mode.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RawHeaderWithMode {
    /// Its value.
    pub value: String,
    /// Whether the upstream's own stays.
    pub mode: RawHeaderMode,
}

/// Whether the upstream's own header stays.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RawHeaderMode {
    /// It is replaced.
    Set,
    /// It stays.
    SetIfMissing,
}
