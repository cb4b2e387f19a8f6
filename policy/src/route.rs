//! Which rule a request meets.

use std::{fmt, rc::Rc};

use regex_lite::Regex;
use session_gate_protocol::{DenyReason, Scope, Scopes};

use crate::{cors::Cors, headers::Headers, path::Readings, security_headers::SecurityHeaders};

/// Methods that a client may ask an upstream to put in place of the real one. Frameworks honour them.
const METHOD_OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];
/// Paths that some frameworks put in place of the real one.
const PATH_OVERRIDES: [&str; 2] = ["x-original-url", "x-rewrite-url"];

/// The rules, in their order: the first that matches counts.
#[derive(Debug)]
pub struct RouteTable {
    routes: Vec<Rc<Route>>,
    otherwise: Rc<Route>,
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
    /// The table of these rules; `otherwise` answers where none matches.
    pub fn new(routes: Vec<Route>, otherwise: Route) -> Self {
        Self { routes: routes.into_iter().map(Rc::new).collect(), otherwise: Rc::new(otherwise) }
    }

    /// The rule for a request, if it is the same one however an upstream may read the request: see
    /// [`Readings`], and the headers with which a client may ask a framework to see another method
    /// or path.
    ///
    /// # Errors
    /// `PathInvalid` where the path is none; `PathAmbiguous` where two readings meet different rules.
    pub fn find(&self, request: &Headers) -> Result<&Rc<Route>, DenyReason> {
        let target = request.text(":path").ok_or(DenyReason::PathInvalid)?;
        let method = request.text(":method").unwrap_or_default();
        let host = request.text(":authority").map(host_name).unwrap_or_default();
        let mut readings = Readings::of(target).map_err(|_| DenyReason::PathInvalid)?;
        let mut found = self.agreed(&host, method, &readings)?;
        for name in METHOD_OVERRIDES {
            for value in request.all(name) {
                let method = String::from_utf8_lossy(value).trim().to_ascii_uppercase();
                found = same(found, self.agreed(&host, &method, &readings)?)?;
            }
        }
        for name in PATH_OVERRIDES {
            for value in request.all(name) {
                let target = std::str::from_utf8(value).map_err(|_| DenyReason::PathInvalid)?;
                readings = Readings::of(target).map_err(|_| DenyReason::PathInvalid)?;
                found = same(found, self.agreed(&host, method, &readings)?)?;
            }
        }
        Ok(found)
    }

    fn agreed(&self, host: &str, method: &str, readings: &Readings) -> Result<&Rc<Route>, DenyReason> {
        let mut rules = readings.iter().map(|path| self.first_match(host, method, path));
        let first = rules.next().ok_or(DenyReason::PathInvalid)?;
        rules.try_fold(first, same)
    }

    fn first_match(&self, host: &str, method: &str, path: &str) -> &Rc<Route> {
        self.routes.iter().find(|route| route.matcher.matches(host, method, path)).unwrap_or(&self.otherwise)
    }

    /// The rule for requests that none matches, and for replies to requests that none was seen of.
    pub fn otherwise(&self) -> &Rc<Route> {
        &self.otherwise
    }
}

/// Two readings of one request must meet the same rule: the very same, not an equal one.
fn same<'a>(one: &'a Rc<Route>, other: &'a Rc<Route>) -> Result<&'a Rc<Route>, DenyReason> {
    if Rc::ptr_eq(one, other) { Ok(one) } else { Err(DenyReason::PathAmbiguous) }
}

/// The host of an authority: without port, without the dot of a fully qualified name, in lower case.
fn host_name(authority: &str) -> String {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
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
    pub fn otherwise() -> Self {
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
            && (self.methods.is_empty() || self.methods.iter().any(|allowed| allowed == method))
            && self.path.as_ref().is_none_or(|pattern| pattern.matches(path))
    }
}

// === impl HostPattern ===

impl HostPattern {
    /// Reads `api.example.com` or `*.example.com`.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, wild) = text.strip_prefix("*.").map_or((text, false), |rest| (rest, true));
        let fits = !name.is_empty()
            && !name.starts_with('.')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'[' | b']' | b':'));
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
        Regex::new(&format!("^(?:{text})$")).ok().map(Self::Regex)
    }

    /// Reads a template. Braces must enclose a whole segment.
    pub fn template(text: &str) -> Option<Self> {
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

/// `/a/` and `/a` name the same to most upstreams; `/` is the empty text, below which everything is.
fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

#[cfg(test)]
mod tests;
