//! What sessions permit, whatever their tokens say: which versions of it the store has had, and of which callers were
//! told. Of all scopes only the one to write counts here: each token may read.

use session_gate_protocol::{Claims, DenyReason, Scopes};

use crate::{clocks::Millis, decision::Decision, demands::Demand, refusal::Refusal, words::Words};

/// What must have happened in a large run.
pub const NEEDED: [(&str, &str); 8] = [
    ("calls", "metadata changed"),
    ("calls", "scopes narrowed"),
    ("calls", "scopes removed"),
    ("calls", "scopes widened"),
    ("refused", "scope_insufficient"),
    ("scopes", "admitted against what the token says"),
    ("scopes", "refused against what the token says"),
    ("scopes", "streams ended"),
];

/// What a session permits: to write or not; none: each of its tokens what it says.
pub type May = Option<bool>;

/// What a token says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenScopes {
    /// Whether it says that it may write.
    pub writes: bool,
    /// Whether it was asked for with less than its session permitted: it never permits more.
    pub is_narrowed: bool,
}

/// All that a session has permitted, by its versions.
#[derive(Debug)]
pub struct Grants(Words<(u64, May)>);

/// What these scopes permit.
pub fn may_write(scopes: Option<&Scopes>) -> May {
    scopes.map(|scopes| scopes.iter().any(|scope| scope.as_str() == "write"))
}

/// What has been shown by a decision, if anything has.
pub fn exercised(token: TokenScopes, decision: Decision, demand: Option<Demand>) -> Option<&'static str> {
    match (decision, token.writes) {
        (Decision::Allow(_), false) if demand == Some(Demand::Write) => Some("admitted against what the token says"),
        (Decision::Deny(DenyReason::ScopeInsufficient), true) => Some("refused against what the token says"),
        _ => None,
    }
}

impl TokenScopes {
    /// Those of a token.
    pub fn of(claims: Option<&Claims>) -> Self {
        let writes = claims.is_some_and(|claims| claims.scope.split(' ').any(|scope| scope == "write"));
        Self { writes, is_narrowed: claims.is_some_and(|claims| claims.narrowed) }
    }

    /// Whether it may write where its session permits that.
    pub const fn may_write(self, session: May) -> bool {
        match session {
            None => self.writes,
            Some(may) if self.is_narrowed => may && self.writes,
            Some(may) => may,
        }
    }
}

impl Grants {
    /// Those of a new session.
    pub fn new(version: u64, may: May) -> Self {
        Self(Words::new((version, may)))
    }

    /// The store has a later version.
    pub fn applied(&mut self, version: u64, may: May) {
        if self.0.last().is_none_or(|(last, before)| *last < version && *before != may) {
            self.0.push((version, may));
        }
    }

    /// A caller was told what that version permits.
    pub fn told(&mut self, version: u64, call: Refusal) {
        self.0.told(|(since, _)| *since <= version, call);
    }

    /// Whether any version has ever permitted the token to write.
    pub fn ever_permits(&self, token: TokenScopes) -> bool {
        self.0.any(|(_, may)| token.may_write(*may))
    }

    /// What has taken it back.
    pub fn refusal(&self, token: TokenScopes) -> Option<Refusal> {
        self.0.refusal(|(_, may)| token.may_write(*may))
    }

    /// Whether a worker may think that the token must not write.
    pub fn may_be_refused(&self, token: TokenScopes, is_heard: impl Fn(Millis) -> bool) -> bool {
        self.0.may_refuse(|(_, may)| token.may_write(*may), is_heard)
    }
}
