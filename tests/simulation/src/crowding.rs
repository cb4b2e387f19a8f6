//! Logins of users with a limit: sent, held when the store does them, and counted once more when they are answered.

use session_gate_protocol::SessionId;

use crate::{
    clients::Kind,
    crowd::{AT_ONCE, AdmissionStep, FIRST, USERS, limit_of},
    numbers::{SessionNumber, UserNumber},
    promise::{Promise, Violation},
    refusal::Refusal,
    world::World,
};

impl World {
    /// One of these users logs in, at one place or at many at once. Operations.
    pub(crate) fn log_in_at_once(&mut self) {
        let user = FIRST + self.rng.u32(0..USERS);
        let times = if self.rng.bool() { 1 } else { self.rng.u8(2..=AT_ONCE) };
        if times > 1 {
            self.counts.one("session limit", "logins at once");
        }
        for _ in 0..times {
            self.client_calls(Kind::Login, user, None, None, None);
        }
    }

    /// The store has begun a session, and ended others for that, or has refused to.
    pub(crate) fn note_admission(&mut self, step: AdmissionStep) {
        let number = self.ledgers.crowd.order.len();
        if let Some(new) = &step.created
            && self.ledgers.crowd.order.insert(new.clone(), number).is_some()
        {
            // The same step once more.
            return;
        }
        let wrong = step.wrong(&self.ledgers.crowd.order);
        let shown = match (&step.created, step.ended.is_empty()) {
            (None, _) => "refused",
            (Some(_), true) => "there was room",
            (Some(_), false) => "evicted",
        };
        self.counts.one("session limit", shown);
        for ended in &step.ended {
            self.ledgers.crowd.evicted.insert(ended.clone());
            if let Some(session) = self.number_of(ended) {
                self.doubt(session);
            }
        }
        let violation = wrong.map(|text| Violation {
            promise: Promise::Crowd,
            text: format!("{text}, by {:?}", step.limit),
            session: step.created.as_ref().and_then(|new| self.number_of(new)),
            key: None,
            worker: 0,
        });
        self.judge(violation.map_or(Ok(()), Err));
        if let Some(new) = step.created {
            self.ledgers.crowd.by.insert(new, step.ended);
        }
    }

    fn number_of(&self, session: &SessionId) -> Option<SessionNumber> {
        self.truth.session_by_id(session.as_str())
    }

    /// It has ended, whoever is told of that.
    fn doubt(&mut self, number: SessionNumber) {
        let now = self.now;
        if let Some(session) = self.truth.session_mut(number) {
            session.ending.in_doubt = true;
            session.ending.doubted_at = now;
        }
    }

    /// A login with a limit was answered: whatever has ended for it is dead by now, and the user has no more sessions than
    /// allowed.
    pub(crate) fn on_admitted(&mut self, id: &SessionId, user: UserNumber, refusal: Refusal) {
        let Some(limit) = limit_of(user) else { return };
        for ended in self.ledgers.crowd.by.remove(id).unwrap_or_default() {
            match self.number_of(&ended) {
                Some(number) => self.on_ended(vec![number], refusal),
                None => {
                    self.counts.one("session limit", "evicted by a login that nobody was told of");
                    self.ledgers.crowd.ended.insert(ended, refusal);
                }
            }
        }
        if let Some(number) = self.number_of(id) {
            if self.ledgers.crowd.evicted.contains(id) {
                self.doubt(number);
            }
            if let Some(refusal) = self.ledgers.crowd.ended.remove(id) {
                self.on_ended(vec![number], refusal);
            }
        }
        let live = self.truth.sessions_of(user).iter().filter(|number| self.is_live(**number)).count();
        if live > limit.max {
            let text = format!("user {user} has {live} sessions, by {limit:?}");
            let session = self.number_of(id);
            self.judge(Err(Violation { promise: Promise::Crowd, text, session, key: None, worker: 0 }));
        }
    }

    /// Whether the store has that session, and it has not ended.
    fn is_live(&self, number: SessionNumber) -> bool {
        self.truth.session(number).is_some_and(|session| {
            let is_gone = session.id.parse().is_ok_and(|id| self.ledgers.crowd.gone.contains(&id));
            let is_known = session.generation == self.truth.generation && !session.status.is_final();
            is_known && !is_gone && self.wall_seconds() < session.ends()
        })
    }
}
