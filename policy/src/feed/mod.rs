//! What is known from the change feed, and for how long it is to be believed.
//!
//! Each answer of the feed, an empty one too, proves that its receiver knows everything that was known
//! to the sidecar when it wrote it, and to the store `age_ms` before that. The worker measures from
//! when it *sent* the question, by its own clock. So:
//!
//! 1. **What is known against a token holds**, however old the knowledge is ([`Knowledge`]). That a
//!    suspension was lifted can be asked for while the feed is not current; where nobody answers, it holds.
//! 2. **What is not known against it holds for `max_staleness`** after the moment that the last answer
//!    proved. Later, [`Verdict::Ask`].
//! 3. **The feed says nothing of tokens from before it began** ([`FeedEpoch::since`]): about each of
//!    these the sidecar is asked once (`answers`). So it is about tokens whose session may have gone
//!    idle, now and then, and about those of sessions that wait for their second factor, always.
//! 4. **A new epoch leaves what is known**, and proves nothing before it was read to its end.

mod answers;
mod expiring;
mod fingerprints;
mod knowledge;
mod rules;

use std::{collections::HashSet, time::Duration};

use session_gate_protocol::{
    CheckedSession, CounterId, DenyReason, FeedChange, FeedCursor, FeedEpoch, FeedReply, Fingerprint, Rule, Scopes,
    UnixSeconds,
};

use self::answers::Answers;
pub use self::{
    fingerprints::Fingerprints,
    knowledge::Knowledge,
    rules::{Cleared, Rules},
};
use crate::{
    call::{Call, CallReply, Sidecar},
    host::Visitor,
    now::Now,
    token::{Revocation, TokenText, VerifiedClaims},
};

/// Between a question that failed and the next, from the second failure on: up to twice as long,
/// differently for each worker, so that those that failed together do not come back together.
const RETRY: Duration = Duration::from_millis(50);
/// How long after its time-out a question is given up of which the host has brought no word: the
/// configuration that sent it is gone.
const LOST_AFTER: Duration = Duration::from_millis(200);
/// How far the clock by which tokens are issued may be ahead of the store's, by which the feed began.
const CLOCK_SKEW_SECONDS: f64 = 5.0;

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

/// When a question was sent, and what was known of the feed by then: the answer is no older.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// When, on the worker's clock.
    pub at: Duration,
    /// The epoch that was known.
    pub epoch: Option<String>,
}

/// Numbers the questions, so that an answer is taken for that of its own.
pub type QuestionId = u64;

/// What has changed: for the open streams of every configuration that shares the knowledge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The signing keys.
    pub keys: bool,
    /// Sessions and tokens that are not served any more, or permit something else.
    pub touched: HashSet<Fingerprint>,
    /// What is refused beyond these: any stream may be meant.
    pub rules: bool,
}

/// A worker's knowledge of the feed. Shared by all configurations of one VM that use the same sidecar.
#[derive(Debug)]
pub struct Follower {
    /// The worker's name: its own, for as long as it lives.
    worker: String,
    max_staleness: Duration,
    epoch: Option<FeedEpoch>,
    cursor: FeedCursor,
    /// Whether the end of this epoch was reached once: only then is anything proven.
    complete: bool,
    knowledge: Knowledge,
    answers: Answers,
    /// Up to when everything was known, on the worker's clock.
    proven: Option<Duration>,
    /// The question under way.
    asked: Option<Question>,
    questions: QuestionId,
    retry_from: Duration,
    failures: u32,
}

#[derive(Debug)]
struct Question {
    id: QuestionId,
    sent: Duration,
    /// When it is given up.
    lost: Duration,
}

impl Follower {
    /// A follower that knows nothing yet. `worker` is its name for the sidecar: 1 to 64 visible ASCII
    /// characters that need no encoding in a query.
    pub fn new(worker: String, max_staleness: Duration) -> Self {
        Self {
            worker,
            max_staleness,
            epoch: None,
            cursor: FeedCursor::START,
            complete: false,
            knowledge: Knowledge::default(),
            answers: Answers::default(),
            proven: None,
            asked: None,
            questions: 0,
            retry_from: Duration::ZERO,
            failures: 0,
        }
    }

    /// A new configuration wants the knowledge believed for so long.
    pub fn set_max_staleness(&mut self, max_staleness: Duration) {
        self.max_staleness = max_staleness;
    }

    /// For how long it is believed.
    pub fn max_staleness(&self) -> Duration {
        self.max_staleness
    }

    // Asking and being answered.

