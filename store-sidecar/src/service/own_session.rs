//! What the bearer of a token is told of its session.

use session_gate_protocol::{CheckVerdict, OwnSession, Scopes, SessionStatus, UnixSeconds};

use super::{
    Service, ServiceError,
    check::{Counts, own},
    presented::scope_by_now,
};
use crate::{feed::Client, store::Checked};

impl Service {
    /// The session of a token of ours; none where the token may not be used, or has none. No use of the session.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn own_session(&self, token: &str) -> Result<Option<OwnSession>, ServiceError> {
        let Some(claims) = self.claims_in_force(token).await? else { return Ok(None) };
        let Some(id) = &claims.sid else { return Ok(None) };
        let Checked { verdict, .. } = self.check_own(&own(&claims), Client::default(), Counts::AsNothing).await?;
        if !matches!(verdict, CheckVerdict::Live | CheckVerdict::SessionPending2fa) {
            return Ok(None);
        }
        let session = match self.session(id).await {
            Err(ServiceError::SessionNotFound) => return Ok(None),
            session => session?,
        };
        // It may have ended since.
        if !matches!(session.status, SessionStatus::Active | SessionStatus::Pending2fa) {
            return Ok(None);
        }
        let idle_ends_at = session.idle_timeout.map(|idle| {
            let idle_end = session.last_activity.0.saturating_add(idle);
            session.expires_at.min(UnixSeconds(idle_end))
        });
        // A list that we wrote.
        let scopes = Scopes::parse_list(&scope_by_now(&claims, session.scopes.as_ref())).unwrap_or_default();
        Ok(Some(OwnSession {
            user_id: session.user_id,
            status: session.status,
            second_factor_missing: session.status == SessionStatus::Pending2fa,
            amr: claims.amr,
            scopes,
            expires_at: session.expires_at,
            idle_ends_at,
        }))
    }
}
