//! Sessions with an idle time-out in use: by requests, and by streams, whose worker asks about them now and then.

use std::time::Duration;

use session_gate_protocol::{AllowReason, CheckVerdict, DenyReason};

use crate::{
    decision::Decision, demands::Mode, numbers::TokenNumber, streams::Answered, under_way::Request, world::World,
};

/// How much longer a stream may take to end of whose session nothing is heard: until it asks again, and gives up.
const PATIENCE: Duration = Duration::from_secs(4);

/// Why it refuses.
const fn refusal(verdict: CheckVerdict) -> DenyReason {
    match verdict {
        CheckVerdict::Blocked => DenyReason::Blocked,
        CheckVerdict::CredentialUnknown => DenyReason::TokenUnknown,
        // It may permit less than before.
        CheckVerdict::Live => DenyReason::ScopeInsufficient,
        CheckVerdict::SessionExpired => DenyReason::SessionExpired,
        CheckVerdict::SessionPending2fa => DenyReason::SessionPending2fa,
        CheckVerdict::SessionSuspended => DenyReason::SessionSuspended,
        CheckVerdict::SessionTerminated => DenyReason::SessionTerminated,
        CheckVerdict::SessionUnknown => DenyReason::SessionUnknown,
        CheckVerdict::TokenRevoked => DenyReason::TokenRevoked,
    }
}

impl World {
    /// A request was decided: what was admitted is a use of its session, and whoever is told that it has expired gives up.
    pub(crate) fn note_idle(&mut self, token: Option<TokenNumber>, decision: Decision) {
        let wall = self.store_wall.at(self.now);
        let own = token.and_then(|token| self.truth.token(token)).filter(|token| token.foreign.is_none());
        let Some((number, session)) = token.zip(own.and_then(|token| token.session)) else { return };
        let Some(idle) = self.truth.session_mut(session).and_then(|session| session.idle.as_mut()) else { return };
        match decision {
            Decision::Allow(AllowReason::Token) => idle.used(wall),
            Decision::Deny(DenyReason::SessionExpired) => {
                self.retire(number);
                self.clients.suspended.remove(&session);
                self.clients.sessions.retain(|held| *held != session);
            }
            Decision::Allow(_) | Decision::Deny(_) => {}
        }
    }

    /// Whether a stream was rightly ended by an answer about its session, or for want of one, of which its worker did not
    /// know before that it is not served any more.
    pub(crate) fn is_refused(&self, worker: usize, request: &Request, answered: Answered) -> bool {
        let Some(place) = self.workers.get(worker) else { return false };
        let request = Request { asked: Some(answered.verdict.is_some()), asked_at: Some(answered.sent), ..*request };
        match answered.verdict {
            Some(verdict) => self.case(worker, place, &request).denied(refusal(verdict)).is_ok(),
            None => self.silence(worker, &request).is_some(),
        }
    }

    /// Whether a stream goes on for which nobody can vouch any more.
    pub(crate) fn has_nobody_to_vouch(&self, worker: usize, request: &Request) -> bool {
        request.route.mode() == Mode::Deny && self.silence(worker, request).is_some_and(|silence| silence > PATIENCE)
    }

    /// For how long the idle time-out of a stream's session may be over by now, as far as its worker has heard.
    fn silence(&self, worker: usize, request: &Request) -> Option<Duration> {
        let token = request.token.and_then(|token| self.truth.token(token))?;
        let idle = self.truth.session_of(token)?.idle?;
        self.workers.get(worker)?.clock.between(request.live_at, self.now).checked_sub(4 * idle.quarter())
    }
}
