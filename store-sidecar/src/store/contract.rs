//! What every store promises.

use std::time::Duration;

use async_trait::async_trait;
use session_gate_protocol::{
    Claims, ETag, FeedCursor, LeaseAsk, OwnToken, SessionData, SessionId, SessionPatch, SessionStatus, SlotTag,
    TokenId, UnixSeconds, UserId,
};

use super::admission::{Admission, Admitted, Untold};
use super::cut_off::{BegunCutOff, IndexPlace, PageAsk, SWEEP_BATCH, SessionPage, Swept};
use super::error::{StoreError, StoreErrorKind};
use super::feed::{FeedPage, FeedPosition, Followers, NewFeedEntry, PublishedFollowers};
use super::idempotency::IdempotencyRecords;
use super::limits::Leased;
use super::lockout::LoginCounters;
use super::operation::OperationId;
use super::refresh::{RefreshPut, RefreshRecord};
use super::renewal::{Renewal, Renewed};
use super::rotation::{Rotated, Rotation};
use super::session::{Checked, CreateSession, LaterVersion, Termination, Update};

/// After how long it is somebody else's turn to tell of what a login has ended. A login notes it anew before half of it
/// has passed.
pub const EVICTIONS_OVERDUE: Duration = Duration::from_secs(4);

/// How the store is, for `/readyz` and the gauges of `/metrics`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// `memory`, `redis` …: which store answers.
    pub backend: &'static str,
    /// Sessions that have not ended, as far as the store counts them cheaply.
    pub active_sessions: Option<u64>,
    /// Bytes that the store's data takes up, where it knows.
    pub memory_bytes: Option<u64>,
    /// Counters of rate limits, where the store counts them cheaply.
    pub counters: Option<u64>,
}

/// Sessions, the token blacklist and the change feed.
///
/// **Whose clock.** Every method that depends on time reads the store's own clock within its atomic
/// step: Redis' `TIME`, so that all sidecars of one Redis agree; the injected
/// [`Clock`](crate::clock::Clock) in the memory store.
///
/// **An operation that is asked for again** is answered as the first time: those that change sessions by their
/// [`OperationId`], unless another has changed the session since; leases by worker and number; all others since doing them
/// twice is doing them once.
///
/// **What ended stays known** for the retention that the store was made with, so that a late request
/// is told `session_terminated` or `session_expired` rather than `session_unknown`.
///
/// # Errors
/// Each method fails with a [`StoreError`] whose [`kind`](StoreError::kind) says whether trying again
/// may help. "Not found" is never an error.
#[async_trait]
pub trait Store: IdempotencyRecords + LoginCounters {
    /// Whether the feed may be away while sessions are not: on a Cluster they are on different nodes.
    fn feed_may_be_away_alone(&self) -> bool {
        false
    }

    /// Stores a new session and answers it as stored: version 1, `active` or `pending_2fa`.
    ///
    /// # Errors
    /// `Conflict` where the id exists already or was made for another user, and where the metadata is
    /// larger than the store's limit: ask [`StoreSettings::metadata_fits`](super::StoreSettings::metadata_fits) first.
    async fn create_session(&self, new: CreateSession, op: OperationId) -> Result<SessionData, StoreError> {
        match self.admit_session(new, &Admission::default(), op).await? {
            Admitted::Created { session, .. } => Ok(session),
            _ => Err(StoreError::new(StoreErrorKind::Conflict, "the user has too many sessions")),
        }
    }

    /// The same where the user may have as many sessions as allowed, or be cut off as the store does not know any
    /// more. What counts and what ends is decided in the step that creates the session, whoever else logs in meanwhile.
    /// Those that do not count have expired, wait for their second factor for too long, or are the one that is replaced.
    /// Of those that count the least recently used end first, and of two the one that was created first.
    ///
    /// Of more than 2,048 sessions those that expire first are looked at.
    async fn admit_session(
        &self,
        new: CreateSession,
        admission: &Admission,
        op: OperationId,
    ) -> Result<Admitted, StoreError>;

    /// Notes that sessions of the user are about to end by that operation, and when: so that somebody tells of them, if
    /// the caller does not live to. To be called again where [`EVICTIONS_OVERDUE`] may have passed before the step.
    async fn note_evictions(&self, user: &UserId, op: OperationId) -> Result<(), StoreError>;

    /// Everybody has been told of what that operation has ended: its notes go.
    async fn evictions_told(&self, user: &UserId, op: OperationId) -> Result<(), StoreError>;

    /// What was noted [`EVICTIONS_OVERDUE`] ago or earlier, a few at a time.
    async fn overdue_evictions(&self) -> Result<Vec<Untold>, StoreError>;

