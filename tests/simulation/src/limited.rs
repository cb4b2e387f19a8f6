//! Requests on routes with limits: one by one, in bursts and in floods, and the probes at the end of a run that
//! ask for all that must be left.

use session_gate_protocol::{Algorithm, DenyReason, LeaseReply, LeaseRequest};

use crate::{
    clocks::Millis,
    decision::Decision,
    events::Event,
    history::What,
    limits::{
        key::Key,
        probe::Probe,
        settings::{KeyName, LIMITS, ROUTES},
    },
    numbers::TokenNumber,
    promise::{Promise, Violation},
    sidecar::{Answer, ApiCall},
    store::LeaseStep,
    worker_host::{Form, RequestId, Route},
    world::World,
};

/// How long it takes until nothing is wrong any more, and all that was leased before has ended and counts no more.
const MENDING: Millis = 24_000;
/// How often each worker is tried by a probe.
const TRIED_EVERY: Millis = 12;

/// With how many requests: together more than any limit has.
const TRIES: usize = 3;

impl World {
    /// Somebody begins to use a limit.
    pub(crate) fn use_limit(&mut self) {
        let route = self.rng.usize(0..ROUTES);
        let Some(of) = self.drawn_key(route) else { return };
        match self.rng.u8(0..10) {
            0..4 => {
                let worker = self.rng.usize(0..self.workers.len());
                self.send_limited(worker, route, of);
            }
            4..8 => {
                // All at once, at one worker or several.
                let spread = self.rng.usize(1..=self.workers.len());
                for _ in 0..self.rng.u32(2..20) {
                    let worker = self.rng.usize(0..spread);
                    self.send_limited(worker, route, of);
                }
            }
            _ => {
                let left = self.rng.u32(10..120);
                self.push(self.now, Event::Flood { route, of, left });
            }
        }
    }

    /// Whose requests; for a route that takes tokens somebody who has one.
    fn drawn_key(&mut self, route: usize) -> Option<KeyName> {
        let limits = &self.parameters.settings.limits;
        if !limits.takes_tokens(route) {
            return Some(self.rng.u32(0..limits.headers));
        }
        let token = self.rng.choice(&self.clients.tokens).copied()?;
        // A few users, who meet their limits.
        self.truth.token(token).map(|token| token.user % 4)
    }

    /// A token of that user.
    fn token_of(&mut self, user: KeyName) -> Option<TokenNumber> {
        let is_theirs = |number: &TokenNumber| self.truth.token(*number).is_some_and(|token| token.user == user);
        let start = self.rng.usize(0..self.clients.tokens.len().max(1));
        let (before, after) = self.clients.tokens.split_at_checked(start)?;
        after.iter().chain(before).copied().find(is_theirs)
    }

    /// A request to a limited route. An operation.
    fn send_limited(&mut self, worker: usize, route: usize, of: KeyName) {
        self.ops += 1;
        self.limits.sought(route, of);
        let token = if self.parameters.settings.limits.takes_tokens(route) {
            match self.token_of(of) {
                Some(token) => Some(token),
                None => return,
            }
        } else {
            None
        };
        let text = token.and_then(|token| self.truth.token(token)).map(|token| token.text.clone());
        let form = match self.rng.u8(0..10) {
            0 | 1 => Form::Upgrade,
            2 => Form::Stream,
            _ => Form::Plain,
        };
        self.deliver(worker, (token, text.as_deref()), Some((route, of)), (Route::Limited(route), form, None));
    }

    /// One more request of a flood.
    pub(crate) fn go_on_flooding(&mut self, route: usize, of: KeyName, left: u32) {
        if self.ops >= self.parameters.ops {
            return;
        }
        let worker = self.rng.usize(0..self.workers.len());
        self.send_limited(worker, route, of);
        if left > 0 {
            let at = self.now + self.rng.u64(0..40);
            self.push(at, Event::Flood { route, of, left: left - 1 });
        }
    }

    // === what came of them ===

