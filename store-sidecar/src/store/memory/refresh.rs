//! What is kept of a session's refresh tokens, under the lock of its session.

use session_gate_protocol::SessionId;

use super::steps::note_activity;
use super::tables::MemoryStore;
use crate::store::{RefreshPut, RefreshRecord, StoreError};

impl MemoryStore {
    pub(super) fn read_refresh(&self, id: &SessionId) -> Option<RefreshRecord> {
        let mut state = self.lock();
        let now = self.clock.now();
        let session = state.session(id, now).filter(|session| !session.status.is_final())?;
        let text = state.refresh(&session.session_id)?.clone()?;
        Some(RefreshRecord { text, now })
    }

    pub(super) fn write_refresh(
        &self,
        id: &SessionId,
        before: Option<&str>,
        after: &str,
    ) -> Result<RefreshPut, StoreError> {
        let mut state = self.lock();
        let now = self.clock.now();
        let Some(session) = state.session(id, now) else { return Ok(RefreshPut::NotFound) };
        if !session.status.may_mint() {
            return Ok(RefreshPut::Refused(session.status));
        }
        let Some(stored) = state.refresh(id) else { return Ok(RefreshPut::NotFound) };
        if stored.as_deref() != Some(after) {
            if stored.as_deref() != before {
                return Ok(RefreshPut::Changed);
            }
            *stored = Some(after.to_owned());
        }
        note_activity(&mut state, &session, now, &self.settings);
        Ok(RefreshPut::Done)
    }
}
