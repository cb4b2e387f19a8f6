//! A store that can be read and accepts no changes for a while: none at all, or none that take room.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use store_sidecar::store::{StoreError, StoreErrorKind};
use tokio::time::Instant;

/// What it does not accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refused {
    /// What takes room: it is full. Whatever takes something back goes on.
    New,
    /// Any change: it lacks its replicas, or its disk.
    All,
}

/// What a question does to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// It adds something.
    Add,
    /// It reads.
    Read,
    /// It takes something back, or keeps others informed: a full store does that, too.
    TakeBack,
}

/// What is refused, and until when.
#[derive(Debug, Default)]
pub struct Refusing(Mutex<Option<(Refused, Instant)>>);

impl Refused {
    /// Whether that is refused.
    pub fn concerns(self, does: Does) -> bool {
        match does {
            Does::Read => false,
            Does::Add => true,
            Does::TakeBack => self == Self::All,
        }
    }
}

impl Refusing {
    /// From now on for so long that is refused.
    pub fn begin(&self, refused: Refused, duration: Duration) {
        *self.locked() = Some((refused, Instant::now() + duration));
    }

    /// All is accepted.
    pub fn end(&self) {
        *self.locked() = None;
    }

    /// What is refused now.
    pub fn now(&self) -> Option<Refused> {
        self.locked().filter(|(_, until)| Instant::now() < *until).map(|(refused, _)| refused)
    }

    /// Whether that is done.
    ///
    /// # Errors
    /// `Refused` where it is not.
    pub fn accepts(&self, does: Does) -> Result<(), StoreError> {
        match self.now().filter(|refused| refused.concerns(does)) {
            Some(_) => Err(StoreError::of_kind(StoreErrorKind::Refused)),
            None => Ok(()),
        }
    }

    fn locked(&self) -> MutexGuard<'_, Option<(Refused, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
