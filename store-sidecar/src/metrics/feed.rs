//! What is counted of the change feed.

use std::time::Duration;

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram};
use session_gate_protocol::FeedChange;

use super::{
    catalogue::Catalogue,
    gauge::OptionalGauge,
    histogram::{NewHistogram, request_histogram},
    labels::{KindLabel, OutcomeLabel, PollOutcome, ReceiptOutcome, kind},
};

/// How the change feed is, as a sidecar knows it.
#[derive(Clone, Copy, Debug)]
pub struct FeedState {
    /// Entries that are kept.
    pub entries: usize,
    /// Rules in force.
    pub rules: usize,
    /// How long ago this was all there was.
    pub age: Duration,
}

/// What a sidecar is to the workers that follow it.
#[derive(Clone, Copy, Debug)]
pub struct FollowerState {
    /// How many there are.
    pub workers: usize,
    /// Whether new ones may trust what they are told: whether the store accepts this sidecar's record of them.
    pub registers: bool,
}

pub(super) struct FeedMetrics {
    age: OptionalGauge,
    appends: Family<KindLabel, Counter>,
    entries: OptionalGauge,
    epochs: Counter,
    polls: Family<OutcomeLabel, Counter>,
    registers: Gauge,
    receipt_wait: Family<OutcomeLabel, Histogram, NewHistogram>,
    retold: Counter,
    rules: OptionalGauge,
    workers: Gauge,
}

impl Default for FeedMetrics {
    fn default() -> Self {
        Self {
            age: OptionalGauge::default(),
            appends: Family::default(),
            entries: OptionalGauge::default(),
            epochs: Counter::default(),
            polls: Family::default(),
            registers: Gauge::default(),
            receipt_wait: Family::new_with_constructor(request_histogram),
            retold: Counter::default(),
            rules: OptionalGauge::default(),
            workers: Gauge::default(),
        }
    }
}

impl FeedMetrics {
    pub(super) fn register(&self, r: &mut Catalogue) {
        r.register(
            "feed_age_seconds",
            "Time since the change feed was last known to its end, when the metrics were read",
            self.age.clone(),
        );
        r.register("feed_appends", "Changes told through the feed by this sidecar, by kind", self.appends.clone());
        r.register("feed_entries", "Entries of the change feed that are of use", self.entries.clone());
        r.register(
            "feed_epochs",
            "New epochs of the change feed that this sidecar has seen begin: the store has lost data",
            self.epochs.clone(),
        );
        r.register("feed_polls", "Polls of the feed by workers, by outcome", self.polls.clone());
        r.register(
            "feed_receipt_wait_seconds",
            "Time that callers waited until all workers knew of a change, by outcome",
            self.receipt_wait.clone(),
        );
        r.register(
            "feed_registers",
            "Whether new workers may trust what they are told: 0 while the store accepts no changes",
            self.registers.clone(),
        );
        r.register("feed_retold", "Changes told again after the store had lost them", self.retold.clone());
        r.register(
            "feed_rules",
            "Rules in force: the block list, revoked tokens of other issuers, and limits of single keys",
            self.rules.clone(),
        );
        r.register("feed_workers", "Workers that follow the feed at this sidecar", self.workers.clone());
    }

    /// A change was told through the feed.
    pub(super) fn appended(&self, change: &FeedChange) {
        self.appends.get_or_create(&KindLabel { kind: kind(change) }).inc();
    }

    /// A worker's poll was answered.
    pub(super) fn polled(&self, outcome: PollOutcome) {
        self.polls.get_or_create(&OutcomeLabel { outcome: outcome.as_str() }).inc();
    }

    /// Changes were told again that the store had lost.
    pub(super) fn retold(&self, count: usize) {
        self.retold.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// A new epoch of the feed has begun.
    pub(super) fn epoch_began(&self) {
        self.epochs.inc();
    }

    /// How the feed is, and who follows it. Of a feed that has never been read the age is infinite, so that an alert on
    /// it fires, and all else has no series.
    pub(super) fn state(&self, state: Option<FeedState>, followers: FollowerState) {
        let count = |count: fn(&FeedState) -> usize| state.as_ref().and_then(|state| u64::try_from(count(state)).ok());
        self.entries.set_count(count(|state| state.entries));
        self.rules.set_count(count(|state| state.rules));
        self.age.set(Some(state.as_ref().map_or(f64::INFINITY, |state| state.age.as_secs_f64())));
        self.workers.set(i64::try_from(followers.workers).unwrap_or(i64::MAX));
        self.registers.set(followers.registers.into());
    }

    /// Somebody who waited until all workers knew of a change was answered.
    pub(super) fn receipt_given(&self, outcome: ReceiptOutcome, took: Duration) {
        let label = OutcomeLabel { outcome: outcome.as_str() };
        self.receipt_wait.get_or_create(&label).observe(took.as_secs_f64());
    }
}
