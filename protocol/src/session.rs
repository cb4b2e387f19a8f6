use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{CheckVerdict, Metadata, Scopes, SessionId, UnixSeconds, UserId};

/// What a session is at the moment. The one place that says what each status may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// Requests are served.
    Active,
    /// Its time, or its idle time, has run out. Final.
    Expired,
    /// The password was right, the second factor is still missing: only routes that say
    /// `accept_pending_2fa` serve it.
    #[serde(rename = "pending_2fa")]
    Pending2fa,
    /// Held by an operator: nothing is served until it is active again.
    Suspended,
    /// Ended by a logout or by an operator. Final.
    Terminated,
}

impl SessionStatus {
    /// Every status, in the order of their names.
    pub const ALL: [Self; 5] = [Self::Active, Self::Expired, Self::Pending2fa, Self::Suspended, Self::Terminated];

    /// The name in JSON, in Redis and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Pending2fa => "pending_2fa",
            Self::Suspended => "suspended",
            Self::Terminated => "terminated",
        }
    }

    /// The status with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether the session has ended for good: it is not listed, not changed and never comes back.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Expired | Self::Terminated)
    }

    /// What a request of such a session is told.
    pub const fn verdict(self) -> CheckVerdict {
        match self {
            Self::Active => CheckVerdict::Live,
            Self::Expired => CheckVerdict::SessionExpired,
            Self::Pending2fa => CheckVerdict::SessionPending2fa,
            Self::Suspended => CheckVerdict::SessionSuspended,
            Self::Terminated => CheckVerdict::SessionTerminated,
        }
    }

    /// Whether new tokens may be minted for such a session. A session that waits for its second
    /// factor needs one to reach the route where that is entered.
    pub const fn may_mint(self) -> bool {
        matches!(self, Self::Active | Self::Pending2fa)
    }

    /// Checks that a client of the API may change the status from this to `next`.
    ///
    /// # Errors
    /// [`InvalidTransition`] out of a final status, into `expired` (only time does that), and back
    /// to `pending_2fa`.
    pub const fn check_transition(self, next: Self) -> Result<(), InvalidTransition> {
        let allowed = match (self, next) {
            (Self::Expired | Self::Terminated, _) | (_, Self::Expired) => false,
            (Self::Pending2fa, Self::Pending2fa) => true,
            (_, Self::Pending2fa) => false,
            (_, Self::Active | Self::Suspended | Self::Terminated) => true,
        };
        if allowed { Ok(()) } else { Err(InvalidTransition { from: self, to: next }) }
    }
}

/// A change of status that is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a session that is {} cannot become {}", from.as_str(), to.as_str())]
pub struct InvalidTransition {
    /// What the session is.
    pub from: SessionStatus,
    /// What it was asked to become.
    pub to: SessionStatus,
}

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

/// Body of `POST /v1/sessions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewSession {
    /// Whose session it is.
    pub user_id: UserId,
    /// The client's address, as the application sees it.
    #[serde(default)]
    pub ip_address: Option<String>,
    /// The client's `User-Agent`.
    #[serde(default)]
    pub user_agent: Option<String>,
    /// The kind of device.
    #[serde(default)]
    pub device_type: Option<String>,
    /// Where the device is.
    #[serde(default)]
    pub location: Option<String>,
    /// The application's own data.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub metadata: Metadata,
    /// What its tokens permit, whatever they say themselves; none: each what it says.
    #[serde(default)]
    pub scopes: Option<Scopes>,
    /// Whether the second factor is still missing: the session starts as `pending_2fa`.
    #[serde(default)]
    pub pending_2fa: bool,
    /// Seconds until it ends, at most the configured duration; none: the configured duration.
    #[serde(default)]
    pub duration: Option<u64>,
}

/// Body of `PATCH /v1/sessions/{id}`: a JSON merge patch (RFC 7396). A member that is absent stays,
/// `null` removes; within `metadata` the same holds for each of its members.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SessionPatch {
    /// New address.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub ip_address: Option<Option<String>>,
    /// New user agent.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub user_agent: Option<Option<String>>,
    /// New kind of device.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub device_type: Option<Option<String>>,
    /// New place.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub location: Option<Option<String>>,
    /// What its tokens permit from now on, without a new login; `null`: each what it says itself.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<String>>))]
    pub scopes: Option<Option<Scopes>>,
    /// Merge patch of the metadata; `null` empties it.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub metadata: Option<Option<Metadata>>,
    /// New status, where [`SessionStatus::check_transition`] allows it.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = SessionStatus))]
    pub status: Option<SessionStatus>,
}

/// Refuses `null`, which in a merge patch removes: a session always has a status.
fn not_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<SessionStatus>, D::Error> {
    let given = Option::<SessionStatus>::deserialize(deserializer)?;
    given.map(Some).ok_or_else(|| serde::de::Error::custom("must not be null: a session always has a status"))
}

/// Tells an absent member from one that is `null`.
fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

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

    #[test]
    fn no_way_leads_out_of_a_final_status_nor_into_expired() {
        for from in SessionStatus::ALL {
            for to in SessionStatus::ALL {
                let allowed = from.check_transition(to).is_ok();
                assert!(!(allowed && from.is_final()), "{from:?} -> {to:?}");
                assert!(!(allowed && to == SessionStatus::Expired), "{from:?} -> {to:?}");
            }
            assert_eq!(SessionStatus::from_name(from.as_str()), Some(from));
            assert_eq!(serde_json::to_value(from).unwrap(), from.as_str());
        }
        assert!(SessionStatus::Pending2fa.check_transition(SessionStatus::Active).is_ok());
        assert!(SessionStatus::Active.check_transition(SessionStatus::Pending2fa).is_err());
    }

    #[test]
    fn a_patch_tells_absent_from_null() {
        let patch: SessionPatch = serde_json::from_str(r#"{"location":null,"device_type":"tv"}"#).unwrap();
        assert_eq!(patch.location, Some(None));
        assert_eq!(patch.device_type, Some(Some("tv".to_owned())));
        assert_eq!(patch.ip_address, None);
        assert!(serde_json::from_str::<SessionPatch>(r#"{"user_id":"mallory"}"#).is_err());
        assert!(serde_json::from_str::<SessionPatch>(r#"{"status":null}"#).is_err(), "nothing that can be removed");
    }
}