    /// The question that is due, if none is under way.
    pub fn next_call(&mut self, sidecar: &Sidecar, monotonic: Duration) -> Option<(QuestionId, Call)> {
        let is_asked = self.asked.as_ref().is_some_and(|question| monotonic < question.lost);
        if is_asked || monotonic < self.retry_from {
            return None;
        }
        let wait = if self.complete { self.max_staleness / 4 } else { Duration::ZERO };
        let epoch = self.epoch.as_ref().map(|epoch| format!("&epoch={}", epoch.id)).unwrap_or_default();
        let call = sidecar.feed(
            &format!(
                "/v1/feed?worker={}&after={}{epoch}&wait_ms={}&max_staleness_ms={}",
                self.worker,
                self.cursor,
                wait.as_millis(),
                self.max_staleness.as_millis(),
            ),
            wait,
        );
        self.questions += 1;
        let lost = monotonic.saturating_add(call.timeout).saturating_add(LOST_AFTER);
        self.asked = Some(Question { id: self.questions, sent: monotonic, lost });
        Some((self.questions, call))
    }

    /// Takes in an answer. `None` where it says nothing; else what has changed.
    pub fn on_reply(&mut self, id: QuestionId, reply: &CallReply, now: Now) -> Option<Changes> {
        let question = self.asked.take_if(|question| question.id == id)?;
        let Some(reply) = reply.json::<FeedReply>() else {
            self.retry_from = now.monotonic.saturating_add(self.pause());
            self.failures = self.failures.saturating_add(1);
            return None;
        };
        self.failures = 0;
        if self.epoch.as_ref() != Some(&reply.epoch) {
            // The store has lost its data, or this is the first answer: what is known stays known, and
            // nothing is proven before the new epoch is known to its end.
            self.epoch = Some(reply.epoch);
            self.complete = false;
            self.proven = None;
            self.answers.forget();
            self.knowledge.forget_versions();
        }
        let mut changes = Changes::default();
        changes.touched.extend(reply.ended.0.iter().map(|(ended, _)| *ended));
        self.knowledge.end(&reply.ended, now.wall);
        for entry in reply.entries {
            let change = entry.change.clone();
            if self.knowledge.apply(entry, now.wall) {
                changes.note(&change);
            }
        }
        self.cursor = reply.cursor;
        if !reply.more {
            self.complete = true;
            let proven = question.sent.checked_sub(Duration::from_millis(reply.age_ms));
            self.proven = self.proven.max(proven);
        }
        Some(changes)
    }

    /// Until the next question after one that failed: none after the first failure, for another replica
    /// may answer at once.
    fn pause(&self) -> Duration {
        if self.failures == 0 {
            return Duration::ZERO;
        }
        let spread = Fingerprint::of_credential(&format!("{}{}", self.worker, self.questions));
        let share = u32::from(spread.bytes().first().copied().unwrap_or_default());
        RETRY.saturating_add(RETRY.saturating_mul(share) / 256)
    }

    #[cfg(test)]
    pub(crate) fn last_question(&self) -> QuestionId {
        self.questions
    }

    // How old it is.

    /// How old the last proof is; `None`: nothing was ever proven.
    pub fn age(&self, monotonic: Duration) -> Option<Duration> {
        self.proven.map(|proven| monotonic.saturating_sub(proven))
    }

    /// Whether what is not known does not exist.
    pub fn is_current(&self, monotonic: Duration) -> bool {
        self.complete && self.age(monotonic).is_some_and(|age| age <= self.max_staleness)
    }

    /// The epoch that is known.
    pub fn epoch(&self) -> Option<&str> {
        self.epoch.as_ref().map(|epoch| epoch.id.as_str())
    }

    // What it says.

    /// Whether some key of some limit is allowed something else than the limit says.
    pub fn has_limits(&self) -> bool {
        self.knowledge.has_limits()
    }

    /// How many requests the quotas of a limit allow that key, where it is not what the limit says.
    pub fn limit_of(&self, counter: &CounterId, now: UnixSeconds) -> Option<&[u64]> {
        self.knowledge.limit_of(counter, now)
    }

    /// Whether the client is on the block list.
    pub fn blocks(&self, visitor: &Visitor<'_>, now: UnixSeconds) -> bool {
        self.knowledge.blocks(visitor, now)
    }

    /// What is known against a token for good: it holds, however old the knowledge is.
    pub fn against(&self, token: TokenText<'_>, claims: &VerifiedClaims, now: UnixSeconds) -> Option<DenyReason> {
        self.knowledge.against(token, claims, now)
    }

    /// What the feed says of a token.
    pub fn judge(&self, token: TokenText<'_>, claims: &VerifiedClaims, now: Now) -> Verdict {
        if let Some(reason) = self.against(token, claims, now.wall) {
            return Verdict::Deny(reason);
        }
        if !self.is_current(now.monotonic) || claims.is_pending_2fa() || !self.covers(token, claims) {
            return Verdict::Ask;
        }
        let session = claims.names().session;
        if let Some(reason) = session.and_then(|session| self.against_session(session, now.monotonic)) {
            return Verdict::Deny(reason);
        }
        match (claims.idle_timeout(), session) {
            (Some(idle), Some(session)) if !self.answers.is_busy(session, idle, now.monotonic) => Verdict::Ask,
            _ => Verdict::Live(NothingKnown(())),
        }
    }

