//! The task that reads the store's feed, and tells the other replicas who follows this one.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Shared, again::Again, followers::trust, known::Known};
use crate::{
    logging::chain,
    store::{FeedPage, FeedPosition, Followers, StoreError},
};

/// Between two readings while nothing is known to have changed: what another replica appends is known
/// here after half of it on average.
const READ_EVERY: Duration = Duration::from_millis(5);

/// After a reading that failed.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// For how long the others may rely on a record of this replica's followers beyond the time that these
/// trust what they know. No reading counts that is sent later than this after the record before it.
pub(super) const RECORD_LIVES: Duration = Duration::from_millis(800);

/// When the record is written anew: in good time if nothing changed, soon if something did, at once if
/// a worker waits for it.
const RECORD_AGED: Duration = Duration::from_millis(400);
const RECORD_CHANGED: Duration = Duration::from_millis(100);
const RECORD_URGENT: Duration = Duration::from_millis(10);

/// What the task remembers from one turn to the next.
#[derive(Default)]
struct Tail {
    /// A new epoch, as far as it has been read. It takes the place of the old one once it is complete.
    next: Option<Known>,
    /// The epoch before, which the store has just lost.
    lost: Option<Known>,
    /// What the store has lost and is being told again.
    again: Option<Again>,
    record: Option<Record>,
    failing: bool,
}

/// The record of followers that the others have.
struct Record {
    sent: Instant,
    generation: u64,
    position: Option<FeedPosition>,
}

pub(super) async fn run(shared: Arc<Shared>) {
    let mut tail = Tail::default();
    loop {
        match tail.turn(&shared).await {
            Ok(true) => {
                if std::mem::take(&mut tail.failing) {
                    tracing::info!("the change feed is read again");
                }
                tokio::select! {
                    // What woke it is done with by the reading that follows.
                    biased;
                    () = shared.wake.notified() => {}
                    () = sleep(READ_EVERY) => {}
                }
            }
            // There is more.
            Ok(false) => {}
            Err(error) => {
                if !std::mem::replace(&mut tail.failing, true) {
                    tracing::warn!(error = %chain(&error), "the change feed cannot be read");
                }
                sleep(RETRY_AFTER).await;
            }
        }
    }
}

impl Tail {
    /// Reads once, after telling the others what is due. Answers whether that was up to the end.
    async fn turn(&mut self, shared: &Shared) -> Result<bool, StoreError> {
        let generation = self.publish(shared).await?;
        let position = self.next.as_ref().map(Known::position).or_else(|| shared.position());
        let sent = Instant::now();
        if self.record.as_ref().is_none_or(|record| sent >= record.sent + RECORD_LIVES) {
            // This process was held up: the others may have given it up meanwhile.
            return Ok(false);
        }
        let page = shared.store.read_feed(position.as_ref(), shared.pages.reading).await?;
        let is_last = page.is_last();
        let is_new = self.take_in(shared, page, sent);
        if is_last {
            shared.proven.send_replace(Some(sent));
            shared.introduced.send_if_modified(|introduced| std::mem::replace(introduced, generation) != generation);
        }
        if is_new {
            shared.news.send_replace(());
        }
        Ok(is_last && !self.tell_again(shared, sent).await)
    }

    /// Tells a piece of what the store has lost, where there is any. Answers whether there is more.
    async fn tell_again(&mut self, shared: &Shared, sent: Instant) -> bool {
        if let Some(before) = self.lost.take() {
            // Nobody waits for a lock meanwhile.
            self.again = Some(Again::after_loss(before, self.again.take(), &shared.replica));
        }
        let Some(again) = self.again.as_mut().filter(|_| self.next.is_none()) else { return false };
        if !again.is_read(sent) {
            return again.step(shared).await;
        }
        if again.is_whole()
            && let Some(known) = &mut *shared.known.write().unwrap_or_else(PoisonError::into_inner)
        {
            known.forget();
        }
        self.again = None;
        tracing::info!("what was known before the loss is in the change feed again");
        false
    }

    /// Adds a page to what is known. Answers whether there is something new to answer with.
    fn take_in(&mut self, shared: &Shared, page: FeedPage, sent: Instant) -> bool {
        let is_last = page.is_last();
        let mut known = shared.known.write().unwrap_or_else(PoisonError::into_inner);
        match (&mut self.next, &mut *known) {
            (Some(next), _) if next.epoch == page.epoch => {
                next.extend(page, sent);
            }
            (next, Some(known)) if known.epoch == page.epoch => {
                *next = None;
                return known.extend(page, sent);
            }
            (next, _) => *next = Some(Known::new(page, sent)),
        }
        if !is_last {
            return false;
        }
        let before = std::mem::replace(&mut *known, self.next.take());
        if let (Some(mut before), Some(known)) = (before, &mut *known) {
            tracing::warn!(was = %before.epoch.id, "the change feed has begun a new epoch: the store has lost data");
            known.begun = Some(Instant::now());
            known.remember(before.take_facts());
            self.lost = Some(before);
        }
        true
    }

    /// Tells the others who follows this replica, where that is due. Answers the generation of workers
    /// that they can know of.
    async fn publish(&mut self, shared: &Shared) -> Result<u64, StoreError> {
        // First the place, then the workers: whoever was answered from before that place is listed.
        let position = shared.position();
        let sent = Instant::now();
        let (followers, generation) = {
            let mut registry = shared.registry();
            let generation = registry.generation();
            if let Some(record) = &self.record {
                let after = if record.generation != generation {
                    RECORD_URGENT
                } else if registry.has_changed() || record.position != position {
                    RECORD_CHANGED
                } else {
                    RECORD_AGED
                };
                if sent < record.sent + after {
                    return Ok(record.generation);
                }
            }
            registry.told();
            let FeedPosition { epoch, at: cursor } = position.clone().unwrap_or_default();
            let workers = registry.list(&epoch, sent, false);
            (Followers { epoch, cursor, workers }, generation)
        };
        let longest = followers.workers.iter().map(|worker| worker.max_staleness_ms).max().unwrap_or_default();
        let lifetime = trust(RECORD_LIVES + Duration::from_millis(longest));
        shared.store.publish_followers(&shared.replica, &followers, lifetime).await?;
        self.record = Some(Record { sent, generation, position });
        Ok(generation)
    }
}

impl Shared {
    pub(super) fn position(&self) -> Option<FeedPosition> {
        self.known().as_ref().map(Known::position)
    }
}
