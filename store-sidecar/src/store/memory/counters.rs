//! The counters of rate limits in memory, in parts as in Redis, and the bound on their number.

use std::collections::{BTreeSet, HashMap};

use session_gate_protocol::{CounterId, LeaseAsk};

use crate::store::limits::{Account, Leased, shard_capacity, shard_of};

/// Counters that have become as if new, of which each new one takes away so many at most.
const GONE_PER_NEW: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Counters {
    parts: HashMap<String, Part>,
}

/// The counters whose ids begin alike.
#[derive(Debug, Default)]
struct Part {
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
    /// One step of a counter at `now`, in milliseconds.
    pub(super) fn lease(&mut self, now: u64, worker: &str, ask: &LeaseAsk, max_counters: usize) -> Leased {
        let part = self.parts.entry(shard_of(&ask.counter).to_owned()).or_default();
        let leased = part.lease(now, worker, ask, shard_capacity(max_counters));
        if part.counters.is_empty() {
            self.parts.remove(shard_of(&ask.counter));
        }
        leased
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.parts.values().map(|part| part.counters.len()).sum()
    }

    /// Forgets those that are as if new, at `now`.
    pub(super) fn clean(&mut self, now: u64) {
        for part in self.parts.values_mut() {
            part.forget_gone(now, usize::MAX);
        }
        self.parts.retain(|_, part| !part.counters.is_empty());
    }
}

impl Part {
    fn lease(&mut self, now: u64, worker: &str, ask: &LeaseAsk, capacity: usize) -> Leased {
        let before = self.remove(&ask.counter).filter(|counter| now < counter.end);
        let is_new = before.is_none();
        let mut account = before.map(|counter| counter.account).unwrap_or_default();
        let mut leased = account.step(now, worker, ask);
        let lives = account.over().saturating_sub(account.seen());
        if lives > 0 {
            if is_new {
                leased.evicted = self.make_room(now, capacity);
            }
            self.insert(ask.counter.clone(), Counter { account, asked: now, end: now.saturating_add(lives) });
        }
        leased
    }

    fn make_room(&mut self, now: u64, capacity: usize) -> u64 {
        self.forget_gone(now, GONE_PER_NEW);
        let mut evicted = 0;
        while self.counters.len() >= capacity
            && let Some((_, id)) = self.idle.first().cloned()
        {
            self.remove(&id);
            evicted += 1;
        }
        evicted
    }

    fn forget_gone(&mut self, now: u64, most: usize) {
        for _ in 0..most {
            match self.ends.first().cloned() {
                Some((end, id)) if end <= now => drop(self.remove(&id)),
                _ => return,
            }
        }
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
