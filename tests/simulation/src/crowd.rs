//! Users who may have so many sessions and no more: they log in at many places at once, each time with the same limit.
//!
//! Which sessions end for a new one is held against what the store says there was before, in the step that does it; how
//! many there are is counted once more when a login is answered.

use std::collections::{HashMap, HashSet};

use session_gate_protocol::{SessionData, SessionId, WhenFull};
use store_sidecar::store::SessionLimit;

use crate::{numbers::UserNumber, refusal::Refusal};

/// What must have happened in a large run.
pub const NEEDED: [(&str, &str); 5] = [
    ("session limit", "evicted"),
    ("session limit", "evicted by a login that nobody was told of"),
    ("session limit", "logins at once"),
    ("session limit", "refused"),
    ("session limit", "there was room"),
];

/// The first of these users.
pub(crate) const FIRST: UserNumber = 10_000;
/// How many of them there are.
pub(crate) const USERS: UserNumber = 8;
/// How many log in at once at most.
pub(crate) const AT_ONCE: u8 = 8;

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
    pub(crate) order: HashMap<SessionId, usize>,
    /// Those that have ended for others.
    pub(crate) evicted: HashSet<SessionId>,
    /// Those that have ended, for whatever reason.
    pub(crate) gone: HashSet<SessionId>,
    /// For whom, by the new one, which have ended.
    pub(crate) by: HashMap<SessionId, Vec<SessionId>>,
    /// Those of whose end somebody was told before they were known to have begun.
    pub(crate) ended: HashMap<SessionId, Refusal>,
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
    pub(crate) fn wrong(&self, order: &HashMap<SessionId, usize>) -> Option<String> {
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
