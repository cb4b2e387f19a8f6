//! What everybody must be told: sessions that end, are suspended or served again, or permit something
//! else, and tokens that are revoked.
//!
//! **The feed first, then the state, then the answer.** On a Cluster the feed and a session are in two
//! slots, so these are two steps, and the process may die in between: then workers refuse what the
//! store would still serve, and a repeated call mends it. Only what is served again, and what a session
//! permits, go the other way round: that of the store at that moment is what is told, by a repeated call too, even one
//! that the store refuses since the first has changed the version.

use session_gate_protocol::{
    ETag, FeedChange, FeedCursor, MAX_LEEWAY, SessionData, SessionId, SessionPatch, SessionStatus, TokenId,
    UnixSeconds, UserId,
};
use tokio::time::Instant;

use super::{Service, ServiceError, check::OWN_PATIENCE, repair::known};
use crate::{
    feed::Against,
    metrics::EndReason,
    store::{NewFeedEntry, Rotated, Rotation, Termination, Update},
};

/// What was done, and the place in the feed up to which a worker must have read to know of it; none
/// where there is nothing to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told<T> {
    /// What was done.
    pub done: T,
    /// The place in the feed.
    pub at: Option<FeedCursor>,
}

/// That a session ends has been told.
pub(super) enum EndTold {
    /// It had ended, and everybody had been told.
    Before(FeedCursor),
    /// By this call: it is to end in the store now.
    Now(Box<SessionData>, FeedCursor),
    /// The store does not know it.
    OfLost(FeedCursor),
}

/// What of a session everybody must be told.
#[derive(Clone, Copy, Debug)]
struct Telling {
    /// Whether it is served.
    status: bool,
    /// What its tokens permit.
    scopes: bool,
}

impl<T> Told<T> {
    /// The same, with something else made of what was done.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Told<U> {
        Told { done: make(self.done), at: self.at }
    }
}

impl Service {
    /// Ends a session; one that has ended already stays so, and everybody is told of it who has not been: also of one
    /// that the store does not know. Answers how many it ended.
    ///
    /// # Errors
    /// `SessionNotFound`, or those of the store.
    pub async fn terminate_session(&self, id: &SessionId, reason: EndReason) -> Result<Told<u64>, ServiceError> {
        let Told { done, at } = self.end_session(id, reason).await?;
        match done {
            Termination::Ended => Ok(Told { done: 1, at }),
            Termination::AlreadyEnded => Ok(Told { done: 0, at }),
            Termination::NotFound => Err(ServiceError::SessionNotFound),
        }
    }

    /// The same, where a session that the store does not know is no error.
    pub(super) async fn end_session(
        &self,
        id: &SessionId,
        reason: EndReason,
    ) -> Result<Told<Termination>, ServiceError> {
        match self.tell_end(id).await? {
            EndTold::Now(session, at) => Ok(Told { done: self.end_in_store(&session, reason).await?, at: Some(at) }),
            EndTold::Before(at) => Ok(Told { done: Termination::AlreadyEnded, at: Some(at) }),
            EndTold::OfLost(at) => Ok(Told { done: Termination::NotFound, at: Some(at) }),
        }
    }

    /// Tells everybody that a session ends: the first half of ending it.
    pub(super) async fn tell_end(&self, id: &SessionId) -> Result<EndTold, ServiceError> {
        let Some(session) = self.tools.store.session(id).await? else {
            return Ok(EndTold::OfLost(self.tell_of_lost(id).await?));
        };
        if let Some(at) = self.end_told_before(&session).await? {
            return Ok(EndTold::Before(at));
        }
        let at = self.tell(vec![ended(&session)]).await?;
        Ok(EndTold::Now(Box::new(session), at))
    }

    /// The second half.
    pub(super) async fn end_in_store(
        &self,
        session: &SessionData,
        reason: EndReason,
    ) -> Result<Termination, ServiceError> {
        let done = self.tools.store.terminate_session(&session.session_id, self.operation()?).await?;
        if done == Termination::Ended {
            self.tools.metrics.sessions_ended(reason, 1);
            self.note_age(session);
        }
        Ok(done)
    }

