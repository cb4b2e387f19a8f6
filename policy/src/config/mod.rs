//! The filter's configuration: read into types that cannot be wrong.
//!
//! [`raw`] is the shape of the JSON, [`collect`] finds every mistake of shape, the other modules every
//! mistake of meaning, and only a document without any becomes a [`Config`]. Nothing is dropped.

mod browser;
mod endpoints;
mod interpretations;
mod issuers;
mod limits;
mod pages;
mod problems;
pub mod raw;
mod renamed;
mod routes;
mod session_commands;
mod upstream_headers;
mod upstreams;

use std::time::Duration;

use serde_json::Value;
use session_gate_protocol::collect;

pub use self::problems::ConfigProblem;
use self::problems::Problems;
use crate::{
    http::{csrf::CsrfPolicy, security_headers::SecurityHeaders, upstream_interpretations::UpstreamInterpretations},
    limits::LimitHeaders,
    response::{
        cookie::{SameSite, SessionCookie},
        page::ErrorPage,
        upstream_headers::TrustedHeaders,
    },
    routing::{Authentication, DefaultRule, FailureMode, Route, RouteName, RoutePolicy, RouteTable},
    sidecar::client::Sidecar,
    token::{Issuers, KeySource, Revocation},
};

/// A configuration without mistakes.
#[derive(Debug)]
pub struct Config {
    /// How the sidecar is reached; there wherever an issuer needs it.
    pub sidecar: Option<Sidecar>,
    /// Whose tokens are accepted.
    pub issuers: Issuers,
    /// The rules.
    pub routes: RouteTable,
    /// What upstreams may make of a request.
    pub interpretations: UpstreamInterpretations,
    /// The cookie that may carry the token.
    pub cookie: SessionCookie,
    /// The page for people whose request is refused.
    pub error_page: ErrorPage,
    /// The check of cookie requests.
    pub csrf: CsrfPolicy,
    /// The realm in `WWW-Authenticate`.
    pub realm: String,
    /// The headers that upstreams trust.
    pub trusted: TrustedHeaders,
    /// How long before its end a session's token is renewed: zero: never; none: as the sidecar publishes it.
    pub token_refresh_threshold: Option<Duration>,
    /// Longest token, in bytes.
    pub max_token_bytes: usize,
    /// Verified tokens that are remembered.
    pub cache_entries: usize,
    /// Bytes of their texts.
    pub cache_bytes: usize,
    /// Requests that may wait for the sidecar.
    pub max_held_requests: usize,
    /// Which headers tell clients of limits.
    pub limit_headers: LimitHeaders,
    /// Keys of limits that are kept count of.
    pub limit_keys: usize,
    warnings: Vec<ConfigProblem>,
}

impl Config {
    /// What is no mistake, and yet hardly meant: to be logged at every load.
    pub fn warnings(&self) -> &[ConfigProblem] {
        &self.warnings
    }

    /// Reads a configuration in JSON.
    ///
    /// # Errors
    /// Every mistake, each with the path of its field.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Vec<ConfigProblem>> {
        Self::from_value(Self::parse(bytes).map_err(|problem| vec![problem])?)
    }

    /// Reads the JSON of a configuration, and judges nothing of it.
    ///
    /// # Errors
    /// It is none, or has a member twice: of which a reader takes one, and a person may mean the other.
    pub fn parse(bytes: &[u8]) -> Result<Value, ConfigProblem> {
        session_gate_jose::parse_json(bytes).map_err(|error| ConfigProblem::new(".", format!("must be JSON: {error}")))
    }

    /// Reads a configuration that has been parsed already.
    ///
    /// # Errors
    /// Every mistake, each with the path of its field.
    pub fn from_value(mut document: Value) -> Result<Self, Vec<ConfigProblem>> {
        let renamed = renamed::rename(&mut document);
        let (raw, misfits) = collect::<raw::RawConfig>(&mut document);
        let mut problems = Problems::new(misfits);
        problems.warn_of(renamed);
        let config = raw.map(|raw| build(raw, &mut problems));
        match config {
            Some(config) if problems.is_empty() => Ok(Self { warnings: problems.take_warnings(), ..config }),
            _ => Err(problems.into_list()),
        }
    }
}

