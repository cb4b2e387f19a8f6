//! Whom this replica may answer about single tokens: see `record`. Pure.

use std::time::Duration;

use tokio::time::Instant;

use super::followers::{Registry, trust};
use crate::store::RECORD_OVERDUE;

/// Whose use of answers about single tokens the other replicas wait for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answering {
    /// Until when they may be given.
    pub(super) until: Instant,
    /// When the record was surely written.
    pub(super) written: Instant,
    /// The newest generation of workers that is in it.
    pub(super) generation: u64,
    /// The longest time for which any of them uses an answer.
    pub(super) longest: Duration,
}

impl Answering {
    /// Whether the others wait for all who may be answered now: those that are in the record, or once that is overdue,
    /// whoever uses answers for no longer than they do.
    pub(super) fn covers(&self, registry: &Registry, now: Instant) -> bool {
        let is_listed = registry.generation() <= self.generation;
        let is_overdue = now >= self.written + trust(RECORD_OVERDUE);
        now < self.until && (is_listed || (is_overdue && registry.longest(now) <= self.longest))
    }
}
