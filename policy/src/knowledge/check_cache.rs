//! What the sidecar has said about single tokens, and for how long the feed keeps it true.
//!
//! A reply says how things stood when it was written; what has changed since is in the feed. So it
//! holds for as long as the feed is current, in the epoch in which the question was sent: only a
//! session's idle time runs out unsaid.

use std::{rc::Rc, time::Duration};

use session_gate_protocol::{Fingerprint, UnixSeconds};

use super::ServedSession;
use crate::generations::Generations;

/// Replies that are remembered at most. One that was forgotten is only asked for again.
const MAX_REPLIES: usize = 10_000;
/// Opaque tokens that do not exist, likewise.
const MAX_UNKNOWN: usize = 1_000;
/// For how long they are known not to.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// For how long a session that other issuers' tokens are served in is remembered: less than any entry of the feed lives,
/// which are as long as a token of the sidecar's and five minutes more, and these live for an hour at the least. What
/// has ended a session longer ago, a worker may not know any more.
pub(super) const REMEMBERED_FOR: Duration = Duration::from_secs(3600);

/// The replies of one epoch.
#[derive(Debug)]
pub(super) struct CheckCache {
    /// When a token was last said to be good, by its text.
    tokens: Generations<Fingerprint, Duration>,
    /// When a session with an idle time-out was last asked about.
    idle: Generations<Fingerprint, Duration>,
    /// The sessions that other issuers' tokens are served in, by issuer and user, and the session that the token names.
    sessions: Generations<(Fingerprint, Option<Fingerprint>), Known>,
    /// Opaque tokens that do not exist. No epoch makes them.
    unknown: Generations<Fingerprint, Duration>,
}

/// A session that was live when asked about.
#[derive(Debug)]
struct Known {
    session: Rc<ServedSession>,
    idle: Option<Duration>,
    asked: Duration,
}

impl Default for CheckCache {
    fn default() -> Self {
        Self {
            tokens: Generations::new(MAX_REPLIES),
            idle: Generations::new(MAX_REPLIES),
            sessions: Generations::new(MAX_REPLIES),
            unknown: Generations::new(MAX_UNKNOWN),
        }
    }
}

impl CheckCache {
    /// A new epoch: what was said before is of no use any more.
    pub(super) fn forget(&mut self) {
        let Self { unknown, .. } = std::mem::take(self);
        self.unknown = unknown;
    }

    /// The token was good when asked about at `asked`.
    pub(super) fn note_token(&mut self, token: Fingerprint, asked: Duration) {
        self.tokens.insert(token, asked);
    }

    /// Whether the token was asked about.
    pub(super) fn has_token(&self, token: Fingerprint) -> bool {
        self.tokens.get(&token).is_some()
    }

    /// The session was live when asked about at `asked`.
    pub(super) fn note_use(&mut self, session: Fingerprint, asked: Duration) {
        self.idle.insert(session, asked);
    }

    /// Whether the session was asked about so lately that its idle time cannot be over. A quarter of it,
    /// so that the sidecar learns of a busy session well before.
    pub(super) fn is_busy(&self, session: Fingerprint, idle: Duration, monotonic: Duration) -> bool {
        self.idle.get(&session).is_some_and(|asked| monotonic.saturating_sub(*asked) < idle / 4)
    }

    /// Tokens of that user that name `named` were served in this session when asked about at `asked`.
    pub(super) fn note_session(
        &mut self,
        user: Fingerprint,
        named: Option<Fingerprint>,
        session: Rc<ServedSession>,
        idle: Option<Duration>,
        asked: Duration,
    ) {
        self.sessions.insert((user, named), Known { session, idle, asked });
    }

    /// The session that they were served in, where its time cannot be over.
    pub(super) fn session(
        &self,
        user: Fingerprint,
        named: Option<Fingerprint>,
        now: UnixSeconds,
        monotonic: Duration,
    ) -> Option<&Rc<ServedSession>> {
        let Known { session, idle, asked } = self.sessions.get(&(user, named))?;
        let age = monotonic.saturating_sub(*asked);
        let is_old = age >= idle.map_or(REMEMBERED_FOR, |idle| REMEMBERED_FOR.min(idle / 4));
        let has_expired = session.ends.is_some_and(|ends| now >= ends);
        (!has_expired && !is_old).then_some(session)
    }

    /// There is no such opaque token.
    pub(super) fn note_unknown(&mut self, token: Fingerprint, monotonic: Duration) {
        self.unknown.insert(token, monotonic);
    }

    /// Whether the opaque token is known not to exist.
    pub(super) fn is_unknown(&self, token: Fingerprint, monotonic: Duration) -> bool {
        self.unknown.get(&token).is_some_and(|asked| monotonic.saturating_sub(*asked) < UNKNOWN_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_unknown_tokens_outlasts_an_epoch_and_its_time_does_not() {
        let mut cache = CheckCache::default();
        let key = Fingerprint::of_credential("a");
        cache.note_unknown(key, Duration::ZERO);
        cache.note_token(key, Duration::ZERO);
        assert!(cache.is_unknown(key, Duration::from_secs(9)) && !cache.is_unknown(key, UNKNOWN_FOR));
        cache.forget();
        assert!(!cache.has_token(key) && cache.is_unknown(key, Duration::ZERO));
    }
}
