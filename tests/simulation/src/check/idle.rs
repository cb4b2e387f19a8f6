//! Sessions that end where they are not used for a while.

use session_gate_protocol::AllowReason;

use super::{Case, Promise, Verdict, broken};
use crate::{
    clocks::Millis,
    truth::{Session, Token},
};

impl Case<'_> {
    /// Nobody is served by a session that was idle for too long, unless nobody could be asked.
    pub(super) fn judge_idle(&self, token: &Token, reason: AllowReason) -> Verdict {
        let session = self.truth.session_of(token).filter(|_| reason == AllowReason::Token);
        if session.is_none_or(|session| !self.has_gone_idle(session)) {
            return Ok(());
        }
        broken(Promise::Idle, format!("its session was idle for too long: {:?}", session.and_then(|it| it.idle)))
    }

    /// Whether a session was idle for so long that no worker may serve it.
    pub(super) fn has_gone_idle(&self, session: &Session) -> bool {
        let is_noted = !self.uses_may_be_lost && !self.is_foreign();
        session.idle.is_some_and(|idle| match self.asked {
            Some(_) => self.store_millis(self.arrived) / 1_000 >= idle.ends(),
            None => self.store_millis(self.now) > idle.served_until(is_noted),
        })
    }

    /// Nobody is shut out whose session was in use.
    pub(super) fn judge_expiry(&self, session: &Session) -> Verdict {
        let patience = self.settings.max_staleness;
        match session.idle.and_then(|idle| idle.may_end(patience)) {
            Some(first) if !self.uses_may_be_lost && self.store_millis(self.now) < first => broken(
                Promise::Idle,
                format!("its session was in use, and may not end before {first}: {:?}", session.idle),
            ),
            _ => Ok(()),
        }
    }

    /// What the store's wall shows at a moment, in milliseconds.
    fn store_millis(&self, at: Millis) -> u64 {
        self.store_wall_now.saturating_sub(self.now.saturating_sub(at))
    }
}
