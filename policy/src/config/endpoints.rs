//! The `endpoints` section: rules of the gate's own, which come before all others.

use session_gate_protocol::ENDPOINTS_PREFIX;

use super::{
    browser,
    problems::Problems,
    raw::{RawEndpoint, RawEndpoints},
    routes::{self, Defaults},
};
use crate::{
    http::security_headers::SecurityHeaders,
    routing::{Authentication, Endpoint, FailureMode, Matcher, PathPattern, Route, RouteName, RoutePolicy},
    token::{Issuer, Revocation},
};

/// The rules, in their order: for each endpoint one, and one that refuses all else below the prefix.
pub(super) fn endpoints(raw: RawEndpoints, defaults: &Defaults, problems: &mut Problems) -> Vec<Route> {
    let RawEndpoints { session, token } = raw;
    if session.is_none() && token.is_none() && !problems.has("endpoints") {
        problems.add("endpoints", "must name at least one of session, token");
    }
    let mut rules = Vec::new();
    for (endpoint, raw) in [(Endpoint::Session, session), (Endpoint::Token, token)] {
        rules.extend(raw.map(|raw| rule(endpoint, raw, defaults, problems)));
    }
    let rest = Matcher { path: PathPattern::prefix(ENDPOINTS_PREFIX), ..Matcher::default() };
    let policy = policy(RawEndpoint::default(), "endpoints", defaults, problems);
    rules.push(Route { name: RouteName::endpoint("other"), matcher: rest, policy });
    rules
}

/// What is wrong with endpoints beside the rest of the configuration.
pub(super) fn check(rules: &[Route], has_sidecar: bool, issuers: &[Issuer], problems: &mut Problems) {
    if rules.is_empty() {
        return;
    }
    if !has_sidecar {
        problems.add("sidecar", "is required: it serves what endpoints name");
    }
    let asks_for_session = rules.iter().any(|rule| rule.policy.endpoint == Some(Endpoint::Session));
    if asks_for_session && !issuers.iter().any(|issuer| issuer.revocation == Revocation::Sessions) {
        problems.add("endpoints.session", "needs an issuer whose sessions are the sidecar's: `revocation: sessions`");
    }
}

fn rule(endpoint: Endpoint, raw: RawEndpoint, defaults: &Defaults, problems: &mut Problems) -> Route {
    let (name, authentication) = match endpoint {
        Endpoint::Session => ("session", Authentication::Required),
        Endpoint::Token => ("token", Authentication::Public),
    };
    let is_session = endpoint == Endpoint::Session;
    let methods = vec![endpoint.method().to_owned()];
    Route {
        name: RouteName::endpoint(name),
        matcher: Matcher { hosts: Vec::new(), methods, path: PathPattern::exact(endpoint.path()) },
        policy: RoutePolicy {
            authentication,
            require_session: is_session,
            accept_pending_2fa: is_session,
            // A page that looks how long its session still lives does not make it live longer.
            background: is_session,
            endpoint: Some(endpoint),
            ..policy(raw, &format!("endpoints.{name}"), defaults, problems)
        },
    }
}

fn policy(raw: RawEndpoint, path: &str, defaults: &Defaults, problems: &mut Problems) -> RoutePolicy {
    let RawEndpoint { cors, rate_limit, rate_limit_before_authentication } = raw;
    let limits =
        routes::limits_of(rate_limit.as_deref(), rate_limit_before_authentication.as_deref(), path, defaults, problems);
    RoutePolicy {
        authentication: Authentication::Refused,
        require_session: false,
        scopes: None,
        failure_mode: FailureMode::Deny,
        accept_pending_2fa: false,
        background: false,
        token_query_parameter: None,
        limits,
        require_https: defaults.require_https,
        // Programs ask, not people.
        login: None,
        cors: cors.map(|raw| browser::cors(raw, &format!("{path}.cors"), problems)),
        security_headers: SecurityHeaders { set: defaults.security_headers.clone(), remove: defaults.remove.clone() },
        session_commands: None,
        endpoint: None,
        // The sidecar verifies the token itself.
        upstream: None,
    }
}

#[cfg(test)]
mod tests;
