//! The `routes` section.

use std::{collections::HashSet, rc::Rc, time::Duration};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use session_gate_protocol::{Scope, Scopes};

use super::{
    browser,
    limits::Limits,
    pages::{self, is_unreserved},
    problems::Problems,
    raw::{RawAuthentication, RawFailureMode, RawMatch, RawPath, RawRoute, RawScopes},
    session_commands,
    upstreams::Upstreams,
};
use crate::{
    http::{
        path::{PathBudget, PathInterpretations},
        proof::Upstream,
        security_headers::{SecurityHeader, SecurityHeaders},
        upstream_interpretations::UpstreamInterpretations,
    },
    limits::{Limit, RouteLimits},
    routing::{
        Authentication, FailureMode, HostPattern, Login, Matcher, PathPattern, Route, RouteName, RoutePolicy, ScopeRule,
    },
};

/// What a route gets where it says nothing of its own.
pub(super) struct Defaults {
    pub(super) limits: Limits,
    pub(super) limits_before_authentication: Vec<Rc<Limit>>,
    pub(super) require_https: Option<bool>,
    pub(super) login: Option<Rc<Login>>,
    pub(super) security_headers: Vec<SecurityHeader>,
    pub(super) remove: Vec<String>,
    pub(super) interpretations: UpstreamInterpretations,
    pub(super) upstreams: Upstreams,
    pub(super) upstream: Option<Rc<Upstream>>,
}

/// `before`: rules that come before these.
pub(super) fn routes(raw: Vec<RawRoute>, before: &[Route], defaults: &Defaults, problems: &mut Problems) -> Vec<Route> {
    let mut names = HashSet::new();
    let mut routes = Vec::new();
    for (place, raw) in raw.into_iter().enumerate() {
        let path = format!("routes[{place}]");
        let route = route(raw, &path, defaults, problems);
        if let Some(name) = &route.1
            && !names.insert(name.clone())
        {
            problems.add(format!("{path}.name"), "must not be given twice");
        }
        routes.push(route.0);
    }
    warn_of_unreachable(&routes, problems);
    for (place, route) in routes.iter().enumerate() {
        if before.iter().any(|endpoint| endpoint.matcher.covers(&route.matcher)) {
            problems
                .warn(format!("routes[{place}]"), "is never reached: `endpoints` has all paths below /.session-gate/");
        }
    }
    routes
}

/// The first rule that matches counts: what an earlier one has all of is never reached, and hardly meant so.
fn warn_of_unreachable(routes: &[Route], problems: &mut Problems) {
    for (place, later) in routes.iter().enumerate() {
        let earlier = routes.iter().take(place).position(|earlier| earlier.matcher.covers(&later.matcher));
        if let Some(earlier) = earlier {
            let message = format!("is never reached: routes[{earlier}] matches all that it does, and stands before it");
            problems.warn(format!("routes[{place}]"), message);
        }
    }
}

