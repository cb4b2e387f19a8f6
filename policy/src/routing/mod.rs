//! Which rule a request meets.

use std::{fmt, rc::Rc, time::Duration};

use regex_lite::Regex;
use session_gate_protocol::{DenyReason, Scope, Scopes};

use crate::{
    http::{
        authority::is_ipv6, cors::Cors, interpretations::RequestInterpretations, security_headers::SecurityHeaders,
    },
    limits::RouteLimits,
};

/// The rules, in their order: the first that matches counts.
#[derive(Debug)]
pub struct RouteTable {
    routes: Vec<Rc<Route>>,
    fallback: Rc<Route>,
}

/// A rule: what it matches, and what it asks.
#[derive(Debug)]
pub struct Route {
    /// Its name, in metrics and the access log.
    pub name: RouteName,
    /// What it matches.
    pub matcher: Matcher,
    /// What it asks.
    pub policy: RoutePolicy,
}

/// The name of a rule: 1 to 64 of `a-z A-Z 0-9 _ . -`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteName(String);

/// What a rule asks of a request.
#[derive(Clone, Debug)]
pub struct RoutePolicy {
    /// Whether a credential is needed.
    pub authentication: Authentication,
    /// Whether the token must belong to a session.
    pub require_session: bool,
    /// The scopes that the token must have.
    pub scopes: Option<ScopeRule>,
    /// What happens when the store cannot be asked.
    pub failure_mode: FailureMode,
    /// Whether a session that waits for its second factor is served.
    pub accept_pending_2fa: bool,
    /// The query parameter that may carry the token (RFC 6750, section 2.3).
    pub token_query_parameter: Option<String>,
    /// What limits the requests.
    pub limits: RouteLimits,
    /// Whether a client must have come by https.
    pub require_https: bool,
    /// Whose pages may read the answers.
    pub cors: Option<Cors>,
    /// What the answers carry.
    pub security_headers: SecurityHeaders,
}

/// Whether a credential is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Without one the request passes, anonymously; a wrong one is refused.
    Optional,
    /// No credential is looked at.
    Public,
    /// Without one the request is refused.
    Required,
}

/// What happens to a request whose session cannot be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureMode {
    /// It passes on the token alone.
    Allow,
    /// It is refused with 503.
    Deny,
    /// It passes while the feed was heard of within this time; later it is refused with 503.
    LastKnown(Duration),
}

/// The scopes that a token must have.
#[derive(Clone, Debug)]
pub enum ScopeRule {
    /// All of them.
    All(Scopes),
    /// At least one of them.
    Any(Scopes),
}

impl ScopeRule {
    /// Whether `granted` is enough.
    pub fn is_met_by(&self, granted: &Scopes) -> bool {
        let has = |scope: &Scope| granted.contains(scope);
        match self {
            Self::All(wanted) => wanted.iter().all(has),
            Self::Any(wanted) => wanted.iter().any(has),
        }
    }

    /// The scopes that it names, for the `scope` attribute of the reply (RFC 6750, section 3).
    pub fn scopes(&self) -> &Scopes {
        match self {
            Self::All(scopes) | Self::Any(scopes) => scopes,
        }
    }
}

/// Which requests a rule matches: all of its parts must.
#[derive(Debug, Default)]
pub struct Matcher {
    /// Any of these hosts; none given: every host.
    pub hosts: Vec<HostPattern>,
    /// Any of these methods; none given: every method.
    pub methods: Vec<String>,
    /// This path; none given: every path.
    pub path: Option<PathPattern>,
}

/// A host, or with `*.` in front every host below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This host.
    Exact(String),
    /// Every host that ends in this text, which begins with a dot.
    Suffix(String),
}

/// A path, or a shape of paths. A slash at the end makes no difference, except to a regex.
#[derive(Debug)]
pub enum PathPattern {
    /// This path.
    Exact(String),
    /// This path and everything below it: `/a` matches `/a` and `/a/b`, not `/ab`.
    Prefix(String),
    /// A regular expression that matches the whole path.
    Regex(Regex),
    /// Segments, of which those in braces match any one: `/users/{id}/orders`.
    Template(Vec<TemplateSegment>),
}

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateSegment {
    /// Any one segment.
    Any,
    /// This one.
    Literal(String),
}

// === impl RouteTable ===

impl RouteTable {
    /// The table of these rules; `fallback` answers where none matches.
    pub fn new(routes: Vec<Route>, fallback: Route) -> Self {
        Self { routes: routes.into_iter().map(Rc::new).collect(), fallback: Rc::new(fallback) }
    }

