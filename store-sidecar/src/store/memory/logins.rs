//! What is known of logins, in tables that are bounded.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use crate::store::IdempotencyHash;
use crate::store::lockout::{Devices, LoginCounter, LoginHash, Tally};

/// Counters, and accounts with devices, that there are at most, each. Those are forgotten that would be first anyway: with
/// them those that are not locked.
const MOST: usize = 1_000_000;

/// Those that have ended, of which each new one takes away so many at most.
const ENDED_PER_NEW: usize = 16;

/// What is known of logins.
#[derive(Debug, Default)]
pub(super) struct Logins {
    pub(super) tallies: Ending<LoginCounter, Tally>,
    pub(super) devices: Ending<LoginHash, Devices>,
    /// Requests with an `Idempotency-Key`.
    pub(super) idempotency: Ending<IdempotencyHash, String>,
}

/// A bounded table of what ends by itself.
#[derive(Debug)]
pub(super) struct Ending<K, V> {
    table: HashMap<K, (V, u64)>,
    ends: BTreeSet<(u64, K)>,
}

impl<K, V> Default for Ending<K, V> {
    fn default() -> Self {
        Self { table: HashMap::new(), ends: BTreeSet::new() }
    }
}

impl<K: Clone + Eq + Hash + Ord, V> Ending<K, V> {
    /// What is there, unless it has ended.
    pub(super) fn get(&self, key: &K, now: u64) -> Option<&V> {
        self.table.get(key).filter(|(_, end)| *end > now).map(|(value, _)| value)
    }

    pub(super) fn take(&mut self, key: &K) -> Option<V> {
        let (value, end) = self.table.remove(key)?;
        self.ends.remove(&(end, key.clone()));
        Some(value)
    }

    pub(super) fn put(&mut self, key: K, value: V, end: u64, now: u64) {
        if end <= now {
            return;
        }
        self.forget_ended(now, ENDED_PER_NEW);
        if self.table.len() >= MOST
            && let Some((_, first)) = self.ends.first().cloned()
        {
            self.take(&first);
        }
        self.ends.insert((end, key.clone()));
        self.table.insert(key, (value, end));
    }

    /// Forgets so many at most of those that have ended. Returns whether that were all.
    fn forget_ended(&mut self, now: u64, most: usize) -> bool {
        for _ in 0..most {
            match self.ends.first().cloned() {
                Some((end, key)) if end <= now => drop(self.take(&key)),
                _ => return true,
            }
        }
        false
    }
}

impl Logins {
    /// Forgets so many at most, of each kind, of those that have ended. Returns whether that were all.
    pub(super) fn forget_ended(&mut self, now: u64, most: usize) -> bool {
        let tallies = self.tallies.forget_ended(now, most);
        let idempotency = self.idempotency.forget_ended(now, most);
        self.devices.forget_ended(now, most) && tallies && idempotency
    }
}
