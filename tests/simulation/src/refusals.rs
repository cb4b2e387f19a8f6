//! When the store has accepted no changes, and what it must do all the same: `docs/failure-modes.md` says so.

use crate::{
    clocks::Millis,
    store::refusing::{Does, Refused},
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

    /// From now on it is so until then.
    pub(crate) fn begin(&mut self, refused: Refused, now: Millis, until: Millis) {
        let when = match refused {
            Refused::All => &mut self.all,
            Refused::New => &mut self.new,
        };
        *when = Some((now, until));
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
