//! How sessions begin, and how a user is kept from having too many.
//!
//! Which sessions end for a new one is decided in the step of the store that creates it, so everybody is told **after**
//! that, and before anybody is answered. That they will be told is noted in the store before: where the process dies in
//! between, or the feed cannot be written, another replica finds the note and tells, within [`EVICTIONS_OVERDUE`] and a
//! turn.

use std::time::Duration;

use session_gate_protocol::{
    FeedChange, MAX_LEEWAY, MAX_SESSION_LIMIT, NewSession, SessionData, SessionId, UserId, WhenFull,
};
use tokio::time::Instant;

use super::{Service, ServiceError, input::invalid, limit_reached::LimitReached, repair::FIRST_READING};
use crate::{
    logging::chain,
    metrics::EndReason,
    store::{
        Admission, Admitted, CreateSession, EVICTIONS_OVERDUE, EndedSession, LoginDevice, NewFeedEntry, OperationId,
        PageAsk, SessionLimit, StoreError, StoreErrorKind, counts,
    },
};

/// How many steps a login takes at most: what it has learnt is old where another was faster.
const MAX_STEPS: u32 = 256;

/// How often a replica looks for what others have ended and not told.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// How many sessions a refused login is shown.
const MAX_SHOWN: usize = 100;

/// Where a new session begins.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// The session that ends by it.
    pub(super) replaces: Option<SessionId>,
    /// The device that logs in, where its account knows it.
    pub(super) device: Option<LoginDevice>,
}

/// A session that has begun.
pub(super) struct Begun {
    pub(super) session: SessionData,
    /// How many sessions its user has beyond the limit.
    pub(super) beyond: u64,
}

impl Service {
    /// How many sessions a new one's user may have: as it says itself, or else as configured.
    ///
    /// # Errors
    /// `Invalid`.
    fn session_limit(&self, new: &NewSession) -> Result<Option<SessionLimit>, ServiceError> {
        if new.max_sessions.is_some_and(|max| max > MAX_SESSION_LIMIT) {
            let message = format!("must be at most {MAX_SESSION_LIMIT}");
            return Err(ServiceError::Invalid(vec![invalid("max_sessions", message)]));
        }
        let max = new.max_sessions.map_or(self.session.max_per_user, |max| usize::try_from(max).unwrap_or(usize::MAX));
        let when_full = new.when_full.unwrap_or(self.session.when_full);
        Ok((max > 0).then_some(SessionLimit { max, when_full }))
    }

    /// Stores a new session, in the place of another of its user's, of which everybody has been told. Where its user has as
    /// many as allowed, it is refused, or others end and everybody is told before this returns.
    pub(super) async fn admit(&self, new: CreateSession, place: Place) -> Result<Begun, ServiceError> {
        let store = &self.tools.store;
        let user = new.session.user_id.clone();
        let limit = self.session_limit(&new.session)?;
        // A replica that has just started waits; one that cannot read the feed takes what the store knows.
        drop(self.tools.feed.first_reading(FIRST_READING).await);
        let floor = self.tools.feed.cut_off_of(&user).unwrap_or_default();
        let op = self.operation()?;
        let Place { replaces, device } = place;
        let mut admission = Admission { floor, limit, replaces, device, ..Admission::default() };
        let mut noted = Instant::now();
        let mut have_ended = false;
        for _ in 0..MAX_STEPS {
            if admission.is_noted && noted.elapsed() >= EVICTIONS_OVERDUE / 2 {
                noted = Instant::now();
                store.note_evictions(&user, op).await?;
            }
            let admitted = store.admit_session(new.clone(), &admission, op).await;
            match admitted.inspect_err(|error| self.abandon_if_unknown(&new.id, error))? {
                Admitted::NotNoted => {
                    noted = Instant::now();
                    store.note_evictions(&user, op).await?;
                    admission.is_noted = true;
                }
                Admitted::Unknown(known) => admission.known = known,
                Admitted::Partly(ended) => {
                    self.tell_evicted(&user, (admission.is_noted, op), &ended).await?;
                    have_ended |= !ended.is_empty();
                    (admission.is_noted, admission.known) = (false, Vec::new());
                }
                Admitted::Full(ended) => {
                    self.tell_evicted(&user, (admission.is_noted, op), &ended).await?;
                    return Err(self.limit_reached(&user, limit).await);
                }
                Admitted::Created { session, ended, beyond } => {
                    self.tools.metrics.session_created();
                    if let Err(error) = self.tell_evicted(&user, (admission.is_noted, op), &ended).await {
                        self.abandon(&session.session_id).await;
                        return Err(error);
                    }
                    have_ended |= !ended.is_empty();
                    if have_ended {
                        self.everybody_knows().await;
                    }
                    if !ended.is_empty() && limit.is_some_and(|limit| limit.when_full == WhenFull::EvictOldest) {
                        self.tools.metrics.session_limit_reached(WhenFull::EvictOldest);
                    }
                    if beyond > 0 {
                        self.tools.metrics.session_limit_reached(WhenFull::Notify);
                        tracing::info!(beyond, "a user has more sessions than allowed");
                    }
                    return Ok(Begun { session, beyond });
                }
            }
        }
        let source = "the user has more sessions than one login can end";
        Err(StoreError::new(StoreErrorKind::Unavailable, source).into())
    }

