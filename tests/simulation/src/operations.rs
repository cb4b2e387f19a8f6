//! What clients do next, and the adversary who picks the moment.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    clients::{ClientCall, Kind},
    clocks::Millis,
    demands::{Demand, Mode},
    events::Event,
    faults::Fault,
    foreign::Sid,
    numbers::{SessionNumber, TokenNumber, UserNumber},
    refusal::Refusal,
    rules::ADDRESSES,
    worker_host::{Form, Route},
    world::World,
};

/// How much longer than a worker may trust what it knows it is cut off.
const BEYOND: Millis = 20;

impl World {
    /// The next operation, and when the one after it comes.
    pub(crate) fn next_op(&mut self) {
        let is_empty = self.clients.sessions.len() < self.parameters.sessions / 2 && self.rng.u8(0..4) == 0;
        if self.clients.tokens.is_empty() || is_empty {
            let user = self.rng.u32(0..self.parameters.users);
            self.client_calls(Kind::Login, user, None, None, None);
        } else if self.rng.u32(0..1_000) < self.parameters.changes {
            self.change();
        } else if self.rng.u32(0..1_000) < self.parameters.limited {
            self.use_limit();
        } else {
            self.ask();
        }
        if self.ops < self.parameters.ops {
            let gap = -(1.0 - self.rng.f64()).ln() / self.parameters.ops_per_milli;
            self.push(self.now + gap.round() as u64, Event::NextOp);
        }
    }

    fn change(&mut self) {
        let Some(session) = self.rng.choice(&self.clients.sessions).copied() else { return };
        let user = self.truth.session(session).map_or(0, |session| session.user);
        let token = self.rng.choice(&self.clients.tokens).copied();
        let is_full = self.clients.sessions.len() >= self.parameters.sessions;
        match self.rng.u8(0..22) {
            0 | 1 => return self.change_scopes(user, session),
            2..5 => return self.issue_drawn(user),
            5 => return self.change_rules(user),
            7 if self.parameters.has_crowd => return self.log_in_at_once(),
            8 | 9 if self.parameters.guesses.is_some() => return self.guess(),
            10 | 11 if self.parameters.has_mobiles => return self.refresh(),
            13 if self.parameters.rotates => return self.log_in_by_header(),
            12 if self.parameters.rotates => return self.elevate(user, session, token),
            6 if self.parameters.lives.are_short() => return self.renew(token),
            _ => {}
        }
        match self.rng.u8(0..100) {
            0..25 if is_full => self.client_calls(Kind::Terminate, user, Some(session), None, None),
            0..25 => {
                let user = self.rng.u32(0..self.parameters.users);
                self.client_calls(Kind::Login, user, None, None, None);
            }
            25..30 => self.client_calls(Kind::MintOpaque, user, Some(session), None, None),
            30..40 => self.client_calls(Kind::Mint, user, Some(session), None, None),
            40..50 => self.client_calls(Kind::Terminate, user, Some(session), None, None),
            50..53 => self.client_calls(Kind::TerminateByPatch, user, Some(session), None, None),
            53..55 => self.client_calls(Kind::TerminateUser, user, None, None, None),
            55..59 => self.log_out(token),
            59..69 => self.client_calls(Kind::Suspend, user, Some(session), None, None),
            69..81 => {
                let suspended = self.rng.choice(&self.clients.suspended).copied().unwrap_or(session);
                self.client_calls(Kind::Resume, user, Some(suspended), None, None);
            }
            81..87 => {
                // Both at once.
                self.client_calls(Kind::Suspend, user, Some(session), None, None);
                self.client_calls(Kind::Resume, user, Some(session), None, None);
            }
            87..90 => self.client_calls(Kind::SuspendRefused, user, Some(session), None, None),
            90..96 => self.revoke(user, token),
            96 | 97 => self.client_calls(Kind::MintOpaque, user, None, None, None),
            _ => self.client_calls(Kind::UserToken, user, None, None, None),
        }
    }

