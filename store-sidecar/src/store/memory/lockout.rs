//! Failed logins, and the devices that accounts know, in memory.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::tables::MemoryStore;
use crate::store::StoreError;
use crate::store::lockout::{
    DeviceTallied, Devices, LockRules, LoginAttempt, LoginCounter, LoginCounters, LoginHash, Tallied, Tally,
};

/// Counters, and accounts with devices, that there are at most, each. Those are forgotten that would be first anyway: with
/// them those that are not locked.
const MOST: usize = 1_000_000;

/// Those that have ended, of which each new one takes away so many at most.
const ENDED_PER_NEW: usize = 16;

/// What is known of logins.
#[derive(Debug, Default)]
pub(super) struct Logins {
    tallies: Ending<LoginCounter, Tally>,
    devices: Ending<LoginHash, Devices>,
}

/// A bounded table of what ends by itself.
#[derive(Debug)]
struct Ending<K, V> {
    table: HashMap<K, (V, u64)>,
    ends: BTreeSet<(u64, K)>,
}

impl<K, V> Default for Ending<K, V> {
    fn default() -> Self {
        Self { table: HashMap::new(), ends: BTreeSet::new() }
    }
}

impl<K: Clone + Eq + Hash + Ord, V> Ending<K, V> {
    fn take(&mut self, key: &K) -> Option<V> {
        let (value, end) = self.table.remove(key)?;
        self.ends.remove(&(end, key.clone()));
        Some(value)
    }

    fn put(&mut self, key: K, value: V, end: u64, now: u64) {
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
        self.devices.forget_ended(now, most) && tallies
    }
}

impl MemoryStore {
    pub(super) fn logins(&self) -> MutexGuard<'_, Logins> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl LoginCounters for MemoryStore {
    async fn login_attempt(
        &self,
        counter: &LoginCounter,
        attempt: LoginAttempt,
        rules: &LockRules,
    ) -> Result<Tallied, StoreError> {
        let mut logins = self.logins();
        let now = self.clock.millis();
        let mut tally = logins.tallies.take(counter).unwrap_or_default();
        let tallied = tally.attempt(now, attempt, rules);
        let end = tally.end(rules);
        logins.tallies.put(counter.clone(), tally, end, now);
        Ok(tallied)
    }

    async fn unlock_account(&self, account: &LoginHash) -> Result<(), StoreError> {
        self.logins().tallies.take(&LoginCounter::Account(account.clone()));
        Ok(())
    }

    async fn device_attempt(
        &self,
        account: &LoginHash,
        device: &LoginHash,
        is_failed: bool,
        rules: &LockRules,
    ) -> Result<DeviceTallied, StoreError> {
        let mut logins = self.logins();
        let now = self.clock.millis();
        let Some(mut devices) = logins.devices.take(account) else { return Ok(DeviceTallied::default()) };
        let tallied = devices.attempt(now, device, is_failed, rules);
        let end = devices.end();
        logins.devices.put(account.clone(), devices, end, now);
        Ok(tallied)
    }

    async fn issue_device(
        &self,
        account: &LoginHash,
        device: &LoginHash,
        replaced: Option<&LoginHash>,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        let mut logins = self.logins();
        let now = self.clock.millis();
        let mut devices = logins.devices.take(account).unwrap_or_default();
        devices.issue(now, device, replaced, lifetime);
        let end = devices.end();
        logins.devices.put(account.clone(), devices, end, now);
        Ok(())
    }
}
