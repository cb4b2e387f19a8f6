//! The checker of rate limits: every admission is counted by itself, in true time, whatever workers and the
//! store have counted.

use std::collections::BTreeMap;

use session_gate_protocol::{CounterId, LeaseAsk, LeaseGrant, LeaseReply, LeaseRequest, LimitKey};

use crate::{
    clocks::{Millis, WorkerClock},
    promise::{Promise, Violation},
    worker_host::RequestId,
};

pub mod key;
pub(crate) mod probe;
pub mod settings;
mod tally;

use self::{
    key::Key,
    settings::{AllLimits, KeyName},
    tally::Tally,
};

/// How long a lease of slots lasts.
const SLOTS_LEASE: Millis = 30_000;

/// What a worker has taken in of an answer, or has sent: for the summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handled {
    /// Leases with something in them.
    pub granted: u64,
    /// Leases that were handed back with something in them.
    pub handed_back: u64,
    /// Leases that were settled once more.
    pub settled_again: u64,
    /// Questions that the store has nothing for.
    pub emptied: u64,
}

/// All that was admitted.
#[derive(Debug)]
pub struct Limits {
    all: AllLimits,
    keys: BTreeMap<Key, Account>,
    by_counter: BTreeMap<String, Key>,
    workers: BTreeMap<usize, Ledger>,
}

/// What was admitted of one key.
#[derive(Debug, Default)]
struct Account {
    tallies: Vec<Tally>,
    /// The streams that are open.
    open: BTreeMap<(usize, RequestId), Stream>,
    /// When the last of its leases ends.
    leased_until: Millis,
    /// Until when leases of a store that has lost its data may be used.
    free_until: Millis,
}

#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    /// Whether the store may have given its slot away: its worker could not renew the lease in time, or the store has
    /// lost its data.
    strays: bool,
}

/// What a worker was told.
#[derive(Debug, Default)]
struct Ledger {
    /// What it has leased and not settled, and how much.
    leases: BTreeMap<(Key, u64), u64>,
    /// What it has settled.
    settled: BTreeMap<(Key, u64), ()>,
    /// The keys that are used up, since when and for how many milliseconds.
    shut: BTreeMap<Key, (Millis, u64)>,
    /// When it sent the question that has brought it its last lease of slots.
    renewed: BTreeMap<Key, Millis>,
}

impl Limits {
    /// Nothing was admitted yet.
    pub fn new(all: AllLimits) -> Self {
        Self { all, keys: BTreeMap::new(), by_counter: BTreeMap::new(), workers: BTreeMap::new() }
    }

    /// The key that a counter is of.
    pub fn key_of(&self, counter: &CounterId) -> Option<Key> {
        self.by_counter.get(counter.as_str()).copied()
    }

    /// Somebody sends a request to that route.
    pub fn sought(&mut self, route: usize, of: KeyName) {
        for (limit, settings) in self.all.of_route(route) {
            let key = Key { limit, of };
            if self.keys.contains_key(&key) {
                continue;
            }
            let tallies = settings.quotas().map(Tally::new).collect();
            self.keys.insert(key, Account { tallies, ..Account::default() });
            if let Some(text) = self.all.key(limit, of) {
                self.by_counter.insert(LimitKey::counter_of(&text).to_string(), key);
            }
        }
    }

    /// A request was admitted, of which each limit says what it counts. What passes unasked is not held against a limit
    /// that lets it.
    ///
    /// # Errors
    /// Where that is one too many.
    pub fn admitted(
        &mut self,
        (worker, request): (usize, RequestId),
        (route, of): (usize, KeyName),
        (cost, is_stream): (u64, bool),
        now: Millis,
        wall: u64,
    ) -> Result<(), Violation> {
        let mut verdict = Ok(());
        for (limit, settings) in self.all.of_route(route).filter(|(_, settings)| settings.is_strict()) {
            let key = Key { limit, of };
            let Some(account) = self.keys.get_mut(&key) else { continue };
            let excess = if settings.is_in_flight() {
                let workers = &self.workers;
                account.stray(|worker| workers.get(&worker).and_then(|ledger| ledger.renewed.get(&key)).copied(), now);
                account.open((worker, request), settings.quota.requests, now)
            } else {
                let cost = settings.reserve.map_or(1, |reserve| cost.min(reserve));
                account.admit(cost, now, wall)
            };
            if !is_stream {
                account.open.remove(&(worker, request));
            }
            if let Some(excess) = excess {
                verdict = Err(violation(Promise::Limit, excess, key, worker));
            }
        }
        verdict
    }

    /// The answer of an admitted request has said its cost, and was it cheap.
    pub fn corrected(&mut self, (route, of): (usize, KeyName), cost: u64, admitted_at: Millis) {
        for (limit, settings) in self.all.of_route(route) {
            let less = settings.reserve.unwrap_or_default().saturating_sub(cost);
            if let Some(account) = self.keys.get_mut(&Key { limit, of }).filter(|_| less > 0) {
                account.tallies.iter_mut().for_each(|tally| tally.give_back(admitted_at, less));
            }
        }
    }

