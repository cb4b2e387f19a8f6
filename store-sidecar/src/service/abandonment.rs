//! How sessions end that nobody has: their login has failed after they began, or may have begun.

use std::{sync::Arc, time::Duration};

use session_gate_protocol::SessionId;

use super::Service;
use crate::{
    logging::chain,
    store::{StoreError, StoreErrorKind, Termination},
};

/// When it is tried once more to end a session that the store may not have made yet, or could not end: by then what was on
/// its way to the store has got there or is lost.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(5);

impl Service {
    /// Ends a session of which nobody has learnt; if this fails, it expires.
    pub(super) async fn abandon(&self, id: &SessionId) {
        if let Ok(op) = self.operation() {
            drop(self.tools.store.terminate_session(id, op).await);
        }
    }

    /// Ends a new session in the background where an error of the store leaves open whether it has begun: it would count
    /// among its user's sessions until it expires.
    pub(super) fn abandon_if_unknown(&self, id: &SessionId, error: &StoreError) {
        if !matches!(error.kind(), StoreErrorKind::Timeout | StoreErrorKind::Unavailable) {
            return;
        }
        let store = Arc::clone(&self.tools.store);
        let (Ok(first), Ok(second)) = (self.operation(), self.operation()) else { return };
        let Some(turn) = self.abandonments.begin(id) else { return };
        tokio::spawn(async move {
            if let Ok(Termination::Ended | Termination::AlreadyEnded) =
                store.terminate_session(&turn.subject, first).await
            {
                return;
            }
            tokio::time::sleep(TRIED_AGAIN_AFTER).await;
            if let Err(error) = store.terminate_session(&turn.subject, second).await {
                tracing::warn!(error = %chain(&error), "a session that nobody has may live until it expires");
            }
        });
    }
}
