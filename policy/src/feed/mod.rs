//! What a worker knows from the change feed, and for how long it may believe it.
//!
//! 1. An answer of the feed, an empty one too, proves that the worker knew everything up to a moment:
//!    when it *sent* the question, less the age of what the sidecar itself knew. Only the worker's own
//!    clock, which never goes back, is used.
//! 2. While the last proof is no older than `max_staleness`, what is not known against a token does not
//!    exist, and the worker decides alone ([`Verdict::Live`]).
//! 3. What is known against a token holds, however old it is. That a suspension was lifted can only be
//!    asked for while the feed is not current, and where nobody answers it holds, too.
//! 4. Of a token issued before the feed began, or within five seconds after, the feed says nothing: it
//!    is asked about. So are tokens whose session may have gone idle, or waited for its second factor.

mod fingerprints;

use std::{collections::HashMap, time::Duration};

use session_gate_protocol::{DenyReason, FeedChange, FeedCursor, FeedEpoch, FeedReply, UnixSeconds};

pub use self::fingerprints::{Fingerprint, Fingerprints};
use crate::{
    call::{Call, CallReply, Sidecar},
    token::VerifiedClaims,
};

/// How soon a question that failed is asked again: the tick decides, so that workers that failed
/// together do not come back together.
const RETRY: Duration = Duration::from_millis(50);
/// How far the clock by which tokens are issued may be ahead of the store's, by which the feed began.
const CLOCK_SKEW_SECONDS: f64 = 5.0;
/// Sessions with an idle time-out whose last question is remembered. One that was forgotten is only
/// asked about again.
const MAX_ASKED: usize = 10_000;

/// What the feed says of a token.
#[derive(Debug)]
pub enum Verdict {
    /// It cannot tell: the sidecar must be asked.
    Ask,
    /// It knows something against the token.
    Deny(DenyReason),
    /// It knows nothing against it, and would know.
    Live(NothingKnown),
}

/// The proof that a feed that is current knows nothing against a token. Made only here.
#[derive(Debug)]
pub struct NothingKnown(());

/// A worker's knowledge of the feed.
#[derive(Debug)]
pub struct Follower {
    /// The worker's name: its own, for as long as it lives.
    worker: String,
    max_staleness: Duration,
    epoch: Option<FeedEpoch>,
    cursor: FeedCursor,
    /// Whether the end of this epoch was reached once: only then is anything proven.
    complete: bool,
    ended: Fingerprints,
    statuses: HashMap<Fingerprint, Status>,
    /// When a session with an idle time-out was last asked about.
    asked: HashMap<Fingerprint, Duration>,
    /// Up to when everything was known, on the worker's clock.
    proven: Option<Duration>,
    /// When the question under way was sent.
    sent: Option<Duration>,
    retry_from: Duration,
}

/// What was told last of whether a session is suspended.
#[derive(Clone, Copy, Debug)]
struct Status {
    is_suspended: bool,
    version: u64,
    until: UnixSeconds,
}

impl Follower {
    /// A follower that knows nothing yet.
    pub fn new(worker: String, max_staleness: Duration) -> Self {
        Self {
            worker,
            max_staleness,
            epoch: None,
            cursor: FeedCursor::START,
            complete: false,
            ended: Fingerprints::default(),
            statuses: HashMap::new(),
            asked: HashMap::new(),
            proven: None,
            sent: None,
            retry_from: Duration::ZERO,
        }
    }

    /// The question that is due, if none is under way.
    pub fn next_call(&mut self, sidecar: &Sidecar, monotonic: Duration) -> Option<Call> {
        if self.sent.is_some() || monotonic < self.retry_from {
            return None;
        }
        self.sent = Some(monotonic);
        let wait = if self.complete { self.max_staleness / 4 } else { Duration::ZERO };
        let epoch = self.epoch.as_ref().map(|epoch| format!("&epoch={}", epoch.id)).unwrap_or_default();
        Some(sidecar.feed(
            &format!(
                "/v1/feed?worker={}&after={}{epoch}&wait_ms={}&max_staleness_ms={}",
                self.worker,
                self.cursor,
                wait.as_millis(),
                self.max_staleness.as_millis(),
            ),
            wait,
        ))
    }

    /// Takes in an answer. `None` where it says nothing; else what has changed, without what was overtaken
    /// before it was told.
    pub fn on_reply(&mut self, reply: &CallReply, now: UnixSeconds, monotonic: Duration) -> Option<Vec<FeedChange>> {
        let sent = self.sent.take();
        let Some((reply, sent)) = reply.json::<FeedReply>().zip(sent) else {
            self.retry_from = monotonic.saturating_add(RETRY);
            return None;
        };
        if self.epoch.as_ref() != Some(&reply.epoch) {
            // The store has lost its data, or this is the first answer: what is known stays known, and
            // nothing is proven before the new epoch is known to its end.
            self.epoch = Some(reply.epoch);
            self.complete = false;
            self.proven = None;
            // A store that was set back may count versions anew.
            self.statuses.values_mut().for_each(|status| status.version = 0);
        }
        self.cursor = reply.cursor;
        let entries = reply.entries.into_iter();
        let changes = entries.filter(|entry| self.apply(&entry.change, entry.until, now)).map(|entry| entry.change);
        let changes = changes.collect();
        if !reply.more {
            self.complete = true;
            let proven = sent.checked_sub(Duration::from_millis(reply.age_ms));
            self.proven = self.proven.max(proven);
        }
        Some(changes)
    }

