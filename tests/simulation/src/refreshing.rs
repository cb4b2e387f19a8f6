//! Refresh tokens in use: once, again, and by thieves.

use serde_json::Value;
use session_gate_protocol::{RefreshReply, RefreshToken, SessionStatus};

use crate::{
    clients::{ClientCall, Kind},
    clocks::Millis,
    numbers::{SessionNumber, UserNumber},
    promise::{Promise, Violation},
    refresh::{FIRST, Known, USERS},
    refusal::Refusal,
    rules::Barred,
    sidecar::Answer,
    world::World,
};

impl World {
    /// One of these users logs in, or refreshes a token: once, again, or as a thief. Operations.
    pub(crate) fn refresh(&mut self) {
        let user = FIRST + self.rng.u32(0..USERS);
        let sessions = self.truth.sessions_of(user).iter().copied().filter(|session| self.is_open(*session));
        let sessions: Vec<SessionNumber> = sessions.collect();
        let Some(session) = self.rng.choice(&sessions).copied().filter(|_| self.rng.u8(0..4) != 0) else {
            return self.client_calls(Kind::Login, user, None, None, None);
        };
        let last = self.ledgers.families.of(session).len().saturating_sub(1);
        match self.rng.u8(0..16) {
            0..8 => self.refresh_with(user, session, last, 1),
            8..12 => self.refresh_with(user, session, last, self.parameters.replicas as u8 + 1),
            12..14 => self.refresh_with(user, session, last.saturating_sub(1), 1),
            _ => {
                let old = self.rng.usize(0..=last);
                self.refresh_with(user, session, old, 1);
            }
        }
    }

    fn refresh_with(&mut self, user: UserNumber, session: SessionNumber, shown: usize, times: u8) {
        for _ in 0..times {
            let number = self.next_call();
            let call = ClientCall {
                number,
                kind: Kind::Refresh,
                user,
                session: Some(session),
                token: None,
                refresh: Some(shown),
                wait: false,
                ambushes: None,
                name: None,
            };
            self.send_call(call);
        }
    }

    fn is_open(&self, session: SessionNumber) -> bool {
        let is_known = !self.ledgers.families.of(session).is_empty();
        is_known && self.truth.session(session).is_some_and(|session| session.ended.is_none())
    }

    /// A login has brought the first refresh token of its session.
    pub(crate) fn note_first_refresh(&mut self, session: SessionNumber, token: Option<RefreshToken>) {
        let told = self.now;
        let known = token.map(|token| Known { token, told, used: None, is_shown: false });
        known.into_iter().for_each(|known| _ = self.ledgers.families.0.insert(session, vec![known]));
    }

    /// A sidecar has one.
    pub(crate) fn note_shown(&mut self, call: &ClientCall) {
        let family = call.session.and_then(|session| self.ledgers.families.0.get_mut(&session));
        if let Some(known) = family.zip(call.refresh).and_then(|(family, number)| family.get_mut(number)) {
            known.is_shown = true;
        }
    }

    /// It was answered. What the session was by then is true from here on.
    pub(crate) fn on_refreshed(&mut self, call: &ClientCall, answer: &Answer, refusal: Refusal) {
        let Some((session, number)) = call.session.zip(call.refresh) else { return };
        let wrong = match answer.status {
            200 => self.on_rotated(call.user, (session, number), answer, refusal.begun),
            400 => self.on_turned_away(call.user, (session, number), answer, refusal),
            _ => None,
        };
        if let Some(text) = wrong {
            let (promise, session) = (Promise::Refresh, Some(session));
            self.judge(Err(Violation { promise, text, session, key: None, worker: 0 }));
        }
    }

    fn on_rotated(
        &mut self,
        user: UserNumber,
        (session, number): (SessionNumber, usize),
        answer: &Answer,
        begun: Millis,
    ) -> Option<String> {
        let Ok(RefreshReply { access_token, refresh_token, .. }) = serde_json::from_slice(&answer.body) else {
            return Some("an answer with tokens cannot be read".to_owned());
        };
        let ended = self.truth.session(session).and_then(|session| session.refusals().next());
        let wrong = if let Some(refusal) = ended.filter(|refusal| refusal.acked < begun) {
            Some(format!("refresh token {number} was answered, and its session taken back at {}", refusal.acked))
        } else if self.ledgers.families.is_stale(session, number, begun) {
            Some(format!("refresh token {number} was answered, and was replaced long ago"))
        } else {
            None
        };
        let now = self.now;
        let family = self.ledgers.families.0.entry(session).or_default();
        if let Some(known) = family.get_mut(number) {
            known.used.get_or_insert(now);
        }
        let other = match family.get(number + 1) {
            Some(known) if known.token == refresh_token => {
                self.counts.one("refresh tokens", "the same again");
                None
            }
            Some(_) => Some(format!("refresh token {number} has two successors")),
            None => {
                self.counts.one("refresh tokens", "rotated");
                family.push(Known { token: refresh_token, told: now, used: None, is_shown: false });
                let last = family.len() - 1;
                // Some go on and on: until what was first is old.
                if self.rng.u8(0..10) != 0 {
                    self.refresh_with(user, session, last, 1);
                }
                None
            }
        };
        if let Some(token) = self.add_read_token(access_token, Some(session), user) {
            self.clients.tokens.push(token);
        }
        wrong.or(other)
    }

    /// Whether nothing has ever been said against a session, or its user.
    fn goes_on_plainly(&self, user: UserNumber, number: SessionNumber) -> bool {
        let is_barred = self.truth.rules.may_refuse(Barred::User(user), 0, |_| false);
        !is_barred
            && self.truth.session(number).is_some_and(|session| {
                let is_live = session.generation == self.truth.generation && self.wall_seconds() < session.ends();
                let is_clear = session.ending.is_clear() && session.suspending.is_clear();
                is_live && is_clear && session.refusals().next().is_none() && session.status == SessionStatus::Active
            })
    }

    fn on_turned_away(
        &mut self,
        user: UserNumber,
        (session, number): (SessionNumber, usize),
        answer: &Answer,
        refusal: Refusal,
    ) -> Option<String> {
        let said = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
        let why = said.get("error_description").and_then(Value::as_str).unwrap_or_default();
        if !why.contains("was replaced long ago") {
            self.counts.one("refresh tokens", "turned away");
            let is_stale = self.ledgers.families.is_stale(session, number, refusal.begun);
            let goes_on = is_stale && self.goes_on_plainly(user, session);
            return goes_on.then(|| format!("refresh token {number} is an old one, and its session goes on"));
        }
        self.counts.one("refresh tokens", "an old one has ended its session");
        let is_good = self.ledgers.families.is_good(session, number);
        // It ends before the answer leaves.
        self.on_ended(vec![session], refusal);
        is_good.then(|| format!("refresh token {number} was good, and has ended its session"))
    }
}
