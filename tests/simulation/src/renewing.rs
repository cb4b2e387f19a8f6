//! Successors of tokens: asked for, held against the promises, and taken up.

use session_gate_protocol::{Claims, Fingerprint, RenewReply, SessionId};

use crate::{
    clients::{ClientCall, Kind},
    clocks::Millis,
    numbers::TokenNumber,
    outcomes::claims,
    promise::{Promise, Violation},
    renewals::{Question, SLACK, asked_about},
    sidecar::{Answer, ApiCall},
    truth::End,
    under_way::Request,
    world::World,
};

impl World {
    /// The token with that id.
    pub(crate) fn token_with_id(&self, id: &str) -> Option<TokenNumber> {
        match self.truth.end_of(Fingerprint::of_token(id)) {
            Some(End::Token(token)) => Some(token),
            Some(End::Session(_)) | None => None,
        }
    }

    /// The token with that text, of those that can be read.
    pub(crate) fn token_reading(&self, text: &str) -> Option<TokenNumber> {
        self.token_with_id(claims(text)?.jti.as_str())
    }

    /// A client's call for a successor: of a token that is held, or of one that was replaced.
    pub(crate) fn renew(&mut self, token: Option<TokenNumber>) {
        let is_old = self.rng.u8(0..3) == 0;
        let stale = self.rng.choice(&self.clients.stale_tokens).copied();
        let Some(number) = stale.filter(|_| is_old).or(token) else { return };
        let found = self.truth.token(number).filter(|token| token.is_renewed);
        let Some((user, session)) = found.map(|token| (token.user, token.session)) else { return };
        let times = self.rng.u8(1..4);
        for _ in 0..times {
            self.client_calls(Kind::Renew, user, session, Some(number), None);
        }
        if self.rng.u8(0..4) == 0 {
            // While it ends.
            self.client_calls(Kind::Terminate, user, session, None, None);
        }
    }

    /// A call has reached a sidecar, which works at it as that task.
    pub(crate) fn note_question(&mut self, task: u64, call: &ApiCall) {
        let begun = self.now;
        self.ledgers.questions.extend(asked_about(call).map(|shown| (task, Question { shown, begun })));
    }

    /// A sidecar has answered; what it was asked is known by its task.
    pub(crate) fn note_successor(&mut self, task: u64, answer: &Answer) {
        let Some(Question { shown, begun }) = self.ledgers.questions.remove(&task) else { return };
        let reply = serde_json::from_slice::<RenewReply>(&answer.body).ok().filter(|_| answer.status == 200);
        let Some((number, reply)) = self.token_reading(&shown).zip(reply) else { return };
        let Some(successor) = reply.token else {
            let is_old = self.ledgers.renewals.successor_of(number).is_some();
            self.counts.one("renewals", if is_old { "an older one refused" } else { "none" });
            return;
        };
        let before = self.ledgers.renewals.successor_of(number);
        let verdict = self.judge_successor(number, before, &shown, &successor.token, begun);
        self.judge_renewal(number, verdict);
        let given = self.token_reading(&successor.token);
        let given = given.or_else(|| self.add_successor(number, successor.token));
        if let Some(given) = given {
            let is_late = before.is_some_and(|before| self.expires(given) < self.expires(before));
            if before.is_some_and(|before| before != given) {
                self.counts.one("renewals", "in place of one that has expired");
            }
            let all = self.ledgers.renewals.successors.entry(number).or_default();
            all.insert(if is_late { 0 } else { all.len() }, given);
        }
    }

    /// A token has one successor, which says what it did; none where its end was acknowledged before anybody asked.
    fn judge_successor(
        &self,
        number: TokenNumber,
        before: Option<TokenNumber>,
        shown: &str,
        successor: &str,
        begun: Millis,
    ) -> Result<(), String> {
        if let Some(refusal) = self.truth.refusals(number).find(|refusal| refusal.acked < begun) {
            return Err(format!("token {number} got a successor, and was taken back at {}", refusal.acked));
        }
        // Answers may come in another order than they were made in: the earlier one must be over.
        let given = claims(successor).map(|claims| claims.exp.0);
        let is_good = |before| self.expires(before).min(given) > Some(self.wall_seconds() + SLACK);
        if let Some(before) = before.filter(|before| self.token_reading(successor) != Some(*before) && is_good(*before))
        {
            return Err(format!("token {number} has got another successor, and {before} is one that has not expired"));
        }
        let carried = |claims: Claims| {
            let Claims { sub, sid, session_exp, amr, auth_time, generation, metadata, .. } = claims;
            (sub, sid, session_exp, amr, auth_time, generation, metadata)
        };
        match claims(shown).zip(claims(successor)) {
            Some((old, new)) if new.renewal <= old.renewal => {
                Err(format!("renewal {:?} of token {number} comes after {:?}", new.renewal, old.renewal))
            }
            Some((old, new)) if carried(old.clone()) != carried(new.clone()) => {
                Err(format!("the successor of token {number} says something else: {old:?}, {new:?}"))
            }
            Some(_) => Ok(()),
            None => Err(format!("the successor of token {number} is none")),
        }
    }

