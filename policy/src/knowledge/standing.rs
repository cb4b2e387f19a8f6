//! The one predicate: may this identity be served here, now?
//!
//! Admission, waking from a wait, open streams and failure modes all ask [`standing`], and nothing else decides. In this
//! order:
//!
//! 1. Its time: the token's, or where it is served already, its session's.
//! 2. What is known against it for good: it, its session or all of its user's have ended, its user is on the
//!    denylist, a rule revokes it.
//! 3. Whether it can have a session where the route asks for one.
//! 4. What the evidence says of its session: suspended, waiting for its second factor, missing. A token that names one is
//!    judged by it on every route, whoever has issued it. What the feed cannot tell is unknown: the sidecar is to be
//!    asked.
//! 5. Its scopes: its session's where these have been set, else its own.
//!
//! Where the sidecar could not be asked, the route's failure mode decides; it never makes up for what else refuses,
//! and a second factor or a session that nobody can vouch for counts as missing.

use session_gate_protocol::{AllowReason, CheckVerdict, DenyReason};

use super::{Follower, Identity};
use crate::{
    routing::{FailureMode, RoutePolicy, ScopeRule},
    time::Now,
    token::{Revocation, TokenText},
};

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// As whom the request is or would be served.
    pub identity: &'a Identity,
    /// Its token.
    pub token: TokenText<'a>,
    /// What the route asks.
    pub route: &'a RoutePolicy,
    /// What is known from the feed; none: there is no sidecar.
    pub feed: Option<&'a Follower>,
    /// The clocks.
    pub now: Now,
    /// Whether it is served already, by a stream that goes on.
    pub is_open: bool,
}

/// On what it is judged, beside what is known against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// What the sidecar has just said.
    Checked(CheckVerdict),
    /// The sidecar could not be asked, for that reason.
    Failed(DenyReason),
    /// What the feed tells.
    Feed,
}

/// What follows.
#[derive(Debug)]
pub enum Standing {
    /// It is refused.
    Refused(DenyReason),
    /// It is served.
    Served(Served),
    /// The sidecar is to be asked.
    Unknown,
}

/// The proof that an identity may be served. Made only here.
#[derive(Debug)]
pub struct Served(AllowReason);

impl Served {
    /// Why it may be.
    pub const fn reason(&self) -> AllowReason {
        self.0
    }
}

/// May this identity be served here, now?
pub fn standing(case: &Case<'_>, evidence: Evidence) -> Standing {
    match judge(case, evidence) {
        Err(reason) => Standing::Refused(reason),
        Ok(Some(reason)) => Standing::Served(Served(reason)),
        Ok(None) => Standing::Unknown,
    }
}

/// `Ok(None)`: unknown.
fn judge(case: &Case<'_>, evidence: Evidence) -> Result<Option<AllowReason>, DenyReason> {
    case.check_time()?;
    case.check_known()?;
    case.check_can_have_session()?;
    if case.identity.claims.revocation() == Revocation::None {
        case.check_scopes()?;
        return Ok(Some(AllowReason::Token));
    }
    match evidence {
        Evidence::Checked(verdict) => case.after_check(verdict).map(Some),
        Evidence::Failed(reason) => case.after_failure(reason).map(Some),
        Evidence::Feed => case.by_feed(),
    }
}

