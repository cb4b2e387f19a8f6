//! What an answer about a token says of requests, and what its worker knows from then on.

use std::time::Duration;

use session_gate_protocol::{AllowReason, CheckReply, CheckVerdict, DenyReason};

use crate::{
    clocks::Millis,
    decision::Decision,
    mind::InVersion,
    numbers::SessionNumber,
    scopes::{May, may_write},
    sidecar::Answer,
    truth::Truth,
    under_way::CallUnderWay,
    worker_host::Deed,
    world::WorkerPlace,
};

impl WorkerPlace {
    /// An answer about a token has decided these requests. One that took longer than the worker believes
    /// what it knows is none; one of another epoch says nothing of later requests.
    pub(crate) fn note_answer(
        &mut self,
        deeds: &[Deed],
        call: CallUnderWay,
        served: Option<Served>,
        now: Millis,
        believed: Duration,
    ) {
        let served = served.filter(|_| self.clock.between(call.sent, now) <= believed);
        let is_good = served.is_some();
        for deed in deeds {
            let Deed::Told(id) = deed else { continue };
            let Some(request) = self.requests.get_mut(id) else { continue };
            let said = served.and_then(|served| served.session);
            let version = said.map(|(_, version, _)| InVersion { epochs: call.epochs, version });
            if request.admitted.is_some() {
                // A stream's own question, whose answer says nothing of other requests, nor anything where a later one was
                // answered before.
                if is_good && call.sent >= request.live_at {
                    (request.version, request.live_at) = (version, call.sent);
                }
                continue;
            }
            request.asked = Some(is_good);
            request.asked_at = Some(call.sent);
            // Without an answer it is served, if it is, in the version that the worker was told of before.
            if is_good {
                request.version = version;
            }
            let decided = deeds.iter().find_map(|deed| match deed {
                Deed::Decide(of, decision) if of == id => Some(*decision),
                _ => None,
            });
            let is_vouched = match decided {
                Some(Decision::Allow(reason)) => reason == AllowReason::Token,
                Some(Decision::Deny(reason)) => {
                    let limits = [DenyReason::LimitUnavailable, DenyReason::RateLimited];
                    limits.contains(&reason) || reason == DenyReason::ScopeInsufficient
                }
                None => is_good,
            };
            let is_noted = call.epochs > 0 && call.epochs == self.mind.epochs() && served.is_some_and(|it| it.is_live);
            let Some((token, served)) = request.token.zip(served).filter(|_| is_noted) else { continue };
            if let Some(account) = request.account.filter(|_| served.names_session) {
                self.mind.tell_session(account, served.session.map(|(session, version, _)| (session, version)));
            }
            if let Some((session, version, may)) = served.session {
                may.into_iter().for_each(|may| self.mind.permits(session, version, Some(may)));
            }
            if is_vouched {
                let own = request.session.filter(|_| request.account.is_none());
                own.into_iter().for_each(|session| self.mind.note_use(session, call.sent));
                self.mind.vouch(token);
                served.session.into_iter().for_each(|(session, version, _)| self.mind.served(session, version));
            }
        }
    }
}

/// A good answer about a token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    /// Whether it may be used anywhere.
    is_live: bool,
    /// Whether it says in which session it is served.
    names_session: bool,
    /// Which, if it is known here, in which version, and what that permits.
    session: Option<(SessionNumber, u64, May)>,
}

impl Served {
    /// What it says.
    pub(crate) fn read(answer: &Answer, truth: &Truth) -> Self {
        let Ok(reply) = serde_json::from_slice::<CheckReply>(&answer.body) else {
            return Self { is_live: false, names_session: false, session: None };
        };
        let names_session = reply.session.is_some();
        let session = reply.session.and_then(|session| {
            let number = truth.session_by_id(session.session_id.as_str())?;
            Some((number, session.version, may_write(session.scopes.as_ref())))
        });
        Self { is_live: reply.verdict == CheckVerdict::Live, names_session, session }
    }
}
