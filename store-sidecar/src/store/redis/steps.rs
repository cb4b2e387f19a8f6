//! The steps of the store: what each runs is in the module of its subject.

use std::time::Duration;

use async_trait::async_trait;
use session_gate_protocol::{
    Claims, ETag, FeedCursor, LeaseAsk, OwnToken, SessionData, SessionId, SessionPatch, SlotTag, TokenId, UnixSeconds,
    UserId,
};

use super::client::RedisStore;
use super::cut_off::Purpose;
use super::fitness::Look;
use super::scripts;
use super::values::secs;
use crate::store::{
    Admission, Admitted, BegunCutOff, Checked, CreateSession, FeedPage, FeedPosition, Followers, Health, IndexPlace,
    LaterVersion, Leased, MAX_LIFETIME, NewFeedEntry, OperationId, PageAsk, PublishedFollowers, RefreshPut,
    RefreshRecord, Renewal, Renewed, Rotated, Rotation, SessionPage, Store, StoreError, StoreErrorKind, Swept,
    Termination, Untold, Update,
};

/// Sessions whose activity one script notes, so that it is over soon.
const MAX_TOUCHED: usize = 200;

#[async_trait]
impl Store for RedisStore {
    fn feed_may_be_away_alone(&self) -> bool {
        !self.shares_slots
    }

    async fn admit_session(
        &self,
        new: CreateSession,
        admission: &Admission,
        op: OperationId,
    ) -> Result<Admitted, StoreError> {
        self.create(new, admission, op).await
    }

    async fn note_evictions(&self, user: &UserId, op: OperationId) -> Result<(), StoreError> {
        self.note_evicting(user, op).await
    }

    async fn evictions_told(&self, user: &UserId, op: OperationId) -> Result<(), StoreError> {
        self.forget_evicting(user, op).await
    }

    async fn overdue_evictions(&self) -> Result<Vec<Untold>, StoreError> {
        self.overdue().await
    }

    async fn put_takeover(&self, user: &UserId, hash: &str, login: &str, lifetime: Duration) -> Result<(), StoreError> {
        self.keep_takeover(user, hash, login, lifetime).await
    }

    async fn take_takeover(&self, user: &UserId, hash: &str) -> Result<Option<String>, StoreError> {
        self.use_takeover(user, hash).await
    }

    async fn rotate_session(
        &self,
        old: &SessionId,
        rotation: &Rotation,
        op: OperationId,
    ) -> Result<Rotated, StoreError> {
        self.rotate(old, rotation, op).await
    }

    async fn renew_token(&self, session: &SessionId, renewal: &Renewal) -> Result<Renewed, StoreError> {
        self.renew(session, renewal).await
    }

    async fn refresh_record(&self, session: &SessionId) -> Result<Option<RefreshRecord>, StoreError> {
        self.read_refresh(session).await
    }

    async fn put_refresh_record(
        &self,
        session: &SessionId,
        before: Option<&str>,
        after: &str,
    ) -> Result<RefreshPut, StoreError> {
        self.write_refresh(session, before, after).await
    }

    async fn session(&self, id: &SessionId) -> Result<Option<SessionData>, StoreError> {
        Ok(self.read(id, self.deadline()).await?.map(|stored| stored.session))
    }

    async fn update_session(
        &self,
        id: &SessionId,
        patch: &SessionPatch,
        expected: Option<ETag>,
        op: OperationId,
    ) -> Result<Update, StoreError> {
        self.change(id, patch, expected, op).await
    }

    async fn terminate_session(&self, id: &SessionId, op: OperationId) -> Result<Termination, StoreError> {
        self.terminate(id, op).await
    }

    async fn restore_version(&self, id: &SessionId, later: &LaterVersion) -> Result<(), StoreError> {
        let LaterVersion { version, is_suspended, scopes } = later;
        let keys = [&*self.keys.session(id), &self.keys.cut_offs(&id.tag())];
        let scopes = match scopes {
            None => String::new(),
            Some(None) => "-".to_owned(),
            Some(Some(scopes)) => format!("+{scopes}"),
        };
        let is_suspended = if *is_suspended { "1" } else { "0" };
        let arguments = [&*version.to_string(), is_suspended, &scopes];
        self.run(&scripts::RESTORE_VERSION, &keys, &arguments, self.deadline()).await
    }

