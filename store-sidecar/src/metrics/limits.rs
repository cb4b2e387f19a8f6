//! What is counted of rate limits.

use prometheus_client::metrics::{counter::Counter, family::Family};
use session_gate_protocol::LeaseAsk;

use super::{
    catalogue::Catalogue,
    gauge::OptionalGauge,
    labels::{LeaseOutcome, OutcomeLabel},
};
use crate::store::Leased;

#[derive(Default)]
pub(super) struct LimitMetrics {
    counters: OptionalGauge,
    evicted: Counter,
    handed_back: Counter,
    lapsed: Counter,
    leased: Counter,
    owed: Counter,
    steps: Family<OutcomeLabel, Counter>,
}

impl LimitMetrics {
    pub(super) fn register(&self, r: &mut Catalogue) {
        r.register(
            "limit_admissions_handed_back",
            "Admissions of rate limits that were leased and came back unused",
            self.handed_back.clone(),
        );
        r.register(
            "limit_admissions_lapsed",
            "Admissions in leases that ended without being settled: they count as used",
            self.lapsed.clone(),
        );
        r.register("limit_admissions_leased", "Admissions of rate limits leased to workers", self.leased.clone());
        r.register("limit_admissions_owed", "Admissions used beyond leases and counted afterwards", self.owed.clone());
        r.register("limit_counters", "Counters of rate limits, as the memory store counts them", self.counters.clone());
        r.register(
            "limit_counters_evicted",
            "Counters of rate limits forgotten to make room for others",
            self.evicted.clone(),
        );
        r.register("limit_lease_steps", "Questions of workers for leases, by outcome", self.steps.clone());
    }

    pub(super) fn set_counters(&self, counters: Option<u64>) {
        self.counters.set_count(counters);
    }

    /// A worker's question for a lease was answered.
    pub(super) fn leased(&self, outcome: LeaseOutcome, ask: &LeaseAsk, leased: &Leased) {
        self.leased.inc_by(leased.lease.granted);
        self.handed_back.inc_by(leased.returned);
        self.lapsed.inc_by(leased.lapsed);
        self.evicted.inc_by(leased.evicted);
        self.owed.inc_by(ask.owed);
        self.count_step(outcome);
    }

    pub(super) fn count_step(&self, outcome: LeaseOutcome) {
        self.steps.get_or_create(&OutcomeLabel { outcome: outcome.as_str() }).inc();
    }
}
