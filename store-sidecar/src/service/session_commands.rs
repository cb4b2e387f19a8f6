//! What an application says of its users' sessions by a header of its answer, as a filter passes it on. The current session
//! is that of the token that the request has brought, whatever it is worth by now.

use std::time::Duration;

use session_gate_protocol::{
    Claims, LoginGuard, LoginReply, LogoutScope, Metadata, NewSession, NewToken, Scopes, SessionCommand,
    SessionCommandKind, SessionCommandReply, SessionCommandRequest, SessionToken, UserId,
};
use tokio::time::timeout;

use super::{
    Service, ServiceError,
    elevation::Elevation,
    lockout::{Attempting, Gated, seconds},
    login::attempt_of,
    session_limit::Place,
    sessions::MAX_TEXT_BYTES,
};
use crate::{
    metrics::{CommandOutcome, EndReason},
    store::{LoginAttempt, LoginDevice},
};

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
        let may_end = (request.token.is_some() && kind != SessionCommandKind::LoginFailed)
            || kind == SessionCommandKind::PasswordChanged;
        let done = self.unless_locked(request).await;
        let is_done = done.as_ref().is_ok_and(|reply| reply.locked_for.is_none());
        let outcome = match &done {
            Ok(_) if is_done => CommandOutcome::Done,
            Ok(_) => CommandOutcome::Locked,
            Err(error) => outcome(error),
        };
        self.tools.metrics.session_command(kind, outcome);
        if is_done && may_end {
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

    /// Asks the lock before the rest is done, where failed logins count.
    async fn unless_locked(&self, request: SessionCommandRequest) -> Result<SessionCommandReply, ServiceError> {
        let current = match &request.token {
            Some(token) => self.presented(token).await?,
            None => None,
        };
        let Some((mut attempting, attempt)) = self.attempted(&request, current.as_ref()) else {
            return self.do_command(request, current, None).await;
        };
        let gated = self.gate_login(&mut attempting, attempt).await?;
        if let Gated::Locked(remaining) = gated {
            return Ok(SessionCommandReply {
                locked_for: Some(seconds(remaining).max(1)),
                ..SessionCommandReply::default()
            });
        }
        let reply = self.do_command(request, current, attempting.known_device(gated)).await?;
        let device = match attempt {
            LoginAttempt::Succeeded => self.issue_device(&attempting).await,
            LoginAttempt::Ask | LoginAttempt::Failed => None,
        };
        Ok(SessionCommandReply { device, ..reply })
    }

    /// What a command counts as, and for whom; none: nothing.
    fn attempted(
        &self,
        request: &SessionCommandRequest,
        current: Option<&Claims>,
    ) -> Option<(Attempting, LoginAttempt)> {
        // A failure always counts; its device is known by the guard alone.
        let none = LoginGuard::default();
        let (name, attempt) = match (&request.command, current) {
            (SessionCommand::LoginAttempt { account }, _) => (account.as_str(), LoginAttempt::Ask),
            (SessionCommand::LoginFailed { account }, _) => (account.as_str(), LoginAttempt::Failed),
            (SessionCommand::Login { user_id, pending_2fa, .. }, _) => (user_id.as_str(), attempt_of(*pending_2fa)),
            (SessionCommand::Elevate { .. }, Some(claims)) => (claims.sub.as_str(), LoginAttempt::Succeeded),
            (
                SessionCommand::Elevate { .. } | SessionCommand::Logout { .. } | SessionCommand::PasswordChanged { .. },
                _,
            ) => return None,
        };
        let guard = match (&request.guard, attempt) {
            (Some(guard), _) => guard,
            (None, LoginAttempt::Failed) => &none,
            (None, LoginAttempt::Ask | LoginAttempt::Succeeded) => return None,
        };
        Some((self.attempting(name, request.ip_address, guard)?, attempt))
    }

    async fn do_command(
        &self,
        request: SessionCommandRequest,
        current: Option<Claims>,
        device: Option<LoginDevice>,
    ) -> Result<SessionCommandReply, ServiceError> {
        let SessionCommandRequest { command, token: _, ip_address, user_agent, guard: _ } = request;
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
                let place = Place { replaces: current.and_then(|claims| claims.sid), device };
                self.reply(self.log_in(session, token, place, false).await.map_err(within_command)?)
            }
            // It has been asked, or counted.
            SessionCommand::LoginAttempt { .. } | SessionCommand::LoginFailed { .. } => {
                Ok(SessionCommandReply::default())
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
                Ok(_) | Err(ServiceError::SessionNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        self.tools.metrics.logged_out();
        Ok(SessionCommandReply { logged_out: sessions != LogoutScope::Others, ..SessionCommandReply::default() })
    }

    async fn password_changed(
        &self,
        user: Option<UserId>,
        current: Option<&Claims>,
    ) -> Result<SessionCommandReply, ServiceError> {
        let current = match current {
            Some(claims) if self.is_signed_in(claims).await? => Some(claims),
            Some(_) | None => None,
        };
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
        // Whoever could set it is the owner.
        self.unlock(user.as_str()).await?;
        Ok(SessionCommandReply::default())
    }

    fn reply(&self, login: LoginReply) -> Result<SessionCommandReply, ServiceError> {
        let LoginReply { session, token, refresh_token: _, sessions_over_limit: _, device: _ } = login;
        let max_age = session.persistent.then(|| session.expires_at.since(self.now()).as_secs());
        let token = SessionToken { token: token.token, expires_at: token.expires_at, max_age };
        Ok(SessionCommandReply { token: Some(token), ..SessionCommandReply::default() })
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
