//! This replica's record of its workers, in the store: by it the other replicas know whom to wait for.
//!
//! A worker may believe what it is told by a replica only while no other replica can have counted that replica out. So
//! the replica vouches for a reading of the feed
//!
//! - that was sent soon enough after its last record was written ([`RECORD_LIVES`]): by then nobody has; or
//! - where the store accepts no changes, after which it has found that record, not marked as gone. To mark it takes a
//!   change, too: so the workers stay current for as long as the store refuses, and when it accepts changes again, either
//!   the next record comes first or the mark, and whoever waits for these workers sees which. The mark comes late: who was
//!   itself refused gives the others the time to write theirs, for the store may refuse again a moment later.
//!
//! What a replica has never been able to write a record of it reads and judges by, but vouches for nothing of it.
//!
//! What a replica says of a single token a worker uses for as long as it trusts what it knows, and nobody can tell whom
//! a replica answers that cannot write its record. So the record of a replica that has not stopped gracefully stays, as
//! gone, for as long as that replica answers ([`ANSWERS_WITHOUT`]) and its last answer may be used; meanwhile whoever
//! acknowledges a change waits for that time. A replica answers no longer than that, and only to workers that use
//! answers no longer than its record says.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::{answering::Answering, followers::trust, shared::Shared};
use crate::{
    logging::chain,
    store::{FeedPosition, Followers, RECORD_LIVES, RECORD_OVERDUE, StoreError, StoreErrorKind},
};

/// For how long a replica that cannot write its record still answers about single tokens.
const ANSWERS_WITHOUT: Duration = Duration::from_secs(300);

/// When the record is written anew: in good time if nothing changed, soon if something did, at once if
/// a worker waits for it.
const RECORD_AGED: Duration = Duration::from_millis(400);
const RECORD_CHANGED: Duration = Duration::from_millis(100);
const RECORD_URGENT: Duration = Duration::from_millis(10);

/// Between two attempts, and between two looks at the last record, while the store refuses a new one.
const REFUSED_AGAIN: Duration = Duration::from_millis(50);

/// What the task that reads the feed knows of this replica's record.
#[derive(Default)]
pub(super) struct OwnRecord {
    /// The last one that was written.
    written: Option<Written>,
    /// When the store last refused one; none: it has accepted one since.
    refused: Option<Instant>,
    /// When the last record was found in the store while it refused another.
    found: Option<Instant>,
}

struct Written {
    sent: Instant,
    generation: u64,
    position: Option<FeedPosition>,
    /// Whether this replica was about to stop.
    is_closing: bool,
}

impl OwnRecord {
    /// The newest generation of workers that the others can know of.
    pub(super) fn generation(&self) -> Option<u64> {
        self.written.as_ref().map(|written| written.generation)
    }

    /// Writes the record where that is due. That the store refuses it is no error: it can be read all the same.
    ///
    /// # Errors
    /// Those of the store, but for `Refused`.
    pub(super) async fn publish(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let sent = Instant::now();
        if self.refused.is_some_and(|refused| sent < refused + REFUSED_AGAIN) {
            return Ok(());
        }
        // First the place, then the workers: whoever was answered from before that place is listed.
        let position = shared.position();
        let is_closing = shared.closing.load(Ordering::Relaxed);
        let Some((followers, generation)) = self.due(shared, &position, sent, is_closing) else { return Ok(()) };
        let longest = followers.longest();
        let answers_for = if is_closing { RECORD_LIVES } else { ANSWERS_WITHOUT };
        let lifetime = trust(answers_for + longest);
        let overdue = if shared.refused().is_recent() { Duration::MAX } else { RECORD_OVERDUE };
        match shared.store.publish_followers(&shared.replica, &followers, lifetime, overdue).await {
            Ok(()) => {
                self.written = Some(Written { sent, generation, position, is_closing });
                let (until, written) = (sent + answers_for, Instant::now());
                shared.answering.send_replace(Some(Answering { until, written, generation, longest }));
                if self.refused.take().is_some() {
                    tracing::info!("the store accepts changes again");
                }
                shared.set_refused(false);
                Ok(())
            }
            Err(error) if error.kind() == StoreErrorKind::Refused => {
                if self.refused.replace(sent).is_none() {
                    tracing::warn!(
                        error = %chain(&error),
                        "the store accepts no changes: what it has is read on, but new workers ask about each token, and \
                         nobody is told that all workers know of a change"
                    );
                }
                shared.set_refused(true);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// What is to be written now, if anything is.
    fn due(
        &self,
        shared: &Shared,
        position: &Option<FeedPosition>,
        now: Instant,
        is_closing: bool,
    ) -> Option<(Followers, u64)> {
        let mut registry = shared.registry();
        let generation = registry.generation();
        if let Some(written) = &self.written {
            let is_urgent = written.generation != generation
                || written.is_closing != is_closing
                || shared.silent.load(Ordering::Relaxed);
            let after = if is_urgent {
                RECORD_URGENT
            } else if registry.has_changed() || written.position != *position {
                RECORD_CHANGED
            } else {
                RECORD_AGED
            };
            if now < written.sent + after {
                return None;
            }
        }
        shared.silent.store(false, Ordering::Relaxed);
        registry.told();
        let FeedPosition { epoch, at: cursor } = position.clone().unwrap_or_default();
        let workers = registry.list(&epoch, now, false);
        Some((Followers { epoch, cursor, workers }, generation))
    }

    /// Whether workers may believe what a reading has found that was sent then.
    pub(super) async fn vouches(&mut self, shared: &Shared, sent: Instant) -> bool {
        match &self.written {
            Some(written) if sent < written.sent + RECORD_LIVES => return true,
            Some(_) if self.refused.is_some() => {}
            // This process was held up, or has never written a record.
            _ => return false,
        }
        if self.found.is_some_and(|found| sent < found + REFUSED_AGAIN) {
            return false;
        }
        let records = shared.store.followers().await;
        let is_there = records.is_ok_and(|records| {
            records.iter().any(|published| published.replica == shared.replica && !published.gone)
        });
        if is_there {
            self.found = Some(sent);
        }
        is_there
    }
}