    /// The rule for a request, if it is the same one for every combination of its readings.
    ///
    /// # Errors
    /// `PathAmbiguous` where two readings meet different rules.
    pub fn find(&self, readings: &RequestInterpretations) -> Result<&Rc<Route>, DenyReason> {
        let RequestInterpretations { methods, hosts, paths, overridden: _ } = readings;
        let mut rules = paths.iter().flat_map(|path| {
            hosts.iter().flat_map(move |host| methods.iter().map(move |method| self.first_match(host, method, path)))
        });
        let first = rules.next().ok_or(DenyReason::PathInvalid)?;
        // The very same rule, not an equal one.
        if rules.all(|rule| Rc::ptr_eq(rule, first)) { Ok(first) } else { Err(DenyReason::PathAmbiguous) }
    }

    fn first_match(&self, host: &str, method: &str, path: &str) -> &Rc<Route> {
        self.routes.iter().find(|route| route.matcher.matches(host, method, path)).unwrap_or(&self.fallback)
    }

    /// The rule for requests that none matches, and for replies to requests that none was seen of.
    pub fn fallback(&self) -> &Rc<Route> {
        &self.fallback
    }
}

// === impl RouteName ===

impl RouteName {
    /// A name that is fit for metrics and logs.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        fits.then(|| Self(text.to_owned()))
    }

    /// What requests that no rule matches are counted under.
    pub fn fallback() -> Self {
        Self("default".to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RouteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Matcher ===

impl Matcher {
    fn matches(&self, host: &str, method: &str, path: &str) -> bool {
        (self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.matches(host)))
            && (self.methods.is_empty() || self.methods.iter().any(|allowed| serves(allowed, method)))
            && self.path.as_ref().is_none_or(|pattern| pattern.matches(path))
    }
}

/// HEAD is GET without the body (RFC 9110, section 9.3.2), so a rule for GET is one for HEAD.
fn serves(allowed: &str, method: &str) -> bool {
    allowed == method || (allowed == "GET" && method == "HEAD")
}

// === impl HostPattern ===

impl HostPattern {
    /// Reads `api.example.com` or `*.example.com`.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, wild) = text.strip_prefix("*.").map_or((text, false), |rest| (rest, true));
        let fits = !name.is_empty()
            && !name.starts_with('.')
            && (is_ipv6(name) || name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')));
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        fits.then(|| if wild { Self::Suffix(format!(".{name}")) } else { Self::Exact(name) })
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
        }
    }
}

// === impl PathPattern ===

impl PathPattern {
    /// Compiles a regular expression that must match the whole path.
    pub fn regex(text: &str) -> Option<Self> {
        // Alone first: a text such as `a)|(?:b` would be right only between the anchors.
        Regex::new(text).ok()?;
        Regex::new(&format!("^(?:{text})$")).ok().map(Self::Regex)
    }

    /// Reads a template. Braces must enclose a whole segment, and with any segment in their place it
    /// must be a path that a request can have.
    pub fn template(text: &str) -> Option<Self> {
        is_plain_pattern(&text.replace(['{', '}'], "")).then_some(())?;
        let segments = text.strip_prefix('/')?.trim_end_matches('/').split('/').map(|segment| {
            let inner = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            match inner {
                Some(name) if !name.is_empty() && !name.contains(['{', '}']) => Some(TemplateSegment::Any),
                Some(_) => None,
                None if segment.is_empty() || segment.contains(['{', '}']) => None,
                None => Some(TemplateSegment::Literal(segment.to_owned())),
            }
        });
        segments.collect::<Option<Vec<_>>>().map(Self::Template)
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => without_slash(exact) == without_slash(path),
            Self::Prefix(prefix) => {
                let prefix = without_slash(prefix);
                path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::Regex(regex) => regex.is_match(path),
            Self::Template(segments) => {
                let mut given = without_slash(path).split('/').skip(1);
                segments.iter().all(|segment| match (segment, given.next()) {
                    (_, None) => false,
                    (TemplateSegment::Any, Some(text)) => !text.is_empty(),
                    (TemplateSegment::Literal(literal), Some(text)) => literal == text,
                }) && given.next().is_none()
            }
        }
    }
}

/// Whether `text` is a path as rules are written: decoded, and with one reading only. Any other would
/// be a rule that never applies.
pub fn is_plain_pattern(text: &str) -> bool {
    text.starts_with('/')
        && !text.contains(['%', ';', '\\', '?', '#'])
        && !text.contains("//")
        && !text.chars().any(char::is_control)
        && !text.split('/').any(|segment| matches!(segment, "." | ".."))
}

/// `/a/` and `/a` name the same to most upstreams; `/` is the empty text, below which everything is.
fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

#[cfg(test)]
mod tests;
