//! What a worker knows of one key of one limit: what it has leased, and what the store has said.

use std::time::Duration;

use session_gate_protocol::{Algorithm, CounterId, Lease, LeaseAsk, MAX_REQUESTS, Quota, SettledLease};

use super::{
    fallback::FallbackBudget,
    lease::{HeldLease, LeaseDraw},
    leases::{Leases, Settle},
    remaining::{Remaining, StoreReport},
};

/// Most that is asked for at first, ahead of any demand.
const FIRST_SIZE: u64 = 96;
/// What part of a limit that is: so that all workers of some Envoys get something.
const FIRST_PART: u64 = 12;
/// By how much a size grows at most from one lease to the next.
const GROWTH: u64 = 4;
/// How long slots that came back stay here, for the next requests.
const SLOTS_IDLE: Duration = Duration::from_secs(1);

/// A key's account with this worker.
#[derive(Debug)]
pub(super) struct Entry {
    counter: CounterId,
    quotas: Vec<Quota>,
    /// Whether nothing is kept for later requests.
    exact: bool,
    leases: Leases,
    /// What was used beyond all leases.
    owed: u64,
    /// Slots in use, of a limit in flight.
    in_use: u64,
    /// Those of them that move to leases which are being asked for.
    moving: u64,
    /// Until when nothing is to be had, by what the store has said of these quotas.
    shut_until: Duration,
    shut_by: Vec<Quota>,
    /// Until when it is of no use to ask: the store could not be asked about this key.
    away_until: Duration,
    /// What the store has said last.
    said: Option<StoreReport>,
    /// How many the next lease should have.
    size: u64,
    /// When a request took something, or gave a slot back.
    used_at: Duration,
    shares: FallbackBudget,
    /// When the worker looks at it next.
    pub(super) alarm: Option<Duration>,
    /// Of all entries, which was used how long ago.
    pub(super) use_number: u64,
}

/// What can be said to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// The store must be asked.
    Ask,
    /// The store cannot be asked for now.
    Away,
    /// There is enough.
    Open,
    /// There is not, for so long.
    Shut(Duration),
}

/// How many are asked for at first.
fn first_size(quotas: &[Quota]) -> u64 {
    let tightest = quotas.iter().map(Quota::size).min().unwrap_or(1);
    (tightest / FIRST_PART).clamp(1, FIRST_SIZE)
}

/// Whether the first allow no more than the others.
fn is_within(quotas: &[Quota], others: &[Quota]) -> bool {
    let fits = |(quota, other): (&Quota, &Quota)| {
        let is_alike = quota.algorithm == other.algorithm && quota.window_ms == other.window_ms;
        is_alike && quota.requests <= other.requests && quota.size() <= other.size()
    };
    quotas.len() == others.len() && quotas.iter().zip(others).all(fits)
}

impl Entry {
    pub(super) fn new(counter: CounterId, quotas: &[Quota], exact: bool) -> Self {
        Self {
            counter,
            quotas: quotas.to_vec(),
            exact,
            leases: Leases::default(),
            owed: 0,
            in_use: 0,
            moving: 0,
            shut_until: Duration::ZERO,
            shut_by: Vec::new(),
            away_until: Duration::ZERO,
            said: None,
            size: first_size(quotas),
            used_at: Duration::ZERO,
            shares: FallbackBudget::default(),
            alarm: None,
            use_number: 0,
        }
    }

    /// What the limit allows from now on. What the store has said counts no more. What is leased stays, unless it
    /// was leased of another kind of limit, or is more than a worker would take of the new one.
    pub(super) fn set_terms(&mut self, quotas: &[Quota], exact: bool, now: Duration) {
        self.exact = exact;
        if self.quotas == quotas {
            return;
        }
        let was_in_flight = self.is_in_flight();
        let has_shrunk = !is_within(&self.quotas, quotas);
        self.quotas = quotas.to_vec();
        self.said = None;
        if !is_within(quotas, &self.shut_by) {
            self.shut_until = Duration::ZERO;
        }
        let size = first_size(quotas);
        if has_shrunk {
            self.size = self.size.min(size);
        }
        if was_in_flight != self.is_in_flight() || (has_shrunk && self.left(now) > size) {
            self.leases.drop_all(now);
            self.wake_at(now);
        }
    }

