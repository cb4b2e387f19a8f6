//! A store that a test can make fail or hang, and that says what it was asked.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use session_gate_protocol::{
    Claims, ETag, FeedCursor, LeaseAsk, OwnToken, SessionData, SessionId, SessionPatch, SlotTag, TokenId, UnixSeconds,
    UserId,
};

use super::{
    Admission, Admitted, BegunCutOff, Checked, CreateSession, DeviceTallied, FeedPage, FeedPosition, Followers, Health,
    IdempotencyHash, IdempotencyRecords, IndexPlace, LaterVersion, Leased, LockRules, LoginAttempt, LoginCounter,
    LoginCounters, LoginHash, NewFeedEntry, OperationId, PageAsk, PublishedFollowers, RefreshPut, RefreshRecord,
    Renewal, Renewed, Rotated, Rotation, SessionPage, Store, StoreError, StoreErrorKind, Swept, Tallied, Termination,
    Untold, Update, memory::MemoryStore,
};

type Interruption = Pin<Box<dyn Future<Output = ()> + Send>>;

type Delay = Box<dyn FnMut() -> Duration + Send>;

/// What a test does to the store.
#[derive(Default)]
pub(crate) struct Faults {
    /// Whether reading the feed takes for ever.
    pub(crate) hangs: AtomicBool,
    /// Whether the store can be read and accepts no changes.
    pub(crate) refuses: AtomicBool,
    /// Whether the feed may be away alone, as on a Cluster.
    pub(crate) is_cluster: AtomicBool,
    /// How long an operation takes on its way there, and on the way back.
    delay: Mutex<Option<Delay>>,
    /// The operation that fails.
    fails: Mutex<Option<&'static str>>,
    /// The operation that is done, and whose answer is lost, once.
    loses: Mutex<Option<&'static str>>,
    /// What happens before an operation, once.
    interruptions: Mutex<Vec<(&'static str, Interruption)>>,
    /// The operations that were asked for since somebody looked, without those of the background.
    asked: Mutex<Vec<&'static str>>,
}

impl Faults {
    pub(crate) fn fail(&self, op: Option<&'static str>) {
        *self.fails.lock().unwrap() = op;
    }

    /// The next operation of that name is done, and nobody learns of it.
    pub(crate) fn lose_answer(&self, op: &'static str) {
        *self.loses.lock().unwrap() = Some(op);
    }

    /// Does that before the next operation of that name; several for one name happen before one each.
    pub(crate) fn interrupt(&self, op: &'static str, what: impl Future<Output = ()> + Send + 'static) {
        self.interruptions.lock().unwrap().push((op, Box::pin(what)));
    }

    pub(crate) fn delay(&self, delay: impl FnMut() -> Duration + Send + 'static) {
        *self.delay.lock().unwrap() = Some(Box::new(delay));
    }

    async fn travel(&self) {
        let delay = self.delay.lock().unwrap().as_mut().map(|delay| delay());
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
    }

