//! The task that reads the store's feed, and tells the other replicas who follows this one.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{again::Again, known::Known, record::OwnRecord, shared::Shared};
use crate::{
    logging::chain,
    store::{FeedPage, StoreError},
};

/// Between two readings while nothing is known to have changed: what another replica appends is known
/// here after half of it on average.
const READ_EVERY: Duration = Duration::from_millis(5);

/// After a reading that failed.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// What the task remembers from one turn to the next.
#[derive(Default)]
struct Tail {
    /// A new epoch, as far as it has been read. It takes the place of the old one once it is complete.
    next: Option<Known>,
    /// The epoch before, which the store has just lost.
    lost: Option<Known>,
    /// What the store has lost and is being told again.
    again: Option<Again>,
    record: OwnRecord,
    failing: bool,
}

pub(super) async fn run(shared: Arc<Shared>) {
    let mut tail = Tail::default();
    loop {
        shared.turned.send_replace(Instant::now());
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
        self.record.publish(shared).await?;
        let generation = self.record.generation();
        let position = self.next.as_ref().map(Known::position).or_else(|| shared.position());
        let sent = Instant::now();
        let page = shared.store.read_feed(position.as_ref(), shared.pages.reading).await?;
        let is_last = page.is_last();
        let is_new = self.take_in(shared, page, sent);
        if is_last {
            shared.proven.send_replace(Some(sent));
            if let Some(generation) = generation
                && self.record.vouches(shared, sent).await
            {
                shared.vouched.send_replace(Some(sent));
                shared.registered.send_if_modified(|known| std::mem::replace(known, generation) != generation);
            }
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
            shared.metrics.feed_epoch_began();
            known.begun = Some(Instant::now());
            known.remember(before.take_facts());
            self.lost = Some(before);
        }
        true
    }
}
