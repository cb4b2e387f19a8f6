//! What one VM has leased from one sidecar, of all limits and keys. It outlives configurations.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    time::Duration,
};

use session_gate_protocol::{CounterId, Lease, LeaseAsk, LeaseGrant, LeaseReply, MAX_LEASE_ASKS, SettledLease};

use super::{
    demand::{KeyText, LimitDemand},
    entry::{Availability, Entry},
    lease::{LONGEST_LEASE, LeaseDraw},
    question::{Question, Reachable},
    remaining::Remaining,
    returns::{Return, Returns},
};

/// How long nobody asks after the store could not be asked.
const AWAY_PAUSE: Duration = Duration::from_millis(500);
/// The leases of a VM.
pub struct Ledger {
    entries: HashMap<KeyText, Entry>,
    max_entries: usize,
    /// When to look at which entry.
    alarms: BTreeSet<(Duration, KeyText)>,
    /// What keys that were forgotten had leased.
    returns: Returns,
    away_until: Duration,
    is_away: bool,
    /// How many workers there are, as the sidecar has said last.
    workers: u64,
    last_lease: u64,
    last_use: u64,
    evicted: u64,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entries, max_entries, away_until, workers, .. } = self;
        f.debug_struct("Ledger")
            .field("entries", &entries.len())
            .field("max_entries", max_entries)
            .field("away_until", away_until)
            .field("workers", workers)
            .finish_non_exhaustive()
    }
}

impl Ledger {
    /// An empty ledger for so many keys.
    pub fn new(max_entries: usize) -> Self {
        Self {
            entries: HashMap::new(),
            max_entries,
            alarms: BTreeSet::new(),
            returns: Returns::default(),
            away_until: Duration::ZERO,
            is_away: false,
            workers: 1,
            last_lease: 0,
            last_use: 0,
            evicted: 0,
        }
    }

    /// For how many keys there is room from now on.
    pub const fn set_max_entries(&mut self, max_entries: usize) {
        self.max_entries = max_entries;
    }

    /// Of how many keys something is known.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many keys were forgotten for want of room since somebody asked.
    pub const fn take_evicted(&mut self) -> u64 {
        std::mem::replace(&mut self.evicted, 0)
    }

    // === requests ===

    /// What can be said to a request. `store_consulted`: the store was asked since it came.
    pub fn availability(&mut self, claim: &LimitDemand, store_consulted: bool, now: Duration) -> Availability {
        self.known(claim, store_consulted, now).unwrap_or_else(|| {
            self.add(claim, now);
            if now < self.away_until { Availability::Away } else { Availability::Ask }
        })
    }

    /// The same of a key that is known. Nothing is remembered of one that is new: a client that another limit refuses
    /// must not push out others with keys that it makes up.
    pub fn known(&mut self, claim: &LimitDemand, store_consulted: bool, now: Duration) -> Option<Availability> {
        self.last_use += 1;
        let use_number = self.last_use;
        let availability = self.with(&claim.key, |entry| {
            entry.use_number = use_number;
            entry.set_terms(&claim.quotas, claim.limit.exact, now);
            entry.availability(claim.limit.reserve(), store_consulted, now)
        })?;
        Some(if availability == Availability::Ask && now < self.away_until { Availability::Away } else { availability })
    }

    /// By what the store knows a key.
    pub fn counter(&self, key: &KeyText) -> CounterId {
        self.entries.get(key).map_or_else(|| key.counter(), |entry| entry.counter().clone())
    }

    /// Takes what a request costs. Answers from which leases.
    pub fn take(&mut self, claim: &LimitDemand, now: Duration) -> Vec<LeaseDraw> {
        let cost_pending = claim.limit.cost.header().is_some();
        self.with(&claim.key, |entry| entry.take(claim.limit.reserve(), cost_pending, now)).unwrap_or_default()
    }

    /// Whether this worker's part of the limit has room for a request, while the store is away.
    pub fn has_share(&self, claim: &LimitDemand, now: Duration) -> bool {
        let entry = self.entries.get(&claim.key);
        entry.is_some_and(|entry| entry.has_share(claim.limit.reserve(), self.workers, now))
    }