    /// Keeps what a login said that was refused for want of room, under the hash of its handle, for `lifetime`.
    async fn put_takeover(&self, user: &UserId, hash: &str, login: &str, lifetime: Duration) -> Result<(), StoreError>;

    /// Returns it once.
    async fn take_takeover(&self, user: &UserId, hash: &str) -> Result<Option<String>, StoreError>;

    /// Puts a session that may be used under a new id: from the moment this returns no check of the old one says `Live`.
    /// The new one is `active`, begins now, and has all else of the old one, its end and its generation too. Of two
    /// rotations of one session one wins.
    ///
    /// # Errors
    /// `Conflict` where the new id exists already or was made for another user.
    async fn rotate_session(
        &self,
        old: &SessionId,
        rotation: &Rotation,
        op: OperationId,
    ) -> Result<Rotated, StoreError>;

    /// Gives the token of a session that may be used one successor: the candidate, unless it has one already. Of any number of
    /// candidates for one token one wins, and none is stored of a session that has ended. No use of the session.
    async fn renew_token(&self, session: &SessionId, renewal: &Renewal) -> Result<Renewed, StoreError>;

    /// What is kept of the refresh tokens of a session that has not ended; none: there are none.
    async fn refresh_record(&self, session: &SessionId) -> Result<Option<RefreshRecord>, StoreError>;

    /// Puts `after` in the place of what was read, `before`, if that is still there and the session may be used. Notes a use of
    /// the session, but writes it only where the stored one is older than the store's resolution.
    async fn put_refresh_record(
        &self,
        session: &SessionId,
        before: Option<&str>,
        after: &str,
    ) -> Result<RefreshPut, StoreError>;

    /// The session, with its status at this moment; ended ones too, while they are known.
    async fn session(&self, id: &SessionId) -> Result<Option<SessionData>, StoreError>;

    /// Applies a merge patch (RFC 7396) if the session has not ended and, where `expected` is given,
    /// has that version. Counts the version up by one.
    async fn update_session(
        &self,
        id: &SessionId,
        patch: &SessionPatch,
        expected: Option<ETag>,
        op: OperationId,
    ) -> Result<Update, StoreError>;

    /// Ends the session. From the moment this returns no check of it says `Live`.
    async fn terminate_session(&self, id: &SessionId, op: OperationId) -> Result<Termination, StoreError>;

    /// Gives a session what is known of a later version of it. Nothing happens to one that has ended, or that has that
    /// version or a later one.
    async fn restore_version(&self, id: &SessionId, later: &LaterVersion) -> Result<(), StoreError>;

    /// A part of the user's sessions that have not ended, the one that expires last first. Looks at no more than
    /// `page.limit` of them: a page may have fewer sessions than that, and still be followed by another.
    async fn list_sessions(&self, user: &UserId, page: &PageAsk) -> Result<SessionPage, StoreError>;

    /// The same with those alone that are active; a page may end with the first of them. A store to which reading a session
    /// is a cost reads no others.
    async fn active_sessions(&self, user: &UserId, page: &PageAsk) -> Result<SessionPage, StoreError> {
        let mut page = self.list_sessions(user, page).await?;
        page.sessions.retain(|session| session.status == SessionStatus::Active);
        Ok(page)
    }

    /// All of the user's sessions that have not ended. Takes as long as there are sessions: for users who are known
    /// to have few.
    async fn user_sessions(&self, user: &UserId) -> Result<Vec<SessionData>, StoreError> {
        let mut ask = PageAsk { after: None, limit: SWEEP_BATCH };
        let mut sessions = Vec::new();
        loop {
            let page = self.list_sessions(user, &ask).await?;
            sessions.extend(page.sessions);
            match page.next {
                Some(next) => ask.after = Some(next),
                None => return Ok(sessions),
            }
        }
    }

    /// Prepares the end of all sessions that the user has: those that begin from now on are of a later generation.
    /// Nothing ends by it; that is to be announced first. `except` goes on, if it is the user's, has not ended, and is
    /// not to end by a cut-off that has begun before: of two at once the first counts.
    /// `floor` is the latest cut-off of that user that anybody knows of. Costs the same for any number of sessions.
    async fn begin_cut_off(
        &self,
        user: &UserId,
        except: Option<&SessionId>,
        floor: u64,
    ) -> Result<BegunCutOff, StoreError>;

