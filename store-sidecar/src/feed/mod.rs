//! The change feed, as this replica knows it: one task reads the store's and keeps all that is of use
//! in memory; workers are answered from there. Their polls are receipts of what they have applied.
//!
//! What a reply proves: its worker then knows everything that was in the feed `age_ms` before the
//! reply was written. Only a reading that went up to the end of the feed counts, from the moment at
//! which it was sent.

mod again;
mod followers;
mod judge;
mod known;
mod limits;
mod receipt;
mod tail;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use session_gate_protocol::{FeedCursor, FeedEntry, FeedQuery, FeedReply};
use tokio::{
    sync::{Mutex as AsyncMutex, Notify, watch},
    time::{Instant, sleep_until, timeout_at},
};

use self::{followers::Registry, known::Known, limits::Crowd};
pub use self::{
    judge::{Against, Client, KnownSession, RulePage},
    limits::OverridePage,
};
use crate::{
    metrics::{FeedState, Metrics, PollOutcome},
    store::{FeedPosition, NewFeedEntry, Store, StoreError, StoreErrorKind},
};

/// How much goes into one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pages {
    /// Of a reply to a worker: characters of JSON, but for a single entry that is longer.
    pub reply_chars: usize,
    /// Of a reading of the store: entries, during which Redis does nothing else.
    pub reading: usize,
}

impl Default for Pages {
    fn default() -> Self {
        // Well below what the filter takes; some milliseconds.
        Self { reply_chars: 192 * 1024, reading: 1_000 }
    }
}

/// Entries that are appended in one step, during which Redis does nothing else.
const MAX_APPENDED: usize = 1_000;

/// For how long a reply is held back at most while there is nothing to say.
pub const MAX_WAIT: Duration = Duration::from_secs(10);

/// For how long a worker's first poll waits at least until the other replicas can know of it: far more
/// than a store takes that answers at all. Nobody may trust what we tell while another replica answers
/// that nobody is left who could.
const INTRODUCTION: Duration = Duration::from_secs(1);

/// The change feed. Reads on until it is dropped.
pub struct Feed {
    shared: Arc<Shared>,
    tail: tokio::task::AbortHandle,
}

/// What the task that reads and those who are answered share.
struct Shared {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    /// This replica's name among the others.
    replica: String,
    pages: Pages,
    /// Plain locks: nobody waits for anything while holding one.
    known: RwLock<Option<Known>>,
    registry: Mutex<Registry>,
    crowd: Mutex<Crowd>,
    /// Makes the task read at once.
    wake: Notify,
    /// Told whenever there is something new to answer with.
    news: watch::Sender<()>,
    /// Told with every reading up to the end: when it was sent.
    proven: watch::Sender<Option<Instant>>,
    /// The newest generation of workers that the other replicas can know of, and that a reading has
    /// followed.
    introduced: watch::Sender<u64>,
    /// Told with every poll.
    polled: watch::Sender<()>,
    /// Lets one poll at a time ask the store about a place that this replica doesn't know.
    ahead: AsyncMutex<()>,
    closing: AtomicBool,
}

impl Feed {
    /// Starts to read the store's feed. `replica` names this sidecar among those of the same store.
    pub fn start(store: Arc<dyn Store>, metrics: Arc<Metrics>, replica: String) -> Self {
        Self::start_with(store, metrics, replica, Pages::default())
    }

    /// The same with pages of another size.
    pub fn start_with(store: Arc<dyn Store>, metrics: Arc<Metrics>, replica: String, pages: Pages) -> Self {
        let shared = Arc::new(Shared {
            store,
            metrics,
            replica,
            pages,
            known: RwLock::default(),
            registry: Mutex::default(),
            crowd: Mutex::default(),
            wake: Notify::new(),
            news: watch::Sender::default(),
            proven: watch::Sender::default(),
            introduced: watch::Sender::default(),
            polled: watch::Sender::default(),
            ahead: AsyncMutex::default(),
            closing: AtomicBool::new(false),
        });
        let tail = tokio::spawn(tail::run(Arc::clone(&shared))).abort_handle();
        Self { shared, tail }
    }

    /// Tells everybody of these changes. Answers the place up to which a worker must have applied the
    /// feed to know of them.
    ///
    /// # Errors
    /// Those of the store: then nobody may rely on it that they are told.
    pub async fn append(&self, entries: &[NewFeedEntry]) -> Result<FeedCursor, StoreError> {
        let mut at = FeedCursor::START;
        for entries in entries.chunks(MAX_APPENDED) {
            at = self.shared.store.append_feed(entries).await?;
            self.shared.wake.notify_one();
            for entry in entries {
                self.shared.metrics.feed_appended(&entry.change);
            }
        }
        Ok(at)
    }

