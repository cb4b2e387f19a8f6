//! Answers about single tokens are given only while whoever acknowledges a change waits for them: see `record`.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::handle::Feed;
use crate::store::{RECORD_LIVES, StoreError, StoreErrorKind};

impl Feed {
    /// Returns once what is said of single tokens from now on is waited for by whoever acknowledges a change.
    ///
    /// # Errors
    /// `Unavailable` where that takes longer than `patience`: the other replicas have not heard of this one for too long,
    /// or have not heard of a new worker.
    pub async fn may_answer(&self, patience: Duration) -> Result<(), StoreError> {
        let shared = &*self.shared;
        let (mut answering, mut vouched) = (shared.answering.subscribe(), shared.vouched.subscribe());
        let deadline = Instant::now() + patience;
        loop {
            let current = *answering.borrow_and_update();
            let is_covered = current.is_some_and(|answering| answering.covers(&shared.registry(), Instant::now()));
            // Nobody acknowledges anything while the store accepts no changes, or soon after: either it is so for all, or
            // this replica does not find its record any more.
            let is_found = vouched.borrow_and_update().is_some_and(|vouched| vouched.elapsed() < RECORD_LIVES);
            if is_covered || (shared.is_refused() && (is_found || current.is_none())) {
                return Ok(());
            }
            let changed = async {
                tokio::select! {
                    _ = answering.changed() => {}
                    _ = vouched.changed() => {}
                }
            };
            if timeout_at(deadline, changed).await.is_err() {
                return Err(StoreError::new(
                    StoreErrorKind::Unavailable,
                    "the other replicas do not know of this one and its workers",
                ));
            }
        }
    }
}
