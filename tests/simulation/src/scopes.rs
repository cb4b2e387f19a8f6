//! What sessions permit, whatever their tokens say: which versions of it the store has had, and of which callers were
//! told. Of all scopes only the one to write counts here: each token may read.

use session_gate_protocol::{Claims, DenyReason, Scopes};

use crate::{clocks::Millis, demands::Demand, truth::Refusal, worker_host::Decision};

/// What must have happened in a large run.
pub const NEEDED: [(&str, &str); 7] = [
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

/// A version of a session that permits something else than the one before.
#[derive(Clone, Copy, Debug)]
struct Grant {
    version: u64,
    may: May,
    /// That a caller was told of it.
    told: Option<Refusal>,
}

/// All that a session has permitted, the latest last.
#[derive(Debug)]
pub struct Grants(Vec<Grant>);

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
        Self(vec![Grant { version, may, told: None }])
    }

    /// The store has a later version.
    pub fn applied(&mut self, version: u64, may: May) {
        if self.0.last().is_none_or(|last| last.version < version && last.may != may) {
            self.0.push(Grant { version, may, told: None });
        }
    }

    /// A caller was told what that version permits.
    pub fn told(&mut self, version: u64, call: Refusal) {
        if let Some(grant) = self.0.iter_mut().rev().find(|grant| grant.version <= version) {
            grant.told = Some(Refusal::merge(grant.told, call));
        }
    }

    /// Whether any version has ever permitted the token to write.
    pub fn ever_permits(&self, token: TokenScopes) -> bool {
        self.0.iter().any(|grant| token.may_write(grant.may))
    }

    /// What has taken it back: what was told of versions after the last one that permits it.
    pub fn refusal(&self, token: TokenScopes) -> Option<Refusal> {
        let since = self.0.iter().rev().take_while(|grant| !token.may_write(grant.may));
        since.filter_map(|grant| grant.told).fold(None, |all, told| Some(Refusal::merge(all, told)))
    }

    /// Whether a worker may think that the token must not write: some version says so, and it need not have heard yet
    /// of a later one. `is_heard`: whether it must have heard of what was told at that moment.
    pub fn may_be_refused(&self, token: TokenScopes, is_heard: impl Fn(Millis) -> bool) -> bool {
        let certain = self.0.iter().rposition(|grant| grant.told.is_some_and(|told| is_heard(told.acked)));
        self.0.iter().skip(certain.unwrap_or_default()).any(|grant| !token.may_write(grant.may))
    }
}