    /// The end of the feed: whoever has applied it up to there knows of all that was told by now.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn end(&self) -> Result<FeedCursor, StoreError> {
        Ok(self.shared.store.read_feed(self.shared.position().as_ref(), 1).await?.last)
    }

    /// Answers a worker: at once if there is something that it doesn't know, else when there is, or
    /// when its time is over.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub async fn poll(&self, query: &FeedQuery) -> Result<FeedReply, StoreError> {
        let (outcome, reply) = match self.answer(query).await {
            Ok(reply) if reply.entries.is_empty() && reply.ended.is_empty() => (PollOutcome::Empty, Ok(reply)),
            Ok(reply) => (PollOutcome::News, Ok(reply)),
            Err(error) => (PollOutcome::Unavailable, Err(error)),
        };
        self.shared.metrics.feed_polled(outcome);
        reply
    }

    async fn answer(&self, query: &FeedQuery) -> Result<FeedReply, StoreError> {
        let shared = &*self.shared;
        let arrived = Instant::now();
        let deadline = arrived + Duration::from_millis(query.wait_ms).min(MAX_WAIT);
        let trust = Duration::from_millis(query.max_staleness_ms);
        let generation = shared
            .registry()
            .note(query, arrived)
            .map_err(|_| StoreError::new(StoreErrorKind::Unavailable, "too many workers poll the feed"))?;
        shared.polled.send_replace(());
        let mut news = shared.news.subscribe();
        let mut introduced = shared.introduced.subscribe();
        if *introduced.borrow() < generation {
            shared.wake.notify_one();
        }
        let mut doubted = false;
        loop {
            news.borrow_and_update();
            let is_introduced = *introduced.borrow_and_update() >= generation;
            if !doubted && shared.contradicts(query) {
                doubted = true;
                shared.look_again(query, arrived).await;
                continue;
            }
            let now = Instant::now();
            let closing = shared.closing.load(Ordering::Relaxed);
            let can_answer = match &*shared.known() {
                // What is too old to be trusted may be told to anybody.
                Some(known) if is_introduced || known.age() >= trust => {
                    if closing || deadline <= now || known.has_news(query) {
                        return Ok(known.reply(query, shared.pages.reply_chars));
                    }
                    true
                }
                _ => false,
            };
            let until = if can_answer { deadline } else { deadline.max(arrived + INTRODUCTION) };
            if !can_answer && (closing || until <= now) {
                return Err(StoreError::new(StoreErrorKind::Unavailable, NEVER_READ));
            }
            tokio::select! {
                biased;
                () = sleep_until(until) => {}
                _ = news.changed() => {}
                _ = introduced.changed(), if !is_introduced => {}
            }
        }
    }

    /// The entries that are of use, `limit` of them at most, and the place up to which they go; and
    /// whether there are more.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub fn entries(&self, after: FeedCursor, limit: usize) -> Result<(Vec<FeedEntry>, FeedCursor, bool), StoreError> {
        let known = self.shared.known();
        let known = known.as_ref().ok_or_else(|| StoreError::new(StoreErrorKind::Unavailable, NEVER_READ))?;
        let (entries, cursor) = known.after(after, limit);
        Ok((entries, cursor, cursor < known.cursor))
    }

    /// Holds back no more replies, so that the service can stop.
    pub fn close(&self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.shared.news.send_replace(());
    }

    /// Sets the gauges.
    pub fn measure(&self) {
        let workers = self.shared.registry().list("", Instant::now(), true).len();
        let state = self.shared.known().as_ref().map(|known| {
            let [facts, remembered] = known.facts();
            let rules = facts.rules().len().max(remembered.rules().len());
            FeedState { entries: known.len(), rules, age: known.age() }
        });
        self.shared.metrics.feed_state(state, workers);
    }
}

const NEVER_READ: &str = "the feed has not been read to its end";

impl Drop for Feed {
    fn drop(&mut self) {
        self.tail.abort();
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("replica", &self.shared.replica).finish_non_exhaustive()
    }
}

impl Shared {
    fn known(&self) -> RwLockReadGuard<'_, Option<Known>> {
        // No step can panic half-way through a change, so what a poisoned lock guards is sound.
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn crowd(&self) -> MutexGuard<'_, Crowd> {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the worker knows another epoch, or more of this one, than this replica.
    fn contradicts(&self, query: &FeedQuery) -> bool {
        match (&*self.known(), &query.epoch) {
            (Some(known), Some(epoch)) => *epoch != known.epoch.id || query.after > known.cursor,
            (None, _) | (_, None) => false,
        }
    }

    /// Finds out who is behind: this replica, or the store. A reading that was sent after the worker
    /// asked catches up with other replicas. If the worker still knows more of this epoch, the store is
    /// asked about that place, and begins a new epoch if it has lost it.
    async fn look_again(&self, query: &FeedQuery, arrived: Instant) {
        let mut proven = self.proven.subscribe();
        self.wake.notify_one();
        let read = proven.wait_for(|proven| proven.is_some_and(|proven| proven >= arrived));
        if timeout_at(arrived + INTRODUCTION, read).await.is_err() {
            // The store is away. What is known is answered as what it is: old.
            return;
        }
        // One after the other: what the first finds out answers the rest.
        let _turn = self.ahead.lock().await;
        let position = match (&*self.known(), &query.epoch) {
            (Some(known), Some(epoch)) if *epoch == known.epoch.id && query.after > known.cursor => {
                FeedPosition { epoch: epoch.clone(), at: query.after }
            }
            _ => return,
        };
        match self.store.read_feed(Some(&position), 1).await {
            Ok(page) if page.epoch.id != position.epoch => {
                tracing::warn!("a worker knows entries of the feed that the store has lost: a new epoch begins");
            }
            Ok(_) => {}
            Err(_) => return,
        }
        self.wake.notify_one();
        let mut news = self.news.subscribe();
        let caught_up = async { while self.contradicts(query) && news.changed().await.is_ok() {} };
        // If it takes longer, what is known is answered.
        drop(timeout_at(arrived + INTRODUCTION, caught_up).await);
    }
}
