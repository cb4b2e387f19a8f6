//! What the task that reads the feed and those who are answered share.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, atomic::AtomicBool},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{answering::Answering, crowd::Crowd, followers::Registry, known::Known};
use crate::{
    metrics::Metrics,
    store::{FeedPosition, RECORD_OVERDUE, Store},
};

/// Entries that are appended in one step, during which Redis does nothing else.
pub(super) const MAX_APPENDED: usize = 1_000;

/// How much goes into one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pages {
    /// Of a reply to a worker: characters of JSON, but for a single entry that is longer.
    pub reply_chars: usize,
    /// Of a reading of the store: entries, during which Redis does nothing else.
    pub reading: usize,
}

impl Default for Pages {
    fn default() -> Self {
        // Well below what the filter takes; some milliseconds.
        Self { reply_chars: 192 * 1024, reading: 1_000 }
    }
}

/// What the task that reads and those who are answered share.
pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) metrics: Arc<Metrics>,
    /// This replica's name among the others.
    pub(super) replica: String,
    pub(super) pages: Pages,
    /// Plain locks: nobody waits for anything while holding one.
    pub(super) known: RwLock<Option<Known>>,
    pub(super) registry: Mutex<Registry>,
    pub(super) crowd: Mutex<Crowd>,
    /// Makes the task read at once.
    pub(super) wake: Notify,
    /// Told whenever there is something new to answer with.
    pub(super) news: watch::Sender<()>,
    /// Told with every reading up to the end: when it was sent.
    pub(super) proven: watch::Sender<Option<Instant>>,
    /// When the last reading up to the end was sent that workers may believe: see `record`.
    pub(super) vouched: watch::Sender<Option<Instant>>,
    /// The newest generation of workers that the other replicas can know of, and that a reading has
    /// followed.
    pub(super) registered: watch::Sender<u64>,
    /// Told with every record of this replica: whom it may answer about single tokens.
    pub(super) answering: watch::Sender<Option<Answering>>,
    /// Whether the store accepts changes.
    pub(super) refused: Mutex<Refused>,
    /// Whether somebody waits for a replica that has not renewed its record in time: then it is to be marked as gone.
    pub(super) silent: AtomicBool,
    /// When the task that reads began its last turn.
    pub(super) turned: watch::Sender<Instant>,
    /// Told with every poll.
    pub(super) polled: watch::Sender<()>,
    pub(super) closing: AtomicBool,
}

/// What is known of the store's accepting changes.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// Whether it has refused the last one of this replica's records.
    pub(super) is_refused: bool,
    /// When it last did so.
    pub(super) last: Option<Instant>,
}

impl Refused {
    /// Whether it is so late that others may not have been able to renew their records since.
    pub(super) fn is_recent(&self) -> bool {
        self.last.is_some_and(|last| last.elapsed() < RECORD_OVERDUE)
    }
}

impl Shared {
    pub(super) fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>, replica: String, pages: Pages) -> Self {
        Self {
            store,
            metrics,
            replica,
            pages,
            known: RwLock::default(),
            registry: Mutex::default(),
            crowd: Mutex::default(),
            wake: Notify::new(),
            news: watch::Sender::default(),
            proven: watch::Sender::default(),
            vouched: watch::Sender::default(),
            registered: watch::Sender::default(),
            answering: watch::Sender::default(),
            refused: Mutex::default(),
            silent: AtomicBool::new(false),
            turned: watch::Sender::new(Instant::now()),
            polled: watch::Sender::default(),
            closing: AtomicBool::new(false),
        }
    }

    pub(super) fn known(&self) -> RwLockReadGuard<'_, Option<Known>> {
        // No step can panic half-way through a change, so what a poisoned lock guards is sound.
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn crowd(&self) -> MutexGuard<'_, Crowd> {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How old is what workers may believe; none: this replica has never been able to vouch for anything.
    pub(super) fn age_for_workers(&self) -> Option<Duration> {
        self.vouched.borrow().map(|vouched| vouched.elapsed())
    }

    /// Whether the others can know of workers that are new here.
    pub(super) fn registers(&self) -> bool {
        self.vouched.borrow().is_some() && !self.is_refused()
    }

    /// Whether the store accepts no changes.
    pub(super) fn is_refused(&self) -> bool {
        self.refused().is_refused
    }

    pub(super) fn set_refused(&self, is_refused: bool) {
        let mut refused = self.refused();
        refused.is_refused = is_refused;
        if is_refused {
            refused.last = Some(Instant::now());
        }
    }

    pub(super) fn refused(&self) -> MutexGuard<'_, Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place that is known.
    pub(super) fn position(&self) -> Option<FeedPosition> {
        self.known().as_ref().map(Known::position)
    }
}
