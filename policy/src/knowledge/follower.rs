//! What is known from the change feed, and for how long it is to be believed.
//!
//! Each answer of the feed, an empty one too, proves that its receiver knows everything that was known
//! to the sidecar when it wrote it, and to the store `age_ms` before that. The worker measures from
//! when it *sent* the question, by its own clock. So:
//!
//! 1. **What is known against a token holds**, however old the knowledge is
//!    ([`Revocations`]). That a suspension was lifted can be asked for while the
//!    feed is not current; where nobody replies, it holds.
//! 2. **What is not known against it holds for `max_staleness`** after the moment that the last reply proved.
//! 3. **The feed says nothing of tokens from before it began** ([`FeedEpoch::since`]): about each of
//!    these the sidecar is asked once (`check_cache`). So it is about tokens whose session may have gone
//!    idle, now and then, and about those of sessions that wait for their second factor, always.
//! 4. **A new epoch leaves what is known**, and proves nothing before it was read to its end.
//!
//! What follows for a request is [`super::standing()`]'s business.

use std::{rc::Rc, time::Duration};

use session_gate_protocol::{CheckedSession, CounterId, FeedCursor, FeedEpoch, FeedReply, Fingerprint, UnixSeconds};
use session_gate_revocation::{Revocations, SessionScopes};

