//! How sessions end that nobody has: their login has failed after they began, or may have begun.

use std::{sync::Arc, time::Duration};

use session_gate_protocol::{Claims, SessionId};

use super::Service;
use crate::{
    logging::chain,
    store::{OperationId, Store, StoreError, StoreErrorKind, Termination},
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
        tokio::spawn(async move { end(&*store, &turn.subject, [first, second]).await });
    }

    /// Ends the session of a login or an elevation whose caller has gone before the answer: nobody has its token, and it
    /// would count among its user's sessions.
    pub async fn unclaimed(&self, id: &SessionId) {
        tracing::info!("a session ends whose token nobody has got: its caller has gone");
        if let (Ok(first), Ok(second)) = (self.operation(), self.operation()) {
            end(&*self.tools.store, id, [first, second]).await;
        }
    }

    /// The same, by its token.
    pub async fn unclaimed_token(&self, token: &str) {
        if let Ok(Some(Claims { sid: Some(id), .. })) = self.presented(token).await {
            self.unclaimed(&id).await;
        }
    }
}

/// Ends a session, if need be by a second try.
async fn end(store: &dyn Store, id: &SessionId, [first, second]: [OperationId; 2]) {
    if let Ok(Termination::Ended | Termination::AlreadyEnded) = store.terminate_session(id, first).await {
        return;
    }
    tokio::time::sleep(TRIED_AGAIN_AFTER).await;
    if let Err(error) = store.terminate_session(id, second).await {
        tracing::warn!(error = %chain(&error), "a session that nobody has may live until it expires");
    }
}
