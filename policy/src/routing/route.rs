//! A rule: what it matches, and what it asks.

use std::{fmt, rc::Rc, time::Duration};

use session_gate_protocol::{Scope, Scopes};

use super::{endpoint::Endpoint, login::Login, pattern::Matcher, session_commands::SessionCommands};
use crate::{
    http::{cors::Cors, proof::Upstream, security_headers::SecurityHeaders},
    limits::RouteLimits,
};

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
    /// Whether its requests are no activity of the user's: they keep no session from going idle.
    pub background: bool,
    /// The query parameter that may carry the token (RFC 6750, section 2.3).
    pub token_query_parameter: Option<String>,
    /// What limits the requests.
    pub limits: RouteLimits,
    /// Whether a client must have come by https; none: what the sidecar publishes.
    pub require_https: Option<bool>,
    /// Where page loads are sent that lack a login.
    pub login: Option<Rc<Login>>,
    /// Whose pages may read denials, and whose preflights are answered.
    pub cors: Option<Cors>,
    /// What the answers carry.
    pub security_headers: SecurityHeaders,
    /// What the application may say of sessions; none: nothing.
    pub session_commands: Option<SessionCommands>,
    /// Which of the gate's own endpoints it is; none: it is the application's.
    pub endpoint: Option<Endpoint>,
    /// The upstream, where it can tell what came through the gate.
    pub upstream: Option<Rc<Upstream>>,
}

/// Whether a credential is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Without one the request passes, anonymously; a wrong one is refused.
    Optional,
    /// No credential is looked at.
    Public,
    /// No request is served, as if no rule were there.
    Refused,
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

    /// What requests to one of the gate's own endpoints are counted under.
    pub fn endpoint(name: &str) -> Self {
        Self(format!("session-gate.{name}"))
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
