//! The embedded store: everything in this process, gone when it ends. For one replica only.

mod counters;
mod log;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use session_gate_protocol::{
    CheckVerdict, Claims, ETag, FeedCursor, LeaseAsk, OwnToken, SessionData, SessionId, SessionPatch, SessionStatus,
    SlotTag, TokenId, UnixSeconds, UserId,
};

use self::counters::Counters;
use self::log::Log;
use self::state::{Opaque, Revocation, State};
use super::feed::epoch_id;
use super::{
    Admission, Admitted, BegunCutOff, Checked, CreateSession, FeedPage, FeedPosition, Followers, Health, IndexPlace,
    Leased, MAX_EVICTED, MAX_LIFETIME, NewFeedEntry, OldSession, OperationId, PageAsk, PublishedFollowers, SWEEP_BATCH,
    SessionPage, Store, StoreError, StoreErrorKind, StoreSettings, Swept, Termination, Update, patch,
};
use crate::clock::Clock;
use crate::rng::Random;

/// Sessions, opaque tokens and blacklist entries that the store holds at most, tombstones included: some 2 GB with
/// small metadata. A store that is full refuses what is new; it never forgets a revocation to make
/// room.
const MAX_ENTRIES: usize = 1_000_000;

/// One part in so many is kept free for what takes back: revoked tokens and ended sessions. Who logs in, or
/// fills the feed with rules, cannot take it.
const RESERVED_PART: usize = 16;

/// Steps of cleaning that each write does. A session makes two such steps due in its life and a
/// blacklist entry one, so what is over goes faster than what is new comes, even if nobody ever
/// calls [`MemoryStore::cleanup`].
const STEPS_PER_WRITE: usize = 4;

/// Steps of cleaning under one lock: well below a millisecond.
const STEPS_PER_BATCH: usize = 512;

/// Sessions, the blacklist and the feed in this process's memory.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    settings: StoreSettings,
    max_entries: usize,
    /// A plain mutex: every step is a few look-ups, and none waits for anything while it holds it.
    state: Mutex<State>,
    /// The feed. Never held together with the other.
    log: Mutex<Log>,
    /// The counters of rate limits. Never held together with another.
    counters: Mutex<Counters>,
}

impl MemoryStore {
    /// An empty store that goes by `clock`; `random` makes the id of its feed's epoch.
    pub fn new(clock: Arc<dyn Clock>, settings: StoreSettings, random: Arc<dyn Random>) -> Self {
        Self {
            clock,
            random,
            max_entries: MAX_ENTRIES,
            state: Mutex::new(State::new(settings.retention)),
            log: Mutex::default(),
            counters: Mutex::default(),
            settings,
        }
    }

    /// The same with another limit on how many sessions and blacklist entries, and how many entries of
    /// the feed, it holds.
    #[must_use]
    pub fn with_max_entries(self, max_entries: usize) -> Self {
        Self { max_entries, ..self }
    }

