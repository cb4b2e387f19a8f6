//! How sessions are listed, and end all at once.

use session_gate_protocol::{SessionId, SlotTag, UnixSeconds, UserId};

use super::client::RedisStore;
use super::record::{self, Fields};
use super::values::{parsed, secs};
use super::{keys, scripts};
use crate::store::{
    Beginning, BegunCutOff, IndexPlace, PageAsk, SWEEP_BATCH, SessionPage, StoreError, StoreErrorKind, Swept,
};

/// Sessions that one script replies with their metadata, so that it is over soon.
const MAX_READ: usize = 100;

/// What a reading of sessions found.
struct Read {
    now: UnixSeconds,
    /// How many were dropped from the index.
    dropped: u64,
    /// Those that have not ended, if they were asked for.
    sessions: Vec<(String, Fields)>,
}

/// What is done with the sessions that are looked at, beside dropping those that have ended.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// The first that is active is read.
    FindActive,
    Read,
    Sweep,
}

impl RedisStore {
    pub(super) async fn page(&self, user: &UserId, ask: &PageAsk, purpose: Purpose) -> Result<SessionPage, StoreError> {
        let (places, next) = self.places(user, "newest", ask).await?;
        let mut sessions = Vec::new();
        for some in places.chunks(MAX_READ) {
            let read = self.look_at(user, some, purpose).await?;
            for (id, fields) in read.sessions {
                // The script has left out those that a cut-off has ended.
                sessions.extend(record::session(session_id(&id)?, &fields, 0, read.now)?);
            }
            if let (Purpose::FindActive, Some(found)) = (purpose, sessions.last()) {
                // The places behind it have not been looked at.
                let (expires_at, id) = (found.expires_at, found.session_id.clone());
                let is_last = next.is_none() && places.last().is_some_and(|last| last.id == id);
                let next = Some(IndexPlace { expires_at, id }).filter(|_| !is_last);
                return Ok(SessionPage { sessions, next });
            }
        }
        Ok(SessionPage { sessions, next })
    }

    pub(super) async fn sweep(&self, user: &UserId, after: Option<&IndexPlace>) -> Result<Swept, StoreError> {
        let ask = PageAsk { after: after.cloned(), limit: SWEEP_BATCH };
        let (places, next) = self.places(user, "oldest", &ask).await?;
        let dropped = if places.is_empty() { 0 } else { self.look_at(user, &places, Purpose::Sweep).await?.dropped };
        Ok(Swept { removed: dropped, next })
    }

    /// Places of a user's index, and the last of them where there are more.
    async fn places(
        &self,
        user: &UserId,
        order: &str,
        ask: &PageAsk,
    ) -> Result<(Vec<IndexPlace>, Option<IndexPlace>), StoreError> {
        let PageAsk { after, limit } = ask;
        let expires_at = after.as_ref().map(|after| after.expires_at.0.to_string()).unwrap_or_default();
        let id = after.as_ref().map(|after| after.id.as_str()).unwrap_or_default();
        let arguments = [order, &expires_at, id, &limit.to_string()];
        let found: Vec<(String, u64)> =
            self.run(&scripts::INDEX, &[&self.keys.index(user)], &arguments, self.deadline()).await?;
        let place = |(id, expires_at): (String, u64)| {
            Ok(IndexPlace { id: session_id(&id)?, expires_at: UnixSeconds(expires_at) })
        };
        let mut places = found.into_iter().map(place).collect::<Result<Vec<_>, StoreError>>()?;
        let is_last = places.len() <= *limit;
        places.truncate(*limit);
        let next = places.last().filter(|_| !is_last).cloned();
        Ok((places, next))
    }

    /// Looks at sessions of a user, and drops from the index those that have ended.
    async fn look_at(&self, user: &UserId, places: &[IndexPlace], purpose: Purpose) -> Result<Read, StoreError> {
        let mut all_keys = vec![self.keys.cut_offs(&SlotTag::of_user(user)), self.keys.index(user)];
        all_keys.extend(places.iter().map(|place| self.keys.session(&place.id)));
        let all_keys: Vec<&str> = all_keys.iter().map(String::as_str).collect();
        let retention = self.retention();
        let purpose = match purpose {
            Purpose::FindActive => "active",
            Purpose::Read => "read",
            Purpose::Sweep => "sweep",
        };
        let mut arguments = vec![user.as_str(), &retention, purpose];
        arguments.extend(places.iter().map(|place| place.id.as_str()));
        let mut reply: Vec<redis::Value> = self.run(&scripts::LIST, &all_keys, &arguments, self.deadline()).await?;
        let sessions = reply.split_off(reply.len().min(2)).into_iter().map(parsed).collect::<Result<_, _>>()?;
        let [now, dropped] = <[redis::Value; 2]>::try_from(reply).map_err(|_| corrupt())?;
        Ok(Read { now: UnixSeconds(parsed(now)?), dropped: parsed(dropped)?, sessions })
    }

    pub(super) async fn begin(
        &self,
        user: &UserId,
        except: Option<&SessionId>,
        floor: u64,
    ) -> Result<BegunCutOff, StoreError> {
        let reply = self.cut(&scripts::BEGIN_CUT_OFF, user, except, &floor.to_string()).await?;
        let (beginning, before, except, listed, latest, now): (String, u64, String, u64, u64, u64) = parsed(reply)?;
        let beginning = match beginning.as_str() {
            "new" => Beginning::New,
            "earlier" => Beginning::Earlier,
            _ => Beginning::None,
        };
        let except = Some(except).filter(|except| !except.is_empty()).map(|id| session_id(&id)).transpose()?;
        let (latest_expiry, now) = (UnixSeconds(latest), UnixSeconds(now));
        Ok(BegunCutOff { beginning, before, except, listed, latest_expiry, now })
    }

    pub(super) async fn finish(
        &self,
        user: &UserId,
        before: u64,
        except: Option<&SessionId>,
    ) -> Result<(), StoreError> {
        self.cut(&scripts::FINISH_CUT_OFF, user, except, &before.to_string()).await.map(drop)
    }

    async fn cut(
        &self,
        script: &scripts::Script,
        user: &UserId,
        except: Option<&SessionId>,
        number: &str,
    ) -> Result<redis::Value, StoreError> {
        let tag = SlotTag::of_user(user);
        let mut all_keys = vec![self.keys.cut_offs(&tag), self.keys.index(user)];
        // One of another tag is no session of the user's: its key is in another slot.
        all_keys.extend(except.filter(|id| id.tag() == tag).map(|id| self.keys.session(id)));
        let all_keys: Vec<&str> = all_keys.iter().map(String::as_str).collect();
        let except = except.map(SessionId::as_str).unwrap_or_default();
        let arguments = [&keys::index_name(user), user.as_str(), number, &secs(self.settings.feed_horizon), except];
        self.run(script, &all_keys, &arguments, self.deadline()).await
    }
}

pub(super) fn session_id(text: &str) -> Result<SessionId, StoreError> {
    text.parse().map_err(|error| StoreError::new(StoreErrorKind::Corrupt, error))
}

pub(super) fn corrupt() -> StoreError {
    StoreError::of_kind(StoreErrorKind::Corrupt)
}