    /// Answers whether it counts: what has been overtaken does not.
    fn apply(&mut self, change: &FeedChange, until: UnixSeconds, now: UnixSeconds) -> bool {
        match change {
            FeedChange::KeysChanged => {}
            FeedChange::SessionEnded { session_id } => {
                let session = Fingerprint::of_session(session_id.as_str());
                self.statuses.remove(&session);
                self.ended.insert(session, until, now);
            }
            FeedChange::SessionResumed { session_id, version } => {
                let status = Status { is_suspended: false, version: *version, until };
                return self.note_status(Fingerprint::of_session(session_id.as_str()), status, now);
            }
            FeedChange::SessionSuspended { session_id, version } => {
                let status = Status { is_suspended: true, version: *version, until };
                return self.note_status(Fingerprint::of_session(session_id.as_str()), status, now);
            }
            FeedChange::TokenRevoked { token_id } => {
                self.ended.insert(Fingerprint::of_token(token_id.as_str()), until, now);
            }
        }
        true
    }

    fn note_status(&mut self, session: Fingerprint, status: Status, now: UnixSeconds) -> bool {
        if self.statuses.get(&session).is_some_and(|known| known.version > status.version) {
            return false;
        }
        if self.statuses.len() == self.statuses.capacity() {
            self.statuses.retain(|_, known| known.until > now);
        }
        self.statuses.insert(session, status);
        true
    }

    /// How old the last proof is; `None`: nothing was ever proven.
    pub fn age(&self, monotonic: Duration) -> Option<Duration> {
        self.proven.map(|proven| monotonic.saturating_sub(proven))
    }

    /// Whether what is not known does not exist.
    pub fn is_current(&self, monotonic: Duration) -> bool {
        self.complete && self.age(monotonic).is_some_and(|age| age <= self.max_staleness)
    }

    /// What the feed says of a token of the sidecar's own.
    pub fn judge(&self, claims: &VerifiedClaims, monotonic: Duration) -> Verdict {
        if claims.token_id().is_some_and(|token| self.ended.contains(Fingerprint::of_token(token))) {
            return Verdict::Deny(DenyReason::TokenRevoked);
        }
        let session = claims.session_id().map(Fingerprint::of_session);
        if session.is_some_and(|session| self.ended.contains(session)) {
            return Verdict::Deny(DenyReason::SessionTerminated);
        }
        if !self.is_current(monotonic) || claims.is_pending_2fa() || !self.covers(claims) {
            return Verdict::Ask;
        }
        if self.suspends(claims) {
            return Verdict::Deny(DenyReason::SessionSuspended);
        }
        match (claims.idle_timeout(), session) {
            (Some(idle), Some(session)) if !self.was_asked(session, idle, monotonic) => Verdict::Ask,
            _ => Verdict::Live(NothingKnown(())),
        }
    }

    /// Whether the last that was heard of the token's session is that it is suspended.
    pub fn suspends(&self, claims: &VerifiedClaims) -> bool {
        let session = claims.session_id().map(Fingerprint::of_session);
        session.and_then(|session| self.statuses.get(&session)).is_some_and(|status| status.is_suspended)
    }

    /// Whether the feed would know of everything that happened to a token.
    fn covers(&self, claims: &VerifiedClaims) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "exact for the next 285 million years")]
        let begins = self.epoch.as_ref().map(|epoch| epoch.since.0 as f64);
        begins.zip(claims.issued_at()).is_some_and(|(begins, issued)| issued >= begins + CLOCK_SKEW_SECONDS)
    }

    /// Whether the sidecar was asked about the session so lately that its idle time cannot be over. A
    /// quarter of it, so that the sidecar hears of a busy session well before.
    fn was_asked(&self, session: Fingerprint, idle: Duration, monotonic: Duration) -> bool {
        self.asked.get(&session).is_some_and(|asked| monotonic.saturating_sub(*asked) < idle / 4)
    }

    /// The sidecar has said that the session is live.
    pub fn note_live(&mut self, claims: &VerifiedClaims, monotonic: Duration) {
        if let (Some(_), Some(session)) = (claims.idle_timeout(), claims.session_id()) {
            if self.asked.len() >= MAX_ASKED {
                self.asked.clear();
            }
            self.asked.insert(Fingerprint::of_session(session), monotonic);
        }
    }
}

#[cfg(test)]
mod tests;