    async fn list_sessions(&self, user: &UserId, page: &PageAsk) -> Result<SessionPage, StoreError> {
        self.page(user, page, Purpose::Read).await
    }

    async fn active_sessions(&self, user: &UserId, page: &PageAsk) -> Result<SessionPage, StoreError> {
        self.page(user, page, Purpose::FindActive).await
    }

    async fn begin_cut_off(
        &self,
        user: &UserId,
        except: Option<&SessionId>,
        floor: u64,
    ) -> Result<BegunCutOff, StoreError> {
        self.begin(user, except, floor).await
    }

    async fn finish_cut_off(&self, user: &UserId, before: u64, except: Option<&SessionId>) -> Result<(), StoreError> {
        self.finish(user, before, except).await
    }

    async fn sweep_sessions(&self, user: &UserId, after: Option<&IndexPlace>) -> Result<Swept, StoreError> {
        self.sweep(user, after).await
    }

    async fn revoke_token(&self, user: &UserId, token: &TokenId, expires_at: UnixSeconds) -> Result<(), StoreError> {
        self.run(
            &scripts::REVOKE,
            &[&self.keys.revoked(user, token)],
            &[&expires_at.0.to_string(), &MAX_LIFETIME.as_secs().to_string()],
            self.deadline(),
        )
        .await
    }

    async fn check(&self, token: &OwnToken) -> Result<Checked, StoreError> {
        self.check_token(token).await
    }

    async fn put_opaque(
        &self,
        tag: &SlotTag,
        hash: &str,
        claims: &Claims,
        expires_at: UnixSeconds,
    ) -> Result<(), StoreError> {
        self.write_opaque(tag, hash, claims, expires_at).await
    }

    async fn opaque(&self, tag: &SlotTag, hash: &str) -> Result<Option<Claims>, StoreError> {
        self.read_opaque(tag, hash).await
    }

    async fn touch(&self, sessions: &[SessionId]) -> Result<(), StoreError> {
        let resolution = secs(self.settings.activity_resolution);
        let touch = async |keys: &[&str]| self.run::<()>(&scripts::TOUCH, keys, &[&resolution], self.deadline()).await;
        let keys = sessions.iter().flat_map(|id| [self.keys.session(id), self.keys.cut_offs(&id.tag())]);
        let keys: Vec<String> = keys.collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        // In a Cluster each session may have a slot of its own. Nobody waits for this, so one after the
        // other will do, and a node that hangs is asked once.
        for keys in keys.chunks(2 * if self.shares_slots { MAX_TOUCHED } else { 1 }) {
            touch(keys).await?;
        }
        Ok(())
    }

    async fn append_feed(&self, entries: &[NewFeedEntry]) -> Result<FeedCursor, StoreError> {
        self.append_to_feed(entries).await
    }

    async fn read_feed(&self, known: Option<&FeedPosition>, limit: usize) -> Result<FeedPage, StoreError> {
        self.read_from_feed(known, limit).await
    }

    async fn publish_followers(
        &self,
        replica: &str,
        followers: &Followers,
        lifetime: Duration,
        overdue: Duration,
    ) -> Result<(), StoreError> {
        self.write_followers(replica, followers, lifetime, overdue).await
    }

    async fn followers(&self) -> Result<Vec<PublishedFollowers>, StoreError> {
        self.read_followers().await
    }

    async fn lease(&self, worker: &str, ask: &LeaseAsk) -> Result<Leased, StoreError> {
        self.take_lease(worker, ask).await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        let report = self.look().await.map_err(|look| match look {
            Look::Failed(error) => error,
            Look::Unfit(unfit) => StoreError::new(StoreErrorKind::Unfit, unfit),
        })?;
        let memory_bytes = report.used_memory;
        Ok(Health { backend: "redis", active_sessions: None, memory_bytes, counters: None })
    }
}
