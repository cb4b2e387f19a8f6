//! The session that a route asks for, and tokens of other issuers.

use session_gate_protocol::{AllowReason, DenyReason};

use super::{Case, Promise, Verdict, broken};
use crate::{
    demands::Demand,
    foreign::Sid,
    numbers::{SessionNumber, TokenNumber},
    second_factor,
    truth::{Session, Token},
};

impl Case<'_> {
    /// Whether the token is served in a session only: the route asks for one, or another issuer has it name one.
    pub(super) fn needs_session(&self, token: &Token) -> bool {
        self.route.demand() == Some(Demand::Session) || matches!(token.foreign, Some(Sid::Named(_) | Sid::Unknown))
    }

    /// Another issuer's token is served in the session that it names, or in one of its user's that a sidecar has named;
    /// where nobody can be asked, only in one that a sidecar has vouched for.
    pub(super) fn judge_session(&self, token: &Token, reason: AllowReason) -> Verdict {
        let Some(sid) = token.foreign.filter(|_| self.needs_session(token)) else { return Ok(()) };
        // A new epoch that has begun since it came takes nothing from it.
        let told = self.mind.session_told((token.user, sid)).or(self.told);
        let session = match sid {
            Sid::Absent => told.and_then(|told| told.session),
            Sid::Named(number) => Some(number),
            Sid::Unknown => return broken(Promise::Demands, "there has never been the session that it names"),
        };
        let is_ended = session.is_some_and(|session| self.mind.knows_session_ended(session));
        if reason != AllowReason::Token && (told.is_none() || is_ended) {
            return broken(Promise::Demands, format!("nobody has vouched for a session of user {}", token.user));
        }
        if session.is_none_or(|session| self.may_be_served(session, reason)) {
            return Ok(());
        }
        broken(Promise::Demands, format!("its session is not served: {session:?}, {sid:?} of user {}", token.user))
    }

    /// Whether the worker knows that the token's session is suspended, and was told of no later version of it in which it
    /// is served.
    pub(super) fn knows_suspension(&self, token: &Token) -> bool {
        let told = token.foreign.and_then(|sid| self.mind.session_told((token.user, sid)));
        token.session.is_some_and(|session| match told.and_then(|told| told.version) {
            Some(version) => self.mind.knows_suspended_since(session, version),
            None => self.mind.knows_suspended(session),
        })
    }

    /// Whether another issuer has dated the token so far ahead that it seems to be younger than the feed.
    pub(super) fn is_dated_ahead(&self, number: TokenNumber, token: &Token) -> bool {
        token.foreign.is_some() && self.mind.covers(number, token.issued)
    }

    fn may_be_served(&self, number: SessionNumber, reason: AllowReason) -> bool {
        let Some(session) = self.truth.session(number) else { return false };
        let is_over = self.clock.now(self.now).wall.0 >= session.expires
            || (reason == AllowReason::Token && self.has_gone_idle(session));
        let is_lost = session.generation < self.truth.generation
            && self
                .truth
                .lost_at
                .is_some_and(|lost| self.is_stale(lost) || (self.asked.is_some() && lost < self.arrived));
        let is_refused = session.refusals().any(|refusal| {
            self.judge_refusal(refusal).is_err() || (self.asked.is_some() && refusal.acked < self.arrived)
        });
        let has_factor = session.has_second_factor || !second_factor::is_asked_for(self.route);
        has_factor && !is_over && (reason != AllowReason::Token || !(is_lost || is_refused))
    }

    /// Whether it is right to refuse the token for want of a session that the route asks for.
    pub(super) fn may_lack_session(&self, token: &Token, reason: DenyReason) -> bool {
        let is_about_session = matches!(
            reason,
            DenyReason::SessionExpired
                | DenyReason::SessionMissing
                | DenyReason::SessionPending2fa
                | DenyReason::SessionSuspended
                | DenyReason::SessionTerminated
                | DenyReason::SessionUnknown
        );
        self.needs_session(token)
            && is_about_session
            && match token.foreign {
                None => token.session.is_none(),
                Some(Sid::Absent) => !self.has_plain_session(token),
                Some(Sid::Named(_)) => false,
                Some(Sid::Unknown) => true,
            }
    }

    /// Whether the user has a session, and of none that has not ended there is any doubt.
    fn has_plain_session(&self, token: &Token) -> bool {
        let is_plain = |session: &&Session| {
            let is_served = session.served_since.is_some_and(|since| self.arrived > since && self.is_stale(since));
            let is_clear = session.ending.is_clear() && session.suspending.is_clear();
            is_served && is_clear && self.store_wall + 2 < session.ends()
        };
        let numbers = self.truth.sessions_of(token.user).iter();
        let mut sessions = numbers
            .filter_map(|number| self.truth.session(*number))
            .filter(|session| session.ended.is_none() && session.generation == self.truth.generation)
            .peekable();
        sessions.peek().is_some() && sessions.all(|session| is_plain(&session))
    }
}
