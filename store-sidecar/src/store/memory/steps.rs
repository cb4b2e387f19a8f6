//! The steps of the store: each under one lock.

use std::time::Duration;

use async_trait::async_trait;
use session_gate_protocol::{
    CheckVerdict, Claims, ETag, FeedCursor, LeaseAsk, OwnToken, SessionData, SessionId, SessionPatch, SessionStatus,
    SlotTag, TokenId, UnixSeconds, UserId,
};

use super::state::{Opaque, Revocation, State};
use super::tables::{MemoryStore, full};
use crate::store::feed::epoch_id;
use crate::store::{
    Admission, Admitted, BegunCutOff, Checked, CreateSession, FeedPage, FeedPosition, Followers, Health, IndexPlace,
    LaterVersion, Leased, MAX_LIFETIME, NewFeedEntry, OperationId, PageAsk, PublishedFollowers, RefreshPut,
    RefreshRecord, Renewal, Renewed, Rotated, Rotation, SessionPage, Store, StoreError, StoreErrorKind, StoreSettings,
    Swept, Termination, Untold, Update, patch,
};

#[async_trait]
impl Store for MemoryStore {
    async fn admit_session(
        &self,
        new: CreateSession,
        admission: &Admission,
        op: OperationId,
    ) -> Result<Admitted, StoreError> {
        self.admit(new, admission, op)
    }

    async fn note_evictions(&self, user: &UserId, op: OperationId) -> Result<(), StoreError> {
        self.note_evicting(user, op);
        Ok(())
    }

    async fn evictions_told(&self, _: &UserId, op: OperationId) -> Result<(), StoreError> {
        self.forget_evicting(op);
        Ok(())
    }

    async fn overdue_evictions(&self) -> Result<Vec<Untold>, StoreError> {
        Ok(self.overdue())
    }

    async fn put_takeover(&self, user: &UserId, hash: &str, login: &str, lifetime: Duration) -> Result<(), StoreError> {
        self.keep_takeover(user, hash, login, lifetime)
    }

    async fn take_takeover(&self, user: &UserId, hash: &str) -> Result<Option<String>, StoreError> {
        Ok(self.use_takeover(user, hash))
    }

    async fn rotate_session(
        &self,
        old: &SessionId,
        rotation: &Rotation,
        op: OperationId,
    ) -> Result<Rotated, StoreError> {
        self.rotate(old, rotation, op)
    }

    async fn renew_token(&self, session: &SessionId, renewal: &Renewal) -> Result<Renewed, StoreError> {
        self.renew(session, renewal)
    }

    async fn refresh_record(&self, session: &SessionId) -> Result<Option<RefreshRecord>, StoreError> {
        Ok(self.read_refresh(session))
    }

    async fn put_refresh_record(
        &self,
        session: &SessionId,
        before: Option<&str>,
        after: &str,
    ) -> Result<RefreshPut, StoreError> {
        self.write_refresh(session, before, after)
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

    async fn restore_version(&self, id: &SessionId, later: &LaterVersion) -> Result<(), StoreError> {
        let (mut state, now) = self.write();
        if let Some(session) = state.session(id, now)
            && !session.status.is_final()
            && session.version < later.version
        {
            let op = state.last_operation(id);
            state.replace(later.clone().of(session), now, op);
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
        self.begin(user, except, floor)
    }

    async fn finish_cut_off(&self, user: &UserId, before: u64, except: Option<&SessionId>) -> Result<(), StoreError> {
        self.finish(user, before, except)
    }

    async fn sweep_sessions(&self, user: &UserId, after: Option<&IndexPlace>) -> Result<Swept, StoreError> {
        self.sweep(user, after)
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
        overdue: Duration,
    ) -> Result<(), StoreError> {
        let (mut log, millis) = self.log()?;
        log.publish(replica, followers, lifetime, overdue, millis);
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

/// Notes a use of the session where the noted one is older than the resolution.
pub(super) fn note_activity(state: &mut State, session: &SessionData, now: UnixSeconds, settings: &StoreSettings) {
    let age = now.since(session.last_activity).as_secs();
    // Only a session that may be used is in use: a suspended one does not live longer by being asked for.
    if session.status.may_mint() && age > settings.resolution_for(session.idle_timeout) {
        state.note_activity(&session.session_id, now);
    }
}
