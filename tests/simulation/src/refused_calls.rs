//! Calls while the store accepts no changes.

use std::time::Duration;

use crate::{
    clients::{ClientCall, Kind},
    clocks::Millis,
    promise::{Promise, Violation},
    store::refusing::{Does, Refused},
    world::World,
};

impl Kind {
    /// What it does to the store.
    const fn does(self) -> Does {
        match self {
            Self::Annotate
            | Self::Elevate
            | Self::Guess
            | Self::Login
            | Self::LoginByDevice
            | Self::Refresh
            | Self::Renew
            | Self::Resume
            | Self::Unlock => Does::Add,
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
        self.refusals.begin(refused, self.now, until);
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
