//! The leases of one key: those in this worker's hands, and those that were settled and of which the store may not
//! know yet.

use std::time::Duration;

use session_gate_protocol::{MAX_SETTLED, SettledLease};

use super::lease::{HeldLease, LONGEST_LEASE, LeaseDraw};

/// What a key has leased.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: Vec<HeldLease>,
    /// Leases that were settled, each with the time from which there is nothing to settle.
    unsettled: Vec<(SettledLease, Duration)>,
}

/// What is settled with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settle {
    /// Every lease.
    All,
    /// Every lease of which no request may bring something back.
    Quiet,
    /// Those of which nothing is left.
    Spent,
}

impl Leases {
    /// Whether nothing is held.
    pub(super) const fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether there are settled ones of which the store may not know.
    pub(super) const fn has_unsettled(&self) -> bool {
        !self.unsettled.is_empty()
    }

    /// The one that was leased last.
    pub(super) fn last(&self) -> Option<&HeldLease> {
        self.held.last()
    }

    /// How many admissions can still be used.
    pub(super) fn left(&self, now: Duration) -> u64 {
        self.usable(now).map(HeldLease::left).sum()
    }

    /// How many were granted by those that can still be used.
    pub(super) fn granted(&self, now: Duration) -> u64 {
        self.usable(now).map(|lease| lease.granted).sum()
    }

    /// How many were used.
    pub(super) fn used(&self) -> u64 {
        self.held.iter().map(|lease| lease.used).sum()
    }

    fn usable(&self, now: Duration) -> impl Iterator<Item = &HeldLease> {
        self.held.iter().filter(move |lease| now < lease.ends_at())
    }

    fn usable_mut(&mut self, now: Duration) -> impl Iterator<Item = &mut HeldLease> {
        self.held.iter_mut().filter(move |lease| now < lease.ends_at())
    }

    /// When the first of them is to be handed back.
    pub(super) fn next_return(&self) -> Option<Duration> {
        self.held.iter().map(HeldLease::return_at).min()
    }

    /// Whether there is one of which no request may bring something back.
    pub(super) fn any_quiet(&self, now: Duration) -> bool {
        self.held.iter().any(|lease| !lease.awaits_costs(now))
    }

    /// Takes so many, of a request whose answer will perhaps say what it has cost. Returns from which leases, and how
    /// many of them there were not.
    pub(super) fn take(&mut self, count: u64, cost_pending: bool, now: Duration) -> (Vec<LeaseDraw>, u64) {
        let (mut rest, mut drawn) = (count, Vec::new());
        for lease in self.usable_mut(now) {
            let count = rest.min(lease.left());
            if count > 0 {
                drawn.push(LeaseDraw { lease: lease.number, count });
                lease.used += count;
                lease.pending += u64::from(cost_pending);
                rest -= count;
            }
        }
        (drawn, rest)
    }

    /// It is known what a request has cost for which so much was `taken`. What it has not used goes back to the
    /// leases that it was `drawn` from: others were used at other times, which must not be forgotten. Returns how much
    /// more it has cost than is left.
    pub(super) fn correct(&mut self, drawn: &[LeaseDraw], taken: u64, cost: u64, now: Duration) -> u64 {
        let mut more = cost.saturating_sub(taken);
        let mut less = taken.saturating_sub(cost);
        for lease in self.usable_mut(now) {
            let from_here = drawn.iter().find(|drawn| drawn.lease == lease.number);
            let back = from_here.map_or(0, |drawn| less.min(drawn.count));
            lease.pending = lease.pending.saturating_sub(u64::from(from_here.is_some()));
            lease.used -= back;
            less -= back;
            let part = more.min(lease.left());
            lease.used += part;
            more -= part;
        }
        more
    }

    /// One more.
    pub(super) fn push(&mut self, lease: HeldLease) {
        self.held.push(lease);
    }

    /// Forgets those whose time is over.
    pub(super) fn forget_ended(&mut self, now: Duration) {
        self.held.retain(|lease| now < lease.ends_at());
        self.unsettled.retain(|(_, until)| now < *until);
    }

    /// None of them is used any more; the store has yet to be told.
    pub(super) fn drop_all(&mut self, now: Duration) {
        let until = now + LONGEST_LEASE;
        self.unsettled.extend(self.held.drain(..).map(|lease| (lease.settled(), until)));
    }

    /// The store may not have heard of these, which were settled with a question of `asked_at`.
    pub(super) fn keep_unsettled(&mut self, settled: impl IntoIterator<Item = SettledLease>, asked_at: Duration) {
        let until = asked_at + LONGEST_LEASE;
        self.unsettled.extend(settled.into_iter().map(|settled| (settled, until)));
        let surplus = self.unsettled.len().saturating_sub(MAX_SETTLED);
        self.unsettled.drain(..surplus);
    }

    /// What a question settles. It is not held any more.
    pub(super) fn settle(&mut self, which: Settle, now: Duration) -> Vec<SettledLease> {
        let mut settled: Vec<SettledLease> = self.unsettled.drain(..).map(|(settled, _)| settled).collect();
        let surplus = settled.len().saturating_sub(MAX_SETTLED);
        settled.drain(..surplus);
        self.held.retain(|lease| {
            let goes = match which {
                Settle::All => true,
                Settle::Quiet => !lease.awaits_costs(now),
                Settle::Spent => lease.left() == 0 && !lease.awaits_costs(now),
            };
            // More than can be settled at once wait for the next question.
            let goes = goes && settled.len() < MAX_SETTLED;
            if goes && now < lease.ends_at() {
                settled.push(lease.settled());
            }
            !goes && now < lease.ends_at()
        });
        settled
    }
}
