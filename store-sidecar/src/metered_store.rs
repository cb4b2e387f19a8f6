//! A store that counts and times what another store is asked.

use std::{future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use session_gate_protocol::{
    Claims, ETag, FeedCursor, LeaseAsk, OwnToken, SessionData, SessionId, SessionPatch, SlotTag, TokenId, UnixSeconds,
    UserId,
};
use tokio::time::Instant;

use crate::{
    metrics::Metrics,
    store::{
        Admission, Admitted, BegunCutOff, Checked, CreateSession, DeviceTallied, FeedPage, FeedPosition, Followers,
        Health, IdempotencyHash, IdempotencyRecords, IndexPlace, LaterVersion, Leased, LockRules, LoginAttempt,
        LoginCounter, LoginCounters, LoginHash, NewFeedEntry, OperationId, PageAsk, PublishedFollowers, RefreshPut,
        RefreshRecord, Renewal, Renewed, Rotated, Rotation, SessionPage, Store, StoreError, Swept, Tallied,
        Termination, Untold, Update,
    },
};

/// Counts and times every request to the store within.
pub struct MeteredStore {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
}

impl MeteredStore {
    /// Wraps `store`.
    pub fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics }
    }

    async fn metered<T>(
        &self,
        op: &'static str,
        answer: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let start = Instant::now();
        let answer = answer.await;
        self.metrics.store_answered(op, answer.as_ref().err().map(StoreError::kind), start.elapsed());
        answer
    }
}

impl std::fmt::Debug for MeteredStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MeteredStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for MeteredStore {
    fn feed_may_be_away_alone(&self) -> bool {
        self.store.feed_may_be_away_alone()
    }

    async fn admit_session(
        &self,
        new: CreateSession,
        admission: &Admission,
        op: OperationId,
    ) -> Result<Admitted, StoreError> {
        self.metered("create_session", self.store.admit_session(new, admission, op)).await
    }

    async fn note_evictions(&self, user: &UserId, op: OperationId) -> Result<(), StoreError> {
        self.metered("note_evictions", self.store.note_evictions(user, op)).await
    }

    async fn evictions_told(&self, user: &UserId, op: OperationId) -> Result<(), StoreError> {
        self.metered("evictions_told", self.store.evictions_told(user, op)).await
    }

    async fn overdue_evictions(&self) -> Result<Vec<Untold>, StoreError> {
        self.metered("overdue_evictions", self.store.overdue_evictions()).await
    }

    async fn put_takeover(&self, user: &UserId, hash: &str, login: &str, lifetime: Duration) -> Result<(), StoreError> {
        self.metered("put_takeover", self.store.put_takeover(user, hash, login, lifetime)).await
    }

    async fn take_takeover(&self, user: &UserId, hash: &str) -> Result<Option<String>, StoreError> {
        self.metered("take_takeover", self.store.take_takeover(user, hash)).await
    }

    async fn rotate_session(
        &self,
        old: &SessionId,
        rotation: &Rotation,
        op: OperationId,
    ) -> Result<Rotated, StoreError> {
        self.metered("rotate_session", self.store.rotate_session(old, rotation, op)).await
    }

    async fn renew_token(&self, session: &SessionId, renewal: &Renewal) -> Result<Renewed, StoreError> {
        self.metered("renew_token", self.store.renew_token(session, renewal)).await
    }

    async fn refresh_record(&self, session: &SessionId) -> Result<Option<RefreshRecord>, StoreError> {
        self.metered("refresh_record", self.store.refresh_record(session)).await
    }

    async fn put_refresh_record(
        &self,
        session: &SessionId,
        before: Option<&str>,
        after: &str,
    ) -> Result<RefreshPut, StoreError> {
        self.metered("put_refresh_record", self.store.put_refresh_record(session, before, after)).await
    }

    async fn session(&self, id: &SessionId) -> Result<Option<SessionData>, StoreError> {
        self.metered("session", self.store.session(id)).await
    }

    async fn update_session(
        &self,
        id: &SessionId,
        patch: &SessionPatch,
        expected: Option<ETag>,
        op: OperationId,
    ) -> Result<Update, StoreError> {
        self.metered("update_session", self.store.update_session(id, patch, expected, op)).await
    }

    async fn terminate_session(&self, id: &SessionId, op: OperationId) -> Result<Termination, StoreError> {
        self.metered("terminate_session", self.store.terminate_session(id, op)).await
    }

    async fn restore_version(&self, id: &SessionId, later: &LaterVersion) -> Result<(), StoreError> {
        self.metered("restore_version", self.store.restore_version(id, later)).await
    }

    async fn list_sessions(&self, user: &UserId, page: &PageAsk) -> Result<SessionPage, StoreError> {
        self.metered("list_sessions", self.store.list_sessions(user, page)).await
    }

