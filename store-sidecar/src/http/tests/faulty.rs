//! A store that a test can make fail or hang, and that says what it was asked.

use std::{
    future::Future,
    pin::Pin,
    sync::{Mutex, atomic::AtomicBool, atomic::Ordering},
};

use super::*;

type Interruption = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a test does to the store.
#[derive(Default)]
pub(super) struct Faults {
    /// Whether reading the feed takes for ever.
    pub(super) hangs: AtomicBool,
    /// The operation that fails.
    fails: Mutex<Option<&'static str>>,
    /// What happens before an operation, once.
    interruptions: Mutex<Vec<(&'static str, Interruption)>>,
    /// The operations that were asked for since somebody looked, without those of the background.
    asked: Mutex<Vec<&'static str>>,
}

impl Faults {
    pub(super) fn fail(&self, op: Option<&'static str>) {
        *self.fails.lock().unwrap() = op;
    }

    /// Does that before the next operation of that name; several for one name happen before one each.
    pub(super) fn interrupt(&self, op: &'static str, what: impl Future<Output = ()> + Send + 'static) {
        self.interruptions.lock().unwrap().push((op, Box::pin(what)));
    }

    pub(super) fn asked(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// The store.
pub(super) struct Faulty {
    store: Arc<MemoryStore>,
    faults: Arc<Faults>,
}

/// A gate over such a store, and what makes it fail.
pub(super) fn faulty(idle_timeout: Option<Duration>) -> (Gate, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let given = Arc::clone(&faults);
    let store: Box<dyn FnOnce(Arc<MemoryStore>) -> Arc<dyn Store>> =
        Box::new(move |store| Arc::new(Faulty { store, faults: given }));
    (Gate::with(Setup { store: Some(store), idle_timeout, ..Setup::default() }), faults)
}

impl Faulty {
    async fn ask(&self, op: &'static str) -> Result<&MemoryStore, StoreError> {
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
        if !matches!(op, "read_feed" | "publish_followers" | "followers") {
            self.faults.asked.lock().unwrap().push(op);
        }
        if *self.faults.fails.lock().unwrap() == Some(op) {
            return Err(StoreError::of_kind(StoreErrorKind::Unavailable));
        }
        Ok(&self.store)
    }
}

#[async_trait]
impl Store for Faulty {
    async fn create_session(&self, new: CreateSession) -> Result<SessionData, StoreError> {
        self.ask("create_session").await?.create_session(new).await
    }
    async fn session(&self, id: &SessionId) -> Result<Option<SessionData>, StoreError> {
        self.ask("session").await?.session(id).await
    }
    async fn update_session(
        &self,
        id: &SessionId,
        patch: &SessionPatch,
        expected: Option<ETag>,
    ) -> Result<Update, StoreError> {
        self.ask("update_session").await?.update_session(id, patch, expected).await
    }
    async fn terminate_session(&self, id: &SessionId) -> Result<Termination, StoreError> {
        self.ask("terminate_session").await?.terminate_session(id).await
    }
    async fn user_sessions(&self, user: &UserId) -> Result<Vec<SessionData>, StoreError> {
        self.ask("user_sessions").await?.user_sessions(user).await
    }
    async fn terminate_user_sessions(&self, user: &UserId, named: &[SessionId]) -> Result<UserTermination, StoreError> {
        self.ask("terminate_user_sessions").await?.terminate_user_sessions(user, named).await
    }
    async fn revoke_token(&self, user: &UserId, token: &TokenId, until: UnixSeconds) -> Result<(), StoreError> {
        self.ask("revoke_token").await?.revoke_token(user, token, until).await
    }
    async fn check(&self, request: &CheckRequest) -> Result<CheckVerdict, StoreError> {
        self.ask("check").await?.check(request).await
    }
    async fn touch(&self, sessions: &[SessionId]) -> Result<(), StoreError> {
        self.ask("touch").await?.touch(sessions).await
    }
    async fn append_feed(&self, entries: &[NewFeedEntry]) -> Result<FeedCursor, StoreError> {
        self.ask("append_feed").await?.append_feed(entries).await
    }
    async fn read_feed(&self, known: Option<&FeedPosition>, limit: usize) -> Result<FeedPage, StoreError> {
        self.ask("read_feed").await?.read_feed(known, limit).await
    }
    async fn publish_followers(&self, replica: &str, told: &Followers, lives: Duration) -> Result<(), StoreError> {
        self.ask("publish_followers").await?.publish_followers(replica, told, lives).await
    }
    async fn followers(&self) -> Result<Vec<PublishedFollowers>, StoreError> {
        self.ask("followers").await?.followers().await
    }
    async fn health(&self) -> Result<Health, StoreError> {
        self.ask("health").await?.health().await
    }
}
