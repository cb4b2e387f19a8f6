//! What the sidecar has answered about single tokens, and for how long the feed keeps it true.
//!
//! An answer says how things stood when it was written; what has changed since is in the feed. So it
//! holds for as long as the feed is current, in the epoch in which the question was sent: only a
//! session's idle time runs out unsaid.

use std::{collections::HashMap, time::Duration};

use session_gate_protocol::{CheckedSession, Fingerprint, UnixSeconds};

/// Answers that are remembered at most. One that was forgotten is only asked for again.
const MAX_ANSWERS: usize = 10_000;
/// Opaque tokens that do not exist, likewise.
const MAX_UNKNOWN: usize = 1_000;
/// For how long they are known not to.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// The answers of one epoch.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// When a token was last said to be good, by its text.
    tokens: HashMap<Fingerprint, Duration>,
    /// When a session with an idle time-out was last asked about.
    idle: HashMap<Fingerprint, Duration>,
    /// The sessions of users whose tokens name none, by issuer and user.
    sessions: HashMap<Fingerprint, (CheckedSession, Duration)>,
    /// Opaque tokens that do not exist. No epoch makes them.
    unknown: HashMap<Fingerprint, Duration>,
}

impl Answers {
    /// A new epoch: what was answered before is of no use any more.
    pub(super) fn forget(&mut self) {
        *self = Self { unknown: std::mem::take(&mut self.unknown), ..Self::default() };
    }

    /// The token was good when asked about at `asked`.
    pub(super) fn note_token(&mut self, token: Fingerprint, asked: Duration) {
        put(&mut self.tokens, MAX_ANSWERS, token, asked);
    }

    /// Whether the token was asked about.
    pub(super) fn has_token(&self, token: Fingerprint) -> bool {
        self.tokens.contains_key(&token)
    }

    /// The session was live when asked about at `asked`.
    pub(super) fn note_use(&mut self, session: Fingerprint, asked: Duration) {
        put(&mut self.idle, MAX_ANSWERS, session, asked);
    }

    /// Whether the session was asked about so lately that its idle time cannot be over. A quarter of it,
    /// so that the sidecar hears of a busy session well before.
    pub(super) fn is_busy(&self, session: Fingerprint, idle: Duration, monotonic: Duration) -> bool {
        self.idle.get(&session).is_some_and(|asked| monotonic.saturating_sub(*asked) < idle / 4)
    }

    /// That user had this session when asked about at `asked`.
    pub(super) fn note_session(&mut self, user: Fingerprint, session: CheckedSession, asked: Duration) {
        put(&mut self.sessions, MAX_ANSWERS, user, (session, asked));
    }

    /// The session that the user had, where its time cannot be over.
    pub(super) fn session(&self, user: Fingerprint, now: UnixSeconds, monotonic: Duration) -> Option<&CheckedSession> {
        let (session, asked) = self.sessions.get(&user)?;
        let idle = session.idle_timeout.map(Duration::from_secs);
        let is_idle = idle.is_some_and(|idle| monotonic.saturating_sub(*asked) >= idle / 4);
        (now < session.expires_at && !is_idle).then_some(session)
    }

    /// There is no such opaque token.
    pub(super) fn note_unknown(&mut self, token: Fingerprint, monotonic: Duration) {
        put(&mut self.unknown, MAX_UNKNOWN, token, monotonic);
    }

    /// Whether the opaque token is known not to exist.
    pub(super) fn is_unknown(&self, token: Fingerprint, monotonic: Duration) -> bool {
        self.unknown.get(&token).is_some_and(|asked| monotonic.saturating_sub(*asked) < UNKNOWN_FOR)
    }
}

/// Puts a value in; a map that is full begins anew.
fn put<V>(map: &mut HashMap<Fingerprint, V>, most: usize, key: Fingerprint, value: V) {
    if map.len() >= most && !map.contains_key(&key) {
        map.clear();
    }
    map.insert(key, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_grows_without_bound() {
        let mut answers = Answers::default();
        for i in 0..50_000_u64 {
            let key = Fingerprint::of_credential(&i.to_string());
            answers.note_unknown(key, Duration::ZERO);
            answers.note_token(key, Duration::ZERO);
            answers.note_use(key, Duration::ZERO);
        }
        assert!(answers.unknown.len() <= MAX_UNKNOWN);
        assert!(answers.tokens.len() <= MAX_ANSWERS && answers.idle.len() <= MAX_ANSWERS);
        let last = Fingerprint::of_credential("49999");
        assert!(answers.is_unknown(last, Duration::from_secs(9)) && !answers.is_unknown(last, UNKNOWN_FOR));
        answers.forget();
        assert!(!answers.has_token(last) && answers.is_unknown(last, Duration::ZERO));
    }
}