fn build(raw: raw::RawConfig, problems: &mut Problems) -> Config {
    let (trusted, claim_headers) = upstream_headers::trusted(raw.upstream_headers, problems);
    let sidecar = raw.sidecar.map(|raw| issuers::sidecar(raw, problems));
    let names_no_issuer = raw.issuers.is_empty();
    let issuers = issuers::issuers(raw.issuers, sidecar.is_some(), problems);
    let needs_sidecar = |issuer: &crate::token::Issuer| {
        matches!(issuer.keys, KeySource::Sidecar) || issuer.revocation != Revocation::None
    };
    if sidecar.is_none() && issuers.iter().any(needs_sidecar) {
        problems.add("sidecar", "is required: an issuer's keys come from it, or its tokens are checked there");
    }
    let limits = limits::limits(raw.rate_limits, problems);
    if sidecar.is_none() && !limits.is_empty() {
        problems.add("sidecar", "is required: limits are counted there");
    }
    let before_authentication = raw.rate_limit_before_authentication.unwrap_or_default();
    let upstreams = upstreams::Upstreams::new(raw.upstreams, problems);
    let defaults = routes::Defaults {
        upstream: raw.upstream.and_then(|name| upstreams.named(&name, "upstream", problems)),
        upstreams,
        limits_before_authentication: limits.before_authentication(
            &before_authentication,
            "rate_limit_before_authentication",
            problems,
        ),
        limits,
        require_https: raw.require_https,
        login: raw.login.map(|raw| pages::login(raw, "login", problems)),
        security_headers: browser::defaults(problems, &raw.security_headers),
        remove: browser::removed(raw.remove_response_headers, problems),
        interpretations: interpretations::interpretations(&raw.upstream_interpretations),
    };
    let fallback = Route {
        name: RouteName::fallback(),
        matcher: Default::default(),
        policy: RoutePolicy {
            authentication: Authentication::Required,
            require_session: false,
            scopes: None,
            failure_mode: FailureMode::Deny,
            accept_pending_2fa: false,
            background: false,
            token_query_parameter: None,
            limits: defaults.limits.of_route(None, defaults.limits_before_authentication.clone(), "", problems),
            require_https: defaults.require_https,
            login: defaults.login.clone(),
            cors: None,
            security_headers: SecurityHeaders {
                set: defaults.security_headers.clone(),
                remove: defaults.remove.clone(),
            },
            session_commands: None,
            endpoint: None,
            upstream: defaults.upstream.clone(),
        },
    };
    let endpoints = raw.endpoints.map(|raw| endpoints::endpoints(raw, &defaults, problems)).unwrap_or_default();
    endpoints::check(&endpoints, sidecar.is_some(), &issuers, problems);
    let routes = routes::routes(raw.routes, &endpoints, &defaults, problems);
    if sidecar.is_none()
        && let Some(place) = routes.iter().position(|route| route.policy.session_commands.is_some())
    {
        problems.add("sidecar", format!("is required: it does what routes[{place}].session_commands allow"));
    }
    defaults.limits.warn_of_unused(problems);
    defaults.upstreams.warn_of_unused(problems);
    let default_rule = match raw.default_rule {
        Some(raw::RawDefaultRule::Deny) => DefaultRule::Deny,
        Some(raw::RawDefaultRule::Authenticated) => DefaultRule::Authenticated,
        None => {
            problems.warn(
                "default_rule",
                "is not set: what no rule matches is served to every good token. Say \"deny\", or \"authenticated\" if \
                 that is meant",
            );
            DefaultRule::Authenticated
        }
    };
    let wants_token = |route: &Route| route.policy.authentication != Authentication::Public;
    if names_no_issuer && !problems.has("issuers") && (routes.is_empty() || routes.iter().any(wants_token)) {
        problems.add("issuers", "must name at least one issuer: some route asks for a token");
    }
    let routes = RouteTable::new(endpoints, routes, fallback, default_rule);
    pages::warn_of_unreachable(&routes, defaults.login.as_ref(), defaults.interpretations, problems);
    let cookie = browser::cookie(raw.cookie, problems);
    if cookie.same_site == SameSite::Strict && routes.iter().any(|route| route.policy.login.is_some()) {
        let message = "is strict: whoever follows a link from another site, or comes back from one where they have logged \
                       in, comes without the cookie and is sent to log in again";
        problems.warn("cookie.same_site", message);
    }
    Config {
        sidecar,
        issuers: Issuers::new(issuers, claim_headers),
        routes,
        interpretations: defaults.interpretations,
        cookie,
        error_page: pages::error_page(raw.error_page, problems),
        csrf: browser::csrf(raw.csrf, problems),
        realm: realm(raw.realm, problems),
        trusted,
        token_refresh_threshold: raw.token_refresh_threshold.map(|text| {
            problems.duration("token_refresh_threshold", Some(&text), Duration::ZERO..=DAY, Duration::ZERO)
        }),
        max_token_bytes: problems.number("bounds.max_token_bytes", raw.bounds.max_token_bytes, 512..=65_536, 8192),
        cache_entries: problems.number("bounds.cache_entries", raw.bounds.cache_entries, 0..=1_000_000, 10_000),
        cache_bytes: problems.number("bounds.cache_bytes", raw.bounds.cache_bytes, 0..=268_435_456, 8_388_608),
        max_held_requests: problems.number("bounds.max_held_requests", raw.bounds.max_held_requests, 1..=100_000, 1024),
        limit_headers: limits::headers(raw.rate_limit_headers.as_deref()),
        limit_keys: problems.number("bounds.rate_limit_keys", raw.bounds.rate_limit_keys, 100..=1_000_000, 10_000),
        warnings: Vec::new(),
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// Stands between quotes in `WWW-Authenticate`.
fn realm(raw: Option<String>, problems: &mut Problems) -> String {
    let realm = raw.unwrap_or_else(|| "session-gate".to_owned());
    if !realm.bytes().all(|b| (b.is_ascii_graphic() || b == b' ') && b != b'"' && b != b'\\') {
        problems.add("realm", "must be visible ASCII without \" and \\");
    }
    realm
}

#[cfg(test)]
mod tests;
