//! How sessions began: in which order, and on which devices.

use session_gate_protocol::SessionId;

use super::State;
use crate::store::LoginHash;

impl State {
    /// The device that the session was begun on.
    pub(in crate::store::memory) fn device(&self, id: &SessionId) -> Option<&LoginHash> {
        self.sessions.get(id).and_then(|entry| entry.device.as_ref())
    }

    /// The session was begun on that device.
    pub(in crate::store::memory) fn set_device(&mut self, id: &SessionId, device: Option<LoginHash>) {
        if let Some(entry) = self.sessions.get_mut(id) {
            entry.device = device;
        }
    }

    /// The session's place among all, as they began.
    pub(in crate::store::memory) fn made(&self, id: &SessionId) -> u64 {
        self.sessions.get(id).map(|entry| entry.made).unwrap_or_default()
    }

    /// Gives the session that place: it goes on for one that began then.
    pub(in crate::store::memory) fn set_made(&mut self, id: &SessionId, made: u64) {
        if let Some(entry) = self.sessions.get_mut(id) {
            entry.made = made;
        }
    }
}