use super::{
    Changes, Identity, ServedSession,
    check_cache::{CheckCache, REMEMBERED_FOR},
};
use crate::{
    host::ClientInfo,
    ids::QuestionId,
    sidecar::{
        client::{Call, CallReply, Sidecar},
        in_flight::Asked,
    },
    time::Now,
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

/// What the sidecar has said of a token that is good.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// Its session.
    pub session: Option<&'a CheckedSession>,
    /// Whether that it was asked was a use of the session.
    pub is_use: bool,
    /// When it was asked.
    pub asked: &'a Asked,
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
    /// What has been taken back.
    revocations: Revocations,
    checked: CheckCache,
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
            revocations: Revocations::default(),
            checked: CheckCache::default(),
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
        let mut changes = Changes::default();
        if self.age(now.monotonic).is_some_and(|age| age >= REMEMBERED_FOR) {
            // Of what has happened meanwhile the feed does not tell all any more.
            self.checked.forget();
            changes.unheard = true;
        }
        if self.epoch.as_ref() != Some(&reply.epoch) {
            // The store has lost its data, or this is the first reply: what is known stays known, and
            // nothing is proven before the new epoch is known to its end.
            changes.unheard |= self.epoch.is_some();
            self.epoch = Some(reply.epoch);
            self.complete = false;
            self.proven = None;
            self.checked.forget();
            self.revocations.forget_versions();
        }
        changes.touched.extend(reply.ended.0.iter().map(|(ended, _)| *ended));
        self.revocations.end(&reply.ended, now.wall);
        for entry in reply.entries {
            // Of what was overtaken, too: what the sidecar has said of a later version has ended no stream.
            changes.note(&entry.change);
            self.revocations.apply(entry.change, entry.until, now.wall);
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
    pub fn is_current(&self, now: Now) -> bool {
        self.complete
            && self.age(now.monotonic).is_some_and(|age| age <= self.max_staleness)
            && !self.revocations.is_ignorant(now.wall)
    }

    /// The epoch that is known.
    pub fn epoch(&self) -> Option<&str> {
        self.epoch.as_ref().map(|epoch| epoch.id.as_str())
    }

    // What it says.

    /// What has been taken back, as far as is known.
    pub const fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// How many requests the quotas of a limit allow that key, where it is not what the limit says.
    pub fn limit_of(&self, counter: &CounterId, now: UnixSeconds) -> Option<&[u64]> {
        self.revocations.limit_of(counter, now)
    }

    /// Whether the client is on the denylist.
    pub fn blocks(&self, client: &ClientInfo<'_>, now: UnixSeconds) -> bool {
        self.revocations.rules().blocks(|| client.address(), client.user_agent, now)
    }

    /// Whether all is known that the sidecar could say of an identity: nothing happened to it that the feed would not
    /// tell, or the sidecar has been asked since.
    pub fn covers(&self, token: TokenText<'_>, identity: &Identity, now: Now) -> bool {
        if !self.is_current(now) {
            return false;
        }
        if identity.confirmed.as_ref().is_some_and(|asked| self.believes(asked, now.monotonic)) {
            return true;
        }
        !identity.is_pending_2fa
            && self.is_younger_or_checked(token, &identity.claims)
            && self.is_known_to_be_busy(identity, now.monotonic)
    }

    /// Whether what the sidecar said when it was asked then is still believed.
    fn believes(&self, asked: &Asked, monotonic: Duration) -> bool {
        asked.epoch.as_deref() == self.epoch() && monotonic.saturating_sub(asked.at) <= self.max_staleness
    }

    /// Whether the feed would know of everything that happened to a token: it was issued since the feed
    /// began, or asked about since then.
    fn is_younger_or_checked(&self, token: TokenText<'_>, claims: &VerifiedClaims) -> bool {
        let begins = self.epoch.as_ref().map(|epoch| epoch.since.as_f64());
        let is_younger =
            begins.zip(claims.issued_at()).is_some_and(|(begins, issued)| issued >= begins + CLOCK_SKEW_SECONDS);
        is_younger || self.checked.has_token(token.fingerprint())
    }

    /// Whether the session cannot have gone idle.
    fn is_known_to_be_busy(&self, identity: &Identity, monotonic: Duration) -> bool {
        let session = identity.claims.own_session().map(|(_, names)| names.session);
        match (identity.claims.idle_timeout(), session) {
            (Some(idle), Some(session)) => self.checked.is_busy(session, idle, monotonic),
            _ => true,
        }
    }

    /// The session that another issuer's token is served in, where the sidecar has named it and its time cannot be
    /// over.
    pub fn session_of(&self, claims: &VerifiedClaims, now: Now) -> Option<&Rc<ServedSession>> {
        let named = claims.named_session().map(|(_, name)| name);
        let session = self.checked.session(claims.names().account, named, now.wall, now.monotonic)?;
        // Its user may have another that is active: the sidecar is asked which.
        let is_suspended = named.is_none() && self.revocations.is_suspended(session.names.session);
        (!self.revocations.has_ended(&session.names) && !is_suspended).then_some(session)
    }

    /// What was said last of the scopes of an identity's session: by the sidecar when it was asked, or by the feed.
    pub fn scopes_of<'a>(&'a self, identity: &'a Identity) -> Option<&'a SessionScopes> {
        let said = identity.session.as_ref().and_then(|session| session.scopes.as_ref());
        let known = identity.session_name().and_then(|session| self.revocations.scopes_of(session));
        let is_overtaken =
            |known: &&SessionScopes| self.version_said(identity).is_some_and(|said| said > known.version);
        known.filter(|known| said.is_none() || !is_overtaken(known)).or(said)
    }

    /// Whether an identity's session is suspended, as far as is known, and the sidecar has said nothing later.
    pub fn is_suspended(&self, identity: &Identity) -> bool {
        let known = identity.session_name().and_then(|session| self.revocations.suspension(session));
        let is_overtaken = |version| self.version_said(identity).is_some_and(|said| said > version);
        known.is_some_and(|(version, is_suspended)| is_suspended && !is_overtaken(version))
    }

    /// Of which version of its session the sidecar has spoken when it was asked about an identity. In another epoch
    /// versions were counted otherwise: then of none that counts.
    fn version_said(&self, identity: &Identity) -> Option<u64> {
        let session = identity.session.as_ref().filter(|session| session.said_in.as_deref() == self.epoch())?;
        session.scopes.as_ref().map(|said| said.version)
    }

    /// Whether the opaque token is known not to exist.
    pub fn is_unknown(&self, token: TokenText<'_>, monotonic: Duration) -> bool {
        self.checked.is_unknown(token.fingerprint(), monotonic)
    }

    // What the sidecar has said.

    /// The token and its session are good, said the sidecar: not of a session that waits for its second factor.
    pub fn note_live(&mut self, token: TokenText<'_>, claims: &VerifiedClaims, said: &Said<'_>, now: UnixSeconds) {
        let Said { session, is_use, asked } = said;
        if self.epoch.is_none() || self.epoch() != asked.epoch.as_deref() {
            // It holds for its request alone: versions of another epoch say nothing in this one.
            return;
        }
        if let Some(CheckedSession { session_id, expires_at, scopes, version, .. }) = session {
            self.revocations.note_served(session_id, *version, *expires_at, now);
            if scopes.is_some() {
                let scopes = SessionScopes { version: *version, scopes: scopes.clone() };
                self.revocations.note_scopes(session_id, scopes, *expires_at, now);
            }
        }
        if !self.is_younger_or_checked(token, claims) {
            self.checked.note_token(token.fingerprint(), asked.at);
        }
        // A session that was only looked at may go idle at any moment.
        let may_go_idle = || session.is_some_and(|session| session.idle_timeout.is_some());
        if !is_use && (claims.idle_timeout().is_some() || may_go_idle()) {
            return;
        }
        if let (Some(_), Some((_, names))) = (claims.idle_timeout(), claims.own_session()) {
            self.checked.note_use(names.session, asked.at);
        }
        if let (Revocation::Feed, Some(session)) = (claims.revocation(), session) {
            let served = Rc::new(ServedSession::checked(session, claims.subject().as_str(), asked.epoch.clone()));
            let idle = served.idle_timeout;
            let named = claims.named_session().map(|(_, name)| name);
            self.checked.note_session(claims.names().account, named, served, idle, asked.at);
        }
    }

    /// There is no such opaque token.
    pub fn note_unknown(&mut self, token: TokenText<'_>, monotonic: Duration) {
        self.checked.note_unknown(token.fingerprint(), monotonic);
    }
}
