//! The feed as the service has it.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use session_gate_protocol::{FeedCursor, FeedEntry};
use tokio::time::Instant;

use super::{
    known::Known,
    shared::{MAX_APPENDED, Pages, Shared},
    tail,
};
use crate::{
    critical,
    metrics::{FeedState, FollowerState, Metrics},
    store::{NewFeedEntry, Store, StoreError, StoreErrorKind},
};

/// After which time without a turn the task that reads is taken for dead: each of its turns is far shorter, whatever the
/// store does.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// Why nothing can be said yet.
pub(super) const NEVER_READ: &str = "the feed has not been read to its end";

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
    pub(super) shared: Arc<Shared>,
    tail: tokio::task::AbortHandle,
}

impl Feed {
    /// Starts to read the store's feed. `replica` names this sidecar among those of the same store.
    pub fn start(store: Arc<dyn Store>, metrics: Arc<Metrics>, replica: String) -> Self {
        Self::start_with(store, metrics, replica, Pages::default())
    }

    /// The same with pages of another size.
    pub fn start_with(store: Arc<dyn Store>, metrics: Arc<Metrics>, replica: String, pages: Pages) -> Self {
        let shared = Arc::new(Shared::new(store, metrics, replica, pages));
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