    pub(super) fn counter(&self) -> &CounterId {
        &self.counter
    }

    fn is_in_flight(&self) -> bool {
        self.quotas.iter().any(|quota| quota.algorithm == Algorithm::InFlight)
    }

    /// How many are leased and not used.
    fn left(&self, now: Duration) -> u64 {
        if self.is_in_flight() {
            return self.slots(now).saturating_sub(self.in_use);
        }
        self.leases.left(now)
    }

    /// How many slots there are, those under way to new leases among them.
    fn slots(&self, now: Duration) -> u64 {
        self.leases.granted(now).saturating_add(self.moving)
    }

    /// What can be said to a request that costs so much. `store_consulted`: the store was asked since it came.
    pub(super) fn availability(&self, cost: u64, store_consulted: bool, now: Duration) -> Availability {
        if (store_consulted || !self.exact) && self.left(now) >= cost {
            Availability::Open
        } else if now < self.shut_until {
            Availability::Shut(self.shut_until.saturating_sub(now))
        } else if now < self.away_until {
            Availability::Away
        } else {
            Availability::Ask
        }
    }

    /// Takes what a request costs, or is thought to cost until its answer `cost_pending`. Answers from which leases.
    pub(super) fn take(&mut self, cost: u64, cost_pending: bool, now: Duration) -> Vec<LeaseDraw> {
        self.used_at = now;
        self.shares.note(&self.quotas, cost, now);
        if self.is_in_flight() {
            self.in_use += 1;
            return Vec::new();
        }
        let (drawn, rest) = self.leases.take(cost, cost_pending, now);
        // Nobody is admitted with less than it costs, so there is no rest.
        self.owed = self.owed.saturating_add(rest);
        if self.is_low(now) {
            self.wake_at(now);
        }
        drawn
    }

    /// Whether this worker's part of the limit has room for a request.
    pub(super) fn has_share(&self, cost: u64, workers: u64, now: Duration) -> bool {
        if self.is_in_flight() {
            self.quotas.iter().all(|quota| self.in_use < FallbackBudget::part(quota, workers))
        } else {
            self.shares.fits(&self.quotas, cost, workers, now)
        }
    }

    /// Notes that a request passes without the store's leave. The store is told later, of as much as is this
    /// worker's part: so all workers owe no more than the limit, and the next window is not theirs as well.
    pub(super) fn take_unasked(&mut self, cost: u64, workers: u64, now: Duration) {
        self.used_at = now;
        self.shares.note(&self.quotas, cost, now);
        self.wake_at(now.max(self.away_until));
        if self.is_in_flight() {
            self.in_use += 1;
            return;
        }
        let part = self.quotas.iter().map(|quota| FallbackBudget::part(quota, workers)).min().unwrap_or_default();
        self.owed = self.owed.saturating_add(cost).min(part.max(self.owed));
    }

    /// A stream has ended.
    pub(super) fn release(&mut self, now: Duration) {
        self.in_use = self.in_use.saturating_sub(1);
        self.used_at = now;
        self.wake_at(now.saturating_add(SLOTS_IDLE));
    }

    /// It is known what a request has cost for which so much was `taken`. What it has not used goes back to the
    /// leases that it was `drawn` from: others were used at other times, which must not be forgotten.
    pub(super) fn correct(&mut self, drawn: &[LeaseDraw], taken: u64, cost: u64, now: Duration) {
        let more = self.leases.correct(drawn, taken, cost, now);
        if more > 0 {
            self.owed = self.owed.saturating_add(more).min(MAX_REQUESTS);
            self.wake_at(now);
        }
        // It may have become idle while it waited for this.
        self.wake_at(now.max(self.used_at.saturating_add(self.patience())));
    }

