//! How all sessions of a user end.
//!
//! **The feed first, then the state, then the answer**, as everywhere; the number that everybody is told is taken in
//! the store before, so that whoever logs in meanwhile is of one side or the other. If the process dies in between,
//! workers refuse what the store would still serve, until whoever notices mends it.

use std::{sync::Arc, time::Duration};

use session_gate_protocol::{CutOff, FeedChange, MAX_LEEWAY, SessionId, Terminated, UserId};

use super::{Service, ServiceError, Told, repair::FIRST_READING};
use crate::{
    logging::chain,
    metrics::EndReason,
    store::{Beginning, BegunCutOff, NewFeedEntry, Store, StoreError},
};

/// Between two batches of sweeping, so that others get their turn.
const SWEEP_PAUSE: Duration = Duration::from_millis(5);

impl Service {
    /// Ends all sessions of a user, but for one. Costs the same however many there are.
    ///
    /// # Errors
    /// `SessionNotFound` where `except` is no session of the user's, has ended, or is to end by another such call that has
    /// begun and not been answered: that is done first. Or those of the store.
    pub async fn terminate_user_sessions(
        &self,
        user: &UserId,
        except: Option<&SessionId>,
        reason: EndReason,
    ) -> Result<Told<Terminated>, ServiceError> {
        let store = &self.tools.store;
        self.tools.feed.first_reading(FIRST_READING).await?;
        let floor = self.tools.feed.cut_off_of(user)?;
        if let Some(except) = except
            && self.session(except).await?.status.is_final()
        {
            return Err(ServiceError::SessionNotFound);
        }
        let begun = store.begin_cut_off(user, except, floor).await?;
        if begun.beginning == Beginning::None {
            return Err(ServiceError::SessionNotFound);
        }
        let at = self.tell(vec![self.cut_off(user, &begun)]).await?;
        store.finish_cut_off(user, begun.before, begun.except.as_ref()).await?;
        self.sweep_later(user);
        if begun.beginning == Beginning::Earlier {
            return Err(ServiceError::SessionNotFound);
        }
        let terminated = begun.listed.saturating_sub(u64::from(except.is_some()));
        self.tools.metrics.sessions_ended(reason, terminated);
        Ok(Told { done: Terminated { terminated }, at: Some(at) })
    }

    fn cut_off(&self, user: &UserId, begun: &BegunCutOff) -> NewFeedEntry {
        // No session of the user's lasts longer than that, and none that a store has lost.
        let longest = begun.latest_expiry.max(begun.now.after(self.session.longest()));
        NewFeedEntry {
            until: longest.after(MAX_LEEWAY),
            change: FeedChange::UserSessionsEnded(CutOff {
                user_id: user.clone(),
                before: begun.before,
                issued_until: begun.now.max(self.now()),
                except: begun.except.clone(),
            }),
        }
    }

    /// Removes what has ended from the user's list, in batches, while others go on; unless that is under way.
    pub(super) fn sweep_later(&self, user: &UserId) {
        let (store, metrics) = (Arc::clone(&self.tools.store), Arc::clone(&self.tools.metrics));
        let Some(turn) = self.sweeps.begin(user) else { return };
        tokio::spawn(async move {
            match sweep(&*store, &turn.subject).await {
                Ok(removed) => metrics.sessions_swept(removed),
                // They count as ended all the same, and go with their time.
                Err(error) => tracing::warn!(error = %chain(&error), "ended sessions stay in their user's list"),
            }
        });
    }
}

async fn sweep(store: &dyn Store, user: &UserId) -> Result<u64, StoreError> {
    let mut removed = 0_u64;
    let mut after = None;
    loop {
        let swept = store.sweep_sessions(user, after.as_ref()).await?;
        removed = removed.saturating_add(swept.removed);
        match swept.next {
            Some(next) => after = Some(next),
            None => return Ok(removed),
        }
        tokio::time::sleep(SWEEP_PAUSE).await;
    }
}
