//! The way out for a user who may have no more sessions: the login was proven, and succeeds once by its handle, in the place
//! of another session.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use session_gate_protocol::{LoginRequest, Scopes, SessionId, UserId, WhenFull};
use sha2::{Digest as _, Sha256};

use super::{
    Service, ServiceError,
    input::invalid,
    limit_reached::{Handle, LimitReached},
};
use crate::rng::random_bytes;

/// For how long a handle is good.
const LIFETIME: Duration = Duration::from_mins(5);

/// What a login says that was proven, or follows from it: the same must be said with the handle.
#[derive(Serialize)]
struct Proven<'a> {
    user_id: &'a UserId,
    pending_2fa: bool,
    scopes: &'a Scopes,
    session_scopes: &'a Option<Scopes>,
    amr: &'a [String],
    class: &'a Option<String>,
}

/// What a login says of what was proven.
pub(super) fn proven(login: &LoginRequest) -> Result<String, ServiceError> {
    let LoginRequest { user_id, pending_2fa, scopes, session_scopes, amr, class, .. } = login;
    let proven = Proven { user_id, pending_2fa: *pending_2fa, scopes, session_scopes, amr, class };
    serde_json::to_string(&proven).map_err(|error| ServiceError::Internal(Box::new(error)))
}

impl Service {
    /// Lets a login succeed whose handle is good, once: others end to make room.
    ///
    /// # Errors
    /// `Invalid`, or those of the store.
    pub(super) async fn take_over(
        &self,
        login: &mut LoginRequest,
        handle: &str,
        replaces: Option<&SessionId>,
    ) -> Result<(), ServiceError> {
        let refused = |field, message: &str| Err(ServiceError::Invalid(vec![invalid(field, message)]));
        if let Some(replaced) = replaces
            && let Some(session) = self.tools.store.session(replaced).await?
            && session.user_id != login.user_id
        {
            return refused("replaces", "is no session of this user's");
        }
        let said = self.tools.store.take_takeover(&login.user_id, &hash(handle)).await?;
        if said.is_none_or(|said| proven(login).ok() != Some(said)) {
            return refused("takeover", "is unknown, expired or used, or of a login that says something else");
        }
        login.when_full = Some(WhenFull::EvictOldest);
        Ok(())
    }

    /// Gives a refused login its handle.
    pub(super) async fn with_handle(
        &self,
        user: &UserId,
        proven: &str,
        mut refused: Box<LimitReached>,
    ) -> Result<ServiceError, ServiceError> {
        let handle = URL_SAFE_NO_PAD.encode(random_bytes::<32>(&*self.tools.random)?);
        self.tools.store.put_takeover(user, &hash(&handle), proven, LIFETIME).await?;
        refused.takeover = Some(Handle(handle));
        Ok(ServiceError::SessionLimitReached(refused))
    }
}

fn hash(handle: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(handle))
}