    /// Whether the feed would know of everything that happened to a token: it was issued since the feed
    /// began, or asked about since then.
    fn covers(&self, token: TokenText<'_>, claims: &VerifiedClaims) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "exact for the next 285 million years")]
        let begins = self.epoch.as_ref().map(|epoch| epoch.since.0 as f64);
        let is_younger =
            begins.zip(claims.issued_at()).is_some_and(|(begins, issued)| issued >= begins + CLOCK_SKEW_SECONDS);
        is_younger || self.answers.has_token(token.fingerprint())
    }

    /// What a token permits, where that is not what it says; `asked` is what the sidecar has just said of
    /// its session.
    pub fn scopes(&self, claims: &VerifiedClaims, asked: Option<&CheckedSession>) -> Option<Scopes> {
        self.knowledge.scopes(claims, asked)
    }

    /// The session of a user whose token names none, where the sidecar has named it and the feed would
    /// know of its end.
    pub fn session_of_user(&self, claims: &VerifiedClaims, now: Now) -> Option<&CheckedSession> {
        let session = self.answers.session(claims.names().account, now.wall, now.monotonic)?;
        let name = Fingerprint::of_session(session.session_id.as_str());
        self.against_session(name, now.monotonic).is_none().then_some(session)
    }

    /// Whether the last that was heard of a session is that it is suspended.
    pub fn suspends(&self, session: Fingerprint) -> bool {
        self.knowledge.is_suspended(session)
    }

    /// Whether the last that was heard of a session is that it has ended or is suspended.
    pub fn takes_back(&self, session: Fingerprint) -> bool {
        self.knowledge.has_ended(session) || self.suspends(session)
    }

    /// What is known against a session. That it is suspended holds only while the feed is current: it may
    /// have been resumed, and the sidecar can be asked.
    pub fn against_session(&self, session: Fingerprint, monotonic: Duration) -> Option<DenyReason> {
        if self.knowledge.has_ended(session) {
            Some(DenyReason::SessionTerminated)
        } else if self.is_current(monotonic) && self.knowledge.is_suspended(session) {
            Some(DenyReason::SessionSuspended)
        } else {
            None
        }
    }

    /// Whether the opaque token is known not to exist.
    pub fn is_unknown(&self, token: TokenText<'_>, monotonic: Duration) -> bool {
        self.answers.is_unknown(token.fingerprint(), monotonic)
    }

    // What the sidecar has answered.

    /// The token and its session are good, said the sidecar.
    pub fn note_live(
        &mut self,
        token: TokenText<'_>,
        claims: &VerifiedClaims,
        session: Option<&CheckedSession>,
        asked: &Asked,
        now: UnixSeconds,
    ) {
        if let Some(session) = session {
            self.knowledge.note_session(session, now);
        }
        if self.epoch.is_none() || self.epoch() != asked.epoch.as_deref() {
            return;
        }
        let asked = asked.at;
        if !self.covers(token, claims) {
            self.answers.note_token(token.fingerprint(), asked);
        }
        if let (Some(_), Some(session)) = (claims.idle_timeout(), claims.names().session) {
            self.answers.note_use(session, asked);
        }
        if let (Revocation::Feed, Some(session)) = (claims.revocation(), session) {
            self.answers.note_session(claims.names().account, session.clone(), asked);
        }
    }

    /// There is no such opaque token.
    pub fn note_unknown(&mut self, token: TokenText<'_>, monotonic: Duration) {
        self.answers.note_unknown(token.fingerprint(), monotonic);
    }
}

impl Changes {
    /// Whether there is nothing that an open stream could be ended for.
    pub fn spares_streams(&self) -> bool {
        self.touched.is_empty() && !self.rules
    }

    fn note(&mut self, change: &FeedChange) {
        match change {
            FeedChange::KeysChanged => self.keys = true,
            FeedChange::RuleAdded { rule, .. } => self.rules |= !matches!(rule, Rule::Limit { .. }),
            FeedChange::SessionSuspended { session_id, .. } | FeedChange::SessionScopes { session_id, .. } => {
                self.touched.insert(Fingerprint::of_session(session_id.as_str()));
            }
            FeedChange::SessionEnded { .. } | FeedChange::TokenRevoked { .. } => self.touched.extend(change.ended()),
            FeedChange::RuleRemoved { .. } | FeedChange::SessionResumed { .. } => {}
        }
    }
}

#[cfg(test)]
mod kind_tests;
#[cfg(test)]
mod tests;
