//! Users who may have so many sessions and no more: they log in at many places at once, each time with the same limit.
//!
//! Which sessions end for a new one is held against what the store says there was before, in the step that does it; how
//! many there are is counted once more when a login is answered.

use std::collections::{HashMap, HashSet};

use session_gate_protocol::{SessionData, SessionId, WhenFull};
use store_sidecar::store::SessionLimit;

use crate::{
    clients::Kind,
    numbers::{SessionNumber, UserNumber},
    promise::{Promise, Violation},
    refusal::Refusal,
    world::World,
};

/// What must have happened in a large run.
pub const NEEDED: [(&str, &str); 5] = [
    ("session limit", "evicted"),
    ("session limit", "evicted by a login that nobody was told of"),
    ("session limit", "logins at once"),
    ("session limit", "refused"),
    ("session limit", "there was room"),
];

/// The first of these users.
const FIRST: UserNumber = 10_000;
/// How many of them there are.
const USERS: UserNumber = 8;
/// How many log in at once at most.
const AT_ONCE: u8 = 8;

/// What the store has done about a login with a limit.
#[derive(Clone, Debug, PartialEq)]
pub struct AdmissionStep {
    /// The limit.
    pub limit: SessionLimit,
    /// The user's sessions before.
    pub before: Vec<SessionData>,
    /// Their sessions after.
    pub after: Vec<SessionData>,
    /// The new session, if it has begun.
    pub created: Option<SessionId>,
    /// Those that have ended for it.
    pub ended: Vec<SessionId>,
}

/// What has become of sessions of users with a limit.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    /// In which order they began.
    order: HashMap<SessionId, usize>,
    /// Those that have ended for others.
    evicted: HashSet<SessionId>,
    /// Those that have ended, for whatever reason.
    gone: HashSet<SessionId>,
    /// For whom, by the new one, which have ended.
    by: HashMap<SessionId, Vec<SessionId>>,
    /// Those of whose end somebody was told before they were known to have begun.
    ended: HashMap<SessionId, Refusal>,
}

impl Crowd {
    /// The store has ended that session: perhaps before anybody was told that it has begun.
    pub(crate) fn note_end(&mut self, session: &SessionId) {
        self.gone.insert(session.clone());
    }
}

/// The limit of that user, if they have one: they are told apart by their numbers.
pub(crate) fn limit_of(user: UserNumber) -> Option<SessionLimit> {
    let number = user.checked_sub(FIRST).filter(|number| *number < USERS)?;
    let when_full = if number % 3 == 2 { WhenFull::Deny } else { WhenFull::EvictOldest };
    Some(SessionLimit { max: 1 + (number % 4) as usize, when_full })
}

impl AdmissionStep {
    /// What is wrong with it.
    fn wrong(&self, order: &HashMap<SessionId, usize>) -> Option<String> {
        let Self { limit, before, after, created, ended } = self;
        let has_ended = |session: &&SessionData| ended.contains(&session.session_id);
        let place = |session: &SessionData| (session.last_activity, order.get(&session.session_id).copied());
        let oldest_kept = before.iter().filter(|session| !has_ended(session)).map(place).min();
        let latest_ended = before.iter().filter(has_ended).map(place).max();
        let of = |sessions: &[SessionData]| -> HashSet<SessionId> {
            sessions.iter().map(|session| session.session_id.clone()).collect()
        };
        let (known, now) = (of(before), of(after));
        let expected: HashSet<SessionId> =
            known.iter().filter(|id| !ended.contains(id)).chain(created).cloned().collect();
        let over = (before.len() + 1).saturating_sub(limit.max);
        if created.as_ref().is_some_and(|new| ended.contains(new) || !now.contains(new)) {
            Some("the new session has ended for itself".to_owned())
        } else if now != expected {
            Some(format!("{} sessions are left of {}, and {} should be", now.len(), known.len(), expected.len()))
        } else if created.is_some() && now.len() > limit.max {
            Some(format!("there are {} sessions", now.len()))
        } else if latest_ended > oldest_kept && oldest_kept.is_some() {
            Some(format!("one has ended that was used last at {latest_ended:?}, and one of {oldest_kept:?} was kept"))
        } else if limit.when_full == WhenFull::EvictOldest && created.is_some() && ended.len() != over {
            Some(format!("{} have ended, and {over} had to", ended.len()))
        } else if limit.when_full == WhenFull::Deny && (!ended.is_empty() || created.is_some() != (over == 0)) {
            Some(format!("{} have ended, and there was room: {}", ended.len(), over == 0))
        } else {
            None
        }
    }
}

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
