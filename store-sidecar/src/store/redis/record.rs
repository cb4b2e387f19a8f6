//! A session as Redis holds it: a hash, whose fields that scripts decide upon stand alone and whose
//! rest is one JSON text that no script looks into.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use session_gate_protocol::{
    CheckedSession, Metadata, Scopes, SessionData, SessionId, SessionStatus, UnixSeconds, UserId,
};
use thiserror::Error;

use super::values::parsed;
use crate::store::cut_off::session_at;
use crate::store::{StoreError, StoreErrorKind};

/// The version of this form, first field of each hash. The scripts write and check it too.
const FORMAT: &str = "1";

/// A stored session's fields and values.
pub(super) type Fields = HashMap<String, String>;

/// The field `data`.
#[derive(Serialize, Deserialize)]
struct Data {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ip_address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    metadata: Metadata,
}

/// Why a stored session cannot be read. Names the field, never the value.
#[derive(Debug, Error)]
#[error("a stored session cannot be read: {0}")]
struct Unreadable(&'static str);

/// The field `data` of `session`.
pub(super) fn data(session: &SessionData) -> Result<String, StoreError> {
    let data = Data {
        ip_address: session.ip_address.clone(),
        user_agent: session.user_agent.clone(),
        device_type: session.device_type.clone(),
        location: session.location.clone(),
        metadata: session.metadata.clone(),
    };
    serde_json::to_string(&data).map_err(|error| StoreError::new(StoreErrorKind::Corrupt, error))
}

/// The session that `fields` hold, with its status at `now`; none where there are no fields. Sessions of its user of
/// a generation before `ended_before` have ended.
pub(super) fn session(
    id: SessionId,
    fields: &Fields,
    ended_before: u64,
    now: UnixSeconds,
) -> Result<Option<SessionData>, StoreError> {
    if fields.is_empty() {
        return Ok(None);
    }
    let session = parse(id, fields).map_err(|error| StoreError::new(StoreErrorKind::Corrupt, error))?;
    Ok(Some(session_at(session, ended_before, now)))
}

fn parse(id: SessionId, fields: &Fields) -> Result<SessionData, Unreadable> {
    let field = |name: &'static str| fields.get(name).map(String::as_str).ok_or(Unreadable(name));
    let number = |name| field(name)?.parse::<u64>().map_err(|_| Unreadable(name));
    if field("format")? != FORMAT {
        return Err(Unreadable("format"));
    }
    let Data { ip_address, user_agent, device_type, location, metadata } =
        serde_json::from_str(field("data")?).map_err(|_| Unreadable("data"))?;
    Ok(SessionData {
        session_id: id,
        user_id: field("user_id")?.parse::<UserId>().map_err(|_| Unreadable("user_id"))?,
        ip_address,
        user_agent,
        device_type,
        location,
        created_at: UnixSeconds(number("created_at")?),
        last_activity: UnixSeconds(number("last_activity")?),
        expires_at: UnixSeconds(number("expires_at")?),
        idle_timeout: fields.contains_key("idle_timeout").then(|| number("idle_timeout")).transpose()?,
        status: SessionStatus::from_name(field("status")?).ok_or(Unreadable("status"))?,
        scopes: fields.get("scopes").map(|text| scopes(text)).transpose()?,
        class: fields.get("class").cloned(),
        persistent: fields.contains_key("persistent"),
        metadata,
        version: number("version")?,
        generation: if fields.contains_key("generation") { number("generation")? } else { 0 },
    })
}

/// The field `scopes`. A record of an earlier version has none.
fn scopes(text: &str) -> Result<Scopes, Unreadable> {
    Scopes::parse_list(text).map_err(|_| Unreadable("scopes"))
}

/// What a check tells of the session, of what its script replies after the status: version, end,
/// generation, idle timeout, scopes.
pub(super) fn checked(id: SessionId, mut reply: Vec<redis::Value>) -> Result<CheckedSession, StoreError> {
    let corrupt = || StoreError::of_kind(StoreErrorKind::Corrupt);
    let mut next = || reply.pop().ok_or_else(corrupt);
    let (scopes, idle_timeout): (Option<String>, Option<u64>) = (parsed(next()?)?, parsed(next()?)?);
    let (generation, expires_at, version): (u64, u64, u64) = (parsed(next()?)?, parsed(next()?)?, parsed(next()?)?);
    let scopes = scopes.map(|text| self::scopes(&text)).transpose();
    let scopes = scopes.map_err(|error| StoreError::new(StoreErrorKind::Corrupt, error))?;
    Ok(CheckedSession {
        session_id: id,
        expires_at: UnixSeconds(expires_at),
        idle_timeout,
        scopes,
        version,
        generation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden, with what the scripts write: see also the test of a real Redis' bytes.
    fn stored() -> Fields {
        [
            ("format", "1"),
            ("user_id", "alice"),
            ("index", "K9gGyX8OAK8aH8Myj6djqSaXI8jbj6xPk69x2xhtbpA"),
            ("status", "active"),
            ("version", "3"),
            ("created_at", "1000"),
            ("last_activity", "1040"),
            ("expires_at", "2000"),
            ("idle_timeout", "300"),
            ("scopes", "read write"),
            ("data", r#"{"ip_address":"192.0.2.1","metadata":{"a":[],"b":{},"n":12345678901234567890}}"#),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    fn id() -> SessionId {
        SessionId::new(&"alice".parse().unwrap(), &[7; 32])
    }

    #[test]
    fn what_is_stored_reads_back_as_it_was() {
        let fields = stored();
        let read = session(id(), &fields, 0, UnixSeconds(1100)).unwrap().unwrap();
        assert_eq!((read.version, read.status, read.idle_timeout), (3, SessionStatus::Active, Some(300)));
        assert_eq!(read.ip_address.as_deref(), Some("192.0.2.1"));
        assert_eq!(data(&read).unwrap(), fields["data"]);
        assert_eq!(read.scopes.unwrap().to_string(), fields["scopes"]);
    }

    #[test]
    fn a_record_without_scopes_has_none_and_one_with_an_empty_set_permits_nothing() {
        let mut fields = stored();
        fields.insert("scopes".to_owned(), String::new());
        assert_eq!(session(id(), &fields, 0, UnixSeconds(1100)).unwrap().unwrap().scopes, Some(Scopes::default()));
        fields.remove("scopes");
        assert_eq!(session(id(), &fields, 0, UnixSeconds(1100)).unwrap().unwrap().scopes, None);
    }

    #[test]
    fn a_record_of_an_earlier_version_has_no_class() {
        let mut fields = stored();
        let read = session(id(), &fields, 0, UnixSeconds(1100)).unwrap().unwrap();
        assert_eq!((read.class, read.persistent), (None, false));
        fields.extend([("class", "remember"), ("persistent", "1")].map(|(name, value)| (name.into(), value.into())));
        let read = session(id(), &fields, 0, UnixSeconds(1100)).unwrap().unwrap();
        assert_eq!((read.class.as_deref(), read.persistent), (Some("remember"), true));
    }

    #[test]
    fn the_status_is_the_one_at_the_moment_of_reading() {
        let read = session(id(), &stored(), 0, UnixSeconds(1340)).unwrap().unwrap();
        assert_eq!(read.status, SessionStatus::Expired);
    }

    #[test]
    fn a_form_that_is_not_known_is_refused_and_not_guessed() {
        for (name, value) in
            [("format", "2"), ("status", "live"), ("version", "-1"), ("data", "{"), ("user_id", ""), ("scopes", "a  b")]
        {
            let mut fields = stored();
            fields.insert(name.to_owned(), value.to_owned());
            let error = session(id(), &fields, 0, UnixSeconds(1100)).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{name}");
        }
        for name in ["format", "user_id", "status", "version", "created_at", "last_activity", "expires_at", "data"] {
            let mut fields = stored();
            fields.remove(name);
            assert!(session(id(), &fields, 0, UnixSeconds(1100)).is_err(), "{name}");
        }
    }
}
