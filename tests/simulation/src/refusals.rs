//! When the store has accepted no changes, and what it must do all the same: `docs/failure-modes.md` says so.

use std::time::Duration;

use crate::{
    clients::{ClientCall, Kind},
    clocks::Millis,
    promise::{Promise, Violation},
    store::refusing::{Does, Refused},
    world::World,
};

/// When the store last accepted nothing, and when nothing that takes room.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Refusals {
    all: Option<(Millis, Millis)>,
    new: Option<(Millis, Millis)>,
}

impl Refusals {
    /// Whether it is so now.
    pub(crate) fn is_on(self, now: Millis) -> bool {
        [self.all, self.new].into_iter().flatten().any(|(_, until)| now < until)
    }

    /// It is over now, if it was not before.
    pub(crate) fn end(&mut self, now: Millis) {
        [&mut self.all, &mut self.new].into_iter().flatten().for_each(|(_, until)| *until = now.min(*until));
    }

    /// Whether something that began then may have been refused.
    pub(crate) fn may_concern(self, does: Does, since: Millis) -> bool {
        let is_meant = |refused: Refused, when: Option<(Millis, Millis)>| {
            refused.concerns(does) && when.is_some_and(|(_, until)| since <= until)
        };
        is_meant(Refused::All, self.all) || is_meant(Refused::New, self.new)
    }

    /// Whether a sidecar that started then may not know by now of those whom others have answered while the store
    /// accepted nothing: `docs/guarantees.md` says so.
    pub(crate) fn blinds(self, started: Millis, now: Millis, staleness: Millis) -> bool {
        self.all.is_some_and(|(from, until)| started >= from && now < until + 1_000 + staleness.saturating_mul(2))
    }
}

impl Kind {
    /// What it does to the store.
    const fn does(self) -> Does {
        match self {
            Self::Login | Self::Resume => Does::Add,
            Self::Mint | Self::UserToken => Does::Read,
            _ => Does::TakeBack,
        }
    }
}

impl World {
    /// From now on the store accepts no changes for so long, unless it does not already.
    pub(crate) fn refuse_changes(&mut self, refused: Refused, until: Millis) {
        if self.refusals.is_on(self.now) {
            return;
        }
        let when = Some((self.now, until));
        match refused {
            Refused::All => self.refusals.all = when,
            Refused::New => self.refusals.new = when,
        }
        self.store.refusing.begin(refused, Duration::from_millis(until.saturating_sub(self.now)));
    }

    /// The store accepts changes again.
    pub(crate) fn accept_changes(&mut self) {
        self.refusals.end(self.now);
        self.store.refusing.end();
    }

    /// A call was answered with that status. Where nothing else is ever wrong it fails only if the store has refused it.
    pub(crate) fn judge_status(&mut self, call: &ClientCall, status: u16, begun: Millis) {
        let is_refused = self.refusals.may_concern(call.kind.does(), begun);
        let is_during = !is_refused && self.refusals.is_on(self.now);
        if is_during && call.kind.takes_back() && status < 300 {
            self.counts.one("store", "full, and takes back");
        }
        if is_refused && status == 503 {
            self.counts.one("store", "changes refused");
        }
        if status < 500 || is_refused || !self.is_healthy() {
            return;
        }
        self.judge(Err(Violation {
            promise: Promise::Accepted,
            text: format!("{} was answered {status}", call.kind),
            session: call.session,
            key: None,
            worker: 0,
        }));
    }
}