    async fn active_sessions(&self, user: &UserId, page: &PageAsk) -> Result<SessionPage, StoreError> {
        self.metered("active_sessions", self.store.active_sessions(user, page)).await
    }

    async fn begin_cut_off(
        &self,
        user: &UserId,
        except: Option<&SessionId>,
        floor: u64,
    ) -> Result<BegunCutOff, StoreError> {
        self.metered("begin_cut_off", self.store.begin_cut_off(user, except, floor)).await
    }

    async fn finish_cut_off(&self, user: &UserId, before: u64, except: Option<&SessionId>) -> Result<(), StoreError> {
        self.metered("finish_cut_off", self.store.finish_cut_off(user, before, except)).await
    }

    async fn sweep_sessions(&self, user: &UserId, after: Option<&IndexPlace>) -> Result<Swept, StoreError> {
        self.metered("sweep_sessions", self.store.sweep_sessions(user, after)).await
    }

    async fn revoke_token(&self, user: &UserId, token: &TokenId, expires_at: UnixSeconds) -> Result<(), StoreError> {
        self.metered("revoke_token", self.store.revoke_token(user, token, expires_at)).await
    }

    async fn check(&self, token: &OwnToken) -> Result<Checked, StoreError> {
        self.metered("check", self.store.check(token)).await
    }

    async fn put_opaque(
        &self,
        tag: &SlotTag,
        hash: &str,
        claims: &Claims,
        expires_at: UnixSeconds,
    ) -> Result<(), StoreError> {
        self.metered("put_opaque", self.store.put_opaque(tag, hash, claims, expires_at)).await
    }

    async fn opaque(&self, tag: &SlotTag, hash: &str) -> Result<Option<Claims>, StoreError> {
        self.metered("opaque", self.store.opaque(tag, hash)).await
    }

    async fn touch(&self, sessions: &[SessionId]) -> Result<(), StoreError> {
        self.metered("touch", self.store.touch(sessions)).await
    }

    async fn append_feed(&self, entries: &[NewFeedEntry]) -> Result<FeedCursor, StoreError> {
        self.metered("append_feed", self.store.append_feed(entries)).await
    }

    async fn read_feed(&self, known: Option<&FeedPosition>, limit: usize) -> Result<FeedPage, StoreError> {
        self.metered("read_feed", self.store.read_feed(known, limit)).await
    }

    async fn publish_followers(
        &self,
        replica: &str,
        followers: &Followers,
        lifetime: Duration,
        overdue: Duration,
    ) -> Result<(), StoreError> {
        self.metered("publish_followers", self.store.publish_followers(replica, followers, lifetime, overdue)).await
    }

    async fn followers(&self) -> Result<Vec<PublishedFollowers>, StoreError> {
        self.metered("followers", self.store.followers()).await
    }

    async fn lease(&self, worker: &str, ask: &LeaseAsk) -> Result<Leased, StoreError> {
        self.metered("lease", self.store.lease(worker, ask)).await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        self.metered("health", self.store.health()).await
    }
}

#[async_trait]
impl LoginCounters for MeteredStore {
    async fn login_attempt(
        &self,
        counter: &LoginCounter,
        attempt: LoginAttempt,
        rules: &LockRules,
    ) -> Result<Tallied, StoreError> {
        self.metered("login_attempt", self.store.login_attempt(counter, attempt, rules)).await
    }

    async fn unlock_account(&self, account: &LoginHash) -> Result<(), StoreError> {
        self.metered("unlock_account", self.store.unlock_account(account)).await
    }

    async fn device_attempt(
        &self,
        account: &LoginHash,
        token: &LoginHash,
        is_failed: bool,
        rules: &LockRules,
    ) -> Result<DeviceTallied, StoreError> {
        self.metered("device_attempt", self.store.device_attempt(account, token, is_failed, rules)).await
    }

    async fn issue_device(
        &self,
        account: &LoginHash,
        token: &LoginHash,
        predecessor: Option<&LoginHash>,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        self.metered("issue_device", self.store.issue_device(account, token, predecessor, lifetime)).await
    }
}

#[async_trait]
impl IdempotencyRecords for MeteredStore {
    async fn claim_idempotency(
        &self,
        hash: &IdempotencyHash,
        text: &str,
        lifetime: Duration,
    ) -> Result<Option<String>, StoreError> {
        self.metered("claim_idempotency", self.store.claim_idempotency(hash, text, lifetime)).await
    }

    async fn settle_idempotency(
        &self,
        hash: &IdempotencyHash,
        before: &str,
        after: Option<&str>,
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        self.metered("settle_idempotency", self.store.settle_idempotency(hash, before, after, lifetime)).await
    }
}
