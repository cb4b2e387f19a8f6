//! What an application says of its users' sessions by a header of its answer, as a filter passes it on. The current session
//! is that of the token that the request has brought, whatever it is worth by now.

use std::time::Duration;

use session_gate_protocol::{
    Claims, LoginReply, LogoutScope, Metadata, NewSession, NewToken, Scopes, SessionCommand, SessionCommandKind,
    SessionCommandReply, SessionCommandRequest, SessionToken, UserId,
};
use tokio::time::timeout;

use super::{Service, ServiceError, elevation::Elevation, sessions::MAX_TEXT_BYTES};
use crate::metrics::{CommandOutcome, EndReason};

/// How long a reply waits until every worker knows what has ended. One that does not hear of it stops trusting what it knows
/// after its `max_staleness`.
const PATIENCE: Duration = Duration::from_secs(1);

impl Service {
    /// Does what an application has said. Where that may have ended the current session, or all of a user's, every worker
    /// knows of it before the reply, if it can be reached within a second.
    ///
    /// # Errors
    /// `Invalid`, `SessionLimitReached`, `StateConflict`, or those of the store. Then no token was minted that anybody has; the current session may
    /// have ended.
    pub async fn session_command(&self, request: SessionCommandRequest) -> Result<SessionCommandReply, ServiceError> {
        let kind = request.command.kind();
        let may_end = request.token.is_some() || kind == SessionCommandKind::PasswordChanged;
        let done = self.do_command(request).await;
        self.tools.metrics.session_command(kind, done.as_ref().map_or_else(outcome, |_| CommandOutcome::Done));
        if done.is_ok() && may_end {
            self.everybody_knows().await;
        }
        done
    }

    /// Waits until every worker knows of all that has been told so far, for a while.
    pub(super) async fn everybody_knows(&self) {
        let known = async {
            if let Ok(end) = self.tools.feed.end().await {
                self.receipt(end).await;
            }
        };
        // Whoever is not reached, or cannot be told apart, fails safe by itself.
        drop(timeout(PATIENCE, known).await);
    }

    async fn do_command(&self, request: SessionCommandRequest) -> Result<SessionCommandReply, ServiceError> {
        let SessionCommandRequest { command, token, ip_address, user_agent } = request;
        let current = match token {
            Some(token) => self.presented(&token).await?,
            None => None,
        };
        match command {
            SessionCommand::Elevate { scopes, amr } => {
                let none = || ServiceError::StateConflict("there is no current session".to_owned());
                let claims = current.ok_or_else(none)?;
                let elevated =
                    self.elevate_by_token(&claims, Elevation { scopes, amr, opaque: false, is_refreshed: false }).await;
                self.reply(elevated.map_err(|error| match error {
                    ServiceError::SessionNotFound => none(),
                    error => within_command(error),
                })?)
            }
            SessionCommand::Login { user_id, scopes, amr, class, pending_2fa } => {
                let session = NewSession {
                    user_id,
                    ip_address: ip_address.map(|address| address.to_string()),
                    // Clients choose it: an odd one is no reason to refuse a login.
                    user_agent: user_agent.filter(|text| text.len() <= MAX_TEXT_BYTES),
                    device_type: None,
                    location: None,
                    metadata: Metadata::new(),
                    scopes: Some(scopes),
                    pending_2fa,
                    class,
                    duration: None,
                    max_sessions: None,
                    when_full: None,
                };
                let token = NewToken {
                    user_id: None,
                    session_id: None,
                    scopes: Scopes::default(),
                    opaque: false,
                    amr,
                    metadata: Metadata::new(),
                    duration: None,
                };
                let replaced = current.and_then(|claims| claims.sid);
                self.reply(self.log_in(session, token, replaced.as_ref(), false).await.map_err(within_command)?)
            }
            SessionCommand::Logout { sessions } => self.log_out(current.as_ref(), sessions).await,
            SessionCommand::PasswordChanged { user_id } => self.password_changed(user_id, current.as_ref()).await,
        }
    }

    async fn log_out(
        &self,
        current: Option<&Claims>,
        sessions: LogoutScope,
    ) -> Result<SessionCommandReply, ServiceError> {
        if let Some(claims) = current {
            match self.logout_by_token(claims, sessions).await {
                Ok(_) => {}
                // The current session has ended: then all others are all.
                Err(ServiceError::SessionNotFound) if sessions == LogoutScope::Others => {
                    self.terminate_user_sessions(&claims.sub, None, EndReason::Logout).await.map(drop)?;
                }
                Err(ServiceError::SessionNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        self.tools.metrics.logged_out();
        Ok(SessionCommandReply { token: None, logged_out: sessions != LogoutScope::Others })
    }

    async fn password_changed(
        &self,
        user: Option<UserId>,
        current: Option<&Claims>,
    ) -> Result<SessionCommandReply, ServiceError> {
        let Some(user) = user.or_else(|| current.map(|claims| claims.sub.clone())) else {
            let message = "no user is named, and there is no current session".to_owned();
            return Err(ServiceError::StateConflict(message));
        };
        if self.session.password_change_ends_sessions {
            let except = current.filter(|claims| claims.sub == user).and_then(|claims| claims.sid.as_ref());
            let end = async |except| self.terminate_user_sessions(&user, except, EndReason::PasswordChanged).await;
            match end(except).await {
                // The current session has ended: then all end.
                Err(ServiceError::SessionNotFound) if except.is_some() => end(None).await.map(drop)?,
                ended => ended.map(drop)?,
            }
        }
        Ok(SessionCommandReply { token: None, logged_out: false })
    }

    fn reply(&self, login: LoginReply) -> Result<SessionCommandReply, ServiceError> {
        let LoginReply { session, token, refresh_token: _, sessions_over_limit: _ } = login;
        let max_age = session.persistent.then(|| session.expires_at.since(self.now()).as_secs());
        let token = SessionToken { token: token.token, expires_at: token.expires_at, max_age };
        Ok(SessionCommandReply { token: Some(token), logged_out: false })
    }
}

const fn outcome(error: &ServiceError) -> CommandOutcome {
    match error {
        ServiceError::Invalid(_) => CommandOutcome::Invalid,
        ServiceError::SessionLimitReached(_) | ServiceError::StateConflict(_) => CommandOutcome::Conflict,
        ServiceError::Store(_) => CommandOutcome::Unavailable,
        _ => CommandOutcome::Failed,
    }
}

/// The error as whoever sent the command reads it: what is wrong is a part of that.
fn within_command(error: ServiceError) -> ServiceError {
    let ServiceError::Invalid(mut problems) = error else { return error };
    for problem in &mut problems {
        // A token of a command has no metadata: what makes it too large are its scopes.
        let field = if problem.field == "token_metadata" { "scopes" } else { &*problem.field };
        problem.field = format!("command.{field}");
    }
    ServiceError::Invalid(problems)
}
