//! What the API takes to make a session and to change it.

use serde::{Deserialize, Serialize};

use super::{limit::WhenFull, status::SessionStatus};
use crate::{Metadata, Scopes, UserId};

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
    /// The session's class, as the sidecar's configuration names them: it decides how long the session lives, and whether a
    /// browser keeps its cookie; none: `session.duration_hours` and the like, and a cookie until the browser closes.
    #[serde(default)]
    pub class: Option<String>,
    /// Seconds until it ends, at most the duration of its class, or else the configured one; none: that.
    #[serde(default)]
    pub duration: Option<u64>,
    /// How many sessions its user may have, this one included; 0: any number; none: as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_sessions: Option<u64>,
    /// What happens where the user has as many already; none: as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_full: Option<WhenFull>,
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

#[cfg(test)]
mod tests {
    use super::*;

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