    /// A token of the other issuer, which names a session of its user's, one that there is not, or none.
    fn issue_drawn(&mut self, user: UserNumber) {
        let named = self.rng.choice(self.truth.sessions_of(user)).copied();
        let sid = match (self.rng.u8(0..10), named) {
            (0, _) => Sid::Unknown,
            (1..7, Some(session)) => Sid::Named(session),
            _ => Sid::Absent,
        };
        self.issue_foreign(user, sid);
    }

    /// Somebody is blocked, or no more.
    fn change_rules(&mut self, user: UserNumber) {
        let address = u32::from(self.rng.u8(1..ADDRESSES));
        let (kind, number) = match self.rng.u8(0..6) {
            0 => (Kind::BlockAddress, address),
            1 => (Kind::BlockUser, user),
            2 => (Kind::RevokeForeign, user),
            3 => (Kind::UnblockAddress, address),
            4 => (Kind::UnblockUser, user),
            _ => (Kind::UnrevokeForeign, user),
        };
        self.client_calls(kind, number, None, None, None);
    }

    /// Some are narrowed and widened at once.
    fn change_scopes(&mut self, user: UserNumber, session: SessionNumber) {
        let kinds = match self.rng.u8(0..12) {
            0..4 => [Some(Kind::Narrow), None],
            4..7 => [Some(Kind::Widen), None],
            7..9 => [Some(Kind::Unscope), None],
            9 => [Some(Kind::Narrow), Some(Kind::Widen)],
            _ => [Some(Kind::Narrow), Some(Kind::Annotate)],
        };
        for kind in kinds.into_iter().flatten() {
            self.client_calls(kind, user, Some(session), None, None);
        }
    }

    /// One that is renewed goes with its session.
    fn revoke(&mut self, user: UserNumber, token: Option<TokenNumber>) {
        let found = token.and_then(|token| self.truth.token(token)).filter(|token| token.is_renewed);
        let session = found.and_then(|token| token.session);
        self.client_calls(Kind::Revoke, user, session, token, None);
    }

    fn log_out(&mut self, token: Option<TokenNumber>) {
        let found = token.and_then(|token| self.truth.token(token));
        let (session, user) = found.map_or((None, 0), |token| (token.session, token.user));
        self.client_calls(Kind::Logout, user, session, token, None);
    }

    /// A request to some worker.
    fn ask(&mut self) {
        let worker = self.rng.usize(0..self.workers.len());
        let route = self.drawn_route();
        let form = match self.rng.u8(0..100) {
            0..3 => Form::Stream,
            3..5 => Form::Upgrade,
            _ => Form::Plain,
        };
        let token = match self.rng.u8(0..100) {
            0..2 => None,
            2..12 => self.clients.foreign.get(self.rng.usize(0..self.clients.foreign.len().max(1))).copied(),
            12..24 => self.rng.choice(&self.clients.stale_tokens).copied(),
            _ => self.rng.choice(&self.clients.tokens).copied(),
        };
        // What such a stream is served in is known to its worker alone.
        let is_foreign = token.and_then(|token| self.truth.token(token)).is_some_and(|token| token.foreign.is_some());
        let has_session = is_foreign && route.demand() == Some(Demand::Session);
        self.send(worker, token, route, if has_session { Form::Plain } else { form });
    }

    fn drawn_route(&mut self) -> Route {
        let mode = match self.rng.u8(0..10) {
            0..6 => Mode::Deny,
            6 | 7 => Mode::Allow,
            _ => Mode::LastKnown,
        };
        match (self.rng.u8(0..10), mode) {
            (0, mode) => Route::Asking(Demand::Write, mode),
            (1, mode) => Route::Asking(Demand::NoSecondFactor, mode),
            (2, mode) => Route::Asking(Demand::Session, mode),
            (_, Mode::Deny) => Route::Deny,
            (_, Mode::Allow) => Route::Allow,
            (_, Mode::LastKnown) => Route::LastKnown,
        }
    }

