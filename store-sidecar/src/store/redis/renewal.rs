//! How the token of a session gets a successor, in Redis: fields of the session's record.

use session_gate_protocol::{SessionId, SessionStatus, SlotTag};

use super::client::RedisStore;
use super::scripts;
use super::values::parsed;
use crate::store::{Renewal, Renewed, StoreError, StoreErrorKind};

impl RedisStore {
    pub(super) async fn renew(&self, id: &SessionId, renewal: &Renewal) -> Result<Renewed, StoreError> {
        let Renewal { user_id, shown, replaced, sealed } = renewal;
        // One of another tag is no session of the user's: its key is in another slot.
        if id.tag() != SlotTag::of_user(user_id) {
            return Ok(Renewed::NotFound);
        }
        let keys = [&*self.keys.session(id), &self.keys.cut_offs(&id.tag())];
        let arguments = [user_id.as_str(), &shown.to_string(), &replaced.to_string(), sealed];
        let (outcome, is_persistent, before): (String, bool, Option<String>) =
            parsed(self.run(&scripts::RENEW, &keys, &arguments, self.deadline()).await?)?;
        let corrupt = || StoreError::of_kind(StoreErrorKind::Corrupt);
        match (outcome.as_str(), before) {
            ("stored", _) => Ok(Renewed::Stored { is_persistent }),
            ("before", Some(sealed)) => Ok(Renewed::Before { sealed, is_persistent }),
            ("superseded", _) => Ok(Renewed::Superseded),
            ("unknown", _) => Ok(Renewed::NotFound),
            (status, _) => SessionStatus::from_name(status).map(Renewed::Refused).ok_or_else(corrupt),
        }
    }
}