    /// Removes what is over, in short batches between which others get their turn. Answers how many
    /// sessions and blacklist entries it removed.
    pub async fn cleanup(&self) -> u64 {
        while !self.counters().forget_gone(self.clock.millis(), STEPS_PER_BATCH) {
            tokio::task::yield_now().await;
        }
        let mut removed = 0;
        loop {
            let batch = self.lock().clean(self.clock.now(), STEPS_PER_BATCH);
            removed += batch.removed;
            if batch.done {
                return removed;
            }
            tokio::task::yield_now().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No step can panic half-way through a change, so what a poisoned lock guards is sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state for a write, cleaned a little, and the time.
    fn write(&self) -> (MutexGuard<'_, State>, UnixSeconds) {
        let mut state = self.lock();
        let now = self.clock.now();
        state.clean(now, STEPS_PER_WRITE);
        (state, now)
    }

    /// Whether there is room for what can wait.
    fn check_room(&self, state: &State) -> Result<(), StoreError> {
        if state.entries() < self.unreserved() { Ok(()) } else { Err(full()) }
    }

    /// How many entries there may be before only what takes back is taken in.
    const fn unreserved(&self) -> usize {
        self.max_entries - self.max_entries / RESERVED_PART
    }

    /// The feed, which has begun, and the time in milliseconds.
    fn log(&self) -> Result<(MutexGuard<'_, Log>, u64), StoreError> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let millis = self.clock.millis();
        if !log.has_begun() {
            log.begin(epoch_id(&*self.random)?, UnixSeconds(millis / 1_000));
        }
        Ok((log, millis))
    }
}

/// The feed as it was at one moment.
#[cfg(test)]
pub(crate) struct Backup(Log);

#[cfg(test)]
impl MemoryStore {
    pub(crate) fn back_up_feed(&self) -> Backup {
        Backup(self.log.lock().unwrap().clone())
    }

    /// Loses what the feed has been told since; without a backup all of it.
    pub(crate) fn restore_feed(&self, backup: Option<Backup>) {
        let mut log = self.log.lock().unwrap();
        *log = backup.map(|Backup(log)| log).unwrap_or_default();
    }
}

fn full() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the memory store is full")
}

/// Ends a session that is still listed, or notes that it has ended.
fn end(state: &mut State, session: SessionData, now: UnixSeconds, op: OperationId) {
    let session = if session.status == SessionStatus::Expired { session } else { patch::terminated(session) };
    state.replace(session, now, op);
}

/// Notes a use of the session where the noted one is older than the resolution.
fn note_activity(state: &mut State, session: &SessionData, now: UnixSeconds, settings: &StoreSettings) {
    let age = now.since(session.last_activity).as_secs();
    // Only a session that may be used is in use: a suspended one does not live longer by being asked for.
    if session.status.may_mint() && age > settings.resolution_for(session.idle_timeout) {
        state.note_activity(&session.session_id, now);
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { clock, random: _, settings, max_entries, state: _, log: _, counters: _ } = self;
        f.debug_struct("MemoryStore")
            .field("clock", clock)
            .field("settings", settings)
            .field("max_entries", max_entries)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn admit_session(
        &self,
        new: CreateSession,
        admission: &Admission,
        op: OperationId,
    ) -> Result<Admitted, StoreError> {
        new.check(&self.settings)?;
        let Admission { floor, max_sessions, evict } = admission;
        let (mut state, now) = self.write();
        if state.was_done(&new.id, op)
            && let Some(session) = state.session(&new.id, now)
        {
            return Ok(Admitted::Created(session));
        }
        if state.holds(&new.id) {
            return Err(StoreError::new(StoreErrorKind::Conflict, "the session id exists already"));
        }
        self.check_room(&state)?;
        let user = new.session.user_id.clone();
        let (listed, _) = state.listed(&user);
        let leaving = evict.iter().filter(|id| state.is_listed(&user, id)).filter_map(|id| state.session(id, now));
        let leaving: Vec<SessionData> = leaving.collect();
        let over = (listed + 1).saturating_sub(*max_sessions).min(MAX_EVICTED);
        if *max_sessions > 0 && leaving.len() < over {
            let oldest = state.oldest(&user, evict, over - leaving.len()).into_iter();
            return Ok(Admitted::Crowded(
                oldest.map(|IndexPlace { expires_at, id }| OldSession { id, expires_at }).collect(),
            ));
        }
        leaving.into_iter().for_each(|session| end(&mut state, session, now, op));
        if *floor > 0 {
            state.note_cut_offs(&user, *floor, *floor, now);
        }
        let session = new.created_at(now, state.cut_offs(&user).generation);
        state.keep_cut_offs(&user, session.expires_at.after(self.settings.feed_horizon));
        state.insert(session.clone(), op);
        Ok(Admitted::Created(session))
    }

    async fn session(&self, id: &SessionId) -> Result<Option<SessionData>, StoreError> {
        let state = self.lock();
        Ok(state.session(id, self.clock.now()))
    }

    async fn update_session(
        &self,
        id: &SessionId,
        patch: &SessionPatch,
        expected: Option<ETag>,
        op: OperationId,
    ) -> Result<Update, StoreError> {
        let (mut state, now) = self.write();
        let Some(current) = state.session(id, now) else { return Ok(Update::NotFound) };
        if state.was_done(id, op) {
            return Ok(Update::Applied(current));
        }
        match patch::patched(current, patch, expected, &self.settings) {
            Err(refused) => Ok(*refused),
            Ok(next) => {
                state.replace(next.clone(), now, op);
                Ok(Update::Applied(next))
            }
        }
    }

    async fn terminate_session(&self, id: &SessionId, op: OperationId) -> Result<Termination, StoreError> {
        let (mut state, now) = self.write();
        let Some(current) = state.session(id, now) else { return Ok(Termination::NotFound) };
        if current.status.is_final() {
            let is_again = current.status == SessionStatus::Terminated && state.was_done(id, op);
            return Ok(if is_again { Termination::Ended } else { Termination::AlreadyEnded });
        }
        state.replace(patch::terminated(current), now, op);
        Ok(Termination::Ended)
    }

    async fn restore_suspension(&self, id: &SessionId, version: u64) -> Result<(), StoreError> {
        let (mut state, now) = self.write();
        if let Some(session) = state.session(id, now)
            && !session.status.is_final()
            && session.version < version
        {
            let op = state.last_operation(id);
            state.replace(SessionData { status: SessionStatus::Suspended, version, ..session }, now, op);
        }
        Ok(())
    }

    async fn list_sessions(&self, user: &UserId, page: &PageAsk) -> Result<SessionPage, StoreError> {
        Ok(self.lock().page(user, page, self.clock.now()))
    }

    async fn begin_cut_off(
        &self,
        user: &UserId,
        except: Option<&SessionId>,
        floor: u64,
    ) -> Result<BegunCutOff, StoreError> {
        let (mut state, now) = self.write();
        let before = state.cut_offs(user).generation.max(floor).saturating_add(1);
        let (listed, latest_expiry) = state.listed(user);
        let until = latest_expiry.max(now).after(self.settings.feed_horizon);
        state.note_cut_offs(user, before, floor, until);
        let spared = except.and_then(|id| state.session(id, now));
        let spared = spared.filter(|session| session.user_id == *user && !session.status.is_final());
        if let Some(session) = &spared {
            state.set_generation(&session.session_id, before);
        }
        let listed = u64::try_from(listed).unwrap_or(u64::MAX);
        Ok(BegunCutOff { before, listed, latest_expiry, now, spares: spared.is_some() })
    }

    async fn finish_cut_off(&self, user: &UserId, before: u64, except: Option<&SessionId>) -> Result<(), StoreError> {
        let (mut state, now) = self.write();
        if let Some(session) = except.and_then(|id| state.session(id, now))
            && session.user_id == *user
            && !session.status.is_final()
        {
            state.set_generation(&session.session_id, before);
        }
        let (_, latest_expiry) = state.listed(user);
        state.note_cut_offs(user, before, before, latest_expiry.max(now).after(self.settings.feed_horizon));
        Ok(())
    }

    async fn sweep_sessions(&self, user: &UserId, after: Option<&IndexPlace>) -> Result<Swept, StoreError> {
        let (mut state, now) = self.write();
        let places = state.places(user, after, SWEEP_BATCH);
        let mut removed = 0;
        for place in &places {
            if let Some(session) = state.session(&place.id, now).filter(|session| session.status.is_final()) {
                let op = state.last_operation(&place.id);
                end(&mut state, session, now, op);
                removed += 1;
            }
        }
        Ok(Swept { removed, next: places.last().filter(|_| places.len() == SWEEP_BATCH).cloned() })
    }

    async fn revoke_token(&self, user: &UserId, token: &TokenId, expires_at: UnixSeconds) -> Result<(), StoreError> {
        let (mut state, now) = self.write();
        let entry = Revocation { user: user.clone(), token: token.clone() };
        let until = expires_at.min(now.after(MAX_LIFETIME));
        match state.revoked_until(&entry) {
            Some(before) if until <= before => return Ok(()),
            None if until <= now => return Ok(()),
            Some(_) => {}
            None if state.entries() < self.max_entries => {}
            None => return Err(full()),
        }
        state.revoke(entry, until);
        Ok(())
    }

    async fn check(&self, token: &OwnToken) -> Result<Checked, StoreError> {
        let OwnToken { user_id, session_id, token_id } = token;
        let mut state = self.lock();
        let now = self.clock.now();
        let entry = Revocation { user: user_id.clone(), token: token_id.clone() };
        if state.revoked_until(&entry).is_some_and(|until| now < until) {
            return Ok(CheckVerdict::TokenRevoked.into());
        }
        let Some(id) = session_id else { return Ok(CheckVerdict::Live.into()) };
        let Some(session) = state.session(id, now).filter(|session| session.user_id == *user_id) else {
            return Ok(CheckVerdict::SessionUnknown.into());
        };
        note_activity(&mut state, &session, now, &self.settings);
        Ok(Checked::of(&session))
    }

    async fn put_opaque(
        &self,
        tag: &SlotTag,
        hash: &str,
        claims: &Claims,
        expires_at: UnixSeconds,
    ) -> Result<(), StoreError> {
        let (mut state, now) = self.write();
        self.check_room(&state)?;
        let until = expires_at.min(now.after(MAX_LIFETIME));
        if now < until {
            state.put_opaque(Opaque { tag: tag.clone(), hash: hash.to_owned() }, claims.clone(), until);
        }
        Ok(())
    }

    async fn opaque(&self, tag: &SlotTag, hash: &str) -> Result<Option<Claims>, StoreError> {
        let state = self.lock();
        Ok(state.opaque(&Opaque { tag: tag.clone(), hash: hash.to_owned() }, self.clock.now()))
    }

    async fn touch(&self, sessions: &[SessionId]) -> Result<(), StoreError> {
        for id in sessions {
            let mut state = self.lock();
            let now = self.clock.now();
            if let Some(session) = state.session(id, now) {
                note_activity(&mut state, &session, now, &self.settings);
            }
        }
        Ok(())
    }

    async fn append_feed(&self, entries: &[NewFeedEntry]) -> Result<FeedCursor, StoreError> {
        let (mut log, millis) = self.log()?;
        let horizon = self.settings.feed_horizon;
        log.trim(UnixSeconds(millis / 1_000), horizon);
        let takes_back = entries.iter().all(|entry| entry.change.ended().is_some());
        let max = if takes_back { self.max_entries } else { self.unreserved() };
        if log.len().saturating_add(entries.len()) > max {
            return Err(full());
        }
        let now = UnixSeconds(millis / 1_000);
        if !log.has_room(entries, now, now.after(horizon)) {
            return Err(StoreError::of_kind(StoreErrorKind::Full));
        }
        for entry in entries {
            log.append(entry, millis, horizon);
        }
        Ok(log.last())
    }

    async fn read_feed(&self, known: Option<&FeedPosition>, limit: usize) -> Result<FeedPage, StoreError> {
        let (mut log, millis) = self.log()?;
        let now = UnixSeconds(millis / 1_000);
        if known.is_some_and(|known| log.lacks(known)) {
            log.begin(epoch_id(&*self.random)?, now);
        }
        log.page(known, limit, now).ok_or_else(|| StoreError::of_kind(StoreErrorKind::Corrupt))
    }

    async fn publish_followers(
        &self,
        replica: &str,
        followers: &Followers,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        let (mut log, millis) = self.log()?;
        log.publish(replica, followers, lifetime, millis);
        Ok(())
    }

    async fn followers(&self) -> Result<Vec<PublishedFollowers>, StoreError> {
        let (log, millis) = self.log()?;
        Ok(log.followers(millis))
    }

    async fn lease(&self, worker: &str, ask: &LeaseAsk) -> Result<Leased, StoreError> {
        let mut counters = self.counters();
        Ok(counters.lease(self.clock.millis(), worker, ask, self.settings.max_counters))
    }

    async fn health(&self) -> Result<Health, StoreError> {
        let counters = u64::try_from(self.counters().len()).ok();
        Ok(Health { backend: "memory", active_sessions: Some(self.lock().live()), memory_bytes: None, counters })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::ManualClock;
    use crate::rng::testing::SeededRandom;
    use crate::store::conformance::op;

    fn store() -> (Arc<ManualClock>, MemoryStore) {
        let clock = Arc::new(ManualClock::new(UnixSeconds(1_000)));
        let settings = StoreSettings { retention: Duration::from_secs(100), ..StoreSettings::default() };
        (Arc::clone(&clock), MemoryStore::new(clock, settings, Arc::new(SeededRandom::default())))
    }

    fn user(number: u8) -> UserId {
        format!("user-{number}").parse().unwrap()
    }

    async fn create(store: &MemoryStore, number: u8) -> Result<SessionData, StoreError> {
        let session = serde_json::from_value(serde_json::json!({ "user_id": user(number) })).unwrap();
        let id = SessionId::new(&user(number), &[number; 32]);
        let duration = Duration::from_secs(10);
        store.create_session(CreateSession { id, session, duration, idle_timeout: None }, op()).await
    }

    fn claims() -> Claims {
        let claims = serde_json::json!({
            "iss": "i", "sub": "a", "aud": "b", "exp": 1_010, "nbf": 1_000, "iat": 1_000, "jti": "t",
        });
        serde_json::from_value(claims).unwrap()
    }

    async fn revoke(store: &MemoryStore, number: u8) -> Result<(), StoreError> {
        store.revoke_token(&user(number), &TokenId::new(&[number; 16]), UnixSeconds(1_010)).await
    }

    #[tokio::test]
    async fn cleanup_leaves_nothing_behind() {
        let (clock, store) = store();
        for number in 0..100 {
            create(&store, number).await.unwrap();
            revoke(&store, number).await.unwrap();
            let tag = SlotTag::of_user(&user(number));
            store.put_opaque(&tag, &number.to_string(), &claims(), UnixSeconds(1_010)).await.unwrap();
        }
        let begun = store.begin_cut_off(&user(3), None, 0).await.unwrap();
        store.finish_cut_off(&user(3), begun.before, None).await.unwrap();
        assert_eq!(store.sweep_sessions(&user(3), None).await.unwrap().removed, 1);
        clock.advance(Duration::from_secs(10));
        assert_eq!(store.cleanup().await, 200, "the blacklist and the opaque tokens");
        assert_eq!(store.health().await.unwrap().active_sessions, Some(0));
        clock.advance(Duration::from_secs(100));
        assert_eq!(store.cleanup().await, 100, "the sessions");
        clock.advance(StoreSettings::default().feed_horizon);
        assert_eq!(store.cleanup().await, 0, "what is known of the cut-off");
        assert!(store.lock().is_empty());
    }

    #[tokio::test]
    async fn writes_clean_up_even_if_nobody_else_does() {
        let (clock, store) = store();
        for number in 0..60 {
            create(&store, number).await.unwrap();
            clock.advance(Duration::from_secs(60));
        }
        // What is live or known plus what the next write removes.
        assert!(store.lock().entries() <= 3, "{}", store.lock().entries());
    }

    #[tokio::test]
    async fn a_full_store_refuses_what_is_new_and_keeps_what_it_has() {
        let (_clock, store) = store();
        let store = store.with_max_entries(2);
        revoke(&store, 1).await.unwrap();
        create(&store, 1).await.unwrap();
        assert_eq!(create(&store, 2).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
        assert_eq!(revoke(&store, 2).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
        revoke(&store, 1).await.unwrap();
        let token = OwnToken { user_id: user(1), session_id: None, token_id: TokenId::new(&[1; 16]) };
        assert_eq!(store.check(&token).await.unwrap().verdict, CheckVerdict::TokenRevoked);
        let refused = store.put_opaque(&SlotTag::of_user(&user(1)), "hash", &claims(), UnixSeconds(1_010)).await;
        assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Unavailable);
    }

    #[tokio::test]
    async fn a_store_full_of_sessions_and_rules_still_takes_revocations() {
        let (_clock, store) = store();
        let store = store.with_max_entries(32);
        for number in 0..30 {
            create(&store, number).await.unwrap();
        }
        assert_eq!(create(&store, 30).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
        revoke(&store, 1).await.unwrap();
        let entry = |change: serde_json::Value| NewFeedEntry {
            until: UnixSeconds(1_010),
            change: serde_json::from_value(change).unwrap(),
        };
        let rule = |number: u8| {
            entry(serde_json::json!({
                "kind": "rule_added", "rule_id": format!("{number:016}"), "rule": { "kind": "user", "user_id": "a" },
            }))
        };
        let rules: Vec<_> = (0..31).map(rule).collect();
        assert_eq!(store.append_feed(&rules).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
        store.append_feed(&rules[..30]).await.unwrap();
        let ended =
            entry(serde_json::json!({ "kind": "session_ended", "session_id": SessionId::new(&user(1), &[1; 32]) }));
        store.append_feed(&[ended]).await.unwrap();
    }
}
