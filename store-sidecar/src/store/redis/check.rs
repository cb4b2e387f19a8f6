//! The question that filters ask.

use session_gate_protocol::{CheckVerdict, OwnToken, SessionStatus, SlotTag};

use super::client::RedisStore;
use super::values::{parsed, secs};
use super::{record, scripts};
use crate::store::{Checked, StoreError, StoreErrorKind};

impl RedisStore {
    pub(super) async fn check_token(&self, token: &OwnToken) -> Result<Checked, StoreError> {
        let OwnToken { user_id, session_id, token_id } = token;
        let entry = self.keys.revoked(user_id, token_id);
        // A session whose id has another tag was made for another user, and may live in another slot.
        let own = session_id.as_ref().filter(|id| id.tag() == SlotTag::of_user(user_id));
        let session = own.map(|id| self.keys.session(id));
        let cut_offs = own.map(|id| self.keys.cut_offs(&id.tag()));
        let keys = [Some(entry.as_str()), session.as_deref(), cut_offs.as_deref()];
        let keys: Vec<&str> = keys.into_iter().flatten().collect();
        let resolution = secs(self.settings.activity_resolution);
        let mut reply: Vec<redis::Value> =
            self.run(&scripts::CHECK, &keys, &[user_id.as_str(), &resolution], self.deadline()).await?;
        let rest = reply.split_off(reply.len().min(1));
        let status: String = parsed(reply.pop().unwrap_or(redis::Value::Nil))?;
        let verdict = match (status.as_str(), session_id, own) {
            ("revoked", ..) => return Ok(CheckVerdict::TokenRevoked.into()),
            ("none", None, _) => return Ok(CheckVerdict::Live.into()),
            ("none" | "unknown", Some(_), _) => return Ok(CheckVerdict::SessionUnknown.into()),
            (status, _, Some(_)) => SessionStatus::from_name(status).map(SessionStatus::verdict),
            _ => None,
        };
        let verdict = verdict.ok_or_else(|| StoreError::of_kind(StoreErrorKind::Corrupt))?;
        let session = own.filter(|_| !rest.is_empty()).map(|id| record::checked(id.clone(), rest)).transpose()?;
        Ok(Checked { verdict, session })
    }
}