    /// A request of a limited route was decided.
    pub(crate) fn note_limited(
        &mut self,
        request: (usize, RequestId),
        key: (usize, KeyName),
        decision: Decision,
        (cost, is_stream): (u64, bool),
    ) {
        match decision {
            Decision::Allow(_) => {
                self.counts.one("limits", "admitted");
                // What is known only later is reserved.
                let cost = if is_stream { u64::MAX } else { cost };
                let wall = self.store_wall.at(self.now);
                let verdict = self.limits.admitted(request, key, (cost, is_stream), self.now, wall);
                self.judge(verdict);
                self.probed(key).for_each(|probe| probe.admitted += 1);
            }
            Decision::Deny(DenyReason::RateLimited) => self.counts.one("limits", "denied"),
            Decision::Deny(DenyReason::LimitUnavailable) => {
                self.counts.one("limits", "denied, store away");
                self.probed(key).for_each(|probe| probe.crowded_out += 1);
            }
            Decision::Deny(_) => {}
        }
    }

    /// A worker asks about limits.
    pub(crate) fn ask_for_leases(&mut self, worker: usize, number: u32, call: &ApiCall) {
        let now = self.now;
        let Ok(request) = serde_json::from_slice::<LeaseRequest>(&call.body) else { return };
        let Some(place) = self.workers.get_mut(worker) else { return };
        let verdict = self.limits.asked(worker, &request, now, &place.clock);
        for ask in &request.asks {
            let Some(key) = self.limits.key_of(&ask.counter) else { continue };
            let settled = ask.settle.iter().map(|settled| (settled.lease, settled.used)).collect();
            let (lease, need, want, kept) = (ask.lease, ask.need, ask.want, ask.kept);
            self.history.add(now, What::AskedForLease { worker, key, lease, need, want, kept, settled });
        }
        place.lease_calls.insert(number, request);
        self.counts.one("limits", "calls");
        match verdict {
            Ok(handled) => {
                self.counts.add("limits", "leases handed back", handled.handed_back);
                self.counts.add("limits", "leases settled again", handled.settled_again);
            }
            Err(violation) => self.judge(Err(violation)),
        }
    }

    /// A stream of a limited route is over.
    pub(crate) fn close(&mut self, request: (usize, RequestId), key: (usize, KeyName)) {
        let strays = self.limits.closed(request, key);
        self.counts.add("limits", "streams beyond their lease", u64::from(strays));
    }

    /// A worker has heard about limits.
    pub(crate) fn hear_of_leases(&mut self, worker: usize, sent: Millis, request: &LeaseRequest, answer: &Answer) {
        let now = self.now;
        if (400..500).contains(&answer.status) {
            // What is not taken in is never handed back, and nobody is admitted meanwhile.
            let text =
                format!("what a worker asks is refused with {}: {} questions", answer.status, request.asks.len());
            let key = request.asks.first().and_then(|ask| self.limits.key_of(&ask.counter));
            self.judge(Err(Violation { promise: Promise::NothingLost, text, session: None, key, worker }));
        }
        let Ok(reply) = serde_json::from_slice::<LeaseReply>(&answer.body) else { return };
        let handled = self.limits.heard(worker, request, &reply, sent, now);
        self.counts.add("limits", "leases", handled.granted);
        self.counts.add("limits", "questions with nothing left", handled.emptied);
        let keys: Vec<_> = request.asks.iter().map(|ask| (self.limits.key_of(&ask.counter), ask.lease)).collect();
        for (key, lease) in keys {
            if let Some(key) = key {
                self.history.add(now, What::HeardOfLease { worker, key, lease, sent });
            }
        }
    }