    fn expires(&self, token: TokenNumber) -> Option<u64> {
        self.truth.token(token).map(|token| token.expires)
    }

    fn add_successor(&mut self, number: TokenNumber, text: String) -> Option<TokenNumber> {
        let (user, session) = self.truth.token(number).map(|token| (token.user, token.session))?;
        self.add_read_token(text, session, user)
    }

    /// The store has given a token of that renewal a successor, or found the one that it has.
    pub(crate) fn note_renewal(&mut self, session: &SessionId, shown: u64, (replaced, is_new): (u64, bool)) {
        // Nobody has been told of the others.
        let Some(number) = self.truth.session_by_id(session.as_str()) else { return };
        let known = self.ledgers.renewals.lines.get(&number).copied();
        let refusals = self.truth.session(number).and_then(|session| session.refusals().next());
        let wrong = if let Some(refusal) = refusals {
            Some(format!("the store renews a token of session {number}, which was taken back at {}", refusal.acked))
        } else if known.is_some_and(|(_, previous)| shown < previous) {
            Some(format!("renewal {shown} of session {number} is renewed: {known:?} are the last two"))
        } else if is_new && known.is_some_and(|(current, _)| replaced < current) {
            Some(format!("renewal {shown} of session {number} gets a second successor: {known:?} are the last two"))
        } else {
            None
        };
        self.counts.one("renewals", if is_new { "stored" } else { "shared" });
        if is_new {
            self.ledgers.renewals.lines.insert(number, (replaced + 1, shown));
        }
        let violation = wrong.map(|text| Violation {
            promise: Promise::Renewed,
            text,
            session: Some(number),
            key: None,
            worker: 0,
        });
        self.judge(violation.map_or(Ok(()), Err));
    }

    /// An answer has told the client of its new token.
    pub(crate) fn on_told(&mut self, worker: usize, request: &Request, text: &str) {
        let Some(shown) = request.renewed_from.or(request.token) else { return };
        let given = self.token_reading(text);
        let is_known_against = || {
            let place = self.workers.get(worker)?;
            let (number, token) = request.token.and_then(|number| Some((number, self.truth.token(number)?)))?;
            let is_current = place.mind.is_current(self.now, &place.clock, self.parameters.settings.max_staleness);
            Some(place.mind.takes_back(number, token, request.version) || !is_current)
        };
        let verdict = if !given.is_some_and(|given| self.ledgers.renewals.has_replaced(shown, given)) {
            Err(format!("an answer tells {given:?} in place of token {shown}"))
        } else if is_known_against() == Some(true) {
            Err(format!("an answer tells the successor of token {shown}, which its worker does not know to be good"))
        } else {
            Ok(())
        };
        self.counts.one("renewals", if request.is_cookie { "told in a cookie" } else { "told in a header" });
        self.judge_renewal(shown, verdict);
        self.take_up(shown, given);
    }

    /// A client has called for its token's successor, and got it; some answers are lost.
    pub(crate) fn on_renewed(&mut self, call: &ClientCall, answer: &Answer) {
        let reply = serde_json::from_slice::<RenewReply>(&answer.body).ok();
        let given = reply.and_then(|reply| self.token_reading(&reply.token?.token));
        if self.rng.bool() {
            call.token.into_iter().for_each(|shown| self.take_up(shown, given));
        }
    }

    /// The client goes on with the successor.
    fn take_up(&mut self, shown: TokenNumber, given: Option<TokenNumber>) {
        let Some(given) = given.filter(|given| !self.clients.tokens.contains(given)) else { return };
        let is_held = self.clients.tokens.contains(&shown);
        self.retire(shown);
        if is_held {
            self.clients.tokens.push(given);
        }
    }

    fn judge_renewal(&mut self, token: TokenNumber, verdict: Result<(), String>) {
        let session = self.truth.token(token).and_then(|token| token.session);
        self.judge(verdict.map_err(|text| Violation {
            promise: Promise::Renewed,
            text,
            session,
            key: None,
            worker: 0,
        }));
    }

    /// What the store's wall shows, in seconds.
    pub(crate) fn wall_seconds(&self) -> u64 {
        self.store_wall.at(self.now) / 1_000
    }
}
