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
        Checked, CreateSession, FeedPage, FeedPosition, Followers, Health, Leased, NewFeedEntry, OperationId,
        PublishedFollowers, Store, StoreError, Termination, Update, UserTermination,
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
    async fn create_session(&self, new: CreateSession, op: OperationId) -> Result<SessionData, StoreError> {
        self.metered("create_session", self.store.create_session(new, op)).await
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

    async fn user_sessions(&self, user: &UserId) -> Result<Vec<SessionData>, StoreError> {
        self.metered("user_sessions", self.store.user_sessions(user)).await
    }

    async fn terminate_user_sessions(
        &self,
        user: &UserId,
        named: &[SessionId],
        op: OperationId,
    ) -> Result<UserTermination, StoreError> {
        self.metered("terminate_user_sessions", self.store.terminate_user_sessions(user, named, op)).await
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
    ) -> Result<(), StoreError> {
        self.metered("publish_followers", self.store.publish_followers(replica, followers, lifetime)).await
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
