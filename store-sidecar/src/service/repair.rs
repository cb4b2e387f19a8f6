//! What the feed says against a session, and a store that has lost it.
//!
//! A store may lose what it was told: by a failover, or because the process died between the feed and the store. What
//! has ended stays ended: the feed counts, and whoever notices mends the store, so that it still counts when the feed's
//! entry is gone.

use std::{sync::Arc, time::Duration};

use session_gate_protocol::{CheckVerdict, SessionData, SessionId, SessionPatch, SessionStatus, UserId};

use super::{Service, ServiceError};
use crate::{
    feed::{Against, KnownSession},
    logging::chain,
    metrics::Repair,
    store::{OperationId, Store, StoreError, Update},
};

/// How long whoever asks waits where this replica has not read the feed yet: it has just started.
pub(super) const FIRST_READING: Duration = Duration::from_millis(250);

impl Service {
    /// What the feed says against a session that the store says is live. Where that is because the store has lost it,
    /// it is told again, while the caller goes on.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub(super) async fn against(
        &self,
        user: &UserId,
        known: &KnownSession<'_>,
    ) -> Result<Option<Against>, ServiceError> {
        self.tools.feed.first_reading(FIRST_READING).await?;
        let against = self.tools.feed.against(user, known)?;
        if let Some(against) = &against
            && against.is_lost(known)
        {
            self.repair(user, known.id, against.clone());
        }
        Ok(against)
    }

    /// The session as it is, whatever the store has lost.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub(super) async fn corrected(&self, session: SessionData) -> Result<SessionData, ServiceError> {
        if session.status.is_final() {
            return Ok(session);
        }
        let against = self.against(&session.user_id, &known(&session)).await?;
        Ok(match against {
            None => session,
            Some(against) => SessionData { status: against.status(), ..session },
        })
    }

    /// What became of a change to a session that the store may have set back: what has ended is not changed, and what
    /// is served again must be of a later version than the suspension that everybody knows of.
    pub(super) async fn later_than_known(
        &self,
        id: &SessionId,
        patch: &SessionPatch,
        update: Update,
    ) -> Result<Update, ServiceError> {
        let Update::Applied(session) = &update else { return Ok(update) };
        let before = known(session);
        self.tools.feed.first_reading(FIRST_READING).await?;
        Ok(match self.tools.feed.against(&session.user_id, &before)? {
            Some(against @ (Against::CutOff { .. } | Against::Ended)) => {
                let ended = SessionData { status: SessionStatus::Terminated, ..session.clone() };
                self.repair(&session.user_id, id, against);
                Update::Ended(ended)
            }
            Some(Against::Suspended { version })
                if version > session.version && patch.status == Some(SessionStatus::Active) =>
            {
                self.tools.store.restore_suspension(id, version).await?;
                self.tools.store.update_session(id, patch, None, self.operation()?).await?
            }
            Some(Against::Suspended { .. }) | None => update,
        })
    }

    fn repair(&self, user: &UserId, session: &SessionId, against: Against) {
        let (store, metrics) = (Arc::clone(&self.tools.store), Arc::clone(&self.tools.metrics));
        let (user, session) = (user.clone(), session.clone());
        let Ok(op) = self.operation() else { return };
        tokio::spawn(async move {
            let what = against.what();
            let repaired = mend(&*store, &user, &session, against, op).await;
            metrics.store_repaired(what, repaired.is_ok());
            match repaired {
                Ok(()) => tracing::warn!(what = what.as_str(), "the store had lost what the feed knows: it is mended"),
                Err(error) => {
                    tracing::warn!(what = what.as_str(), error = %chain(&error), "the store cannot be mended yet");
                }
            }
        });
    }
}

async fn mend(
    store: &dyn Store,
    user: &UserId,
    session: &SessionId,
    against: Against,
    op: OperationId,
) -> Result<(), StoreError> {
    match against {
        Against::CutOff { before, except } => store.finish_cut_off(user, before, except.as_ref()).await,
        Against::Ended => store.terminate_session(session, op).await.map(drop),
        Against::Suspended { version } => store.restore_suspension(session, version).await,
    }
}

/// What the store says of a session.
pub(super) const fn known(session: &SessionData) -> KnownSession<'_> {
    KnownSession { id: &session.session_id, generation: session.generation, version: session.version }
}

impl Against {
    /// What the session is by it.
    pub(super) const fn status(&self) -> SessionStatus {
        match self {
            Self::CutOff { .. } | Self::Ended => SessionStatus::Terminated,
            Self::Suspended { .. } => SessionStatus::Suspended,
        }
    }

    pub(super) const fn verdict(&self) -> CheckVerdict {
        self.status().verdict()
    }

    /// Whether the store has lost it. A suspension of the very version that the store has is being told: whoever
    /// suspends the session tells the feed first.
    fn is_lost(&self, known: &KnownSession<'_>) -> bool {
        match self {
            Self::CutOff { .. } | Self::Ended => true,
            Self::Suspended { version } => *version > known.version,
        }
    }

    const fn what(&self) -> Repair {
        match self {
            Self::CutOff { .. } => Repair::CutOff,
            Self::Ended => Repair::End,
            Self::Suspended { .. } => Repair::Suspension,
        }
    }
}
