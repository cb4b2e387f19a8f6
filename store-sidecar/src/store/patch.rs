//! What a patch makes of a session. Pure, and the same for every store.

use serde_json::Value;
use session_gate_protocol::{ETag, Metadata, SessionData, SessionPatch, SessionStatus};

use super::{StoreSettings, Update};

/// The session that `patch` makes of `current`, whose status must be the one at this moment.
///
/// # Errors
/// The [`Update`] to answer with, where nothing is to be changed.
pub(super) fn patched(
    current: SessionData,
    patch: &SessionPatch,
    expected: Option<ETag>,
    settings: &StoreSettings,
) -> Result<SessionData, Box<Update>> {
    if current.status.is_final() {
        return Err(Box::new(Update::Ended(current)));
    }
    if expected.is_some_and(|expected| expected.0 != current.version) {
        return Err(Box::new(Update::VersionMismatch { current: ETag(current.version) }));
    }
    let SessionPatch { ip_address, user_agent, device_type, location, scopes, metadata, status } = patch;
    let mut next = current;
    if let Some(status) = *status {
        next.status.check_transition(status).map_err(|refused| Box::new(Update::InvalidTransition(refused)))?;
        next.status = status;
    }
    replace(&mut next.ip_address, ip_address);
    replace(&mut next.user_agent, user_agent);
    replace(&mut next.device_type, device_type);
    replace(&mut next.location, location);
    replace(&mut next.scopes, scopes);
    match metadata {
        None => {}
        Some(None) => next.metadata.clear(),
        Some(Some(patch)) => merge(&mut next.metadata, patch),
    }
    // Metadata that the patch leaves alone may be kept, even where the limit was lowered meanwhile.
    if metadata.is_some() && !settings.metadata_fits(&next.metadata) {
        return Err(Box::new(Update::MetadataTooLarge { max_bytes: settings.max_metadata_bytes }));
    }
    next.version = next.version.saturating_add(1);
    Ok(next)
}

/// `session` as ending it leaves it.
pub(super) fn terminated(session: SessionData) -> SessionData {
    SessionData { status: SessionStatus::Terminated, version: session.version.saturating_add(1), ..session }
}

fn replace<T: Clone>(field: &mut Option<T>, patch: &Option<Option<T>>) {
    if let Some(value) = patch {
        field.clone_from(value);
    }
}

/// RFC 7396, section 2, for two objects. The depth is bounded by what the JSON parser lets in.
fn merge(target: &mut Metadata, patch: &Metadata) {
    for (name, change) in patch {
        match change {
            Value::Null => {
                target.remove(name);
            }
            Value::Object(change) => match target.get_mut(name) {
                Some(Value::Object(inner)) => merge(inner, change),
                // Merging into an empty object drops the patch's nulls, as the RFC asks.
                _ => {
                    let mut inner = Metadata::new();
                    merge(&mut inner, change);
                    target.insert(name.clone(), Value::Object(inner));
                }
            },
            other => {
                target.insert(name.clone(), other.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The test cases of RFC 7396, appendix A, that are objects on both sides.
    #[test]
    fn merging_follows_the_examples_of_the_rfc() {
        for (target, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            let (Value::Object(mut target), Value::Object(patch)) = (target, patch) else { panic!("not objects") };
            merge(&mut target, &patch);
            assert_eq!(Value::Object(target), result);
        }
    }
}
