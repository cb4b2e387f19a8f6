//! Logins that were refused for want of room, until their user has chosen which session ends.

use session_gate_protocol::{SlotTag, UnixSeconds, UserId};

use super::{Opaque, State, Step};

impl State {
    /// Keeps what a refused login said, under the hash of its handle.
    pub(in crate::store::memory) fn put_takeover(
        &mut self,
        user: &UserId,
        hash: &str,
        login: &str,
        until: UnixSeconds,
    ) {
        let handle = Opaque { tag: SlotTag::of_user(user), hash: hash.to_owned() };
        if let Some((_, before)) = self.takeovers.insert(handle.clone(), (login.to_owned(), until)) {
            self.due.remove(&(before, Step::ForgetTakeover(handle.clone())));
        }
        self.due.insert((until, Step::ForgetTakeover(handle)));
    }

    /// What it said, once.
    pub(in crate::store::memory) fn take_takeover(
        &mut self,
        user: &UserId,
        hash: &str,
        now: UnixSeconds,
    ) -> Option<String> {
        let handle = Opaque { tag: SlotTag::of_user(user), hash: hash.to_owned() };
        let (login, until) = self.takeovers.remove(&handle)?;
        self.due.remove(&(until, Step::ForgetTakeover(handle)));
        (now < until).then_some(login)
    }
}
