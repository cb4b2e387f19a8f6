//! What follows from a client's call that went well: what is true from then on, and what clients hold.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use session_gate_protocol::{
    Claims, LoginReply, Scopes, SessionData, SessionId, SessionStatus, TokenData, UnixSeconds,
};

use crate::{
    clients::ClientCall,
    clocks::Millis,
    foreign::{self, Draft, Sid},
    idle::Idle,
    numbers::{SessionNumber, TokenNumber, UserNumber},
    refusal::{Pending, Refusal},
    scopes::{Grants, TokenScopes, may_write},
    sidecar::Answer,
    truth::{Session, Token},
    world::World,
};

/// Tokens that are no good any more and are tried all the same.
const TRIED_AGAIN: usize = 64;

/// A session that has begun.
#[derive(Debug)]
pub(crate) struct Began {
    pub(crate) id: SessionId,
    pub(crate) status: SessionStatus,
    pub(crate) version: u64,
    pub(crate) expires: UnixSeconds,
    /// Its idle time-out, and when it was used last, in seconds.
    pub(crate) idle: Option<(u64, u64)>,
    pub(crate) scopes: Option<Scopes>,
    /// Which of its user's cut-offs it is after.
    pub(crate) generation: u64,
}

/// What a token says.
pub(crate) fn claims(token: &str) -> Option<Claims> {
    let payload = token.split('.').nth(1).and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
    payload.and_then(|payload| serde_json::from_slice(&payload).ok())
}

impl World {
    /// What a token says, opaque or not.
    fn said_by(&self, token: &str) -> Option<Claims> {
        self.store.opaque.said_by(token).map(|(claims, _)| claims).or_else(|| claims(token))
    }

    pub(crate) fn on_login(&mut self, call: &ClientCall, answer: &Answer, refusal: Refusal) {
        let begun = refusal.begun;
        let Ok(LoginReply { session, token, refresh_token, .. }) = serde_json::from_slice(&answer.body) else { return };
        let began = Began {
            id: session.session_id.clone(),
            status: session.status,
            version: session.version,
            expires: session.expires_at,
            idle: session.idle_timeout.map(|timeout| (timeout, session.last_activity.0)),
            scopes: session.scopes,
            generation: self.said_by(&token.token).map(|claims| claims.generation).unwrap_or_default(),
        };
        let number = self.add_session(call.user, began, begun);
        self.add_token(token, Some(number), call);
        self.note_first_refresh(number, refresh_token);
        self.on_admitted(&session.session_id, call.user, refusal);
    }

    /// A session has begun, by a call that began then.
    pub(crate) fn add_session(&mut self, user: UserNumber, began: Began, begun: Millis) -> SessionNumber {
        let Began { id, status, version, expires, idle, scopes, generation } = began;
        let number = self.truth.add_session(Session {
            generation: self.store.generation_of(&id).unwrap_or_default(),
            id: id.to_string(),
            user,
            cut_off: generation,
            status,
            version,
            expires: expires.0,
            idle: idle.map(|(timeout, noted)| Idle::new(timeout, noted)),
            ended: None,
            suspended: None,
            suspended_from: None,
            ending: Pending { in_doubt: self.truth.may_be_caught(user, begun), ..Pending::default() },
            suspending: Pending::default(),
            has_second_factor: status == SessionStatus::Active,
            served_since: (status == SessionStatus::Active).then_some(self.now),
            tokens: Vec::new(),
            grants: Grants::new(version, may_write(scopes.as_ref())),
        });
        self.clients.sessions.push(number);
        if status == SessionStatus::Pending2fa {
            self.clients.suspended.insert(number);
        }
        number
    }

    /// Another issuer issues a token for that user, which may name a session.
    pub(crate) fn issue_foreign(&mut self, user: UserNumber, sid: Sid) {
        let name = format!("user-{user}");
        let random: [u8; 32] = std::array::from_fn(|_| self.rng.u8(..));
        let unknown = || name.parse().ok().map(|user| SessionId::new(&user, &random));
        let session = match sid {
            Sid::Absent => None,
            Sid::Named(number) => self.truth.session(number).and_then(|session| session.id.parse().ok()),
            Sid::Unknown => unknown(),
        };
        let issued = UnixSeconds(self.issuer_wall.at(self.now) / 1_000);
        let scope = if self.rng.bool() { "read" } else { "read write" };
        let lifetime = if self.rng.u8(0..4) == 0 { self.rng.u64(1..40) } else { foreign::LIFETIME };
        let random = std::array::from_fn(|_| self.rng.u8(..));
        let draft = Draft { user: name, session, scope, issued, lifetime, random };
        let (text, expires) = match foreign::token(draft) {
            Ok(token) => token,
            Err(problem) => return self.give_up(problem),
        };
        let claims = claims(&text);
        let id = claims.as_ref().map(|claims| claims.jti.to_string()).unwrap_or_default();
        let token = Token {
            text,
            session: if let Sid::Named(number) = sid { Some(number) } else { None },
            user,
            generation: self.truth.generation,
            issued: issued.0,
            expires: expires.0,
            is_pending: false,
            is_renewed: false,
            foreign: Some(sid),
            scopes: TokenScopes::of(claims.as_ref()),
            revoked: None,
            revoking: Pending::default(),
        };
        let number = self.truth.add_token(id, token);
        if self.clients.foreign.len() >= TRIED_AGAIN {
            self.clients.foreign.pop_front();
        }
        self.clients.foreign.push_back(number);
    }

