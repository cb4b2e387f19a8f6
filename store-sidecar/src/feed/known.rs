//! What this replica knows of the feed: all entries that are of use, in memory. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use session_gate_protocol::{FeedCursor, FeedEntry, FeedEpoch, FeedQuery, FeedReply, UnixSeconds};
use tokio::time::Instant;

use crate::store::{FeedPage, FeedPosition};

/// How often entries are dropped that are of no use any more, by the store's clock: seldom, since all
/// entries are looked at.
const PRUNE_EVERY: Duration = Duration::from_secs(10);

/// The feed as it was at one moment.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) epoch: FeedEpoch,
    /// Up to where the feed is known.
    pub(super) cursor: FeedCursor,
    entries: VecDeque<FeedEntry>,
    /// When this took the place of another epoch: then the store has lost what it knew, and of who follows
    /// the other replicas, too.
    pub(super) begun: Option<Instant>,
    /// When the reading began that last went up to the end: all that was in the feed by then is here.
    proven: Instant,
    /// The store's time.
    now: UnixSeconds,
    pruned: UnixSeconds,
}

impl Known {
    /// The feed as read from its start up to its end, by a reading that began at `sent`.
    pub(super) fn new(page: FeedPage, sent: Instant) -> Self {
        let FeedPage { epoch, last: _, cursor, now, entries } = page;
        Self { epoch, cursor, entries: entries.into(), begun: None, proven: sent, now, pruned: now }
    }

    /// The place that it knows.
    pub(super) fn position(&self) -> FeedPosition {
        FeedPosition { epoch: self.epoch.id.clone(), at: self.cursor }
    }

    /// Adds a page of the same epoch that follows. Answers whether anything in it is new.
    pub(super) fn extend(&mut self, page: FeedPage, sent: Instant) -> bool {
        let is_new = page.cursor > self.cursor;
        if page.is_last() {
            self.proven = sent;
        }
        self.cursor = self.cursor.max(page.cursor);
        self.now = page.now;
        self.entries.extend(page.entries);
        if self.now.since(self.pruned) >= PRUNE_EVERY {
            self.pruned = self.now;
            self.entries.retain(|entry| page.now < entry.until);
        }
        is_new
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How long ago this was all there was.
    pub(super) fn age(&self) -> Duration {
        self.proven.elapsed()
    }

    /// Where in the current epoch that worker stands.
    pub(super) fn applied(&self, query: &FeedQuery) -> FeedCursor {
        if query.epoch.as_deref() == Some(&self.epoch.id) { query.after } else { FeedCursor::START }
    }

    /// Whether there is something that the worker doesn't know.
    pub(super) fn has_news(&self, query: &FeedQuery) -> bool {
        query.epoch.as_deref() != Some(&self.epoch.id) || query.after < self.cursor
    }

    /// The reply to a worker: what it does not know, `limit` entries at most.
    pub(super) fn reply(&self, query: &FeedQuery, limit: usize) -> FeedReply {
        let after = self.applied(query);
        let (entries, cursor) = self.after(after, limit);
        FeedReply {
            epoch: self.epoch.clone(),
            // Another replica may have told it more: that it keeps.
            cursor: cursor.max(after),
            age_ms: millis(self.age()),
            more: cursor < self.cursor,
            entries,
        }
    }

    /// At most `limit` entries after that place, and the place up to which they go.
    pub(super) fn after(&self, after: FeedCursor, limit: usize) -> (Vec<FeedEntry>, FeedCursor) {
        let start = self.entries.partition_point(|entry| entry.at <= after);
        let page = self.entries.range(start..).take(limit);
        let cursor = match page.clone().next_back() {
            Some(entry) if start.saturating_add(limit) < self.entries.len() => entry.at,
            _ => self.cursor,
        };
        (page.filter(|entry| self.now < entry.until).cloned().collect(), cursor)
    }
}

/// Whole milliseconds, rounded up: an age must not look less than it is.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
