//! Questions about tokens: which a worker may ask, and what it was told of opaque ones.

use session_gate_protocol::DenyReason;

use crate::{
    clocks::Millis,
    decision::Decision,
    numbers::UserNumber,
    opaque,
    promise::{Promise, Violation},
    sidecar::Answer,
    under_way::Request,
    worker_host::{Deed, Purpose},
    world::{WorkerPlace, World},
};

/// How many tokens that nobody has made are tried again and again.
const MADE_UP: usize = 16;

impl WorkerPlace {
    /// An answer has told these requests what their token says, or that there is none.
    pub(crate) fn note_read(&mut self, deeds: &[Deed], opaque: Option<String>, answer: Option<&Answer>, now: Millis) {
        let Some((text, answer)) = opaque.zip(answer) else { return };
        // Whom a worker knows to be blocked it refuses before it reads the answer, unless it knew the token before.
        let is_blocked = |of| {
            deeds.iter().any(|deed| matches!(deed, Deed::Decide(id, Decision::Deny(DenyReason::Blocked)) if *id == of))
        };
        for deed in deeds {
            let Deed::Told(id) = deed else { continue };
            // One that took too long is none.
            let Some(request) = self.requests.get(id).filter(|request| request.asked == Some(true)) else { continue };
            match request.token {
                Some(token) if !opaque::is_unknown(answer) => self.mind.opaque.note(token, !is_blocked(*id)),
                token if is_blocked(*id) && !token.is_some_and(|token| self.mind.opaque.has_read(token)) => {}
                token => self.mind.opaque.note_unknown(token, text.clone(), now),
            }
        }
    }
}

impl World {
    /// An opaque token that nobody has made.
    pub(crate) fn made_up(&mut self) -> Option<String> {
        if self.clients.made_up.is_empty() || self.rng.u8(0..8) == 0 {
            let user: UserNumber = self.rng.u32(0..self.parameters.users);
            let random = std::array::from_fn(|_| self.rng.u8(..));
            match opaque::made_up(&format!("user-{user}"), &random) {
                Ok(token) => self.clients.made_up.push_back(token),
                Err(problem) => self.give_up(problem),
            }
            if self.clients.made_up.len() > MADE_UP {
                self.clients.made_up.pop_front();
            }
        }
        let number = self.rng.usize(0..self.clients.made_up.len().max(1));
        self.clients.made_up.get(number).cloned()
    }

    /// A request has come, and this is what its worker does first: it asks nobody about what it can tell by itself. Of an
    /// opaque token it knows for a while that there is none, and no longer (`is_unknown`): it does not ask what that says. Of
    /// one that was read all the same, by another question, it may ask how its session stands.
    pub(crate) fn judge_question(&mut self, worker: usize, request: &Request, is_unknown: bool, deeds: &[Deed]) {
        let mut questions = deeds.iter().filter_map(|deed| match deed {
            Deed::Call { purpose: Purpose::Check, call, .. } => Some(call),
            _ => None,
        });
        let question = questions.next();
        let asks = question.is_some();
        let asks_what_it_says = question.is_some_and(|call| opaque::asked_about(call).is_some());
        let is_refused =
            deeds.iter().any(|deed| matches!(deed, Deed::Decide(_, Decision::Deny(DenyReason::TokenUnknown))));
        if request.token.is_none() && asks {
            self.counts.one("opaque tokens", "made up, said a sidecar");
        }
        if request.token.is_none() && is_refused {
            self.counts.one("opaque tokens", "made up, refused by what was said");
        }
        let can_tell =
            || self.workers.get(worker).is_some_and(|place| self.case(worker, place, request).needs_nobody());
        // One that was read all the same it asks about by its text, if it has no session.
        let has_read = request
            .token
            .is_some_and(|token| self.workers.get(worker).is_some_and(|place| place.mind.opaque.has_read(token)));
        let wrong = if asks_what_it_says && is_unknown && !has_read {
            Some((Promise::Alone, "asks about a token that it was told does not exist"))
        } else if asks && can_tell() {
            Some((Promise::Alone, "asks about a token that it can tell of"))
        } else if !asks && !is_unknown && is_refused {
            Some((Promise::Live, "refused as unknown, and nobody has said so lately"))
        } else {
            None
        };
        let violation = wrong.map(|(promise, text)| Violation {
            promise,
            text: format!("{text}: {request:?}"),
            session: request.session,
            key: None,
            worker,
        });
        self.judge(violation.map_or(Ok(()), Err));
    }
}
