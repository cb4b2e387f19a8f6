//! The account of one counter. Pure: time is an argument. `account.lua` has the same step; a test holds
//! both to the same answers.
//!
//! What it promises, whoever asks when: a worker that uses its leases only until they end, and settles
//! them with what it used, takes no more than each quota allows. It relies on nothing else: not on
//! settlements that arrive, and not on workers that live.

use std::collections::BTreeMap;

use session_gate_protocol::{Algorithm, Lease, LeaseAsk, Quota, QuotaState, SettledLease};

use super::count::{Count, End, SHORTEST_LEASE_MS, Shape};
use super::leased::Leased;

/// How long a lease of slots lasts: a worker renews it for as long as requests last, and a dead one's slots
/// come back after it.
const SLOTS_LEASE_MS: u64 = 30_000;

/// When it is worth asking again for a slot: they come back when streams end, whenever that is.
const SLOTS_AGAIN_MS: u64 = 1_000;

/// For how long it is remembered that a call has said what was used beyond leases, so that it counts once if the call
/// comes again: far longer than any client repeats one.
const OWED_KNOWN_MS: u64 = 10_000;

/// How far a clock may be behind the latest moment that a counter has seen before the counter goes by it: until then it
/// stands still. A server that has taken another's place may have a slower clock.
const FARTHEST_BACK_MS: u64 = 10_000;

/// Counts that are kept at most, of quotas that a limit has now or had lately.
const MAX_COUNTS: usize = 16;

/// What was used of one counter, as far as it still counts, and what is in leases.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    /// The latest moment of all steps: a clock that is set back a little does not give time again.
    seen: u64,
    /// The leases, by worker and number.
    leases: BTreeMap<(String, u64), Live>,
    /// Until when it is known that a call, by worker and number, has said what was used beyond leases.
    owed: BTreeMap<(String, u64), u64>,
    counts: Vec<Count>,
}

#[derive(Clone, Copy, Debug)]
struct Live {
    count: u64,
    end: u64,
}

/// A quota that is asked for, and where its count is; none: it counts by leases alone.
struct Part<'a> {
    quota: &'a Quota,
    count: Option<usize>,
}

