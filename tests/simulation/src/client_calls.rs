//! Calls of clients: sent, at a sidecar, answered.

use serde::Deserialize;
use session_gate_protocol::Receipt;

use crate::{
    clients::{ClientCall, Delivery, Kind},
    clocks::Millis,
    events::{Event, From},
    history::What,
    network::Passage,
    numbers::{SessionNumber, TokenNumber, UserNumber},
    refusal::{Pending, Refusal},
    sidecar::Answer,
    store::refusing::Does,
    world::World,
};

/// What an answer with a receipt in it says.
#[derive(Deserialize)]
struct WithReceipt {
    receipt: Option<Receipt>,
    applied: Option<bool>,
}

impl World {
    pub(crate) fn next_call(&mut self) -> u32 {
        self.clients.calls += 1;
        self.clients.calls
    }

    /// A client calls some sidecar. An operation.
    pub(crate) fn client_calls(
        &mut self,
        kind: Kind,
        user: UserNumber,
        session: Option<SessionNumber>,
        token: Option<TokenNumber>,
        ambushes: Option<usize>,
    ) {
        let number = self.next_call();
        let wait = kind.takes_back() && ambushes.is_none() && self.rng.u8(0..4) == 0;
        let refresh = None;
        self.send_call(ClientCall { number, kind, user, session, token, refresh, wait, ambushes, name: None });
    }

    /// A client's call to some sidecar. An operation.
    pub(crate) fn send_call(&mut self, call: ClientCall) {
        let (kind, ambushes) = (call.kind, call.ambushes);
        let variety = self.rng.u32(0..1_000);
        let Some(written) = self.written(&call, variety) else { return };
        self.ops += 1;
        self.counts.one("calls", kind.name());
        let sidecar = self.rng.usize(0..self.parameters.replicas);
        let from = From::Client(call);
        let passage =
            if ambushes.is_some() { Passage::Arrives(0, None) } else { self.network.passage(self.now, &mut self.rng) };
        match passage {
            Passage::Arrives(delay, again) => {
                if let Some(again) = again {
                    self.counts.one("network", "calls come twice");
                    let other = self.rng.usize(0..self.parameters.replicas);
                    let event = Event::Arrive { sidecar: other, call: written.clone(), from: from.clone() };
                    self.push(self.now + again, event);
                }
                self.push(self.now + delay, Event::Arrive { sidecar, call: written, from });
            }
            Passage::Lost | Passage::Refused => self.counts.one("network", "messages lost"),
        }
    }

    // === a call at a sidecar ===

    /// What a call may take back, from the moment at which a sidecar has it.
    fn pending(&mut self, call: &ClientCall, covers: &[SessionNumber], change: impl Fn(&mut Pending)) {
        for session in covers.iter().chain(&call.session) {
            if let Some(session) = self.truth.session_mut(*session) {
                match call.kind {
                    Kind::Suspend | Kind::SuspendRefused => change(&mut session.suspending),
                    Kind::Elevate | Kind::TerminateByPatch => {
                        // Until the store has agreed, the session is as good as suspended.
                        change(&mut session.suspending);
                        change(&mut session.ending);
                    }
                    Kind::Logout | Kind::Refresh | Kind::Revoke | Kind::Terminate | Kind::TerminateUser => {
                        change(&mut session.ending);
                    }
                    _ => {}
                }
            }
        }
        if matches!(call.kind, Kind::Logout | Kind::Revoke)
            && let Some(token) = call.token.and_then(|token| self.truth.token_mut(token))
        {
            change(&mut token.revoking);
        }
    }

    fn is_over(&mut self, call: &ClientCall, covers: &[SessionNumber], well: bool) {
        let now = self.now;
        self.pending(call, covers, |pending| pending.end(well, now));
        if call.kind == Kind::TerminateUser {
            self.truth.end_user_end(call.user, self.now);
        }
    }

    /// A sidecar begins with a call.
    pub(crate) fn begin(&mut self, call: ClientCall, sidecar: usize) -> Delivery {
        let covers = match call.kind {
            Kind::TerminateUser => self.truth.sessions_of(call.user).to_vec(),
            _ => Vec::new(),
        };
        if call.kind == Kind::TerminateUser {
            self.truth.begin_user_end(call.user);
        }
        self.note_shown(&call);
        self.pending(&call, &covers, Pending::begin);
        let ClientCall { number, kind, wait, .. } = call;
        self.history.add(self.now, What::Begin { call: number, kind, sidecar, about: call.about(), wait });
        let started = self.sidecars.get(sidecar).map_or(0, |place| place.started);
        Delivery { call, begun: self.now, started, covers }
    }

    /// The sidecar has died meanwhile.
    pub(crate) fn cut_off(&mut self, delivery: Delivery) {
        let Delivery { call, covers, .. } = delivery;
        self.is_over(&call, &covers, false);
        self.history.add(self.now, What::Cut { call: call.number, kind: call.kind, about: call.about() });
    }

