//! The checker: what was decided is held against what is true and what the worker could know. Each rule is
//! a promise of `docs/guarantees.md`.

use session_gate_protocol::{AllowReason, DenyReason};

use crate::{
    clocks::{Millis, WorkerClock},
    demands::Mode,
    mind::{InVersion, Mind, Told},
    numbers::{SessionNumber, TokenNumber},
    promise::{Promise, Violation},
    refusal::Refusal,
    second_factor,
    truth::{Session, Token, Truth},
    worker_host::{Route, WorkerSettings},
};

mod beyond;
mod current;
mod foreign;
mod idle;
mod opaque;
mod renewal;
mod rules;

/// A request and the worker that has decided about it.
#[derive(Debug)]
pub struct Case<'a> {
    /// What is true.
    pub truth: &'a Truth,
    /// When it was decided.
    pub now: Millis,
    /// The worker's number.
    pub worker: usize,
    /// The worker's clock.
    pub clock: &'a WorkerClock,
    /// What the worker was told.
    pub mind: &'a Mind,
    /// What it is configured to do.
    pub settings: &'a WorkerSettings,
    /// The token; none: a forged one.
    pub token: Option<TokenNumber>,
    /// Whether it comes in a cookie.
    pub is_cookie: bool,
    /// Whose place it has taken, where the request came with one whose time was over.
    pub renewed_from: Option<TokenNumber>,
    /// In which session of its user's another issuer's is served, as the worker was told before it came.
    pub told: Option<Told>,
    /// The client's address, by its number.
    pub address: u8,
    /// The route.
    pub route: Route,
    /// When the request came, or the question was sent that it shares with another.
    pub arrived: Millis,
    /// Whether the sidecar was asked, and if so whether it answered.
    pub asked: Option<bool>,
    /// In which version the sidecar has said that its session is served.
    pub version: Option<InVersion>,
    /// Whether nothing was ever wrong anywhere.
    pub is_healthy: bool,
    /// Whether the store may refuse leases.
    pub leases_may_be_refused: bool,
    /// Whether the worker is current, whatever the store refuses.
    pub must_be_current: bool,
    /// Whether a sidecar may be unable to read the feed.
    pub feeds_may_be_away: bool,
    /// When the keys were exchanged last.
    pub keys_since: Millis,
    /// What the store's wall shows, in seconds.
    pub store_wall: u64,
    /// The same in milliseconds.
    pub store_wall_now: u64,
    /// Whether the store may not have noted uses of sessions.
    pub uses_may_be_lost: bool,
}

type Verdict = Result<(), (Promise, String)>;

fn broken(promise: Promise, text: impl Into<String>) -> Verdict {
    Err((promise, text.into()))
}

