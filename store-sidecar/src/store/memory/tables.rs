//! The store's tables, each behind a lock of its own, and what is cleaned up in them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_gate_protocol::UnixSeconds;

use super::counters::Counters;
use super::log::Log;
use super::logins::Logins;
use super::state::State;
use crate::clock::Clock;
use crate::rng::Random;
use crate::store::feed::epoch_id;
use crate::store::{StoreError, StoreErrorKind, StoreSettings};

/// Sessions, opaque tokens and blacklist entries that the store holds at most, tombstones included: some 2 GB with
/// small metadata. A store that is full refuses what is new; it never forgets a revocation to make
/// room.
const MAX_ENTRIES: usize = 1_000_000;

/// One part in so many is kept free for what takes back: revoked tokens and ended sessions. Who logs in, or
/// fills the feed with rules, cannot take it.
const RESERVED_PART: usize = 16;

/// Steps of cleaning that each write does. A session makes two such steps due in its life and a
/// blacklist entry one, so what is over goes faster than what is new comes, even if nobody ever
/// calls [`MemoryStore::cleanup`].
const STEPS_PER_WRITE: usize = 4;

/// Steps of cleaning under one lock: well below a millisecond.
const STEPS_PER_BATCH: usize = 512;

/// Sessions, the blacklist and the feed in this process's memory.
pub struct MemoryStore {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) settings: StoreSettings,
    pub(super) max_entries: usize,
    /// A plain mutex: every step is a few look-ups, and none waits for anything while it holds it.
    pub(super) state: Mutex<State>,
    /// The feed. Never held together with the other.
    pub(super) log: Mutex<Log>,
    /// The counters of rate limits. Never held together with another.
    pub(super) counters: Mutex<Counters>,
    /// Failed logins, and known devices. Never held together with another.
    pub(super) logins: Mutex<Logins>,
}

impl MemoryStore {
    /// An empty store that goes by `clock`; `random` makes the id of its feed's epoch.
    pub fn new(clock: Arc<dyn Clock>, settings: StoreSettings, random: Arc<dyn Random>) -> Self {
        let state = State::new(settings.retention, clock.millis().saturating_mul(1_000));
        Self {
            clock,
            random,
            max_entries: MAX_ENTRIES,
            state: Mutex::new(state),
            log: Mutex::default(),
            counters: Mutex::default(),
            logins: Mutex::default(),
            settings,
        }
    }

    /// The same with another limit on how many sessions and blacklist entries, and how many entries of
    /// the feed, it holds.
    #[must_use]
    pub fn with_max_entries(self, max_entries: usize) -> Self {
        Self { max_entries, ..self }
    }

    /// Removes what is over, in short batches between which others get their turn. Answers how many
    /// sessions and blacklist entries it removed.
    pub async fn cleanup(&self) -> u64 {
        while !self.counters().forget_gone(self.clock.millis(), STEPS_PER_BATCH) {
            tokio::task::yield_now().await;
        }
        while !self.logins().forget_ended(self.clock.millis(), STEPS_PER_BATCH) {
            tokio::task::yield_now().await;
        }
        let mut removed = 0;
        loop {
            let batch = self.lock().clean(self.clock.now(), STEPS_PER_BATCH);
            removed += batch.removed;
            if batch.done {
                return removed;
            }
            tokio::task::yield_now().await;
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // No step can panic half-way through a change, so what a poisoned lock guards is sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn logins(&self) -> MutexGuard<'_, Logins> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state for a write, cleaned a little, and the time.
    pub(super) fn write(&self) -> (MutexGuard<'_, State>, UnixSeconds) {
        let mut state = self.lock();
        let now = self.clock.now();
        state.clean(now, STEPS_PER_WRITE);
        (state, now)
    }

    /// Whether there is room for what can wait.
    pub(super) fn check_room(&self, state: &State) -> Result<(), StoreError> {
        if state.entries() < self.unreserved() { Ok(()) } else { Err(full()) }
    }

    /// How many entries there may be before only what takes back is taken in.
    pub(super) const fn unreserved(&self) -> usize {
        self.max_entries - self.max_entries / RESERVED_PART
    }

    /// The feed, which has begun, and the time in milliseconds.
    pub(super) fn log(&self) -> Result<(MutexGuard<'_, Log>, u64), StoreError> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let millis = self.clock.millis();
        if !log.has_begun() {
            log.begin(epoch_id(&*self.random)?, UnixSeconds(millis / 1_000));
        }
        Ok((log, millis))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clock, random: _, settings, max_entries, state: _, log: _, counters: _, logins: _ } = self;
        f.debug_struct("MemoryStore")
            .field("clock", clock)
            .field("settings", settings)
            .field("max_entries", max_entries)
            .finish_non_exhaustive()
    }
}

pub(super) fn full() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the memory store is full")
}

/// The feed as it was at one moment.
#[cfg(test)]
pub(crate) struct Backup(Log);

#[cfg(test)]
impl MemoryStore {
    pub(crate) fn back_up_feed(&self) -> Backup {
        Backup(self.log.lock().unwrap().clone())
    }

    /// Loses what the feed has been told since; without a backup all of it.
    pub(crate) fn restore_feed(&self, backup: Option<Backup>) {
        let mut log = self.log.lock().unwrap();
        *log = backup.map(|Backup(log)| log).unwrap_or_default();
    }
}
