//! What a patch makes of a session. Pure, and the same for every store.

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
        Some(None) => next.metadata = Metadata::new(),
        Some(Some(patch)) => next.metadata = next.metadata.merged(patch),
    }
    // Metadata that the patch leaves alone may be kept, even where the limit was lowered meanwhile.
    if metadata.is_some() && !settings.metadata_fits(&next.metadata) {
        return Err(Box::new(Update::MetadataTooLarge { max_bytes: settings.max_metadata_bytes }));
    }
    next.version = next.version.saturating_add(1);
    Ok(if next.status.is_final() { next.bare() } else { next })
}

/// `session` as ending it leaves it.
pub(super) fn terminated(session: SessionData) -> SessionData {
    SessionData { status: SessionStatus::Terminated, version: session.version.saturating_add(1), ..session.bare() }
}

fn replace<T: Clone>(field: &mut Option<T>, patch: &Option<Option<T>>) {
    if let Some(value) = patch {
        field.clone_from(value);
    }
}