    /// A token that nobody has signed.
    pub(crate) fn forged(&mut self) -> Option<String> {
        if self.rng.u8(0..3) == 0 {
            return self.made_up();
        }
        let token = self.rng.choice(&self.clients.tokens).copied()?;
        let other = self.rng.choice(&self.clients.tokens).copied()?;
        let good = &self.truth.token(token)?.text;
        let (signed, signature) = good.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header_of = |alg: &str, kid: &str| {
            let header = format!(r#"{{"alg":"{alg}","typ":"at+jwt","kid":"{kid}"}}"#);
            URL_SAFE_NO_PAD.encode(header)
        };
        Some(match self.rng.u8(0..4) {
            0 => {
                let changed = if signature.starts_with('A') { 'B' } else { 'A' };
                let rest: String = signature.chars().skip(1).collect();
                format!("{signed}.{changed}{rest}")
            }
            1 => {
                let (_, payload) = self.truth.token(other)?.text.split_once('.')?;
                let (payload, theirs) = payload.split_once('.')?;
                if theirs == signature {
                    return None;
                }
                format!("{header}.{payload}.{signature}")
            }
            2 => format!("{}.{payload}.{signature}", header_of("HS256", "of-nobody")),
            _ => format!("{}.{payload}.", header_of("none", "of-nobody")),
        })
    }

    // === the adversary ===

    /// Something was just taken back: requests are aimed at the last moment at which a worker may pass
    /// them, and at the first at which it may not.
    pub(crate) fn aim(&mut self, call: &ClientCall, refusal: Refusal) {
        if self.script.is_some() {
            return;
        }
        let session = call.session.and_then(|session| self.truth.session(session));
        let of_user = |number: &&TokenNumber| self.truth.token(**number).is_some_and(|token| token.user == call.user);
        let foreign = self
            .clients
            .foreign
            .iter()
            .find(of_user)
            .filter(|_| matches!(call.kind, Kind::BlockUser | Kind::RevokeForeign | Kind::TerminateUser));
        let of_session = || session.and_then(|session| session.tokens.last());
        let Some(token) = call.token.or_else(|| of_session().or(foreign).copied()) else { return };
        let demand = call.kind.takes_from();
        let is_good = call.kind.rule(call.user).is_some()
            || self.truth.refusals_on(token, demand).any(|known| known.acked == refusal.acked);
        if !is_good || (call.ambushes.is_none() && self.rng.bool()) {
            return;
        }
        let other = self.rng.usize(0..self.workers.len());
        for worker in [call.ambushes.unwrap_or(other), other] {
            let Some(place) = self.workers.get(worker) else { continue };
            let last = place.clock.after(refusal.acked, self.parameters.settings.max_staleness);
            if refusal.receipt.is_some() {
                self.aim_at(worker, token, demand, self.now);
            }
            self.aim_at(worker, token, demand, self.now + 1);
            self.aim_at(worker, token, demand, last);
            self.aim_at(worker, token, demand, last + 1);
        }
        if refusal.receipt.is_some() {
            // Whoever is cut off is the likeliest to be forgotten.
            let now = self.now;
            let cut: Vec<usize> = (0..self.workers.len()).filter(|worker| self.network.is_deaf(*worker, now)).collect();
            cut.into_iter().for_each(|worker| self.aim_at(worker, token, demand, now));
        }
    }

    fn aim_at(&mut self, worker: usize, token: TokenNumber, demand: Option<Demand>, at: Millis) {
        self.push(at, Event::Aimed { worker, token, demand });
    }

    /// A worker has just been told all there is, at this very moment. Now it is cut off, and something is
    /// taken back.
    pub(crate) fn ambush(&mut self, worker: usize) {
        let Some(place) = self.workers.get(worker) else { return };
        let until = place.clock.after(self.now, self.parameters.settings.max_staleness) + BEYOND;
        let Some(session) = self.victim() else { return };
        let user = self.truth.session(session).map_or(0, |session| session.user);
        self.counts.one("feed", "ambushes");
        self.strike(Fault::Deaf { worker, until });
        let kind = self.rng.choice([Kind::Narrow, Kind::Suspend, Kind::Terminate]).unwrap_or(Kind::Terminate);
        self.client_calls(kind, user, Some(session), None, Some(worker));
    }

    /// A session with a token that workers need not ask about.
    fn victim(&mut self) -> Option<SessionNumber> {
        let session = self.rng.choice(&self.clients.sessions).copied()?;
        let found = self.truth.session(session)?;
        let token = self.truth.token(*found.tokens.last()?)?;
        (!token.is_pending && found.suspended.is_none()).then_some(session)
    }
}
