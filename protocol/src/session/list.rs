//! The sessions of a user, listed and ended.

use serde::{Deserialize, Serialize};

use super::{data::SessionData, status::SessionStatus};
use crate::{Scopes, SessionId, UnixSeconds, UserId};

/// Reply of `GET /v1/users/{user_id}/sessions`: a part of the sessions that have not ended, the one that expires last
/// first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionList {
    /// The sessions.
    pub sessions: Vec<ListedSession>,
    /// The next query's `after`, where there may be more. A page may have fewer sessions than were asked for, even
    /// none, and be followed by another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A session in a list: without its metadata, which reading the session alone shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ListedSession {
    /// The session's id: no credential, safe to log.
    pub session_id: SessionId,
    /// Whose session it is.
    pub user_id: UserId,
    /// The address that it was created from, as the application gave it.
    pub ip_address: Option<String>,
    /// The user agent that it was created from.
    pub user_agent: Option<String>,
    /// The kind of device: free text, such as `mobile`.
    pub device_type: Option<String>,
    /// Where the device is: free text, such as a country code.
    pub location: Option<String>,
    /// When it was created.
    pub created_at: UnixSeconds,
    /// When a request last used it. Trails by up to the sidecar's `session.activity_resolution`.
    pub last_activity: UnixSeconds,
    /// When it ends whatever happens (absolute expiry).
    pub expires_at: UnixSeconds,
    /// After how many seconds without activity it ends; none: never for that reason.
    pub idle_timeout: Option<u64>,
    /// What it is at the moment of reading.
    pub status: SessionStatus,
    /// What its tokens permit, whatever they say themselves; none: each what it says.
    pub scopes: Option<Scopes>,
    /// Its class; none: it was given none.
    #[serde(default)]
    pub class: Option<String>,
    /// Whether a browser may keep its cookie when it is closed.
    #[serde(default)]
    pub persistent: bool,
    /// Counts the changes; the `ETag` of the session's resource. Activity does not count.
    pub version: u64,
}

impl From<SessionData> for ListedSession {
    fn from(session: SessionData) -> Self {
        let SessionData {
            session_id,
            user_id,
            ip_address,
            user_agent,
            device_type,
            location,
            created_at,
            last_activity,
            expires_at,
            idle_timeout,
            status,
            scopes,
            class,
            persistent,
            metadata: _,
            version,
            generation: _,
        } = session;
        Self {
            session_id,
            user_id,
            ip_address,
            user_agent,
            device_type,
            location,
            created_at,
            last_activity,
            expires_at,
            idle_timeout,
            status,
            scopes,
            class,
            persistent,
            version,
        }
    }
}

/// Reply of `DELETE /v1/users/{user_id}/sessions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Terminated {
    /// How many sessions this call ended.
    pub terminated: u64,
}
