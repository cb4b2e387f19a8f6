//! Whether this replica should be sent requests; and how the store is, looked at in the background, so that no probe costs
//! the store anything.
//!
//! A store that is away makes no replica unready: they all share it, and what they can do without it would be lost too.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::store::{Health, Store, StoreErrorKind};

/// How often the store is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same while it is not well.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How the store was when it was last looked at.
#[derive(Clone, Debug)]
pub struct StoreState {
    /// What it said of itself, or why it said nothing.
    pub health: Result<Health, StoreErrorKind>,
    /// When that was.
    pub seen: Instant,
}

/// Why this replica should not be sent requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotReady {
    /// It has not read the change feed to its end yet.
    Starting,
    /// It has been told to stop.
    Stopping,
    /// The store must not be used as it is set up.
    StoreUnfit,
}

impl NotReady {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::StoreUnfit => "store_unfit",
        }
    }
}

/// What is known for the probes.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    stopping: AtomicBool,
    store: Mutex<Option<StoreState>>,
}

impl Readiness {
    /// The process is about to stop.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Why not, if it is not.
    pub(crate) fn problem(&self, has_read_feed: bool) -> Option<NotReady> {
        if self.stopping.load(Ordering::Relaxed) {
            return Some(NotReady::Stopping);
        }
        let is_unfit = |state: StoreState| matches!(state.health, Err(StoreErrorKind::Unfit));
        if self.store().is_some_and(is_unfit) {
            return Some(NotReady::StoreUnfit);
        }
        (!has_read_feed).then_some(NotReady::Starting)
    }

    /// How the store was when it was last looked at.
    pub(crate) fn store(&self) -> Option<StoreState> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the store again and again.
    pub(crate) async fn watch(&self, store: &dyn Store) {
        loop {
            let state = look(store).await;
            let pause = if state.health.is_ok() { LOOK_EVERY } else { LOOK_AGAIN };
            *self.store.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
            sleep(pause).await;
        }
    }
}

/// Looks at the store once.
pub(crate) async fn look(store: &dyn Store) -> StoreState {
    let health = store.health().await.map_err(|error| error.kind());
    StoreState { health, seen: Instant::now() }
}
