//! Sessions that go on under new ids: the old one is dead, and its tokens get no successors.

use session_gate_protocol::LoginReply;

use crate::{
    clients::{ClientCall, Kind},
    crowd,
    numbers::{SessionNumber, TokenNumber, UserNumber},
    promise::{Promise, Violation},
    refusal::Refusal,
    sidecar::Answer,
    world::World,
};

impl World {
    /// Somebody has proved more: their session goes on under a new id, while others renew what its tokens were. Operations.
    pub(crate) fn elevate(&mut self, user: UserNumber, session: SessionNumber, token: Option<TokenNumber>) {
        let named = token.and_then(|token| self.truth.token(token)).filter(|token| token.foreign.is_none());
        let (user, session, token) = match named.and_then(|token| Some((token.user, token.session?))) {
            Some((user, session)) if self.rng.bool() => (user, session, token),
            _ => (user, session, None),
        };
        // Of those with a limit it is known in which order their sessions began.
        if crowd::limit_of(user).is_some() {
            return;
        }
        let before = self.truth.session(session).and_then(|session| session.tokens.last()).copied();
        self.client_calls(Kind::Elevate, user, Some(session), token, None);
        if self.rng.bool() && self.parameters.lives.are_short() {
            self.client_calls(Kind::Renew, user, Some(session), before, None);
        }
    }

    /// The session goes on under another id; the old one is dead before the answer leaves.
    pub(crate) fn on_elevated(&mut self, call: &ClientCall, answer: &Answer, refusal: Refusal) {
        let Ok(LoginReply { session, .. }) = serde_json::from_slice(&answer.body) else { return };
        let old = call.session.and_then(|session| self.truth.session(session));
        let wrong = old.and_then(|old| {
            let is_same = old.id == session.session_id.as_str();
            let is_prolonged = session.expires_at.0 > old.expires;
            (is_same || is_prolonged).then(|| format!("session {:?} goes on as {session:?}", call.session))
        });
        self.counts.one("rotations", "done");
        self.on_ended(call.session.into_iter().collect(), refusal);
        self.on_login(call, answer, refusal);
        if let Some(text) = wrong {
            let promise = Promise::Renewed;
            self.judge(Err(Violation { promise, text, session: call.session, key: None, worker: 0 }));
        }
    }
}