    /// The store has done a step of a limit.
    pub(crate) fn note_lease_step(&mut self, step: LeaseStep) {
        let Some(key) = self.limits.key_of(&step.counter) else { return };
        let now = self.now;
        self.limits.leased(key, now + step.lifetime_ms);
        let LeaseStep { worker, lease, granted, lifetime_ms, returned, lapsed, outstanding, left, .. } = step;
        for probe in self.probed((key.limit, key.of)) {
            probe.lapsed += lapsed;
            (probe.leased, probe.left) = (outstanding + granted, left);
        }
        let step = What::LeaseStep { worker, key, lease, granted, lifetime_ms, returned, lapsed, outstanding };
        self.history.add(now, step);
    }

    // === probes ===

    /// Nothing goes wrong from here on, and once all leases are over, all that limits have is asked for. Answers how
    /// long that takes.
    pub(crate) fn begin_probes(&mut self) -> Millis {
        self.is_mended = true;
        self.network.calm_down();
        self.accept_changes();
        let mut last = 0;
        let limits = self.parameters.settings.limits;
        for limit in 0..LIMITS {
            let Some(settings) = limits.limits.get(limit).filter(|settings| {
                !settings.by_user && settings.reserve.is_none() && settings.second.is_none() && settings.is_strict()
            }) else {
                continue;
            };
            let window = settings.quota.window_ms;
            let from = self.now + MENDING;
            let (begins, of) = match settings.quota.algorithm {
                Algorithm::FixedWindow => (from + window - self.store_wall.at(from) % window + 1, 0),
                // One that was used may take longer until it is full.
                Algorithm::TokenBucket => (from, limits.headers),
                _ => (from, 0),
            };
            let key = Key { limit, of };
            self.limits.sought(limit, key.of);
            let (hammers, ends) = (begins + window / 2, begins + window * 9 / 10);
            // Until somebody asks, all is there.
            let left = settings.quota.size();
            let probe = Probe { key, begins, hammers, ends, admitted: 0, lapsed: 0, leased: 0, left, crowded_out: 0 };
            last = last.max(ends);
            self.push(begins, Event::Probe { probe: self.probes.len() });
            self.probes.push(probe);
        }
        last.saturating_sub(self.now)
    }

    /// The next step of a probe.
    pub(crate) fn go_on_probing(&mut self, number: usize) {
        let Some(probe) = self.probes.get(number).copied() else { return };
        if self.now >= probe.ends {
            self.judge_probe(probe);
            return;
        }
        let Key { limit, of } = probe.key;
        for worker in (0..self.workers.len()).flat_map(|worker| [worker; TRIES]) {
            self.deliver(worker, (None, None), Some((limit, of)), (Route::Limited(limit), Form::Plain, None));
        }
        let next = if self.now < probe.hammers { probe.hammers } else { self.now + TRIED_EVERY };
        self.push(next.min(probe.ends), Event::Probe { probe: number });
    }

    /// The probes of that key that are under way.
    fn probed(&mut self, (limit, of): (usize, KeyName)) -> impl Iterator<Item = &mut Probe> {
        let now = self.now;
        self.probes.iter_mut().filter(move |probe| probe.key == Key { limit, of } && now >= probe.begins)
    }

    /// All was asked for in one window: all of it must have been admitted, but for what is in leases of which nobody
    /// knows. A call that was given up may reach the store after the one that settles it. And where workers had no
    /// room for requests that wait, so much was not asked for: the store must have it.
    fn judge_probe(&mut self, probe: Probe) {
        let Some(settings) = self.parameters.settings.limits.limits.get(probe.key.limit) else { return };
        let allowed = settings.quota.size();
        let Probe { key, admitted, lapsed, leased, left, crowded_out, .. } = probe;
        self.counts.one("limits", if admitted < allowed { "probes that missed some" } else { "probes" });
        if admitted + lapsed + leased + left.min(crowded_out) < allowed {
            let text = format!(
                "{key}: {admitted} were admitted of {allowed}, {lapsed} have lapsed, {leased} are leased, {left} are \
                 left, {crowded_out} were refused for want of room"
            );
            let (session, key, worker) = (None, Some(key), 0);
            self.judge(Err(Violation { promise: Promise::NothingLost, text, session, key, worker }));
        }
    }
}
