//! How the token of a session gets a successor, under the lock of its session.

use session_gate_protocol::SessionId;

use super::tables::MemoryStore;
use crate::store::renewal::Chain;
use crate::store::{Renewal, Renewed, StoreError};

impl MemoryStore {
    pub(super) fn renew(&self, id: &SessionId, renewal: &Renewal) -> Result<Renewed, StoreError> {
        let mut state = self.lock();
        let session = state.session(id, self.clock.now()).filter(|session| session.user_id == renewal.user_id);
        let Some(session) = session else { return Ok(Renewed::NotFound) };
        if !session.status.may_mint() {
            return Ok(Renewed::Refused(session.status));
        }
        let is_persistent = session.persistent;
        let Some(known) = state.chain(id) else { return Ok(Renewed::NotFound) };
        if known.takes(renewal) {
            *known = Chain::after(renewal);
            return Ok(Renewed::Stored { is_persistent });
        }
        if known.is_predecessor(renewal) {
            return Ok(Renewed::Before { sealed: known.sealed.clone(), is_persistent });
        }
        Ok(Renewed::Superseded)
    }
}
