//! Sessions in Redis: what changes one.
//!
//! A script is told each key that it uses, also those that only another key names: so what these are is read in one step,
//! and used in the next.

use session_gate_protocol::{ETag, SessionData, SessionId, SessionPatch, SessionStatus, SlotTag, UnixSeconds};
use tokio::time::Instant;

use super::client::RedisStore;
use super::record::Fields;
use super::values::parsed;
use super::{record, scripts};
use crate::store::{OperationId, Rotated, Rotation, StoreError, StoreErrorKind, Termination, Update, patch};

/// How often an update is tried anew because somebody else's came in between. Each time at least one
/// of those who compete succeeds.
const MAX_UPDATE_ATTEMPTS: u32 = 64;

/// A session, and the operation that changed it last.
pub(super) struct Stored {
    pub(super) session: SessionData,
    op: Option<String>,
}

impl RedisStore {
    pub(super) async fn read(&self, id: &SessionId, deadline: Instant) -> Result<Option<Stored>, StoreError> {
        let keys = [&*self.keys.session(id), &self.keys.cut_offs(&id.tag())];
        let (now, mut fields, ended_before): (u64, Fields, u64) =
            self.run(&scripts::SESSION, &keys, &[], deadline).await?;
        let op = fields.remove("op");
        let session = record::session(id.clone(), &fields, ended_before, UnixSeconds(now))?;
        Ok(session.map(|session| Stored { session, op }))
    }

    pub(super) async fn change(
        &self,
        id: &SessionId,
        patch: &SessionPatch,
        expected: Option<ETag>,
        op: OperationId,
    ) -> Result<Update, StoreError> {
        let (deadline, op, retention) = (self.deadline(), op.to_string(), self.retention());
        // It may take something away that somebody has relied upon.
        let takes_away = patch.scopes.is_some() || patch.status.is_some_and(|status| status != SessionStatus::Active);
        for _ in 0..MAX_UPDATE_ATTEMPTS {
            let Some(stored) = self.read(id, deadline).await? else { return Ok(Update::NotFound) };
            if stored.op.as_deref() == Some(&op) {
                return Ok(Update::Applied(stored.session));
            }
            let version = stored.session.version.to_string();
            let next = match patch::patched(stored.session, patch, expected, &self.settings) {
                Ok(next) => next,
                Err(refused) => return Ok(*refused),
            };
            let data = record::data(&next)?;
            let scopes = next.scopes.as_ref().map(ToString::to_string);
            let mut arguments = vec![version.as_str(), next.status.as_str(), &data, id.as_str(), &retention, &op];
            arguments.push(if takes_away { "1" } else { "0" });
            arguments.extend(scopes.as_deref());
            let keys = [self.keys.session(id), self.keys.index(&next.user_id), self.keys.cut_offs(&id.tag())];
            let last_activity: Option<u64> =
                self.run(&scripts::UPDATE, &keys.each_ref().map(String::as_str), &arguments, deadline).await?;
            // Activity may have been noted since, which is no change to a session.
            if let Some(last_activity) = last_activity.map(UnixSeconds) {
                return Ok(Update::Applied(SessionData { last_activity, ..next }));
            }
        }
        Err(StoreError::new(StoreErrorKind::Conflict, "too many others changed the session at the same time"))
    }

    pub(super) async fn terminate(&self, id: &SessionId, op: OperationId) -> Result<Termination, StoreError> {
        let deadline = self.deadline();
        // Its user, who names the index, never changes.
        let Some(stored) = self.read(id, deadline).await? else { return Ok(Termination::NotFound) };
        let keys = [self.keys.session(id), self.keys.index(&stored.session.user_id), self.keys.cut_offs(&id.tag())];
        let arguments = [id.as_str(), &self.retention(), &op.to_string()];
        let ended: Option<bool> =
            self.run(&scripts::TERMINATE, &keys.each_ref().map(String::as_str), &arguments, deadline).await?;
        Ok(match ended {
            Some(true) => Termination::Ended,
            Some(false) => Termination::AlreadyEnded,
            None => Termination::NotFound,
        })
    }

    pub(super) async fn rotate(
        &self,
        old: &SessionId,
        rotation: &Rotation,
        op: OperationId,
    ) -> Result<Rotated, StoreError> {
        rotation.check()?;
        let Rotation { user_id, id, scopes } = rotation;
        // One of another tag is no session of the user's: its key is in another slot.
        if old.tag() != SlotTag::of_user(user_id) {
            return Ok(Rotated::NotFound);
        }
        let keys =
            [self.keys.session(old), self.keys.session(id), self.keys.index(user_id), self.keys.cut_offs(&id.tag())];
        let scopes = scopes.as_ref().map(|scopes| format!("+{scopes}")).unwrap_or_default();
        let (retention, op) = (self.retention(), op.to_string());
        let arguments = [user_id.as_str(), old.as_str(), id.as_str(), &retention, &op, &scopes];
        let mut reply: Vec<redis::Value> =
            self.run(&scripts::ROTATE, &keys.each_ref().map(String::as_str), &arguments, self.deadline()).await?;
        let corrupt = || StoreError::of_kind(StoreErrorKind::Corrupt);
        let rest = reply.split_off(reply.len().min(1));
        let outcome: String = parsed(reply.pop().ok_or_else(corrupt)?)?;
        match outcome.as_str() {
            "done" => {
                let (now, fields, ended_before): (u64, Fields, u64) = parsed(redis::Value::Array(rest))?;
                let session = record::session(id.clone(), &fields, ended_before, UnixSeconds(now))?;
                session.map(Rotated::Done).ok_or_else(corrupt)
            }
            "exists" => Err(StoreError::new(StoreErrorKind::Conflict, "the session id exists already")),
            "unknown" => Ok(Rotated::NotFound),
            status => SessionStatus::from_name(status).map(Rotated::Refused).ok_or_else(corrupt),
        }
    }
}