    /// The sidecar has answered: what it acknowledges is promised from now on.
    pub(crate) fn end(&mut self, delivery: Delivery, answer: &Answer) {
        let Delivery { call, begun, started, covers } = delivery;
        let said = serde_json::from_slice::<WithReceipt>(&answer.body).ok();
        let applied = said.and_then(|said| said.receipt.map(|receipt| receipt.applied).or(said.applied));
        let ClientCall { number, kind, .. } = call;
        let about = call.about();
        self.history.add(self.now, What::End { call: number, kind, status: answer.status, applied, about });
        if let Some((script, name)) = self.script.as_mut().zip(call.name) {
            script.note_answer(name, answer.status, applied);
        }
        if let Some(applied) = applied {
            self.counts.one("receipts", if applied { "applied" } else { "pending" });
        }
        let is_done = match kind {
            // Whatever was told is taken back.
            Kind::SuspendRefused => answer.status == 400,
            // Whatever it says, it is over: a session that it has ended is known from what it says.
            Kind::Refresh => matches!(answer.status, 200 | 400),
            _ => (200..300).contains(&answer.status),
        };
        // A refusal of 404 or 409 has done nothing either, but may have told workers.
        self.is_over(&call, &covers, is_done);
        // An opaque token takes room.
        if kind != Kind::MintOpaque || !self.refusals.may_concern(Does::Add, begun) {
            self.judge_status(&call, answer.status, begun);
        }
        let receipt = applied.filter(|applied| *applied && !self.is_blind(started)).map(|_| self.now);
        let refusal = Refusal { begun, acked: self.now, receipt };
        if matches!(kind, Kind::Login | Kind::LoginByDevice) {
            self.on_owner(&call, answer, refusal);
        }
        if !is_done {
            self.counts.one("call failures", kind.name());
            return;
        }
        match kind {
            Kind::Annotate | Kind::Unlock => {}
            Kind::Elevate => self.on_elevated(&call, answer, refusal),
            Kind::Guess => self.on_guessed(&call, answer, begun),
            Kind::Refresh => self.on_refreshed(&call, answer, refusal),
            Kind::Login | Kind::LoginByDevice => self.on_login(&call, answer, refusal),
            Kind::Mint | Kind::MintOpaque | Kind::UserToken => self.on_minted(&call, answer),
            Kind::Narrow | Kind::Unscope | Kind::Widen => self.on_scoped(&call, refusal, answer),
            Kind::BlockAddress
            | Kind::BlockUser
            | Kind::RevokeForeign
            | Kind::UnblockAddress
            | Kind::UnblockUser
            | Kind::UnrevokeForeign => {
                if let Some((barred, is_refused)) = kind.rule(call.user) {
                    self.truth.rules.told(barred, is_refused, refusal);
                }
            }
            Kind::Renew => self.on_renewed(&call, answer),
            Kind::Resume => self.on_resumed(&call, begun),
            Kind::Suspend => self.on_suspended(&call, refusal, answer),
            Kind::SuspendRefused => self.on_taken_back(&call),
            Kind::Logout | Kind::Revoke => {
                self.on_ended(call.session.into_iter().collect(), refusal);
                self.on_revoked(&call, refusal);
            }
            Kind::Terminate | Kind::TerminateByPatch => self.on_ended(call.session.into_iter().collect(), refusal),
            Kind::TerminateUser => {
                let until = self.store_wall.at(begun) / 1_000;
                self.truth.cut_off(call.user, until, refusal);
                let known = self.known(covers);
                self.on_ended(known, refusal);
            }
        }
        self.aim(&call, refusal);
    }

    /// Those that the store has and whose time is not over: nobody is told of the others.
    fn known(&self, sessions: Vec<SessionNumber>) -> Vec<SessionNumber> {
        let wall = self.store_wall.at(self.now) / 1_000;
        let is_known = |number: SessionNumber| {
            let session = self.truth.session(number);
            session.is_some_and(|session| wall < session.ends() && session.generation == self.truth.generation)
        };
        sessions.into_iter().filter(|number| is_known(*number)).collect()
    }

    /// Whether a sidecar cannot know of the workers of others, or of its own before: it started so soon after
    /// the store had lost its data, or while it accepted no changes, that these have not told of themselves again. `docs/guarantees.md` says so.
    fn is_blind(&self, started: Millis) -> bool {
        let staleness = u64::try_from(self.parameters.settings.max_staleness.as_millis()).unwrap_or(u64::MAX);
        let lost_at = self.truth.lost_at;
        let is_blind = self.refusals.blinds(started, self.now, staleness);
        is_blind || lost_at.is_some_and(|lost| started >= lost && self.now < lost + 1_000 + staleness.saturating_mul(2))
    }
}
