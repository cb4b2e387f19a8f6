//! Who polls the feed at this replica, and what they have confirmed. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use session_gate_protocol::FeedQuery;
use tokio::time::Instant;

use super::known::millis;
use crate::store::{FeedPosition, Follower};

/// Workers that are remembered at most: more than any fleet has, and a bound on what a broken one can
/// cost that calls itself something else each time.
pub(super) const MAX_WORKERS: usize = 10_000;

/// How long a worker that has stopped trusting what it knows is still shown.
const SHOWN_FOR: Duration = Duration::from_secs(60);

/// For how long a worker may trust what it knows after it has asked, by another machine's clocks: its own
/// may be slower by one part in fifty, far more than clocks differ; its last moment counts; and ages are
/// told in whole milliseconds.
pub(super) fn trust(max_staleness: Duration) -> Duration {
    max_staleness.saturating_add(max_staleness / 50).saturating_add(Duration::from_millis(2))
}

#[derive(Debug, Default)]
pub(super) struct Registry {
    workers: BTreeMap<String, Seen>,
    /// Counts what the other replicas must hear of before it counts here: a new worker, or a longer
    /// trust.
    generation: u64,
    /// Whether anything changed since the last record for the others was made.
    changed: bool,
}

#[derive(Clone, Debug)]
struct Seen {
    /// Up to where it has applied the feed, as far as this replica knows that; none: nothing of it.
    applied: Option<FeedPosition>,
    at: Instant,
    max_staleness: Duration,
    /// The generation in which this worker, trusting for so long, was first heard of.
    generation: u64,
}

/// There is no room for another worker.
#[derive(Debug)]
pub(super) struct TooMany;

impl Registry {
    /// Notes a poll of a worker that has applied the feed up to there. Answers the generation that the others must have heard of before it may be answered.
    ///
    /// # Errors
    /// [`TooMany`].
    pub(super) fn note(
        &mut self,
        query: &FeedQuery,
        applied: Option<FeedPosition>,
        now: Instant,
    ) -> Result<u64, TooMany> {
        let max_staleness = Duration::from_millis(query.max_staleness_ms);
        // One that is in no record any more is as good as new.
        let before = self.workers.get(&query.worker);
        let before = before.filter(|seen| seen.max_staleness >= max_staleness && seen.is_listed(now));
        let generation = match before {
            Some(seen) => seen.generation,
            None => {
                self.make_room(now)?;
                self.generation = self.generation.saturating_add(1);
                self.generation
            }
        };
        let is_known = |before: &Seen| before.applied == applied;
        self.changed |= !self.workers.get(&query.worker).is_some_and(is_known);
        self.workers.insert(query.worker.clone(), Seen { applied, at: now, max_staleness, generation });
        Ok(generation)
    }

    fn make_room(&mut self, now: Instant) -> Result<(), TooMany> {
        self.workers.retain(|_, seen| seen.is_listed(now));
        if self.workers.len() >= MAX_WORKERS {
            self.workers.retain(|_, seen| seen.trusts(now));
        }
        if self.workers.len() < MAX_WORKERS { Ok(()) } else { Err(TooMany) }
    }

    /// The newest generation.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// The longest time for which a worker that is in records trusts what it knows.
    pub(super) fn longest(&self, now: Instant) -> Duration {
        let listed = self.workers.values().filter(|seen| seen.is_listed(now));
        listed.map(|seen| seen.max_staleness).max().unwrap_or_default()
    }

    /// Whether there is something to tell the others.
    pub(super) fn has_changed(&self) -> bool {
        self.changed
    }

    /// The others are being told.
    pub(super) fn told(&mut self) {
        self.changed = false;
    }

    /// All that are remembered, or those only that may still trust what they know.
    pub(super) fn list(&self, epoch: &str, now: Instant, trusting: bool) -> Vec<Follower> {
        let workers =
            self.workers.iter().filter(|(_, seen)| if trusting { seen.trusts(now) } else { seen.is_listed(now) });
        workers
            .map(|(worker, seen)| Follower {
                worker: worker.clone(),
                applied: seen
                    .applied
                    .as_ref()
                    .filter(|known| known.epoch == epoch)
                    .map(|known| known.at)
                    .unwrap_or_default(),
                seen_ms: u64::try_from(now.saturating_duration_since(seen.at).as_millis()).unwrap_or(u64::MAX),
                max_staleness_ms: millis(seen.max_staleness),
            })
            .collect()
    }
}

impl Seen {
    fn trusts(&self, now: Instant) -> bool {
        now < self.at + trust(self.max_staleness)
    }

    /// Whether records still have it.
    fn is_listed(&self, now: Instant) -> bool {
        now < self.at + trust(self.max_staleness) + SHOWN_FOR
    }
}