fn route(raw: RawRoute, path: &str, defaults: &Defaults, problems: &mut Problems) -> (Route, Option<String>) {
    let field = |name: &str| format!("{path}.{name}");
    let before_authentication = raw.rate_limit_before_authentication.as_deref();
    let limits = limits_of(raw.rate_limit.as_deref(), before_authentication, path, defaults, problems);
    let name = problems.required(field("name"), raw.name);
    let parsed = RouteName::parse(&name).filter(|name| *name != RouteName::fallback());
    if parsed.is_none() && !name.is_empty() {
        problems.add(field("name"), "must be 1 to 64 of a-z A-Z 0-9 _ . -, and not \"default\"");
    }
    // Beside `optional` they would hold for those only who send a token.
    let demands = [
        ("accept_pending_2fa", raw.accept_pending_2fa),
        ("require_session", raw.require_session),
        ("scopes", raw.scopes.is_some()),
    ];
    let demands: Vec<_> = demands.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| format!("`{name}`")).collect();
    if !demands.is_empty() && !matches!(raw.authentication, Some(RawAuthentication::Required) | None) {
        let message =
            format!("must be \"required\" beside {}, which no request without a token meets", demands.join(" and "));
        problems.add(field("authentication"), message);
    }
    if raw.background && matches!(raw.authentication, Some(RawAuthentication::Public)) {
        problems.warn(field("background"), "has no effect: no token is looked at, so no request is a use of a session");
    }
    if raw.token_query_parameter.as_ref().is_some_and(|name| !is_unreserved(name)) {
        problems.add(field("token_query_parameter"), "must be letters, digits, and - . _ ~");
    }
    let policy = RoutePolicy {
        authentication: match raw.authentication {
            Some(RawAuthentication::Optional) => Authentication::Optional,
            Some(RawAuthentication::Public) => Authentication::Public,
            Some(RawAuthentication::Required) | None => Authentication::Required,
        },
        require_session: raw.require_session,
        scopes: raw.scopes.and_then(|raw| scopes(raw, &field("scopes"), problems)),
        failure_mode: failure_mode(raw.failure_mode, &field("failure_mode"), problems),
        accept_pending_2fa: raw.accept_pending_2fa,
        background: raw.background,
        token_query_parameter: raw.token_query_parameter,
        limits,
        require_https: raw.require_https.or(defaults.require_https),
        login: pages::route_login(raw.login, &field("login"), defaults.login.as_ref(), problems),
        cors: raw.cors.map(|raw| browser::cors(raw, &field("cors"), problems)),
        security_headers: SecurityHeaders {
            set: browser::overridden(
                &defaults.security_headers,
                &raw.security_headers,
                &field("security_headers"),
                problems,
            ),
            remove: defaults.remove.clone(),
        },
        upstream: match &raw.upstream {
            Some(name) => defaults.upstreams.named(name, &field("upstream"), problems),
            None => defaults.upstream.clone(),
        },
        session_commands: raw
            .session_commands
            .map(|raw| session_commands::session_commands(raw, &field("session_commands"), problems)),
        endpoint: None,
    };
    let matcher = matcher(raw.r#match, &field("match"), defaults.interpretations, problems);
    (Route { name: parsed.unwrap_or_else(RouteName::fallback), matcher, policy }, (!name.is_empty()).then_some(name))
}

/// The limits of a route that says so of them.
pub(super) fn limits_of(
    limits: Option<&[String]>,
    before_authentication: Option<&[String]>,
    path: &str,
    defaults: &Defaults,
    problems: &mut Problems,
) -> RouteLimits {
    let before_authentication = match before_authentication {
        Some(names) => {
            let path = format!("{path}.rate_limit_before_authentication");
            defaults.limits.before_authentication(names, &path, problems)
        }
        None => defaults.limits_before_authentication.clone(),
    };
    let path = format!("{path}.rate_limit");
    defaults.limits.of_route(limits, before_authentication, &path, problems)
}

fn failure_mode(raw: Option<RawFailureMode>, path: &str, problems: &mut Problems) -> FailureMode {
    match raw {
        Some(RawFailureMode::Allow) => FailureMode::Allow,
        Some(RawFailureMode::Deny) | None => FailureMode::Deny,
        Some(RawFailureMode::LastKnown(within)) => {
            let second = Duration::from_secs(1);
            let path = format!("{path}.last_known");
            FailureMode::LastKnown(problems.duration(path, Some(&within), second..=3600 * second, second))
        }
    }
}

fn scopes(raw: RawScopes, path: &str, problems: &mut Problems) -> Option<ScopeRule> {
    let (name, list, rule): (_, _, fn(Scopes) -> ScopeRule) = match (raw.any, raw.all) {
        (Some(any), None) => ("any", any, ScopeRule::Any),
        (None, Some(all)) => ("all", all, ScopeRule::All),
        _ => {
            if !problems.has(path) {
                problems.add(path, "must have exactly one of `any` and `all`");
            }
            return None;
        }
    };
    if list.is_empty() {
        problems.add(format!("{path}.{name}"), "must name at least one scope");
    }
    let mut scopes = Vec::new();
    for (place, text) in list.iter().enumerate() {
        match text.parse::<Scope>() {
            Ok(scope) => scopes.push(scope),
            Err(error) => problems.add(format!("{path}.{name}[{place}]"), error.to_string()),
        }
    }
    Some(rule(scopes.into_iter().collect()))
}