    /// Whether what is left will soon be gone, and there is more to be had.
    fn is_low(&self, now: Duration) -> bool {
        !self.exact
            && !self.is_scarce()
            && self.leases.last().is_some_and(|lease| self.left(now) <= lease.granted / 4 && lease.granted >= 8)
    }

    /// Whether the limit runs out: then nothing is asked for ahead.
    fn is_scarce(&self) -> bool {
        let Some(said) = &self.said else { return false };
        said.quotas.iter().zip(&self.quotas).any(|(state, quota)| state.remaining < quota.size() / 4)
    }

    /// Asks for an earlier look.
    fn wake_at(&mut self, at: Duration) {
        self.alarm = Some(self.alarm.map_or(at, |alarm| alarm.min(at)));
    }

    // === questions to the store ===

    /// Asks for what requests need now.
    pub(super) fn ask_for(&mut self, need: u64, number: u64, now: Duration) -> LeaseAsk {
        self.follow_demand(now);
        let settle = if self.is_in_flight() { Settle::All } else { Settle::Spent };
        let want = if self.exact || self.is_in_flight() { need } else { need.max(self.size) };
        self.ask(settle, need, want, number, now)
    }

    /// The alarm has rung: what is handed back or asked for ahead, if anything is.
    pub(super) fn look_after(&mut self, number: u64, now: Duration) -> Option<LeaseAsk> {
        self.leases.forget_ended(now);
        let patience = self.patience();
        let is_idle = self.used_at.saturating_add(patience) <= now;
        let must_return = self.leases.next_return().is_some_and(|at| at <= now);
        let has_more = self.leases.has_unsettled() || self.owed > 0;
        if self.is_in_flight() {
            // Some may be in use without a lease: they began while the store was away.
            let has_more = has_more || self.in_use > self.slots(now);
            if must_return || has_more || (is_idle && self.left(now) > 0) {
                return Some(self.ask(Settle::All, 0, 0, number, now));
            }
            self.alarm = self.next_look(patience, now);
            return None;
        }
        if is_idle && self.leases.any_quiet(now) {
            // Whoever comes next will need about as much again.
            self.size = self.leases.used().saturating_mul(2).clamp(1, self.size.max(1));
            return Some(self.ask(Settle::Quiet, 0, 0, number, now));
        }
        if must_return {
            let used = self.leases.used();
            self.size = used.saturating_add(used / 4).clamp(1, MAX_REQUESTS);
            let want = if self.is_scarce() { 0 } else { self.size };
            return Some(self.ask(Settle::Quiet, 0, want, number, now));
        }
        if self.is_low(now) {
            self.follow_demand(now);
            return Some(self.ask(Settle::Spent, 0, self.size, number, now));
        }
        if has_more {
            return Some(self.ask(Settle::Spent, 0, 0, number, now));
        }
        self.alarm = self.next_look(patience, now);
        None
    }

    /// Hands everything back: the worker goes. Its streams go with it.
    pub(super) fn hand_back(&mut self, number: u64, now: Duration) -> Option<LeaseAsk> {
        self.in_use = 0;
        let has_any = !self.leases.is_empty() || self.leases.has_unsettled() || self.owed > 0;
        has_any.then(|| self.ask(Settle::All, 0, 0, number, now))
    }

    fn ask(&mut self, settle: Settle, need: u64, want: u64, number: u64, now: Duration) -> LeaseAsk {
        let settled = self.leases.settle(settle, now);
        self.alarm = None;
        let kept = if self.is_in_flight() { self.in_use.saturating_sub(self.moving) } else { 0 };
        self.moving += kept;
        LeaseAsk {
            counter: self.counter.clone(),
            quotas: self.quotas.clone(),
            settle: settled,
            owed: std::mem::take(&mut self.owed),
            lease: number,
            kept,
            need: need.min(MAX_REQUESTS),
            want: want.clamp(need, MAX_REQUESTS),
        }
    }

