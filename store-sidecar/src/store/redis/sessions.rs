//! Sessions in Redis: what changes one, and what concerns all of a user's.
//!
//! A script is told each key that it uses, also those that only another key names: so what these are is read in one step,
//! and used in the next.

use session_gate_protocol::{ETag, SessionData, SessionId, SessionPatch, SessionStatus, SlotTag, UnixSeconds, UserId};
use tokio::time::Instant;

use super::record::Fields;
use super::{RedisStore, parsed, record, scripts};
use crate::store::{
    OperationId, StoreError, StoreErrorKind, Termination, Update, UserTermination, newest_first, patch,
};

/// How often an update is tried anew because somebody else's came in between. Each time at least one
/// of those who compete succeeds.
const MAX_UPDATE_ATTEMPTS: u32 = 64;

/// Sessions that one script reads or ends, during which Redis does nothing else.
const MAX_AT_ONCE: usize = 200;

/// A session, and the operation that changed it last.
pub(super) struct Stored {
    pub(super) session: SessionData,
    op: Option<String>,
}

impl RedisStore {
    pub(super) async fn read(&self, id: &SessionId, deadline: Instant) -> Result<Option<Stored>, StoreError> {
        let (now, mut fields): (u64, Fields) =
            self.run(&scripts::SESSION, &[&self.keys.session(id)], &[], deadline).await?;
        let op = fields.remove("op");
        let session = record::session(id.clone(), &fields, UnixSeconds(now))?;
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
            let keys = [self.keys.session(id), self.keys.index(&next.user_id)];
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
        let keys = [self.keys.session(id), self.keys.index(&stored.session.user_id)];
        let arguments = [id.as_str(), &self.retention(), &op.to_string()];
        let ended: Option<bool> =
            self.run(&scripts::TERMINATE, &keys.each_ref().map(String::as_str), &arguments, deadline).await?;
        Ok(match ended {
            Some(true) => Termination::Ended,
            Some(false) => Termination::AlreadyEnded,
            None => Termination::NotFound,
        })
    }

    /// Those of these sessions of the user that have not ended, newest first.
    pub(super) async fn read_all(
        &self,
        user: &UserId,
        ids: &[String],
        deadline: Instant,
    ) -> Result<Vec<SessionData>, StoreError> {
        let mut listed = Vec::with_capacity(ids.len());
        for ids in ids.chunks(MAX_AT_ONCE) {
            let keys = self.keys_of(user, ids.iter().map(String::as_str))?;
            let mut arguments = vec![user.as_str()];
            arguments.extend(ids.iter().map(String::as_str));
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let mut reply: Vec<redis::Value> = self.run(&scripts::SESSIONS, &keys, &arguments, deadline).await?;
            let sessions = reply.split_off(reply.len().min(1));
            let now = parsed(reply.pop().unwrap_or(redis::Value::Nil))?;
            listed.extend(record::sessions(now, sessions)?);
        }
        newest_first(&mut listed);
        Ok(listed)
    }

    /// The keys of a user's index and of these sessions of that user.
    fn keys_of<'a>(&self, user: &UserId, ids: impl Iterator<Item = &'a str>) -> Result<Vec<String>, StoreError> {
        let mut keys = vec![self.keys.index(user)];
        for id in ids {
            let id: SessionId = id.parse().map_err(|error| StoreError::new(StoreErrorKind::Corrupt, error))?;
            keys.push(self.keys.session(&id));
        }
        Ok(keys)
    }

    pub(super) async fn terminate_all(
        &self,
        user: &UserId,
        named: &[SessionId],
        op: OperationId,
    ) -> Result<UserTermination, StoreError> {
        let (deadline, op, retention) = (self.deadline(), op.to_string(), self.retention());
        let mut termination = UserTermination::default();
        let mut others: Vec<String> = Vec::new();
        // An id with another tag is of no session of this user, and may live in another slot.
        let tag = SlotTag::of_user(user);
        let named: Vec<&str> = named.iter().filter(|id| id.tag() == tag).map(SessionId::as_str).collect();
        // Without any there is one step, too: it says which others there are.
        let mut chunks = named.chunks(MAX_AT_ONCE);
        let mut next = Some(chunks.next().unwrap_or_default());
        while let Some(named) = next {
            let keys = self.keys_of(user, named.iter().copied())?;
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let mut arguments = vec![user.as_str(), &retention, &op];
            arguments.extend(named);
            let mut reply: Vec<redis::Value> = self.run(&scripts::TERMINATE_ALL, &keys, &arguments, deadline).await?;
            let rest = reply.split_off(reply.len().min(1));
            let ended: u64 = parsed(reply.pop().unwrap_or(redis::Value::Nil))?;
            termination.ended = termination.ended.saturating_add(ended);
            others = rest.into_iter().map(parsed).collect::<Result<_, _>>()?;
            next = chunks.next();
        }
        // Those that have ended meanwhile, or are over, are not among them.
        termination.others = self.read_all(user, &others, deadline).await?;
        Ok(termination)
    }
}
