//! What the feed says against a session, and a store that has lost it.
//!
//! A store may lose what it was told: by a failover, or because the process died between the feed and the store. What
//! has ended stays ended: the feed counts, and whoever notices mends the store, so that it still counts when the feed's
//! entry is gone.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use session_gate_protocol::{CheckVerdict, SessionData, SessionId, SessionStatus, UserId};

use super::{Service, ServiceError};
use crate::{
    feed::{Against, KnownSession},
    logging::chain,
    metrics::Repair,
    store::{LaterVersion, OperationId, Store, StoreError, Update},
};

/// What a store has lost that the feed knows.
enum Lost {
    /// That all of the user's sessions of a generation before this have ended, but for one.
    CutOff { before: u64, except: Option<SessionId> },
    /// That the session has ended.
    End,
    /// A later version of the session.
    Version(LaterVersion),
}

/// How long whoever asks waits where this replica has not read the feed yet: it has just started.
pub(super) const FIRST_READING: Duration = Duration::from_millis(250);

/// What the feed says of a session that the store says is live.
pub(super) struct Heard {
    /// Why it is not live.
    pub(super) against: Option<Against>,
    /// A later version of it.
    pub(super) later: Option<LaterVersion>,
}

/// The repairs under way: one of a session at a time, and no more than [`MOST_REPAIRS`]. What is not mended now is
/// mended when somebody asks again.
#[derive(Debug, Default)]
pub(super) struct Repairs(Mutex<HashSet<SessionId>>);

/// How many repairs are under way at a time: a store that refuses them must not be flooded with them.
const MOST_REPAIRS: usize = 64;

/// A repair under way.
struct Repairing {
    of: Arc<Repairs>,
    session: SessionId,
}

impl Service {
    /// What the feed says of a session that the store says is live. Where the store has lost that, it is told again, while
    /// the caller goes on.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub(super) async fn heard_of(&self, user: &UserId, known: &KnownSession<'_>) -> Result<Heard, ServiceError> {
        let feed = &self.tools.feed;
        feed.first_reading(FIRST_READING).await?;
        let heard = Heard { against: feed.against(user, known)?, later: feed.later_version(known.id, known.version)? };
        if let Some(lost) = Lost::of(&heard) {
            self.repair(user, known.id, lost);
        }
        Ok(heard)
    }

    /// The session as it is, whatever the store has lost.
    ///
    /// # Errors
    /// `Unavailable` where the feed has never been read up to its end.
    pub(super) async fn corrected(&self, session: SessionData) -> Result<SessionData, ServiceError> {
        if session.status.is_final() {
            return Ok(session);
        }
        let Heard { against, later } = self.heard_of(&session.user_id, &known(&session)).await?;
        let session = match later {
            Some(later) => later.of(session),
            None => session,
        };
        let status = against.map_or(session.status, |against| against.status());
        Ok(SessionData { status, ..session })
    }

    /// Tells the store of the latest version of a session, if it has lost that: before the session is changed, or the
    /// change would pass for later than what was lost.
    pub(super) async fn bring_up_to_date(&self, id: &SessionId) -> Result<(), ServiceError> {
        let feed = &self.tools.feed;
        feed.first_reading(FIRST_READING).await?;
        if feed.later_version(id, 0)?.is_none() {
            return Ok(());
        }
        let Some(session) = self.tools.store.session(id).await? else { return Ok(()) };
        if let Some(later) = feed.later_version(id, session.version)? {
            let repaired = self.tools.store.restore_version(id, &later).await;
            self.tools.metrics.store_repaired(Repair::Version, repaired.is_ok());
            repaired?;
        }
        Ok(())
    }

    /// What became of a change to a session of which the store may have lost that it has ended.
    pub(super) async fn unless_ended(&self, update: Update) -> Result<Update, ServiceError> {
        let Update::Applied(session) = &update else { return Ok(update) };
        let heard = self.heard_of(&session.user_id, &known(session)).await?;
        Ok(match heard.against {
            Some(against @ (Against::CutOff { .. } | Against::Ended)) => {
                Update::Ended(SessionData { status: against.status(), ..session.clone() })
            }
            Some(Against::Suspended) | None => update,
        })
    }

    fn repair(&self, user: &UserId, session: &SessionId, lost: Lost) {
        let (store, metrics) = (Arc::clone(&self.tools.store), Arc::clone(&self.tools.metrics));
        let Some(repairing) = self.repairs.begin(session) else { return };
        let Ok(op) = self.operation() else { return };
        let user = user.clone();
        tokio::spawn(async move {
            let what = lost.what();
            let repaired = mend(&*store, &user, &repairing.session, lost, op).await;
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
    lost: Lost,
    op: OperationId,
) -> Result<(), StoreError> {
    match lost {
        Lost::CutOff { before, except } => store.finish_cut_off(user, before, except.as_ref()).await,
        Lost::End => store.terminate_session(session, op).await.map(drop),
        Lost::Version(later) => store.restore_version(session, &later).await,
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
            Self::Suspended => SessionStatus::Suspended,
        }
    }

    pub(super) const fn verdict(&self) -> CheckVerdict {
        self.status().verdict()
    }
}

impl Repairs {
    /// Begins a repair of that session, unless there is one, or there are too many.
    fn begin(self: &Arc<Self>, session: &SessionId) -> Option<Repairing> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= MOST_REPAIRS || !sessions.insert(session.clone()) {
            return None;
        }
        drop(sessions);
        Some(Repairing { of: Arc::clone(self), session: session.clone() })
    }
}

impl Drop for Repairing {
    fn drop(&mut self) {
        self.of.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.session);
    }
}

impl Lost {
    /// What the store has lost of a session that it takes for live. A suspension of the very version that the store has
    /// is being told: whoever suspends the session tells the feed first.
    fn of(heard: &Heard) -> Option<Self> {
        match &heard.against {
            Some(Against::CutOff { before, except }) => Some(Self::CutOff { before: *before, except: except.clone() }),
            Some(Against::Ended) => Some(Self::End),
            Some(Against::Suspended) | None => heard.later.clone().map(Self::Version),
        }
    }

    const fn what(&self) -> Repair {
        match self {
            Self::CutOff { .. } => Repair::CutOff,
            Self::End => Repair::End,
            Self::Version(_) => Repair::Version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: usize) -> SessionId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        SessionId::new(&"alice".parse().unwrap(), &bytes)
    }

    #[test]
    fn a_session_has_one_repair_at_a_time_and_all_have_a_bound() {
        let repairs = Arc::new(Repairs::default());
        let first = repairs.begin(&session(0)).unwrap();
        assert!(repairs.begin(&session(0)).is_none());
        let _others: Vec<_> = (1..MOST_REPAIRS).map(|number| repairs.begin(&session(number)).unwrap()).collect();
        assert!(repairs.begin(&session(MOST_REPAIRS)).is_none());
        drop(first);
        assert!(repairs.begin(&session(0)).is_some());
    }
}