    /// Puts a session under a new id. Nobody is served under the old one from before this: it is as good as suspended until
    /// it is known to have ended, since an end can't be taken back and the store may refuse. (An end besides would pass for one
    /// that the store has lost with whoever asks about the session meanwhile, and that would end it.)
    ///
    /// # Errors
    /// Those of the store: then the session may have ended, and there may be one under the new id that nobody knows.
    pub(super) async fn rotate(&self, old: &SessionData, rotation: &Rotation) -> Result<Rotated, ServiceError> {
        let op = self.operation()?;
        self.tell(vec![entry(old, suspended(old))]).await?;
        let rotated = match self.tools.store.rotate_session(&old.session_id, rotation, op).await {
            Ok(rotated) => rotated,
            Err(error) => {
                // Nobody knows what has become of it: the old id is dead, and nobody learns the new one.
                drop(self.tell(vec![ended(old)]).await);
                return Err(error.into());
            }
        };
        match &rotated {
            Rotated::Done(session) => {
                let is_ended = self.is_ended_by_others(old, session).await?;
                self.tell(vec![ended(old)]).await?;
                if is_ended {
                    return Ok(Rotated::Refused(SessionStatus::Terminated));
                }
            }
            Rotated::NotFound => drop(self.tell_of_lost(&old.session_id).await?),
            // Whoever has ended it tells of it: another rotation, which has not been undone, looks for any other end first.
            Rotated::Refused(SessionStatus::Terminated) => {}
            Rotated::Refused(_) => {
                let now = self.stored_session(&old.session_id).await?;
                self.tell_state(&now, Telling { status: true, scopes: false }).await?;
            }
        }
        Ok(rotated)
    }

    /// Whether somebody has told meanwhile that a session ends, which goes on under a new id since: before it could be ended
    /// in the store, it had another id there.
    async fn is_ended_by_others(&self, old: &SessionData, new: &SessionData) -> Result<bool, ServiceError> {
        let feed = &self.tools.feed;
        feed.try_catch_up(Instant::now(), OWN_PATIENCE).await?;
        let old_ended = feed.against(&old.user_id, &known(old))? == Some(Against::Ended);
        Ok(old_ended || feed.against(&new.user_id, &known(new))?.is_some())
    }

    /// Changes a session, and tells everybody where that concerns whether it is served, or what its
    /// tokens permit.
    pub(super) async fn change_session(
        &self,
        id: &SessionId,
        patch: &SessionPatch,
        expected: Option<ETag>,
    ) -> Result<Told<Update>, ServiceError> {
        self.bring_up_to_date(id).await?;
        let op = self.operation()?;
        let status = match patch.status {
            Some(SessionStatus::Suspended | SessionStatus::Terminated) => {
                return self.take_back(id, patch, expected).await;
            }
            Some(SessionStatus::Active) => true,
            Some(SessionStatus::Expired | SessionStatus::Pending2fa) | None => false,
        };
        let scopes = patch.scopes.is_some();
        let update = async || {
            let update = self.tools.store.update_session(id, patch, expected, op).await?;
            self.unless_ended(update).await
        };
        let update = update().await;
        let at = match &update {
            Ok(Update::Applied(session)) if status || scopes => {
                Some(self.tell_state(session, Telling { status, scopes }).await?)
            }
            // Maybe the session has changed all the same: by this call, or by one that failed before it could tell
            // and is repeated now.
            Ok(Update::VersionMismatch { .. }) if scopes => self.tell_untold_scopes(id).await?,
            Err(_) if scopes => self.tell_untold_scopes(id).await.unwrap_or_default(),
            _ => None,
        };
        Ok(Told { done: update?, at })
    }

    /// Changes a session so that it is served no more.
    async fn take_back(
        &self,
        id: &SessionId,
        patch: &SessionPatch,
        expected: Option<ETag>,
    ) -> Result<Told<Update>, ServiceError> {
        let op = self.operation()?;
        let update = async || self.tools.store.update_session(id, patch, expected, op).await;
        let telling = Telling { status: true, scopes: patch.scopes.is_some() };
        let Some(session) = self.tools.store.session(id).await? else {
            self.tell_of_lost(id).await?;
            return Ok(Told { done: Update::NotFound, at: None });
        };
        let allowed = patch.status.is_none_or(|next| session.status.check_transition(next).is_ok());
        if !allowed || expected.is_some_and(|expected| expected.0 != session.version) {
            // The store refuses it. What has ended or permits something else is told again, for the sake of a call
            // that was cut off after it had changed it.
            let at = match self.end_told_before(&session).await? {
                None if session.status.is_final() => Some(self.tell_state(&session, telling).await?),
                None if telling.scopes => self.tell_untold_scopes(id).await?,
                told_before => told_before,
            };
            return Ok(Told { done: update().await?, at });
        }
        // An end can't be taken back, and the store may still refuse it: until it has not, the session is
        // as good as suspended. So it stays where nobody knows what has become of the update.
        let as_good_as_suspended = async || self.tell(vec![entry(&session, suspended(&session))]).await;
        as_good_as_suspended().await?;
        let update = match update().await {
            Ok(update) => update,
            Err(error) => {
                // Another call, which was refused, may have said meanwhile that the session is as it was.
                as_good_as_suspended().await?;
                return Err(error.into());
            }
        };
        let now = match &update {
            Update::Applied(session) => session.clone(),
            _ => self.stored_session(id).await?,
        };
        let at = Some(self.tell_state(&now, telling).await?);
        Ok(Told { done: update, at })
    }