    pub(crate) fn on_minted(&mut self, call: &ClientCall, answer: &Answer) {
        let Ok(token) = serde_json::from_slice::<TokenData>(&answer.body) else { return };
        self.add_token(token, call.session, call);
    }

    fn add_token(&mut self, data: TokenData, session: Option<SessionNumber>, call: &ClientCall) {
        let opaque = self.store.opaque.said_by(&data.token);
        let generation = opaque.map_or(self.truth.generation, |(_, generation)| generation);
        let claims = self.said_by(&data.token);
        let token = Token {
            text: data.token,
            session,
            user: call.user,
            generation,
            issued: data.issued_at.0,
            expires: data.expires_at.0,
            is_pending: claims.as_ref().is_some_and(|claims| claims.pending_2fa),
            is_renewed: claims.as_ref().is_some_and(|claims| claims.renewal.is_some()),
            foreign: None,
            scopes: TokenScopes::of(claims.as_ref()),
            revoked: None,
            revoking: Pending::default(),
        };
        let number = self.truth.add_token(data.token_id.to_string(), token);
        self.clients.tokens.push(number);
        if let Some((script, name)) = self.script.as_mut().zip(call.name) {
            script.note_token(name, number);
        }
    }

    /// A token that can be read, and that nobody was told of by a call of theirs.
    pub(crate) fn add_read_token(
        &mut self,
        text: String,
        session: Option<SessionNumber>,
        user: UserNumber,
    ) -> Option<TokenNumber> {
        let said = self.said_by(&text)?;
        let token = Token {
            text,
            session,
            user,
            generation: self.truth.generation,
            issued: said.iat.0,
            expires: said.exp.0,
            is_pending: said.pending_2fa,
            is_renewed: said.renewal.is_some(),
            foreign: None,
            scopes: TokenScopes::of(Some(&said)),
            revoked: None,
            revoking: Pending::default(),
        };
        Some(self.truth.add_token(said.jti.to_string(), token))
    }

    pub(crate) fn on_resumed(&mut self, call: &ClientCall, begun: Millis) {
        let Some(number) = call.session else { return };
        self.clients.suspended.remove(&number);
        let now = self.now;
        if let Some(session) = self.truth.session_mut(number)
            && session.status == SessionStatus::Active
        {
            // Workers may have been told otherwise in between.
            session.served_since = Some(now);
            // Whoever was cut off before this began is told otherwise again.
            session.suspending.in_doubt &= session.suspending.doubted_at >= begun;
        }
    }

    pub(crate) fn on_taken_back(&mut self, call: &ClientCall) {
        let now = self.now;
        if let Some(session) = call.session.and_then(|session| self.truth.session_mut(session)) {
            session.served_since = session.served_since.map(|_| now);
        }
    }

    pub(crate) fn on_suspended(&mut self, call: &ClientCall, refusal: Refusal, answer: &Answer) {
        let Some(number) = call.session else { return };
        let Ok(data) = serde_json::from_slice::<SessionData>(&answer.body) else { return };
        self.clients.suspended.insert(number);
        if let Some(session) = self.truth.session_mut(number) {
            // It may be served again already, by a later call.
            if session.suspended_from.is_some_and(|from| from <= data.version) {
                session.suspended = Some(Refusal::merge(session.suspended, refusal));
            }
        }
    }

    /// What the session permits has been changed.
    pub(crate) fn on_scoped(&mut self, call: &ClientCall, refusal: Refusal, answer: &Answer) {
        let Ok(data) = serde_json::from_slice::<SessionData>(&answer.body) else { return };
        if let Some(session) = call.session.and_then(|session| self.truth.session_mut(session)) {
            session.grants.told(data.version, refusal);
        }
    }

    pub(crate) fn on_revoked(&mut self, call: &ClientCall, refusal: Refusal) {
        let lost_at = self.truth.lost_at;
        let Some(number) = call.token else { return };
        if let Some(token) = self.truth.token_mut(number) {
            // What went into a blacklist that was lost meanwhile is not promised.
            let is_lost = token.session.is_none() && lost_at.is_some_and(|lost| refusal.begun <= lost);
            if !is_lost {
                token.revoked = Some(Refusal::merge(token.revoked, refusal));
            }
        }
        self.retire(number);
    }

    pub(crate) fn on_ended(&mut self, sessions: Vec<SessionNumber>, refusal: Refusal) {
        for number in sessions {
            let Some(session) = self.truth.session_mut(number) else { continue };
            session.ended = Some(Refusal::merge(session.ended, refusal));
            let tokens = std::mem::take(&mut session.tokens);
            for token in &tokens {
                self.retire(*token);
            }
            if let Some(session) = self.truth.session_mut(number) {
                session.tokens = tokens;
            }
            self.clients.suspended.remove(&number);
            self.clients.sessions.retain(|held| *held != number);
        }
    }

    /// The token is no good any more; it is tried now and then.
    pub(crate) fn retire(&mut self, token: TokenNumber) {
        let Some(place) = self.clients.tokens.iter().position(|held| *held == token) else { return };
        self.clients.tokens.swap_remove(place);
        if self.clients.stale_tokens.len() >= TRIED_AGAIN {
            self.clients.stale_tokens.pop_front();
        }
        self.clients.stale_tokens.push_back(token);
    }

    /// The store has lost its data: whoever was logged in tries on for a while.
    pub(crate) fn forget_clients(&mut self) {
        let tokens = std::mem::take(&mut self.clients.tokens);
        let skipped = tokens.len().saturating_sub(TRIED_AGAIN);
        self.clients.stale_tokens = tokens.into_iter().skip(skipped).collect();
        self.clients.sessions.clear();
        self.clients.suspended.clear();
    }
}
