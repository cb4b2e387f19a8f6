//! Which sessions logins are about to end or have ended, until everybody has been told.

use std::collections::BTreeMap;
use std::time::Duration;

use session_gate_protocol::{UnixSeconds, UserId};

use crate::store::{EndedSession, OperationId, Untold};

#[derive(Debug, Default)]
pub(super) struct Evictions {
    /// In one order, whoever asks.
    noted: BTreeMap<OperationId, Noted>,
}

#[derive(Debug)]
struct Noted {
    user: UserId,
    at: UnixSeconds,
    ended: Vec<EndedSession>,
}

impl Evictions {
    pub(super) fn note(&mut self, user: &UserId, op: OperationId, now: UnixSeconds) {
        self.entry(user, op, now).at = now;
    }

    pub(super) fn add(&mut self, user: &UserId, op: OperationId, ended: EndedSession, now: UnixSeconds) {
        self.entry(user, op, now).ended.push(ended);
    }

    fn entry(&mut self, user: &UserId, op: OperationId, now: UnixSeconds) -> &mut Noted {
        self.noted.entry(op).or_insert_with(|| Noted { user: user.clone(), at: now, ended: Vec::new() })
    }

    /// What that operation has ended, and nobody may have been told of.
    pub(super) fn of(&self, op: OperationId) -> Vec<EndedSession> {
        self.noted.get(&op).map(|noted| noted.ended.clone()).unwrap_or_default()
    }

    pub(super) fn forget(&mut self, op: OperationId) {
        self.noted.remove(&op);
    }

    pub(super) fn overdue(&self, now: UnixSeconds, age: Duration) -> Vec<Untold> {
        let overdue = self.noted.iter().filter(|(_, noted)| now.since(noted.at) >= age);
        let untold = |(op, noted): (&OperationId, &Noted)| Untold {
            user: noted.user.clone(),
            op: *op,
            ended: noted.ended.clone(),
        };
        overdue.map(untold).collect()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.noted.is_empty()
    }
}
