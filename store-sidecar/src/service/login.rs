use session_gate_protocol::{
    LoginReply, LoginRequest, LogoutReply, LogoutRequest, SessionData, SessionStatus, UnixSeconds,
};

use super::{Service, ServiceError, Told, input::invalid};
use crate::{
    metrics::EndReason,
    store::{CreateSession, Termination},
};

impl Service {
    /// A new session and its first token. The application has checked the password.
    ///
    /// # Errors
    /// `Invalid`, or those of the store: then nobody has logged in.
    pub async fn login(&self, request: LoginRequest) -> Result<LoginReply, ServiceError> {
        let (session, token) = request.split();
        let mut problems = self.token_problems(&token);
        let new = match self.new_session(session) {
            Ok(new) => new,
            Err(ServiceError::Invalid(found)) => {
                problems.extend(found);
                return Err(ServiceError::Invalid(problems));
            }
            Err(other) => return Err(other),
        };
        ServiceError::unless_empty(problems)?;
        // A token that is too large is refused before there is a session.
        let claims = self.claims(&token, new.session.user_id.clone(), Some(&draft(&new)))?;
        self.check_size(&claims).map_err(|error| renamed(error, "metadata", "token_metadata"))?;
        let session = self.admit(new, None).await?;
        match self.mint(token, session.user_id.clone(), Some(&session)).await {
            Ok(token) => {
                self.tools.metrics.logged_in();
                Ok(LoginReply { session, token })
            }
            Err(error) => {
                // Nobody learns this session's id, so nobody misses it; if this fails, it expires.
                if let Ok(op) = self.operation() {
                    let _ended = self.tools.store.terminate_session(&session.session_id, op).await;
                }
                Err(error)
            }
        }
    }

    /// Ends a session, named by its id or by one of its tokens, or all sessions of its user. A token
    /// that has expired still names its session: a logout only takes away.
    ///
    /// # Errors
    /// `Invalid`, `SessionNotFound` for an unknown session id, `TokenUnknown`, or those of the store: then call again.
    pub async fn logout(&self, request: LogoutRequest) -> Result<Told<LogoutReply>, ServiceError> {
        let LogoutRequest { session_id, token, all } = request;
        let told = match (session_id, token) {
            (Some(id), None) if all => {
                let user = match self.session(&id).await {
                    Err(ServiceError::SessionNotFound) => {
                        self.tell_of_lost(&id).await?;
                        return Err(ServiceError::SessionNotFound);
                    }
                    session => session?.user_id,
                };
                self.terminate_user_sessions(&user, None, EndReason::Logout).await?.map(|ended| ended.terminated)
            }
            (Some(id), None) => self.terminate_session(&id, EndReason::Logout).await?,
            (None, Some(token)) => self.logout_by_token(&token, all).await?,
            (Some(_), Some(_)) => {
                return Err(ServiceError::Invalid(vec![invalid("token", "is given beside session_id")]));
            }
            (None, None) => {
                let message = "is needed, or token";
                return Err(ServiceError::Invalid(vec![invalid("session_id", message)]));
            }
        };
        self.tools.metrics.logged_out();
        Ok(told.map(|terminated| LogoutReply { terminated }))
    }

    async fn logout_by_token(&self, token: &str, all: bool) -> Result<Told<u64>, ServiceError> {
        let claims = self.presented(token).await?;
        let claims = claims.ok_or(ServiceError::TokenUnknown)?;
        let told = match &claims.sid {
            _ if all => {
                let told = self.terminate_user_sessions(&claims.sub, None, EndReason::Logout).await?;
                told.map(|ended| ended.terminated)
            }
            // One that the store does not know is long gone, or lost: it has ended all the same.
            Some(id) => {
                let ended = self.end_session(id, EndReason::Logout).await?;
                ended.map(|ended| u64::from(ended == Termination::Ended))
            }
            None => Told { done: 0, at: None },
        };
        let revoked = self.revoke_presented(&claims).await?;
        Ok(Told { at: told.at.max(revoked), ..told })
    }
}

/// The session as far as it is known before it is stored, as long in a token as the real one.
fn draft(new: &CreateSession) -> SessionData {
    // Any time of as many digits as the real one.
    const SOME_TIME: UnixSeconds = UnixSeconds(9_999_999_999);
    let session = new.session.clone();
    SessionData {
        session_id: new.id.clone(),
        user_id: session.user_id,
        ip_address: session.ip_address,
        user_agent: session.user_agent,
        device_type: session.device_type,
        location: session.location,
        created_at: SOME_TIME,
        last_activity: SOME_TIME,
        expires_at: SOME_TIME,
        idle_timeout: new.idle_timeout.map(|idle| idle.as_secs()),
        status: if session.pending_2fa { SessionStatus::Pending2fa } else { SessionStatus::Active },
        scopes: session.scopes,
        class: session.class,
        persistent: new.is_persistent,
        metadata: session.metadata,
        version: 1,
        // As many digits as a real one has.
        generation: 9_999_999_999_999_999,
    }
}

fn renamed(error: ServiceError, from: &str, to: &str) -> ServiceError {
    match error {
        ServiceError::Invalid(mut problems) => {
            for problem in problems.iter_mut().filter(|problem| problem.field == from) {
                to.clone_into(&mut problem.field);
            }
            ServiceError::Invalid(problems)
        }
        other => other,
    }
}