impl Case<'_> {
    fn violation(&self, verdict: Verdict) -> Result<(), Violation> {
        verdict.map_err(|(promise, text)| Violation {
            promise,
            text,
            session: self.session_number(),
            key: None,
            worker: self.worker,
        })
    }

    fn session_number(&self) -> Option<SessionNumber> {
        self.token.and_then(|token| self.truth.token(token)).and_then(|token| token.session)
    }

    /// The request was admitted.
    ///
    /// # Errors
    /// The promise that it breaks.
    pub fn admitted(&self, reason: AllowReason) -> Result<(), Violation> {
        self.violation(self.judge_current().and_then(|()| self.judge_admission(reason)))
    }

    /// The request was refused.
    ///
    /// # Errors
    /// The promise that it breaks.
    pub fn denied(&self, reason: DenyReason) -> Result<(), Violation> {
        if self.is_public() {
            return self.violation(self.judge_public_denial(reason));
        }
        let Some((number, token)) = self.token.and_then(|number| Some((number, self.truth.token(number)?))) else {
            return Ok(());
        };
        self.violation(self.judge_current().and_then(|()| self.judge_denial(reason, number, token)))
    }

    fn is_foreign(&self) -> bool {
        self.token.and_then(|token| self.truth.token(token)).is_some_and(|token| token.foreign.is_some())
    }

    /// Whether the route takes no tokens.
    fn is_public(&self) -> bool {
        match self.route {
            Route::Limited(route) => !self.settings.limits.takes_tokens(route),
            route => route == Route::LogIn,
        }
    }

    // === admissions ===

    fn judge_admission(&self, reason: AllowReason) -> Verdict {
        if self.is_public() && reason == AllowReason::Public {
            return self.judge_known_rules(None);
        }
        let Some((number, token)) = self.token.and_then(|number| Some((number, self.truth.token(number)?))) else {
            return broken(Promise::Forged, "a token passed that nobody has signed");
        };
        if self.is_expired(token) {
            return broken(Promise::Forged, "a token passed whose time is over");
        }
        if self.mind.knows_end_of(number, token) {
            return broken(Promise::Known, "the worker knew of its end");
        }
        self.judge_read(number, token)?;
        self.judge_kept(token)?;
        self.judge_known_rules(Some(token))?;
        self.judge_demand(token)?;
        self.judge_second_factor(token, reason)?;
        self.judge_session(token, reason)?;
        self.judge_idle(token, reason)?;
        match reason {
            AllowReason::Token if self.asked.is_some() => self.judge_asked(number),
            AllowReason::Token => self.judge_alone(number, token),
            AllowReason::FailureMode | AllowReason::LastKnown => self.judge_failure(reason, token),
            AllowReason::Anonymous | AllowReason::Preflight | AllowReason::Public => {
                broken(Promise::Forged, format!("it passed as {}", reason.as_str()))
            }
        }
    }

    fn refusals(&self, token: TokenNumber) -> impl Iterator<Item = Refusal> {
        let rules = self.rule_refusals(self.truth.token(token));
        self.truth.refusals_on(token, self.route.demand()).chain(rules)
    }

    /// The store was asked: whatever was acknowledged before must refuse it, and nobody may have been told
    /// that all workers know.
    fn judge_asked(&self, token: TokenNumber) -> Verdict {
        if let Some(receipt) = self.refusals(token).find_map(|refusal| refusal.receipt) {
            return broken(Promise::Receipt, format!("asked about, and every worker was said to know at {receipt}"));
        }
        let mut said = self.truth.refusals_on(token, self.route.demand());
        match said.find(|refusal| refusal.acked < self.arrived) {
            Some(refusal) => {
                broken(Promise::Staleness, format!("asked about after it was taken back at {}", refusal.acked))
            }
            // What was answered may have waited for a limit.
            None => self.refusals(token).try_for_each(|refusal| self.judge_refusal(refusal)),
        }
    }

    fn judge_alone(&self, number: TokenNumber, token: &Token) -> Verdict {
        for refusal in self.refusals(number) {
            self.judge_refusal(refusal)?;
        }
        match self.truth.lost_at {
            Some(lost)
                if token.generation < self.truth.generation
                    && self.is_stale(lost)
                    && !self.mind.has_vouched(number)
                    && !self.is_dated_ahead(number, token) =>
            {
                broken(Promise::StoreLoss, format!("not asked about since the store lost its data at {lost}"))
            }
            _ => Ok(()),
        }
    }

    fn judge_refusal(&self, refusal: Refusal) -> Verdict {
        if let Some(receipt) = refusal.receipt {
            return broken(Promise::Receipt, format!("every worker was said to know at {receipt}"));
        }
        if self.is_stale(refusal.acked) {
            let late = self.clock.between(refusal.acked, self.now);
            return broken(Promise::Staleness, format!("{late:?} after it was taken back at {}", refusal.acked));
        }
        Ok(())
    }

    /// Whether more than `max_staleness` has passed since, by the worker's own clock.
    fn is_stale(&self, since: Millis) -> bool {
        let bound = self.settings.max_staleness;
        // A clock that runs fast takes the sidecar's measure of its own age for too little.
        self.clock.between(since, self.now) > bound + self.clock.excess(bound)
    }

    fn judge_failure(&self, reason: AllowReason, token: &Token) -> Verdict {
        if self.asked == Some(true) {
            return broken(Promise::FailureMode, "the sidecar had answered");
        }
        if self.knows_suspension(token) {
            return broken(Promise::Known, "the worker knew that its session is suspended");
        }
        let age = self.mind.age(self.now, self.clock);
        let may = match (reason, self.route.mode()) {
            (AllowReason::FailureMode, Mode::Allow) => true,
            (AllowReason::LastKnown, Mode::LastKnown) => age.is_some_and(|age| age <= self.settings.last_known),
            _ => false,
        };
        if may { Ok(()) } else { broken(Promise::FailureMode, format!("it passed as {} at {age:?}", reason.as_str())) }
    }

    fn is_expired(&self, token: &Token) -> bool {
        self.clock.now(self.now).wall.0 >= token.accepted_until()
    }

    // === denials ===

    fn judge_public_denial(&self, reason: DenyReason) -> Verdict {
        match reason {
            DenyReason::RateLimited => Ok(()),
            DenyReason::Blocked if self.may_be_barred(None, reason) => Ok(()),
            DenyReason::LimitUnavailable if !self.is_healthy || self.leases_may_be_refused => Ok(()),
            _ => broken(Promise::Live, format!("a public request was refused with {}", reason.as_str())),
        }
    }

    fn judge_denial(&self, reason: DenyReason, number: TokenNumber, token: &Token) -> Verdict {
        let session = token.session.and_then(|session| self.truth.session(session));
        if session.is_some_and(|session| session.generation < self.truth.generation) {
            // The store has lost it.
            return Ok(());
        }
        if self.may_lack_successor(reason, number, token)
            || self.may_lack_session(token, reason)
            || self.may_be_barred(Some(token), reason)
        {
            return Ok(());
        }
        let excused = match reason {
            DenyReason::TokenExpired => self.is_expired(token),
            DenyReason::TokenRevoked => {
                let seconds = |at| self.clock.now(at).wall.0;
                let is_cut_off = || self.truth.may_be_cut_off(token, seconds, self.now);
                token.revoked.is_some() || !token.revoking.is_clear() || is_cut_off()
            }
            DenyReason::SessionTerminated => session.is_some_and(|session| {
                session.ended.is_some() || !session.ending.is_clear() || self.store_wall >= session.ends()
            }),
            DenyReason::SessionSuspended => {
                session.is_some_and(|session| self.may_seem_suspended(session, number, token))
            }
            // The worker goes by its own clock.
            DenyReason::SessionExpired => match session {
                Some(session) if self.store_wall.max(self.clock.now(self.now).wall.0) >= session.expires => true,
                Some(session) if self.store_wall >= session.ends() => return self.judge_expiry(session),
                _ => false,
            },
            DenyReason::SessionPending2fa => {
                // Where nobody can vouch for the second factor, it counts as missing; also where the worker is too
                // full to ask.
                let unvouched = token.is_pending && self.asked != Some(true) && !self.is_healthy;
                let is_awaited = |session: &Session| session.served_since.is_none_or(|since| self.arrived <= since);
                second_factor::is_asked_for(self.route) && (unvouched || session.is_some_and(is_awaited))
            }
            DenyReason::KeysUnavailable | DenyReason::TokenKeyUnknown => !self.is_healthy,
            DenyReason::LimitUnavailable => {
                matches!(self.route, Route::Limited(_)) && (!self.is_healthy || self.leases_may_be_refused)
            }
            DenyReason::RateLimited => matches!(self.route, Route::Limited(_)),
            DenyReason::TokenUnknown => self.may_be_unknown(token),
            DenyReason::ScopeInsufficient => self.may_lack_scope(number, token),
            DenyReason::Overloaded | DenyReason::StoreUnavailable => !self.is_healthy && !self.can_tell(number, token),
            _ => false,
        };
        if excused {
            return Ok(());
        }
        let current = if self.is_current() { "current" } else { "not current" };
        let text = format!("token {number} was refused with {}; the worker was {current}", reason.as_str());
        broken(Promise::Live, text)
    }

    /// Whether the worker may think that the session is suspended: somebody tries to suspend it, or the
    /// worker need not have heard yet that it is served again.
    fn may_seem_suspended(&self, session: &Session, number: TokenNumber, token: &Token) -> bool {
        let is_told = session.served_since.is_some_and(|since| match self.asked {
            // What the feed says holds against an answer that may be older, or tells of nothing newer: then the feed must
            // say that it is over. A sidecar whose feed is away answers by what it knew before.
            Some(true)
                if self.feeds_may_be_away || self.outweighs_nothing() || self.knows_suspended(session, token) =>
            {
                self.arrived > since && self.is_current() && self.is_stale(since)
            }
            Some(true) => self.arrived > since && (!self.is_current() || self.is_stale(since)),
            Some(false) => false,
            None => self.is_current() && self.mind.covers(number, token.issued) && self.is_stale(since),
        });
        !session.suspending.is_clear() || !is_told
    }

    /// Whether the answer says nothing of the session's version: it is about another issuer's token, or of another epoch
    /// than the worker knows by now.
    fn outweighs_nothing(&self) -> bool {
        self.is_foreign() || (self.version.is_some() && self.mind.said_in_this_epoch(self.version).is_none())
    }

    /// Whether the worker was told that the session is suspended in the version that it has.
    fn knows_suspended(&self, session: &Session, token: &Token) -> bool {
        token.session.is_some_and(|number| self.mind.knows_suspended_since(number, session.version))
    }

    fn is_current(&self) -> bool {
        self.mind.is_current(self.now, self.clock, self.settings.max_staleness)
    }

    /// Whether the worker needs nobody to decide about the token.
    fn can_tell(&self, number: TokenNumber, token: &Token) -> bool {
        let has_key = self.mind.keys.is_some_and(|keys| keys >= self.keys_since);
        has_key
            && self.is_current()
            && self.can_read(number, token)
            && self.mind.covers(number, token.issued)
            && !token.is_pending
            && !self.needs_session(token)
            && self.is_busy(token)
            && self.asked.is_none()
    }

    /// Whether the token's session cannot have gone idle, as far as the worker knows.
    fn is_busy(&self, token: &Token) -> bool {
        let session = token.session.filter(|_| token.foreign.is_none());
        let idle = session.and_then(|session| Some((session, self.truth.session(session)?.idle?)));
        idle.is_none_or(|(session, idle)| self.mind.is_busy(session, idle.quarter(), self.now, self.clock))
    }
}