    pub(crate) fn asked(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// The store.
pub(crate) struct Faulty {
    store: Arc<MemoryStore>,
    faults: Arc<Faults>,
}

impl Faulty {
    pub(crate) fn new(store: Arc<MemoryStore>, faults: Arc<Faults>) -> Self {
        Self { store, faults }
    }

    /// Asks the store, with everything that the test has in mind for that operation.
    async fn ask<'a, T, F: Future<Output = Result<T, StoreError>>>(
        &'a self,
        op: &'static str,
        ask: impl FnOnce(&'a MemoryStore) -> F,
    ) -> Result<T, StoreError> {
        self.faults.travel().await;
        let interruption = {
            let mut interruptions = self.faults.interruptions.lock().unwrap();
            let found = interruptions.iter().position(|(name, _)| *name == op);
            found.map(|found| interruptions.remove(found).1)
        };
        if let Some(interruption) = interruption {
            interruption.await;
        }
        if op == "read_feed" && self.faults.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        if !matches!(op, "read_feed" | "publish_followers" | "followers" | "sweep_sessions" | "overdue_evictions") {
            self.faults.asked.lock().unwrap().push(op);
        }
        if *self.faults.fails.lock().unwrap() == Some(op) {
            return Err(StoreError::of_kind(StoreErrorKind::Unavailable));
        }
        let reads = matches!(
            op,
            "session" | "user_sessions" | "check" | "opaque" | "read_feed" | "refresh_record" | "followers" | "health"
        );
        if !reads && self.faults.refuses.load(Ordering::Relaxed) {
            return Err(StoreError::of_kind(StoreErrorKind::Refused));
        }
        let answer = ask(&self.store).await;
        self.faults.travel().await;
        let is_lost = self.faults.loses.lock().unwrap().take_if(|loses| *loses == op).is_some();
        if is_lost { Err(StoreError::of_kind(StoreErrorKind::Timeout)) } else { answer }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for Faulty {
    fn feed_may_be_away_alone(&self) -> bool {
        self.faults.is_cluster.load(Ordering::Relaxed)
    }
    async fn admit_session(
        &self,
        new: CreateSession,
        admission: &Admission,
        op: OperationId,
    ) -> Result<Admitted, StoreError> {
        self.ask("create_session", |store| store.admit_session(new, admission, op)).await
    }
    async fn note_evictions(&self, user: &UserId, op: OperationId) -> Result<(), StoreError> {
        self.ask("note_evictions", |store| store.note_evictions(user, op)).await
    }
    async fn evictions_told(&self, user: &UserId, op: OperationId) -> Result<(), StoreError> {
        self.ask("evictions_told", |store| store.evictions_told(user, op)).await
    }
    async fn overdue_evictions(&self) -> Result<Vec<Untold>, StoreError> {
        self.ask("overdue_evictions", |store| store.overdue_evictions()).await
    }
    async fn put_takeover(&self, user: &UserId, hash: &str, login: &str, lifetime: Duration) -> Result<(), StoreError> {
        self.ask("put_takeover", |store| store.put_takeover(user, hash, login, lifetime)).await
    }
    async fn take_takeover(&self, user: &UserId, hash: &str) -> Result<Option<String>, StoreError> {
        self.ask("take_takeover", |store| store.take_takeover(user, hash)).await
    }
    async fn rotate_session(
        &self,
        old: &SessionId,
        rotation: &Rotation,
        op: OperationId,
    ) -> Result<Rotated, StoreError> {
        self.ask("rotate_session", |store| store.rotate_session(old, rotation, op)).await
    }
    async fn renew_token(&self, session: &SessionId, renewal: &Renewal) -> Result<Renewed, StoreError> {
        self.ask("renew_token", |store| store.renew_token(session, renewal)).await
    }
    async fn refresh_record(&self, session: &SessionId) -> Result<Option<RefreshRecord>, StoreError> {
        self.ask("refresh_record", |store| store.refresh_record(session)).await
    }
    async fn put_refresh_record(
        &self,
        session: &SessionId,
        before: Option<&str>,
        after: &str,
    ) -> Result<RefreshPut, StoreError> {
        self.ask("put_refresh_record", |store| store.put_refresh_record(session, before, after)).await
    }
    async fn session(&self, id: &SessionId) -> Result<Option<SessionData>, StoreError> {
        self.ask("session", |store| store.session(id)).await
    }
    async fn update_session(
        &self,
        id: &SessionId,
        patch: &SessionPatch,
        expected: Option<ETag>,
        op: OperationId,
    ) -> Result<Update, StoreError> {
        self.ask("update_session", |store| store.update_session(id, patch, expected, op)).await
    }
    async fn terminate_session(&self, id: &SessionId, op: OperationId) -> Result<Termination, StoreError> {
        self.ask("terminate_session", |store| store.terminate_session(id, op)).await
    }
    async fn restore_version(&self, id: &SessionId, later: &LaterVersion) -> Result<(), StoreError> {
        self.ask("restore_version", |store| store.restore_version(id, later)).await
    }
    async fn list_sessions(&self, user: &UserId, page: &PageAsk) -> Result<SessionPage, StoreError> {
        self.ask("list_sessions", |store| store.list_sessions(user, page)).await
    }
    async fn active_sessions(&self, user: &UserId, page: &PageAsk) -> Result<SessionPage, StoreError> {
        self.ask("active_sessions", |store| store.active_sessions(user, page)).await
    }
    async fn begin_cut_off(
        &self,
        user: &UserId,
        except: Option<&SessionId>,
        floor: u64,
    ) -> Result<BegunCutOff, StoreError> {
        self.ask("begin_cut_off", |store| store.begin_cut_off(user, except, floor)).await
    }
    async fn finish_cut_off(&self, user: &UserId, before: u64, except: Option<&SessionId>) -> Result<(), StoreError> {
        self.ask("finish_cut_off", |store| store.finish_cut_off(user, before, except)).await
    }
    async fn sweep_sessions(&self, user: &UserId, after: Option<&IndexPlace>) -> Result<Swept, StoreError> {
        self.ask("sweep_sessions", |store| store.sweep_sessions(user, after)).await
    }
    async fn revoke_token(&self, user: &UserId, token: &TokenId, until: UnixSeconds) -> Result<(), StoreError> {
        self.ask("revoke_token", |store| store.revoke_token(user, token, until)).await
    }
    async fn check(&self, token: &OwnToken) -> Result<Checked, StoreError> {
        self.ask("check", |store| store.check(token)).await
    }
    async fn put_opaque(&self, tag: &SlotTag, hash: &str, says: &Claims, end: UnixSeconds) -> Result<(), StoreError> {
        self.ask("put_opaque", |store| store.put_opaque(tag, hash, says, end)).await
    }
    async fn opaque(&self, tag: &SlotTag, hash: &str) -> Result<Option<Claims>, StoreError> {
        self.ask("opaque", |store| store.opaque(tag, hash)).await
    }
    async fn touch(&self, sessions: &[SessionId]) -> Result<(), StoreError> {
        self.ask("touch", |store| store.touch(sessions)).await
    }
    async fn append_feed(&self, entries: &[NewFeedEntry]) -> Result<FeedCursor, StoreError> {
        self.ask("append_feed", |store| store.append_feed(entries)).await
    }
    async fn read_feed(&self, known: Option<&FeedPosition>, limit: usize) -> Result<FeedPage, StoreError> {
        self.ask("read_feed", |store| store.read_feed(known, limit)).await
    }
    async fn publish_followers(
        &self,
        replica: &str,
        told: &Followers,
        lives: Duration,
        overdue: Duration,
    ) -> Result<(), StoreError> {
        self.ask("publish_followers", |store| store.publish_followers(replica, told, lives, overdue)).await
    }
    async fn followers(&self) -> Result<Vec<PublishedFollowers>, StoreError> {
        self.ask("followers", |store| store.followers()).await
    }
    async fn lease(&self, worker: &str, ask: &LeaseAsk) -> Result<Leased, StoreError> {
        self.ask("lease", |store| store.lease(worker, ask)).await
    }
    async fn health(&self) -> Result<Health, StoreError> {
        self.ask("health", |store| store.health()).await
    }
}

#[async_trait]
impl LoginCounters for Faulty {
    async fn login_attempt(
        &self,
        counter: &LoginCounter,
        attempt: LoginAttempt,
        rules: &LockRules,
    ) -> Result<Tallied, StoreError> {
        self.ask("login_attempt", |store| store.login_attempt(counter, attempt, rules)).await
    }
    async fn unlock_account(&self, account: &LoginHash) -> Result<(), StoreError> {
        self.ask("unlock_account", |store| store.unlock_account(account)).await
    }
    async fn device_attempt(
        &self,
        account: &LoginHash,
        token: &LoginHash,
        is_failed: bool,
        rules: &LockRules,
    ) -> Result<DeviceTallied, StoreError> {
        self.ask("device_attempt", |store| store.device_attempt(account, token, is_failed, rules)).await
    }
    async fn issue_device(
        &self,
        account: &LoginHash,
        token: &LoginHash,
        predecessor: Option<&LoginHash>,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        self.ask("issue_device", |store| store.issue_device(account, token, predecessor, lifetime)).await
    }
}

#[async_trait]
impl IdempotencyRecords for Faulty {
    async fn claim_idempotency(
        &self,
        hash: &IdempotencyHash,
        text: &str,
        lifetime: Duration,
    ) -> Result<Option<String>, StoreError> {
        self.ask("claim_idempotency", |store| store.claim_idempotency(hash, text, lifetime)).await
    }

    async fn settle_idempotency(
        &self,
        hash: &IdempotencyHash,
        before: &str,
        after: Option<&str>,
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        self.ask("settle_idempotency", |store| store.settle_idempotency(hash, before, after, lifetime)).await
    }
}