    /// Of a session that has ended, and of which the feed says so: the place up to which everybody must
    /// have read. It need not be told again.
    async fn end_told_before(&self, session: &SessionData) -> Result<Option<FeedCursor>, ServiceError> {
        let feed = &self.tools.feed;
        let told = session.status.is_final() && feed.tells_end_of(&session.session_id);
        Ok(if told { Some(feed.end().await?) } else { None })
    }

    /// Tells everybody of this session. Its version says to workers which of two such words is the last
    /// one.
    async fn tell_state(&self, session: &SessionData, telling: Telling) -> Result<FeedCursor, ServiceError> {
        self.tell(telling.of(session).into_iter().map(|change| entry(session, change)).collect()).await
    }

    /// Tells everybody what a session permits as the store has it, unless they have been told.
    async fn tell_untold_scopes(&self, id: &SessionId) -> Result<Option<FeedCursor>, ServiceError> {
        let session = self.stored_session(id).await?;
        if session.status.is_final() || self.tools.feed.tells_scopes_of(id, session.version) {
            return Ok(None);
        }
        Ok(Some(self.tell_state(&session, Telling { status: false, scopes: true }).await?))
    }

    /// Tells everybody that a token of that user is revoked, and puts it on the blacklist.
    pub(super) async fn revoke_token(
        &self,
        user: &UserId,
        token: &TokenId,
        until: UnixSeconds,
    ) -> Result<FeedCursor, ServiceError> {
        let told = if self.tools.feed.tells_revocation_of(token) {
            Ok(self.tools.feed.end().await?)
        } else {
            let change = FeedChange::TokenRevoked { token_id: token.clone() };
            self.tell(vec![NewFeedEntry { until, change }]).await
        };
        self.tools.store.revoke_token(user, token, until).await?;
        let at = told?;
        self.tools.metrics.token_revoked();
        Ok(at)
    }

    /// Tells everybody that the keys have changed.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn keys_changed(&self) -> Result<(), ServiceError> {
        // Of use for as long as any entry can be.
        let entry = NewFeedEntry { until: UnixSeconds(u64::MAX), change: FeedChange::KeysChanged };
        self.tell(vec![entry]).await?;
        Ok(())
    }

    /// Tells everybody that a session has ended which the store does not know: it may have lost it alone, and then
    /// workers serve its tokens, and keep its streams open, until they hear of it.
    pub(super) async fn tell_of_lost(&self, id: &SessionId) -> Result<FeedCursor, ServiceError> {
        if self.tools.feed.tells_end_of(id) {
            return Ok(self.tools.feed.end().await?);
        }
        // As long as a token of it can be good.
        let change = FeedChange::SessionEnded { session_id: id.clone() };
        self.tell(vec![NewFeedEntry { until: UnixSeconds(u64::MAX), change }]).await
    }

    pub(super) async fn tell(&self, entries: Vec<NewFeedEntry>) -> Result<FeedCursor, ServiceError> {
        Ok(self.tools.feed.append(&entries).await?)
    }
}

impl Telling {
    /// What is to be told of a session that is like that.
    fn of(self, session: &SessionData) -> Vec<FeedChange> {
        let scopes = || FeedChange::SessionScopes {
            session_id: session.session_id.clone(),
            version: session.version,
            scopes: session.scopes.clone(),
        };
        let status = self.status.then(|| status_change(session));
        status.into_iter().chain(self.scopes.then(scopes)).collect()
    }
}

/// An entry on that session. No token of it outlives it, nor the longest life of a token, which the
/// store knows of.
fn entry(session: &SessionData, change: FeedChange) -> NewFeedEntry {
    NewFeedEntry { until: session.expires_at.after(MAX_LEEWAY), change }
}

fn ended(session: &SessionData) -> NewFeedEntry {
    entry(session, FeedChange::SessionEnded { session_id: session.session_id.clone() })
}

fn suspended(session: &SessionData) -> FeedChange {
    FeedChange::SessionSuspended { session_id: session.session_id.clone(), version: session.version }
}

/// What is to be known of a session with that status.
fn status_change(session: &SessionData) -> FeedChange {
    let session_id = session.session_id.clone();
    match session.status {
        SessionStatus::Active | SessionStatus::Pending2fa => {
            FeedChange::SessionResumed { session_id, version: session.version }
        }
        SessionStatus::Suspended => suspended(session),
        SessionStatus::Expired | SessionStatus::Terminated => FeedChange::SessionEnded { session_id },
    }
}
