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
mod poll;
mod receipt;
mod record;
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

use session_gate_protocol::{FeedCursor, FeedEntry};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use self::{followers::Registry, known::Known, limits::Crowd};
pub use self::{
    judge::{Against, Client, KnownSession, RulePage},
    limits::OverridePage,
};
use crate::{
    critical,
    metrics::{FeedState, FollowerState, Metrics},
    store::{NewFeedEntry, Store, StoreError, StoreErrorKind},
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

/// After which time without a turn the task that reads is taken for dead: each of its turns is far shorter, whatever the
/// store does.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// How the feed is for the workers that follow it at this replica.
#[derive(Clone, Copy, Debug)]
pub struct FeedStatus {
    /// How long ago what is known was all there was; none: it has never been read up to its end.
    pub age: Option<Duration>,
    /// Those who follow.
    pub followers: FollowerState,
}

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
    /// When the last reading up to the end was sent that workers may believe: see `record`.
    vouched: watch::Sender<Option<Instant>>,
    /// The newest generation of workers that the other replicas can know of, and that a reading has
    /// followed.
    registered: watch::Sender<u64>,
    /// Told with every record of this replica: whom it may answer about single tokens.
    answering: watch::Sender<Option<record::Answering>>,
    /// Whether the store accepts changes.
    refused: Mutex<Refused>,
    /// Whether somebody waits for a replica that has not renewed its record in time: then it is to be marked as gone.
    silent: AtomicBool,
    /// When the task that reads began its last turn.
    turned: watch::Sender<Instant>,
    /// Told with every poll.
    polled: watch::Sender<()>,
    closing: AtomicBool,
}

/// What is known of the store's accepting changes.
#[derive(Debug, Default)]
struct Refused {
    /// Whether it has refused the last one of this replica's records.
    is_refused: bool,
    /// When it last did so.
    last: Option<Instant>,
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
            vouched: watch::Sender::default(),
            registered: watch::Sender::default(),
            answering: watch::Sender::default(),
            refused: Mutex::default(),
            silent: AtomicBool::new(false),
            turned: watch::Sender::new(Instant::now()),
            polled: watch::Sender::default(),
            closing: AtomicBool::new(false),
        });
        let tail = critical::spawn("the reading of the change feed", tail::run(Arc::clone(&shared)));
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

    /// Holds back no more replies, so that the service can stop, and has the others wait no longer for it than for its
    /// workers.
    pub fn close(&self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.shared.wake.notify_one();
        self.shared.news.send_replace(());
    }

    /// Whether it has been read up to its end once.
    pub fn is_read(&self) -> bool {
        self.shared.known().is_some()
    }

    /// Whether the task that reads it is at work, be it in vain.
    pub fn is_turning(&self) -> bool {
        self.shared.turned.borrow().elapsed() < STUCK_AFTER
    }

    /// How it is for the workers that follow it here.
    pub fn status(&self) -> FeedStatus {
        let workers = self.shared.registry().list("", Instant::now(), true).len();
        let age = self.shared.known().as_ref().map(Known::age);
        FeedStatus { age, followers: FollowerState { workers, registers: self.shared.registers() } }
    }

    /// Sets the gauges.
    pub fn measure(&self) {
        let FeedStatus { age: _, followers } = self.status();
        let state = self.shared.known().as_ref().map(|known| {
            let [facts, remembered] = known.facts();
            let rules = facts.rules().len().max(remembered.rules().len());
            FeedState { entries: known.len(), rules, age: known.age() }
        });
        self.shared.metrics.feed_state(state, followers);
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

    /// How old is what workers may believe; none: this replica has never been able to vouch for anything.
    fn age_for_workers(&self) -> Option<Duration> {
        self.vouched.borrow().map(|vouched| vouched.elapsed())
    }

    /// Whether the others can know of workers that are new here.
    fn registers(&self) -> bool {
        self.vouched.borrow().is_some() && !self.is_refused()
    }

    /// Whether the store accepts no changes.
    fn is_refused(&self) -> bool {
        self.refused().is_refused
    }

    fn set_refused(&self, is_refused: bool) {
        let mut refused = self.refused();
        refused.is_refused = is_refused;
        if is_refused {
            refused.last = Some(Instant::now());
        }
    }

    fn refused(&self) -> MutexGuard<'_, Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