    /// Ends all sessions of the user that are of a generation before that, but for `except`. From the moment this
    /// returns no check of them says `Live`. Doing so again changes nothing. Costs the same for any number of
    /// sessions.
    async fn finish_cut_off(&self, user: &UserId, before: u64, except: Option<&SessionId>) -> Result<(), StoreError>;

    /// Removes what a cut-off has ended from the user's list of sessions: looks at [`SWEEP_BATCH`] of them after that
    /// place, the one that expires first first.
    async fn sweep_sessions(&self, user: &UserId, after: Option<&IndexPlace>) -> Result<Swept, StoreError>;

    /// Puts a token of `user` on the blacklist until it has expired. Doing so again changes nothing,
    /// and never shortens the time. Where verifiers accept a token for a while after its `exp`
    /// (leeway), `expires_at` must include that while.
    async fn revoke_token(&self, user: &UserId, token: &TokenId, expires_at: UnixSeconds) -> Result<(), StoreError>;

    /// Whether a verified token may still be used: the blacklist first, then its session, in one
    /// step. Notes the session's activity, but writes only where the stored one is older than the
    /// store's resolution.
    async fn check(&self, token: &OwnToken) -> Result<Checked, StoreError>;

    /// Stores what an opaque token of a user with that tag says, under the token's hash, until that
    /// moment.
    async fn put_opaque(
        &self,
        tag: &SlotTag,
        hash: &str,
        claims: &Claims,
        expires_at: UnixSeconds,
    ) -> Result<(), StoreError>;

    /// What an opaque token says, until it has expired.
    async fn opaque(&self, tag: &SlotTag, hash: &str) -> Result<Option<Claims>, StoreError>;

    /// Notes that those of these sessions which may be used were used just now, where their stored
    /// activity is older than the store's resolution. One step per session.
    async fn touch(&self, sessions: &[SessionId]) -> Result<(), StoreError>;

    /// Puts entries at the end of the change feed, in their order, and answers where the last one
    /// stands. Drops what has been in the feed for longer than the longest token life, but for rules
    /// that are to last longer: these stand until their end, or until they are removed.
    ///
    /// # Errors
    /// `Full` where more than [`MAX_STANDING_RULES`](super::MAX_STANDING_RULES) would stand; then nothing is appended.
    async fn append_feed(&self, entries: &[NewFeedEntry]) -> Result<FeedCursor, StoreError>;

    /// Reads at most `limit` entries of the feed after the place that the caller knows; from the start
    /// where it knows none, or knows another epoch. An entry that is of no use any more is left out, but
    /// for the last word on a rule. The rules come first that stand and are in the log no more.
    ///
    /// The feed of a store that has lost data begins a new epoch with this call: where there is no
    /// epoch, and where the place that the caller knows in the current one is not there although
    /// nothing has removed it.
    async fn read_feed(&self, known: Option<&FeedPosition>, limit: usize) -> Result<FeedPage, StoreError>;

    /// Replaces what that replica said of its followers, and marks the records of others as gone that have not been
    /// renewed for `overdue`.
    ///
    /// `lifetime` is for how long workers may use what the replica tells them while it relies on this record, be it for
    /// [`RECORD_LIVES`](super::RECORD_LIVES) only. A record that is marked as gone is known for as long, then forgotten.
    /// One that is not marked stays.
    ///
    /// # Errors
    /// `Refused` where the store accepts no changes: then nothing has been marked either.
    async fn publish_followers(
        &self,
        replica: &str,
        followers: &Followers,
        lifetime: Duration,
        overdue: Duration,
    ) -> Result<(), StoreError>;

    /// What every replica says of its followers. A replica that finds its own record here, not marked as gone, knows that
    /// nobody has counted it out before.
    async fn followers(&self) -> Result<Vec<PublishedFollowers>, StoreError>;

    /// Settles leases of one counter of a rate limit, and then leases to the worker what there is of it.
    ///
    /// Promises: whatever workers ask when, no more is admitted than each quota allows, as long as each
    /// admits only what it was leased, until the lease ends, and settles no lease with less than it used.
    /// That holds whether settlements arrive or not, and if a worker dies. What is not settled counts as
    /// used at its lease's end; all that is handed back can be leased again. The counter of a shape of
    /// quota goes on where only its number of requests is another than before.
    ///
    /// The time is the store's, and never goes back for one counter. Of more counters than
    /// [`StoreSettings::max_counters`](super::StoreSettings::max_counters) those are forgotten that nobody has asked for for the longest time.
    async fn lease(&self, worker: &str, ask: &LeaseAsk) -> Result<Leased, StoreError>;

    /// Whether the store can be reached, and how it is.
    async fn health(&self) -> Result<Health, StoreError>;
}
