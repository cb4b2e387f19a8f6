//! A worker's poll: answered with what it does not know, and with how old that is for it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use session_gate_protocol::{FeedCursor, FeedQuery, FeedReply};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    followers,
    handle::{Feed, NEVER_READ},
    shared::Shared,
};
use crate::{
    metrics::PollOutcome,
    store::{FeedPosition, StoreError, StoreErrorKind},
};

/// For how long a reply is held back at most while there is nothing to say.
pub const MAX_WAIT: Duration = Duration::from_secs(10);

/// For how long a worker's first poll waits at least until the other replicas can know of it: far more
/// than a store takes that answers at all. Nobody may trust what we tell while another replica answers
/// that nobody is left who could.
const REGISTRATION: Duration = Duration::from_secs(1);

impl Feed {
    /// Answers a worker: at once if there is something that it doesn't know, else when there is, or
    /// when its time is over. A worker of which the other replicas cannot know is told all there is, but that it is too
    /// old to be trusted.
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
        let generation = shared.note_poll(query, arrived)?;
        let mut query = query.clone();
        let mut news = shared.news.subscribe();
        let mut registered = shared.registered.subscribe();
        if *registered.borrow() < generation {
            shared.wake.notify_one();
        }
        let mut looked_again = false;
        loop {
            news.borrow_and_update();
            let is_registered = *registered.borrow_and_update() >= generation;
            if !looked_again && shared.contradicts(&query) {
                looked_again = true;
                shared.look_again(&mut query, arrived).await;
                continue;
            }
            let age = shared.age_for_workers();
            // What is too old to be trusted may be told to anybody.
            let can_answer = is_registered || shared.is_refused() || age.is_some_and(|age| age >= trust);
            let has_waited = |until| until <= Instant::now() || shared.closing.load(Ordering::Relaxed);
            let latest = deadline.max(arrived + REGISTRATION);
            let until = match &*shared.known() {
                Some(known) => {
                    let until = if can_answer { deadline } else { latest };
                    if has_waited(until) || (can_answer && known.has_news(&query)) {
                        let age = age.unwrap_or_default().max(known.age());
                        let age = if is_registered { age } else { age.max(followers::trust(trust)) };
                        return Ok(known.reply(&query, age, shared.pages.reply_chars));
                    }
                    until
                }
                None if has_waited(latest) => {
                    return Err(StoreError::new(StoreErrorKind::Unavailable, NEVER_READ));
                }
                None => latest,
            };
            tokio::select! {
                biased;
                () = sleep_until(until) => {}
                _ = news.changed() => {}
                _ = registered.changed(), if !is_registered => {}
            }
        }
    }
}

impl Shared {
    /// Notes who polls and what it has applied. Returns the generation of workers that the other replicas must know of
    /// before it may trust what it is told.
    fn note_poll(&self, query: &FeedQuery, arrived: Instant) -> Result<u64, StoreError> {
        // What it says beyond what is known here it may have made up.
        let applied = self
            .known()
            .as_ref()
            .map(|known| FeedPosition { epoch: known.epoch.id.clone(), at: known.applied(query).min(known.cursor) });
        let noted = self.registry().note(query, applied, arrived);
        self.polled.send_replace(());
        noted.map_err(|_| StoreError::new(StoreErrorKind::Unavailable, "too many workers poll the feed"))
    }

    /// Whether the worker knows another epoch, or more of this one, than this replica.
    fn contradicts(&self, query: &FeedQuery) -> bool {
        match (&*self.known(), &query.epoch) {
            (Some(known), Some(epoch)) => *epoch != known.epoch.id || query.after > known.cursor,
            (None, _) | (_, None) => false,
        }
    }

    /// Reads once more, which catches up with what other replicas have told the worker. One that still knows more than
    /// there is begins at the start: what it says proves nothing. Only a place that a replica has read itself says
    /// that the store has lost data, or else whoever may poll could make all workers ask about all their tokens.
    async fn look_again(&self, query: &mut FeedQuery, arrived: Instant) {
        let mut proven = self.proven.subscribe();
        self.wake.notify_one();
        // One that was sent at that very moment may have been sent before.
        let read = proven.wait_for(|proven| proven.is_some_and(|proven| proven > arrived));
        if timeout_at(arrived + REGISTRATION, read).await.is_err() {
            // The store is away. What is known is answered as what it is: old.
            return;
        }
        if self.contradicts(query) {
            query.epoch = None;
            query.after = FeedCursor::START;
        }
    }
}
