//! A session.

use serde::{Deserialize, Serialize};

use super::status::SessionStatus;
use crate::{Metadata, Scopes, SessionId, UnixSeconds, UserId};

/// A session, as the store holds it and the API shows it. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionData {
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
    /// The application's own data.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub metadata: Metadata,
    /// Counts the changes; the `ETag` of the session's resource. Activity does not count.
    pub version: u64,
    /// Its generation among its user's sessions, which the store counts; no part of the API.
    #[serde(skip)]
    pub generation: u64,
}

impl SessionData {
    /// The session without what it said of a person and their device, and without the application's data:
    /// nobody needs it when the session has ended.
    #[must_use]
    pub fn bare(self) -> Self {
        Self {
            ip_address: None,
            user_agent: None,
            device_type: None,
            location: None,
            metadata: Metadata::new(),
            ..self
        }
    }

    /// The session as it is at `now`: with its status by then, and [`bare`](Self::bare) where it has ended.
    #[must_use]
    pub fn at(self, now: UnixSeconds) -> Self {
        let status = self.status_at(now);
        let session = if status.is_final() { self.bare() } else { self };
        Self { status, ..session }
    }

    /// The status at `now`: a session whose time or idle time is over is expired, whatever was
    /// stored. At the very second of `expires_at` it is over.
    pub fn status_at(&self, now: UnixSeconds) -> SessionStatus {
        let idle_over = self.idle_timeout.is_some_and(|idle| now.0.saturating_sub(self.last_activity.0) >= idle);
        if !self.status.is_final() && (now >= self.expires_at || idle_over) {
            SessionStatus::Expired
        } else {
            self.status
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(expires_at: u64, last_activity: u64, idle_timeout: Option<u64>) -> SessionData {
        let user_id: UserId = "alice".parse().unwrap();
        SessionData {
            session_id: SessionId::new(&user_id, &[1; 32]),
            user_id,
            ip_address: None,
            user_agent: None,
            device_type: None,
            location: None,
            created_at: UnixSeconds(0),
            last_activity: UnixSeconds(last_activity),
            expires_at: UnixSeconds(expires_at),
            idle_timeout,
            status: SessionStatus::Active,
            scopes: None,
            class: None,
            persistent: false,
            metadata: Metadata::new(),
            version: 1,
            generation: 0,
        }
    }

    #[test]
    fn a_session_expires_at_the_second_it_names_and_when_idle_for_as_long_as_it_may() {
        assert_eq!(session(100, 0, None).status_at(UnixSeconds(99)), SessionStatus::Active);
        assert_eq!(session(100, 0, None).status_at(UnixSeconds(100)), SessionStatus::Expired);
        assert_eq!(session(100, 40, Some(10)).status_at(UnixSeconds(49)), SessionStatus::Active);
        assert_eq!(session(100, 40, Some(10)).status_at(UnixSeconds(50)), SessionStatus::Expired);
    }

    #[test]
    fn a_terminated_session_stays_terminated_after_its_time() {
        let ended = SessionData { status: SessionStatus::Terminated, ..session(100, 0, None) };
        assert_eq!(ended.status_at(UnixSeconds(200)), SessionStatus::Terminated);
    }
}
