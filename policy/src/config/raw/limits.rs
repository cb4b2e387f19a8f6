//! The `rate_limits` section as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Rate limits, by name: 1 to 64 of `a-z A-Z 0-9 _ -`. A route that names none has `authenticated` for
/// requests with a token and `default` for all others, as far as these are there. `null` is none.
pub type RawRateLimits = BTreeMap<String, Option<RawRateLimit>>;

/// A rate limit: `requests` in a `window`, or several `windows`, or a number `in_flight`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawRateLimit {
    /// How many: 1 to 1000000000. `default` has 100 and `authenticated` 1000 where they say nothing.
    pub requests: Option<u64>,
    /// In which time: seconds, or a duration such as `1min`; 1s to 31days. Default: 3600.
    pub window: Option<RawWindow>,
    /// How the window counts. Default: `sliding_window`.
    pub algorithm: Option<RawAlgorithm>,
    /// `token_bucket` only: the size of the bucket. Default: `requests`.
    pub burst: Option<u64>,
    /// Several windows, 1 to 8, of which each must admit; instead of `requests`.
    pub windows: Vec<RawQuota>,
    /// How many at the same time; instead of `requests`. A request counts until its stream has ended.
    pub in_flight: Option<u64>,
    /// What it counts by. Default: `["user"]`, and `["address"]` for `default`. Empty: all requests together.
    pub key: Option<Vec<RawKeyPart>>,
    /// A claim that says how many. Not with `windows`.
    pub requests_from: Option<RawRequestsFrom>,
    /// What a request costs. Default: 1.
    pub cost: Option<RawCost>,
    /// Whether the sidecar is asked for each request, so that nothing is kept by workers for later.
    pub exact: bool,
    /// Whether it only reports what it would refuse.
    pub shadow: bool,
    /// What happens while the sidecar cannot be asked. Default: `deny`.
    pub on_store_unavailable: Option<RawOnStoreUnavailable>,
}

/// One of several windows.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawQuota {
    /// How many: 1 to 1000000000. Required.
    pub requests: Option<u64>,
    /// In which time: seconds, or a duration such as `1min`; 1s to 31days. Required.
    pub window: Option<RawWindow>,
    /// How the window counts. Default: `sliding_window`.
    pub algorithm: Option<RawAlgorithm>,
    /// `token_bucket` only: the size of the bucket. Default: `requests`.
    pub burst: Option<u64>,
}

/// A window.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "seconds, or a duration such as \"1min\"")]
pub enum RawWindow {
    /// In seconds.
    Seconds(u32),
    /// As a duration.
    Text(String),
}

/// How a window counts.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RawAlgorithm {
    /// Windows begin at whole multiples of their length since 1970.
    FixedWindow,
    /// In no interval of the window's length are more admitted, wherever it begins.
    SlidingWindow,
    /// The generic cell rate algorithm: what the window allows flows into a bucket.
    TokenBucket,
}

/// A part of what a limit counts by.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RawKeyPart {
    /// The client's address, of IPv6 its /64.
    Address,
    /// The value of this claim of the token.
    Claim(String),
    /// The first value of this header.
    Header(String),
    /// The session; without one the user.
    Session,
    /// The token's `sub` and `iss`; without a token the address.
    User,
}

/// A claim that says how many requests there may be.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawRequestsFrom {
    /// The claim. Required. A token without it, or with a value that says nothing, has the limit's own.
    pub claim: Option<String>,
    /// What its texts mean, such as the names of plans. Without these it is the number itself.
    pub values: BTreeMap<String, u64>,
}

/// What a request costs.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "a number, or {response_header, reserve}")]
pub enum RawCost {
    /// Always that much: 1 to 1000000.
    Fixed(u64),
    /// What its answer says.
    Answer(RawCostHeader),
}

/// A cost that the answer says.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RawCostHeader {
    /// The header of the upstream's answer with the cost, a whole number; it is removed. Without it the
    /// request costs what was reserved.
    pub response_header: String,
    /// What is taken off before the answer is there: 1 to 1000000. What it costs beyond that is taken off
    /// later, even if less is left. Default: 1.
    #[serde(default)]
    pub reserve: Option<u64>,
}

/// What happens while the sidecar cannot be asked.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RawOnStoreUnavailable {
    /// Requests pass.
    Allow,
    /// 503.
    Deny,
    /// Each worker admits its part of the limit.
    Share,
}

/// Which headers tell clients of limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RawLimitHeaders {
    /// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers).
    Ratelimit,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining`, `X-RateLimit-Reset`.
    XRatelimit,
}