impl Account {
    /// Settles, and leases what there is: one step, at `now` in milliseconds since 1970.
    pub(crate) fn step(&mut self, now: u64, worker: &str, ask: &LeaseAsk) -> Leased {
        let lapsed = self.pass(now);
        let now = self.seen;
        let parts = self.open(&ask.quotas);
        let returned = self.settle(worker, &ask.settle);
        let key = (worker.to_owned(), ask.lease);
        let is_in_flight = ask.quotas.iter().any(|quota| quota.algorithm == Algorithm::InFlight);
        let kept = if is_in_flight { ask.kept } else { 0 };
        let before = self.leases.get(&key).copied();
        let (granted, had) = match before {
            // The call comes a second time, since its answer was lost.
            Some(live) => (live.count.saturating_sub(kept), live.count.saturating_sub(kept)),
            None => {
                self.owe(&key, ask.owed);
                let left = parts.iter().map(|part| self.left(part).saturating_sub(kept)).min().unwrap_or_default();
                (grant(ask, left), left)
            }
        };
        let own = before.unwrap_or_else(|| self.take(key.clone(), kept.saturating_add(granted), &parts));
        let others = || self.leases.iter().filter(|(other, _)| **other != key).map(|(_, live)| live);
        let mut ends: Vec<End> = self.leases.values().map(|live| (live.end, live.count)).collect();
        ends.sort_unstable();
        let outstanding: u64 = others().map(|live| live.count).sum();
        let wanted = ask.need.max(1);
        let soonest = others().map(|live| live.end).min();
        let retry_ms = if had >= wanted {
            0
        } else {
            let retry = |part: &Part<'_>| match self.count_of(part) {
                Some(count) => count.retry(part.quota, wanted - granted, now, &ends),
                // Slots come back with a lease, if its worker does not prolong it.
                None => soonest.unwrap_or(own.end).saturating_sub(now),
            };
            parts.iter().map(retry).max().unwrap_or_default()
        };
        let again = soonest.map_or(retry_ms, |end| retry_ms.min((end - now).max(SHORTEST_LEASE_MS)));
        let again_ms = if is_in_flight { again.min(SLOTS_AGAIN_MS) } else { again };
        let quotas = parts.iter().map(|part| self.state(part, now, &ends)).collect();
        let lifetime_ms = own.end.saturating_sub(now);
        let lease = Lease { granted, lifetime_ms, outstanding, retry_ms, again_ms, quotas };
        Leased { lease, returned, lapsed, evicted: 0 }
    }

    /// The moment of the last step.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// When it is as if new, unless more is asked of it: then it can be forgotten.
    pub(crate) fn over(&self) -> u64 {
        let mut ends: Vec<End> = self.leases.values().map(|live| (live.end, live.count)).collect();
        ends.sort_unstable();
        let leases = ends.last().map_or(self.seen, |(end, _)| *end);
        self.counts.iter().map(|count| count.over(self.seen, &ends)).fold(leases, u64::max)
    }

    /// Goes on by a clock that is behind by so much. What is leased and what was used stays so for as long as before, or
    /// longer: no less time has passed since than that clock says.
    fn set_back(&mut self, by: u64) {
        self.seen -= by;
        self.leases.values_mut().for_each(|live| live.end -= by);
        self.owed.values_mut().for_each(|until| *until -= by);
        for count in &mut self.counts {
            count.set_back(by, self.seen);
        }
    }

    /// Lets the time pass until `now`. Leases that end meanwhile count as used up. Answers how many were in
    /// these.
    fn pass(&mut self, now: u64) -> u64 {
        if now.saturating_add(FARTHEST_BACK_MS) < self.seen {
            self.set_back(self.seen - now);
        }
        let now = now.max(self.seen);
        let mut over: Vec<End> =
            self.leases.values().filter(|live| live.end <= now).map(|live| (live.end, live.count)).collect();
        over.sort_unstable();
        let (mut at, mut outstanding, mut lapsed) = (self.seen, self.outstanding(), 0);
        for (end, lease) in over {
            for count in &mut self.counts {
                count.pass(end.saturating_sub(at), outstanding);
                count.lapse(end, lease);
            }
            at = at.max(end);
            outstanding -= lease;
            lapsed += lease;
        }
        self.leases.retain(|_, live| now < live.end);
        self.owed.retain(|_, until| now < *until);
        for count in &mut self.counts {
            count.pass(now - at, outstanding);
            count.prune(now);
        }
        self.seen = now;
        lapsed
    }

    /// The counts of these quotas, made where there are none yet. Others go once they are abandoned.
    fn open<'a>(&mut self, quotas: &'a [Quota]) -> Vec<Part<'a>> {
        let (now, outstanding, shapes) = (self.seen, self.outstanding(), Shape::of_all(quotas));
        let is_asked = |count: &Count| shapes.contains(&Some(count.shape));
        self.counts.retain(|count| is_asked(count) || !count.is_abandoned(now));
        for (shape, quota) in shapes.iter().zip(quotas).filter_map(|(shape, quota)| Some(((*shape)?, quota))) {
            match self.counts.iter_mut().find(|count| count.shape == shape) {
                Some(count) => count.ask(now, quota.requests),
                None => self.counts.push(Count::new(shape, quota.requests, now, outstanding)),
            }
        }
        while self.counts.len() > MAX_COUNTS
            && let Some(oldest) = self.counts.iter().position(|count| !is_asked(count))
        {
            self.counts.remove(oldest);
        }
        let place = |shape| self.counts.iter().position(|count| Some(count.shape) == shape);
        shapes.iter().zip(quotas).map(|(shape, quota)| Part { quota, count: place(*shape) }).collect()
    }

    /// Ends these leases of the worker's. Answers how many come back.
    fn settle(&mut self, worker: &str, settled: &[SettledLease]) -> u64 {
        let mut returned = 0;
        for SettledLease { lease, used } in settled {
            let Some(live) = self.leases.remove(&(worker.to_owned(), *lease)) else { continue };
            let used = live.count.min(*used);
            for count in &mut self.counts {
                count.note(self.seen, used);
                count.give_back(live.count - used);
            }
            returned += live.count - used;
        }
        returned
    }

    /// So many were used without a lease, as that call says.
    fn owe(&mut self, key: &(String, u64), owed: u64) {
        if owed == 0 || self.owed.contains_key(key) {
            return;
        }
        self.owed.insert(key.clone(), self.seen + OWED_KNOWN_MS);
        for count in &mut self.counts {
            count.note(self.seen, owed);
            count.take(owed);
        }
    }

    /// Records a lease, unless it has nothing, and answers it.
    fn take(&mut self, key: (String, u64), taken: u64, parts: &[Part<'_>]) -> Live {
        if taken == 0 {
            return Live { count: 0, end: self.seen };
        }
        for count in &mut self.counts {
            count.take(taken);
        }
        self.leases.insert(key.clone(), Live { count: taken, end: self.seen });
        let counted = || parts.iter().filter_map(|part| Some((part, self.count_of(part)?)));
        let is_scarce = counted().any(|(part, _)| self.left(part).saturating_mul(4) < part.quota.size());
        let lifetimes = counted().map(|(part, count)| count.lifetime(part.quota, taken, self.seen, is_scarce));
        let live = Live { count: taken, end: self.seen + lifetimes.min().unwrap_or(SLOTS_LEASE_MS) };
        self.leases.insert(key, live);
        live
    }

    fn outstanding(&self) -> u64 {
        self.leases.values().map(|live| live.count).sum()
    }

    fn count_of(&self, part: &Part<'_>) -> Option<&Count> {
        self.counts.get(part.count?)
    }

    fn left(&self, part: &Part<'_>) -> u64 {
        match self.count_of(part) {
            Some(count) => count.left(part.quota, self.outstanding()),
            None => part.quota.requests.saturating_sub(self.outstanding()),
        }
    }

    fn state(&self, part: &Part<'_>, now: u64, ends: &[End]) -> QuotaState {
        let reset_ms = match self.count_of(part) {
            Some(count) => count.reset(now, ends),
            None => ends.first().map_or(0, |(end, _)| end - now),
        };
        QuotaState { remaining: self.left(part), reset_ms }
    }
}

/// How many are leased to one who needs so many and wants so many, where that many are left: of what nobody
/// needs yet a third, so that there is something for others.
fn grant(ask: &LeaseAsk, left: u64) -> u64 {
    let LeaseAsk { need, want, .. } = *ask;
    if need > left { left } else { need + want.saturating_sub(need).min((left - need) / 3) }
}