    /// Notes that a request passes without the store's leave.
    pub fn take_unasked(&mut self, claim: &LimitDemand, now: Duration) {
        let workers = self.workers;
        self.with(&claim.key, |entry| entry.take_unasked(claim.limit.reserve(), workers, now));
    }

    /// A stream that had a slot has ended.
    pub fn release(&mut self, key: &KeyText, now: Duration) {
        self.with(key, |entry| entry.release(now));
    }

    /// It is known what a request has cost for which so much was `taken`, `drawn` from those leases.
    pub fn correct(&mut self, key: &KeyText, drawn: &[LeaseDraw], taken: u64, cost: u64, now: Duration) {
        self.with(key, |entry| entry.correct(drawn, taken, cost, now));
    }

    /// What each quota has left for clients of this worker.
    pub fn left(&self, key: &KeyText, now: Duration) -> Vec<Remaining> {
        self.entries.get(key).map(|entry| entry.left_for_clients(now)).unwrap_or_default()
    }

    fn add(&mut self, claim: &LimitDemand, now: Duration) {
        if self.entries.len() >= self.max_entries {
            self.make_room(now);
        }
        let mut entry = Entry::new(claim.key.counter(), &claim.quotas, claim.limit.exact);
        entry.use_number = self.last_use;
        self.entries.insert(claim.key.clone(), entry);
    }

    /// Changes an entry, and keeps its alarm.
    fn with<T>(&mut self, key: &KeyText, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let entry = self.entries.get_mut(key)?;
        let before = entry.alarm;
        let result = change(entry);
        let after = entry.alarm;
        if before != after {
            if let Some(before) = before {
                self.alarms.remove(&(before, key.clone()));
            }
            self.alarms.extend(after.map(|after| (after, key.clone())));
        }
        Some(result)
    }

    /// Forgets the half that was used longest ago, but for what streams still count in. Their leases are
    /// handed back.
    fn make_room(&mut self, now: Duration) {
        let mut uses: Vec<u64> = self.entries.values().map(|entry| entry.use_number).collect();
        let middle = uses.len() / 2;
        let threshold = if uses.is_empty() { 0 } else { *uses.select_nth_unstable(middle).1 };
        let old = self.entries.iter().filter(|(_, entry)| entry.use_number <= threshold && !entry.is_in_use());
        let mut old: Vec<KeyText> = old.map(|(key, _)| key.clone()).collect();
        // So that the same events lead to the same calls.
        old.sort_unstable();
        for key in old {
            let Some(mut entry) = self.entries.remove(&key) else { continue };
            self.evicted += 1;
            if let Some(alarm) = entry.alarm {
                self.alarms.remove(&(alarm, key));
            }
            let ask = entry.hand_back(0, now);
            if let Some(LeaseAsk { counter, quotas, settle, owed, .. }) = ask {
                self.returns.add(Return { counter, quotas, settle, owed, from: now, until: now + LONGEST_LEASE });
            }
        }
    }

    // === questions to the store ===

    fn next_lease(&mut self) -> u64 {
        self.last_lease += 1;
        self.last_lease
    }

    /// The question of requests that need so much of a key now.
    pub fn ask_for(&mut self, key: &KeyText, need: u64, now: Duration) -> Option<Question> {
        let number = self.next_lease();
        let ask = self.with(key, |entry| entry.ask_for(need, number, now))?;
        Some(Question { key: Some(key.clone()), ask })
    }

