//! Logins by header: forms are sent, and answered by applications and caches.

use session_gate_protocol::{Scopes, SessionStatus};

use crate::{
    clocks::Millis,
    header_logins::{FIRST, LoginAnswer, USERS},
    numbers::user_number,
    outcomes::{Began, claims},
    promise::{Promise, Violation},
    under_way::Request,
    worker_host::{Deed, Form, Purpose, RequestId, Route},
    world::World,
};

impl World {
    /// Somebody sends the form of a login. An operation.
    pub(crate) fn log_in_by_header(&mut self) {
        self.ops += 1;
        let worker = self.rng.usize(0..self.workers.len());
        self.deliver(worker, (None, None), None, (Route::LogIn, Form::Plain, None));
    }

    /// The application answers it, or a cache what it has answered before.
    pub(crate) fn answer_login(&mut self, worker: usize, id: RequestId, request: &Request) {
        let user = FIRST + self.rng.u32(0..USERS);
        let age = (self.rng.u8(0..4) == 0).then(|| self.rng.u8(0..100));
        let now = self.now;
        let Some(place) = self.workers.get_mut(worker) else { return };
        let deeds = place.host.answered_with(now, id, &LoginAnswer { user, age });
        let is_asked = deeds.iter().any(|deed| matches!(deed, Deed::Call { purpose: Purpose::Command, .. }));
        let is_told = deeds.iter().any(|deed| matches!(deed, Deed::Tell(_)));
        match (age.is_some(), is_asked || is_told) {
            (true, true) => {
                let text = format!("the login of user {user} in the answer of a cache is followed: {request:?}");
                self.judge(Err(Violation { promise: Promise::Cached, text, session: None, key: None, worker }));
            }
            (true, false) => self.counts.one("logins by header", "from a cache, and left alone"),
            (false, _) => self.counts.one("logins by header", "asked for"),
        }
        self.carry_out(worker, deeds);
    }

    /// An answer that has waited leaves, and tells the tokens of new sessions.
    pub(crate) fn note_header_logins(&mut self, deeds: &[Deed], begun: Millis) {
        for deed in deeds {
            let Deed::Tell(text) = deed else { continue };
            let said = claims(text);
            let known =
                said.and_then(|said| Some((user_number(&said.sub)?, said.sid.clone()?, said.session_exp?, said)));
            let Some((user, id, expires, said)) = known else { continue };
            let began = Began {
                id,
                status: SessionStatus::Active,
                version: 1,
                expires,
                idle: said.idle.map(|idle| (idle, said.auth_time.unwrap_or(said.iat).0)),
                // What the header names, and no more.
                scopes: Some(Scopes::default()),
                generation: said.generation,
            };
            let session = self.add_session(user, began, begun);
            let token = self.add_read_token(text.clone(), Some(session), user);
            self.clients.tokens.extend(token);
            self.counts.one("logins by header", "done");
        }
    }
}
