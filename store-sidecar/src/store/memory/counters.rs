//! The counters of rate limits in memory, and the bound on their number.

use std::collections::{BTreeSet, HashMap};

use session_gate_protocol::{CounterId, LeaseAsk};

use crate::store::limits::{Account, Leased};

/// Counters that have become as if new, of which each new one takes away so many at most.
const GONE_PER_NEW: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Counters {
    counters: HashMap<CounterId, Counter>,
    /// By when they were last asked for, in milliseconds.
    idle: BTreeSet<(u64, CounterId)>,
    /// By when each is as if new.
    ends: BTreeSet<(u64, CounterId)>,
}

#[derive(Debug)]
struct Counter {
    account: Account,
    asked: u64,
    end: u64,
}

impl Counters {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.counters.len()
    }

    /// One step of a counter at `now`, in milliseconds.
    pub(super) fn lease(&mut self, now: u64, worker: &str, ask: &LeaseAsk, max_counters: usize) -> Leased {
        let before = self.remove(&ask.counter).filter(|counter| now < counter.end);
        let is_new = before.is_none();
        let mut account = before.map(|counter| counter.account).unwrap_or_default();
        let mut leased = account.step(now, worker, ask);
        let lives = account.over().saturating_sub(account.seen());
        if lives > 0 {
            if is_new {
                leased.evicted = self.make_room(now, max_counters);
            }
            self.insert(ask.counter.clone(), Counter { account, asked: now, end: now.saturating_add(lives) });
        }
        leased
    }

    fn make_room(&mut self, now: u64, max_counters: usize) -> u64 {
        self.forget_gone(now, GONE_PER_NEW);
        let mut evicted = 0;
        while self.counters.len() >= max_counters.max(1)
            && let Some((_, id)) = self.idle.first().cloned()
        {
            self.remove(&id);
            evicted += 1;
        }
        evicted
    }

    /// Forgets so many at most of those that are as if new, at `now`. Answers whether that were all.
    pub(super) fn forget_gone(&mut self, now: u64, most: usize) -> bool {
        for _ in 0..most {
            match self.ends.first().cloned() {
                Some((end, id)) if end <= now => drop(self.remove(&id)),
                _ => return true,
            }
        }
        false
    }

    fn insert(&mut self, id: CounterId, counter: Counter) {
        self.idle.insert((counter.asked, id.clone()));
        self.ends.insert((counter.end, id.clone()));
        self.counters.insert(id, counter);
    }

    fn remove(&mut self, id: &CounterId) -> Option<Counter> {
        let counter = self.counters.remove(id)?;
        self.idle.remove(&(counter.asked, id.clone()));
        self.ends.remove(&(counter.end, id.clone()));
        Some(counter)
    }
}
