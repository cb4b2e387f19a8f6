//! Each question to the store, with what it needs in its own hands: its asker may be gone when it arrives.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use session_gate_protocol::{
    Claims, ETag, FeedCursor, LeaseAsk, OwnToken, SessionData, SessionId, SessionPatch, SessionStatus, SlotTag,
    TokenId, UnixSeconds, UserId,
};
use store_sidecar::store::{
    Checked, CreateSession, FeedPage, FeedPosition, Followers, Health, Leased, NewFeedEntry, OperationId,
    PublishedFollowers, Store, StoreError, Termination, Update, UserTermination,
};

use super::{LeaseStep, ReplicaStore, SharedStore, StoreLink};

impl fmt::Debug for SharedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedStore").finish_non_exhaustive()
    }
}

impl fmt::Debug for StoreLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreLink").finish_non_exhaustive()
    }
}

impl fmt::Debug for ReplicaStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplicaStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for ReplicaStore {
    async fn create_session(&self, new: CreateSession, op: OperationId) -> Result<SessionData, StoreError> {
        let create = move |shared: Arc<SharedStore>| async move {
            let session = shared.current().create_session(new, op).await?;
            shared.note_birth(&session.session_id);
            Ok(session)
        };
        self.ask(Box::new(move |shared| Box::pin(create(shared)))).await
    }

    async fn session(&self, id: &SessionId) -> Result<Option<SessionData>, StoreError> {
        let id = id.clone();
        self.ask(Box::new(|shared| Box::pin(async move { shared.current().session(&id).await }))).await
    }

    async fn update_session(
        &self,
        id: &SessionId,
        patch: &SessionPatch,
        expected: Option<ETag>,
        op: OperationId,
    ) -> Result<Update, StoreError> {
        let (id, patch) = (id.clone(), patch.clone());
        let update = move |shared: Arc<SharedStore>| async move {
            let update = shared.current().update_session(&id, &patch, expected, op).await?;
            if let Update::Applied(session) = &update {
                shared.note(&id, session.version, session.status);
            }
            Ok(update)
        };
        self.ask(Box::new(move |shared| Box::pin(update(shared)))).await
    }

    async fn terminate_session(&self, id: &SessionId, op: OperationId) -> Result<Termination, StoreError> {
        let id = id.clone();
        let terminate = move |shared: Arc<SharedStore>| async move {
            let termination = shared.current().terminate_session(&id, op).await?;
            if termination == Termination::Ended {
                shared.note(&id, u64::MAX, SessionStatus::Terminated);
            }
            Ok(termination)
        };
        self.ask(Box::new(|shared| Box::pin(terminate(shared)))).await
    }

    async fn user_sessions(&self, user: &UserId) -> Result<Vec<SessionData>, StoreError> {
        let user = user.clone();
        self.ask(Box::new(|shared| Box::pin(async move { shared.current().user_sessions(&user).await }))).await
    }

    async fn terminate_user_sessions(
        &self,
        user: &UserId,
        named: &[SessionId],
        op: OperationId,
    ) -> Result<UserTermination, StoreError> {
        let (user, named) = (user.clone(), named.to_vec());
        let terminate = move |shared: Arc<SharedStore>| async move {
            let termination = shared.current().terminate_user_sessions(&user, &named, op).await?;
            named.iter().for_each(|id| shared.note(id, u64::MAX, SessionStatus::Terminated));
            Ok(termination)
        };
        self.ask(Box::new(|shared| Box::pin(terminate(shared)))).await
    }

    async fn revoke_token(&self, user: &UserId, token: &TokenId, until: UnixSeconds) -> Result<(), StoreError> {
        let (user, token) = (user.clone(), token.clone());
        let revoke =
            move |shared: Arc<SharedStore>| async move { shared.current().revoke_token(&user, &token, until).await };
        self.ask(Box::new(|shared| Box::pin(revoke(shared)))).await
    }

    async fn check(&self, token: &OwnToken) -> Result<Checked, StoreError> {
        let token = token.clone();
        self.ask(Box::new(|shared| Box::pin(async move { shared.current().check(&token).await }))).await
    }

    async fn put_opaque(
        &self,
        tag: &SlotTag,
        hash: &str,
        claims: &Claims,
        until: UnixSeconds,
    ) -> Result<(), StoreError> {
        let (tag, hash, claims) = (tag.clone(), hash.to_owned(), claims.clone());
        let put = move |shared: Arc<SharedStore>| async move {
            shared.current().put_opaque(&tag, &hash, &claims, until).await
        };
        self.ask(Box::new(|shared| Box::pin(put(shared)))).await
    }

    async fn opaque(&self, tag: &SlotTag, hash: &str) -> Result<Option<Claims>, StoreError> {
        let (tag, hash) = (tag.clone(), hash.to_owned());
        self.ask(Box::new(|shared| Box::pin(async move { shared.current().opaque(&tag, &hash).await }))).await
    }

    async fn touch(&self, sessions: &[SessionId]) -> Result<(), StoreError> {
        let sessions = sessions.to_vec();
        self.ask(Box::new(|shared| Box::pin(async move { shared.current().touch(&sessions).await }))).await
    }

    async fn append_feed(&self, entries: &[NewFeedEntry]) -> Result<FeedCursor, StoreError> {
        let entries = entries.to_vec();
        self.ask(Box::new(|shared| Box::pin(async move { shared.current().append_feed(&entries).await }))).await
    }

    async fn read_feed(&self, known: Option<&FeedPosition>, limit: usize) -> Result<FeedPage, StoreError> {
        let known = known.cloned();
        let read =
            move |shared: Arc<SharedStore>| async move { shared.current().read_feed(known.as_ref(), limit).await };
        self.ask(Box::new(move |shared| Box::pin(read(shared)))).await
    }

    async fn publish_followers(&self, replica: &str, told: &Followers, lives: Duration) -> Result<(), StoreError> {
        let (replica, told) = (replica.to_owned(), told.clone());
        let publish = move |shared: Arc<SharedStore>| async move {
            shared.current().publish_followers(&replica, &told, lives).await
        };
        self.ask(Box::new(move |shared| Box::pin(publish(shared)))).await
    }

    async fn followers(&self) -> Result<Vec<PublishedFollowers>, StoreError> {
        self.ask(Box::new(|shared| Box::pin(async move { shared.current().followers().await }))).await
    }

    async fn lease(&self, worker: &str, ask: &LeaseAsk) -> Result<Leased, StoreError> {
        let (worker, ask) = (worker.to_owned(), ask.clone());
        let lease = move |shared: Arc<SharedStore>| async move {
            let leased = shared.current().lease(&worker, &ask).await?;
            let Leased { lease: given, returned, lapsed, .. } = &leased;
            shared.note_lease(LeaseStep {
                counter: ask.counter,
                worker,
                lease: ask.lease,
                granted: given.granted,
                lifetime_ms: given.lifetime_ms,
                returned: *returned,
                lapsed: *lapsed,
                outstanding: given.outstanding,
            });
            Ok(leased)
        };
        self.ask(Box::new(move |shared| Box::pin(lease(shared)))).await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        self.ask(Box::new(|shared| Box::pin(async move { shared.current().health().await }))).await
    }
}
