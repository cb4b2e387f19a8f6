//! How sessions begin, which others end for that, and how that is told whatever happens in between.

use std::collections::HashMap;
use std::time::Duration;

use session_gate_protocol::{SessionData, SessionId, UnixSeconds, UserId};

use super::client::RedisStore;
use super::cut_off::{corrupt, session_id};
use super::record;
use super::values::secs;
use super::{keys, scripts};
use crate::store::admission::{MAX_LOOKED_AT, MAX_TWINS, PENDING_COUNTS_FOR};
use crate::store::{
    Admission, Admitted, CreateSession, EVICTIONS_OVERDUE, EndedSession, MAX_ENDED, OperationId, StoreError,
    StoreErrorKind, Untold,
};

/// How many overdue operations are looked at in one turn.
const MAX_OVERDUE: usize = 16;

impl RedisStore {
    pub(super) async fn create(
        &self,
        new: CreateSession,
        admission: &Admission,
        op: OperationId,
    ) -> Result<Admitted, StoreError> {
        new.check(&self.settings)?;
        let (duration, idle) = (secs(new.duration), new.idle_timeout.map(secs).unwrap_or_default());
        // Created at 0 for now, in generation 0: the script decides both.
        let session = new.created_at(UnixSeconds(0), 0);
        let Admission { floor, limit, replaces, is_noted, device, known } = admission;
        let tag = session.session_id.tag();
        // No other can be the user's.
        let replaces = replaces.as_ref().filter(|id| id.tag() == tag);
        let known = || known.iter().filter(|id| id.tag() == tag);
        let user = &session.user_id;
        let scopes = session.scopes.as_ref().map(|scopes| format!("+{scopes}")).unwrap_or_default();
        let index = keys::index_name(user);
        let (data, retention, horizon) = (record::data(&session)?, self.retention(), secs(self.settings.feed_horizon));
        let flag = |is: bool| if is { "1" } else { "" };
        let class = session.class.as_deref().unwrap_or_default();
        let (op, floor) = (op.to_string(), floor.to_string());
        let mut arguments = vec![session.session_id.as_str(), user.as_str(), &index, session.status.as_str()];
        arguments.extend([duration.as_str(), &idle, &data, &retention, &op, &scopes, &floor, &horizon]);
        arguments.extend([class, flag(session.persistent), replaces.map(SessionId::as_str).unwrap_or_default()]);
        let max = limit.map_or(0, |limit| limit.max).to_string();
        let pending = secs(PENDING_COUNTS_FOR);
        let (max_ended, max_looked_at) = (MAX_ENDED.to_string(), MAX_LOOKED_AT.to_string());
        let when_full = limit.map(|limit| limit.when_full).unwrap_or_default().as_str();
        arguments.extend([max.as_str(), when_full, flag(*is_noted), &pending, &max_ended, &max_looked_at]);
        let window = secs(device.as_ref().map(|device| device.window).unwrap_or_default());
        let device = device.as_ref().map(|device| device.hash.as_str()).unwrap_or_default();
        let max_twins = MAX_TWINS.to_string();
        arguments.extend([device, window.as_str(), &max_twins]);
        arguments.extend(known().map(SessionId::as_str));
        let id = &session.session_id;
        let mut all_keys =
            vec![self.keys.session(id), self.keys.index(user), self.keys.cut_offs(&tag), self.keys.untold(user)];
        all_keys.push(self.keys.session(replaces.unwrap_or(id)));
        all_keys.extend(known().map(|id| self.keys.session(id)));
        let all_keys: Vec<&str> = all_keys.iter().map(String::as_str).collect();
        let reply: Option<Reply> = self.run(&scripts::CREATE, &all_keys, &arguments, self.deadline()).await?;
        let Some((outcome, now, generation, beyond, ended)) = reply else {
            return Err(StoreError::new(StoreErrorKind::Conflict, "the session id exists already"));
        };
        let ended = ended.into_iter().map(ended_session).collect::<Result<Vec<_>, _>>()?;
        Ok(match outcome.as_str() {
            "created" => {
                let now = UnixSeconds(now);
                let expires_at = UnixSeconds(now.0.saturating_add(session.expires_at.0));
                let session = SessionData { created_at: now, last_activity: now, expires_at, generation, ..session };
                Admitted::Created { session, ended, beyond }
            }
            "full" => Admitted::Full(ended),
            "partly" => Admitted::Partly(ended),
            "not_noted" => Admitted::NotNoted,
            "unknown" => Admitted::Unknown(ended.into_iter().map(|one| one.id).collect()),
            _ => return Err(corrupt()),
        })
    }

    pub(super) async fn note_evicting(&self, user: &UserId, op: OperationId) -> Result<(), StoreError> {
        let (member, horizon) = (format!("{op}:{user}"), secs(self.settings.feed_horizon));
        self.run(&scripts::NOTE_EVICTIONS, &[&self.keys.evictions], &[&member, &horizon], self.deadline()).await
    }

    /// The sessions first: a note without them costs a look, and they without a note would stay untold.
    pub(super) async fn forget_evicting(&self, user: &UserId, op: OperationId) -> Result<(), StoreError> {
        let (untold, deadline) = (self.keys.untold(user), self.deadline());
        self.run::<()>(&scripts::EVICTIONS_TOLD, &[&untold], &[&op.to_string()], deadline).await?;
        let member = format!("{op}:{user}");
        self.run(&scripts::FORGET_EVICTIONS, &[&self.keys.evictions], &[&member], deadline).await
    }

    pub(super) async fn overdue(&self) -> Result<Vec<Untold>, StoreError> {
        let deadline = self.deadline();
        let arguments = [&*secs(EVICTIONS_OVERDUE), &MAX_OVERDUE.to_string()];
        let members: Vec<String> =
            self.run(&scripts::OVERDUE_EVICTIONS, &[&self.keys.evictions], &arguments, deadline).await?;
        let mut overdue = Vec::new();
        for member in members {
            let (op, user) = member.split_once(':').ok_or_else(corrupt)?;
            let op = OperationId::parse(op).ok_or_else(corrupt)?;
            let user: UserId = user.parse().map_err(|error| StoreError::new(StoreErrorKind::Corrupt, error))?;
            let ended: HashMap<String, String> =
                self.run(&scripts::UNTOLD, &[&self.keys.untold(&user)], &[&op.to_string()], deadline).await?;
            let ended = ended.into_iter().map(ended_session).collect::<Result<_, _>>()?;
            overdue.push(Untold { user, op, ended });
        }
        Ok(overdue)
    }

    pub(super) async fn keep_takeover(
        &self,
        user: &UserId,
        hash: &str,
        login: &str,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        let key = self.keys.takeover(user, hash);
        self.run(&scripts::PUT_TAKEOVER, &[&key], &[login, &secs(lifetime)], self.deadline()).await
    }

    pub(super) async fn use_takeover(&self, user: &UserId, hash: &str) -> Result<Option<String>, StoreError> {
        self.run(&scripts::TAKE_TAKEOVER, &[&self.keys.takeover(user, hash)], &[], self.deadline()).await
    }
}

/// What became of it, the time, the generation, how many sessions are beyond the limit, and those that have ended or are in
/// the way.
type Reply = (String, u64, u64, u64, Vec<(String, String)>);

fn ended_session((id, expires_at): (String, String)) -> Result<EndedSession, StoreError> {
    let expires_at = expires_at.parse().map_err(|_| corrupt())?;
    Ok(EndedSession { id: session_id(&id)?, expires_at: UnixSeconds(expires_at) })
}
