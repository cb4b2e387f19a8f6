//! What a store has lost, told again: by each replica what it knew, so that whoever starts afterwards
//! knows it too. Several replicas do that at once, each beginning elsewhere and leaving out what it has
//! meanwhile read of the others.

#[cfg(test)]
mod tests;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use tokio::time::Instant;

use super::{
    known::{Kept, Known},
    shared::{MAX_APPENDED, Shared},
};
use crate::{
    logging::chain,
    store::{NewFeedEntry, StoreErrorKind},
};

/// Entries that are looked at before others get their turn.
const MAX_LOOKED_AT: usize = 20_000;

/// After an attempt that failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is to be told again.
#[derive(Debug, Default)]
pub(super) struct Again {
    /// All of it: what has been told may be lost once more before it is read.
    entries: Vec<Kept>,
    /// How many have been told.
    told: usize,
    /// When the last of them had been told.
    complete: Option<Instant>,
    retry_at: Option<Instant>,
    /// Whether the store has no room for all rules.
    leaves_rules: bool,
}

impl Again {
    /// What the epoch before had, and what was still to be told then.
    pub(super) fn after_loss(before: Known, earlier: Option<Self>, replica: &str) -> Self {
        let mut entries = earlier.map(|earlier| earlier.entries).unwrap_or_default();
        entries.extend(before.into_kept());
        let mut hasher = DefaultHasher::new();
        replica.hash(&mut hasher);
        if let Some(start) = usize::try_from(hasher.finish() >> 1).unwrap_or_default().checked_rem(entries.len()) {
            entries.rotate_left(start);
        }
        Self { entries, ..Self::default() }
    }

    /// Tells the next piece. Answers whether there is more to tell at once.
    pub(super) async fn step(&mut self, shared: &Shared) -> bool {
        if self.complete.is_some() || self.retry_at.is_some_and(|at| Instant::now() < at) {
            return false;
        }
        let mut next = self.told;
        let mut piece = Vec::new();
        if let Some(known) = &*shared.known() {
            while let Some(entry) = self.entries.get(next)
                && piece.len() < MAX_APPENDED
                && next < self.told.saturating_add(MAX_LOOKED_AT)
            {
                let is_left = self.leaves_rules && entry.adds_rule();
                if !is_left && known.now() < entry.until() && !known.supersedes(entry) {
                    piece.push(NewFeedEntry { until: entry.until(), change: entry.change() });
                }
                next = next.saturating_add(1);
            }
        }
        if !piece.is_empty() {
            match shared.store.append_feed(&piece).await {
                Ok(_) => shared.metrics.feed_retold(piece.len()),
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "what the store has lost cannot be told again yet");
                    self.leaves_rules |= error.kind() == StoreErrorKind::Full;
                    self.retry_at = Some(Instant::now() + RETRY_AFTER);
                    return false;
                }
            }
        }
        self.told = next;
        if self.told >= self.entries.len() {
            self.complete = Some(Instant::now());
        }
        true
    }

    /// Whether a reading that was sent then has found all of it in the feed.
    pub(super) fn is_read(&self, sent: Instant) -> bool {
        self.complete.is_some_and(|complete| complete < sent)
    }

    /// Whether all of it is in the feed once it is complete.
    pub(super) fn is_whole(&self) -> bool {
        !self.leaves_rules
    }
}