    /// How many the next lease should have: what is used in the better part of a lease's life, at the pace at
    /// which the last one was used up.
    fn follow_demand(&mut self, now: Duration) {
        let Some(lease) = self.leases.last().filter(|lease| lease.left() <= lease.granted / 4 && lease.used > 0) else {
            return;
        };
        let took = now.saturating_sub(lease.asked_at).max(Duration::from_millis(1));
        let lasting = u128::from(lease.used) * (lease.lifetime * 3 / 4).as_micros() / took.as_micros().max(1);
        let most = self.size.saturating_mul(GROWTH).min(MAX_REQUESTS);
        self.size = u64::try_from(lasting).unwrap_or(MAX_REQUESTS).clamp(self.size.min(most), most);
    }

    /// How long what is leased may lie unused.
    fn patience(&self) -> Duration {
        if self.exact {
            Duration::ZERO
        } else if self.is_in_flight() {
            SLOTS_IDLE
        } else {
            self.leases.last().map_or(Duration::ZERO, HeldLease::patience)
        }
    }

    /// When to look again: at a lease's end, and whether it has become idle.
    fn next_look(&self, patience: Duration, now: Duration) -> Option<Duration> {
        let returns = self.leases.next_return()?;
        let idle = self.used_at.saturating_add(patience);
        let next = if idle > now { returns.min(idle) } else { returns };
        Some(next.max(now))
    }

    // === answers ===

    /// The store has answered a question that was asked at `asked_at`.
    pub(super) fn on_lease(&mut self, ask: &LeaseAsk, lease: Lease, asked_at: Duration, now: Duration) {
        let granted = lease.granted.saturating_add(ask.kept);
        if granted > 0 {
            let lifetime = Duration::from_millis(lease.lifetime_ms);
            self.leases.push(HeldLease { number: ask.lease, granted, used: 0, pending: 0, asked_at, lifetime });
        }
        self.moving = self.moving.saturating_sub(ask.kept);
        if lease.granted < ask.need {
            self.shut_until = now.saturating_add(Duration::from_millis(lease.again_ms.max(1)));
            self.shut_by.clone_from(&ask.quotas);
        } else if ask.need > 0 {
            self.shut_until = Duration::ZERO;
        }
        self.away_until = Duration::ZERO;
        self.said = (lease.quotas.len() == self.quotas.len() && ask.quotas == self.quotas)
            .then_some(StoreReport { at: now, quotas: lease.quotas });
        self.used_at = self.used_at.max(asked_at);
        let patience = self.patience();
        // What an exact limit has left over goes back on the next tick.
        let has_more = self.owed > 0 || self.leases.has_unsettled();
        if let Some(next) = if self.exact || has_more { Some(now) } else { self.next_look(patience, now) } {
            self.wake_at(next);
        }
    }

    /// The store has not answered, or nobody has heard: it may have done what it was asked.
    pub(super) fn on_failure(&mut self, ask: &LeaseAsk, asked_at: Duration, retry_at: Duration, is_away: bool) {
        let lost = (ask.want > 0 || ask.kept > 0).then_some(SettledLease { lease: ask.lease, used: 0 });
        self.leases.keep_unsettled(ask.settle.iter().copied().chain(lost), asked_at);
        self.owed = self.owed.saturating_add(ask.owed).min(MAX_REQUESTS);
        self.moving = self.moving.saturating_sub(ask.kept);
        if is_away {
            self.away_until = retry_at;
        }
        self.wake_at(retry_at);
    }

    // === for eviction and for clients ===

    /// Whether a stream still counts in it.
    pub(super) const fn is_in_use(&self) -> bool {
        self.in_use > 0
    }

    /// What each quota has left for clients of this worker. Nothing is known until the store has said something.
    pub(super) fn left_for_clients(&self, now: Duration) -> Vec<Remaining> {
        let said = self.said.as_ref();
        said.map(|said| Remaining::of(&self.quotas, said, self.left(now), now)).unwrap_or_default()
    }
}