    /// A stream is over. Answers whether the store may have given its slot away before.
    pub fn closed(&mut self, request: (usize, RequestId), (route, of): (usize, KeyName)) -> bool {
        let mut strays = false;
        for (limit, _) in self.all.of_route(route) {
            let stream = self.keys.get_mut(&Key { limit, of }).and_then(|account| account.open.remove(&request));
            strays |= stream.is_some_and(|stream| stream.strays);
        }
        strays
    }

    /// The store has lost its data: what was admitted or leased before counts no more.
    pub fn lost(&mut self, now: Millis) {
        for account in self.keys.values_mut() {
            account.free_until = account.leased_until.max(now);
            account.open.values_mut().for_each(|stream| stream.strays = true);
        }
    }

    /// A worker is gone, and its streams with it. Answers how many leases it had.
    pub fn gone(&mut self, worker: usize) -> u64 {
        self.keys.values_mut().for_each(|account| account.open.retain(|(of, _), _| *of != worker));
        self.workers.remove(&worker).map_or(0, |ledger| ledger.leases.len() as u64)
    }

    /// The store has leased something until then.
    pub fn leased(&mut self, key: Key, until: Millis) {
        if let Some(account) = self.keys.get_mut(&key) {
            account.leased_until = account.leased_until.max(until);
        }
    }

    /// A worker asks.
    ///
    /// # Errors
    /// Where it need not, and costs the store a question for each denied request.
    pub fn asked(
        &mut self,
        worker: usize,
        request: &LeaseRequest,
        now: Millis,
        clock: &WorkerClock,
    ) -> Result<Handled, Violation> {
        let mut handled = Handled::default();
        let may_forget = self.all.headers > self.all.room;
        let ledger = self.workers.entry(worker).or_default();
        for ask in &request.asks {
            let Some(key) = self.by_counter.get(ask.counter.as_str()).copied() else { continue };
            handled.add(&ledger.settle(key, ask));
            let Some((since, lasting)) = ledger.shut.get(&key).copied().filter(|_| ask.need > 0 && !may_forget) else {
                continue;
            };
            let passed = clock.between(since, now).as_micros();
            if passed < u128::from(lasting) * 1_000 {
                let text = format!("asks again after {passed} us, where nothing comes for {lasting} ms");
                return Err(violation(Promise::DeniedKeys, text, key, worker));
            }
        }
        Ok(handled)
    }

    /// A worker has heard what came of a question.
    pub fn heard(
        &mut self,
        worker: usize,
        request: &LeaseRequest,
        reply: &LeaseReply,
        sent: Millis,
        now: Millis,
    ) -> Handled {
        let mut handled = Handled::default();
        let ledger = self.workers.entry(worker).or_default();
        for (ask, grant) in request.asks.iter().zip(&reply.grants) {
            let Some(key) = self.by_counter.get(ask.counter.as_str()).copied() else { continue };
            let LeaseGrant::Lease(lease) = grant else { continue };
            if lease.granted + ask.kept > 0 {
                handled.granted += 1;
                ledger.leases.insert((key, ask.lease), lease.granted + ask.kept);
                ledger.renewed.insert(key, sent);
            }
            if lease.granted < ask.need {
                handled.emptied += 1;
                ledger.shut.insert(key, (now, lease.again_ms));
            } else {
                ledger.shut.remove(&key);
            }
        }
        handled
    }
}

impl Handled {
    /// Adds those of another.
    fn add(&mut self, other: &Self) {
        self.granted += other.granted;
        self.handed_back += other.handed_back;
        self.settled_again += other.settled_again;
        self.emptied += other.emptied;
    }
}

impl Ledger {
    fn settle(&mut self, key: Key, ask: &LeaseAsk) -> Handled {
        let mut handled = Handled::default();
        for settled in &ask.settle {
            let had = self.leases.remove(&(key, settled.lease));
            handled.handed_back += u64::from(had.is_some_and(|had| had > settled.used));
            handled.settled_again += u64::from(self.settled.insert((key, settled.lease), ()).is_some());
        }
        handled
    }
}

impl Account {
    fn admit(&mut self, cost: u64, now: Millis, wall: u64) -> Option<String> {
        if now < self.free_until {
            return None;
        }
        if self.free_until > 0 {
            self.free_until = 0;
            self.tallies.iter_mut().for_each(Tally::clear);
        }
        self.tallies.iter_mut().filter_map(|tally| tally.admit(cost, now, wall)).next()
    }

    /// Notes whose slots the store may have given away by now.
    fn stray(&mut self, renewed: impl Fn(usize) -> Option<Millis>, now: Millis) {
        for ((worker, _), stream) in &mut self.open {
            stream.strays |= renewed(*worker).is_none_or(|renewed| now >= renewed + SLOTS_LEASE);
        }
    }

    fn open(&mut self, stream: (usize, RequestId), most: u64, now: Millis) -> Option<String> {
        self.open.insert(stream, Stream { strays: now < self.free_until });
        let open = self.open.values().filter(|stream| !stream.strays).count() as u64;
        (open > most).then(|| format!("{open} in flight, where {most} are allowed"))
    }
}

fn violation(promise: Promise, text: String, key: Key, worker: usize) -> Violation {
    Violation { promise, text: format!("{key}: {text}"), session: None, key: Some(key), worker }
}