impl Case<'_> {
    /// A stream outlives its token where that was renewed within a session that lives on; it never outlives its session.
    fn check_time(&self) -> Result<(), DenyReason> {
        match &self.identity.session {
            Some(session) if session.ends.is_some_and(|ends| self.now.wall >= ends) => Err(DenyReason::SessionExpired),
            Some(_) if self.is_open => Ok(()),
            Some(_) | None => self.identity.claims.check_time(self.now.wall),
        }
    }

    fn check_known(&self) -> Result<(), DenyReason> {
        let (Some(feed), claims) = (self.feed, &self.identity.claims) else { return Ok(()) };
        let (known, names) = (feed.revocations(), claims.names());
        if known.blocks_user(names.user, self.now.wall) {
            return Err(DenyReason::Blocked);
        }
        if claims.revocation() == Revocation::None {
            return Ok(());
        }
        if names.token.is_some_and(|token| known.is_revoked(token)) {
            return Err(DenyReason::TokenRevoked);
        }
        let named = claims.named_session().is_some_and(|(_, session)| known.is_revoked(session));
        if named || self.identity.session.as_ref().is_some_and(|session| known.has_ended(&session.names)) {
            return Err(DenyReason::SessionTerminated);
        }
        let is_foreign = claims.revocation() == Revocation::Feed;
        if is_foreign && known.is_cut_off(names, claims.issued_at()) {
            return Err(DenyReason::TokenRevoked);
        }
        let generation = known.rules().generation();
        if claims.cleared() != Some(generation) {
            if known.rules().revoke(names, || claims.all(self.token), self.now.wall) {
                return Err(DenyReason::TokenRevoked);
            }
            claims.clear(generation);
        }
        Ok(())
    }

    /// One of the sidecar's own has a session or has none, another issuer's may have one, and the rest have none that
    /// anybody knows.
    fn check_can_have_session(&self) -> Result<(), DenyReason> {
        let claims = &self.identity.claims;
        let can_have = match claims.revocation() {
            Revocation::Sessions => claims.own_session().is_some(),
            Revocation::Feed => true,
            Revocation::None => false,
        };
        if self.route.require_session && !can_have { Err(DenyReason::SessionMissing) } else { Ok(()) }
    }

    /// The sidecar has spoken. What the feed tells outweighs that, unless the sidecar has spoken of a later version of the
    /// session: its reply may have been on its way for longer.
    fn after_check(&self, verdict: CheckVerdict) -> Result<AllowReason, DenyReason> {
        refuse_by(verdict)?;
        self.check_suspension(true)?;
        self.check_second_factor()?;
        self.check_session(DenyReason::SessionMissing)?;
        self.check_scopes()?;
        Ok(AllowReason::Token)
    }

    /// The sidecar could not be asked. A suspension may have been lifted and a second factor been given, but only the
    /// sidecar could say so: whoever would be served by the failure mode is refused for them. What a session that nobody
    /// has spoken of permits is unknown, whatever its token says: that refuses nobody for good.
    fn after_failure(&self, failed_with: DenyReason) -> Result<AllowReason, DenyReason> {
        if !self.lacks_session() {
            self.check_scopes()?;
        }
        let allowed = self.failure_mode(failed_with)?;
        self.check_suspension(true)?;
        self.check_second_factor()?;
        self.check_session(failed_with)?;
        Ok(allowed)
    }

    /// What the feed tells, as far as it does. A stream that goes on needs no more than that nothing is against it.
    fn by_feed(&self) -> Result<Option<AllowReason>, DenyReason> {
        // Whether a suspension was lifted can be asked for a request; a stream ends with what is known of it.
        self.check_suspension(self.is_open || self.is_current())?;
        let covers = |feed: &Follower| feed.covers(self.token, self.identity, self.now);
        if !self.feed.is_some_and(covers) || self.lacks_session() {
            if self.is_open {
                self.check_scopes()?;
            }
            return Ok(None);
        }
        self.check_second_factor()?;
        self.check_scopes()?;
        Ok(Some(AllowReason::Token))
    }

    fn is_current(&self) -> bool {
        self.feed.is_some_and(|feed| feed.is_current(self.now))
    }

    fn lacks_session(&self) -> bool {
        self.identity.session.is_none() && self.identity.claims.need_session(self.route.require_session)
    }

    fn check_session(&self, otherwise: DenyReason) -> Result<(), DenyReason> {
        if self.lacks_session() { Err(otherwise) } else { Ok(()) }
    }

    fn check_suspension(&self, counts: bool) -> Result<(), DenyReason> {
        let is_suspended = || self.feed.is_some_and(|feed| feed.is_suspended(self.identity));
        if counts && is_suspended() { Err(DenyReason::SessionSuspended) } else { Ok(()) }
    }

    fn check_second_factor(&self) -> Result<(), DenyReason> {
        let is_missing = self.identity.is_pending_2fa && !self.route.accept_pending_2fa;
        if is_missing { Err(DenyReason::SessionPending2fa) } else { Ok(()) }
    }

    fn check_scopes(&self) -> Result<(), DenyReason> {
        let latest = self.feed.and_then(|feed| feed.scopes_of(self.identity));
        let is_met = |rule: &ScopeRule| rule.is_met_by(&self.identity.scopes(latest));
        if self.route.scopes.as_ref().is_none_or(is_met) { Ok(()) } else { Err(DenyReason::ScopeInsufficient) }
    }

    fn failure_mode(&self, failed_with: DenyReason) -> Result<AllowReason, DenyReason> {
        let age = self.feed.ok_or(failed_with)?.age(self.now.monotonic);
        match self.route.failure_mode {
            FailureMode::Allow => Ok(AllowReason::FailureMode),
            FailureMode::LastKnown(within) if age.is_some_and(|age| age <= within) => Ok(AllowReason::LastKnown),
            FailureMode::Deny | FailureMode::LastKnown(_) => Err(failed_with),
        }
    }
}

/// What refuses by itself, whatever the route asks.
const fn refuse_by(verdict: CheckVerdict) -> Result<(), DenyReason> {
    match verdict {
        CheckVerdict::Blocked => Err(DenyReason::Blocked),
        CheckVerdict::CredentialUnknown => Err(DenyReason::TokenUnknown),
        CheckVerdict::Live | CheckVerdict::SessionPending2fa => Ok(()),
        CheckVerdict::SessionExpired => Err(DenyReason::SessionExpired),
        CheckVerdict::SessionSuspended => Err(DenyReason::SessionSuspended),
        CheckVerdict::SessionTerminated => Err(DenyReason::SessionTerminated),
        CheckVerdict::SessionUnknown => Err(DenyReason::SessionUnknown),
        CheckVerdict::TokenRevoked => Err(DenyReason::TokenRevoked),
    }
}

/// Why the sidecar knows no more of an opaque token, where it does not say what is in it.
pub const fn refusal_of(verdict: CheckVerdict) -> DenyReason {
    match refuse_by(verdict) {
        Err(reason) => reason,
        Ok(()) => DenyReason::StoreUnavailable,
    }
}