    /// Refuses a login for want of room before the session that it replaces ends: so that nothing ends by it, unless
    /// others log in at the same moment.
    pub(super) async fn expect_room(
        &self,
        new: &CreateSession,
        replaces: &SessionId,
        device: Option<&LoginDevice>,
    ) -> Result<(), ServiceError> {
        let limit = self.session_limit(&new.session)?;
        let Some(SessionLimit { max, when_full: WhenFull::Deny }) = limit else { return Ok(()) };
        let user = &new.session.user_id;
        let sessions = self.tools.store.user_sessions(user).await?;
        let now = self.now();
        // Whether that device has begun it only the store can say.
        let may_be_twin = |session: &SessionData| device.is_some_and(|it| now.since(session.created_at) < it.window);
        let others = sessions.iter().filter(|session| session.session_id != *replaces && !may_be_twin(session));
        if others.filter(|session| counts(session, now)).count() < max {
            return Ok(());
        }
        Err(self.limit_reached(user, limit).await)
    }

    async fn limit_reached(&self, user: &UserId, limit: Option<SessionLimit>) -> ServiceError {
        self.tools.metrics.session_limit_reached(WhenFull::Deny);
        let max = limit.map_or(0, |limit| limit.max);
        match self.user_sessions(user, &PageAsk { after: None, limit: MAX_SHOWN }).await {
            Ok(list) => {
                let reached = LimitReached { max, sessions: list.sessions, takeover: None };
                ServiceError::SessionLimitReached(Box::new(reached))
            }
            Err(error) => error,
        }
    }

    /// Tells everybody what an operation has ended, and forgets the notes on it.
    async fn tell_evicted(
        &self,
        user: &UserId,
        (is_noted, op): (bool, OperationId),
        ended: &[EndedSession],
    ) -> Result<(), ServiceError> {
        if !ended.is_empty() {
            self.tools.metrics.sessions_ended(EndReason::Evicted, u64::try_from(ended.len()).unwrap_or(u64::MAX));
            self.tell(ended.iter().map(told).collect()).await?;
        }
        if (is_noted || !ended.is_empty())
            && let Err(error) = self.tools.store.evictions_told(user, op).await
        {
            // Then it is told once more.
            tracing::warn!(error = %chain(&error), "that ended sessions have been told cannot be noted");
        }
        Ok(())
    }

    /// Tells everybody what logins have ended whose replica has not lived to tell, or could not.
    ///
    /// # Errors
    /// Those of the store: then they are told another time.
    pub async fn tell_overdue_evictions(&self) -> Result<(), ServiceError> {
        for overdue in self.tools.store.overdue_evictions().await? {
            let untold = overdue.ended.iter().filter(|one| !self.tools.feed.tells_end_of(&one.id));
            let untold: Vec<NewFeedEntry> = untold.map(told).collect();
            if !untold.is_empty() {
                tracing::warn!(count = untold.len(), "sessions had ended of which nobody was told: now everybody is");
                self.tell(untold).await?;
            }
            self.tools.store.evictions_told(&overdue.user, overdue.op).await?;
        }
        Ok(())
    }

    /// Does so now and then, for ever.
    pub async fn watch_evictions(&self) {
        loop {
            tokio::time::sleep(LOOK_PERIOD).await;
            if let Err(error) = self.tell_overdue_evictions().await {
                tracing::debug!(error = %chain(&error), "what others have ended and not told cannot be looked for");
            }
        }
    }
}

fn told(ended: &EndedSession) -> NewFeedEntry {
    NewFeedEntry {
        until: ended.expires_at.after(MAX_LEEWAY),
        change: FeedChange::SessionEnded { session_id: ended.id.clone() },
    }
}