fn matcher(raw: RawMatch, path: &str, upstreams: UpstreamInterpretations, problems: &mut Problems) -> Matcher {
    let mut hosts = Vec::new();
    for (place, text) in raw.hosts.iter().enumerate() {
        match HostPattern::parse(text) {
            Some(host) => hosts.push(host),
            None => problems.add(
                format!("{path}.hosts[{place}]"),
                "must be a host without scheme, port and path, with or without *. in front",
            ),
        }
    }
    for (place, method) in raw.methods.iter().enumerate() {
        if method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
            problems.add(format!("{path}.methods[{place}]"), "must be a method in upper case, such as GET");
        }
    }
    let path = raw.path.and_then(|raw| path_pattern(raw, &format!("{path}.path"), upstreams, problems));
    Matcher { hosts, methods: raw.methods, path }
}

fn path_pattern(
    raw: RawPath,
    path: &str,
    upstreams: UpstreamInterpretations,
    problems: &mut Problems,
) -> Option<PathPattern> {
    const PLAIN: &str = "must be a decoded, normalised path: begin with /, no %, ;, \\, ?, #, //, /./ or /../";
    let RawPath { exact, prefix, template, regex } = raw;
    match (exact, prefix, template, regex) {
        (Some(text), None, None, None) => {
            plain(PathPattern::exact(&text), PLAIN, &text, &format!("{path}.exact"), upstreams, problems)
        }
        (None, Some(text), None, None) => {
            plain(PathPattern::prefix(&text), PLAIN, &text, &format!("{path}.prefix"), upstreams, problems)
        }
        (None, None, Some(text), None) => {
            let message = "must be a normalised path whose braces enclose whole segments";
            let one = text.replace(['{', '}'], "");
            plain(PathPattern::template(&text), message, &one, &format!("{path}.template"), upstreams, problems)
        }
        (None, None, None, Some(text)) => {
            let pattern = PathPattern::regex(&text);
            if pattern.is_none() {
                problems.add(format!("{path}.regex"), "must be a regular expression of Rust's regex crate over ASCII (other characters stand for \
                     themselves, in lower case and outside of brackets), and a simple one: its table of states has room in \
                     1 MiB");
            }
            pattern
        }
        _ => {
            if !problems.has(path) {
                problems.add(path, "must have exactly one of `exact`, `prefix`, `template` and `regex`");
            }
            None
        }
    }
}

/// A path that no request could have would be a rule that never applies. `one` is a path that the pattern is for.
fn plain(
    pattern: Option<PathPattern>,
    allowed: &str,
    one: &str,
    path: &str,
    upstreams: UpstreamInterpretations,
    problems: &mut Problems,
) -> Option<PathPattern> {
    /// What a client encodes of a path as rules are written.
    const SPACES: &AsciiSet = &CONTROLS.add(b' ');
    let Some(pattern) = pattern else {
        problems.add(path, allowed);
        return None;
    };
    let sent = utf8_percent_encode(one, SPACES).to_string();
    let readings = PathInterpretations::of(&sent, upstreams, &mut PathBudget::default());
    let mut readings = readings.into_iter().flat_map(PathInterpretations::into_readings);
    if let Some((reading, Some(by))) = readings.find(|(reading, _)| !pattern.matches_as_written(reading)) {
        let switch = by.name();
        problems.add(
            path,
            format!(
                "must not be a path that can be read as {reading:?}, which this rule does not match: every request for it \
                 would be refused as ambiguous. `upstream_interpretations.{switch}: false` if no upstream reads it so"
            ),
        );
    }
    Some(pattern)
}
