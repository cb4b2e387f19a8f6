//! What routes ask for beyond a good token.

use session_gate_protocol::AllowReason;

use super::{Case, Promise, Verdict, broken};
use crate::{clocks::Millis, demands::Demand, numbers::TokenNumber, second_factor, truth::Token};

impl Case<'_> {
    /// What the route asks for must be there, whatever its failure mode is.
    pub(super) fn judge_demand(&self, token: &Token) -> Verdict {
        let Some(demand) = self.route.demand() else { return Ok(()) };
        if !self.truth.ever_meets(token, demand) {
            return broken(Promise::Demands, format!("the token never had what the route asks for: {demand:?}"));
        }
        if self.mind.lacks(token, Some(demand), self.version) {
            return broken(
                Promise::Known,
                format!("the worker knew that it lacks what the route asks for: {demand:?}"),
            );
        }
        Ok(())
    }

    /// Second factors must be there where they are asked for, whatever the failure mode is.
    pub(super) fn judge_second_factor(&self, token: &Token, reason: AllowReason) -> Verdict {
        let session = self.truth.session_of(token);
        let missing = second_factor::missing(token, session, reason);
        match missing.filter(|_| second_factor::is_asked_for(self.route)) {
            Some(text) => broken(Promise::SecondFactor, text),
            None => Ok(()),
        }
    }

    /// Whether the worker may think that neither the token nor its session permits what the route asks for.
    pub(super) fn may_lack_scope(&self, number: TokenNumber, token: &Token) -> bool {
        let is_asked_for = self.route.demand() == Some(Demand::Write);
        let is_heard = |told: Millis| match self.asked {
            // Of other issuers' tokens only the feed says it.
            _ if token.foreign.is_some() => self.is_current() && self.is_stale(told),
            Some(true) => self.arrived > told && !self.outweighs_nothing(),
            Some(false) => false,
            None => self.is_current() && self.mind.covers(number, token.issued) && self.is_stale(told),
        };
        is_asked_for
            && match self.truth.session_of(token) {
                Some(session) => session.grants.may_be_refused(token.scopes, is_heard),
                None => !token.scopes.may_write(None),
            }
    }
}
