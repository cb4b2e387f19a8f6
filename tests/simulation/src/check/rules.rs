//! The block list, and other issuers' tokens that a rule revokes.

use session_gate_protocol::DenyReason;

use super::{Case, Promise, Verdict, broken};
use crate::{clocks::Millis, refusal::Refusal, rules::Barred, truth::Token};

impl Case<'_> {
    fn wall(&self) -> u64 {
        self.clock.now(self.now).wall.0
    }

    /// What rules say against the request.
    pub(super) fn rule_refusals(&self, token: Option<&Token>) -> impl Iterator<Item = Refusal> {
        Barred::all(token, self.address).filter_map(|barred| self.truth.rules.refusal(barred, self.wall()))
    }

    /// What the worker knows of rules holds, also for whoever needs no token.
    pub(super) fn judge_known_rules(&self, token: Option<&Token>) -> Verdict {
        match Barred::all(token, self.address).find(|barred| self.mind.rules.refuse(*barred, self.wall())) {
            Some(barred) => broken(Promise::Known, format!("the worker knew of a rule: {barred:?}")),
            None => Ok(()),
        }
    }

    /// Whether a rule may be the reason.
    pub(super) fn may_be_barred(&self, token: Option<&Token>, reason: DenyReason) -> bool {
        let is_heard = |told: Millis| self.is_current() && self.is_stale(told);
        // A sidecar that cannot read the feed knows no later time than that of its last reading.
        let wall = if self.asked == Some(true) && !self.is_current() { 0 } else { self.wall() };
        let is_meant = |barred: &Barred| (reason == DenyReason::TokenRevoked) == matches!(barred, Barred::Tokens(_));
        matches!(reason, DenyReason::Blocked | DenyReason::TokenRevoked)
            && Barred::all(token, self.address)
                .filter(is_meant)
                .any(|barred| self.truth.rules.may_refuse(barred, wall, is_heard))
    }
}