    /// What is due at this moment: what is handed back, and what is asked for ahead. `is_asked` tells about
    /// which keys a question is under way.
    pub fn due(&mut self, is_asked: impl Fn(&KeyText) -> bool, now: Duration) -> Vec<Question> {
        if now < self.away_until {
            return Vec::new();
        }
        let mut questions: Vec<Question> = Vec::new();
        while questions.len() < MAX_LEASE_ASKS
            && let Some((at, key)) = self.alarms.first().filter(|(at, _)| *at <= now).cloned()
        {
            self.alarms.remove(&(at, key.clone()));
            let is_asked = is_asked(&key);
            let number = self.next_lease();
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            entry.alarm = None;
            // Its answer sets a new alarm, or its failure.
            if is_asked {
                continue;
            }
            let ask = self.with(&key, |entry| entry.look_after(number, now)).flatten();
            questions.extend(ask.map(|ask| Question { key: Some(key), ask }));
        }
        self.returns.add_to(&mut questions, MAX_LEASE_ASKS, &mut self.last_lease, now);
        questions
    }

    /// Everything that is leased is handed back: this VM goes.
    pub fn hand_all_back(&mut self, now: Duration) -> Vec<Question> {
        let mut keys: Vec<KeyText> = self.entries.keys().cloned().collect();
        // So that the same events lead to the same calls.
        keys.sort_unstable();
        let mut questions = Vec::new();
        for key in keys {
            let number = self.next_lease();
            let ask = self.with(&key, |entry| entry.hand_back(number, now)).flatten();
            questions.extend(ask.map(|ask| Question { key: Some(key), ask }));
        }
        self.returns.add_to(&mut questions, usize::MAX, &mut self.last_lease, now);
        questions
    }

    // === answers ===

    /// The store has answered what was asked at `asked_at`; none: it has not. Answers whether it has become
    /// reachable or unreachable by that.
    pub fn on_reply(
        &mut self,
        questions: Vec<Question>,
        reply: Option<LeaseReply>,
        asked_at: Duration,
        now: Duration,
    ) -> Option<Reachable> {
        let Some(reply) = reply.filter(|reply| reply.grants.len() == questions.len()) else {
            self.away_until = now.saturating_add(AWAY_PAUSE);
            self.on_lost(questions, asked_at, self.away_until);
            return (!std::mem::replace(&mut self.is_away, true)).then_some(Reachable::No);
        };
        self.away_until = Duration::ZERO;
        self.workers = reply.workers.max(1);
        for (question, grant) in questions.into_iter().zip(reply.grants) {
            match grant {
                LeaseGrant::Lease(lease) => self.on_lease(question, lease, asked_at, now),
                LeaseGrant::Unavailable => {
                    self.on_failure(question, asked_at, now.saturating_add(AWAY_PAUSE), true);
                }
            }
        }
        std::mem::replace(&mut self.is_away, false).then_some(Reachable::Yes)
    }

    /// Nobody will hear what became of these.
    pub fn on_lost(&mut self, questions: Vec<Question>, asked_at: Duration, retry_at: Duration) {
        for question in questions {
            self.on_failure(question, asked_at, retry_at, false);
        }
    }

    fn on_lease(&mut self, question: Question, lease: Lease, asked_at: Duration, now: Duration) {
        let Question { key, ask } = question;
        let Some(key) = key else { return };
        let has_any = lease.granted > 0 || ask.kept > 0;
        if self.with(&key, |entry| entry.on_lease(&ask, lease, asked_at, now)).is_none() && has_any {
            // The key was forgotten meanwhile.
            let settle = vec![SettledLease { lease: ask.lease, used: 0 }];
            let LeaseAsk { counter, quotas, .. } = ask;
            self.returns.add(Return { counter, quotas, settle, owed: 0, from: now, until: asked_at + LONGEST_LEASE });
        }
    }

    fn on_failure(&mut self, question: Question, asked_at: Duration, retry_at: Duration, is_away: bool) {
        let Question { key, ask } = question;
        let known = key.and_then(|key| self.with(&key, |entry| entry.on_failure(&ask, asked_at, retry_at, is_away)));
        if known.is_none() {
            let LeaseAsk { counter, quotas, mut settle, owed, lease, want, .. } = ask;
            settle.extend((want > 0).then_some(SettledLease { lease, used: 0 }));
            self.returns.add(Return { counter, quotas, settle, owed, from: retry_at, until: asked_at + LONGEST_LEASE });
        }
    }
}
